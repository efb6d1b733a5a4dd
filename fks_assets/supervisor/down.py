"""Stop the desk of a home from outside."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fks_assets.errors import StoreError
from fks_assets.supervisor.home import DeskHome
from fks_assets.supervisor.lock import holder
from fks_assets.supervisor.state import read_state
from fks_assets.supervisor.sweep import processes_of, sweep


def stop_desk(home: Path, timeout_seconds: float) -> str:
    """Ask the desk to stop, kill what is left after the timeout, and return what was done in one line."""
    state = read_state(home)
    if state is None:
        return f"no desk runs on FKS_HOME {home}"
    lock = DeskHome(home).lock_file
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    if _wait_until(lambda: holder(lock) is None, timeout_seconds):
        return f"the desk of {home} (process {state.pid}) has stopped"
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGKILL)
    if state.token:
        sweep(state.token)
    if not _wait_until(lambda: holder(lock) is None and not (state.token and processes_of(state.token)), timeout_seconds):
        raise StoreError(f"the desk of {home} (process {state.pid}) does not stop")
    return f"the desk of {home} (process {state.pid}) did not stop within {timeout_seconds:.0f} s and was killed"


def _wait_until(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
