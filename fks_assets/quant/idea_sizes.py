"""Where a long position is entered, what its price pays, and how large it is for a risk; on the market's tick and lot."""

from dataclasses import dataclass
from decimal import Decimal

from fks_assets.quant.backtest.rounding import to_multiple
from fks_assets.quant.backtest.rules import Sizing
from fks_assets.quant.idea_rules import IdeaRules
from fks_assets.quant.idea_scores import Band
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.sizing import RISK, order_quantity, position_value
from fks_assets.quant.strategies.rules import MARGIN


@dataclass(frozen=True, slots=True)
class Entry:
    """How to enter: `market` at about the price, or a `limit` order at it; `reward_risk` is what the price gives."""

    kind: str
    price: float
    reward_risk: float


@dataclass(frozen=True, slots=True)
class Size:
    """A position: quantity in the base coin, notional and what is lost at the stop in the quote coin.

    `limit`: what made it smaller than the risk alone allows, else None.
    """

    quantity: float
    notional: float
    at_risk: float
    limit: str | None


def pays_enough(price: float, stop: float, target: float, wanted: float) -> bool:
    """Return whether reward to risk is at least `wanted`; a price closer than a billionth is as good."""
    return price <= paying_price(stop, target, wanted) * (1 + MARGIN)


def paying_price(stop: float, target: float, wanted: float) -> float:
    """Return the price at which (target - price) / (price - stop) is `wanted`."""
    return (target + wanted * stop) / (1 + wanted)


def entry_of(
    band: Band, close: float, stop: float, target: float, pays: bool, rules: IdeaRules, trading_rules: MarketRules | None
) -> Entry | None:
    """Return how to enter in a band: at once, or by a limit order at a price that pays enough; None where one only observes.

    There is no entry either where the market has no tick between the stop and such a price.
    """
    if band is Band.OBSERVE:
        return None
    if band is Band.OPEN_OR_SCALE:
        return Entry("market", close, (target - close) / (close - stop))
    price = close if pays else paying_price(stop, target, rules.reward_risk)
    if trading_rules is not None and trading_rules.tick_size is not None:
        price = float(to_multiple(price, *map(float, trading_rules.tick_size.as_integer_ratio()), -1))
    return Entry("limit", price, (target - price) / (price - stop)) if price > stop else None


def size_position(entry: float, stop: float, share: float, rules: IdeaRules, trading_rules: MarketRules | None) -> Size:
    """Return the long position that loses `share` of the risk at its stop, no larger than `share` of the largest position.

    With trading rules it is what a backtest would order: whole lots that the capital pays for with the fee, and none where the
    market takes no order that small.
    """
    risk, largest = rules.risk * share, rules.max_position * share
    sizing = Sizing(kind="risk", size=risk, base="equity", largest_stake=largest)
    value = position_value(RISK, risk, sizing.cap, largest, 1.0, rules.capital, 0.0, entry, entry - stop)
    limit = f"at most {largest:.4g} of the capital in one position" if value >= largest * rules.capital else None
    quantity = value / entry
    if trading_rules is not None:
        capital, most = Decimal(repr(rules.capital)), trading_rules.max_quantity
        if most is not None and quantity > most:
            limit = f"the market's largest order is {most.normalize():f}"
        ordered = order_quantity(
            sizing,
            trading_rules,
            side=1,
            price=Decimal(repr(entry)),
            stop=Decimal(repr(stop)),
            confidence=0.0,
            available=capital,
            equity=capital,
            fee=trading_rules.taker_fee or Decimal(0),
        )
        if ordered == 0:
            limit = f"{quantity:.8g} {trading_rules.market.base} are below the market's smallest order"
        quantity = float(ordered)
    return Size(quantity, quantity * entry, quantity * (entry - stop), limit)
