"""Candles to test with: recorded ones from the shared data, and seeded synthetic ones."""

import gzip
import json
from functools import lru_cache

import numpy as np
import pytest

from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets_tests.shared_data import SHARED

HOUR_MS = 3_600_000
START_MS = 1_577_836_800_000
RECORDED = ("BNB", "BTC", "CHZ", "DOGE", "ETH", "LTC", "SOL", "XRP")


@lru_cache(maxsize=8)
def recorded(base: str) -> Candles:
    """Return every recorded Binance 1h candle of BASE/USDT from its listing to 2022-10, outages left out as they were."""
    if SHARED is None:
        pytest.skip("recorded market data not found")
    path = SHARED / "data" / "ohlcv" / "binance_1h_long" / f"{base}_USDT-1h.json.gz"
    with gzip.open(path) as file:
        rows = np.array(json.load(file), np.float64)
    return Candles(rows[:, 0].astype(np.int64), *(np.ascontiguousarray(rows[:, place]) for place in range(1, 6)))


def synthetic(rows: int, *, volatility: float = 0.005, seed: int = 1, jump: float = 0.0, start_price: float = 100.0) -> Candles:
    """Return a seeded random walk of 1h candles; `jump` is a log return in the middle."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, volatility, rows)
    steps[rows // 2 : rows // 2 + 1] += jump
    close = start_price * np.exp(np.cumsum(steps))
    open_ = np.concatenate([[start_price], close[:-1]])[:rows]
    spread = np.abs(random.normal(0, volatility, (2, rows)))
    return candles_of(
        np.maximum(open_, close) * (1 + spread[0]),
        np.minimum(open_, close) * np.exp(-spread[1]),
        close,
        open_=open_,
        volume=random.gamma(2.0, 5.0, rows),
    )


def candles_of(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, *, open_: np.ndarray | None = None, volume: np.ndarray | None = None
) -> Candles:
    """Return hourly candles from columns; open is close and volume is 1 unless given."""
    columns = (close if open_ is None else open_, high, low, close, np.ones(len(close)) if volume is None else volume)
    return Candles(
        START_MS + HOUR_MS * np.arange(len(close), dtype=np.int64), *(np.asarray(column, np.float64) for column in columns)
    )


def of_closes(closes: list[float] | np.ndarray, *, volume: np.ndarray | None = None) -> Candles:
    """Return hourly candles that open, trade and close at one price each."""
    close = np.asarray(closes, np.float64)
    return candles_of(close, close, close, volume=volume)


def joined(*parts: Candles) -> Candles:
    """Return the parts one after another as hourly candles."""
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in OHLCV_COLUMNS]
    return Candles(START_MS + HOUR_MS * np.arange(len(columns[0]), dtype=np.int64), *columns)
