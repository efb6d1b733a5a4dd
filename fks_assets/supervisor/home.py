"""Where a desk keeps its state on this machine, and whether that place can be used."""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from fks_assets.errors import InvalidInput, StoreError
from fks_assets.settings import PROJECT_ROOT

LEAST_FREE_BYTES = 500 * 2**20
LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class DeskHome:
    """The folders and files under FKS_HOME that the supervisor owns."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME of every Dagster process of the desk."""
        return self.root / "dagster"

    @property
    def lock_file(self) -> Path:
        return self.run / "up.lock"

    @property
    def state_file(self) -> Path:
        return self.run / "up.json"

    @property
    def workspace_file(self) -> Path:
        return self.run / "workspace.yaml"

    @property
    def code_socket(self) -> Path | None:
        """The code server's socket, None where its path would be too long for the operating system."""
        path = self.run / "code-server.sock"
        return path if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH else None

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def prepare_home(root: Path, least_free_bytes: int = LEAST_FREE_BYTES) -> DeskHome:
    """Create the folders and return them; raise InvalidInput, one line, if the place cannot be written or is nearly full."""
    home = DeskHome(root)
    try:
        for folder in (home.root, home.run, home.logs, home.dagster):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(home.root).free
        if free < least_free_bytes:
            raise InvalidInput(
                f"FKS_HOME {root} has {free / 2**20:.0f} MB of free disk; the desk needs {least_free_bytes / 2**20:.0f} MB: "
                "free some, or set FKS_HOME to another disk"
            )
        probe = home.run / f"probe-{os.getpid()}"
        probe.write_bytes(b"\0" * 65536)
        probe.unlink()
    except OSError as error:
        raise InvalidInput(f"FKS_HOME {root} cannot be written: {_reason(error)}; set FKS_HOME to a folder that can") from None
    return home


def write_dagster_home(home: DeskHome) -> None:
    """Put the project's dagster.yaml into DAGSTER_HOME, so that every process of the desk reads the same instance settings."""
    source = PROJECT_ROOT / "dagster.yaml"
    try:
        replace_file(home.dagster / "dagster.yaml", source.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{error.filename or source}: {_reason(error)}") from None


def replace_file(path: Path, text: str) -> None:
    """Write the file as a whole or not at all, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _reason(error: OSError) -> str:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file stands where a folder should be"
    return error.strerror or str(error)
