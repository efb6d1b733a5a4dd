"""A whole desk, as `fks up` runs it, with live accounts at exchanges that fail in every way, after all its jobs have run."""

import gzip
import http.client
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import sqlalchemy as sa
from pydantic import SecretStr

from fks_assets.clock import now_ms
from fks_assets.simulator.client import SimulatorClient
from fks_assets.stores.database import Database, database_urls
from fks_assets.stores.ledger.accounts import enable
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential
from fks_assets.supervisor import ports
from fks_assets.supervisor.health import post_json
from fks_assets.supervisor.state import DeskState, read_state
from fks_assets_tests.orders.venues import clock_answer
from fks_assets_tests.orders.wire import Said, Sent, Wire, wire
from fks_assets_tests.scenarios.stopped_clock import database_of_a_module
from fks_assets_tests.security.canaries import (
    API_KEY,
    CREDENTIAL_KEY,
    PASSWORD,
    SECRET,
    WEBHOOK,
    drop_dagsters_database,
    with_password,
)
from fks_assets_tests.security.watching import Watch, kind_of
from fks_assets_tests.supervisor.desks import PROJECT, environment_of, leftovers, wait_for

_DESK = """
exchange = "simulated"
first_month = "{month}"
timeframes = ["1h"]
[history_days]
1h = 3
[[markets]]
symbol = "BTC-USDT"
group = "mains"
tier = "TIER1"
[exchanges.simulated]
dialect = "binance"
url = "{simulator}"
[exchanges.down]
dialect = "binance"
url = "http://127.0.0.1:{dead}"
deadline_seconds = 1
[exchanges.echo]
dialect = "binance"
url = "{echo}"
deadline_seconds = 1
[exchanges.torn]
dialect = "kraken"
url = "{torn}"
deadline_seconds = 1
[strategies.technical]
"""
_ACCOUNT = """
[accounts.{name}]
mode = "live"
exchange = "{exchange}"
strategies = {{ technical = 1.0 }}
"""
# Account: its exchange.
_ACCOUNTS = {"good": "simulated", "wrong": "simulated", "down": "down", "echo": "echo", "torn": "torn"}
# Those whose runs fail.
FAILING = ("wrong", "down", "echo", "torn")
_statuses = itertools.cycle((400, 401, 403, 500, 503, 200, 302))
_ways = itertools.cycle(("torn", "abort", "page", "error", "nonsense", "list"))


@dataclass
class CanaryDesk:
    """The desk, the exchanges that saw its keys, what was seen of its processes, and what its commands have said."""

    home: Path
    environment: dict[str, str]
    url: str
    simulator: SimulatorClient
    echo: Wire
    torn: Wire
    watch: Watch
    said: list[str] = field(default_factory=list)

    @property
    def state(self) -> DeskState:
        found = read_state(self.home)
        assert found is not None
        return found

    @property
    def dagster_url(self) -> str:
        return database_urls(self.home, self.url).dagster

    def fks(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "fks_assets.cli", *arguments],
            env=self.environment | environment,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.said.append(f"{done.stdout}\n{done.stderr}")
        return done

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = post_json(f"{self.state.url}/graphql", {"query": query, "variables": variables}, 60)
        assert "errors" not in answer, answer
        return answer["data"]

    def page(self, path: str) -> str:
        """Return a page of the web server, unpacked."""
        connection = http.client.HTTPConnection(urlsplit(self.state.url).netloc, timeout=60)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode(errors="replace")

    def runs(self) -> dict[str, str]:
        """Return the status of every run by its id."""
        found = self.graphql("{ runsOrError { ... on Runs { results { runId status } } } }")
        return {run["runId"]: run["status"] for run in found["runsOrError"]["results"]}

    def is_idle(self) -> bool:
        return {"SUCCESS", "FAILURE", "CANCELED"}.issuperset(self.runs().values())

    def jobs(self) -> list[str]:
        """Return the names of all jobs of the desk."""
        found = self.graphql("{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }")
        names = [job["name"] for node in found["repositoriesOrError"]["nodes"] for job in node["jobs"]]
        return sorted(name for name in names if not name.startswith("__"))


@contextmanager
def canary_desk(place: Path, postgres_home: Path) -> Iterator[CanaryDesk]:
    """Give the desk after its jobs have run, those that trade twice, with a look at every process all the while."""
    home = place / "home"
    with ExitStack() as stack:
        echo, torn = stack.enter_context(wire(_echoing)), stack.enter_context(wire(_tearing))
        url = with_password(stack.enter_context(database_of_a_module(postgres_home, "canary_desk")), PASSWORD)
        stack.callback(drop_dagsters_database, url)
        simulator = SimulatorClient(f"http://{ports.HOST}:{ports.any_free()}")
        month = f"{datetime.now(UTC).year - 1}-12"
        toml = _DESK.format(month=month, simulator=simulator.url, dead=ports.any_free(), echo=echo.url, torn=torn.url)
        toml += "".join(_ACCOUNT.format(name=name, exchange=exchange) for name, exchange in _ACCOUNTS.items())
        (place / "desk.toml").write_text(toml)
        environment = environment_of(
            home,
            ports.any_free(),
            FKS_DESK=str(place / "desk.toml"),
            FKS_REPORTS_PORT=str(ports.any_free()),
            FKS_DATABASE_URL=url,
            FKS_CREDENTIAL_KEY=CREDENTIAL_KEY,
            FKS_LIVE="yes",
            FKS_API_KEY=API_KEY,
            FKS_API_SECRET=SECRET,
            ALERT_WEBHOOK_URL=WEBHOOK,
        )
        del environment["FKS_EXCHANGE"]
        watch = Watch(home)
        watch.start()
        stack.callback(watch.stop)
        desk = CanaryDesk(home, environment, url, simulator, echo, torn, watch)
        stack.callback(desk.fks, "down")
        up = desk.fks("up", "--detach", "--no-load")
        assert "The desk is up" in up.stdout, up
        _open_accounts(desk)
        jobs = desk.jobs()
        assert {"trading", "order_monitor", "account_balances"} <= set(jobs)
        for job in jobs:
            desk.fks("run", job)
        wait_for(desk.is_idle, "the end of every job", 600)
        for job in ("trading", "order_monitor"):
            desk.fks("run", job, "--wait", "--json")
        _kill_a_run(desk)
        yield desk
        token = desk.state.token
        desk.fks("down")
        assert leftovers(token) == []


def _repeated(sent: Sent) -> str:
    return json.dumps({"path": sent.path, "params": sent.params, "headers": sent.headers})


def _echoing(sent: Sent) -> Said:
    """Tell the time; answer everything else with the request, each time under another status."""
    if sent.endpoint == "time":
        return clock_answer("binance", now_ms())
    return Said(orjson.dumps({"code": -1000, "msg": _repeated(sent)}), next(_statuses), {"X-Request": _repeated(sent)})


def _tearing(sent: Sent) -> Said:
    """Tell the time; answer everything else with something else each time: half, nothing, a page, an error, nonsense."""
    if sent.endpoint == "Time":
        return clock_answer("kraken", now_ms())
    return {
        "torn": Said(_repeated(sent).encode(), how="torn"),
        "abort": Said(how="abort"),
        "page": Said(f"<html>{_repeated(sent)}</html>".encode(), 502),
        "error": Said(orjson.dumps({"error": [f"EGeneral:Invalid arguments:{_repeated(sent)}"]})),
        "nonsense": Said(orjson.dumps({"error": [], "result": _repeated(sent)})),
        "list": Said(orjson.dumps([_repeated(sent)])),
    }[next(_ways)]


def _open_accounts(desk: CanaryDesk) -> None:
    """Give every account its key and its switch, and the exchange the keys of two of them, one with another secret."""
    for name, secret in (("good", SECRET), ("wrong", "another secret than ours")):
        desk.simulator.add_account(f"{API_KEY}{name}", secret, balances={"USDT": "10000"}, fee_rule="quote")
    desk.fks("credentials", "add", "good")
    database = Database(desk.url)
    keys = load_keys(desk.home, desk.environment)
    with database.transaction() as connection:
        connection.execute(sa.text("DELETE FROM credentials"))
        for name in _ACCOUNTS:
            key = ApiKey(SecretStr(f"{API_KEY}{name}"), SecretStr(SECRET))
            add_credential(connection, keys, name, key, by="test", at_ms=now_ms())
            enable(connection, name, True, by="test", reason="canaries", at_ms=now_ms())
    database.engine.dispose()


def _kill_a_run(desk: CanaryDesk) -> None:
    """Kill the process of a run while it waits for an exchange: what it held goes to no file."""
    desk.torn.script = lambda sent: Said(how="hang") if sent.endpoint != "Time" else clock_answer("kraken", now_ms())
    before = len(desk.torn.sent)
    with subprocess.Popen(
        [sys.executable, "-m", "fks_assets.cli", "run", "order_monitor", "--partition", "torn", "--wait"],
        env=desk.environment,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as command:
        wait_for(lambda: any(each.endpoint != "Time" for each in desk.torn.sent[before:]), "a run that waits for the exchange")
        code_server = next(part.pid for part in desk.state.parts if part.name == "code-server")
        assert code_server is not None
        for child in psutil.Process(code_server).children(recursive=True):
            if kind_of(" ".join(child.cmdline())) == "run":
                child.send_signal(signal.SIGABRT)
        said, _ = command.communicate(timeout=120)
        desk.said.append(said)
