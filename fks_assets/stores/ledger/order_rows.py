"""Orders as rows: reading, finding and locking them, and the history of their changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.money import EXACT
from fks_assets.quant.orders import Leg, OrderStatus, OrderType, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import document, milliseconds, moment, plain, reading


@dataclass(frozen=True, slots=True)
class Order:
    """A stored order. Quantities in the base coin, prices and `executed_sum` in the quote coin, times in UTC milliseconds."""

    id: int
    deal_id: int | None
    account: str
    exchange: str
    market: Market
    client_order_id: str
    exchange_order_id: str | None
    leg: Leg
    generation: int
    side: Side
    type: OrderType
    price: Decimal | None
    stop_price: Decimal | None
    reference_price: Decimal | None
    quantity: Decimal
    executed_quantity: Decimal
    executed_sum: Decimal
    status: OrderStatus
    active: bool
    list_id: str | None
    replaces: int | None
    reason: str
    epoch: int | None
    created_at: int
    submitted_at: int | None
    updated_at: int

    @property
    def remaining_quantity(self) -> Decimal:
        """What has not been executed, in the base coin."""
        return EXACT.subtract(self.quantity, self.executed_quantity)


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """A change of an order; `from_status` None: it was written. `at` is UTC milliseconds."""

    id: int
    order_id: int
    at: int
    from_status: OrderStatus | None
    to_status: OrderStatus
    detail: dict[str, Any]


COLUMNS = f"""id, deal_id, account, exchange, market, client_order_id, exchange_order_id, leg, generation, side, type, price,
    stop_price, reference_price, quantity, executed_quantity, executed_sum, status, active, list_id, replaces, reason, epoch,
    {milliseconds("created_at")}, {milliseconds("submitted_at")}, {milliseconds("updated_at")}"""
_SELECT = sa.text(f"""
    SELECT * FROM (SELECT {COLUMNS} FROM orders
    WHERE (CAST(:ids AS bigint[]) IS NULL OR id = ANY (CAST(:ids AS bigint[])))
      AND (CAST(:deal_id AS bigint) IS NULL OR deal_id = :deal_id)
      AND (CAST(:deal_ids AS bigint[]) IS NULL OR deal_id = ANY (CAST(:deal_ids AS bigint[])))
      AND (CAST(:account AS text) IS NULL OR account = :account)
      AND (CAST(:market AS text) IS NULL OR market = :market)
      AND (CAST(:client_order_id AS text) IS NULL OR client_order_id = :client_order_id)
      AND (CAST(:exchange_order_id AS text) IS NULL OR exchange_order_id = :exchange_order_id)
      AND (CAST(:active AS boolean) IS NULL OR active = :active)
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY (CAST(:statuses AS text[])))
      AND (CAST(:since AS bigint) IS NULL OR created_at >= {moment(":since")})
    ORDER BY id DESC LIMIT CAST(:newest AS bigint)) newest ORDER BY id
""")  # noqa: S608 - constants only
_LOCK_ACCOUNTS = sa.text("""
    SELECT FROM accounts WHERE name IN (SELECT account FROM orders WHERE id = ANY (CAST(:ids AS bigint[])))
    ORDER BY name COLLATE "C" FOR NO KEY UPDATE
""")
_LOCK = sa.text(f"SELECT {COLUMNS} FROM orders WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE")  # noqa: S608 - constants only
_ADD_EVENT = sa.text(f"""
    INSERT INTO order_events (order_id, at, from_status, to_status, detail)
    VALUES (:order_id, {moment(":at")}, :from_status, :to_status, CAST(:detail AS jsonb))
""")  # noqa: S608 - constants only
_EVENTS = sa.text(f"""
    SELECT id, order_id, {milliseconds("at")}, from_status, to_status, detail FROM order_events WHERE order_id = :id ORDER BY id
""")  # noqa: S608 - constants only


def read_order(source: Database | sa.Connection, order_id: int) -> Order:
    """Return an order. Raises InvalidInput for an unknown one."""
    found = read_orders(source, ids=[order_id])
    if not found:
        raise InvalidInput(f"order {order_id} is unknown")
    return found[0]


def find_order(
    source: Database | sa.Connection,
    *,
    client_order_id: str | None = None,
    account: str | None = None,
    market: Market | None = None,
    exchange_order_id: str | None = None,
) -> Order | None:
    """Return the order of a client id, or of account, market and exchange id: some exchanges count for each market."""
    if client_order_id is None and None in (account, market, exchange_order_id):
        raise InvalidInput("an order is found by its client id, or by account, market and exchange id")
    values = {"client_order_id": client_order_id, "account": account, "market": market, "exchange_order_id": exchange_order_id}
    return next(iter(_read(source, **values)), None)


def read_orders(
    source: Database | sa.Connection,
    *,
    account: str | None = None,
    market: Market | None = None,
    deal_id: int | None = None,
    deal_ids: Sequence[int] | None = None,
    active: bool | None = None,
    statuses: Sequence[OrderStatus] | None = None,
    since_ms: int | None = None,
    ids: Sequence[int] | None = None,
    newest: int | None = None,
) -> list[Order]:
    """Return orders, oldest first; None means all. `since_ms`: written then or later; `newest`: only so many, the last ones."""
    return _read(
        source,
        account=account,
        market=market,
        deal_id=deal_id,
        deal_ids=None if deal_ids is None else list(deal_ids),
        active=active,
        statuses=None if statuses is None else [status.value for status in statuses],
        since=since_ms,
        ids=None if ids is None else list(ids),
        newest=newest,
    )


def order_events(source: Database | sa.Connection, order_id: int) -> list[OrderEvent]:
    """Return every change of an order, oldest first."""
    with reading(source) as connection:
        rows = connection.execute(_EVENTS, {"id": order_id}).all()
    return [OrderEvent(*row[:3], OrderStatus(row[3]) if row[3] else None, OrderStatus(row[4]), row[5]) for row in rows]


def lock_orders(connection: sa.Connection, ids: Sequence[int]) -> dict[int, Order]:
    """Lock the accounts of the orders and then the orders, until the transaction ends, and return the orders by id.

    Raises InvalidInput for an unknown one.
    """
    wanted = sorted(set(ids))
    connection.execute(_LOCK_ACCOUNTS, {"ids": wanted})
    found = {row[0]: order_of(row) for row in connection.execute(_LOCK, {"ids": wanted})}
    if missing := set(wanted) - found.keys():
        raise InvalidInput(f"order {', '.join(map(str, sorted(missing)))} is unknown")
    return found


def add_event(
    connection: sa.Connection,
    order_id: int,
    before: OrderStatus | None,
    after: OrderStatus,
    at_ms: int,
    detail: Mapping[str, Any],
) -> None:
    """Note a change in the history of an order, in the caller's transaction."""
    values = {"order_id": order_id, "at": at_ms, "from_status": before, "to_status": after, "detail": document(dict(detail))}
    connection.execute(_ADD_EVENT, plain(values))


def order_of(row: sa.Row[Any]) -> Order:
    """Return the order of a row of COLUMNS."""
    values = list(row)
    values[4], values[7], values[9], values[10] = parse_market(row[4]), Leg(row[7]), Side(row[9]), OrderType(row[10])
    values[17] = OrderStatus(row[17])
    return Order(*values)


def _read(source: Database | sa.Connection, **values: Any) -> list[Order]:
    names = (
        "ids",
        "deal_id",
        "deal_ids",
        "account",
        "market",
        "client_order_id",
        "exchange_order_id",
        "active",
        "statuses",
        "since",
        "newest",
    )
    with reading(source) as connection:
        return [order_of(row) for row in connection.execute(_SELECT, plain({name: values.get(name) for name in names}))]
