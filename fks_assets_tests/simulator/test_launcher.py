"""The simulator as a process: started on demand once for all, stopping by itself, refusing what is wrong in one line."""

import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.simulator.__main__ import main
from fks_assets.simulator.launcher import ensure_running, running_pid
from fks_assets_tests.simulator.plain_http import get


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_gone(pid: int, seconds: float = 20.0) -> bool:
    pause = threading.Event()
    for _ in range(int(seconds * 20)):
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return True
        except ChildProcessError:
            return not Path(f"/proc/{pid}").exists()
        pause.wait(0.05)
    return False


def test_many_callers_at_once_share_one_simulator_that_stops_when_idle(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with ThreadPoolExecutor(4) as pool:
        clients = list(pool.map(lambda _: ensure_running(tmp_path, url, 5, speed=0, idle_exit=2), range(4)))
    pids = {client.status()["pid"] for client in clients}
    assert len(pids) == 1 and clients[0].status()["seed"] == 5
    pid = pids.pop()
    assert running_pid(url) == pid != os.getpid()
    with pytest.raises(InvalidInput, match="serves data generated from seed 5, but generated from seed 6 was asked for"):
        ensure_running(tmp_path, url, 6)
    assert wait_until_gone(pid)
    assert running_pid(url) is None
    assert "simulator at " + url in (tmp_path / "logs" / "simulator.log").read_text()


def test_a_failure_to_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the simulator did not start: .*fault file .* cannot be read"):
        ensure_running(tmp_path, f"http://127.0.0.1:{free_port()}", 5, faults=tmp_path / "none.toml")


@pytest.mark.parametrize("url", ["https://127.0.0.1:9", "http://127.0.0.1", "http://192.0.2.1:80"])
def test_only_this_machine_is_started_on(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput, match="is not of the form"):
        ensure_running(tmp_path, url, 5)


def test_another_server_on_the_port_is_named_as_such(tmp_path: Path) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *values: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(InvalidInput, match="is not the simulator"):
            ensure_running(tmp_path, f"http://127.0.0.1:{server.server_port}", 5)
    finally:
        server.shutdown()
        server.server_close()


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "fks_assets.simulator", "--port", str(port)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2 and answer.stdout == ""
    assert (
        answer.stderr
        == f"fks simulate: port {port} on 127.0.0.1 cannot be used: Address already in use; choose another with --port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--port", "70000"], "port 70000 is outside 0..65535"),
        (["--port", "0", "--replay", "nowhere"], "replay directory 'nowhere' does not exist"),
        (["--port", "0", "--speed", "-1"], "speed -1.0 is outside 0..100000"),
        (["--port", "0", "--faults", "nowhere.toml"], "fault file nowhere.toml cannot be read"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_2(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert text in printed.err and printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_even_with_a_hanging_client(sent: signal.Signals, tmp_path: Path) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text("[[faults]]\naction = 'hang'\nendpoint = 'klines'\n")
    command = [
        sys.executable,
        "-m",
        "fks_assets.simulator",
        "--port",
        "0",
        "--faults",
        str(faults),
        "--start",
        "2025-11-21T04:00",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line.split()[2].rstrip(":")
        assert "clock 2025-11-21T04:00:00Z at speed 1" in line
        with pytest.raises(TimeoutError):
            get(url, "/api/v3/klines?symbol=BTCUSDT&interval=1h", timeout=0.2)
        process.send_signal(sent)
        process.wait(10)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode in (0, -sent, 128 + sent)
