"""Tables of report pages: rows of a figure with its name, tables of plain text, and values as people read them."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from fks_assets.assets.account_reports.words import amount
from fks_assets.quant.performance_words import UNDEFINED, price, quantity


def lines(rows: Sequence[tuple[str, str, str]], kind: str = "") -> str:
    """Return rows of a name (HTML), a value (HTML) and its tone."""
    opening = f'<tr class="{kind}">' if kind else "<tr>"
    return "".join(
        f'{opening}<th scope="row">{words}</th><td class="number {tone}">{value}</td></tr>' for words, value, tone in rows
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table of plain text; heads of numbers begin with #, a cell may be (text, tone)."""
    head = "".join(f'<th scope="col"{_kind(name)}>{escape(name.removeprefix("#"))}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(_cell(value, name) for value, name in zip(row, heads, strict=True))}</tr>" for row in rows)
    return f'<div class="scroll"><table class="list"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any, head: str) -> str:
    text, tone = value if isinstance(value, tuple) else (value, "")
    return f"<td{_kind(head, tone)}>{escape(str(text))}</td>"


def _kind(head: str, tone: str = "") -> str:
    names = " ".join(filter(None, ("number" if head.startswith("#") else "", tone)))
    return f' class="{names}"' if names else ""


def by_currency(amounts: Mapping[str, str], quote: str, cents: int) -> str:
    """Return amounts by currency, those of the quote coin without its name; 0 where there are none."""
    shown = [
        amount(amounts[coin], cents=cents) if coin == quote else f"{quantity(float(amounts[coin]))} {escape(coin)}"
        for coin in amounts
    ]
    return ", ".join(shown) or amount("0", cents=cents)


def duration(seconds: int) -> str:
    """Return seconds in hours and minutes."""
    hours, rest = divmod(seconds, 3600)
    return f"{hours:,} h {rest // 60:02} min" if hours else f"{rest // 60} min" if rest >= 60 else f"{rest} s"


def minute(moment: str | None) -> str:
    """Return an ISO time as `2026-11-21 23:30`, a dash for None."""
    return UNDEFINED if moment is None else moment[:16].replace("T", " ")


def price_text(text: str | None) -> str:
    """Return a price as people read it, a dash for None."""
    return UNDEFINED if text is None else price(float(text))


def tone_of(text: str | None) -> str:
    """Return the class of a gain or a loss, nothing for 0 and None."""
    value = float(text or 0)
    return "gain" if value > 0 else "loss" if value < 0 else ""
