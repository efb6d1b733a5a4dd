"""Properties of merging, against a model that is a dict: any order, repetition and batching of writes ends at the same rows."""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fks_assets.stores.canonical import EMPTY_HASH, Grid, canonical_table, content_hash
from fks_assets.stores.merge import append_revisions, merge_rows, rows_as_of
from fks_assets_tests.stores.tables import HOUR, NOVEMBER, TIME, times

GRID = Grid("test", NOVEMBER, NOVEMBER + 720 * HOUR, HOUR)
Row = tuple[float, str | None, bool]
values = st.sampled_from([0.0, -0.0, 1.0, 1.5, 1e300, math.nan, math.inf])
rows = st.tuples(values, st.sampled_from(["exchange", "second", "", "é\0x", None]), st.booleans())
states = st.dictionaries(st.integers(0, 12), rows, max_size=8)


def table_of(state: dict[int, Row]) -> pa.Table:
    hours = sorted(state)
    return pa.table(
        {
            "open_time": pa.array([NOVEMBER + hour * HOUR for hour in hours], TIME),
            "close": pa.array([state[hour][0] for hour in hours], pa.float64()),
            "source": pa.array([state[hour][1] for hour in hours], pa.string()),
            "is_synthetic": pa.array([state[hour][2] for hour in hours], pa.bool_()),
        }
    )


def state_of(table: pa.Table | None) -> dict[int, tuple[str, str | None, bool]]:
    """Return the rows by hour; floats as text, so that NaN equals NaN and 0.0 differs from -0.0."""
    if table is None:
        return {}
    hours = [(time - NOVEMBER) // HOUR for time in times(table)]
    assert hours == sorted(set(hours))
    columns = (table[name].to_pylist() for name in ("close", "source", "is_synthetic"))
    return {hour: (repr(close), *rest) for hour, close, *rest in zip(hours, *columns, strict=True)}


def as_text(state: dict[int, Row]) -> dict[int, tuple[str, str | None, bool]]:
    return {hour: (repr(close), source, synthetic) for hour, (close, source, synthetic) in state.items()}


@dataclass
class Partition:
    """What the store keeps of a partition, in memory."""

    table: pa.Table | None = None
    revisions: pa.Table | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"inserted": 0, "restated": 0, "removed": 0})

    def merge(self, state: dict[int, Row], known_at_ms: int, *, replace: bool = False) -> None:
        merged = merge_rows(self.table, canonical_table(table_of(state), GRID), known_at_ms, replace=replace, label="test")
        if merged.changed:
            self.table = merged.table
        if merged.superseded is not None:
            self.revisions = append_revisions(self.revisions, merged.superseded, "test")
        for name in self.counts:
            self.counts[name] += getattr(merged, name)


@given(states, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_repetition_and_batching_of_the_same_rows_gives_the_same_rows_and_hash(state, random, batches) -> None:
    expected = Partition()
    expected.merge(state, 1)
    hours = [*state, *random.choices(list(state), k=5)] if state else []
    random.shuffle(hours)
    actual = Partition()
    for number in range(batches):
        actual.merge({hour: state[hour] for hour in hours[number::batches]}, number + 1)
    assert state_of(actual.table) == as_text(state)
    assert content_hash(actual.table) == content_hash(expected.table)
    assert actual.counts == {"inserted": len(state), "restated": 0, "removed": 0}
    assert actual.revisions is None


@given(st.lists(st.tuples(states, st.booleans()), max_size=6))
def test_reads_as_of_every_time_show_what_a_model_of_snapshots_shows(writes) -> None:
    partition = Partition()
    model: dict[int, Row] = {}
    snapshots = [dict(model)]
    changes = {"inserted": 0, "restated": 0, "removed": 0}
    for moment, (state, replace) in enumerate(writes, start=1):
        partition.merge(state, moment, replace=replace)
        text, given_text = as_text(model), as_text(state)
        changes["inserted"] += len(state.keys() - model.keys())
        changes["restated"] += sum(text[hour] != given_text[hour] for hour in state.keys() & model.keys())
        changes["removed"] += len(model.keys() - state.keys()) if replace else 0
        model = dict(state) if replace else {**model, **state}
        snapshots.append(dict(model))
    for moment, snapshot in enumerate(snapshots):
        assert state_of(rows_as_of(partition.table, partition.revisions, moment)) == as_text(snapshot), moment
    assert partition.counts == changes
    kept = 0 if partition.revisions is None else partition.revisions.num_rows
    assert kept == changes["restated"] + changes["removed"]


@given(states, states)
def test_the_hash_is_equal_exactly_when_the_rows_are(first, second) -> None:
    same = as_text(first) == as_text(second)
    hashes = [content_hash(canonical_table(table_of(state), GRID)) for state in (first, second)]
    assert (hashes[0] == hashes[1]) == same


@given(states, st.lists(st.integers(0, 12), max_size=3))
@settings(max_examples=50)
def test_the_hash_does_not_see_chunks_dictionaries_or_column_order(state, cuts) -> None:
    table = table_of(state)
    bounds = sorted({0, table.num_rows, *(min(cut, table.num_rows) for cut in cuts)})
    chunked = pa.concat_tables([table.slice(a, b - a) for a, b in itertools.pairwise(bounds)] or [table])
    texts = ["unused", "second", "é\0x", "", "exchange"]
    codes = [None if text is None else texts.index(text) for text in table["source"].to_pylist()]
    encoded = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(texts, pa.large_string()))
    turned = table.set_column(2, "source", encoded).select(["is_synthetic", "source", "close", "open_time"])
    hashes = {content_hash(canonical_table(each, GRID)) for each in (table, chunked, turned)}
    assert len(hashes) == 1


def test_no_rows_have_one_hash_whatever_their_columns() -> None:
    empty = canonical_table(table_of({}), GRID)
    assert content_hash(empty) == content_hash(empty.select(["open_time"])) == content_hash(None) == EMPTY_HASH


def test_the_hash_knows_names_types_and_nulls_of_columns() -> None:
    times_ = pa.array([NOVEMBER, NOVEMBER + HOUR], TIME)
    columns = {
        "int8": {"a": pa.array([1, 2], pa.int8())},
        "int64": {"a": pa.array([1, 2], pa.int64())},
        "float64": {"a": pa.array([1.0, 2.0])},
        "float32": {"a": pa.array([1.0, 2.0], pa.float32())},
        "another name": {"b": pa.array([1.0, 2.0])},
        "null": {"a": pa.array([1, None], pa.int8())},
        "zero": {"a": pa.array([1, 0], pa.int8())},
        "text": {"a": pa.array(["1", "2"])},
        "two columns": {"a": pa.array([1.0, 2.0]), "b": pa.array([1.0, 2.0])},
    }
    hashes = {content_hash(canonical_table(pa.table({"open_time": times_, **each}), GRID)) for each in columns.values()}
    assert len(hashes) == len(columns)


def test_different_nans_are_one_value() -> None:
    odd = np.array([0x7FF8000000000001, -1], np.int64).view(np.float64)
    times_ = pa.array([NOVEMBER, NOVEMBER + HOUR], TIME)
    given_ = canonical_table(pa.table({"open_time": times_, "a": odd}), GRID)
    usual = canonical_table(pa.table({"open_time": times_, "a": pa.array([math.nan, math.nan])}), GRID)
    missing = canonical_table(pa.table({"open_time": times_, "a": pa.array([None, None], pa.float64())}), GRID)
    assert content_hash(given_) == content_hash(usual) == content_hash(missing)
    stored = merge_rows(None, usual, 1, replace=False, label="test").table
    assert not merge_rows(stored, given_, 2, replace=False, label="test").changed
