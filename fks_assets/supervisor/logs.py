"""Log files of the services: appended to by the services themselves, cut by the supervisor so that they cannot fill the disk."""

import os
import re
import shutil
from pathlib import Path

LARGEST_LOG_BYTES = 10 * 2**20
KEPT_LOGS = 2
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def open_log(path: Path) -> int:
    """Return a descriptor that appends to the log, for a child process to write to."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def rotate(path: Path, largest_bytes: int = LARGEST_LOG_BYTES, kept: int = KEPT_LOGS) -> bool:
    """Move the content to `<name>.1` when the log has grown too large; return whether it was moved.

    The file is copied and cut, not renamed: the service holds it open in append mode and goes on writing at its new end.
    """
    if not path.is_file() or path.stat().st_size <= largest_bytes:
        return False
    for number in range(kept, 1, -1):
        older = path.with_name(f"{path.name}.{number - 1}")
        if older.is_file():
            older.replace(path.with_name(f"{path.name}.{number}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


def last_line(path: Path) -> str:
    """Return the last line with text in the log, without colours; empty when there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 8192))
        lines = [line.strip() for line in _COLOUR.sub("", stream.read().decode(errors="replace")).splitlines()]
    return next((line for line in reversed(lines) if line), "")
