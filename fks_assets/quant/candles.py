"""Candles as columns, and the rule that separates usable rows from quarantined ones."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np

from fks_assets.quant.timeframes import Timeframe

PRICE_COLUMNS = ("open", "high", "low", "close")
OHLCV_COLUMNS = (*PRICE_COLUMNS, "volume")
_NO_NUMBER = "a value is not a finite number"


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """Equal-length columns sorted by `open_time`, each time once: int64 UTC milliseconds, the rest float64."""

    open_time: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray

    def __len__(self) -> int:
        return len(self.open_time)

    def values(self, row: int) -> tuple[float, ...]:
        """Return open, high, low, close and volume of one row."""
        return tuple(float(getattr(self, name)[row]) for name in OHLCV_COLUMNS)

    def slice(self, start: int, stop: int | None = None) -> "Candles":
        """Return rows start..stop as views."""
        return Candles(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def between(self, start_ms: int, end_ms: int) -> "Candles":
        """Return the rows that open in the half-open range [start_ms, end_ms) as views."""
        first, last = np.searchsorted(self.open_time, (start_ms, end_ms))
        return self.slice(int(first), int(last))


class Fault(StrEnum):
    """What is wrong with a quarantined row. SPIKE and STUCK rows are stored and suspect; the others are not stored at all."""

    NOT_A_NUMBER = "not_a_number"
    NOT_FINITE = "not_finite"
    NOT_POSITIVE = "not_positive"
    CROSSED = "crossed"
    OFF_GRID = "off_grid"
    FUTURE = "future"
    MALFORMED = "malformed"
    SPIKE = "spike"
    STUCK = "stuck"


SUSPECT = (Fault.SPIKE, Fault.STUCK)


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that may reach no indicator, stop or balance: open time (ms), open … volume, the reason in words, and its kind."""

    open_time: int
    values: tuple[float, ...]
    reason: str
    kind: Fault


def empty_candles() -> Candles:
    """Return no candles, with the right column types."""
    return Candles(np.empty(0, np.int64), *(np.empty(0, np.float64) for _ in OHLCV_COLUMNS))


def concatenate(parts: Sequence[Candles]) -> Candles:
    """Join parts that are each sorted, in any order, into one sorted set; of equal times the last part's row stays."""
    if not parts:
        return empty_candles()
    columns = [np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Candles)]
    times = columns[0]
    if len(times) > 1 and not (np.diff(times) > 0).all():
        order = np.argsort(times, kind="stable")
        keep = np.append(np.diff(times[order]) > 0, True)
        columns = [column[order][keep] for column in columns]
    return Candles(*columns)


def separate_bad_rows(candles: Candles, timeframe: Timeframe, latest_open_ms: int) -> tuple[Candles, tuple[QuarantinedRow, ...]]:
    """Return (usable rows, quarantined rows): each row is in exactly one of the two.

    A row is quarantined when a value is NaN or infinite, a price is not above zero, the volume is negative, high is below or
    low is above another price, the open time is off the grid of `timeframe`, or it opens after `latest_open_ms`.
    """
    prices = np.stack([getattr(candles, name) for name in PRICE_COLUMNS])
    with np.errstate(invalid="ignore"):
        faults = (
            (Fault.NOT_A_NUMBER, _NO_NUMBER, np.isnan(prices).any(axis=0) | np.isnan(candles.volume)),
            (Fault.NOT_FINITE, _NO_NUMBER, np.isinf(prices).any(axis=0) | np.isinf(candles.volume)),
            (Fault.NOT_POSITIVE, "a price is not above zero", (prices <= 0).any(axis=0)),
            (Fault.NOT_POSITIVE, "the volume is negative", candles.volume < 0),
            (Fault.CROSSED, "high is below another price", candles.high < prices.max(axis=0)),
            (Fault.CROSSED, "low is above another price", candles.low > prices.min(axis=0)),
            (Fault.OFF_GRID, f"the open time is off the {timeframe} grid", candles.open_time % timeframe.milliseconds != 0),
            (Fault.FUTURE, "the open time is in the future", candles.open_time > latest_open_ms),
        )
    bad = np.logical_or.reduce([mask for _, _, mask in faults])
    if not bad.any():
        return candles, ()
    quarantined = []
    for i in np.flatnonzero(bad):
        kind, reason = next((kind, reason) for kind, reason, mask in faults if mask[i])
        quarantined.append(QuarantinedRow(int(candles.open_time[i]), candles.values(int(i)), reason, kind))
    usable = Candles(*(getattr(candles, field.name)[~bad] for field in fields(Candles)))
    return usable, tuple(quarantined)
