"""What a channel is to the sender: a target, what it takes at once, and a way to send that never raises for what servers do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import orjson

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.notify.addresses import check_url
from fks_assets.notify.http import DEADLINE_SECONDS, Unreachable, post
from fks_assets.notify.message import Message
from fks_assets.notify.outcome import Answer, Outcome, Result, judged
from fks_assets.redaction import hide
from fks_assets.settings.notifications import DiscordChannel, SlackChannel

Send = Callable[[Sequence[Message]], Awaitable[Outcome]]
# Longer than any attempt lasts, so that a target is not taken over while it is being sent to.
LEASE_SLACK_MS = 10_000


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to people. Several messages for `send` are one digest, or, where `takes_many`, a batch in which each is said in full.

    `target` is a hash of where it goes; `shown` is the host and the last four characters. With a `problem` nothing can be sent.
    """

    name: str
    target: str
    host: str
    shown: str
    send: Send
    takes: Callable[[str, str], bool]
    per_minute: int = 30
    backup: bool = False
    at_once: int = 40
    takes_many: bool = False
    deadline_seconds: float = DEADLINE_SECONDS
    problem: str | None = None

    @property
    def lease_ms(self) -> int:
        """For how long a sender has the target for itself."""
        return round(self.deadline_seconds * 1000) + LEASE_SLACK_MS


@dataclass(frozen=True, slots=True)
class Network:
    """What channels need of the outside: their secrets by variable, and whether loopback may be asked (tests)."""

    environment: Mapping[str, str]
    loopback: bool = False

    def secret(self, variable: str) -> str:
        """Return the secret of a variable, which this process will not say from now on. Raises InvalidInput if it is not set."""
        found = self.environment.get(variable, "").strip()
        if not found:
            raise InvalidInput(f"the variable {variable} is not set")
        # A part of an address alone may be enough to write there.
        parts = urlsplit(found)
        inside = (parts.username or "", *parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)))
        hide(found, parts.password, *(part for part in inside if len(part) >= 16))
        return found


def webhook_channel(
    name: str,
    kind: str,
    rules: DiscordChannel | SlackChannel,
    network: Network,
    *,
    hosts: tuple[str, ...],
    payload: Callable[[list[Message]], object],
) -> Channel:
    """Return the channel of a service's webhook, which takes a JSON document at an address that is the secret.

    Raises InvalidInput for an address that is missing or none of the service's.
    """
    url = network.secret(rules.url_env)
    host = check_url(url, loopback=network.loopback, hosts=hosts)

    async def send(messages: Sequence[Message]) -> Outcome:
        return await send_json(url, payload(list(messages)), loopback=network.loopback, hosts=hosts)

    return Channel(
        name=name,
        target=target_of(kind, url),
        host=host,
        shown=address_shown(host, url),
        send=send,
        takes=rules.takes,
        per_minute=rules.per_minute,
        backup=rules.backup,
    )


def address_shown(host: str, secret: str) -> str:
    """Return how an address with a secret in it is shown."""
    return f"{host}/…{secret[-4:]}"


def target_of(*parts: str) -> str:
    """Return the name of a target: the same parts, the same target."""
    return stable_id("notification target", *parts)


async def send_json(
    url: str, document: object, *, loopback: bool, hosts: tuple[str, ...] = (), headers: Mapping[str, str] | None = None
) -> Outcome:
    """Return what became of a JSON document that was posted."""
    return await send_body(url, orjson.dumps(document), loopback=loopback, hosts=hosts, headers=headers)


async def send_body(
    url: str,
    body: bytes,
    *,
    loopback: bool,
    hosts: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
    judge: Callable[[Answer, int], Outcome] = judged,
) -> Outcome:
    """Return what became of a body that was posted, by the judge of its answer."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    try:
        answer = await post(url, body, headers, loopback=loopback, hosts=hosts)
    except Unreachable as error:
        return Outcome(Result.LATER, str(error))
    return judge(answer, now_ms())
