"""A clock that is set back (a wrong one that was corrected) holds up no message: what lies in its future is not waited for."""

import asyncio
from pathlib import Path

from fks_assets.notify.sender import somebody_sends
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import add_deliveries, due, lease, note_routed
from fks_assets.stores.ledger.reconciliations import beat, read_heartbeats
from fks_assets.stores.notification_targets import register_target, take_target
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.told import Clock, ToldDesk, discord

NOW = 1_795_000_000_000
HOUR = 3_600_000


def test_messages_go_out_at_once_after_the_clock_was_set_back(home: Path, database: Database, hooks: Hooks) -> None:
    """T3: buckets that were filled by the old clock, on every channel and in the log."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first", per_minute=30)}, clock=Clock())
    for text in ("one", "two", "three"):
        desk.tell(text)
    sender = desk.sender()
    asyncio.run(sender.step())
    desk.clock.forward(-3600)
    number = desk.tell("after")
    for _ in range(10):
        asyncio.run(sender.step())
        desk.clock.forward(1)
    assert desk.states(number) == {"log": "DELIVERED", "first": "DELIVERED"}
    assert len(hooks.accepted) == 4


def test_what_waited_before_the_clock_was_set_back_goes_out_too(home: Path, database: Database, hooks: Hooks) -> None:
    """An urgent one goes on to the next channel within a minute, also if it was written an hour from now."""
    channels = {"first": discord("first"), "second": discord("second", backup=True)}
    desk = ToldDesk(home, database, hooks, channels, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(502)]
    urgent = desk.tell("stop", severity="URGENT")
    sender = desk.sender()
    asyncio.run(sender.step())
    desk.clock.forward(-3600)
    for _ in range(60):
        asyncio.run(sender.step())
        desk.clock.forward(1)
    assert desk.states(urgent)["second"] == "DELIVERED"


def test_the_leases_of_a_dead_sender_end_although_the_clock_was_set_back(database: Database) -> None:
    with database.transaction() as connection:
        number = connection.exec_driver_sql(
            "INSERT INTO notifications (kind, severity, message, dedup_key) VALUES ('alert', 'HIGH', 'x', 'x') RETURNING id"
        ).scalar_one()
        add_deliveries(connection, [(number, "a")], at_ms=NOW - 2 * HOUR)
        note_routed(connection, [number], at_ms=NOW, escalate_ms=None)
        register_target(connection, "t", "a", "x", at_ms=NOW)
        assert take_target(connection, "t", "h", "dead", at_ms=NOW, lease_ms=20_000, per_minute=30) is None
        (row,) = due(connection, ["a"], at_ms=NOW, most=10)
        lease(connection, [row.id], "dead", until_ms=NOW + 20_000)
        # Both are held while they are fresh, also by a sender whose clock is some seconds behind.
        for at in (NOW, NOW - 5_000, NOW + 19_999):
            assert due(connection, ["a"], at_ms=at, most=10) == []
            assert take_target(connection, "t", "h", "alive", at_ms=at, lease_ms=20_000, per_minute=30) is not None
        assert [each.id for each in due(connection, ["a"], at_ms=NOW - HOUR, most=10)] == [row.id]
        assert take_target(connection, "t", "h", "alive", at_ms=NOW - HOUR, lease_ms=20_000, per_minute=30) is None


def test_a_sign_of_life_from_the_future_is_none(home: Path, database: Database, hooks: Hooks) -> None:
    """The sender that gave it may be gone; one that is there gives another at once."""
    desk = ToldDesk(home, database, hooks, {}, clock=Clock(NOW))
    sender = desk.sender()
    sender._arrange(True)
    with database.transaction() as connection:
        assert somebody_sends(connection, NOW + 59_000) and not somebody_sends(connection, NOW - HOUR)
    desk.clock.forward(-3600)
    sender._arrange(True)
    assert read_heartbeats(database)["notify"].at == NOW - HOUR
    with database.transaction() as connection:
        beat(connection, "notify", at_ms=NOW - HOUR + 500)
        # Two processes may read the clock in another order than they write.
        assert somebody_sends(connection, NOW - HOUR)
