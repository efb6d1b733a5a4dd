"""Move old months of candles to the cold root, where every read still finds them, and drop the indicators made from them.

A month moves inside one transaction that holds its lock: its objects are written below the cold root and flushed, read back and
compared row by row, and only then does the head name them. Until the commit the hot objects stand; afterwards nothing names them
and the ordinary sweep removes them. So a process that dies at any point leaves either the old or the new state, and objects that
a sweep removes. Candles that change later bring their month back to the hot root.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pyarrow as pa

from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.errors import StoreError
from fks_assets.quant.ranges import holes_between
from fks_assets.quant.timeframes import month_of
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.canonical import EMPTY_HASH, content_hash, same_rows, times_of
from fks_assets.stores.heads import PartitionHead, PartitionId, select_heads, select_hot_before
from fks_assets.stores.lineage import RecordedInputs, record_many
from fks_assets.stores.tiers import COLD, HOT, Tiers
from fks_assets.stores.transaction import StoreTransaction, io_pool

CANDLES, INDICATORS = "ohlcv", "indicators"
MONTHS_PER_TRANSACTION = 16
MOST_FAILURES = 100
CODE_VERSION = "archive 1"


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """What an archive run did, or would do.

    Bytes count the objects of the archived months before and after (None: not known before it is done); `failed` holds
    (partition, reason) of months that stay as they are; `months_left` are old enough and were not reached.
    """

    candles_archived: int
    months_archived: int
    indicators_dropped: int
    bytes_before: int
    bytes_after: int | None
    failed: tuple[tuple[str, str], ...] = ()
    months_left: int = 0


@dataclass(frozen=True, slots=True)
class _Copy:
    """A month whose objects were written below the cold root: its new head, their names, and the bytes before and after."""

    head: PartitionHead
    written: tuple[str, ...]
    bytes_before: int
    bytes_after: int


def first_month_kept(days_to_keep: int, now_ms: int) -> str:
    """Return the UTC month before which every candle is older than `days_to_keep` days."""
    return month_of(now_ms - days_to_keep * MILLISECONDS_PER_DAY)


def archive_candles(
    store: CandleStore,
    first_month: str,
    *,
    run_id: str,
    max_months: int | None = None,
    on_batch: Callable[[ArchiveResult], None] | None = None,
) -> ArchiveResult:
    """Archive the months of candles before `first_month`, oldest first, at most `max_months` of them.

    `on_batch` is told after each transaction what is done so far.

    A month that cannot be moved, or that is not what its head says, stays and is named; the others go on, unless it happens to
    MOST_FAILURES of them. Raises StoreError when the database fails; what was archived by then stays archived.
    """
    with store.database.transaction() as connection:
        waiting = [head.partition for head in select_hot_before(connection, CANDLES, first_month)]
    total, remaining = ArchiveResult(0, 0, 0, 0, 0), iter(waiting)
    while (max_months is None or total.months_archived < max_months) and len(total.failed) < MOST_FAILURES:
        room = MONTHS_PER_TRANSACTION if max_months is None else min(MONTHS_PER_TRANSACTION, max_months - total.months_archived)
        batch = list(islice(remaining, room))
        if not batch:
            break
        total = _sum(total, _archive_batch(store, batch, run_id))
        if on_batch is not None:
            on_batch(total)
    return replace(total, months_left=len(list(remaining)))


def pending_archive(store: CandleStore, first_month: str) -> ArchiveResult:
    """Return what archiving the months before `first_month` would move and drop; nothing changes."""
    with store.database.transaction() as connection:
        waiting = select_hot_before(connection, CANDLES, first_month)
        timeframes = {head.partition.timeframe for head in waiting}
        stored = {each for timeframe in timeframes for each in select_heads(connection, INDICATORS, timeframe)}
    dropped = sum(_indicators_of(head.partition) in stored for head in waiting)
    failed, size = [], 0
    for head in waiting:
        try:
            size += _size(store.tiers, head)
        except StoreError as error:
            failed.append((str(head.partition), str(error)))
    return ArchiveResult(sum(head.row_count for head in waiting), len(waiting), dropped, size, None, tuple(failed))


def _archive_batch(store: CandleStore, partitions: Sequence[PartitionId], run_id: str) -> ArchiveResult:
    failed: list[tuple[str, str]] = []
    with store.begin([*partitions, *map(_indicators_of, partitions)]) as transaction:
        heads = [transaction.head(partition) for partition in partitions]
        # Another archive run, or a merge that emptied the month, may have been faster.
        heads = [head for head in heads if head.storage == HOT and (head.row_count or head.revision_count)]
        copies: list[_Copy] = []
        for head, outcome in zip(heads, io_pool().map(lambda head: _attempt(store.tiers, head), heads), strict=True):
            if isinstance(outcome, StoreError):
                failed.append((str(head.partition), str(outcome)))
                continue
            transaction.switch_to_cold(outcome.head, outcome.written)
            copies.append(outcome)
        dropped = [copy.head.partition for copy in copies if transaction.drop(_indicators_of(copy.head.partition))]
        _note_dropped(transaction, dropped, run_id)
    return ArchiveResult(
        candles_archived=sum(copy.head.row_count for copy in copies),
        months_archived=len(copies),
        indicators_dropped=len(dropped),
        bytes_before=sum(copy.bytes_before for copy in copies),
        bytes_after=sum(copy.bytes_after for copy in copies),
        failed=tuple(failed),
    )


def _attempt(tiers: Tiers, head: PartitionHead) -> _Copy | StoreError:
    try:
        return _copy(tiers, head)
    except StoreError as error:
        return error


def _copy(tiers: Tiers, head: PartitionHead) -> _Copy:
    """Write what a month holds below the cold root and compare it there; on any error none of its objects is left."""
    rows, revisions = tiers.rows(head), tiers.revisions(head)
    _require_sound(head, rows, revisions)
    new = [
        None if table is None else head.partition.new_object_name(kind) for table, kind in ((rows, ""), (revisions, ".revisions"))
    ]
    pairs = [(name, table) for name, table in zip(new, (rows, revisions), strict=True) if name is not None and table is not None]
    written, cold = tuple(name for name, _ in pairs), tiers.of(COLD)
    try:
        size = sum(cold.write(name, table) for name, table in pairs)
        cold.flush_directories(written)
        for name, table in pairs:
            if not same_rows(cold.read(name), table):
                raise StoreError(f"the archived object {cold.root}/{name} does not hold what was written to it")
    except StoreError:
        cold.discard(written)
        raise
    moved = replace(head, object_name=new[0], revisions_name=new[1])
    if rows is not None and head.holes is None:
        moved = replace(moved, holes=holes_between(times_of(rows), head.partition.grid.step_ms))
    return _Copy(moved, written, _size(tiers, head), size)


def _require_sound(head: PartitionHead, rows: pa.Table | None, revisions: pa.Table | None) -> None:
    if content_hash(rows) != head.content_hash:
        raise StoreError(f"{head.partition}: the object {head.object_name} does not hold the candles that its head names")
    if rows is not None and not (np.diff(times_of(rows)) > 0).all():
        raise StoreError(f"{head.partition}: the object {head.object_name} holds rows twice or out of order")
    if (0 if revisions is None else revisions.num_rows) != head.revision_count:
        raise StoreError(f"{head.partition}: the object {head.revisions_name} does not hold the revisions that its head names")


def _note_dropped(transaction: StoreTransaction, candles: Sequence[PartitionId], run_id: str) -> None:
    """Record that these months hold no indicators any more, so that whoever derives next knows that they have to be made."""
    record_many(
        transaction.connection,
        [
            RecordedInputs(f"{INDICATORS}_{each.timeframe}", each.key, EMPTY_HASH, CODE_VERSION, "", run_id, (), 0)
            for each in candles
        ],
    )


def _indicators_of(partition: PartitionId) -> PartitionId:
    return replace(partition, dataset=INDICATORS)


def _size(tiers: Tiers, head: PartitionHead) -> int:
    names = (head.object_name, head.revisions_name)
    return sum(tiers.of(head.storage).size(name) for name in names if name is not None)


def _sum(one: ArchiveResult, other: ArchiveResult) -> ArchiveResult:
    return ArchiveResult(
        one.candles_archived + other.candles_archived,
        one.months_archived + other.months_archived,
        one.indicators_dropped + other.indicators_dropped,
        one.bytes_before + other.bytes_before,
        (one.bytes_after or 0) + (other.bytes_after or 0),
        one.failed + other.failed,
    )
