"""One real desk: embedded database, simulator, code server, web server and daemon, from `fks up --detach` to `fks down`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from fks_assets.stores import embedded
from fks_assets.supervisor import ports
from fks_assets_tests.supervisor.desks import PROJECT, DetachedDesk, environment_of, leftovers, wait_for

SMALL_DESK = """
exchange = "simulated"
first_month = "{first_month}"
timeframes = ["1h", "1d"]
executor = "in_process"
[history_days]
1h = 3
1d = 20
[[markets]]
symbol = "BTC-USDT"
group = "mains"
tier = "TIER1"
[[markets]]
symbol = "ETH-USDT"
group = "mains"
tier = "TIER1"
[exchanges.simulated]
dialect = "binance"
url = "http://127.0.0.1:{port}"
[strategies.technical]
[strategies.breakout]
"""


@dataclass
class WholeDesk(DetachedDesk):
    said: str = ""

    def fks_in_turn(self, *commands: str) -> list[str]:
        """Return what the commands print, each of which has to end well; one process for all spares the imports."""
        script = (
            "import json, sys; from typer.testing import CliRunner; from fks_assets.cli import app\n"
            "answers = [CliRunner().invoke(app, command.split()) for command in sys.argv[1:]]\n"
            "print(json.dumps([(answer.exit_code, answer.output) for answer in answers]))"
        )
        answer = subprocess.run(
            [sys.executable, "-c", script, *commands],
            env=self.environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        answers = json.loads(answer.stdout)
        for command, (code, output) in zip(commands, answers, strict=True):
            assert code == 0, f"{command}: {output}"
        return [output for _, output in answers]

    def json(self, *arguments: str) -> dict[str, Any]:
        return json.loads(self.fks(*arguments, "--json"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeDesk]:
    place = tmp_path_factory.mktemp("whole")
    home, toml = place / "home", place / "desk.toml"
    today = datetime.now(UTC)
    first_month = f"{today.year if today.month > 2 else today.year - 1}-{(today.month - 3) % 12 + 1:02}"
    toml.write_text(SMALL_DESK.format(port=ports.any_free(), first_month=first_month))
    environment = environment_of(home, ports.any_free(), FKS_DESK=str(toml))
    del environment["FKS_EXCHANGE"]
    started = WholeDesk(home, environment)
    try:
        started.said = started.fks("up", "--detach")
        token = started.state.token
        yield started
        assert "has stopped" in started.fks("down")
        assert leftovers(token) == []
        assert [line for line in processes_naming(home) if "embedded_keeper" not in line] == []
        assert started.fks("down").startswith("no desk runs")
    finally:
        started.fks("down")


def test_up_ends_with_a_desk_that_is_loaded_and_healthy(desk: WholeDesk) -> None:
    assert "The desk is up after" in desk.said
    assert "Loaded after" in desk.said
    assert desk.state.url in desk.said
    status = desk.json("status")
    assert status["healthy"], status["problems"]
    names = ["guard", "database", "simulator", "reports", "code-server", "web-server", "daemon", "notify", "watchdog"]
    assert [part["name"] for part in status["parts"]] == names
    assert {part["state"] for part in status["parts"]} == {"up"}
    assert status["exchange"] == "simulated"
    assert status["simulated"]
    assert {report["timeframe"]: (report["markets"], report["late"], report["errors"]) for report in status["sync"]} == {
        "1h": (2, [], {}),
        "1d": (2, [], {}),
    }
    assert status["runs"]["failed"] == 0


def test_everything_listens_on_this_machine_only(desk: WholeDesk) -> None:
    addresses = set()
    for process in [psutil.Process(desk.state.pid), *psutil.Process(desk.state.pid).children(recursive=True)]:
        # A run's process may end between being listed and being looked at.
        with suppress(psutil.NoSuchProcess):
            addresses |= {each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}


def test_what_was_loaded_is_shown_as_tables_and_as_json(desk: WholeDesk) -> None:
    candles, early, indicators, signals, table, sync = desk.fks_in_turn(
        "candles BTC-USDT 1h --limit 30 --json",
        "candles BTC-USDT 1h --as-of 2020-01-01 --json",
        "indicators ETH-USDT 1h --limit 5 --json",
        "signals ETH-USDT 1h --limit 5 --strategy breakout --json",
        "signals BTC-USDT 1d",
        "sync --timeframe 1h --json",
    )
    shown = json.loads(candles)
    assert (shown["market"], shown["simulated"]) == ("BTC-USDT@simulated", True)
    times = [row["open_time"] for row in shown["rows"]]
    assert len(times) == 30
    assert times == sorted(set(times))
    assert all(row["low"] <= min(row["open"], row["close"]) <= row["high"] for row in shown["rows"])
    assert json.loads(early)["rows"] == []
    for document in (indicators, signals):
        assert [row["open_time"] for row in json.loads(document)["rows"]] == times[-5:]
    assert "SIMULATED" in table
    reports = json.loads(sync)["sync"]
    assert {report["market"] for report in reports} == {"BTC-USDT@simulated", "ETH-USDT@simulated"}
    assert all(report["error"] is None and report["newest_open"] >= times[-1] for report in reports)


def test_a_job_is_run_by_hand_and_its_result_is_read(desk: WholeDesk) -> None:
    month = f"{datetime.now(UTC):%Y-%m}"
    launched, newest, succeeded, by_schedules = desk.fks_in_turn(
        "run risk --market BTC-USDT --wait --json",
        "runs --limit 1 --status SUCCESS --json",
        "runs --status SUCCESS --json",
        "runs --limit 200 --json",
    )
    done = json.loads(launched)
    assert done["status"] == "SUCCESS"
    (run,) = (each for each in json.loads(succeeded)["runs"] if each["run_id"] == done["run_id"])
    (first,) = json.loads(newest)["runs"]
    assert first["status"] == "SUCCESS" and first["created_at"] >= run["created_at"]
    assert (run["job"], run["trigger"]) == ("risk", "person")
    assert run["partitions"] == f"BTC-USDT@simulated|{month}"
    assert _triggers(by_schedules) >= {("critical_path", "critical_path_schedule"), ("signals", "signals_schedule")}
    refused = desk.fks("run", "nonsense", "--month", month, expect=2)
    known = refused.split("job 'nonsense' is unknown; known: ")[1].strip().split(", ")
    assert {"critical_path", "risk", "signals", "completeness", "recency"} <= set(known)


def test_a_run_that_a_sensor_asked_for_is_told_from_a_persons(desk: WholeDesk) -> None:
    asked = ("runs", "--limit", "200", "--json")
    wait_for(lambda: ("ideas", "ideas_sensor") in _triggers(desk.fks(*asked)), "ideas after the run of signals")


def _triggers(runs: str) -> set[tuple[str, str]]:
    return {(run["job"], run["trigger"]) for run in json.loads(runs)["runs"]}


def test_a_second_daemon_on_the_same_database_waits(desk: WholeDesk) -> None:
    environment = {**desk.environment, "DAGSTER_HOME": str(desk.home / "dagster"), "PYTHONUNBUFFERED": "1"}
    second = subprocess.Popen(
        [sys.executable, "-m", "fks_assets.supervisor.daemon", "--workspace", str(desk.home / "run" / "workspace.yaml")],
        env=environment,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert second.stdout is not None
        line = second.stdout.readline()
        assert "runs on this database; this one waits until it ends" in line
        assert str(desk.pid_of("daemon")) in line
        assert second.poll() is None
    finally:
        second.kill()
        second.wait()
        second.stdout.close()


def test_the_desk_tells_people_and_watches_its_clock(desk: WholeDesk) -> None:
    """S2.17: the part `notify` delivers; every sensor and schedule that is switched on ticks, as the desk itself sees it."""
    answer = desk.json("notify", "hello")
    assert [(each["channel"], each["state"]) for each in answer["deliveries"]] == [("log", "DELIVERED")]
    assert "hello" in (desk.home / "alerts.log").read_text()

    def heartbeats() -> dict[str, dict[str, Any]]:
        connection = psycopg2.connect(host=embedded.status(desk.home).socket_directory, user="fks", dbname="fks")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT name, detail FROM heartbeats")
                return dict(cursor.fetchall())
        finally:
            connection.close()

    wait_for(lambda: {"notify", "liveness"} <= set(heartbeats()), "a look of the watch", 90)
    assert heartbeats()["liveness"] == {"late": []}


def test_each_killed_process_of_the_desk_comes_back(desk: WholeDesk) -> None:
    old = {name: desk.pid_of(name) for name in ("simulator", "reports", "code-server", "web-server", "daemon", "notify")}
    database = embedded.status(desk.home).server_pid
    assert database is not None
    for pid in (*old.values(), database):
        os.kill(pid, signal.SIGKILL)

    def all_back() -> bool:
        state = desk.state
        return state.all_up and all(part.pid != old.get(part.name, 0) for part in state.parts)

    wait_for(all_back, "all five replaced, and the database, and all of them answering")
    health, run = desk.fks_in_turn("status --json", "run upkeep --wait --json")
    assert json.loads(health)["healthy"]
    assert json.loads(run)["status"] == "SUCCESS"


def processes_naming(home: Path) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(home) in command and process.pid != os.getpid():
            found.append(command)
    return found
