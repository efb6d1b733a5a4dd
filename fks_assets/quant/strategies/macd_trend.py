"""MACD with the trend: a cross of MACD and its signal line counts only on the side that the long mean is on."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import macd_lookback, wilder_lookback
from fks_assets.quant.strategies.base import BUY, SELL, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import AtrExits, Rule, above, begins, decide, longest, require_order, sides

CONFIDENCE = 0.7
NO_SIGNAL = "no cross of MACD with the trend"


class MacdTrendParameters(AtrExits):
    """Lengths in candles; `trend_period` is that of the mean that tells the trend."""

    macd_fast: int = Field(12, ge=2, le=100)
    macd_slow: int = Field(26, ge=3, le=200)
    macd_signal: int = Field(9, ge=2, le=100)
    trend_period: int = Field(200, ge=2, le=400)

    @model_validator(mode="after")
    def _ordered(self) -> "MacdTrendParameters":
        require_order(self, "macd_fast", "macd_slow")
        require_order(self, "macd_slow", "trend_period")
        return self


class MacdTrend(Strategy[MacdTrendParameters]):
    """BUY at the candle in which MACD rises above its signal line while the close is above the trend's SMA; SELL at the candle
    in which it falls below while the close is below. Stop and target lie `stop_atr` and `target_atr` times ATR from the close.

    Closer than a billionth of the price is on neither side, and after 20 candles at one price nothing is said.
    """

    name = "macd_trend"
    parameters_model = MacdTrendParameters
    required_columns = ("macd", "macd_signal", "sma_200", "atr_14", "high_20", "low_20")

    @property
    def lookback_rows(self) -> int:
        wanted = self.parameters
        macd = macd_lookback(wanted.macd_fast, wanted.macd_slow, wanted.macd_signal)
        return longest(macd, wanted.trend_period, wilder_lookback(wanted.atr_period))

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close, columns = self.parameters, candles.close, Columns(candles, indicators)
        macd, signal = columns.macd(wanted.macd_fast, wanted.macd_slow, wanted.macd_signal)
        trend, moves = columns.sma(wanted.trend_period), ~columns.stands_still()
        up, down = (begins(rows) & moves for rows in sides(macd, signal, close))
        rules = (
            Rule(up & above(close, trend, close), BUY, CONFIDENCE, "MACD rises above its signal in an uptrend"),
            Rule(down & above(trend, close, close), SELL, CONFIDENCE, "MACD falls below its signal in a downtrend"),
        )
        atr = columns.atr(wanted.atr_period)
        return decide(rules, NO_SIGNAL).at_distance(close, wanted.stop_atr * atr, wanted.target_atr * atr)
