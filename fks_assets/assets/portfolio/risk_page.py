"""The risk of an account as a page: figures as bars with their bounds, reasons in words, what the past says, what is locked."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fks_assets.assets.reporting.style import html_page

_LEVEL_WORDS = {
    "NONE": "nothing is held",
    "LOW": "every figure is within its bounds",
    "MEDIUM": "a figure is above its lower bound",
    "HIGH": "a figure is above its bound: consider a rebalance",
    "UNKNOWN": "something is not known, so the risk is not either",
}
_STYLE = """
:root{--low:#0f8a5f;--medium:#b45309;--high:#c9304f;--track:#e9eef4}
@media(prefers-color-scheme:dark){:root{--low:#3ecf9a;--medium:#ffb454;--high:#ff7389;--track:#232e3c}}
main{max-width:64rem}section>h2{margin-bottom:.7rem}
.verdict{display:flex;align-items:center;gap:1.2rem;border-left:.4rem solid var(--c)}
.verdict>b{font-size:1.7rem;line-height:1.1;color:var(--c)}.verdict p{margin:0}
.low{--c:var(--low)}.medium{--c:var(--medium)}.high{--c:var(--high)}.unknown,.none{--c:var(--pale)}.plain{--c:var(--link)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin-bottom:1rem}
.figures .card{margin:0}.figures b{display:block;font-size:1.3rem;line-height:1.3;white-space:nowrap}
.figures b,.share,.pairs dd{font-variant-numeric:tabular-nums}
.figures span{color:var(--pale);font-size:.85rem}
.bars{display:grid;grid-template-columns:fit-content(22rem) 1fr max-content;gap:1.15rem 1rem;margin:0 0 .6rem}
.row{display:grid;grid-column:1/-1;grid-template-columns:subgrid;align-items:center}
.row dt{overflow-wrap:anywhere}.row dd{margin:0}
.row .share{grid-column:3;grid-row:1;text-align:right;font-weight:600;color:var(--c)}
.row .bar{grid-column:2;grid-row:1;position:relative;height:.85rem;background:var(--track);border-radius:.25rem}
.bar b{position:absolute;inset:0 auto 0 0;background:var(--c);border-radius:.25rem}
.bar i{position:absolute;top:-.25rem;bottom:-.25rem;width:2px;margin-left:-1px;background:var(--ink)}
.bar i::after{content:attr(data-bound);position:absolute;top:100%;left:50%;transform:translateX(-50%);padding-top:.1rem;
font-size:.72rem;line-height:1.2;font-style:normal;color:var(--pale);white-space:nowrap}
ul{margin:.1rem 0 0;padding-left:1.15rem}li+li{margin-top:.25rem}
.pairs{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:0}
.pairs dt{color:var(--pale)}.pairs dd{margin:0}
@media(max-width:36rem){.bars{grid-template-columns:1fr max-content;row-gap:1.6rem}.row{row-gap:.4rem}.row .share{grid-column:2}
.row .bar{grid-column:1/-1;grid-row:2}}
"""


def risk_page(document: Mapping[str, Any], halts: Sequence[str], badge: str | None, *, watched: float | None = None) -> str:
    """Return the page of a risk document (`risk_figures.risk_of`); `halts` are the words of those in force, `watched` is the
    percent of the last seven days in which the stops of open positions were checked as they have to be.
    """
    level = str(document["level"])
    body = (
        f'<section class="card verdict {level.lower()}"><b>{escape(level)}</b><div><p>{escape(_LEVEL_WORDS[level])}</p>'
        f"{_list([reason['text'] for reason in document['reasons']])}</div></section>"
        f"{_figures(document)}"
        f'<section class="card"><h2>Exposure and limits</h2>{_bars(document)}</section>'
        f"{_lines('Not known', document['unknown'])}"
        f"{_past(document, watched)}"
        f"{_lines('No new risk', halts)}"
    )
    subtitle = (
        f"account {document['account']} · {str(document['at']).replace('T', ' ').removesuffix('Z')} UTC · in {document['quote']}"
    )
    return html_page("Portfolio risk", body, style=_STYLE, badge=badge, subtitle=subtitle)


def _figures(document: Mapping[str, Any]) -> str:
    cards = (
        (_money(document["equity"]), "balance"),
        (_money(document["position_value"]), "in positions"),
        (_money(document["unrealised_pnl"], sign=True), "unrealised"),
        (_money(document["margin_used"]), "margin used"),
        (_percent(document["drawdown_percent"]), "below its highest"),
        (_money(document["value_at_risk"]), "at risk in a day"),
    )
    return (
        '<div class="figures">'
        + "".join(f'<div class="card"><b>{value}</b><span>{words}</span></div>' for value, words in cards)
        + "</div>"
    )


def _bars(document: Mapping[str, Any]) -> str:
    limits = document["limits"]
    exposure, loss, concentration = limits["exposure"], limits["loss"], [limits["concentration"]]
    unrealised = document["unrealised_percent"]
    lost = None if unrealised is None else -float(unrealised)
    found = {reason["code"]: str(reason["level"]).lower() for reason in document["reasons"]}
    rows = [
        _bar("Exposure", _number(document["exposure_percent"]), exposure, 100.0, found.get("exposure", "low")),
        _bar("Unrealised loss", lost, loss, 20.0, found.get("loss", "low")),
        _bar("Margin used", _number(document["margin_percent"]), [], 100.0, "plain"),
        *(
            _bar(each["name"], _number(each["percent"]), concentration, 50.0, found.get(f"concentration {each['name']}", "low"))
            for each in document["concentrations"]
        ),
    ]
    return f'<dl class="bars">{"".join(rows)}</dl>'


def _bar(name: str, value: float | None, bounds: Sequence[str], usual: float, level: str) -> str:
    """Return a row: the figure (percent) as a bar with its bounds as marks; the scale grows with what it has to show.

    The colour is that of the level: shares are rounded, and bounds are not judged by them.
    """
    marks = [float(bound) * 100 for bound in bounds]
    shown = max(value or 0.0, 0.0)
    scale = max([usual, shown, *(1.1 * mark for mark in marks)])
    kind = "unknown" if value is None else level
    words = "not known" if value is None else f"{shown:.2f} %"
    ticks = "".join(f'<i style="left:{100 * mark / scale:.2f}%" data-bound="{mark:g} %"></i>' for mark in marks)
    label = f"{name}: {words}" + (f", bounds {', '.join(f'{mark:g} %' for mark in marks)}" if marks else "")
    return (
        f'<div class="row {kind}"><dt>{escape(name)}</dt><dd class="share">{words}</dd><dd class="bar" role="img" '
        f'aria-label="{escape(label)}"><b style="width:{100 * shown / scale:.2f}%"></b>{ticks}</dd></div>'
    )


def _past(document: Mapping[str, Any], watched: float | None) -> str:
    tail = [
        f"{_money(document[name])} {escape(str(document['quote']))} ({_percent(document[f'{name}_percent'])})"
        if document[name] is not None
        else "–"
        for name in ("value_at_risk", "expected_shortfall")
    ]
    rows = (
        ("Value at risk, one day", tail[0]),
        ("Expected shortfall, one day", tail[1]),
        ("Exposure that counts after correlation", _percent(document["correlated_exposure_percent"])),
        ("Deepest drawdown", _percent(document["deepest_drawdown_percent"])),
        ("Basis", escape(str(document["statistics"]))),
        ("Stops watched, seven days", _percent(watched)),
    )
    pairs = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<section class="card"><h2>What the past says</h2><dl class="pairs">{pairs}</dl></section>'


def _lines(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return f'<section class="card"><h2>{title}</h2>{_list(lines)}</section>'


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _money(text: str | None, *, sign: bool = False) -> str:
    """Return an amount for people, in cents, and to the millionth below one; figures of programs are in the document."""
    if text is None:
        return "–"
    value = float(text)
    digits = 2 if abs(value) >= 1 or not value else 6
    return f"{value:{'+' if sign and value else ''},.{digits}f}".replace("-", "−")


def _percent(value: str | float | None) -> str:
    return "–" if value is None else f"{float(value):.2f} %"
