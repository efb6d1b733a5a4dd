"""How many candles an indicator needs behind it before the place where the series began no longer shows: measured, then
asserted.
"""

from collections.abc import Iterable

import numpy as np
import pytest
import talib

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import INDICATOR_COLUMNS, WARMUP_ROWS, compute_indicators
from fks_assets.quant.timeframes import month_of, month_window, months_between
from fks_assets_tests.quant.series import RECORDED, joined, of_closes, recorded, synthetic
from fks_assets_tests.shared_data import requires_shared

PROMISE = 1e-9
LENGTHS = (600, 1000, 1500)


def deviation(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return how far values are from the reference, relative to it; 0 where both are NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(values - reference) / np.abs(reference)
    apart[(values == reference) | (np.isnan(values) & np.isnan(reference))] = 0.0
    return np.where(np.isnan(apart), np.inf, apart)


def rows_needed(candles: Candles, starts: Iterable[int], lengths: Iterable[int] = LENGTHS) -> dict[str, int]:
    """Return for each column after how many rows a series begun at any of `starts` agrees with the whole one, and goes on to
    agree.
    """
    whole = compute_indicators(candles)
    needed = dict.fromkeys(INDICATOR_COLUMNS, 0)
    for start, length in zip(starts, np.resize(list(lengths), 10_000).tolist(), strict=False):
        part = compute_indicators(candles.slice(start, start + length))
        for name, values in part.items():
            off = np.flatnonzero(deviation(values, whole[name][start : start + length]) > PROMISE)
            needed[name] = max(needed[name], int(off[-1]) + 1 if len(off) else 0)
    return needed


@requires_shared
@pytest.mark.parametrize("base", RECORDED)
def test_recorded_series_agree_after_the_warm_up_wherever_they_begin(base):
    """C32."""
    candles = recorded(base)
    needed = rows_needed(candles, range(250, len(candles) - max(LENGTHS), 397))
    assert max(needed.values()) <= WARMUP_ROWS, needed
    assert max(needed.values()) >= WARMUP_ROWS / 2, f"needlessly large: {needed}"
    windows = {"sma_20": 19, "sma_50": 49, "sma_200": 199, "bb_upper": 19, "high_20": 20, "volume_ratio": 4, "momentum_3": 3}
    assert {name: needed[name] for name in windows} == windows


@pytest.mark.parametrize(
    "candles",
    [
        *(synthetic(6000, volatility=volatility, seed=seed) for seed, volatility in enumerate((1e-5, 1e-3, 0.005, 0.02))),
        synthetic(6000, jump=-4.6),
        synthetic(6000, jump=4.6),
    ],
    ids=["stablecoin", "calm", "usual", "wild", "fall to a hundredth", "rise a hundredfold"],
)
def test_synthetic_series_agree_after_the_warm_up_wherever_they_begin(candles):
    needed = rows_needed(candles, range(200, 4400, 50))
    assert max(needed.values()) <= WARMUP_ROWS, needed


@requires_shared
@pytest.mark.parametrize("base", RECORDED)
def test_months_computed_in_any_order_equal_talib_over_the_whole_history(base):
    candles = recorded(base)
    whole = talib_at_once(candles)
    worst = dict.fromkeys(INDICATOR_COLUMNS, 0.0)
    compared = 0
    months = months_between(int(candles.open_time[0]), int(candles.open_time[-1]) + 1)
    np.random.default_rng(len(candles)).shuffle(months)
    for month in months:
        first, end = np.searchsorted(candles.open_time, month_window(month)).tolist()
        begin = max(0, first - WARMUP_ROWS)
        computed = compute_indicators(candles.slice(begin, end))
        warm = max(first, WARMUP_ROWS)
        compared += max(0, end - warm)
        for name in INDICATOR_COLUMNS:
            if warm < end:
                apart = deviation(computed[name][warm - begin :], whole[name][warm:end])
                worst[name] = max(worst[name], float(apart.max()))
    assert compared == len(candles) - WARMUP_ROWS
    assert month_of(int(candles.open_time[0])) in months
    assert max(worst.values()) <= PROMISE, worst


def talib_at_once(candles: Candles) -> dict[str, np.ndarray]:
    """Return every column by bare TA-Lib calls over all candles, high and low moved one row on."""
    high, low, close, volume = candles.high, candles.low, candles.close, candles.volume
    mean = talib.SMA(volume, 5)
    columns = {
        **dict(zip(("macd", "macd_signal", "macd_histogram"), talib.MACD(close, 12, 26, 9), strict=True)),
        **dict(zip(("bb_upper", "bb_middle", "bb_lower"), talib.BBANDS(close, 20, 2, 2), strict=True)),
        "rsi_14": talib.RSI(close, 14),
        "atr_14": talib.ATR(high, low, close, 14),
        **{f"sma_{length}": talib.SMA(close, length) for length in (20, 50, 200)},
        **{f"ema_{length}": talib.EMA(close, length) for length in (5, 12, 13, 26)},
        "volume_sma_5": mean,
        "volume_ratio": volume / mean,
        "high_20": np.append(np.nan, talib.MAX(high, 20)[:-1]),
        "low_20": np.append(np.nan, talib.MIN(low, 20)[:-1]),
        "momentum_3": talib.ROCP(close, 3),
    }
    assert set(columns) == set(INDICATOR_COLUMNS)
    return columns


def test_a_market_that_stood_still_for_weeks_agrees_again_as_soon_as_it_moves():
    moving = synthetic(1500, seed=4)
    still = of_closes(np.full(1200, moving.close[-1]))
    candles = joined(moving, still, synthetic(600, seed=5, start_price=float(moving.close[-1])))
    begin, awake = 1700, 2700
    whole, part = compute_indicators(candles), compute_indicators(candles.slice(begin))
    for name in INDICATOR_COLUMNS:
        assert deviation(part[name][awake + 30 - begin :], whole[name][awake + 30 :]).max() <= PROMISE, name
    assert part["bb_upper"][awake - 1 - begin] == part["bb_lower"][awake - 1 - begin] == moving.close[-1]
    assert whole["bb_upper"][awake - 1] == pytest.approx(moving.close[-1], rel=PROMISE)
