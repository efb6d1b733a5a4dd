"""The first load as the supervisor sees it: one short process that launches the runs, then their progress until they end."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fks_assets.assets.market_data.history import history_start
from fks_assets.assets.trading.in_force import stated_strategies
from fks_assets.clock import now_ms
from fks_assets.errors import TradingError
from fks_assets.quant.timeframes import month_of
from fks_assets.settings import Settings
from fks_assets.stores.strategies import read_parameters
from fks_assets.supervisor.first_load import DAILY
from fks_assets.supervisor.graphql import DeskApi, RunStatus
from fks_assets.supervisor.logs import last_line
from fks_assets.supervisor.queries import stored_rows
from fks_assets.supervisor.screen import Progress
from fks_assets.supervisor.services import Desk, database_environment, python_module

if TYPE_CHECKING:
    from fks_assets.stores.database import Database

POLL_TIMEOUT_SECONDS = 5.0


@dataclass(slots=True)
class FirstLoad:
    """`step` moves it on without blocking; `finished` once every run has ended or nothing had to be loaded.

    Then the daily jobs that never ran are launched, and not waited for.
    """

    desk: Desk
    database: "Database"
    finished: bool = False
    _launcher: subprocess.Popen[str] | None = None
    _runs: dict[str, str] = field(default_factory=dict)
    _ended: dict[str, RunStatus] = field(default_factory=dict)

    def step(self) -> None:
        if self.finished:
            return
        if self._launcher is None:
            self._launcher = self._launch()
        elif not self._runs:
            self._read_launcher()
        else:
            self._follow()

    def progress(self) -> Mapping[str, Progress]:
        """Return how many rows are stored and expected, by kind; raises StoreError."""
        return load_progress(self.desk.settings, self.database)

    def stop(self) -> None:
        if self._launcher is not None and self._launcher.poll() is None:
            self._launcher.kill()
            self._launcher.wait()

    def _launch(self, *options: str) -> subprocess.Popen[str]:
        with self.desk.home.log("first-load").open("ab") as log:
            return subprocess.Popen(
                python_module("fks_assets.supervisor.first_load", self.desk.url, *options),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=database_environment(self.desk),
                start_new_session=True,
            )

    def _read_launcher(self) -> None:
        assert self._launcher is not None
        if self._launcher.poll() is None:
            return
        answer, _ = self._launcher.communicate()
        if self._launcher.returncode != 0:
            log = self.desk.home.log("first-load")
            self.desk.report(f"the first load could not be launched, the schedules will try: {last_line(log)} (log: {log})")
            self.finished = True
            return
        self._runs = {run["run_id"]: run["job"] for run in json.loads(answer)}
        if not self._runs:
            self.desk.report("every candle that has closed is stored already")
            self._finish()

    def _follow(self) -> None:
        api = DeskApi(self.desk.url, POLL_TIMEOUT_SECONDS)
        for run_id, job in self._runs.items():
            if run_id in self._ended:
                continue
            try:
                status = api.run_status(run_id)
            except TradingError:  # the web server is being restarted: its own row says so
                return
            if status in (RunStatus.SUCCESS, RunStatus.FAILURE):
                self._ended[run_id] = status
                if status is RunStatus.FAILURE:
                    self.desk.report(f"{job} failed; the next tick tries again. Why: {self.desk.url}/runs/{run_id}")
        if len(self._ended) == len(self._runs):
            self._finish()

    def _finish(self) -> None:
        self.finished = True
        self._launcher = self._launch(DAILY)


def load_progress(settings: Settings, database: "Database") -> Mapping[str, Progress]:
    """Return the rows stored and expected of candles, indicators and signals in the window that the schedules keep."""
    now = now_ms()
    starts = {timeframe.name: history_start(settings, timeframe) for timeframe in settings.timeframe_list()}
    candles = sum((now - starts[timeframe.name]) // timeframe.milliseconds for timeframe in settings.timeframe_list())
    expected = candles * len(settings.markets)
    markets = [market.key for market in settings.market_list()]
    stored = stored_rows(database, markets, {name: month_of(start) for name, start in starts.items()})
    # By name alone: this process keeps all others running, and runs no code of a user.
    in_force = stated_strategies(settings, read_parameters(database))
    return {
        "candles": Progress(stored.get("ohlcv", 0), expected),
        "indicators": Progress(stored.get("indicators", 0), expected),
        "signals": Progress(sum(stored.get(f"signals.{name}", 0) for name in in_force), expected * len(in_force)),
    }
