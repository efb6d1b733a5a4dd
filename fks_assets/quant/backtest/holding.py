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
def next_target(leg, state, partials, terms):
    """Return (the next price in the position's favour; the partial exit it belongs to, or the end of those for the target).

    Partial exits are orders on the tick that the market had at the entry.
    """
    place = leg.partials_first + state.partials_taken
    if place < leg.partials_end:
        term = terms[state.entry_terms]
        level = state.entry_price * (1.0 + state.side * partials[place].gain)
        level = to_multiple(level, term.tick, term.tick_parts, state.side)
        if isnan(state.target) or state.side * (state.target - level) > 0.0:
            return level, place
    return state.target, leg.partials_end


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
    """Close the part that one partial exit asks for, unless that would be below the market's smallest order."""
    term = terms[state.terms]
    state.partials_taken += 1
    quantity = to_multiple(partial.part * state.first_quantity, term.lot, term.lot_parts, -1)
    low = tail(quantity, term.lot, term.lot_parts)
    if quantity >= state.quantity * (1.0 - SNAP):
        quantity, low = state.quantity, state.quantity_low
    if not too_small(quantity, price, term):
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
    time, row, open_, high, low, close, volume, favourable_first, ambiguous,
):  # fmt: skip
    """Take the position through these prices of candle `row`: partial exits, target, stop, trailing, liquidation.

    Return whether they reach both the stop and a level in the position's favour.
    """
    term = terms_at(state, series, terms, time[row])
    tie = False
    while state.side != 0:
        level, place = next_target(leg, state, partials, terms)
        after = raised(leg, state, high if state.side > 0 else low, term)
        stop = nearer(state.side, state.stop, state.liquidation)
        stop_after = nearer(state.side, after, state.liquidation)
        event, price, both = evaluate_candle(state.side, open_, high, low, close, stop, stop_after, level, favourable_first)
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
def reaches_both(leg, state, terms, partials, open_, high, low, close):
    """Return whether the candle reaches both the stop and the next level in the position's favour; nothing is changed."""
    level = next_target(leg, state, partials, terms)[0]
    stop = nearer(state.side, state.stop, state.liquidation)
    return evaluate_candle(state.side, open_, high, low, close, stop, stop, level, False)[2]


@compiled
def live_through_finer(
    leg, state, strategy, account, series, terms, partials, trades, orders,
    time, row, volume, finer_time, finer_open, finer_high, finer_low, finer_close,
):  # fmt: skip
    """Take the position through the finer candles inside candle `row`: first each one's open, then the pessimistic path."""
    first, past = series.finer_first, series.finer_end
    while first < past:
        middle = (first + past) // 2
        if finer_time[middle] < time[row]:
            first = middle + 1
        else:
            past = middle
    end = time[row] + series.step
    for place in range(first, series.finer_end):
        if finer_time[place] >= end or state.side == 0:
            break
        price = finer_open[place]
        live_through(
            leg, state, strategy, account, series, terms, partials, trades, orders, time, row,
            price, price, price, price, volume, False, True,
        )  # fmt: skip
        live_through(
            leg, state, strategy, account, series, terms, partials, trades, orders, time, row,
            price, finer_high[place], finer_low[place], finer_close[place], volume, False, True,
        )  # fmt: skip
