"""What `fks up` shows: bars and a status line on a terminal, plain lines elsewhere; always also FKS_HOME/logs/supervisor.log."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fks_assets.clock import iso, now_ms
from fks_assets.supervisor.logs import rotate

PLAIN_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows stored of one kind of dataset, and how many there will be."""

    stored: int
    expected: int

    @property
    def share(self) -> float:
        return min(1.0, self.stored / self.expected) if self.expected else 1.0


class Screen(Protocol):
    def line(self, text: str) -> None:
        """Show a message that stays."""

    def progress(self, kinds: Mapping[str, Progress]) -> None:
        """Show how far the first load is; an empty mapping takes the bars away."""

    def status(self, text: str) -> None:
        """Show the present state; replaces the one before."""

    def close(self) -> None: ...


class PlainScreen:
    """Lines for logs and pipes: messages, and the load at every tenth."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def line(self, text: str) -> None:
        print(text, flush=True)

    def progress(self, kinds: Mapping[str, Progress]) -> None:
        for kind, progress in kinds.items():
            step = int(progress.share / PLAIN_STEP)
            if step > self._shown.get(kind, 0):
                self._shown[kind] = step
                self.line(f"{kind}: {progress.stored:,} of {progress.expected:,} rows ({progress.share:.0%})")

    def status(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class TerminalScreen:
    """Bars while loading, then one line that is kept up to date, below messages that scroll."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def progress(self, kinds: Mapping[str, Progress]) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        if not kinds:
            self._bars = None
            return
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description:<10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._tasks = {}
            self._live.update(self._bars)
        for kind, progress in kinds.items():
            if kind not in self._tasks:
                self._tasks[kind] = self._bars.add_task(kind, total=progress.expected)
            self._bars.update(self._tasks[kind], completed=min(progress.stored, progress.expected), total=progress.expected)

    def status(self, text: str) -> None:
        from rich.text import Text

        if self._bars is None:
            self._live.update(Text(text, style="dim"))

    def close(self) -> None:
        self._live.stop()


class RecordingScreen:
    """Writes every message to the log as well, and outlives a terminal that has gone away."""

    def __init__(self, inner: Screen, log: Path) -> None:
        self._inner: Screen | None = inner
        self._log = log

    def line(self, text: str) -> None:
        self._record(text)
        self._show(lambda screen: screen.line(text))

    def progress(self, kinds: Mapping[str, Progress]) -> None:
        self._show(lambda screen: screen.progress(kinds))

    def status(self, text: str) -> None:
        self._show(lambda screen: screen.status(text))

    def close(self) -> None:
        self._show(lambda screen: screen.close())

    def _record(self, text: str) -> None:
        try:
            rotate(self._log)
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(f"{iso(now_ms())} {text}\n")
        except OSError as error:  # a full disk must not stop the supervisor; the message still goes to the screen
            complaint = f"{self._log} cannot be written: {error.strerror}"
            self._show(lambda screen: screen.line(complaint))

    def _show(self, what: Any) -> None:
        if self._inner is None:
            return
        try:
            what(self._inner)
        except (OSError, ValueError):
            self._inner = None
            self._record("nobody reads standard output any more; messages go to this log only")


def open_screen(log: Path) -> RecordingScreen:
    """Return the screen that fits standard output."""
    return RecordingScreen(TerminalScreen() if sys.stdout.isatty() else PlainScreen(), log)
