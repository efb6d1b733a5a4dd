"""Which positions of a parameter set its SELLs ended on a day, and which they should have ended, as the ledger has it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.assets.trading.recorded_trades import SIDES, RecordedTrade
from fks_assets.quant.money import ZERO
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.stores.database import Database

Place = tuple[str, str]
_FILLED = sa.text("""
    SELECT d.id, d.account, d.market, d.timeframe, (extract(epoch FROM d.signal_time) * 1000)::bigint AS candle, d.side,
        d.status = 'NOT_ORDERING' AS by_a_person, o.leg, o.side AS sold_side, f.quantity, f.value, f.fee, f.fee_currency,
        CASE o.leg WHEN 'stop' THEN o.stop_price WHEN 'target' THEN coalesce(o.price, o.stop_price) END AS level,
        (extract(epoch FROM f.traded_at) * 1000)::bigint AS traded_at
    FROM positions p JOIN deals d ON d.id = p.deal_id JOIN orders o ON o.deal_id = d.id JOIN fills f ON f.order_id = o.id
    WHERE d.strategy = :strategy AND p.opened_at < to_timestamp(:end / 1000.0)
        AND (p.closed_at IS NULL OR p.closed_at >= to_timestamp(:start / 1000.0))
    ORDER BY d.id, f.traded_at, f.id
""")


@dataclass(frozen=True, slots=True)
class RecordedExit:
    """A position that was held when its strategy said SELL, and what was sold by that word: nothing where `trade.quantity` is 0.

    `entered` is the open time (UTC ms) of the candle on which it was decided, `guard` what its stop or target sold instead, None
    where the SELL was followed, or nothing was sold.
    """

    trade: RecordedTrade
    entered: int
    guard: RecordedTrade | None = None


@dataclass(slots=True)
class _Held:
    """A deal and its fills in time order."""

    first: sa.Row[Any]
    fills: list[sa.Row[Any]] = field(default_factory=list)

    def at(self, moment_ms: int) -> Decimal:
        """Return what was held just before a time (UTC ms), in the base coin."""
        base = self.first.market.split("-")[0]
        held = ZERO
        for fill in self.fills:
            if fill.traded_at < moment_ms:
                held += fill.quantity if fill.sold_side == self.first.side else -fill.quantity
                held -= fill.fee if fill.fee_currency == base else ZERO
        return held


def read_exits(
    source: Database, strategy: str, start_ms: int, end_ms: int, sells: Mapping[Place, Collection[int]]
) -> list[RecordedExit]:
    """Return what became of each position of a parameter set at the first SELL of [start_ms, end_ms) that found it held.

    `sells` holds the open times (UTC ms) of the candles of those SELLs by market and timeframe. What a person was to sell and has
    not sold is left out, and so is what was sold without a SELL: a stop that the desk watches, a position that nothing guarded.
    """
    with source.transaction() as connection:
        rows = connection.execute(_FILLED, {"strategy": strategy, "start": start_ms, "end": end_ms}).all()
    deals: dict[int, _Held] = {}
    for row in rows:
        deals.setdefault(row.id, _Held(row)).fills.append(row)
    found = (_exit(deal, sells.get((deal.first.market, deal.first.timeframe), ())) for deal in deals.values())
    return [each for each in found if each is not None]


def _exit(deal: _Held, sells: Collection[int]) -> RecordedExit | None:
    first, step = deal.first, parse_timeframe(deal.first.timeframe).milliseconds
    for candle in sorted(candle for candle in sells if candle > first.candle):
        close = candle + step
        if (held := deal.at(close)) <= 0:
            continue
        trade = _trade(first, candle, "exit", float(held))
        later = [fill for fill in deal.fills if fill.traded_at >= close]
        for fill in later:
            if fill.leg == "exit":
                _add(trade, fill)
        guards = [fill for fill in later if fill.leg in ("stop", "target")]
        trade.wanted -= sum(float(fill.quantity) for fill in guards) if trade.quantity else 0.0
        if trade.quantity or (not guards and not first.by_a_person):
            return RecordedExit(trade, first.candle)
        if guards:
            guard = _trade(first, first.candle, guards[0].leg, float(held), guards[0].level)
            _add(guard, guards[0])
            return RecordedExit(trade, first.candle, guard)
        return None
    return None


def _trade(first: sa.Row[Any], candle: int, leg: str, wanted: float, level: Decimal | None = None) -> RecordedTrade:
    price = None if level is None else float(level)
    return RecordedTrade(
        first.account, first.market, first.timeframe, candle, leg, -SIDES[first.side], wanted, price
    )  # fmt: skip


def _add(trade: RecordedTrade, fill: sa.Row[Any]) -> None:
    trade.quantity += float(fill.quantity)
    trade.value += float(fill.value)
    trade.traded_at = fill.traded_at if trade.traded_at is None else trade.traded_at
    if fill.fee:
        trade.fees[fill.fee_currency] = trade.fees.get(fill.fee_currency, 0.0) + float(fill.fee)
