"""Prove that an order of unknown outcome is nowhere, so that another one can take its place within seconds.

`settling.note_not_found` needs a minute to call an order ABSENT, and that is what unfreezes its market. A position cannot wait
that long without a stop. Three things together prove as much at once: the order can no longer be taken, the venue says to a
cancel that it is not open, and the coins say that it neither rests nor has executed: exactly what the known orders lock is
locked, and exactly what the ledger holds is held.
"""

from collections.abc import Mapping
from decimal import Decimal

import sqlalchemy as sa

from fks_assets.desk.gateway import OrderGateway
from fks_assets.exchanges.orders.venue import VenueBalance
from fks_assets.quant.money import ZERO, total
from fks_assets.quant.orders import OrderStatus, Side
from fks_assets.stores.ledger.journal import wallets
from fks_assets.stores.ledger.order_rows import Order, add_event, order_events, read_order, read_orders

_GONE = "gone"
_AT_THE_VENUE = (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)
# What a cancel's note says when the order is certainly not open any more.
_NOT_OPEN = ("done", "not open")


async def prove_gone(gateway: OrderGateway, order: Order) -> bool:
    """Cancel a sale of unknown outcome that can no longer be taken; return whether it is proven to be nowhere, and note that.

    False when it has been found by that, or when nothing is proven. Raises ExchangeError when the venue cannot be asked.
    """
    current = await gateway.cancel(order.id)
    if current.status is not OrderStatus.UNKNOWN:
        return False
    held = await gateway.venue.balances()
    return await gateway.transact(lambda connection: _note(gateway, connection, order, held))


def gone_orders(connection: sa.Connection, orders: tuple[Order, ...]) -> frozenset[int]:
    """Return the ids of those orders of unknown outcome that have been proven to be nowhere."""
    unknown = [order.id for order in orders if order.status is OrderStatus.UNKNOWN]
    return frozenset(each for each in unknown if any(_GONE in event.detail for event in order_events(connection, each)))


def _note(gateway: OrderGateway, connection: sa.Connection, order: Order, held: Mapping[str, VenueBalance]) -> bool:
    current = read_order(connection, order.id)
    answers = [event.detail["cancel"] for event in order_events(connection, order.id) if "cancel" in event.detail]
    if current.status is not OrderStatus.UNKNOWN or not answers or answers[-1] not in _NOT_OPEN:
        return False
    coin, rules = order.market.base, gateway.rules.get(order.market)
    there = held.get(coin, VenueBalance(ZERO, ZERO))
    lot = ZERO if rules is None or rules.lot_size is None else rules.lot_size
    booked, known = wallets(connection, order.account).get(coin, ZERO), _locked(connection, order.account, coin)
    for ours, theirs in ((booked, there.total), (known, there.locked)):
        if abs(total((ours, theirs.copy_negate()))) >= max(lot, order.quantity):
            return False
    add_event(
        connection, order.id, current.status, current.status, gateway.clock(), {_GONE: "not open, and no coins are missing"}
    )
    return True


def _locked(connection: sa.Connection, account: str, coin: str) -> Decimal:
    """Return how much of a coin the known open sales hold; the two orders of a pair hold it once."""
    amounts: dict[str, Decimal] = {}
    for order in read_orders(connection, account=account, statuses=_AT_THE_VENUE):
        if order.side is Side.SELL and order.market.base == coin:
            amounts[order.list_id or f"order {order.id}"] = order.remaining_quantity
    return total(amounts.values())
