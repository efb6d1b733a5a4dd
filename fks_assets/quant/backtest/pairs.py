"""Numbers with twice the digits of a float: pairs whose sum is the value, the second below half a digit of the first.

Money that is added and multiplied in pairs errs by 1e-31 of itself at a step, so a Decimal ledger that books the same fills has,
rounded to a float, the very number the kernel decides by. Plain functions of numbers (T. J. Dekker, Numerische Mathematik 18,
1971): the kernel compiles them, and nothing may reorder or fuse their arithmetic.
"""

from fractions import Fraction

import numpy as np

# 2 ** 27 + 1: halves the digits of a float.
_SPLITTER = 134_217_729.0


def two_sum(a: float, b: float) -> tuple[float, float]:
    """Return a + b exactly, as a pair."""
    high = a + b
    other = high - a
    return high, (a - (high - other)) + (b - other)


def two_product(a: float, b: float) -> tuple[float, float]:
    """Return a * b exactly, as a pair."""
    high = a * b
    part = _SPLITTER * a
    a_high = part - (part - a)
    a_low = a - a_high
    part = _SPLITTER * b
    b_high = part - (part - b)
    b_low = b - b_high
    return high, ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low


def joined(high: float, low: float) -> tuple[float, float]:
    """Return high + low as a pair, where low is far the smaller one."""
    total = high + low
    return total, low - (total - high)


def add(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """Return the sum of two pairs, wrong by at most 1e-31 of the larger one."""
    high, low = two_sum(a, b)
    return joined(high, low + (a_low + b_low))


def multiply(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """Return the product of two pairs, wrong by at most 1e-31 of it."""
    high, low = two_product(a, b)
    return joined(high, low + (a * b_low + a_low * b))


def tail(value: float, numerator: float, denominator: float) -> float:
    """Return what `value` lacks of the multiple of numerator / denominator that it is the nearest float of.

    0 where it is no multiple, and where the numerator is 0: then the float is meant as it stands.
    """
    if numerator <= 0.0:
        return 0.0
    whole = np.rint(value * denominator / numerator)
    if whole * numerator / denominator != value:
        return 0.0
    meant, meant_low = two_product(whole, numerator)
    given, given_low = two_product(value, denominator)
    return ((meant - given) + (meant_low - given_low)) / denominator


def pair(value: Fraction) -> tuple[float, float]:
    """Return an exact number as a pair."""
    high = float(value)
    return high, float(value - Fraction(high))
