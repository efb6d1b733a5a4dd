"""A server of webhooks over real sockets that answers by plan and knows what came, when, and whether that was forbidden."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fks_assets_tests.exchanges import scripted_server
from fks_assets_tests.exchanges.scripted_server import Request, ScriptedServer


@dataclass(frozen=True)
class Reply:
    """An answer. `window` is for how many seconds no other call may come, `drip_seconds` passes between bytes of the body."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    window: float = 0.0
    delay_seconds: float = 0.0
    drip_seconds: float | None = None
    hang: bool = False
    reset: bool = False
    raw: bytes | None = None


def too_many(seconds: float, *, unit: str = "s", header: bool = False) -> Reply:
    """Return Discord's 429: `retry_after` in seconds, or in milliseconds as older APIs say it."""
    told = seconds if unit == "s" else round(seconds * 1000)
    body = json.dumps({"message": "You are being rate limited.", "retry_after": told, "global": False}).encode()
    headers = {"Content-Type": "application/json", **({"Retry-After": str(round(seconds))} if header else {})}
    return Reply(429, body, headers, window=seconds)


@dataclass(frozen=True)
class Call:
    """A call as it came; `at` is in seconds of the server's clock."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """Title, description and footer of a Discord message, as Discord shows them."""
        (embed,) = self.document["embeds"]
        return re.sub(r"\\(.)", r"\1", f"{embed['title']}\n{embed['description']}\n{embed['footer']['text']}")


class Hooks(ScriptedServer):
    """Each path has a plan of answers, of which the last one is given again and again, or a rule that answers each call.

    Windows are of `clock`, in seconds: the monotonic one, or that of a desk whose clock a test moves.
    """

    def __init__(self) -> None:
        super().__init__(self._judge)
        self.plans: dict[str, list[Reply] | Callable[[Call], Reply]] = {}
        self.calls: list[Call] = []
        self.accepted: list[Call] = []
        self.violations: list[Call] = []
        self.invalid = 0
        self.clock: Callable[[], float] = time.monotonic
        self._windows: dict[str, float] = {}

    def on(self, path: str) -> list[Call]:
        """Return what was accepted at a path."""
        return [call for call in self.accepted if call.path == path]

    def _judge(self, request: Request) -> scripted_server.Reply:
        call = Call(request.path, request.headers, request.body, self.clock())
        self.calls.append(call)
        if call.at < self._windows.get(call.path, 0.0):
            self.violations.append(call)
        plan = self.plans.setdefault(call.path, [Reply()])
        reply = plan(call) if callable(plan) else plan.pop(0) if len(plan) > 1 else plan[0]
        if reply.window:
            self._windows[call.path] = self.clock() + reply.window
        if reply.status < 300 and not reply.hang and not reply.reset:
            self.accepted.append(call)
        self.invalid += reply.status in (401, 403, 429)
        return scripted_server.Reply(
            reply.body,
            reply.status,
            {"Connection": "close", **reply.headers},
            reply.delay_seconds,
            reply.drip_seconds,
            reset=reply.reset,
            hang=reply.hang,
            raw=reply.raw,
        )


@contextmanager
def hook_server() -> Iterator[Hooks]:
    """Run a server on a free port of 127.0.0.1."""
    server = Hooks()
    server.start()
    try:
        yield server
    finally:
        server.stop()
