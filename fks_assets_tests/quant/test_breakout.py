import itertools

import numpy as np
import pytest

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators
from fks_assets.quant.strategies.base import BUY, HOLD, SELL
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets_tests.quant.judging import judged, last_word
from fks_assets_tests.quant.series import joined, recorded, synthetic
from fks_assets_tests.shared_data import requires_shared

RISING = {
    "ema_5": 101.0,
    "ema_13": 100.0,
    "rsi_14": 60.0,
    "high_20": 99.0,
    "low_20": 90.0,
    "volume_ratio": 1.3,
    "momentum_3": 0.01,
}
FALLING = RISING | {"ema_5": 99.0, "rsi_14": 40.0, "high_20": 110.0, "low_20": 101.0, "momentum_3": -0.01}
INSIDE = {"high_20": 110.0, "low_20": 90.0}
NOTHING = (HOLD, 0.0, "no breakout, no EMA cross")
HIGH, LOW = (BUY, 0.8, "High breakout + EMA cross"), (SELL, 0.8, "Low breakout + EMA cross")
CROSS_UP, CROSS_DOWN = (BUY, 0.7, "Momentum + EMA cross up"), (SELL, 0.7, "Momentum + EMA cross down")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (RISING, RISING, HIGH),
        (RISING, RISING | {"high_20": 100.0}, NOTHING),
        (RISING, RISING | {"volume_ratio": 1.2}, NOTHING),
        (RISING, RISING | {"rsi_14": 75.0}, NOTHING),
        (RISING, RISING | {"rsi_14": 74.9}, HIGH),
        (RISING, RISING | {"ema_13": 101.0}, NOTHING),
        (FALLING, FALLING, LOW),
        (FALLING, FALLING | {"low_20": 100.0}, NOTHING),
        (FALLING, FALLING | {"volume_ratio": 1.2}, NOTHING),
        (FALLING, FALLING | {"rsi_14": 25.0}, NOTHING),
        (FALLING, FALLING | {"rsi_14": 25.1}, LOW),
        (RISING, RISING | INSIDE, NOTHING),
        (FALLING, RISING | INSIDE, CROSS_UP),
        (FALLING, RISING | INSIDE | {"volume_ratio": 0.1}, CROSS_UP),
        (RISING | {"ema_5": 100.0}, RISING | INSIDE, CROSS_UP),
        (FALLING, RISING | INSIDE | {"momentum_3": 0.0}, NOTHING),
        (FALLING, RISING | INSIDE | {"rsi_14": 70.0}, NOTHING),
        (RISING, FALLING | INSIDE, CROSS_DOWN),
        (RISING, FALLING | INSIDE | {"momentum_3": 0.0}, NOTHING),
        (RISING, FALLING | INSIDE | {"rsi_14": 30.0}, NOTHING),
        (FALLING, RISING, HIGH),
    ],
)
def test_the_rule_decides_action_confidence_and_reason(before, now, expected):
    """S3.15, and of S3.17 the momentum signals."""
    word = last_word(create_strategy("breakout"), before, now)
    assert (word[0], word[1], word[4]) == expected


def test_stop_and_target_are_0_3_and_0_6_percent_from_the_close():
    """S3.15, S3.29."""
    assert last_word(create_strategy("breakout"), RISING, RISING)[2:4] == pytest.approx((99.7, 100.6), rel=1e-15)
    assert last_word(create_strategy("breakout"), FALLING, FALLING)[2:4] == pytest.approx((100.3, 99.4), rel=1e-15)
    wide = create_strategy("breakout", {"stop_loss_percent": 5.0, "take_profit_percent": 10.0})
    assert last_word(wide, RISING, RISING)[2:4] == pytest.approx((95.0, 110.0), rel=1e-15)


def test_momentum_signals_can_be_switched_off():
    """S3.17: they are in the code only, not in the rule book."""
    quiet = create_strategy("breakout", {"momentum_signals": False})
    assert last_word(quiet, FALLING, RISING | INSIDE)[0] == HOLD
    assert last_word(quiet, RISING, RISING)[0] == BUY


def test_the_candles_own_high_does_not_hide_its_breakout():
    """F12: the high of 20 candles is that of those before."""
    candles = synthetic(700, volatility=0.001, seed=8)
    last = candles.slice(699)
    top = float(candles.high.max())
    jump = Candles(last.open_time, last.open, *(np.array([top * factor]) for factor in (1.02, 0.99, 1.01)), last.volume * 50)
    signals = judged(create_strategy("breakout", {"rsi_high": 99.0}), joined(candles.slice(0, 699), jump))
    assert (int(signals.action[-1]), signals.reason(-1)) == (BUY, "High breakout + EMA cross")


def by_hand(candles: Candles, *, fast: int, slow: int, period: int, lookback: int, volumes: int) -> list[tuple[int, str]]:
    """Return (action, reason) of each candle by the rule book, one candle at a time, in plain Python."""
    high, low, close, volume = (getattr(candles, name).tolist() for name in ("high", "low", "close", "volume"))
    emas: dict[int, list[float]] = {}
    for length in (fast, slow):
        values = [sum(close[:length]) / length] * length
        for price in close[length:]:
            values.append(values[-1] + 2 / (length + 1) * (price - values[-1]))
        emas[length] = values
    changes = [later - earlier for earlier, later in itertools.pairwise(close)]
    gain = sum(max(change, 0) for change in changes[:period]) / period
    loss = sum(max(-change, 0) for change in changes[:period]) / period
    words = []
    for row in range(1, len(close)):
        if row > period:
            gain = (gain * (period - 1) + max(changes[row - 1], 0)) / period
            loss = (loss * (period - 1) + max(-changes[row - 1], 0)) / period
        if row < lookback + volumes + 3 or row < slow + 1:
            continue
        rsi = 100 * gain / (gain + loss)
        above, was_above = emas[fast][row] > emas[slow][row], emas[fast][row - 1] > emas[slow][row - 1]
        below, was_below = emas[fast][row] < emas[slow][row], emas[fast][row - 1] < emas[slow][row - 1]
        busy = volume[row] > 1.2 * (sum(volume[row - volumes + 1 : row + 1]) / volumes)
        momentum = close[row] / close[row - 3] - 1
        if close[row] > max(high[row - lookback : row]) and above and rsi < 75 and busy:
            words.append((BUY, "High breakout + EMA cross"))
        elif close[row] < min(low[row - lookback : row]) and below and rsi > 25 and busy:
            words.append((SELL, "Low breakout + EMA cross"))
        elif above and not was_above and momentum > 0 and rsi < 70:
            words.append((BUY, "Momentum + EMA cross up"))
        elif below and not was_below and momentum < 0 and rsi > 30:
            words.append((SELL, "Momentum + EMA cross down"))
        else:
            words.append((HOLD, "no breakout, no EMA cross"))
    return words


@requires_shared
@pytest.mark.parametrize(
    ("overrides", "lengths"),
    [
        ({}, {"fast": 5, "slow": 13, "period": 14, "lookback": 20, "volumes": 5}),
        (
            {"ema_fast": 9, "ema_slow": 34, "rsi_period": 21, "lookback": 50, "volume_period": 24},
            {"fast": 9, "slow": 34, "period": 21, "lookback": 50, "volumes": 24},
        ),
    ],
    ids=["default lengths", "other lengths"],
)
@pytest.mark.parametrize("base", ["BTC", "LTC"])
def test_recorded_candles_are_judged_as_the_rule_book_says_row_by_row(base, overrides, lengths):
    """S3.13, S3.15, S3.16."""
    candles = recorded(base).slice(20_000, 25_000)
    strategy = create_strategy("breakout", overrides)
    signals = judged(strategy, candles)
    expected = by_hand(candles, **lengths)
    first = strategy.lookback_rows
    ours = [(int(signals.action[row]), signals.reason(row)) for row in range(first, len(candles))]
    assert ours == expected[-len(ours) :]
    assert {action for action, _ in ours} == {BUY, HOLD, SELL}


def test_default_lengths_come_from_the_stored_indicators_and_others_from_the_candles():
    candles = synthetic(1200, seed=6)
    indicators = compute_indicators(candles)
    warm = np.ones(1200, np.bool_)
    lifted = {**indicators, "high_20": np.full(1200, 1e12)}
    breakouts = [
        int((create_strategy("breakout", overrides).evaluate(candles, stored, warm).confidence == 0.8).sum())
        for overrides, stored in (({}, indicators), ({}, lifted), ({"lookback": 21}, indicators), ({"lookback": 21}, lifted))
    ]
    assert breakouts[0] > breakouts[1] > 0
    assert breakouts[2] == breakouts[3] > 0


def test_longer_lengths_ask_for_more_history():
    assert create_strategy("breakout").lookback_rows == 501
    assert create_strategy("breakout", {"lookback": 400}).lookback_rows == 501
    assert create_strategy("breakout", {"ema_slow": 200}).lookback_rows > 2500
