"""The trade tape: the trades of each candle, of which the candle and every longer one can be built again exactly.

A candle's volume is spread over its trades along the path of its price (open, one extreme, the other, close). What a trade is
depends on its candle alone, so it never changes after it was seen and can be had for any time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fks_assets.simulator.bars import Bars
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from fks_assets.simulator.source import CandleSource

NS_PER_MS = 1_000_000
_IDS_PER_MINUTE = 1_000_000
_TRADES_OF_UNCOUNTED_BAR = 60


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """Trades in order of time: ids, times in ns, prices in ticks, sizes in lots, and whether the buyer was the maker."""

    number: np.ndarray
    time_ns: np.ndarray
    price: np.ndarray
    size: np.ndarray
    is_buyer_maker: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def rows(self) -> Iterator[tuple[int, int, int, int, bool]]:
        """Return the trades one by one in the order of the columns."""
        columns = (self.number, self.time_ns, self.price, self.size, self.is_buyer_maker)
        return zip(*(column.tolist() for column in columns), strict=True)

    def take(self, selector: np.ndarray | slice) -> "Tape":
        """Return the trades chosen by a mask, indices or a slice."""
        columns = (self.number, self.time_ns, self.price, self.size, self.is_buyer_maker)
        return Tape(*(column[selector] for column in columns))


def last_trades(source: CandleSource, instrument: Instrument, now_ms: int, limit: int) -> Tape:
    """Return the newest `limit` trades up to `now_ms`, fewer if fewer happened within 30 days."""
    bar, _ = source.newest(instrument, now_ms)
    end = now_ms if len(bar) == 0 else min(now_ms, int(bar.open_time[0]) + DAY_MS)
    for span in (2 * MINUTE_MS, HOUR_MS, DAY_MS, 30 * DAY_MS):
        bars, lengths = source.tape(instrument, end - span, now_ms + 1)
        needed = int(np.searchsorted(np.cumsum(trade_counts(bars)[::-1][1:]), limit)) + 2
        found = _tape(bars.take(slice(-needed, None)), lengths[-needed:])
        found = found.take(found.time_ns <= now_ms * NS_PER_MS)
        if len(found) >= limit:
            break
    return found.take(slice(-limit, None))


def oldest_trades(source: CandleSource, instrument: Instrument, start_ns: int, now_ms: int, limit: int) -> Tape:
    """Return the first `limit` trades from `start_ns` on, up to `now_ms`."""
    start_ms, span = max(start_ns // NS_PER_MS, instrument.listed_ms), HOUR_MS
    while True:
        end = min(start_ms + span, now_ms + 1)
        bars, lengths = source.tape(instrument, start_ms, end)
        # The first bar may lie before the start in part, the second one is then needed for what it lacks.
        following = np.cumsum(trade_counts(bars)[1:])
        if end > now_ms or (len(following) and following[-1] >= limit):
            break
        span *= 4
    needed = int(np.searchsorted(following, limit)) + 2
    found = _tape(bars.take(slice(0, needed)), lengths[:needed])
    return found.take(np.flatnonzero((found.time_ns >= start_ns) & (found.time_ns <= now_ms * NS_PER_MS))[:limit])


def trade_counts(bars: Bars) -> np.ndarray:
    """Return how many trades each candle consists of: as counted, but at least as many as its price needs to turn.

    A candle whose trades were not counted has up to 60 of them.
    """
    counts = np.where(bars.trades > 0, bars.trades, np.minimum(_TRADES_OF_UNCOUNTED_BAR, bars.volume))
    return np.where(counts > 0, np.maximum(counts, 1 + (np.diff(_path(bars), axis=0) != 0).sum(axis=0)), 0)


def _path(bars: Bars) -> np.ndarray:
    """Return the turning points of each candle's price as four rows."""
    rises = bars.close >= bars.open
    return np.stack((bars.open, np.where(rises, bars.low, bars.high), np.where(rises, bars.high, bars.low), bars.close))


def _tape(bars: Bars, lengths_ms: np.ndarray) -> Tape:
    counts = trade_counts(bars)
    owner = np.repeat(np.arange(len(bars)), counts)
    first = np.cumsum(counts) - counts
    order = np.arange(len(owner)) - first[owner]
    fraction = (order + 0.5) / counts[owner]
    points = _path(bars)
    leg = (fraction * 3).astype(np.int64)
    start, end = points[leg, owner], points[leg + 1, owner]
    price = np.rint(start + (end - start) * (fraction * 3 - leg)).astype(np.int64)
    _touch(price, points, first, counts)
    share = bars.volume // np.maximum(counts, 1)
    size = share[owner] + np.where(order == 0, (bars.volume - share * counts)[owner], 0)
    number = bars.open_time[owner] // MINUTE_MS * _IDS_PER_MINUTE + order
    time_ns = bars.open_time[owner] * NS_PER_MS + (fraction * lengths_ms[owner] * NS_PER_MS).astype(np.int64)
    return Tape(number, time_ns, price, size, (number * 7919 // 13) % 2 == 0)


def _touch(price: np.ndarray, points: np.ndarray, first: np.ndarray, counts: np.ndarray) -> None:
    """Let a trade of each candle have each of its four prices exactly, in their order."""
    many, three, two = counts > 3, counts == 3, counts > 1
    turn = np.clip(counts // 3, 1, counts - 3)
    price[(first + turn)[many]] = points[1, many]
    price[(first + np.maximum(2 * counts // 3, turn + 1))[many]] = points[2, many]
    # With three trades two of the four points are one and the same.
    price[first[three] + 1] = np.where(points[1] == points[0], points[2], points[1])[three]
    price[(first + counts - 1)[two]] = points[3, two]
    price[first[counts > 0]] = points[0, counts > 0]
