"""What each schedule asks for at a tick, judged from what is stored and the local clock."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest

from fks_assets import clock
from fks_assets.clock import to_ms
from fks_assets.quant.candles import Candles
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.sync_status import SyncState, record_sync
from fks_assets_tests.desk import Desk, build_desk

NOW = datetime(2025, 6, 10, 9, 0, 30, tzinfo=UTC)
TICK = datetime(2025, 6, 10, 9, 0, tzinfo=UTC)
NEWEST = {"5m": datetime(2025, 6, 10, 8, 55, tzinfo=UTC), "1h": datetime(2025, 6, 10, 8, tzinfo=UTC)}
SYMBOLS = ["BTC-USDT", "ETH-USDT", "ADA-USDT"]
CRONS = {"critical_path": "*/5 * * * *", "signals": "*/15 * * * *", "risk": "*/30 * * * *"}
PREFIXES = {"critical_path": ("ohlcv",), "signals": ("ohlcv", "indicators", "signals"), "risk": ("ohlcv", "indicators")}


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk whose local clock stands at NOW. No tick may ask its exchange: nothing listens at that port."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: to_ms(NOW) * 1_000_000))
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=SYMBOLS, TIMEFRAMES="5m,1h", FIRST_MONTH="2025-03")
    # A schedule's context opens its instance by reference, which one in memory does not have.
    with dg.DagsterInstance.local_temp(str(home)) as desk.instance:
        yield desk


def _synced(desk: Desk, timeframe: str, newest: datetime, state: SyncState = SyncState.COMPLETED) -> None:
    error = "exchange down" if state is SyncState.ERROR else None
    with desk.stores.database.transaction() as connection:
        for market in desk.settings.market_list():
            at, open_ms = to_ms(NOW), to_ms(newest)
            record_sync(connection, market, timeframe, state=state, newest_open=open_ms, error_message=error, at_ms=at)


def _all_synced(desk: Desk) -> None:
    for timeframe, newest in NEWEST.items():
        _synced(desk, timeframe, newest)


def _tick(desk: Desk, job: str, at: datetime = TICK) -> dg.RunRequest | str:
    """Return the one run that the schedule requests, or the words with which it skips."""
    schedule = desk.definitions.resolve_schedule_def(f"{job}_schedule")
    with dg.build_schedule_context(desk.instance, at, resources={"stores": desk.stores}) as context:
        outcome = schedule(context)
    if isinstance(outcome, dg.SkipReason):
        return outcome.skip_message
    assert isinstance(outcome, dg.RunRequest)
    return outcome


def _names(request: dg.RunRequest | str) -> set[str]:
    assert isinstance(request, dg.RunRequest), request
    return {key.to_user_string() for key in request.asset_selection or ()}


@pytest.mark.parametrize("job", CRONS)
def test_an_empty_desk_gets_one_run_over_every_market_and_its_whole_history(desk: Desk, job: str) -> None:
    request = _tick(desk, job)
    assert _names(request) == {f"{prefix}_{timeframe}" for prefix in PREFIXES[job] for timeframe in ("5m", "1h")}
    assert request.tags["dagster/asset_partition_range_start"] == "BTC-USDT@simulated|2025-03"
    assert request.tags["dagster/asset_partition_range_end"] == "ADA-USDT@simulated|2025-06"


@pytest.mark.parametrize("job", CRONS)
def test_a_schedule_skips_when_nothing_is_behind(desk: Desk, job: str) -> None:
    _all_synced(desk)
    assert _tick(desk, job) == "every candle that has closed is stored, and all that derives from it is up to date"


def test_only_the_timeframes_that_are_behind_are_asked_for(desk: Desk) -> None:
    _all_synced(desk)
    _synced(desk, "5m", datetime(2025, 6, 10, 8, 50, tzinfo=UTC))
    request = _tick(desk, "critical_path")
    assert _names(request) == {"ohlcv_5m"}
    assert request.tags["dagster/asset_partition_range_start"] == "BTC-USDT@simulated|2025-06"
    assert request.tags["dagster/asset_partition_range_end"] == "ADA-USDT@simulated|2025-06"


def test_a_run_begins_in_the_month_of_the_newest_candle_of_the_market_that_is_furthest_behind(desk: Desk) -> None:
    _all_synced(desk)
    with desk.stores.database.transaction() as connection:
        market = desk.settings.market_list()[1]
        record_sync(
            connection, market, "1h", state=SyncState.COMPLETED, newest_open=to_ms(datetime(2025, 5, 31, 23, tzinfo=UTC)), at_ms=1
        )
    request = _tick(desk, "critical_path")
    assert _names(request) == {"ohlcv_1h"}
    assert request.tags["dagster/asset_partition_range_start"] == "BTC-USDT@simulated|2025-05"
    assert request.tags["dagster/asset_partition_range_end"] == "ADA-USDT@simulated|2025-06"


@pytest.mark.parametrize("state", [SyncState.ERROR, SyncState.SYNCING, SyncState.PENDING])
def test_a_market_whose_last_sync_did_not_complete_is_behind_over_its_whole_history(desk: Desk, state: SyncState) -> None:
    _all_synced(desk)
    _synced(desk, "1h", NEWEST["1h"], state)
    request = _tick(desk, "critical_path")
    assert _names(request) == {"ohlcv_1h"}
    assert request.tags["dagster/asset_partition_range_start"] == "BTC-USDT@simulated|2025-03"


def test_candles_from_which_nothing_is_derived_yet_concern_the_schedules_that_derive(desk: Desk) -> None:
    _all_synced(desk)
    partition = PartitionId("ohlcv", desk.settings.market_list()[0], "1h", "2025-04")
    times = np.arange(to_ms(datetime(2025, 4, 1, tzinfo=UTC)), to_ms(datetime(2025, 4, 2, tzinfo=UTC)), 3_600_000)
    prices = np.full(len(times), 100.0)
    table = candles_table([(Candles(times, prices, prices, prices, prices, prices), "exchange")])
    with desk.stores.candles.begin([partition]) as transaction:
        transaction.merge(partition, table, known_at_ms=to_ms(NOW))
    assert isinstance(_tick(desk, "critical_path"), str)
    for job in ("signals", "risk"):
        request = _tick(desk, job)
        assert _names(request) == {f"{prefix}_1h" for prefix in PREFIXES[job]}
        assert request.tags["dagster/asset_partition_range_start"] == "BTC-USDT@simulated|2025-04"


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED"])
def test_a_schedule_skips_while_its_last_run_is_going_and_no_longer(desk: Desk, status: str) -> None:
    job = desk.definitions.resolve_job_def("critical_path")
    run = desk.instance.create_run_for_job(job, status=dg.DagsterRunStatus[status])
    assert desk.instance.get_runs()[0].status is dg.DagsterRunStatus[status]
    assert _tick(desk, "critical_path") == "the last run of critical_path is still going"
    assert isinstance(_tick(desk, "risk"), dg.RunRequest)
    desk.instance.report_run_failed(run)
    assert isinstance(_tick(desk, "critical_path"), dg.RunRequest)


def test_a_run_key_names_the_tick_and_no_other(desk: Desk) -> None:
    at = [datetime(2025, 6, 10, hour, minute, tzinfo=UTC) for hour in (9, 21) for minute in range(0, 60, 5)]
    requests = [_tick(desk, job, each) for job in CRONS for each in at]
    keys = [request.run_key for request in requests if isinstance(request, dg.RunRequest)]
    assert len(set(keys)) == len(requests)
    again = _tick(desk, "critical_path", at[0])
    assert isinstance(again, dg.RunRequest) and again.run_key == keys[0]


def test_every_schedule_ticks_in_utc_at_the_promised_times_and_in_every_month(desk: Desk) -> None:
    schedules = {each.name: each for each in desk.definitions.schedules or ()}
    assert {name: schedules[f"{name}_schedule"].cron_schedule for name in CRONS} == CRONS
    for schedule in schedules.values():
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.execution_timezone == "UTC", schedule.name
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING, schedule.name
        _minute, _hour, day, month, _weekday = str(schedule.cron_schedule).split()
        assert day == "*" or int(day) <= 28, schedule.name
        assert month == "*", schedule.name
