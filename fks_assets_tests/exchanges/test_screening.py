import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fks_assets.exchanges.rows import BINANCE_LAYOUT, KRAKEN_LAYOUT, RawRows, exact_rows
from fks_assets.exchanges.screening import Window, screen_rows, timeframe_fault
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.exchanges.exchange_script import START_MS, binance_row, candle_texts, kraken_row

M1, H1 = parse_timeframe("1m"), parse_timeframe("1h")
STEP = H1.milliseconds
END = START_MS + 10 * STEP
ASKED = Window(START_MS, END, END, END + STEP, asked_only=True)
GENEROUS = Window(START_MS, END, END, END + STEP, asked_only=False)


def rows_at(times: list[int], **changes: object) -> RawRows:
    decoded = [binance_row(time, STEP) for time in times]
    for place, value in changes.items():
        row, cell = place.removeprefix("r").split("c")
        decoded[int(row)][int(cell)] = value
    return exact_rows(decoded, BINANCE_LAYOUT)


def grid(count: int, start: int = START_MS) -> list[int]:
    return [start + i * STEP for i in range(count)]


def test_good_rows_pass_unchanged():
    rows = rows_at(grid(10))
    candles, quarantined = screen_rows(rows, H1, ASKED)
    assert quarantined == ()
    assert candles.open_time.tolist() == grid(10)
    assert candles.close.tolist() == rows.columns[3].tolist()


@settings(max_examples=50, deadline=None)
@given(st.permutations(list(range(10))), st.lists(st.integers(0, 9), max_size=5))
def test_order_and_repeats_that_agree_make_no_difference(order: list[int], repeats: list[int]):
    times = grid(10)
    candles, quarantined = screen_rows(rows_at([times[i] for i in [*order, *repeats]]), H1, ASKED)
    straight, _ = screen_rows(rows_at(times), H1, ASKED)
    assert quarantined == ()
    assert candles.open_time.tolist() == times
    assert candles.open.tobytes() == straight.open.tobytes()
    assert candles.volume.tobytes() == straight.volume.tobytes()


def test_repeats_that_disagree_are_all_quarantined_and_their_neighbours_are_not():
    times = grid(10)
    candles, quarantined = screen_rows(rows_at([*times, times[4]], r10c5="999.5"), H1, ASKED)
    assert candles.open_time.tolist() == [time for time in times if time != times[4]]
    assert [row.open_time for row in quarantined] == [times[4], times[4]]
    assert {row.values[4] for row in quarantined} == {999.5, float(binance_row(times[4], STEP)[5])}
    assert all("disagree" in row.reason for row in quarantined)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"r3c1": "NaN"}, "a value is not a finite number"),
        ({"r3c2": "inf"}, "a value is not a finite number"),
        ({"r3c5": "1e400"}, "a value is not a finite number"),
        ({"r3c4": "0.0"}, "a price is not above zero"),
        ({"r3c3": "-1.5"}, "a price is not above zero"),
        ({"r3c5": "-0.5"}, "the volume is negative"),
        ({"r3c2": "1.0"}, "high is below another price"),
        (
            {"r3c3": candle_texts(START_MS + 3 * STEP)[3], "r3c4": candle_texts(START_MS + 3 * STEP)[0]},
            "low is above another price",
        ),
        ({"r3c1": None}, "open is null, not a number"),
    ],
)
def test_a_bad_row_is_quarantined_alone_with_its_reason(changes: dict, reason: str):
    times = grid(10)
    candles, quarantined = screen_rows(rows_at(times, **changes), H1, ASKED)
    (row,) = quarantined
    assert (row.open_time, row.reason) == (times[3], reason)
    assert candles.open_time.tolist() == [time for time in times if time != times[3]]


def test_a_row_off_the_grid_is_quarantined():
    _, quarantined = screen_rows(rows_at([*grid(3), START_MS + 90_000]), H1, ASKED)
    assert [(row.open_time, row.reason) for row in quarantined] == [(START_MS + 90_000, "the open time is off the 1h grid")]


def test_a_row_from_the_future_is_quarantined_whoever_sent_it():
    late = END + 5 * STEP
    for window in (ASKED, GENEROUS):
        candles, quarantined = screen_rows(rows_at([*grid(3), late]), H1, window)
        assert [(row.open_time, row.reason) for row in quarantined] == [(late, "the open time is in the future")]
        assert candles.open_time.tolist() == grid(3)


def test_unfinished_candles_are_dropped_without_a_word():
    candles, quarantined = screen_rows(rows_at([*grid(10), END, END + STEP]), H1, ASKED)
    assert candles.open_time.tolist() == grid(10)
    assert quarantined == ()


def test_rows_nobody_asked_for_are_dropped_only_where_the_exchange_is_known_to_give_more():
    early = START_MS - 2 * STEP
    candles, quarantined = screen_rows(rows_at([early, *grid(10)]), H1, GENEROUS)
    assert (candles.open_time.tolist(), quarantined) == (grid(10), ())
    candles, quarantined = screen_rows(rows_at([early, *grid(10)]), H1, ASKED)
    assert candles.open_time.tolist() == grid(10)
    assert [(row.open_time, row.reason) for row in quarantined] == [
        (early, "the open time is outside the window that was asked for")
    ]


def test_an_unreadable_row_nobody_asked_for_is_not_reported_where_the_exchange_gives_more():
    rows = rows_at([START_MS - STEP, *grid(3)], r0c1=None)
    assert screen_rows(rows, H1, GENEROUS)[1] == ()
    assert len(screen_rows(rows, H1, ASKED)[1]) == 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-3, 14), st.lists(st.floats(width=32) | st.floats(0.5, 9), min_size=5, max_size=5)),
        min_size=1,
        max_size=12,
    )
)
def test_every_row_inside_the_window_is_either_a_candle_or_quarantined(table: list[tuple[int, list[float]]]):
    times = np.array([START_MS + i * STEP for i, _ in table])
    values = np.array([row for _, row in table], np.float64)
    candles, quarantined = screen_rows(RawRows(times, tuple(values.T)), H1, GENEROUS)
    inside = {time for time in times.tolist() if START_MS <= time < END}
    used = candles.open_time.tolist()
    refused = {row.open_time for row in quarantined if row.open_time < END}
    assert used == sorted(set(used))
    assert set(used).isdisjoint(refused)
    assert set(used) | refused == inside
    for name in ("open", "high", "low", "close"):
        assert (getattr(candles, name) > 0).all()
    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()


def test_no_rows_are_no_candles():
    candles, quarantined = screen_rows(rows_at([]), H1, ASKED)
    assert (len(candles), quarantined) == (0, ())


def test_candles_of_another_timeframe_are_recognised_by_their_stated_length():
    day = [binance_row(START_MS + i * 24 * STEP, 24 * STEP) for i in range(3)]
    assert timeframe_fault(exact_rows(day, BINANCE_LAYOUT), H1) == "candles of 86400 s where 1h candles were asked for"
    assert timeframe_fault(rows_at(grid(10)), H1) is None


def test_candles_cut_short_by_an_outage_are_no_other_timeframe():
    cut = [binance_row(time, 1_777_000) for time in grid(3)]
    assert timeframe_fault(exact_rows(cut, BINANCE_LAYOUT), H1) is None


def test_kraken_candles_of_another_timeframe_are_recognised_by_their_distance():
    rows = exact_rows([kraken_row(time) for time in grid(5)], KRAKEN_LAYOUT)
    assert timeframe_fault(rows, M1) == "candles of 3600 s where 1m candles were asked for"
    assert timeframe_fault(rows, H1) is None
