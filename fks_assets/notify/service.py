"""Ways to let the sender work: for ever, as a part of `fks up`; for a while, where no such part runs or a person waits."""

import asyncio
import signal
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fks_assets.alive import SENDER, show_alive
from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.ids import unique_name
from fks_assets.notify.chain import ARRIVED, GIVEN_UP
from fks_assets.notify.channels import open_channels, secret_environment
from fks_assets.notify.sender import Sender, somebody_sends
from fks_assets.settings import Settings
from fks_assets.settings.notifications import LOG_CHANNEL
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import Delivery, add_deliveries, note_routed, read_deliveries
from fks_assets.stores.notification_targets import read_targets, revive_target
from fks_assets.stores.notifications import add_notification

# How severe is what a person wants to have said, by its kind (S2.17).
SEVERITY_OF = {"trade": "INFO", "report": "INFO", "alert": "HIGH"}
TEST_KIND = "test"
LOOK_SECONDS = 0.2
# A name that cannot be resolved keeps a thread for half a minute, and the database's work must not wait behind it.
THREADS = 64
Found = TypeVar("Found")


def open_sender(settings: Settings, database: Database) -> Sender:
    """Return a sender over the channels of the settings, with the secrets that this process was given."""
    channels = open_channels(settings, secret_environment(settings.notifications.variables()))
    return Sender(database, channels, settings.notifications, simulated=settings.is_simulated)


def run_sender(settings: Settings, database: Database) -> None:
    """Deliver until SIGTERM or SIGINT; what is under way is finished."""

    async def work() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await open_sender(settings, database).run(stop, lambda: show_alive(settings.home, SENDER))

    run_with_threads(work())


def deliver_for(settings: Settings, database: Database, seconds: float) -> int | None:
    """Deliver what may be sent now, at most for some time; return how many deliveries were tried.

    None, and nothing is done, while a sender that does nothing else is at work.
    """
    with database.transaction() as connection:
        if somebody_sends(connection, now_ms()):
            return None
    return run_with_threads(open_sender(settings, database).drain(seconds))


def deliver_one(settings: Settings, database: Database, number: int, seconds: float) -> list[Delivery]:
    """Wait until it is known what becomes of a message, at most for some time; return its deliveries.

    The sender of `fks up` delivers it if there is one, for it has the secrets, which this process may lack; else we do.
    """

    def is_settled() -> bool:
        found = read_deliveries(database, [number])
        return bool(found) and all(_is_settled(each) for each in found)

    with database.transaction() as connection:
        other = somebody_sends(connection, now_ms())
    if other:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not is_settled():
            time.sleep(LOOK_SECONDS)
    else:
        run_with_threads(open_sender(settings, database).run_for(seconds, is_settled))
    return read_deliveries(database, [number])


def write_message(database: Database, message: str, kind: str, *, urgent: bool) -> int:
    """Write what a person wants to have said (S2.17: a trade, an alert or a report) and return its number.

    Raises InvalidInput for another kind and for an empty message.
    """
    if kind not in SEVERITY_OF:
        raise InvalidInput(f"kind {kind!r} is unknown; known: {', '.join(SEVERITY_OF)}")
    if not message.strip():
        raise InvalidInput("the message is empty")
    severity = "URGENT" if urgent else SEVERITY_OF[kind]
    with database.transaction() as connection:
        number = add_notification(connection, kind, severity, message, f"{kind}:{unique_name()}")
    assert number is not None
    return number


def write_test(settings: Settings, database: Database, channel: str) -> int:
    """Write a message for one channel alone and return its number; a dead channel is tried again with it.

    Raises InvalidInput for a channel that the settings do not have.
    """
    known = [LOG_CHANNEL, *settings.notifications.channels]
    if channel not in known:
        raise InvalidInput(f"channel {channel!r} is unknown; known: {', '.join(known)}")
    at = now_ms()
    with database.transaction() as connection:
        message = f"A test of the channel {channel}."
        number = add_notification(connection, TEST_KIND, "INFO", message, f"{TEST_KIND}:{unique_name()}")
        assert number is not None
        add_deliveries(connection, [(number, channel)], at_ms=at)
        note_routed(connection, [number], at_ms=at, escalate_ms=None)
        target = read_targets(connection).get(channel)
        if target is not None:
            revive_target(connection, target.target, at_ms=at)
    return number


def run_with_threads(work: Coroutine[object, object, Found]) -> Found:
    """Return what the work of a sender gives, done in a loop of its own with threads enough."""

    async def with_threads() -> Found:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="notify"))
        return await work

    return asyncio.run(with_threads())


def _is_settled(delivery: Delivery) -> bool:
    """Return whether a delivery arrived, or was given up and it is known who has it instead, or that nobody has."""
    given_up = delivery.state in GIVEN_UP and (delivery.handed_to is not None or delivery.next_attempt_at > now_ms())
    return delivery.state in ARRIVED or given_up
