"""Order book, trade tape and 24-hour figures that agree with the candles of the same moment.

The book is drawn anew each second around the last price; the tape spreads each candle's volume over its trades along the
candle's path, so a trade never changes after it was seen. Private orders are not part of either yet.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fks_assets.simulator.bars import Bars
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from fks_assets.simulator.randomness import generator
from fks_assets.simulator.source import CandleSource, last_price, recent

_LEVELS = 5000
_LEVEL_NOTIONAL = 4000.0
_IDS_PER_MINUTE = 1_000_000
_TRADES_OF_UNCOUNTED_BAR = 60


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Price levels from the best outwards: int64 ticks and lots per side."""

    bid_prices: np.ndarray
    bid_sizes: np.ndarray
    ask_prices: np.ndarray
    ask_sizes: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """Trades in order of time: ids, times in ms, prices in ticks, sizes in lots, and whether the buyer was the maker."""

    number: np.ndarray
    time: np.ndarray
    price: np.ndarray
    size: np.ndarray
    is_buyer_maker: np.ndarray

    def rows(self) -> Iterator[tuple[int, int, int, int, bool]]:
        """Return the trades one by one in the order of the columns."""
        columns = (self.number, self.time, self.price, self.size, self.is_buyer_maker)
        return zip(*(column.tolist() for column in columns), strict=True)


@dataclass(frozen=True, slots=True)
class DayFigures:
    """A stretch of a market, prices and sizes in units of the currency; prices are the last one when nothing traded."""

    open: float
    high: float
    low: float
    last: float
    last_size: float
    volume: float
    quote_volume: float
    trades: int


def order_book(source: CandleSource, instrument: Instrument, now_ms: int) -> Book:
    """Return the book at `now_ms`: at most 5000 levels a side, bids all above zero."""
    last = last_price(source, instrument, now_ms)
    random = generator(source.seed, "book", instrument.symbol, now_ms // 1000)
    half_spread = 1 + int(last * 0.00004 * random.random())
    gaps = random.geometric(min(1.0, 30.0 / max(last * 0.002, 30.0)), (2, _LEVELS))
    lots = _LEVEL_NOTIONAL / last * 10.0 ** (instrument.price_decimals + instrument.size_decimals)
    sizes = np.maximum(lots * random.lognormal(-0.5, 1.0, (2, _LEVELS)), 1).astype(np.int64)
    gaps[:, 0] = 0
    away = np.cumsum(gaps, axis=1)
    bids = last - half_spread + 1 - away[0]
    above = bids > 0
    return Book(bids[above], sizes[0][above], last + half_spread + away[1], sizes[1])


def last_trades(source: CandleSource, instrument: Instrument, now_ms: int, limit: int) -> Tape:
    """Return the newest `limit` trades up to `now_ms`, fewer if fewer happened within 30 days."""
    bar, _ = source.newest(instrument, now_ms)
    if len(bar) == 0:
        return _tape(bar, MINUTE_MS)
    end = min(now_ms, int(bar.open_time[0]) + DAY_MS)
    for span in (2 * MINUTE_MS, HOUR_MS, DAY_MS, 30 * DAY_MS):
        tape = trades_between(source, instrument, end - span, now_ms, limit, newest=True)
        if len(tape.number) >= limit:
            break
    return tape


def trades_between(source: CandleSource, instrument: Instrument, start_ms: int, now_ms: int, limit: int, *, newest: bool) -> Tape:
    """Return at most `limit` trades in [start_ms, now_ms], the newest or the oldest of them."""
    bars, interval = source.finest(instrument, start_ms - start_ms % DAY_MS, now_ms)
    bars = bars.take(interval.closes(bars.open_time) > start_ms)
    enough = np.cumsum(_trade_counts(bars)[:: -1 if newest else 1])
    needed = int(np.searchsorted(enough, limit)) + 2
    bars = bars.take(slice(-needed, None) if newest else slice(0, needed))
    tape = _tape(bars, interval.milliseconds)
    seen = np.flatnonzero((tape.time <= now_ms) & (tape.time >= start_ms))
    chosen = seen[-limit:] if newest else seen[:limit]
    return Tape(*(column[chosen] for column in (tape.number, tape.time, tape.price, tape.size, tape.is_buyer_maker)))


def day_figures(source: CandleSource, instrument: Instrument, now_ms: int, start_ms: int | None = None) -> DayFigures:
    """Return the figures from `start_ms` (24 hours ago) to `now_ms`."""
    bars = recent(source, instrument, now_ms - DAY_MS if start_ms is None else start_ms, now_ms)
    unit, lot = 10.0**instrument.price_decimals, 10.0**instrument.size_decimals
    last = last_price(source, instrument, now_ms) / unit
    if len(bars) == 0:
        return DayFigures(last, last, last, last, 0.0, 0.0, 0.0, 0)
    typical = (bars.open + bars.high + bars.low + bars.close) / 4 / unit
    counts = _trade_counts(bars)
    return DayFigures(
        open=int(bars.open[0]) / unit,
        high=int(bars.high.max()) / unit,
        low=int(bars.low.min()) / unit,
        last=last,
        last_size=int(bars.volume[-1]) // max(int(counts[-1]), 1) / lot,
        volume=int(bars.volume.sum()) / lot,
        quote_volume=float((bars.volume / lot * typical).sum()),
        trades=int(counts.sum()),
    )


def _trade_counts(bars: Bars) -> np.ndarray:
    counted = np.where(bars.trades > 0, bars.trades, _TRADES_OF_UNCOUNTED_BAR)
    return np.minimum(counted, bars.volume)


def _tape(bars: Bars, length_ms: int) -> Tape:
    counts = _trade_counts(bars)
    owner = np.repeat(np.arange(len(bars)), counts)
    order = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    fraction = (order + 0.5) / counts[owner]
    rises = bars.close >= bars.open
    points = np.stack((bars.open, np.where(rises, bars.low, bars.high), np.where(rises, bars.high, bars.low), bars.close))
    leg = (fraction * 3).astype(np.int64)
    start, end = points[leg, owner], points[leg + 1, owner]
    price = np.rint(start + (end - start) * (fraction * 3 - leg)).astype(np.int64)
    share = bars.volume // np.maximum(counts, 1)
    size = share[owner] + np.where(order == 0, (bars.volume - share * counts)[owner], 0)
    number = bars.open_time[owner] // MINUTE_MS * _IDS_PER_MINUTE + order
    time = bars.open_time[owner] + (fraction * length_ms).astype(np.int64)
    return Tape(number, time, price, size, (number * 7919 // 13) % 2 == 0)
