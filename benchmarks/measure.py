"""Time two ways of doing the same in turn (A B A B …) and print the ratio pair by pair."""

import resource
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. `bar` is the promise, `ratio` is ours to the limit as (median, lowest, highest)."""

    what: str
    ours: str
    limit: str
    ratio: tuple[float, float, float] | None
    bar: str
    met: bool | None


def paired(ours: Callable[[], object], limit: Callable[[], object], rounds: int = 7) -> tuple[list[float], list[float]]:
    """Return wall seconds of each, after one uncounted round of both."""
    ours(), limit()
    first, second = [], []
    for _ in range(rounds):
        first.append(wall(ours))
        second.append(wall(limit))
    return first, second


def wall(function: Callable[[], object]) -> float:
    """Return the wall seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def cpu(function: Callable[[], object]) -> float:
    """Return the user and system seconds that one call costs this process, all threads."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    function()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def peak_bytes(function: Callable[[], object]) -> int:
    """Return the most bytes that Python and numpy held at once during one call, beyond what they held before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def compare(what: str, bar: float, ours: list[float], limit: list[float], unit: str = "s") -> Row:
    """Return the report line of paired figures: the bar is the highest median ratio that keeps the promise."""
    ratios = [a / b for a, b in zip(ours, limit, strict=True)]
    ratio = statistics.median(ratios), min(ratios), max(ratios)
    shown = (f"{statistics.median(figures):.4g} {unit}" for figures in (ours, limit))
    return Row(what, *shown, ratio, f"<= {bar:g}", ratio[0] <= bar)


def absolute(what: str, figure: float, bar: float, unit: str, limit: str = "") -> Row:
    """Return the report line of a figure that is bounded by itself."""
    return Row(what, f"{figure:.4g} {unit}", limit, None, f"<= {bar:g} {unit}", figure <= bar)


def report(rows: list[Row]) -> None:
    """Print the lines as one table."""
    table = Table("what", "ours", "limit", "ratio (min-max)", "bar", "met")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio[0]:.2f} ({row.ratio[1]:.2f}-{row.ratio[2]:.2f})"
        table.add_row(row.what, row.ours, row.limit, ratio, row.bar, {True: "yes", False: "NO", None: ""}[row.met])
    Console(width=150).print(table)
