"""Order book and 24-hour figures that agree with the candles of the same moment.

The book is drawn anew each second around the last price. Orders of the accounts take from it; they are not
shown in it and leave no gap.
"""

from dataclasses import dataclass

import numpy as np

from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import DAY_MS
from fks_assets.simulator.randomness import generator
from fks_assets.simulator.source import CandleSource, last_price, recent
from fks_assets.simulator.tape import trade_counts

_LEVELS = 5000
_LEVEL_NOTIONAL = 4000.0


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Price levels from the best outwards: int64 ticks and lots per side."""

    bid_prices: np.ndarray
    bid_sizes: np.ndarray
    ask_prices: np.ndarray
    ask_sizes: np.ndarray


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


def day_figures(source: CandleSource, instrument: Instrument, now_ms: int, start_ms: int | None = None) -> DayFigures:
    """Return the figures from `start_ms` (24 hours ago) to `now_ms`."""
    bars = recent(source, instrument, now_ms - DAY_MS if start_ms is None else start_ms, now_ms)
    unit, lot = 10.0**instrument.price_decimals, 10.0**instrument.size_decimals
    last = last_price(source, instrument, now_ms) / unit
    if len(bars) == 0:
        return DayFigures(last, last, last, last, 0.0, 0.0, 0.0, 0)
    typical = (bars.open + bars.high + bars.low + bars.close) / 4 / unit
    counts = trade_counts(bars)
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
