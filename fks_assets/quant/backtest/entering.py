"""Opening a position: may the strategy, how much, at which price, with which stop and target."""

from math import isnan, nan

from fks_assets.quant.backtest.compiled import compiled
from fks_assets.quant.backtest.fills import equity_of, slipped, snapped, terms_at, to_multiple, too_small, write_order
from fks_assets.quant.backtest.holding import nearer, raised, set_guards
from fks_assets.quant.backtest.layout import SIZE_CONFIDENCE, SIZE_FRACTION, SIZE_NOTIONAL
from fks_assets.quant.backtest.results import ENTRY, Refusal

OPENED = -1
SIDE, STALE, COOLDOWN, DAILY_LIMIT, POSITIONS, LEVELS, NO_STOP, CASH, SIZE = (int(refusal) for refusal in Refusal)
DAY_MS = 86_400_000


@compiled
def notional_wanted(leg, state, available, equity, price, confidence):
    """Return the value that the sizing rule asks for, or NaN where it needs a stop and there is none."""
    base = equity if leg.of_equity else available
    if leg.sizing == SIZE_FRACTION:
        wanted = leg.leverage * leg.size * base
    elif leg.sizing == SIZE_NOTIONAL:
        wanted = leg.size
    elif leg.sizing == SIZE_CONFIDENCE:
        wanted = leg.leverage * min(confidence * leg.size, leg.size_cap) * base
    else:
        distance = state.side * (price - state.stop)
        if not distance > 0.0:
            return nan
        wanted = leg.size * base / distance * price
    return min(wanted, leg.leverage * leg.largest_stake * base)


@compiled
def set_levels(leg, state, price, signal_close, signal_stop, signal_target, term):
    """Set the stop of a position entered at `price` and return its target.

    They are the signal's, or fractions of the signal's close; measured from the fill, both move along with it. On the tick both
    are rounded up for a long position and down for a short one: the stop nearer, the target further. The trailing stop begins
    at once.
    """
    side, reference, moved = state.side, signal_close, 1.0
    if leg.from_fill:
        reference, moved = price, price / signal_close
    stop = reference * (1.0 - side * leg.stop_fraction) if leg.stop_fraction > 0.0 else signal_stop * moved
    target = reference * (1.0 + side * leg.target_fraction) if leg.target_fraction > 0.0 else signal_target * moved
    state.stop, state.trailed = to_multiple(stop, term.tick, term.tick_parts, side), 0
    trailed = raised(leg, state, price, term)
    if trailed != state.stop and not isnan(trailed):
        state.stop, state.trailed = trailed, 1
    return to_multiple(target, term.tick, term.tick_parts, side)


@compiled
def enter(
    leg, state, strategy, account, series, terms, partials, states, orders,
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
    equity = strategy.share * equity_of(account, states)[0]
    available = account.cash if strategy.share >= 1.0 else min(account.cash, equity - strategy.committed)
    if available <= account.least:
        return CASH
    state.side = side
    # The size decides the impact on the price, and the price the levels: size at the price without impact, then price anew.
    price = slipped(open_[row], side, 0.0, volume[row], series, term)
    target = set_levels(leg, state, price, close[before], signal_stop, signal_target, term)
    wanted = notional_wanted(leg, state, available, equity, price, confidence)
    if isnan(wanted):
        state.side = 0
        return NO_STOP
    quantity = wanted / price
    if series.impact > 0.0:
        price = slipped(open_[row], side, quantity, volume[row], series, term)
        target = set_levels(leg, state, price, close[before], signal_stop, signal_target, term)
    quantity = min(quantity, available / (price * (leg.margin + term.taker)), term.max_quantity)
    quantity = to_multiple(quantity, term.lot, term.lot_parts, -1)
    level = price * (leg.liquidation_of_long if side > 0 else leg.liquidation_of_short)
    state.liquidation = snapped(level, term.tick, term.tick_parts) if level > 0.0 else nan
    against = nearer(side, state.stop, state.liquidation)
    passed = side * (open_[row] - against) <= 0.0 or side * (price - target) >= 0.0
    if passed or too_small(quantity, price, term):
        state.side = 0
        return LEVELS if passed else SIZE

    value = quantity * price
    fee = term.taker * value
    state.quantity, state.first_quantity, state.entry_price = quantity, quantity, price
    state.stake, state.entry_rate, state.funding_a_coin = value * leg.margin, term.taker, 0.0
    state.target, state.mark, state.entry_row, state.partials_taken = target, price, row, 0
    state.entry_terms = state.terms
    state.before_rules += term.valid_from > now
    set_guards(leg, state, partials, terms)
    account.cash -= state.stake + fee
    account.positions += 1
    strategy.committed += state.stake
    strategy.positions += 1
    state.day_trades += 1
    if not leg.cooldown_after_exit:
        state.last_trade = now
    write_order(leg, account, orders, now, side, quantity, price, fee, ENTRY)
    return OPENED
