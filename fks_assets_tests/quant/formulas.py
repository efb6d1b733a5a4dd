"""The indicators once more, from their published formulas, in exact decimal arithmetic, one row at a time.

RSI and average true range: J. Welles Wilder, New Concepts in Technical Trading Systems (1978), first value the plain mean of
the first 14, later ones smoothed by 1/14. MACD: Gerald Appel, as TA-Lib seeds it: both averages begin at the slow one's first
row. Bollinger bands: John Bollinger, Bollinger on Bollinger Bands (2001), population deviation. Exponential means begin with
the plain mean of their length.
"""

import itertools
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext

from fks_assets.quant.candles import Candles

Column = list[Decimal | None]
DIGITS = 50


def published_indicators(candles: Candles) -> dict[str, list[float | None]]:
    """Return every indicator column, None before its first value."""
    with localcontext() as context:
        context.prec = DIGITS
        high, low, close, volume = (
            [Decimal(value) for value in getattr(candles, name).tolist()] for name in ("high", "low", "close", "volume")
        )
        macd, signal, histogram = _macd(close)
        middle = _windows(close, 20, _mean)
        deviation = _windows(
            close, 20, lambda window: (sum((value - _mean(window)) ** 2 for value in window) / len(window)).sqrt()
        )
        volume_mean = _windows(volume, 5, _mean)
        columns: dict[str, Column] = {
            "rsi_14": _rsi(close),
            "macd": macd,
            "macd_signal": signal,
            "macd_histogram": histogram,
            "bb_upper": [None if mean is None else mean + 2 * spread for mean, spread in zip(middle, deviation, strict=True)],
            "bb_middle": middle,
            "bb_lower": [None if mean is None else mean - 2 * spread for mean, spread in zip(middle, deviation, strict=True)],
            "atr_14": _atr(high, low, close),
            **{f"sma_{length}": _windows(close, length, _mean) for length in (20, 50, 200)},
            **{f"ema_{length}": _ema(close, length) for length in (12, 26, 5, 13)},
            "volume_sma_5": volume_mean,
            "volume_ratio": [
                None if mean is None else (now / mean if mean else Decimal(0))
                for now, mean in zip(volume, volume_mean, strict=True)
            ],
            "high_20": [None, *_windows(high, 20, max)][: len(high)],
            "low_20": [None, *_windows(low, 20, min)][: len(low)],
            "momentum_3": [None if row < 3 else close[row] / close[row - 3] - 1 for row in range(len(close))],
        }
        return {name: [None if value is None else float(value) for value in column] for name, column in columns.items()}


def _mean(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def _windows(values: Sequence[Decimal], length: int, statistic: Callable[[Sequence[Decimal]], Decimal]) -> Column:
    return [None if row < length - 1 else statistic(values[row - length + 1 : row + 1]) for row in range(len(values))]


def _ema(values: Sequence[Decimal], length: int, first: int | None = None) -> Column:
    first = length - 1 if first is None else first
    share = Decimal(2) / (length + 1)
    column: Column = [None] * len(values)
    for row in range(first, len(values)):
        before = column[row - 1] if row else None
        column[row] = _mean(values[row - length + 1 : row + 1]) if before is None else before + share * (values[row] - before)
    return column


def _macd(close: Sequence[Decimal]) -> tuple[Column, Column, Column]:
    fast, slow = _ema(close, 12, first=25), _ema(close, 26)
    line = [a - b for a, b in zip(fast[25:], slow[25:], strict=True) if a is not None and b is not None]
    signal = [None] * min(25, len(close)) + _ema(line, 9)
    macd: Column = [
        None if known is None else value for value, known in zip([None] * min(25, len(close)) + line, signal, strict=True)
    ]
    return macd, signal, [None if a is None or b is None else a - b for a, b in zip(macd, signal, strict=True)]


def _wilder(values: Sequence[Decimal], length: int) -> list[Decimal]:
    smoothed = [_mean(values[:length])] if len(values) >= length else []
    for value in values[length:]:
        smoothed.append((smoothed[-1] * (length - 1) + value) / length)
    return smoothed


def _rsi(close: Sequence[Decimal]) -> Column:
    changes = [later - earlier for earlier, later in itertools.pairwise(close)]
    gains = _wilder([max(change, Decimal(0)) for change in changes], 14)
    losses = _wilder([max(-change, Decimal(0)) for change in changes], 14)
    values = [100 * gain / (gain + loss) if gain + loss else Decimal(0) for gain, loss in zip(gains, losses, strict=True)]
    return ([None] * 14 + values)[: len(close)]


def _atr(high: Sequence[Decimal], low: Sequence[Decimal], close: Sequence[Decimal]) -> Column:
    ranges = [max(high[row], close[row - 1]) - min(low[row], close[row - 1]) for row in range(1, len(close))]
    return ([None] * 14 + _wilder(ranges, 14))[: len(close)]
