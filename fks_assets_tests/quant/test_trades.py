"""Candles from trades. Expected are those of `slow_candles`, a plain loop over the trades with Decimal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.candles import OHLCV_COLUMNS, Candles, empty_candles
from fks_assets.quant.timeframes import TIMEFRAMES, parse_timeframe
from fks_assets.quant.trades import (
    CandleBuilder,
    Tolerance,
    Trades,
    candles_from_trades,
    compare_candles,
    empty_trades,
    joined_agreement,
)
from fks_assets_tests.quant.slow_candles import slow_candles

START_MS = 1_700_006_400_000  # 2023-11-15T00:00:00Z
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
M1, H1 = parse_timeframe("1m"), parse_timeframe("1h")
Told = list[tuple[int, str, str]]

prices = st.decimals("0.00000001", "99999999", places=8).map(lambda value: f"{value:.8f}")
volumes = st.decimals("0.00000001", "30000000", places=8).map(lambda value: f"{value:.8f}")
steps_ns = st.one_of(st.integers(0, 50), st.integers(0, 90 * 10**9), st.just(3_600 * 10**9))


@st.composite
def told_trades(draw: st.DrawFn) -> Told:
    steps = draw(st.lists(steps_ns, min_size=1, max_size=60))
    times = (START_MS * 10**6 + np.cumsum(steps)).tolist()
    return [(time, draw(prices), draw(volumes)) for time in times]


def as_trades(told: Told) -> Trades:
    return Trades(
        np.arange(len(told), dtype=np.int64),
        np.array([time for time, _, _ in told], np.int64),
        np.array([float(price) for _, price, _ in told]),
        np.array([float(volume) for _, _, volume in told]),
    )


def rows(candles: Candles) -> dict[int, tuple[float, ...]]:
    columns = [getattr(candles, name).tolist() for name in OHLCV_COLUMNS]
    return dict(zip(candles.open_time.tolist(), zip(*columns, strict=True), strict=True))


def expected(told: Told, step_ms: int, start_ms: int, end_ms: int) -> dict[int, tuple[float, ...]]:
    return {
        time: tuple(float(value) for value in row[:5])
        for time, row in slow_candles(told, step_ms).items()
        if start_ms <= time and time + step_ms <= end_ms
    }


@given(told_trades(), st.sampled_from(["1m", "5m", "1h", "1d"]), st.integers(-2 * HOUR, HOUR), st.integers(0, 60 * HOUR))
def test_candles_are_exactly_those_of_a_slow_loop_and_partial_intervals_at_the_ends_are_left_out(
    told: Told, name: str, offset: int, length: int
) -> None:
    timeframe, start = TIMEFRAMES[name], START_MS + offset
    trades = as_trades(told)
    complete = trades.between(start * 10**6, (start + length) * 10**6)
    found = candles_from_trades(complete, timeframe, start, start + length)
    assert rows(found) == expected(told, timeframe.milliseconds, timeframe.ceil(start), start + length)


@given(told_trades(), st.lists(st.integers(0, 60), max_size=8), st.data())
def test_it_does_not_matter_how_trades_are_cut_into_pages_nor_when_finished_candles_are_taken(
    told: Told, cuts: list[int], data: st.DataObject
) -> None:
    trades = as_trades(told)
    builder, found = CandleBuilder(M1, START_MS), {}
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(trades)], strict=True):
        page = trades.slice(first, last)
        builder.add(page)
        if len(page) and data.draw(st.booleans()):
            found |= rows(builder.take(int(page.time_ns[-1]) // 10**6))
    end = told[-1][0] // 10**6 + 2 * MINUTE
    found |= rows(builder.take(end))
    assert found == expected(told, MINUTE, START_MS, end)
    assert len(builder.take(end)) == 0


def test_many_pages_are_folded_without_a_loss() -> None:
    told = [(START_MS * 10**6 + i * 10**9, f"{100 + i % 7}.5", "0.10000001") for i in range(5000)]
    trades, builder = as_trades(told), CandleBuilder(H1, START_MS)
    for first in range(0, 5000, 2):
        builder.add(trades.slice(first, first + 2))
    found = rows(builder.take(START_MS + 2 * HOUR))
    assert found == expected(told, HOUR, START_MS, START_MS + 2 * HOUR)
    assert found[START_MS][4] == 360.000036


def test_a_trade_in_the_last_nanosecond_belongs_to_its_interval() -> None:
    edge = (START_MS + MINUTE) * 10**6
    found = candles_from_trades(as_trades([(edge - 1, "1.0", "1"), (edge, "2.0", "1")]), M1, START_MS, START_MS + 2 * MINUTE)
    assert rows(found) == {START_MS: (1.0, 1.0, 1.0, 1.0, 1.0), START_MS + MINUTE: (2.0, 2.0, 2.0, 2.0, 1.0)}


def test_intervals_without_trades_give_no_candle() -> None:
    assert len(candles_from_trades(empty_trades(), H1, START_MS, START_MS + DAY)) == 0
    apart = [(START_MS * 10**6, "1", "1"), ((START_MS + 5 * HOUR) * 10**6, "1", "1")]
    assert candles_from_trades(as_trades(apart), H1, START_MS, START_MS + DAY).open_time.tolist() == [
        START_MS,
        START_MS + 5 * HOUR,
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    bad = Trades(np.array([1]), np.array([START_MS * 10**6]), np.array([1.0]), np.array([value]))
    with pytest.raises(ValueError, match="not a finite number"):
        CandleBuilder(M1, START_MS).add(bad)


def test_trades_that_go_back_in_time_are_refused_within_a_page_and_between_pages() -> None:
    early, late = (START_MS * 10**6, "1", "1"), (START_MS * 10**6 + 1, "1", "1")
    with pytest.raises(ValueError, match="not in order of time"):
        CandleBuilder(M1, START_MS).add(as_trades([late, early]))
    builder = CandleBuilder(M1, START_MS)
    builder.add(as_trades([late]))
    with pytest.raises(ValueError, match="not in order of time"):
        builder.add(as_trades([early]))


def some_candles(count: int = 10) -> Candles:
    times = START_MS + HOUR * np.arange(count, dtype=np.int64)
    level = 100.0 + np.arange(count)
    return Candles(times, level, level + 2, level - 2, level + 1, np.full(count, 8.0))


def changed(candles: Candles, column: str, place: int, factor: float) -> Candles:
    columns = {name: getattr(candles, name).copy() for name in ("open_time", *OHLCV_COLUMNS)}
    columns[column][place] *= factor
    return Candles(**columns)


def test_equal_candles_agree() -> None:
    found = compare_candles(some_candles(), some_candles())
    assert found.holds and (found.compared, found.differing, found.first_difference_ms) == (10, 0, None)
    assert found.largest == dict.fromkeys(OHLCV_COLUMNS, 0.0)


@pytest.mark.parametrize("column", OHLCV_COLUMNS)
def test_each_column_is_held_to_its_tolerance(column: str) -> None:
    tolerance = Tolerance(price=1e-6, volume=1e-3)
    bound = tolerance.of(column)
    inside = compare_candles(changed(some_candles(), column, 4, 1 + bound / 2), some_candles(), tolerance)
    assert inside.holds and inside.largest[column] == pytest.approx(bound / 2, rel=1e-6)
    beyond = compare_candles(changed(some_candles(), column, 4, 1 - 2 * bound), some_candles(), tolerance)
    assert (beyond.compared, beyond.differing, beyond.first_difference_ms) == (10, 1, START_MS + 4 * HOUR)
    assert beyond.largest[column] == pytest.approx(2 * bound, rel=1e-6)
    assert "1 of 10 candles differ" in str(beyond) and f"volume {tolerance.volume:g}" in str(beyond)


def test_nan_never_agrees() -> None:
    assert compare_candles(changed(some_candles(), "high", 2, float("nan")), some_candles()).differing == 1


def test_a_candle_that_only_one_side_has_differs_unless_nobody_traded() -> None:
    assert compare_candles(some_candles(9), some_candles()).differing == 1
    assert compare_candles(some_candles(), some_candles(9)).differing == 1
    silent = changed(some_candles(), "volume", 9, 0.0)
    assert compare_candles(some_candles(9), silent).holds
    assert compare_candles(some_candles(), silent).differing == 1


def test_nothing_compared_is_no_agreement() -> None:
    assert not compare_candles(empty_candles(), empty_candles()).holds


def test_comparisons_are_joined() -> None:
    parts = [
        compare_candles(some_candles(), some_candles()),
        compare_candles(changed(some_candles(), "close", 7, 1.5), some_candles()),
        compare_candles(changed(some_candles(), "close", 3, 1.25), some_candles()),
    ]
    found = joined_agreement(parts)
    assert (found.compared, found.differing, found.first_difference_ms) == (30, 2, START_MS + 3 * HOUR)
    assert found.largest["close"] == 0.5 and not found.holds
