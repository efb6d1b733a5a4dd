"""The table of the desk: which processes make it up, how each is started and how one sees that it works."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fks_assets.alive import SENDER, WATCHDOG, is_alive
from fks_assets.errors import SettingsError
from fks_assets.redaction import public_environment
from fks_assets.settings import PROJECT_ROOT, Settings
from fks_assets.supervisor import ports
from fks_assets.supervisor.graphql import LOCATION
from fks_assets.supervisor.health import code_server_answers, http_answers
from fks_assets.supervisor.home import DeskHome, replace_file
from fks_assets.supervisor.parts import Attachment, ChildProcess, Part, Report, Service
from fks_assets.supervisor.queries import database_answers, heartbeat_age_seconds
from fks_assets.supervisor.sweep import TOKEN_VARIABLE, sweep

if TYPE_CHECKING:
    from fks_assets.stores.database import Database

LONGEST_HEARTBEAT_SECONDS = 90.0
DATABASE_VARIABLES = (TOKEN_VARIABLE, "FKS_DATABASE_URL", "PGPASSWORD")
DAGSTER_VARIABLES = {
    "DAGSTER_EVENT_BATCH_SIZE": "500",
    "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    # A thread for every sensor and schedule that may be slow at once; unset it is four more than there are processors.
    "DAGSTER_CODE_SERVER_MAX_WORKERS": "32",
    "DAGSTER_GRPC_MAX_WORKERS": "32",
}


@dataclass(slots=True)
class Desk:
    """One `fks up`: what its processes share. A port of ours changes when another program takes it while its server is down."""

    settings: Settings
    home: DeskHome
    token: str
    started_at_ms: int
    web_port: int
    reports_port: int
    report: Report
    simulator_url: str | None = None
    code_server_port: int | None = None
    guard_pipe: tuple[int, int] = field(default_factory=os.pipe)

    @property
    def url(self) -> str:
        return f"http://{ports.HOST}:{self.web_port}"

    @property
    def reports_url(self) -> str:
        return f"http://{ports.HOST}:{self.reports_port}"

    @property
    def code_server_target(self) -> str:
        return f"{ports.HOST}:{self.code_server_port}" if self.code_server_port else f"unix:{self.home.code_socket}"

    def release_guard(self) -> None:
        """Close our end of the guard's pipe: it ends whatever is left, then itself."""
        if self.guard_pipe[1] >= 0:
            os.close(self.guard_pipe[1])
            self.guard_pipe = (self.guard_pipe[0], -1)


def choose_ports(desk: Desk) -> None:
    """Settle on ports that are free now, say so where one is not the expected one, and write the workspace file."""
    free = ports.next_free(desk.web_port)
    if free != desk.web_port:
        desk.report(f"port {desk.web_port} of {ports.HOST} is taken by another program; the web UI uses {free}")
        desk.web_port = free
    free = ports.next_free(desk.reports_port, {desk.web_port})
    if free != desk.reports_port:
        desk.report(f"port {desk.reports_port} of {ports.HOST} is taken; the reports use {free}")
        desk.reports_port = free
    if desk.settings.is_simulated:
        desk.simulator_url = _simulator_url(desk)
    entry: dict[str, object] = {"location_name": LOCATION}
    if desk.home.code_socket is None or sys.platform == "win32":
        desk.code_server_port = ports.any_free()
        entry |= {"host": ports.HOST, "port": desk.code_server_port}
    else:
        entry["socket"] = str(desk.home.code_socket)
    replace_file(desk.home.workspace_file, json.dumps({"load_from": [{"grpc_server": entry}]}, indent=1))


def child_environment(desk: Desk) -> dict[str, str]:
    """Return the environment of the processes that trade; secrets stay where they were, in variables.

    Keys of accounts are not among them: `fks credentials add` alone takes them from the environment.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FKS_API_")},
        **DAGSTER_VARIABLES,
        "FKS_HOME": str(desk.settings.home),
        "FKS_EXCHANGE": desk.settings.exchange,
        "DAGSTER_HOME": str(desk.home.dagster),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
        TOKEN_VARIABLE: desk.token,
    }
    if desk.simulator_url is not None:
        environment["FKS_EXCHANGES__SIMULATED__URL"] = desk.simulator_url
    return environment


def database_environment(desk: Desk) -> dict[str, str]:
    """Return the environment of a process that needs the database and no account's key."""
    return _without_channels(desk, public_environment(child_environment(desk), *DATABASE_VARIABLES))


def notify_environment(desk: Desk) -> dict[str, str]:
    """Return the environment of the process that needs the database and the secrets of the channels."""
    return public_environment(child_environment(desk), *DATABASE_VARIABLES, *desk.settings.notifications.variables())


def _without_channels(desk: Desk, environment: dict[str, str]) -> dict[str, str]:
    """Return an environment without the channels' secrets, whatever their variables are called."""
    return {name: value for name, value in environment.items() if name not in desk.settings.notifications.variables()}


def build_parts(desk: Desk, database: "Database", dagster_database: "Database", revive: Callable[[], object]) -> list[Part]:
    """Return the parts of the desk in the order in which they start."""
    everything, for_database = child_environment(desk), database_environment(desk)
    public = _without_channels(desk, public_environment(everything, TOKEN_VARIABLE))

    def child(service: Service, environment: Mapping[str, str] = public) -> ChildProcess:
        return ChildProcess(service, environment, desk.home.log(service.name), desk.report)

    parts: list[Part] = [
        child(guard_service(desk.token, desk.guard_pipe[0], desk.release_guard)),
        Attachment("database", lambda: database_answers(database), revive, desk.report, needs=("guard",)),
    ]
    if desk.simulator_url is not None:
        parts.append(child(simulator_service(desk.simulator_url, desk.token)))
    parts += [
        child(reports_service(desk)),
        child(_code_server_service(desk), everything),
        child(_web_server_service(desk), for_database),
        child(_daemon_service(desk, dagster_database), for_database),
        child(_notify_service(desk.settings), notify_environment(desk)),
        child(_watchdog_service(desk.settings), for_database),
    ]
    return parts


def guard_service(token: str, pipe: int, release: Callable[[], None]) -> Service:
    return Service(
        name="guard",
        command=lambda: python_module("fks_assets.supervisor.guard", token),
        answers=lambda: True,
        stdin=pipe,
        stop_seconds=30.0,
        ask_to_stop=release,
    )


def python_module(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def simulator_service(url: str, token: str) -> Service:
    """Return the row of the simulator. A run that found none may have started one: that one makes room."""
    port = urlsplit(url).port or 0

    def command() -> Sequence[str]:
        if not ports.is_free(port):
            sweep(token, containing="fks_assets.simulator")
        return python_module("fks_assets.cli", "simulate", "--port", str(port))

    return Service(
        name="simulator",
        command=command,
        answers=lambda: http_answers(f"{url}/_simulator"),
        needs=("guard",),
        stop_seconds=5.0,
    )


def reports_service(desk: Desk) -> Service:
    """Return the row of the server that shows the reports, read-only."""

    def command() -> Sequence[str]:
        free = ports.next_free(desk.reports_port, {desk.web_port})
        if free != desk.reports_port:
            desk.report(f"port {desk.reports_port} was taken by another program; the reports move to http://{ports.HOST}:{free}")
            desk.reports_port = free
        badge = ["--badge", "SIMULATED"] if desk.settings.is_simulated else []
        where = ["--port", str(free), "--directory", str(desk.settings.reports_directory)]
        return python_module("fks_assets.supervisor.reports_server", *where, *badge)

    return Service(
        name="reports",
        command=command,
        answers=lambda: http_answers(desk.reports_url),
        needs=("guard",),
        stop_seconds=5.0,
    )


def _code_server_service(desk: Desk) -> Service:
    def command() -> Sequence[str]:
        if desk.code_server_port is not None:
            where = ["--host", ports.HOST, "--port", str(desk.code_server_port)]
        else:
            socket = desk.home.code_socket
            assert socket is not None
            socket.unlink(missing_ok=True)
            where = ["--socket", str(socket)]
        start = ["code-server", "start", "--module-name", "fks_assets.definitions", "--location-name", LOCATION]
        return python_module("dagster", *start, *where)

    return Service(
        name="code-server",
        command=command,
        answers=lambda: code_server_answers(desk.code_server_target),
        needs=("guard", "database"),
        stop_seconds=15.0,
    )


def _web_server_service(desk: Desk) -> Service:
    def command() -> Sequence[str]:
        free = ports.next_free(desk.web_port, {desk.reports_port})
        if free != desk.web_port:
            desk.report(f"port {desk.web_port} was taken by another program; the web UI moves to http://{ports.HOST}:{free}")
            desk.web_port = free
        where = ["--host", ports.HOST, "--port", str(free)]
        return python_module("dagster_webserver", *where, "--workspace", str(desk.home.workspace_file))

    return Service(
        name="web-server",
        command=command,
        answers=lambda: http_answers(f"{desk.url}/server_info"),
        needs=("guard", "database", "code-server"),
    )


def _daemon_service(desk: Desk, dagster_database: "Database") -> Service:
    def answers() -> bool:
        age = heartbeat_age_seconds(dagster_database)
        return age is not None and age < LONGEST_HEARTBEAT_SECONDS

    return Service(
        name="daemon",
        command=lambda: python_module(
            "fks_assets.supervisor.daemon", "--workspace", str(desk.home.workspace_file), "--since", str(desk.started_at_ms)
        ),
        answers=answers,
        needs=("guard", "database", "code-server"),
        silent_seconds=120.0,
    )


def _notify_service(settings: Settings) -> Service:
    """Return the row of the sender of messages. Without a database it lives on: it is the one that says so to people."""
    return Service(
        name="notify",
        command=lambda: python_module("fks_assets.cli", "notifications", "serve"),
        answers=lambda: is_alive(settings.home, SENDER, within_seconds=60.0),
        needs=("guard", "database"),
        stop_seconds=20.0,
    )


def _watchdog_service(settings: Settings) -> Service:
    """Return the row of the watchdog; it needs nothing, because it says what is missing."""
    return Service(
        name="watchdog",
        command=lambda: python_module("fks_assets.cli", "watchdog"),
        answers=lambda: is_alive(settings.home, WATCHDOG, within_seconds=15.0),
        needs=("guard",),
        silent_seconds=30.0,
        stop_seconds=5.0,
    )


def _simulator_url(desk: Desk) -> str:
    url = desk.settings.exchange_profile().base_url or ""
    parsed = urlsplit(url)
    if parsed.scheme != "http" or parsed.hostname not in (ports.HOST, "localhost") or parsed.port is None:
        raise SettingsError(
            f"exchanges.simulated.url {url!r} must be http://{ports.HOST}:PORT, where fks up starts the simulator"
        )
    free = ports.next_free(parsed.port)
    if free != parsed.port:
        desk.report(f"port {parsed.port} of {ports.HOST} is taken by another program; the simulator uses {free}")
    return f"http://{ports.HOST}:{free}"
