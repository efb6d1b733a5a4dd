"""Locks and signs of life of the embedded PostgreSQL, with the fewest imports: the keeper loads this alone while it waits."""

import fcntl
import os
import socket


def is_free(descriptor: int) -> bool:
    """Take an exclusive lock without waiting and tell whether that succeeded; the lock is then held."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def listens(socket_path: str) -> bool:
    """Tell whether a server listens on the socket; the file that a killed server left behind refuses.

    Raises TimeoutError when it listens but is too busy to be asked, other OSErrors when the path may not be used.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5.0)
        try:
            probe.connect(socket_path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended but was not collected by its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        # No /proc on this system, or the process ended in this moment: the next look will tell.
        return True
