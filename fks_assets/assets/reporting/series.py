"""Read what reports are made of: the stored candles and the gap ledger of whole series, as they were at one moment."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from fks_assets.assets.market_data.gap_ledger import expected_window
from fks_assets.assets.market_data.missing import stored_ranges
from fks_assets.clock import to_ms
from fks_assets.quant.completeness import Series
from fks_assets.quant.gaps import KnownGap
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range, joined
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import MarketSettings
from fks_assets.stores.gap_records import OPEN, read_gaps
from fks_assets.stores.heads import PartitionHead, PartitionId, select_heads

_ONE_MOMENT = sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
_EARLIEST_MS, _LATEST_MS = 0, 253_402_300_800_000

Heads = dict[PartitionId, PartitionHead]


def read_series(stores: Stores, markets: Sequence[Market], timeframe: Timeframe, at_ms: int) -> Iterator[Series]:
    """Yield the series of markets of the desk in their order, with the grid that is expected at a time."""
    with stores.database.transaction() as connection:
        connection.execute(_ONE_MOMENT)
        heads = select_heads(connection, "ohlcv", timeframe.name, markets)
        records = read_gaps(connection, markets, [timeframe], OPEN)
    gaps: dict[Market, list[KnownGap]] = {market: [] for market in markets}
    for record in records:
        gaps[record.market].append(
            KnownGap(record.id, record.start_ms, record.end_ms, record.missing_candles, record.status, record.cause)
        )
    for market, mine in heads_by_market(heads, markets).items():
        start, end = expected_window(stores, market, timeframe, mine, at_ms)
        held = joined(held for head in mine.values() for held in stored_ranges(stores.candles, head, timeframe.milliseconds))
        yield Series(market, timeframe, start, end, held, gaps[market], _unlisted(stores.settings.market_settings(market)))


def heads_by_market(heads: Heads, markets: Sequence[Market]) -> dict[Market, Heads]:
    """Return the heads of each market, in the order of the markets."""
    found: dict[Market, Heads] = {market: {} for market in markets}
    for partition, head in heads.items():
        found[partition.market][partition] = head
    return found


def _unlisted(market: MarketSettings) -> list[Range]:
    before = [] if market.listed is None else [(_EARLIEST_MS, to_ms(market.listed))]
    return before if market.delisted is None else [*before, (to_ms(market.delisted), _LATEST_MS)]
