"""The small pieces of the supervisor: logs, ports, locks, statuses, the instance settings."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from fks_assets.errors import StoreError
from fks_assets.settings import PROJECT_ROOT
from fks_assets.supervisor import ports
from fks_assets.supervisor.graphql import RunStatus
from fks_assets.supervisor.lock import DeskLock, holder
from fks_assets.supervisor.logs import last_line, open_log, rotate


def test_a_log_that_has_grown_is_moved_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    writer = open_log(path)
    for number in (1, 2, 3):
        os.write(writer, f"round {number} ".encode() * 100)
        assert rotate(path, largest_bytes=500, kept=2)
    os.write(writer, b"after")
    os.close(writer)
    assert path.read_text() == "after"
    assert (tmp_path / "a.log.1").read_text().startswith("round 3 round 3")
    assert (tmp_path / "a.log.2").read_text().startswith("round 2 round 2")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]


def test_a_small_log_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("short")
    assert not rotate(path, largest_bytes=500)
    assert not rotate(tmp_path / "missing.log")
    assert path.read_text() == "short"


def test_the_last_line_of_a_log_is_shown_without_colours_or_blanks(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("first\n\x1b[32mthe cause\x1b[0m \n\n   \n")
    assert last_line(path) == "the cause"
    assert last_line(tmp_path / "missing.log") == ""


def test_the_next_free_port_skips_those_that_are_taken() -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        assert port < ports.next_free(port) <= port + ports.SEARCHED_PORTS


def test_no_free_port_at_all_is_an_error_that_names_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(StoreError, match=r"ports 65500 to 65535 of 127\.0\.0\.1 are all taken"):
        ports.next_free(65500)


def test_the_lock_of_a_home_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "up.lock"
    assert holder(path) is None
    script = (
        "import sys, time; from pathlib import Path; from fks_assets.supervisor.lock import DeskLock;"
        f"print(DeskLock(Path({str(path)!r})).take(), flush=True); time.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert holder(path) == other.pid
        assert not DeskLock(path).take()
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    mine = DeskLock(path)
    assert mine.take()
    assert holder(path) == os.getpid()
    assert not DeskLock(path).take()
    mine.release()
    assert holder(path) is None


@pytest.mark.parametrize("status", list(dg.DagsterRunStatus))
def test_every_status_of_dagster_is_one_of_our_four_words(status: dg.DagsterRunStatus) -> None:
    ours = RunStatus.of(status.value)
    assert status.value in ours.dagster_statuses
    assert (ours in (RunStatus.SUCCESS, RunStatus.FAILURE)) == status.value.startswith(("SUCCESS", "FAILURE", "CANCELED"))


def test_the_instance_settings_load_and_say_what_the_desk_relies_on(
    tmp_path: Path, private_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fks_assets.resources.dagster_storage import FksStorage
    from fks_assets.settings import load_settings

    monkeypatch.setenv("FKS_DATABASE_URL", private_database_url)
    load_settings.cache_clear()
    try:
        shutil.copy(PROJECT_ROOT / "dagster.yaml", tmp_path)
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert isinstance(instance.get_ref().storage, FksStorage)
            assert not instance.telemetry_enabled
            assert instance.run_monitoring_enabled
            assert instance.run_monitoring_poll_interval_seconds == 10
            assert instance.get_concurrency_config().run_queue_config.tag_concurrency_limits[0]["key"] == "fks/lane"
            assert instance.get_settings("sensors")["use_threads"]
            assert instance.get_settings("schedules")["use_threads"]
    finally:
        load_settings.cache_clear()
