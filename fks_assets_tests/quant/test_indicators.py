import math

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.candles import Candles, empty_candles
from fks_assets.quant.indicators import (
    INDICATOR_COLUMNS,
    WARMUP_ROWS,
    compute_indicators,
    ema_lookback,
    volume_ratio,
    warm_rows,
    wilder_lookback,
    window_mean,
)
from fks_assets_tests.quant.formulas import published_indicators
from fks_assets_tests.quant.series import candles_of, joined, of_closes, recorded, synthetic
from fks_assets_tests.shared_data import requires_shared

FIRST_ROW = {
    "rsi_14": 14,
    "macd": 33,
    "macd_signal": 33,
    "macd_histogram": 33,
    "bb_upper": 19,
    "bb_middle": 19,
    "bb_lower": 19,
    "atr_14": 14,
    "sma_20": 19,
    "sma_50": 49,
    "sma_200": 199,
    "ema_12": 11,
    "ema_26": 25,
    "ema_5": 4,
    "ema_13": 12,
    "volume_sma_5": 4,
    "volume_ratio": 4,
    "high_20": 20,
    "low_20": 20,
    "momentum_3": 3,
}


def assert_equals_the_published_formulas(candles: Candles) -> None:
    columns, expected = compute_indicators(candles), published_indicators(candles)
    assert set(expected) == set(INDICATOR_COLUMNS)
    scale = float(candles.close.mean())
    for name in INDICATOR_COLUMNS:
        wanted = np.array([math.nan if value is None else value for value in expected[name]])
        # MACD is a small difference of two means of the price: it can only be as exact as they are.
        absolute = 1e-13 * scale if name.startswith("macd") else 0.0
        np.testing.assert_allclose(columns[name], wanted, rtol=1e-11, atol=absolute, err_msg=name)


@requires_shared
@pytest.mark.parametrize(("base", "first"), [("BTC", 5000), ("DOGE", 14_000), ("BNB", 0)])
def test_recorded_candles_give_the_values_of_the_published_formulas(base, first):
    assert_equals_the_published_formulas(recorded(base).slice(first, first + 400))


@pytest.mark.parametrize("start_price", [1e-9, 1.0, 1e9])
def test_prices_of_any_size_give_the_values_of_the_published_formulas(start_price):
    assert_equals_the_published_formulas(synthetic(300, start_price=start_price, volatility=0.01))


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 19, 20, 33, 34, 199, 200])
def test_short_series_give_every_column_with_nan_where_there_is_too_little(rows):
    columns = compute_indicators(synthetic(rows) if rows else empty_candles())
    assert tuple(columns) == INDICATOR_COLUMNS
    for name, column in columns.items():
        assert (column.dtype, column.shape) == (np.float64, (rows,))
        assert np.isnan(column[: FIRST_ROW[name]]).all()
        assert np.isfinite(column[FIRST_ROW[name] :]).all()


def test_high_and_low_20_leave_out_the_candle_itself():
    high, low = np.full(45, 10.0), np.full(45, 8.0)
    high[30], low[31] = 50.0, 1.0
    columns = compute_indicators(candles_of(high, low, np.full(45, 9.0)))
    assert (columns["high_20"][30], columns["high_20"][31]) == (10.0, 50.0)
    assert (columns["low_20"][31], columns["low_20"][32]) == (8.0, 1.0)
    assert columns["high_20"][31:].tolist() == pd.Series(high).rolling(20).max().shift(1)[31:].tolist()


def test_momentum_is_the_change_over_three_candles_as_a_fraction():
    columns = compute_indicators(of_closes([100.0, 101.0, 99.0, 110.0, 50.5]))
    assert columns["momentum_3"][3:].tolist() == pytest.approx([0.10, -0.50], abs=1e-15)


def test_a_market_without_trades_has_a_volume_ratio_of_zero():
    columns = compute_indicators(of_closes([5.0] * 12, volume=np.array([1e9, 3.0, 1.0] + [0.0] * 7 + [4.0, 0.0])))
    assert columns["volume_sma_5"][7:].tolist() == [0.0, 0.0, 0.0, 0.8, 0.8]
    assert columns["volume_ratio"][7:].tolist() == [0.0, 0.0, 0.0, 5.0, 0.0]


def test_a_volume_of_billions_leaves_no_trace_in_later_means():
    volume = np.concatenate([np.full(500, 7.3e11), np.full(200, 1e-3)])
    mean = compute_indicators(of_closes(np.full(700, 1.0), volume=volume))["volume_sma_5"]
    assert mean[505:] == pytest.approx(np.full(195, 1e-3), rel=1e-14)


@given(st.integers(1, 70), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_window_means_equal_the_mean_of_each_window(length, rows, seed):
    values = np.exp(np.random.default_rng(seed).normal(0, 5, rows))
    mean = window_mean(values, length)
    assert np.isnan(mean[: length - 1]).all()
    expected = [math.fsum(values[row - length + 1 : row + 1]) / length for row in range(length - 1, rows)]
    assert mean[length - 1 :].tolist() == pytest.approx(expected, rel=1e-14)


def test_window_means_do_not_depend_on_where_the_series_was_cut():
    values = np.exp(np.random.default_rng(3).normal(0, 5, 60_000))
    whole = window_mean(values, 5)
    for start in (1, 4095, 16_384, 33_333):
        assert (window_mean(values[start:], 5)[4:] == whole[start + 4 :]).all()


def test_the_volume_ratio_is_unknown_where_the_mean_is():
    assert volume_ratio(np.array([1.0, 2.0, 0.0]), np.array([math.nan, 4.0, 0.0])).tolist()[1:] == [0.5, 0.0]
    assert math.isnan(volume_ratio(np.array([1.0]), np.array([math.nan]))[0])


@pytest.mark.parametrize("column", ["high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused_with_its_place(column, value):
    candles = synthetic(50)
    getattr(candles, column)[17] = value
    with pytest.raises(
        InvalidInput, match=rf"{column} is {value} in the candle that opens at {candles.open_time[17]} \(row 17\)"
    ):
        compute_indicators(candles)


def test_columns_of_unequal_length_or_another_type_are_refused():
    good = synthetic(50)
    with pytest.raises(InvalidInput, match=r"low is float64 of shape \(49,\)"):
        compute_indicators(Candles(good.open_time, good.open, good.high, good.low[:-1], good.close, good.volume))
    with pytest.raises(InvalidInput, match="volume is int64"):
        compute_indicators(Candles(good.open_time, good.open, good.high, good.low, good.close, good.volume.astype(np.int64)))


def test_strided_columns_give_the_same_values_and_stay_unchanged():
    candles = synthetic(300)
    table = np.stack([candles.open, candles.high, candles.low, candles.close, candles.volume], axis=1)
    before = table.copy()
    strided = compute_indicators(Candles(candles.open_time, *(table[:, place] for place in range(5))))
    for name, column in compute_indicators(candles).items():
        np.testing.assert_array_equal(strided[name], column)
    np.testing.assert_array_equal(table, before)


def test_rows_are_warm_when_enough_rows_precede_them():
    assert np.flatnonzero(warm_rows(WARMUP_ROWS + 3)).tolist() == [WARMUP_ROWS, WARMUP_ROWS + 1, WARMUP_ROWS + 2]
    assert warm_rows(3, WARMUP_ROWS - 1).tolist() == [False, True, True]
    assert warm_rows(2, WARMUP_ROWS).all()
    assert warm_rows(0).shape == (0,)


@pytest.mark.parametrize("length", [2, 5, 26, 200])
def test_an_ema_forgets_its_start_within_its_lookback(length):
    series = joined(synthetic(20, start_price=1e6), synthetic(4000, seed=2)).close
    needed = ema_lookback(length)
    whole, late = talib.EMA(series, length), talib.EMA(series[25:], length)
    assert late[needed:] == pytest.approx(whole[25 + needed :], rel=2e-8)
    assert abs(late[length] / whole[25 + length] - 1) > 2e-8


def test_wilders_smoothing_needs_as_long_as_an_ema_of_nearly_twice_its_length():
    assert wilder_lookback(14) == ema_lookback(27) + 1 <= WARMUP_ROWS
