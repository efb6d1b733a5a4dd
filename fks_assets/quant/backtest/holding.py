"""Holding a position through a candle: which of its levels are reached, in which order, at which price."""

from math import inf, isnan

from fks_assets.quant import stops
from fks_assets.quant.backtest import pricing
from fks_assets.quant.backtest.compiled import compiled
from fks_assets.quant.backtest.fills import (
    add,
    leave,
    leave_at_market,
    liquidate,
    tail,
    terms_at,
    to_multiple,
    too_small,
)
from fks_assets.quant.backtest.results import PARTIAL, STOP, TARGET, TRAILING
from fks_assets.quant.backtest.rounding import SNAP

HELD, STOPPED = stops.HELD, stops.STOPPED

evaluate_candle = compiled(stops.evaluate_candle)
raised_stop = compiled(pricing.raised_stop)


@compiled
def raised(leg, state, price, term):
    """Return the stop after the price has been seen."""
    return raised_stop(state.side, state.stop, price, leg.trailing, term.tick, term.tick_parts)


@compiled
def nearer(side, stop, liquidation):
    """Return whichever of the two levels the falling (long) or rising (short) price meets first; NaN is no level."""
    if isnan(stop) or side * (liquidation - stop) > 0.0:
        return liquidation
    return stop


@compiled
def best_before(side, high, low, level):
    """Return the best price of a candle for the position, or the level in its favour where that comes before; NaN is none."""
    if side > 0:
        return level if level < high else high
    return level if level > low else low


@compiled
def partial_level(state, partial, terms):
    """Return the price of a partial exit, an order on the tick that the market had at the entry."""
    term = terms[state.entry_terms]
    level = state.entry_price * (1.0 + state.side * partial.gain)
    return to_multiple(level, term.tick, term.tick_parts, state.side)


@compiled
def next_target(leg, state, partials, terms):
    """Return (the next price in the position's favour; the partial exit it belongs to, or the end of those for the target)."""
    place = leg.partials_first + state.partials_taken
    if place < leg.partials_end:
        level = partial_level(state, partials[place], terms)
        if isnan(state.target) or state.side * (state.target - level) > 0.0:
            return level, place
    return state.target, leg.partials_end


@compiled
def end_level(leg, state, partials, terms):
    """Return the level in the position's favour that ends it: the target, or the last partial exit of a set that takes all."""
    end, last = state.target, leg.partials_end - 1
    if last >= leg.partials_first + state.partials_taken and partials[last].closes:
        level = partial_level(state, partials[last], terms)
        if isnan(end) or state.side * (end - level) > 0.0:
            return level
    return end


@compiled
def is_tie(leg, state, terms, partials, open_, high, low, close, term):
    """Return whether these prices leave open what they do to the position (stops.evaluate_candle); nothing is changed.

    What a trailing stop follows ends at the level that ends the position: partial exits on the way leave a part of it.
    """
    level, stop = next_target(leg, state, partials, terms)[0], nearer(state.side, state.stop, state.liquidation)
    stop_after = stop
    if leg.trailing > 0.0:
        best = best_before(state.side, high, low, end_level(leg, state, partials, terms))
        stop_after = nearer(state.side, raised(leg, state, best, term), state.liquidation)
    return evaluate_candle(state.side, open_, high, low, close, stop, stop_after, level, False)[2]


@compiled
def set_guards(leg, state, partials, terms):
    """Set the prices between which nothing can happen to the position: no level is reached and the stop does not trail."""
    stop, level = nearer(state.side, state.stop, state.liquidation), next_target(leg, state, partials, terms)[0]
    lower, upper = (stop, level) if state.side > 0 else (level, stop)
    state.lower = -inf if isnan(lower) else lower
    state.upper = inf if isnan(upper) else upper
    if leg.trailing > 0.0:
        # The price from which on the stop follows, less what rounding could make of it.
        if state.side > 0:
            state.upper = min(state.upper, state.stop / (1.0 - leg.trailing) * (1.0 - SNAP))
        else:
            state.lower = max(state.lower, state.stop / (1.0 + leg.trailing) * (1.0 + SNAP))


@compiled
def take_part(leg, state, strategy, account, terms, trades, orders, partial, price, time, row, ambiguous):
    """Close the part that one partial exit asks for, unless that would be below the market's smallest order.

    The last one of a set that takes the whole position closes what is left, also what earlier ones could not.
    """
    term = terms[state.terms]
    state.partials_taken += 1
    quantity = to_multiple(partial.part * state.first_quantity, term.lot, term.lot_parts, -1)
    low = tail(quantity, term.lot, term.lot_parts)
    if partial.closes or quantity >= state.quantity * (1.0 - SNAP):
        quantity, low = state.quantity, state.quantity_low
    if not partial.closes and too_small(quantity, price, term):
        state.parts_skipped += 1
    else:
        left, left_low = add(state.quantity, state.quantity_low, -quantity, -low)
        leave(
            leg, state, strategy, account, terms, trades, orders, quantity, low, price,
            term.maker, term.maker_low, time, row, PARTIAL, ambiguous,
        )  # fmt: skip
        if state.side != 0:
            state.quantity, state.quantity_low = left, left_low
            state.stake = left * state.entry_price * leg.margin


@compiled
def live_through(
    leg, state, strategy, account, series, terms, partials, trades, orders,
    time, row, open_, high, low, close, volume, optimistic, ambiguous,
):  # fmt: skip
    """Take the position through these prices of candle `row`: partial exits, target, stop, trailing, liquidation.

    Return whether they are a tie (stops.evaluate_candle).
    """
    term = terms_at(state, series, terms, time[row])
    tie = False
    while state.side != 0:
        level, place = next_target(leg, state, partials, terms)
        after = raised(leg, state, best_before(state.side, high, low, level), term)
        stop = nearer(state.side, state.stop, state.liquidation)
        stop_after = nearer(state.side, after, state.liquidation)
        event, price, both = evaluate_candle(state.side, open_, high, low, close, stop, stop_after, level, optimistic)
        tie = tie or both
        marked = ambiguous or tie
        if event == HELD:
            if after != state.stop and not isnan(after):
                state.stop, state.trailed = after, 1
            break
        if event == STOPPED:
            if state.side * (price - state.liquidation) <= 0.0:
                liquidate(leg, state, strategy, account, series, terms, trades, orders, price, volume, time, row, marked)
            else:
                moved = state.trailed == 1 or isnan(stop) or state.side * (price - stop) > 0.0
                reason = TRAILING if moved else STOP
                leave_at_market(
                    leg, state, strategy, account, series, terms, trades, orders, price, volume, time, row, reason, marked
                )
        elif place < leg.partials_end:
            # The part is sold either way; what the rest meets may still be open.
            tie = tie or is_tie(leg, state, terms, partials, open_, high, low, close, term)
            marked = ambiguous or tie
            take_part(leg, state, strategy, account, terms, trades, orders, partials[place], price, time, row, marked)
        else:
            leave(
                leg, state, strategy, account, terms, trades, orders, state.quantity, state.quantity_low, price,
                term.maker, term.maker_low, time, row, TARGET, marked,
            )  # fmt: skip
    if state.side != 0:
        set_guards(leg, state, partials, terms)
    return tie


@compiled
def live_through_finer(
    leg, state, strategy, account, series, terms, partials, trades, orders,
    time, row, high, low, volume, finer_time, finer_open, finer_high, finer_low, finer_close,
):  # fmt: skip
    """Take the position through the finer candles inside candle `row`: first each one's open, then the worse of its two ways.

    Return (whether they say what became of it, whether one of them was itself a tie). They do not where they are incomplete:
    the position is still held, though they miss an extreme of the candle or the candle did reach the stop.
    """
    first, past = series.finer_first, series.finer_end
    while first < past:
        middle = (first + past) // 2
        if finer_time[middle] < time[row]:
            first = middle + 1
        else:
            past = middle
    end = time[row] + series.step
    side, stop = state.side, nearer(state.side, state.stop, state.liquidation)
    highest, lowest, tie = -inf, inf, False
    for place in range(first, series.finer_end):
        if finer_time[place] >= end or state.side == 0:
            break
        price = finer_open[place]
        highest, lowest = max(highest, finer_high[place]), min(lowest, finer_low[place])
        live_through(
            leg, state, strategy, account, series, terms, partials, trades, orders, time, row,
            price, price, price, price, volume, False, True,
        )  # fmt: skip
        tie = live_through(
            leg, state, strategy, account, series, terms, partials, trades, orders, time, row,
            price, finer_high[place], finer_low[place], finer_close[place], volume, False, True,
        ) or tie  # fmt: skip
    seen = highest >= high and lowest <= low and side * ((low if side > 0 else high) - stop) > 0.0
    return state.side == 0 or seen, tie
