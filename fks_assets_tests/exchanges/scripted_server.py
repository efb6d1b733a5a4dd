"""A small HTTP server over raw sockets that answers, stalls, drips, tears and resets exactly as a test says."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """One request as received; `at` is in monotonic seconds."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float
    body: bytes = b""

    @property
    def endpoint(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Reply:
    """What to send. `declared_length` lies about the body; `drip_seconds` passes between bytes; `raw` replaces everything."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    drip_seconds: float | None = None
    declared_length: int | None = None
    reset: bool = False
    hang: bool = False
    endless: bool = False
    raw: bytes | None = None


Script = Callable[[Request], Reply]


class ScriptedServer:
    """Runs in its own thread; `script` may be replaced at any time; `requests` holds all that arrived."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.url = ""

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def count(self, endpoint: str) -> int:
        return sum(request.endpoint == endpoint for request in self.requests)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request = _parsed(head.decode("latin-1"))
                length = int(request.headers.get("content-length", "0"))
                request = replace(request, body=await reader.readexactly(length))
                self.requests.append(request)
                if not await self._reply(writer, self.script(request)):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, writer: asyncio.StreamWriter, reply: Reply) -> bool:
        await asyncio.sleep(reply.delay_seconds)
        if reply.hang:
            await asyncio.sleep(60)
        if reply.reset:
            writer.transport.abort()
            return False
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        length = len(reply.body) if reply.declared_length is None else reply.declared_length
        headers = {"Content-Type": "application/json", "Content-Length": str(length), **reply.headers}
        if reply.endless:
            del headers["Content-Length"]
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} Status\r\n{lines}\r\n".encode())
        while reply.endless:
            writer.write(b" " * 65536)
            await writer.drain()
        if reply.drip_seconds is None:
            writer.write(reply.body)
        else:
            for byte in reply.body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(reply.drip_seconds)
        await writer.drain()
        return length == len(reply.body)


@contextmanager
def scripted_server(script: Script) -> Iterator[ScriptedServer]:
    """Run a server with this script on a free port of 127.0.0.1."""
    server = ScriptedServer(script)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _parsed(head: str) -> Request:
    line, *rest = head.split("\r\n")
    target = urlsplit(line.split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
    return Request(target.path, dict(parse_qsl(target.query)), headers, time.monotonic())
