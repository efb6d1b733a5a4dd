"""A tear sheet: one HTML page that shows how an equity curve came about. It loads nothing, and equal input gives equal bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import numpy as np

from fks_assets.quant.backtest.results import Trades
from fks_assets.quant.candles import Candles
from fks_assets.quant.performance import FIGURES, Performance, measure
from fks_assets.quant.performance_charts import (
    Curve,
    busiest_window,
    distribution_chart,
    equity_chart,
    rolling_sharpe_chart,
    trades_chart,
)
from fks_assets.quant.performance_series import (
    CashFlows,
    DailyCurve,
    below_peak,
    checked_curve,
    daily_curve,
    drawdowns,
    monthly_returns,
    unit_values,
)
from fks_assets.quant.performance_words import day, figure, money_digits, signed
from fks_assets.quant.tear_sheet_style import STYLE
from fks_assets.quant.tear_sheet_tables import Table, rows_table, trades_table

DEEPEST_SHOWN = 5
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SHADES = (2.0, 5.0, 10.0, 20.0)
GROUPS = {
    "Return": (
        "total_return_pct",
        "cagr_pct",
        "average_daily_return_pct",
        "best_day_pct",
        "worst_day_pct",
        "excess_return_pct",
        "alpha_pct",
        "beta",
        "correlation",
    ),
    "Risk": (
        "volatility_pct",
        "max_drawdown_pct",
        "max_drawdown_intraday_pct",
        "average_drawdown_pct",
        "longest_drawdown_days",
        "average_drawdown_days",
        "value_at_risk_pct",
        "expected_shortfall_pct",
    ),
    "Return for risk": ("sharpe", "sortino", "calmar", "probabilistic_sharpe", "tail_ratio", "skew", "kurtosis"),
    "Trades": (
        "total_trades",
        "winning_trades",
        "losing_trades",
        "win_rate_pct",
        "profit_factor",
        "expectancy",
        "expectancy_pct",
        "average_win_pct",
        "average_loss_pct",
    ),
    "Activity and costs": (
        "exposure_pct",
        "average_exposure_pct",
        "turnover",
        "fees_paid",
        "funding_paid",
        "average_win",
        "average_loss",
    ),
    "Account": ("start_equity", "end_equity", "net_cash_flow", "days"),
}
CARDS = ("total_return_pct", "cagr_pct", "sharpe", "max_drawdown_pct", "win_rate_pct", "profit_factor")
NOT_OF_HOLDING = frozenset({*GROUPS["Trades"], *GROUPS["Activity and costs"], *GROUPS["Account"]}) | {
    "excess_return_pct",
    "alpha_pct",
    "beta",
    "correlation",
}


@dataclass(frozen=True, slots=True, eq=False)
class TearSheet:
    """What a tear sheet shows. All words are plain text; they are escaped.

    `time`, `equity`, `exposure`, `trades` and `cash_flows` are what `performance.measure` takes, `hold` what to compare with.
    `currency`: of the equity. `candles` are those of the trades whose market code is `candles_market`. `markets` and `strategies`
    name the codes in `trades`. `rules` are names and values of what the engine was told, `provenance` of what went in, such as
    hashes; `notes` are sentences that the reader has to know, such as how many trades hang on ties. `pictures` are headings, SVGs
    in the colours of the page, which are not escaped, and words below them; `tables` are headings, columns and rows; `files` are
    words and addresses, seen from the page, of what lies beside it.
    """

    title: str
    time: np.ndarray
    equity: np.ndarray
    currency: str
    subtitle: str = ""
    badge: str | None = None
    exposure: np.ndarray | None = None
    trades: Trades | None = None
    cash_flows: CashFlows | None = None
    hold: Curve | None = None
    candles: Candles | None = None
    candles_market: int = 0
    markets: Sequence[str] = ()
    strategies: Sequence[str] = ()
    rules: Sequence[tuple[str, str]] = ()
    provenance: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    pictures: Sequence[tuple[str, str, str]] = ()
    tables: Sequence[Table] = ()
    files: Sequence[tuple[str, str]] = ()
    risk_free: float = 0.0


def tear_sheet_html(sheet: TearSheet) -> str:
    """Return the page; raise InvalidInput or InsufficientData as `performance.measure` does."""
    time, equity = checked_curve(sheet.time, sheet.equity)
    value = unit_values(time, equity, sheet.cash_flows)
    daily = daily_curve(time, value)
    hold = None if sheet.hold is None else Curve(sheet.hold.name, *checked_curve(sheet.hold.time, sheet.hold.value, "comparison"))
    figures = measure(
        time,
        equity,
        exposure=sheet.exposure,
        trades=sheet.trades,
        cash_flows=sheet.cash_flows,
        hold=None if hold is None else (hold.time, hold.value),
        risk_free=sheet.risk_free,
    )
    held = None if hold is None else _of_holding(hold, time, sheet.risk_free)
    curve = Curve("Strategy", time, value)
    parts = (
        _cards(figures, held),
        _notes(sheet.notes),
        *(_section(heading, picture, "wide", words) for heading, picture, words in sheet.pictures),
        *(_section(table.heading, rows_table(table), "wide") for table in sheet.tables),
        _section("Equity and drawdown", equity_chart(curve, hold), "wide", _equity_words(sheet)),
        _section("Figures", _figures(figures, held, hold, sheet.currency)),
        _section("Monthly returns, %", _months(daily), "wide"),
        _pair(
            _section("Daily returns", distribution_chart(daily.returns)),
            _section("Rolling Sharpe ratio", rolling_sharpe_chart(daily.day, daily.returns)),
        ),
        _candles(sheet),
        _pair(_drawdowns(daily), _list("Rules", sheet.rules)),
        _trades(sheet),
        _files(sheet.files),
        _list("Provenance", sheet.provenance, ' class="hash"'),
    )
    return _page(sheet, figures, "".join(parts))


def _page(sheet: TearSheet, figures: Performance, body: str) -> str:
    badge = "" if sheet.badge is None else f'<span class="badge">{escape(sheet.badge)}</span>'
    period = f"{day(figures.start_ms)} to {day(figures.end_ms)} UTC, {figures.days:,} days"
    subtitle = f"{sheet.subtitle} · {period}" if sheet.subtitle else period
    convention = (
        "UTC calendar days with their last equity, days without a bar carried; a year of 365 days; sample deviations; "
        f"risk-free rate {sheet.risk_free * 100:g} %. A dash stands for a figure that is not defined."
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(sheet.title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head><body><main>'
        f"<header><div><h1>{escape(sheet.title)}</h1><p>{escape(subtitle)}</p></div>{badge}</header>"
        f"{body}<footer>{convention}</footer></main></body></html>\n"
    )


def _of_holding(hold: Curve, time: np.ndarray, risk_free: float) -> Performance:
    inside = (hold.time >= time[0]) & (hold.time <= time[-1])
    before = np.flatnonzero(hold.time < time[0])
    first = hold.value[before[-1]] if len(before) else hold.value[0]
    moments, values = hold.time[inside], hold.value[inside]
    if not len(moments) or moments[0] != time[0]:
        moments, values = np.concatenate((time[:1], moments)), np.concatenate(([first], values))
    if moments[-1] != time[-1]:
        moments, values = np.concatenate((moments, time[-1:])), np.concatenate((values, values[-1:]))
    return measure(moments, values, risk_free=risk_free)


def _cards(figures: Performance, held: Performance | None) -> str:
    shown = []
    for name in CARDS:
        value = getattr(figures, name)
        tone = ""
        if name in ("total_return_pct", "cagr_pct") and value:
            tone = ' class="gain"' if value > 0 else ' class="loss"'
        compared = "" if held is None or name in NOT_OF_HOLDING else f"holding {figure(name, getattr(held, name))}"
        shown.append(
            f"<div><span>{escape(FIGURES[name].label)}</span><b{tone}>{figure(name, value)}</b><span>{compared}</span></div>"
        )
    return f'<div class="cards">{"".join(shown)}</div>'


def _notes(notes: Sequence[str]) -> str:
    return _section("Notes", f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>") if notes else ""


def _section(heading: str, body: str, kind: str = "", words: str = "") -> str:
    shown = f' class="{kind}"' if kind else ""
    below = f"<p>{escape(words)}</p>" if words else ""
    return f"<section{shown}><h2>{escape(heading)}</h2>{body}{below}</section>"


def _pair(left: str, right: str) -> str:
    return f'<div class="pair">{left}{right}</div>' if left and right else left or right


def _equity_words(sheet: TearSheet) -> str:
    paid = "" if sheet.cash_flows is None else " Deposits and withdrawals are taken out."
    return f"In {sheet.currency}, every bar. Below: distance from the highest equity so far.{paid}"


def _figures(figures: Performance, held: Performance | None, hold: Curve | None, currency: str) -> str:
    columns = []
    for heading, names in GROUPS.items():
        known = [name for name in names if getattr(figures, name) is not None or name not in _optional(figures)]
        if not known:
            continue
        compared = held is not None and not NOT_OF_HOLDING.issuperset(known)
        head = ""
        if compared and hold is not None:
            names_of = "".join(f'<th scope="col" class="number">{escape(each)}</th>' for each in ("Strategy", hold.name))
            head = f'<thead><tr><th scope="col"></th>{names_of}</tr></thead>'
        rows = "".join(_row(name, figures, held if compared else None, currency) for name in known)
        columns.append(f'<div><h3>{escape(heading)}</h3><table class="figures">{head}<tbody>{rows}</tbody></table></div>')
    return f'<div class="columns">{"".join(columns)}</div>'


def _optional(figures: Performance) -> frozenset[str]:
    """Return the names of figures whose input was not given: they are left out, not shown as undefined."""
    left_out: set[str] = set()
    if figures.total_trades is None:
        left_out |= {*GROUPS["Trades"], "turnover", "fees_paid", "funding_paid", "average_win", "average_loss"}
    if figures.hold_return_pct is None:
        left_out |= {"excess_return_pct", "alpha_pct", "beta", "correlation"}
    return frozenset(left_out | {"exposure_pct", "average_exposure_pct"})


def _row(name: str, figures: Performance, held: Performance | None, currency: str) -> str:
    shown = FIGURES[name]
    label = f"{shown.label} ({currency})" if shown.unit == "money" else shown.label
    cells = f'<td class="number">{figure(name, getattr(figures, name), money_digits(figures.start_equity))}</td>'
    if held is not None:
        cells += f'<td class="number held">{"" if name in NOT_OF_HOLDING else figure(name, getattr(held, name))}</td>'
    return f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'


def _months(daily: DailyCurve) -> str:
    rows = []
    for year, months, total in monthly_returns(daily).years():
        cells = "".join(_month(value) for value in months)
        rows.append(f'<tr><th scope="row">{year}</th>{cells}{_month(total, "total")}</tr>')
    heads = "".join(f'<th scope="col">{name}</th>' for name in (*MONTHS, "Year"))
    return (
        '<table class="months"><colgroup><col class="year"><col span="12"><col class="total"></colgroup>'
        f'<thead><tr><th scope="col"><span hidden>Year</span></th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _month(value: float | None, kind: str = "") -> str:
    if value is None:
        return f'<td class="{kind}"></td>' if kind else "<td></td>"
    percent = value * 100
    shade = 1 + sum(abs(percent) >= bound for bound in SHADES)
    colour = "" if abs(percent) < 0.05 else f"{'g' if percent > 0 else 'l'}{shade}"
    words = " ".join(word for word in (colour, kind) if word)
    return f'<td class="{words}">{signed(percent, 1)}</td>' if words else f"<td>{signed(percent, 1)}</td>"


def _candles(sheet: TearSheet) -> str:
    if sheet.candles is None or sheet.trades is None:
        return ""
    name = sheet.markets[sheet.candles_market] if sheet.candles_market < len(sheet.markets) else ""
    mine = sheet.trades.take(sheet.trades.market == sheet.candles_market)
    heading = f"Trades on candles, {name}" if name else "Trades on candles"
    start, end = busiest_window(sheet.candles.open_time, mine)
    shown = sheet.candles.slice(start, end)
    period = f", {day(shown.open_time[0])} to {day(shown.open_time[-1])}" if len(shown) else ""
    words = f"The {len(shown)} candles with the most entries and exits{period}."
    return _section(heading, trades_chart(shown, mine), "wide", words)


def _drawdowns(daily: DailyCurve) -> str:
    below = below_peak(daily.value, daily.base)
    runs = drawdowns(below)
    if not len(runs):
        return ""
    deepest = np.argsort(-runs.depth, kind="stable")[:DEEPEST_SHOWN]
    rows = "".join(_drawdown(daily, below, int(runs.first[place]), int(runs.last[place])) for place in deepest)
    heads = "".join(
        f'<th scope="col" class="number">{words}</th>'
        for words in ("Depth", "First day", "Deepest day", "Recovered", "Days below")
    )
    table = f'<table class="list"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return _section("Deepest drawdowns, daily", f'<div class="scroll" tabindex="0">{table}</div>')


def _drawdown(daily: DailyCurve, below: np.ndarray, first: int, last: int) -> str:
    lowest = first + int(below[first : last + 1].argmax())
    recovered = day(daily.day[last + 1]) if last + 1 < len(daily) else "not yet"
    cells = (f"−{below[lowest] * 100:.2f} %", day(daily.day[first]), day(daily.day[lowest]), recovered, f"{last - first + 1:,}")
    return f"<tr>{''.join(f'<td class=number>{cell}</td>' for cell in cells)}</tr>"


def _trades(sheet: TearSheet) -> str:
    if sheet.trades is None or not len(sheet.trades):
        return ""
    heading, table = trades_table(sheet.trades, sheet.markets, sheet.strategies, money_digits(float(sheet.equity[0])))
    return f'<section class="long"><h2>{escape(heading)}</h2><div class="scroll" tabindex="0">{table}</div></section>'


def _files(files: Sequence[tuple[str, str]]) -> str:
    links = "".join(f'<li><a href="{escape(quote(address))}">{escape(words)}</a></li>' for words, address in files)
    return _section("Files", f"<ul>{links}</ul>") if links else ""


def _list(heading: str, entries: Sequence[tuple[str, str]], kind: str = "") -> str:
    return _section(heading, f"<dl{kind}>{''.join(_entries(entries))}</dl>") if entries else ""


def _entries(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    return (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries)
