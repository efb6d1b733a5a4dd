"""What one fill does to price, money and records: the compiled steps below opening, holding and closing a position."""

from fks_assets.quant.backtest import pairs, pricing, rounding
from fks_assets.quant.backtest.compiled import compiled
from fks_assets.quant.backtest.results import LIQUIDATION

# Candle prices are read as decimals of so many parts where they do not lie on the tick.
DECIMAL_PARTS = 1e8

to_multiple = compiled(rounding.to_multiple)
snapped = compiled(rounding.snapped)
market_price = compiled(pricing.market_price)
below_smallest = compiled(pricing.below_smallest)
price_to_tick = compiled(pricing.price_to_tick)
add = compiled(pairs.add)
multiply = compiled(pairs.multiply)
tail = compiled(pairs.tail)


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
def slipped(price, direction, quantity, volume, series, term):
    """Return the price of a market order in the candles of this series."""
    return market_price(
        price, direction, quantity, volume, series.slippage, series.impact, series.impact_limit, term.tick, term.tick_parts
    )


@compiled
def too_small(quantity, price, term):
    """Return whether the market takes no order of this size."""
    return below_smallest(quantity, price, term.min_quantity, term.min_notional)


@compiled
def price_tail(price, term, entry_term):
    """Return the low part of a price: on the tick of its time, on that of the entry, or a decimal of at most eight places."""
    if term.tick <= 0.0:
        return 0.0
    low = tail(price, term.tick, term.tick_parts)
    if low == 0.0:
        low = tail(price, entry_term.tick, entry_term.tick_parts)
    return low if low != 0.0 else tail(price, 1.0, DECIMAL_PARTS)


@compiled
def pay(account, amount, low):
    """Take a pair of money out of the account."""
    account.cash, account.cash_low = add(account.cash, account.cash_low, -amount, -low)


@compiled
def stake_of(leg, state):
    """Return the margin of the position as a pair."""
    value, low = multiply(state.quantity, state.quantity_low, state.entry_price, state.entry_low)
    return multiply(value, low, leg.margin, leg.margin_low)


@compiled
def exact_equity(account, legs, states, terms):
    """Return the equity at the positions' marks as a pair."""
    equity, low = account.cash, account.cash_low
    for place in range(len(states)):
        state = states[place]
        if state.side != 0:
            stake, stake_low = stake_of(legs[place], state)
            equity, low = add(equity, low, stake, stake_low)
            mark_low = price_tail(state.mark, terms[state.terms], terms[state.entry_terms])
            gain, gain_low = add(state.mark, mark_low, -state.entry_price, -state.entry_low)
            gain, gain_low = multiply(state.side * gain, state.side * gain_low, state.quantity, state.quantity_low)
            equity, low = add(equity, low, gain, gain_low)
    return equity, low


@compiled
def committed(strategy, legs, states):
    """Return the margin of all positions of the strategy at this place, as a pair."""
    total, low = 0.0, 0.0
    for place in range(len(states)):
        if states[place].side != 0 and legs[place].strategy == strategy:
            stake, stake_low = stake_of(legs[place], states[place])
            total, low = add(total, low, stake, stake_low)
    return total, low


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
def write_order(leg, state, account, orders, time, side, quantity, price, fee, reason):
    """Append one fill to the order list, where one is asked for."""
    if len(orders) == 0:
        return
    order = orders[account.orders]
    order.market, order.strategy, order.leg = leg.market, leg.strategy, state.leg
    order.side, order.reason = side, reason
    order.time, order.quantity, order.price, order.fee = time, quantity, price, fee
    order.booked_at = account.now
    account.orders += 1


@compiled
def pay_funding(state, account, terms, rate, rate_low, price, due, unknown):
    """Charge the fundings of a moment to the open position: the long side pays a positive rate."""
    low = price_tail(price, terms[state.terms], terms[state.entry_terms])
    paid, low = multiply(price, low, state.side * rate, state.side * rate_low)
    state.funding_a_coin += paid
    paid, low = multiply(paid, low, state.quantity, state.quantity_low)
    pay(account, paid, low)
    state.funding_due += due
    state.funding_unknown += unknown


@compiled
def settle(leg, state, account, quantity, quantity_low, price, price_low, rate, rate_low):
    """Pay what closing `quantity` at `price` is worth into the account: margin and gain less the fee. All but leg and state in
    pairs.
    """
    coin, coin_low = multiply(state.entry_price, state.entry_low, leg.margin, leg.margin_low)
    gain, gain_low = add(price, price_low, -state.entry_price, -state.entry_low)
    coin, coin_low = add(coin, coin_low, state.side * gain, state.side * gain_low)
    fee, fee_low = multiply(price, price_low, rate, rate_low)
    coin, coin_low = add(coin, coin_low, -fee, -fee_low)
    coin, coin_low = multiply(coin, coin_low, quantity, quantity_low)
    pay(account, -coin, -coin_low)


@compiled
def leave(
    leg, state, strategy, account, terms, trades, orders, quantity, quantity_low, price, rate, rate_low,
    time, row, reason, ambiguous,
):  # fmt: skip
    """Close `quantity` of the position at `price`: money back into the account, one trade, one order."""
    term = terms[state.terms]
    state.before_rules += term.valid_from > time[row]
    value = quantity * state.entry_price
    stake, entry_fee, funding = value * leg.margin, state.entry_rate * value, state.funding_a_coin * quantity
    gross = state.side * (price - state.entry_price) * quantity
    fee = rate * price * quantity
    pnl = gross - entry_fee - fee - funding
    if term.lot > 0.0:
        low = price_tail(price, term, terms[state.entry_terms])
        settle(leg, state, account, quantity, quantity_low, price, low, rate, rate_low)
    else:
        account.cash += stake + gross - fee
    trade = trades[account.trades]
    trade.market, trade.strategy, trade.leg, trade.side = leg.market, leg.strategy, state.leg, state.side
    trade.exit_reason, trade.ambiguous = reason, ambiguous
    trade.candles_held = row - state.entry_row
    trade.exit_time, trade.booked_at = time[row], account.now
    trade.entry_time = time[state.entry_row]
    trade.entry_price, trade.exit_price, trade.quantity = state.entry_price, price, quantity
    trade.entry_fee, trade.exit_fee, trade.funding = entry_fee, fee, funding
    trade.pnl, trade.return_fraction = pnl, pnl / stake
    account.trades += 1
    write_order(leg, state, account, orders, time[row], -state.side, quantity, price, fee, reason)
    if quantity < state.quantity:
        state.quantity -= quantity
    else:
        state.side = 0
        account.positions -= 1
        strategy.positions -= 1


@compiled
def leave_at_market(leg, state, strategy, account, series, terms, trades, orders, price, volume, time, row, reason, ambiguous):
    """Close the whole position by a market order at `price`, slipped, with the taker's fee."""
    term = terms_at(state, series, terms, time[row])
    filled = slipped(price, -state.side, state.quantity, volume, series, term)
    leave(
        leg, state, strategy, account, terms, trades, orders, state.quantity, state.quantity_low, filled,
        term.taker, term.taker_low, time, row, reason, ambiguous,
    )  # fmt: skip


@compiled
def liquidate(leg, state, strategy, account, series, terms, trades, orders, price, volume, time, row, ambiguous):
    """Close the position by the exchange's hand: as by a market order with the liquidation fee on top, but never worse than the
    price, on the tick, at which the margin is used up; what is lost beyond is the exchange's loss.
    """
    term = terms_at(state, series, terms, time[row])
    rate, rate_low = add(term.taker, term.taker_low, leg.liquidation_fee, leg.liquidation_fee_low)
    filled = slipped(price, -state.side, state.quantity, volume, series, term)
    bankrupt = state.entry_price * (1.0 - state.side / leg.leverage) / (1.0 - state.side * rate)
    if state.side * (filled - bankrupt) < 0.0:
        filled = price_to_tick(bankrupt, term.tick, term.tick_parts, state.side)
    leave(
        leg, state, strategy, account, terms, trades, orders, state.quantity, state.quantity_low, filled,
        rate, rate_low, time, row, LIQUIDATION, ambiguous,
    )  # fmt: skip
