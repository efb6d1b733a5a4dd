"""Holes and gap records, against naive models that look at every grid point by itself."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.gaps import (
    GapCause,
    GapStatus,
    Hole,
    KnownGap,
    SeriesFacts,
    adaptive_interval_ms,
    backoff_ms,
    judge_holes,
    reconcile,
    shared_outages,
)
from fks_assets.quant.ranges import Range, clipped, complement, holes_between, joined, runs, without
from fks_assets.quant.timeframes import parse_timeframe

HOUR = parse_timeframe("1h")
STEP = HOUR.milliseconds
GRID = 30

slots = st.sets(st.integers(0, GRID - 1))


def times_of(chosen: set[int]) -> np.ndarray:
    return np.array(sorted(slot * STEP for slot in chosen), np.int64)


def ranges_of(chosen: set[int]) -> list[Range]:
    return runs(times_of(chosen), STEP)


def points(ranges) -> set[int]:
    return {time // STEP for start, end in ranges for time in range(start, end, STEP)}


@given(chosen=slots)
def test_runs_and_holes_are_the_grid_points_that_are_there_and_that_are_not(chosen: set[int]) -> None:
    assert points(ranges_of(chosen)) == chosen
    inner = set(range(min(chosen), max(chosen))) - chosen if chosen else set()
    assert points(holes_between(times_of(chosen), STEP)) == inner


@given(first=slots, second=slots, start=st.integers(0, GRID), length=st.integers(0, GRID))
def test_ranges_behave_like_sets_of_grid_points(first: set[int], second: set[int], start: int, length: int) -> None:
    window = set(range(start, start + length))
    ours, theirs = ranges_of(first), ranges_of(second)
    assert points(complement(start * STEP, (start + length) * STEP, ours)) == window - first
    assert points(clipped(ours, start * STEP, (start + length) * STEP)) == first & window
    assert points(without(ours, theirs)) == first - second
    assert points(joined([*ours, *theirs])) == first | second
    assert joined(ours) == ours


@given(
    stored=slots, confirmed=slots, outage=slots, start=st.integers(0, 9), length=st.integers(0, 25), reach=st.integers(0, GRID)
)
def test_every_missing_candle_is_found_once_and_has_the_cause_that_a_look_at_it_alone_gives(
    stored: set[int], confirmed: set[int], outage: set[int], start: int, length: int, reach: int
) -> None:
    """S5.8, C1, C3, F18: head, middle and tail of the whole expected grid."""
    expected = range(start, start + length)
    facts = SeriesFacts(
        HOUR,
        start * STEP,
        (start + length) * STEP,
        ranges_of(stored),
        ranges_of(confirmed - stored),
        ranges_of(outage),
        reach * STEP,
    )
    first = min(stored, default=start + length)

    def cause(slot: int) -> GapCause | None:
        if slot in outage and slot >= first:
            return GapCause.VENUE_DOWN
        if slot in confirmed:
            return GapCause.NEVER_LISTED if slot < first else GapCause.NO_TRADES
        return GapCause.BEYOND_API_LIMIT if slot < reach else None

    found = [(slot, hole.cause) for hole in judge_holes(facts) for slot in points([(hole.start_ms, hole.end_ms)])]
    assert sorted(found, key=lambda each: each[0]) == [(slot, cause(slot)) for slot in expected if slot not in stored]


def test_the_whole_grid_is_looked_at_and_not_only_its_tail() -> None:
    """C3, F18: holes at the head, in the middle and at the tail are all found."""
    stored = set(range(3, 10)) | set(range(12, 20))
    holes = judge_holes(SeriesFacts(HOUR, 0, 24 * STEP, ranges_of(stored)))
    assert [(hole.start_ms // STEP, hole.end_ms // STEP) for hole in holes] == [(0, 3), (10, 12), (20, 24)]


def test_a_stretch_in_which_no_listed_market_traded_is_an_outage() -> None:
    stored = [
        ranges_of(set(range(30)) - {10, 11}),
        ranges_of(set(range(30)) - {10, 11, 20}),
        ranges_of(set(range(5, 30)) - {10, 11}),
    ]
    unlisted = ranges_of({28, 29})
    confirmed = [complement(0, 30 * STEP, held) for held in stored]
    assert shared_outages(confirmed, stored, HOUR) == [(10 * STEP, 12 * STEP)]
    assert shared_outages([*confirmed, []], [*stored, unlisted], HOUR) == [(10 * STEP, 12 * STEP)]
    assert shared_outages(confirmed[:2], stored[:2], HOUR) == []


def test_an_outage_at_every_market_but_one_is_none() -> None:
    whole = ranges_of(set(range(30)))
    holed = ranges_of(set(range(30)) - {10, 11})
    stored = [holed, holed, holed, whole]
    confirmed = [complement(0, 30 * STEP, held) for held in stored]
    assert shared_outages(confirmed, stored, HOUR) == []


@given(before=slots, after=slots, failed=st.booleans())
def test_records_follow_the_holes_and_are_filled_only_when_every_candle_is_there(
    before: set[int], after: set[int], failed: bool
) -> None:
    """F18: one record for each hole, updated; FILLED never for a candle that is not there."""
    window = (0, GRID * STEP)
    known, _ = reconcile([], judge_holes(SeriesFacts(HOUR, *window, ranges_of(before))), ranges_of(before), STEP)
    status = GapStatus.FAILED if failed else GapStatus.DETECTED
    known = [replace(gap, id=place, status=status) for place, gap in enumerate(known)]
    holes = judge_holes(SeriesFacts(HOUR, *window, ranges_of(after)))
    result, absorbed = reconcile(known, holes, ranges_of(after), STEP)

    still_open = [gap for gap in result if gap.status is not GapStatus.FILLED]
    assert sorted((gap.start_ms, gap.end_ms) for gap in still_open) == [(hole.start_ms, hole.end_ms) for hole in holes]
    filled = [gap for gap in result if gap.status is GapStatus.FILLED]
    assert all(points([(gap.start_ms, gap.end_ms)]) <= after for gap in filled)
    assert {gap.id for gap in result if gap.id is not None} | {gap.id for gap in absorbed} == {gap.id for gap in known}
    assert sum(gap.filled_candles for gap in result) <= len(after)
    if before <= after:
        assert not absorbed
        assert sum(gap.filled_candles for gap in result) == len(after - before)
    assert all(gap.status is status for gap in still_open if gap.id is not None)
    again, gone = reconcile([replace(gap, id=place) for place, gap in enumerate(still_open)], holes, ranges_of(after), STEP)
    assert not gone and [(gap.start_ms, gap.end_ms, gap.status) for gap in again] == [
        (gap.start_ms, gap.end_ms, gap.status) for gap in still_open
    ]


def test_a_hole_that_the_exchange_confirms_becomes_unfillable_and_a_widening_wall_absorbs_the_rest() -> None:
    gaps = [
        KnownGap(1, 0, 3 * STEP, 3, GapStatus.UNFILLABLE, GapCause.BEYOND_API_LIMIT),
        KnownGap(2, 3 * STEP, 8 * STEP, 5, GapStatus.DETECTED),
    ]
    result, absorbed = reconcile(gaps, [Hole(0, 8 * STEP, GapCause.BEYOND_API_LIMIT)], [], STEP)
    assert [(gap.id, gap.missing_candles, gap.status) for gap in result] == [(1, 8, GapStatus.UNFILLABLE)]
    assert [gap.id for gap in absorbed] == [2]


def test_an_outage_that_was_known_is_not_taken_for_silence_when_one_market_is_judged_alone() -> None:
    known = [KnownGap(1, 0, STEP, 1, GapStatus.UNFILLABLE, GapCause.VENUE_DOWN)]
    result, _ = reconcile(known, [Hole(0, STEP, GapCause.NO_TRADES)], [], STEP)
    assert result[0].cause is GapCause.VENUE_DOWN


def test_a_stretch_outside_the_expected_grid_keeps_its_record() -> None:
    known = [KnownGap(1, 0, 2 * STEP, 2, GapStatus.UNFILLABLE, GapCause.NO_TRADES)]
    assert reconcile(known, [], [], STEP) == (known, [])


@pytest.mark.parametrize(("attempts", "minutes"), [(1, 5), (2, 10), (3, 20), (4, 40), (9, 1280), (10, 1440), (500, 1440)])
def test_the_pause_after_failures_doubles_up_to_a_day(attempts: int, minutes: int) -> None:
    """S5.20."""
    assert backoff_ms(attempts, 5 * 60_000, 24 * 3_600_000) == minutes * 60_000


@pytest.mark.parametrize(("per_day", "minutes"), [(0, 60), (1, 30), (2, 15), (5, 1.875), (50, 1)])
def test_the_more_gaps_appear_the_sooner_is_the_next_look(per_day: float, minutes: float) -> None:
    """S5.17."""
    assert adaptive_interval_ms(per_day, 60_000, 3_600_000) == minutes * 60_000
