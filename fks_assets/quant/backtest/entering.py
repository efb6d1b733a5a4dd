"""Opening a position: may the strategy, how much, at which price, with which stop and target."""

from math import isnan, nan

from fks_assets.quant import sizing, stops
from fks_assets.quant.backtest.compiled import compiled
from fks_assets.quant.backtest.fills import (
    add,
    committed,
    exact_equity,
    multiply,
    pay,
    slipped,
    snapped,
    tail,
    terms_at,
    to_multiple,
    too_small,
    write_order,
)  # fmt: skip
from fks_assets.quant.backtest.holding import nearer, raised, set_guards
from fks_assets.quant.backtest.results import ENTRY, Refusal

OPENED = -1
SIDE, STALE, COOLDOWN, DAILY_LIMIT, POSITIONS, LEVELS, NO_STOP, CASH, SIZE = (int(refusal) for refusal in Refusal)
DAY_MS = 86_400_000

position_value = compiled(sizing.position_value)
affordable = compiled(sizing.affordable)
entry_levels = compiled(stops.entry_levels)


@compiled
def set_levels(leg, state, price, signal_close, signal_stop, signal_target, term):
    """Set the stop of a position entered at `price`, on the tick, and return its target. The trailing stop begins at once."""
    side = state.side
    stop, target = entry_levels(
        side, price, signal_close, signal_stop, signal_target, leg.stop_fraction, leg.target_fraction, leg.from_fill
    )
    state.stop, state.trailed = to_multiple(stop, term.tick, term.tick_parts, side), 0
    trailed = raised(leg, state, price, term)
    if trailed != state.stop and not isnan(trailed):
        state.stop, state.trailed = trailed, 1
    return to_multiple(target, term.tick, term.tick_parts, side)


@compiled
def budget_of(leg, strategy, account, legs, states, terms):
    """Return (the cash left in the strategy's budget as a pair, the money that sizes are fractions of)."""
    cash, low = account.cash, account.cash_low
    if strategy.share >= 1.0 and not leg.of_equity:
        return cash, low, cash
    equity, equity_low = exact_equity(account, legs, states, terms)
    equity, equity_low = multiply(equity, equity_low, strategy.share, strategy.share_low)
    if strategy.share < 1.0:
        used, used_low = committed(leg.strategy, legs, states)
        left, left_low = add(equity, equity_low, -used, -used_low)
        if left < cash or (left == cash and left_low < low):
            cash, low = left, left_low
    return cash, low, equity if leg.of_equity else cash


@compiled
def enter(
    leg, state, strategy, account, series, terms, partials, legs, states, orders,
    time, open_, close, volume, row, side, confidence, signal_stop, signal_target,
):  # fmt: skip
    """Open a position at the open of candle `row`, as the signal of the candle before asks; return OPENED or why not."""
    now, before = time[row], row - 1
    if now - (time[before] + series.step) > leg.oldest_signal:
        return STALE
    if now - state.last_trade < leg.cooldown:
        return COOLDOWN
    if now >= state.day_end:
        state.day_end, state.day_trades = (now // DAY_MS + 1) * DAY_MS, 0
    if state.day_trades >= leg.daily_trades:
        return DAILY_LIMIT
    if account.positions >= account.max_positions or strategy.positions >= strategy.max_positions:
        return POSITIONS

    term = terms_at(state, series, terms, now)
    available, available_low, base = budget_of(leg, strategy, account, legs, states, terms)
    if available <= account.least:
        return CASH
    state.side = side
    # The size decides the impact on the price, and the price the levels: size at the price without impact, then price anew.
    price = slipped(open_[row], side, 0.0, volume[row], series, term)
    target = set_levels(leg, state, price, close[before], signal_stop, signal_target, term)
    wanted = position_value(
        leg.sizing, leg.size, leg.size_cap, leg.largest_stake, leg.leverage, base, confidence, price, side * (price - state.stop)
    )
    if isnan(wanted):
        state.side = 0
        return NO_STOP
    quantity = wanted / price
    if series.impact > 0.0:
        price = slipped(open_[row], side, quantity, volume[row], series, term)
        target = set_levels(leg, state, price, close[before], signal_stop, signal_target, term)
    rate, rate_low = add(leg.margin, leg.margin_low, term.taker, term.taker_low)
    price_low = tail(price, term.tick, term.tick_parts)
    quantity = affordable(
        quantity, available, available_low, price, price_low, rate, rate_low, term.max_quantity, term.lot, term.lot_parts
    )
    level = price * (leg.liquidation_of_long if side > 0 else leg.liquidation_of_short)
    state.liquidation = snapped(level, term.tick, term.tick_parts) if level > 0.0 else nan
    against = nearer(side, state.stop, state.liquidation)
    passed = side * (open_[row] - against) <= 0.0 or side * (price - target) >= 0.0 or state.stop <= 0.0 or target <= 0.0
    # The market must take its stop too.
    lowest = price if isnan(state.stop) else min(price, state.stop)
    if passed or too_small(quantity, lowest, term):
        state.side = 0
        return LEVELS if passed else SIZE

    fee = term.taker * (quantity * price)
    state.quantity, state.first_quantity, state.entry_price = quantity, quantity, price
    state.quantity_low, state.entry_low = tail(quantity, term.lot, term.lot_parts), price_low
    state.stake, state.entry_rate, state.funding_a_coin = quantity * price * leg.margin, term.taker, 0.0
    state.target, state.mark, state.entry_row, state.partials_taken = target, price, row, 0
    state.entry_terms = state.terms
    state.before_rules += term.valid_from > now
    set_guards(leg, state, partials, terms)
    if term.lot > 0.0:
        cost, cost_low = multiply(price, price_low, rate, rate_low)
        pay(account, *multiply(cost, cost_low, quantity, state.quantity_low))
    else:
        account.cash -= state.stake + fee
    account.positions += 1
    strategy.positions += 1
    state.day_trades += 1
    if not leg.cooldown_after_exit:
        state.last_trade = now
    write_order(leg, state, account, orders, now, side, quantity, price, fee, ENTRY)
    return OPENED
