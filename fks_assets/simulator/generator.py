"""Seeded markets: any candle of any market, interval and time can be computed without computing what came before it.

Hours are drawn first (block by block, see paths.py); every longer candle is their exact aggregation and the minutes inside an
hour are bent to add up to it, so all intervals agree in open, high, low, close, volume and trade count.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from fks_assets.simulator.bars import Bars, aggregate, empty_bars, join
from fks_assets.simulator.cache import CostCache
from fks_assets.simulator.instruments import DEFAULT_MARKETS, Character, Instrument
from fks_assets.simulator.intervals import BINANCE_INTERVALS, BLOCK_MS, CELL_MS, DAY_MS, HOUR_MS, MINUTE_MS, Interval
from fks_assets.simulator.minutes import LEAST_TRADES, split_hours
from fks_assets.simulator.paths import HOURS, Path, Regime, factor_path, own_path
from fks_assets.simulator.randomness import generator
from fks_assets.simulator.rendering import RenderedRows, binance_rows, kraken_rows
from fks_assets.simulator.seasons import activity, outage
from fks_assets.simulator.source import Dialect, recent

_CELL_HOURS = CELL_MS // HOUR_MS
_CELLS_PER_BLOCK = BLOCK_MS // CELL_MS
_AVERAGE_TRADE = 400.0
_LOOK_BACK_DAYS = (1 / 24, 1.0, 30.0)
_LEAST_LOTS = 60 * LEAST_TRADES
_BYTES_PER_ROW = 8 * 8
_MINUTE = BINANCE_INTERVALS["1m"]
_CACHE_BYTES = 256 * 2**20


class BarChunk:
    """Generated candles with their printed forms, made when first asked for."""

    def __init__(self, bars: Bars, instrument: Instrument, interval: Interval) -> None:
        self.open_time = bars.open_time
        self._bars = bars
        self._instrument = instrument
        self._interval = interval
        self._printed: dict[Dialect, RenderedRows] = {}

    def rendered(self, dialect: Dialect) -> RenderedRows:
        if dialect not in self._printed:
            self._printed[dialect] = self._print(dialect)
        return self._printed[dialect]

    def _print(self, dialect: Dialect) -> RenderedRows:
        if dialect == "kraken":
            return kraken_rows(self._bars, self._instrument)
        return binance_rows(self._bars, self._instrument, self._interval.closes(self.open_time))


class GeneratedMarkets:
    """A CandleSource drawn from a seed."""

    def __init__(self, seed: int, markets: Mapping[Instrument, Character] = DEFAULT_MARKETS) -> None:
        self.seed = seed
        self.instruments = {instrument.symbol: instrument for instrument in markets}
        self.description = f"generated from seed {seed}"
        self.kind: Literal["generated", "replayed"] = "generated"
        self._characters = dict(markets)
        self._factors: dict[int, Path] = {}
        self._bars: CostCache[Bars] = CostCache(_CACHE_BYTES, lambda bars: len(bars) * _BYTES_PER_ROW)
        self._chunks: CostCache[BarChunk] = CostCache(_CACHE_BYTES, lambda chunk: len(chunk.open_time) * 240)

    def regime(self, time_ms: int) -> Regime:
        """Return the regime of the common factor in the hour that contains the time."""
        return Regime(int(self._factor(time_ms // BLOCK_MS).regime[time_ms % BLOCK_MS // HOUR_MS]))

    def chunk_range(self, instrument: Instrument, interval: Interval, first_ms: int, last_ms: int) -> range:
        end = last_ms if instrument.delisted_ms is None else min(last_ms, instrument.delisted_ms)
        return range(interval.chunk_of(max(first_ms, instrument.listed_ms)), interval.chunk_of(end) + 1)

    def chunk(self, instrument: Instrument, interval: Interval, number: int) -> BarChunk:
        return self._chunks.get((instrument, interval, number), lambda: self._make_chunk(instrument, interval, number))

    def running(self, instrument: Instrument, interval: Interval, now_ms: int) -> BarChunk | None:
        bars = self._so_far(instrument, interval.floor(now_ms), now_ms)
        return BarChunk(aggregate(bars, interval), instrument, interval) if len(bars) else None

    def finest(self, instrument: Instrument, start_ms: int, now_ms: int) -> tuple[Bars, Interval]:
        return self.minutes(instrument, start_ms, now_ms + 1), _MINUTE

    def tape(self, instrument: Instrument, start_ms: int, end_ms: int) -> tuple[Bars, np.ndarray]:
        end = end_ms if instrument.delisted_ms is None else min(end_ms, instrument.delisted_ms)
        bars = self.minutes(instrument, max(start_ms - start_ms % MINUTE_MS, instrument.listed_ms), end)
        return bars, np.full(len(bars), MINUTE_MS)

    def newest(self, instrument: Instrument, now_ms: int) -> tuple[Bars, Interval]:
        end = now_ms if instrument.delisted_ms is None else min(now_ms, instrument.delisted_ms - 1)
        for days in _LOOK_BACK_DAYS:
            bars = self.minutes(instrument, end - int(days * DAY_MS), end + 1)
            if len(bars):
                return bars.take(slice(-1, None)), _MINUTE
        return empty_bars(), _MINUTE

    def hours(self, instrument: Instrument, start_ms: int, end_ms: int) -> Bars:
        """Return the hour candles that open in [start_ms, end_ms)."""
        blocks = range(start_ms // BLOCK_MS, -(-end_ms // BLOCK_MS))
        return join([self._hour_block(instrument, block).between(start_ms, end_ms) for block in blocks])

    def minutes(self, instrument: Instrument, start_ms: int, end_ms: int) -> Bars:
        """Return the minute candles that open in [start_ms, end_ms)."""
        cells = range(start_ms // CELL_MS, -(-end_ms // CELL_MS))
        return join([self._minute_cell(instrument, cell).between(start_ms, end_ms) for cell in cells])

    def _make_chunk(self, instrument: Instrument, interval: Interval, number: int) -> BarChunk:
        start, end = interval.chunk_window(number)
        fine = 0 < interval.milliseconds < HOUR_MS
        bars = self.minutes(instrument, start, end) if fine else self.hours(instrument, start, end)
        is_base = interval.milliseconds in (MINUTE_MS, HOUR_MS)
        return BarChunk(bars if is_base else aggregate(bars, interval), instrument, interval)

    def _so_far(self, instrument: Instrument, start_ms: int, now_ms: int) -> Bars:
        hour = max(start_ms, now_ms - now_ms % HOUR_MS)
        return join([self.hours(instrument, start_ms, hour), recent(self, instrument, hour, now_ms)])

    def _factor(self, block: int) -> Path:
        if block not in self._factors:
            self._factors[block] = factor_path(self.seed, block)
        return self._factors[block]

    def _hour_block(self, instrument: Instrument, block: int) -> Bars:
        return self._bars.get((instrument, "hours", block), lambda: self._make_hours(instrument, block))

    def _minute_cell(self, instrument: Instrument, cell: int) -> Bars:
        return self._bars.get((instrument, "minutes", cell), lambda: self._make_minutes(instrument, cell))

    def _make_hours(self, instrument: Instrument, block: int) -> Bars:
        character, factor = self._characters[instrument], self._factor(block)
        own = own_path(self.seed, character.path, block, character.hourly_volatility, factor.volatility)
        level = np.log(character.level) + character.beta * factor.level + own.level
        volatility = np.hypot(character.beta * factor.volatility, own.volatility)
        random = generator(self.seed, "hours", character.path, block)
        steps = np.diff(level)
        reach = np.sqrt(steps**2 - 2 * volatility**2 * np.log(random.uniform(1e-12, 1.0, (2, HOURS))))
        unit = 10.0**instrument.price_decimals
        ends = np.maximum(np.rint(np.exp(level) * unit), 1).astype(np.int64)
        open_, close = ends[:-1], ends[1:]
        top, bottom = (np.rint(np.exp(level[:-1] + excursion / 2) * unit) for excursion in (steps + reach[0], steps - reach[1]))
        high = np.maximum(top.astype(np.int64), np.maximum(open_, close))
        low = np.maximum(np.minimum(bottom.astype(np.int64), np.minimum(open_, close)), 1)

        times = block * BLOCK_MS + np.arange(HOURS, dtype=np.int64) * HOUR_MS
        surge = (volatility / np.median(volatility)) ** 0.9 * (0.6 + 0.5 * np.abs(steps) / volatility)
        turnover = character.daily_notional / 24 * activity(times // HOUR_MS) * surge * np.exp(random.normal(-0.03, 0.25, HOURS))
        volume = np.maximum(turnover / (ends[1:] / unit) * 10.0**instrument.size_decimals, _LEAST_LOTS).astype(np.int64)
        trades = np.minimum(np.maximum(turnover / _AVERAGE_TRADE, _LEAST_LOTS).astype(np.int64), volume)
        quote = volume * ((open_ + high + low + close) // 4)
        bars = Bars(times, open_, high, low, close, volume, quote, trades)
        return bars.take(self._open_hours(instrument, times, block))

    def _open_hours(self, instrument: Instrument, times: np.ndarray, block: int) -> np.ndarray:
        """Return which hours have a candle: the market is listed and not the whole hour falls into an outage."""
        exists = times >= instrument.listed_ms
        if instrument.delisted_ms is not None:
            exists &= times < instrument.delisted_ms
        for cell in range(block * _CELLS_PER_BLOCK, (block + 1) * _CELLS_PER_BLOCK):
            down = outage(self.seed, cell)
            if down is not None:
                exists &= ~((times >= down[0]) & (times + HOUR_MS <= down[1]))
        return exists

    def _make_minutes(self, instrument: Instrument, cell: int) -> Bars:
        start = cell * CELL_MS
        hours = self.hours(instrument, start, start + CELL_MS)
        random = generator(self.seed, "minutes", self._characters[instrument].path, cell)
        quiet = self._quiet_minutes(random, self._characters[instrument].quiet)
        minute_times = start + np.arange(CELL_MS // MINUTE_MS, dtype=np.int64) * MINUTE_MS
        down = outage(self.seed, cell)
        is_down = np.zeros(len(minute_times), bool) if down is None else (minute_times >= down[0]) & (minute_times < down[1])
        present = (hours.open_time - start) // HOUR_MS
        shape = (_CELL_HOURS, 60)
        is_down, quiet = is_down.reshape(shape)[present], quiet.reshape(shape)[present]
        tradable = ~is_down & ~quiet
        silent = ~tradable.any(axis=1)
        tradable[silent] = ~is_down[silent]
        if len(hours) == 0:
            return hours
        return split_hours(hours, tradable, random).take(~is_down.ravel())

    @staticmethod
    def _quiet_minutes(random: np.random.Generator, chance: float) -> np.ndarray:
        """Return a mask of the cell's minutes without trades: spells of 1-12 minutes."""
        count = CELL_MS // MINUTE_MS
        starts = np.flatnonzero(random.random(count) < chance)
        change = np.zeros(count + 1, np.int64)
        np.add.at(change, starts, 1)
        np.add.at(change, np.minimum(starts + random.integers(1, 13, len(starts)), count), -1)
        return np.cumsum(change)[:count] > 0
