"""What is merged into the candle store is what is read back, month by month, as of any time; bad rows change nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fks_assets.errors import InvalidInput, StoreError
from fks_assets.stores.candles import CandleStore, PartitionHead, PartitionId
from fks_assets.stores.canonical import EMPTY_HASH
from fks_assets.stores.database import Database
from fks_assets.stores.lineage import InputRef, latest_inputs, record_inputs
from fks_assets_tests.stores.tables import (
    BTC,
    ETH,
    HOUR,
    NOVEMBER,
    OCTOBER,
    PARTITION,
    candle_rows,
    closes_of,
    columns_at,
    head_of,
    merge,
    object_names,
    times,
)


def test_merged_rows_are_read_back_with_the_time_they_became_known(candle_store: CandleStore) -> None:
    change = merge(candle_store, candle_rows({0: 10.0, 1: 11.0, 5: float("nan")}), 77)
    assert (change.inserted, change.restated, change.removed, change.changed) == (3, 0, 0, True)
    table = candle_store.read_table("ohlcv", BTC, "1h")
    assert table.column_names == ["open_time", "open", "high", "low", "close", "volume", "source", "is_synthetic", "known_at"]
    assert table.schema.field("open_time").type == pa.timestamp("ms", tz="UTC")
    assert times(table) == [NOVEMBER, NOVEMBER + HOUR, NOVEMBER + 5 * HOUR]
    assert table["close"].to_pylist()[:2] == [10.0, 11.0]
    assert np.isnan(table["close"].to_numpy()[2])
    assert table["source"].to_pylist() == ["exchange"] * 3
    assert times(table, "known_at") == [77, 77, 77]
    stored = head_of(candle_store)
    assert stored == change.head
    assert (stored.row_count, stored.first_open, stored.last_open) == (3, NOVEMBER, NOVEMBER + 5 * HOUR)
    assert (stored.revision_count, stored.known_at_ms, stored.confirmed_holes) == (0, 77, ())


def test_the_same_rows_again_change_nothing_and_write_no_object(candle_store: CandleStore) -> None:
    first = merge(candle_store, candle_rows({0: 10.0, 1: float("nan")}), 77)
    before = object_names(candle_store)
    again = merge(candle_store, candle_rows({0: 10.0, 1: float("nan")}), 99)
    assert not again.changed
    assert again.head == first.head
    assert object_names(candle_store) == before
    assert times(candle_store.read_table("ohlcv", BTC, "1h"), "known_at") == [77, 77]


def test_a_restated_row_replaces_the_old_one_which_stays_in_the_revisions(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 10.0, 1: 11.0, 2: 12.0}), 100)
    change = merge(candle_store, candle_rows({1: 11.5, 2: 12.0, 3: 13.0}), 200)
    assert (change.inserted, change.restated, change.removed) == (1, 1, 0)
    table = candle_store.read_table("ohlcv", BTC, "1h")
    assert closes_of(table) == {0: 10.0, 1: 11.5, 2: 12.0, 3: 13.0}
    assert times(table, "known_at") == [100, 200, 100, 200]
    revisions = candle_store.revisions(PARTITION)
    assert closes_of(revisions) == {1: 11.0}
    assert (times(revisions, "known_at"), times(revisions, "superseded_at")) == ([100], [200])
    assert change.head.revision_count == 1


def test_reads_as_of_a_time_show_what_was_known_then(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 10.0, 1: 11.0}), 100)
    merge(candle_store, candle_rows({1: 11.5}), 200)
    merge(candle_store, candle_rows({1: 11.7}), 300, replacing=True)

    def known_at(moment: int) -> dict[int, float]:
        return closes_of(candle_store.read_table("ohlcv", BTC, "1h", as_of_ms=moment))

    assert known_at(99) == {}
    assert known_at(100) == known_at(199) == {0: 10.0, 1: 11.0}
    assert known_at(200) == known_at(299) == {0: 10.0, 1: 11.5}
    assert known_at(300) == {1: 11.7}
    late = candle_store.read_table("ohlcv", BTC, "1h", NOVEMBER + HOUR, as_of_ms=250, columns=["close"])
    assert (late.column_names, late["close"].to_pylist()) == (["open_time", "close"], [11.5])


def test_a_replacing_write_removes_rows_that_it_lacks(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 10.0, 1: 11.0, 2: 12.0}), 100)
    change = merge(candle_store, candle_rows({1: 11.0, 3: 13.0}), 200, replacing=True)
    assert (change.inserted, change.restated, change.removed) == (1, 0, 2)
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {1: 11.0, 3: 13.0}
    assert closes_of(candle_store.revisions(PARTITION)) == {0: 10.0, 2: 12.0}


def test_a_replacing_write_of_no_rows_empties_the_partition_and_it_can_be_filled_again(candle_store: CandleStore) -> None:
    filled = merge(candle_store, candle_rows({0: 10.0}), 100)
    emptied = merge(candle_store, candle_rows({}), 200, replacing=True)
    assert (emptied.removed, emptied.head.row_count, emptied.head.object_name) == (1, 0, None)
    assert emptied.head.content_hash == EMPTY_HASH
    assert candle_store.read_table("ohlcv", BTC, "1h").num_rows == 0
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h", as_of_ms=150)) == {0: 10.0}
    refilled = merge(candle_store, candle_rows({0: 10.0}), 300)
    assert refilled.head.content_hash == filled.head.content_hash
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h", as_of_ms=250)) == {}


def test_knowledge_time_never_goes_back_within_a_partition(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 10.0}), 200)
    late = merge(candle_store, candle_rows({0: 10.5}), 150)
    assert late.head.known_at_ms == 200
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h", as_of_ms=200)) == {0: 10.5}
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h", as_of_ms=199)) == {}


def test_derived_columns_may_change_with_a_replacing_write_only(candle_store: CandleStore) -> None:
    partition = PartitionId("indicators", BTC, "1h", "2026-11")
    merge(candle_store, columns_at([0, 1], rsi_14=[50.0, 51.0]), 100, partition)
    wider = columns_at([0, 1], rsi_14=[50.0, 51.0], is_warm=[False, True])
    with pytest.raises(StoreError, match="is_warm is absent, given bool"):
        merge(candle_store, wider, 200, partition)
    change = merge(candle_store, wider, 200, partition, replacing=True)
    assert change.restated == 2
    assert candle_store.read_table("indicators", BTC, "1h").column_names == ["open_time", "rsi_14", "is_warm", "known_at"]
    assert candle_store.read_table("indicators", BTC, "1h", as_of_ms=100).column_names == ["open_time", "rsi_14", "known_at"]
    merge(candle_store, wider.drop_columns(["rsi_14"]), 300, partition, replacing=True)
    assert candle_store.revisions(partition)["rsi_14"].to_pylist() == [50.0, 50.0, 51.0, 51.0]
    assert candle_store.revisions(partition)["is_warm"].to_pylist() == [None, False, None, True]


def test_the_order_of_columns_says_nothing(candle_store: CandleStore) -> None:
    rows = candle_rows({0: 10.0, 1: 11.0})
    first = merge(candle_store, rows, 100)
    turned = rows.select(list(reversed(rows.column_names)))
    assert not merge(candle_store, turned, 200).changed
    other = PartitionId("ohlcv", ETH, "1h", "2026-11")
    assert merge(candle_store, turned, 300, other).head.content_hash == first.head.content_hash


def test_months_are_read_together_and_cut_at_the_bounds(candle_store: CandleStore) -> None:
    october = replace(PARTITION, month="2026-10")
    with candle_store.begin([PARTITION, october]) as transaction:
        transaction.merge(PARTITION, candle_rows({0: 1.0, 1: 2.0}), known_at_ms=1)
        transaction.merge(october, candle_rows({742: 3.0, 743: 4.0}, OCTOBER, source="second"), known_at_ms=1)
    table = candle_store.read_table("ohlcv", BTC, "1h")
    assert closes_of(table, OCTOBER) == {742: 3.0, 743: 4.0, 744: 1.0, 745: 2.0}
    assert table["source"].to_pylist() == ["second", "second", "exchange", "exchange"]
    cut = candle_store.read_table("ohlcv", BTC, "1h", NOVEMBER - HOUR, NOVEMBER + HOUR, columns=["close"])
    assert (cut.column_names, cut["close"].to_pylist()) == (["open_time", "close"], [4.0, 1.0])
    assert candle_store.read_table("ohlcv", BTC, "1h", NOVEMBER, NOVEMBER).num_rows == 0
    assert list(candle_store.heads("ohlcv", "1h")) == [october, PARTITION]
    assert candle_store.heads("ohlcv", "1h", [ETH]) == {}
    assert list(candle_store.heads("ohlcv", "1h", [BTC], ["2026-11"])) == [PARTITION]


def test_months_whose_columns_differ_are_read_together_with_nulls(candle_store: CandleStore) -> None:
    october, november = (PartitionId("indicators", BTC, "1h", month) for month in ("2026-10", "2026-11"))
    merge(candle_store, columns_at([-1], rsi_14=[50.0]), 1, october)
    merge(candle_store, columns_at([0], rsi_14=[51.0], is_warm=[True]), 1, november)
    table = candle_store.read_table("indicators", BTC, "1h")
    assert table.column_names == ["open_time", "rsi_14", "is_warm", "known_at"]
    assert (table["rsi_14"].to_pylist(), table["is_warm"].to_pylist()) == ([50.0, 51.0], [None, True])


def test_the_newest_rows_before_a_time_come_from_as_many_months_as_needed(candle_store: CandleStore) -> None:
    august = replace(PARTITION, month="2026-08")
    october = replace(PARTITION, month="2026-10")
    with candle_store.begin([PARTITION, october, august]) as transaction:
        transaction.merge(PARTITION, candle_rows({0: 1.0, 1: 2.0}), known_at_ms=1)
        transaction.merge(october, candle_rows({0: 3.0, 743: 4.0}, OCTOBER), known_at_ms=1)
        transaction.merge(august, candle_rows({-1464: 5.0, -1463: 6.0}, OCTOBER), known_at_ms=1)

    def closes(before_ms: int, count: int) -> list[float]:
        return candle_store.rows_before("ohlcv", BTC, "1h", before_ms, count, columns=["close"])["close"].to_pylist()

    assert closes(NOVEMBER, 3) == [6.0, 3.0, 4.0]
    assert closes(NOVEMBER + HOUR, 2) == [4.0, 1.0]
    assert closes(NOVEMBER + HOUR, 100) == [5.0, 6.0, 3.0, 4.0, 1.0]
    assert closes(NOVEMBER, 0) == closes(0, 5) == []
    with pytest.raises(InvalidInput, match="count -1"):
        closes(NOVEMBER, -1)


def test_a_market_without_candles_reads_as_no_rows_with_the_columns_of_candles(candle_store: CandleStore) -> None:
    assert candle_store.read_table("ohlcv", ETH, "1h")["close"].to_pylist() == []
    assert candle_store.rows_before("ohlcv", ETH, "1h", NOVEMBER, 10)["volume"].to_pylist() == []
    assert candle_store.revisions(PARTITION).column_names[-2:] == ["known_at", "superseded_at"]
    assert candle_store.read("ohlcv", ETH, "1h").empty


def test_a_frame_is_indexed_by_utc_open_time(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 10.0, 1: 11.0}), 1)
    frame = candle_store.read("ohlcv", BTC, "1h", columns=["close"])
    assert frame.index.name == "open_time"
    assert list(frame.index) == [pd.Timestamp("2026-11-01T00:00Z"), pd.Timestamp("2026-11-01T01:00Z")]
    assert list(frame["close"]) == [10.0, 11.0]


def test_an_unknown_column_is_named_with_those_there_are(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 10.0}), 1)
    for moment in (None, 5):
        with pytest.raises(StoreError, match="no column 'clse'; it has open_time, open"):
            candle_store.read_table("ohlcv", BTC, "1h", columns=["clse"], as_of_ms=moment)


BAD_TABLES = {
    "outside the month": (candle_rows({-1: 1.0}), "2026-10-31T23:00:00Z is outside the month"),
    "after the month": (candle_rows({720: 1.0}), "2026-12-01T00:00:00Z is outside the month"),
    "twice": (pa.concat_tables([candle_rows({0: 1.0}), candle_rows({0: 2.0})]), "2026-11-01T00:00:00Z is there twice"),
    "unsorted": (
        pa.concat_tables([candle_rows({1: 1.0}), candle_rows({0: 2.0})]),
        "2026-11-01T00:00:00Z comes after 2026-11-01T01:00:00Z",
    ),
    "off the grid": (candle_rows({0: 1.0}, NOVEMBER + 1), "is off the grid"),
    "null time": (
        candle_rows({0: 1.0}).set_column(0, "open_time", pa.array([None], pa.timestamp("ms", tz="UTC"))),
        "1 open times are null",
    ),
    "time without a zone": (
        candle_rows({0: 1.0}).set_column(0, "open_time", pa.array([NOVEMBER], pa.timestamp("ms"))),
        "it must be a time with a zone",
    ),
    "no time": (candle_rows({0: 1.0}).drop_columns(["open_time"]), "no column 'open_time'"),
    "own column": (candle_rows({0: 1.0}).append_column("known_at", pa.array([1])), "'known_at' is written by the store"),
    "a list": (columns_at([0], prices=pa.array([[1.0]])), "'prices' has type list"),
    "other columns": (columns_at([0], close=[1.0]), "the columns differ: open is double, given absent"),
}


@pytest.mark.parametrize(("table", "said"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_rows_are_refused_with_their_value_and_nothing_changes(candle_store: CandleStore, table: pa.Table, said: str) -> None:
    october = replace(PARTITION, month="2026-10")
    merge(candle_store, candle_rows({3: 9.0}), 1)
    before = (candle_store.heads("ohlcv", "1h"), object_names(candle_store))
    with pytest.raises(StoreError, match=said) as refused, candle_store.begin([october, PARTITION]) as transaction:
        transaction.merge(october, candle_rows({0: 3.0}, OCTOBER), known_at_ms=2)
        transaction.merge(PARTITION, table, known_at_ms=2)
    assert "ohlcv BTC-USDT@simulated 1h 2026-11" in str(refused.value)
    assert (candle_store.heads("ohlcv", "1h"), object_names(candle_store)) == before


def test_an_error_of_the_caller_undoes_candles_and_lineage_together(candle_store: CandleStore, database: Database) -> None:
    with pytest.raises(RuntimeError, match="the caller fell over"), candle_store.begin([PARTITION]) as transaction:
        change = transaction.merge(PARTITION, candle_rows({0: 1.0}), known_at_ms=1)
        record_inputs(
            transaction.connection,
            asset="ohlcv_1h",
            partition=PARTITION.key,
            content_hash=change.head.content_hash,
            code_version="1",
            settings_hash="",
            run_id="r",
            inputs=[InputRef("a", "p", "h")],
            row_count=1,
        )
        raise RuntimeError("the caller fell over")
    assert candle_store.heads("ohlcv", "1h") == {}
    assert latest_inputs(database, "ohlcv_1h", [PARTITION.key]) == {}
    assert object_names(candle_store) == []


def test_several_merges_of_one_transaction_build_on_each_other(candle_store: CandleStore) -> None:
    with candle_store.begin([PARTITION]) as transaction:
        transaction.merge(PARTITION, candle_rows({0: 1.0, 1: 2.0}), known_at_ms=1)
        change = transaction.merge(PARTITION, candle_rows({1: 2.5, 2: 3.0}), known_at_ms=2)
        assert closes_of(transaction.read(PARTITION)) == {0: 1.0, 1: 2.5, 2: 3.0}
        assert transaction.head(PARTITION) == change.head
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {0: 1.0, 1: 2.5, 2: 3.0}
    assert closes_of(candle_store.revisions(PARTITION)) == {1: 2.0}


def test_a_partition_that_was_not_locked_cannot_be_merged(candle_store: CandleStore) -> None:
    other = replace(PARTITION, market=ETH)
    said = "ETH-USDT@simulated 1h 2026-11 is not part of this transaction"
    with pytest.raises(StoreError, match=said), candle_store.begin([PARTITION]) as transaction:
        transaction.merge(other, candle_rows({0: 1.0}), known_at_ms=1)


def test_locking_alone_leaves_no_trace(candle_store: CandleStore) -> None:
    with candle_store.begin([PARTITION]) as transaction:
        assert transaction.head(PARTITION) == PartitionHead.empty(PARTITION)
        assert transaction.read(PARTITION).num_rows == 0
    assert candle_store.heads("ohlcv", "1h") == {}


def test_confirmed_holes_are_kept_until_they_are_set_anew(candle_store: CandleStore) -> None:
    holes = [(NOVEMBER, NOVEMBER + HOUR), (NOVEMBER + 2 * HOUR, NOVEMBER + 3 * HOUR)]
    empty = merge(candle_store, candle_rows({}), 1, holes=holes)
    assert not empty.changed
    assert head_of(candle_store).confirmed_holes == tuple(holes)
    merge(candle_store, candle_rows({1: 1.0}), 2)
    assert head_of(candle_store).confirmed_holes == tuple(holes)
    merge(candle_store, candle_rows({}), 3, holes=[])
    assert head_of(candle_store).confirmed_holes == ()
    for wrong in ([(5, 5)], [(0, 10), (5, 20)], [(10, 20), (0, 5)]):
        with pytest.raises(StoreError, match="is empty or out of order"):
            merge(candle_store, candle_rows({}), 4, holes=wrong)
