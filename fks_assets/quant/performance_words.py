"""Figures, moments, prices and quantities as people read them."""

import math
from datetime import UTC, datetime, timedelta

from fks_assets.quant.performance import FIGURES

UNDEFINED = "–"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def day(at_ms: int) -> str:
    """Return `5 Mar 2021` of a UTC millisecond timestamp."""
    moment = _EPOCH + timedelta(milliseconds=int(at_ms))
    return f"{moment.day} {moment:%b %Y}"


def minute(at_ms: int) -> str:
    """Return `2021-03-05 14:00` of a UTC millisecond timestamp."""
    return f"{_EPOCH + timedelta(milliseconds=int(at_ms)):%Y-%m-%d %H:%M}"


def signed(value: float, digits: int) -> str:
    """Return a number with thousands and a real minus sign, none before zero."""
    return f"{value:,.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def money_digits(equity: float) -> int:
    """Return how many decimals amounts have in an account of this size: 2, and up to 8 for one of few coins."""
    return max(2, min(8, 4 - math.floor(math.log10(equity))))


def figure(name: str, value: float | None, cents: int = 2) -> str:
    """Return a figure of a Performance with its unit, money with `cents` decimals, a dash when it is not defined."""
    if value is None:
        return UNDEFINED
    shown = FIGURES[name]
    unit = {"%": " %", "× a year": " ×", "days": " d"}.get(shown.unit, "")
    return signed(value, cents if shown.unit == "money" else shown.digits) + unit


def price(value: float) -> str:
    """Return a price with six significant digits or to the cent, whichever is finer."""
    digits = 5 - math.floor(math.log10(value)) if value > 0 else 2
    return f"{value:,.{max(2, digits)}f}"


def quantity(value: float) -> str:
    """Return a quantity with at most six significant digits."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
