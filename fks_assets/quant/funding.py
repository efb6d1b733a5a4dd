"""Funding rates of perpetual markets: one rate, when rates are due, and how many of those that were due are known."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.ranges import Range
from fks_assets.quant.timeframes import TIMEFRAMES

# Perpetual markets charge every eight hours. Where one does so more often, what it told is due as well (`due_times`).
FUNDING_GRID = TIMEFRAMES["8h"]
HIGHEST_RATE = Decimal(1)


@dataclass(frozen=True, slots=True, order=True)
class FundingRate:
    """What a long position pays at `time_ms` (UTC ms, whole hours), as a fraction of its value; a short one receives it.

    Raises InvalidInput for a rate that is no finite number from -1 to 1, and for a time that no market charges at.
    """

    time_ms: int
    rate: Decimal

    def __post_init__(self) -> None:
        if not self.rate.is_finite() or abs(self.rate) > HIGHEST_RATE:
            raise InvalidInput(f"funding rate of {iso(self.time_ms)} is {self.rate}, not a number from -1 to 1")
        if self.time_ms % TIMEFRAMES["1h"].milliseconds:
            raise InvalidInput(f"funding time {self.time_ms} is not a whole hour")


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many fundings were due and how many of them are known; `missing` are the times (UTC ms) of the others."""

    due: int
    known: int
    missing: tuple[int, ...]

    @property
    def known_pct(self) -> int | None:
        """The share that is known, in whole percent rounded down: 100 means all. None where none was due."""
        return known_pct(self.known, self.due)

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(self.due + other.due, self.known + other.known, (*self.missing, *other.missing))


NOTHING_DUE = Coverage(0, 0, ())


def known_pct(known: int, due: int) -> int | None:
    """Return a share in whole percent, rounded down so that 100 means all; None where none was due."""
    return 100 * known // due if due else None


def coverage_of(times: Collection[int], window: Range) -> Coverage:
    """Return how much of the funding of a half-open window is known, by the times (UTC ms) of the known rates.

    Due are the multiples of eight hours and every time at which a rate is known.
    """
    start, end = window
    known = {time for time in times if start <= time < end}
    due = sorted(known.union(range(FUNDING_GRID.ceil(start), end, FUNDING_GRID.milliseconds)))
    return Coverage(len(due), len(known), tuple(time for time in due if time not in known))
