"""What hangs or breaks off half-way: names, locks, bodies of answers, other channels' errors."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fks_assets.alive import SENDER, is_alive, show_alive
from fks_assets.errors import StoreError
from fks_assets.notify import channel, outage
from fks_assets.notify.http import post
from fks_assets.notify.outcome import judged
from fks_assets.notify.service import run_with_threads
from fks_assets.stores.database import Database
from fks_assets_tests.notify.hooks import Hooks, Reply, too_many
from fks_assets_tests.notify.told import Clock, ToldDesk, discord


async def comes(what: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Return whether something comes to be within a time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        await asyncio.sleep(0.05)
    return False


def test_names_that_cannot_be_resolved_hold_up_nobody_else(
    home: Path, database: Database, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N3: without a network a resolver hangs for half a minute; here for more channels than a loop has threads by itself."""
    lost = {f"lost{number}": f"https://hook{number}.example.com/hooks" for number in range(min(32, (os.cpu_count() or 1) + 4))}
    channels: dict[str, Any] = {name: {"type": "webhook", "url_env": name.upper(), "secret_env": "KEY"} for name in lost}
    environment = {"KEY": "k" * 32} | {name.upper(): url for name, url in lost.items()}
    desk = ToldDesk(home, database, hooks, {"first": discord("first"), **channels}, environment=environment)
    resolve, network_is_back, asked = socket.getaddrinfo, threading.Event(), []

    def hang(host: str, *arguments: Any, **options: Any) -> Any:
        if not host.endswith("example.com"):
            return resolve(host, *arguments, **options)
        asked.append(host)
        network_is_back.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    desk.tell("early")

    async def work() -> bool:
        stop = asyncio.Event()
        running = asyncio.create_task(desk.sender().run(stop))
        assert await comes(lambda: len(asked) >= len(lost))
        desk.tell("late")
        came = await comes(lambda: any("late" in call.text for call in hooks.accepted))
        network_is_back.set()
        stop.set()
        await running
        return came

    assert run_with_threads(work())


def test_an_answer_s_pause_is_read_however_slowly_it_comes(hooks: Hooks) -> None:
    """N1: Telegram says only in the body for how long it wants to be left alone; a busy machine reads it late, too."""
    pause = too_many(60.0)
    hooks.plans["/slow"] = [replace(pause, drip_seconds=2.4 / len(pause.body))]
    answer = asyncio.run(post(f"{hooks.url}/slow", b"{}", {}, loopback=True))
    assert judged(answer, 0).wait_ms == 60_100


def test_no_server_is_asked_to_pack_its_answer(hooks: Hooks) -> None:
    """N1: packed, the pause that it asks for could not be read."""
    asyncio.run(post(f"{hooks.url}/x", b"{}", {}, loopback=True))
    assert hooks.calls[0].headers["accept-encoding"] == "identity"


def test_an_error_at_one_channel_breaks_off_no_message_of_another(home: Path, database: Database, hooks: Hooks) -> None:
    """N2: what was half-way out would be said again by the next sender, although nobody died."""
    desk = ToldDesk(home, database, hooks, {"first": discord("first"), "second": discord("second")}, clock=Clock())
    hooks.plans[desk.path("first")] = [Reply(delay_seconds=0.5)]
    number = desk.tell("hello")
    sender = desk.sender()
    broken = next(each.target for each in sender._channels if each.name == "second")
    take = sender._take

    def take_or_fail(target: str) -> Any:
        if target == broken:
            raise StoreError("database: canceling statement due to lock timeout")
        return take(target)

    sender._take = take_or_fail  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="lock timeout"):
        asyncio.run(sender.step())
    assert desk.states(number)["first"] == "DELIVERED" and len(hooks.calls) == 1


def test_whatever_an_error_says_it_can_be_noted(
    home: Path, database: Database, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N2: what cannot be noted would be tried again at the end of every lease, for ever."""

    async def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("NUL \x00, half a pair \ud83d, " + "x" * 10_000)

    monkeypatch.setattr(channel, "post", break_down)
    desk = ToldDesk(home, database, hooks, {"first": discord("first")}, clock=Clock())
    number = desk.tell("hello")
    asyncio.run(desk.sender().step())
    assert desk.states(number)["first"] == "PENDING"
    assert (desk.error(number, "first") or "").startswith("RuntimeError: NUL , half a pair , xxx")


class AwayDatabase(Database):
    """A database that a test takes away and gives back."""

    fault: Exception | None = None

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        if self.fault is not None:
            raise self.fault
        with super().transaction() as connection:
            yield connection


def test_that_the_database_is_gone_is_said_without_it(
    home: Path, database: Database, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N3, the dead man's other path: once an outage to each address, that asked for no pause, and into the log."""
    monkeypatch.setattr(outage, "OUTAGE_SECONDS", 0.5)
    monkeypatch.setattr(outage, "AGAIN_SECONDS", 0.3)
    channels = {"a": discord("first"), "b": discord("second", backup=True, kinds=["trade"]), "c": discord("third")}
    desk = ToldDesk(home, database, hooks, channels)
    hooks.plans[desk.path("second")] = [Reply(502), Reply()]
    hooks.plans[desk.path("third")] = [too_many(120.0), Reply()]
    away = AwayDatabase(database.url)

    def cries(path: str) -> list[str]:
        return [call.text for call in hooks.on(desk.path(path)) if "ALARM: the database" in call.text]

    async def work() -> None:
        stop = asyncio.Event()
        desk.tell("before")
        running = asyncio.create_task(desk.sender(away).run(stop))
        assert await comes(lambda: len(hooks.calls) == 2)
        for outages, fault in ((1, StoreError("database: connection refused")), (2, OSError(24, "Too many open files"))):
            away.fault = fault
            assert await comes(lambda: len(cries("first")) == len(cries("second")) == outages)  # noqa: B023 (called in this round)
            assert not await comes(lambda: len(cries("first")) > outages, 1.0)  # noqa: B023
            away.fault = None
            desk.tell(f"after {outages}")
            assert await comes(lambda: any(f"after {outages}" in call.text for call in hooks.on(desk.path("first"))))  # noqa: B023
        stop.set()
        await running

    asyncio.run(work())
    away.engine.dispose()
    assert not cries("third") and not hooks.violations
    assert "fks notifications ack" not in cries("first")[0] and "connection refused" in cries("first")[0]
    assert "Too many open files" in cries("first")[1]
    assert (home / "alerts.log").read_text(encoding="utf-8").count("ALARM: the database") == 2


def test_a_sender_without_its_database_is_alive_to_who_would_start_another(home: Path, database: Database, hooks: Hooks) -> None:
    """S1.18: it is the one that tells people of the outage; `fks up` looks at a file, which no clock set back makes younger."""
    desk, away = ToldDesk(home, database, hooks, {"a": discord("first")}), AwayDatabase(database.url)
    away.fault = StoreError("database: connection refused")

    def looks() -> bool:
        return is_alive(home, SENDER, within_seconds=60.0)

    async def work() -> None:
        stop = asyncio.Event()
        assert not looks()
        running = asyncio.create_task(desk.sender(away).run(stop, lambda: show_alive(home, SENDER)))
        assert await comes(looks)
        for seconds in (-120, 120):
            os.utime(home / "run" / SENDER, (time.time() + seconds, time.time() + seconds))
            assert await comes(looks)
        stop.set()
        await running
        os.utime(home / "run" / SENDER, (time.time() + 120, time.time() + 120))
        assert not looks()

    asyncio.run(work())
    away.engine.dispose()
