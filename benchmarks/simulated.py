"""A simulated exchange in a process of its own, so that what it computes is not counted as ours."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fks_assets.clock import iso
from fks_assets.errors import ExchangeUnavailable
from fks_assets.settings import PROJECT_ROOT
from fks_assets.simulator.client import SimulatorClient

_READY = re.compile(r"simulator at (http://\S+?): ")


@contextmanager
def simulator_process(start_ms: int, replay: Path | None = None, speed: float = 0.0) -> Iterator[SimulatorClient]:
    """Run a simulator while the block lasts; its clock starts at `start_ms` (UTC ms) and stands still at speed 0.

    Raises ExchangeUnavailable.
    """
    command = [sys.executable, "-m", "fks_assets.simulator", "--port", "0", "--speed", f"{speed:g}", "--idle-exit", "600"]
    command += ["--start", str(iso(start_ms))] + ([] if replay is None else ["--replay", str(replay)])
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        ready = _READY.match(line)
        if ready is None:
            raise ExchangeUnavailable(f"the simulator did not start: {line.strip()}", exchange="simulated")
        yield SimulatorClient(ready[1])
    finally:
        process.terminate()
        process.communicate()
