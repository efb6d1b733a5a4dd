"""Who says what a channel cannot: never the same address again, never nobody, and people hear of it each time."""

import asyncio
from pathlib import Path

import pytest

from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import waiting
from fks_assets.stores.notifications import acknowledge, read_notification, read_notifications
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.told import Clock, ToldDesk, discord


def steps(desk: ToldDesk, count: int, seconds: float = 1.0) -> None:
    """Let a sender work so often, with so much time between."""
    clock = desk.clock
    assert isinstance(clock, Clock)
    for _ in range(count):
        asyncio.run(desk.sender().step())
        clock.forward(seconds)


def test_an_urgent_message_goes_on_to_another_address(home: Path, database: Database, hooks: Hooks) -> None:
    """N3: the second channel leads to the same place as the one that fails, so the third is the next."""
    channels = {"a": discord("first"), "b": discord("first", backup=True), "c": discord("second", backup=True)}
    desk = ToldDesk(home, database, hooks, channels, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(502)]
    number = desk.tell("stop", severity="URGENT")
    steps(desk, 60)
    assert desk.states(number) == {"log": "DELIVERED", "a": "PENDING", "c": "DELIVERED"}


def test_no_escalation_is_used_up_while_no_channel_lives(home: Path, database: Database, hooks: Hooks) -> None:
    """An urgent message of the night goes on in the morning, when the channel has another address."""
    rules = {"escalations": 2, "escalate_minutes": 1}
    desk = ToldDesk(home, database, hooks, {"first": discord("first")}, rules=rules, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(404)]
    number = desk.tell("stop", severity="URGENT")
    steps(desk, 30, 60)
    assert read_notification(database, number).escalations == 0
    desk.environment["FIRST"] = desk.address("third")
    steps(desk, 10, 60)
    assert sum("stop" in call.text for call in hooks.on(desk.path("third"))) == 3


def test_that_a_channel_is_dead_is_said_although_no_channel_takes_such_messages(
    home: Path, database: Database, hooks: Hooks
) -> None:
    channels = {"trades": discord("first", kinds=["trade"]), "phone": discord("second", severity="URGENT")}
    desk = ToldDesk(home, database, hooks, channels, clock=Clock())
    hooks.plans[desk.path("second")] = [Reply(404)]
    desk.tell("stop", severity="URGENT")
    steps(desk, 3)
    texts = [call.text for call in hooks.on(desk.path("first"))]
    assert any("The channel phone" in text and "is dead" in text for text in texts) and any("stop" in text for text in texts)


def test_a_dead_address_that_comes_back_is_told_again(home: Path, database: Database, hooks: Hooks) -> None:
    """N3: somebody puts the old .env back; every time the desk comes to a dead channel, people hear of it."""
    channels = {"first": discord("first"), "second": discord("second", backup=True)}
    desk = ToldDesk(home, database, hooks, channels, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(404)]
    desk.tell("one")
    steps(desk, 3)
    desk.environment["FIRST"] = desk.address("third")
    steps(desk, 3, 3600)
    assert len(read_notifications(database, ["channel_dead"])) == 1
    del desk.environment["FIRST"]
    steps(desk, 300, 60)
    assert len(read_notifications(database, ["channel_dead"])) == 2
    assert sum("is dead: answered 404" in call.text for call in hooks.on(desk.path("second"))) == 2


def test_an_escalation_that_waits_is_not_said_after_somebody_has_acknowledged(
    home: Path, database: Database, hooks: Hooks
) -> None:
    """The channel was down meanwhile: the message itself comes late, that nobody has acknowledged it does not come."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first")}, rules={"escalate_minutes": 1}, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(502)]
    number = desk.tell("stop", severity="URGENT")
    steps(desk, 10, 30)
    with database.transaction() as connection:
        acknowledge(connection, number, by="anna", at_ms=desk.clock())
    hooks.plans[desk.path("first")] = [Reply()]
    steps(desk, 40, 60)
    (call,) = hooks.accepted
    assert "not acknowledged" not in call.text and "stop" in call.text
    assert set(desk.states(number).values()) == {"DELIVERED", "FAILED"}
    assert desk.error(number, "first") is None and waiting(database) == {}


@pytest.mark.parametrize("severity", ["INFO", "URGENT"])
def test_what_somebody_has_seen_waits_for_no_channel(severity: str, home: Path, database: Database, hooks: Hooks) -> None:
    """A message that the only channel refuses would keep the check `delivered` red for ever."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first")}, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(400), Reply(404)]
    refused = desk.tell("refused", severity=severity)
    steps(desk, 2)
    waits = desk.tell("waits for a channel", severity=severity)
    steps(desk, 2)
    assert desk.states(refused)["first"] == "FAILED" and waiting(database)["first"]["stuck"] == 3
    with database.transaction() as connection:
        for each in read_notifications(database):
            acknowledge(connection, each.id, by="anna", at_ms=desk.clock())
    assert "first" not in waiting(database)
    desk.environment["FIRST"] = desk.address("third")
    steps(desk, 5, 61)
    assert not hooks.on(desk.path("third")) and desk.states(waits)["first"] == "DEAD"


def test_an_urgent_message_is_handed_on_before_all_that_nobody_takes(home: Path, database: Database, hooks: Hooks) -> None:
    """Thousands that wait for a channel to live again do not stand before it."""
    channels = {"a": discord("first", kinds=["report"]), "b": discord("second"), "c": discord("third", backup=True)}
    desk = ToldDesk(home, database, hooks, channels, clock=Clock())
    for path in ("first", "second", "third"):
        hooks.plans[desk.path(path)] = [Reply(404)]
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO notifications (kind, severity, message, dedup_key)"
            " SELECT 'report', 'INFO', 'report', 'report ' || n FROM generate_series(1, 1200) AS n"
        )
    steps(desk, 5, 61)
    urgent = desk.tell("stop", severity="URGENT")
    desk.environment["THIRD"] = desk.address("fourth")
    steps(desk, 1)
    assert any("stop" in call.text for call in hooks.on(desk.path("fourth"))) and desk.states(urgent)["b"] == "DEAD"
