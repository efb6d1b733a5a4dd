"""Recorded candles served as if this were the exchange they came from: exactly those rows, in their own digits."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from fks_assets.simulator.bars import Bars, empty_bars, join, part_of
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import Interval
from fks_assets.simulator.recordings import Recording, Rows, read_recordings
from fks_assets.simulator.rendering import RenderedRows, decimal_text, rendered_lines
from fks_assets.simulator.source import Dialect

_ROWS_PER_CHUNK = 1000
_MOST_DECIMALS = 8
_LARGEST = 9e17
_BETWEEN = '","'


class RecordedChunk:
    """Some recorded rows, printed when first asked for."""

    def __init__(self, rows: Rows, interval: Interval) -> None:
        self.open_time = rows.open_time
        self._rows = rows
        self._interval = interval
        self._printed: dict[Dialect, RenderedRows] = {}

    def rendered(self, dialect: Dialect) -> RenderedRows:
        if dialect not in self._printed:
            lines = self._binance() if dialect == "binance" else self._kraken()
            self._printed[dialect] = rendered_lines([line.encode() for line in lines])
        return self._printed[dialect]

    def _binance(self) -> Iterator[str]:
        ends = (self._interval.closes(self.open_time) - 1).tolist()
        for time, end, values, (quote, trades, base, taker) in zip(
            self.open_time.tolist(), ends, self._rows.printed(), self._rows.more(), strict=True
        ):
            yield f'[{time},"{_BETWEEN.join(values)}",{end},"{quote}",{trades},"{base}","{taker}","0"]'

    def _kraken(self) -> Iterator[str]:
        for time, values, more in zip(self.open_time.tolist(), self._rows.printed(), self._rows.more(), strict=True):
            yield f'[{time // 1000},"{_BETWEEN.join(values[:4])}","0.0","{values[4]}",{more[1]}]'


class _Series:
    """A recording in chunks and as whole numbers."""

    def __init__(self, recording: Recording, instrument: Instrument) -> None:
        self.interval = recording.interval
        self._rows = recording.rows
        times = recording.rows.open_time
        self._starts = times[::_ROWS_PER_CHUNK].tolist()
        self._chunks: dict[int, RecordedChunk] = {}
        scale = 10.0 ** np.array([instrument.price_decimals] * 4 + [instrument.size_decimals])
        whole = np.rint(recording.rows.values * scale).astype(np.int64)
        extras = recording.rows.extras
        counts = np.zeros(len(times), np.int64) if extras is None else extras[:, 1].astype(np.float64).astype(np.int64)
        self.bars = Bars(times, *whole.T, np.zeros(len(times), np.int64), counts)

    def numbers(self, first_ms: int, last_ms: int) -> range:
        first, last = (max(bisect_right(self._starts, time) - 1, 0) for time in (first_ms, last_ms))
        return range(first, last + 1)

    def chunk(self, number: int) -> RecordedChunk:
        if number not in self._chunks:
            first = number * _ROWS_PER_CHUNK
            self._chunks[number] = RecordedChunk(self._rows.take(slice(first, first + _ROWS_PER_CHUNK)), self.interval)
        return self._chunks[number]


class ReplayedMarkets:
    """A CandleSource of recorded files. Intervals that were not recorded are empty, holes stay holes."""

    def __init__(self, directory: Path) -> None:
        recordings, self.skipped = read_recordings(directory)
        self.seed = 0
        self.kind: Literal["generated", "replayed"] = "replayed"
        self.description = f"replayed from {directory.name}"
        by_symbol: dict[str, list[Recording]] = {}
        for recording in recordings:
            by_symbol.setdefault(recording.symbol, []).append(recording)
        self.instruments = {symbol: _instrument(found) for symbol, found in by_symbol.items()}
        self._series = {
            (recording.symbol, recording.interval.name): _Series(recording, self.instruments[recording.symbol])
            for recording in recordings
        }
        self._tapes: dict[str, tuple[Bars, np.ndarray]] = {}
        self.first_ms = min(int(recording.rows.open_time[0]) for recording in recordings)
        self.end_ms = max(recording.interval.close(int(recording.rows.open_time[-1])) for recording in recordings)

    def chunk_range(self, instrument: Instrument, interval: Interval, first_ms: int, last_ms: int) -> range:
        series = self._series.get((instrument.symbol, interval.name))
        return range(0) if series is None else series.numbers(first_ms, last_ms)

    def chunk(self, instrument: Instrument, interval: Interval, number: int) -> RecordedChunk:
        return self._series[instrument.symbol, interval.name].chunk(number)

    def running(self, instrument: Instrument, interval: Interval, now_ms: int) -> RecordedChunk | None:
        series = self._series.get((instrument.symbol, interval.name))
        start = interval.floor(now_ms)
        bar = empty_bars() if series is None else series.bars.between(start, start + 1)
        if len(bar) == 0:
            return None
        bar = part_of(bar, (now_ms - start) / (interval.close(start) - start))
        price, size = instrument.price_decimals, instrument.size_decimals
        prices = [decimal_text(int(column[0]), price, price) for column in (bar.open, bar.high, bar.low, bar.close)]
        texts = np.array([[*prices, decimal_text(int(bar.volume[0]), size, size)]])
        return RecordedChunk(Rows(bar.open_time, texts.astype(np.float64), texts), interval)

    def finest(self, instrument: Instrument, start_ms: int, now_ms: int) -> tuple[Bars, Interval]:
        series = self._finest(instrument)
        return series.bars.between(start_ms, now_ms + 1), series.interval

    def newest(self, instrument: Instrument, now_ms: int) -> tuple[Bars, Interval]:
        found = [(series.bars.between(0, now_ms + 1).take(slice(-1, None)), series.interval) for series in self._all(instrument)]
        return max(found, key=lambda newest: int(newest[0].open_time[0]) if len(newest[0]) else -1)

    def tape(self, instrument: Instrument, start_ms: int, end_ms: int) -> tuple[Bars, np.ndarray]:
        if instrument.symbol not in self._tapes:
            self._tapes[instrument.symbol] = _finest_of_each_time([(one.bars, one.interval) for one in self._all(instrument)])
        bars, lengths = self._tapes[instrument.symbol]
        first = int(np.searchsorted(bars.open_time + lengths, start_ms, side="right"))
        last = int(np.searchsorted(bars.open_time, end_ms))
        return bars.take(slice(first, last)), lengths[first:last]

    def _finest(self, instrument: Instrument) -> _Series:
        return self._all(instrument)[0]

    def _all(self, instrument: Instrument) -> list[_Series]:
        """Return the recordings of a market, the finest one first."""
        found = [series for (symbol, _), series in self._series.items() if symbol == instrument.symbol]
        return sorted(found, key=lambda series: series.interval.milliseconds or 2**62)


def _finest_of_each_time(series: Sequence[tuple[Bars, Interval]]) -> tuple[Bars, np.ndarray]:
    """Return the candles, by open time, that hold no candle of a finer recording, and their lengths in ms."""
    bars, lengths = empty_bars(), np.empty(0, np.int64)
    for added, interval in series:
        ends = interval.closes(added.open_time)
        alone = np.searchsorted(bars.open_time, added.open_time) == np.searchsorted(bars.open_time, ends)
        bars, lengths = join([bars, added.take(alone)]), np.append(lengths, (ends - added.open_time)[alone])
        order = np.argsort(bars.open_time, kind="stable")
        bars, lengths = bars.take(order), lengths[order]
    return bars, lengths


def _instrument(recordings: list[Recording]) -> Instrument:
    """Derive a market's steps from its digits: the finest that occur, as far as whole numbers of 64 bits can hold them."""
    prices = np.concatenate([recording.rows.values[:, :4].ravel() for recording in recordings])
    sizes = np.concatenate([recording.rows.values[:, 4] for recording in recordings])
    first = recordings[0]
    listed = min(int(recording.rows.open_time[0]) for recording in recordings)
    return Instrument(first.base, first.quote, _decimals(prices), _decimals(sizes), 5.0, listed)


def _decimals(values: np.ndarray) -> int:
    for decimals in range(_MOST_DECIMALS):
        scaled = values * 10.0**decimals
        finest = scaled.max() * 10 > _LARGEST
        if finest or np.isclose(scaled, np.rint(scaled), rtol=1e-14, atol=1e-9).all():
            return decimals
    return _MOST_DECIMALS
