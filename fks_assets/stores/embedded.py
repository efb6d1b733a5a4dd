"""The embedded PostgreSQL of a home: started by whoever needs it first, shared by all, stopped when nobody is left.

Every process that uses it holds a shared lock on run/postgres.clients for its life; the kernel releases it however the process
ends. A keeper process (embedded_keeper.py) watches that lock, stops the server when it has been free for a while, and restarts
a server that died while it was needed.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from fks_assets.errors import StoreError
from fks_assets.redaction import public_environment
from fks_assets.stores.embedded_binaries import find_installation
from fks_assets.stores.embedded_layout import SOCKET_NAME, Layout, locked, open_lock, opened
from fks_assets.stores.embedded_locks import is_free
from fks_assets.stores.embedded_process import (
    ROLE,
    START_SECONDS,
    create_cluster,
    reap,
    start_server,
    stop_server,
)

LINGER_SECONDS = 30.0
_guard = threading.Lock()
_client_locks: dict[Path, int] = {}
_keepers: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class EmbeddedStatus:
    """State of a home's server: `absent`, `starting`, `ready` or `stopping`; process ids are None when there is no process."""

    state: str
    server_pid: int | None
    keeper_pid: int | None
    data_directory: Path
    socket_directory: Path


def ensure_running(home: Path, *, linger_seconds: float = LINGER_SECONDS) -> Path:
    """Return the directory of the socket of home's server, after starting, recovering or attaching to it.

    The server stays until `linger_seconds` after the last process that called this has ended (as given by whoever started the
    keeper). Raises StoreError in one line when home is read-only, full or another user's.
    """
    layout = Layout.of(home)
    with _guard:
        layout.create_directories()
        with locked(layout.start_lock, home=layout.home):
            _hold_client_lock(layout)
            bring_up(layout)
            _ensure_keeper(layout, linger_seconds)
        return layout.socket_directory()


def bring_up(layout: Layout) -> None:
    """Make the server answer. The caller holds the start lock."""
    deadline = time.monotonic() + START_SECONDS
    while (state := layout.state()) != "ready":
        if state == "absent":
            reap()
            if not (layout.data / "PG_VERSION").exists():
                create_cluster(layout)
            start_server(layout)
        elif time.monotonic() > deadline:
            raise StoreError(f"the database server of {layout.home} is {state} for {START_SECONDS:.0f} s; see {layout.log}")
        else:
            time.sleep(0.02)


def url_of(socket_directory: Path, database: str) -> str:
    """Return the SQLAlchemy URL of a database of the embedded server."""
    from urllib.parse import quote

    return f"postgresql+psycopg2://{ROLE}@/{database}?host={quote(str(socket_directory))}"


def stop(home: Path) -> bool:
    """Stop home's server and its keeper; return False when no server was running.

    A process that still uses it starts it anew with its next connection.
    """
    layout = Layout.of(home)
    if not layout.data.exists():
        return False
    with _guard, locked(layout.start_lock, home=layout.home):
        keeper = _keeper_pid(layout)
        if keeper is not None:
            os.kill(keeper, signal.SIGTERM)
        stopped = stop_server(layout)
        layout.remove_short_link()
        return stopped


def status(home: Path) -> EmbeddedStatus:
    """Return the state of home's server without starting it."""
    layout = Layout.of(home)
    state = layout.state() if layout.data.exists() else "absent"
    found = layout.postmaster_file() if state != "absent" else None
    return EmbeddedStatus(state, found.pid if found else None, _keeper_pid(layout), layout.data, layout.socket_directory())


def _hold_client_lock(layout: Layout) -> None:
    held = _client_locks.get(layout.home)
    if held is not None and _is_same_file(held, layout.clients_lock):
        return
    if held is not None:
        os.close(_client_locks.pop(layout.home))
    descriptor = open_lock(layout.clients_lock, home=layout.home)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    # Tells the keeper of a process that comes and goes between two of its looks.
    os.utime(layout.clients_lock)
    _client_locks[layout.home] = descriptor


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _ensure_keeper(layout: Layout, linger_seconds: float) -> None:
    _keepers[:] = [keeper for keeper in _keepers if keeper.poll() is None]
    with opened(layout.keeper_lock, home=layout.home) as descriptor:
        if not is_free(descriptor):
            return
        # The keeper inherits the descriptor and with it the lock, so that there is never a moment with two keepers.
        arguments = [Path(__file__).with_name("embedded_keeper.py"), layout.home, layout.socket_directory() / SOCKET_NAME]
        arguments += [str(linger_seconds), str(descriptor), find_installation().parents[1]]
        try:
            with layout.log.open("ab") as log:
                keeper = subprocess.Popen(
                    [sys.executable, "-I", "-S", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=public_environment(os.environ),
                    start_new_session=True,
                    pass_fds=(descriptor,),
                )
            _keepers.append(keeper)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{keeper.pid}\n".encode(), 0)
        except OSError as error:
            raise StoreError(f"FKS_HOME {layout.home}: the keeper of the database cannot be started: {error.strerror}") from error


def _keeper_pid(layout: Layout) -> int | None:
    if not layout.keeper_lock.exists():
        return None
    with opened(layout.keeper_lock, home=layout.home) as descriptor:
        if is_free(descriptor):
            return None
        text = os.pread(descriptor, 32, 0).decode().strip()
    return int(text) if text.isdigit() else None
