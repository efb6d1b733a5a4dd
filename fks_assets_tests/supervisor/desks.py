"""Start desks as processes of their own, watch them from outside, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from fks_assets.supervisor import ports
from fks_assets.supervisor.graphql import DeskApi
from fks_assets.supervisor.state import DeskState, Phase, read_state
from fks_assets.supervisor.sweep import processes_of, sweep

PATIENCE_SECONDS = 90.0
STAND_IN = ("-m", "fks_assets_tests.supervisor.stand_in_desk")
PROJECT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return once the condition holds; fail the test, naming what did not happen, when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {seconds:.0f} s: {what}"
        time.sleep(0.05)


@dataclass
class DetachedDesk:
    """A desk that `fks up --detach` runs, and its commands, each in a process of its own."""

    home: Path
    environment: dict[str, str]

    @property
    def state(self) -> DeskState:
        found = read_state(self.home)
        assert found is not None
        return found

    def pid_of(self, name: str) -> int | None:
        return next((part.pid for part in self.state.parts if part.name == name), None)

    def fks(self, *arguments: str, expect: int = 0) -> str:
        """Return what a command prints, which has to end with this code; with its complaints where that is not 0."""
        answer = subprocess.run(
            [sys.executable, "-m", "fks_assets.cli", *arguments],
            env=self.environment,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert answer.returncode == expect, answer.stdout + answer.stderr
        return answer.stdout + (answer.stderr if expect else "")


@dataclass
class RunningDesk:
    """A desk under test."""

    home: Path
    process: "subprocess.Popen[str]"
    output: Path

    @property
    def state(self) -> DeskState:
        found = read_state(self.home)
        assert found is not None, f"no desk runs; it said: {self.said()}"
        return found

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def pid_of(self, name: str) -> int | None:
        return next((part.pid for part in self.state.parts if part.name == name), None)

    def wait_until_up(self, phase: Phase = Phase.RUNNING, seconds: float = PATIENCE_SECONDS) -> DeskState:
        def up() -> bool:
            assert self.process.poll() is None, f"the desk ended: {self.said()}"
            state = read_state(self.home)
            return state is not None and state.phase is phase and state.all_up

        wait_for(up, f"a desk that is up; it said: {self.said()}", seconds)
        return self.state

    def wait_for_other_pid(self, name: str, old: int) -> int:
        def replaced() -> bool:
            new = self.pid_of(name)
            return new is not None and new != old and self.state.all_up

        wait_for(replaced, f"{name} {old} replaced; it said: {self.said()}")
        new = self.pid_of(name)
        assert new is not None
        return new

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


def environment_of(home: Path, port: int, **more: str) -> dict[str, str]:
    mine = {key: value for key, value in os.environ.items() if not key.startswith(("FKS_", "DAGSTER_"))}
    return {**mine, "FKS_HOME": str(home), "FKS_WEB_PORT": str(port), "FKS_EXCHANGE": "binance", **more}


@contextmanager
def running(
    home: Path,
    output: Path,
    arguments: tuple[str, ...] = STAND_IN,
    port: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[RunningDesk]:
    """Give a desk that has been started; end it and all of its processes afterwards, whatever became of it."""
    port = port or ports.any_free()
    with output.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment_of(home, port, **(variables or {})),
            cwd=PROJECT,
            text=True,
            start_new_session=True,
        )
    desk = RunningDesk(home, process, output)
    token = ""
    try:
        yield desk
    finally:
        state = read_state(home) if home.is_dir() else None
        token = state.token if state is not None else token
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if token:
            sweep(token, grace_seconds=1.0)


def leftovers(token: str) -> list[str]:
    """Return what is still running of a desk."""
    found = []
    for process in processes_of(token):
        try:
            found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.NoSuchProcess:
            continue
    return found


def api_of(desk: RunningDesk) -> DeskApi:
    return DeskApi(desk.state.url)
