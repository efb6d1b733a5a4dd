"""What people are told of a report, short enough for any channel, and amounts as they read them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fks_assets.quant.counting import counted
from fks_assets.quant.performance_words import UNDEFINED, figure, money_digits, signed
from fks_assets.quant.report_periods import Period, ReportType


def period_words(document: Mapping[str, Any], period: Period) -> str:
    """Return of which time a report tells, such as `Sat 21 Nov 2026 up to 23:30 UTC`."""
    return period.words if document["complete"] else f"{period.words} up to {document['to'][11:16]} UTC"


def message_of(document: Mapping[str, Any], period: Period) -> str:
    """Return the message about a report: a few lines without any markup."""
    equity, trades = document["equity"], document["trades"]
    won = "" if trades["win_rate_percent"] is None else f", {trades['won']} won ({percent(trades['win_rate_percent'], digits=0)})"
    lines = [
        f"Account {document['account']}, {period_words(document, period)}",
        "What it was worth is not known: no balance was taken." if equity["profit"] is None else _profit(document),
        f"{counted(trades['closed'], 'trade')} closed{won}; {counted(document['positions']['open'], 'position')} open",
        *(sentence(note) for note in document["notes"][0 if document["complete"] else 1 :]),
        _metrics(document, period),
        _stops(document),
        _risk(document),
        f"fks report {document['account']} --type {period.type} --date {period.key}",
    ]
    return "\n".join(line for line in lines if line)


def amount(text: str | None, *, cents: int = 2, sign: bool = False) -> str:
    """Return an amount with thousands and so many decimals, with more below one; a dash for None."""
    if text is None:
        return UNDEFINED
    value = float(text)
    digits = cents if abs(value) >= 1 or not value else max(cents, 6)
    return f"{_plus(value, digits) if sign else ''}{signed(value, digits)}"


def percent(text: str | None, *, sign: bool = False, digits: int = 2) -> str:
    """Return a percentage with its sign; a dash for None."""
    if text is None:
        return UNDEFINED
    value = float(text)
    return f"{_plus(value, digits) if sign else ''}{signed(value, digits)} %"


def share_of_all(text: str | None) -> str:
    """Return a percentage of which 100 means all: rounded down to two digits, without zeros at the end."""
    if text is None:
        return UNDEFINED
    whole, _, digits = text.partition(".")
    return f"{f'{whole}.{digits[:2]}'.rstrip('0').rstrip('.')} %"


def sentence(words: str) -> str:
    """Return words with a capital at the beginning and a point at the end."""
    return f"{words[0].upper()}{words[1:]}."


def undefined_words(document: Mapping[str, Any]) -> str:
    """Return why metrics have a dash: the reasons, each with the number of figures that have it; nothing if none has."""
    whys = Counter(why for name, why in document["undefined"].items() if name.startswith("metrics"))
    words = "; ".join(f"{why} ({counted(number, 'figure')})" for why, number in whys.items())
    return f"{UNDEFINED} not defined: {words}." if words else ""


def cents_of(document: Mapping[str, Any]) -> int:
    """Return how many decimals the money of a report has: as many as an account of its size needs."""
    equity = float(document["equity"]["end"] or 0)
    return money_digits(equity) if equity > 0 else 2


def _plus(value: float, digits: int) -> str:
    return "+" if round(value, digits) > 0 else ""


def _profit(document: Mapping[str, Any]) -> str:
    equity, cents = document["equity"], cents_of(document)
    made = percent(equity["profit_percent"], sign=True)
    paid = float(equity["net_deposits"])
    moved = (
        f"; {'paid in' if paid > 0 else 'taken out'} {amount(equity['net_deposits'].lstrip('-'), cents=cents)}" if paid else ""
    )
    return (
        f"Equity {amount(equity['end'], cents=cents)} {document['quote']}, "
        f"profit {amount(equity['profit'], cents=cents, sign=True)} ({made}): "
        f"realised {amount(equity['realised'], cents=cents, sign=True)}, "
        f"unrealised {amount(equity['unrealised_change'], cents=cents, sign=True)}{moved}"
    )


def _metrics(document: Mapping[str, Any], period: Period) -> str:
    """Return the figures of the period, of the 30 days up to its end for a day, whose own returns are too few."""
    name, of = ("metrics_30_days", " in 30 days") if period.type is ReportType.DAILY else ("metrics", "")
    found = document[name]
    if found["total_return_pct"] is None:
        return ""
    parts = [("Return", "total_return_pct"), ("Sharpe", "sharpe"), ("deepest fall", "max_drawdown_intraday_pct")]
    return f"{', '.join(f'{words} {figure(key, found[key])}' for words, key in parts)}{of}"


def _stops(document: Mapping[str, Any]) -> str:
    stops = document["stops"]
    if stops["coverage_percent"] is None:
        return ""
    breaches = "1 breach" if stops["breaches"] == 1 else f"{stops['breaches']:,} breaches"
    return f"Stops watched {share_of_all(stops['coverage_percent'])} of the time, {breaches}, {stops['executed']:,} executed"


def _risk(document: Mapping[str, Any]) -> str:
    shares = document["risk"]["percent"]
    shown = [
        f"{level} {percent(shares[level], digits=1)}" for level in ("HIGH", "MEDIUM", "LOW", "UNKNOWN") if float(shares[level])
    ]
    return f"Risk {', '.join(shown)} of the time" if shown else ""
