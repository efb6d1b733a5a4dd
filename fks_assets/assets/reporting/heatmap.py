"""The heat map of completeness: market × day for each timeframe, coloured by cause, every month a link to its repair."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from typing import Any

from fks_assets.assets.reporting.measured import Measured
from fks_assets.assets.reporting.style import html_page
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.quant.completeness import WORST_FIRST, CellState, DayRow, SeriesCompleteness
from fks_assets.quant.completeness_chart import LOOKS
from fks_assets.quant.counting import counted
from fks_assets.quant.timeframes import Timeframe

Link = Callable[[str, str], str | None]
NAMES = {state: f"s{place}" for place, state in enumerate(LOOKS)}
TICKS = (1, 8, 15, 22)
DAYS_NAMED = 6
NAME_REM, DAY_REM = 19, 0.62
_INK_ON_DARK = {CellState.FETCH_FAILED, CellState.BEYOND_API_LIMIT, CellState.VENUE_DOWN}

_STYLE = """
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin-bottom:1rem}
.figures .card{margin:0}.figures b{display:block;font-size:1.5rem;line-height:1.25;font-variant-numeric:tabular-nums}
.legend{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;list-style:none;margin:0 0 .5rem;padding:0}
.legend li{display:flex;align-items:center;gap:.4rem}
.legend i{width:1.1rem;height:1.1rem;flex:none}
.scroll{overflow-x:auto;margin-top:.6rem}.map{table-layout:fixed}
.map th,.map td{padding:1px 0;vertical-align:middle;white-space:nowrap}
.map col.name{width:9.5rem}.map col.share{width:5.5rem}.map col.gaps{width:3.5rem}
.map tbody th{font-weight:500}.map tbody th small{color:var(--pale);font-weight:400;margin-left:.4rem}
.map .number{padding-left:.6rem}
.days{display:flex;gap:4px}.days>*{display:flex;gap:1px;min-width:0}
.days a{text-decoration:none}.days a:hover{outline:2px solid var(--link);outline-offset:1px;border-radius:2px}
.days a:focus-visible::after{content:attr(aria-label);position:fixed;left:0;right:0;bottom:0;padding:.6rem 1.5rem;z-index:1;
background:var(--ink);color:var(--ground)}
i{flex:1 1 0;height:1.15rem;min-width:4px;overflow:hidden;font:600 .6rem/1.15rem ui-monospace,monospace;text-align:center;
color:#1e293b;background:var(--c);border-radius:1px}
thead .days>*{flex-direction:column;gap:0}thead .days b{font-weight:500;color:var(--pale);overflow:hidden}
thead .ticks{display:flex;gap:1px}thead .ticks i{background:none;color:var(--pale);overflow:visible;font-weight:400;height:.95rem;
line-height:.95rem}
"""


def heatmap_page(measured: Measured, document: dict[str, Any], link: Link, badge: str | None, exchange: str) -> str:
    """Return the page. `link(asset, partition)` gives the address at which a person repairs that partition, None for one that
    the desk does not have."""
    words = f"{exchange} · {measured.tier} · {str(document['generated_at']).replace('T', ' ').removesuffix('Z')} UTC"
    sections = "".join(_section(measured, timeframe, document, link) for timeframe in measured.timeframes)
    return html_page(
        "Data completeness",
        f"{_figures(document)}{_legend()}{sections}",
        style=_STYLE + _colours(),
        badge=badge,
        subtitle=words,
    )


def _figures(document: dict[str, Any]) -> str:
    missing = document["candles_missing"]
    cards = (
        (_percent(document["candle_completeness_pct"]), "of the expected candles are stored"),
        (_percent(document["candle_completeness_of_exchange_pct"]), "of what the exchange has"),
        (f"{document['assets_with_gaps']} of {document['total_assets']}", "markets have gaps"),
        (f"{missing['fetchable'] + missing['fetch_failed']:,}", "candles can still be fetched"),
    )
    return (
        f'<div class="figures">{"".join(f"<div class=card><b>{escape(value)}</b>{words}</div>" for value, words in cards)}</div>'
    )


def _legend() -> str:
    entries = "".join(
        f'<li><i class="{NAMES[state]}">{look.letter}</i>{escape(look.words)}</li>' for state, look in LOOKS.items()
    )
    return (
        f'<ul class="legend" aria-label="Legend">{entries}</ul><p>A day has the colour of its worst cause, as high as the share '
        "that is missing. A click opens that month of that market in the web UI, where Materialize repairs it.</p>"
    )


def _section(measured: Measured, timeframe: Timeframe, document: dict[str, Any], link: Link) -> str:
    figures = document["intervals"][str(timeframe.seconds // 60)]
    months = _months(measured)
    rows = "".join(
        _row(each, row, measured, months, lambda partition: link(f"ohlcv_{timeframe}", partition))
        for each, row in measured.of(timeframe)
    )
    least = NAME_REM + DAY_REM * sum(len(days) for _, days in months)
    fillable, other = figures["fillable_gaps"], figures["unfillable_gaps"]
    gaps = f"{counted(fillable, 'gap')} can be filled, {other:,} cannot"
    return (
        f'<section class="card"><h2>{timeframe} candles</h2><p>{_percent(figures["candle_completeness_pct"])} of '
        f"{figures['candles_expected']:,} expected since the history begins; {gaps}</p>"
        f'<div class="scroll"><table class="map" style="min-width:{least:g}rem">'
        '<colgroup><col class="name"><col><col class="share"><col class="gaps"></colgroup>'
        f'<thead><tr><th scope="col">Market</th><th scope="col">{_scale(months)}</th><th scope="col" class="number">stored</th>'
        f'<th scope="col" class="number">gaps</th></tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _months(measured: Measured) -> list[tuple[str, list[tuple[int, datetime]]]]:
    """Return the days of the map by month: their places and dates."""
    count = max((len(row.states) for row in measured.rows), default=0)
    days = [
        (place, datetime.fromtimestamp((measured.first_day_ms + place * MILLISECONDS_PER_DAY) / 1000, UTC))
        for place in range(count)
    ]
    return [(month, list(group)) for month, group in groupby(days, key=lambda day: f"{day[1]:%Y-%m}")]


def _scale(months: list[tuple[str, list[tuple[int, datetime]]]]) -> str:
    parts = []
    for _, days in months:
        ticks = "".join(f"<i>{date.day if date.day in TICKS else ''}</i>" for _, date in days)
        name = f"{days[0][1]:%b %Y}" if len(days) > 6 else "&nbsp;"
        parts.append(f'<span style="flex:{len(days)} 1 0"><b>{name}</b><span class="ticks">{ticks}</span></span>')
    return f'<div class="days">{"".join(parts)}</div>'


def _row(
    each: SeriesCompleteness,
    row: DayRow,
    measured: Measured,
    months: list[tuple[str, list[tuple[int, datetime]]]],
    link: Callable[[str], str | None],
) -> str:
    symbol = f"{row.market.base}-{row.market.quote}"
    parts = []
    for month, days in months:
        label = f"{symbol} {each.timeframe}, {days[0][1]:%B %Y}: {_summary(row, days)}"
        cells = "".join(_cell(row, symbol, place, date) for place, date in days)
        address = link(f"{row.market.key}|{month}")
        place = f'style="flex:{len(days)} 1 0" aria-label="{escape(label)}"'
        parts.append(
            f'<a {place} href="{escape(address)}">{cells}</a>' if address else f'<span {place} role="img">{cells}</span>'
        )
    return (
        f'<tr><th scope="row">{symbol}<small>{measured.tiers[row.market]}</small></th>'
        f'<td><div class="days">{"".join(parts)}</div></td><td class="number">{_percent(each.stored_pct)}</td>'
        f'<td class="number">{each.total_gaps or "–"}</td></tr>'
    )


def _cell(row: DayRow, symbol: str, place: int, date: datetime) -> str:
    state = row.state(place)
    expected, stored = int(row.expected[place]), int(row.stored[place])
    words = LOOKS[state].words
    title = f"{symbol} {date:%a %d %b %Y}: "
    if stored == expected:
        return f'<i class={NAMES[state]} title="{title}{words}">{"" if state is CellState.COMPLETE else LOOKS[state].letter}</i>'
    share = f" q{-(-4 * (expected - stored) // expected)}"
    causes = ", ".join(_causes((cause, int(row.missing[cause][place])) for cause in WORST_FIRST))
    return (
        f'<i class="{NAMES[state]}{share}" title="{title}{expected - stored} of {expected} candles missing ({escape(causes)})">'
        f"{LOOKS[state].letter}</i>"
    )


def _summary(row: DayRow, days: list[tuple[int, datetime]]) -> str:
    places = [place for place, _ in days]
    expected, stored = int(row.expected[places].sum()), int(row.stored[places].sum())
    if not expected:
        return ", ".join(dict.fromkeys(LOOKS[row.state(place)].words for place in places))
    if stored == expected:
        return "complete"
    causes = ", ".join(_causes((cause, int(row.missing[cause][places].sum())) for cause in WORST_FIRST))
    lacking = [f"{date.day}" for place, date in days if row.stored[place] < row.expected[place]]
    named = ", ".join(lacking[:DAYS_NAMED]) + (f" and {len(lacking) - DAYS_NAMED} more" if len(lacking) > DAYS_NAMED else "")
    return f"{expected - stored:,} of {expected:,} candles missing ({causes}), on day {named}"


def _causes(counts: Iterable[tuple[CellState, int]]) -> Iterator[str]:
    return (f"{count:,} {LOOKS[state].words}" for state, count in counts if count)


def _colours() -> str:
    def rules(shade: Callable[[CellState], str]) -> str:
        return "".join(f".{name}{{--c:{shade(state)}}}" for state, name in NAMES.items())

    light = rules(lambda state: LOOKS[state].light)
    dark = rules(lambda state: LOOKS[state].dark)
    inks = "".join(f".{NAMES[state]}{{color:#fff}}" for state in _INK_ON_DARK)
    pale = f".{NAMES[CellState.NEVER_LISTED]},.{NAMES[CellState.NOT_YET]}{{color:var(--pale)}}"
    hollow = f".{NAMES[CellState.NOT_KEPT]}{{background:none;box-shadow:inset 0 0 0 1px var(--line)}}"
    complete = LOOKS[CellState.COMPLETE]
    shares = "".join(
        f".q{quarter}{{line-height:1.5rem;background:linear-gradient(0deg,var(--c) {height}%,var(--full) 0)}}"
        for quarter, height in ((1, 70), (2, 80), (3, 90))
    )
    return (
        f":root{{--full:{complete.light}}}{light}{inks}{pale}{hollow}{shares}"
        f"@media(prefers-color-scheme:dark){{:root{{--full:{complete.dark}}}{dark}}}"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} %"
