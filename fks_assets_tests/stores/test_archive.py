"""Archived months are read exactly as before, whatever dies while they are moved, and come back when their candles change."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow.parquet import ParquetFile

from fks_assets.errors import SettingsError, StoreError
from fks_assets.quant.timeframes import month_window
from fks_assets.stores import archive as archive_module
from fks_assets.stores.archive import archive_candles, first_month_kept, pending_archive
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets.stores.canonical import EMPTY_HASH
from fks_assets.stores.database import Database
from fks_assets.stores.lineage import InputRef, latest_inputs, record_inputs
from fks_assets_tests.amounts import tries
from fks_assets_tests.stores.processes import child, line_of
from fks_assets_tests.stores.tables import BTC, ETH, HOUR, candle_rows, closes_of, head_of, merge, times

MONTHS = ("2025-10", "2025-11", "2025-12", "2026-01")
KEPT = "2025-12"


@pytest.fixture
def store(home: Path, database: Database) -> CandleStore:
    """A store with a cold root of its own."""
    return CandleStore(str(home / "candles"), database, str(home / "cold"))


def partition(month: str, market: Any = BTC, dataset: str = "ohlcv") -> PartitionId:
    return PartitionId(dataset, market, "1h", month)


def fill(store: CandleStore, market: Any = BTC) -> None:
    """Store four months; in each the second candle is restated an hour later, and 2025-11 has a hole."""
    for number, month in enumerate(MONTHS):
        start = month_window(month)[0]
        rows = {hour: number * 1000.0 + hour for hour in range(600) if not (month == "2025-11" and 100 <= hour < 110)}
        merge(store, candle_rows(rows, start), start + HOUR, partition(month, market), holes=[(start, start + HOUR)])
        merge(store, candle_rows({1: 0.5}, start, "other"), start + 2 * HOUR, partition(month, market))
    store.sweep(-10)


def reads(store: CandleStore, market: Any = BTC) -> list[pa.Table]:
    """Return everything that can be read of a market: whole, in parts, as of times between the changes, and what was replaced."""
    start = month_window(MONTHS[0])[0]
    moments = [month_window(month)[0] + hours * HOUR for month in MONTHS for hours in (0, 1, 2)]
    heads = [head for each, head in store.heads("ohlcv", "1h", [market]).items() if each.market == market]
    return [
        store.read_table("ohlcv", market, "1h"),
        store.read_table("ohlcv", market, "1h", start + 50 * HOUR, start + 900 * HOUR, columns=["close", "source"]),
        *(store.read_table("ohlcv", market, "1h", as_of_ms=moment) for moment in moments),
        store.rows_before("ohlcv", market, "1h", month_window("2026-01")[0] + HOUR, 1300),
        store.read_heads(heads),
        *(store.revisions(partition(month, market)) for month in MONTHS),
    ]


def files(root: str | Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in Path(root).rglob("*.parquet"))


def cold_root(store: CandleStore) -> Path:
    return Path(store.tiers.of("cold").root)


def run(store: CandleStore, **options: Any) -> Any:
    return archive_candles(store, KEPT, run_id="test", **options)


def assert_same(before: list[pa.Table], after: list[pa.Table]) -> None:
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert one.schema.names == other.schema.names and one.equals(other), f"{one.num_rows} rows became others"


def test_every_read_of_archived_months_is_what_it_was_before(store: CandleStore) -> None:
    """S2.16, X6: known_at, as-of reads and revisions included, before and after the hot copies are swept."""
    fill(store)
    fill(store, ETH)
    before, other = reads(store), reads(store, ETH)
    heads = store.heads("ohlcv", "1h")
    result = run(store)
    assert (result.months_archived, result.candles_archived, result.failed, result.months_left) == (4, 4 * 600 - 20, (), 0)
    assert_same(before, reads(store))
    assert store.sweep(-10).objects_removed == 8
    assert_same(before, reads(store))
    assert_same(other, reads(store, ETH))
    for each, head in store.heads("ohlcv", "1h").items():
        assert head.storage == ("cold" if each.month < KEPT else "hot")
        unchanged = replace(head, storage="hot", object_name=heads[each].object_name, revisions_name=heads[each].revisions_name)
        assert unchanged == heads[each]
    assert store.sweep(-10).objects_removed == 0
    assert len(files(store.root)) == len(files(cold_root(store))) == 8


def test_archived_months_are_one_sorted_zstd_object_each_and_are_counted_in_bytes(store: CandleStore) -> None:
    """S4.13: the archive rewrites a month as one object without doubles."""
    fill(store)
    hot = {name: (Path(store.root) / name).stat().st_size for name in files(store.root)}
    named = {
        name
        for each, head in store.heads("ohlcv", "1h").items()
        for name in (head.object_name, head.revisions_name)
        if each.month < KEPT
    }
    result = run(store)
    assert result.bytes_before == sum(size for name, size in hot.items() if name in named)
    assert result.bytes_after == sum((cold_root(store) / name).stat().st_size for name in files(cold_root(store)))
    for month in MONTHS[:2]:
        head = head_of(store, partition(month))
        file = ParquetFile(cold_root(store) / head.object_name)
        assert {file.metadata.row_group(0).column(0).compression} == {"ZSTD"}
        opens = times(file.read())
        assert opens == sorted(set(opens)) and len(opens) == head.row_count
        assert sum(f"/{month}/" in name and "revisions" not in name for name in files(cold_root(store))) == 1


def test_archiving_again_changes_nothing_and_a_bound_on_the_work_leaves_the_rest_to_the_next_run(store: CandleStore) -> None:
    fill(store)
    fill(store, ETH)
    first = run(store, max_months=3)
    assert (first.months_archived, first.months_left) == (3, 1)
    assert [head_of(store, partition("2025-10", market)).storage for market in (BTC, ETH)] == ["cold", "cold"]
    second = run(store, max_months=3)
    assert (second.months_archived, second.months_left) == (1, 0)
    cold = files(cold_root(store))
    assert run(store).months_archived == 0
    assert files(cold_root(store)) == cold


def test_a_dry_run_tells_what_would_happen_and_changes_nothing(store: CandleStore) -> None:
    fill(store)
    merge(store, candle_rows({0: 1.0}, month_window("2025-10")[0]), 7, partition("2025-10", dataset="indicators"))
    before = (reads(store), store.heads("ohlcv", "1h"), store.heads("indicators", "1h"), files(store.root))
    expected = pending_archive(store, KEPT)
    assert (reads(store), store.heads("ohlcv", "1h"), store.heads("indicators", "1h"), files(store.root)) == before
    assert files(cold_root(store)) == []
    assert expected.bytes_after is None
    done = run(store)
    assert replace(done, bytes_after=None) == expected
    assert done.indicators_dropped == 1
    assert store.sweep(-10, dry_run=True).objects_removed == 5 == len(set(files(store.root))) - 4
    assert len(files(store.root)) == 9


@pytest.mark.parametrize(
    "restated",
    [
        pytest.param({1: 9.0}, id="restated"),
        pytest.param({105: 9.0}, id="filled"),
        pytest.param({1: 9.0, 105: 9.0, 700: 1.0}, id="both"),
    ],
)
def test_a_candle_that_comes_later_brings_its_month_back_with_its_whole_history(
    store: CandleStore, restated: dict[int, float]
) -> None:
    """A restated candle, an import or a repair merges into an archived month as into any other."""
    fill(store)
    start = month_window("2025-11")[0]
    before = store.read_table("ohlcv", BTC, "1h")
    earlier = store.revisions(partition("2025-11"))
    run(store)
    store.sweep(-10)
    change = merge(store, candle_rows(restated, start), start + 30 * HOUR, partition("2025-11"))
    assert change.changed and change.head.storage == "hot"
    store.sweep(-10)
    stored = closes_of(store.read_table("ohlcv", BTC, "1h", start, month_window("2025-11")[1]), start)
    expected = {hour: 1000.0 + hour for hour in range(600) if not 100 <= hour < 110} | {1: 0.5} | restated
    assert stored == expected
    assert store.read_table("ohlcv", BTC, "1h", as_of_ms=start + 29 * HOUR).num_rows == before.num_rows - 2 * 600
    revisions = store.revisions(partition("2025-11"))
    assert closes_of(revisions.slice(0, 1), start) == closes_of(earlier, start) == {1: 1001.0}
    assert revisions.num_rows == 1 + (1 in restated)
    assert head_of(store, partition("2025-10")).storage == "cold"
    assert run(store).months_archived == 1
    assert closes_of(store.read_table("ohlcv", BTC, "1h", start, month_window("2025-11")[1]), start) == expected


def test_candles_that_are_merged_again_unchanged_leave_their_month_archived(store: CandleStore) -> None:
    fill(store)
    run(store)
    before = head_of(store, partition("2025-10"))
    start = month_window("2025-10")[0]
    change = merge(store, candle_rows({5: 5.0, 6: 6.0}, start), start + 9 * HOUR, partition("2025-10"))
    assert not change.changed and head_of(store, partition("2025-10")) == before
    change = merge(store, candle_rows({}, start), start + 9 * HOUR, partition("2025-10"), holes=[])
    assert head_of(store, partition("2025-10")) == replace(before, confirmed_holes=())


def test_a_month_that_is_emptied_by_a_replacing_write_keeps_its_revisions(store: CandleStore) -> None:
    fill(store)
    run(store)
    start = month_window("2025-10")[0]
    merge(store, candle_rows({}, start), start + 9 * HOUR, partition("2025-10"), replacing=True)
    store.sweep(-10)
    assert head_of(store, partition("2025-10")).row_count == 0
    assert store.revisions(partition("2025-10")).num_rows == 601
    assert store.read_table("ohlcv", BTC, "1h", as_of_ms=start + HOUR).num_rows == 600
    assert run(store).months_archived == 1
    store.sweep(-10)
    assert store.read_table("ohlcv", BTC, "1h", as_of_ms=start + HOUR).num_rows == 600


def test_indicators_of_archived_months_are_dropped_and_signals_stay(store: CandleStore, database: Database) -> None:
    fill(store)
    for dataset in ("indicators", "signals.technical"):
        for month in MONTHS:
            merge(store, candle_rows({0: 1.0}, month_window(month)[0]), 7, partition(month, dataset=dataset))
    key = partition("2025-10").key
    with database.transaction() as connection:
        record_inputs(
            connection,
            asset="indicators_1h",
            partition=key,
            content_hash="a" * 64,
            code_version="1",
            settings_hash="",
            run_id="derive",
            inputs=[InputRef("ohlcv_1h", key, "b" * 64)],
            row_count=1,
        )
    assert run(store).indicators_dropped == 2
    assert [each.month for each in store.heads("indicators", "1h")] == ["2025-12", "2026-01"]
    assert [each.month for each in store.heads("signals.technical", "1h")] == list(MONTHS)
    record = latest_inputs(database, "indicators_1h", [key])[key]
    assert (record.content_hash, record.row_count, record.inputs, record.run_id) == (EMPTY_HASH, 0, (), "test")
    store.sweep(-10)
    assert sum(name.startswith("indicators/") for name in files(store.root)) == 2


def test_a_damaged_month_stays_as_it_is_and_is_named_while_the_others_are_archived(store: CandleStore) -> None:
    fill(store)
    head = head_of(store, partition("2025-10"))
    path = Path(store.root) / head.object_name
    sound = path.read_bytes()
    path.write_bytes(sound[:-200] + bytes(200))
    result = run(store)
    assert [(name, result.months_archived) for name, _ in result.failed] == [("ohlcv BTC-USDT@simulated 1h 2025-10", 1)]
    assert "cannot be read" in result.failed[0][1] and "\n" not in result.failed[0][1]
    assert head_of(store, partition("2025-10")) == head
    path.unlink()
    assert "is missing" in run(store).failed[0][1]
    path.write_bytes(sound)
    assert run(store).failed == ()


def test_a_month_that_is_not_what_its_head_says_is_not_archived(store: CandleStore) -> None:
    """The object of another month in its place: readable, and not the candles that the head's hash names."""
    fill(store)
    head, other = (head_of(store, partition(month)) for month in ("2025-10", "2026-01"))
    (Path(store.root) / head.object_name).write_bytes((Path(store.root) / other.object_name).read_bytes())
    [(_, reason)] = run(store).failed
    assert "does not hold the candles that its head names" in reason
    assert head_of(store, partition("2025-10")) == head


def test_what_is_read_back_differently_from_the_cold_root_is_not_believed(
    store: CandleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    before, hot = reads(store), files(store.root)
    cold = store.tiers.of("cold")
    write = cold.write

    def write_less(name: str, table: pa.Table) -> int:
        return write(name, table.slice(0, table.num_rows - 1) if "revisions" not in name else table)

    monkeypatch.setattr(cold, "write", write_less)
    result = run(store)
    assert result.months_archived == 0 and len(result.failed) == 2
    assert "does not hold what was written to it" in result.failed[0][1]
    assert (files(cold.root), files(store.root)) == ([], hot)
    assert_same(before, reads(store))


def test_a_cold_root_that_cannot_be_written_to_fails_every_month_and_changes_nothing(
    home: Path, store: CandleStore, database: Database
) -> None:
    fill(store)
    before = reads(store)
    (home / "file").write_text("in the way")
    broken = CandleStore(store.root, database, str(home / "file" / "cold"))
    result = run(broken)
    with pytest.raises(StoreError, match="cannot be listed: Not a directory"):
        broken.sweep(-10)
    assert len(result.failed) == 2 and "cannot be written" in result.failed[0][1]
    assert_same(before, reads(store))


def test_a_lost_connection_before_the_commit_archives_nothing_and_leaves_no_object(
    store: CandleStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    before = reads(store)

    def lose(transaction: Any, *_: Any) -> None:
        own = transaction.connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with database.transaction() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": own})

    monkeypatch.setattr(archive_module, "_note_dropped", lose)
    with pytest.raises(StoreError, match="database: "):
        run(store)
    monkeypatch.undo()
    assert files(cold_root(store)) == []
    assert_same(before, reads(store))


def test_a_commit_whose_outcome_is_unknown_keeps_the_archived_objects(
    store: CandleStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store)
    before = reads(store)
    committed = database.engine.dialect.do_commit
    commits: list[int] = []

    def break_second(connection: Any) -> None:
        committed(connection)
        commits.append(1)
        if len(commits) == 2:
            raise database.engine.dialect.dbapi.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(database.engine.dialect, "do_commit", break_second)
    with pytest.raises(StoreError, match="server closed the connection unexpectedly"):
        run(store)
    monkeypatch.undo()
    store.sweep(-10)
    assert {head.storage for each, head in store.heads("ohlcv", "1h").items() if each.month < KEPT} == {"cold"}
    assert_same(before, reads(store))


# The process kills itself at one point of the archive of its two months.
VICTIM = """
import os, signal, sys
from fks_assets.stores import archive
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
from fks_assets.stores.transaction import StoreTransaction

url, hot, cold, point = sys.argv[1:]
database = Database(url)
store = CandleStore(hot, database, cold)
cold_objects = store.tiers.of("cold")

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def die_instead(owner, name):
    setattr(owner, name, die)

def die_after(owner, name, times=1):
    original, seen = getattr(owner, name), []
    def dying(*arguments):
        result = original(*arguments)
        seen.append(1)
        if len(seen) >= times:
            die()
        return result
    setattr(owner, name, dying)

if point == "an object half written":
    from fks_assets.stores import objects
    original = os.write
    def half(descriptor, data):
        if "/cold/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            original(descriptor, data[: len(data) // 2])
            die()
        return original(descriptor, data)
    objects.os.write = half
elif point == "written, not flushed":
    die_instead(cold_objects, "flush_directories")
elif point == "flushed, not read back":
    die_instead(cold_objects, "read")
elif point == "one month verified, the other not":
    die_after(archive, "_copy")
elif point == "verified, heads not written":
    die_instead(StoreTransaction, "finish")
elif point == "heads written, not committed":
    die_after(StoreTransaction, "finish")
elif point == "committed, not told":
    die_after(database.engine.dialect, "do_commit", times=2)
archive.archive_candles(store, "2025-12", run_id="victim")
print("survived", flush=True)
"""
POINTS = [
    "an object half written",
    pytest.param("written, not flushed", marks=pytest.mark.nightly),
    pytest.param("flushed, not read back", marks=pytest.mark.nightly),
    pytest.param("one month verified, the other not", marks=pytest.mark.nightly),
    pytest.param("verified, heads not written", marks=pytest.mark.nightly),
    "heads written, not committed",
    "committed, not told",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_loses_nothing(store: CandleStore, database: Database, point: str) -> None:
    """Every read is as before; a sweep clears what is left over; the next run archives the rest."""
    fill(store)
    before = reads(store)
    with child(VICTIM, database.url, store.root, str(cold_root(store)), point) as victim:
        said, words = victim.communicate(timeout=60)
        assert (victim.returncode, said) == (-signal.SIGKILL, ""), words
    archived = {head.storage for each, head in store.heads("ohlcv", "1h").items() if each.month < KEPT}
    assert archived == ({"cold"} if point == "committed, not told" else {"hot"})
    assert_same(before, reads(store))
    store.sweep(-10)
    assert len(files(cold_root(store))) == (4 if archived == {"cold"} else 0)
    assert_same(before, reads(store))
    assert run(store).months_archived == (0 if archived == {"cold"} else 2)
    store.sweep(-10)
    assert_same(before, reads(store))


RIVAL = """
import sys
from fks_assets.stores.archive import archive_candles
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
store = CandleStore(sys.argv[2], Database(sys.argv[1]), sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
result = archive_candles(store, "2025-12", run_id="rival")
print(result.months_archived, len(result.failed), flush=True)
"""


def test_two_archive_runs_at_once_move_each_month_once(store: CandleStore, database: Database) -> None:
    fill(store)
    fill(store, ETH)
    before = reads(store)
    arguments = (database.url, store.root, str(cold_root(store)))
    with child(RIVAL, *arguments) as first, child(RIVAL, *arguments) as second:
        rivals = (first, second)
        assert [line_of(rival) for rival in rivals] == ["ready", "ready"]
        for rival in rivals:
            rival.stdin.write("go\n")
            rival.stdin.flush()
        said = [tuple(map(int, line_of(rival).split())) for rival in rivals]
    assert (sum(moved for moved, _ in said), [failed for _, failed in said]) == (4, [0, 0])
    assert_same(before, reads(store))
    store.sweep(-10)
    assert len(files(cold_root(store))) == 8
    assert_same(before, reads(store))


def test_both_roots_may_be_urls_of_object_stores(database: Database) -> None:
    store = CandleStore("memory://archive/candles", database, "memory://archive/cold")
    fill(store)
    before = reads(store)
    result = run(store)
    assert result.months_archived == 2 and result.bytes_after and result.bytes_before
    assert store.sweep(-10).objects_removed == 4
    assert_same(before, reads(store))
    start = month_window("2025-10")[0]
    merge(store, candle_rows({3: 7.0}, start), start + 30 * HOUR, partition("2025-10"))
    store.sweep(-10)
    assert closes_of(store.read_table("ohlcv", BTC, "1h", start, start + 5 * HOUR), start) == {0: 0, 1: 0.5, 2: 2, 3: 7, 4: 4}
    assert run(store).months_archived == 1


@pytest.mark.parametrize(
    ("root", "cold"),
    [
        ("/data/candles", "/data/candles"),
        ("/data/candles", "/data/candles/cold"),
        ("/data/candles/hot", "/data/candles"),
        ("/data/candles", "file:///data/candles/../candles/cold"),
        ("s3://bucket/candles", "s3://bucket/candles/cold/"),
        ("memory://a", "memory://a"),
    ],
)
def test_roots_within_one_another_are_refused(database: Database, root: str, cold: str) -> None:
    """Each root is swept of what is not its own: one inside the other would be emptied."""
    with pytest.raises(SettingsError, match="must not lie within one another"):
        CandleStore(root, database, cold)
    CandleStore(root, database, f"{cold.rstrip('/')}-elsewhere" if cold == root else "/elsewhere")


def test_without_a_cold_root_archived_months_are_an_error_that_says_so(store: CandleStore, database: Database) -> None:
    fill(store)
    run(store)
    blind = CandleStore(store.root, database)
    with pytest.raises(StoreError, match="no cold root is set: set FKS_COLD_ROOT"):
        blind.read_table("ohlcv", BTC, "1h")
    assert blind.read_table("ohlcv", BTC, "1h", month_window("2026-01")[0]).num_rows == 600
    assert "no cold root is set" in archive_candles(blind, "2026-01", run_id="test").failed[0][1]


def test_holes_that_were_not_noted_are_noted_when_a_month_is_archived(store: CandleStore, database: Database) -> None:
    fill(store)
    expected = head_of(store, partition("2025-11")).holes
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE dataset_heads SET holes = NULL"))
    run(store)
    start = month_window("2025-11")[0]
    assert head_of(store, partition("2025-11")).holes == expected == ((start + 100 * HOUR, start + 110 * HOUR),)


@pytest.mark.parametrize(
    ("days", "month"), [(365, "2025-11"), (386, "2025-10"), (385, "2025-11"), (31, "2026-10"), (20, "2026-11"), (21, "2026-10")]
)
def test_a_month_is_old_when_its_last_candle_is(days: int, month: str) -> None:
    """At 2026-11-21T10:00Z: by `date -u -d '2026-11-21 10:00 -N days'`, whose month is the first that is kept."""
    assert first_month_kept(days, 1_795_255_200_000) == month


Step = tuple[str, int, list[tuple[int, float]]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["merge", "replace", "archive", "sweep"]),
        st.integers(0, 2),
        st.lists(st.tuples(st.integers(0, 40), st.floats(1, 100)), max_size=12),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=tries(15, 60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_archiving_between_any_writes_changes_no_read(
    home: Path, database: Database, tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    """Random months: one market is archived and swept between its writes, its twin never is; all reads agree."""
    with database.transaction() as connection:
        connection.execute(sa.text("DELETE FROM dataset_heads"))
    roots = tmp_path_factory.mktemp("roots")
    store = CandleStore(str(roots / "candles"), database, str(roots / "cold"))
    moment = month_window("2026-01")[0]
    moments = [moment]
    for action, number, cells in steps:
        month = MONTHS[number]
        if action == "archive":
            only_btc(lambda: archive_candles(store, "2026-01", run_id="random"), store)
        elif action == "sweep":
            store.sweep(-10)
        else:
            moment += HOUR
            moments.append(moment)
            rows = candle_rows(dict(cells), month_window(month)[0])
            for market in (BTC, ETH):
                merge(store, rows, moment, partition(month, market), replacing=action == "replace")
    for market_read in (
        lambda market: store.read_table("ohlcv", market, "1h"),
        *(lambda market, at=at: store.read_table("ohlcv", market, "1h", as_of_ms=at) for at in moments),
        *(lambda market, month=month: store.revisions(partition(month, market)) for month in MONTHS[:3]),
    ):
        assert market_read(BTC).equals(market_read(ETH))
    hashes = {market: [h.content_hash for e, h in store.heads("ohlcv", "1h", [market]).items()] for market in (BTC, ETH)}
    assert hashes[BTC] == hashes[ETH]


def only_btc(archive: Callable[[], object], store: CandleStore) -> None:
    """Archive, with the heads of the twin marked away meanwhile."""
    with store.database.transaction() as connection:
        connection.execute(sa.text("UPDATE dataset_heads SET dataset = 'twin' WHERE market = :market"), {"market": ETH.key})
    archive()
    with store.database.transaction() as connection:
        connection.execute(sa.text("UPDATE dataset_heads SET dataset = 'ohlcv' WHERE dataset = 'twin'"))
