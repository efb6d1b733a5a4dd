"""The channel that every desk has: alerts.log in its home, one JSON object a line, the newest 5 MB and three files before."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from fks_assets.notify.channel import Channel, target_of
from fks_assets.notify.message import Message
from fks_assets.notify.outcome import Outcome, Result
from fks_assets.notify.webhook import webhook_document
from fks_assets.redaction import redacted
from fks_assets.settings.notifications import LOG_CHANNEL

FILE_NAME = "alerts.log"
MOST_BYTES = 5_000_000
OLDER_FILES = 3
AT_ONCE = 500


def open_log(home: Path) -> Channel:
    """Return the channel that writes to the home of the desk."""
    path = home / FILE_NAME

    async def send(messages: Sequence[Message]) -> Outcome:
        try:
            await asyncio.to_thread(append, path, messages)
        except OSError as error:
            return Outcome(Result.LATER, f"{FILE_NAME} cannot be written: {error.strerror}")
        return Outcome(Result.DELIVERED)

    return Channel(
        name=LOG_CHANNEL,
        target=target_of("log", str(path)),
        host="",
        shown=FILE_NAME,
        send=send,
        takes=lambda kind, severity: True,
        per_minute=6000,
        at_once=AT_ONCE,
        takes_many=True,
    )


def append(path: Path, messages: Sequence[Message]) -> None:
    """Write messages at the end of the file, on the disk when this returns; a file that is full makes room first."""
    lines = b"".join(redacted(orjson.dumps(webhook_document([each])).decode()).encode() + b"\n" for each in messages)
    if path.exists() and path.stat().st_size + len(lines) > MOST_BYTES:
        for number in range(OLDER_FILES, 0, -1):
            older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number}"))
    with path.open("ab") as file:
        # What a crash has cut off stays a line of its own.
        if file.tell() and not _ends_a_line(path):
            file.write(b"\n")
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
