"""Hard limits on new orders, judged in the transaction that writes the intent, under the lock of the account."""

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.errors import Denied, InvalidInput
from fks_assets.quant.markets import Market
from fks_assets.quant.money import EXACT, money, money_text, value_of
from fks_assets.quant.orders import Side
from fks_assets.stores.ledger.halts import HaltScope, in_force
from fks_assets.stores.ledger.reading import moment

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class OrderLimits:
    """Limits of an account. They bind entries; what takes risk away is bound by the position alone.

    `max_order_notional` in the quote coin; `max_daily_loss` and `price_band` are fractions: of the day's first equity, and of the
    market's price. Raises InvalidInput for a value that is no limit.
    """

    max_order_notional: Decimal
    max_open_orders: int
    max_orders_per_minute: int
    max_daily_loss: Decimal
    price_band: Decimal

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if money(value) < 0:
                raise InvalidInput(f"limit {field.name} {value} is below 0")


_PLACE = sa.text(f"""
    SELECT count(*) FILTER (WHERE active), count(*) FILTER (WHERE created_at > {moment(":at - 60000")} AND leg <> 'external'),
        min(id) FILTER (WHERE status = 'UNKNOWN' AND market = :market)
    FROM orders WHERE account = :account AND (active OR created_at > {moment(":at - 60000")})
""")  # noqa: S608 - constants only
_FREE = sa.text("""
    SELECT coalesce((SELECT amount FROM wallets WHERE account = :account AND currency = :currency), 0), coalesce((
        SELECT sum(CASE side WHEN 'BUY' THEN (quantity - executed_quantity) * coalesce(price, reference_price)
                   ELSE quantity - executed_quantity END)
        FROM orders WHERE account = :account AND active AND leg = 'entry' AND side = :side
          AND CASE side WHEN 'BUY' THEN split_part(split_part(market, '@', 1), '-', 2) ELSE split_part(market, '-', 1) END
              = :currency), 0) + CASE :side WHEN 'BUY' THEN 0 ELSE coalesce((
        SELECT sum(greatest(bought_quantity - sold_quantity - fee_base - dust_quantity, 0)) FROM positions
        WHERE account = :account AND closed_at IS NULL AND split_part(market, '-', 1) = :currency), 0) END
""")
_LOSS = sa.text(f"""
    SELECT daily_pnl, equity - daily_pnl FROM balance_history
    WHERE account = :account AND at <= {moment(":at")} AND at >= {moment(":day")} ORDER BY at DESC LIMIT 1
""")  # noqa: S608 - constants only
_POSITION = sa.text("""
    SELECT bought_quantity - sold_quantity - fee_base - dust_quantity FROM positions WHERE deal_id = :deal_id
""")
_STRATEGY = sa.text("SELECT strategy FROM deals WHERE id = :deal_id")


def refuse_if_halted(connection: sa.Connection, account: str, deal_id: int | None, market: Market, at_ms: int) -> None:
    """Raise Denied, with the halt's reason, if desk, account, strategy or market is halted at a time."""
    strategy = connection.scalar(_STRATEGY, {"deal_id": deal_id})
    named = [(HaltScope.DESK, ""), (HaltScope.ACCOUNT, account), (HaltScope.STRATEGY, strategy), (HaltScope.MARKET, market.key)]
    for halt in in_force(connection, named, account=account, at_ms=at_ms):
        raise Denied(str(halt))


def refuse_entry(
    connection: sa.Connection,
    limits: OrderLimits,
    *,
    account: str,
    deal_id: int,
    market: Market,
    side: Side,
    quantity: Decimal,
    price: Decimal | None,
    reference_price: Decimal,
    at_ms: int,
) -> None:
    """Raise Denied, naming limit and value, if an order that adds risk may not be written. The account must be locked."""
    refuse_if_halted(connection, account, deal_id, market, at_ms)
    place = {"account": account, "market": market.key, "at": at_ms}
    open_orders, of_last_minute, unknown = connection.execute(_PLACE, place).one()
    if unknown is not None:
        raise Denied(f"{market} is frozen in account {account}: what became of order {unknown} is unknown")
    if open_orders >= limits.max_open_orders:
        raise Denied(f"account {account} has {open_orders} open orders, max_open_orders is {limits.max_open_orders}")
    if of_last_minute >= limits.max_orders_per_minute:
        raise Denied(
            f"account {account} wrote {of_last_minute} orders in a minute, max_orders_per_minute is "
            f"{limits.max_orders_per_minute}"
        )
    if price is not None:
        away = EXACT.subtract(price, reference_price).copy_abs()
        if away > EXACT.multiply(reference_price, limits.price_band):
            raise Denied(
                f"price {money_text(price)} of {market} is further than price_band {money_text(limits.price_band)} "
                f"from the market's {money_text(reference_price)}"
            )
    notional = value_of(price or reference_price, quantity)
    if notional > limits.max_order_notional:
        raise Denied(
            f"order of {money_text(notional)} {market.quote}, max_order_notional is {money_text(limits.max_order_notional)}"
        )
    needed, currency = (notional, market.quote) if side is Side.BUY else (quantity, market.base)
    owned, promised = connection.execute(_FREE, {"account": account, "currency": currency, "side": side.value}).one()
    if needed > EXACT.subtract(owned, promised):
        raise Denied(
            f"order needs {money_text(needed)} {currency}, account {account} has {money_text(owned)}, "
            f"of which {money_text(promised)} is promised elsewhere"
        )
    _refuse_after_losses(connection, limits, account, at_ms)


def refuse_reduction(connection: sa.Connection, *, deal_id: int, side: Side, quantity: Decimal, market: Market) -> None:
    """Raise Denied if an order that takes risk away is more than the position, or in its direction: never short on spot."""
    held: Decimal = connection.scalar(_POSITION, {"deal_id": deal_id}) or Decimal(0)
    reducible = held if side is Side.SELL else held.copy_negate()
    if quantity > reducible:
        raise Denied(
            f"{side} of {money_text(quantity)} {market.base} would exceed the position of deal {deal_id}, {money_text(held)}"
        )


def _refuse_after_losses(connection: sa.Connection, limits: OrderLimits, account: str, at_ms: int) -> None:
    day = at_ms - at_ms % MILLISECONDS_PER_DAY
    row: Any = connection.execute(_LOSS, {"account": account, "at": at_ms, "day": day}).first()
    if row is None:
        return
    daily_pnl, first_equity = row
    if daily_pnl < 0 and daily_pnl.copy_negate() >= EXACT.multiply(max(first_equity, Decimal(0)), limits.max_daily_loss):
        raise Denied(
            f"account {account} has lost {money_text(daily_pnl.copy_negate())} of {money_text(first_equity)} since {iso(day)}, "
            f"max_daily_loss is {money_text(limits.max_daily_loss)}"
        )
