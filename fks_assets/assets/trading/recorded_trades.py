"""What was traded on a day for a parameter set, on paper or live: the one place where the comparison reads the ledger."""

from dataclasses import dataclass, field

import sqlalchemy as sa

from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.quant.difference import Trade
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.stores.database import Database

SIDES = {"BUY": 1, "SELL": -1}


@dataclass(slots=True)
class RecordedTrade:
    """What was executed of one leg of a deal. Times are UTC milliseconds.

    `candle` is the open time of the decision's candle, `side` 1 bought, -1 sold, `wanted` the quantity that was to be executed,
    `level` the price of a stop or target. `quantity`, `value` in the quote coin and `fees` by currency are of the fills so far,
    `traded_at` is the time of the first, None where there is none.
    """

    account: str
    market: str
    timeframe: str
    candle: int
    leg: str
    side: int
    wanted: float
    level: float | None
    quantity: float = 0.0
    value: float = 0.0
    fees: dict[str | None, float] = field(default_factory=dict)
    traded_at: int | None = None

    def trade(self) -> Trade | None:
        """Return it for the comparison, None when nothing was executed."""
        if not self.quantity:
            return None
        price = self.value / self.quantity
        base, quote = self.market.split("@")[0].split("-")
        worth = {quote: 1.0, base: price}
        fee = sum(paid * worth[coin] for coin, paid in self.fees.items()) if self.fees.keys() <= worth.keys() else None
        return Trade(self.account, self.market, self.timeframe, self.candle, self.leg, self.side, self.quantity, price, fee)


_EXECUTED = sa.text("""
    SELECT CASE o.leg WHEN 'entry' THEN -d.id ELSE o.id END AS trade, d.account, d.market, d.timeframe,
        (extract(epoch FROM d.signal_time) * 1000)::bigint AS candle, o.leg, o.side, d.quantity AS decided, o.quantity AS ordered,
        CASE o.leg WHEN 'stop' THEN o.stop_price WHEN 'target' THEN coalesce(o.price, o.stop_price) END AS level,
        f.quantity, f.value, f.fee, f.fee_currency, (extract(epoch FROM f.traded_at) * 1000)::bigint AS traded_at
    FROM deals d JOIN orders o ON o.deal_id = d.id LEFT JOIN fills f ON f.order_id = o.id
    WHERE d.strategy = :strategy AND d.refusal IS NULL AND CASE o.leg
        WHEN 'entry' THEN d.signal_time >= to_timestamp(:earliest / 1000.0) AND d.signal_time < to_timestamp(:end / 1000.0)
        WHEN 'stop' THEN f.traded_at >= to_timestamp(:start / 1000.0) AND f.traded_at < to_timestamp(:end / 1000.0)
        WHEN 'target' THEN f.traded_at >= to_timestamp(:start / 1000.0) AND f.traded_at < to_timestamp(:end / 1000.0)
        ELSE false END
    ORDER BY o.id, f.id
""")


def read_trades(source: Database, strategy: str, start_ms: int, end_ms: int) -> list[RecordedTrade]:
    """Return the trades of a parameter set in [start_ms, end_ms): entries of decisions at candles that closed then, executed or
    not, and what stops and targets executed then. Deals that the risk gate refused or a person executes have no orders.
    """
    keys = {"strategy": strategy, "earliest": start_ms - MILLISECONDS_PER_DAY, "start": start_ms, "end": end_ms}
    found: dict[int, RecordedTrade] = {}
    with source.transaction() as connection:
        rows = connection.execute(_EXECUTED, keys).all()
    for row in rows:
        closed = row.candle + parse_timeframe(row.timeframe).milliseconds
        if row.leg == "entry" and not start_ms <= closed < end_ms:
            continue
        wanted = row.decided if row.leg == "entry" else row.ordered
        level = None if row.level is None else float(row.level)
        trade = found.setdefault(
            row.trade,
            RecordedTrade(row.account, row.market, row.timeframe, row.candle, row.leg, SIDES[row.side], float(wanted), level),
        )
        if row.quantity is not None:
            trade.quantity += float(row.quantity)
            trade.value += float(row.value)
            trade.traded_at = row.traded_at if trade.traded_at is None else min(trade.traded_at, row.traded_at)
            if row.fee:
                trade.fees[row.fee_currency] = trade.fees.get(row.fee_currency, 0.0) + float(row.fee)
    return list(found.values())
