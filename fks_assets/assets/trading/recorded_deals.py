"""What the desk made of the BUYs of a parameter set, as the ledger has it: deals, refused ones too, and when each ended."""

from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.quant.difference import Place
from fks_assets.stores.database import Database

_DEALS = sa.text("""
    SELECT * FROM (
        SELECT d.account, d.market, d.timeframe, (extract(epoch FROM d.signal_time) * 1000)::bigint AS candle,
            d.refusal, (extract(epoch FROM d.created_at) * 1000)::bigint AS created_at,
            (extract(epoch FROM coalesce(p.closed_at, CASE WHEN NOT d.is_active THEN d.updated_at END)) * 1000)::bigint
                AS ended_at,
            d.status = 'STARTED' AND NOT EXISTS (SELECT FROM orders o WHERE o.deal_id = d.id AND o.leg = 'entry') AS is_unsent
        FROM deals d LEFT JOIN positions p ON p.deal_id = d.id
        WHERE d.strategy = :strategy AND d.side = 'BUY' AND d.signal_time < to_timestamp(:end / 1000.0)) found
    WHERE ended_at IS NULL OR ended_at >= :earliest ORDER BY candle
""")


@dataclass(frozen=True, slots=True)
class RecordedDeal:
    """What an account made of a BUY. `candle` is the open time of its candle; times are UTC milliseconds.

    `refusal` says why nothing was entered. It lived from `created_at` to `ended_at` (None: it still does), refused by the gate
    for no time at all. `is_unsent`: the desk itself was to send its entry, and has not tried.
    """

    account: str
    market: str
    timeframe: str
    candle: int
    refusal: str | None
    created_at: int
    ended_at: int | None
    is_unsent: bool

    @property
    def place(self) -> Place:
        """Return the market, the timeframe and the candle of the decision."""
        return self.market, self.timeframe, self.candle

    def lived_in(self, start_ms: int, end_ms: int) -> bool:
        """Return whether it was waiting for its entry, or held, at any time from `start_ms` to `end_ms`."""
        if self.created_at > end_ms:
            return False
        return self.ended_at is None or (self.ended_at >= start_ms and self.ended_at > self.created_at)


def read_recorded_deals(source: Database, strategy: str, start_ms: int, end_ms: int) -> list[RecordedDeal]:
    """Return the deals of a parameter set that lived at some time since the day before `start_ms`, of candles before `end_ms`."""
    keys = {"strategy": strategy, "earliest": start_ms - MILLISECONDS_PER_DAY, "end": end_ms}
    with source.transaction() as connection:
        rows = connection.execute(_DEALS, keys).all()
    return [RecordedDeal(*row) for row in rows]
