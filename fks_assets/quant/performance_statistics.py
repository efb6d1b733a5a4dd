"""One statistic, one function, of daily returns as fractions. What is not defined is None, never a made-up 0 or infinity.

A year has 365 days, since crypto markets never close. Deviations are of the sample (n − 1).
"""

import math
from statistics import NormalDist

import numpy as np

DAYS_PER_YEAR = 365
LEAST_SPREAD = 1e-14  # returns that differ by less than equity's own rounding are all the same

_NORMAL = NormalDist()


def known(value: float) -> float | None:
    """Return the number, or None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def varies(returns: np.ndarray) -> bool:
    """Return whether there are two returns or more and they are not all the same."""
    return len(returns) > 1 and bool(np.ptp(returns) > LEAST_SPREAD)


def excess(returns: np.ndarray, risk_free: float) -> np.ndarray:
    """Return what is left of each day's return after the risk-free one; `risk_free` is a fraction per year, compounded daily."""
    return returns if risk_free == 0 else returns - ((1.0 + risk_free) ** (1.0 / DAYS_PER_YEAR) - 1.0)


def annual_growth(growth: float, days: int) -> float | None:
    """Return the compound annual growth rate (CAGR) as a fraction; None with fewer than 2 days or beyond all numbers."""
    if days < 2:
        return None
    try:
        return known(growth ** (DAYS_PER_YEAR / days) - 1.0)
    except OverflowError:
        return None


def volatility(returns: np.ndarray) -> float | None:
    """Return the annualised sample deviation as a fraction; None with fewer than 2 days."""
    return float(np.std(returns, ddof=1) * math.sqrt(DAYS_PER_YEAR)) if len(returns) > 1 else None


def sharpe(returns: np.ndarray, risk_free: float = 0.0) -> float | None:
    """Return mean over deviation of the excess returns, annualised; None when they do not vary.

    Source: William F. Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21 (1994).
    """
    daily = daily_sharpe(excess(returns, risk_free))
    return None if daily is None else daily * math.sqrt(DAYS_PER_YEAR)


def daily_sharpe(returns: np.ndarray) -> float | None:
    """Return mean over sample deviation, not annualised; None when the returns do not vary."""
    return known(np.mean(returns) / np.std(returns, ddof=1)) if varies(returns) else None


def sortino(returns: np.ndarray, risk_free: float = 0.0) -> float | None:
    """Return mean over downside deviation of the excess returns, annualised; None with fewer than 2 days or none below zero.

    The downside deviation is the root of the mean over ALL days of the squared losses. Source: Sortino and van der Meer,
    Downside Risk, Journal of Portfolio Management 17 (1991).
    """
    left = excess(returns, risk_free)
    downside = float(np.sqrt(np.mean(np.minimum(left, 0.0) ** 2))) if len(left) > 1 else 0.0
    return known(np.mean(left) / downside * math.sqrt(DAYS_PER_YEAR)) if downside > LEAST_SPREAD else None


def calmar(annual: float | None, deepest: float | None) -> float | None:
    """Return CAGR over the deepest drawdown, both fractions; None without either, or when there was no drawdown.

    Source: Terry W. Young, Calmar Ratio: A Smoother Tool, Futures 20 (1991), here over the whole period.
    """
    return None if annual is None or not deepest else known(annual / deepest)


def value_at_risk(returns: np.ndarray, tail: float = 0.05) -> float | None:
    """Return the loss, as a positive fraction, that all but the worst `tail` of days stayed above; None with fewer than 2 days.

    Historical: the quantile of the days themselves, linear between two of them; negative when even that day won.
    """
    return -float(np.quantile(returns, tail)) if len(returns) > 1 else None


def expected_shortfall(returns: np.ndarray, tail: float = 0.05) -> float | None:
    """Return the mean loss, as a positive fraction, of the days at or beyond the value at risk (CVaR); None as that is.

    Days that are equal but for rounding count as equal, so that the size of an account does not decide which are beyond it.
    """
    if len(returns) < 2:
        return None
    bound = np.quantile(returns, tail)
    return -float(np.mean(returns[returns <= bound + 1e-12 * max(1.0, abs(bound))]))


def tail_ratio(returns: np.ndarray) -> float | None:
    """Return the 95th percentile over the 5th, without signs; None with fewer than 2 days or when the 5th is zero."""
    if len(returns) < 2:
        return None
    high, low = np.abs(np.quantile(returns, (0.95, 0.05)))
    return known(high / low) if low > LEAST_SPREAD else None


def skew(returns: np.ndarray) -> float | None:
    """Return the sample skewness G1 (Joanes and Gill, The Statistician 47, 1998); None with fewer than 3 days or no variance."""
    count = len(returns)
    if count < 3 or not varies(returns):
        return None
    away = returns - np.mean(returns)
    second, third = np.mean(away**2), np.mean(away**3)
    return known(third / second**1.5 * math.sqrt(count * (count - 1)) / (count - 2))


def kurtosis(returns: np.ndarray) -> float | None:
    """Return the sample excess kurtosis G2 (there too; a normal one has 0); None with fewer than 4 days or no variance."""
    count = len(returns)
    if count < 4 or not varies(returns):
        return None
    away = returns - np.mean(returns)
    second, fourth = np.mean(away**2), np.mean(away**4)
    flat = (count - 1) / ((count - 2) * (count - 3))
    return known(flat * ((count + 1) * fourth / second**2 - 3 * (count - 1)))


def beta(returns: np.ndarray, market: np.ndarray) -> float | None:
    """Return the slope of the returns on those of the market; None when the market's do not vary."""
    return known(np.cov(returns, market)[0, 1] / np.var(market, ddof=1)) if varies(market) else None


def alpha(returns: np.ndarray, market: np.ndarray, risk_free: float = 0.0) -> float | None:
    """Return Jensen's alpha per year as a fraction: 365 times the mean excess return that beta does not explain.

    Source: Michael C. Jensen, The Performance of Mutual Funds, Journal of Finance 23 (1968). None when beta is.
    """
    slope = beta(returns, market)
    if slope is None:
        return None
    return known((np.mean(excess(returns, risk_free)) - slope * np.mean(excess(market, risk_free))) * DAYS_PER_YEAR)


def correlation(returns: np.ndarray, market: np.ndarray) -> float | None:
    """Return Pearson's correlation; None when either does not vary."""
    return known(np.corrcoef(returns, market)[0, 1]) if varies(returns) and varies(market) else None


def probabilistic_sharpe(
    observed: float, days: int, skewness: float, excess_kurtosis: float, benchmark: float = 0.0
) -> float | None:
    """Return the probability 0..1 that the true Sharpe ratio is above `benchmark`; both ratios are daily, not annualised.

    None with fewer than 2 days, or when the moments of a short sample give a variance below zero. Source: Bailey and López de
    Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15 (2012).
    """
    variance = 1.0 - skewness * observed + (excess_kurtosis + 2.0) / 4.0 * observed**2
    if days < 2 or not variance > 0:
        return None
    return _NORMAL.cdf((observed - benchmark) * math.sqrt((days - 1) / variance))
