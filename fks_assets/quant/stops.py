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
    favourable_first: bool,
) -> tuple[int, float, bool]:
    """Return (HELD, STOPPED or REACHED; the price at which that happens; whether the candle reaches both stop and target).

    A stop that the open has already passed is filled at the open, otherwise at its level; a target is a resting limit order and
    gets its level, no better price. Within the candle the price is taken to go from the open to the extreme against the position,
    to the other extreme, to the close: the pessimistic path. With `favourable_first` the two extremes change places. `stop` holds
    until the favourable extreme, `raised_stop` after it: what `ratchet` makes of that extreme, or `stop` again where nothing
    trails.
    """
    if side * (open_ - stop) <= 0.0:
        return STOPPED, open_, False
    if side * (open_ - target) >= 0.0:
        return REACHED, target, False
    against, favourable = (low, high) if side > 0 else (high, low)
    touches_stop = side * (against - stop) <= 0.0
    touches_target = side * (favourable - target) >= 0.0
    both = touches_stop and touches_target
    if touches_stop and not favourable_first:
        return STOPPED, stop, both
    if touches_target:
        return REACHED, target, both
    if side * ((against if favourable_first else close) - raised_stop) <= 0.0:
        return STOPPED, raised_stop, False
    return HELD, close, False
