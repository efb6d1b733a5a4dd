"""Desks with stored candles to backtest on: a seeded walk, or recorded candles of Binance."""

import gzip
import json
from pathlib import Path

import numpy as np

from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import month_window, months_between
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import CandleStore, PartitionId

HOUR = 3_600_000
DAY = 24 * HOUR


def walk(start_ms: int, rows: int, seed: int, step_ms: int = HOUR, drift: float = 0.0) -> Candles:
    """Return candles of a geometric random walk."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(drift, 0.008, rows)))
    opened = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(opened, close) * (1 + random.uniform(0, 0.004, rows))
    low = np.minimum(opened, close) * (1 - random.uniform(0, 0.004, rows))
    times = start_ms + step_ms * np.arange(rows, dtype=np.int64)
    return Candles(times, opened, high, low, close, random.uniform(1, 9, rows))


def twelfths(hours: Candles) -> Candles:
    """Return 5 minute candles of hours that go from the open to the low, then to the high, then to the close, and stay there."""
    points = (hours.open, hours.low, hours.high, *([hours.close] * 10))
    opened = np.stack(points[:12], axis=1).ravel()
    close = np.stack(points[1:], axis=1).ravel()
    times = (hours.open_time[:, None] + np.arange(12) * (HOUR // 12)).ravel()
    return Candles(times, opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(len(times)))


def recorded(path: Path) -> Candles:
    """Return the candles of a recorded file: rows of open time, open, high, low, close, volume."""
    rows = json.loads(gzip.decompress(path.read_bytes()))
    columns = np.array([[float(value) for value in row[:6]] for row in rows])
    return Candles(columns[:, 0].astype(np.int64), *(np.ascontiguousarray(columns[:, place]) for place in range(1, 6)))


def store(candles: CandleStore, market: Market, rows: Candles, timeframe: str = "1h") -> None:
    """Store candles month by month, as known when the last of them closed."""
    for month in months_between(int(rows.open_time[0]), int(rows.open_time[-1]) + 1):
        part = rows.between(*month_window(month))
        if len(part):
            partition = PartitionId("ohlcv", market, timeframe, month)
            with candles.begin([partition]) as transaction:
                transaction.merge(partition, candles_table([(part, "exchange")]), known_at_ms=int(rows.open_time[-1]) + DAY)
