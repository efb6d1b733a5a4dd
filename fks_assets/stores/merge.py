"""Merge rows into a partition: a pure function from tables to tables, in vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fks_assets.clock import iso
from fks_assets.errors import StoreError
from fks_assets.quant.arrow import arrow_array
from fks_assets.stores.canonical import KNOWN_AT, OPEN_TIME, SUPERSEDED_AT, equal_rows, payload_of, time_column, times_of


@dataclass(frozen=True, slots=True)
class Merged:
    """Result of a merge. `table` holds the rows of the partition with `known_at` (None: no rows, or nothing changed);
    `superseded` the rows that were replaced or removed, with `known_at` and `superseded_at` (None: none)."""

    table: pa.Table | None
    superseded: pa.Table | None
    inserted: int
    restated: int
    removed: int

    @property
    def changed(self) -> bool:
        return bool(self.inserted or self.restated or self.removed)


UNCHANGED = Merged(None, None, 0, 0, 0)


def merge_rows(stored: pa.Table | None, new: pa.Table, known_at_ms: int, *, replace: bool, label: str) -> Merged:
    """Merge canonical rows `new` into `stored` (canonical with `known_at`).

    New open times are inserted; equal rows stay, with the time they became known; differing rows replace the stored ones.
    With `replace`, stored rows that `new` lacks are removed and the columns may change; without it differing columns raise
    StoreError.
    """
    if stored is None or stored.num_rows == 0:
        return Merged(_stamped(new, known_at_ms), None, new.num_rows, 0, 0) if new.num_rows else UNCHANGED
    if new.num_rows == 0 and not replace:
        return UNCHANGED
    same_columns = _same_columns(stored, new)
    if not same_columns and new.num_rows and not replace:
        raise StoreError(f"{label}: the columns differ: {_difference(stored, new)}; only a replacing write may change them")
    if same_columns:
        new = new.select([OPEN_TIME, *payload_of(stored)])
    old_times, new_times = times_of(stored), times_of(new)
    if not replace and new.num_rows and new_times[0] > old_times[-1]:
        return Merged(_joined([stored, _stamped(new, known_at_ms)]), None, new.num_rows, 0, 0)

    place = np.minimum(np.searchsorted(old_times, new_times), len(old_times) - 1)
    known = old_times[place] == new_times
    equal = np.zeros(len(new_times), np.bool_)
    if same_columns and known.any():
        equal[known] = equal_rows(_rows(stored, place[known]), _rows(new, np.flatnonzero(known)))
    restated, inserted = int((known & ~equal).sum()), int((~known).sum())
    dropped = np.zeros(len(old_times), np.bool_)
    if replace:
        dropped[:] = True
        dropped[place[known]] = False
    removed = int(dropped.sum())
    if not (restated or inserted or removed):
        return UNCHANGED
    dropped[place[known & ~equal]] = True
    superseded = _rows(stored, np.flatnonzero(dropped)) if dropped.any() else None
    if superseded is not None:
        superseded = superseded.append_column(SUPERSEDED_AT, time_column(known_at_ms, superseded.num_rows))
    parts = [_rows(stored, np.flatnonzero(~dropped)), _stamped(_rows(new, np.flatnonzero(~equal)), known_at_ms)]
    parts = [part for part in parts if part.num_rows]
    return Merged(_sorted(_joined(parts)) if parts else None, superseded, inserted, restated, removed)


def append_revisions(earlier: pa.Table | None, superseded: pa.Table, label: str) -> pa.Table:
    """Return all revisions of a partition, sorted by open time, then by when each became known."""
    if earlier is None:
        return superseded
    try:
        joined = pa.concat_tables([earlier, superseded], promote_options="permissive")
    except pa.ArrowException as error:
        raise StoreError(f"{label}: a column changed to a type that old rows do not fit ({error}); give it a new name") from error
    own = [KNOWN_AT, SUPERSEDED_AT]
    joined = joined.select([*(name for name in joined.column_names if name not in own), *own])
    order = np.lexsort((times_of(joined, SUPERSEDED_AT), times_of(joined, KNOWN_AT), times_of(joined)))
    return _one_chunk(joined).take(arrow_array(order))


def rows_as_of(table: pa.Table | None, revisions: pa.Table | None, moment_ms: int) -> pa.Table | None:
    """Return the rows of a partition as they were known at a time, sorted; None when there were none."""
    parts: list[pa.Table] = []
    if table is not None:
        parts.append(_rows(table, np.flatnonzero(times_of(table, KNOWN_AT) <= moment_ms)))
    if revisions is not None:
        valid = (times_of(revisions, KNOWN_AT) <= moment_ms) & (moment_ms < times_of(revisions, SUPERSEDED_AT))
        parts.append(_rows(revisions, np.flatnonzero(valid)).drop_columns([SUPERSEDED_AT]))
    parts = [part for part in parts if part.num_rows]
    return _sorted(_joined(parts)) if parts else None


def join_months(parts: list[pa.Table]) -> pa.Table:
    """Return tables that follow one another in time as one; columns that only some have are null in the others."""
    return parts[0] if len(parts) == 1 else _joined(parts)


def check_holes(holes: Sequence[tuple[int, int]], label: str) -> tuple[tuple[int, int], ...]:
    """Return half-open ranges as they are stored; raise StoreError unless they are sorted, not empty and apart."""
    checked = tuple((int(start), int(end)) for start, end in holes)
    end = None
    for start, stop in checked:
        if start >= stop or (end is not None and start < end):
            raise StoreError(f"{label}: the confirmed hole {iso(start)} to {iso(stop)} is empty or out of order")
        end = stop
    return checked


def _same_columns(stored: pa.Table, new: pa.Table) -> bool:
    return {name: stored.schema.field(name).type for name in payload_of(stored)} == {
        name: new.schema.field(name).type for name in payload_of(new)
    }


def _difference(stored: pa.Table, new: pa.Table) -> str:
    stored_types = {name: str(stored.schema.field(name).type) for name in payload_of(stored)}
    new_types = {name: str(new.schema.field(name).type) for name in payload_of(new)}
    names = [name for name in {**stored_types, **new_types} if stored_types.get(name) != new_types.get(name)]
    return "; ".join(f"{name} is {stored_types.get(name, 'absent')}, given {new_types.get(name, 'absent')}" for name in names)


def _stamped(table: pa.Table, known_at_ms: int) -> pa.Table:
    return table.append_column(KNOWN_AT, time_column(known_at_ms, table.num_rows))


def _rows(table: pa.Table, positions: np.ndarray) -> pa.Table:
    """Return the rows at ascending positions, without a copy when they are neighbours."""
    if len(positions) == 0:
        return table.slice(0, 0)
    first, last = int(positions[0]), int(positions[-1])
    if last - first + 1 == len(positions):
        return table.slice(first, len(positions))
    return _one_chunk(table).take(arrow_array(positions))


def _joined(parts: list[pa.Table]) -> pa.Table:
    if len(parts) == 1:
        return parts[0]
    same = all(part.schema.equals(parts[0].schema) for part in parts[1:])
    joined = pa.concat_tables(parts, promote_options="none" if same else "permissive")
    if not same and KNOWN_AT in joined.column_names:
        joined = joined.select([*(name for name in joined.column_names if name != KNOWN_AT), KNOWN_AT])
    return joined.unify_dictionaries()


def _one_chunk(table: pa.Table) -> pa.Table:
    return table.unify_dictionaries().combine_chunks()


def _sorted(table: pa.Table) -> pa.Table:
    times = times_of(table)
    if len(times) < 2 or (np.diff(times) > 0).all():
        return table
    return _one_chunk(table).take(arrow_array(np.argsort(times, kind="stable")))
