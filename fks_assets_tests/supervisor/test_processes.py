"""How `fks up` handles processes: real ones, small, through the same table as the desk's own."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fks_assets.supervisor import ports
from fks_assets.supervisor.health import http_answers
from fks_assets.supervisor.services import simulator_service
from fks_assets.supervisor.sweep import TOKEN_VARIABLE
from fks_assets_tests.supervisor.desks import PROJECT, STAND_IN, environment_of, leftovers, running, wait_for


def test_a_second_up_says_where_the_first_one_runs_and_ends_well(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out") as desk:
        state = desk.wait_until_up()
        second = subprocess.run(
            [sys.executable, *STAND_IN],
            env=environment_of(home, ports.any_free()),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 0
        assert state.url in second.stdout
        assert str(state.pid) in second.stdout
        assert desk.state.parts == state.parts


def test_a_busy_port_is_named_and_the_next_free_one_is_used(home: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running(home, tmp_path / "out", port=port) as desk:
            state = desk.wait_until_up()
            assert f"port {port} of 127.0.0.1 is taken by another program" in desk.said()
            assert state.url != f"http://127.0.0.1:{port}"
            assert http_answers(state.url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_everything_in_order(number: signal.Signals, home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out") as desk:
        state = desk.wait_until_up()
        wait_for(lambda: len(leftovers(state.token)) == 4, "guard, web, worker and the grandchild")
        assert desk.stop(number) == 0
        assert leftovers(state.token) == []
        assert desk.said().splitlines()[-1] == "Stopped."
        assert not (home / "run" / "up.json").exists()


def test_a_process_that_ignores_the_request_to_stop_is_killed(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out", variables={"STAND_IN": "stubborn"}) as desk:
        state = desk.wait_until_up()
        wait_for(lambda: "deaf" in (home / "logs" / "stubborn.log").read_text(), "the stubborn process is deaf")
        assert desk.stop() == 0
        assert leftovers(state.token) == []


def test_a_second_stop_signal_ends_it_at_once(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out", variables={"STAND_IN": "stubborn", "STAND_IN_STOP_SECONDS": "3600"}) as desk:
        state = desk.wait_until_up()
        wait_for(lambda: "deaf" in (home / "logs" / "stubborn.log").read_text(), "the stubborn process is deaf")
        desk.process.send_signal(signal.SIGINT)
        wait_for(lambda: "Stopping" in desk.said(), "the stop has begun")
        assert desk.stop(signal.SIGINT) == 0
        assert leftovers(state.token) == []


def test_a_simulator_that_a_run_has_started_makes_room(home: Path, tmp_path: Path) -> None:
    port, token = ports.any_free(), "stray-simulator-test"
    with (tmp_path / "log").open("w") as log:
        stray = subprocess.Popen(
            [sys.executable, "-m", "fks_assets.simulator", "--port", str(port)],
            env={**environment_of(home, port), TOKEN_VARIABLE: token},
            cwd=PROJECT,
            stdout=log,
            stderr=log,
        )
    try:
        service = simulator_service(f"http://{ports.HOST}:{port}", token)
        wait_for(service.answers, "the stray simulator answers")
        assert service.command()[-2:] == ["--port", str(port)]
        assert stray.wait(10) is not None
        assert ports.is_free(port)
    finally:
        stray.kill()
        stray.wait()


def test_each_killed_child_is_reported_and_started_again(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out") as desk:
        desk.wait_until_up()
        for name in ("guard", "web", "worker"):
            old = desk.pid_of(name)
            assert old is not None
            os.kill(old, signal.SIGKILL)
            desk.wait_for_other_pid(name, old)
            assert f"{name} was ended by SIGKILL; starting it again in 1 s" in desk.said()
            wait_for(lambda name=name: f"{name} is up again" in desk.said(), "the report that it is up again")
        token = desk.state.token
        assert desk.stop() == 0
        assert leftovers(token) == []


def test_a_child_that_hangs_is_killed_and_started_again(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out") as desk:
        desk.wait_until_up()
        old = desk.pid_of("web")
        assert old is not None
        os.kill(old, signal.SIGSTOP)
        desk.wait_for_other_pid("web", old)
        assert "web did not answer for 1 s and was killed" in desk.said()
        assert not psutil.pid_exists(old)


def test_a_child_that_never_starts_stays_loud_and_the_others_go_on(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out", variables={"STAND_IN": "broken"}) as desk:
        wait_for(lambda: "3 failures in a row" in desk.said(), "the loud report")
        loud = next(line for line in desk.said().splitlines() if "3 failures in a row" in line)
        assert "broken ended with exit code 1" in loud
        assert str(home / "logs" / "broken.log") in loud
        assert "the configuration is broken" in loud
        states = {part.name: part.state for part in desk.state.parts}
        assert states == {"guard": "up", "web": "up", "worker": "up", "broken": "failing"}
        assert desk.stop() == 0


def test_kill_9_of_the_supervisor_leaves_no_process_behind(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out") as desk:
        state = desk.wait_until_up()
        wait_for(lambda: len(leftovers(state.token)) == 4, "guard, web, worker and the grandchild")
        desk.process.kill()
        desk.process.wait()
        wait_for(lambda: leftovers(state.token) == [], f"nothing left; there is {leftovers(state.token)}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_what_outlives_the_supervisor_and_its_guard_is_ended_by_the_next_up(home: Path, tmp_path: Path) -> None:
    with running(home, tmp_path / "out") as desk:
        state = desk.wait_until_up()
        wait_for(lambda: len(leftovers(state.token)) == 4, "guard, web, worker and the grandchild")
        guard = desk.pid_of("guard")
        children = [part.pid for part in state.parts if part.pid is not None]
        assert guard is not None
        os.kill(guard, signal.SIGKILL)
        desk.process.kill()
        desk.process.wait()
        wait_for(lambda: not any(alive(pid) for pid in children), "the children have followed")
        assert len(leftovers(state.token)) == 1, "the grandchild in a session of its own is what is left"
    with running(home, tmp_path / "second") as desk:
        assert desk.wait_until_up().token != state.token
        assert leftovers(state.token) == []


def test_a_terminal_that_goes_away_does_not_end_the_desk(home: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, *STAND_IN],
        env=environment_of(home, ports.any_free()),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=writer,
    )
    os.close(writer)
    os.close(reader)
    log = home / "logs" / "supervisor.log"
    try:
        wait_for(lambda: log.is_file() and "The desk is up" in log.read_text(), "a desk that is up without anybody who reads")
        assert "nobody reads standard output any more" in log.read_text()
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
