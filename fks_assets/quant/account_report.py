"""The figures of an account in a period: equity, profit, metrics, trades, time at each risk level. Pure.

Money is exact and text in the answers. What is not defined is None, and `undefined` has the reason by the figure's name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.account_trades import Trade, TradeTable, percent_of
from fks_assets.quant.money import DERIVED, EXACT, ZERO, money_text, ratio, total
from fks_assets.quant.performance import Performance, measure
from fks_assets.quant.performance_trades import trade_figures, whole_trades

METRIC_DIGITS = 6
ONE = Decimal(1)
# A look at the risk tells of no longer time than this: after it nobody knows.
LOOK_HOLDS_MS = 3_600_000
LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH", "UNKNOWN")
NOT_LOOKED = "NOT_LOOKED"
OF_RETURNS = (
    "total_return_pct",
    "average_daily_return_pct",
    "best_day_pct",
    "worst_day_pct",
    "volatility_pct",
    "sharpe",
    "sortino",
    "max_drawdown_pct",
    "max_drawdown_intraday_pct",
    "longest_drawdown_days",
    "value_at_risk_pct",
    "expected_shortfall_pct",
)
OF_TRADES = (
    "total_trades",
    "winning_trades",
    "losing_trades",
    "win_rate_pct",
    "profit_factor",
    "expectancy",
    "expectancy_pct",
    "average_win",
    "average_loss",
)


class Sample(Protocol):
    """What an account was worth at a time (UTC ms), as the ledger's balances say it; the return is a fraction."""

    at: int
    equity: Decimal
    net_deposits: Decimal
    cumulative_pnl: Decimal
    realised_pnl: Decimal
    unrealised_pnl: Decimal
    time_weighted_return: Decimal


class Flow(Protocol):
    """Money that came (above 0) or went. `at` is UTC milliseconds."""

    at: int
    kind: str
    currency: str
    amount: Decimal


@dataclass(slots=True)
class Figures:
    """Figures by name, and why those that are None are not defined."""

    values: dict[str, Any] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def set(self, name: str, value: Any, why_not: str) -> None:
        """Note a figure; `why_not` is said where it is None."""
        self.values[name] = value
        if value is None:
            self.undefined[name] = why_not


@dataclass(frozen=True, slots=True)
class UnitCurve:
    """What 1 in the account from the beginning was worth, deposits left out: times (UTC ms) and values, oldest first."""

    time: np.ndarray
    value: np.ndarray


def equity_figures(samples: Sequence[Sample], flows: Sequence[Flow], quote: str, start_ms: int, end_ms: int) -> Figures:
    """Return equity, profit and its parts in [start_ms, end_ms).

    `samples` are the balances before the end, oldest first, from the last one at or before the beginning on; `flows` every
    deposit, withdrawal and adjustment before the end. Equity is that of the last sample before the moment, with what was paid
    in or out since; profit is what equity gained beside that.
    """
    own = [flow for flow in flows if flow.currency == quote]
    before = next((each for each in reversed(samples) if each.at <= start_ms), None)
    last = samples[-1] if samples else None
    found = Figures()
    unknown = "the account has no balance before the end of the period"
    start = _equity_at(before, own, start_ms)
    end = _equity_at(last, own, end_ms)
    found.set("start", _text(start), "the account has no balance before the period")
    found.set("start_at", None if before is None else iso(before.at), "the account has no balance before the period")
    found.set("end", _text(end), unknown)
    found.set("end_at", None if last is None else iso(last.at), unknown)
    change = None if start is None or end is None else EXACT.subtract(end, start)
    found.set("change", _text(change), "equity at the beginning is not known" if end is not None else unknown)
    found.set("net_deposits", money_text(total(flow.amount for flow in own if start_ms <= flow.at < end_ms)), "")
    if last is None:
        for name in ("profit", "profit_percent", "realised", "unrealised_change", "other", "unrealised"):
            found.set(name, None, unknown)
        return found
    profit, realised, unrealised = (_gained(before, last, name) for name in ("cumulative_pnl", "realised_pnl", "unrealised_pnl"))
    grown = ONE if before is None else EXACT.add(ONE, before.time_weighted_return)
    made = ratio(EXACT.add(ONE, last.time_weighted_return), grown)
    share = None if made is None else DERIVED.subtract(made, ONE)
    found.set("profit", money_text(profit), "")
    found.set("profit_percent", percent_of(share), "all of the account was lost before the period")
    found.set("realised", money_text(realised), "")
    found.set("unrealised_change", money_text(unrealised), "")
    found.set("other", money_text(EXACT.subtract(profit, EXACT.add(realised, unrealised))), "")
    found.set("unrealised", money_text(last.unrealised_pnl), "")
    return found


def unit_curve(samples: Sequence[Sample], start_ms: int, began_ms: int | None) -> UnitCurve:
    """Return the curve of returns from the beginning of a period on, for samples as `equity_figures` takes them.

    It begins with the value at the period's beginning; an account that is younger begins with 1 when money first came
    (`began_ms`), or with its first sample.
    """
    before = next((each for each in reversed(samples) if each.at <= start_ms), None)
    later = [each for each in samples if each.at > start_ms]
    points = [(each.at, 1.0 + float(each.time_weighted_return)) for each in later]
    if before is not None:
        points.insert(0, (start_ms, 1.0 + float(before.time_weighted_return)))
    elif later and began_ms is not None and began_ms < later[0].at:
        points.insert(0, (max(start_ms, began_ms), 1.0))
    return UnitCurve(np.array([at for at, _ in points], np.int64), np.array([value for _, value in points], np.float64))


def metrics(curve: UnitCurve, trades: Sequence[Trade]) -> Figures:
    """Return the figures of returns and trades by their names in `Performance`, money of trades in the quote coin."""
    columns = TradeTable.of(trades)
    found = Figures()
    measured, why = _measured(curve)
    for name in OF_RETURNS:
        value = None if measured is None else getattr(measured, name)
        found.set(name, _rounded(value), why or _why_no_return(name, 0 if measured is None else measured.days))
    of_trades = trade_figures(columns)
    for name in OF_TRADES:
        found.set(name, _rounded(getattr(of_trades, name)), _why_no_trade(name, columns))
    return found


def sums_by_currency(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, str]:
    """Return exact sums by currency; those of 0 are left out."""
    found: dict[str, Decimal] = {}
    for currency, amount in amounts:
        found[currency] = EXACT.add(found.get(currency, ZERO), amount)
    return {currency: money_text(found[currency]) for currency in sorted(found) if found[currency]}


def level_seconds(looks: Sequence[tuple[int, str]], start_ms: int, end_ms: int) -> dict[str, int]:
    """Return for how many seconds of [start_ms, end_ms) the risk was at each level, and for how many nobody had looked.

    `looks` are (time, level), oldest first, the last one before the period too. A look holds until the next one, an hour at most.
    """
    found = dict.fromkeys((*LEVELS, NOT_LOOKED), 0)
    known = 0
    for place, (at, level) in enumerate(looks):
        following = looks[place + 1][0] if place + 1 < len(looks) else end_ms
        held = max(0, min(following, at + LOOK_HOLDS_MS, end_ms) - max(at, start_ms))
        found[level] += held
        known += held
    found[NOT_LOOKED] = end_ms - start_ms - known
    return {level: round(held / 1000) for level, held in found.items()}


def shares(seconds: Mapping[str, int]) -> dict[str, str | None]:
    """Return each number of seconds as percent of them all."""
    whole = Decimal(sum(seconds.values()))
    return {level: percent_of(ratio(Decimal(held), whole)) for level, held in seconds.items()}


def _equity_at(sample: Sample | None, flows: Sequence[Flow], moment_ms: int) -> Decimal | None:
    """Return the equity of a sample with what has come or gone between it and a later moment."""
    if sample is None:
        return None
    paid = total(flow.amount for flow in flows if flow.at < moment_ms)
    return EXACT.add(sample.equity, EXACT.subtract(paid, sample.net_deposits))


def _gained(before: Sample | None, last: Sample, name: str) -> Decimal:
    return EXACT.subtract(getattr(last, name), ZERO if before is None else getattr(before, name))


def _measured(curve: UnitCurve) -> tuple[Performance | None, str]:
    if not len(curve.time):
        return None, "there is no balance in the period"
    try:
        return measure(curve.time, curve.value), ""
    except InvalidInput as error:
        return None, str(error)


def _why_no_return(name: str, days: int) -> str:
    if days == 0:
        return "there is no balance after the beginning of the period"
    if days < 2 and name in ("volatility_pct", "sharpe", "sortino", "value_at_risk_pct", "expected_shortfall_pct"):
        return "one day of returns is too few, 2 are needed"
    return {"sharpe": "the daily returns do not vary", "sortino": "no day lost"}.get(name, "the returns do not define it")


def _why_no_trade(name: str, columns: "TradeTable") -> str:
    pnl = whole_trades(columns).pnl
    if not len(pnl):
        return "no trade was closed"
    return "no trade won" if name == "average_win" else "no trade lost"


def _text(value: Decimal | None) -> str | None:
    return None if value is None else money_text(value)


def _rounded(value: float | int | None) -> float | int | None:
    return round(value, METRIC_DIGITS) if isinstance(value, float) else value
