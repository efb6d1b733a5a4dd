"""The rules of the shipped strategies once more, in plain Python, one candle at a time, from their docstrings.

Means and deviations are summed anew at each candle (`math.fsum`), exponential ones begin with the plain mean of their length,
Wilder's with the mean of the first true ranges, MACD's two with the slow one's first row.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from fks_assets.quant.candles import Candles

Numbers = list[float]
NAN = math.nan


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def windows(values: Sequence[float], length: int, statistic: Callable[[Sequence[float]], float]) -> Numbers:
    return [NAN if row + 1 < length else statistic(values[row + 1 - length : row + 1]) for row in range(len(values))]


def exponential(values: Sequence[float], length: int, first: int | None = None) -> Numbers:
    first = length - 1 if first is None else first
    column = [NAN] * len(values)
    for row in range(first, len(values)):
        before = column[row - 1] if row else NAN
        if math.isnan(before):
            column[row] = mean(values[row + 1 - length : row + 1])
        else:
            column[row] = before + 2 / (length + 1) * (values[row] - before)
    return column


def true_range(candles: Candles, length: int) -> Numbers:
    high, low, close = (getattr(candles, name).tolist() for name in ("high", "low", "close"))
    column = [NAN] * len(close)
    ranges = [NAN] + [max(high[row], close[row - 1]) - min(low[row], close[row - 1]) for row in range(1, len(close))]
    for row in range(length, len(close)):
        column[row] = mean(ranges[1 : length + 1]) if row == length else (column[row - 1] * (length - 1) + ranges[row]) / length
    return column


def macd(close: Sequence[float], fast: int, slow: int, signal: int) -> tuple[Numbers, Numbers]:
    quick, late = exponential(close, fast, first=slow - 1), exponential(close, slow)
    line = [a - b for a, b in zip(quick, late, strict=True)]
    return line, [NAN] * (slow - 1) + exponential(line[slow - 1 :], signal)


def crossed(first: Numbers, second: Numbers, close: Numbers, row: int) -> int:
    """Return 1 in the candle in which first rises above second, -1 in that in which it falls below, else 0."""

    def side(at: int) -> int:
        apart = first[at] - second[at]
        return 0 if not abs(apart) > 1e-9 * close[at] else 1 if apart > 0 else -1

    return side(row) if side(row) != side(row - 1) else 0


def words(name: str, candles: Candles, wanted: dict[str, Any], first: int) -> list[tuple[int, float, float]]:
    """Return (side, stop, target) of each candle from row `first` on, by the rules of the strategy called `name`."""
    high, low, close = (getattr(candles, column).tolist() for column in ("high", "low", "close"))
    ranges = true_range(candles, wanted["atr_period"])
    near, far = (
        wanted.get(each, wanted.get(other)) for each, other in (("stop_atr", "sl_multiplier"), ("target_atr", "tp_multiplier"))
    )
    rule = RULES[name](candles, close, ranges, wanted)
    said = []
    for row in range(first, len(close)):
        side, target = rule(row)
        still = max(high[row - 20 : row]) == min(low[row - 20 : row])
        if still or side == 0:
            said.append((0, NAN, NAN))
        else:
            said.append((side, close[row] - side * near * ranges[row], target or close[row] + side * far * ranges[row]))
    return said


def _sma_atr(candles, close, ranges, wanted):
    level = windows(close, wanted["sma_period"], mean)
    return lambda row: (crossed(close, level, close, row), None)


def _ema_crossover(candles, close, ranges, wanted):
    fast, slow = exponential(close, wanted["ema_fast"]), exponential(close, wanted["ema_slow"])
    return lambda row: (crossed(fast, slow, close, row), None)


def _macd_trend(candles, close, ranges, wanted):
    line, signal = macd(close, wanted["macd_fast"], wanted["macd_slow"], wanted["macd_signal"])
    trend = windows(close, wanted["trend_period"], mean)

    def rule(row):
        side = crossed(line, signal, close, row)
        return (side if side * (close[row] - trend[row]) > 1e-9 * close[row] else 0), None

    return rule


def _bollinger_reversion(candles, close, ranges, wanted):
    middle = windows(close, wanted["band_period"], mean)
    spread = windows(close, wanted["band_period"], lambda some: math.sqrt(mean([(each - mean(some)) ** 2 for each in some])))
    lower = [m - wanted["deviations"] * s for m, s in zip(middle, spread, strict=True)]
    upper = [m + wanted["deviations"] * s for m, s in zip(middle, spread, strict=True)]

    def rule(row):
        inside = lower[row] < close[row] < upper[row]
        side = (close[row - 1] < lower[row - 1]) - (close[row - 1] > upper[row - 1])
        risk = wanted["stop_atr"] * ranges[row]
        worth = side * (middle[row] - close[row]) >= wanted["least_reward_to_risk"] * risk
        return (side if inside and worth else 0), middle[row]

    return rule


def _momentum(candles, close, ranges, wanted):
    period, least = wanted["period"], wanted["threshold_percent"] / 100

    def side(row):
        change = close[row] / close[row - period] - 1
        return (change > least) - (change < -least)

    return lambda row: (side(row) if side(row) != side(row - 1) else 0, None)


RULES = {
    "sma_atr": _sma_atr,
    "ema_crossover": _ema_crossover,
    "macd_trend": _macd_trend,
    "bollinger_reversion": _bollinger_reversion,
    "momentum": _momentum,
}
