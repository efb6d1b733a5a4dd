"""The server of the reports: what it shows, what it refuses, and that the supervisor keeps it running."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fks_assets.settings import read_settings
from fks_assets.supervisor import ports
from fks_assets.supervisor.health import http_answers
from fks_assets.supervisor.home import prepare_home
from fks_assets.supervisor.parts import ChildProcess, PartState
from fks_assets.supervisor.reports_server import HEADERS
from fks_assets.supervisor.services import Desk, child_environment, choose_ports, reports_service
from fks_assets.supervisor.supervisor import Supervisor
from fks_assets_tests.supervisor.desks import PROJECT, wait_for


@dataclass
class Server:
    """A running server, asked byte for byte: no client of ours tidies a path up before it is sent."""

    port: int
    directory: Path

    def ask(self, path: str, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection(ports.HOST, self.port, timeout=10)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"{ports.HOST}:{self.port}")
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("served")
    directory, port = place / "reports", ports.any_free()
    (place / "secret.html").write_text("secret")
    (place / "reports-of-others").mkdir()
    (place / "reports-of-others" / "theirs.html").write_text("secret")
    arguments = ["--port", str(port), "--directory", str(directory), "--badge", "SIMULATED"]
    process = subprocess.Popen([sys.executable, "-m", "fks_assets.supervisor.reports_server", *arguments], cwd=PROJECT)
    try:
        wait_for(lambda: http_answers(f"http://{ports.HOST}:{port}"), "the server answers")
        yield Server(port, directory)
    finally:
        process.terminate()
        assert process.wait(10) == 0 or process.returncode == -signal.SIGTERM


@pytest.fixture
def written(server: Server) -> Server:
    """Three reports, an unfinished one, a link out of the directory."""
    folder = server.directory / "data-completeness"
    folder.mkdir(exist_ok=True)
    for day, name in enumerate(("2026-11-19-all.html", "2026-11-20-all.html", "2026-11-20-<b>&.json")):
        (folder / name).write_text(f"<p>report {day}</p>" if name.endswith("html") else "{}")
        os.utime(folder / name, (1_700_000_000 + day, 1_700_000_000 + day))
    (folder / ".2026-11-21-all.html.77").write_text("half")
    if not (folder / "out.html").is_symlink():
        (folder / "out.html").symlink_to(server.directory.parent / "secret.html")
        (folder / "away").symlink_to(server.directory.parent)
    return server


def test_the_index_lists_the_reports_newest_first_and_each_opens(written: Server) -> None:
    status, headers, body = written.ask("/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    names = ["2026-11-20-%3Cb%3E%26.json", "2026-11-20-all.html", "2026-11-19-all.html"]
    assert [part.split('"')[0] for part in body.split('href="/data-completeness/')[1:]] == names
    assert "<b>" not in body and "2026-11-20-&lt;b&gt;&amp;.json" in body
    assert "SIMULATED" in body and "secret" not in body
    opened = written.ask("/data-completeness/2026-11-20-all.html")
    assert (opened[0], opened[1]["content-type"], opened[2]) == (200, "text/html; charset=utf-8", "<p>report 1</p>")
    assert written.ask(f"/data-completeness/{names[0]}")[1]["content-type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.html",
        "/data-completeness/../../secret.html",
        "/%2e%2e/secret.html",
        "/..%2fsecret.html",
        "/data-completeness/%2e%2e%2f%2e%2e%2fsecret.html",
        "/..%5csecret.html",
        "/../reports-of-others/theirs.html",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/data-completeness/out.html",
        "/data-completeness/away/secret.html",
        "/data-completeness/.2026-11-21-all.html.77",
        "/data-completeness/",
        "/data-completeness",
        "/data-completeness/2026-11-20-all.html%00.json",
        "/missing.html",
    ],
)
def test_nothing_but_finished_reports_below_the_directory_is_served(written: Server, path: str) -> None:
    status, headers, body = written.ask(path)
    assert status == 404
    assert "secret" not in body and "root:" not in body
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/data-completeness/2026-11-20-all.html", "/new.html"])
def test_only_reading_is_allowed(written: Server, method: str, path: str) -> None:
    assert written.ask(path, method)[0] == 405
    assert (written.directory / "data-completeness/2026-11-20-all.html").read_text() == "<p>report 1</p>"
    assert not (written.directory / "new.html").exists()


def test_every_answer_tells_browsers_to_run_and_load_nothing(written: Server) -> None:
    for path, method in (("/", "GET"), ("/", "HEAD"), ("/data-completeness/2026-11-20-all.html", "HEAD"), ("/", "POST")):
        _, headers, body = written.ask(path, method)
        assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
        assert body == "" or method != "HEAD"
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "script-src" not in HEADERS["Content-Security-Policy"]


def test_a_page_of_another_site_cannot_read_reports_through_a_name_of_its_own(written: Server) -> None:
    assert written.ask("/", host="evil.example")[0] == 400
    assert written.ask("/", host=f"localhost:{written.port}")[0] == 200


def test_reports_are_kept_to_this_machine(server: Server) -> None:
    with socket.socket() as other:
        other.settimeout(1)
        assert other.connect_ex(("127.0.0.2", server.port)) != 0


@pytest.fixture
def desk(home: Path) -> Desk:
    environment = {"FKS_HOME": str(home), "FKS_EXCHANGE": "binance", "FKS_REPORTS_PORT": str(ports.any_free())}
    settings = read_settings(environment, home)
    said: list[str] = []
    desk = Desk(settings, prepare_home(settings.home), "t", 0, settings.web_port, settings.reports_port, said.append)
    os.close(desk.guard_pipe[0])
    desk.release_guard()
    return desk


def _run(desk: Desk, told: list[str], do: Callable[[Supervisor, ChildProcess], None]) -> None:
    service = replace(reports_service(desk), needs=())
    part = ChildProcess(service, child_environment(desk), desk.home.log(service.name), told.append)
    supervisor = Supervisor([part])
    try:
        do(supervisor, part)
    finally:
        supervisor.stop()
    assert part.pid is None
    assert ports.is_free(desk.reports_port)


def test_the_supervisor_starts_it_again_when_it_is_killed_and_stops_it(desk: Desk) -> None:
    def do(supervisor: Supervisor, part: ChildProcess) -> None:
        supervisor.run_until(lambda: part.state is PartState.UP, lambda: None)
        first = part.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        supervisor.run_until(lambda: part.pid not in (first, None) and part.state is PartState.UP, lambda: None)
        assert http_answers(desk.reports_url)

    told: list[str] = []
    _run(desk, told, do)
    assert told == ["reports was ended by SIGKILL; starting it again in 1 s", "reports is up again"]


def test_a_port_that_is_taken_while_it_is_down_makes_it_move(desk: Desk) -> None:
    port = desk.reports_port

    def do(supervisor: Supervisor, part: ChildProcess) -> None:
        with socket.socket() as taken:
            taken.bind((ports.HOST, port))
            taken.listen()
            supervisor.run_until(lambda: part.state is PartState.UP, lambda: None)
            assert desk.reports_port != port
            assert http_answers(desk.reports_url)

    _run(desk, [], do)


def test_the_web_ui_and_the_reports_never_choose_the_same_port(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(ports, "is_free", lambda port: port != 3000)
    desk.report, desk.web_port, desk.reports_port = told.append, 3000, 3001
    choose_ports(desk)
    assert (desk.web_port, desk.reports_port) == (3001, 3002)
    assert [line.split(";")[1].strip() for line in told] == ["the web UI uses 3001", "the reports use 3002"]


def test_a_directory_that_is_not_there_yet_holds_no_reports(tmp_path: Path) -> None:
    from fks_assets.supervisor.reports_server import reports_of

    assert reports_of(tmp_path / "missing") == []
