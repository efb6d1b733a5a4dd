"""The one metrics module: backtests, accounts and reports all take their figures from `measure`.

Conventions (docs/metrics.md has each formula): UTC calendar days, each with its last equity, a day without a point carrying the
one before; a year of 365 days; sample deviations; risk-free 0 unless given. Names say their unit: `_pct` percent, `_days` days;
money is in the currency of the equity. Drawdowns and values at risk are positive numbers: 30.0 is a fall of 30 %. Average losses
are negative. None means that the figure is not defined there; no 0 or infinity stands in its place.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant import performance_statistics as statistics
from fks_assets.quant.performance_series import (
    CashFlows,
    DailyCurve,
    alongside,
    below_peak,
    checked_curve,
    daily_curve,
    drawdowns,
    net_flow,
    unit_values,
)
from fks_assets.quant.performance_trades import TradeColumns, bars_with_trades, time_in_market, trade_figures

SHARPE, TOTAL_RETURN_PCT, MAX_DRAWDOWN_PCT, MAX_DRAWDOWN_INTRADAY_PCT, WIN_RATE_PCT = (
    "sharpe",
    "total_return_pct",
    "max_drawdown_pct",
    "max_drawdown_intraday_pct",
    "win_rate_pct",
)


@dataclass(frozen=True, slots=True)
class Performance:
    """Every figure of one equity curve.

    Figures of returns are None without a full step from the base, those of trades when none were given (no trades at all are 0
    trades), those of holding without a comparison.
    """

    start_ms: int
    end_ms: int
    days: int
    start_equity: float
    end_equity: float
    net_cash_flow: float
    total_return_pct: float | None = None
    cagr_pct: float | None = None
    average_daily_return_pct: float | None = None
    best_day_pct: float | None = None
    worst_day_pct: float | None = None
    volatility_pct: float | None = None
    sharpe: float | None = None
    sortino: float | None = None
    calmar: float | None = None
    probabilistic_sharpe: float | None = None
    max_drawdown_pct: float | None = None
    max_drawdown_intraday_pct: float | None = None
    average_drawdown_pct: float | None = None
    longest_drawdown_days: int | None = None
    average_drawdown_days: float | None = None
    value_at_risk_pct: float | None = None
    expected_shortfall_pct: float | None = None
    tail_ratio: float | None = None
    skew: float | None = None
    kurtosis: float | None = None
    exposure_pct: float | None = None
    average_exposure_pct: float | None = None
    total_trades: int | None = None
    winning_trades: int | None = None
    losing_trades: int | None = None
    win_rate_pct: float | None = None
    profit_factor: float | None = None
    expectancy: float | None = None
    expectancy_pct: float | None = None
    average_win: float | None = None
    average_loss: float | None = None
    average_win_pct: float | None = None
    average_loss_pct: float | None = None
    turnover: float | None = None
    fees_paid: float | None = None
    funding_paid: float | None = None
    hold_return_pct: float | None = None
    excess_return_pct: float | None = None
    alpha_pct: float | None = None
    beta: float | None = None
    correlation: float | None = None

    def document(self) -> dict[str, Any]:
        """Return all figures by name, in this order, as numbers and None: what JSON and the ledger hold."""
        return asdict(self)


class Figure(NamedTuple):
    """How a figure is shown to people: its label, its unit ("%", "days", "money", "ms", "× a year", "") and its decimals."""

    label: str
    unit: str
    digits: int


FIGURES: dict[str, Figure] = {
    "start_ms": Figure("Start", "ms", 0),
    "end_ms": Figure("End", "ms", 0),
    "days": Figure("Days", "days", 0),
    "start_equity": Figure("Start equity", "money", 2),
    "end_equity": Figure("End equity", "money", 2),
    "net_cash_flow": Figure("Paid in less paid out", "money", 2),
    "total_return_pct": Figure("Total return", "%", 2),
    "cagr_pct": Figure("Annual return (CAGR)", "%", 2),
    "average_daily_return_pct": Figure("Average daily return", "%", 3),
    "best_day_pct": Figure("Best day", "%", 2),
    "worst_day_pct": Figure("Worst day", "%", 2),
    "volatility_pct": Figure("Volatility, annual", "%", 2),
    "sharpe": Figure("Sharpe ratio", "", 2),
    "sortino": Figure("Sortino ratio", "", 2),
    "calmar": Figure("Calmar ratio", "", 2),
    "probabilistic_sharpe": Figure("Probability of Sharpe > 0", "", 3),
    "max_drawdown_pct": Figure("Max drawdown, daily", "%", 2),
    "max_drawdown_intraday_pct": Figure("Max drawdown, any bar", "%", 2),
    "average_drawdown_pct": Figure("Average drawdown", "%", 2),
    "longest_drawdown_days": Figure("Longest drawdown time", "days", 0),
    "average_drawdown_days": Figure("Average drawdown time", "days", 1),
    "value_at_risk_pct": Figure("Value at risk 95 %, daily", "%", 2),
    "expected_shortfall_pct": Figure("Expected shortfall 95 %", "%", 2),
    "tail_ratio": Figure("Tail ratio", "", 2),
    "skew": Figure("Skew", "", 2),
    "kurtosis": Figure("Excess kurtosis", "", 2),
    "exposure_pct": Figure("Time in the market", "%", 1),
    "average_exposure_pct": Figure("Average exposure", "%", 1),
    "total_trades": Figure("Trades", "", 0),
    "winning_trades": Figure("Winning trades", "", 0),
    "losing_trades": Figure("Losing trades", "", 0),
    "win_rate_pct": Figure("Win rate", "%", 1),
    "profit_factor": Figure("Profit factor", "", 2),
    "expectancy": Figure("Expectancy a trade", "money", 2),
    "expectancy_pct": Figure("Expectancy a trade", "%", 3),
    "average_win": Figure("Average win", "money", 2),
    "average_loss": Figure("Average loss", "money", 2),
    "average_win_pct": Figure("Average win", "%", 3),
    "average_loss_pct": Figure("Average loss", "%", 3),
    "turnover": Figure("Turnover", "× a year", 1),
    "fees_paid": Figure("Fees paid", "money", 2),
    "funding_paid": Figure("Funding paid", "money", 2),
    "hold_return_pct": Figure("Return of holding", "%", 2),
    "excess_return_pct": Figure("Excess over holding", "%", 2),
    "alpha_pct": Figure("Alpha, annual", "%", 2),
    "beta": Figure("Beta", "", 2),
    "correlation": Figure("Correlation", "", 2),
}


def measure(
    time: np.ndarray,
    equity: np.ndarray,
    *,
    exposure: np.ndarray | None = None,
    trades: TradeColumns | None = None,
    cash_flows: CashFlows | None = None,
    hold: tuple[np.ndarray, np.ndarray] | None = None,
    risk_free: float = 0.0,
) -> Performance:
    """Return every figure of an equity curve.

    `time` int64 UTC ms (close times of bars, or those of an account's snapshots) and `equity` are columns of one length; the
    first point is the base of all returns, so put the start capital before the first bar. `exposure` is gross notional over
    equity at each point; of what was held only between two points the trades tell. `trades` are those closed in the period.
    `cash_flows` are taken out of the returns. `hold` is (time ms, price or value) to compare with, taken at the same moments.
    `risk_free` is a fraction per year.
    Raises InsufficientData for an empty curve, InvalidInput with one line for columns that are none, naming row and value.
    """
    time, equity = checked_curve(time, equity)
    value = unit_values(time, equity, cash_flows)
    daily = daily_curve(time, value)
    compared = {} if hold is None else _holding(daily, hold, risk_free)
    traded = {} if trades is None else _trading(daily_curve(time, equity), trades)
    return Performance(
        start_ms=int(time[0]),
        end_ms=int(time[-1]),
        days=len(daily),
        start_equity=float(equity[0]),
        end_equity=float(equity[-1]),
        net_cash_flow=net_flow(time, cash_flows),
        **_returns(daily, risk_free),
        **_drawdowns(daily, value),
        **_exposure(time, exposure, trades),
        **traded,
        **compared,
    )


def _returns(daily: DailyCurve, risk_free: float) -> dict[str, float | None]:
    if not len(daily):
        return {}
    returns = daily.returns
    growth = float(daily.value[-1] / daily.base)
    skew, kurtosis, ratio = statistics.skew(returns), statistics.kurtosis(returns), statistics.daily_sharpe(returns)
    annual = statistics.annual_growth(growth, len(returns))
    deepest = float(below_peak(daily.value, daily.base).max())
    return {
        "total_return_pct": (growth - 1.0) * 100,
        "cagr_pct": _percent(annual),
        "average_daily_return_pct": float(np.mean(returns)) * 100,
        "best_day_pct": float(returns.max()) * 100,
        "worst_day_pct": float(returns.min()) * 100,
        "volatility_pct": _percent(statistics.volatility(returns)),
        "sharpe": statistics.sharpe(returns, risk_free),
        "sortino": statistics.sortino(returns, risk_free),
        "calmar": statistics.calmar(annual, deepest),
        "probabilistic_sharpe": None
        if skew is None or kurtosis is None or ratio is None
        else statistics.probabilistic_sharpe(ratio, len(returns), skew, kurtosis),
        "value_at_risk_pct": _percent(statistics.value_at_risk(returns)),
        "expected_shortfall_pct": _percent(statistics.expected_shortfall(returns)),
        "tail_ratio": statistics.tail_ratio(returns),
        "skew": skew,
        "kurtosis": kurtosis,
    }


def _drawdowns(daily: DailyCurve, value: np.ndarray) -> dict[str, float | int | None]:
    if not len(daily):
        return {}
    below = below_peak(daily.value, daily.base)
    runs = drawdowns(below)
    return {
        MAX_DRAWDOWN_PCT: float(below.max()) * 100,
        MAX_DRAWDOWN_INTRADAY_PCT: float(below_peak(value).max()) * 100,
        "average_drawdown_pct": float(runs.depth.mean()) * 100 if len(runs) else None,
        "longest_drawdown_days": int(runs.lengths.max()) if len(runs) else 0,
        "average_drawdown_days": float(runs.lengths.mean()) if len(runs) else None,
    }


def _exposure(time: np.ndarray, exposure: np.ndarray | None, trades: TradeColumns | None) -> dict[str, float | None]:
    if exposure is None:
        share = None if trades is None else time_in_market(trades, int(time[0]), int(time[-1]))
        return {"exposure_pct": _percent(share)}
    if exposure.shape != time.shape or not np.isfinite(exposure).all() or (exposure < 0).any():
        raise InvalidInput(
            f"exposure: it must hold {len(time)} finite numbers from 0 up, has shape {exposure.shape}, "
            f"smallest {exposure.min(initial=np.inf)}"
        )
    held = exposure[1:]
    if not len(held):
        return {}
    inside = held > 0 if trades is None else (held > 0) | bars_with_trades(trades, time)
    return {"exposure_pct": float(inside.mean()) * 100, "average_exposure_pct": float(held.mean()) * 100}


def _trading(daily: DailyCurve, trades: TradeColumns) -> dict[str, Any]:
    figures = {field.name: getattr(found, field.name) for found in (trade_figures(trades),) for field in fields(found)}
    traded = figures.pop("traded_value")
    years = len(daily) / statistics.DAYS_PER_YEAR
    return figures | {"turnover": traded / float(np.mean(daily.value)) / years if len(daily) else None}


def _holding(daily: DailyCurve, hold: tuple[np.ndarray, np.ndarray], risk_free: float) -> dict[str, float | None]:
    market = alongside(daily, *checked_curve(*hold, "comparison"))
    if not len(daily):
        return {}
    held = float(market.value[-1] / market.base) - 1.0
    mine, theirs = daily.returns, market.returns
    return {
        "hold_return_pct": held * 100,
        "excess_return_pct": (float(daily.value[-1] / daily.base) - 1.0 - held) * 100,
        "alpha_pct": _percent(statistics.alpha(mine, theirs, risk_free)),
        "beta": statistics.beta(mine, theirs),
        "correlation": statistics.correlation(mine, theirs),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else fraction * 100
