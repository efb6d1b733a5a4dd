"""Indicators into a frame against the bare TA-Lib calls on arrays for the same outputs."""

from collections.abc import Iterator

import numpy as np
import talib

from benchmarks.measure import Row, absolute, compare, paired, peak_bytes
from benchmarks.series import synthetic_candles
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators


def bare_talib(candles: Candles) -> list[np.ndarray]:
    """Compute the same outputs with nothing around TA-Lib: the limit."""
    high, low, close, volume = candles.high, candles.low, candles.close, candles.volume
    outputs = [
        talib.RSI(close, 14),
        *talib.MACD(close, 12, 26, 9),
        *talib.BBANDS(close, 20, 2, 2),
        talib.ATR(high, low, close, 14),
    ]
    outputs += [talib.SMA(close, length) for length in (20, 50, 200)]
    outputs += [talib.EMA(close, length) for length in (12, 26, 5, 13)]
    mean = talib.SMA(volume, 5)
    outputs += [mean, volume / mean, talib.MAX(high, 20), talib.MIN(low, 20), talib.ROCP(close, 3)]
    return outputs


def run() -> Iterator[Row]:
    for rows in (58_547, 100_000, 2_629_440):
        candles = synthetic_candles(rows)
        rounds = 15 if rows < 1_000_000 else 5
        ours, limit = paired(lambda c=candles: compute_indicators(c), lambda c=candles: bare_talib(c), rounds)
        yield compare(f"indicators, {rows:,} candles: time to TA-Lib on arrays", 1.5, ours, limit)
    output = sum(column.nbytes for column in compute_indicators(candles).values())
    inputs = sum(getattr(candles, name).nbytes for name in ("open_time", "open", "high", "low", "close", "volume"))
    peak = peak_bytes(lambda: compute_indicators(candles))
    yield absolute(
        "indicators, 2.6M candles: peak memory", peak / 2**20, (1.2 * output + inputs) / 2**20, "MiB", "1.2 x output + input"
    )
