"""The watchdog: what it says of silence, and that it says it once, wherever it can."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fks_assets.errors import StoreError
from fks_assets.settings.guard import GuardSettings
from fks_assets.stores import embedded
from fks_assets.stores.database import Database, open_database
from fks_assets.stores.ledger.reconciliations import beat
from fks_assets.stores.notifications import read_notifications
from fks_assets.supervisor.watchdog import Bounded, Said, Seen, Watch, Watchdog, decide, read_seen, write_said
from fks_assets_tests.guard.world import NOW_MS, GuardWorld

SETTINGS = GuardSettings()
BEGAN = NOW_MS - 600_000


class Times:
    """Looks of a watchdog at given times; the pure decision alone."""

    def __init__(self, began_ms: int = BEGAN) -> None:
        self.watch = Watch(began_ms)

    def look(self, at_ms: int, *, beat_ms: int | None = None, held: int = 1, fault: str | None = None) -> list[str]:
        seen = Seen(fault=fault) if fault is not None else Seen(beat_ms, held)
        self.watch, said = decide(self.watch, seen, at_ms, SETTINGS)
        return [f"{each.severity} {each.words}" for each in said]


def test_silence_of_more_than_two_intervals_is_an_alarm_once_and_over_once() -> None:
    """T5: exactly 10 s are none."""
    times = Times()
    assert times.look(NOW_MS + 10_000, beat_ms=NOW_MS) == []
    (alarm,) = times.look(NOW_MS + 10_001, beat_ms=NOW_MS, held=3)
    assert alarm.startswith("URGENT 🚨 ALARM: nobody watches the stops of 3 open positions")
    assert [times.look(NOW_MS + 11_000 + second * 1000, beat_ms=NOW_MS, held=3) for second in range(50)] == [[]] * 50
    (over,) = times.look(NOW_MS + 70_000, beat_ms=NOW_MS + 69_000, held=3)
    assert over.startswith("INFO Alarm over after 60 s: the stop guard is at work")
    assert times.look(NOW_MS + 71_000, beat_ms=NOW_MS + 69_000) == []


def test_with_nothing_held_silence_is_no_alarm_and_ends_one() -> None:
    times = Times()
    assert times.look(NOW_MS + 60_000, beat_ms=NOW_MS, held=0) == []
    assert len(times.look(NOW_MS + 61_000, beat_ms=NOW_MS, held=1)) == 1
    assert len(times.look(NOW_MS + 62_000, beat_ms=NOW_MS, held=0)) == 1


def test_a_desk_that_begins_has_a_minute_and_then_it_is_an_alarm() -> None:
    """The guard of an earlier life was last seen long ago; daemon and code server have to start first."""
    times = Times(began_ms=NOW_MS)
    assert times.look(NOW_MS + 60_000, beat_ms=NOW_MS - 3_600_000) == []
    assert len(times.look(NOW_MS + 60_001, beat_ms=NOW_MS - 3_600_000)) == 1
    never = Times(began_ms=NOW_MS)
    assert "was last seen never" in never.look(NOW_MS + 61_000)[0]
    seen_once = Times(began_ms=NOW_MS)
    assert len(seen_once.look(NOW_MS + 20_000, beat_ms=NOW_MS + 9_000)) == 1, "it had begun, and is gone again"


def test_messages_that_nobody_takes_up_for_ten_minutes_are_an_alarm_once_and_over_once() -> None:
    """N3, the dead man: said by another path, into the file and on standard error, for the messages are what does not go out."""
    watch, told = Watch(0), []
    for at, since in ((600_000, 0), (600_001, 0), (700_000, 0), (701_000, None), (1_400_000, 900_000)):
        watch, said = decide(watch, Seen(at, 0, since), at, GuardSettings())
        told += [(at, each.severity, each.key) for each in said]
    assert told == [(600_001, "URGENT", "watchdog:sender:600001"), (701_000, "INFO", "watchdog:sender:600001:over")]


def test_a_database_that_does_not_answer_twice_is_an_alarm_and_its_return_gives_the_guard_a_moment() -> None:
    times = Times()
    assert times.look(NOW_MS, fault="refused") == []
    assert times.look(NOW_MS + 1000, beat_ms=NOW_MS) == []
    assert times.look(NOW_MS + 2000, fault="refused") == []
    assert times.look(NOW_MS + 3000, fault="refused") == ["URGENT 🚨 ALARM: the database does not answer: refused"]
    assert [times.look(NOW_MS + 4000 + second * 1000, fault="refused") for second in range(60)] == [[]] * 60
    (over,) = times.look(NOW_MS + 90_000, beat_ms=NOW_MS)
    assert over.startswith("INFO Alarm over after 87 s: the database answers")
    assert times.look(NOW_MS + 100_000, beat_ms=NOW_MS) == []
    assert len(times.look(NOW_MS + 100_001, beat_ms=NOW_MS)) == 1


def test_an_outage_of_the_database_ends_no_alarm_of_the_guard() -> None:
    """What is ended by a heartbeat alone: that the database is back says nothing of who watches the stops."""
    times = Times()
    assert len(times.look(NOW_MS + 11_000, beat_ms=NOW_MS)) == 1
    assert [len(times.look(NOW_MS + 12_000 + second * 1000, fault="refused")) for second in range(3)] == [0, 1, 0]
    (over,) = times.look(NOW_MS + 20_000, beat_ms=NOW_MS)
    assert "the database answers" in over
    assert times.look(NOW_MS + 40_000, beat_ms=NOW_MS) == []
    (over,) = times.look(NOW_MS + 41_000, beat_ms=NOW_MS + 40_500)
    assert "the stop guard is at work" in over


def test_answers_that_fail_now_and_then_do_not_hide_a_silent_guard() -> None:
    times = Times()
    said = [
        line
        for second in range(20)
        for line in times.look(NOW_MS + second * 1000, **({"fault": "slow"} if second % 2 else {"beat_ms": NOW_MS}))
    ]
    assert len(said) == 1 and "nobody watches" in said[0]


@pytest.mark.parametrize("guard_lives", [True, False])
def test_a_clock_that_is_set_back_hides_no_silent_guard(guard_lives: bool) -> None:
    """T3, T5: the last heartbeat lies an hour ahead then, and would be fresh for an hour; a new one ends the doubt."""
    times, back = Times(NOW_MS - 18_000_000), NOW_MS - 3_600_000
    assert times.look(NOW_MS + 1000, beat_ms=NOW_MS) == []
    said = [
        line
        for second in range(120)
        for line in times.look(back + second * 1000, beat_ms=back + second * 1000 if guard_lives and second > 3 else NOW_MS)
    ]
    if guard_lives:
        assert said == []
    else:
        (alarm,) = said
        assert "nobody watches the stops of 1 open positions" in alarm


class Desk:
    """A watchdog over a database that a test takes away and gives back."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.is_gone, self.now_ms = database, False, NOW_MS
        self.file = folder / "alarms.log"
        self.watchdog = Watchdog(SETTINGS, self.read, self.write, self.file, clock=lambda: self.now_ms)
        self.watchdog._watch = replace(self.watchdog._watch, began_ms=BEGAN)

    def read(self) -> Seen:
        self.require()
        return read_seen(self.database)

    def write(self, said: Sequence[Said]) -> None:
        self.require()
        write_said(self.database, said)

    def require(self) -> None:
        if self.is_gone:
            raise StoreError("database: connection refused")

    def look(self, seconds: float = 1.0) -> int:
        self.now_ms += round(seconds * 1000)
        return len(self.watchdog.look())

    @property
    def lines(self) -> list[str]:
        return self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []


def test_an_alarm_is_in_the_file_on_standard_error_and_among_the_messages(
    world: GuardWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T5: a stale heartbeat with positions open."""
    world.hold()
    world.look(100.0)
    desk = Desk(world.database, tmp_path)
    desk.now_ms = world.prices.now_ms
    assert [desk.look(), desk.look(20.0), desk.look()] == [0, 1, 0]
    assert len(desk.lines) == 1 and "URGENT 🚨 ALARM" in desk.lines[0]
    assert "ALARM" in capsys.readouterr().err
    world.prices.now_ms = desk.now_ms
    world.look(100.0, seconds=0)
    assert desk.look() == 1
    assert [note.severity for note in read_notifications(world.database, ["watchdog"])] == ["URGENT", "INFO"]


def test_what_is_said_while_the_database_is_gone_is_written_when_it_is_back(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path)
    desk.look()
    desk.is_gone = True
    assert [desk.look(), desk.look(), desk.look()] == [0, 1, 0]
    assert len(desk.lines) == 1 and "the database does not answer" in desk.lines[0]
    assert read_notifications(database, ["watchdog"]) == []
    desk.is_gone = False
    assert desk.look() == 1
    notes = read_notifications(database, ["watchdog"])
    assert [note.severity for note in notes] == ["URGENT", "INFO"] and len(desk.lines) == 2


def test_a_file_that_cannot_be_written_stops_nothing(database: Database, tmp_path: Path) -> None:
    desk = Desk(database, tmp_path)
    desk.file.mkdir()
    desk.look()
    desk.is_gone = True
    assert [desk.look(), desk.look()] == [0, 1]


def test_a_database_that_hangs_is_waited_for_once() -> None:
    """A server that is stopped, not ended, takes connections and answers nothing."""
    bounded = Bounded(0.05)
    with pytest.raises(StoreError, match="no answer within"):
        bounded(lambda: time.sleep(0.4))
    with pytest.raises(StoreError, match="it hangs"):
        bounded(lambda: 1)
    time.sleep(0.5)
    assert bounded(lambda: 1) == 1


def test_an_answer_that_never_comes_is_given_up() -> None:
    """A connection whose other end has vanished hangs for hours; the database may be back long before."""
    bounded, never = Bounded(0.05, give_up_seconds=0.2), threading.Event()
    with pytest.raises(StoreError, match="no answer within"):
        bounded(lambda: never.wait(30))
    with pytest.raises(StoreError, match="it hangs"):
        bounded(lambda: 1)
    time.sleep(0.3)
    assert bounded(lambda: 1) == 1
    never.set()


@pytest.mark.parametrize(
    "error", [StoreError("gone"), RuntimeError("can't start new thread"), OSError(24, "Too many open files")]
)
def test_whatever_goes_wrong_is_an_outage_and_not_the_watchdog_s_end(error: Exception, tmp_path: Path) -> None:
    def fail(*_: object) -> Seen:
        raise error

    watchdog = Watchdog(SETTINGS, fail, fail, tmp_path / "alarms.log", clock=lambda: NOW_MS)
    assert [len(watchdog.look()) for _ in range(3)] == [0, 1, 0]
    assert "the database does not answer" in (tmp_path / "alarms.log").read_text(encoding="utf-8")


def test_the_command_looks_once_and_says_what_is_wrong(home: Path) -> None:
    """A real database of its own: not there, there, with a guard that is silent, with one that is at work."""
    assert fks(home)[0] == 1, "there is no database yet, and asking starts none"
    assert embedded.status(home).server_pid is None
    database = open_database(home, None)
    try:
        code, found = fks(home)
        assert (code, found["ok"], found["open_positions"], found["heartbeat_at"]) == (0, True, 0, None)
        world = GuardWorld(database)
        world.hold()
        code, found = fks(home)
        assert (code, found["ok"], found["open_positions"]) == (1, False, 1)
        assert "nobody watches the stops of 1 open positions" in found["problem"]
        with database.transaction() as connection:
            beat(connection, "stop_loss", at_ms=time.time_ns() // 1_000_000)
        assert fks(home)[0] == 0
    finally:
        database.engine.dispose()
        embedded.stop(home)


def fks(home: Path) -> tuple[int, dict[str, object]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FKS_")} | {"FKS_HOME": str(home)}
    command = [sys.executable, "-m", "fks_assets.cli", "watchdog", "--once", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)
