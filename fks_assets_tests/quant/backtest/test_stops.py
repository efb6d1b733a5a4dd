"""The stop engine in plain Python: what backtest, paper, alert and live share (S3.8, X13, C9)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.stops import HELD, REACHED, STOPPED, evaluate_candle, ratchet

NONE = math.nan
LONG, SHORT = 1, -1


@pytest.mark.parametrize(
    ("side", "stop", "price", "distance", "expected"),
    [
        (LONG, 95.0, 110.0, 0.05, 104.5),
        (LONG, 95.0, 99.0, 0.05, 95.0),
        (SHORT, 105.0, 90.0, 0.05, 94.5),
        (SHORT, 105.0, 101.0, 0.05, 105.0),
        (LONG, NONE, 100.0, 0.05, 95.0),
        (SHORT, NONE, 100.0, 0.05, 105.0),
        (LONG, 95.0, 110.0, 0.0, 95.0),
    ],
)
def test_a_trailing_stop_only_comes_nearer(side, stop, price, distance, expected):
    """S3.8: BUY p * (1 - d / 100) only if higher, SELL p * (1 + d / 100) only if lower."""
    assert ratchet(side, stop, price, distance) == pytest.approx(expected, rel=1e-15)


def test_without_a_stop_and_a_distance_there_is_no_stop():
    assert math.isnan(ratchet(LONG, NONE, 110.0, 0.0))


CALM = (100.0, 101.0, 99.0, 100.0)


@pytest.mark.parametrize(
    ("side", "candle", "stop", "after", "target", "optimistic", "expected"),
    [
        (LONG, CALM, 95.0, 95.0, 110.0, False, (HELD, 100.0, False)),
        (LONG, (100.0, 101.0, 95.0, 99.0), 95.0, 95.0, 110.0, False, (STOPPED, 95.0, False)),
        (LONG, (100.0, 110.0, 99.0, 100.0), 95.0, 95.0, 110.0, False, (REACHED, 110.0, False)),
        (LONG, (94.0, 99.0, 93.0, 98.0), 95.0, 95.0, 110.0, False, (STOPPED, 94.0, False)),
        (LONG, (112.0, 113.0, 90.0, 98.0), 95.0, 95.0, 110.0, False, (REACHED, 110.0, False)),
        (LONG, (100.0, 111.0, 94.0, 98.0), 95.0, 95.0, 110.0, False, (STOPPED, 95.0, True)),
        (LONG, (100.0, 111.0, 94.0, 98.0), 95.0, 95.0, 110.0, True, (REACHED, 110.0, True)),
        (LONG, (100.0, 109.0, 99.0, 103.0), 95.0, 103.55, 110.0, False, (STOPPED, 99.0, True)),
        (LONG, (100.0, 109.0, 99.0, 104.0), 95.0, 103.55, 110.0, False, (STOPPED, 99.0, True)),
        (LONG, (105.0, 109.0, 104.0, 108.0), 95.0, 103.55, 110.0, False, (HELD, 108.0, False)),
        (LONG, (100.0, 109.0, 99.0, 104.0), 95.0, 103.55, 110.0, True, (HELD, 104.0, True)),
        (LONG, (100.0, 109.0, 99.0, 103.0), 95.0, 103.55, 110.0, True, (STOPPED, 103.55, True)),
        (LONG, (100.0, 109.0, 94.0, 104.0), 95.0, 103.55, 110.0, False, (STOPPED, 95.0, True)),
        (LONG, (100.0, 109.0, 94.0, 104.0), 95.0, 103.55, 110.0, True, (STOPPED, 103.55, True)),
        (LONG, (100.0, 111.0, 99.0, 105.0), 95.0, 104.5, 110.0, False, (STOPPED, 99.0, True)),
        (LONG, (100.0, 111.0, 99.0, 105.0), 95.0, 104.5, 110.0, True, (REACHED, 110.0, True)),
        (SHORT, (100.0, 105.0, 99.0, 100.0), 105.0, 105.0, 90.0, False, (STOPPED, 105.0, False)),
        (SHORT, (106.0, 107.0, 99.0, 100.0), 105.0, 105.0, 90.0, False, (STOPPED, 106.0, False)),
        (SHORT, (100.0, 101.0, 90.0, 95.0), 105.0, 105.0, 90.0, False, (REACHED, 90.0, False)),
        (SHORT, (100.0, 105.0, 90.0, 95.0), 105.0, 105.0, 90.0, False, (STOPPED, 105.0, True)),
        (SHORT, (100.0, 101.0, 90.0, 92.0), 105.0, 94.5, 80.0, False, (STOPPED, 101.0, True)),
        (SHORT, (100.0, 101.0, 90.0, 92.0), 105.0, 94.5, 80.0, True, (HELD, 92.0, True)),
        (LONG, CALM, NONE, NONE, NONE, False, (HELD, 100.0, False)),
        (LONG, CALM, NONE, 99.5, NONE, False, (STOPPED, 99.0, True)),
    ],
)
def test_a_candle_does_the_worst_that_its_prices_allow_or_the_best(side, candle, stop, after, target, optimistic, expected):
    assert evaluate_candle(side, *candle, stop, after, target, optimistic) == expected


PRICES = st.floats(1.0, 1000.0)


@given(st.sampled_from([LONG, SHORT]), PRICES, PRICES, PRICES)
def test_a_single_price_fires_a_stop_at_itself_and_a_target_at_its_level(side, price, stop, target):
    event, filled, both = evaluate_candle(side, price, price, price, price, stop, stop, target, False)
    assert not both
    if side * (price - stop) <= 0:
        assert (event, filled) == (STOPPED, price)
    elif side * (price - target) >= 0:
        assert (event, filled) == (REACHED, target)
    else:
        assert event == HELD


@given(st.sampled_from([LONG, SHORT]), st.lists(PRICES, min_size=1, max_size=50), st.floats(0.001, 0.5))
def test_a_trailing_stop_over_any_prices_is_the_best_price_less_the_distance(side, prices, distance):
    stop = NONE
    for price in prices:
        stop = ratchet(side, stop, price, distance)
    best = max(prices) if side == LONG else min(prices)
    assert stop == best * (1 - side * distance)


@given(
    st.sampled_from([LONG, SHORT]),
    st.lists(st.integers(80, 125), min_size=1, max_size=12),
    st.sampled_from([0.02, 0.05, 0.1]),
    st.sampled_from([NONE, 110.0, 90.0]),
)
def test_no_path_between_four_prices_ends_worse_than_the_worst_or_better_than_the_best(side, path, distance, target):
    """The price walks from 100 from point to point; what it does there is asked at each, with gaps between them."""
    points = [100.0, *map(float, path)]
    target = NONE if side * (target - 100.0) <= 0 else target
    stop = ratchet(side, NONE, 100.0, distance)
    best = max(points) if side == LONG else min(points)
    capped = best if math.isnan(target) or side * (target - best) > 0 else target
    candle = (100.0, max(points), min(points), points[-1])
    worth = {}
    for optimistic in (False, True):
        event, price, tie = evaluate_candle(side, *candle, stop, ratchet(side, stop, capped, distance), target, optimistic)
        worth[optimistic] = side * price
    walked, left = walked_through(side, points, distance, target)
    assert worth[False] <= walked <= worth[True]
    assert tie or (walked == worth[False] == worth[True] and (event == HELD) is not left)


def walked_through(side: int, points: list[float], distance: float, target: float) -> tuple[float, bool]:
    """Return (what a unit is worth at the end of a path without gaps, whether it was sold on the way)."""
    stop = ratchet(side, NONE, points[0], distance)
    for point in points[1:]:
        if side * (point - stop) <= 0:
            return side * stop, True
        if side * (point - target) >= 0:
            return side * target, True
        stop = ratchet(side, stop, point, distance)
    return side * points[-1], False


@given(st.sampled_from([LONG, SHORT]), st.tuples(PRICES, PRICES, PRICES, PRICES), PRICES, PRICES, st.booleans())
def test_the_compiled_function_says_what_the_plain_one_says(side, prices, stop, target, optimistic):
    from fks_assets.quant import stops
    from fks_assets.quant.backtest import holding
    from fks_assets.quant.backtest.compiled import compiled

    open_, close, *others = prices
    candle = (open_, max(prices), min(prices), close)
    assert others
    plain = evaluate_candle(side, *candle, stop, stop, target, optimistic)
    assert holding.evaluate_candle(side, *candle, stop, stop, target, optimistic) == plain
    assert compiled(stops.ratchet)(side, stop, target, 0.03) == ratchet(side, stop, target, 0.03)
