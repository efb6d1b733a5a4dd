"""Prices on the tick and quantities on the lot, in floating point, so that 0.29 on a tick of 0.01 is 29 ticks and not 28.

A tick or lot is a fraction of whole numbers (0.01 is 1/100), so a multiple is one correctly rounded division: the very number
that the exchange's text for it reads as. A numerator of 0 means that the market has no such rule. Plain functions of numbers:
the kernel compiles them.
"""

import numpy as np

# Relative: far above the error of a few floating point operations (1e-16 each), far below a tick of any real price.
SNAP = 1e-12
# From here on neighbouring numbers lie a whole step or more apart: every number is as good a multiple as there is.
MOST_STEPS = 2.0**53


def to_multiple(value: float, numerator: float, denominator: float, direction: int) -> float:
    """Return `value` as a multiple of numerator / denominator, rounded up (direction 1) or down (-1).

    A value within SNAP of a multiple is that multiple: what misses it is the error of earlier arithmetic, not a price.
    """
    if numerator <= 0.0:
        return value
    steps = value * denominator / numerator
    if abs(steps) >= MOST_STEPS:
        return value
    whole = np.rint(steps)
    if abs(steps - whole) > SNAP * abs(steps):
        whole = np.ceil(steps) if direction > 0 else np.floor(steps)
    return whole * numerator / denominator


def snapped(value: float, numerator: float, denominator: float) -> float:
    """Return the multiple of numerator / denominator that `value` misses by no more than SNAP, or `value` itself."""
    if numerator <= 0.0:
        return value
    steps = value * denominator / numerator
    if abs(steps) >= MOST_STEPS:
        return value
    whole = np.rint(steps)
    return whole * numerator / denominator if abs(steps - whole) <= SNAP * abs(steps) else value
