"""What a five-minute tick costs: of the shipped desk beyond an empty Dagster run, and of a desk of 200 markets x 5 timeframes."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
from sqlalchemy import text

from benchmarks.desks import desk_of
from benchmarks.measure import Row, absolute, wall
from benchmarks.series import synthetic_candles
from benchmarks.simulated import simulator_process
from fks_assets.clock import now_ms
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.settings import PROJECT_ROOT
from fks_assets.simulator.client import SimulatorClient
from fks_assets.stores import embedded
from fks_assets.stores.database import Database, open_database
from fks_assets.supervisor.services import DAGSTER_VARIABLES

ROUNDS = 3
FIVE_MINUTES = 300_000
# More than a day: the newest candle of every timeframe is then missing at every tick, so that all of them are asked.
BEHIND_MS = 26 * 3_600_000
HISTORY_DAYS = {"5m": 5, "15m": 5, "1h": 10, "4h": 10, "1d": 15}
LARGE_MARKETS = [f"M{number:03d}-USDT" for number in range(200)]


class Ticker:
    """A desk on a simulated exchange, ticked by fresh processes."""

    def __init__(self, home: Path, simulator: SimulatorClient, database: Database, variables: Mapping[str, str]) -> None:
        self._simulator, self._database = simulator, database
        dagster_home = home / "dagster"
        dagster_home.mkdir()
        shutil.copy(PROJECT_ROOT / "dagster.yaml", dagster_home)
        own = {key: value for key, value in os.environ.items() if not key.startswith("FKS_")}
        self._environment = {
            **own,
            **DAGSTER_VARIABLES,
            "DAGSTER_HOME": str(dagster_home),
            "FKS_HOME": str(home),
            "FKS_EXCHANGES__SIMULATED__URL": simulator.url,
            **{f"FKS_HISTORY_DAYS__{timeframe}": str(days) for timeframe, days in HISTORY_DAYS.items()},
            **variables,
        }

    def tick(self) -> dict[str, float]:
        """Run a tick in a fresh process and return what it says of itself."""
        return self._process("tick")

    def empty(self) -> dict[str, float]:
        """Run an empty job in a fresh process and return what it says of itself."""
        return self._process("empty")

    def advance(self) -> None:
        """Let five minutes pass at the exchange, in which the request budget fills up again."""
        self._simulator.set_clock(advance_seconds=FIVE_MINUTES / 1000)
        self._simulator.forget_breaches()
        with self._database.engine.begin() as connection:
            connection.execute(text("DELETE FROM rate_budgets"))

    def _process(self, what: str) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.tick_process", what]
        done = subprocess.run(command, cwd=PROJECT_ROOT, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the {what} process failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="fks-bench-") as folder, _desk(Path(folder), None, {}) as ticker:
        yield _beyond_empty(ticker)
    with tempfile.TemporaryDirectory(prefix="fks-bench-") as folder:
        home = Path(folder)
        replay = _recordings(home / "recordings")
        (home / "desk.toml").write_text(desk_of(LARGE_MARKETS, list(HISTORY_DAYS)), encoding="utf-8")
        variables = {"FKS_DESK": str(home / "desk.toml"), "FKS_SIMULATOR__REPLAY": str(replay)}
        with _desk(home, replay, variables) as ticker:
            yield _large(ticker)


def _beyond_empty(ticker: Ticker) -> Row:
    ticker.tick()
    ticker.empty()
    ours, limit = [], []
    told: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        ticker.advance()
        ours.append(wall(lambda: told.append(ticker.tick())))
        assert told[-1]["materialised"] >= 10 and told[-1]["timeframes"] == 3, told
        limit.append(wall(lambda: told.append(ticker.empty())))
    beyond = [a - b for a, b in zip(ours, limit, strict=True)]
    processor = statistics.median(a["cpu"] - b["cpu"] for a, b in zip(told[::2], told[1::2], strict=True))
    shown = f"empty {statistics.median(limit):.3g} s; beyond it {min(beyond):.2f}-{max(beyond):.2f} s, CPU {processor:.2f} s"
    what = "one 5-minute tick, 10 markets x 3 timeframes, fresh process: beyond an empty Dagster run"
    return absolute(what, statistics.median(beyond), 2.0, "s", shown)


def _large(ticker: Ticker) -> Row:
    ticker.tick()
    ticker.advance()
    told: list[dict[str, float]] = []
    seconds = wall(lambda: told.append(ticker.tick()))
    assert told[0]["materialised"] >= len(LARGE_MARKETS) and told[0]["timeframes"] == 5, told
    return absolute(
        "one tick, 200 markets x 5 timeframes, all asked, fresh process", seconds, 60.0, "s", f"CPU {told[0]['cpu']:.3g} s"
    )


@contextmanager
def _desk(home: Path, replay: Path | None, variables: Mapping[str, str]) -> Iterator[Ticker]:
    now = now_ms()
    start = now - now % FIVE_MINUTES - BEHIND_MS + 30_000
    with simulator_process(start, replay) as simulator:
        database = open_database(home, None)
        try:
            yield Ticker(home, simulator, database, variables)
        finally:
            database.engine.dispose()
            embedded.stop(home)


def _recordings(directory: Path) -> Path:
    """Write a short recording of each market and timeframe that goes on beyond now, and return the directory."""
    directory.mkdir()
    now = now_ms()
    for name, days in HISTORY_DAYS.items():
        step = parse_timeframe(name).milliseconds
        rows = days * 86_400_000 // step + 2
        times = (now // step - rows + 2) * step + step * np.arange(rows, dtype=np.int64)
        for number, symbol in enumerate(LARGE_MARKETS):
            candles = synthetic_candles(rows, step, seed=number)
            columns = (np.round(getattr(candles, column), 2).tolist() for column in ("open", "high", "low", "close", "volume"))
            content = orjson.dumps(list(zip(times.tolist(), *columns, strict=True)))
            (directory / f"{symbol.replace('-', '_')}-{name}.json").write_bytes(content)
    return directory
