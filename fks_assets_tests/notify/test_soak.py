"""Hours of trouble: channels that limit, fail and die at random, a database that does so now and then, senders that come and go,
and what must hold all the same.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from fks_assets.errors import StoreError
from fks_assets.notify import sender as sender_module
from fks_assets.notify.sender import Sender
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import read_deliveries, waiting
from fks_assets.stores.notifications import read_notifications
from fks_assets_tests.notify.hooks import Hooks, Reply, hook_server, too_many
from fks_assets_tests.notify.told import Clock, ToldDesk, discord

NAMES = ("first", "second", "third")
MESSAGES = 60


@contextmanager
def hooks_at(clock: Clock) -> Iterator[Hooks]:
    """Run a server of hooks whose forbidden windows are of the desk's clock."""
    with hook_server() as server:
        server.clock = lambda: clock() / 1000
        yield server


def trouble(chance: random.Random, deadly: bool) -> list[Reply]:
    """Return what a webhook answers: mostly well, now and then not, at last for ever well, or gone."""
    kinds = [
        Reply(),
        Reply(),
        Reply(200, b"{}"),
        Reply(500),
        Reply(503, headers={"Retry-After": "30"}, window=30.0),
        Reply(reset=True),
        too_many(chance.uniform(1, 120)),
        too_many(chance.uniform(1, 20), unit="ms", header=True),
        Reply(204, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "7.5"}, window=7.5),
    ]
    plan = [chance.choice(kinds) for _ in range(chance.randrange(5, 40))]
    return [*plan, Reply(404) if deadly else Reply()]


class ShakyDatabase(Database):
    """Of a hundred transactions one does not begin, one is rolled back, and one is committed and nobody learns of it."""

    def __init__(self, url: str, chance: random.Random) -> None:
        super().__init__(url)
        self._chance = chance

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        fate = self._chance.random()
        if fate < 0.01:
            raise StoreError("database: timeout expired")
        with super().transaction() as connection:
            yield connection
            if fate < 0.02:
                raise StoreError("database: canceling statement due to statement timeout")
        if fate < 0.03:
            raise StoreError("database: server closed the connection unexpectedly")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that cannot be noted is noted again at once: the clock of the desk stands meanwhile."""
    monkeypatch.setattr(sender_module, "SETTLING_SECONDS", 0.0)


def soak(home: Path, database: Database, seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    with hooks_at(clock) as hooks:
        channels = {name: discord(name, per_minute=30, backup=name == "third") for name in NAMES}
        desk = ToldDesk(home, database, hooks, channels, rules={"digest_above": 4, "escalations": 0}, clock=clock)
        for name in NAMES:
            hooks.plans[desk.path(name)] = trouble(chance, deadly=name != "third" and chance.random() < 0.5)
        texts = [f"message {number:02}." for number in range(MESSAGES)]
        left = list(texts)
        shaky = ShakyDatabase(database.url, random.Random(seed))
        sender = desk.sender(shaky)
        for _ in range(2000):
            for _ in range(chance.choice([0, 0, 1, 2, 7])):
                if left:
                    desk.tell(left.pop(0), severity=chance.choice(["INFO", "HIGH", "URGENT"]))
            if chance.random() < 0.1:
                sender = desk.sender(shaky)
            at_work = [sender, desk.sender(shaky)] if chance.random() < 0.2 else [sender]
            asyncio.run(step_all(at_work))
            clock.forward(chance.choice([0.3, 1, 5, 60]))
            if not left and is_over(desk):
                break
        shaky.engine.dispose()
        assert is_over(desk) and not left
        check(desk, texts)


async def step_all(senders: list[Sender]) -> None:
    """Let senders work at once. Errors of the database are waited out, as the service does; a slow machine makes them, too."""
    done = await asyncio.gather(*(each.step() for each in senders), return_exceptions=True)
    assert all(isinstance(each, int | StoreError) for each in done), done


def is_over(desk: ToldDesk) -> bool:
    """Return whether nothing waits: neither to be said, nor, where a channel has just died, to be handed on to the next."""
    return desk.is_quiet() and not waiting(desk.database)


def check(desk: ToldDesk, texts: list[str]) -> None:
    """Every message arrived somewhere; none came twice at one webhook; no call came inside a window; the book agrees."""
    assert not desk.hooks.violations
    heard: Counter[tuple[str, str]] = Counter()
    for call in desk.hooks.accepted:
        heard.update((call.path, text) for text in texts if text in call.text)
    assert set(heard.values()) == {1}
    assert {text for _, text in heard} == set(texts)
    noted = Counter(
        (desk.path(each.channel), message.message)
        for message in read_notifications(desk.database, ["alert"])
        for each in read_deliveries(desk.database, [message.id])
        if each.channel != "log" and each.state in ("DELIVERED", "DIGESTED")
    )
    assert noted == heard


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_doubled_in_hours_of_trouble(seed: int, home: Path, database: Database) -> None:
    """N1, N2, N3."""
    soak(home, database, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 160))
def test_nothing_is_lost_or_doubled_in_days_of_trouble(seed: int, home: Path, database: Database) -> None:
    """N1, N3 × 60."""
    soak(home, database, seed)
