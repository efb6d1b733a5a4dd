"""Candle lengths of the exchanges' APIs, including the ones that do not divide a day, and the chunks they are kept in."""

from dataclasses import dataclass

import numpy as np

from fks_assets.quant.timeframes import TIMEFRAMES

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
CELL_MS = 8 * DAY_MS
BLOCK_MS = 256 * DAY_MS
_MONTH_CHUNK = 12


@dataclass(frozen=True, slots=True)
class Interval:
    """A candle length: `milliseconds` on a grid through `origin_ms`, or calendar months where `milliseconds` is 0."""

    name: str
    milliseconds: int
    origin_ms: int = 0

    def opens(self, times_ms: np.ndarray) -> np.ndarray:
        """Return the open time of the candle that contains each int64 time."""
        if self.milliseconds:
            return times_ms - (times_ms - self.origin_ms) % self.milliseconds
        return times_ms.astype("datetime64[ms]").astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)

    def floor(self, time_ms: int) -> int:
        """Return the open time of the candle that contains the time."""
        if self.milliseconds:
            return time_ms - (time_ms - self.origin_ms) % self.milliseconds
        return _month_open(_month_number(time_ms))

    def close(self, open_ms: int) -> int:
        """Return the end (excluded) of the candle that opens at `open_ms`."""
        return open_ms + self.milliseconds if self.milliseconds else _month_open(_month_number(open_ms) + 1)

    def closes(self, opens_ms: np.ndarray) -> np.ndarray:
        """Return the end (excluded) of the candle of each int64 open time."""
        if self.milliseconds:
            return opens_ms + self.milliseconds
        months = opens_ms.astype("datetime64[ms]").astype("datetime64[M]") + 1
        return months.astype("datetime64[ms]").astype(np.int64)

    def chunk_of(self, time_ms: int) -> int:
        """Return the number of the chunk that holds the candle that contains the time."""
        if not self.milliseconds:
            return _month_number(time_ms) // _MONTH_CHUNK
        return (time_ms - self.origin_ms) // self._chunk_length

    def chunk_window(self, number: int) -> tuple[int, int]:
        """Return [start, end) of a chunk, both on the grid."""
        if not self.milliseconds:
            return _month_open(number * _MONTH_CHUNK), _month_open((number + 1) * _MONTH_CHUNK)
        start = self.origin_ms + number * self._chunk_length
        return start, start + self._chunk_length

    @property
    def _chunk_length(self) -> int:
        if self.milliseconds < HOUR_MS:
            return CELL_MS
        return BLOCK_MS if self.milliseconds <= DAY_MS else 256 * self.milliseconds


def _month_number(time_ms: int) -> int:
    return int(np.datetime64(time_ms, "ms").astype("datetime64[M]").astype(np.int64))


def _month_open(number: int) -> int:
    return int(np.datetime64(number, "M").astype("datetime64[ms]").astype(np.int64))


_MINUTES = {timeframe.name: timeframe.milliseconds // MINUTE_MS for timeframe in TIMEFRAMES.values()}
_MONDAY_MS = 4 * DAY_MS

BINANCE_INTERVALS: dict[str, Interval] = {
    **{name: Interval(name, minutes * MINUTE_MS) for name, minutes in _MINUTES.items()},
    "3d": Interval("3d", 3 * DAY_MS),
    "1w": Interval("1w", 7 * DAY_MS, _MONDAY_MS),
    "1M": Interval("1M", 0),
}
KRAKEN_INTERVALS: dict[int, Interval] = {
    **{minutes: BINANCE_INTERVALS[name] for name, minutes in _MINUTES.items() if minutes in (1, 5, 15, 30, 60, 240, 1440)},
    10_080: Interval("1w@epoch", 7 * DAY_MS),
    21_600: Interval("15d", 15 * DAY_MS),
}
