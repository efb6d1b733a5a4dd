"""What a new desk launches once its candles are loaded, and what keeps those runs in order."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fks_assets.assets.jobs import RESEARCH_LANE
from fks_assets.clock import now_ms
from fks_assets.partitions import day_of, last_month
from fks_assets.quant.timeframes import month_window
from fks_assets.settings import PROJECT_ROOT, load_settings
from fks_assets.stores.candles import CandleStore
from fks_assets.supervisor import first_load, graphql
from fks_assets.supervisor.graphql import LaunchedRun, RunStatus
from fks_assets_tests.desk import build_desk
from fks_assets_tests.trading.desks import DAY, store, walk


class WebServer:
    """The desk's web server, as far as a first load asks it; `ran` are jobs that have run before."""

    launched: list[tuple[str, dict[str, str]]] = []  # noqa: RUF012 - the test clears it
    ran: frozenset[str] = frozenset()

    def __init__(self, url: str) -> None:
        assert url == "http://desk"

    def has_run(self, job: str) -> bool:
        return job in self.ran

    def launch(self, job: str, tags: Mapping[str, str], assets: Any = None) -> LaunchedRun:
        self.launched.append((job, dict(tags)))
        return LaunchedRun(f"run-{len(self.launched)}", job, RunStatus.PENDING)


@pytest.fixture
def server(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[WebServer]]:
    monkeypatch.setenv("FKS_HOME", str(home))
    monkeypatch.setenv("FKS_DATABASE_URL", database_url)
    monkeypatch.setattr(graphql, "DeskApi", WebServer)
    monkeypatch.setattr(sys, "argv", ["first_load", "http://desk", "daily"])
    monkeypatch.setattr(WebServer, "launched", [])
    load_settings.cache_clear()
    yield WebServer
    load_settings.cache_clear()


def test_what_judges_strategies_is_launched_in_the_order_in_which_it_is_used_and_in_one_lane(
    server: type[WebServer], capsys: pytest.CaptureFixture[str]
) -> None:
    """S1.5, S1.6: a new desk has its backtests and verdicts at once, not tomorrow; trading rules come first."""
    assert first_load.main() == 0
    today, launched = day_of(now_ms()), dict(server.launched)
    in_lane = [job for job, tags in server.launched if RESEARCH_LANE.items() <= tags.items()]
    assert in_lane == ["rules", "parameters", "backtest", "validation", "backtest_accounts", "ideas"]
    assert [job for job, _ in server.launched][: len(in_lane)] == in_lane
    assert launched["validation"]["dagster/partition"] == launched["backtest_accounts"]["dagster/partition"] == today
    assert launched["backtest"]["dagster/asset_partition_range_start"] == f"{today}|technical"
    assert launched["upkeep"] == {}, "the others wait for nobody"
    assert [run["job"] for run in json.loads(capsys.readouterr().out)] == [job for job, _ in server.launched]


def test_a_desk_with_enough_history_gets_the_walk_forward_window_of_the_last_month_after_what_judges(
    server: type[WebServer], candle_store: CandleStore
) -> None:
    """C24: its first tear sheets would else not know the out-of-sample efficiency until the 1st of the next month."""
    market, month = load_settings().market_list()[0], last_month(now_ms())
    store(candle_store, market, walk(month_window(month)[0] - 178 * DAY, 24, seed=1))
    assert first_load.main() == 0
    assert "walk_forward_windows" not in dict(server.launched), "two days too short"
    server.launched.clear()
    store(candle_store, market, walk(month_window(month)[0] - 180 * DAY, 24, seed=1))
    assert first_load.main() == 0
    in_lane = [job for job, tags in server.launched if RESEARCH_LANE.items() <= tags.items()]
    assert in_lane == ["rules", "parameters", "backtest", "validation", "backtest_accounts", "ideas", "walk_forward_windows"]
    assert dict(server.launched)["walk_forward_windows"]["dagster/asset_partition_range_start"].startswith(f"{month}|")


def test_what_has_run_before_is_left_to_its_schedule(server: type[WebServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ran", frozenset(first_load.DAILY_JOBS) - {"validation"})
    assert first_load.main() == 0
    assert [job for job, _ in server.launched] == ["validation"]


def test_schedules_use_the_same_lane_and_a_lane_holds_one_run_at_a_time(home: Path, database_url: str) -> None:
    """S1.6: a validation that is due while the backtests are still running judges them, and not those of yesterday."""
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    for job in ("parameters", "backtest", "validation", "backtest_accounts"):
        assert RESEARCH_LANE.items() <= desk.definitions.resolve_job_def(job).tags.items()
    for job in first_load.DAILY_JOBS:
        assert desk.definitions.resolve_job_def(job).name == job
    instance = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    [limit] = instance["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limit == {"key": "fks/lane", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
