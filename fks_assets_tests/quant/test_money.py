"""Money against fractions: nothing is rounded but by name, and no float enters but at its border."""

from decimal import Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.money import (
    EXACT,
    away,
    ceil_to,
    floor_to,
    from_analytics,
    money,
    money_text,
    ratio,
    rounded,
    total,
    value_of,
)
from fks_assets.quant.orders import Side

UNITS = 10**18
FACTORS = st.integers(0, 10**27).map(lambda units: Decimal(units).scaleb(-18))
AMOUNTS = st.integers(-(10**38 - 1), 10**38 - 1).map(lambda units: EXACT.scaleb(Decimal(units), -18))
STEPS = st.one_of(
    st.integers(0, 18).map(lambda digits: Decimal(1).scaleb(-digits)), st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-9))
)


@given(AMOUNTS)
def test_every_amount_of_20_and_18_digits_is_taken_and_written_as_it_is(amount: Decimal) -> None:
    """Python's own operators round at 28 digits; the ledger's amounts have 38."""
    assert Fraction(money(amount)) == Fraction(amount) == Fraction(money(money_text(amount)))
    assert "E" not in money_text(amount)
    assert not money_text(amount).endswith(".") and ("." not in money_text(amount) or not money_text(amount).endswith("0"))


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-inf",
        "",
        "1,5",
        "0x10",
        "1_000",
        "1e999",
        " 1",
        "１",
        "1e-19",
        "0.0000000000000000001",
        "100000000000000000000",
    ],
)
def test_what_is_no_amount_is_refused_with_the_value(value: str) -> None:
    with pytest.raises(InvalidInput, match="amount"):
        money(value)
    if value in ("NaN", "Infinity", "-inf"):
        with pytest.raises(InvalidInput, match="finite"):
            money(Decimal(value))


@pytest.mark.parametrize("value", [0.1, 1.0, float("nan"), True, None])
def test_a_float_that_reaches_money_is_a_type_error(value: object) -> None:
    """reliability.md §4: floats enter by `from_analytics` alone."""
    with pytest.raises(TypeError):
        money(value)
    with pytest.raises(TypeError):
        floor_to(value, Decimal(1))


@given(st.floats(0, 1e19))
def test_the_border_takes_a_float_as_it_is_written(value: float) -> None:
    crossed = Fraction(from_analytics(value))
    written = Fraction(Decimal(repr(value)))
    assert 0 <= written - crossed < Fraction(1, UNITS)
    assert crossed * UNITS == int(crossed * UNITS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 1e20, 1e308])
def test_the_border_refuses_what_is_no_amount(value: float) -> None:
    with pytest.raises(InvalidInput):
        from_analytics(value)


@given(AMOUNTS, STEPS)
def test_steps_are_those_of_exact_arithmetic(amount: Decimal, step: Decimal) -> None:
    """The multiples next to the amount, by integer division of fractions."""
    below = Fraction(amount) // Fraction(step) * Fraction(step)
    above = -(-Fraction(amount) // Fraction(step)) * Fraction(step)
    assert Fraction(floor_to(amount, step)) == below
    assert Fraction(ceil_to(amount, step)) == above
    assert Fraction(away(amount, step, Side.BUY)) == below
    assert Fraction(away(amount, step, Side.SELL)) == above


@given(st.integers(1, 10**20).map(lambda units: Decimal(units).scaleb(-9)), STEPS)
def test_a_quantity_never_rounds_up(quantity: Decimal, lot: Decimal) -> None:
    """F16: ALGO's adjust_quantity rounds to the nearest lot and can exceed the balance."""
    assert floor_to(quantity, lot) <= quantity


def test_small_ticks_keep_small_prices() -> None:
    """F16: ALGO's adjust_price makes 0.0 of 1.23e-6 with a tick of 1e-8, and loses digits with a tick of 1e-6."""
    assert floor_to(Decimal("1.23e-6"), Decimal("1e-8")) == Decimal("0.00000123")
    assert money_text(floor_to(from_analytics(1.23e-6), Decimal("1e-8"))) == "0.00000123"
    assert money_text(floor_to(Decimal("1234.567891234"), Decimal("1e-6"))) == "1234.567891"
    assert money_text(ceil_to(Decimal("0.0000001"), Decimal("1e-6"))) == "0.000001"


@pytest.mark.parametrize("step", ["0", "-0.1", "NaN"])
def test_a_step_that_is_none_is_refused(step: str) -> None:
    with pytest.raises(InvalidInput):
        floor_to(Decimal(1), Decimal(step))


@given(FACTORS, FACTORS)
def test_a_value_is_the_product_to_18_digits_halves_away_from_zero(price: Decimal, quantity: Decimal) -> None:
    exact = Fraction(price) * Fraction(quantity) * UNITS
    expected = Fraction(int(exact + Fraction(1, 2)), UNITS)
    assert Fraction(value_of(price, quantity)) == expected


@given(st.lists(st.integers(-(10**36), 10**36).map(lambda units: EXACT.scaleb(Decimal(units), -18)), max_size=40))
def test_sums_are_exact(amounts: list[Decimal]) -> None:
    assert Fraction(total(amounts)) == sum(map(Fraction, amounts))


def test_exact_arithmetic_raises_instead_of_rounding() -> None:
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))
    assert ratio(Decimal(1), Decimal(0)) is None
    assert rounded(ratio(Decimal(2), Decimal(3)), 4) == Decimal("0.6667")
    assert [rounded(Decimal(text), 1) for text in ("0.25", "0.35")] == [Decimal("0.2"), Decimal("0.4")]
