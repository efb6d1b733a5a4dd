"""Prices on the tick, quantities on the lot (F16: 1.23e-6 must not become 0, nor a quantity more than was asked)."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.backtest.rounding import to_multiple

STEPS = [Decimal(text) for text in ("0.01", "0.05", "0.5", "0.00000001", "0.001", "5", "0.3", "1", "1E-18")]


@pytest.mark.parametrize(
    ("value", "step", "direction", "expected"),
    [
        (0.29, "0.01", -1, 0.29),
        (0.57, "0.01", -1, 0.57),
        (1.1 + 2.2, "0.1", 1, 3.3),
        (1.23e-6, "0.00000001", -1, 1.23e-6),
        (1.23456e-6, "0.000001", -1, 1e-6),
        (1.999, "1", -1, 1.0),
        (100.051, "0.05", 1, 100.1),
        (100.05, "0.05", 1, 100.05),
        (39097.36194291, "1E-18", 1, 39097.36194291),
    ],
)
def test_a_multiple_is_the_number_its_text_reads_as(value, step, direction, expected):
    assert to_multiple(value, *Decimal(step).as_integer_ratio(), direction) == expected


@given(st.decimals("1e-6", "1e6", allow_nan=False, places=8), st.sampled_from(STEPS), st.sampled_from([1, -1]))
def test_rounding_agrees_with_decimal_to_the_last_digit(value, step, direction):
    exact = (value / step).to_integral_value(ROUND_CEILING if direction > 0 else ROUND_FLOOR) * step
    nearest = (value / step).to_integral_value() * step
    expected = {float(exact), float(nearest)} if abs(nearest - value) <= Decimal("1e-12") * value else {float(exact)}
    assert to_multiple(float(value), *map(float, step.as_integer_ratio()), direction) in expected


@given(st.floats(1e-8, 1e8), st.sampled_from(STEPS))
def test_rounding_twice_changes_nothing_more(value, step):
    parts = tuple(map(float, step.as_integer_ratio()))
    once = to_multiple(value, *parts, -1)
    assert to_multiple(once, *parts, -1) == once == to_multiple(once, *parts, 1)


def test_no_step_means_no_rounding():
    assert to_multiple(1.23456789, 0.0, 1.0, 1) == 1.23456789
