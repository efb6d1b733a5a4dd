"""A thousand alerts in a minute, and alerts that nobody acknowledges."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config

from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import escalating, read_deliveries, unrouted
from fks_assets.stores.notifications import acknowledge, notify, read_notifications
from fks_assets_tests.notify.hooks import Hooks, Reply, too_many
from fks_assets_tests.notify.told import Clock, ToldDesk, discord
from fks_assets_tests.stores.test_database import MIGRATIONS, empty_database


def test_a_thousand_alerts_are_said_within_a_quarter_of_an_hour(home: Path, database: Database, hooks: Hooks) -> None:
    """The issue: delivered or digested in 15 min with at most 5 invalid requests, at 30 messages a minute, with 429s between.

    Every alert is named in a message, and the urgent ones have messages of their own.
    """
    desk = ToldDesk(home, database, hooks, {"discord": discord("first", per_minute=30)}, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(), Reply(), too_many(2), Reply(), too_many(1.5, unit="ms"), Reply()]
    began, sender = desk.clock(), desk.sender()

    async def storm() -> None:
        for second in range(60):
            with database.transaction() as connection:
                for number in range(17):
                    severity = "URGENT" if second % 20 == 0 and number == 0 else "WARN"
                    notify(connection, "alert", severity, f"alert {second * 17 + number:04}", f"storm:{second}:{number}")
            await sender.step()
            desk.clock.forward(1)
        while not await asyncio.to_thread(desk.is_quiet):
            await sender.step()
            desk.clock.forward(1)

    asyncio.run(storm())
    assert desk.clock() - began <= 15 * 60_000
    assert hooks.invalid <= 5
    text = "\n".join(call.text for call in hooks.accepted)
    missing = [number for number in range(60 * 17) if f"alert {number:04}" not in text]
    assert missing == []
    urgent = [each.id for each in read_notifications(database) if each.severity == "URGENT"]
    assert {each.state for each in read_deliveries(database, urgent)} == {"DELIVERED"}
    # Discord's own bounds: 30 messages in any minute, 5 in any two seconds.
    everything = read_deliveries(database, [each.id for each in read_notifications(database)])
    said = sorted(each.delivered_at or 0 for each in everything if each.channel == "discord" and each.state == "DELIVERED")
    assert len(said) == len(hooks.accepted)
    for most, window_ms in ((30, 60_000), (5, 2_000)):
        assert all(later - earlier >= window_ms for earlier, later in zip(said, said[most:], strict=False))


def test_an_urgent_message_goes_on_until_somebody_acknowledges_it(home: Path, database: Database, hooks: Hooks) -> None:
    """Every 15 minutes the next channel, and again the first; a HIGH one is said once."""
    channels = {"first": discord("first"), "second": discord("second", backup=True)}
    desk = ToldDesk(home, database, hooks, channels, clock=Clock())
    urgent, high = desk.tell("stop", severity="URGENT"), desk.tell("high", severity="HIGH")
    heard: list[tuple[int, str]] = []
    for minute in range(50):
        before = len(hooks.accepted)
        asyncio.run(desk.sender().step())
        heard += [(minute, call.path.split("/")[3]) for call in hooks.accepted[before:] if "stop" in call.text]
        if minute == 40:
            with database.transaction() as connection:
                acknowledge(connection, urgent, by="anna", at_ms=desk.clock())
        desk.clock.forward(60)
    assert heard == [(0, "first"), (15, "second"), (30, "first")]
    assert "not acknowledged (1)" in next(call.text for call in hooks.on(desk.path("second")))
    assert desk.states(urgent) == dict.fromkeys(("log", "first", "second.1", "first.2"), "DELIVERED")
    assert desk.states(high) == {"log": "DELIVERED", "first": "DELIVERED"}


def test_escalation_ends_by_itself(home: Path, database: Database, hooks: Hooks) -> None:
    rules = {"escalations": 2, "escalate_minutes": 1}
    desk = ToldDesk(home, database, hooks, {"first": discord("first")}, rules=rules, clock=Clock())
    desk.tell("stop", severity="URGENT")
    for _ in range(10):
        asyncio.run(desk.sender().step())
        desk.clock.forward(60)
    assert len(hooks.accepted) == 3


def test_kinds_and_severities_choose_the_channels(home: Path, database: Database, hooks: Hooks) -> None:
    """S2.27: SMS only for what is critical, trades only where trades go; what nobody takes is in the log alone."""
    channels = {
        "trades": discord("trades", kinds=["trade", "*_signal"]),
        "critical": discord("critical", severity="URGENT"),
    }
    desk = ToldDesk(home, database, hooks, channels)
    numbers = {
        "buy": desk.tell("buy", kind="buy_signal"),
        "stop": desk.tell("stop", kind="stop", severity="URGENT"),
        "report": desk.tell("report", kind="report"),
    }
    desk.deliver()
    assert {name: sorted(desk.states(number)) for name, number in numbers.items()} == {
        "buy": ["log", "trades"],
        "stop": ["critical", "log"],
        "report": ["log"],
    }


def test_two_channels_with_one_address_say_a_message_once(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"a": discord("first"), "b": discord("first")})
    number = desk.tell("hello")
    desk.deliver()
    assert desk.states(number) == {"log": "DELIVERED", "a": "DELIVERED"} and len(hooks.accepted) == 1


def test_what_was_written_before_anything_could_be_sent_is_history(database: Database) -> None:
    """The migration: messages of an older desk do not come as a storm."""
    fresh = empty_database(database, "old_messages")

    def upgrade(revision: str) -> None:
        with fresh.transaction() as connection:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS))
            command.upgrade(config, revision)

    upgrade("0006")
    with fresh.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO notifications (kind, severity, message, dedup_key) VALUES ('alert', 'URGENT', 'old', 'old')"
        )
    upgrade("0007")
    with fresh.transaction() as connection:
        assert unrouted(connection, 10) == [] and escalating(connection, at_ms=2**42, most=10) == []
        notify(connection, "alert", "URGENT", "new", "new")
        assert [each.kind for each in unrouted(connection, 10)] == ["alert"]
    fresh.engine.dispose()
