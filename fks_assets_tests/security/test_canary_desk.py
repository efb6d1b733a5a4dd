"""A whole desk, as `fks up` runs it, with live accounts at exchanges that fail in every way: its secrets are found nowhere.

That the searches find what is there: test_canary_searches.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fks_assets_tests.security.canaries import API_KEY, PASSWORD, hits, hits_in_database, hits_in_files
from fks_assets_tests.security.canary_desk import FAILING, CanaryDesk, canary_desk
from fks_assets_tests.supervisor.desks import PROJECT

pytestmark = pytest.mark.nightly
_RUN = """query($id: ID!) {
  runOrError(runId: $id) { ... on Run { runConfigYaml tags { key value } status eventConnection { events { __typename
    ... on MessageEvent { message level }
    ... on ExecutionStepFailureEvent { error { message stack className causes { message stack } } failureMetadata { label } }
    ... on RunFailureEvent { error { message stack causes { message stack } } }
    ... on MaterializationEvent { metadataEntries { label ... on TextMetadataEntry { text } } }
    ... on LogsCapturedEvent { fileKey stepKeys }
  } cursor } } }
}"""
_OUTPUT = "query($key: [String!]!) { capturedLogs(logKey: $key) { stdout stderr } }"
_INSTANCE = """{
  instance { info hasInfo executablePath daemonHealth { allDaemonStatuses { lastHeartbeatErrors { message stack } } } }
  workspaceOrError { ... on Workspace { locationEntries { displayMetadata { key value } } } }
  sensorsOrError(repositorySelector: {repositoryLocationName: "fks_assets", repositoryName: "__repository__"}) {
    ... on Sensors { results { name sensorState { ticks { status skipReason error { message stack } } } } }
  }
}"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[CanaryDesk]:
    with canary_desk(tmp_path_factory.mktemp("canary"), postgres_home) as desk:
        yield desk


def test_the_accounts_failed_as_they_should_and_the_exchanges_saw_the_keys(desk: CanaryDesk) -> None:
    """Else the tests below would find nothing because nothing was there."""
    engine = sa.create_engine(desk.dagster_url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        events = "\n".join(connection.execute(sa.text("SELECT event FROM event_logs")).scalars())
    for name in FAILING:
        assert f"account {name} could not be compared" in events
    assert "cannot be reached" in events and "[hidden]" in events and "Signature for this request is not valid" in events
    for server in (desk.echo, desk.torn):
        assert any(API_KEY in str(each.headers) for each in server.sent)
    assert {each["account"] for each in desk.simulator.requests()} == {f"{API_KEY}good"}


def test_neither_database_holds_a_secret(desk: CanaryDesk) -> None:
    """S2: event log, runs, ticks, ledger, notifications: a dump of both databases, and the server's own view of sessions."""
    assert hits_in_database(desk.url) == []
    assert hits_in_database(desk.dagster_url) == []


def test_no_file_of_the_desk_holds_a_secret(desk: CanaryDesk) -> None:
    """S2: logs of all processes, what runs print among them, state, Dagster's home, reports."""
    assert "STEP_FAILURE" in (desk.home / "logs" / "code-server.log").read_text(), "what runs print goes there"
    assert hits_in_files(desk.home.parent) == []
    assert [path for folder in (desk.home, PROJECT) for path in folder.glob("core*")] == []
    for path in (desk.home / "run", desk.home / "logs", desk.home / "dagster"):
        assert path.stat().st_mode & 0o077 == 0


def test_what_the_server_wrote_holds_no_secret(desk: CanaryDesk, postgres_home: Path) -> None:
    """S2: PostgreSQL's log, which quotes statements that fail."""
    assert hits_in_files(postgres_home / "logs") == []


def test_the_web_server_shows_no_secret(desk: CanaryDesk) -> None:
    """S2, S3: every run with its log, output, configuration and tags, the instance's settings, ticks; debug files of runs."""
    runs = desk.runs()
    assert {"SUCCESS", "FAILURE"} <= set(runs.values()) and len(runs) >= len(desk.jobs()) + 3
    shown = [json.dumps(desk.graphql(_INSTANCE))]
    for name in runs:
        told = desk.graphql(_RUN, id=name)
        shown += [json.dumps(told, ensure_ascii=False), desk.page(f"/download_debug/{name}")]
        keys = {event["fileKey"] for event in told["runOrError"]["eventConnection"]["events"] if "fileKey" in event}
        shown += [json.dumps(desk.graphql(_OUTPUT, key=[name, "compute_logs", key])) for key in keys]
    shown += [desk.page(path) for path in ("/server_info", "/", "/config")]
    text = "\n".join(shown)
    assert hits(text) == []
    for part in ("ExecutionStepFailureEvent", "could not be compared", "capturedLogs"):
        assert part in text


def test_no_command_line_holds_a_secret(desk: CanaryDesk) -> None:
    """S2: `ps` is for every user of the machine; looked at several times a second while runs came and went."""
    assert {"code-server", "run", "web-server", "daemon", "simulator", "guard", "reports"} <= set(desk.watch.environments)
    assert hits("\n".join(desk.watch.command_lines)) == []


def test_processes_have_the_secrets_that_they_need_and_no_other(desk: CanaryDesk) -> None:
    """S2: least of all those that run other people's code or listen on a port."""
    found = {
        kind: {hit.split(" (")[0] for text in texts for hit in hits(text)} for kind, texts in desk.watch.environments.items()
    }
    for kind in ("guard", "simulator", "reports", "keeper"):
        assert found.get(kind, set()) == set(), kind
    for kind in ("web-server", "daemon"):
        assert found[kind] == {"database password"}, kind
    for kind in ("code-server", "run"):
        assert found[kind] <= {"database password", "credential key", "webhook"}, kind
        assert {"database password", "credential key"} <= found[kind], kind


def test_processes_that_hold_secrets_leave_no_core_dump(desk: CanaryDesk) -> None:
    """S2: RLIMIT_CORE; a run was ended by SIGABRT, which writes a core where it may."""
    for kind in ("code-server", "run", "web-server", "daemon"):
        assert "0" in desk.watch.cores[kind], kind
    assert desk.watch.cores["run"] == {"0"}


def test_nothing_that_the_commands_print_is_a_secret(desk: CanaryDesk) -> None:
    """S2: output and errors of `fks`, also when it fails."""
    for arguments in (
        *(("status",), ("status", "--json"), ("accounts",), ("credentials", "list", "--json"), ("runs", "--json")),
        *(("orders", "--json"), ("balances", "--json"), ("up",)),
    ):
        desk.fks(*arguments)
    dead = sa.make_url(desk.url).update_query_dict({"host": str(desk.home)}).render_as_string(hide_password=False)
    for wrong in (dead, dead.replace("postgresql", "mysql"), dead.replace("@/", "@[/"), f"{dead}&port=x", f"nonsense:{PASSWORD}"):
        done = desk.fks("accounts", FKS_DATABASE_URL=wrong)
        assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    assert hits("\n".join(desk.said)) == []
