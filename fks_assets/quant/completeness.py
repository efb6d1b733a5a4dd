"""How complete stored candles are: shares and counts of a series, and what each of its days lacks and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from fks_assets.quant.gaps import GapCause, GapStatus, KnownGap
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range, clipped, complement, joined
from fks_assets.quant.timeframes import Timeframe

DAY_MS = 86_400_000


class CellState(StrEnum):
    """What there is to say of a stretch of a series: complete, why candles are missing, or why none is expected.

    FETCHABLE: the exchange can be asked. NOT_YET: not closed. NOT_KEPT: older than the history that the desk keeps.
    """

    COMPLETE = "complete"
    FETCHABLE = "fetchable"
    FETCH_FAILED = "fetch_failed"
    BEYOND_API_LIMIT = "beyond_api_limit"
    VENUE_DOWN = "venue_down"
    NO_TRADES = "no_trades"
    NEVER_LISTED = "never_listed"
    NOT_YET = "not_yet"
    NOT_KEPT = "not_kept"


WORST_FIRST = (
    CellState.FETCH_FAILED,
    CellState.FETCHABLE,
    CellState.BEYOND_API_LIMIT,
    CellState.VENUE_DOWN,
    CellState.NO_TRADES,
)
EXPLAINED = (CellState.VENUE_DOWN, CellState.NO_TRADES)
_FILLABLE = (CellState.FETCHABLE, CellState.FETCH_FAILED)
_STATES = tuple(CellState)


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of one market and timeframe. Ranges are half-open, in UTC milliseconds.

    `start_ms`, `end_ms`: the grid on which candles are expected. `stored`: what is there, sorted. `gaps`: what the ledger says
    of the holes; FILLED ones count for nothing. `unlisted`: when the market did not trade yet or no more.
    """

    market: Market
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    stored: Sequence[Range]
    gaps: Sequence[KnownGap] = ()
    unlisted: Sequence[Range] = ()


@dataclass(frozen=True, slots=True)
class SeriesCompleteness:
    """The candles of one series, counted. `missing` says how many for which reason; `never_listed` ones are not expected."""

    market: Market
    timeframe: Timeframe
    expected: int
    stored: int
    never_listed: int
    missing: Mapping[CellState, int]
    fillable_gaps: int
    unfillable_gaps: int

    @property
    def total_gaps(self) -> int:
        return self.fillable_gaps + self.unfillable_gaps

    @property
    def explained(self) -> int:
        """Candles that the exchange itself does not have."""
        return sum(self.missing[state] for state in EXPLAINED)

    @property
    def stored_pct(self) -> float | None:
        return percent(self.stored, self.expected)

    @property
    def of_exchange_pct(self) -> float | None:
        return percent(self.stored, self.expected - self.explained)


@dataclass(frozen=True, slots=True)
class DayRow:
    """One series by UTC day: arrays of equal length, candles but for `states`, which numbers the members of CellState."""

    market: Market
    expected: np.ndarray
    stored: np.ndarray
    missing: Mapping[CellState, np.ndarray]
    states: np.ndarray

    def state(self, day: int) -> CellState:
        return _STATES[self.states[day]]


def percent(part: int, whole: int) -> float | None:
    """Return per cent to two digits, rounded down so that 100 means all; None of nothing."""
    return part * 10_000 // whole / 100 if whole > 0 else None


def count_series(series: Series, since_ms: int = 0) -> SeriesCompleteness:
    """Return the counts of a series from a time on. Touching holes of one kind are one gap, as in the ledger."""
    step = series.timeframe.milliseconds
    pieces = _pieces(series, since_ms)
    candles = {state: sum(end - start for start, end in ranges) // step for state, ranges in pieces.items()}
    missing = {state: candles[state] for state in WORST_FIRST}
    return SeriesCompleteness(
        series.market,
        series.timeframe,
        expected=candles[CellState.COMPLETE] + sum(missing.values()),
        stored=candles[CellState.COMPLETE],
        never_listed=candles[CellState.NEVER_LISTED],
        missing=missing,
        fillable_gaps=len(joined(piece for state in _FILLABLE for piece in pieces[state])),
        unfillable_gaps=sum(len(pieces[state]) for state in WORST_FIRST if state not in _FILLABLE),
    )


def day_row(series: Series, first_day_ms: int, days: int) -> DayRow:
    """Return `days` UTC days of a series from a midnight on: what each should hold, holds, lacks, and its worst cause."""
    edges = first_day_ms + DAY_MS * np.arange(days + 1, dtype=np.int64)
    step = series.timeframe.milliseconds
    counts = {state: _per_day(ranges, edges) // step for state, ranges in _pieces(series, 0).items()}
    missing = {state: counts[state] for state in WORST_FIRST}
    stored = counts[CellState.COMPLETE]
    expected = stored + sum(missing.values())
    unlisted = (counts[CellState.NEVER_LISTED] > 0) | (_per_day(joined(series.unlisted), edges) > 0)
    idle = np.select(
        [unlisted, edges[:-1] >= series.start_ms],
        [_STATES.index(CellState.NEVER_LISTED), _STATES.index(CellState.NOT_YET)],
        _STATES.index(CellState.NOT_KEPT),
    )
    states = np.where(expected > 0, _STATES.index(CellState.COMPLETE), idle)
    for state in reversed(WORST_FIRST):
        states[missing[state] > 0] = _STATES.index(state)
    return DayRow(series.market, expected, stored, missing, states)


def completeness_document(tier: str, counted: Sequence[SeriesCompleteness]) -> dict[str, Any]:
    """Return the report on the series of a tier: assets, gaps and candles, in all and by interval in minutes.

    `completeness_pct` counts assets (markets) without a gap, the `candle_…` ones candles; None where there is nothing to count.
    A gap counts once detected, whether or not the exchange can still fill it.
    """
    assets = {each.market for each in counted}
    timeframes = sorted({each.timeframe for each in counted}, key=lambda timeframe: timeframe.milliseconds)
    with_gaps = {each.market for each in counted if each.total_gaps}
    return {
        "tier": tier,
        "total_assets": len(assets),
        "assets_with_gaps": len(with_gaps),
        "completeness_pct": percent(len(assets) - len(with_gaps), len(assets)),
        **_candles(counted),
        "intervals": {
            str(timeframe.seconds // 60): _interval([each for each in counted if each.timeframe == timeframe])
            for timeframe in timeframes
        },
    }


def _interval(counted: Sequence[SeriesCompleteness]) -> dict[str, Any]:
    return {
        "fillable_gaps": sum(each.fillable_gaps for each in counted),
        "unfillable_gaps": sum(each.unfillable_gaps for each in counted),
        "total_gaps": sum(each.total_gaps for each in counted),
        "assets_with_gaps": sum(each.total_gaps > 0 for each in counted),
        **_candles(counted),
    }


def _candles(counted: Sequence[SeriesCompleteness]) -> dict[str, Any]:
    expected, stored = sum(each.expected for each in counted), sum(each.stored for each in counted)
    return {
        "candle_completeness_pct": percent(stored, expected),
        "candle_completeness_of_exchange_pct": percent(stored, expected - sum(each.explained for each in counted)),
        "candles_expected": expected,
        "candles_stored": stored,
        "candles_missing": {state.value: sum(each.missing[state] for each in counted) for state in WORST_FIRST},
    }


def _pieces(series: Series, since_ms: int) -> dict[CellState, list[Range]]:
    """Return the expected grid taken apart: what is stored, what was never listed, and the rest by its reason."""
    timeframe = series.timeframe
    start = timeframe.ceil(max(series.start_ms, since_ms))
    end = max(start, timeframe.floor(series.end_ms))
    stored = clipped(series.stored, start, end)
    pieces = {CellState.COMPLETE: stored}
    known: dict[CellState, list[Range]] = {}
    for gap in series.gaps:
        if gap.status is not GapStatus.FILLED:
            known.setdefault(_state_of(gap), []).append((timeframe.floor(gap.start_ms), timeframe.ceil(gap.end_ms)))
    left = complement(start, end, stored)
    for state in (CellState.NEVER_LISTED, *WORST_FIRST):
        if state is not CellState.FETCHABLE:
            ranges = joined(known.get(state, ()))
            pieces[state] = _shared(left, ranges)
            left = _shared(left, complement(start, end, ranges))
    pieces[CellState.FETCHABLE] = left
    return pieces


def _state_of(gap: KnownGap) -> CellState:
    if gap.status is GapStatus.FAILED or gap.cause is GapCause.FETCH_FAILED:
        return CellState.FETCH_FAILED
    return CellState.FETCHABLE if gap.cause is None else CellState(gap.cause.value)


def _shared(first: Sequence[Range], second: Sequence[Range]) -> list[Range]:
    """Return what two lists of sorted ranges have in common, in one pass."""
    result: list[Range] = []
    left = right = 0
    while left < len(first) and right < len(second):
        start, end = max(first[left][0], second[right][0]), min(first[left][1], second[right][1])
        if start < end:
            result.append((start, end))
        if first[left][1] < second[right][1]:
            left += 1
        else:
            right += 1
    return result


def _per_day(ranges: Iterable[Range], edges: np.ndarray) -> np.ndarray:
    """Return how many milliseconds of sorted ranges lie between neighbouring edges."""
    bounds = np.array(list(ranges), np.int64).reshape(-1, 2)
    starts, ends = bounds[:, 0], bounds[:, 1]
    before = np.concatenate(([0], np.cumsum(ends - starts)))
    begun = np.searchsorted(starts, edges, side="right")
    last = np.maximum(begun - 1, 0)
    ahead = np.where(begun > 0, np.maximum(ends[last] - edges, 0), 0) if len(ends) else 0
    return np.diff(before[begun] - ahead)
