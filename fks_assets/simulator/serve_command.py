"""What `fks simulate` and `python -m fks_assets.simulator` do."""

import sys
from pathlib import Path

from fks_assets.clock import iso
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.replay import ReplayedMarkets
from fks_assets.simulator.server import HOST, build_exchange, listen, serve

DEFAULT_PORT = 8787


def run_simulator(
    *,
    replay: Path | None = None,
    port: int = DEFAULT_PORT,
    seed: int = 7,
    faults: Path | None = None,
    speed: float = 1.0,
    start_ms: int | None = None,
    dialect: str | None = None,
    idle_exit: float | None = None,
) -> None:
    """Serve until stopped, after one line that says so; raise InvalidInput for a taken port, a bad fault file or directory."""
    sock = listen(port)
    try:
        exchange = build_exchange(seed=seed, replay=replay, faults=faults, speed=speed, start_ms=start_ms, dialect=dialect)
        print(_ready_line(exchange, sock.getsockname()[1]), file=sys.stderr, flush=True)
        serve(exchange, sock, idle_exit)
    finally:
        sock.close()


def _ready_line(exchange: SimulatedExchange, port: int) -> str:
    source = exchange.source
    text = (
        f"simulator at http://{HOST}:{port}: {len(source.instruments)} markets {source.description}, "
        f"{' and '.join(sorted(exchange.dialects))}, clock {iso(exchange.clock.now_ms())} at speed {exchange.clock.speed:g}"
    )
    skipped = source.skipped if isinstance(source, ReplayedMarkets) else []
    return f"{text}; not candle files: {', '.join(skipped)}" if skipped else text
