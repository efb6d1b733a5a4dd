"""The way of the price through a candle, against a search that looks at every millisecond with fractions."""

import random
from fractions import Fraction

import numpy as np
import pytest

from fks_assets.simulator.bars import Bars, price_at
from fks_assets.simulator.trading.path import Candle, Touch, first_touch, first_trail, legs, trailed

LENGTH = 600  # ms; the way's corners are then at 200 and 400


def exact(candle: Candle, way: str, time_ms: int) -> Fraction:
    """Return the price at a time without rounding, by interpolation between the four prices."""
    third = Fraction(LENGTH, 3)
    rises = candle.close >= candle.open if way == "drawn" else way == "low_first"
    turns = (candle.low, candle.high) if rises else (candle.high, candle.low)
    points = (candle.open, *turns, candle.close)
    number = min(int((time_ms - candle.open_ms) / third), 2)
    share = (time_ms - candle.open_ms - number * third) / third
    return points[number] + (points[number + 1] - points[number]) * share


def random_candle(source: random.Random) -> Candle:
    prices = [source.randint(900, 1100) for _ in range(4)]
    opened, closed = source.sample(prices, 2)
    return Candle(6000, 6000 + LENGTH, opened, max(prices), min(prices), closed, 10)


@pytest.mark.parametrize("way", ["drawn", "low_first", "high_first"])
def test_a_touch_is_the_first_millisecond_at_which_the_price_stands_at_or_beyond_the_level(way: str) -> None:
    source = random.Random(1)
    for _ in range(400):
        candle, level, falls = random_candle(source), source.randint(880, 1120), source.random() < 0.5
        after = source.choice([candle.open_ms - 1, candle.open_ms + source.randrange(LENGTH - 1)])

        def reached(time_ms: int, candle: Candle = candle, level: int = level, falls: bool = falls) -> bool:
            price = exact(candle, way, time_ms)
            return price <= level if falls else price >= level

        times = (one for one in range(max(after + 1, candle.open_ms), candle.end_ms) if reached(one))
        expected = next(times, None)
        touch = first_touch(candle, way, level, falls, after)
        if expected is None:
            at_the_close = candle.close <= level if falls else candle.close >= level
            # A level that the price meets exactly at the close is met in the candle's last millisecond.
            assert (touch == Touch(candle.end_ms - 1, level)) == at_the_close
            continue
        assert touch is not None and abs(touch.at_ms - expected) <= 1
        has_jumped = after < candle.open_ms and reached(candle.open_ms)
        was_beyond = after >= candle.open_ms and reached(after)
        if has_jumped:
            assert touch.ticks == candle.open
        elif not was_beyond:
            assert touch.ticks == level


def test_asking_in_pieces_gives_the_same_touch_as_asking_once() -> None:
    source = random.Random(2)
    for _ in range(300):
        candle, level, falls = random_candle(source), source.randint(880, 1120), source.random() < 0.5
        whole = first_touch(candle, "drawn", level, falls, candle.open_ms - 1)
        after, found = candle.open_ms - 1, None
        while found is None and after < candle.end_ms - 1:
            until = min(after + source.randint(1, 90), candle.end_ms - 1)
            touch = first_touch(candle, "drawn", level, falls, after)
            found = touch if touch is not None and touch.at_ms <= until else None
            after = until
        assert found == whole


def test_the_way_is_the_one_that_the_ticker_shows() -> None:
    source = random.Random(3)
    for _ in range(50):
        candle = random_candle(source)
        prices = (candle.open, candle.high, candle.low, candle.close, candle.volume, 0, 1)
        bars = Bars(*(np.array([value]) for value in (candle.open_ms, *prices)))
        for leg in legs(candle, "drawn"):
            for time_ms in range(leg.start_ms, leg.end_ms, 37):
                assert abs(leg.at(time_ms) - price_at(bars, (time_ms - candle.open_ms) / LENGTH)) <= 1


def test_a_trailing_level_follows_the_extreme_and_never_moves_back() -> None:
    source = random.Random(4)
    for _ in range(300):
        candle, falls = random_candle(source), source.random() < 0.5
        distance, extreme = (source.randint(10, 900), 10_000), candle.open
        touch, _ = first_trail(candle, "drawn", extreme, distance, falls, candle.open_ms, candle.end_ms)
        expected, best = None, Fraction(candle.open)
        for time_ms in range(candle.open_ms + 1, candle.end_ms):
            price = exact(candle, "drawn", time_ms)
            best = max(best, price) if falls else min(best, price)
            share = Fraction(distance[0], distance[1])
            if (price <= best * (1 - share)) if falls else (price >= best * (1 + share)):
                expected = time_ms
                break
        # The level is rounded to a tick toward the price, so that it may be met up to a tick's time earlier.
        if expected is not None:
            assert touch is not None and touch.at_ms <= expected + 1
        if touch is not None and expected is not None:
            assert abs(exact(candle, "drawn", touch.at_ms) - exact(candle, "drawn", expected)) <= 2


def test_a_trailing_level_is_rounded_toward_the_price() -> None:
    assert trailed(1001, (100, 10_000), True) == 991  # 990.99
    assert trailed(1001, (100, 10_000), False) == 1011  # 1011.01
