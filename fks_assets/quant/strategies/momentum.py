"""Momentum: a price that has moved far in a few candles goes on moving."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import wilder_lookback
from fks_assets.quant.strategies.base import BUY, SELL, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import AtrExits, Rule, begins, decide, longest

CONFIDENCE = 0.6
NO_SIGNAL = "no large move"


class MomentumParameters(AtrExits):
    """`period` in candles; `threshold_percent` in percent of the close that many candles ago."""

    period: int = Field(3, ge=1, le=400)
    threshold_percent: float = Field(1.0, gt=0, le=100)


class Momentum(Strategy[MomentumParameters]):
    """BUY at the candle in which the close is more than `threshold_percent` above the close `period` candles ago, while the
    candle before was not; SELL at the candle in which it is as far below. Stop and target lie `stop_atr` and `target_atr` times
    ATR from the close.

    Momentum is the change as a fraction, pct_change(3) by default; one of the systems replaced took the difference of prices,
    which means another thing in each market. After 20 candles at one price nothing is said.
    """

    name = "momentum"
    parameters_model = MomentumParameters
    required_columns = ("momentum_3", "atr_14", "high_20", "low_20")

    @property
    def lookback_rows(self) -> int:
        return longest(self.parameters.period, wilder_lookback(self.parameters.atr_period))

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close, columns = self.parameters, candles.close, Columns(candles, indicators)
        change, least, moves = columns.change(wanted.period), wanted.threshold_percent / 100, ~columns.stands_still()
        words = f"more than {wanted.threshold_percent:g} % in {wanted.period} candles"
        rules = (
            Rule(begins(change > least) & moves, BUY, CONFIDENCE, f"up {words}"),
            Rule(begins(change < -least) & moves, SELL, CONFIDENCE, f"down {words}"),
        )
        atr = columns.atr(wanted.atr_period)
        return decide(rules, NO_SIGNAL).at_distance(close, wanted.stop_atr * atr, wanted.target_atr * atr)
