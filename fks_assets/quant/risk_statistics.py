"""What the past says of a portfolio: correlation-adjusted exposure, value at risk, expected shortfall, drawdown.

Statistics, in floats: no amount of money is made of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.performance_series import DAY_MS, below_peak, checked_curve

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class DailyReturns:
    """Returns of markets on the same UTC days: `day` int64 ms, `values` float64, a row a day, a column a market."""

    markets: tuple[str, ...]
    day: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, slots=True)
class TailLoss:
    """Losses of one day as fractions of the balance; below 0 they are gains. `days`: how many the past had."""

    value_at_risk: float
    expected_shortfall: float
    days: int


def daily_returns(closes: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> DailyReturns:
    """Return the returns from each UTC day to the next of all markets, on the days for which every market has both.

    `closes` are, by market, (close time ms, price) of closed candles of at most a day. A day's close is that of the candle that
    ends it, at 24:00; a day without one has no return, and neither has the next.
    """
    ends: list[dict[int, float]] = []
    for name, (time, price) in closes.items():
        time, price = checked_curve(time, price, f"closes of {name}") if len(time) else (time, price)
        at_end = time % DAY_MS == 0 if len(time) else np.empty(0, bool)
        ends.append(dict(zip(time[at_end].tolist(), price[at_end].tolist(), strict=True)))
    common = sorted(set.intersection(*(set(each) for each in ends))) if ends else []
    days = [day for day in common if day - DAY_MS in ends[0] and all(day - DAY_MS in each for each in ends)]
    rows = [[each[day] / each[day - DAY_MS] - 1 for each in ends] for day in days]
    values = np.array(rows, np.float64).reshape(len(days), len(closes))
    return DailyReturns(tuple(closes), np.array(days, np.int64) - DAY_MS, values)


def correlated_exposure(weights: Sequence[float], returns: DailyReturns) -> float:
    """Return sqrt(w' C w), the exposure that counts for diversification, as a fraction of the balance.

    `weights` are the signed shares of the balance in the markets of `returns`, C is the correlation of their returns: equal
    markets add up, hedges cancel out. Source: Markowitz, Portfolio Selection (1952), with every volatility taken as 1. Raises
    InsufficientData for fewer than two days, and for a market whose returns never differ.
    """
    weight = _weights(weights, returns)
    if len(returns) < 2:
        raise InsufficientData(f"a correlation needs at least 2 daily returns, there are {len(returns)}")
    still = [name for name, spread in zip(returns.markets, np.ptp(returns.values, axis=0), strict=True) if not spread > 0]
    if still:
        raise InsufficientData(f"{', '.join(still)} moved by the same on each of {len(returns)} days: it has no correlation")
    correlation = np.atleast_2d(np.corrcoef(returns.values, rowvar=False))
    return float(np.sqrt(max(weight @ correlation @ weight, 0.0)))


def tail_loss(weights: Sequence[float], returns: DailyReturns, confidence: float = CONFIDENCE) -> TailLoss:
    """Return value at risk and expected shortfall of one day by historical simulation: these weights through those days.

    The value at risk is the linearly interpolated quantile of the days' losses. The expected shortfall is the mean of the worst
    (1 - confidence) of the days, the last of them in part. Source: Acerbi and Tasche, On the coherence of expected shortfall
    (2002). Raises InsufficientData when there is no day.
    """
    weight = _weights(weights, returns)
    if not len(returns):
        raise InsufficientData("the value at risk needs at least 1 daily return, there are 0")
    worst_first = np.sort(returns.values @ weight)
    rest = 1 - confidence
    counted = rest * len(worst_first)
    whole = min(int(counted), len(worst_first) - 1)
    shortfall = -(worst_first[:whole].sum() + (counted - whole) * worst_first[whole]) / counted
    return TailLoss(-float(np.quantile(worst_first, rest)), float(shortfall), len(worst_first))


def drawdowns(values: np.ndarray) -> tuple[float, float]:
    """Return (now, deepest) how far an equity curve is, and was, below its highest value before, as fractions.

    Raises InsufficientData for a curve without points, InvalidInput for a value that is not above 0.
    """
    if not len(values):
        raise InsufficientData("a drawdown needs an equity curve, it has no points")
    if not (np.isfinite(values) & (values > 0)).all():
        raise InvalidInput("a drawdown needs values above 0, the equity curve has others")
    below = below_peak(np.asarray(values, np.float64))
    return float(below[-1]), float(below.max())


def _weights(weights: Sequence[float], returns: DailyReturns) -> np.ndarray:
    weight = np.asarray(weights, np.float64)
    if weight.shape != (len(returns.markets),) or not np.isfinite(weight).all():
        raise InvalidInput(f"weights {list(weights)} are not one finite number for each of {', '.join(returns.markets)}")
    return weight
