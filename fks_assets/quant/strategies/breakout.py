"""Breakout: a close beyond the range of the candles before it, with trend and volume behind it."""

from collections.abc import Callable, Mapping

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import (
    WARMUP_ROWS,
    ema_lookback,
    highest_before,
    lowest_before,
    volume_ratio,
    wilder_lookback,
    window_mean,
)
from fks_assets.quant.strategies.base import BUY, SELL, Parameters, SignalColumns, Strategy

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
            low, high = getattr(self, lower), getattr(self, upper)
            if low >= high:
                raise ValueError(f"{lower} must be below {upper}, was {low} and {high}")
        return self


class Breakout(Strategy[BreakoutParameters]):
    """BUY when the close is above the highest high of the candles before it, EMA fast is over EMA slow, RSI is below its high
    bound and volume is above its mean by the ratio; SELL is the mirror image. The price is the close of the closed candle.

    Without a breakout, the candle in which EMA fast crosses EMA slow gives a weaker signal when close has moved the same way
    over 3 candles and RSI is inside the momentum bounds. The rule book has this second signal only in its code, so
    `momentum_signals` can switch it off.
    """

    name = "breakout"
    version = "1"
    parameters_model = BreakoutParameters
    required_columns = ("ema_5", "ema_13", "rsi_14", "high_20", "low_20", "volume_ratio", "momentum_3")

    @property
    def lookback_rows(self) -> int:
        wanted = self.parameters
        longest = max(
            ema_lookback(wanted.ema_fast),
            ema_lookback(wanted.ema_slow),
            wilder_lookback(wanted.rsi_period),
            wanted.lookback,
            wanted.volume_period,
            WARMUP_ROWS,
        )
        return longest + 1

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close = self.parameters, candles.close
        columns = {**_columns_of(wanted, candles, missing_from=indicators), **indicators}
        fast, slow = columns[f"ema_{wanted.ema_fast}"], columns[f"ema_{wanted.ema_slow}"]
        rsi, momentum = columns[f"rsi_{wanted.rsi_period}"], columns["momentum_3"]
        busy = columns[_ratio_name(wanted.volume_period)] > wanted.volume_ratio
        rising, falling = fast > slow, fast < slow
        buy = (close > columns[f"high_{wanted.lookback}"]) & rising & (rsi < wanted.rsi_high) & busy
        sell = (close < columns[f"low_{wanted.lookback}"]) & falling & (rsi > wanted.rsi_low) & busy
        rules = [
            (buy, BUY, BREAKOUT_CONFIDENCE, "High breakout + EMA cross"),
            (sell, SELL, BREAKOUT_CONFIDENCE, "Low breakout + EMA cross"),
        ]
        if wanted.momentum_signals:
            up = _begins(rising) & (momentum > 0) & (rsi < wanted.momentum_rsi_high)
            down = _begins(falling) & (momentum < 0) & (rsi > wanted.momentum_rsi_low)
            rules += [
                (up, BUY, MOMENTUM_CONFIDENCE, "Momentum + EMA cross up"),
                (down, SELL, MOMENTUM_CONFIDENCE, "Momentum + EMA cross down"),
            ]
        codes = np.select([rows for rows, *_ in rules], range(len(rules)), default=len(rules))
        action = np.array([*(side for _, side, _, _ in rules), 0], np.int8)[codes]
        return SignalColumns(
            action,
            np.array([*(confidence for _, _, confidence, _ in rules), 0.0])[codes],
            close * (1 - action * wanted.stop_loss_percent / 100),
            close * (1 + action * wanted.take_profit_percent / 100),
            codes.astype(np.int16),
            (*(reason for *_, reason in rules), NO_SIGNAL),
        )


def _columns_of(wanted: BreakoutParameters, candles: Candles, *, missing_from: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute the columns that the parameters ask for and `missing_from` does not hold."""
    import talib

    close, volume, period = candles.close, candles.volume, wanted.volume_period
    recipes: dict[str, Callable[[], np.ndarray]] = {
        f"ema_{wanted.ema_fast}": lambda: talib.EMA(close, wanted.ema_fast),
        f"ema_{wanted.ema_slow}": lambda: talib.EMA(close, wanted.ema_slow),
        f"rsi_{wanted.rsi_period}": lambda: talib.RSI(close, wanted.rsi_period),
        f"high_{wanted.lookback}": lambda: highest_before(candles.high, wanted.lookback),
        f"low_{wanted.lookback}": lambda: lowest_before(candles.low, wanted.lookback),
        _ratio_name(period): lambda: volume_ratio(volume, window_mean(volume, period)),
    }
    return {name: compute() for name, compute in recipes.items() if name not in missing_from}


def _ratio_name(period: int) -> str:
    return "volume_ratio" if period == 5 else f"volume_ratio_{period}"


def _begins(rows: np.ndarray) -> np.ndarray:
    return rows & ~np.concatenate([rows[:1], rows[:-1]])
