"""What one fill does to price, money and records: the compiled steps below opening, holding and closing a position."""

from fks_assets.quant.backtest import rounding
from fks_assets.quant.backtest.compiled import compiled
from fks_assets.quant.backtest.results import LIQUIDATION

SNAP = rounding.SNAP

to_multiple = compiled(rounding.to_multiple)
snapped = compiled(rounding.snapped)


@compiled
def terms_at(state, series, terms, time):
    """Return the trading rules of the market as of `time`; before the first ones, those."""
    place = state.terms
    while place > series.terms_first and terms[place].valid_from > time:
        place -= 1
    while place + 1 < series.terms_end and terms[place + 1].valid_from <= time:
        place += 1
    state.terms = place
    return terms[place]


@compiled
def price_to_tick(price, term, direction):
    """Return the price on the tick, up (1) or down (-1), at least one tick."""
    rounded = to_multiple(price, term.tick, term.tick_parts, direction)
    return rounded if rounded > 0.0 or term.tick <= 0.0 else term.tick / term.tick_parts


@compiled
def slipped(price, direction, quantity, volume, series, term):
    """Return the price of a market order: a buy (direction 1) pays more, a sale (-1) gets less, then on the tick likewise.

    The part is fixed plus half the spread, plus impact times the square of the order's share in the candle's volume.
    """
    part = series.slippage
    if series.impact > 0.0:
        share = series.impact_limit
        if quantity < share * volume:
            share = quantity / volume
        part += series.impact * share * share
    return price_to_tick(price * (1.0 + direction * part), term, direction)


@compiled
def too_small(quantity, price, term):
    """Return whether the market takes no order of this size."""
    return quantity <= 0.0 or quantity < term.min_quantity * (1.0 - SNAP) or quantity * price < term.min_notional * (1.0 - SNAP)


@compiled
def equity_of(account, states):
    """Return (equity, value of all positions) at the positions' marks."""
    equity, gross = account.cash, 0.0
    if account.positions > 0:
        for place in range(len(states)):
            state = states[place]
            if state.side != 0:
                equity += state.stake + state.side * (state.mark - state.entry_price) * state.quantity
                gross += state.quantity * state.mark
    return equity, gross


@compiled
def write_order(leg, account, orders, time, side, quantity, price, fee, reason):
    """Append one fill to the order list, where one is asked for."""
    if len(orders) == 0:
        return
    order = orders[account.orders]
    order.market, order.strategy = leg.market, leg.strategy
    order.side, order.reason = side, reason
    order.time, order.quantity, order.price, order.fee = time, quantity, price, fee
    account.orders += 1


@compiled
def pay_funding(state, account, rate, price, due, unknown):
    """Charge the fundings of a moment to the open position: the long side pays a positive rate."""
    paid = state.side * rate * price
    account.cash -= paid * state.quantity
    state.funding_a_coin += paid
    state.funding_due += due
    state.funding_unknown += unknown


@compiled
def leave(leg, state, strategy, account, term, trades, orders, quantity, price, rate, time, row, reason, ambiguous):
    """Close `quantity` of the position at `price`: money back into the account, one trade, one order."""
    state.before_rules += term.valid_from > time[row]
    value = quantity * state.entry_price
    stake, entry_fee, funding = value * leg.margin, state.entry_rate * value, state.funding_a_coin * quantity
    gross = state.side * (price - state.entry_price) * quantity
    fee = rate * price * quantity
    pnl = gross - entry_fee - fee - funding
    account.cash += stake + gross - fee
    strategy.committed -= stake
    trade = trades[account.trades]
    trade.market, trade.strategy, trade.side = leg.market, leg.strategy, state.side
    trade.exit_reason, trade.ambiguous = reason, ambiguous
    trade.candles_held = row - state.entry_row
    trade.exit_time = time[row]
    trade.entry_time = time[state.entry_row]
    trade.entry_price, trade.exit_price, trade.quantity = state.entry_price, price, quantity
    trade.entry_fee, trade.exit_fee, trade.funding = entry_fee, fee, funding
    trade.pnl, trade.return_fraction = pnl, pnl / stake
    account.trades += 1
    write_order(leg, account, orders, time[row], -state.side, quantity, price, fee, reason)
    if quantity < state.quantity:
        state.quantity -= quantity
    else:
        state.side = 0
        account.positions -= 1
        strategy.positions -= 1
        if strategy.positions == 0:
            strategy.committed = 0.0


@compiled
def leave_at_market(leg, state, strategy, account, series, term, trades, orders, price, volume, time, row, reason, ambiguous):
    """Close the whole position by a market order at `price`, slipped, with the taker's fee."""
    filled = slipped(price, -state.side, state.quantity, volume, series, term)
    quantity = state.quantity
    leave(leg, state, strategy, account, term, trades, orders, quantity, filled, term.taker, time, row, reason, ambiguous)


@compiled
def liquidate(leg, state, strategy, account, series, term, trades, orders, price, volume, time, row, ambiguous):
    """Close the position by the exchange's hand: as by a market order with the liquidation fee on top, but never worse than the
    price at which the margin is used up; what is lost beyond is the exchange's loss.
    """
    rate = term.taker + leg.liquidation_fee
    filled = slipped(price, -state.side, state.quantity, volume, series, term)
    bankrupt = state.entry_price * (1.0 - state.side / leg.leverage) / (1.0 - state.side * rate)
    if state.side * (filled - bankrupt) < 0.0:
        filled = bankrupt
    quantity = state.quantity
    leave(leg, state, strategy, account, term, trades, orders, quantity, filled, rate, time, row, LIQUIDATION, ambiguous)
