"""Note rows that could not be stored, and end their entries once a usable candle is there."""

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from fks_assets.assets.market_data.missing import stored_ranges
from fks_assets.quant.candles import SUSPECT, Fault
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.candles import CandleStore, PartitionHead, PartitionId
from fks_assets.stores.quarantine import (
    REPLACED,
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
    """Record unusable rows in the caller's transaction and resolve those at whose time `heads` hold a candle now."""
    record_quarantined(connection, seen, at_ms)
    unresolved = read_quarantined(connection, markets, [timeframe], kinds=UNUSABLE)
    resolve_quarantined(connection, replaced(candles, timeframe, unresolved, heads), REPLACED, at_ms)


def replaced(
    candles: CandleStore,
    timeframe: Timeframe,
    entries: Iterable[QuarantineEntry],
    heads: Mapping[PartitionId, PartitionHead],
) -> list[int]:
    """Return the ids of the entries at whose time, put on the grid, a candle is stored."""
    by_market: dict[Market, list[PartitionHead]] = {}
    for partition, head in heads.items():
        by_market.setdefault(partition.market, []).append(head)
    held: dict[PartitionId, list[tuple[int, int]]] = {}
    ids: list[int] = []
    for entry in entries:
        if entry.row.kind in SUSPECT:
            continue
        time = timeframe.floor(entry.row.open_time)
        for head in by_market.get(entry.market, ()):
            if head.first_open is None or head.last_open is None or not head.first_open <= time <= head.last_open:
                continue
            if head.partition not in held:
                held[head.partition] = stored_ranges(candles, head, timeframe.milliseconds)
            if any(start <= time < end for start, end in held[head.partition]):
                ids.append(entry.id)
    return ids
