"""Messages from the outbox to channels over real sockets: nothing is lost, nothing is said in a forbidden window."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from fks_assets.stores.database import Database
from fks_assets.stores.notification_targets import read_targets
from fks_assets_tests.notify.hooks import Hooks, Reply, too_many
from fks_assets_tests.notify.told import Clock, ToldDesk, discord


def test_a_message_reaches_discord_and_the_log_of_the_desk(home: Path, database: Database, hooks: Hooks) -> None:
    """S1.12, S2.17: told once, with a state for each channel."""
    desk = ToldDesk(home, database, hooks, {"discord": discord("first")})
    number = desk.tell("BTC-USDT: bought at 64,000", kind="buy_signal", severity="HIGH")
    desk.deliver()
    (call,) = hooks.calls
    assert call.path == desk.path("first")
    assert call.document["embeds"][0]["title"] == "🟢 BUY signal"
    assert f"#{number} " in call.document["embeds"][0]["footer"]["text"]
    assert desk.states(number) == {"log": "DELIVERED", "discord": "DELIVERED"}
    (line,) = [json.loads(each) for each in (home / "alerts.log").read_text().splitlines()]
    assert (line["id"], line["severity"], line["message"]) == (number, "HIGH", "BTC-USDT: bought at 64,000")


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(500),
        Reply(503, headers={"Retry-After": "1"}, window=1.0),
        Reply(reset=True),
        too_many(0.8),
        too_many(1.0, unit="ms", header=True),
        too_many(1.2, unit="ms"),
        Reply(429, b"<html>", {"Retry-After": "1"}, window=1.0),
        Reply(429, b"{}", {"X-RateLimit-Reset-After": "0.7"}, window=0.7),
    ],
    ids=["500", "503", "reset", "429 s", "429 ms and header", "429 ms", "429 header", "429 reset"],
)
def test_trouble_at_a_webhook_is_waited_out(trouble: Reply, home: Path, database: Database, hooks: Hooks) -> None:
    """N1: delivered in the end, and not one call inside a window."""
    desk = ToldDesk(home, database, hooks, {"discord": discord("first")})
    hooks.plans[desk.path("first")] = [trouble, trouble, Reply(200, b"{}")]
    number = desk.tell("hello")
    desk.deliver()
    assert desk.states(number)["discord"] == "DELIVERED"
    assert len(hooks.calls) == 3 and not hooks.violations


def test_a_success_that_drips_was_a_success(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"discord": discord("first")})
    hooks.plans[desk.path("first")] = [Reply(200, b'{"id": "1"}' * 100, drip_seconds=0.5)]
    number = desk.tell("hello")
    desk.deliver(5)
    assert desk.states(number)["discord"] == "DELIVERED" and len(hooks.calls) == 1


def test_an_empty_bucket_is_left_alone_until_it_is_full(home: Path, database: Database, hooks: Hooks) -> None:
    """Discord's headers of a success that used up the bucket."""
    desk = ToldDesk(home, database, hooks, {"discord": discord("first")})
    empty = Reply(204, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "0.9"}, window=0.9)
    hooks.plans[desk.path("first")] = [empty, Reply()]
    for text in ("one", "two"):
        desk.tell(text)
    desk.deliver()
    assert len(hooks.accepted) == 2 and not hooks.violations


def test_a_window_holds_for_the_next_sender_too(home: Path, database: Database, hooks: Hooks) -> None:
    """N1: the window is in the database, not in the sender."""
    desk = ToldDesk(home, database, hooks, {"discord": discord("first")}, clock=Clock())
    hooks.plans[desk.path("first")] = [too_many(300), Reply()]
    number = desk.tell("hello")
    asyncio.run(desk.sender().step())
    for seconds in (1, 100, 198):
        desk.clock.forward(seconds)
        asyncio.run(desk.sender().step())
        assert len(hooks.calls) == 1
    desk.clock.forward(1.2)
    asyncio.run(desk.sender().step())
    assert desk.states(number)["discord"] == "DELIVERED" and len(hooks.calls) == 2


def test_a_global_limit_holds_for_every_webhook_of_the_host(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"a": discord("first", kinds=["alert"]), "b": discord("second", kinds=["trade"])})
    desk.clock = Clock()
    body = b'{"message": "limited", "retry_after": 60.0, "global": true}'
    hooks.plans[desk.path("first")] = [Reply(429, body), Reply()]
    desk.tell("one", kind="alert")
    asyncio.run(desk.sender().step())
    desk.tell("two", kind="trade")
    asyncio.run(desk.sender().step())
    assert len(hooks.calls) == 1
    desk.clock.forward(61)
    asyncio.run(desk.sender().step())
    assert len(hooks.accepted) == 2


def test_a_dead_webhook_is_left_alone_and_the_next_channel_says_it(home: Path, database: Database, hooks: Hooks) -> None:
    """N3: 404 for ever. The second channel has it at once, and says that the first is dead."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first"), "second": discord("second", backup=True)})
    desk.clock = Clock()
    hooks.plans[desk.path("first")] = [Reply(404)]
    numbers = [desk.tell(text, severity="INFO") for text in ("one", "two", "three")]
    for _ in range(3):
        asyncio.run(desk.sender().step())
        desk.clock.forward(5)
    texts = [call.text for call in hooks.on(desk.path("second"))]
    assert all(any(word in text for text in texts) for word in ("one", "two", "three"))
    assert any("is dead: answered 404" in text for text in texts)
    assert sum(call.path == desk.path("first") for call in hooks.calls) == 1
    for number in numbers:
        assert desk.states(number) == {"log": "DELIVERED", "first": "DEAD", "second": "DELIVERED"}
    # Another address is another webhook: what comes from now on goes there again.
    desk.environment["FIRST"] = desk.address("third")
    later = desk.tell("four")
    asyncio.run(desk.sender().step())
    assert desk.states(later) == {"log": "DELIVERED", "first": "DELIVERED"}


def test_what_no_channel_could_say_is_said_once_there_is_one(home: Path, database: Database, hooks: Hooks) -> None:
    """N3: never dropped."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first")})
    desk.clock = Clock()
    hooks.plans[desk.path("first")] = [Reply(403)]
    number = desk.tell("hello")
    for _ in range(3):
        asyncio.run(desk.sender().step())
        desk.clock.forward(61)
    assert desk.states(number)["first"] == "DEAD" and len(hooks.calls) == 1
    desk.environment["FIRST"] = desk.address("third")
    for _ in range(2):
        asyncio.run(desk.sender().step())
        desk.clock.forward(61)
    assert desk.states(number)["first"] == "DELIVERED"


def test_a_channel_that_comes_back_says_what_the_one_after_it_could_not(home: Path, database: Database, hooks: Hooks) -> None:
    """N3: the first dies and hands on, the second dies too, the first gets another address."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first"), "second": discord("second", backup=True)})
    desk.clock = Clock()
    hooks.plans[desk.path("first")], hooks.plans[desk.path("second")] = [Reply(404)], [Reply(404)]
    number = desk.tell("hello")
    for _ in range(4):
        asyncio.run(desk.sender().step())
        desk.clock.forward(61)
    assert desk.states(number) == {"log": "DELIVERED", "first": "DEAD", "second": "DEAD"}
    desk.environment["FIRST"] = desk.address("third")
    for _ in range(3):
        asyncio.run(desk.sender().step())
        desk.clock.forward(61)
    assert desk.states(number) == {"log": "DELIVERED", "first": "DELIVERED", "second": "DEAD"}
    assert sum("hello" in call.text for call in hooks.on(desk.path("third"))) == 1


def test_an_urgent_message_goes_to_the_second_channel_within_a_minute(home: Path, database: Database, hooks: Hooks) -> None:
    """N3: the first channel only fails; what is not urgent waits for it."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first"), "second": discord("second", backup=True)})
    desk.clock = Clock()
    hooks.plans[desk.path("first")] = [Reply(502)]
    urgent, calm = desk.tell("stop", severity="URGENT"), desk.tell("calm")
    began = desk.clock()
    while not hooks.on(desk.path("second")):
        asyncio.run(desk.sender().step())
        desk.clock.forward(1)
    assert desk.clock() - began <= 60_000
    assert desk.states(urgent) == {"log": "DELIVERED", "first": "PENDING", "second": "DELIVERED"}
    assert desk.states(calm) == {"log": "DELIVERED", "first": "PENDING"}
    assert desk.error(urgent, "first") == "answered 502"


def test_the_pauses_grow_to_a_quarter_of_an_hour(home: Path, database: Database, hooks: Hooks) -> None:
    """N1: a webhook that is down for a day is asked about a hundred times, not a hundred thousand."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first")})
    desk.clock = Clock()
    hooks.plans[desk.path("first")] = [Reply(500)]
    desk.tell("hello")
    sender, end = desk.sender(), desk.clock() + 86_400_000

    async def day() -> None:
        while desk.clock() < end:
            await sender.step()
            (target,) = (each for each in read_targets(database).values() if each.channel == "first")
            desk.clock.at = max(desk.clock() + 1000, target.not_before or 0)

    asyncio.run(day())
    # With jitter a pause is 7.5 to 15 minutes: 96 to 192 calls, and a dozen while they grow.
    assert 96 <= len(hooks.calls) <= 210


def test_a_message_that_is_refused_goes_on_and_the_others_do_not_wait(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"first": discord("first"), "second": discord("second", backup=True)})
    hooks.plans[desk.path("first")] = [Reply(400), Reply()]
    bad, good = desk.tell("bad"), desk.tell("good")
    desk.deliver()
    assert desk.states(bad) == {"log": "DELIVERED", "first": "FAILED", "second": "DELIVERED"}
    assert desk.states(good) == {"log": "DELIVERED", "first": "DELIVERED"}


def test_a_message_that_breaks_the_server_does_not_hold_up_the_others(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"first": discord("first")})
    hooks.plans[desk.path("first")] = [Reply(500), Reply()]
    desk.tell("poison")
    desk.tell("good")
    desk.deliver()
    assert [call.text.splitlines()[1] for call in hooks.accepted] == ["good", "poison"]


def test_a_plain_webhook_can_tell_who_wrote_and_when(home: Path, database: Database, hooks: Hooks) -> None:
    """S2.27: signed callbacks; the signature is computed here by RFC 2104 from the key alone."""
    channel = {"type": "webhook", "url_env": "HOOK", "secret_env": "HOOK_KEY"}
    desk = ToldDesk(home, database, hooks, {"own": channel}, environment={"HOOK_KEY": "k" * 32})
    number = desk.tell("hello", severity="WARN")
    desk.deliver()
    (call,) = hooks.accepted
    signed = call.headers["x-fks-timestamp"].encode() + b"." + call.body
    assert call.headers["x-fks-signature"] == "sha256=" + hmac.new(b"k" * 32, signed, hashlib.sha256).hexdigest()
    assert call.headers["x-fks-event"] == str(number)
    assert (call.document["message"], call.document["severity"], call.document["simulated"]) == ("hello", "WARN", True)


def test_a_database_that_is_away_repeats_nothing(home: Path, database: Database, hooks: Hooks) -> None:
    """The answer is there and cannot be noted for a while: it is noted later, and the message is said once."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first")})
    hooks.plans[desk.path("first")] = [Reply(200, delay_seconds=0.5)]
    number = desk.tell("hello")
    locked = database.engine.connect()

    async def work() -> None:
        sending = asyncio.create_task(desk.sender().run_for(15.0, desk.is_quiet))
        while not hooks.calls:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(locked.exec_driver_sql, "LOCK TABLE notification_targets IN ACCESS EXCLUSIVE MODE")
        # Longer than a statement waits for a lock.
        for _ in range(6):
            await asyncio.sleep(0.5)
        locked.rollback()
        await sending

    try:
        asyncio.run(work())
    finally:
        locked.close()
    assert desk.states(number)["first"] == "DELIVERED" and len(hooks.calls) == 1


def test_a_sender_that_stood_still_leaves_what_it_had_taken(home: Path, database: Database, hooks: Hooks) -> None:
    """A process that sleeps past its lease (a closed laptop) says nothing that another may have said by then."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first", kinds=["alert"])}, clock=Clock())
    sleepy, lively, asleep = desk.sender(), desk.sender(), True
    number = desk.tell("hello")
    take = sleepy._take

    def take_and_sleep(target: str) -> object:
        nonlocal asleep
        work = take(target)
        if work is not None and work.channel.name == "first" and asleep:
            asleep = False
            desk.clock.forward(30)
            asyncio.run(lively.step())
        return work

    sleepy._take = take_and_sleep  # type: ignore[method-assign, assignment]
    asyncio.run(sleepy.step())
    assert not asleep and len(hooks.calls) == 1 and desk.states(number)["first"] == "DELIVERED"
