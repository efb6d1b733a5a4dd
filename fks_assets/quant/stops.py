"""The one place that says what a stop and a target do to a position: in a backtest, on paper, in an alert and live.

Plain functions of numbers, so that the backtest compiles these very lines and everyone else just calls them. A single price, as a
live feed gives it, is a candle whose four prices are equal. `side` is 1 for a long position and -1 for a short one; a level that
is not set is NaN, which no price reaches.
"""

HELD, STOPPED, REACHED = 0, 1, 2


def ratchet(side: int, stop: float, price: float, distance: float) -> float:
    """Return the trailing stop after `price`: `distance` (a fraction) away from it, never further from the market than before.

    For a long position price * (1 - distance) if that is higher than `stop`, for a short one price * (1 + distance) if that is
    lower; the same where no stop was set. A distance of 0 means the stop does not trail.
    """
    if distance > 0.0:
        trailed = price * (1.0 - side * distance)
        if not side * (trailed - stop) <= 0.0:
            return trailed
    return stop


def entry_levels(
    side: int,
    price: float,
    signal_close: float,
    signal_stop: float,
    signal_target: float,
    stop_fraction: float,
    target_fraction: float,
    from_fill: bool,
) -> tuple[float, float]:
    """Return (stop, target) of a position entered at `price`, before they are rounded to the tick.

    They are the signal's, or fractions of the signal's close where a fraction above 0 is given; with `from_fill` both keep their
    distance to the fill instead of the signal's close. On the tick both are rounded up for a long position and down for a short
    one: the stop nearer, the target further.
    """
    reference, moved = signal_close, 1.0
    if from_fill:
        reference, moved = price, price / signal_close
    stop = reference * (1.0 - side * stop_fraction) if stop_fraction > 0.0 else signal_stop * moved
    target = reference * (1.0 + side * target_fraction) if target_fraction > 0.0 else signal_target * moved
    return stop, target


def evaluate_candle(
    side: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    stop: float,
    raised_stop: float,
    target: float,
    optimistic: bool,
) -> tuple[int, float, bool]:
    """Return (HELD, STOPPED or REACHED; the price at which that happens; whether the four prices leave that open).

    A stop that the open has already passed is filled at the open, otherwise at its level; a target is a resting limit order and
    gets its level, no better price. `stop` holds at the open, `raised_stop` is what `ratchet` makes of the favourable extreme, or
    of the target where that comes before, or `stop` again where nothing trails. In which order the price was where, nobody knows:
    the candle is a tie if it reaches both stop and target, or if the other extreme is beyond the raised stop. Then the worst of
    what the four prices allow is taken: the stop, or, where only the raised one is reached, the extreme itself, as the stop may
    have followed just so far. The best if `optimistic`: the target, the raised stop, or a position that is held.
    """
    if side * (open_ - stop) <= 0.0:
        return STOPPED, open_, False
    if side * (open_ - target) >= 0.0:
        return REACHED, target, False
    against, favourable = (low, high) if side > 0 else (high, low)
    touches_stop = side * (against - stop) <= 0.0
    touches_target = side * (favourable - target) >= 0.0
    is_raised = side * (favourable - raised_stop) > 0.0 and not side * (raised_stop - stop) <= 0.0
    touches_raised = is_raised and side * (against - raised_stop) <= 0.0
    tie = touches_raised or (touches_stop and touches_target)
    if not optimistic and (touches_stop or touches_raised):
        return STOPPED, stop if touches_stop else against, tie
    if touches_target:
        return REACHED, target, tie
    # Where the price ends is the last of what it must have met.
    if side * ((against if touches_stop else close) - raised_stop) <= 0.0:
        return STOPPED, raised_stop, tie
    return HELD, close, tie
