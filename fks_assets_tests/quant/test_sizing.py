"""How large a position is, asked as a desk asks: in Decimal (S3.10, S2.4, C12, F16)."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.rules import Sizing
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets.quant.sizing import order_quantity

MARKET = parse_market("BTC-USDT@binance")


def rules(**given: str) -> MarketRules:
    return MarketRules(
        MARKET,
        MarketStatus.TRADING,
        **{name: Decimal(text) for name, text in ({"tick_size": "0.01", "lot_size": "0.00001"} | given).items()},
    )


def order(sizing: Sizing, of: MarketRules | None = None, **given: object) -> Decimal:
    asked = {
        "side": 1,
        "price": Decimal(100),
        "stop": None,
        "confidence": 1.0,
        "available": Decimal(10_000),
        "equity": Decimal(10_000),
        "fee": Decimal(0),
    }
    return order_quantity(sizing, of or rules(), **(asked | given))


@pytest.mark.parametrize(("confidence", "expected"), [(0.4, "20"), (0.6, "30"), (1.0, "50"), (0.0, "0")])
def test_the_confidence_stakes_half_of_itself(confidence, expected):
    """S3.10: min(confidence * 50, 50) % of 10,000, at 100."""
    assert order(Sizing(kind="confidence"), confidence=confidence) == Decimal(expected)


def test_two_percent_of_the_cash_is_what_the_stop_may_cost():
    """S2.4, X24: 200 over a distance of 5 are 40; a short position likewise."""
    assert order(Sizing(kind="risk"), stop=Decimal(95)) == 40
    assert order(Sizing(kind="risk"), side=-1, stop=Decimal(105)) == 40


@pytest.mark.parametrize("stop", [None, Decimal(100), Decimal(101)])
def test_a_size_by_risk_needs_a_stop_on_the_losing_side(stop):
    with pytest.raises(InvalidInput, match=f"a size by risk needs a stop on the losing side of 100, was {stop}"):
        order(Sizing(kind="risk"), stop=stop)


def test_an_amount_is_floored_to_the_lot_and_bounded_by_the_markets_largest_order():
    assert order(Sizing(kind="notional", size=999.999), rules(lot_size="0.1")) == Decimal("9.9")
    assert order(Sizing(), rules(max_quantity="7")) == 7


@pytest.mark.parametrize("given", [{"min_quantity": "100.1"}, {"min_notional": "10000.1"}])
def test_below_the_smallest_order_there_is_none(given):
    assert order(Sizing(), rules(**given)) == 0


def test_whole_cash_that_is_just_enough_buys_all_of_it():
    """1,001 pays for 10 at 100 with 0.1 %; in floats 1001 / 100.1 is 9.999999999999998."""
    assert order(Sizing(), rules(lot_size="1"), available=Decimal(1001), fee=Decimal("0.001")) == 10
    assert order(Sizing(), rules(lot_size="1"), available=Decimal("1000.999999999999999"), fee=Decimal("0.001")) == 9


def test_a_price_that_no_float_is_costs_what_it_reads_as():
    """The float that 0.1 reads as is above a tenth: three lots would cost more than 0.3."""
    assert order(Sizing(), rules(lot_size="1", tick_size="0.1"), price=Decimal("0.1"), available=Decimal("0.3")) == 3


def test_leverage_multiplies_the_stake_and_the_fee_is_paid_beside_the_margin():
    """At 10 times: margin 10 and fee 0.1 a coin of 100, so 10,000 pay for 990.099."""
    assert order(Sizing(), rules(lot_size="0.001"), leverage=10.0, fee=Decimal("0.001")) == Decimal("990.099")
    assert order(Sizing(size=0.5), leverage=10.0) == 500


def test_where_the_size_moves_the_price_the_cash_pays_the_moved_one():
    asked = []

    def reprice(quantity: float) -> Decimal:
        asked.append(quantity)
        return Decimal(125)

    assert order(Sizing(), reprice=reprice) == 80 and asked == [100.0]


def test_a_market_without_a_lot_and_a_price_of_nothing_are_refused():
    gone = MarketRules(MARKET, MarketStatus.DELISTED)
    with pytest.raises(InvalidInput, match="BTC-USDT@binance: lot_size is missing, no quantity can be ordered"):
        order(Sizing(), gone)
    with pytest.raises(InvalidInput, match="BTC-USDT@binance: price must be above 0, was 0"):
        order(Sizing(), price=Decimal(0))


@given(
    st.decimals("0.01", "1e9", places=2),
    st.decimals("0.00000001", "1e6", places=8),
    st.sampled_from(["0.00001", "1", "0.3", "0.000000000000000001"]),
    st.sampled_from(["0", "0.001", "0.00075"]),
    st.sampled_from([1.0, 3.0, 20.0]),
)
def test_the_cash_always_pays_for_the_order_and_no_lot_more_is_left_out(available, price, lot, fee, leverage):
    """C12, F16: floored, never above the balance, and by no more than a lot or the float's last digits below it."""
    quantity = order(Sizing(), rules(lot_size=lot), price=price, available=available, fee=Decimal(fee), leverage=leverage)
    rate = 1 / Fraction(leverage) + Fraction(Decimal(fee))
    assert Fraction(quantity) * Fraction(price) * rate <= Fraction(available)
    wanted = min(Fraction(leverage) * Fraction(available) / Fraction(price), Fraction(available) / (Fraction(price) * rate))
    assert (Fraction(quantity) / Fraction(Decimal(lot))).denominator == 1
    assert Fraction(quantity) >= wanted * (1 - Fraction(1, 10**14)) - Fraction(Decimal(lot))
