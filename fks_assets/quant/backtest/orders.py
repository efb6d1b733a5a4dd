"""What a desk whose money is Decimal orders, so that it does what a backtest does: the kernel's own functions, asked in Decimal.

With `order_quantity` of fks_assets.quant.sizing these are all that an entry needs: the price that a market order gets, the levels
on the tick, the quantity. What a level then does to the position is fks_assets.quant.stops.
"""

from decimal import Decimal, localcontext
from math import nan

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.pricing import market_price, raised_stop
from fks_assets.quant.backtest.rounding import to_multiple
from fks_assets.quant.backtest.rules import Costs, LegRules
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.stops import entry_levels

_DIGITS = 60


def order_price(
    costs: Costs, rules: MarketRules, *, price: Decimal, side: int, quantity: float = 0.0, volume: float = 0.0
) -> Decimal:
    """Return the price on the tick of a market order of this side (1 buys, -1 sells) where the market is at `price`.

    `quantity` and `volume`, that of the candle of the fill, both in the base coin, count where the costs have an impact. Raises
    InvalidInput where the market states no tick.
    """
    slippage = costs.slippage + costs.spread / 2
    found = market_price(float(price), side, quantity, volume, slippage, costs.impact, costs.impact_limit, *_tick(rules))
    return _on_tick(found, rules)


def order_levels(
    leg: LegRules,
    rules: MarketRules,
    *,
    side: int,
    price: Decimal,
    signal_close: float,
    signal_stop: float,
    signal_target: float,
) -> tuple[Decimal | None, Decimal | None]:
    """Return (stop, target) of a position entered at `price`, on the tick, None for a level that it has not (a signal's NaN).

    The stop is the trailing one already where that is nearer.
    """
    stop_part, target_part = (0.0 if each is None else each / 100 for each in (leg.stop_percent, leg.target_percent))
    entered = float(price)
    stop, target = entry_levels(
        side, entered, signal_close, signal_stop, signal_target, stop_part, target_part, leg.levels_from == "fill"
    )
    tick = _tick(rules)
    stop, target = to_multiple(stop, *tick, side), to_multiple(target, *tick, side)
    stop = raised_stop(side, stop, entered, _distance(leg), *tick)
    return _level(stop, rules), _level(target, rules)


def trailed_stop(leg: LegRules, rules: MarketRules, *, side: int, stop: Decimal | None, price: Decimal) -> Decimal | None:
    """Return the stop after the market has been at `price`: nearer than `stop` or the same, None where nothing trails."""
    return _level(raised_stop(side, nan if stop is None else float(stop), float(price), _distance(leg), *_tick(rules)), rules)


def _distance(leg: LegRules) -> float:
    return 0.0 if leg.trailing_percent is None else leg.trailing_percent / 100


def _tick(rules: MarketRules) -> tuple[float, float]:
    if rules.tick_size is None:
        raise InvalidInput(f"{rules.market}: tick_size is missing, no price can be ordered")
    numerator, denominator = rules.tick_size.as_integer_ratio()
    return float(numerator), float(denominator)


def _level(price: float, rules: MarketRules) -> Decimal | None:
    return None if price != price else _on_tick(price, rules)


def _on_tick(price: float, rules: MarketRules) -> Decimal:
    assert rules.tick_size is not None
    with localcontext() as context:
        context.prec = _DIGITS
        return (Decimal(price) / rules.tick_size).to_integral_value() * rules.tick_size
