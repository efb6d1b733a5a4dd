"""What the backtest books for a trade of the desk: the same decision and quantity at the prices and fees of its own rules."""

import math
from dataclasses import dataclass

import pyarrow as pa

from fks_assets.assets.trading.followers import Terms
from fks_assets.assets.trading.recorded_trades import RecordedTrade
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.quant.backtest.pricing import market_price
from fks_assets.quant.backtest.rounding import to_multiple
from fks_assets.quant.backtest.rules import Costs, LegRules
from fks_assets.quant.difference import Decision, Trade
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import Timeframe, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.canonical import times_of
from fks_assets.stores.market_rules import rules_history

LONGEST_OUTAGE_MS = 31 * MILLISECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class _Open:
    """The beginning of a candle: its open time (UTC ms), open, and volume in the base coin."""

    time: int
    price: float
    volume: float


def booked(stores: Stores, done: RecordedTrade, terms: Terms) -> Trade | None:
    """Return the trade as the backtest of its account books it; None where the candle that it would be filled in is not stored.

    An entry is filled at the open of the candle after the decision's, an exit by a signal likewise, a stop at its level or at the
    open of its candle that has passed it, a target at its level; market orders pay the taker's fee, targets the maker's. `terms`
    are the account's.
    """
    market, timeframe = parse_market(done.market), parse_timeframe(done.timeframe)
    if done.leg in ("entry", "exit"):
        # A SELL does not grow old: what is held is left at the next open that there is.
        found = _next_open(stores, market, timeframe, done.candle, terms.leg if done.leg == "entry" else None)
    else:
        assert done.traded_at is not None
        opened = timeframe.floor(done.traded_at)
        found = _open_of(stores, market, done.timeframe, opened, opened + 1)
    if found is None:
        return None
    rules, price = _rules_at(stores, market, found.time), found.price
    if done.level is not None:
        passed = (price - done.level) * done.side > 0
        price = price if done.leg == "stop" and passed else done.level
    quantity = done.quantity if done.leg in ("stop", "target") and done.quantity else _on_the_lot(done.wanted, rules)
    if done.leg != "target":
        price = _paid(terms.costs, rules, price, done.side, quantity, found.volume)
    fee = _fee(terms.costs, rules, done.leg) * price * quantity
    return Trade(done.account, done.market, done.timeframe, done.candle, done.leg, done.side, quantity, price, fee)


def entry_price(stores: Stores, market: Market, timeframe: Timeframe, candle: int, said: Decision, terms: Terms) -> float | None:
    """Return about what the backtest pays where it follows a BUY: the next open, without an order's own impact on it.

    None where it enters nothing: that candle is not stored, or its open has passed the stop or the target.
    """
    found = _next_open(stores, market, timeframe, candle, terms.leg)
    if found is None:
        return None
    price = _paid(terms.costs, _rules_at(stores, market, found.time), found.price, 1, 0.0, found.volume)
    return None if found.price <= said.stop or price >= said.target else price


def sold_at_open(stores: Stores, guard: RecordedTrade, candle: int) -> bool:
    """Return whether a stop or target was sold in the candle after this one (its open time, UTC ms), whose open had passed it.

    What rests at the exchange is there before the order that a signal asks for.
    """
    assert guard.traded_at is not None and guard.level is not None
    market, timeframe = parse_market(guard.market), parse_timeframe(guard.timeframe)
    opened = candle + timeframe.milliseconds
    found = _open_of(stores, market, guard.timeframe, opened, opened + 1)
    if found is None or timeframe.floor(guard.traded_at) != opened:
        return False
    beyond = (found.price - guard.level) * guard.side
    return beyond >= 0 if guard.leg == "stop" else beyond <= 0


def _next_open(stores: Stores, market: Market, timeframe: Timeframe, candle: int, leg: LegRules | None) -> _Open | None:
    """Return the first candle after one, or the first that opens while these rules let the signal be entered."""
    first = candle + timeframe.milliseconds
    deadline = math.inf if leg is None else leg.signal_deadline(first, timeframe.milliseconds)
    return _open_of(stores, market, timeframe.name, first, int(min(deadline, first + LONGEST_OUTAGE_MS)) + 1)


def _open_of(stores: Stores, market: Market, timeframe: str, start_ms: int, end_ms: int) -> _Open | None:
    """Return the first candle that opens in [start_ms, end_ms)."""
    table: pa.Table = stores.candles.read_table("ohlcv", market, timeframe, start_ms, end_ms, columns=["open", "volume"])
    if not table.num_rows:
        return None
    return _Open(int(times_of(table)[0]), *(float(table[name][0].as_py()) for name in ("open", "volume")))


def _rules_at(stores: Stores, market: Market, time_ms: int) -> MarketRules | None:
    versions = rules_history(stores.database, market)
    known = [each for each in versions if (each.valid_from or 0) <= time_ms]
    return (known[-1:] or versions[:1] or [None])[0]


def _paid(costs: Costs, rules: MarketRules | None, price: float, side: int, quantity: float, volume: float) -> float:
    """Return the price of a market order."""
    tick = None if rules is None else rules.tick_size
    ticks = (0.0, 1.0) if tick is None else tuple(map(float, tick.as_integer_ratio()))
    slippage = costs.slippage + costs.spread / 2
    return market_price(price, side, quantity, volume, slippage, costs.impact, costs.impact_limit, *ticks)


def _on_the_lot(quantity: float, rules: MarketRules | None) -> float:
    """Return what can be ordered of a quantity: less than a lot stays where it is."""
    lot = None if rules is None else rules.lot_size
    return quantity if lot is None else to_multiple(quantity, *map(float, lot.as_integer_ratio()), -1) or quantity


def _fee(costs: Costs, rules: MarketRules | None, leg: str) -> float:
    rests = leg == "target"
    stated = None if rules is None else rules.maker_fee if rests else rules.taker_fee
    return float(costs.fee_rate(stated, rests=rests))
