"""Technical: RSI, MACD, Bollinger bands and trend each vote; enough votes on one side make a signal."""

from collections.abc import Mapping
from itertools import product

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.candles import Candles
from fks_assets.quant.strategies.base import BUY, HOLD, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.rules import above, require_order

VOICES = (
    {BUY: "RSI oversold", SELL: "RSI overbought"},
    {BUY: "MACD above its signal", SELL: "MACD below its signal"},
    {BUY: "close below the lower band", SELL: "close above the upper band"},
    {BUY: "uptrend", SELL: "downtrend"},
)
STANDS_STILL = "the market stands still"
LOWEST_REWARD_TO_RISK = 1.5


def _words(ballot: tuple[int, ...]) -> str:
    return "; ".join(voice[vote] for voice, vote in zip(VOICES, ballot, strict=True) if vote != HOLD) or "nobody votes"


# In the order of the ballots read as numbers of base 3, the first voice first.
REASONS = (*(_words(ballot) for ballot in product((SELL, HOLD, BUY), repeat=len(VOICES))), STANDS_STILL)


class TechnicalParameters(Parameters):
    """Bounds of the votes; stop and target as multiples of ATR 14."""

    rsi_oversold: float = Field(30.0, gt=0, lt=100)
    rsi_overbought: float = Field(70.0, gt=0, lt=100)
    votes_needed: int = Field(2, ge=1, le=len(VOICES))
    stop_atr: float = Field(2.0, gt=0, le=20)
    target_atr: float = Field(3.0, gt=0, le=50)

    @model_validator(mode="after")
    def _consistent(self) -> "TechnicalParameters":
        require_order(self, "rsi_oversold", "rsi_overbought")
        if self.target_atr < LOWEST_REWARD_TO_RISK * self.stop_atr:
            raise ValueError(
                f"target_atr must be at least {LOWEST_REWARD_TO_RISK} times stop_atr, was {self.target_atr} and {self.stop_atr}"
            )
        return self


class Technical(Strategy[TechnicalParameters]):
    """The desk's fallback. A vote is +1 for buying, -1 for selling; the action is the side with enough votes net, confidence
    the net share of the four votes, the reason names who voted.

    RSI 14 below or above its bounds; MACD 12/26 above or below its signal 9; close outside the Bollinger bands 20/2; SMA 50
    over SMA 200 together with EMA 12 over EMA 26 (both under for a downtrend). Nobody votes while the last 20 candles had one
    price only: RSI then says 0 or what it said before, which means nothing. Prices closer than a billionth of the close are
    equal.
    """

    name = "technical"
    parameters_model = TechnicalParameters
    required_columns = (
        "rsi_14",
        "macd",
        "macd_signal",
        "bb_upper",
        "bb_lower",
        "atr_14",
        "sma_50",
        "sma_200",
        "ema_12",
        "ema_26",
        "high_20",
        "low_20",
    )

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        wanted, close, atr = self.parameters, candles.close, indicators["atr_14"]
        macd, macd_signal = indicators["macd"], indicators["macd_signal"]
        sma_50, sma_200, ema_12, ema_26 = (indicators[name] for name in ("sma_50", "sma_200", "ema_12", "ema_26"))
        votes = (
            _vote(indicators["rsi_14"] < wanted.rsi_oversold, indicators["rsi_14"] > wanted.rsi_overbought),
            _vote(above(macd, macd_signal, close), above(macd_signal, macd, close)),
            _vote(above(indicators["bb_lower"], close, close), above(close, indicators["bb_upper"], close)),
            _vote(
                above(sma_50, sma_200, close) & above(ema_12, ema_26, close),
                above(sma_200, sma_50, close) & above(ema_26, ema_12, close),
            ),
        )
        net, ballot = np.zeros(len(close), np.int8), np.zeros(len(close), np.int16)
        for vote in votes:
            net += vote
            ballot = ballot * 3 + (vote + 1)
        stands_still = indicators["high_20"] == indicators["low_20"]
        action = np.where((np.abs(net) >= wanted.votes_needed) & ~stands_still, np.sign(net), HOLD).astype(np.int8)
        return SignalColumns(
            action,
            np.abs(net) / len(VOICES),
            close - action * wanted.stop_atr * atr,
            close + action * wanted.target_atr * atr,
            np.where(stands_still, len(REASONS) - 1, ballot).astype(np.int16),
            REASONS,
        )


def _vote(buy: np.ndarray, sell: np.ndarray) -> np.ndarray:
    return buy.astype(np.int8) - sell.astype(np.int8)
