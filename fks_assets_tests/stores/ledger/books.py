"""Accounts, deals and orders for tests of the ledger, and the whole ledger as one comparable value."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.orders import Leg, Mode, OrderStatus, OrderType, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import accounts, deals, fences, orders
from fks_assets.stores.ledger.deals import Deal, NewDeal
from fks_assets.stores.ledger.fences import Fence
from fks_assets.stores.ledger.fills import NewFill
from fks_assets.stores.ledger.orders import Order, OrderIntent, OrderLimits

NOON = 1_767_268_800_000  # 2026-01-01T12:00Z
BTC = parse_market("BTC-USDT@binance")
ETH = parse_market("ETH-USDT@binance")
ETH_BTC = parse_market("ETH-BTC@binance")
WIDE = OrderLimits(
    max_order_notional=Decimal(10) ** 19,
    max_open_orders=10_000,
    max_orders_per_minute=10_000,
    max_daily_loss=Decimal(1),
    price_band=Decimal(1),
)


def open_account(connection: sa.Connection, mode: Mode = Mode.PAPER, cash: str = "10000", name: str = "main") -> Fence:
    """Give an account that may trade, beside those that there are, and return the fence of the process that trades."""
    known = [
        accounts.AccountSpec(account.name, account.mode, account.exchange, account.quote)
        for account in accounts.read_accounts(connection)
    ]
    accounts.mirror(connection, [*known, accounts.AccountSpec(name, mode, "binance", "USDT", Decimal(cash))], at_ms=NOON)
    accounts.enable(connection, name, True, by="test", reason="it is wanted", at_ms=NOON)
    return fences.take(connection, "trading", "test", at_ms=NOON)


def open_deal(connection: sa.Connection, market: Market = BTC, number: int = 0, side: Side = Side.BUY, **changes: Any) -> Deal:
    """Open the deal of the candle `number` hours after noon."""
    values = {
        "account": "main",
        "strategy": "technical",
        "provider": "signals",
        "market": market,
        "timeframe": "1h",
        "signal_time": NOON + number * 3_600_000,
        "side": side,
        "price": Decimal(100),
        "quantity": Decimal(1),
        "confidence": Decimal("0.5"),
        "reason": "a test",
        "at_ms": NOON,
    }
    return deals.open_deal(connection, NewDeal(**(values | changes)))[0]


def intent(deal: Deal, quantity: str | Decimal = "1", leg: Leg = Leg.ENTRY, **changes: Any) -> OrderIntent:
    """An order at the market of one leg of a deal: of the deal's side for an entry, of the other one else."""
    values = {
        "deal": deal,
        "leg": leg,
        "side": deal.side if leg is Leg.ENTRY else deal.side.opposite,
        "type": OrderType.MARKET,
        "quantity": Decimal(quantity),
        "reason": "a test",
        "at_ms": NOON,
        "reference_price": Decimal(100),
    }
    return OrderIntent(**(values | changes))


def sent(connection: sa.Connection, fence: Fence, wanted: OrderIntent, exchange_order_id: str | None = None) -> Order:
    """Write an intent and bring the order to the exchange, where it is open."""
    order = orders.write_intent(connection, wanted, fence=fence, limits=WIDE)
    orders.transition(connection, order.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=fence)
    return orders.transition(connection, order.id, OrderStatus.OPEN, at_ms=NOON, exchange_order_id=exchange_order_id)


def trade(order: Order, trade_id: str, quantity: str = "1", price: str = "100", fee: str = "0", **changes: Any) -> NewFill:
    """A trade of an order; its fee in the quote coin unless told otherwise."""
    values = {
        "order_id": order.id,
        "trade_id": trade_id,
        "price": Decimal(price),
        "quantity": Decimal(quantity),
        "fee": Decimal(fee),
        "fee_currency": order.market.quote,
        "traded_at": NOON,
    }
    return NewFill(**(values | changes))


@contextmanager
def forgotten(database: Database) -> Iterator[sa.Connection]:
    """Give a transaction that is rolled back at the end, so that nothing of it remains."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def hold_now(connection: sa.Connection) -> None:
    """Check everything that is otherwise checked at the commit."""
    connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"))


def books_of(connection: sa.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the ledger says, without the numbers of its rows and the times and order of their writing."""
    statements = {
        "orders": "SELECT client_order_id, status, quantity, executed_quantity, executed_sum FROM orders",
        "fills": "SELECT market, trade_id, side, price, quantity, value, fee, fee_currency, traded_at FROM fills",
        "entries": """SELECT j.account, j.kind, j.reference, j.at, e.book, e.currency, e.amount
            FROM journal j JOIN journal_entries e ON e.journal_id = j.id""",
        "wallets": "SELECT account, currency, amount FROM wallets WHERE amount <> 0",
        "positions": """SELECT d.client_deal_id, p.side, bought_quantity, bought_sum, sold_quantity, sold_sum, fees_quote,
            fee_base, dust_quantity, opened_at, closed_at FROM positions p JOIN deals d ON d.id = p.deal_id""",
        "deals": "SELECT client_deal_id, is_processed, processed_side FROM deals",
    }
    return {name: sorted(map(tuple, connection.execute(sa.text(text))), key=repr) for name, text in statements.items()}
