import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.candles import OHLCV_COLUMNS, Candles, Fault, concatenate, empty_candles, separate_bad_rows
from fks_assets.quant.timeframes import TIMEFRAMES

HOUR = TIMEFRAMES["1h"]
LATEST = 1000 * HOUR.milliseconds
FINITE = st.sampled_from([-1.0, 0.0, -0.0, 1e-12, 0.5, 1.0, 1.0, 2.0, 2.0, 3.0, 1e300])
VALUE = st.one_of(FINITE, FINITE, st.floats())
OPEN_TIME = st.one_of(
    st.integers(990, 1010).map(lambda number: number * HOUR.milliseconds), st.integers(LATEST - HOUR.milliseconds, LATEST + 5)
)
ROWS = st.lists(st.tuples(OPEN_TIME, VALUE, VALUE, VALUE, VALUE, VALUE), max_size=12, unique_by=lambda row: row[0]).map(sorted)


def candles_from(rows: list[tuple[int, float, float, float, float, float]]) -> Candles:
    columns = list(zip(*rows, strict=True)) or [()] * 6
    return Candles(np.array(columns[0], np.int64), *(np.array(column, np.float64) for column in columns[1:]))


def is_usable(row: tuple[int, float, float, float, float, float]) -> bool:
    """The rule in plain Python, one row at a time."""
    open_time, open_, high, low, close, volume = row
    if any(math.isnan(value) or math.isinf(value) for value in row[1:]):
        return False
    if min(open_, high, low, close) <= 0 or volume < 0:
        return False
    if high < max(open_, close, low) or low > min(open_, close, high):
        return False
    return open_time % HOUR.milliseconds == 0 and open_time <= LATEST


def bits(rows: list[tuple[float, ...]]) -> list[bytes]:
    return [np.array(row, np.float64).tobytes() for row in rows]


@given(ROWS)
def test_each_row_is_either_usable_or_quarantined_and_never_both(rows):
    usable, quarantined = separate_bad_rows(candles_from(rows), HOUR, LATEST)
    assert usable.open_time.tolist() == [row[0] for row in rows if is_usable(row)]
    assert [row.open_time for row in quarantined] == [row[0] for row in rows if not is_usable(row)]
    kept = list(zip(*(getattr(usable, name).tolist() for name in OHLCV_COLUMNS), strict=True))
    assert bits(kept) == bits([row[1:] for row in rows if is_usable(row)])
    assert bits([row.values for row in quarantined]) == bits([row[1:] for row in rows if not is_usable(row)])
    assert all(row.reason for row in quarantined)


@pytest.mark.parametrize(
    ("row", "reason", "kind"),
    [
        ((0, math.nan, 2, 1, 1, 1), "a value is not a finite number", Fault.NOT_A_NUMBER),
        ((0, 1, math.inf, 1, 1, 1), "a value is not a finite number", Fault.NOT_FINITE),
        ((0, 1, 2, 1, 1, math.nan), "a value is not a finite number", Fault.NOT_A_NUMBER),
        ((0, 1, 2, 0, 1, 1), "a price is not above zero", Fault.NOT_POSITIVE),
        ((0, 1, 2, -1, 1, 1), "a price is not above zero", Fault.NOT_POSITIVE),
        ((0, 1, 2, 1, 1, -1e-9), "the volume is negative", Fault.NOT_POSITIVE),
        ((0, 1, 2, 1, 3, 1), "high is below another price", Fault.CROSSED),
        ((0, 1, 2, 1.5, 2, 1), "low is above another price", Fault.CROSSED),
        ((1, 1, 2, 1, 1, 1), "the open time is off the 1h grid", Fault.OFF_GRID),
        ((LATEST + HOUR.milliseconds, 1, 2, 1, 1, 1), "the open time is in the future", Fault.FUTURE),
    ],
)
def test_a_quarantined_row_says_why(row, reason, kind):
    usable, quarantined = separate_bad_rows(candles_from([row]), HOUR, LATEST)
    assert len(usable) == 0
    assert [(each.reason, each.kind) for each in quarantined] == [(reason, kind)]


def test_flat_candles_without_volume_and_the_newest_allowed_one_are_usable():
    rows = [(0, 5.0, 5.0, 5.0, 5.0, 0.0), (LATEST, 5.0, 6.0, 4.0, 5.5, 1.0)]
    usable, quarantined = separate_bad_rows(candles_from(rows), HOUR, LATEST)
    assert (len(usable), quarantined) == (2, ())


SORTED_PART = st.lists(st.integers(0, 30), max_size=10, unique=True).map(sorted)


@given(st.lists(SORTED_PART, max_size=5))
def test_joining_parts_keeps_each_time_once_in_order_and_the_last_parts_row(parts):
    joined = concatenate(
        [candles_from([(time, 1.0, 1.0, 1.0, float(number), 0.0) for time in times]) for number, times in enumerate(parts)]
    )
    expected = {time: float(number) for number, times in enumerate(parts) for time in times}
    assert dict(zip(joined.open_time.tolist(), joined.close.tolist(), strict=True)) == expected
    assert joined.open_time.tolist() == sorted(expected)


@given(SORTED_PART, st.integers(-5, 35), st.integers(-5, 35))
def test_between_takes_the_half_open_range(times, start, end):
    candles = candles_from([(time, 1.0, 1.0, 1.0, 1.0, 0.0) for time in times])
    assert candles.between(start, end).open_time.tolist() == [time for time in times if start <= time < end]


def test_no_candles_have_the_right_types():
    nothing = empty_candles()
    assert len(nothing) == 0
    assert nothing.open_time.dtype == np.int64
    assert {getattr(nothing, name).dtype for name in OHLCV_COLUMNS} == {np.dtype(np.float64)}
