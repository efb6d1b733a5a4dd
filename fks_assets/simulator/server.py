"""The HTTP server: every dialect under its own paths, the oracle under /_simulator. Bound to this machine only."""

import asyncio
import errno
import socket
import time
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from fks_assets.errors import InvalidInput
from fks_assets.simulator.api import Api
from fks_assets.simulator.apis import APIS
from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.control import control_routes
from fks_assets.simulator.control_trading import trading_routes
from fks_assets.simulator.endpoints import ExchangeEndpoint
from fks_assets.simulator.exchange import ALL_DIALECTS, SimulatedExchange
from fks_assets.simulator.fapi import FAPI
from fks_assets.simulator.fault_rules import read_fault_file
from fks_assets.simulator.faults import FaultPlan
from fks_assets.simulator.generator import GeneratedMarkets
from fks_assets.simulator.replay import ReplayedMarkets
from fks_assets.simulator.source import CandleSource

HOST = "127.0.0.1"
REPLAY_MARGIN_MS = 3 * 3_600_000


def build_exchange(
    *,
    seed: int = 7,
    replay: Path | None = None,
    faults: Path | None = None,
    speed: float = 1.0,
    start_ms: int | None = None,
    dialect: str | None = None,
) -> SimulatedExchange:
    """Return an exchange of generated markets, or of recorded ones with the clock REPLAY_MARGIN_MS after them.

    The margin lets a careful client, which waits to see a candle followed by another one, take the last one as closed.
    """
    if dialect is not None and dialect not in ALL_DIALECTS:
        raise InvalidInput(f"dialect {dialect!r} is unknown; known: {', '.join(sorted(ALL_DIALECTS))}")
    plan = FaultPlan() if faults is None else FaultPlan(*read_fault_file(faults))
    source: CandleSource
    if replay is None:
        source = GeneratedMarkets(seed)
    else:
        source = ReplayedMarkets(replay)
        start_ms = source.end_ms + REPLAY_MARGIN_MS if start_ms is None else start_ms
    dialects = ALL_DIALECTS if dialect is None else frozenset(one for one in ALL_DIALECTS if one == dialect)
    return SimulatedExchange(source, SimulatedClock(start_ms, speed), faults=plan, dialects=dialects)


def build_app(exchange: SimulatedExchange) -> Starlette:
    """Return the ASGI application of an exchange."""
    spoken: list[Api] = [APIS[name] for name in sorted(exchange.dialects)]
    # Binance's futures are there where its spot dialect is.
    spoken += [FAPI] if "binance" in exchange.dialects else []
    routes = [Route(path, ExchangeEndpoint(exchange, api)) for api in spoken for path in api.routes]
    return Starlette(routes=[*routes, *control_routes(exchange), *trading_routes(exchange)])


def listen(port: int) -> socket.socket:
    """Return a socket bound to the port (0: any free one) of this machine; raise InvalidInput when the port is taken."""
    if not 0 <= port <= 65_535:
        raise InvalidInput(f"port {port} is outside 0..65535")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
        sock.listen(512)
    except OSError as error:
        sock.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise InvalidInput(f"port {port} on {HOST} cannot be used: {error.strerror}; choose another with --port") from error
        raise
    return sock


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Hand the connection to the application, which breaks it when a fault says so."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class SimulatorServer(uvicorn.Server):
    """A uvicorn server that stops by itself after `idle_exit` seconds without a request."""

    def __init__(self, exchange: SimulatedExchange, idle_exit: float | None = None) -> None:
        self._idle_exit = idle_exit
        self._last_request = time.monotonic()
        self._app = build_app(exchange)
        config = uvicorn.Config(
            self._counted,
            interface="asgi3",
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    async def on_tick(self, counter: int) -> bool:
        """Tell uvicorn, which asks ten times a second, whether to stop."""
        idle = self._idle_exit is not None and time.monotonic() - self._last_request > self._idle_exit
        return await super().on_tick(counter) or idle

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._last_request = time.monotonic()
        await self._app(scope, receive, send)


def serve(exchange: SimulatedExchange, sock: socket.socket, idle_exit: float | None = None) -> None:
    """Serve on a bound socket until SIGINT, SIGTERM or idleness."""
    SimulatorServer(exchange, idle_exit).run(sockets=[sock])
