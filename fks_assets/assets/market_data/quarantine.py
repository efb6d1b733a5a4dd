"""Note rows that could not be stored, and end their entries once a usable candle is there, or nothing any more."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import sqlalchemy as sa

from fks_assets.assets.market_data.missing import stored_ranges
from fks_assets.quant.candles import SUSPECT, Fault
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.candles import CandleStore, PartitionHead, PartitionId
from fks_assets.stores.quarantine import (
    REPLACED,
    WITHDRAWN,
    QuarantineEntry,
    SeenRow,
    read_quarantined,
    record_quarantined,
    resolve_quarantined,
)

UNUSABLE = tuple(kind for kind in Fault if kind not in SUSPECT)


def note_quarantined(
    connection: sa.Connection,
    candles: CandleStore,
    timeframe: Timeframe,
    markets: Sequence[Market],
    seen: Sequence[SeenRow],
    heads: Mapping[PartitionId, PartitionHead],
    at_ms: int,
) -> None:
    """Record unusable rows in the caller's transaction and resolve those that `heads` show to be over."""
    record_quarantined(connection, seen, at_ms)
    unresolved = read_quarantined(connection, markets, [timeframe], kinds=UNUSABLE)
    resolve_ended(connection, candles, timeframe, unresolved, heads, at_ms)


def resolve_ended(
    connection: sa.Connection,
    candles: CandleStore,
    timeframe: Timeframe,
    entries: Sequence[QuarantineEntry],
    heads: Mapping[PartitionId, PartitionHead],
    at_ms: int,
) -> set[int]:
    """Resolve the entries of unusable rows at whose time, put on the grid, a candle is stored or the exchange has none any more.

    Return their ids.
    """
    stored = _covered(timeframe, entries, heads, lambda head: stored_ranges(candles, head, timeframe.milliseconds))
    # A hole is confirmed by an answer that had no row at all in its place, not even an unusable one.
    withdrawn = _covered(timeframe, entries, heads, lambda head: head.confirmed_holes) - stored
    resolve_quarantined(connection, sorted(stored), REPLACED, at_ms)
    resolve_quarantined(connection, sorted(withdrawn), WITHDRAWN, at_ms)
    return stored | withdrawn


def _covered(
    timeframe: Timeframe,
    entries: Iterable[QuarantineEntry],
    heads: Mapping[PartitionId, PartitionHead],
    ranges_of: Callable[[PartitionHead], Iterable[Range]],
) -> set[int]:
    """Return the ids of the entries of unusable rows whose time, put on the grid, lies in a range of its month."""
    by_market: dict[Market, list[PartitionHead]] = {}
    for partition, head in heads.items():
        by_market.setdefault(partition.market, []).append(head)
    held: dict[PartitionId, list[Range]] = {}
    ids: set[int] = set()
    for entry in entries:
        if entry.row.kind in SUSPECT:
            continue
        time = timeframe.floor(entry.row.open_time)
        for head in by_market.get(entry.market, ()):
            if not head.partition.grid.start_ms <= time < head.partition.grid.end_ms:
                continue
            if head.partition not in held:
                held[head.partition] = list(ranges_of(head))
            if any(start <= time < end for start, end in held[head.partition]):
                ids.add(entry.id)
    return ids
