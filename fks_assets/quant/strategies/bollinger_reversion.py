"""Bollinger reversion: back inside the band after a close outside it, for the way to the mean."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import wilder_lookback
from fks_assets.quant.strategies.base import BUY, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import Rule, above, decide, longest

CONFIDENCE = 0.6
NO_SIGNAL = "no return into the bands"


class BollingerReversionParameters(Parameters):
    """Lengths in candles; the bands' distance in standard deviations; the stop in multiples of ATR; the least distance of the
    target in multiples of the stop's.
    """

    band_period: int = Field(20, ge=2, le=400)
    deviations: float = Field(2.0, ge=0.1, le=10)
    atr_period: int = Field(14, ge=1, le=200)
    stop_atr: float = Field(2.0, gt=0, le=20)
    least_reward_to_risk: float = Field(0.5, gt=0, le=10)


class BollingerReversion(Strategy[BollingerReversionParameters]):
    """BUY at the candle that closes inside the bands after one that closed below its lower band; SELL after one that closed above
    its upper band. The target is the middle of the bands, the stop lies `stop_atr` times ATR from the close; where the middle
    is nearer than `least_reward_to_risk` times the stop, nothing is done.

    Closer than a billionth of the price to a band is neither inside nor outside, and after 20 candles at one price nothing is
    said.
    """

    name = "bollinger_reversion"
    parameters_model = BollingerReversionParameters
    required_columns = ("bb_lower", "bb_middle", "bb_upper", "atr_14", "high_20", "low_20")

    @property
    def lookback_rows(self) -> int:
        return longest(self.parameters.band_period, wilder_lookback(self.parameters.atr_period))

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close, columns = self.parameters, candles.close, Columns(candles, indicators)
        lower, middle, upper = columns.bollinger(wanted.band_period, wanted.deviations)
        risk = wanted.stop_atr * columns.atr(wanted.atr_period)
        inside = above(close, lower, close) & above(upper, close, close) & ~columns.stands_still()
        worth = np.abs(middle - close) >= wanted.least_reward_to_risk * risk
        rules = (
            Rule(inside & _before(above(lower, close, close)) & worth, BUY, CONFIDENCE, "back above the lower band"),
            Rule(inside & _before(above(close, upper, close)) & worth, SELL, CONFIDENCE, "back below the upper band"),
        )
        said = decide(rules, NO_SIGNAL)
        return said.at(close - said.action * risk, middle)


def _before(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(min(1, len(rows)), np.bool_), rows[:-1]])
