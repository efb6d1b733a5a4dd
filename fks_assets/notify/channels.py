"""The channels of a desk, opened from its settings and the secrets of its environment."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from fks_assets.errors import InvalidInput
from fks_assets.notify.channel import Channel, Network, target_of
from fks_assets.notify.discord import open_discord
from fks_assets.notify.log_file import open_log
from fks_assets.notify.mail import open_mail
from fks_assets.notify.outcome import Outcome, Result
from fks_assets.notify.slack import open_slack
from fks_assets.notify.sms import open_sms
from fks_assets.notify.telegram import open_telegram
from fks_assets.notify.webhook import open_webhook
from fks_assets.settings import Settings

_OPEN: dict[str, Callable[[str, Any, Network], Channel]] = {
    "discord": open_discord,
    "slack": open_slack,
    "telegram": open_telegram,
    "email": open_mail,
    "sms": open_sms,
    "webhook": open_webhook,
}


def open_channels(settings: Settings, environment: Mapping[str, str]) -> list[Channel]:
    """Return the channels in the order of the settings, the log first.

    One that cannot be opened says why in `problem`, without its secrets.
    """
    rules = settings.notifications
    network = Network(environment, loopback=rules.insecure_loopback)
    channels = [open_log(settings.home)]
    for name, each in rules.channels.items():
        try:
            channels.append(_OPEN[each.type](name, each, network))
        except InvalidInput as error:
            channels.append(_closed(name, each, str(error)))
    return channels


def secret_environment(variables: list[str]) -> dict[str, str]:
    """Return what the environment, or else .env of the working directory, says of these variables."""
    file = Path.cwd() / ".env"
    values = dotenv_values(file) if file.is_file() else {}
    found = {name: os.environ.get(name) or values.get(name) for name in variables}
    return {name: value for name, value in found.items() if value}


def _closed(name: str, rules: Any, problem: str) -> Channel:
    async def send(_: object) -> Outcome:
        return Outcome(Result.DEAD, problem)

    return Channel(
        name=name,
        target=target_of("closed", name, problem),
        host="",
        shown="–",
        send=send,
        takes=rules.takes,
        backup=rules.backup,
        problem=problem,
    )
