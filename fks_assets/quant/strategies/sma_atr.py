"""SMA with ATR: a close on the other side of its mean, with a stop and a target as far away as the market usually moves."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import wilder_lookback
from fks_assets.quant.strategies.base import BUY, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import Rule, above, begins, decide, longest, require_order

CONFIDENCE = 0.6
NO_SIGNAL = "no cross of close and SMA"


class SmaAtrParameters(Parameters):
    """Lengths in candles (`sma_period` is the M of FKS); stop and target in multiples of ATR. Fee and share at risk belong to
    the engine.
    """

    sma_period: int = Field(50, ge=2, le=400)
    atr_period: int = Field(14, ge=1, le=200)
    sl_multiplier: float = Field(2.0, gt=0, le=20)
    tp_multiplier: float = Field(3.0, gt=0, le=50)

    @model_validator(mode="after")
    def _rewarding(self) -> "SmaAtrParameters":
        require_order(self, "sl_multiplier", "tp_multiplier")
        return self


class SmaAtr(Strategy[SmaAtrParameters]):
    """BUY at the candle whose close is above SMA while the one before was not; SELL at the candle whose close is below while the
    one before was not. Stop and target lie `sl_multiplier` and `tp_multiplier` times ATR from the close.

    FKS held an index of all markets while it was above its mean. The index was normalised to the first row of a sliding window,
    which changed past signals; here each market is judged by its own close. Closer than a billionth of the price is on
    neither side, and after 20 candles at one price nothing is said.
    """

    name = "sma_atr"
    parameters_model = SmaAtrParameters
    required_columns = ("sma_50", "atr_14", "high_20", "low_20")

    @property
    def lookback_rows(self) -> int:
        return longest(self.parameters.sma_period, wilder_lookback(self.parameters.atr_period))

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close, columns = self.parameters, candles.close, Columns(candles, indicators)
        mean, moves = columns.sma(wanted.sma_period), ~columns.stands_still()
        rules = (
            Rule(begins(above(close, mean, close)) & moves, BUY, CONFIDENCE, f"close crosses above SMA {wanted.sma_period}"),
            Rule(begins(above(mean, close, close)) & moves, SELL, CONFIDENCE, f"close crosses below SMA {wanted.sma_period}"),
        )
        atr = columns.atr(wanted.atr_period)
        return decide(rules, NO_SIGNAL).at_distance(close, wanted.sl_multiplier * atr, wanted.tp_multiplier * atr)
