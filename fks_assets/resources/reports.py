"""Reports for people as a Dagster resource: files under the desk's reports directory, and the addresses that show them."""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fks_assets.errors import StoreError
from fks_assets.settings import Settings

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where this desk's web UI and reports are served now; `reports` None when nobody serves them."""

    web: str
    reports: str | None


@dataclass(frozen=True, slots=True)
class SavedReport:
    """A written report: its file, and the address that shows it, None when nobody serves it."""

    path: Path
    url: str | None


def partition_url(web: str, asset: str, partition: str) -> str:
    """Return the web UI's page of one partition; its Materialize dialog opens with that partition chosen."""
    return f"{web}/assets/{quote(asset)}?view=partitions&partition={quote(partition, safe='')}"


class Reports:
    """Writes reports. `addresses` tells where a running desk serves them; None when no desk runs, as with plain `dagster dev`."""

    def __init__(self, settings: Settings, addresses: Callable[[], Addresses | None]) -> None:
        self.settings = settings
        self._addresses = addresses

    @property
    def addresses(self) -> Addresses:
        return self._addresses() or Addresses(f"http://{HOST}:{self.settings.web_port}", None)

    def save(self, name: str, text: str) -> SavedReport:
        """Write a report as a whole or not at all, in the place of one of the same name, such as `completeness/2026-11-21.html`.

        Raises StoreError when the directory cannot be written.
        """
        path = self.settings.reports_directory / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise StoreError(f"report {path} cannot be written: {error.strerror}") from None
        served = self.addresses.reports
        return SavedReport(path, None if served is None else f"{served}/{quote(name)}")

    def keep_newest(self, folder: str, kept: int) -> int:
        """Remove all but the newest files of a folder, by their names, and return how many were removed."""
        files = sorted(path for path in (self.settings.reports_directory / folder).glob("[!.]*") if path.is_file())
        for path in files[: max(0, len(files) - kept)]:
            path.unlink(missing_ok=True)
        return max(0, len(files) - kept)
