"""A simulator inside this process, for tests and benchmarks: a thread with its own event loop on a free port."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fks_assets.errors import ExchangeUnavailable
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.fault_rules import parse_faults
from fks_assets.simulator.server import HOST, SimulatorServer, build_exchange, listen

_START_SECONDS = 30.0


@contextmanager
def running_simulator(
    *,
    seed: int = 7,
    replay: Path | None = None,
    faults: Path | Sequence[Mapping[str, Any]] | None = None,
    speed: float = 1.0,
    start_ms: int | None = None,
    dialect: str | None = None,
    limits: Mapping[str, Mapping[str, float]] | None = None,
    port: int = 0,
) -> Iterator[SimulatorClient]:
    """Run a simulator while the block lasts and give its client; `faults` is a file or a list of rules."""
    path = faults if isinstance(faults, Path) else None
    exchange = build_exchange(seed=seed, replay=replay, faults=path, speed=speed, start_ms=start_ms, dialect=dialect)
    if faults is not None and path is None:
        exchange.faults.add(parse_faults({"faults": [dict(rule) for rule in faults]})[0])
    for name, values in (limits or {}).items():
        exchange.limiter.override(name, dict(values))
    sock = listen(port)
    server = SimulatorServer(exchange)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, name="simulator", daemon=True)
    thread.start()
    try:
        waited = threading.Event()
        for _ in range(int(_START_SECONDS * 100)):
            if server.started or not thread.is_alive():
                break
            waited.wait(0.01)
        if not server.started:
            raise ExchangeUnavailable(f"the simulator did not start within {_START_SECONDS:g} s", exchange="simulated")
        yield SimulatorClient(f"http://{HOST}:{sock.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(10)
        sock.close()
