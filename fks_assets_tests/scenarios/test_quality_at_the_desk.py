"""Bad candles stopped before money: one market is blocked, alerted once and freed again; a restated candle lists what it changed.

Expected rows are those of the simulator's oracle, expected differences those between two reads of the store, before and after.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from fks_assets.assets.market_data.blast_radius import blast_radius
from fks_assets.assets.schedules import behind_request
from fks_assets.quant.candles import Fault
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import TIMEFRAMES, months_between
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.canonical import content_hash, times_of
from fks_assets.stores.market_checks import read_checks
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.quarantine import REPLACED, read_quarantined
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, SYMBOLS, StoppedDesk, database_of_a_module, stopped_desk

START_MS = parse_time("start", "now", "2025-06-10T09:00:30Z")
HOUR = TIMEFRAMES["1h"]
FAULTED = "ETH-USDT"
MARKET = parse_market(f"{FAULTED}@simulated")
OTHERS = [parse_market(f"{symbol}@simulated") for symbol in SYMBOLS if symbol != FAULTED]
CHAIN = ("ohlcv", "indicators", "signals")
DATASETS = ("ohlcv", "indicators", "signals.technical", "signals.breakout")


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    with (
        database_of_a_module(postgres_home, "quality_at_the_desk") as url,
        stopped_desk(tmp_path_factory.mktemp("desk"), url, START_MS, history_days=40) as desk,
    ):
        assert desk.tick(CHAIN).success
        yield desk


@pytest.fixture
def desk(shared_desk: StoppedDesk) -> Iterator[StoppedDesk]:
    """The shared desk, whole and with every check green, two days after the last test."""
    shared_desk.clear()
    shared_desk.advance(48)
    assert shared_desk.tick(CHAIN).success
    assert _failing(shared_desk) == {}
    yield shared_desk
    shared_desk.clear()


def _failing(desk: StoppedDesk) -> dict[str, set[str]]:
    """Return the failing checks by market."""
    failing: dict[str, set[str]] = {}
    for check in read_checks(desk.desk.stores.database):
        if not check.passed:
            failing.setdefault(check.market.key, set()).add(check.name)
    return failing


def _alerts(desk: StoppedDesk) -> list[str]:
    return [each.message for each in read_notifications(desk.desk.stores.database, ["market_check"])]


def _newest(desk: StoppedDesk, dataset: str, market: Any = MARKET) -> int:
    table = desk.desk.stores.candles.read_table(dataset, market, "1h", columns=["open_time"])
    return int(times_of(table)[-1])


def _spoil_newest(desk: StoppedDesk, factor: float) -> int:
    """Let the exchange serve the candle that closes next with all its prices multiplied."""
    opened = desk.now_ms - desk.now_ms % HOUR_MS
    desk.simulator.add_faults(
        {"action": "revise", "open_time": opened, "price_factor": factor, "endpoint": "candles", "symbol": FAULTED}
    )
    desk.advance(1)
    return opened


def _checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def test_a_spike_stops_the_signals_of_its_market_alone_and_alerts_once_until_it_is_repaired(desk: StoppedDesk) -> None:
    """Q2, D13 and the issue's "a market with a failing check gives no signal"."""
    alerts = len(_alerts(desk))
    before = _newest(desk, "signals.technical")
    spoiled = _spoil_newest(desk, 3.0)
    result = desk.tick(CHAIN)
    assert result.success
    assert _failing(desk) == {MARKET.key: {"sane"}}
    check = _checks(result)["sane"]
    assert not check.passed and check.severity is dg.AssetCheckSeverity.WARN
    assert list(check.metadata["failing"].data) == [MARKET.key]
    assert _newest(desk, "ohlcv") == _newest(desk, "indicators") == spoiled
    assert _newest(desk, "signals.technical") == before < spoiled
    assert [_newest(desk, "signals.breakout", market) for market in OTHERS] == [spoiled] * len(OTHERS)
    [entry] = read_quarantined(desk.desk.stores.database, [MARKET])
    assert (entry.row.open_time, entry.row.kind) == (spoiled, Fault.SPIKE)

    assert behind_request(desk.desk.stores, CHAIN) is None, "a blocked market must not cost a run at every tick"
    [alert] = _alerts(desk)[alerts:]
    assert alert.startswith(f"{MARKET} 1h gives no signals: sane: 1 suspect candles")
    assert desk.desk.run(["ohlcv_1h", "indicators_1h", "signals_1h"], _months(desk), scheduled=True).success
    assert len(_alerts(desk)) == alerts + 1

    desk.simulator.remove_faults()
    desk.advance(1)
    assert desk.tick(CHAIN).success
    assert _failing(desk) == {}
    assert desk.stored(FAULTED) == desk.truth(FAULTED)
    assert _newest(desk, "signals.technical") == _newest(desk, "ohlcv")
    assert len(_alerts(desk)) == alerts + 1

    _spoil_newest(desk, 0.3)
    assert desk.tick(CHAIN).success
    assert len(_alerts(desk)) == alerts + 2, "a new failure alerts anew"


def test_a_repair_outside_any_run_frees_the_market_at_the_next_tick(desk: StoppedDesk) -> None:
    from fks_assets.assets.market_data.plan import SyncMode
    from fks_assets.assets.market_data.sync import sync_candles

    _spoil_newest(desk, 3.0)
    assert desk.tick(CHAIN).success
    assert _failing(desk) == {MARKET.key: {"sane"}}
    desk.simulator.remove_faults()
    desk.set_clock(desk.now_ms + 60_000)
    results = list(
        sync_candles(
            desk.desk.stores, desk.desk.market_data, [MARKET], _months(desk)[-1:], HOUR, mode=SyncMode.VERIFY, run_id="by hand"
        )
    )
    assert [result.change.restated for result in results if result.change is not None] == [1]
    assert _failing(desk) == {}
    assert desk.tick(CHAIN).success
    assert _newest(desk, "signals.technical") == _newest(desk, "ohlcv")


def test_an_unusable_row_is_quarantined_once_and_resolved_when_a_usable_candle_comes(desk: StoppedDesk) -> None:
    """F1, F2 and E8: the row reaches nothing, the others trade on, and the market says why."""
    database, alerts = desk.desk.stores.database, len(_alerts(desk))
    desk.simulator.add_faults(
        {"action": "values", "values": "nan", "where": "last_closed", "endpoint": "candles", "symbol": FAULTED}
    )
    desk.advance(1)
    bad = desk.now_ms - desk.now_ms % HOUR_MS - HOUR_MS
    before = _newest(desk, "signals.technical")
    for _ in range(2):
        result = desk.tick(CHAIN)
        assert result.success
        desk.set_clock(desk.now_ms + 60_000)
    [entry] = read_quarantined(database, [MARKET])
    assert (entry.row.open_time, entry.row.kind, entry.times_seen) == (bad, Fault.NOT_A_NUMBER, 2)
    assert bad not in desk.stored(FAULTED)
    assert _failing(desk) == {MARKET.key: {"quarantine"}}
    assert not _checks(result)["quarantine"].passed and not _checks(result)["synced"].passed
    assert _newest(desk, "signals.technical") == before
    assert [_newest(desk, "signals.technical", market) for market in OTHERS] == [bad] * len(OTHERS)
    assert len(_alerts(desk)) == alerts + 1

    desk.simulator.remove_faults()
    assert desk.tick(CHAIN).success
    assert read_quarantined(database, [MARKET]) == []
    newest = read_quarantined(database, [MARKET], resolved=True)[-1]
    assert (newest.id, newest.resolution, newest.resolved_at) == (entry.id, REPLACED, desk.now_ms)
    assert _failing(desk) == {}
    assert _newest(desk, "signals.technical") == bad
    assert len(_alerts(desk)) == alerts + 1


def test_a_check_is_an_error_when_every_market_fails_and_the_run_that_heals_it_turns_all_green(desk: StoppedDesk) -> None:
    alerts = len(_alerts(desk))
    desk.simulator.add_faults({"action": "missing", "where": "last_closed", "count": 5, "endpoint": "candles"})
    desk.advance(5)
    result = desk.tick(CHAIN)
    assert result.success
    check = _checks(result)["fresh"]
    assert not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
    assert set(check.metadata["failing"].data) == {f"{symbol}@simulated" for symbol in SYMBOLS}
    assert len(_alerts(desk)) == alerts + len(SYMBOLS)
    desk.simulator.remove_faults()
    result = desk.tick(CHAIN)
    assert result.success and all(each.passed for each in _checks(result).values())
    assert len(_alerts(desk)) == alerts + len(SYMBOLS)


def test_a_person_who_asks_for_signals_of_a_blocked_market_is_told_why_there_are_none(desk: StoppedDesk) -> None:
    _spoil_newest(desk, 3.0)
    assert desk.tick(CHAIN).success
    months = _months(desk)[-1:]
    assert desk.desk.run(["signals_1h"], months, markets=[MARKET.key], scheduled=True).success
    refused = desk.desk.run(["signals_1h"], months, markets=[MARKET.key])
    assert not refused.success
    [failure] = [event for event in refused.all_events if event.is_step_failure]
    assert "no signals while a check fails: sane: 1 suspect candles" in failure.event_specific_data.error.message
    desk.simulator.remove_faults()
    assert desk.desk.run(["ohlcv_1h"], months, config={"ops": {"ohlcv_1h": {"config": {"verify": True}}}}).success
    assert desk.tick(CHAIN).success
    assert desk.desk.run(["signals_1h"], months, markets=[MARKET.key]).success


@pytest.mark.parametrize("candles_ago", [1, 30])
def test_a_restated_candle_keeps_what_was_known_and_lists_exactly_what_it_changed(desk: StoppedDesk, candles_ago: int) -> None:
    """D2, D8 and C6."""
    stores = desk.desk.stores
    known_by = desk.now_ms
    before = _tables(desk)
    hashes = {key: content_hash(table) for key, table in before.items()}
    restated = sorted(desk.stored(FAULTED))[-candles_ago]
    old = desk.stored(FAULTED)[restated]
    desk.simulator.add_faults(
        {"action": "revise", "open_time": restated, "price_factor": 1.03, "endpoint": "candles", "symbol": FAULTED}
    )
    desk.set_clock(known_by + 60_000)
    counted = {f"{prefix}_1h": len(desk.desk.events(f"{prefix}_1h")) for prefix in CHAIN}
    config = {"ops": {"ohlcv_1h": {"config": {"verify": True}}}}
    assert desk.desk.run(list(counted), _months(desk), scheduled=True, config=config).success

    after = _tables(desk)
    assert {key: content_hash(table) for key, table in _tables(desk, known_by).items()} == hashes
    expected = {key: _differences(before[key], after[key]) for key in before}
    changed = {key for key, rows in expected.items() if rows}
    assert {market for market, _ in changed} == {MARKET}
    month = months_between(restated, restated + 1)[0]
    for asset, count in counted.items():
        assert {event.partition for event in desk.desk.events(asset)[: len(desk.desk.events(asset)) - count]} == {
            f"{MARKET}|{month}"
        }

    radius = blast_radius(stores, MARKET, HOUR, restated)
    [revision] = radius.revisions
    assert tuple(revision.old.values()) == old
    assert tuple(revision.new.values()) == desk.stored(FAULTED)[restated] != old
    assert revision.known_at <= known_by < revision.superseded_at == desk.now_ms
    assert [(each.asset, each.partition) for each in revision.dependents] == [
        (f"{prefix}_1h", f"{MARKET}|{month}") for prefix in ("indicators", "signals")
    ]
    found: dict[str, set[int]] = {}
    for dependent in revision.dependents:
        for row in dependent.rows:
            found.setdefault(row.dataset, set()).add(row.open_time)
            for name, value in (row.old or {}).items():
                assert _cell(before[MARKET, row.dataset], row.open_time, name) == value
                assert _cell(after[MARKET, row.dataset], row.open_time, name) == row.new[name]
    assert found == {dataset: rows for (_, dataset), rows in expected.items() if rows and dataset != "ohlcv"}

    notes = read_notifications(stores.database, ["correction"])
    words, document = notes[-1].message.rsplit("\n", 1)
    assert f"The 1h candle of {MARKET} at" in words and "close" in words
    assert json.loads(document) == json.loads(json.dumps(radius.document()))
    assert desk.desk.run(list(counted), _months(desk), scheduled=True).success
    assert read_notifications(stores.database, ["correction"]) == notes

    desk.simulator.remove_faults()
    desk.set_clock(desk.now_ms + 60_000)
    assert desk.desk.run(list(counted), _months(desk), scheduled=True, config=config).success
    first, second = blast_radius(stores, MARKET, HOUR, restated).revisions
    assert first == revision
    assert tuple(second.new.values()) == old == desk.truth(FAULTED)[restated]
    for there, back in zip(first.dependents, second.dependents, strict=True):
        assert [(row.open_time, row.old, row.new) for row in there.rows] == [
            (row.open_time, row.new, row.old) for row in back.rows
        ]
    assert len(read_notifications(stores.database, ["correction"])) == len(notes) + 1


def test_an_identical_refetch_writes_nothing_downstream(desk: StoppedDesk) -> None:
    """D13."""
    before = _traces(desk)
    desk.set_clock(desk.now_ms + 60_000)
    config = {"ops": {"ohlcv_1h": {"config": {"verify": True}}}}
    assert desk.desk.run([f"{prefix}_1h" for prefix in CHAIN], _months(desk), scheduled=True, config=config).success
    assert _traces(desk) == before


def _months(desk: StoppedDesk) -> list[str]:
    return months_between(desk.now_ms - 40 * 24 * HOUR_MS, desk.now_ms)


def _tables(desk: StoppedDesk, as_of_ms: int | None = None) -> dict[tuple[Any, str], pa.Table]:
    read = desk.desk.stores.candles.read_table
    markets = [MARKET, *OTHERS]
    return {(market, dataset): read(dataset, market, "1h", as_of_ms=as_of_ms) for market in markets for dataset in DATASETS}


def _differences(before: pa.Table, after: pa.Table) -> set[int]:
    """Return the times of the rows that differ in anything but their knowledge time."""
    rows = [
        {time: str(row) for time, row in zip(times_of(each).tolist(), each.drop_columns(["known_at"]).to_pylist(), strict=True)}
        for each in (before, after)
    ]
    return {time for time in rows[0].keys() | rows[1].keys() if rows[0].get(time) != rows[1].get(time)}


def _cell(table: pa.Table, open_time: int, name: str) -> Any:
    value = table[name][times_of(table).tolist().index(open_time)].as_py()
    if name == "action":
        return {1: "BUY", -1: "SELL", 0: "HOLD"}[value]
    return None if value != value else value


def _traces(desk: StoppedDesk) -> dict[str, Any]:
    """Return all that a downstream write would leave behind."""
    with desk.desk.stores.database.transaction() as connection:
        counts = {
            name: connection.execute(sa.text(statement)).all()
            for name, statement in {
                "heads": "SELECT dataset, market, month, content_hash, updated_at FROM dataset_heads ORDER BY 1, 2, 3",
                "records": "SELECT max(id) FROM partition_inputs",
                "notifications": "SELECT count(*) FROM notifications",
                "quarantined": "SELECT count(*), sum(times_seen) FROM quarantined_rows",
            }.items()
        }
    return {**counts, **{f"{prefix}_1h": len(desk.desk.events(f"{prefix}_1h")) for prefix in CHAIN}}
