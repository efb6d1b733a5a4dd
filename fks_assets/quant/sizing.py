"""The one place that says how large a position is: in a backtest, on paper and live.

`position_value` and `affordable` are plain functions of floats, which the backtest compiles as they stand. `order_quantity` calls
the same two for a desk whose money is Decimal: amounts that are equal after rounding to a float give the same quantity, and
whether the money suffices is decided in twice the digits of a float, so both sides answer alike also at the last lot.
"""

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from math import inf, isnan, nan

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.pairs import add, multiply, pair, tail
from fks_assets.quant.backtest.pricing import below_smallest
from fks_assets.quant.backtest.rounding import to_multiple
from fks_assets.quant.backtest.rules import Sizing
from fks_assets.quant.market_rules import MarketRules

FRACTION, NOTIONAL, RISK, CONFIDENCE = range(4)
KINDS = {"fraction": FRACTION, "notional": NOTIONAL, "risk": RISK, "confidence": CONFIDENCE}
# Relative: what sums of pairs may be wrong by, far below what a lot of any market costs.
EXACT = 1e-26
# The largest float below 1.
_BELOW_ONE = 1.0 - 2.0**-53
_DIGITS = 60


def position_value(
    kind: int, size: float, cap: float, largest_stake: float, leverage: float, base: float, confidence: float, price: float,
    distance: float,
) -> float:  # fmt: skip
    """Return the value that a sizing rule asks for, in the quote coin, or NaN where it needs a stop and there is none.

    `base` is the money that the rule takes its fraction of; `distance` is how far the stop lies from `price` on the losing side.
    """
    if kind == FRACTION:
        wanted = leverage * size * base
    elif kind == NOTIONAL:
        wanted = size
    elif kind == CONFIDENCE:
        wanted = leverage * min(confidence * size, cap) * base
    else:
        if not distance > 0.0:
            return nan
        wanted = size * base / distance * price
    return min(wanted, leverage * largest_stake * base)


def affordable(
    quantity: float, cash: float, cash_low: float, price: float, price_low: float, rate: float, rate_low: float, most: float,
    lot: float, lot_parts: float,
) -> float:  # fmt: skip
    """Return `quantity`, at most what the market takes and what the cash pays for, down to the lot.

    `cash`, `price` and `rate`, what a quote coin of the position costs (its margin and the fee), are pairs. Where rounding the
    quotient made a lot too much of it, there is one lot less. Without a lot the quotient stands as it is.
    """
    quantity = min(quantity, cash / (price * rate), most)
    if lot <= 0.0:
        return quantity
    quantity = to_multiple(quantity, lot, lot_parts, -1)
    coin, coin_low = multiply(price, price_low, rate, rate_low)
    while quantity > 0.0:
        cost, cost_low = multiply(quantity, tail(quantity, lot, lot_parts), coin, coin_low)
        left, left_low = add(cash, cash_low, -cost, -cost_low)
        if not left + left_low < -EXACT * cash:
            break
        # A lot may be less than the last digit of the quantity.
        quantity = min(to_multiple(quantity - lot / lot_parts, lot, lot_parts, -1), quantity * _BELOW_ONE)
    return quantity


def order_quantity(
    sizing: Sizing,
    rules: MarketRules,
    *,
    side: int,
    price: Decimal,
    stop: Decimal | None,
    confidence: float,
    available: Decimal,
    equity: Decimal,
    fee: Decimal,
    leverage: float = 1.0,
    reprice: Callable[[float], Decimal] | None = None,
) -> Decimal:
    """Return the quantity of an entry as a backtest takes it: whole lots, never more than `available` pays for with the fee.

    `side` is 1 for a long position and -1 for a short one; `price` is what the fill is expected at, on the tick, by which the
    value asked for is divided; `available` the cash left in the strategy's budget, `equity` the budget's share of the equity;
    `fee` the taker's, a fraction. Where the size itself moves the price, `reprice` says what the quantity asked for costs. 0
    where the quantity is below the market's smallest order. Raises InvalidInput where the market states no lot, where a size by
    risk has no stop on the losing side, and for a price that is not above 0.
    """
    if rules.lot_size is None:
        raise InvalidInput(f"{rules.market}: lot_size is missing, no quantity can be ordered")
    if not price > 0:
        raise InvalidInput(f"{rules.market}: price must be above 0, was {price}")
    wanted = position_value(
        KINDS[sizing.kind],
        sizing.value,
        sizing.cap,
        sizing.largest_stake,
        leverage,
        float(equity if sizing.base == "equity" else available),
        confidence,
        float(price),
        nan if stop is None else side * (float(price) - float(stop)),
    )
    if isnan(wanted):
        raise InvalidInput(f"{rules.market}: a size by risk needs a stop on the losing side of {price}, was {stop}")
    asked = wanted / float(price)
    costs = Fraction(price if reprice is None else reprice(asked))
    rate = 1 / Fraction(repr(leverage)) + Fraction(fee)
    lot, lot_parts = (float(part) for part in rules.lot_size.as_integer_ratio())
    most = inf if rules.max_quantity is None else float(rules.max_quantity)
    found = affordable(asked, *pair(Fraction(available)), *pair(costs), *pair(rate), most, lot, lot_parts)
    lot_size = Fraction(rules.lot_size)
    lots = min(round(Fraction(found) / lot_size), Fraction(available) / (costs * rate * lot_size) // 1)
    with localcontext() as context:
        context.prec = _DIGITS
        quantity = lots * rules.lot_size
    least, notional = (0.0 if each is None else float(each) for each in (rules.min_quantity, rules.min_notional))
    return Decimal(0) if below_smallest(float(quantity), float(costs), least, notional) else quantity
