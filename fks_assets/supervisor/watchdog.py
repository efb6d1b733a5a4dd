"""The watchdog: a process of its own that raises the alarm when nobody guards the stops, when messages to people are not sent, or
when the database does not answer (T5, N3).

It alarms once and says once that it is over: always into FKS_HOME/alarms.log and on standard error, which `fks up` keeps as
logs/watchdog.log, and as a message to people as soon as the database takes it.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from fks_assets.alive import WATCHDOG, show_alive
from fks_assets.clock import iso, now_ms
from fks_assets.errors import StoreError, TradingError, in_words
from fks_assets.settings import Settings
from fks_assets.settings.guard import GuardSettings

if TYPE_CHECKING:
    from fks_assets.stores.database import Database

WATCHDOG_KIND = "watchdog"
GUARD, DATABASE, SENDER = "guard", "database", "sender"
EVERY_SECONDS = 1.0
# The database is given this long for an answer; a server that hangs would be waited for for ever.
ANSWER_SECONDS = 5.0
# A connection whose other end has vanished hangs for hours: after so long another one is tried.
GIVE_UP_SECONDS = 60.0
# A message that nobody has taken up for so long will not be sent by itself.
MUTE_MS = 600_000
# A clock that goes back by more was set back.
SET_BACK_MS = 1000
# One answer that fails may be anything; this many in a row are an outage.
FAILURES = 2
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found: the guard's last heartbeat (UTC ms), how many positions are open, and since when the oldest message
    waits that no sender has taken up; or why nothing could be read.
    """

    heartbeat_ms: int | None = None
    open_positions: int = 0
    unsent_since_ms: int | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """An alarm, or that it is over. The key makes one message of it, however often it is written."""

    severity: str
    words: str
    key: str


@dataclass(frozen=True, slots=True)
class Watch:
    """What the watchdog knows; times are UTC milliseconds. `alarms`: those that are on, each with when it began."""

    began_ms: int
    looked_ms: int = 0
    failures: int = 0
    answered_again_ms: int | None = None
    alarms: Mapping[str, int] = field(default_factory=dict)


def decide(watch: Watch, seen: Seen, at_ms: int, settings: GuardSettings) -> tuple[Watch, list[Said]]:
    """Return what the watchdog knows after a look, and what has to be said; nothing is said twice."""
    if at_ms < watch.looked_ms - SET_BACK_MS:
        # What it measured from has not been yet.
        watch = replace(watch, began_ms=at_ms, answered_again_ms=None)
    watch = replace(watch, looked_ms=at_ms)
    if seen.fault is not None:
        watch = replace(watch, failures=watch.failures + 1)
        is_out = watch.failures >= FAILURES
        return _switch(watch, DATABASE, is_out, f"the database does not answer: {seen.fault}", at_ms) if is_out else (watch, [])
    answered_again = at_ms if DATABASE in watch.alarms else watch.answered_again_ms
    watch, said = _switch(
        replace(watch, failures=0, answered_again_ms=answered_again), DATABASE, False, "the database answers", at_ms
    )
    silent_ms = at_ms - _guarded_at(watch, seen, at_ms, settings)
    is_silent = seen.open_positions > 0 and silent_ms > settings.silent_seconds * 1000
    last = "never" if seen.heartbeat_ms is None else f"at {iso(seen.heartbeat_ms)}"
    words = f"nobody watches the stops of {seen.open_positions} open positions: the stop guard was last seen {last}"
    if not is_silent:
        words = f"the stop guard is at work, {seen.open_positions} positions are open"
    watch, more = _switch(watch, GUARD, is_silent, words, at_ms)
    since = seen.unsent_since_ms
    is_mute = since is not None and at_ms - max(since, watch.began_ms) > MUTE_MS
    words = f"nobody sends messages to people, the oldest waits since {iso(since)}" if is_mute else "messages are sent"
    watch, most = _switch(watch, SENDER, is_mute, words, at_ms)
    return watch, said + more + most


def _guarded_at(watch: Watch, seen: Seen, at_ms: int, settings: GuardSettings) -> int:
    """Return from when on (UTC ms) the guard's silence counts.

    A desk that begins, and a database that is back, get a moment; an alarm that is on is ended by a heartbeat alone. One from the
    future was written by a clock that has been set back: it is none.
    """
    heartbeat = seen.heartbeat_ms or 0
    if heartbeat - at_ms > settings.silent_seconds * 1000:
        heartbeat = 0
    if GUARD in watch.alarms:
        return heartbeat
    if heartbeat < watch.began_ms:
        heartbeat = max(heartbeat, watch.began_ms + int((settings.start_seconds - settings.silent_seconds) * 1000))
    return max(heartbeat, watch.answered_again_ms or 0)


def _switch(watch: Watch, name: str, is_on: bool, words: str, at_ms: int) -> tuple[Watch, list[Said]]:
    """Return the watch with an alarm on or off, and what that says."""
    since = watch.alarms.get(name)
    if is_on == (since is not None):
        return watch, []
    if is_on:
        alarms = {**watch.alarms, name: at_ms}
        return replace(watch, alarms=alarms), [Said("URGENT", f"🚨 ALARM: {words}", f"watchdog:{name}:{at_ms}")]
    alarms = {each: began for each, began in watch.alarms.items() if each != name}
    over = f"Alarm over after {(at_ms - (since or at_ms)) / 1000:.0f} s: {words}"
    return replace(watch, alarms=alarms), [Said("INFO", over, f"watchdog:{name}:{since}:over")]


class Watchdog:
    """Looks once a second and says what there is to say. `read` and `write` are of the database and may raise StoreError."""

    def __init__(
        self,
        settings: GuardSettings,
        read: Callable[[], Seen],
        write: Callable[[Sequence[Said]], None],
        alarm_file: Path,
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._settings = settings
        self._read = read
        self._write = write
        self._file = alarm_file
        self._clock = clock
        self._watch = Watch(clock())
        self._waiting: list[Said] = []

    @property
    def alarms(self) -> Mapping[str, int]:
        """The alarms that are on, each with when it began (UTC ms)."""
        return self._watch.alarms

    def look(self) -> list[Said]:
        """Look once; return what was said."""
        try:
            seen = self._read()
        except Exception as error:
            # Whatever it is: nobody knows then whether the stops are watched, and that is said.
            seen = Seen(fault=in_words(error))
        self._watch, said = decide(self._watch, seen, self._clock(), self._settings)
        for each in said:
            self._cry(each)
        self._waiting += said
        if self._waiting and seen.fault is None:
            try:
                self._write(self._waiting)
            except Exception as error:
                print(f"the alarm could not be written to the database: {in_words(error)}", file=sys.stderr, flush=True)
            else:
                self._waiting = []
        return said

    def _cry(self, said: Said) -> None:
        line = f"{iso(self._clock())} {said.severity} {said.words}"
        print(line, file=sys.stderr, flush=True)
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(f"{line}\n")
        except OSError as error:
            print(f"{self._file} cannot be written: {error.strerror}", file=sys.stderr, flush=True)


class Bounded:
    """Does work of the database in a thread, because a server that hangs answers nothing, not even that it is too late."""

    def __init__(self, seconds: float = ANSWER_SECONDS, *, give_up_seconds: float = GIVE_UP_SECONDS) -> None:
        self._seconds = seconds
        self._give_up_seconds = give_up_seconds
        self._busy: threading.Thread | None = None
        self._began = 0.0

    def __call__(self, work: Callable[[], Result]) -> Result:
        """Return what the work gives; raise StoreError when it takes longer, or when earlier work still hangs."""
        if self._busy is not None and self._busy.is_alive() and time.monotonic() - self._began < self._give_up_seconds:
            raise StoreError("database: it hangs")
        found: list[Result] = []
        failed: list[Exception] = []

        def run() -> None:
            try:
                found.append(work())
            except Exception as error:
                failed.append(error)

        self._busy = threading.Thread(target=run, name="watchdog-read", daemon=True)
        self._began = time.monotonic()
        self._busy.start()
        self._busy.join(self._seconds)
        if failed:
            raise failed[0]
        if not found:
            raise StoreError(f"database: no answer within {self._seconds:g} s")
        return found[0]


def open_watchdog(settings: Settings) -> Watchdog:
    """Return the watchdog of a desk. It never starts the desk's database: that it is gone is what has to be said."""
    database, bounded = _database(settings), Bounded()
    return Watchdog(
        settings.guard,
        lambda: bounded(lambda: read_seen(database)),
        lambda said: bounded(lambda: write_said(database, said)),
        settings.home / "alarms.log",
    )


def look_once(settings: Settings) -> tuple[Seen, str | None]:
    """Return what is found now, and what is wrong with it in words, None where nothing is. Nobody is alarmed."""
    database, at = _database(settings), now_ms()
    try:
        seen = Bounded()(lambda: read_seen(database))
    except TradingError as error:
        return Seen(fault=in_words(error)), f"the database does not answer: {in_words(error)}"
    # As if it had watched for ever: a desk that has only just begun is told of, too.
    _, said = decide(Watch(began_ms=0), seen, at, settings.guard)
    return seen, said[0].words if said else None


def run_watchdog(settings: Settings) -> NoReturn:
    """Watch until the process is ended, and show `fks up` with a file that it is alive."""
    watchdog = open_watchdog(settings)
    print(f"watching the desk of {settings.home}; Ctrl-C stops", file=sys.stderr, flush=True)
    while True:
        watchdog.look()
        show_alive(settings.home, WATCHDOG)
        time.sleep(EVERY_SECONDS)


def read_seen(database: "Database") -> Seen:
    """Return what is in the database. Raises StoreError."""
    from fks_assets.desk.stop_guard import HEARTBEAT
    from fks_assets.stores.deliveries import oldest_unrouted
    from fks_assets.stores.guard import count_open
    from fks_assets.stores.ledger.reconciliations import read_heartbeats

    with database.transaction() as connection:
        beat = read_heartbeats(connection).get(HEARTBEAT)
        return Seen(None if beat is None else beat.at, count_open(connection), oldest_unrouted(connection))


def write_said(database: "Database", said: Sequence[Said]) -> None:
    """Write the messages to people, each once. Raises StoreError."""
    from fks_assets.stores.notifications import notify

    with database.transaction() as connection:
        for each in said:
            notify(connection, WATCHDOG_KIND, each.severity, each.words, each.key)


def _database(settings: Settings) -> "Database":
    from fks_assets.stores import embedded
    from fks_assets.stores.database import Database

    if settings.database_url is not None:
        return Database(settings.database_url.get_secret_value())
    return Database(embedded.url_of(embedded.status(settings.home).socket_directory, "fks"))
