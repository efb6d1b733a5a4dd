"""How a backtest is shown to people: the tear sheet, a picture, and a table of figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fks_assets.assets.trading.backtest_run import Backtest, BookBacktest
from fks_assets.clock import iso
from fks_assets.quant.charts import markdown_image
from fks_assets.quant.markets import parse_market
from fks_assets.quant.performance import FIGURES, Performance
from fks_assets.quant.performance_charts import Curve, equity_picture
from fks_assets.quant.tear_sheet import TearSheet, tear_sheet_html

SIMULATED = "SIMULATED"
SHOWN = (
    "total_return_pct",
    "hold_return_pct",
    "cagr_pct",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown_pct",
    "max_drawdown_intraday_pct",
    "volatility_pct",
    "win_rate_pct",
    "profit_factor",
    "total_trades",
    "exposure_pct",
    "fees_paid",
)


def title_of(test: BookBacktest) -> str:
    """Return the heading of a backtest: what was tested, markets and timeframe."""
    markets = test.result.markets
    named = markets[0] if len(markets) == 1 else f"{len(markets)} markets"
    return f"{test.name} on {named}, {test.timeframe}"


def html_of(
    test: Backtest,
    known: Sequence[str] = (),
    pictures: Sequence[tuple[str, str, str]] = (),
    *,
    title: str | None = None,
    files: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the tear sheet of a backtest; `known` are sentences about its strategy that stand before its own notes, `pictures`
    and `files` those of the tear sheet. It is headed `title_of` if no other title is given.
    """
    return tear_sheet_html(
        sheet_of(
            test,
            title=title,
            subtitle=f"Backtest of {test.subject.strategy.name}, {', '.join(test.result.markets)}",
            rules=_rules(test),
            provenance=_provenance(test),
            notes=[*known, *test.notes],
            pictures=pictures,
            files=files,
        )
    )


def sheet_of(test: BookBacktest, *, title: str | None = None, **told: Any) -> TearSheet:
    """Return the tear sheet of a book, with the candles of the market that was traded most; `told` are its words and pictures."""
    markets, traded = test.result.markets, test.result.trades.market
    shown = int(np.bincount(traded, minlength=len(markets)).argmax())
    return TearSheet(
        title=title or title_of(test),
        badge=SIMULATED if test.is_simulated else None,
        time=test.time,
        equity=test.equity,
        currency=parse_market(markets[0]).quote,
        exposure=test.exposure,
        trades=test.result.trades,
        hold=test.hold,
        candles=test.candles[markets[shown]],
        candles_market=shown,
        markets=markets,
        strategies=test.result.strategies,
        **told,
    )


def picture_of(test: BookBacktest) -> str:
    """Return Markdown with the equity curve above its drawdown, beside holding."""
    title = title_of(test)
    svg = equity_picture(
        Curve("Strategy", test.time, test.equity), test.hold, title=title, badge=SIMULATED if test.is_simulated else None
    )
    return markdown_image(svg, title)


def figure_rows(performance: Performance, names: Sequence[str] = SHOWN) -> list[tuple[str, str]]:
    """Return label and value of figures in words; a dash for one that is not defined."""
    return [(FIGURES[name].label, figure_text(name, getattr(performance, name))) for name in names]


def figure_text(name: str, value: float | None) -> str:
    """Return a figure with its unit; a dash for one that is not defined."""
    shown = FIGURES[name]
    unit = {"%": " %", "days": " days", "× a year": " × a year"}.get(shown.unit, "")
    return "–" if value is None else f"{value:,.{shown.digits}f}{unit}"


def _rules(test: Backtest) -> list[tuple[str, str]]:
    own = {**test.subject.parameters, **test.rules.model_dump(mode="json"), **test.book.model_dump(mode="json")}
    return [*rule_words(own), ("fees charged", test.fee_words)]


def rule_words(rules: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values in words, those that say something."""
    return [(name.replace("_", " "), _words(value)) for name, value in rules.items() if value not in (None, [], {})]


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_words(inner)}" for name, inner in value.items() if inner is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _provenance(test: Backtest) -> list[tuple[str, str]]:
    return [
        ("Candles", f"{iso(test.start_ms)} to {iso(test.end_ms)}"),
        ("Parameter set", f"{test.subject.name}, {test.subject.version_words}"),
        ("Parameters", test.subject.parameters_hash),
        ("Code version", test.subject.code_version),
        ("Inputs", f"{test.inputs_hash} ({len(test.inputs)} partitions)"),
        ("Orders", test.result.order_list_hash),
    ]
