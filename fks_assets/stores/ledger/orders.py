"""Orders: the intent that precedes everything sent, each step after it, and orders that others have sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import Denied, IllegalTransition, InvalidInput
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money, money_text
from fks_assets.quant.orders import TRANSITIONS, Leg, Mode, OrderStatus, OrderType, Side, client_order_id
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.fences import Fence
from fks_assets.stores.ledger.limits import OrderLimits, refuse_entry, refuse_if_halted, refuse_reduction
from fks_assets.stores.ledger.order_rows import (
    COLUMNS,
    Order,
    OrderEvent,
    add_event,
    find_order,
    lock_orders,
    order_events,
    order_of,
    read_order,
    read_orders,
)
from fks_assets.stores.ledger.reading import locked_accounts, moment, plain

__all__ = [
    "ExternalOrder",
    "Order",
    "OrderEvent",
    "OrderIntent",
    "OrderLimits",
    "adopt_order",
    "client_order_id",
    "find_order",
    "order_events",
    "read_order",
    "read_orders",
    "record_order",
    "transition",
    "write_intent",
]
A_PERSON = 0


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order of a deal that is to be sent. `generation` counts the tries of one leg from 0.

    `reference_price`, the market's price now, is what an entry's limits are judged by, so an entry needs it. Quantity in the base
    coin, prices in the quote coin, `at_ms` UTC milliseconds.
    """

    deal: Deal
    leg: Leg
    side: Side
    type: OrderType
    quantity: Decimal
    reason: str
    at_ms: int
    generation: int = 0
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reference_price: Decimal | None = None
    list_id: str | None = None
    replaces: int | None = None

    @property
    def client_order_id(self) -> str:
        """The id that the exchange gets: the same for the same deal, leg and generation."""
        deal = self.deal
        strategy = f"{deal.strategy}/{deal.timeframe}"
        return client_order_id(deal.account, strategy, deal.market.key, deal.signal_time, self.leg, self.generation)


@dataclass(frozen=True, slots=True)
class ExternalOrder:
    """An order of the exchange account that is not ours. `detail` is what the exchange says of it."""

    market: Market
    exchange_order_id: str
    side: Side
    type: OrderType
    quantity: Decimal
    at_ms: int
    price: Decimal | None = None
    stop_price: Decimal | None = None
    detail: Mapping[str, Any] | None = None


_INSERT = sa.text(f"""
    INSERT INTO orders (deal_id, account, exchange, market, client_order_id, exchange_order_id, leg, generation, side, type,
        price, stop_price, reference_price, quantity, status, active, list_id, replaces, reason, epoch, created_at, submitted_at,
        updated_at)
    VALUES (:deal_id, :account, :exchange, :market, :client_order_id, :exchange_order_id, :leg, :generation, :side, :type, :price,
        :stop_price, :reference_price, :quantity, :status, true, :list_id, :replaces, :reason, :epoch, {moment(":at")},
        {moment(":submitted")}, {moment(":at")})
    RETURNING {COLUMNS}
""")  # noqa: S608 - constants only
_UPDATE = sa.text(f"""
    UPDATE orders SET status = :status, active = :active, exchange_order_id = coalesce(exchange_order_id, :exchange_order_id),
        submitted_at = CASE WHEN :status = 'SUBMITTING' THEN {moment(":at")} ELSE submitted_at END,
        list_id = coalesce(:list_id, list_id), updated_at = {moment(":at")}
    WHERE id = :id RETURNING {COLUMNS}
""")  # noqa: S608 - constants only


def write_intent(connection: sa.Connection, intent: OrderIntent, *, fence: Fence, limits: OrderLimits) -> Order:
    """Write the intent of an order in the caller's transaction and return it: nothing may be sent before that is committed.

    An intent that has been written is returned as it stands. Raises StaleFence when another process has taken over, Denied when
    a limit, a halt, the balance or the position forbids the order, InvalidInput for amounts that are no money.
    """
    fences.check(connection, fence)
    deal = intent.deal
    quantity, price, _, reference_price = _amounts(intent)
    account = locked_accounts(connection, [deal.account])[deal.account]
    stored = find_order(connection, client_order_id=intent.client_order_id)
    if stored is not None:
        return stored
    if account.mode == Mode.ALERT:
        raise Denied(f"account {deal.account} is in alert mode: a person sends its orders")
    if intent.leg is Leg.ENTRY:
        if reference_price is None:
            raise InvalidInput(f"the entry of deal {deal.id} has no reference_price to judge its limits by")
        if not account.enabled:
            raise Denied(f"account {deal.account} may not trade: enable it first")
        refuse_entry(
            connection,
            limits,
            account=deal.account,
            deal_id=deal.id,
            market=deal.market,
            side=intent.side,
            quantity=quantity,
            price=price,
            reference_price=reference_price,
            at_ms=intent.at_ms,
        )
    else:
        refuse_reduction(connection, deal_id=deal.id, side=intent.side, quantity=quantity, market=deal.market)
    return _insert(connection, intent, account.exchange, OrderStatus.INTENT, fence.epoch, None)


def transition(
    connection: sa.Connection,
    order_id: int,
    to: OrderStatus,
    *,
    at_ms: int,
    exchange_order_id: str | None = None,
    list_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
    fence: Fence | None = None,
) -> Order:
    """Bring an order to a status in the caller's transaction, note it in its history, and return the order.

    SUBMITTING, the last step before anything is sent, needs the fence, and is refused twice: whoever gets no error sends, once.
    Any other status that the order has already changes nothing but a missing `exchange_order_id`. Fills alone make an order
    PARTIALLY_FILLED or FILLED (`fills.record_fills`). Raises IllegalTransition for what cannot follow, Denied when the fence is
    stale or an entry has been halted since its intent, InvalidInput for an unknown order or another `exchange_order_id`.
    """
    if to is OrderStatus.SUBMITTING:
        if fence is None:
            raise InvalidInput(f"order {order_id}: SUBMITTING needs the fence of the process that sends")
        fences.check(connection, fence)
    order = lock_orders(connection, [order_id])[order_id]
    if exchange_order_id is not None and order.exchange_order_id not in (None, exchange_order_id):
        raise InvalidInput(f"order {order_id} is {order.exchange_order_id} at {order.exchange}, not {exchange_order_id}")
    is_news = to is not order.status
    if to is OrderStatus.SUBMITTING or is_news:
        if to not in TRANSITIONS.get(order.status, ()):
            raise IllegalTransition(_illegal(order, to))
        if to is OrderStatus.SUBMITTING and order.leg is Leg.ENTRY:
            refuse_if_halted(connection, order.account, order.deal_id, order.market, at_ms)
    elif exchange_order_id in (None, order.exchange_order_id) and list_id in (None, order.list_id):
        return order
    values = {
        "id": order_id,
        "status": to,
        "active": to.is_active,
        "exchange_order_id": exchange_order_id,
        "list_id": list_id,
        "at": at_ms,
    }
    changed = order_of(connection.execute(_UPDATE, plain(values)).one())
    noted = dict(detail or {}) | (
        {"exchange_order_id": exchange_order_id} if exchange_order_id and not order.exchange_order_id else {}
    )
    add_event(connection, order_id, order.status, to, at_ms, noted)
    return changed


def record_order(connection: sa.Connection, intent: OrderIntent, exchange_order_id: str | None = None) -> tuple[Order, bool]:
    """Note, in the caller's transaction, the order that a person has sent for a deal; return it, and whether it is new."""
    _amounts(intent)
    account = locked_accounts(connection, [intent.deal.account])[intent.deal.account]
    stored = find_order(connection, client_order_id=intent.client_order_id)
    if stored is not None:
        return stored, False
    return _insert(connection, intent, account.exchange, OrderStatus.OPEN, A_PERSON, exchange_order_id), True


def adopt_order(connection: sa.Connection, account: str, external: ExternalOrder) -> tuple[Order, bool]:
    """Note, in the caller's transaction, somebody else's order on the exchange account; return it, and whether it is new."""
    row = locked_accounts(connection, [account]).get(account)
    if row is None:
        raise InvalidInput(f"account {account!r} is unknown")
    found = find_order(connection, account=account, market=external.market, exchange_order_id=external.exchange_order_id)
    if found is not None:
        return found, False
    values = {
        "deal_id": None,
        "account": account,
        "exchange": row.exchange,
        "market": external.market,
        "client_order_id": client_order_id(account, external.exchange_order_id, external.market.key, 0, Leg.EXTERNAL, 0),
        "exchange_order_id": external.exchange_order_id,
        "leg": Leg.EXTERNAL,
        "generation": 0,
        "side": external.side,
        "type": external.type,
        "price": None if external.price is None else money(external.price),
        "stop_price": None if external.stop_price is None else money(external.stop_price),
        "reference_price": None,
        "quantity": money(external.quantity),
        "status": OrderStatus.OPEN,
        "list_id": None,
        "replaces": None,
        "reason": "found at the exchange",
        "epoch": None,
        "at": external.at_ms,
        "submitted": external.at_ms,
    }
    order = order_of(connection.execute(_INSERT, plain(values)).one())
    # What the exchange says may hold anything that JSON has; amounts stay text.
    add_event(
        connection, order.id, None, order.status, external.at_ms, json.loads(json.dumps(external.detail or {}, default=str))
    )
    return order, True


def _insert(
    connection: sa.Connection,
    intent: OrderIntent,
    exchange: str,
    status: OrderStatus,
    epoch: int,
    exchange_order_id: str | None,
) -> Order:
    quantity, price, stop_price, reference_price = _amounts(intent)
    values = {
        "deal_id": intent.deal.id,
        "account": intent.deal.account,
        "exchange": exchange,
        "market": intent.deal.market,
        "client_order_id": intent.client_order_id,
        "exchange_order_id": exchange_order_id,
        "leg": intent.leg,
        "generation": intent.generation,
        "side": intent.side,
        "type": intent.type,
        "price": price,
        "stop_price": stop_price,
        "reference_price": reference_price,
        "quantity": quantity,
        "status": status,
        "list_id": intent.list_id,
        "replaces": intent.replaces,
        "reason": intent.reason,
        "epoch": epoch,
        "at": intent.at_ms,
        "submitted": None if status is OrderStatus.INTENT else intent.at_ms,
    }
    order = order_of(connection.execute(_INSERT, plain(values)).one())
    add_event(connection, order.id, None, status, intent.at_ms, {"reason": intent.reason})
    return order


def _amounts(intent: OrderIntent) -> tuple[Decimal, Decimal | None, Decimal | None, Decimal | None]:
    quantity = money(intent.quantity)
    prices = [None if value is None else money(value) for value in (intent.price, intent.stop_price, intent.reference_price)]
    for name, value in (("quantity", quantity), *zip(("price", "stop_price", "reference_price"), prices, strict=True)):
        if value is not None and value <= 0:
            raise InvalidInput(f"{intent.leg} of deal {intent.deal.id}: {name} {value} is not above 0")
    return quantity, *prices


def _illegal(order: Order, to: OrderStatus) -> str:
    if to in (OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED):
        done, whole = money_text(order.executed_quantity), money_text(order.quantity)
        return f"order {order.id} is {order.status} with fills of {done} of {whole}: only fills make it {to}"
    return f"order {order.id} is {order.status}, which does not become {to}"
