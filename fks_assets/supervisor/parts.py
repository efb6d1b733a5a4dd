"""The parts of a running desk: child processes, and things like the database that are looked after without being children."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from fks_assets.errors import TradingError
from fks_assets.supervisor.logs import last_line, open_log, rotate

LAUNCHER = Path(__file__).with_name("launch.py")
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
SETTLED_SECONDS = 60.0
LOUD_AFTER_FAILURES = 3
Report = Callable[[str], None]


class PartState(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    UP = "up"
    SILENT = "silent"
    RESTARTING = "restarting"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Service:
    """One row of the table of processes.

    `command` is asked anew for each start, so that it can choose another port. `answers` is a health check of a few seconds at
    most, called only while the process lives. One that answered before and then stays silent for `silent_seconds` is replaced.
    `ask_to_stop` takes the place of SIGTERM.
    """

    name: str
    command: Callable[[], Sequence[str]]
    answers: Callable[[], bool]
    needs: tuple[str, ...] = ()
    start_seconds: float = 180.0
    silent_seconds: float = 60.0
    stop_seconds: float = 10.0
    stdin: int | None = None
    ask_to_stop: Callable[[], None] | None = None


class Part(Protocol):
    """What the supervisor needs of a part. `tick` never blocks for more than a health check."""

    name: str
    state: PartState
    needs: tuple[str, ...]
    restarts: int
    detail: str
    pid: int | None
    log: Path | None

    def tick(self, ready: bool) -> None: ...
    def ask_to_stop(self) -> None: ...
    def has_stopped(self) -> bool: ...
    def hurry(self) -> None: ...


@dataclass(slots=True)
class ChildProcess:
    """A supervised process: its own session, no terminal, output to a log, restarted with growing pauses as often as it takes."""

    service: Service
    environment: Mapping[str, str]
    log: Path | None
    report: Report
    state: PartState = PartState.WAITING
    restarts: int = 0
    detail: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _failures: int = 0
    _started: float = 0.0
    _answered: float = 0.0
    _green_since: float = 0.0
    _next_start: float = 0.0
    _stop_asked: float | None = None

    @property
    def name(self) -> str:
        return self.service.name

    @property
    def needs(self) -> tuple[str, ...]:
        return self.service.needs

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def tick(self, ready: bool) -> None:
        """Start, watch or restart the process. `ready`: the parts that it needs are up."""
        if self._stop_asked is not None:
            return
        now = time.monotonic()
        if self._process is None:
            if ready and now >= self._next_start:
                self._start(now)
            return
        code = self._process.poll()
        if code is not None:
            self._failed(now, _ending(code))
            return
        self._watch(now)

    def _start(self, now: float) -> None:
        assert self.log is not None
        try:
            rotate(self.log)
            command = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *self.service.command()]
            output = open_log(self.log)
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL if self.service.stdin is None else self.service.stdin,
                    stdout=output,
                    stderr=output,
                    env=dict(self.environment),
                    start_new_session=True,
                )
            finally:
                os.close(output)
        except (OSError, TradingError) as error:
            self._process = None
            self._failed(now, f"could not be started: {error}")
            return
        self._started = self._answered = now
        self._green_since = 0.0
        self.state = PartState.STARTING

    def _watch(self, now: float) -> None:
        if self.service.answers():
            self._answered = now
            if not self._green_since:
                self._green_since = now
                if self._failures:
                    self.report(f"{self.name} is up again")
            if now - self._green_since > SETTLED_SECONDS:
                self._failures = 0
            self.state, self.detail = PartState.UP, ""
            return
        if self.state is PartState.UP:
            self.state = PartState.SILENT
        patience = self.service.silent_seconds if self._green_since else self.service.start_seconds
        if now - self._answered > patience:
            self._kill()
            self._failed(now, f"did not answer for {patience:.0f} s and was killed")

    def _failed(self, now: float, how: str) -> None:
        # What the dead process had started is left to finish: a run goes on when its code server dies.
        if self._process is not None:
            self._process.wait()
        self._process = None
        self._failures += 1
        self.restarts += 1
        pause = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (self._failures - 1))
        self._next_start = now + pause
        loud = self._failures >= LOUD_AFTER_FAILURES
        self.state = PartState.FAILING if loud else PartState.RESTARTING
        self.detail = how
        said = last_line(self.log) if loud and self.log is not None else ""
        self.report(
            f"{self.name} {how}; starting it again in {pause:.0f} s"
            + (f" ({self._failures} failures in a row; see {self.log}{': ' + said[:200] if said else ''})" if loud else "")
        )

    def ask_to_stop(self) -> None:
        self._stop_asked = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            (self.service.ask_to_stop or self._process.terminate)()

    def has_stopped(self) -> bool:
        """Return whether the process is gone; kills it when its time to stop is over."""
        if self._process is None or self._process.poll() is not None:
            self.state = PartState.STOPPED
            return True
        if self._stop_asked is not None and time.monotonic() - self._stop_asked > self.service.stop_seconds:
            self._kill()
        return False

    def hurry(self) -> None:
        """Kill the process unless it has a way of its own to stop: the guard still has to end what others leave behind."""
        if self.service.ask_to_stop is None:
            self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            _signal_group(self._process.pid, signal.SIGKILL)


@dataclass(slots=True)
class Attachment:
    """Something looked after without being a child: `check` says whether it works, `repair` brings it back or raises."""

    name: str
    check: Callable[[], bool]
    repair: Callable[[], object]
    report: Report
    needs: tuple[str, ...] = ()
    state: PartState = PartState.WAITING
    restarts: int = 0
    detail: str = ""
    pid: int | None = None
    log: Path | None = None
    every_seconds: float = 5.0
    _next_check: float = 0.0

    def tick(self, ready: bool) -> None:
        now = time.monotonic()
        if not ready or now < self._next_check:
            return
        self._next_check = now + self.every_seconds
        if self.check():
            if self.state in (PartState.RESTARTING, PartState.FAILING):
                self.report(f"{self.name} is up again")
            self.state, self.detail = PartState.UP, ""
            return
        self.restarts += 1
        if self.state not in (PartState.RESTARTING, PartState.FAILING):
            self.report(f"{self.name} does not answer; starting it again")
        self.state = PartState.RESTARTING
        try:
            self.repair()
        except TradingError as error:
            if self.detail != str(error):
                self.report(f"{self.name}: {error}")
            self.state, self.detail = PartState.FAILING, str(error)
        else:
            self._next_check = now

    def ask_to_stop(self) -> None:
        self.state = PartState.STOPPED

    def has_stopped(self) -> bool:
        return True

    def hurry(self) -> None:
        self.state = PartState.STOPPED


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
