"""Parts of a real desk killed in turn, again and again: the guard is back within a minute, and the watchdog has said so.

LOOPS=30 kills each part thirty times. Nothing is waited for between two kills, so that `fks up` pauses ever longer before it
starts a part again.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import psutil
import pytest

from benchmarks.desks import desk_of
from fks_assets.clock import now_ms, to_ms
from fks_assets.errors import StoreError
from fks_assets.stores import embedded
from fks_assets.stores.database import Database, open_database
from fks_assets.stores.ledger.reconciliations import read_heartbeats
from fks_assets.supervisor import ports
from fks_assets.supervisor.sweep import processes_of
from fks_assets_tests.guard.daemon_desk import ACCOUNTS, FAR_BELOW, hold
from fks_assets_tests.supervisor.desks import DetachedDesk, environment_of, wait_for

LOOPS = int(os.environ.get("LOOPS", "3"))
BACK_WITHIN_SECONDS = 60.0
# The guard's silence that is an alarm, and what the watchdog's look may come later.
SILENT_MS, LOOK_MS = 10_000, 3_000


@dataclass
class GuardedDesk(DetachedDesk):
    """A desk with one open position."""

    @cached_property
    def database(self) -> Database:
        return open_database(self.home, None)

    def beat(self) -> int:
        """Return the guard's last heartbeat (UTC ms), 0 when the database cannot be asked."""
        try:
            found = read_heartbeats(self.database).get("stop_loss")
        except StoreError:
            return 0
        return 0 if found is None else found.at

    def alarms(self, since_ms: int) -> list[str]:
        """Return the alarms since a time, from the file."""
        file = self.home / "alarms.log"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [line for line in lines if "ALARM" in line and to_ms(datetime.fromisoformat(line.split()[0])) >= since_ms - 1000]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedDesk]:
    place = tmp_path_factory.mktemp("killed")
    home, toml = place / "home", place / "desk.toml"
    symbols = ["BTC-USDT", "ETH-USDT"]
    toml.write_text(desk_of(symbols, ["1h"]) + ACCOUNTS, encoding="utf-8")
    environment = environment_of(
        home,
        ports.any_free(),
        FKS_DESK=str(toml),
        FKS_EXCHANGE="simulated",
        FKS_HISTORY_DAYS__1h="2",
        FKS_EXCHANGES__SIMULATED__URL=f"http://127.0.0.1:{ports.any_free()}",
    )
    desk = GuardedDesk(home, environment)
    desk.fks("up", "--no-load", "--detach")
    try:
        hold(desk.database, symbols[:1], [(FAR_BELOW, None)], now_ms())
        yield desk
    finally:
        desk.database.engine.dispose()
        desk.fks("down")


def part(name: str) -> Callable[[GuardedDesk], int | None]:
    return lambda desk: desk.pid_of(name)


def server(desk: GuardedDesk) -> int | None:
    return embedded.status(desk.home).server_pid


def worker(desk: GuardedDesk) -> int | None:
    """Return the process of a run that is under way, after asking for one; a code server starts it by `multiprocessing`."""
    desk.fks("run", "account_balances")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in processes_of(desk.state.token):
            try:
                command = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if "multiprocessing.spawn" in command:
                return process.pid
        time.sleep(0.05)
    return None


VICTIMS: dict[str, Callable[[GuardedDesk], int | None]] = {
    "daemon": part("daemon"),
    "code-server": part("code-server"),
    "worker": worker,
    "database": server,
}


@pytest.mark.nightly
@pytest.mark.parametrize("victim", VICTIMS)
def test_the_guard_is_back_within_a_minute_and_its_silence_was_an_alarm(desk: GuardedDesk, victim: str) -> None:
    """T5, P1: kill -9 of daemon, code server, a run's process and the database."""
    slowest = 0.0
    for number in range(LOOPS):
        wait_for(lambda: now_ms() - desk.beat() < 6_000, "a guard that is at work", 180)
        pid = None
        for _ in range(200):
            pid = VICTIMS[victim](desk)
            if pid is not None:
                break
            time.sleep(0.1)
        assert pid is not None, f"{victim} {number}: there is none to kill"
        last, killed = desk.beat(), now_ms()
        os.kill(pid, signal.SIGKILL)
        back = 0
        while not back:
            assert now_ms() - killed <= BACK_WITHIN_SECONDS * 1000, f"{victim} {number}: the guard is not back"
            time.sleep(0.2)
            found = desk.beat()
            # A look that was under way when the part was killed may still be written.
            back = found if found > killed + 500 else 0
            last = found if 0 < found <= killed + 500 else last
        slowest = max(slowest, (back - killed) / 1000)
        silent = back - max(last, killed if victim == "database" else 0)
        time.sleep(1.0)
        if silent > SILENT_MS + LOOK_MS:
            told = desk.alarms(killed)
            assert told, f"{victim} {number}: {silent / 1000:.1f} s of silence at {datetime.now(UTC)}, and no alarm"
    print(f"{victim}: {LOOPS} kills, the guard was back after {slowest:.1f} s at most")
