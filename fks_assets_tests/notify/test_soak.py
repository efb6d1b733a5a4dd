"""Hours of trouble: channels that limit, fail and die at random, senders that come and go, and what must hold all the same."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import read_deliveries
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


def soak(home: Path, database: Database, seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    with hooks_at(clock) as hooks:
        channels = {name: discord(name, per_minute=30, backup=name == "third") for name in NAMES}
        desk = ToldDesk(home, database, hooks, channels, rules={"digest_above": 4, "escalations": 0}, clock=clock)
        for name in NAMES:
            hooks.plans[desk.path(name)] = trouble(chance, deadly=name != "third" and chance.random() < 0.5)
        texts = [f"message {number:02}." for number in range(MESSAGES)]
        left = list(texts)
        sender = desk.sender()
        for _ in range(2000):
            for _ in range(chance.choice([0, 0, 1, 2, 7])):
                if left:
                    desk.tell(left.pop(0), severity=chance.choice(["INFO", "HIGH", "URGENT"]))
            if chance.random() < 0.1:
                sender = desk.sender()
            asyncio.run(sender.step())
            clock.forward(chance.choice([0.3, 1, 5, 60]))
            if not left and desk.is_quiet():
                break
        assert desk.is_quiet() and not left
        check(desk, texts)


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
    """N1, N3."""
    soak(home, database, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 160))
def test_nothing_is_lost_or_doubled_in_days_of_trouble(seed: int, home: Path, database: Database) -> None:
    """N1, N3 × 60."""
    soak(home, database, seed)
