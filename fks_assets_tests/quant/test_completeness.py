"""Completeness against a naive model that asks every grid point by itself whether and why its candle is missing."""

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.completeness import (
    DAY_MS,
    EXPLAINED,
    WORST_FIRST,
    CellState,
    Series,
    completeness_document,
    count_series,
    day_row,
    percent,
)
from fks_assets.quant.gaps import GapCause, GapStatus, KnownGap
from fks_assets.quant.markets import parse_market
from fks_assets.quant.ranges import runs
from fks_assets.quant.timeframes import parse_timeframe

BTC, ETH = parse_market("BTC-USDT@binance"), parse_market("ETH-USDT@binance")
SIX_HOURS = parse_timeframe("6h")
STEP = SIX_HOURS.milliseconds
DAYS, GRID = 12, 48
MIDNIGHT = 1_767_225_600_000  # 2026-01-01T00:00Z
REASONS = {
    (GapStatus.DETECTED, None): CellState.FETCHABLE,
    (GapStatus.BACKFILLING, None): CellState.FETCHABLE,
    (GapStatus.FAILED, GapCause.FETCH_FAILED): CellState.FETCH_FAILED,
    (GapStatus.UNFILLABLE, GapCause.VENUE_DOWN): CellState.VENUE_DOWN,
    (GapStatus.UNFILLABLE, GapCause.NO_TRADES): CellState.NO_TRADES,
    (GapStatus.UNFILLABLE, GapCause.NEVER_LISTED): CellState.NEVER_LISTED,
    (GapStatus.UNFILLABLE, GapCause.BEYOND_API_LIMIT): CellState.BEYOND_API_LIMIT,
    (GapStatus.FILLED, None): None,
}


def at(slot: int) -> int:
    return MIDNIGHT + slot * STEP


def gap(first: int, last: int, status: GapStatus, cause: GapCause | None = None) -> KnownGap:
    return KnownGap(first, at(first), at(last), last - first, status, cause)


@st.composite
def judged_series(draw: st.DrawFn) -> tuple[Series, dict[int, CellState]]:
    """A series, and what the naive model says of each slot of its grid."""
    start = draw(st.integers(0, GRID))
    end = draw(st.integers(start, GRID))
    held = draw(st.sets(st.integers(0, GRID - 1)))
    cuts = sorted(draw(st.sets(st.integers(0, GRID), max_size=10)))
    kinds = draw(st.lists(st.sampled_from([*REASONS, None]), min_size=len(cuts), max_size=len(cuts)))
    gaps, reasons = [], {}
    for first, last, kind in zip(cuts, cuts[1:], kinds, strict=False):
        if kind is not None:
            gaps.append(gap(first, last, *kind))
            reasons |= dict.fromkeys(range(first, last), REASONS[kind])
    stored = runs(np.array(sorted(map(at, held)), np.int64), STEP)
    slots = {slot: CellState.COMPLETE if slot in held else reasons.get(slot) or CellState.FETCHABLE for slot in range(start, end)}
    return Series(BTC, SIX_HOURS, at(start), at(end), stored, gaps), slots


@given(judged_series(), st.integers(0, GRID))
def test_every_candle_of_the_grid_is_counted_once_and_under_its_reason(
    judged: tuple[Series, dict[int, CellState]], since: int
) -> None:
    series, slots = judged
    kept = {slot: state for slot, state in slots.items() if slot >= since}
    expected = Counter(kept.values())
    never = expected.pop(CellState.NEVER_LISTED, 0)
    counted = count_series(series, at(since))
    assert counted.stored == expected[CellState.COMPLETE]
    assert counted.expected == expected.total()
    assert counted.never_listed == never
    assert counted.missing == {state: expected[state] for state in WORST_FIRST}
    assert counted.explained == sum(expected[state] for state in EXPLAINED)
    fillable = {CellState.FETCHABLE, CellState.FETCH_FAILED}
    kinds = [("fillable" if kept.get(slot) in fillable else kept.get(slot)) for slot in range(-1, GRID + 1)]
    begun = Counter(now for before, now in pairwise(kinds) if now != before)
    assert counted.fillable_gaps == begun["fillable"]
    assert counted.unfillable_gaps == sum(begun[state] for state in WORST_FIRST if state not in fillable)


@given(judged_series())
def test_every_day_has_its_share_and_its_worst_cause(judged: tuple[Series, dict[int, CellState]]) -> None:
    series, slots = judged
    row = day_row(series, MIDNIGHT, DAYS)
    for day in range(DAYS):
        states = [slots[slot] for slot in range(4 * day, 4 * day + 4) if slot in slots]
        expected = [state for state in states if state is not CellState.NEVER_LISTED]
        assert row.expected[day] == len(expected)
        assert row.stored[day] == expected.count(CellState.COMPLETE)
        assert {state: int(row.missing[state][day]) for state in WORST_FIRST} == {
            state: expected.count(state) for state in WORST_FIRST
        }
        if expected:
            assert row.state(day) == next((state for state in WORST_FIRST if state in expected), CellState.COMPLETE)
        elif states:
            assert row.state(day) is CellState.NEVER_LISTED
        else:
            assert row.state(day) in (CellState.NOT_YET, CellState.NOT_KEPT)


def test_days_in_which_nothing_is_expected_say_why() -> None:
    series = Series(BTC, SIX_HOURS, at(8), at(12), [(at(8), at(12))], unlisted=[(0, at(4)), (at(20), at(10_000))])
    row = day_row(series, MIDNIGHT, 6)
    assert [row.state(day) for day in range(6)] == [
        CellState.NEVER_LISTED,
        CellState.NOT_KEPT,
        CellState.COMPLETE,
        CellState.NOT_YET,
        CellState.NOT_YET,
        CellState.NEVER_LISTED,
    ]


def test_the_report_has_the_shape_of_s5_5_with_assets_and_candles() -> None:
    """S5.5, X16 (a gap that cannot be filled counts as detected), X17 (assets and candles). The sums are done by hand:

    BTC 6h: 40 of 48 candles; 4 fetchable, 3 venue down in a row, 1 no trades. ETH 6h: 40 of 40, 8 never listed. BTC 1d: 10 of 12.
    """
    day = parse_timeframe("1d")
    ranges = [(at(0), at(10)), (at(14), at(20)), (at(23), at(30)), (at(31), at(48))]
    btc = Series(
        BTC,
        SIX_HOURS,
        at(0),
        at(48),
        ranges,
        [
            gap(10, 14, GapStatus.DETECTED),
            gap(20, 23, GapStatus.UNFILLABLE, GapCause.VENUE_DOWN),
            gap(30, 31, GapStatus.UNFILLABLE, GapCause.NO_TRADES),
            gap(40, 44, GapStatus.FILLED),
        ],
    )
    eth = Series(ETH, SIX_HOURS, at(0), at(48), [(at(8), at(48))], [gap(0, 8, GapStatus.UNFILLABLE, GapCause.NEVER_LISTED)])
    daily = Series(
        BTC,
        day,
        MIDNIGHT,
        MIDNIGHT + 12 * DAY_MS,
        [(MIDNIGHT + 2 * DAY_MS, MIDNIGHT + 12 * DAY_MS)],
        [KnownGap(1, MIDNIGHT, MIDNIGHT + 2 * DAY_MS, 2, GapStatus.UNFILLABLE, GapCause.BEYOND_API_LIMIT)],
    )
    document = completeness_document("TIER1", [count_series(series) for series in (btc, eth, daily)])
    none = dict.fromkeys((state.value for state in WORST_FIRST), 0)
    assert document == {
        "tier": "TIER1",
        "total_assets": 2,
        "assets_with_gaps": 1,
        "completeness_pct": 50.0,
        "candle_completeness_pct": 90.0,
        "candle_completeness_of_exchange_pct": 93.75,
        "candles_expected": 100,
        "candles_stored": 90,
        "candles_missing": none | {"fetchable": 4, "venue_down": 3, "no_trades": 1, "beyond_api_limit": 2},
        "intervals": {
            "360": {
                "fillable_gaps": 1,
                "unfillable_gaps": 2,
                "total_gaps": 3,
                "assets_with_gaps": 1,
                "candle_completeness_pct": 90.9,
                "candle_completeness_of_exchange_pct": 95.23,
                "candles_expected": 88,
                "candles_stored": 80,
                "candles_missing": none | {"fetchable": 4, "venue_down": 3, "no_trades": 1},
            },
            "1440": {
                "fillable_gaps": 0,
                "unfillable_gaps": 1,
                "total_gaps": 1,
                "assets_with_gaps": 1,
                "candle_completeness_pct": 83.33,
                "candle_completeness_of_exchange_pct": 83.33,
                "candles_expected": 12,
                "candles_stored": 10,
                "candles_missing": none | {"beyond_api_limit": 2},
            },
        },
    }


def test_repaired_gaps_do_not_count_against_completeness() -> None:
    """F18."""
    series = Series(BTC, SIX_HOURS, at(0), at(4), [(at(0), at(4))], [gap(1, 3, GapStatus.FILLED), gap(1, 2, GapStatus.DETECTED)])
    counted = count_series(series)
    assert (counted.total_gaps, counted.stored_pct, counted.of_exchange_pct) == (0, 100.0, 100.0)


def test_one_missing_candle_of_millions_is_never_shown_as_all() -> None:
    assert percent(9_999_999, 10_000_000) == 99.99
    assert percent(10, 10) == 100.0
    assert percent(0, 0) is None
    assert percent(0, 7) == 0.0
