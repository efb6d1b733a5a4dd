"""Whether the market will take the stop of what is bought: one that it refuses leaves the position bare."""

from decimal import Decimal

from fks_assets.quant.backtest.results import Refusal
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.money import EXACT, ZERO, floor_to, money_text, value_of
from fks_assets.quant.orders import Mode


def stop_fault(mode: Mode, rules: MarketRules, quantity: Decimal, stop: Decimal | None, fee: Decimal) -> str | None:
    """Return why the market would take no stop of a purchase, None where it does or where there is no stop.

    `quantity` in the base coin on the lot, `stop` a price in the quote coin, `fee` the taker's as a fraction. A paper account
    pays its fees in the quote coin, as a backtest does; an exchange may keep them in what was bought.
    """
    if stop is None:
        return None
    left = quantity
    if mode is not Mode.PAPER and rules.lot_size is not None:
        left = floor_to(EXACT.subtract(quantity, value_of(fee, quantity)), rules.lot_size)
    words = f"{Refusal.SIZE.words} at its stop: {money_text(left)}"
    least = max(rules.min_quantity or ZERO, rules.lot_size or ZERO)
    if left < least:
        return f"{words} are left of {money_text(quantity)}, the market takes no less than {money_text(least)}"
    worth = value_of(stop, left)
    if rules.min_notional is not None and worth < rules.min_notional:
        taken = money_text(rules.min_notional)
        return f"{words} at {money_text(stop)} are worth {money_text(worth)}, the market takes no less than {taken}"
    return None
