"""Equity as one value for each UTC calendar day, free of deposits and withdrawals; its drawdowns and its months."""

from dataclasses import dataclass

import numpy as np

from fks_assets.errors import InsufficientData, InvalidInput

DAY_MS = 86_400_000
EARLIEST_MS, LATEST_MS = 631_152_000_000, 7_258_118_400_000  # 1990 and 2200: seconds and microseconds fall outside


@dataclass(frozen=True, slots=True, eq=False)
class CashFlows:
    """Deposits (positive) and withdrawals (negative), in any order: `time` int64 UTC ms, `amount` float64."""

    time: np.ndarray
    amount: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class DailyCurve:
    """One value for each UTC calendar day, no day left out.

    `base` is the value at `start_ms`, the first point of the curve; `day` int64 ms is the midnight at which each day begins, and
    `value` float64 the last one known in that day. The first day is there only if it has a point after the base.
    """

    start_ms: int
    end_ms: int
    base: float
    day: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.day)

    @property
    def returns(self) -> np.ndarray:
        """The return of each day as a fraction: the value over that of the day before, less 1."""
        before = np.concatenate(([self.base], self.value[:-1]))
        return self.value / before[: len(self.value)] - 1.0

    @property
    def ends(self) -> np.ndarray:
        """The moments (ms) at which the days' values are taken: their last ones, or that of the curve."""
        return np.minimum(self.day + DAY_MS, self.end_ms)


def checked_curve(time: np.ndarray, equity: np.ndarray, name: str = "equity curve") -> tuple[np.ndarray, np.ndarray]:
    """Return the columns as int64 and float64; raise InsufficientData when empty, InvalidInput with one line otherwise.

    Times are UTC milliseconds, each after the one before; values are finite and above zero.
    """
    time, equity = np.asarray(time), np.asarray(equity)
    if time.ndim != 1 or time.shape != equity.shape:
        raise InvalidInput(f"{name}: times have shape {time.shape} and values {equity.shape}, they must be of one length")
    if not len(time):
        raise InsufficientData(f"{name}: it has no points, at least one is needed")
    if time.dtype.kind not in "iu" or equity.dtype.kind not in "iuf":
        raise InvalidInput(f"{name}: times must be whole numbers (ms) and values numbers, were {time.dtype} and {equity.dtype}")
    time, equity = time.astype(np.int64), equity.astype(np.float64)
    outside = (time < EARLIEST_MS) | (time > LATEST_MS)
    if outside.any():
        row = int(np.argmax(outside))
        raise InvalidInput(f"{name}: time {time[row]} at row {row} is not UTC milliseconds between the years 1990 and 2200")
    late = np.diff(time) <= 0
    if late.any():
        row = int(np.argmax(late)) + 1
        raise InvalidInput(f"{name}: time {time[row]} at row {row} is not after {time[row - 1]}, the one before it")
    unusable = ~(np.isfinite(equity) & (equity > 0))
    if unusable.any():
        row = int(np.argmax(unusable))
        raise InvalidInput(f"{name}: value {equity[row]} at row {row} (time {time[row]}) is not a finite number above zero")
    return time, equity


def with_base(start_ms: int, base: float, time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve with a point before its first one: what it began with, at the time at which it began."""
    return np.concatenate(([start_ms], time)), np.concatenate(([base], values))


def unit_values(time: np.ndarray, equity: np.ndarray, flows: CashFlows | None) -> np.ndarray:
    """Return the checked curve as if nothing had been paid in or out: time-weighted, beginning with the first equity.

    A flow is part of the first equity at or after it, and earns from there on. Those up to the first point are part of the base,
    those after the last point change nothing. Exact when equity is noted at each flow. Source: CFA Institute, GIPS Standards
    (2020), time-weighted return.
    """
    if flows is None or not len(flows.time):
        return equity
    row, amount = _placed(time, flows)
    paid = np.bincount(row, weights=amount, minlength=len(time))
    if not paid[1:].any():
        return equity
    growth = (equity[1:] - paid[1:]) / equity[:-1]
    if not (growth > 0).all():
        worst = int(np.argmin(growth)) + 1
        raise InvalidInput(
            f"cash flows: {paid[worst]:g} paid up to time {time[worst]} is not less than the equity then, {equity[worst]:g}"
        )
    return equity[0] * np.concatenate(([1.0], np.cumprod(growth)))


def net_flow(time: np.ndarray, flows: CashFlows | None) -> float:
    """Return what was paid in less what was paid out after the first point and up to the last one."""
    if flows is None or not len(flows.time):
        return 0.0
    row, amount = _placed(time, flows)
    return float(amount[row > 0].sum())


def _placed(time: np.ndarray, flows: CashFlows) -> tuple[np.ndarray, np.ndarray]:
    moments, amounts = np.asarray(flows.time), np.asarray(flows.amount, np.float64)
    if moments.ndim != 1 or moments.shape != amounts.shape or moments.dtype.kind not in "iu":
        raise InvalidInput(f"cash flows: times {moments.shape} in whole ms and amounts {amounts.shape} must be of one length")
    if not np.isfinite(amounts).all():
        row = int(np.argmin(np.isfinite(amounts)))
        raise InvalidInput(f"cash flows: amount {amounts[row]} at row {row} is not a finite number")
    rows = np.searchsorted(time, moments, side="left")
    counted = rows < len(time)
    return rows[counted], amounts[counted]


def daily_curve(time: np.ndarray, value: np.ndarray) -> DailyCurve:
    """Return the last value of each UTC calendar day of a checked curve; a day without a point carries the value before it.

    A point at exactly 00:00 UTC closes the day that ends there.
    """
    day = (time - 1) // DAY_MS
    lasts = np.flatnonzero(np.append(np.diff(day) != 0, True))
    first = int(day[0]) + (1 if lasts[0] == 0 else 0)
    days = np.arange(first, int(day[-1]) + 1)
    rows = lasts[np.searchsorted(day[lasts], days, side="right") - 1] if len(days) else lasts[:0]
    return DailyCurve(int(time[0]), int(time[-1]), float(value[0]), days * DAY_MS, value[rows])


def curve_at(time: np.ndarray, value: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the last value of a checked curve at or before each moment, and its first value before that."""
    return value[np.maximum(np.searchsorted(time, moments, side="right") - 1, 0)]


def alongside(daily: DailyCurve, time: np.ndarray, value: np.ndarray) -> DailyCurve:
    """Return another checked curve, such as a price, on the days of `daily` and taken at the same moments.

    Before its first point it stands still, as cash that waits for a market to be listed. Raises InvalidInput when all of it lies
    after those days.
    """
    if time[0] > daily.end_ms:
        raise InvalidInput(f"comparison: it begins at time {time[0]}, after the last point of the equity curve at {daily.end_ms}")
    base, values = curve_at(time, value, np.array([daily.start_ms])), curve_at(time, value, daily.ends)
    return DailyCurve(daily.start_ms, daily.end_ms, float(base[0]), daily.day, values)


def buy_and_hold(time: np.ndarray, prices: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return what 1 becomes at each `time` (ms) when equal parts buy each market at its first price and are never touched again.

    `prices` are (time ms, price) of each market. A part whose market has no price yet is cash. No fees are counted.
    """
    if not prices:
        raise InvalidInput("buy and hold: no market was given, at least one is needed")
    total = np.zeros(len(time))
    for moments, price in prices:
        moments, price = checked_curve(moments, price, "prices to hold")
        held = price[np.searchsorted(moments, time[0], side="right") - 1] if moments[0] <= time[0] else price[0]
        total += curve_at(moments, price, time) / held
    return total / len(prices)


@dataclass(frozen=True, slots=True, eq=False)
class Drawdowns:
    """Runs of values below the highest one before: places of `first` and `last`, and `depth`, the deepest one as a fraction."""

    first: np.ndarray
    last: np.ndarray
    depth: np.ndarray

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def lengths(self) -> np.ndarray:
        """How many values each run has."""
        return self.last - self.first + 1


def below_peak(value: np.ndarray, base: float | None = None) -> np.ndarray:
    """Return how far each value is below the highest one so far, the base among them: 0 at a peak, 0.3 for -30 %."""
    peak = np.maximum.accumulate(value if base is None else np.maximum(value, base))
    return 1.0 - value / peak


def drawdowns(below: np.ndarray) -> Drawdowns:
    """Return the runs of values below a peak."""
    under = np.concatenate(([False], below > 0, [False]))
    edges = np.flatnonzero(under[1:] != under[:-1])
    first, last = edges[::2], edges[1::2] - 1
    return Drawdowns(first, last, np.maximum.reduceat(below, first) if len(first) else below[:0])


@dataclass(frozen=True, slots=True, eq=False)
class MonthlyReturns:
    """Compounded returns as fractions by UTC month, oldest first; the first and the last month hold the days that there are."""

    year: np.ndarray
    month: np.ndarray
    returns: np.ndarray

    def years(self) -> list[tuple[int, list[float | None], float]]:
        """Return (year, its twelve months or None where there is none, the year's compounded return), oldest first."""
        table = []
        for year in range(int(self.year[0]), int(self.year[-1]) + 1) if len(self.year) else ():
            mine = self.year == year
            months: list[float | None] = [None] * 12
            for month, value in zip(self.month[mine].tolist(), self.returns[mine].tolist(), strict=True):
                months[month - 1] = value
            table.append((year, months, float(np.prod(1.0 + self.returns[mine]) - 1.0)))
        return table


def monthly_returns(daily: DailyCurve) -> MonthlyReturns:
    """Return the return of every UTC month that has a day."""
    months = daily.day.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    lasts = np.flatnonzero(np.append(np.diff(months) != 0, True)) if len(months) else months
    value = daily.value[lasts]
    before = np.concatenate(([daily.base], value[:-1]))[: len(value)]
    return MonthlyReturns(1970 + months[lasts] // 12, 1 + months[lasts] % 12, value / before - 1.0)
