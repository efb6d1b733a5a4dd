"""One write of any number of partitions: all of it becomes visible at the commit, or nothing."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace as with_changes
from functools import lru_cache

import pyarrow as pa
import sqlalchemy as sa

from fks_assets.errors import StoreError
from fks_assets.quant.ranges import holes_between
from fks_assets.stores.canonical import canonical_table, content_hash, empty_table, times_of
from fks_assets.stores.heads import Change, PartitionHead, PartitionId, delete_heads, update_heads
from fks_assets.stores.merge import append_revisions, check_holes, merge_rows
from fks_assets.stores.objects import ObjectStore

_LOG = logging.getLogger(__name__)
WRITERS = 4
# Tables wait in memory until they are written; more of them than this and the merging waits for the disk.
MOST_WAITING = 16


@lru_cache(maxsize=1)
def io_pool() -> ThreadPoolExecutor:
    """Return the threads that read and write objects for this process."""
    return ThreadPoolExecutor(WRITERS, thread_name_prefix="fks-candles")


# A forked process inherits no threads.
os.register_at_fork(after_in_child=io_pool.cache_clear)


class StoreTransaction:
    """Partitions that are locked for writing. `connection` takes other work into the same transaction."""

    def __init__(
        self, objects: ObjectStore, connection: sa.Connection, heads: dict[PartitionId, PartitionHead], fresh: set[PartitionId]
    ) -> None:
        self.connection = connection
        self._objects = objects
        self._heads = heads
        self._fresh = fresh
        self._touched: set[PartitionId] = set()
        self._writes: dict[str, Future[int]] = {}

    def head(self, partition: PartitionId) -> PartitionHead:
        """Return the head of a locked partition, with what this transaction has merged so far."""
        try:
            return self._heads[partition]
        except KeyError:
            raise StoreError(f"{partition} is not part of this transaction: name it in begin()") from None

    def read(self, partition: PartitionId) -> pa.Table:
        """Return the rows of a locked partition with `known_at`."""
        rows = self._read(self.head(partition).object_name)
        return empty_table(partition.dataset) if rows is None else rows

    def merge(
        self,
        partition: PartitionId,
        table: pa.Table,
        *,
        known_at_ms: int,
        confirmed_holes: Sequence[tuple[int, int]] | None = None,
        replace: bool = False,
    ) -> Change:
        """Merge rows into a partition and return what changed.

        `table` holds `open_time`, sorted, and payload columns. Rows that are stored already with equal values stay untouched;
        others are inserted or replace the stored row, which goes to the revisions. `replace` also removes stored rows that
        `table` lacks and lets the columns change. `confirmed_holes`, when given, are set. A partition's knowledge time never
        goes back: an earlier `known_at_ms` than its newest one is taken as that one.
        """
        head = self.head(partition)
        label = str(partition)
        holes = None if confirmed_holes is None else check_holes(confirmed_holes, label)
        new = canonical_table(table, partition.grid)
        known_at = max(known_at_ms, head.known_at_ms or known_at_ms)
        # An empty table changes nothing unless it replaces: then there is nothing to read.
        stored = self._read(head.object_name) if new.num_rows or replace else None
        merged = merge_rows(stored, new, known_at, replace=replace, label=label)
        if merged.changed:
            head = self._changed_head(head, merged.table, known_at)
            if merged.superseded is not None:
                head = self._with_revisions(head, merged.superseded)
        if holes is not None and holes != head.confirmed_holes:
            head = with_changes(head, confirmed_holes=holes)
        if head is not self._heads[partition]:
            self._heads[partition] = head
            self._touched.add(partition)
        return Change(head, merged.inserted, merged.restated, merged.removed)

    def finish(self) -> None:
        """Wait until everything is on the disk, then write the heads. The caller commits."""
        for write in self._writes.values():
            write.result()
        self._objects.flush_directories(self._writes)
        update_heads(self.connection, [self._heads[partition] for partition in sorted(self._touched)])
        delete_heads(self.connection, sorted(self._fresh - self._touched))

    def discard(self) -> None:
        """Remove every object that was written. Only for a transaction that is certain not to be committed."""
        for name, write in self._writes.items():
            if write.cancel():
                continue
            write.exception()
            try:
                self._objects.delete(name)
            except StoreError as error:
                # The failure that led here matters more; no head names the object, so the sweep removes it.
                _LOG.warning("%s", error)

    def _changed_head(self, head: PartitionHead, table: pa.Table | None, known_at_ms: int) -> PartitionHead:
        if table is None:
            return with_changes(
                PartitionHead.empty(head.partition),
                revision_count=head.revision_count,
                revisions_name=head.revisions_name,
                known_at_ms=known_at_ms,
                confirmed_holes=head.confirmed_holes,
            )
        times = times_of(table)
        return with_changes(
            head,
            content_hash=content_hash(table),
            row_count=table.num_rows,
            first_open=int(times[0]),
            last_open=int(times[-1]),
            known_at_ms=known_at_ms,
            object_name=self._write(head.partition.new_object_name(), table),
            holes=holes_between(times, head.partition.grid.step_ms),
            storage="hot",
        )

    def _with_revisions(self, head: PartitionHead, superseded: pa.Table) -> PartitionHead:
        revisions = append_revisions(self._read(head.revisions_name), superseded, str(head.partition))
        name = self._write(head.partition.new_object_name(".revisions"), revisions)
        return with_changes(head, revision_count=revisions.num_rows, revisions_name=name)

    def _read(self, name: str | None) -> pa.Table | None:
        if name is None:
            return None
        if name in self._writes:
            self._writes[name].result()
        return self._objects.read(name)

    def _write(self, name: str, table: pa.Table) -> str:
        waiting = [write for write in self._writes.values() if not write.done()]
        if len(waiting) >= MOST_WAITING:
            waiting[0].result()
        self._writes[name] = io_pool().submit(self._objects.write, name, table)
        return name
