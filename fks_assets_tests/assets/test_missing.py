"""Planning of what to fetch, against a naive model that looks at every grid point by itself."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.assets.market_data.missing import Asked, holes_after, missing_ranges
from fks_assets.quant.markets import parse_market
from fks_assets.quant.ranges import holes_between
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.stores.candle_tables import times_to_arrow
from fks_assets.stores.candles import PartitionHead, PartitionId

HOUR = parse_timeframe("1h")
STEP = HOUR.milliseconds
PARTITION = PartitionId("ohlcv", parse_market("BTC-USDT@binance"), "1h", "1970-01")
GRID = 40


class HeldTimes:
    """A store that holds nothing but open times."""

    def __init__(self, times: list[int]) -> None:
        self.times = times

    def read_heads(self, _: object) -> pa.Table:
        return pa.table({"open_time": times_to_arrow(np.array(self.times, np.int64))})


def head_of(times: list[int], holes: list[tuple[int, int]], *, noted: bool = True) -> PartitionHead | None:
    if not times and not holes:
        return None
    return PartitionHead(
        partition=PARTITION,
        content_hash="",
        row_count=len(times),
        first_open=min(times, default=None),
        last_open=max(times, default=None),
        revision_count=0,
        known_at_ms=None,
        confirmed_holes=tuple(holes),
        object_name=None,
        holes=holes_between(np.array(times, np.int64), STEP) if noted else None,
    )


def points(ranges: list[tuple[int, int]]) -> set[int]:
    return {time for start, end in ranges for time in range(start, end, STEP)}


slots = st.sets(st.integers(0, GRID - 1)).map(lambda chosen: sorted(slot * STEP for slot in chosen))


@given(times=slots, confirmed=slots, skip=st.booleans(), noted=st.booleans())
def test_what_is_missing_is_the_grid_less_what_is_stored_and_confirmed_absent(times, confirmed, skip, noted) -> None:
    holes = [(time, time + STEP) for time in confirmed if time not in times]
    ranges = missing_ranges(
        HeldTimes(times), head_of(times, holes, noted=noted), HOUR, 0, GRID * STEP, skip_confirmed=skip, overlap=0
    )
    expected = set(range(0, GRID * STEP, STEP)) - set(times) - (points(holes) if skip else set())
    assert points(ranges) == expected
    assert ranges == sorted(ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))


def test_the_newest_stored_candles_are_asked_for_again_with_an_open_tail() -> None:
    times = [slot * STEP for slot in range(10)]
    ranges = missing_ranges(HeldTimes(times), head_of(times, []), HOUR, 0, GRID * STEP, skip_confirmed=True, overlap=3)
    assert ranges == [(7 * STEP, GRID * STEP)]


def test_nothing_is_asked_again_when_the_month_is_complete() -> None:
    times = [slot * STEP for slot in range(GRID)]
    assert missing_ranges(HeldTimes(times), head_of(times, []), HOUR, 0, GRID * STEP, skip_confirmed=True, overlap=3) == []


@given(known=slots, asked=st.lists(st.tuples(st.integers(0, GRID - 1), st.integers(1, 15)), max_size=3), present=slots)
def test_confirmed_holes_are_what_the_newest_answers_left_out_and_older_ones_elsewhere(known, asked, present) -> None:
    old = [(time, time + STEP) for time in known]
    stretches = [(start * STEP, min(GRID, start + length) * STEP) for start, length in asked]
    parts = [Asked(start, end, tuple(time for time in present if start <= time < end)) for start, end in stretches]
    covered = {time for start, end in stretches for time in range(start, end, STEP)}
    holes = holes_after(old, parts, HOUR)
    assert points(holes) == (set(known) - covered) | (covered - set(present))
    assert all(a[1] < b[0] for a, b in pairwise(holes))


@pytest.mark.parametrize("start", [0, 1, STEP - 1])
def test_a_window_off_the_grid_begins_at_the_next_grid_point(start: int) -> None:
    ranges = missing_ranges(HeldTimes([]), None, HOUR, start, 3 * STEP, skip_confirmed=True, overlap=0)
    assert ranges == [(HOUR.ceil(start), 3 * STEP)]
