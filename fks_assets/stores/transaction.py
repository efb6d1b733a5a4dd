"""One write of any number of partitions: all of it becomes visible at the commit, or nothing."""

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
from fks_assets.stores.tiers import COLD, HOT, Tiers

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
        self, tiers: Tiers, connection: sa.Connection, heads: dict[PartitionId, PartitionHead], fresh: set[PartitionId]
    ) -> None:
        self.connection = connection
        self._tiers = tiers
        self._heads = heads
        self._fresh = fresh
        self._touched: set[PartitionId] = set()
        self._dropped: set[PartitionId] = set()
        self._writes: dict[str, Future[int]] = {}
        self._cold_objects: list[str] = []

    def head(self, partition: PartitionId) -> PartitionHead:
        """Return the head of a locked partition, with what this transaction has merged so far."""
        try:
            return self._heads[partition]
        except KeyError:
            raise StoreError(f"{partition} is not part of this transaction: name it in begin()") from None

    def read(self, partition: PartitionId) -> pa.Table:
        """Return the rows of a locked partition with `known_at`."""
        rows = self._rows(self.head(partition))
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
        stored = self._rows(head) if new.num_rows or replace else None
        merged = merge_rows(stored, new, known_at, replace=replace, label=label)
        if merged.changed:
            head = self._with_revisions(self._changed_head(head, merged.table, known_at), head, merged.superseded)
        if holes is not None and holes != head.confirmed_holes:
            head = with_changes(head, confirmed_holes=holes)
        if head is not self._heads[partition]:
            self._set(head)
        return Change(head, merged.inserted, merged.restated, merged.removed)

    def switch_to_cold(self, head: PartitionHead, written: Sequence[str]) -> None:
        """Let a partition be read from the objects that its head names in the cold root, where they were `written`."""
        self._cold_objects += written
        self.head(head.partition)
        self._set(with_changes(head, storage=COLD))

    def drop(self, partition: PartitionId) -> bool:
        """Forget a partition with the commit, and return whether it held anything; its objects go with a later sweep."""
        head = self.head(partition)
        self._heads[partition] = PartitionHead.empty(partition)
        self._touched.discard(partition)
        self._dropped.add(partition)
        return head.row_count > 0 or head.revision_count > 0

    def finish(self) -> None:
        """Wait until everything is on the disk, then write the heads. The caller commits."""
        for write in self._writes.values():
            write.result()
        self._tiers.of(HOT).flush_directories(self._writes)
        update_heads(self.connection, [self._heads[partition] for partition in sorted(self._touched)])
        delete_heads(self.connection, sorted((self._fresh - self._touched) | self._dropped))

    def discard(self) -> None:
        """Remove every object that was written. Only for a transaction that is certain not to be committed."""
        begun = {name: write for name, write in self._writes.items() if not write.cancel()}
        for write in begun.values():
            write.exception()
        self._tiers.of(HOT).discard(begun)
        if self._cold_objects:
            self._tiers.of(COLD).discard(self._cold_objects)

    def _set(self, head: PartitionHead) -> None:
        self._heads[head.partition] = head
        self._touched.add(head.partition)
        self._dropped.discard(head.partition)

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
            storage=HOT,
        )

    def _with_revisions(self, head: PartitionHead, before: PartitionHead, superseded: pa.Table | None) -> PartitionHead:
        """Return the changed head with its revisions; a month that comes back from the cold root brings the old ones along."""
        if superseded is None and (before.revisions_name is None or before.storage == head.storage):
            return head
        earlier = self._revisions(before)
        if superseded is not None:
            earlier = append_revisions(earlier, superseded, str(head.partition))
        assert earlier is not None
        name = self._write(head.partition.new_object_name(".revisions"), earlier)
        return with_changes(head, revision_count=earlier.num_rows, revisions_name=name)

    def _rows(self, head: PartitionHead) -> pa.Table | None:
        self._wait_for(head.object_name)
        return self._tiers.rows(head)

    def _revisions(self, head: PartitionHead) -> pa.Table | None:
        self._wait_for(head.revisions_name)
        return self._tiers.revisions(head)

    def _wait_for(self, name: str | None) -> None:
        if name in self._writes:
            self._writes[name].result()

    def _write(self, name: str, table: pa.Table) -> str:
        waiting = [write for write in self._writes.values() if not write.done()]
        if len(waiting) >= MOST_WAITING:
            waiting[0].result()
        self._writes[name] = io_pool().submit(self._tiers.of(HOT).write, name, table)
        return name
