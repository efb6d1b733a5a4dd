"""`fks up --detach`: start a desk in the background and return once it is up and loaded."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

from fks_assets.settings import Settings
from fks_assets.supervisor.home import prepare_home
from fks_assets.supervisor.services import python_module
from fks_assets.supervisor.state import DeskState, Phase, read_state

LONGEST_WAIT_SECONDS = 900.0
POLL_SECONDS = 0.2


def run_detached(settings: Settings, *, load: bool) -> int:
    """Return 0 once the desk runs, what the background process returned if it ended, 1 when it is not up after 15 minutes."""
    home = prepare_home(settings.home)
    log = home.log("supervisor")
    shown = log.stat().st_size if log.is_file() else 0
    with TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            python_module("fks_assets.cli", "up", "--load" if load else "--no-load"),
            stdin=subprocess.DEVNULL,
            stdout=complaints,
            stderr=complaints,
            start_new_session=True,
        )
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                complaints.seek(0)
                text = complaints.read().strip()
                print(text, file=sys.stderr if process.returncode else sys.stdout, flush=True)
                return process.returncode
            shown = _show_news(log, shown)
            state = read_state(settings.home)
            if state is not None and state.pid == process.pid and state.phase is Phase.RUNNING and state.all_up:
                _show_news(log, shown)
                print(f"The desk runs in the background: {state.url}  (process {state.pid}); `fks status`, `fks down`")
                return 0
            time.sleep(POLL_SECONDS)
    why, minutes = _not_up(read_state(settings.home)), LONGEST_WAIT_SECONDS / 60
    print(
        f"the desk (process {process.pid}) is not up after {minutes:.0f} minutes: {why}; it goes on, see {log}", file=sys.stderr
    )
    return 1


def _show_news(log: Path, shown: int) -> int:
    """Print what the log has gained since it was `shown` bytes long, without the times; return its length now."""
    if not log.is_file() or (length := log.stat().st_size) == shown:
        return shown
    with log.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(shown if shown < length else 0)
        for line in stream.read().splitlines():
            print(line.partition(" ")[2], flush=True)
    return length


def _not_up(state: DeskState | None) -> str:
    if state is None:
        return "it has ended"
    waiting = [f"{part.name} {part.state} {part.detail}".strip() for part in state.parts if part.state != "up"]
    return ", ".join(waiting) or str(state.phase)
