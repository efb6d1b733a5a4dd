"""What holds for every strategy: validated parameters, one word a candle, nothing said without enough history."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.candles import empty_candles
from fks_assets.quant.indicators import INDICATOR_COLUMNS, WARMUP_ROWS, compute_indicators, warm_rows
from fks_assets.quant.strategies.base import (
    BUY,
    HOLD,
    NO_STOP_OR_TARGET,
    SELL,
    TOO_LITTLE_HISTORY,
    Parameters,
    SignalColumns,
    Strategy,
)
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy, settings_hash
from fks_assets.quant.strategies.rules import Rule, decide
from fks_assets.quant.timeframes import month_window, months_between
from fks_assets_tests.quant.judging import judged
from fks_assets_tests.quant.series import joined, of_closes, recorded, synthetic
from fks_assets_tests.shared_data import requires_shared

EVERY = pytest.mark.parametrize("name", STRATEGIES)


def test_an_unknown_strategy_is_refused_with_the_list_of_known_ones():
    """S3.3."""
    with pytest.raises(InvalidInput, match=r"Unknown strategy: 'momentun'; known: technical, breakout"):
        create_strategy("momentun", {})


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("breakout", {"ema_fast": 40, "ema_slow": 5}, "strategy breakout: ema_fast must be below ema_slow, was 40 and 5"),
        ("breakout", {"ema_fast": 13}, "ema_fast must be below ema_slow, was 13 and 13"),
        ("breakout", {"ema_fast": 51}, "ema_fast: Input should be less than or equal to 50, was 51"),
        ("breakout", {"ema_fast": 0}, "ema_fast: Input should be greater than 0, was 0"),
        ("breakout", {"ema_slow": 201}, "ema_slow: Input should be less than or equal to 200, was 201"),
        ("breakout", {"stop_loss_percent": 0.0}, "stop_loss_percent: Input should be greater than 0, was 0.0"),
        ("breakout", {"stop_loss_percent": 5.01, "take_profit_percent": 9.0}, "stop_loss_percent: .* equal to 5, was 5.01"),
        ("breakout", {"take_profit_percent": 10.5}, "take_profit_percent: .* equal to 10, was 10.5"),
        ("breakout", {"stop_loss_percent": 0.6}, "stop_loss_percent must be below take_profit_percent, was 0.6 and 0.6"),
        ("breakout", {"rsi_low": 80.0}, "rsi_low must be below rsi_high, was 80.0 and 75.0"),
        ("breakout", {"volume_ratio": math.nan}, "volume_ratio: Input should be a finite number, was nan"),
        ("breakout", {"volume_ratio": math.inf}, "volume_ratio: .*was inf"),
        ("breakout", {"lookback": 1}, "lookback: .* equal to 2, was 1"),
        ("breakout", {"lookback": "20"}, "lookback: Input should be a valid integer, was '20'"),
        ("breakout", {"lookback": True}, "lookback: Input should be a valid integer, was True"),
        ("breakout", {"ema_fats": 6}, "ema_fats: unknown parameter, was 6"),
        ("technical", {"votes_needed": 5}, "strategy technical: votes_needed: .* equal to 4, was 5"),
        ("technical", {"rsi_oversold": 70.0}, "rsi_oversold must be below rsi_overbought, was 70.0 and 70.0"),
        ("technical", {"target_atr": 2.9}, "target_atr must be at least 1.5 times stop_atr, was 2.9 and 2.0"),
    ],
)
def test_a_bad_parameter_is_one_line_naming_field_bound_and_value(name, overrides, message):
    """S3.29, F16: `ema_fast` is held against `ema_slow` once both are known."""
    with pytest.raises(InvalidInput, match=message) as caught:
        create_strategy(name, overrides)
    assert "\n" not in str(caught.value)


def test_all_bad_parameters_are_named_at_once_and_a_long_value_is_cut():
    with pytest.raises(InvalidInput) as caught:
        create_strategy("breakout", {"ema_fast": 99, "nonsense": "x" * 5000})
    assert "ema_fast: " in str(caught.value)
    assert "nonsense: unknown parameter" in str(caught.value)
    assert len(str(caught.value)) < 250


@EVERY
def test_defaults_are_within_their_own_bounds_and_cannot_be_changed_later(name):
    strategy = create_strategy(name)
    assert type(strategy.parameters).model_validate(strategy.parameters.model_dump()) == strategy.parameters
    field = next(iter(type(strategy.parameters).model_fields))
    with pytest.raises(ValueError, match="frozen"):
        setattr(strategy.parameters, field, 1)


@EVERY
def test_what_a_strategy_needs_is_among_the_indicators(name):
    assert set(STRATEGIES[name].required_columns) <= set(INDICATOR_COLUMNS)


def test_the_settings_hash_changes_with_any_parameter_and_with_nothing_else():
    def hashed(**overrides: Any) -> str:
        return settings_hash([create_strategy("technical"), create_strategy("breakout", overrides)])

    assert hashed() == hashed() == hashed(lookback=20)
    assert len({hashed(), hashed(lookback=21), hashed(volume_ratio=1.3), hashed(momentum_signals=False)}) == 4


@EVERY
@pytest.mark.parametrize("rows", [0, 1, 30, WARMUP_ROWS])
def test_with_too_little_history_every_row_is_hold_and_says_so(name, rows):
    """S3.25: too little history is no error that has to be tried again, but a word that says so."""
    signals = judged(create_strategy(name), synthetic(rows) if rows else empty_candles())
    assert len(signals) == rows
    assert (signals.action == HOLD).all()
    assert {signals.reason(row) for row in range(rows)} <= {TOO_LITTLE_HISTORY}


@EVERY
def test_rows_that_are_not_warm_are_hold_whatever_the_market_does(name):
    candles = synthetic(2000)
    strategy, indicators = create_strategy(name), compute_indicators(candles)
    told = strategy.evaluate(candles, indicators, warm_rows(2000))
    cold = warm_rows(2000) & (np.arange(2000) % 2 == 0)
    half = strategy.evaluate(candles, indicators, cold)
    assert (told.action[601::2] != HOLD).any()
    assert (half.action[~cold] == HOLD).all()
    assert (half.action[cold] == told.action[cold]).all()


@EVERY
def test_an_indicator_that_is_no_number_makes_its_row_hold(name):
    candles = synthetic(1500)
    strategy, indicators = create_strategy(name), compute_indicators(candles)
    row = int(np.flatnonzero(strategy.evaluate(candles, indicators, warm_rows(1500)).action)[0])
    for column in strategy.required_columns:
        values = indicators[column].copy()
        values[row] = math.nan
        signals = strategy.evaluate(candles, {**indicators, column: values}, warm_rows(1500))
        assert (signals.action[row], signals.reason(row)) == (HOLD, TOO_LITTLE_HISTORY), column


@EVERY
def test_a_missing_or_misaligned_column_is_refused_by_name(name):
    candles = synthetic(600)
    strategy, indicators = create_strategy(name), compute_indicators(candles)
    column = strategy.required_columns[-1]
    with pytest.raises(InvalidInput, match=f"strategy {name}: indicator {column} is missing"):
        strategy.evaluate(candles, {key: value for key, value in indicators.items() if key != column}, warm_rows(600))
    with pytest.raises(InvalidInput, match=rf"strategy {name}: {column} has shape \(599,\), the candles have 600 rows"):
        strategy.evaluate(candles, {**indicators, column: indicators[column][1:]}, warm_rows(600))
    with pytest.raises(InvalidInput, match=r"warm has shape \(601,\)"):
        strategy.evaluate(candles, indicators, warm_rows(601))


@EVERY
@pytest.mark.parametrize("volatility", [0.003, 0.05])
def test_every_signal_is_well_formed(name, volatility):
    """S3.2, S3.17: one sound judgement a candle, with its stop and its target on either side of the close."""
    candles = synthetic(6000, volatility=volatility, seed=9)
    signals = judged(create_strategy(name), candles)
    assert [
        column.dtype for column in (signals.action, signals.confidence, signals.stop, signals.target, signals.reason_codes)
    ] == [
        np.int8,
        np.float64,
        np.float64,
        np.float64,
        np.int16,
    ]
    buys, sells, holds = (signals.action == side for side in (BUY, SELL, HOLD))
    assert buys.sum() > 50
    assert sells.sum() > 50
    assert (buys | sells | holds).all()
    assert ((signals.confidence[~holds] > 0) & (signals.confidence[~holds] <= 1)).all()
    assert (signals.confidence[holds] == 0).all()
    assert np.isnan(signals.stop[holds]).all()
    assert np.isnan(signals.target[holds]).all()
    for rows, below, above in ((buys, signals.stop, signals.target), (sells, signals.target, signals.stop)):
        assert ((below[rows] > 0) & (below[rows] < candles.close[rows]) & (candles.close[rows] < above[rows])).all()
    assert set(np.unique(signals.reason_codes).tolist()) == set(range(len(signals.reasons)))
    assert all(signals.reasons)
    encoded = pa.DictionaryArray.from_arrays(pa.array(signals.reason_codes), pa.array(signals.reasons))
    assert encoded[-1].as_py() == signals.reason(-1)


@EVERY
def test_a_market_that_stands_still_gives_no_signal(name):
    candles = joined(synthetic(900, seed=3), of_closes(np.full(900, 250.0)))
    signals = judged(create_strategy(name), candles)
    assert (signals.action[925:] == HOLD).all()
    assert (judged(create_strategy(name), of_closes(np.full(900, 250.0))).action == HOLD).all()


class Absurd(Strategy[Parameters]):
    """Buys every candle with the stop and target it was made with."""

    name = "absurd"
    parameters_model = Parameters
    required_columns = ("rsi_14",)

    def __init__(self, stop: float, target: float) -> None:
        super().__init__(Parameters())
        self.prices = stop, target

    def judge(self, candles, indicators):
        rows = len(candles)
        stop, target = (np.full(rows, price) for price in self.prices)
        return SignalColumns(np.ones(rows, np.int8), np.ones(rows), stop, target, np.zeros(rows, np.int16), ("always",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": np.ones(3, np.int8)}, r"action as int8 of shape \(3,\); it must be numbers, one for each of 502 rows"),
        ({"stop": [90.0] * 502}, "stop as list; it must be numbers"),
        ({"confidence": np.array(["1.0"] * 502)}, "confidence as <U3 of shape"),
        ({"action": np.full(502, 2, np.int8)}, "action 2 in row 0; it must be 1, 0 or -1"),
        ({"action": np.full(502, math.nan)}, "action nan in row 0; it must be 1, 0 or -1"),
        ({"confidence": np.full(502, 1.01)}, "confidence 1.01 in row 0; it must be above 0 and at most 1"),
        ({"confidence": np.full(502, math.nan)}, "confidence nan in row 0; it must be above 0 and at most 1"),
        ({"confidence": np.zeros(502)}, "confidence 0.0 in row 0"),
        ({"reason_codes": np.ones(502, np.int16)}, "reason_codes 1 in row 0; it must be from 0 to 0"),
    ],
)
def test_what_is_no_sound_judgement_is_refused_by_column_and_value(changes, message):
    class Unsound(Absurd):
        def judge(self, candles, indicators):
            return replace(super().judge(candles, indicators), **changes)

    with pytest.raises(InvalidInput, match=f"strategy absurd: judge gave {message}") as caught:
        judged(Unsound(90.0, 110.0), of_closes(np.full(WARMUP_ROWS + 2, 100.0)))
    assert "\n" not in str(caught.value)


def test_columns_changed_after_the_rules_decided_are_looked_at_like_any_others():
    """It acts where no rule held, so too early and without a stop or a target."""

    class Tampering(Absurd):
        def judge(self, candles, indicators):
            rows = np.zeros(len(candles), np.bool_)
            rows[-1] = True
            decided = decide([Rule(rows, BUY, 1.0, "the last one")], "nothing").at_parts(candles.close, 0.1, 0.1)
            decided.action[:], decided.confidence[:] = BUY, 1.0
            return decided

    signals = judged(Tampering(90.0, 110.0), of_closes(np.full(WARMUP_ROWS + 5, 100.0)))
    assert np.flatnonzero(signals.action).tolist() == [WARMUP_ROWS + 4]
    assert np.flatnonzero(signals.confidence).tolist() == np.flatnonzero(np.isfinite(signals.stop)).tolist() == [WARMUP_ROWS + 4]


def test_nobody_is_asked_about_candles_without_enough_history():
    class Unready(Absurd):
        def judge(self, candles, indicators):
            raise AssertionError("asked")

    assert (judged(Unready(90.0, 110.0), synthetic(WARMUP_ROWS)).action == HOLD).all()


def test_evaluate_cannot_be_replaced():
    with pytest.raises(TypeError, match="Impatient may not replace evaluate"):
        type("Impatient", (Absurd,), {"evaluate": lambda *_: None})


@pytest.mark.parametrize(
    ("stop", "target", "action"),
    [
        (90.0, 110.0, BUY),
        (100.0, 110.0, HOLD),
        (101.0, 110.0, HOLD),
        (90.0, 100.0, HOLD),
        (-5.0, 110.0, HOLD),
        (0.0, 110.0, HOLD),
        (math.nan, 110.0, HOLD),
        (90.0, math.nan, HOLD),
        (90.0, math.inf, HOLD),
    ],
)
def test_a_signal_without_a_sound_stop_and_target_becomes_hold(stop, target, action):
    signals = judged(Absurd(stop, target), of_closes(np.full(WARMUP_ROWS + 2, 100.0)))
    assert (signals.action[-1], signals.reason(-1)) == (action, "always" if action == BUY else NO_STOP_OR_TARGET)


@requires_shared
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        *((name, {}) for name in STRATEGIES),
        ("breakout", {"ema_fast": 50, "ema_slow": 200, "rsi_period": 60, "lookback": 300, "volume_period": 48}),
    ],
    ids=[*STRATEGIES, "slow breakout"],
)
@pytest.mark.parametrize("base", ["BTC", "CHZ"])
def test_months_judged_in_any_order_say_what_the_whole_history_says(base, name, overrides):
    """F6, C32: what was said once is not changed by where the candles begin or what comes after."""
    candles, strategy = recorded(base), create_strategy(name, overrides)
    whole = judged(strategy, candles)
    months = months_between(int(candles.open_time[0]), int(candles.open_time[-1]) + 1)
    np.random.default_rng(5).shuffle(months)
    acting = 0
    for month in months:
        first, end = np.searchsorted(candles.open_time, month_window(month)).tolist()
        begin = max(0, first - strategy.lookback_rows)
        part = judged(strategy, candles.slice(begin, end))
        assert part.action[first - begin :].tolist() == whole.action[first:end].tolist()
        assert [part.reason(row) for row in range(first - begin, end - begin)] == [whole.reason(row) for row in range(first, end)]
        np.testing.assert_allclose(part.stop[first - begin :], whole.stop[first:end], rtol=1e-12)
        acting += int((part.action[first - begin :] != HOLD).sum())
    assert acting == int((whole.action != HOLD).sum()) > 100
