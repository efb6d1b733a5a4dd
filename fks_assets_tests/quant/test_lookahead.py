"""Nothing sees the future: cut off at every candle, indicators and strategies say bit by bit what they said with the whole
series.

The planted cheats show that the same check would find it if they did.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.lookahead import Columns, columns_of, judgement
from fks_assets.quant.strategies.base import BUY, HOLD, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy
from fks_assets_tests.quant.series import recorded, synthetic
from fks_assets_tests.shared_data import requires_shared

SERIES = pytest.mark.parametrize(
    "candles",
    [
        pytest.param(lambda: recorded("BTC").slice(30_000, 32_000), marks=[requires_shared, pytest.mark.nightly], id="BTC 2021"),
        pytest.param(lambda: recorded("CHZ").slice(0, 2000), marks=requires_shared, id="CHZ from its listing"),
        pytest.param(lambda: synthetic(2000, seed=21, jump=-1.0), marks=pytest.mark.nightly, id="synthetic crash"),
    ],
)


def first_lookahead_row(
    compute: Callable[[Candles], Columns], candles: Candles, rows: Iterable[int] | None = None
) -> tuple[int, str] | None:
    """Return the first of `rows` (all by default) whose value changes when every later candle is cut off, with the column; None
    if none does.

    What is compared is the last row of the cut series, which is what a live desk would have seen at that candle's close, bit by
    bit. Each row costs one evaluation of its past: a few thousand candles take seconds.
    """
    whole = compute(candles)
    for row in range(len(candles)) if rows is None else rows:
        cut = compute(candles.slice(0, row + 1))
        for name, column in whole.items():
            seen, now = column[row], cut[name][-1]
            if seen != now and not (seen != seen and now != now):
                return row, name
    return None


def strategy_columns(strategy: Strategy[Any]) -> Callable[[Candles], Columns]:
    """Return the function from candles to everything the strategy says of them, indicators computed on the way."""
    return lambda candles: columns_of(judgement(strategy, candles))


def everything_said(candles: Candles) -> dict[str, np.ndarray]:
    """Return every indicator, and every column of every strategy, of the candles."""
    columns = compute_indicators(candles)
    said = dict(columns)
    for name in STRATEGIES:
        says = columns_of(create_strategy(name).evaluate(candles, columns, warm_rows(len(candles))))
        said |= {f"{name} {column}": values for column, values in says.items()}
    return said


@SERIES
def test_no_indicator_and_no_strategy_sees_the_future_at_any_candle(candles: Callable[[], Candles]):
    said = everything_said(candles())
    for name in STRATEGIES:
        assert (said[f"{name} action"] != HOLD).sum() > 30
    assert first_lookahead_row(everything_said, candles()) is None


def test_a_breakout_with_lengths_of_its_own_does_not_see_the_future_either():
    strategy = create_strategy("breakout", {"ema_fast": 3, "ema_slow": 40, "rsi_period": 9, "lookback": 33, "volume_period": 7})
    assert first_lookahead_row(strategy_columns(strategy), synthetic(1500, seed=22)) is None


def signal_of(close: pd.Series, level: pd.Series) -> dict[str, np.ndarray]:
    return {"action": np.sign(close - level).fillna(0).to_numpy()}


HONEST = {
    "mean of the last 20": lambda close: signal_of(close, close.rolling(20).mean()),
    "highest so far": lambda close: signal_of(close, close.expanding().max().shift(1)),
    "exponential mean": lambda close: signal_of(close, close.ewm(span=10).mean()),
    "the candle before": lambda close: signal_of(close, close.shift(1)),
    "score over the past": lambda close: {"score": ((close - close.expanding().mean()) / close.expanding().std()).to_numpy()},
}
CHEATS = {
    "the next close": lambda close: signal_of(close, close.shift(-1)),
    "mean of the whole series": lambda close: signal_of(close, pd.Series(close.mean(), close.index)),
    "centred mean": lambda close: signal_of(close, close.rolling(9, center=True).mean()),
    "filled backwards": lambda close: signal_of(close, close.where(np.arange(len(close)) % 6 == 5).bfill()),
    "share of the all-time range": lambda close: {"place": ((close - close.min()) / (close.max() - close.min())).to_numpy()},
    "normalised to the first row of the last 300": lambda close: {
        "normal": (close / close.iloc[max(0, len(close) - 300)]).to_numpy()
    },
    "the day's close from its first hour": lambda close: signal_of(
        close, close.groupby(np.arange(len(close)) // 24).transform("last")
    ),
    "smoothed from the end": lambda close: signal_of(close, close[::-1].ewm(span=10).mean()[::-1]),
}


def on_closes(function: Callable[[pd.Series], dict[str, np.ndarray]]) -> Callable[[Candles], dict[str, np.ndarray]]:
    return lambda candles: function(pd.Series(candles.close))


@pytest.mark.parametrize("name", CHEATS)
def test_every_planted_cheat_is_caught(name):
    assert first_lookahead_row(on_closes(CHEATS[name]), synthetic(400, seed=30)) is not None


@pytest.mark.parametrize("name", HONEST)
def test_no_honest_rule_is_accused(name):
    assert first_lookahead_row(on_closes(HONEST[name]), synthetic(400, seed=30)) is None


class Clairvoyant(Strategy[Parameters]):
    """Buys when the next candle closes higher: a shift by one in the wrong direction."""

    name = "clairvoyant"
    parameters_model = Parameters
    required_columns = ("atr_14",)

    def judge(self, candles, indicators):
        following = np.append(candles.close[1:], candles.close[-1:])
        action = np.where(following > candles.close, BUY, np.where(following < candles.close, SELL, HOLD)).astype(np.int8)
        rows = len(candles)
        stop, target = candles.close - action * indicators["atr_14"], candles.close + action * indicators["atr_14"]
        return SignalColumns(action, np.ones(rows), stop, target, np.zeros(rows, np.int16), ("I knew",))


def test_a_strategy_shifted_by_one_candle_is_caught_at_its_first_signal():
    strategy = Clairvoyant(Parameters())
    assert first_lookahead_row(strategy_columns(strategy), synthetic(700)) == (strategy.lookback_rows, "action")


def test_a_single_peek_deep_in_the_series_is_found_at_its_row_and_only_if_that_row_is_looked_at():
    def peeks_once(candles: Candles) -> dict[str, np.ndarray]:
        values = candles.close.copy()
        values[200:201] = candles.close[201] if len(candles) > 201 else 0.0
        return {"close": values}

    candles = synthetic(400)
    assert first_lookahead_row(peeks_once, candles) == (200, "close")
    assert first_lookahead_row(peeks_once, candles, rows=range(190, 210)) == (200, "close")
    assert first_lookahead_row(peeks_once, candles, rows=range(200)) is None


def test_values_that_are_no_number_on_both_sides_are_the_same():
    assert first_lookahead_row(lambda candles: {"nothing": np.full(len(candles), np.nan)}, synthetic(50)) is None
