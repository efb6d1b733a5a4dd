"""Objects of the candle store: swept when nothing names them, never trusted when damaged, never outside the root."""

import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from fks_assets.errors import InvalidInput, StoreError
from fks_assets.quant.markets import Market
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
from fks_assets_tests.stores.tables import BTC, PARTITION, candle_rows, closes_of, merge, object_names


def test_sweeping_removes_what_no_head_names_once_it_is_old_enough(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 1.0}), 1)
    old = object_names(candle_store)
    merge(candle_store, candle_rows({0: 2.0}), 2)
    kept = sorted(set(object_names(candle_store)) - set(old))
    assert candle_store.sweep(3600).objects_removed == 0
    for name in object_names(candle_store):
        os.utime(Path(candle_store.root) / name, (1, 1))
    size = (Path(candle_store.root) / old[0]).stat().st_size
    result = candle_store.sweep(3600)
    assert (result.objects_removed, result.bytes_removed) == (1, size)
    assert object_names(candle_store) == kept
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {0: 2.0}
    assert closes_of(candle_store.revisions(PARTITION)) == {0: 1.0}


def test_a_reader_whose_object_was_swept_reads_the_newest_one(candle_store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    merge(candle_store, candle_rows({0: 1.0}), 1)
    original = CandleStore._rows
    calls: list[int] = []

    def overtaken(self: CandleStore, *arguments: object) -> pa.Table:
        calls.append(1)
        if len(calls) == 1:
            merge(candle_store, candle_rows({0: 2.0}), 2)
            candle_store.sweep(-10)
        return original(self, *arguments)

    monkeypatch.setattr(CandleStore, "_rows", overtaken)
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {0: 2.0}
    assert len(calls) == 2


def test_a_lost_object_is_named(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 1.0}), 1)
    [name] = object_names(candle_store)
    (Path(candle_store.root) / name).unlink()
    with pytest.raises(StoreError, match=f"{name} is missing"):
        candle_store.read_table("ohlcv", BTC, "1h")


def test_a_damaged_object_is_an_error_and_never_other_numbers(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({hour: float(hour) for hour in range(700)}), 1)
    [name] = object_names(candle_store)
    path = Path(candle_store.root) / name
    sound = path.read_bytes()
    for position in range(8, len(sound) - 8, max(1, len(sound) // 60)):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 0x55]) + sound[position + 1 :])
        try:
            found = candle_store.read_table("ohlcv", BTC, "1h")
        except StoreError as error:
            assert name in str(error)
        else:
            assert closes_of(found) == {hour: float(hour) for hour in range(700)}, f"byte {position} changed the data"


@pytest.mark.parametrize(
    "parts",
    [
        {"dataset": "../ohlcv"},
        {"dataset": "signals./etc"},
        {"dataset": "ohlcv/x"},
        {"dataset": ""},
        {"dataset": "signals.a.b"},
        {"dataset": "ohlcv\n"},
        {"market": Market("..", "..", "binance")},
        {"market": Market("BTC", "USDT", "../../x")},
        {"market": Market("BTC/..", "USDT", "binance")},
        {"market": "BTC-USDT@binance"},
        {"timeframe": "../1h"},
        {"timeframe": "7m"},
        {"month": "2026-13"},
        {"month": "2026-11/.."},
        {"month": "2026-11\n"},
    ],
    ids=str,
)
def test_hostile_partitions_are_refused(parts: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        replace(PARTITION, **parts)


def test_hostile_dataset_names_of_readers_find_nothing(candle_store: CandleStore) -> None:
    merge(candle_store, candle_rows({0: 1.0}), 1)
    assert candle_store.read_table("../ohlcv", BTC, "1h").num_rows == 0
    assert candle_store.read_table("ohlcv' OR '1'='1", BTC, "1h").num_rows == 0


def test_a_root_may_be_the_url_of_an_object_store(database: Database) -> None:
    store = CandleStore("memory://desk/candles", database)
    merge(store, candle_rows({0: 1.0, 1: 2.0}), 100)
    merge(store, candle_rows({1: 2.5}), 200)
    assert closes_of(store.read_table("ohlcv", BTC, "1h")) == {0: 1.0, 1: 2.5}
    assert closes_of(store.read_table("ohlcv", BTC, "1h", as_of_ms=150)) == {0: 1.0, 1: 2.0}
    listed = {found.name: found.size_bytes for found in store.tiers.of("hot").list()}
    with database.transaction() as connection:
        rows = connection.execute(sa.text("SELECT object_name, revisions_name FROM dataset_heads")).all()
    named = {name for row in rows for name in row}
    assert named < set(listed)
    result = store.sweep(-10)
    assert result.objects_removed == 1
    assert {found.name for found in store.tiers.of("hot").list()} == named
    assert closes_of(store.read_table("ohlcv", BTC, "1h")) == {0: 1.0, 1: 2.5}


def test_a_failing_object_store_changes_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    store = CandleStore("memory://desk/failing", database)
    merge(store, candle_rows({0: 1.0}), 1)
    names = {found.name for found in store.tiers.of("hot").list()}

    def refuse(*_: object, **__: object) -> None:
        raise OSError("503 Slow Down")

    monkeypatch.setattr(type(store.tiers.of("hot")._remote), "write_bytes", refuse)
    with pytest.raises(StoreError, match="503 Slow Down"):
        merge(store, candle_rows({0: 2.0}), 2)
    assert {found.name for found in store.tiers.of("hot").list()} == names
    assert closes_of(store.read_table("ohlcv", BTC, "1h")) == {0: 1.0}
