"""From a price to the alert in the outbox: a real daemon and code server, 500 open positions, siblings that sleep 55 seconds."""

from pathlib import Path

import pytest
import yaml

from fks_assets.clock import now_ms
from fks_assets.definitions import defs
from fks_assets.settings import PROJECT_ROOT
from fks_assets.supervisor.services import DAGSTER_VARIABLES
from fks_assets_tests.guard.daemon_desk import daemon_desk

INTERVAL_SECONDS = 5.0


def test_there_is_a_thread_for_every_sensor_in_the_daemon_and_in_the_code_server() -> None:
    """T5: Dagster evaluates sensors one after another, or on four threads, unless it is told otherwise."""
    instance = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    threads = instance["sensors"]["num_workers"]
    assert instance["sensors"]["use_threads"] and threads >= 2 * len(list(defs.sensors or []))
    at_once = threads + instance["schedules"]["num_workers"]
    assert all(int(DAGSTER_VARIABLES[name]) > at_once for name in ("DAGSTER_CODE_SERVER_MAX_WORKERS", "DAGSTER_GRPC_MAX_WORKERS"))


@pytest.mark.nightly
def test_slow_siblings_do_not_keep_the_guard_from_the_stops(tmp_path: Path) -> None:
    """T5, S2.11: every stop that is passed is told of; the slowest within 2 intervals and what a loaded machine adds."""
    with daemon_desk(tmp_path, positions=500, passed=60, minutes=1) as desk:
        desk.wait_until(desk.passings[-1].at_ms + 20_000)
        latencies = desk.latencies()
        assert len(latencies) == 60
        assert min(latencies) > 0
        assert max(latencies) <= 2 * INTERVAL_SECONDS + 5
        heartbeat = desk.heartbeat_ms()
        assert heartbeat is not None and now_ms() - heartbeat < 2 * INTERVAL_SECONDS * 1000
