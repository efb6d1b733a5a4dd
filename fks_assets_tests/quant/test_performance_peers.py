"""The figures against empyrical-reloaded and quantstats on 20 real curves, to 1e-9; where they differ by choice, how.

The days come from pandas' own resampling. The figures of trades are held against quantstats in test_performance_trades.py.
"""

import math
import warnings
from functools import lru_cache

import empyrical
import numpy as np
import pandas as pd
import pytest

from fks_assets.quant.performance import Performance, measure
from fks_assets.quant.performance_series import daily_curve, monthly_returns
from fks_assets_tests.quant.curves import CURVES, real_curve
from fks_assets_tests.shared_data import requires_shared

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from quantstats import stats as quantstats

pytestmark = [requires_shared, pytest.mark.parametrize("name", CURVES)]
YEAR = 365


def by_day(time: np.ndarray, value: np.ndarray) -> pd.Series:
    """Return daily returns; the first day counts from the first value if it has a later one."""
    series = pd.Series(value, index=pd.to_datetime(time, unit="ms"))
    groups = series.resample("1D", closed="right", label="left")
    closes, counts = groups.last().ffill(), groups.count()
    returns = closes / closes.shift(1, fill_value=value[0]) - 1
    return returns if counts.iloc[0] > 1 else returns.iloc[1:]


@lru_cache(maxsize=len(CURVES))
def measured(name: str) -> tuple[Performance, pd.Series, pd.Series]:
    curve = real_curve(name)
    figures = measure(curve.time, curve.equity, hold=(curve.time, curve.price))
    return figures, by_day(curve.time, curve.equity), by_day(curve.time, curve.price)


def same(ours: float | None, theirs: float) -> None:
    assert ours is not None
    assert ours == pytest.approx(float(theirs), rel=1e-9, abs=1e-9)


def test_returns_and_ratios_equal_empyrical(name: str) -> None:
    figures, returns, market = measured(name)
    assert figures.days == len(returns)
    same(figures.total_return_pct, 100 * empyrical.cum_returns_final(returns))
    same(figures.cagr_pct, 100 * empyrical.annual_return(returns, annualization=YEAR))
    same(figures.average_daily_return_pct, 100 * returns.mean())
    same(figures.volatility_pct, 100 * empyrical.annual_volatility(returns, annualization=YEAR))
    same(figures.sharpe, empyrical.sharpe_ratio(returns, annualization=YEAR))
    same(figures.sortino, empyrical.sortino_ratio(returns, annualization=YEAR))
    same(figures.calmar, empyrical.calmar_ratio(returns, annualization=YEAR))
    same(figures.tail_ratio, empyrical.tail_ratio(returns))
    same(figures.beta, empyrical.beta_aligned(returns, market))
    same(figures.hold_return_pct, 100 * empyrical.cum_returns_final(market))


def test_losses_equal_empyrical_with_the_other_sign(name: str) -> None:
    curve = real_curve(name)
    figures, returns, _ = measured(name)
    same(figures.max_drawdown_pct, -100 * empyrical.max_drawdown(returns))
    same(figures.max_drawdown_intraday_pct, -100 * empyrical.max_drawdown(empyrical.simple_returns(curve.equity)))
    same(figures.value_at_risk_pct, -100 * empyrical.value_at_risk(returns))
    same(figures.expected_shortfall_pct, -100 * empyrical.conditional_value_at_risk(returns))


def test_alpha_is_what_empyrical_compounds(name: str) -> None:
    figures, returns, market = measured(name)
    assert figures.alpha_pct is not None
    compounded = (1 + figures.alpha_pct / 100 / YEAR) ** YEAR - 1
    same(compounded, empyrical.alpha_aligned(returns, market, annualization=YEAR))


def test_returns_and_ratios_equal_quantstats(name: str) -> None:
    figures, returns, market = measured(name)
    same(figures.total_return_pct, 100 * quantstats.comp(returns))
    same(figures.cagr_pct, 100 * quantstats.cagr(returns, periods=YEAR))
    same(figures.volatility_pct, 100 * quantstats.volatility(returns, periods=YEAR))
    same(figures.sharpe, quantstats.sharpe(returns, periods=YEAR))
    same(figures.sortino, quantstats.sortino(returns, periods=YEAR))
    same(figures.calmar, quantstats.calmar(returns, periods=YEAR))
    same(figures.probabilistic_sharpe, quantstats.probabilistic_sharpe_ratio(returns, periods=YEAR))
    same(figures.best_day_pct, 100 * quantstats.best(returns))
    same(figures.worst_day_pct, 100 * quantstats.worst(returns))
    same(figures.tail_ratio, quantstats.tail_ratio(returns))
    same(figures.skew, quantstats.skew(returns))
    same(figures.kurtosis, quantstats.kurtosis(returns))
    greeks = quantstats.greeks(returns, market, periods=YEAR)
    same(figures.beta, greeks["beta"])
    same(figures.alpha_pct, 100 * greeks["alpha"])
    assert figures.correlation is not None
    same(figures.correlation**2, quantstats.r_squared(returns, market))


def test_risk_free_rates_are_taken_off_as_quantstats_does(name: str) -> None:
    curve = real_curve(name)
    _, returns, _ = measured(name)
    figures = measure(curve.time, curve.equity, risk_free=0.04)
    same(figures.sharpe, quantstats.sharpe(returns, rf=0.04, periods=YEAR))
    same(figures.sortino, quantstats.sortino(returns, rf=0.04, periods=YEAR))


def test_drawdowns_equal_quantstats_run_by_run(name: str) -> None:
    figures, returns, _ = measured(name)
    below = quantstats.to_drawdown_series(returns)
    details = quantstats.drawdown_details(below.where(below < -1e-12, 0.0))
    same(figures.max_drawdown_pct, -100 * quantstats.max_drawdown(returns))
    same(figures.average_drawdown_pct, -details["max drawdown"].mean())
    same(figures.average_drawdown_days, details["days"].mean())
    assert figures.longest_drawdown_days == details["days"].max()
    same(figures.expected_shortfall_pct, -100 * quantstats.conditional_value_at_risk(returns, method="historical"))


def test_months_and_years_equal_quantstats(name: str) -> None:
    curve = real_curve(name)
    _, returns, _ = measured(name)
    theirs = quantstats.monthly_returns(returns)
    years = monthly_returns(daily_curve(curve.time, curve.equity)).years()
    assert [str(year) for year, _, _ in years] == list(theirs.index)
    for year, months, total in years:
        row = theirs.loc[str(year)].tolist()
        assert total == pytest.approx(row[-1], abs=1e-9)
        assert [month or 0.0 for month in months] == pytest.approx(row[:-1], abs=1e-9)


def test_the_moments_agree_with_textbook_sums(name: str) -> None:
    """Joanes and Gill (1998), formulas (1) to (4), with exact summation and no array arithmetic."""
    figures, returns, _ = measured(name)
    values = returns.tolist()
    count = len(values)
    mean = math.fsum(values) / count
    second, third, fourth = (math.fsum((value - mean) ** power for value in values) / count for power in (2, 3, 4))
    same(figures.skew, math.sqrt(count * (count - 1)) / (count - 2) * third / second**1.5)
    excess = fourth / second**2 - 3
    same(figures.kurtosis, (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * excess + 6))
