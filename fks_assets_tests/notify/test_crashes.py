"""Kill the sender at every step: each message arrives, and a crash repeats at most one; several senders repeat none."""

import multiprocessing
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fks_assets.clock import now_ms
from fks_assets.notify.channel import LEASE_SLACK_MS
from fks_assets.notify.http import DEADLINE_SECONDS
from fks_assets.stores.database import Database
from fks_assets_tests.notify.doomed import Doomed, main
from fks_assets_tests.notify.hooks import Call, Hooks, Reply, too_many
from fks_assets_tests.notify.told import ToldDesk, discord

POINTS = (
    "notify.route.uncommitted",
    "notify.take.uncommitted",
    "notify.taken",
    "notify.sent",
    "notify.settle.uncommitted",
    "notify.settled",
)
LEASE_MS = round(DEADLINE_SECONDS * 1000) + LEASE_SLACK_MS
CHANNELS = {"first": discord("first")}


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Processes that start from one that has loaded everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fks_assets_tests.notify.doomed"])
    yield context


def said_by(call: Call) -> list[str]:
    """Return what a call says: one message, or each of a digest."""
    lines = call.text.splitlines()
    return [lines[1]] if len(lines) == 3 else [line.split(" ", 2)[2] for line in lines[1:-1]]


def heard(desk: ToldDesk) -> tuple[set[str], int]:
    """Return what the first webhook was told, and how many calls told it something again."""
    known: set[str] = set()
    repeats = 0
    for call in desk.hooks.on(desk.path("first")):
        repeats += not known.isdisjoint(said_by(call))
        known.update(said_by(call))
    return known, repeats


def kill_and_recover(desk: ToldDesk, processes: Any, url: str, point: str, rounds: int, skips: int = 3) -> int:
    """Let a sender die at a point in each round, with three new messages, then let one live; return how many died."""
    ahead, deaths = 0, 0
    desk.hooks.clock = lambda: time.monotonic() + ahead / 1000
    for number in range(rounds):
        for letter in "abc":
            desk.tell(f"{number}{letter}")
        doomed = Doomed(desk.home, url, desk.hooks.url, CHANNELS, ahead, point, number % skips)
        process = processes.Process(target=main, args=(doomed,))
        process.start()
        process.join(60)
        assert process.exitcode in (-signal.SIGKILL, 0)
        deaths += process.exitcode == -signal.SIGKILL
        # Nobody waits for the dead sender's lease here: the clock goes on.
        ahead += LEASE_MS + 1000
    desk.clock = lambda: now_ms() + ahead
    desk.deliver(60)
    return deaths


@pytest.mark.parametrize("point", POINTS)
def test_a_sender_that_dies_repeats_at_most_one_message(
    point: str, home: Path, database: Database, database_url: str, hooks: Hooks, processes: Any
) -> None:
    """N2: every message arrives, and no crash repeats more than one: the one that was under way when the process died."""
    desk = ToldDesk(home, database, hooks, CHANNELS)
    deaths = kill_and_recover(desk, processes, database_url, point, rounds=3)
    said, repeats = heard(desk)
    assert said == {f"{number}{letter}" for number in range(3) for letter in "abc"}
    assert deaths >= 1 and repeats <= deaths


@pytest.mark.nightly
@pytest.mark.parametrize("point", POINTS)
def test_a_hundred_senders_that_die(
    point: str, home: Path, database: Database, database_url: str, hooks: Hooks, processes: Any
) -> None:
    """N2: × 100, at a webhook that limits and fails as well; digests count as the messages in them."""
    desk = ToldDesk(home, database, hooks, CHANNELS)
    hooks.plans[desk.path("first")] = [*([Reply(), too_many(0.3), Reply(), Reply(500), Reply()] * 60), Reply()]
    deaths = kill_and_recover(desk, processes, database_url, point, rounds=100, skips=2)
    said, repeats = heard(desk)
    assert said == {f"{number}{letter}" for number in range(100) for letter in "abc"}
    assert deaths >= 50 and repeats <= deaths
    assert not hooks.violations


def test_two_senders_at_once_say_nothing_twice(
    home: Path, database: Database, database_url: str, hooks: Hooks, processes: Any
) -> None:
    """N2: two processes on one outbox, while new messages come."""
    desk = ToldDesk(home, database, hooks, CHANNELS, rules={"digest_above": 1000})
    for number in range(15):
        desk.tell(f"early {number}")
    both = [processes.Process(target=main, args=(Doomed(home, database_url, hooks.url, CHANNELS),)) for _ in range(2)]
    for process in both:
        process.start()
    for number in range(15):
        desk.tell(f"late {number}")
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    desk.deliver()
    assert heard(desk) == ({f"{when} {number}" for when in ("early", "late") for number in range(15)}, 0)
