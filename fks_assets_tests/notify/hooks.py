"""A server of webhooks over real sockets that answers by plan and knows what came, when, and whether that was forbidden."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


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


class Hooks:
    """Runs in its own thread. Each path has a plan of answers, of which the last one is given again and again.

    Windows are of `clock`, in seconds: the monotonic one, or that of a desk whose clock a test moves.
    """

    def __init__(self) -> None:
        self.plans: dict[str, list[Reply]] = {}
        self.calls: list[Call] = []
        self.accepted: list[Call] = []
        self.violations: list[Call] = []
        self.invalid = 0
        self.clock: Callable[[], float] = time.monotonic
        self._windows: dict[str, float] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.url = ""

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def on(self, path: str) -> list[Call]:
        """Return what was accepted at a path."""
        return [call for call in self.accepted if call.path == path]

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            call = Call(line.split(" ")[1], headers, body, self.clock())
            await self._reply(writer, call, self._judge(call))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _judge(self, call: Call) -> Reply:
        self.calls.append(call)
        if call.at < self._windows.get(call.path, 0.0):
            self.violations.append(call)
        plan = self.plans.setdefault(call.path, [Reply()])
        reply = plan.pop(0) if len(plan) > 1 else plan[0]
        if reply.window:
            self._windows[call.path] = self.clock() + reply.window
        if reply.status < 300 and not reply.hang and not reply.reset:
            self.accepted.append(call)
        self.invalid += reply.status in (401, 403, 429)
        return reply

    async def _reply(self, writer: asyncio.StreamWriter, call: Call, reply: Reply) -> None:
        await asyncio.sleep(60 if reply.hang else reply.delay_seconds)
        if reply.reset:
            writer.transport.abort()
            return
        headers = {"Content-Length": str(len(reply.body)), "Connection": "close", **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} Status\r\n{lines}\r\n".encode())
        for byte in reply.body if reply.drip_seconds is not None else b"":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(reply.drip_seconds or 0.0)
        if reply.drip_seconds is None:
            writer.write(reply.body)
        await writer.drain()


@contextmanager
def hook_server() -> Iterator[Hooks]:
    """Run a server on a free port of 127.0.0.1."""
    server = Hooks()
    server.start()
    try:
        yield server
    finally:
        server.stop()
