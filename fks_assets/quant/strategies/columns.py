"""Indicators of any length, as strategies ask for them."""

from collections.abc import Callable, Mapping

import numpy as np

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import highest_before, lowest_before, volume_ratio, window_mean
from fks_assets.quant.strategies.lending import LentColumns

STILL_CANDLES = 20


class Columns:
    """Indicators of some candles, one value a candle: the stored column where there is one of the length asked for, else the
    same by TA-Lib from the candles, so that no length is silently another one. Values before a column's look-back are NaN. A
    column may be lent to others too, so a strategy changes a copy of it.
    """

    def __init__(self, candles: Candles, stored: Mapping[str, np.ndarray]) -> None:
        self._candles = candles
        self._stored = stored

    def ema(self, length: int) -> np.ndarray:
        """Return the exponential mean of the close."""
        import talib

        return self._column(f"ema_{length}", lambda: talib.EMA(self._candles.close, length))

    def sma(self, length: int) -> np.ndarray:
        """Return the plain mean of the close."""
        import talib

        return self._column(f"sma_{length}", lambda: talib.SMA(self._candles.close, length))

    def rsi(self, length: int) -> np.ndarray:
        """Return Wilder's relative strength index of the close, 0 to 100."""
        import talib

        return self._column(f"rsi_{length}", lambda: talib.RSI(self._candles.close, length))

    def atr(self, length: int) -> np.ndarray:
        """Return Wilder's average true range, as a price."""
        import talib

        candles = self._candles
        return self._column(f"atr_{length}", lambda: talib.ATR(candles.high, candles.low, candles.close, length))

    def macd(self, fast: int, slow: int, signal: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (MACD, its signal line) of the close, as prices."""
        import talib

        if (fast, slow, signal) == (12, 26, 9) and {"macd", "macd_signal"} <= self._stored.keys():
            return self._stored["macd"], self._stored["macd_signal"]
        return talib.MACD(self._candles.close, fast, slow, signal)[:2]

    def bollinger(self, length: int, deviations: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (lower band, middle, upper band) of the close, `deviations` population standard deviations from the mean."""
        import talib

        names = ("bb_lower", "bb_middle", "bb_upper")
        if (length, deviations) == (20, 2) and set(names) <= self._stored.keys():
            lower, middle, upper = (self._stored[name] for name in names)
        else:
            upper, middle, lower = talib.BBANDS(self._candles.close, length, deviations, deviations)
        return lower, middle, upper

    def highest_before(self, length: int) -> np.ndarray:
        """Return the highest high of the `length` candles before each."""
        return self._column(f"high_{length}", lambda: highest_before(self._candles.high, length))

    def lowest_before(self, length: int) -> np.ndarray:
        """Return the lowest low of the `length` candles before each."""
        return self._column(f"low_{length}", lambda: lowest_before(self._candles.low, length))

    def volume_ratio(self, length: int) -> np.ndarray:
        """Return volume to its mean of `length` candles, this one among them; 0 where nothing was traded."""
        volume = self._candles.volume
        name = "volume_ratio" if length == 5 else f"volume_ratio_{length}"
        return self._column(name, lambda: volume_ratio(volume, window_mean(volume, length)))

    def change(self, length: int) -> np.ndarray:
        """Return the change of the close over `length` candles, as a fraction of the earlier one."""
        import talib

        return self._column(f"momentum_{length}", lambda: talib.ROCP(self._candles.close, length))

    def stands_still(self) -> np.ndarray:
        """Return where the 20 candles before had one price only: what oscillators and crosses say there is rounding."""
        return self.highest_before(STILL_CANDLES) == self.lowest_before(STILL_CANDLES)

    def _column(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        stored = self._stored.get(name)
        if stored is not None:
            return stored
        if isinstance(self._stored, LentColumns) and self._stored.candles is self._candles:
            return self._stored.kept(name, compute)
        computed = compute()
        computed.setflags(write=False)
        return computed
