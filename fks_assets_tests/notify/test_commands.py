"""`fks notify` and `fks notifications`, with real channels behind them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.clock import now_ms
from fks_assets.settings import load_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reconciliations import beat
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.told import TOKEN

FIRST, SECOND = f"/api/webhooks/1/{TOKEN}", f"/api/webhooks/2/{TOKEN}"


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A desk with two channels of Discord, of which the second is a backup; its settings come from the environment alone."""
    values = {
        "HOME": str(home),
        "DATABASE_URL": database_url,
        "NOTIFICATIONS__INSECURE_LOOPBACK": "true",
        "NOTIFICATIONS__CHANNELS__A__TYPE": "discord",
        "NOTIFICATIONS__CHANNELS__A__URL_ENV": "FIRST_HOOK",
        "NOTIFICATIONS__CHANNELS__B__TYPE": "discord",
        "NOTIFICATIONS__CHANNELS__B__URL_ENV": "SECOND_HOOK",
        "NOTIFICATIONS__CHANNELS__B__BACKUP": "true",
    }
    monkeypatch.setenv("FKS_CREDENTIAL_KEY", "not for channels")
    for name, value in values.items():
        monkeypatch.setenv(f"FKS_{name}", value)
    monkeypatch.setenv("FIRST_HOOK", hooks.url + FIRST)
    monkeypatch.setenv("SECOND_HOOK", hooks.url + SECOND)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    assert TOKEN not in answer.output
    return json.loads(answer.stdout)


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {each["channel"]: each["state"] for each in answer["deliveries"]}


def test_a_message_says_what_became_of_it_on_each_channel(hooks: Hooks) -> None:
    """S2.17: send_notifications(trade|alert|report, message, urgent) with a delivery status for each channel."""
    answer = fks("notify", "bought BTC", "--kind", "trade")
    assert answer["delivered"] is True and states(answer) == {"log": "DELIVERED", "a": "DELIVERED"}
    (call,) = hooks.accepted
    assert call.document["embeds"][0]["title"] == "💱 Trade" and "bought BTC" in call.text
    assert fks("notifications")["notifications"][0]["severity"] == "INFO"


def test_a_message_that_did_not_arrive_is_no_success(hooks: Hooks) -> None:
    """F9: send_notifications reported success when delivery had failed."""
    hooks.plans[FIRST], hooks.plans[SECOND] = [Reply(404)], [Reply(500)]
    answer = fks("notify", "hello", "--wait", "2", code=1)
    assert answer["delivered"] is False
    assert states(answer) == {"log": "DELIVERED", "a": "DEAD", "b": "PENDING"}
    errors = {each["channel"]: (each["error"], each["handed_to"]) for each in answer["deliveries"]}
    assert errors["a"] == ("answered 404", "b") and errors["b"] == ("answered 500", None)


def test_an_urgent_message_is_acknowledged(hooks: Hooks) -> None:
    number = fks("notify", "stop", "--urgent")["id"]
    (waiting,) = fks("notifications", "list", "--unacknowledged")["notifications"]
    assert (waiting["id"], waiting["severity"]) == (number, "URGENT") and waiting["escalate_at"] is not None
    (seen,) = fks("notifications", "ack", str(number), "--by", "anna")["acknowledged"]
    assert (seen["acknowledged_by"], seen["escalate_at"]) == ("anna", None)
    assert fks("notifications", "ack", str(number), "--by", "ben")["acknowledged"][0]["acknowledged_by"] == "anna"
    assert fks("notifications", "list", "--unacknowledged")["notifications"] == []
    fks("notify", "again", "--urgent")
    assert len(fks("notifications", "ack", "--all")["acknowledged"]) == 1


def test_channels_say_where_they_lead_and_a_test_brings_a_dead_one_back(hooks: Hooks) -> None:
    """S3: host and last four; N3: dead until its address changes or a test arrives."""
    assert [each["state"] for each in fks("notifications", "channels")["channels"]] == ["NEW", "NEW", "NEW"]
    hooks.plans[FIRST] = [Reply(404), Reply()]
    assert fks("notify", "hello")["delivered"] is True
    shown = {each["channel"]: each for each in fks("notifications", "channels", code=1)["channels"]}
    assert shown["a"]["target"] == f"127.0.0.1/…{TOKEN[-4:]}"
    assert (shown["a"]["state"], shown["a"]["reason"]) == ("DEAD", "answered 404")
    assert states(fks("notifications", "test", "a")) == {"a": "DELIVERED"}
    assert {each["state"] for each in fks("notifications", "channels")["channels"]} == {"UP"}


def test_a_channel_without_its_secret_says_so(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIRST_HOOK")
    answer = fks("notify", "hello")
    assert states(answer) == {"log": "DELIVERED", "a": "DEAD", "b": "DELIVERED"}
    (row,) = (each for each in fks("notifications", "channels", code=1)["channels"] if each["channel"] == "a")
    assert row["reason"] == "the variable FIRST_HOOK is not set"
    # With it, what is said from now on goes there.
    monkeypatch.setenv("FIRST_HOOK", hooks.url + FIRST)
    assert states(fks("notify", "again"))["a"] == "DELIVERED"


def test_the_sender_of_the_desk_is_waited_for(database: Database, hooks: Hooks) -> None:
    """While the part `notify` is at work nobody else sends: it has the secrets."""
    with database.transaction() as connection:
        beat(connection, "notify", at_ms=now_ms())
    answer = fks("notify", "hello", "--wait", "0.5", code=1)
    assert (answer["delivered"], answer["deliveries"]) == (False, []) and not hooks.calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("notify", "hello", "--kind", "gossip"), "kind 'gossip' is unknown; known: trade, report, alert"),
        (("notify", "  "), "the message is empty"),
        (("notifications", "test", "c"), "channel 'c' is unknown; known: log, a, b"),
        (("notifications", "show", "77"), "notification 77 does not exist"),
        (("notifications", "ack", "77"), "notification 77 does not exist"),
        (("notifications", "ack"), "give the ID of a message, or --all"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    answer = CliRunner().invoke(app, list(arguments))
    assert (answer.exit_code, answer.stdout, answer.stderr) == (2, "", f"fks: {words}\n")


def test_tables_for_people_show_a_message_whole(hooks: Hooks) -> None:
    number = fks("notify", "look at this")["id"]
    answer = CliRunner().invoke(app, ["notifications", "show", str(number)])
    assert answer.exit_code == 0 and "look at this" in answer.stdout and "DELIVERED" in answer.stdout
    assert "log DELIVERED, a DELIVERED" in CliRunner().invoke(app, ["notifications"]).stdout


def test_only_what_sends_is_given_the_secrets_of_channels(home: Path, hooks: Hooks) -> None:
    """S3: by the names in the settings, whatever they are called; the web server, the daemon and the rest have none."""
    from fks_assets.supervisor.home import prepare_home
    from fks_assets.supervisor.services import Desk, child_environment, database_environment, notify_environment

    settings = load_settings()
    desk = Desk(settings, prepare_home(settings.home), "t", 0, 1, 2, print)
    os.close(desk.guard_pipe[0])
    desk.release_guard()
    hooked = {"FIRST_HOOK", "SECOND_HOOK"}
    assert hooked <= set(child_environment(desk)) and hooked <= set(notify_environment(desk))
    assert hooked.isdisjoint(database_environment(desk))
    assert "FKS_DATABASE_URL" in notify_environment(desk) and "FKS_CREDENTIAL_KEY" not in notify_environment(desk)
