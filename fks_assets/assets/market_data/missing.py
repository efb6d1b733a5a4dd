"""Find the stretches of a stored month that lack candles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.candles import CandleStore, PartitionHead, PartitionId


@dataclass(frozen=True, slots=True)
class Asked:
    """A stretch [start_ms, end_ms) that the exchange was asked for, and the open times of all it answered."""

    start_ms: int
    end_ms: int
    answered: tuple[int, ...]


def holes_after(known: Iterable[tuple[int, int]], asked: Sequence[Asked], timeframe: Timeframe) -> list[tuple[int, int]]:
    """Return the holes that the exchange has confirmed: what was known outside the asked stretches, and what they showed."""
    step = timeframe.milliseconds
    stretches = sorted(
        (timeframe.ceil(part.start_ms), timeframe.ceil(part.end_ms)) for part in asked if part.start_ms < part.end_ms
    )
    holes = [piece for start, end in known for piece in _complement(start, end, stretches)]
    for part in asked:
        candles = [(time, time + step) for time in part.answered]
        holes += _complement(timeframe.ceil(part.start_ms), timeframe.ceil(part.end_ms), candles)
    joined: list[tuple[int, int]] = []
    for start, end in sorted(holes):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def missing_ranges(
    store: CandleStore,
    partition: PartitionId,
    head: PartitionHead | None,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    *,
    skip_confirmed: bool,
    overlap: int,
) -> list[tuple[int, int]]:
    """Return the half-open ranges of [start_ms, end_ms) on the grid that hold no stored candle, oldest first.

    `skip_confirmed` leaves out holes that the exchange has already been asked about; `overlap` takes that many stored candles
    before an open tail in again, so that a late correction of the newest candles is seen. What has not happened yet counts as
    missing: the gateway cuts requests at the exchange's clock.
    """
    step = timeframe.milliseconds
    start, end = timeframe.ceil(start_ms), timeframe.ceil(end_ms)
    present = _stored_times(store, partition, head, step)
    present = present[(present >= start) & (present < end)]
    holes = (
        [] if head is None or not skip_confirmed else [hole for hole in head.confirmed_holes if hole[1] > start and hole[0] < end]
    )
    ranges = list(_complement(start, end, _covered(present, step, holes)))
    if overlap and ranges and len(present) and ranges[-1][1] == end and present[-1] < ranges[-1][0]:
        tail = ranges[-1][0]
        ranges[-1] = (max(start, tail - overlap * step), end)
    return ranges


def _stored_times(store: CandleStore, partition: PartitionId, head: PartitionHead | None, step: int) -> np.ndarray:
    if head is None or head.first_open is None or head.last_open is None:
        return np.empty(0, np.int64)
    if head.row_count == (head.last_open - head.first_open) // step + 1:
        return np.arange(head.first_open, head.last_open + step, step, dtype=np.int64)
    table = store.read_table(
        partition.dataset, partition.market, partition.timeframe, head.first_open, head.last_open + step, columns=["open_time"]
    )
    return table["open_time"].to_numpy().astype("datetime64[ms]").astype(np.int64)


def _covered(present: np.ndarray, step: int, holes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(present) != step) + 1
    runs = [(int(run[0]), int(run[-1]) + step) for run in np.split(present, breaks) if len(run)]
    return sorted([*runs, *holes])


def _complement(start: int, end: int, covered: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    cursor = start
    for first, last in covered:
        if first > cursor:
            yield cursor, min(first, end)
        cursor = max(cursor, last)
        if cursor >= end:
            return
    if cursor < end:
        yield cursor, end
