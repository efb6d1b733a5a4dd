"""The shipped strategies say what their rules say, candle by candle, with any parameters (S2.8, S3.16, X12, F12, F16)."""

import math

import numpy as np
import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, macd_lookback
from fks_assets.quant.strategies.base import BUY, HOLD, SELL
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets_tests.quant.judging import judged
from fks_assets_tests.quant.series import candles_of, joined, of_closes, recorded, synthetic
from fks_assets_tests.quant.strategies.by_hand import RULES, macd, words
from fks_assets_tests.quant.strategies.series import rough
from fks_assets_tests.shared_data import requires_shared

OTHER = {
    "sma_atr": {"sma_period": 21, "atr_period": 30, "sl_multiplier": 1.0, "tp_multiplier": 4.5},
    "ema_crossover": {"ema_fast": 1, "ema_slow": 60, "atr_period": 1, "stop_atr": 3.0, "target_atr": 3.5},
    "macd_trend": {"macd_fast": 5, "macd_slow": 35, "macd_signal": 40, "trend_period": 90, "atr_period": 20},
    "bollinger_reversion": {"band_period": 50, "deviations": 1.5, "atr_period": 7, "stop_atr": 0.5, "least_reward_to_risk": 2.0},
    "momentum": {"period": 24, "threshold_percent": 2.5, "atr_period": 40, "target_atr": 9.0},
}
SERIES = pytest.mark.parametrize(
    "series",
    [
        pytest.param(lambda: recorded("BTC").slice(20_000, 24_000), marks=requires_shared, id="BTC"),
        pytest.param(lambda: recorded("CHZ").slice(500, 4500), marks=requires_shared, id="CHZ"),
        pytest.param(lambda: synthetic(4000, volatility=0.01, seed=14, jump=-0.7), id="synthetic"),
        pytest.param(lambda: rough(4), id="holes, a standstill and a jump"),
    ],
)


@SERIES
@pytest.mark.parametrize("overrides", [{}, OTHER], ids=["default lengths", "other lengths"])
@pytest.mark.parametrize("name", RULES)
def test_every_candle_is_judged_as_the_rules_say(name, overrides, series):
    candles, strategy = series(), create_strategy(name, overrides.get(name))
    signals, first = judged(strategy, candles), strategy.lookback_rows
    expected = words(name, candles, strategy.parameters.model_dump(), first)
    sides = [side for side, *_ in expected]
    assert signals.action[first:].tolist() == sides
    assert {BUY, HOLD, SELL} <= set(sides) or len(candles) < first + 2000
    np.testing.assert_allclose(signals.stop[first:], [stop for _, stop, _ in expected], rtol=1e-9)
    np.testing.assert_allclose(signals.target[first:], [target for *_, target in expected], rtol=1e-9)


def test_the_defaults_are_those_of_the_systems_replaced():
    defaults = {name: create_strategy(name).parameters.model_dump() for name in RULES}
    assert defaults["sma_atr"] == {"sma_period": 50, "atr_period": 14, "sl_multiplier": 2.0, "tp_multiplier": 3.0}
    assert (defaults["momentum"]["period"], defaults["ema_crossover"]["ema_fast"]) == (3, 12)
    assert [defaults["macd_trend"][f"macd_{part}"] for part in ("fast", "slow", "signal")] == [12, 26, 9]
    assert (defaults["bollinger_reversion"]["band_period"], defaults["bollinger_reversion"]["deviations"]) == (20, 2.0)


def test_reasons_are_words_that_name_the_lengths_used():
    candles = synthetic(3000, seed=5)
    said = {name: set(judged(create_strategy(name, OTHER[name]), candles).reasons) for name in RULES}
    assert {"close crosses above SMA 21", "close crosses below SMA 21", "no cross of close and SMA"} <= said["sma_atr"]
    assert {"EMA 1 rises above EMA 60", "EMA 1 falls below EMA 60"} <= said["ema_crossover"]
    assert {"MACD rises above its signal in an uptrend", "MACD falls below its signal in a downtrend"} <= said["macd_trend"]
    assert {"back above the lower band", "back below the upper band"} <= said["bollinger_reversion"]
    assert {"up more than 2.5 % in 24 candles", "down more than 2.5 % in 24 candles"} <= said["momentum"]


def test_momentum_is_a_share_of_the_price_and_not_a_difference_of_prices():
    cheap, dear = (synthetic(3000, seed=8, start_price=price) for price in (0.001, 100_000.0))
    assert (judged(create_strategy("momentum"), cheap).action == judged(create_strategy("momentum"), dear).action).all()
    close = np.full(600, 100.0)
    close[-10:-4] = (100.1, 100.2, 100.3, 101.0, 101.1, 101.2)
    said = judged(create_strategy("momentum", {"threshold_percent": 0.75}), of_closes(close)).action[-10:]
    assert said.tolist() == [0, 0, 0, 1, 0, 0, -1, 0, 0, 0]


def test_a_touch_within_rounding_is_no_cross():
    close = np.tile([100.0, 100.1], 400)
    mean = Columns(of_closes(close), {}).sma(2)
    assert np.unique(np.sign(close[600:] - mean[600:])).tolist() == [-1, 1]
    level = np.concatenate([close, np.full(30, 100.05)])
    flat = candles_of(level + 0.2, level - 0.2, level)
    signals = judged(create_strategy("sma_atr", {"sma_period": 20}), flat)
    assert (signals.action[-10:] == HOLD).all()
    assert (signals.action[600:790] != HOLD).all()


@requires_shared
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "computed"])
def test_columns_of_the_stored_lengths_are_the_stored_ones_and_equal_those_computed(stored):
    candles = recorded("ETH").slice(0, 3000)
    indicators = compute_indicators(candles)
    columns = Columns(candles, indicators if stored else {})
    macd_line, macd_signal = columns.macd(12, 26, 9)
    lower, middle, upper = columns.bollinger(20, 2.0)
    asked = {
        **{f"ema_{length}": columns.ema(length) for length in (5, 12, 13, 26)},
        **{f"sma_{length}": columns.sma(length) for length in (20, 50, 200)},
        "rsi_14": columns.rsi(14),
        "atr_14": columns.atr(14),
        "macd": macd_line,
        "bb_lower": lower,
        "bb_middle": middle,
        "bb_upper": upper,
        "high_20": columns.highest_before(20),
        "low_20": columns.lowest_before(20),
        "volume_ratio": columns.volume_ratio(5),
        "momentum_3": columns.change(3),
    }
    for name, column in asked.items():
        assert (column is indicators[name]) == stored, name
        np.testing.assert_array_equal(column, indicators[name], err_msg=name)
    np.testing.assert_array_equal(macd_signal[33:], indicators["macd_signal"][33:])


@pytest.mark.parametrize("name", RULES)
def test_a_length_of_its_own_is_computed_and_not_taken_from_the_stored_column(name):
    candles = synthetic(2500, volatility=0.01, seed=3)
    strategy, indicators = create_strategy(name, OTHER[name]), compute_indicators(candles)
    swapped = {
        column: values if column in ("high_20", "low_20") else values[::-1].copy() for column, values in indicators.items()
    }
    swapped = {column: np.nan_to_num(values, nan=1.0) for column, values in swapped.items()}
    warm = np.ones(2500, np.bool_)
    honest, other = strategy.evaluate(candles, indicators, warm), strategy.evaluate(candles, swapped, warm)
    assert (honest.action != HOLD).sum() > 10
    np.testing.assert_array_equal(honest.action, other.action)
    np.testing.assert_array_equal(honest.stop, other.stop)


@requires_shared
@pytest.mark.parametrize("lengths", [(12, 26, 9), (5, 35, 5), (8, 17, 60), (30, 90, 20)])
def test_the_look_back_of_macd_is_the_measured_one(lengths):
    candles = recorded("LTC").slice(3000, 9000)
    whole = macd(candles.close.tolist(), *lengths)
    promised, needed = macd_lookback(*lengths), 0
    for start in range(300, 4000, 370):
        part = Columns(candles.slice(start), {}).macd(*lengths)
        for ours, theirs in zip(part, whole, strict=True):
            apart = np.abs(ours - np.array(theirs[start:])) / candles.close[start:]
            apart = np.where(np.isnan(apart), np.inf, apart)
            needed = max(needed, int(np.flatnonzero(apart > 1e-12)[-1]) + 1)
    assert promised / 2 < needed <= promised


@requires_shared
@pytest.mark.parametrize("name", RULES)
def test_the_look_back_is_enough_and_longer_lengths_ask_for_more(name):
    long = {
        "sma_atr": {"sma_period": 400, "atr_period": 50},
        "ema_crossover": {"ema_fast": 50, "ema_slow": 150},
        "macd_trend": {"macd_slow": 60, "macd_signal": 60, "trend_period": 400, "macd_fast": 30},
        "bollinger_reversion": {"band_period": 100, "atr_period": 60},
        "momentum": {"period": 400, "atr_period": 60},
    }
    candles, strategy = recorded("XRP").slice(5000, 12_000), create_strategy(name, long[name])
    assert strategy.lookback_rows > create_strategy(name).lookback_rows == 501
    whole = judged(strategy, candles)
    acting = np.flatnonzero(whole.action)
    for row in [*acting[:: max(1, len(acting) // 60)], *range(4000, 4060)]:
        part = judged(strategy, candles.slice(row - strategy.lookback_rows, row + 1))
        assert (part.action[-1], part.reason(-1)) == (whole.action[row], whole.reason(row)), row
        np.testing.assert_allclose([part.stop[-1], part.target[-1]], [whole.stop[row], whole.target[row]], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("sma_atr", {"sma_period": 1}, "strategy sma_atr: sma_period: Input should be greater than or equal to 2, was 1"),
        ("sma_atr", {"sma_period": 401}, "sma_period: .* less than or equal to 400, was 401"),
        ("sma_atr", {"sl_multiplier": 3.0}, "sl_multiplier must be below tp_multiplier, was 3.0 and 3.0"),
        ("sma_atr", {"atr_period": 14.5}, "atr_period: Input should be a valid integer.*, was 14.5"),
        ("sma_atr", {"M": 50}, "M: unknown parameter, was 50"),
        ("ema_crossover", {"ema_fast": 40, "ema_slow": 5}, "ema_fast must be below ema_slow, was 40 and 5"),
        ("ema_crossover", {"ema_fast": 0}, "ema_fast: .* greater than or equal to 1, was 0"),
        ("ema_crossover", {"stop_atr": math.nan}, "stop_atr: Input should be a finite number, was nan"),
        ("ema_crossover", {"target_atr": 2.0}, "stop_atr must be below target_atr, was 2.0 and 2.0"),
        ("macd_trend", {"macd_fast": 26}, "macd_fast must be below macd_slow, was 26 and 26"),
        ("macd_trend", {"trend_period": 20}, "macd_slow must be below trend_period, was 26 and 20"),
        ("bollinger_reversion", {"deviations": 0.0}, "deviations: .* greater than or equal to 0.1, was 0.0"),
        ("bollinger_reversion", {"band_period": "20"}, "band_period: Input should be a valid integer, was '20'"),
        ("momentum", {"threshold_percent": -1.0}, "threshold_percent: Input should be greater than 0, was -1.0"),
        ("momentum", {"threshold_percent": math.inf}, "threshold_percent: .*finite number, was inf"),
        ("momentum", {"period": True}, "period: Input should be a valid integer, was True"),
    ],
)
def test_a_bad_parameter_is_one_line_naming_field_bound_and_value(name, overrides, message):
    """F16: an order that is violated is found whichever field is given first."""
    with pytest.raises(InvalidInput, match=message) as caught:
        create_strategy(name, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RULES)
def test_nothing_is_said_in_a_standstill_and_something_after_it(name):
    still = of_closes(np.full(700, 250.0))
    candles = joined(still, synthetic(300, seed=3, volatility=0.02, start_price=250.0))
    signals = judged(create_strategy(name), candles)
    assert (signals.action[:701] == HOLD).all()
    assert (signals.action[720:] != HOLD).any()


def test_a_single_candle_is_judged_without_an_error():
    one = Candles(*(np.array([value]) for value in (0, 1.0, 1.0, 1.0, 1.0, 1.0)))
    for name in RULES:
        strategy = create_strategy(name)
        indicators = {column: np.ones(1) for column in strategy.required_columns}
        assert len(strategy.judge(one, indicators)) == 1
