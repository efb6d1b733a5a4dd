"""A disk that is full or forbidden, and a database that goes away, leave the store as it was and say so in one line."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from fks_assets.errors import StoreError
from fks_assets.stores import objects
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
from fks_assets_tests.stores.processes import child, line_of
from fks_assets_tests.stores.tables import BTC, PARTITION, candle_rows, closes_of

FULL_DISK = """
import resource, sys
from fks_assets.errors import StoreError
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
from fks_assets_tests.stores.tables import PARTITION, candle_rows
store = CandleStore(sys.argv[2], Database(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
try:
    with store.begin([PARTITION]) as transaction:
        transaction.merge(PARTITION, candle_rows({hour: hour * 1.1 for hour in range(700)}), known_at_ms=2)
except StoreError as error:
    print(error)
"""


def written(store: CandleStore) -> list[str]:
    return sorted(path.name for path in Path(store.root).rglob("*") if path.is_file())


def merge(store: CandleStore, closes: dict[int, float]) -> None:
    with store.begin([PARTITION]) as transaction:
        transaction.merge(PARTITION, candle_rows(closes), known_at_ms=2)


def test_a_full_disk_changes_nothing_and_is_one_line(candle_store: CandleStore, database: Database) -> None:
    merge(candle_store, {0: 1.0})
    before = (candle_store.heads("ohlcv", "1h"), written(candle_store))
    with child(FULL_DISK, database.url, candle_store.root) as limited:
        said = line_of(limited)
    assert said.startswith(f"the candle object {candle_store.root}/ohlcv/1h/2026-11/simulated_BTC-USDT_")
    assert said.endswith("cannot be written: File too large")
    assert (candle_store.heads("ohlcv", "1h"), written(candle_store)) == before
    merge(candle_store, {1: 2.0})
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {0: 1.0, 1: 2.0}


def test_a_root_that_cannot_be_used_changes_nothing_and_is_one_line(home: Path, database: Database) -> None:
    (home / "file").write_text("in the way")
    store = CandleStore(str(home / "file" / "candles"), database)
    with pytest.raises(StoreError, match=r"cannot be written: (File exists|Not a directory)") as refused:
        merge(store, {0: 1.0})
    assert "\n" not in str(refused.value)
    assert store.heads("ohlcv", "1h") == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_root_changes_nothing_and_is_one_line(home: Path, database: Database) -> None:
    home.chmod(0o500)
    store = CandleStore(str(home / "candles"), database)
    with pytest.raises(StoreError, match="cannot be written: Permission denied"):
        merge(store, {0: 1.0})
    assert store.heads("ohlcv", "1h") == {}


def test_a_disk_that_fails_to_flush_changes_nothing(candle_store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    merge(candle_store, {0: 1.0})
    before = written(candle_store)

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(objects.os, "fsync", fail)
    with pytest.raises(StoreError, match="Input/output error"):
        merge(candle_store, {0: 2.0})
    monkeypatch.undo()
    assert written(candle_store) == before
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {0: 1.0}


def test_a_connection_that_is_lost_before_the_commit_changes_nothing(candle_store: CandleStore, database: Database) -> None:
    merge(candle_store, {0: 1.0})
    with pytest.raises(StoreError, match="database: ") as refused, candle_store.begin([PARTITION]) as transaction:
        transaction.merge(PARTITION, candle_rows({0: 2.0}), known_at_ms=3)
        own = transaction.connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with database.transaction() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
    assert "\n" not in str(refused.value)
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {0: 1.0}
    assert len(written(candle_store)) == 1


def test_a_commit_whose_outcome_is_unknown_keeps_its_objects_for_the_sweep(
    candle_store: CandleStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the server has committed and before it could say so: the rows are stored."""
    merge(candle_store, {0: 1.0})
    committed = database.engine.dialect.do_commit

    def break_after(connection: object) -> None:
        committed(connection)
        raise database.engine.dialect.dbapi.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(database.engine.dialect, "do_commit", break_after)
    with pytest.raises(StoreError, match="server closed the connection unexpectedly"):
        merge(candle_store, {0: 2.0})
    monkeypatch.undo()
    assert closes_of(candle_store.read_table("ohlcv", BTC, "1h")) == {0: 2.0}


def test_the_data_is_flushed_to_the_disk_before_the_head_names_it(
    candle_store: CandleStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    flush, write = os.fsync, os.write

    def note_flush(descriptor: int) -> None:
        target = os.readlink(f"/proc/self/fd/{descriptor}")
        events.append("flush file" if target.endswith(".parquet") else "flush directory")
        flush(descriptor)

    def note_write(descriptor: int, data: bytes) -> int:
        events.append("write")
        return write(descriptor, data)

    monkeypatch.setattr(objects.os, "fsync", note_flush)
    monkeypatch.setattr(objects.os, "write", note_write)
    sa.event.listen(database.engine, "commit", lambda _: events.append("commit"))
    merge(candle_store, {0: 1.0})
    ours = events[events.index("write") :]
    assert ours == ["write", "flush file", "flush directory", "commit"]
