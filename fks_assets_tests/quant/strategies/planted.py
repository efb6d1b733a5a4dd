"""Strategies to certify: honest ones of many kinds, and cheats, each of which knows something that it cannot know."""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import ema_lookback
from fks_assets.quant.strategies.base import BUY, HOLD, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.rules import begins, longest

Indicators = Mapping[str, np.ndarray]
HOUR_MS = 3_600_000


class Planted(Strategy[Parameters]):
    """A strategy that only has to say a side; stop and target are 2 and 3 ATR away."""

    name = "planted"
    parameters_model = Parameters
    required_columns = ("atr_14",)

    @abstractmethod
    def sides(self, candles: Candles, indicators: Indicators) -> np.ndarray:
        """Return 1, -1 or 0 a candle."""

    def judge(self, candles: Candles, indicators: Indicators) -> SignalColumns:
        action = np.nan_to_num(np.asarray(self.sides(candles, indicators), np.float64)).astype(np.int8)
        close, atr = candles.close, indicators["atr_14"]
        rows = len(close)
        codes = (action != HOLD).astype(np.int16)
        return SignalColumns(
            action, np.full(rows, 0.5), close - 2 * action * atr, close + 3 * action * atr, codes, ("nothing", "I think so")
        )


def hours(candles: Candles) -> pd.Series:
    return pd.Series(candles.close, pd.to_datetime(candles.open_time, unit="ms", utc=True))


def crosses(candles: Candles, indicators: Indicators) -> np.ndarray:
    fast, slow = indicators["ema_12"], indicators["ema_26"]
    return begins(fast > slow).astype(np.int8) - begins(fast < slow).astype(np.int8)


class NextClose(Planted):
    """shift(-1)."""

    def sides(self, candles, indicators):
        close = pd.Series(candles.close)
        return np.sign(close.shift(-1) - close)


class GlobalRange(Planted):
    """The place of the close between the lowest and the highest close of the whole series."""

    def sides(self, candles, indicators):
        low, high = candles.close.min(), candles.close.max()
        place = (candles.close - low) / max(high - low, 1e-9)
        return (place < 0.2).astype(np.int8) - (place > 0.8).astype(np.int8)


class FilledBack(Planted):
    """A value known once a day, filled backwards."""

    def sides(self, candles, indicators):
        close = hours(candles)
        return np.sign(close.where(close.index.hour == 23).bfill() - close)


class ResampleLabel(Planted):
    """The day's close under the label of the day's first hour."""

    def sides(self, candles, indicators):
        close = hours(candles)
        return np.sign(close.resample("1D").last().reindex(close.index, method="ffill") - close)


class FitOnAll(Planted):
    """A regression of the next return on the last one, fitted on the whole series."""

    def sides(self, candles, indicators):
        change = np.diff(np.log(candles.close), prepend=np.log(candles.close[:1]))
        slope, offset = np.polyfit(change[:-1], change[1:], 1)
        forecast = slope * change + offset
        return np.where(np.abs(forecast) > np.std(slope * change), np.sign(forecast), 0)


class SortedByFuture(Planted):
    """Buys the tenth of all candles that the next 10 candles reward best."""

    def sides(self, candles, indicators):
        later = np.append(candles.close[10:], np.full(min(10, len(candles)), candles.close[-1]))
        sides = np.zeros(len(candles))
        sides[np.argsort(later / candles.close, kind="stable")[-(len(candles) // 10) :]] = BUY
        return sides


class CentredWindow(Planted):
    """A mean of 4 candles before and 4 after."""

    def sides(self, candles, indicators):
        close = pd.Series(candles.close)
        return np.sign(close - close.rolling(9, center=True).mean())


class TargetLeak(Planted):
    """The label that a model was to learn, among its features: is the close 5 candles later higher?"""

    def sides(self, candles, indicators):
        close = pd.Series(candles.close)
        features = np.column_stack([np.sign(close.diff(3)), np.sign(close.diff(12)), 2 * np.sign(close.shift(-5) - close)])
        return np.sign(features.sum(axis=1))


CHEATS = (NextClose, GlobalRange, FilledBack, ResampleLabel, FitOnAll, SortedByFuture, CentredWindow, TargetLeak)


class RarePeek(Planted):
    """Honest but for one candle in 2,000, at which it looks at the next close."""

    def sides(self, candles, indicators):
        close = pd.Series(candles.close)
        rare = candles.open_time // HOUR_MS % 2000 == 7
        return np.where(rare, np.sign(close.shift(-1) - close), crosses(candles, indicators))


class SkipsLosers(Planted):
    """Takes every cross but those after which the next candle loses more than 2 %."""

    def sides(self, candles, indicators):
        following = np.append(candles.close[1:], candles.close[-1:]) / candles.close - 1
        sides = crosses(candles, indicators)
        return np.where(sides * following < -0.02, HOLD, sides)


class NextLowStop(Planted):
    """Honest sides, but the stop lies just below the next candle's low whenever that is near."""

    def sides(self, candles, indicators):
        return crosses(candles, indicators)

    def judge(self, candles, indicators):
        said = super().judge(candles, indicators)
        below = np.append(candles.low[1:], candles.low[-1:]) * 0.9999
        near = (said.action == BUY) & (below < candles.close) & (below > candles.close * 0.999)
        return SignalColumns(
            said.action, said.confidence, np.where(near, below, said.stop), said.target, said.reason_codes, said.reasons
        )


RARE_CHEATS = (RarePeek, SkipsLosers, NextLowStop)


class Remembers(Planted):
    """Keeps every close it was ever shown and looks the next one up."""

    seen: dict[int, float] = {}  # noqa: RUF012

    def sides(self, candles, indicators):
        times = candles.open_time.tolist()
        self.seen.update(zip(times, candles.close.tolist(), strict=True))
        return [np.sign(self.seen.get(time + HOUR_MS, close) - close) for time, close in zip(times, candles.close, strict=True)]


class FitsOnce(Planted):
    """Takes the mean of the first series it is shown and keeps it."""

    mean: float | None = None

    def sides(self, candles, indicators):
        if FitsOnce.mean is None:
            FitsOnce.mean = float(candles.close.mean())
        return np.sign(FitsOnce.mean - candles.close)


class Counts(Planted):
    """Holds at every third question."""

    asked = 0

    def sides(self, candles, indicators):
        self.asked += 1
        return crosses(candles, indicators) * (self.asked % 3 != 0)


class Clock(Planted):
    """Works in the morning only."""

    def sides(self, candles, indicators):
        return crosses(candles, indicators) * (datetime.now(UTC).hour < 12)


class NumpyClock(Planted):
    """Works on some days only, by NumPy's clock."""

    def sides(self, candles, indicators):
        return crosses(candles, indicators) * (np.datetime64("now").astype(np.int64) % 7 != 8)


class Dice(Planted):
    """Leaves out one signal in ten, at random."""

    def sides(self, candles, indicators):
        return crosses(candles, indicators) * (np.random.random(len(candles)) > 0.1)


class Seeded(Planted):
    """Leaves out one signal in ten by NumPy's shared generator, which it puts back each time."""

    def sides(self, candles, indicators):
        state = np.random.get_state()
        kept = np.random.random(len(candles)) > 0.1
        np.random.set_state(state)
        return crosses(candles, indicators) * kept


class Adds(Planted):
    """Puts a column of its own among the indicators that others are given too."""

    def sides(self, candles, indicators):
        indicators["mine"] = candles.close
        return crosses(candles, indicators)


class Hashes(Planted):
    """Decides by the hash of a text, which is another in each process."""

    def sides(self, candles, indicators):
        return crosses(candles, indicators) * [hash(str(time)) % 2 for time in candles.open_time.tolist()]


class Overwrites(Planted):
    """Changes the indicators that it is lent."""

    def sides(self, candles, indicators):
        sides = crosses(candles, indicators)
        indicators["ema_12"][:] = candles.close
        return sides


class ReadsFile(Planted):
    """Takes its weight from a file while it judges."""

    def sides(self, candles, indicators):
        return crosses(candles, indicators) * len(Path(__file__).with_name("weight.txt").read_text(encoding="utf-8").strip())


class ShortLookback(Planted):
    """An exponential mean of 400 with the look-back of the stored indicators."""

    def sides(self, candles, indicators):
        mean = Columns(candles, {}).ema(400)
        return np.where(candles.close > mean, BUY, SELL)


class AllTime(Planted):
    """Honest, but with a mean over all history, so that no look-back is enough."""

    def sides(self, candles, indicators):
        return np.sign(candles.close - pd.Series(candles.close).expanding().mean())


class AlwaysBreaks(Planted):
    """Fails on any candles."""

    def sides(self, candles, indicators):
        return indicators["ema_21"]


class Leaves(Planted):
    """Ends the process it is in."""

    def sides(self, candles, indicators):
        raise SystemExit


class Breaks(Planted):
    """Fails when the last close is a high."""

    def sides(self, candles, indicators):
        if candles.close[-1] == candles.close.max():
            raise ZeroDivisionError("no room above")
        return crosses(candles, indicators)


class Pandas(Planted):
    """Rolling and exponential means by pandas, compared without any margin."""

    def sides(self, candles, indicators):
        close = pd.Series(candles.close)
        return np.sign(close.rolling(20).mean() - close.ewm(span=15, adjust=False).mean())


class YesterdaysClose(Planted):
    """The close of the last day that had ended, by its label in time."""

    def sides(self, candles, indicators):
        close = hours(candles)
        ended = close.resample("1D").last().ffill()
        ended.index = ended.index + pd.Timedelta("1D") - pd.Timedelta("1h")
        return np.sign(close - ended.shift(1).reindex(close.index, method="ffill"))


class Slopes(Planted):
    """The slope of a straight line through the last 30 closes, fitted at each candle by a product of matrices."""

    def sides(self, candles, indicators):
        if len(candles) < 30:
            return np.zeros(len(candles))
        weights = np.arange(30) - 14.5
        slopes = np.lib.stride_tricks.sliding_window_view(candles.close, 30) @ weights
        return np.sign(np.concatenate([np.zeros(29), slopes]))


class BareMean(Planted):
    """Compares close and mean without a margin, so that rounding decides where they are equal."""

    def sides(self, candles, indicators):
        return np.sign(candles.close - indicators["sma_20"])


class BareRsi(Planted):
    """RSI without a thought for markets that stand still."""

    def sides(self, candles, indicators):
        rsi = indicators["rsi_14"]
        return (rsi < 30).astype(np.int8) - (rsi > 70).astype(np.int8)


class LongMeanParameters(Parameters):
    length: int = Field(100, ge=2, le=400)


class LongMean(Strategy[LongMeanParameters]):
    """An exponential mean of any length with a look-back to match; the drawn weights are seeded."""

    name = "long_mean"
    parameters_model = LongMeanParameters
    required_columns = ("atr_14",)

    @property
    def lookback_rows(self) -> int:
        return longest(ema_lookback(self.parameters.length))

    def judge(self, candles: Candles, indicators: Indicators) -> SignalColumns:
        mean = Columns(candles, indicators).ema(self.parameters.length)
        action = np.where(candles.close > mean, BUY, SELL).astype(np.int8)
        weight = np.random.default_rng(7).uniform(0.4, 0.6)
        rows, distance = len(candles), indicators["atr_14"] * weight
        codes = np.zeros(rows, np.int16)
        return SignalColumns(
            action, np.ones(rows), candles.close - action * distance, candles.close + action * distance, codes, ("side",)
        )


HONEST = (Pandas, YesterdaysClose, Slopes, BareMean, BareRsi)
