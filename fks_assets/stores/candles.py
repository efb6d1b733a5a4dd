"""The candle store: Parquet objects that never change, headed by rows in PostgreSQL.

A partition's head names the object that holds its rows. A write locks heads, merges, writes new objects, and commits new heads
together with whatever else belongs to the same truth. Readers take a head and its object: they lock nothing and never see half
a write. Objects that no head names any more are swept after a grace period. Archived months lie below a second root (archive.py)
and are read like all others.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput, StoreError
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import month_of
from fks_assets.stores.canonical import OPEN_TIME, SUPERSEDED_AT, TIME_TYPE, empty_table, times_of
from fks_assets.stores.database import Database, store_errors
from fks_assets.stores.heads import Change, PartitionHead, PartitionId, lock_heads, referenced_objects, select_heads
from fks_assets.stores.merge import join_months, rows_as_of
from fks_assets.stores.objects import MissingObject
from fks_assets.stores.tiers import Tiers
from fks_assets.stores.transaction import StoreTransaction, io_pool

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CandleStore", "Change", "PartitionHead", "PartitionId", "StoreTransaction", "SweepResult"]

READ_ATTEMPTS = 3
_EARLIEST_MS, _LATEST_MS = 0, 253_402_300_799_999
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep removed."""

    objects_removed: int
    bytes_removed: int


class CandleStore:
    """Reads and writes datasets of (market, timeframe, month).

    `root` and `cold_root`, where archived months are: a directory or a URL such as s3://bucket/candles.
    """

    def __init__(self, root: str, database: Database, cold_root: str | None = None) -> None:
        self.root = root
        self.database = database
        self.tiers = Tiers(root, cold_root)

    @contextmanager
    def begin(self, partitions: Iterable[PartitionId]) -> Iterator[StoreTransaction]:
        """Lock partitions for writing; commit at the end of the block.

        On an error nothing changes and the objects written are removed. Only when the commit itself fails, and may or may not
        have happened, they stay for the sweep.
        """
        with store_errors(), self.database.engine.begin() as connection:
            transaction = StoreTransaction(self.tiers, connection, *lock_heads(connection, sorted(set(partitions))))
            try:
                yield transaction
                transaction.finish()
            except BaseException:
                transaction.discard()
                raise

    def heads(
        self, dataset: str, timeframe: str, markets: Sequence[Market] | None = None, months: Sequence[str] | None = None
    ) -> dict[PartitionId, PartitionHead]:
        """Return the heads that exist, by partition, oldest month first for each market."""
        with self.database.transaction() as connection:
            return select_heads(connection, dataset, timeframe, markets, months)

    def read_table(
        self,
        dataset: str,
        market: Market,
        timeframe: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        as_of_ms: int | None = None,
    ) -> pa.Table:
        """Return the rows with start_ms <= open_time < end_ms, sorted: `open_time`, the payload, `known_at`.

        `columns` selects payload columns (`open_time` always comes first). `as_of_ms` returns what was known at that time.
        """
        start, end = _bounds(start_ms, end_ms)

        def read() -> pa.Table:
            heads = self._heads_between(dataset, market, timeframe, start, end) if start < end else []
            return self._rows(dataset, heads, start, end, columns, as_of_ms)

        return self._retried(read)

    def read(
        self,
        dataset: str,
        market: Market,
        timeframe: str,
        start_ms: int | None = None,
        end_ms: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        as_of_ms: int | None = None,
    ) -> "pd.DataFrame":
        """Return what `read_table` returns as a frame whose index is `open_time` (UTC)."""
        table = self.read_table(dataset, market, timeframe, start_ms, end_ms, columns=columns, as_of_ms=as_of_ms)
        return table.to_pandas().set_index(OPEN_TIME)

    def read_heads(self, heads: Sequence[PartitionHead]) -> pa.Table:
        """Return the rows of heads of one series, oldest month first, exactly as they were when the heads were read.

        Raises `StoreError` when a month was replaced since and its old object has been swept.
        """
        return self._rows(heads[0].partition.dataset, heads, _EARLIEST_MS, _LATEST_MS, None, None)

    def rows_before(
        self, dataset: str, market: Market, timeframe: str, before_ms: int, count: int, *, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the `count` newest stored rows with open_time < before_ms, sorted, from as many months as that takes."""
        if count < 0:
            raise InvalidInput(f"count {count} is negative")
        _, before = _bounds(None, before_ms)

        def read() -> pa.Table:
            chosen: list[PartitionHead] = []
            certain = 0
            for head in reversed(self._heads_between(dataset, market, timeframe, _EARLIEST_MS, before)):
                if certain >= count or head.first_open is None:
                    break
                chosen.insert(0, head)
                # Of the month that contains `before_ms` at least the first row counts.
                certain += head.row_count if head.last_open is not None and head.last_open < before else 1
            rows = self._rows(dataset, chosen, _EARLIEST_MS, before, columns, None)
            return rows.slice(max(0, rows.num_rows - count))

        return self._retried(read)

    def revisions(self, partition: PartitionId) -> pa.Table:
        """Return the rows that were replaced or removed: payload, `known_at` and `superseded_at`, by open time, then by age."""

        def read() -> pa.Table:
            head = self.heads(partition.dataset, partition.timeframe, [partition.market], [partition.month]).get(partition)
            found = None if head is None else self.tiers.revisions(head)
            if found is None:
                return empty_table(partition.dataset).append_column(SUPERSEDED_AT, pa.array([], TIME_TYPE))
            return found

        return self._retried(read)

    def sweep(self, grace_seconds: float, *, dry_run: bool = False) -> SweepResult:
        """Remove objects of both roots that are older than the grace period and that no head names; `dry_run` only counts them.

        The grace protects what a writer has written and not yet committed, so it must exceed the longest transaction.
        """
        # Listed first: an object that a head names after this moment is younger than the grace, or was named all the time.
        latest = now_ms() - round(grace_seconds * 1000)
        listed = [(store, found) for store in self.tiers.all() for found in store.list() if found.modified_ms < latest]
        with self.database.transaction() as connection:
            named = referenced_objects(connection)
        unnamed = [(store, found) for store, found in listed if found.name not in named]
        for store, found in unnamed:
            if not dry_run:
                store.delete(found.name)
        return SweepResult(len(unnamed), sum(found.size_bytes for _, found in unnamed))

    def _heads_between(self, dataset: str, market: Market, timeframe: str, start_ms: int, end_ms: int) -> list[PartitionHead]:
        with self.database.transaction() as connection:
            first, last = month_of(start_ms), month_of(end_ms - 1)
            heads = select_heads(connection, dataset, timeframe, [market], first_month=first, last_month=last)
        return [head for head in heads.values() if head.row_count or head.revision_count]

    def _rows(
        self,
        dataset: str,
        heads: Sequence[PartitionHead],
        start_ms: int,
        end_ms: int,
        columns: Sequence[str] | None,
        as_of_ms: int | None,
    ) -> pa.Table:
        selected = None if columns is None else [OPEN_TIME, *(name for name in columns if name != OPEN_TIME)]
        wanted = [head for head in heads if _overlaps(head, start_ms, end_ms) or (as_of_ms is not None and head.revision_count)]

        def read(head: PartitionHead) -> pa.Table | None:
            if as_of_ms is None:
                current = self.tiers.rows(head, selected)
                return None if current is None else _between(current, start_ms, end_ms)
            rows = rows_as_of(self.tiers.rows(head), self.tiers.revisions(head), as_of_ms)
            return None if rows is None else _between(_selected(rows, selected, dataset), start_ms, end_ms)

        parts = list(io_pool().map(read, wanted)) if len(wanted) > 1 else [read(head) for head in wanted]
        found = [part for part in parts if part is not None]
        return join_months(found) if found else empty_table(dataset, selected)

    def _retried(self, read: Callable[[], _Result]) -> _Result:
        """Read again from the newest heads when an object was swept between reading its head and reading it."""
        for _ in range(READ_ATTEMPTS - 1):
            try:
                return read()
            except MissingObject:
                continue
        return read()


def _bounds(start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
    start = _EARLIEST_MS if start_ms is None else max(_EARLIEST_MS, int(start_ms))
    end = _LATEST_MS if end_ms is None else min(_LATEST_MS, int(end_ms))
    return start, end


def _overlaps(head: PartitionHead, start_ms: int, end_ms: int) -> bool:
    return head.first_open is not None and head.last_open is not None and head.first_open < end_ms and head.last_open >= start_ms


def _between(table: pa.Table, start_ms: int, end_ms: int) -> pa.Table:
    first, last = np.searchsorted(times_of(table), (start_ms, end_ms))
    return table.slice(int(first), int(last - first))


def _selected(table: pa.Table, columns: Sequence[str] | None, dataset: str) -> pa.Table:
    if columns is None:
        return table
    if unknown := [name for name in columns if name not in table.column_names]:
        raise StoreError(f"{dataset} has no column {unknown[0]!r}; it has {', '.join(table.column_names)}")
    return table.select(list(columns))
