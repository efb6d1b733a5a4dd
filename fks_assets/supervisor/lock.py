"""One `fks up` per FKS_HOME: a file lock that the kernel releases when its holder dies."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from fks_assets.errors import StoreError

_TRIES = 5


class DeskLock:
    """The lock on a home; holds the process id of its owner as text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Return whether this process now holds the lock."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(_TRIES):  # someone who only looks holds it for a moment
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
                continue
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            self._descriptor = descriptor
            return True
        os.close(descriptor)
        return False

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> int | None:
    """Return the process id that holds the lock, None when nobody does; raise StoreError when it cannot be told."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        for _ in range(_TRIES):  # it writes its number right after it has taken the lock
            text = os.pread(descriptor, 32, 0).decode()
            if text.isdigit():
                return int(text)
            time.sleep(0.05)
        raise StoreError(f"{path} is held by a process that does not give its number; end that process")
    finally:
        os.close(descriptor)
