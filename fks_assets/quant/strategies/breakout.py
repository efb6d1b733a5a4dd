"""Breakout: a close beyond the range of the candles before it, with trend and volume behind it."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import ema_lookback, wilder_lookback
from fks_assets.quant.strategies.base import BUY, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import Rule, begins, decide, longest, require_order, sides

BREAKOUT_CONFIDENCE = 0.8
MOMENTUM_CONFIDENCE = 0.7
NO_SIGNAL = "no breakout, no EMA cross"


class BreakoutParameters(Parameters):
    """Lengths in candles; stop and target in percent of the close."""

    ema_fast: int = Field(5, gt=0, le=50)
    ema_slow: int = Field(13, gt=0, le=200)
    rsi_period: int = Field(14, ge=2, le=100)
    lookback: int = Field(20, ge=2, le=400)
    volume_period: int = Field(5, ge=1, le=400)
    volume_ratio: float = Field(1.2, gt=0, le=100)
    rsi_high: float = Field(75.0, gt=0, lt=100)
    rsi_low: float = Field(25.0, gt=0, lt=100)
    momentum_signals: bool = True
    momentum_rsi_high: float = Field(70.0, gt=0, lt=100)
    momentum_rsi_low: float = Field(30.0, gt=0, lt=100)
    stop_loss_percent: float = Field(0.3, gt=0, le=5)
    take_profit_percent: float = Field(0.6, gt=0, le=10)

    @model_validator(mode="after")
    def _consistent(self) -> "BreakoutParameters":
        for lower, upper in (
            ("ema_fast", "ema_slow"),
            ("rsi_low", "rsi_high"),
            ("momentum_rsi_low", "momentum_rsi_high"),
            ("stop_loss_percent", "take_profit_percent"),
        ):
            require_order(self, lower, upper)
        return self


class Breakout(Strategy[BreakoutParameters]):
    """BUY when the close is above the highest high of the candles before it, EMA fast is over EMA slow, RSI is below its high
    bound and volume is above its mean by the ratio; SELL is the mirror image. The price is the close of the closed candle.

    Without a breakout, the candle in which EMA fast crosses EMA slow gives a weaker signal when close has moved the same way
    over 3 candles and RSI is inside the momentum bounds. The rule book has this second signal only in its code, so
    `momentum_signals` can switch it off. EMAs closer than a billionth of the price have not crossed.
    """

    name = "breakout"
    parameters_model = BreakoutParameters
    required_columns = ("ema_5", "ema_13", "rsi_14", "high_20", "low_20", "volume_ratio", "momentum_3")

    @property
    def lookback_rows(self) -> int:
        wanted = self.parameters
        emas = ema_lookback(wanted.ema_fast), ema_lookback(wanted.ema_slow)
        return longest(*emas, wilder_lookback(wanted.rsi_period), wanted.lookback, wanted.volume_period)

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close, columns = self.parameters, candles.close, Columns(candles, indicators)
        fast, slow, rsi = columns.ema(wanted.ema_fast), columns.ema(wanted.ema_slow), columns.rsi(wanted.rsi_period)
        busy = columns.volume_ratio(wanted.volume_period) > wanted.volume_ratio
        rising, falling = sides(fast, slow, close)
        buy = (close > columns.highest_before(wanted.lookback)) & rising & (rsi < wanted.rsi_high) & busy
        sell = (close < columns.lowest_before(wanted.lookback)) & falling & (rsi > wanted.rsi_low) & busy
        rules = [
            Rule(buy, BUY, BREAKOUT_CONFIDENCE, "High breakout + EMA cross"),
            Rule(sell, SELL, BREAKOUT_CONFIDENCE, "Low breakout + EMA cross"),
        ]
        if wanted.momentum_signals:
            momentum = columns.change(3)
            up = begins(rising) & (momentum > 0) & (rsi < wanted.momentum_rsi_high)
            down = begins(falling) & (momentum < 0) & (rsi > wanted.momentum_rsi_low)
            rules += [
                Rule(up, BUY, MOMENTUM_CONFIDENCE, "Momentum + EMA cross up"),
                Rule(down, SELL, MOMENTUM_CONFIDENCE, "Momentum + EMA cross down"),
            ]
        return decide(rules, NO_SIGNAL).at_parts(close, wanted.stop_loss_percent / 100, wanted.take_profit_percent / 100)
