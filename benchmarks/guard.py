"""How long after a price passes a stop the alert is there: 500 open positions, a real daemon, siblings that sleep 55 s."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Row, absolute
from fks_assets_tests.guard.daemon_desk import daemon_desk
from fks_assets_tests.guard.slow_definitions import SLEEPERS

POSITIONS, MINUTES = 500, 6
INTERVAL_SECONDS = 5.0
# After the last stop was passed, so long is waited for its alert.
PATIENCE_MS = 30_000


def run() -> Iterator[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="fks-bench-") as folder,
        daemon_desk(Path(folder), positions=POSITIONS, passed=POSITIONS, minutes=MINUTES) as desk,
    ):
        desk.wait_until(desk.passings[-1].at_ms + PATIENCE_MS)
        latencies = sorted(desk.latencies())
    parts = statistics.quantiles(latencies, n=100, method="inclusive")
    shown = f"p50 {parts[49]:.2f} s, slowest {latencies[-1]:.2f} s, {SLEEPERS} sensors asleep"
    what = f"price through the stop to the alert, {POSITIONS} open positions"
    yield absolute(f"{what}: p95", parts[94], 10.0, "s", shown)
    yield absolute(f"{what}: p99", parts[98], 2 * INTERVAL_SECONDS, "s", "2 intervals")
