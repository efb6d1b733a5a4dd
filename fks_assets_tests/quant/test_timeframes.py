import calendar
import itertools
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import (
    TIMEFRAMES,
    Timeframe,
    first_open_candle,
    month_of,
    month_window,
    months_between,
    parse_timeframe,
)

DAY_MS = 86_400_000
A_MOMENT = st.integers(0, 4_102_444_800_000)
A_TIMEFRAME = st.sampled_from(list(TIMEFRAMES.values()))


def ms(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1000


@given(A_TIMEFRAME, A_MOMENT, st.integers(0, 120_000))
def test_a_candle_counts_as_closed_exactly_when_its_close_time_is_at_or_before_the_exchange_time_less_grace(
    timeframe, now, grace
):
    boundary = first_open_candle(now, timeframe, grace)
    for open_time in range(boundary - 3 * timeframe.milliseconds, boundary + 3 * timeframe.milliseconds, timeframe.milliseconds):
        assert (open_time < boundary) == (open_time + timeframe.milliseconds <= now - grace)


@given(A_TIMEFRAME, st.integers(1, 40_000), st.integers(0, 120_000))
def test_a_candle_closes_at_the_very_millisecond_and_not_one_before(timeframe, number, grace):
    open_time = number * timeframe.milliseconds
    close_time = open_time + timeframe.milliseconds
    assert first_open_candle(close_time + grace - 1, timeframe, grace) == open_time
    assert first_open_candle(close_time + grace, timeframe, grace) == close_time
    assert first_open_candle(close_time + grace + 1, timeframe, grace) == close_time


@given(A_TIMEFRAME, A_MOMENT)
def test_floor_and_ceil_are_the_grid_points_around_a_moment(timeframe, moment):
    floor, ceil = timeframe.floor(moment), timeframe.ceil(moment)
    assert floor % timeframe.milliseconds == ceil % timeframe.milliseconds == 0
    assert floor <= moment <= ceil
    assert ceil - floor == (0 if moment % timeframe.milliseconds == 0 else timeframe.milliseconds)


@pytest.mark.parametrize("timeframe", TIMEFRAMES.values(), ids=str)
def test_every_timeframe_divides_a_day_so_that_months_hold_whole_candles(timeframe: Timeframe):
    assert DAY_MS % timeframe.milliseconds == 0
    assert timeframe.seconds * 1000 == timeframe.milliseconds
    assert timeframe.floor(ms(2024, 2, 1)) == ms(2024, 2, 1)


def test_timeframes_are_what_their_names_say():
    units = {"m": 60_000, "h": 3_600_000, "d": DAY_MS}
    assert {name: frame.milliseconds for name, frame in TIMEFRAMES.items()} == {
        name: int(name[:-1]) * units[name[-1]] for name in TIMEFRAMES
    }


@pytest.mark.parametrize("name", ["7m", "1M", "1H", "", "1h ", "60", "1w"])
def test_an_unknown_timeframe_is_refused_with_the_list_of_known_ones(name):
    with pytest.raises(InvalidInput, match=r"is unknown; known: 1m, 3m, 5m"):
        parse_timeframe(name)


@given(st.integers(1970, 2998), st.integers(1, 12))
def test_a_month_is_as_long_as_the_calendar_says(year, month):
    start, end = month_window(f"{year:04}-{month:02}")
    assert start == ms(year, month, 1)
    assert end - start == calendar.monthrange(year, month)[1] * DAY_MS


def test_february_is_a_day_longer_in_leap_years_only():
    days = {
        year: (lambda window: (window[1] - window[0]) // DAY_MS)(month_window(f"{year}-02"))
        for year in (1900 + 100, 2023, 2024, 2100)
    }
    assert days == {2000: 29, 2023: 28, 2024: 29, 2100: 28}


@given(A_MOMENT)
def test_every_moment_lies_in_the_window_of_its_own_month(moment):
    start, end = month_window(month_of(moment))
    assert start <= moment < end


def test_the_last_millisecond_of_a_year_belongs_to_december():
    assert month_of(ms(2026, 1, 1) - 1) == "2025-12"
    assert month_of(ms(2026, 1, 1)) == "2026-01"


@given(A_MOMENT, st.integers(0, 400 * DAY_MS))
def test_months_between_cover_the_range_without_hole_or_overlap(start, length):
    months = months_between(start, start + length)
    if length == 0:
        assert months == []
        return
    windows = [month_window(month) for month in months]
    assert windows[0][0] <= start < windows[0][1]
    assert windows[-1][0] < start + length <= windows[-1][1]
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(windows))


def test_a_range_that_ends_at_midnight_of_the_first_does_not_touch_the_next_month():
    assert months_between(ms(2025, 11, 30), ms(2026, 1, 1)) == ["2025-11", "2025-12"]
    assert months_between(ms(2025, 11, 30), ms(2026, 1, 1) + 1) == ["2025-11", "2025-12", "2026-01"]


@pytest.mark.parametrize(
    "month",
    [
        "2026-13",
        "2026-00",
        "2026-1",
        "26-01",
        "2026-01-01",
        "",
        "2026/01",
        "0000-01",
        "9999-12",
        "1969-12",
        "2026-01\n",
        "٢٠٢٦-01",
    ],
)
def test_a_malformed_month_is_refused(month):
    with pytest.raises(InvalidInput, match="is not of the form YYYY-MM"):
        month_window(month)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tehran", "Australia/Lord_Howe"])
def test_the_clock_changes_of_the_machine_move_no_candle_and_no_month(zone, monkeypatch):
    moments = [ms(2021, 3, 14, 6, 59), ms(2021, 3, 14, 7), ms(2021, 11, 7, 5, 30), ms(2021, 3, 21, 20, 30), ms(2021, 4, 3, 15)]

    def seen() -> list[object]:
        return [
            (month_of(each), month_window(month_of(each)), first_open_candle(each, TIMEFRAMES["1d"], 2000)) for each in moments
        ]

    expected = seen()
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert seen() == expected
    finally:
        monkeypatch.undo()
        time.tzset()
