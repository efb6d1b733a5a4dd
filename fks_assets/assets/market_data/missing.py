"""Find the stretches of a stored month that lack candles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fks_assets.quant.ranges import Range, clipped, complement, holes_between, joined, without
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.candles import CandleStore, PartitionHead
from fks_assets.stores.canonical import times_of


@dataclass(frozen=True, slots=True)
class Asked:
    """A stretch [start_ms, end_ms) that the exchange was asked for, and the open times of all it answered."""

    start_ms: int
    end_ms: int
    answered: tuple[int, ...]


def holes_after(known: Iterable[Range], asked: Sequence[Asked], timeframe: Timeframe) -> list[Range]:
    """Return the holes that the exchange has confirmed: what was known outside the asked stretches, and what they showed."""
    step = timeframe.milliseconds
    stretches = sorted(
        (timeframe.ceil(part.start_ms), timeframe.ceil(part.end_ms)) for part in asked if part.start_ms < part.end_ms
    )
    holes = without(known, stretches)
    for part in asked:
        candles = [(time, time + step) for time in part.answered]
        holes += complement(timeframe.ceil(part.start_ms), timeframe.ceil(part.end_ms), candles)
    return joined(holes)


def missing_ranges(
    store: CandleStore,
    head: PartitionHead | None,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    *,
    skip_confirmed: bool,
    overlap: int,
) -> list[Range]:
    """Return the half-open ranges of [start_ms, end_ms) on the grid that hold no stored candle, oldest first.

    `skip_confirmed` leaves out holes that the exchange has already been asked about; `overlap` takes that many stored candles
    before an open tail in again, so that a late correction of the newest candles is seen. What has not happened yet counts as
    missing: the gateway cuts requests at the exchange's clock.
    """
    step = timeframe.milliseconds
    start, end = timeframe.ceil(start_ms), timeframe.ceil(end_ms)
    present = clipped(stored_ranges(store, head, step), start, end)
    confirmed = [] if head is None or not skip_confirmed else head.confirmed_holes
    ranges = complement(start, end, sorted([*present, *confirmed]))
    if overlap and ranges and present and ranges[-1][1] == end and present[-1][1] <= ranges[-1][0]:
        tail = ranges[-1][0]
        ranges[-1] = (max(start, tail - overlap * step), end)
    return ranges


def stored_ranges(store: CandleStore, head: PartitionHead | None, step_ms: int) -> list[Range]:
    """Return the ranges that a month holds candles for, from its head; its rows are read only where the head notes no holes."""
    if head is None or head.first_open is None or head.last_open is None:
        return []
    holes = head.holes
    if holes is None:
        holes = holes_between(times_of(store.read_heads([head])), step_ms)
    return complement(head.first_open, head.last_open + step_ms, holes)
