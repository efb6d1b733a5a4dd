"""Numbers of twice the digits, held against exact fractions."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.backtest.pairs import add, multiply, pair, tail, two_product, two_sum

NUMBERS = st.floats(-1e15, 1e15).filter(lambda each: each == 0 or abs(each) > 1e-12)
FRACTIONS = st.fractions(-(10**12), 10**12, max_denominator=10**12)
WRONG = Fraction(1, 10**31)


@given(NUMBERS, NUMBERS)
def test_the_sum_and_the_product_of_two_floats_are_exact(a, b):
    assert sum(map(Fraction, two_sum(a, b))) == Fraction(a) + Fraction(b)
    assert sum(map(Fraction, two_product(a, b))) == Fraction(a) * Fraction(b)


@given(FRACTIONS, FRACTIONS)
def test_pairs_are_wrong_by_no_more_than_their_thirty_first_digit(a, b):
    (a_high, a_low), (b_high, b_low) = pair(a), pair(b)
    allowed = WRONG * max(abs(a), abs(b))
    assert abs(sum(map(Fraction, add(a_high, a_low, b_high, b_low))) - (a + b)) <= allowed
    assert abs(sum(map(Fraction, multiply(a_high, a_low, b_high, b_low))) - a * b) <= WRONG * abs(a * b)


@given(st.integers(1, 10**12), st.sampled_from(["0.01", "0.00000001", "0.3", "0.05", "1E-18"]))
def test_a_float_and_its_tail_are_the_multiple_that_was_meant(whole, step):
    numerator, denominator = (float(part) for part in Decimal(step).as_integer_ratio())
    value = whole * numerator / denominator
    meant = Fraction(Decimal(step)) * whole
    assert abs(Fraction(value) + Fraction(tail(value, numerator, denominator)) - meant) <= WRONG * meant


@pytest.mark.parametrize(("value", "numerator"), [(0.123, 1.0), (0.1, 0.0)])
def test_what_is_no_multiple_has_no_tail(value, numerator):
    assert tail(value, numerator, 100.0) == 0.0
