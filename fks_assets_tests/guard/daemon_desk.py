"""A desk with a real daemon, a real code server, an embedded database, and a simulated exchange whose prices fall.

Each market falls in straight lines, so that the moment at which it passes a stop is known to the millisecond from the recording
alone; how long after that moment the alert is in the outbox is what `latencies` gives.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import orjson
import sqlalchemy as sa

from benchmarks.desks import desk_of
from benchmarks.simulated import simulator_process
from fks_assets.clock import now_ms
from fks_assets.desk.recording import Execution, record_execution
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Mode, Side
from fks_assets.settings import PROJECT_ROOT
from fks_assets.simulator.client import SimulatorClient
from fks_assets.stores import embedded
from fks_assets.stores.database import Database, open_database
from fks_assets.stores.ledger.accounts import AccountSpec, mirror
from fks_assets.stores.ledger.deals import NewDeal, open_deal
from fks_assets.stores.ledger.reconciliations import read_heartbeats
from fks_assets.supervisor.services import DAGSTER_VARIABLES

MINUTE_MS = 60_000
# Of a falling candle's minute: it rises, falls, and rises again, a third each (simulator/trading/path.py).
THIRD_MS = MINUTE_MS // 3
# Each minute's fall goes from the open, which is its high, to this much below.
FALL = Decimal("0.02")
PRICE = Decimal(1000)
ACCOUNTS = """
[accounts.told]
mode = "alert"
quote = "USDT"
strategies = { technical = 1.0 }
"""
FAR_BELOW = Decimal(1)
FINEST = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Passing:
    """A stop, and when its market passes it (UTC ms)."""

    deal_id: int
    at_ms: int


@dataclass
class DaemonDesk:
    """A desk under way. `passings`: the stops that will be passed, by time."""

    home: Path
    database: Database
    simulator: SimulatorClient
    environment: dict[str, str]
    passings: list[Passing]

    def alerts(self) -> dict[int, int]:
        """Return when each deal was told of (UTC ms), by the database's clock."""
        statement = sa.text(
            "SELECT split_part(dedup_key, ':', 2)::bigint, (extract(epoch FROM created_at) * 1000)::bigint FROM notifications "
            "WHERE dedup_key LIKE 'stop_alert:%'"
        )
        with self.database.transaction() as connection:
            return {row[0]: row[1] for row in connection.execute(statement)}

    def latencies(self) -> list[float]:
        """Return the seconds from passing to alert of every stop that was passed; raise KeyError for one nobody told of."""
        told = self.alerts()
        return [(told[passing.deal_id] - passing.at_ms) / 1000 for passing in self.passings]

    def heartbeat_ms(self) -> int | None:
        found = read_heartbeats(self.database).get("stop_loss")
        return None if found is None else found.at

    def wait_until(self, done_ms: int) -> None:
        while now_ms() < done_ms:
            time.sleep(0.5)


def names(count: int) -> list[str]:
    return [f"M{number:03d}-USDT" for number in range(count)]


def write_falls(directory: Path, symbols: Sequence[str], start_ms: int, minutes: int) -> None:
    """Write a recording of each market: quiet until `start_ms` (a full minute), then falling for so many minutes, then quiet."""
    directory.mkdir()
    before, after = 130, 60
    for symbol in symbols:
        rows, price = [], PRICE
        for number in range(-before, minutes + after):
            # One row shows the finest digits, from which the simulator takes the tick.
            low = price * (1 - FALL) if 0 <= number < minutes else price - FINEST * (number == -before)
            close = low if number >= 0 else price
            texts = [f"{value:.4f}" for value in (price, price, low, close)]
            rows.append([start_ms + number * MINUTE_MS, *texts, "10.0"])
            price = close
        name = f"{symbol.replace('-', '_')}-1m.json"
        (directory / name).write_bytes(orjson.dumps(rows))


def passing_levels(start_ms: int, minutes: int, count: int) -> list[tuple[Decimal, int]]:
    """Return (level, when it is passed) of so many stops, spread evenly over all falls; the last and first moments left out."""
    found = []
    for number in range(count):
        minute, place = divmod(number * minutes, count)
        share = (Decimal(place) + Decimal("0.5")) / count
        opened = PRICE * (1 - FALL) ** minute
        level = round(opened * (1 - FALL * share), 4)
        exact = (opened - level) / (opened * FALL)
        found.append((level, start_ms + minute * MINUTE_MS + THIRD_MS + int(exact * THIRD_MS)))
    return found


def hold(database: Database, symbols: Sequence[str], stops: Sequence[tuple[Decimal, int | None]], at_ms: int) -> list[Passing]:
    """Let the alert account hold a position for each of the stops, markets in turn; return those that are passed."""
    passings = []
    with database.transaction() as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        mirror(connection, [AccountSpec("told", Mode.ALERT, "simulated", "USDT")], at_ms=at_ms)
        for number, (level, passed_ms) in enumerate(stops):
            base, quote = symbols[number % len(symbols)].split("-")
            new = NewDeal(
                account="told",
                strategy="technical",
                provider="simulated",
                market=Market(base, quote, "simulated"),
                timeframe="1h",
                signal_time=at_ms - 3_600_000 * (number + 1),
                side=Side.BUY,
                price=PRICE,
                quantity=Decimal(1),
                confidence=Decimal(1),
                reason="a benchmark",
                at_ms=at_ms,
                stop_loss_price=level,
                ordering=False,
            )
            deal, _ = open_deal(connection, new)
            execution = Execution(Leg.ENTRY, PRICE, Decimal(1), Decimal(0), "USDT", at_ms)
            record_execution(connection, deal.id, execution, at_ms=at_ms)
            if passed_ms is not None:
                passings.append(Passing(deal.id, passed_ms))
    return sorted(passings, key=lambda passing: passing.at_ms)


@contextmanager
def daemon_desk(
    folder: Path, *, markets: int = 10, positions: int = 500, passed: int = 500, minutes: int = 5, lead_seconds: float = 90.0
) -> Iterator[DaemonDesk]:
    """Give a desk with so many open positions, `passed` of which pass their stops in the `minutes` after the lead time."""
    home, symbols = folder / "home", names(markets)
    home.mkdir()
    earliest = now_ms() + int(lead_seconds * 1000)
    start_ms = earliest - earliest % MINUTE_MS + MINUTE_MS
    write_falls(folder / "recordings", symbols, start_ms, minutes)
    (folder / "desk.toml").write_text(desk_of(symbols, ["1h"]) + ACCOUNTS, encoding="utf-8")
    with ExitStack() as stack:
        simulator = stack.enter_context(simulator_process(now_ms(), folder / "recordings", speed=1.0))
        database = open_database(home, None)
        stack.callback(embedded.stop, home)
        stack.callback(database.engine.dispose)
        stops = [*passing_levels(start_ms, minutes, passed), *((FAR_BELOW, None) for _ in range(positions - passed))]
        # The simulated clock starts at a full second, as the command line takes it: what it is behind is measured.
        behind = now_ms() - int(simulator.status()["clock"]["now_ms"])
        passings = hold(database, symbols, [(level, at and at + behind) for level, at in stops], now_ms())
        environment = _environment(folder, home, simulator.url)
        _start_dagster(stack, folder, environment)
        yield DaemonDesk(home, database, simulator, environment, passings)


def _environment(folder: Path, home: Path, simulator_url: str) -> dict[str, str]:
    dagster_home = folder / "dagster"
    dagster_home.mkdir()
    shutil.copy(PROJECT_ROOT / "dagster.yaml", dagster_home)
    own = {key: value for key, value in os.environ.items() if not key.startswith(("FKS_", "DAGSTER_"))}
    return {
        **own,
        **DAGSTER_VARIABLES,
        "DAGSTER_HOME": str(dagster_home),
        "FKS_HOME": str(home),
        "FKS_DESK": str(folder / "desk.toml"),
        "FKS_HISTORY_DAYS__1h": "1",
        "FKS_EXCHANGES__SIMULATED__URL": simulator_url,
    }


def _start_dagster(stack: ExitStack, folder: Path, environment: dict[str, str]) -> None:
    """Start a code server with slow sensors and a daemon, and end both, with what they started, when the stack is left."""
    socket = folder / "code.sock"
    workspace = folder / "workspace.yaml"
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": {"socket": str(socket), "location_name": "fks_assets"}}]}))
    server = [
        "dagster",
        "code-server",
        "start",
        "--module-name",
        "fks_assets_tests.guard.slow_definitions",
        "--socket",
        str(socket),
    ]
    for name, module in (
        ("code-server", [*server, "--location-name", "fks_assets"]),
        ("daemon", ["fks_assets.supervisor.daemon", "--workspace", str(workspace)]),
    ):
        log = stack.enter_context((folder / f"{name}.log").open("w"))
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=PROJECT_ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        stack.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
