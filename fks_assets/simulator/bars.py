"""Candles as whole numbers: prices in ticks, sizes in lots, so that sums and extremes over timeframes are exact."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from fks_assets.simulator.intervals import Interval


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Equal-length int64 columns sorted by `open_time` (UTC ms); `quote` is turnover in ticks x lots."""

    open_time: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    quote: np.ndarray
    trades: np.ndarray

    def __len__(self) -> int:
        return len(self.open_time)

    def take(self, selector: np.ndarray | slice) -> "Bars":
        """Return the rows chosen by a mask, indices or a slice."""
        return Bars(*(getattr(self, field.name)[selector] for field in fields(self)))

    def between(self, start_ms: int, end_ms: int) -> "Bars":
        """Return the rows that open in [start_ms, end_ms)."""
        first, last = np.searchsorted(self.open_time, (start_ms, end_ms))
        return self.take(slice(int(first), int(last)))


def empty_bars() -> Bars:
    """Return no rows."""
    return Bars(*(np.empty(0, np.int64) for _ in fields(Bars)))


def join(parts: Sequence[Bars]) -> Bars:
    """Return consecutive parts as one."""
    if len(parts) <= 1:
        return parts[0] if parts else empty_bars()
    return Bars(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Bars)))


def aggregate(bars: Bars, interval: Interval) -> Bars:
    """Return the candles of a longer interval: first open, highest high, lowest low, last close, sums of the rest."""
    if len(bars) == 0:
        return bars
    keys = interval.opens(bars.open_time)
    first = np.concatenate(([0], np.flatnonzero(np.diff(keys)) + 1))
    last = np.append(first[1:], len(keys)) - 1
    return Bars(
        keys[first],
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
        *(np.add.reduceat(column, first) for column in (bars.volume, bars.quote, bars.trades)),
    )


def price_at(bar: Bars, fraction: float) -> int:
    """Return the price in ticks of a one-row bar when `fraction` (0..1) of its time has passed.

    Inside a bar the price runs in straight lines open, low, high, close when it rises, open, high, low, close when it falls.
    """
    open_, high, low, close = (int(column[0]) for column in (bar.open, bar.high, bar.low, bar.close))
    points = (open_, low, high, close) if close >= open_ else (open_, high, low, close)
    return round(float(np.interp(fraction * 3, (0, 1, 2, 3), points)))


def part_of(bar: Bars, fraction: float) -> Bars:
    """Return a one-row bar as it stands when `fraction` (0..1) of its time has passed: never beyond what it will become."""
    price = price_at(bar, fraction)
    turning = [int(column[0]) for column in ((bar.low, bar.high) if bar.close[0] >= bar.open[0] else (bar.high, bar.low))]
    seen = [int(bar.open[0]), price, *turning[: int(min(fraction, 0.999) * 3)]]
    volume, trades = (int(int(column[0]) * fraction) for column in (bar.volume, bar.trades))
    quote = volume * ((min(seen) + max(seen)) // 2)
    columns = (int(bar.open_time[0]), seen[0], max(seen), min(seen), price, volume, min(quote, int(bar.quote[0])), trades)
    return Bars(*(np.array([value], np.int64) for value in columns))
