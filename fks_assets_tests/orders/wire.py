"""A small HTTP server that shows every byte of a request and answers as a test says, or not at all."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from aiohttp import web


@dataclass(frozen=True)
class Sent:
    """A request as it arrived."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]

    @property
    def endpoint(self) -> str:
        return self.path.partition("/api/v3/")[2] or self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Said:
    """What to answer. `how`: "whole", "abort" (the connection breaks), "torn" (half of it), "hang", "drip" (byte by byte)."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    how: str = "whole"


Script = Callable[[Sent], Said]


class Wire:
    """Runs in a thread of its own; `script` may be exchanged at any time, `sent` holds all that arrived."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sent: list[Sent] = []
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def of(self, endpoint: str) -> list[Sent]:
        return [each for each in self.sent if each.endpoint == endpoint]

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """Stop listening; once more does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = (await request.read()).decode()
        params = dict(parse_qsl(request.query_string)) | dict(parse_qsl(body))
        sent = Sent(request.method, request.path, params, {name.lower(): value for name, value in request.headers.items()})
        self.sent.append(sent)
        said = self.script(sent)
        if said.how == "abort":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if said.how == "hang":
            await self._stop.wait()
        if said.how == "endless":
            response = web.StreamResponse(status=said.status, headers=said.headers)
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                while not self._stop.is_set():
                    await response.write(said.body)
            return response
        if said.how in ("torn", "drip"):
            response = web.StreamResponse(
                status=said.status, headers={**said.headers, "Content-Length": str(len(said.body) + 10)}
            )
            await response.prepare(request)
            for byte in said.body if said.how == "drip" else [said.body]:
                await response.write(bytes([byte]) if isinstance(byte, int) else byte)
                await asyncio.sleep(0.02 if said.how == "drip" else 0)
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(body=said.body, status=said.status, headers={"Content-Type": "application/json", **said.headers})


@contextmanager
def wire(script: Script) -> Iterator[Wire]:
    """Run a server with this script on a free port of 127.0.0.1."""
    server = Wire(script)
    server.start()
    try:
        yield server
    finally:
        server.stop()
