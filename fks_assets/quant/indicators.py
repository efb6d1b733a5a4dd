"""Indicators of a market, by TA-Lib on arrays. Columns are float64 and NaN before their look-back.

TA-Lib brings pandas along, so it is imported on use: settings check the parameters of strategies without it.
"""

import math

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles

INDICATOR_COLUMNS = (
    "rsi_14",
    "macd",
    "macd_signal",
    "macd_histogram",
    "bb_upper",
    "bb_middle",
    "bb_lower",
    "atr_14",
    "sma_20",
    "sma_50",
    "sma_200",
    "ema_12",
    "ema_26",
    "ema_5",
    "ema_13",
    "volume_sma_5",
    "volume_ratio",
    "high_20",
    "low_20",
    "momentum_3",
)
# Measured in fks_assets_tests/quant/test_warmup.py, which fails when it is too small or needlessly large.
WARMUP_ROWS = 500
FORGOTTEN = 1e-12
CHUNK_ROWS = 16_384


def compute_indicators(candles: Candles) -> dict[str, np.ndarray]:
    """Return every column of INDICATOR_COLUMNS, one value a candle, each from that candle and earlier ones only.

    RSI and ATR smooth as in Wilder (1978); Bollinger bands lie 2 population standard deviations from the mean of 20; high_20
    and low_20 are the extremes of the 20 candles before this one; volume_ratio is volume to its mean of 5, and 0 where that
    mean is 0; momentum_3 is the change of close over 3 candles as a fraction.

    The store promises candles without NaN; one would spread to all later rows, so it raises InvalidInput, as do columns of
    unequal length. Rows with at least WARMUP_ROWS rows before them agree with any earlier start of the series to 1e-9. Only in
    a market that has not moved at all for hundreds of candles does RSI remember its start for longer: a ratio of two means that
    both fade to nothing.
    """
    import talib

    high, low, close, volume = (_column(candles, name) for name in OHLCV_COLUMNS if name != "open")
    macd, macd_signal, macd_histogram = talib.MACD(close, 12, 26, 9)
    bb_upper, bb_middle, bb_lower = talib.BBANDS(close, 20, 2, 2)
    volume_mean = window_mean(volume, 5)
    columns = (
        talib.RSI(close, 14),
        macd,
        macd_signal,
        macd_histogram,
        bb_upper,
        bb_middle,
        bb_lower,
        talib.ATR(high, low, close, 14),
        talib.SMA(close, 20),
        talib.SMA(close, 50),
        talib.SMA(close, 200),
        talib.EMA(close, 12),
        talib.EMA(close, 26),
        talib.EMA(close, 5),
        talib.EMA(close, 13),
        volume_mean,
        volume_ratio(volume, volume_mean),
        highest_before(high, 20),
        lowest_before(low, 20),
        talib.ROCP(close, 3),
    )
    return dict(zip(INDICATOR_COLUMNS, columns, strict=True))


def warm_rows(rows: int, rows_before: int = 0) -> np.ndarray:
    """Return which of `rows` rows have at least WARMUP_ROWS rows before them, when `rows_before` more rows precede the first."""
    warm = np.ones(rows, np.bool_)
    warm[: max(0, WARMUP_ROWS - rows_before)] = False
    return warm


def ema_lookback(length: int) -> int:
    """Return how many rows before a row an EMA of `length` needs to have forgotten where it began, to 1e-12 of the error of its
    seed.

    TA-Lib seeds it with the mean of the first `length` values; each later row keeps the share 1 - 2 / (length + 1) of the
    seed's error.
    """
    return length + math.ceil(math.log(FORGOTTEN) / math.log1p(-2 / (length + 1))) if length > 1 else 1


def wilder_lookback(length: int) -> int:
    """Return the same for Wilder's smoothing (RSI, ATR), which keeps the share 1 - 1 / length: an EMA of 2 * length - 1."""
    return ema_lookback(2 * length - 1) + 1


def macd_lookback(fast: int, slow: int, signal: int) -> int:
    """Return the same for MACD and its signal line: two seeds, of which the slower one stays longer."""
    slowest = max(fast, slow, signal)
    return slow + signal + ema_lookback(slowest) - slowest


def highest_before(high: np.ndarray, length: int) -> np.ndarray:
    """Return the highest of the `length` values before each row, NaN where there are fewer."""
    import talib

    return _one_later(talib.MAX(high, length))


def lowest_before(low: np.ndarray, length: int) -> np.ndarray:
    """Return the lowest of the `length` values before each row, NaN where there are fewer."""
    import talib

    return _one_later(talib.MIN(low, length))


def window_mean(values: np.ndarray, length: int) -> np.ndarray:
    """Return the mean of each row and the `length` - 1 before it, NaN where there are fewer.

    TA-Lib keeps one running sum, in which the rounding of a volume of 1e9 stays for ever: later means of small volumes were off
    by 13 % and below zero for no volume at all. Here each sum is built from its own window, by doubling: 5 = 1 + 4.
    """
    mean = np.full(len(values), np.nan)
    for start in range(0, len(values) - length + 1, CHUNK_ROWS):
        part = values[start : start + CHUNK_ROWS + length - 1]
        np.divide(_window_sums(part, length), length, out=mean[start + length - 1 : start + len(part)])
    return mean


def _window_sums(values: np.ndarray, length: int) -> np.ndarray:
    windows = len(values) - length + 1
    total, covered, block, size = np.zeros(()), 0, values, 1
    while True:
        if length & size:
            total = total + block[covered : covered + windows]
            covered += size
        if covered == length:
            return total
        block = block[:-size] + block[size:]
        size *= 2


def volume_ratio(volume: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return volume / mean, 0 where the mean is 0 (nothing was traded, so nothing is confirmed), NaN where the mean is NaN."""
    with np.errstate(invalid="ignore"):
        ratio = volume / mean
    ratio[mean == 0] = 0.0
    return ratio


def _one_later(column: np.ndarray) -> np.ndarray:
    moved = np.empty_like(column)
    moved[:1] = np.nan
    moved[1:] = column[:-1]
    return moved


def _column(candles: Candles, name: str) -> np.ndarray:
    column = getattr(candles, name)
    if column.shape != (len(candles),) or column.dtype != np.float64:
        raise InvalidInput(f"{name} is {column.dtype} of shape {column.shape}; it must be float64 with one value for each candle")
    # One sum instead of a look at every value: it is finite only if all of them are.
    with np.errstate(over="ignore"):
        suspect = not math.isfinite(column.sum())
    for row in np.flatnonzero(~np.isfinite(column))[:1] if suspect else ():
        raise InvalidInput(
            f"{name} is {column[row]} in the candle that opens at {candles.open_time[row]} (row {row}); it must be finite"
        )
    return np.ascontiguousarray(column)
