"""Find and end the processes of one `fks up`, including those that its services started themselves (code servers, runs)."""

import os
import time

import psutil

TOKEN_VARIABLE = "DESK_UP_TOKEN"  # noqa: S105


def processes_of(token: str, containing: str = "") -> list[psutil.Process]:
    """Return every live process but this one that was started under the token, with that text in its command line."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.environ().get(TOKEN_VARIABLE) != token:
                continue
            if containing in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return found


def sweep(token: str, grace_seconds: float = 8.0, containing: str = "") -> int:
    """Ask the processes of the token to stop, kill those that have not after the grace; return how many there were.

    Repeats until none is left, because a process may start another while it is being stopped.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + grace_seconds
    while True:
        left = processes_of(token, containing)
        if not left or time.monotonic() > deadline + grace_seconds:
            return len(ended)
        for process in left:
            try:
                if time.monotonic() > deadline:
                    process.kill()
                elif process.pid not in ended:
                    process.terminate()
            except psutil.NoSuchProcess:
                continue
            finally:
                ended.add(process.pid)
        time.sleep(0.2)
