"""EMA crossover: the candle in which a fast exponential mean crosses a slow one."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import ema_lookback, wilder_lookback
from fks_assets.quant.strategies.base import BUY, SELL, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import AtrExits, Rule, above, begins, decide, longest, require_order

CONFIDENCE = 0.6
NO_SIGNAL = "no cross of the EMAs"


class EmaCrossoverParameters(AtrExits):
    """Lengths in candles."""

    ema_fast: int = Field(12, ge=1, le=200)
    ema_slow: int = Field(26, ge=2, le=400)

    @model_validator(mode="after")
    def _ordered(self) -> "EmaCrossoverParameters":
        require_order(self, "ema_fast", "ema_slow")
        return self


class EmaCrossover(Strategy[EmaCrossoverParameters]):
    """BUY at the candle in which EMA fast rises above EMA slow, SELL at the candle in which it falls below; stop and target lie
    `stop_atr` and `target_atr` times ATR from the close.

    Closer than a billionth of the price is on neither side, and after 20 candles at one price nothing is said.
    """

    name = "ema_crossover"
    parameters_model = EmaCrossoverParameters
    required_columns = ("ema_12", "ema_26", "atr_14", "high_20", "low_20")

    @property
    def lookback_rows(self) -> int:
        wanted = self.parameters
        return longest(ema_lookback(wanted.ema_fast), ema_lookback(wanted.ema_slow), wilder_lookback(wanted.atr_period))

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close, columns = self.parameters, candles.close, Columns(candles, indicators)
        fast, slow, moves = columns.ema(wanted.ema_fast), columns.ema(wanted.ema_slow), ~columns.stands_still()
        names = f"EMA {wanted.ema_fast}", f"EMA {wanted.ema_slow}"
        rules = (
            Rule(begins(above(fast, slow, close)) & moves, BUY, CONFIDENCE, f"{names[0]} rises above {names[1]}"),
            Rule(begins(above(slow, fast, close)) & moves, SELL, CONFIDENCE, f"{names[0]} falls below {names[1]}"),
        )
        atr = columns.atr(wanted.atr_period)
        return decide(rules, NO_SIGNAL).at_distance(close, wanted.stop_atr * atr, wanted.target_atr * atr)
