"""Make an order fit its market's rules: never more than asked, never above the balance, never a stop that guards less."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from fks_assets.errors import Denied, InvalidInput
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.money import EXACT, ZERO, ceil_to, floor_to, money, money_text, value_of
from fks_assets.quant.orders import OrderType, Side

WAITING = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT})
LIMITED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
# A market order may be filled at a worse price than the last one; that much of the money is kept back for it.
MARKET_MARGIN = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order as the desk decided it, in exact numbers that need not fit the market. Quantity in base, prices in quote coins."""

    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None


def quantise(rules: MarketRules, wanted: Wanted, *, last_price: Decimal | None, free: Decimal | None = None) -> Wanted:
    """Return the order on the market's lot and tick, at most as large as asked and as `free` pays for.

    `free` is what can be spent: quote coins for a BUY, base coins for a SELL; None leaves the balance to the venue. Quantities
    are rounded down. A limit price is rounded so that the order never trades at a worse one; a stop and a target up for a SELL
    and down for a BUY, so that the stop is nearer; the limit of a stop further from it, so that it still fills. The value of a
    market order is judged by `last_price`, and not at all without one: an exit must be possible then too. Raises Denied when the
    market takes no such order, before or after rounding, InvalidInput for numbers that are none.
    """
    market = rules.market
    if rules.status is not MarketStatus.TRADING or rules.lot_size is None or rules.tick_size is None:
        raise Denied(f"{market} is {rules.status}: it takes no orders")
    quantity = _above_zero(f"{market}: quantity", wanted.quantity)
    last = None if last_price is None else _above_zero(f"{market}: last price", last_price)
    price, stop_price = _prices(rules, wanted)
    if free is not None:
        quantity = min(quantity, _affordable(rules, wanted, price or stop_price or last, money(free)))
    if rules.max_quantity is not None:
        quantity = min(quantity, rules.max_quantity)
    quantity = floor_to(quantity, rules.lot_size)
    least = max(rules.min_quantity or ZERO, rules.lot_size)
    if quantity < least:
        left, asked = money_text(quantity), money_text(wanted.quantity)
        raise Denied(f"{market}: after rounding and balance {left} of {asked} is left, the smallest order is {money_text(least)}")
    # A venue judges the value at the price that the order names, or at the last one; of two, take the lower.
    traded = min([each for each in (price, stop_price) if each is not None], default=last)
    value = None if traded is None else value_of(traded, quantity)
    if rules.min_notional is not None and value is not None and traded is not None and value < rules.min_notional:
        order, least_value = f"{money_text(quantity)} at {money_text(traded)}", money_text(rules.min_notional)
        raise Denied(f"{market}: {order} is worth {money_text(value)}, the smallest order is worth {least_value}")
    return Wanted(wanted.side, wanted.type, quantity, price, stop_price)


def _prices(rules: MarketRules, wanted: Wanted) -> tuple[Decimal | None, Decimal | None]:
    """Return limit and stop price on the tick; an order has those that its type needs, and no others."""
    market, tick = rules.market, rules.tick_size or ZERO
    up = wanted.side is Side.SELL
    stop_price = None
    if wanted.type in WAITING:
        asked = _above_zero(f"{market}: stop price", wanted.stop_price)
        stop_price = ceil_to(asked, tick) if up else floor_to(asked, tick)
    price = None
    if wanted.type in LIMITED or (wanted.type is OrderType.TAKE_PROFIT and wanted.price is not None):
        asked = _above_zero(f"{market}: price", wanted.price)
        # The limit behind a stop gives way by part of a tick, any other does not.
        price = ceil_to(asked, tick) if up is not (wanted.type is OrderType.STOP_LIMIT) else floor_to(asked, tick)
    for name, each in (("price", price), ("stop price", stop_price)):
        if each is not None and each <= 0:
            raise Denied(f"{market}: the {name} is below one tick of {money_text(tick)}")
    return price, stop_price


def _affordable(rules: MarketRules, wanted: Wanted, price: Decimal | None, free: Decimal) -> Decimal:
    """Return the largest quantity that the free balance covers, fees included."""
    if free <= 0:
        return ZERO
    if wanted.side is Side.SELL:
        return free
    price = _above_zero(f"{rules.market}: last price", price)
    margin = ZERO if wanted.type in LIMITED else MARKET_MARGIN
    fee = max(rules.taker_fee or ZERO, ZERO)
    lot = rules.lot_size or ZERO
    lots = Fraction(free) // (Fraction(price) * (1 + Fraction(margin)) * (1 + Fraction(fee)) * Fraction(lot))
    return EXACT.multiply(Decimal(lots), lot)


def _above_zero(name: str, value: Decimal | None) -> Decimal:
    """Return the amount; raise InvalidInput unless it is a number above 0. No price is ever made up for a missing one."""
    if value is None:
        raise InvalidInput(f"{name} is missing")
    amount = money(value)
    if amount <= 0:
        raise InvalidInput(f"{name} is {money_text(amount)}, it must be above 0")
    return amount
