"""Exact money: what a Decimal of the ledger may be, how it is rounded, and the one border where floats of analytics enter.

Amounts have at most 20 digits before and 18 after the point, as NUMERIC(38,18) has. Python's own operators round to 28 digits,
silently: sums and products of money go through `EXACT`, which raises instead, and a negative is `copy_negate`. A rounding is
always a function of its own name. Averages and percentages are derived when they are read, never stored.
"""

import decimal
import math
import re
from collections.abc import Iterable
from decimal import Decimal

from fks_assets.errors import InvalidInput
from fks_assets.quant.orders import Side

DIGITS_BEFORE = 20
DIGITS_AFTER = 18
ZERO = Decimal(0)
SMALLEST = Decimal(1).scaleb(-DIGITS_AFTER)
_TOO_LARGE = Decimal(10) ** DIGITS_BEFORE
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
# Two amounts of 38 digits have a product of 76; whatever does not fit is an error and never a rounding.
EXACT = decimal.Context(
    prec=80, traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.FloatOperation]
)
# For figures that are derived when they are read: prices by division, percentages.
DERIVED = decimal.Context(prec=50, rounding=decimal.ROUND_HALF_EVEN)
_WIDE = decimal.Context(prec=120)


def money(value: Decimal | int | str) -> Decimal:
    """Return an amount, price or quantity as the ledger takes it.

    Raises TypeError for a float (`from_analytics` is the border for those), InvalidInput for what is no finite number or does not
    fit into 20 digits before and 18 after the point.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError(
            f"money is Decimal, int or text, was {type(value).__name__} {value!r}: floats enter by from_analytics alone"
        )
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise InvalidInput(f"amount {value!r} is not a number")
    amount = Decimal(value)
    if not amount.is_finite():
        raise InvalidInput(f"amount {value} is not a finite number")
    if not amount:
        return ZERO
    if amount.adjusted() >= DIGITS_BEFORE or _places(amount) > DIGITS_AFTER:
        raise InvalidInput(f"amount {value} is outside {DIGITS_BEFORE} digits before and {DIGITS_AFTER} after the point")
    return amount


def from_analytics(value: float) -> Decimal:
    """Return the Decimal that a float of the analytics is written as (0.1 is 0.1), cut to 18 digits after the point.

    Raises InvalidInput for NaN, infinity, a negative number, and one of more than 20 digits before the point.
    """
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise InvalidInput(f"number {number!r} from the analytics is no amount: it must be finite and not below 0")
    written = Decimal(repr(number))
    return money(written if number >= _TOO_LARGE or _places(written) <= DIGITS_AFTER else floor_to(written, SMALLEST))


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the greatest multiple of `step` that is not above `value`."""
    rest = _rest(value, step)
    return EXACT.subtract(value, EXACT.add(rest, step) if rest < 0 else rest)


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` that is not below `value`."""
    rest = _rest(value, step)
    return EXACT.subtract(value, EXACT.subtract(rest, step) if rest > 0 else rest)


def away(value: Decimal, step: Decimal, side: Side) -> Decimal:
    """Return the price on the tick `step` that does no harm: down for a BUY, up for a SELL.

    A limit order then never trades at a worse price than asked, and a stop never triggers later.
    """
    return floor_to(value, step) if Side(side) is Side.BUY else ceil_to(value, step)


def value_of(price: Decimal, quantity: Decimal) -> Decimal:
    """Return price * quantity to 18 digits after the point, halves away from zero, as PostgreSQL's round() does.

    For every tick and lot of which the digits together are no more than 18 that is the exact product.
    """
    return money(EXACT.multiply(price, quantity).quantize(SMALLEST, decimal.ROUND_HALF_UP, _WIDE))


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    result = ZERO
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def ratio(numerator: Decimal, denominator: Decimal) -> Decimal | None:
    """Return the quotient to 50 significant digits, None for a denominator of 0. For reading only: never store it as a truth."""
    return DERIVED.divide(numerator, denominator) if denominator else None


def rounded(value: Decimal, digits: int = DIGITS_AFTER) -> Decimal:
    """Return the value with at most `digits` after the point, halves to the even neighbour: for figures derived by division."""
    return money(value.quantize(Decimal(1).scaleb(-digits), decimal.ROUND_HALF_EVEN, _WIDE))


def money_text(value: Decimal) -> str:
    """Return plain digits: no exponent, no trailing zeros, no negative zero."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _rest(value: Decimal, step: Decimal) -> Decimal:
    for each in (value, step):
        if not isinstance(each, Decimal):
            raise TypeError(f"money is Decimal, was {type(each).__name__} {each!r}")
        if not each.is_finite():
            raise InvalidInput(f"amount {each} is not a finite number")
    if step <= 0:
        raise InvalidInput(f"step {step} is not above 0")
    return _WIDE.remainder(value, step)


def _places(amount: Decimal) -> int:
    _, digits, exponent = amount.as_tuple()
    zeros = 0
    for digit in reversed(digits):
        if digit:
            break
        zeros += 1
    return -(int(exponent) + zeros)
