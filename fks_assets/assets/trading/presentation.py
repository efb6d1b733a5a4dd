"""How a backtest is shown to people: the tear sheet, a picture, and a table of figures."""

from collections.abc import Sequence

from fks_assets.assets.trading.backtest_run import Backtest
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


def title_of(test: Backtest) -> str:
    """Return the heading of a backtest: strategy, markets and timeframe."""
    markets = test.result.markets
    named = markets[0] if len(markets) == 1 else f"{len(markets)} markets"
    return f"{test.subject.name} on {named}, {test.timeframe}"


def html_of(test: Backtest, known: Sequence[str] = ()) -> str:
    """Return the tear sheet of a backtest; `known` are sentences about its strategy that stand before its own notes."""
    simulated = any(parse_market(market).exchange == "simulated" for market in test.result.markets)
    return tear_sheet_html(
        TearSheet(
            title=title_of(test),
            subtitle=f"Backtest of {test.subject.strategy.name}, {', '.join(test.result.markets)}",
            badge=SIMULATED if simulated else None,
            time=test.time,
            equity=test.equity,
            currency=parse_market(test.result.markets[0]).quote,
            exposure=test.exposure,
            trades=test.result.trades,
            hold=test.hold,
            candles=test.candles[test.result.markets[0]],
            markets=test.result.markets,
            strategies=test.result.strategies,
            rules=_rules(test),
            provenance=_provenance(test),
            notes=[*known, *test.notes],
        )
    )


def picture_of(test: Backtest) -> str:
    """Return Markdown with the equity curve above its drawdown, beside holding."""
    simulated = parse_market(test.result.markets[0]).exchange == "simulated"
    title = title_of(test)
    svg = equity_picture(
        Curve("Strategy", test.time, test.equity), test.hold, title=title, badge=SIMULATED if simulated else None
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
    return [(name.replace("_", " "), _words(value)) for name, value in own.items() if value not in (None, [], {})]


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_words(inner)}" for name, inner in value.items() if inner is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _provenance(test: Backtest) -> list[tuple[str, str]]:
    return [
        ("Candles", f"{iso(test.start_ms)} to {iso(test.end_ms)}"),
        ("Parameter set", f"{test.subject.name}, version {test.subject.version or 'of the settings'}"),
        ("Parameters", test.subject.parameters_hash),
        ("Code version", test.subject.code_version),
        ("Inputs", f"{test.inputs_hash} ({len(test.inputs)} partitions)"),
        ("Orders", test.result.order_list_hash),
    ]
