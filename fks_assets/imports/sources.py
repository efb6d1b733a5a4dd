"""Open candle files, compressed or inside an archive, without ever holding more of them than a block and a bound allow."""

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from fks_assets.imports.report import ImportRefused

HEAD_BYTES = 64 * 1024
# Fifteen years of minutes; at 200 bytes a row the text of as many.
MOST_ROWS = 8_000_000
MOST_BYTES = 2 * 2**30
DATA_ENDINGS = (".csv", ".json", ".feather", ".parquet", ".csv.gz", ".json.gz", ".zip")
_BOM = b"\xef\xbb\xbf"
_ZIP, _GZIP = b"PK", b"\x1f\x8b"
BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Member:
    """One series' bytes: a file, or a file inside an archive. `label` names it for people, `name` is what facts are read from."""

    label: str
    name: str
    path: Path
    opened: Callable[[], BinaryIO]
    declared_bytes: int | None = None
    compressed: bool = False


class BoundedText(io.RawIOBase):
    """Bytes of a text without its byte order mark. Reading more than MOST_BYTES of it raises ImportRefused."""

    def __init__(self, raw: BinaryIO, most_bytes: int) -> None:
        super().__init__()
        self._raw = raw
        self._most = most_bytes
        self._count = 0
        self._ahead = b""
        self._ahead = self._fetch(HEAD_BYTES).removeprefix(_BOM)

    @property
    def head(self) -> bytes:
        """The first bytes; to be looked at before anything is read."""
        return self._ahead

    def readable(self) -> bool:
        return True

    def readall(self) -> bytes:
        raise io.UnsupportedOperation("read in blocks: the text may be large")

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._fetch(size)

    def _fetch(self, size: int) -> bytes:
        data = self._raw.read(size)
        self._count += len(data)
        if self._count > self._most:
            raise ImportRefused(f"holds more than the {self._most:,} bytes that one series may have")
        return data


class JsonLines(io.RawIOBase):
    """A JSON list of flat lists as lines of values, each after two empty cells: `[[1,2],[3,4]]` becomes `,,1,2` and `,,3,4`."""

    _TO_LINES = bytes.maketrans(b"[]", b",\n")

    def __init__(self, text: BoundedText) -> None:
        super().__init__()
        self._text = text
        self._last = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        while data := self._text.read(size):
            data = data.translate(None, b" \t\r\n")
            if data:
                self._last = (self._last + data[-2:])[-2:]
                return data.translate(self._TO_LINES)
        if self._last != b"]]":
            raise ImportRefused("ends in the middle: the JSON list is not closed")
        return b""


def members_of(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Yield what a file holds: itself, or the candle files of an archive whose names are wanted.

    Raises ImportRefused for an archive that cannot be read or holds no such file.
    """
    with _reasons():
        with path.open("rb") as file:
            magic = file.read(2)
        if magic != _ZIP:
            yield Member(path.name, path.name, path, lambda: _opened(path, magic), compressed=magic == _GZIP)
            return
        archive = zipfile.ZipFile(path)
    with archive:
        inside = [info for info in archive.infolist() if _is_data(info.filename) and not info.is_dir()]
        if not inside:
            raise ImportRefused("the archive holds no candle file")
        for info in inside:
            # A zip of one file is that file, compressed: its own name says enough.
            if len(inside) == 1 or wanted(info.filename):
                label = f"{path.name}/{info.filename}"
                yield Member(label, info.filename, path, lambda info=info: _unzipped(archive, info), info.file_size, True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def opened_text(member: Member) -> Iterator[BoundedText]:
    """Open a member as bounded text; what cannot be read raises ImportRefused with the reason."""
    if member.declared_bytes is not None and member.declared_bytes > MOST_BYTES:
        raise ImportRefused(f"holds {member.declared_bytes:,} bytes, more than the {MOST_BYTES:,} that one series may have")
    with _reasons():
        raw = member.opened()
        with raw:
            yield BoundedText(raw, MOST_BYTES)


@contextmanager
def _reasons() -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise ImportRefused("ends in the middle: the compressed data are truncated") from error
    except BROKEN as error:
        raise ImportRefused(f"cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from error


def _opened(path: Path, magic: bytes) -> BinaryIO:
    return gzip.open(path, "rb") if magic == _GZIP else path.open("rb")


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> BinaryIO:
    return archive.open(info)


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and name.lower().endswith((".csv", ".json"))
