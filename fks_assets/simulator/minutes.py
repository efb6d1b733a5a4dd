"""Split whole hours into sixty minutes each that add up to them exactly."""

import numpy as np

from fks_assets.simulator.bars import Bars
from fks_assets.simulator.intervals import HOUR_MS, MINUTE_MS

_MINUTES = 60
LEAST_TRADES = 4


def split_hours(hours: Bars, tradable: np.ndarray, random: np.random.Generator) -> Bars:
    """Return 60 minute bars for each hour, flat and empty where nothing traded.

    `tradable` is a mask (hours, 60); each hour needs one True, 240 trades and at least as many lots as trades. Opens, closes,
    extremes, volumes and trade counts of the sixty give back the hour; turnover is estimated in each minute by itself. A minute
    has no trade at all, or as many as its four prices need, and at least one lot for each of them.
    """
    count = len(hours)
    shape = (count, _MINUTES)
    steps = random.normal(size=shape)
    wicks = np.abs(random.normal(size=(2, *shape)))
    weights = random.gamma(1.5, size=shape) * (0.4 + np.abs(steps)) * tradable

    progress = np.cumsum(tradable, axis=1) / tradable.sum(axis=1)[:, None]
    bridge = np.cumsum(steps * tradable, axis=1)
    bridge -= progress * bridge[:, -1:]
    span = (hours.high - hours.low)[:, None]
    scale = 0.8 * span / np.maximum(np.ptp(bridge, axis=1), 1e-9)[:, None]
    floor, ceiling = hours.low[:, None], hours.high[:, None]
    drift = hours.open[:, None] + (hours.close - hours.open)[:, None] * progress
    close = np.clip(np.rint(drift + scale * bridge).astype(np.int64), floor, ceiling)
    open_ = np.concatenate((hours.open[:, None], close[:, :-1]), axis=1)

    reach = np.rint(wicks * scale * 0.6 * tradable).astype(np.int64)
    high = np.minimum(np.maximum(open_, close) + reach[0], ceiling)
    low = np.maximum(np.minimum(open_, close) - reach[1], floor)
    rows = np.arange(count)
    high[rows, np.where(tradable, high, -1).argmax(axis=1)] = hours.high
    low[rows, np.where(tradable, low, np.iinfo(np.int64).max).argmin(axis=1)] = hours.low

    trades = _share_out(hours.trades, weights, tradable, LEAST_TRADES)
    volume = trades + _share_out(hours.volume - hours.trades, weights, tradable, 0)
    quote = volume * ((open_ + high + low + close) // 4)
    times = hours.open_time[:, None] + np.arange(0, HOUR_MS, MINUTE_MS)
    return Bars(*(column.ravel() for column in (times, open_, high, low, close, volume, quote, trades)))


def _share_out(totals: np.ndarray, weights: np.ndarray, tradable: np.ndarray, least: int) -> np.ndarray:
    """Split each total over its row: `least` for every tradable minute, the rest by weight, nothing lost to rounding."""
    spare = totals - least * tradable.sum(axis=1)
    cumulative = np.cumsum(weights, axis=1)
    cumulative /= cumulative[:, -1:]
    reached = np.floor(cumulative * spare[:, None]).astype(np.int64)
    reached[:, -1] = spare
    shares = np.diff(reached, axis=1, prepend=0)
    last = _MINUTES - 1 - tradable[:, ::-1].argmax(axis=1)
    rows = np.arange(len(totals))
    moved = shares[:, -1].copy()
    idle = ~tradable[:, -1]
    shares[idle, -1] = 0
    shares[rows[idle], last[idle]] += moved[idle]
    return shares + least * tradable
