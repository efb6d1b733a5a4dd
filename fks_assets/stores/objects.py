"""Immutable Parquet objects on a local disk or an object store: put, get, delete, list; never overwritten or renamed."""

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fks_assets.errors import StoreError
from fks_assets.stores.canonical import KNOWN_AT, OPEN_TIME, SUPERSEDED_AT

if TYPE_CHECKING:
    import upath

_LOG = logging.getLogger(__name__)
SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class Compression:
    """How an object's pages are packed: Parquet's name of the codec and its level (None: it has none)."""

    codec: str
    level: int | None = None


# zstd at level 15 takes a fifth (a month of 1h) to a third (5m) off what lz4 needs; level 19 takes another 1 %.
FAST = Compression("lz4")
DENSE = Compression("zstd", 15)


class MissingObject(StoreError):
    """An object is not there: it was swept after its head moved on, or the root is a wrong one."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it is listed. `modified_ms` is UTC milliseconds."""

    name: str
    size_bytes: int
    modified_ms: int


class ObjectStore:
    """Objects below a root: a directory or a universal_pathlib URL such as s3://bucket/candles.

    Names are `folder/…/file.parquet` with `/` on every system.
    """

    def __init__(self, root: str, compression: Compression = FAST) -> None:
        self.root = root
        self._compression = compression
        self._remote: upath.UPath | None = None
        self._local: Path | None = None
        self._known_directories: set[Path] = set()
        self._guard = threading.Lock()
        scheme, separator, rest = root.partition("://")
        if separator and scheme != "file":
            from upath import UPath

            self._remote = UPath(root)
        else:
            self._local = Path(rest if separator else root).absolute()

    def read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of an object, or some of its columns. Raises MissingObject or StoreError."""
        from pyarrow.parquet import ParquetFile

        try:
            if self._local is not None:
                # A path is opened once; pq.read_table and pd.read_parquet open it twice.
                with pa.OSFile(str(self._local / name)) as source, ParquetFile(source, page_checksum_verification=True) as file:
                    return _selected(file, columns, name)
            assert self._remote is not None
            data = pa.BufferReader((self._remote / name).read_bytes())
            with ParquetFile(data, page_checksum_verification=True) as file:
                return _selected(file, columns, name)
        except FileNotFoundError as error:
            raise MissingObject(f"the candle object {self.root}/{name} is missing") from error
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"the candle object {self.root}/{name} cannot be read: {_first_line(error)}") from error

    def write(self, name: str, table: pa.Table) -> int:
        """Write a new object and return its size in bytes. On a local disk its content is flushed to the disk.

        The entry of a new file in its directory is flushed by `flush_directories`. Raises StoreError and leaves no object.
        """
        data = encode(table, self._compression)
        try:
            if self._local is not None:
                _write_new_file(self._create_directory((self._local / name).parent) / Path(name).name, data)
            else:
                assert self._remote is not None
                target = self._remote / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        except OSError as error:
            raise StoreError(f"the candle object {self.root}/{name} cannot be written: {_reason(error)}") from error
        return data.size

    def flush_directories(self, names: Iterable[str]) -> None:
        """Make sure that the files of new objects are found again after a crash of the machine."""
        if self._local is None:
            return
        for directory in sorted({(self._local / name).parent for name in names}):
            try:
                _flush_directory(directory)
            except OSError as error:
                raise StoreError(f"the directory {directory} cannot be flushed: {_reason(error)}") from error

    def delete(self, name: str) -> None:
        """Remove an object; one that is gone already is fine."""
        try:
            if self._local is not None:
                (self._local / name).unlink(missing_ok=True)
            elif self._remote is not None:
                (self._remote / name).unlink(missing_ok=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"the candle object {self.root}/{name} cannot be removed: {_reason(error)}") from error

    def discard(self, names: Iterable[str]) -> None:
        """Remove objects that were written in vain; the sweep takes what cannot be removed: the failure before matters more."""
        for name in names:
            try:
                self.delete(name)
            except StoreError as error:
                _LOG.warning("%s", error)

    def size(self, name: str) -> int:
        """Return the bytes of an object. Raises MissingObject or StoreError."""
        try:
            if self._local is not None:
                return (self._local / name).stat().st_size
            assert self._remote is not None
            return (self._remote / name).stat().st_size
        except FileNotFoundError as error:
            raise MissingObject(f"the candle object {self.root}/{name} is missing") from error
        except OSError as error:
            raise StoreError(f"the candle object {self.root}/{name} cannot be read: {_reason(error)}") from error

    def list(self) -> Iterator[StoredObject]:
        """Give every object below the root."""
        if self._local is not None:
            yield from _walk(self._local, "")
            return
        assert self._remote is not None
        base = self._remote.path.rstrip("/") + "/"
        for path in self._remote.rglob(f"*{SUFFIX}"):
            state = path.stat()
            yield StoredObject(path.path.removeprefix(base), state.st_size, int(state.st_mtime * 1000))

    def _create_directory(self, directory: Path) -> Path:
        with self._guard:
            missing: list[Path] = []
            current = directory
            while current not in self._known_directories and not current.is_dir():
                missing.append(current)
                current = current.parent
            for path in reversed(missing):
                path.mkdir(exist_ok=True)
                _flush_directory(path.parent)
            self._known_directories.add(directory)
        return directory


def encode(table: pa.Table, compression: Compression = FAST) -> pa.Buffer:
    """Return the rows as a Parquet file: times as differences, dictionaries only where few values repeat."""
    from pyarrow.parquet import write_table

    sink = pa.BufferOutputStream()
    texts = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    write_table(
        table,
        sink,
        compression=compression.codec,
        compression_level=compression.level,
        use_dictionary=[name for name in (*texts, KNOWN_AT, SUPERSEDED_AT) if name in table.column_names],
        column_encoding={OPEN_TIME: "DELTA_BINARY_PACKED"},
        write_statistics=False,
        write_page_checksum=True,
        row_group_size=max(1, table.num_rows),
    )
    return sink.getvalue()


def _selected(file: Any, columns: Sequence[str] | None, name: str) -> pa.Table:
    if columns is None:
        return file.read()
    known = file.schema_arrow.names
    if unknown := [column for column in columns if column not in known]:
        raise StoreError(f"the candle object {name} has no column {unknown[0]!r}; it has {', '.join(known)}")
    return file.read(columns=list(columns))


def _write_new_file(path: Path, data: pa.Buffer) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        try:
            view = memoryview(data)
            while len(view):
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(directory: Path, prefix: str) -> Iterator[StoredObject]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"the directory {directory} cannot be listed: {_reason(error)}") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(directory / entry.name, f"{prefix}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield StoredObject(prefix + entry.name, state.st_size, state.st_mtime_ns // 1_000_000)


def _reason(error: OSError) -> str:
    return error.strerror or _first_line(error)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
