"""Exact numbers of the simulated exchange: Decimals that are never rounded unless it is said how."""

from collections.abc import Callable
from decimal import ROUND_DOWN, Context, Decimal, DivisionByZero, FloatOperation, InvalidOperation, Overflow, localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

EXACT = Context(prec=100, rounding=ROUND_DOWN, traps=[InvalidOperation, DivisionByZero, Overflow, FloatOperation])
ZERO = Decimal(0)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def exactly(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a function compute with 100 digits, so that sums and products of amounts are exact in every thread."""

    @wraps(function)
    def computed(*args: Arguments.args, **named: Arguments.kwargs) -> Result:
        with localcontext(EXACT):
            return function(*args, **named)

    return computed


def whole(value: int, decimals: int) -> Decimal:
    """Return `value` ticks or lots as an amount of the currency."""
    return Decimal(value).scaleb(-decimals)


def steps(value: Decimal, decimals: int) -> int:
    """Return how many whole ticks or lots an amount holds."""
    return int(value.scaleb(decimals))


def is_on_grid(value: Decimal, decimals: int) -> bool:
    """Tell whether an amount is a whole number of ticks or lots."""
    scaled = value.scaleb(decimals)
    return scaled == scaled.to_integral_value()


def down(value: Decimal, places: int) -> Decimal:
    """Return the amount cut off after `places` digits."""
    return value.quantize(Decimal(1).scaleb(-places), ROUND_DOWN, EXACT)


def text(value: Decimal, places: int = 8) -> str:
    """Return all digits of an amount, with zeros up to at least `places` after the point."""
    digits, _, fraction = f"{value:f}".partition(".")
    shown = fraction.rstrip("0").ljust(places, "0")
    return f"{digits}.{shown}" if shown else digits
