"""A desk that tells: its database, its channels on a server of hooks, and a clock that a test may move."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fks_assets.clock import now_ms
from fks_assets.notify.channels import open_channels
from fks_assets.notify.sender import Sender
from fks_assets.settings import SHIPPED_DESK, Settings, read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import read_deliveries
from fks_assets.stores.notifications import add_notification, read_notifications
from fks_assets_tests.notify.hooks import Hooks

# As long as a real one: Discord's tokens have 68 characters.
TOKEN = "qR7Zt0" + "k" * 58 + "w9Xa"


def discord(path: str, **options: Any) -> dict[str, Any]:
    """Return a channel of Discord at a path of the hooks; the path's name is its variable's."""
    return {"type": "discord", "url_env": path.upper(), "per_minute": 600, **options}


@dataclass
class ToldDesk:
    """Channels by name, as the settings have them; the secrets that they name lead to paths of `hooks`."""

    home: Path
    database: Database
    hooks: Hooks
    channels: Mapping[str, Mapping[str, Any]]
    rules: Mapping[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], int] = now_ms

    def address(self, variable: str) -> str:
        return f"{self.hooks.url}{self.path(variable)}"

    def path(self, variable: str) -> str:
        return f"/api/webhooks/{variable.lower()}/{TOKEN}"

    @property
    def settings(self) -> Settings:
        shipped = read_settings({"FKS_DESK": str(SHIPPED_DESK)}, self.home)
        notifications = {"insecure_loopback": True, "channels": self.channels, **self.rules}
        values = {**shipped.model_dump(), "home": self.home, "notifications": notifications}
        return Settings.model_validate(values)

    def sender(self, database: Database | None = None) -> Sender:
        """Return a sender of this desk, over its own database or another view of it."""
        settings = self.settings
        variables = {name: self.address(name) for name in settings.notifications.variables()} | self.environment
        channels = open_channels(settings, variables)
        outbox = database or self.database
        return Sender(outbox, channels, settings.notifications, simulated=True, clock=self.clock, jitter=random.Random(1))

    def tell(self, message: str, *, kind: str = "alert", severity: str = "INFO") -> int:
        """Write a message that has not been written before and return its number."""
        with self.database.transaction() as connection:
            number = add_notification(connection, kind, severity, message, message)
        assert number is not None
        return number

    def states(self, number: int) -> dict[str, str]:
        """Return what became of a message on each channel; escalations by channel and round."""
        found = read_deliveries(self.database, [number])
        return {each.channel if not each.round else f"{each.channel}.{each.round}": each.state for each in found}

    def error(self, number: int, channel: str) -> str | None:
        """Return the last trouble that a message had on a channel."""
        return next(each.last_error for each in read_deliveries(self.database, [number]) if each.channel == channel)

    def all_states(self) -> list[str]:
        numbers = [each.id for each in read_notifications(self.database)]
        return [each.state for each in read_deliveries(self.database, numbers)]

    def is_quiet(self) -> bool:
        """Return whether everything is routed and nothing waits."""
        states = self.all_states()
        return bool(states) and not {"PENDING", "SENDING"} & set(states)

    def deliver(self, seconds: float = 20.0) -> None:
        """Let a sender of its own work until nothing waits, at most for some time."""
        asyncio.run(self.sender().run_for(seconds, self.is_quiet))


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at: int = 1_795_000_000_000

    def __call__(self) -> int:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += round(seconds * 1000)
