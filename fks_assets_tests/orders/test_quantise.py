"""Orders on the lot and tick of their market, over a hundred thousand random rules, quantities and prices."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from fks_assets.desk.quantise import MARKET_MARGIN, Wanted, quantise
from fks_assets.errors import Denied, InvalidInput
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import OrderType, Side

MARKET = Market("BTC", "USDT", "binance")
WAITING = (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT)
LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT)


def rules(**changes: object) -> MarketRules:
    """BTC-USDT of Binance's recorded exchangeInfo of 2025."""
    values = {
        "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.00001"),
        "min_quantity": Decimal("0.00001"),
        "max_quantity": Decimal(9000),
        "min_notional": Decimal(5),
        "maker_fee": Decimal("0.001"),
        "taker_fee": Decimal("0.001"),
    }
    return MarketRules(MARKET, MarketStatus.TRADING, **(values | changes))  # type: ignore[arg-type]


def drawn_rules(draw: random.Random) -> MarketRules:
    """Rules as exchanges have them, and stranger ones: steps of 5 or 25, of 1e-12 to 1000, with and without each bound."""

    def step() -> Decimal:
        return Decimal(draw.choice((1, 1, 1, 5, 25))).scaleb(draw.randint(-10, 2))

    lot = step()
    least = lot * draw.randint(0, 50)
    return rules(
        tick_size=step(),
        lot_size=lot,
        min_quantity=draw.choice((None, least)),
        max_quantity=draw.choice((None, least + lot * draw.randint(1, 10**6))),
        min_notional=draw.choice((None, Decimal(draw.randint(1, 1000)).scaleb(-draw.randint(0, 3)))),
        taker_fee=draw.choice((None, Decimal(0), Decimal("0.001"), Decimal("0.0026"))),
    )


def drawn_number(draw: random.Random) -> Decimal:
    return Decimal(draw.randint(1, 10 ** draw.randint(1, 9))).scaleb(draw.randint(-8, 0))


def faults_of(market: MarketRules, wanted: Wanted, sent: Wanted, last: Decimal, free: Decimal | None) -> list[str]:
    """Return what a strict exchange, or the person who asked, would object to; in fractions, not in the code under test."""
    tick, lot = Fraction(market.tick_size or 0), Fraction(market.lot_size or 0)
    quantity = Fraction(sent.quantity)
    prices = [Fraction(each) for each in (sent.price, sent.stop_price) if each is not None]
    traded = min(prices, default=Fraction(last))
    up = sent.side is Side.SELL
    cost = max([*prices[:1], Fraction(last)][:1]) * (1 + Fraction(market.taker_fee or 0))
    checks = {
        "more than asked": quantity > Fraction(wanted.quantity),
        "off the lot": quantity % lot != 0,
        "a price off the tick": any(price % tick != 0 for price in prices),
        "a price at or below 0": any(price <= 0 for price in prices),
        "too small": quantity < Fraction(market.min_quantity or 0) or quantity <= 0,
        "too large": market.max_quantity is not None and quantity > Fraction(market.max_quantity),
        "worth too little": market.min_notional is not None and traded * quantity < Fraction(market.min_notional),
        "above the balance": free is not None and (quantity if up else quantity * cost) > Fraction(free),
        "a stop that guards less": sent.stop_price is not None
        and (sent.stop_price < wanted.stop_price if up else sent.stop_price > wanted.stop_price),  # type: ignore[operator]
        "a worse limit": sent.type is OrderType.LIMIT and (sent.price < wanted.price if up else sent.price > wanted.price),  # type: ignore[operator]
        "a stop's limit that is nearer": sent.type is OrderType.STOP_LIMIT
        and (sent.price > wanted.price if up else sent.price < wanted.price),  # type: ignore[operator]
        "a price a tick away or more": any(
            abs(Fraction(one) - Fraction(other)) >= tick
            for one, other in ((sent.price, wanted.price), (sent.stop_price, wanted.stop_price))
            if one is not None and other is not None
        ),
    }
    return [name for name, holds in checks.items() if holds]


def test_a_hundred_thousand_random_orders_are_never_more_than_asked_nor_above_the_balance():
    """E10: 10^5 random (rules, quantity, price); seed 20251121. What is denied is denied for a reason that holds."""
    draw = random.Random(20251121)
    sent = 0
    for number in range(100_000):
        if number % 50 == 0:
            market = drawn_rules(draw)
        type_ = draw.choice(list(OrderType))
        wanted = Wanted(
            draw.choice(list(Side)),
            type_,
            drawn_number(draw),
            drawn_number(draw) if type_ in LIMITED else None,
            drawn_number(draw) if type_ in WAITING else None,
        )
        last = drawn_number(draw)
        free = draw.choice((None, Decimal(0), drawn_number(draw), wanted.quantity * last))
        try:
            fitting = quantise(market, wanted, last_price=last, free=free)
        except Denied:
            continue
        sent += 1
        assert faults_of(market, wanted, fitting, last, free) == [], f"order {number}: {market} {wanted} {last} {free}: {fitting}"
    assert sent > 20_000


def test_an_order_that_fits_is_sent_as_it_is():
    wanted = Wanted(Side.SELL, OrderType.LIMIT, Decimal("0.00150"), Decimal("60000.10"))
    fitting = quantise(rules(), wanted, last_price=Decimal(60000), free=Decimal("0.0015"))
    assert (fitting.quantity, fitting.price, fitting.stop_price) == (wanted.quantity, wanted.price, None)


@pytest.mark.parametrize(
    ("side", "type_", "price", "stop"),
    [
        (Side.BUY, OrderType.LIMIT, "100.00", None),
        (Side.SELL, OrderType.LIMIT, "100.01", None),
        (Side.SELL, OrderType.STOP_MARKET, None, "100.01"),
        (Side.BUY, OrderType.STOP_MARKET, None, "100.00"),
        (Side.SELL, OrderType.STOP_LIMIT, "100.00", "100.01"),
        (Side.BUY, OrderType.STOP_LIMIT, "100.01", "100.00"),
        (Side.SELL, OrderType.TAKE_PROFIT, None, "100.01"),
    ],
)
def test_prices_are_rounded_toward_safety(side: Side, type_: OrderType, price: str | None, stop: str | None):
    """E10, and the backtest's rule: the stop of a long position, a SELL, goes up to the tick and is nearer."""
    asked = Decimal("100.004")
    wanted = Wanted(side, type_, Decimal(1), asked if type_ in LIMITED else None, asked if type_ in WAITING else None)
    fitting = quantise(rules(), wanted, last_price=Decimal(100))
    assert (fitting.price, fitting.stop_price) == (price and Decimal(price), stop and Decimal(stop))


@pytest.mark.parametrize(
    ("changes", "quantity", "words"),
    [
        ({}, "0.000009", "after rounding and balance 0 of 0.000009"),
        ({}, "0.00004", "is worth 4, the smallest order is worth 5"),
        ({"min_quantity": Decimal("0.001")}, "0.00099", "the smallest order is 0.001"),
    ],
)
def test_what_becomes_too_small_by_rounding_is_denied_and_not_sent(changes: dict[str, Decimal], quantity: str, words: str):
    """E10: checked again after rounding."""
    with pytest.raises(Denied, match=words):
        quantise(rules(**changes), Wanted(Side.SELL, OrderType.MARKET, Decimal(quantity)), last_price=Decimal(100_000))


@pytest.mark.parametrize("price", ["0", "-1", None])
def test_no_price_is_made_up_for_a_missing_one(price: str | None):
    """F8, F15: an order with a price of 0, or none, is refused; nothing falls back to a price of its own."""
    value = None if price is None else Decimal(price)
    with pytest.raises(InvalidInput, match="price"):
        quantise(rules(), Wanted(Side.BUY, OrderType.LIMIT, Decimal(1), value), last_price=Decimal(100))
    with pytest.raises(InvalidInput, match="price"):
        quantise(rules(), Wanted(Side.BUY, OrderType.MARKET, Decimal(1)), last_price=value, free=Decimal(100))


@pytest.mark.parametrize("value", [0.1, float("nan")])
def test_floats_are_no_quantities(value: object):
    """Money is Decimal: floats enter by from_analytics alone."""
    with pytest.raises(TypeError):
        quantise(rules(), Wanted(Side.SELL, OrderType.MARKET, value), last_price=Decimal(100))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), Decimal(-1), Decimal("1e25")])
def test_numbers_that_are_none_are_refused(value: Decimal):
    """E8, E10."""
    with pytest.raises(InvalidInput):
        quantise(rules(), Wanted(Side.SELL, OrderType.MARKET, value), last_price=Decimal(100))


@pytest.mark.parametrize("status", [MarketStatus.HALTED, MarketStatus.DELISTED])
def test_a_market_that_does_not_trade_takes_no_orders(status: MarketStatus):
    """E7."""
    market = MarketRules(MARKET, status, tick_size=Decimal("0.01"), lot_size=Decimal("0.01"))
    with pytest.raises(Denied, match="takes no orders"):
        quantise(market, Wanted(Side.SELL, OrderType.MARKET, Decimal(1)), last_price=Decimal(100))


def test_a_market_buy_keeps_money_back_for_the_fee_and_a_worse_price():
    """Never above the balance: 1000 USDT at 100 with 0.1 % and 1 % kept back buy 9.89109 on a lot of 0.00001."""
    fitting = quantise(rules(), Wanted(Side.BUY, OrderType.MARKET, Decimal(50)), last_price=Decimal(100), free=Decimal(1000))
    assert fitting.quantity == Decimal("9.89109")
    assert Fraction(1000, 100) / (1 + Fraction(MARKET_MARGIN)) / Fraction("1.001") - Fraction("9.89109") < Fraction("0.00001")


def test_an_exit_is_possible_without_a_price():
    """C16: closing must not depend on a price source."""
    fitting = quantise(rules(), Wanted(Side.SELL, OrderType.MARKET, Decimal("0.0012345")), last_price=None)
    assert fitting.quantity == Decimal("0.00123")
