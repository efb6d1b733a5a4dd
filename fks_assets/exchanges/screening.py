"""Separate an answer's rows into candles inside the asked window and rows that may not be used."""

from dataclasses import dataclass

import numpy as np

from fks_assets.exchanges.rows import RawRows
from fks_assets.quant.candles import Candles, Fault, QuarantinedRow, separate_bad_rows
from fks_assets.quant.timeframes import TIMEFRAMES, Timeframe

_DAY_MS = TIMEFRAMES["1d"].milliseconds
_LENGTHS = (*(timeframe.milliseconds for timeframe in TIMEFRAMES.values()), 1000, 3 * _DAY_MS, 7 * _DAY_MS)

# Rows of a thin market all lie on the grid of a timeframe twice as long by chance in one of a million answers.
_TELLING_ROWS = 20


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked: candles that open in [start_ms, end_ms).

    Those from `open_from_ms` on are not closed; a row that opens after `latest_ms` is in the future. `asked_only` says that the
    exchange never answers more than it was asked for.
    """

    start_ms: int
    end_ms: int
    open_from_ms: int
    latest_ms: int
    asked_only: bool


def screen_rows(rows: RawRows, timeframe: Timeframe, window: Window) -> tuple[Candles, tuple[QuarantinedRow, ...]]:
    """Return (candles, quarantined rows) of one answer, in whatever order its rows came.

    Unfinished candles inside the window stay, but are not reported when they are bad; others are dropped. Rows outside the window
    are dropped if the exchange is known to give more, else quarantined.
    Rows that repeat an open time count once if they agree; if not, none of them is used.
    """
    quarantined = [row for row in rows.unreadable if _concerns(row.open_time, window)]
    candles = Candles(rows.open_time, *rows.columns)
    times = candles.open_time
    expected = len(times) == 0 or (times[0] >= window.start_ms and times[-1] < window.end_ms and bool((np.diff(times) > 0).all()))
    if not expected:
        candles, disagreeing = _without_repeats(_take(candles, _relevant(times, window)))
        quarantined += disagreeing
    usable, bad = separate_bad_rows(candles, timeframe, window.latest_ms)
    quarantined += bad
    if not expected:
        usable, outside = _cut(usable, window)
        quarantined += outside
    reported = [row for row in quarantined if row.open_time < window.open_from_ms or row.open_time > window.latest_ms]
    return usable, tuple(sorted(reported, key=lambda row: row.open_time))


def timeframe_fault(rows: RawRows, timeframe: Timeframe) -> str | None:
    """Return what shows that the rows are candles of another timeframe, None when nothing does.

    An API that states each candle's length is taken at its word, unless the length is none of a timeframe (candles cut short by
    an outage). One that does not and leaves no candle out must give rows that follow each other closely. Of one that leaves out
    candles without trades, rows that are too close are others, and many rows of which not one is off a longer timeframe's grid.
    """
    if rows.spans is not None:
        lengths, counts = np.unique(rows.spans, return_counts=True)
        others = (lengths != timeframe.milliseconds) & np.isin(lengths, _LENGTHS) & (counts > len(rows.spans) / 2)
        found = int(lengths[others][0]) if others.any() else None
    elif rows.may_omit:
        found = _shared_step(np.unique(rows.open_time), timeframe)
    else:
        steps = np.diff(np.unique(rows.open_time))
        middle = int(np.median(steps)) if len(steps) > 2 else timeframe.milliseconds
        found = middle if middle != timeframe.milliseconds else None
    return None if found is None else f"candles of {found // 1000} s where {timeframe} candles were asked for"


def _shared_step(times: np.ndarray, timeframe: Timeframe) -> int | None:
    """Return the step of rows that cannot be candles of the timeframe some of which are left out, None when they can."""
    steps = np.diff(times)
    if len(steps) and int(steps.min()) < timeframe.milliseconds:
        return int(steps.min())
    longer = (length for length in sorted(_LENGTHS) if length > timeframe.milliseconds and length % timeframe.milliseconds == 0)
    return next((length for length in longer if len(steps) >= _TELLING_ROWS and not (steps % length).any()), None)


def _concerns(time: int, window: Window) -> bool:
    return (
        window.start_ms <= time < window.end_ms or time > window.latest_ms or (window.asked_only and time < window.open_from_ms)
    )


def _relevant(times: np.ndarray, window: Window) -> np.ndarray:
    asked = (times >= window.start_ms) & (times < window.end_ms)
    unexpected = times > window.latest_ms
    if window.asked_only:
        unexpected |= times < window.open_from_ms
    return asked | unexpected


def _take(candles: Candles, which: np.ndarray) -> Candles:
    columns = (candles.open_time, candles.open, candles.high, candles.low, candles.close, candles.volume)
    return Candles(*(column[which] for column in columns))


def _without_repeats(candles: Candles) -> tuple[Candles, list[QuarantinedRow]]:
    candles = _take(candles, np.argsort(candles.open_time, kind="stable"))
    times = candles.open_time
    repeats = times[1:] == times[:-1]
    if not repeats.any():
        return candles, []
    same = repeats.copy()
    for column in (candles.open, candles.high, candles.low, candles.close, candles.volume):
        same &= column[1:] == column[:-1]
    disputed = np.isin(times, times[1:][repeats & ~same])
    refused = _take(candles, disputed)
    keep = ~disputed & np.append(True, ~repeats)
    return _take(candles, keep), _quarantine(refused, "the answer holds several rows of this open time that disagree")


def _cut(candles: Candles, window: Window) -> tuple[Candles, list[QuarantinedRow]]:
    times = candles.open_time
    inside = (times >= window.start_ms) & (times < window.end_ms)
    outside = _take(candles, ~inside & (times < window.open_from_ms))
    return _take(candles, inside), _quarantine(outside, "the open time is outside the window that was asked for")


def _quarantine(candles: Candles, reason: str) -> list[QuarantinedRow]:
    return [QuarantinedRow(int(time), candles.values(row), reason, Fault.MALFORMED) for row, time in enumerate(candles.open_time)]
