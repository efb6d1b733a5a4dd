"""How a stored backtest is judged: whether it is evidence at all, and which rules it breaks."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.clock import MILLISECONDS_PER_DAY, day_start_ms
from fks_assets.quant.markets import parse_market
from fks_assets.quant.performance import MAX_DRAWDOWN_INTRADAY_PCT, Performance
from fks_assets.quant.performance_rules import RULES, broken_rules
from fks_assets.settings.backtests import BacktestSettings
from fks_assets.stores.strategy_records import BacktestRecord

Document = Mapping[str, Any]
DRAWDOWN = tuple(rule for rule in RULES if rule.figure == MAX_DRAWDOWN_INTRADAY_PCT)


def broken_by(result: BacktestRecord) -> tuple[str, ...]:
    """Return one line for each rule that a backtest breaks; of several books each that trades must keep every rule."""
    several = len(_books(result)) > 1
    return tuple(
        f"in {_quote(book)}: {line}" if several else line for book in _traded(result) for line in broken_rules(_performance(book))
    )


def counts_until(day: str, rules: BacktestSettings) -> int:
    """Return when a verdict of a day is too old to trade by (UTC ms): where that day and `valid_days` more have ended."""
    return day_start_ms(day) + (1 + rules.valid_days) * MILLISECONDS_PER_DAY


def left_out(result: BacktestRecord) -> tuple[str, ...]:
    """Return the markets that a backtest was asked for and does not have."""
    return tuple(result.document.get("left_out", {}))


def why_no_evidence(
    subject: StrategyInForce, result: BacktestRecord, rules: BacktestSettings, at_ms: int | None = None
) -> str | None:
    """Return why a strategy cannot be judged by a backtest, None if it can.

    It must be of the code and the parameters in force, not too old at `at_ms` (None: of any day), on candles up to
    its day, on most of the markets, and have enough days and trades. However few these are, a drawdown that breaks the rule is
    judged: what is lost is lost.
    """
    if result.parameters_hash != subject.parameters_hash:
        return f"its backtest of {result.day} was made with other parameters"
    if result.code_version != subject.code_version:
        return f"its backtest of {result.day} was made with other code"
    if at_ms is not None and at_ms >= counts_until(result.day, rules):
        return f"its backtest of {result.day} is more than {rules.valid_days} days old"
    books = _traded(result)
    if any(rule.broken(_performance(book)) for book in books for rule in DRAWDOWN if _fall(book) is not None):
        return None
    for book in books:
        if (end := book.get("end")) is not None and day_start_ms(result.day) >= counts_until(end[:10], rules):
            return f"the candles of its backtest of {result.day} end at {end}"
    return _too_few(result, books, rules)


def _too_few(result: BacktestRecord, books: Sequence[Document], rules: BacktestSettings) -> str | None:
    missing, there = left_out(result), sum(len(book.get("markets", ())) for book in _books(result))
    if 2 * len(missing) > len(missing) + there:
        return f"its backtest of {result.day} lacks {len(missing)} of {len(missing) + there} markets: {', '.join(missing)}"
    days = min(book["metrics"].get("days") or 0 for book in books)
    if days < rules.least_days:
        return f"its backtest of {result.day} has {days:g} days of candles, a verdict needs {rules.least_days}"
    trades = sum(book["metrics"].get("total_trades") or 0 for book in books)
    if trades < rules.least_trades:
        return f"its backtest of {result.day} has {trades:g} trades, a verdict needs {rules.least_trades}"
    return None


def _books(result: BacktestRecord) -> Sequence[Document]:
    found: Sequence[Document] = result.document.get("books", [result.document])
    return found


def _traded(result: BacktestRecord) -> Sequence[Document]:
    return [book for book in _books(result) if book["metrics"].get("total_trades")] or _books(result)


def _performance(book: Document) -> Performance:
    """Return the figures of a stored book; one that did not exist yet when it was made is None."""
    return Performance(**{field.name: book["metrics"].get(field.name) for field in fields(Performance)})


def _fall(book: Document) -> float | None:
    found: float | None = book["metrics"].get(MAX_DRAWDOWN_INTRADAY_PCT)
    return found


def _quote(book: Document) -> str:
    return parse_market(book["markets"][0]).quote
