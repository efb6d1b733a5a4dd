"""What a sweep lends to many strategies: the same judgements as of columns of one's own, each column computed once."""

from collections.abc import Mapping

import numpy as np
import pytest
import talib

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.base import Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.lending import MOST_KEPT, LentColumns
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy
from fks_assets_tests.quant.series import synthetic
from fks_assets_tests.quant.strategies.test_certificate import OWN_LENGTHS

CANDLES = synthetic(1500, volatility=0.01, seed=21)
INDICATORS, WARM = compute_indicators(CANDLES), warm_rows(len(CANDLES))


def lent() -> LentColumns:
    return LentColumns(CANDLES, INDICATORS, WARM)


def test_judgements_are_those_of_a_strategys_own_columns() -> None:
    columns = lent()
    for name in STRATEGIES:
        for lengths in ({}, OWN_LENGTHS.get(name, {}), {}):
            strategy = create_strategy(name, lengths)
            own, others = (Strategy.evaluate(strategy, CANDLES, each, WARM) for each in (INDICATORS, columns))
            assert own.reasons == others.reasons
            for column in ("action", "confidence", "stop", "target", "reason_codes"):
                np.testing.assert_array_equal(getattr(own, column), getattr(others, column))


def test_a_column_is_computed_once_until_many_others_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    mean = talib.SMA
    monkeypatch.setattr(talib, "SMA", lambda close, length: computed.append(length) or mean(close, length))
    columns = lent()
    for length in (33, 34, 33, 34):
        np.testing.assert_array_equal(Columns(CANDLES, columns).sma(length), mean(CANDLES.close, length))
    assert computed == [33, 34]
    for length in range(100, 100 + MOST_KEPT - 1):
        Columns(CANDLES, columns).sma(length)
    computed.clear()
    Columns(CANDLES, columns).sma(34)
    assert computed == []
    Columns(CANDLES, columns).sma(33)
    assert computed == [33]


def test_the_columns_of_other_candles_are_their_own() -> None:
    columns, part = lent(), CANDLES.slice(0, 700)
    Columns(CANDLES, columns).sma(33)
    np.testing.assert_array_equal(Columns(part, columns).sma(33), talib.SMA(part.close, 33))
    strategy = create_strategy("sma_atr")
    first = {name: column[:700] for name, column in INDICATORS.items()}
    cold = np.zeros(700, np.bool_)
    assert not Strategy.evaluate(strategy, part, LentColumns(part, first, WARM[:700]), cold).action.any()


@pytest.mark.parametrize("columns", [INDICATORS, lent()], ids=["own", "lent"])
def test_what_is_computed_cannot_be_changed_by_a_strategy(columns: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Columns(CANDLES, columns).sma(33)[0] = 1.0


class Hasty(Strategy[Parameters]):
    """Buys in every candle, wants to be heard without history, and names what it needs in a list."""

    name = "hasty"
    parameters_model = Parameters
    required_columns = ["ema_5"]  # type: ignore[assignment]  # noqa: RUF012

    def _ready(self, *_: object) -> np.ndarray:
        return np.ones(len(CANDLES), np.bool_)

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        rows, close = len(candles), candles.close
        return SignalColumns(
            np.ones(rows, np.int8), np.ones(rows), close * 0.9, close * 1.1, np.zeros(rows, np.int16), ("always",)
        )


@pytest.mark.parametrize("columns", [INDICATORS, lent()], ids=["own", "lent"])
def test_no_method_of_a_strategy_makes_it_heard_without_history(columns: Mapping[str, np.ndarray]) -> None:
    strategy = Hasty(Parameters())
    strategy._ready = lambda *_: np.ones(len(CANDLES), np.bool_)  # type: ignore[method-assign]
    heard = Strategy.evaluate(strategy, CANDLES, columns, WARM).action
    assert not heard[: strategy.lookback_rows].any() and heard[strategy.lookback_rows :].all()
