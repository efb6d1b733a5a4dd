"""Start the simulator on demand, once for all processes; it stops by itself when nobody asks any more."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fks_assets.errors import ExchangeUnavailable, InvalidInput
from fks_assets.redaction import public_environment
from fks_assets.simulator.client import SimulatorClient

IDLE_EXIT_SECONDS = 1800.0
START_SECONDS = 30.0
_LOCAL = frozenset({"127.0.0.1", "localhost"})


def is_local(url: str) -> bool:
    """Tell whether the URL is one that the launcher may serve: http on this machine with a port."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOCAL and parts.port is not None


def ensure_running(
    home: Path,
    url: str,
    seed: int,
    *,
    replay: Path | None = None,
    faults: Path | None = None,
    speed: float = 1.0,
    idle_exit: float | None = IDLE_EXIT_SECONDS,
) -> SimulatorClient:
    """Return the simulator at `url`, started if nothing answers there; safe with many processes at once.

    Raise InvalidInput when the URL is not local, when something else or a simulator with other data answers there, and
    ExchangeUnavailable when it does not come up; its output is in `home/logs/simulator.log`.
    """
    if not is_local(url):
        raise InvalidInput(f"simulator url {url!r} is not of the form http://127.0.0.1:PORT; only there can one be started")
    client = SimulatorClient(url, timeout=10.0)
    if _is_up(client):
        return _checked(client, seed, replay)
    with _locked(home / "run" / "simulator.lock"):
        if not _is_up(client):
            options = {"--seed": seed, "--speed": speed, "--replay": replay, "--faults": faults, "--idle-exit": idle_exit}
            _start(home, client, options)
    return _checked(client, seed, replay)


def running_pid(url: str) -> int | None:
    """Return the process id of the simulator that answers at the URL, None when none does."""
    client = SimulatorClient(url, timeout=5.0)
    return int(client.status()["pid"]) if _is_up(client) else None


def _is_up(client: SimulatorClient) -> bool:
    """Tell whether a simulator answers; raise InvalidInput when something else does."""
    try:
        client.status()
    except ConnectionError:
        return False
    return True


def _checked(client: SimulatorClient, seed: int, replay: Path | None) -> SimulatorClient:
    status = client.status()
    data = f"replayed from {replay.name}" if replay is not None else f"generated from seed {seed}"
    if status["data"] != data:
        raise InvalidInput(
            f"the simulator at {client.url} (process {status['pid']}) serves data {status['data']}, but {data} was asked for; "
            "stop it or give another url"
        )
    return client


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(home: Path, client: SimulatorClient, options: Mapping[str, Path | float | None]) -> None:
    command = [sys.executable, "-m", "fks_assets.simulator", "--port", str(urlsplit(client.url).port)]
    for option, value in options.items():
        if value is not None:
            command += [option, str(value.resolve() if isinstance(value, Path) else value)]
    log = home / "logs" / "simulator.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=public_environment(os.environ),
            cwd=Path(__file__).resolve().parents[2],
        )
    pause = threading.Event()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise InvalidInput(f"the simulator did not start: {_last_line(log, begin)}")
        if _is_up(client):
            return
        pause.wait(0.05)
    process.terminate()
    text = f"the simulator did not answer at {client.url} within {START_SECONDS:g} s; see {log}"
    raise ExchangeUnavailable(text, exchange="simulated")


def _last_line(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
