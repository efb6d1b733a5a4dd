"""Digests: what they name, and one message in them that a server does not take: it alone stays behind."""

import asyncio
import re
from pathlib import Path

import pytest

from fks_assets.notify.mail import mail_of
from fks_assets.notify.message import Message, digest_text, utf16_length
from fks_assets.notify.webhook import webhook_document
from fks_assets.settings.notifications import EmailChannel
from fks_assets.stores.database import Database
from fks_assets.stores.notification_targets import read_targets
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.told import Clock, ToldDesk, discord


def say_with_poison(status: int, desk: ToldDesk, hooks: Hooks) -> int:
    """Let forty messages be said in five minutes, one of which is answered with a status wherever it is; return its number."""
    hooks.plans[desk.path("first")] = lambda call: Reply(status) if "poison" in call.text else Reply()
    numbers = [desk.tell("poison" if number == 17 else f"message {number:02}.") for number in range(40)]
    step_for(desk, 300)
    return numbers[17]


def step_for(desk: ToldDesk, seconds: int) -> None:
    """Let one sender work once a second of the desk's own clock."""
    sender, clock = desk.sender(), desk.clock
    assert isinstance(clock, Clock)

    async def work() -> None:
        for _ in range(seconds):
            await sender.step()
            clock.forward(1)

    asyncio.run(work())


@pytest.mark.parametrize("status", [400, 500], ids=["refused", "breaks the server"])
def test_one_message_that_a_server_does_not_take_costs_no_other(
    status: int, home: Path, database: Database, hooks: Hooks
) -> None:
    """N3: a digest that is refused, or that breaks the server, is said in smaller ones; the channel stays alive."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first", per_minute=30)}, clock=Clock())
    poison = say_with_poison(status, desk, hooks)
    heard = [text for call in hooks.accepted for text in re.findall(r"message \d\d\.", call.text)]
    assert sorted(heard) == [f"message {number:02}." for number in range(40) if number != 17]
    assert desk.states(poison)["first"] == ("FAILED" if status == 400 else "PENDING")
    assert read_targets(database)["first"].state == "UP"


def test_a_webhook_that_refuses_everything_is_found_dead_all_the_same(home: Path, database: Database, hooks: Hooks) -> None:
    desk = ToldDesk(home, database, hooks, {"first": discord("first", per_minute=30)}, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(405)]
    for number in range(40):
        desk.tell(f"message {number}")
    step_for(desk, 60)
    assert read_targets(database)["first"].state == "DEAD" and len(hooks.calls) <= 10


@pytest.mark.parametrize("room", [240, 270, 4096])
def test_a_digest_is_within_its_room_whatever_it_is_written_in(room: int) -> None:
    """Counted as Telegram and Discord do: an emoji is two."""
    messages = [Message(number, "alert", "WARN", "🚀" * 80, 0) for number in range(200)]
    assert utf16_length(digest_text(messages, room)) <= room


def test_only_copies_of_a_digest_have_its_number() -> None:
    """N2: whoever drops what has a number again must not drop a later digest that begins with the same message."""
    messages = [Message(number, "alert", "WARN", "late", 1_795_000_000_000) for number in range(30)]
    people = EmailChannel(type="email", host="mail.test", sender="desk@fks.test", recipients=("anna@fks.test",))

    def numbers(chosen: list[Message]) -> tuple[str, str, str]:
        mail = mail_of(chosen, people)
        return webhook_document(chosen)["event"], mail["Message-ID"], mail["X-Fks-Event"]

    digest, copy, other, fewer, alone = messages[:12], messages[:12], [*messages[:11], messages[20]], messages[:6], messages[:1]
    assert numbers(digest) == numbers(copy)
    for places in zip(*(numbers(each) for each in (digest, other, fewer, alone)), strict=True):
        assert len(set(places)) == 4
    assert numbers(alone)[0] == "0"
