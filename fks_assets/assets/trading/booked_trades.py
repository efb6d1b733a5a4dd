"""What the backtest books for a trade of the desk: the same decision and quantity at the prices and fees of its own rules."""

from decimal import Decimal

import pyarrow as pa

from fks_assets.assets.trading.backtest_run import DESK_RULES
from fks_assets.assets.trading.recorded_trades import RecordedTrade
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.quant.backtest.rounding import to_multiple
from fks_assets.quant.backtest.rules import BookRules
from fks_assets.quant.difference import Trade
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.canonical import times_of
from fks_assets.stores.market_rules import rules_history

USUAL = BookRules().costs
LONGEST_OUTAGE_MS = 31 * MILLISECONDS_PER_DAY


def booked(stores: Stores, done: RecordedTrade) -> Trade | None:
    """Return the trade as the backtest books it; None where the candle that it would be filled in is not stored.

    An entry is filled at the open of the candle after the decision's, an exit by a signal likewise, a stop at its level or at the
    open of its candle that has passed it, a target at its level; market orders pay the taker's fee, targets the maker's.
    """
    market, timeframe = parse_market(done.market), parse_timeframe(done.timeframe)
    step = timeframe.milliseconds
    if done.leg in ("entry", "exit"):
        first = done.candle + step
        # A SELL does not grow old: what is held is left at the next open that there is.
        late = int((DESK_RULES.oldest_signal_candles or 0) * step) if done.leg == "entry" else LONGEST_OUTAGE_MS
        found = _open_of(stores, market, done.timeframe, first, first + late + 1)
    else:
        assert done.traded_at is not None
        opened = timeframe.floor(done.traded_at)
        found = _open_of(stores, market, done.timeframe, opened, opened + 1)
    if found is None:
        return None
    time, price = found
    rules = _rules_at(stores, market, time)
    if done.level is not None:
        passed = (price - done.level) * done.side > 0
        price = price if done.leg == "stop" and passed else done.level
    if done.leg != "target":
        price = _slipped(price, done.side, rules)
    quantity = done.wanted if done.leg == "entry" or not done.quantity else done.quantity
    fee = _fee(rules, done.leg) * price * quantity
    return Trade(done.account, done.market, done.timeframe, done.candle, done.leg, done.side, quantity, price, fee)


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
    beyond = (found[1] - guard.level) * guard.side
    return beyond >= 0 if guard.leg == "stop" else beyond <= 0


def _open_of(stores: Stores, market: Market, timeframe: str, start_ms: int, end_ms: int) -> tuple[int, float] | None:
    """Return open time and open of the first candle that opens in [start_ms, end_ms)."""
    table: pa.Table = stores.candles.read_table("ohlcv", market, timeframe, start_ms, end_ms, columns=["open"])
    return (int(times_of(table)[0]), float(table["open"][0].as_py())) if table.num_rows else None


def _rules_at(stores: Stores, market: Market, time_ms: int) -> MarketRules | None:
    versions = rules_history(stores.database, market)
    known = [each for each in versions if (each.valid_from or 0) <= time_ms]
    return (known[-1:] or versions[:1] or [None])[0]


def _slipped(price: float, side: int, rules: MarketRules | None) -> float:
    worse = price * (1 + side * (USUAL.slippage + USUAL.spread / 2))
    tick = None if rules is None else rules.tick_size
    return worse if tick is None else to_multiple(worse, *map(float, tick.as_integer_ratio()), side)


def _fee(rules: MarketRules | None, leg: str) -> float:
    stated: Decimal | None = None
    if rules is not None:
        stated = rules.maker_fee if leg == "target" else rules.taker_fee
    usual = USUAL.maker_fee if leg == "target" else USUAL.taker_fee
    return usual if stated is None else float(stated)
