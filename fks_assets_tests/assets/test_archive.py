"""The archive and the upkeep of gap records as Dagster runs them, and what the schedules make of archived months."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import numpy as np
import pytest

from fks_assets import clock
from fks_assets.assets.freshness import behind
from fks_assets.clock import MILLISECONDS_PER_DAY, to_ms
from fks_assets.quant.candles import Candles
from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.timeframes import month_window
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.gap_records import GapRecord, read_gaps, write_gaps
from fks_assets.stores.sync_status import SyncState, record_sync
from fks_assets_tests.desk import Desk, build_desk

HOUR = 3_600_000
NOW = to_ms(datetime(2026, 11, 21, 10, 0, 30, tzinfo=UTC))
NEWEST = NOW - NOW % HOUR - HOUR
MONTHS = ("2026-07", "2026-08", "2026-09", "2026-10", "2026-11")
ARCHIVED = MONTHS[:3]


ASSETS = {"archive": "archived_candles", "gap_upkeep": "old_gap_records"}


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Five months of hourly candles with everything derived from them, at 2026-11-21; candles are kept hot for 31 days."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: NOW * 1_000_000))
    desk = build_desk(
        home,
        database_url,
        "http://127.0.0.1:9",
        symbols=["BTC-USDT"],
        TIMEFRAMES="1h",
        FIRST_MONTH=MONTHS[0],
        RETENTION__CANDLES="31",
    )
    for month in MONTHS:
        store_month(desk, month)
    with desk.stores.database.transaction() as connection:
        [market] = desk.settings.market_list()
        record_sync(connection, market, "1h", state=SyncState.COMPLETED, newest_open=NEWEST, at_ms=NOW)
    assert derive(desk).success
    return desk


def store_month(desk: Desk, month: str, restated: dict[int, float] | None = None) -> None:
    """Store a month of a walk that its number seeds, or some of its candles with other closes."""
    start, end = month_window(month)
    times = np.arange(start, min(end, NEWEST + HOUR), HOUR)
    close = 100 * np.exp(np.cumsum(np.random.default_rng(int(month[-2:])).normal(0, 0.01, len(times))))
    if restated is not None:
        rows = np.array(sorted(restated))
        times, close = times[rows], np.array([restated[row] for row in sorted(restated)])
    candles = Candles(times, close, close * 1.01, close * 0.99, close, np.full(len(times), 5.0))
    partition = PartitionId("ohlcv", desk.settings.market_list()[0], "1h", month)
    with desk.stores.candles.begin([partition]) as transaction:
        transaction.merge(partition, candles_table([(candles, "exchange")]), known_at_ms=NOW)


def derive(desk: Desk, months: tuple[str, ...] = MONTHS, *, scheduled: bool = True) -> dg.ExecuteInProcessResult:
    return desk.run(["indicators_1h", "signals_1h"], months, scheduled=scheduled)


def run(desk: Desk, name: str, **config: Any) -> dg.ExecuteInProcessResult:
    return desk.definitions.resolve_job_def(name).execute_in_process(
        instance=desk.instance, run_config={"ops": {ASSETS[name]: {"config": config}}}, raise_on_error=False
    )


def told(desk: Desk, name: str) -> dict[str, Any]:
    """Return the metadata of the newest event of an asset."""
    return {key: value.value for key, value in desk.events(name)[0].metadata.items()}


def months_of(desk: Desk, dataset: str) -> list[str]:
    return [partition.month for partition in desk.stores.candles.heads(dataset, "1h")]


def storage(desk: Desk) -> dict[str, str]:
    return {partition.month: head.storage for partition, head in desk.stores.candles.heads("ohlcv", "1h").items()}


def test_a_run_archives_what_is_old_and_says_in_one_event_what_it_did(desk: Desk) -> None:
    """S2.16, X6."""
    market = desk.settings.market_list()[0]
    before = desk.stores.candles.read_table("ohlcv", market, "1h")
    rows = {head.partition.month: head.row_count for head in desk.stores.candles.heads("ohlcv", "1h").values()}
    assert run(desk, "archive").success
    found = told(desk, "archived_candles")
    assert found["candles_archived"] == sum(rows[month] for month in ARCHIVED) == (31 + 31 + 30) * 24
    assert {
        key: found[key] for key in ("months_archived", "indicators_dropped", "failed", "days_to_keep", "first month kept")
    } == {
        "months_archived": 3,
        "indicators_dropped": 3,
        "failed": 0,
        "days_to_keep": 31,
        "first month kept": "2026-10",
    }
    assert 0 < found["bytes_after"] < found["bytes_before"]
    assert len(desk.events("archived_candles")) == 1
    assert storage(desk) == {month: "cold" if month in ARCHIVED else "hot" for month in MONTHS}
    assert desk.stores.candles.read_table("ohlcv", market, "1h").equals(before)
    assert Path(desk.settings.cold_location) == desk.settings.home / "cold"
    assert run(desk, "archive").success
    assert told(desk, "archived_candles")["months_archived"] == 0


def test_the_run_configuration_bounds_age_and_work(desk: Desk) -> None:
    assert run(desk, "archive", days_to_keep=110).success
    assert [month for month, where in storage(desk).items() if where == "cold"] == ["2026-07"]
    assert run(desk, "archive", max_months=1).success
    assert told(desk, "archived_candles")["months left for the next run"] == 1
    assert [month for month, where in storage(desk).items() if where == "cold"] == ["2026-07", "2026-08"]
    with pytest.raises(dg.DagsterInvalidConfigError):
        desk.definitions.resolve_job_def("archive").execute_in_process(
            instance=desk.instance, run_config={"ops": {"archived_candles": {"config": {"days_to_keep": "many"}}}}
        )
    assert not run(desk, "archive", days_to_keep=3).success


def test_a_month_that_cannot_be_archived_fails_the_run_that_archived_the_others(desk: Desk) -> None:
    head = next(iter(desk.stores.candles.heads("ohlcv", "1h").values()))
    (Path(desk.settings.candle_location) / head.object_name).unlink()
    result = run(desk, "archive")
    assert not result.success
    [failure] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    words = str(failure.event_specific_data.error_display_string)
    assert "1 months could not be archived: ohlcv BTC-USDT@simulated 1h 2026-07: the candle object" in words
    found = told(desk, "archived_candles")
    assert (found["months_archived"], found["failed"], list(found["failed months"])) == (
        2,
        1,
        ["ohlcv BTC-USDT@simulated 1h 2026-07"],
    )


def test_indicators_of_archived_months_are_not_missed_by_the_schedules_and_are_rebuilt_for_a_person(desk: Desk) -> None:
    market = desk.settings.market_list()[0]
    start, end = month_window("2026-08")
    indicators = desk.stores.candles.read("indicators", market, "1h", start, end).drop(columns="known_at")
    signals = desk.stores.candles.read("signals.technical", market, "1h")
    assert behind(desk.stores, derived=True, signals=True) is None
    assert run(desk, "archive").success
    desk.stores.candles.sweep(-10)
    events = len(desk.events("indicators_1h"))

    assert behind(desk.stores, derived=True, signals=True) is None
    assert derive(desk).success
    assert months_of(desk, "indicators") == list(MONTHS[3:])
    assert len(desk.events("indicators_1h")) == events
    assert desk.stores.candles.read("signals.technical", market, "1h").equals(signals)

    assert derive(desk, ARCHIVED[1:2], scheduled=False).success
    assert months_of(desk, "indicators") == ["2026-08", *MONTHS[3:]]
    rebuilt = desk.stores.candles.read("indicators", market, "1h", start, end).drop(columns="known_at")
    assert rebuilt.equals(indicators) and len(rebuilt) == 31 * 24


def test_a_candle_restated_in_an_archived_month_brings_all_that_derives_from_it_up_to_date_again(desk: Desk) -> None:
    assert run(desk, "archive").success
    store_month(desk, "2026-08", {10: 123.0})
    assert storage(desk)["2026-08"] == "hot"
    work = behind(desk.stores, derived=True, signals=True)
    assert work is not None and work.months[0] == "2026-08"
    assert derive(desk, work.months).success
    assert months_of(desk, "indicators") == ["2026-08", *MONTHS[3:]]
    assert behind(desk.stores, derived=True, signals=True) is None
    assert run(desk, "archive").success
    assert (told(desk, "archived_candles")["months_archived"], told(desk, "archived_candles")["indicators_dropped"]) == (1, 1)


def test_a_candle_that_is_restated_and_set_right_again_does_not_leave_its_month_without_indicators(desk: Desk) -> None:
    """The candles are then what they were when the indicators were last made, but those were dropped with the archive."""
    market = desk.settings.market_list()[0]
    before = desk.stores.candles.read_table("ohlcv", market, "1h", *month_window("2026-08"))["close"][10].as_py()
    assert run(desk, "archive").success
    for close in (123.0, before):
        store_month(desk, "2026-08", {10: close})
    assert behind(desk.stores, derived=True, signals=True) is not None
    assert derive(desk).success
    assert "2026-08" in months_of(desk, "indicators")


def test_old_gap_records_go_on_sundays_and_unfillable_ones_never(desk: Desk) -> None:
    """S5.4, X15."""
    market = desk.settings.market_list()[0]

    def gap(number: int, status: GapStatus, days_ago: float) -> GapRecord:
        ended = NOW - round(days_ago * MILLISECONDS_PER_DAY)
        start = month_window("2026-07")[0] + number * 10 * HOUR
        record = GapRecord(None, market, "1h", start, start + HOUR, 1, True, 0, 100, status, GapCause.FETCH_FAILED, ended)
        if status is GapStatus.FILLED:
            return replace(record, filled_at=ended, filled_candles=1)
        return replace(record, attempted_at=ended, error_message="timeout")

    kinds = [GapStatus.FILLED, GapStatus.FAILED, GapStatus.UNFILLABLE, GapStatus.DETECTED]
    records = [gap(number, kinds[number % 4], 89.9 if number < 4 else 90.1) for number in range(12)]
    with desk.stores.database.transaction() as connection:
        write_gaps(connection, records)
    assert run(desk, "gap_upkeep").success
    assert {key: told(desk, "old_gap_records")[key] for key in ("filled_deleted", "failed_deleted", "days")} == {
        "filled_deleted": 2,
        "failed_deleted": 2,
        "days": 90,
    }
    left = [record.status for record in read_gaps(desk.stores.database)]
    assert left == [*kinds, *kinds[2:], *kinds[2:]]
    assert run(desk, "gap_upkeep", days=1).success
    assert told(desk, "old_gap_records")["filled_deleted"] == 1


def test_archive_and_gap_upkeep_have_their_times_apart_from_each_other(desk: Desk) -> None:
    """X15, X22: 03:30 daily and Sundays 04:00, UTC."""
    schedules = {schedule.name: schedule for schedule in desk.definitions.schedules or ()}
    assert (schedules["archive_schedule"].cron_schedule, schedules["gap_upkeep_schedule"].cron_schedule) == (
        "30 3 * * *",
        "0 4 * * 0",
    )
