"""What a running `fks up` tells others about itself: FKS_HOME/run/up.json."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from fks_assets.errors import StoreError
from fks_assets.supervisor.home import DeskHome, replace_file
from fks_assets.supervisor.lock import holder
from fks_assets.supervisor.parts import Part


class Phase(StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part as shown to people and scripts."""

    name: str
    state: str
    pid: int | None
    restarts: int
    detail: str
    log: str | None


@dataclass(frozen=True, slots=True)
class DeskState:
    """A running desk. `url` is where its web UI is, empty until the port is chosen, `reports_url` where its reports are;
    `token` marks its processes."""

    pid: int
    token: str
    phase: Phase
    started_at: str
    url: str
    exchange: str
    simulator_url: str | None
    home: str
    parts: tuple[PartReport, ...]
    reports_url: str | None = None

    @property
    def all_up(self) -> bool:
        return all(part.state == "up" for part in self.parts)


def reports(parts: Iterable[Part]) -> tuple[PartReport, ...]:
    return tuple(
        PartReport(part.name, str(part.state), part.pid, part.restarts, part.detail, None if part.log is None else str(part.log))
        for part in parts
    )


def write_state(home: DeskHome, state: DeskState) -> None:
    replace_file(home.state_file, json.dumps(asdict(state), indent=1))


def read_state(home: Path) -> DeskState | None:
    """Return the state of the desk that runs on this home, None when none does.

    Between taking the lock and the first report, a running desk is one that is starting and has no parts yet.
    """
    desk = DeskHome(home)
    pid = holder(desk.lock_file)
    if pid is None:
        return None
    found = _stored(desk)
    if found.get("pid") != pid:
        return DeskState(pid, "", Phase.STARTING, "", "", "", None, str(home), ())
    parts = tuple(PartReport(**part) for part in found.pop("parts"))
    return DeskState(**{**found, "phase": Phase(found["phase"]), "parts": parts})


def left_behind_token(home: DeskHome) -> str | None:
    """Return the token of an earlier desk that did not end in order, None if there was none. The caller holds the lock."""
    return _stored(home).get("token")


def clear_state(home: DeskHome) -> None:
    home.state_file.unlink(missing_ok=True)


def _stored(home: DeskHome) -> dict[str, Any]:
    try:
        return json.loads(home.state_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{home.state_file} cannot be read: {error}; remove it") from None
