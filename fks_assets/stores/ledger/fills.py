"""Fills: what was executed. Each trade of the exchange counts once, in whatever order and however often it is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.money import EXACT, ZERO, money, money_text, total, value_of
from fks_assets.quant.orders import FILL_TRANSITIONS, Leg, Mode, OrderStatus, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.journal import Posting, post
from fks_assets.stores.ledger.order_rows import Order, lock_orders
from fks_assets.stores.ledger.positions import count_fills
from fks_assets.stores.ledger.reading import document, locked_accounts, milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class NewFill:
    """A trade as the exchange tells it. Market and side are those of the order.

    Price in the quote coin, quantity in the base coin, `fee` in `fee_currency` (below 0: paid to us), `traded_at` in UTC ms.
    """

    order_id: int
    trade_id: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str | None
    traded_at: int
    is_maker: bool | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """A stored fill. `value` is price * quantity in the quote coin; times are UTC milliseconds."""

    id: int
    account: str
    exchange: str
    market: Market
    trade_id: str
    order_id: int
    side: Side
    price: Decimal
    quantity: Decimal
    value: Decimal
    fee: Decimal
    fee_currency: str | None
    is_maker: bool | None
    traded_at: int
    recorded_at: int


_COLUMNS = f"""f.id, f.account, f.exchange, f.market, f.trade_id, f.order_id, f.side, f.price, f.quantity, f.value, f.fee,
    f.fee_currency, f.is_maker, {milliseconds("f.traded_at")}, {milliseconds("f.recorded_at")}"""
_NAMES = """id, account, exchange, market, trade_id, order_id, side, price, quantity, value, fee, fee_currency, is_maker,
    traded_at, recorded_at"""
_KNOWN = sa.text(f"""
    SELECT {_COLUMNS} FROM fills f JOIN unnest(CAST(:markets AS text[]), CAST(:trade_ids AS text[])) AS n (market, trade_id)
        ON f.market = n.market AND f.trade_id = n.trade_id
    WHERE f.account = :account
""")  # noqa: S608 - constants only
_INSERT = sa.text(f"""
    INSERT INTO fills AS f (account, exchange, market, trade_id, order_id, side, price, quantity, value, fee, fee_currency,
        is_maker, traded_at, recorded_at)
    SELECT :account, o.exchange, o.market, r.trade_id, o.id, o.side, r.price, r.quantity, r.value, r.fee, r.fee_currency,
        r.is_maker, {moment("r.traded_at")}, {moment(":at")}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (order_id bigint, trade_id text, price numeric,
        quantity numeric, value numeric, fee numeric, fee_currency text, is_maker boolean, traded_at bigint, place bigint)
    JOIN orders o ON o.id = r.order_id ORDER BY r.place
    RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_COUNT = sa.text(f"""
    UPDATE orders o SET executed_quantity = o.executed_quantity + r.quantity, executed_sum = o.executed_sum + r.value,
        quantity = CASE o.leg WHEN 'external' THEN greatest(o.quantity, o.executed_quantity + r.quantity) ELSE o.quantity END,
        status = r.status, active = r.active, updated_at = {moment(":at")}
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, quantity numeric, value numeric, status text, active boolean)
    WHERE o.id = r.id
""")  # noqa: S608 - constants only
_NOTE = sa.text(f"""
    INSERT INTO order_events (order_id, at, from_status, to_status, detail)
    SELECT r.id, {moment(":at")}, r.before, r.status, r.detail
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, before text, status text, detail jsonb) ORDER BY r.id
""")  # noqa: S608 - constants only
_SHORT = sa.text("""
    SELECT currency, amount FROM wallets WHERE account = :account AND amount < 0 AND currency = ANY (CAST(:spent AS text[]))
    ORDER BY currency COLLATE "C" LIMIT 1
""")
_SELECT = sa.text(f"""
    SELECT * FROM (SELECT {_COLUMNS} FROM fills f JOIN orders o ON o.id = f.order_id
    WHERE (CAST(:account AS text) IS NULL OR f.account = :account)
      AND (CAST(:market AS text) IS NULL OR f.market = :market)
      AND (CAST(:order_id AS bigint) IS NULL OR f.order_id = :order_id)
      AND (CAST(:deal_id AS bigint) IS NULL OR o.deal_id = :deal_id)
      AND (CAST(:since AS bigint) IS NULL OR f.traded_at >= {moment(":since")})
      AND (CAST(:until AS bigint) IS NULL OR f.traded_at < {moment(":until")})
    ORDER BY f.traded_at DESC, f.id DESC LIMIT CAST(:newest AS bigint)) AS newest ({_NAMES}) ORDER BY traded_at, id
""")  # noqa: S608 - constants only


def record_fills(connection: sa.Connection, account: str, fills: Sequence[NewFill], *, at_ms: int) -> list[Fill]:
    """Book fills in the caller's transaction and return those that are new, in the order given.

    Each adds to its order (sums and status), to its deal's position, to the journal and to the wallets. Fills that are known
    already, by account, market and trade id, change nothing. Raises InvalidInput when a known trade is told with other numbers,
    when fills exceed their order, when the order was never sent, and when a paper account would owe; nothing is booked then, as
    long as the caller rolls back.
    """
    if not fills:
        return []
    mode = _lock(connection, account)
    orders = lock_orders(connection, [fill.order_id for fill in fills])
    for order in orders.values():
        if order.account != account:
            raise InvalidInput(f"order {order.id} belongs to account {order.account}, not {account}")
    new = _new_ones(connection, account, [_checked(fill, orders[fill.order_id]) for fill in fills], orders)
    if not new:
        return []
    counted = document(_counted(new, orders))
    connection.execute(_COUNT, {"rows": counted, "at": at_ms})
    connection.execute(_NOTE, {"rows": counted, "at": at_ms})
    rows = [{"place": place, **_row(fill)} for place, fill in enumerate(new)]
    stored = [_fill(row) for row in connection.execute(_INSERT, {"account": account, "rows": document(rows), "at": at_ms})]
    postings = [_posting(fill) for fill in stored]
    post(connection, account, postings, by=account)
    count_fills(connection, {fill: orders[fill.order_id] for fill in stored}, at_ms=at_ms)
    if mode is Mode.PAPER:
        _refuse_debts(connection, account, postings)
    return stored


def read_fills(
    source: Database | sa.Connection,
    *,
    account: str | None = None,
    market: Market | None = None,
    order_id: int | None = None,
    deal_id: int | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    newest: int | None = None,
) -> list[Fill]:
    """Return fills by the time of their trades; None means all. `since_ms` is included, `until_ms` is not.

    `newest`: only so many, the last ones.
    """
    values = {
        "account": account,
        "market": None if market is None else market.key,
        "order_id": order_id,
        "deal_id": deal_id,
        "since": since_ms,
        "until": until_ms,
        "newest": newest,
    }
    with reading(source) as connection:
        return [_fill(row) for row in connection.execute(_SELECT, values)]


def _lock(connection: sa.Connection, account: str) -> Mode:
    row = locked_accounts(connection, [account]).get(account)
    if row is None:
        raise InvalidInput(f"account {account!r} is unknown")
    return Mode(row.mode)


def _refuse_debts(connection: sa.Connection, account: str, postings: list[Posting]) -> None:
    changes: dict[str, Decimal] = {}
    for posting in postings:
        for book, currency, amount in posting.entries:
            if book == "wallet":
                changes[currency] = EXACT.add(changes.get(currency, ZERO), amount)
    spent = [currency for currency, amount in changes.items() if amount < 0]
    short = connection.execute(_SHORT, {"account": account, "spent": spent}).first()
    if short is not None:
        raise InvalidInput(
            f"paper account {account} would have {money_text(short[1])} {short[0]}: its fills spend what it has not"
        )


def _checked(fill: NewFill, order: Order) -> NewFill:
    price, quantity, fee = money(fill.price), money(fill.quantity), money(fill.fee)
    told = f"trade {fill.trade_id} of order {order.id}"
    if price <= 0 or quantity <= 0:
        raise InvalidInput(f"{told}: {money_text(quantity)} at {money_text(price)}, both must be above 0")
    if fee and fill.fee_currency is None:
        raise InvalidInput(f"{told}: a fee of {money_text(fee)} has no currency")
    if not fill.trade_id:
        raise InvalidInput(f"a trade of order {order.id} has no id")
    return NewFill(fill.order_id, fill.trade_id, price, quantity, fee, fill.fee_currency, fill.traded_at, fill.is_maker)


def _new_ones(connection: sa.Connection, account: str, fills: list[NewFill], orders: dict[int, Order]) -> list[NewFill]:
    keys = [(orders[fill.order_id].market.key, fill.trade_id) for fill in fills]
    values = {"account": account, "markets": [key[0] for key in keys], "trade_ids": [key[1] for key in keys]}
    known: dict[tuple[str, str], Any] = {(row.market, row.trade_id): row for row in connection.execute(_KNOWN, values)}
    new = []
    for key, fill in zip(keys, fills, strict=True):
        if key not in known:
            known[key] = fill
            new.append(fill)
        elif _numbers(known[key]) != _numbers(fill):
            raise InvalidInput(
                f"trade {fill.trade_id} in {key[0]} is booked as {_said(known[key])}, now it is told as {_said(fill)}"
            )
    return new


def _numbers(fill: Any) -> tuple[Any, ...]:
    return fill.order_id, fill.price, fill.quantity, fill.fee, fill.fee_currency if fill.fee else None


def _said(fill: Any) -> str:
    fee = f"{money_text(fill.fee)} {fill.fee_currency or ''}".strip()
    return f"{money_text(fill.quantity)} at {money_text(fill.price)} with a fee of {fee} of order {fill.order_id}"


def _counted(fills: list[NewFill], orders: dict[int, Order]) -> list[dict[str, Any]]:
    counted = []
    for order in (orders[order_id] for order_id in sorted({fill.order_id for fill in fills})):
        own = [fill for fill in fills if fill.order_id == order.id]
        quantity = total(fill.quantity for fill in own)
        executed = EXACT.add(order.executed_quantity, quantity)
        if executed > order.quantity and order.leg is not Leg.EXTERNAL:
            raise InvalidInput(f"order {order.id} is of {money_text(order.quantity)}, its fills would be {money_text(executed)}")
        status = _status_after(order, executed)
        counted.append(
            {
                "id": order.id,
                "quantity": quantity,
                "value": total(value_of(fill.price, fill.quantity) for fill in own),
                "before": order.status,
                "status": status,
                "active": status.is_active,
                "detail": {"trades": [fill.trade_id for fill in own], "executed": money_text(executed)},
            }
        )
    return counted


def _status_after(order: Order, executed: Decimal) -> OrderStatus:
    if order.status not in FILL_TRANSITIONS:
        if order.status is OrderStatus.FILLED and order.leg is Leg.EXTERNAL:
            return OrderStatus.FILLED
        raise InvalidInput(f"order {order.id} is {order.status}: it cannot have been filled")
    if executed >= order.quantity:
        return OrderStatus.FILLED
    return order.status if order.status in FILL_TRANSITIONS[order.status] else OrderStatus.PARTIALLY_FILLED


def _row(fill: NewFill) -> dict[str, Any]:
    return {
        "order_id": fill.order_id,
        "trade_id": fill.trade_id,
        "price": fill.price,
        "quantity": fill.quantity,
        "value": value_of(fill.price, fill.quantity),
        "fee": fill.fee,
        "fee_currency": fill.fee_currency,
        "is_maker": fill.is_maker,
        "traded_at": fill.traded_at,
    }


def _posting(fill: Fill) -> Posting:
    base, quote = fill.market.base, fill.market.quote
    came, went = ("wallet", "market") if fill.side is Side.BUY else ("market", "wallet")
    entries = [
        (came, base, fill.quantity),
        (went, base, fill.quantity.copy_negate()),
        (went, quote, fill.value),
        (came, quote, fill.value.copy_negate()),
    ]
    if fill.fee != ZERO and fill.fee_currency is not None:
        entries += [("wallet", fill.fee_currency, fill.fee.copy_negate()), ("fees", fill.fee_currency, fill.fee)]
    return Posting("fill", f"fill {fill.market} {fill.trade_id}", fill.traded_at, entries, fill_id=fill.id)


def _fill(row: sa.Row[Any]) -> Fill:
    values = list(row)
    values[3], values[6] = parse_market(row[3]), Side(row[6])
    return Fill(*values)
