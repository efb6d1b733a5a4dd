"""Spikes and stuck feeds: found where they are planted, and hardly ever in what really traded.

The real candles are the recorded files; nobody has cleaned them, so the bounds below are on what they may cost.
"""

import gzip
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from fks_assets.quant.candles import OHLCV_COLUMNS, PRICE_COLUMNS, Candles, concatenate, empty_candles
from fks_assets.quant.quality import WINDOW, confirm_spikes, excursions, find_spikes, find_stuck
from fks_assets_tests.quant.series import HOUR_MS, candles_of, of_closes, recorded, synthetic
from fks_assets_tests.shared_data import SHARED, requires_shared

SCORE = 8.0
LONG_YEARS = ("BNB", "BTC", "CHZ", "DOGE", "ETH", "LTC", "SOL", "XRP")
CRASH_MS = 1_621_382_400_000  # 2021-05-19, when BTC fell by 30 % and came halfway back
DAY_MS = 86_400_000


@lru_cache(maxsize=8)
def _five_minutes(symbol: str) -> Candles:
    path = (SHARED or Path()) / "data" / "ohlcv" / "binance_5m" / f"{symbol}_USDT-5m.json.gz"
    rows = np.array(json.loads(gzip.decompress(path.read_bytes())), np.float64)
    return Candles(rows[:, 0].astype(np.int64), *(np.ascontiguousarray(rows[:, place]) for place in range(1, 6)))


def _changed(candles: Candles, row: int, **values: float) -> Candles:
    columns = {name: getattr(candles, name).copy() for name in OHLCV_COLUMNS}
    for name, value in values.items():
        columns[name][row] = value
    return Candles(candles.open_time, *columns.values())


def _spoiled(candles: Candles, row: int, factor: float, how: str) -> Candles:
    """Return the candles with one spike: of the whole candle, of its wick, or of its close."""
    prices = {name: float(getattr(candles, name)[row]) for name in ("open", "high", "low", "close")}
    if how == "candle":
        return _changed(candles, row, **{name: price * factor for name, price in prices.items()})
    if how == "wick":
        name = "high" if factor > 1 else "low"
        return _changed(candles, row, **{name: prices[name] * factor})
    close = prices["close"] * factor
    return _changed(candles, row, close=close, high=max(prices["high"], close), low=min(prices["low"], close))


@pytest.mark.parametrize("how", ["candle", "wick", "close"])
@pytest.mark.parametrize("factor", [1.3, 1 / 1.3, 10.0, 0.01])
def test_a_price_that_jumps_and_comes_back_is_a_spike_and_nothing_else_is(factor: float, how: str) -> None:
    candles = synthetic(400)
    assert not find_spikes(candles, SCORE).any()
    assert np.flatnonzero(find_spikes(_spoiled(candles, 250, factor, how), SCORE)).tolist() == [250]


@pytest.mark.parametrize("jump", [0.3, -0.5])
def test_a_jump_that_stays_is_no_spike_once_it_has_stayed(jump: float) -> None:
    candles = synthetic(400, jump=jump)
    assert not find_spikes(candles, SCORE).any()
    newest = candles.slice(0, 201)
    assert np.flatnonzero(find_spikes(newest, SCORE)).tolist() == [200], "the newest candle has not stayed yet"


def test_the_first_candle_after_an_outage_may_have_moved_as_far_as_the_outage_was_long() -> None:
    """A day without candles moves a random walk of 5m candles by the root of 288 of its moves, 17 of them."""
    walks = 200
    flagged = still_found = 0
    for seed in range(walks):
        walk = synthetic(600, seed=seed, volatility=0.001)
        candles = concatenate([walk.slice(0, 290), walk.slice(578, 579)])
        flagged += bool(find_spikes(candles, SCORE)[-1])
        still_found += bool(find_spikes(_spoiled(candles, 290, 3.0, "candle"), SCORE)[-1])
    assert flagged == 0
    assert still_found == walks


def test_volume_excuses_a_move_and_none_does_not() -> None:
    candles = _spoiled(synthetic(400), 250, 1.08, "wick")
    assert find_spikes(candles, SCORE)[250]
    assert not find_spikes(_changed(candles, 250, volume=float(np.median(candles.volume)) * 400), SCORE).any()


def test_candles_with_too_little_before_them_are_not_judged() -> None:
    candles = _spoiled(synthetic(400), WINDOW, 5.0, "candle")
    assert not find_spikes(candles, SCORE)[: WINDOW + 1].any()
    for rows in range(3):
        assert not find_spikes(candles.slice(0, rows), SCORE).any()
    assert len(find_spikes(empty_candles(), SCORE)) == len(excursions(empty_candles())) == 0


def test_a_market_that_stands_still_is_allowed_its_first_tick() -> None:
    closes = np.full(300, 100.0)
    closes[250] = 100.0 * (1 + SCORE * 0.0004)
    assert not find_spikes(of_closes(closes), SCORE).any()
    closes[250] = 100.0 * (1 + SCORE * 0.0006)
    assert np.flatnonzero(find_spikes(of_closes(closes), SCORE)).tolist() == [250]


def test_an_excursion_is_the_distance_beyond_the_nearer_neighbour() -> None:
    high = np.array([10.0, 20.0, 12.0, 11.0])
    low = np.array([8.0, 9.0, 4.0, 6.0])
    found = np.exp(excursions(candles_of(high, low, np.array([9.0, 10.0, 8.0, 7.0]))))
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], [20 / 12, 6 / 4, 11 / 12], rtol=1e-12)


def test_what_a_second_exchange_shows_too_is_confirmed() -> None:
    candles = _spoiled(_spoiled(synthetic(400), 250, 1.3, "wick"), 300, 0.5, "wick")
    spikes = find_spikes(candles, SCORE)
    assert np.flatnonzero(spikes).tolist() == [250, 300]
    other = _changed(candles, 300, low=float(candles.low[299]))
    assert np.flatnonzero(confirm_spikes(candles, spikes, other, 0.02)).tolist() == [250]
    near = _changed(candles, 250, high=float(candles.high[250]) * 0.985)
    assert confirm_spikes(candles, spikes, near, 0.02)[250] and not confirm_spikes(candles, spikes, near, 0.01)[250]
    assert not confirm_spikes(candles, spikes, candles.slice(0, 250), 0.02).any()
    assert not confirm_spikes(candles, spikes, empty_candles(), 0.02).any()


@requires_shared
def test_a_thousand_planted_spikes_are_found_and_nothing_beside_them() -> None:
    """Q2: at least 99 % of 1,000 spikes of a quarter or more, at most 0.1 % of clean candles."""
    planted = found = beside = clean = 0
    for number, base in enumerate(LONG_YEARS):
        random = np.random.default_rng(number)
        candles = recorded(base)
        usual = find_spikes(candles, SCORE)
        rows = random.choice(np.arange(WINDOW + 1, len(candles) - 1, 3), 125, replace=False)
        spoiled = candles
        for row in rows:
            factor = 1.25 * np.exp(random.uniform(0, np.log(8)))
            how = str(random.choice(["candle", "wick", "close"]))
            spoiled = _spoiled(spoiled, int(row), float(factor if random.random() < 0.5 else 1 / factor), how)
        spikes = find_spikes(spoiled, SCORE)
        hit = np.zeros(len(candles), np.bool_)
        hit[rows] = True
        planted, found = planted + len(rows), found + int(spikes[hit].sum())
        beside, clean = beside + int((spikes & ~hit & ~usual).sum()), clean + len(candles) - len(rows)
    assert planted == 1000
    assert found >= 0.99 * planted
    assert beside <= 0.001 * clean


@requires_shared
def test_years_of_real_candles_hold_next_to_no_spikes_and_no_stuck_feed() -> None:
    candles = [recorded(base) for base in LONG_YEARS]
    assert sum(map(len, candles)) == 288_852
    assert sum(int(find_spikes(each, SCORE).sum()) for each in candles) <= 3
    assert not any(find_stuck(each, 12).any() for each in candles)


@requires_shared
@pytest.mark.parametrize("symbol", ["BTC", "ETH", "LTC", "XRP", "EOS"])
def test_a_real_crash_is_no_spike(symbol: str) -> None:
    candles = _five_minutes(symbol)
    crash = candles.between(CRASH_MS - DAY_MS, CRASH_MS + DAY_MS)
    assert crash.low.min() < 0.75 * crash.high.max()
    assert not find_spikes(candles, SCORE).any()
    stops = np.flatnonzero((candles.open_time >= CRASH_MS) & (candles.open_time < CRASH_MS + DAY_MS))
    newest = [int(stop) for stop in stops if find_spikes(candles.slice(int(stop) - 2 * WINDOW, int(stop) + 1), SCORE)[-1]]
    assert len(newest) <= 1, "hardly a candle of the crash may look like a spike before the next one has come"


def test_a_feed_that_repeats_a_candle_is_stuck() -> None:
    candles = synthetic(100)
    stuck = concatenate(
        [candles.slice(0, 40), *(_moved(candles.slice(40, 41), hours) for hours in range(12)), _moved(candles.slice(41), 11)]
    )
    assert np.flatnonzero(find_stuck(stuck, 12)).tolist() == list(range(40, 52))
    assert not find_stuck(stuck, 13).any()
    assert not find_stuck(candles, 2).any()


def test_a_quiet_market_is_stuck_only_when_its_volume_stands_still_too() -> None:
    closes = np.full(50, 0.5)
    quiet = of_closes(closes, volume=np.arange(50, dtype=np.float64))
    assert not find_stuck(quiet, 3).any()
    silent = of_closes(closes, volume=np.zeros(50))
    assert find_stuck(silent, 12).all()
    assert len(find_stuck(empty_candles(), 3)) == 0


def test_hours_that_nobody_traded_in_are_no_stuck_feed_once_somebody_trades_again() -> None:
    candles = _silent_from(synthetic(200), 150, 30)
    assert np.flatnonzero(find_stuck(candles.slice(0, 170), 12)).tolist() == list(range(150, 170))
    assert not find_stuck(candles, 12).any()


@pytest.mark.parametrize(("silent_of_ten", "stuck"), [(1, True), (2, False)])
def test_a_market_that_often_lacks_a_trade_is_not_stuck_when_it_lacks_them_for_long(silent_of_ten: int, stuck: bool) -> None:
    """Kraken answers candles without volume where nobody traded: 216 of 721 in its recorded minutes of XBT/USDT."""
    candles = _silent_from(synthetic(200), 180, 20)
    for row in range(1, 180):
        if row % 10 < silent_of_ten:
            candles = _silent_from(candles, row, 1)
    assert find_stuck(candles, 12).any() == stuck


def _silent_from(candles: Candles, row: int, count: int) -> Candles:
    """Return the candles with `count` of them as an exchange gives those that nobody traded in."""
    columns = {name: getattr(candles, name).copy() for name in OHLCV_COLUMNS}
    for name in PRICE_COLUMNS:
        columns[name][row : row + count] = candles.close[row - 1]
    columns["volume"][row : row + count] = 0.0
    return Candles(candles.open_time, *columns.values())


def _moved(candles: Candles, hours: int) -> Candles:
    return Candles(candles.open_time + hours * HOUR_MS, *(getattr(candles, name) for name in OHLCV_COLUMNS))
