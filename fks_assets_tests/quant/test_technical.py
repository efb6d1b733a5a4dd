import numpy as np
import pytest

from fks_assets.quant.indicators import compute_indicators
from fks_assets.quant.strategies.base import BUY, HOLD, SELL
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.strategies.technical import STANDS_STILL
from fks_assets_tests.quant.judging import judged, last_word
from fks_assets_tests.quant.series import recorded, synthetic
from fks_assets_tests.shared_data import requires_shared

NEUTRAL = {
    "rsi_14": 50.0,
    "macd": 1.0,
    "macd_signal": 1.0,
    "bb_upper": 110.0,
    "bb_lower": 90.0,
    "atr_14": 2.0,
    "sma_50": 100.0,
    "sma_200": 100.0,
    "ema_12": 100.0,
    "ema_26": 100.0,
    "high_20": 105.0,
    "low_20": 95.0,
}
OVERSOLD, OVERBOUGHT = {"rsi_14": 29.9}, {"rsi_14": 70.1}
MACD_UP, MACD_DOWN = {"macd": 1.1}, {"macd": 0.9}
BELOW, ABOVE = {"bb_lower": 100.1}, {"bb_upper": 99.9}
UPTREND, DOWNTREND = {"sma_50": 101.0, "ema_12": 101.0}, {"sma_50": 99.0, "ema_12": 99.0}


@pytest.mark.parametrize(
    ("votes", "action", "confidence", "reason"),
    [
        ({}, HOLD, 0.0, "nobody votes"),
        (OVERSOLD, HOLD, 0.0, "RSI oversold"),
        (MACD_UP | UPTREND, BUY, 0.5, "MACD above its signal; uptrend"),
        (MACD_DOWN | DOWNTREND, SELL, 0.5, "MACD below its signal; downtrend"),
        (OVERSOLD | BELOW, BUY, 0.5, "RSI oversold; close below the lower band"),
        (OVERBOUGHT | ABOVE, SELL, 0.5, "RSI overbought; close above the upper band"),
        (OVERSOLD | BELOW | MACD_UP, BUY, 0.75, "RSI oversold; MACD above its signal; close below the lower band"),
        (
            OVERSOLD | BELOW | MACD_UP | UPTREND,
            BUY,
            1.0,
            "RSI oversold; MACD above its signal; close below the lower band; uptrend",
        ),
        (
            OVERBOUGHT | ABOVE | MACD_DOWN | DOWNTREND,
            SELL,
            1.0,
            "RSI overbought; MACD below its signal; close above the upper band; downtrend",
        ),
        (OVERBOUGHT | MACD_UP | UPTREND, HOLD, 0.0, "RSI overbought; MACD above its signal; uptrend"),
        (
            OVERSOLD | BELOW | MACD_DOWN | DOWNTREND,
            HOLD,
            0.0,
            "RSI oversold; MACD below its signal; close below the lower band; downtrend",
        ),
        ({"sma_50": 101.0, "ema_12": 99.0}, HOLD, 0.0, "nobody votes"),
        (MACD_UP | UPTREND | {"low_20": 105.0}, HOLD, 0.0, STANDS_STILL),
    ],
)
def test_the_votes_decide_action_confidence_and_reason(votes, action, confidence, reason):
    word = last_word(create_strategy("technical"), NEUTRAL, NEUTRAL | votes)
    assert (word[0], word[1], word[4]) == (action, confidence, reason)


@pytest.mark.parametrize("bound", [{"rsi_14": 30.0}, {"rsi_14": 70.0}, {"macd": 1.0}, {"bb_lower": 100.0}, {"bb_upper": 100.0}])
def test_a_value_on_its_bound_is_no_vote(bound):
    assert last_word(create_strategy("technical"), NEUTRAL, NEUTRAL | bound)[4] == "nobody votes"


def test_stop_and_target_are_multiples_of_the_average_true_range_on_either_side():
    assert last_word(create_strategy("technical"), NEUTRAL, NEUTRAL | MACD_UP | UPTREND)[2:4] == (96.0, 106.0)
    assert last_word(create_strategy("technical"), NEUTRAL, NEUTRAL | MACD_DOWN | DOWNTREND)[2:4] == (104.0, 94.0)
    tight = create_strategy("technical", {"stop_atr": 1.0, "target_atr": 5.0})
    assert last_word(tight, NEUTRAL, NEUTRAL | MACD_UP | UPTREND)[2:4] == (98.0, 110.0)


def test_a_range_as_wide_as_the_price_leaves_no_room_for_a_stop():
    word = last_word(create_strategy("technical"), NEUTRAL, NEUTRAL | MACD_UP | UPTREND | {"atr_14": 50.0})
    assert (word[0], word[4]) == (HOLD, "no price for a stop or a target")


def test_more_votes_needed_means_fewer_signals_of_more_confidence():
    candles = synthetic(8000, seed=2)
    counts, confidences = [], []
    for needed in (1, 2, 3):
        signals = judged(create_strategy("technical", {"votes_needed": needed}), candles)
        acting = signals.action != HOLD
        counts.append(int(acting.sum()))
        confidences.append(float(signals.confidence[acting].min()))
    assert counts[0] > counts[1] > counts[2] > 0
    assert confidences == [0.25, 0.5, 0.75]


@requires_shared
@pytest.mark.parametrize("base", ["ETH", "DOGE"])
def test_recorded_candles_are_judged_as_the_rules_say_row_by_row(base):
    candles = recorded(base).slice(4000, 9000)
    signals = judged(create_strategy("technical"), candles)
    values = {name: column.tolist() for name, column in compute_indicators(candles).items()}
    for row in range(501, len(candles)):
        now = {name: column[row] for name, column in values.items()}
        close = float(candles.close[row])
        net = (now["rsi_14"] < 30) - (now["rsi_14"] > 70)
        net += (now["macd"] > now["macd_signal"]) - (now["macd"] < now["macd_signal"])
        net += (close < now["bb_lower"]) - (close > now["bb_upper"])
        if now["sma_50"] > now["sma_200"] and now["ema_12"] > now["ema_26"]:
            net += 1
        if now["sma_50"] < now["sma_200"] and now["ema_12"] < now["ema_26"]:
            net -= 1
        side = (net >= 2) - (net <= -2)
        assert signals.action[row] == side
        if side:
            assert signals.confidence[row] == abs(net) / 4
            assert signals.stop[row] == pytest.approx(close - side * 2 * now["atr_14"], rel=1e-14)
            assert signals.target[row] == pytest.approx(close + side * 3 * now["atr_14"], rel=1e-14)
    assert np.isin((BUY, SELL), signals.action).all()
