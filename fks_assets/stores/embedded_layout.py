"""Where the embedded PostgreSQL keeps its files, how clients reach it, and whether it answers. Standard library only."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fks_assets.errors import StoreError
from fks_assets.ids import stable_id, unique_name
from fks_assets.stores.embedded_locks import is_alive, listens

PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
# sockaddr_un holds 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class PostmasterFile:
    """What a server has written into postmaster.pid."""

    pid: int
    status: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one embedded server. `home` is absolute."""

    home: Path

    @classmethod
    def of(cls, home: Path) -> "Layout":
        return cls(Path(os.path.realpath(home)))

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def log(self) -> Path:
        return self.home / "logs" / "postgres.log"

    @property
    def start_lock(self) -> Path:
        return self.run / "postgres.lock"

    @property
    def clients_lock(self) -> Path:
        return self.run / "postgres.clients"

    @property
    def keeper_lock(self) -> Path:
        return self.run / "postgres.keeper"

    def create_directories(self) -> None:
        """Create what is missing of home; raise StoreError in one line when it cannot be written."""
        try:
            for directory in (self.home, self.run, self.log.parent):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.home, error) from error

    def socket_directory(self) -> Path:
        """Return a directory through which clients reach the server's socket within the length a socket address may have.

        The socket lies in the data directory. When that path is too long, a symbolic link to it is kept in a private directory
        of the system's temporary directory.
        """
        if _fits(self.data):
            return self.data
        name = stable_id(str(self.data))
        for parent in _temporary_directories():
            link = Path(parent) / f"fks-{os.geteuid()}" / name
            if _fits(link):
                return _short_link(link, self.data)
        raise StoreError(f"the paths of {self.home} and of the temporary directory are too long for a socket: set TMPDIR")

    def remove_short_link(self) -> None:
        """Remove the link that stands for a long path; the next client makes it again."""
        directory = self.socket_directory()
        if directory != self.data:
            directory.unlink(missing_ok=True)

    def postmaster_file(self) -> PostmasterFile | None:
        """Return the content of postmaster.pid, None when there is none or it is not complete yet."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.data} cannot be read: {error.strerror}; run as the user who owns it") from error
        if len(lines) < 8 or not lines[0].strip().isdigit():
            return None
        return PostmasterFile(int(lines[0]), lines[7].strip())

    def stale_pid(self) -> int | None:
        """Return the process id in a left-over postmaster.pid, None when there is no such file."""
        try:
            first = (self.data / "postmaster.pid").read_text(encoding="ascii").partition("\n")[0].strip()
        except FileNotFoundError:
            return None
        return int(first) if first.isdigit() else None

    def answers(self) -> bool:
        """Tell whether anything listens on the socket; raise StoreError when that cannot be found out."""
        try:
            return listens(str(self.socket_directory() / SOCKET_NAME))
        except TimeoutError as error:
            raise StoreError(f"the database server of {self.home} does not answer; see {self.log}") from error
        except OSError as error:
            raise StoreError(f"{self.data} cannot be reached: {error.strerror}; run as the user who owns it") from error

    def state(self) -> str:
        """Return `absent`, what the server says of itself (`starting`, `ready`, `stopping`), or `dying`.

        Dying: the server was killed and its children, which will notice, still hold the socket open.
        """
        if not self.answers():
            return "absent"
        found = self.postmaster_file()
        if found is None:
            return "starting"
        return found.status if is_alive(found.pid) else "dying"


def cannot_write(home: Path, error: OSError) -> StoreError:
    """Return the one clear line for a home that is read-only, full or not ours."""
    return StoreError(f"FKS_HOME {home} cannot be written: {error.strerror}; free space or choose another directory")


@contextmanager
def locked(path: Path, *, home: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file while the block runs; the kernel releases it when the process dies."""
    with opened(path, home=home) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def opened(path: Path, *, home: Path) -> Iterator[int]:
    """Give the descriptor of a lock file while the block runs; closing it gives up its lock."""
    descriptor = open_lock(path, home=home)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_lock(path: Path, *, home: Path) -> int:
    """Open a lock file, creating it when missing."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(home, error) from error


def _temporary_directories() -> tuple[str, str]:
    return tempfile.gettempdir(), "/tmp"  # noqa: S108 - in it, a directory that is checked to be private


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / SOCKET_NAME)) < LONGEST_SOCKET_PATH


def _short_link(link: Path, target: Path) -> Path:
    parent = link.parent
    parent.mkdir(mode=0o700, exist_ok=True)
    found = parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StoreError(f"{parent} is not a private directory of this user; remove it or choose a shorter FKS_HOME")
    try:
        if os.readlink(link) == str(target):
            return link
    except FileNotFoundError:
        pass
    fresh = link.with_name(f"{link.name}.{unique_name()}")
    fresh.symlink_to(target)
    fresh.replace(link)
    return link
