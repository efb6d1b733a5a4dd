"""`fks up`: one foreground process that keeps a desk running until it is told to stop."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from fks_assets.clock import iso, now_ms
from fks_assets.errors import StoreError, TradingError
from fks_assets.ids import unique_name
from fks_assets.settings import Settings
from fks_assets.supervisor.graphql import DeskApi
from fks_assets.supervisor.home import prepare_home, write_dagster_home
from fks_assets.supervisor.loading import FirstLoad
from fks_assets.supervisor.lock import DeskLock
from fks_assets.supervisor.logs import rotate
from fks_assets.supervisor.parts import Part
from fks_assets.supervisor.queries import other_sessions
from fks_assets.supervisor.screen import Progress, RecordingScreen, open_screen
from fks_assets.supervisor.services import Desk, build_parts, choose_ports
from fks_assets.supervisor.state import DeskState, Phase, clear_state, left_behind_token, read_state, reports, write_state
from fks_assets.supervisor.supervisor import Supervisor
from fks_assets.supervisor.sweep import sweep

if TYPE_CHECKING:
    from fks_assets.stores.database import Database

STATUS_SECONDS = 15.0
PROGRESS_SECONDS = 1.0
ROTATE_SECONDS = 60.0
STATUS_TIMEOUT_SECONDS = 5.0
LAST_SESSIONS_SECONDS = 3.0


@dataclass(slots=True)
class StopSignals:
    """How often SIGINT, SIGTERM or SIGHUP came. SIGHUP stays ignored where it was (nohup)."""

    count: int = 0

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._came)

    def _came(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


@dataclass(slots=True)
class Up:
    """The running desk: its parts, its first load, and what it tells people and scripts."""

    desk: Desk
    supervisor: Supervisor
    screen: RecordingScreen
    load: FirstLoad | None
    signals: StopSignals
    phase: Phase = Phase.STARTING
    _written: DeskState | None = None
    _said: set[str] = field(default_factory=set)
    _next_status: float = 0.0
    _next_progress: float = 0.0
    _next_rotation: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Supervise until a stop signal comes, then stop everything."""
        try:
            self._publish()
            self.supervisor.run_until(lambda: self.signals.count > 0, self._after_tick)
        finally:
            self._stop()

    def _after_tick(self) -> None:
        now = time.monotonic()
        if now >= self._next_rotation:
            self._next_rotation = now + ROTATE_SECONDS
            for part in self.supervisor.parts:
                if part.log is not None:
                    rotate(part.log)
        if self.phase is Phase.STARTING and self.supervisor.all_up:
            self._now_up()
        if self.phase is Phase.LOADING and self.load is not None and now >= self._next_progress:
            self._next_progress = now + PROGRESS_SECONDS
            self._follow_load(self.load)
        if now >= self._next_status:
            self._next_status = now + (STATUS_SECONDS if self.phase is Phase.RUNNING else PROGRESS_SECONDS)
            self.screen.status(self._status_line())
        self._publish()

    def _now_up(self) -> None:
        seconds = (now_ms() - self.desk.started_at_ms) / 1000
        self.screen.line(f"The desk is up after {seconds:.0f} s: {self.desk.url}  (exchange: {self.desk.settings.exchange})")
        self.phase = Phase.RUNNING if self.load is None else Phase.LOADING

    def _follow_load(self, load: FirstLoad) -> None:
        load.step()
        if not load.finished:
            self.screen.progress(self._progress(load))
            return
        self.screen.progress({})
        self.phase = Phase.RUNNING
        seconds = (now_ms() - self.desk.started_at_ms) / 1000
        counts = ", ".join(f"{each.stored:,} {kind}" for kind, each in self._progress(load).items())
        self.screen.line(f"Loaded after {seconds:.0f} s: {counts}")
        self.screen.line(
            f"Look at {self.desk.url}/asset-groups · reports at {self.desk.reports_url} · logs in {self.desk.home.logs} · "
            "`fks status` for its health · stop it with Ctrl-C or `fks down`"
        )

    def _progress(self, load: FirstLoad) -> Mapping[str, Progress]:
        try:
            return load.progress()
        except StoreError as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                self.screen.line(str(error))
            return {}

    def _status_line(self) -> str:
        waiting = [f"{part.name} {part.state}" for part in self.supervisor.parts if str(part.state) != "up"]
        if waiting:
            return "… " + ", ".join(waiting)
        if self.phase is not Phase.RUNNING:
            return "loading"
        text = f"● {self.desk.settings.exchange} · {self.desk.url}"
        try:
            activity = DeskApi(self.desk.url, STATUS_TIMEOUT_SECONDS).activity(now_ms() / 1000 - 3600)
        except TradingError:
            return text
        runs, ticks = activity.runs, activity.ticks
        return (
            f"{text} · last hour: {runs['succeeded']} runs done, {runs['failed']} failed, {ticks['failure']} ticks failed"
            f" · {runs['active']} under way · Ctrl-C stops"
        )

    def _publish(self) -> None:
        state = DeskState(
            pid=os.getpid(),
            token=self.desk.token,
            phase=self.phase,
            started_at=iso(self.desk.started_at_ms) or "",
            url=self.desk.url,
            exchange=self.desk.settings.exchange,
            simulator_url=self.desk.simulator_url,
            home=str(self.desk.settings.home),
            parts=reports(self.supervisor.parts),
            reports_url=self.desk.reports_url,
        )
        if state == self._written:
            return
        try:
            write_state(self.desk.home, state)
        except OSError as error:
            self.screen.line(f"{self.desk.home.state_file} cannot be written: {error.strerror}")
        self._written = state

    def _stop(self) -> None:
        self.phase = Phase.STOPPING
        self._publish()
        self.screen.progress({})
        self.screen.line("Stopping…")
        if self.load is not None:
            self.load.stop()
        stops = self.signals.count
        self.supervisor.stop(hurry=lambda: self.signals.count > stops)


OpenParts = Callable[[Desk, bool], AbstractContextManager[tuple[list[Part], FirstLoad | None]]]


@contextmanager
def desk_parts(desk: Desk, load: bool) -> Iterator[tuple[list[Part], FirstLoad | None]]:
    """Give the parts of a desk on its database, and its first load if wanted; let go of the database afterwards."""
    from fks_assets.stores.database import Database, database_urls, open_database

    home, secret = desk.settings.home, desk.settings.database_url
    url = None if secret is None else secret.get_secret_value()
    database = open_database(home, url)
    dagster_database = Database(database_urls(home, url).dagster, embedded_home=home if url is None else None)
    try:
        parts = build_parts(desk, database, dagster_database, lambda: database_urls(home, url))
        yield parts, FirstLoad(desk, database) if load else None
    finally:
        dagster_database.engine.dispose()
        database.engine.dispose()
        if url is None:
            _stop_database_if_alone(desk.settings, database)


def run_desk(settings: Settings, *, load: bool, open_parts: OpenParts = desk_parts) -> int:
    """Run a desk with these settings until it is stopped; return the exit code.

    A second one on the same home says where the first one runs and returns 0. Raises InvalidInput, one line, when the home cannot
    be used, StoreError when the database cannot be started.
    """
    home = prepare_home(settings.home)
    lock = DeskLock(home.lock_file)
    if not lock.take():
        print(already_running(settings), flush=True)
        return 0
    signals = StopSignals()
    signals.install()
    screen = open_screen(home.log("supervisor"))
    try:
        if token := left_behind_token(home):
            sweep(token)
        desk = Desk(settings, home, unique_name(), now_ms(), settings.web_port, settings.reports_port, screen.line)
        write_dagster_home(home)
        choose_ports(desk)
        screen.line(f"Starting the desk of {settings.home} …")
        with open_parts(desk, load) as (parts, first_load):
            Up(desk, Supervisor(parts), screen, first_load, signals).run()
        clear_state(home)
        screen.line("Stopped.")
    finally:
        screen.close()
        lock.release()
    return 0


def already_running(settings: Settings) -> str:
    """Return where the desk of this home runs and how to stop it."""
    state = read_state(settings.home)
    if state is None:
        return "another `fks up` has just ended on this home; run it again"
    if not state.url:
        return f"a desk is starting on {state.home} (process {state.pid}); `fks status` shows how far it is"
    return f"the desk of {state.home} runs already at {state.url} (process {state.pid}, {state.phase}); stop it with `fks down`"


def _stop_database_if_alone(settings: Settings, database: "Database") -> None:
    """Stop the embedded server at once unless somebody else uses it; the last of them leaves it to its keeper."""
    from fks_assets.stores import embedded

    deadline = time.monotonic() + LAST_SESSIONS_SECONDS
    try:
        while (others := other_sessions(database)) and time.monotonic() < deadline:
            time.sleep(0.1)
    except StoreError:  # it is gone already
        others = 0
    database.engine.dispose()
    if not others:
        embedded.stop(settings.home)
