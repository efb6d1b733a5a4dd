"""A sender in a process of its own, which dies where the test says, or delivers until nothing waits."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fks_assets.clock import now_ms
from fks_assets.stores.database import Database
from fks_assets_tests.notify.hooks import Hooks
from fks_assets_tests.notify.told import ToldDesk


@dataclass(frozen=True)
class Doomed:
    """Where the desk is, how far its clock is ahead, and the point at which the sender dies after `skip` passes."""

    home: Path
    database_url: str
    hooks_url: str
    channels: dict[str, dict[str, Any]]
    ahead_ms: int = 0
    point: str | None = None
    skip: int = 0


def main(doomed: Doomed) -> None:
    """Deliver in this process, and die where it says."""
    hooks = Hooks()
    hooks.url = doomed.hooks_url
    database = Database(doomed.database_url)
    desk = ToldDesk(doomed.home, database, hooks, doomed.channels, clock=lambda: now_ms() + doomed.ahead_ms)
    if doomed.point is not None:
        os.environ |= {"FKS_CRASHPOINT": doomed.point, "FKS_CRASHPOINT_SKIP": str(doomed.skip)}
    asyncio.run(desk.sender().run_for(30.0, desk.is_quiet))
