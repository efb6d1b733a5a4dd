"""Ask the venue what became of an order, in two ways, and bring the ledger there. Nothing here sends or cancels anything."""

from collections.abc import Sequence
from decimal import Decimal

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.session import TradingSession
from fks_assets.desk.settling import CALL_MS, UNSETTLED, mark_unknown, note_not_found, settle_report
from fks_assets.exchanges.orders.venue import OrderReport, VenueFill
from fks_assets.quant.money import total
from fks_assets.quant.orders import OrderStatus, OrderType
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.order_rows import lock_orders
from fks_assets.stores.ledger.orders import Order, find_order, read_order, read_orders

# An order may be older at the venue than here by as much as the clocks differ, and then some.
LOOK_BACK_MS = 60_000
# So far back is an order of ours looked for whose id the venue knows and we do not.
REMEMBERED_MS = 7 * 86_400_000


async def look_at(session: TradingSession, order: Order) -> Order:
    """Return an order as it stands once the venue has been asked for it and its fills.

    An order that is still on its way is left alone. What the venue knows nothing of in both ways ends only when that is proven
    (`settling.note_not_found`). Raises ExchangeError when a question fails: nothing is concluded from that.
    """
    crashpoint("look.begin")
    order = await session.transact(lambda connection: _ripe(session, connection, order))
    if order.status is OrderStatus.SUBMITTING or not (order.active or order.exchange_order_id):
        return order
    since = (order.submitted_at or order.created_at) - LOOK_BACK_MS
    report = await session.venue.order(order.market, order.client_order_id, order.exchange_order_id, since_ms=since)
    fills: list[VenueFill] = []
    if report is None:
        report, fills = await _other_way(session, order, since)
    elif report.executed_quantity > order.executed_quantity:
        fills = await session.venue.order_fills(order.market, report.exchange_order_id)
    crashpoint("look.asked")
    order = await session.transact(lambda connection: _write(session, connection, order.id, report, fills))
    crashpoint("look.settled")
    return order


def claimants(connection: sa.Connection, account: str, fills: Sequence[VenueFill]) -> list[Order]:
    """Return the orders that these executions of one order of the venue, which shows no such order, may be of.

    They are in the same market and direction, large enough and sent before: those of unknown outcome or, where there is none of
    these, those that are taken for absent.
    """
    first = min(fill.traded_at for fill in fills)
    executed = total(fill.quantity for fill in fills)
    possible = [
        order
        for order in read_orders(connection, account=account, market=fills[0].market, statuses=[*UNSETTLED, OrderStatus.ABSENT])
        if order.side is fills[0].side
        and order.quantity >= executed
        and -LOOK_BACK_MS <= first - (order.submitted_at or order.created_at) <= REMEMBERED_MS
    ]
    return [order for order in possible if order.status in UNSETTLED] or possible


def report_of(fills: Sequence[VenueFill], quantity: Decimal | None = None) -> OrderReport:
    """Return what an order that the venue does not show must be, by what it executed, of a quantity if that is known."""
    first = fills[0]
    executed = total(fill.quantity for fill in fills)
    whole = quantity is None or executed >= quantity
    return OrderReport(
        market=first.market,
        exchange_order_id=first.exchange_order_id,
        client_order_id="",
        side=first.side,
        type=OrderType.MARKET,
        quantity=executed if quantity is None else quantity,
        price=None,
        stop_price=None,
        status=OrderStatus.FILLED if whole else OrderStatus.PARTIALLY_FILLED,
        executed_quantity=executed,
        executed_sum=None,
        created_at=None,
    )


async def _other_way(session: TradingSession, order: Order, since_ms: int) -> tuple[OrderReport | None, list[VenueFill]]:
    """Look for an order among all open ones, then behind the account's trades since it was sent; return it and its fills."""
    own = session.venue.own_id(order.client_order_id)
    for report in await session.venue.open_orders([order.market]):
        if own == report.client_order_id or report.exchange_order_id == order.exchange_order_id:
            return report, await _fills_of(session, report)
    trades: dict[str, list[VenueFill]] = {}
    for fill in await session.venue.my_trades([order.market], {}, since_ms=since_ms):
        if fill.side is order.side:
            trades.setdefault(fill.exchange_order_id, []).append(fill)
    for name, fills in trades.items():
        known = await session.transact(
            lambda connection, name=name: find_order(
                connection, account=order.account, market=order.market, exchange_order_id=name
            )
        )
        if known is not None and known.id != order.id:
            continue
        report = await session.venue.order(order.market, order.client_order_id, name, since_ms=since_ms)
        if report is None:
            possible = await session.transact(lambda connection, fills=fills: claimants(connection, order.account, fills))
            if known is not None or [each.id for each in possible] == [order.id]:
                return report_of(fills, order.quantity), fills
        elif own == report.client_order_id:
            return report, await _fills_of(session, report)
    return None, []


async def _fills_of(session: TradingSession, report: OrderReport) -> list[VenueFill]:
    return await session.venue.order_fills(report.market, report.exchange_order_id) if report.executed_quantity else []


def _ripe(session: TradingSession, connection: sa.Connection, order: Order) -> Order:
    """Return the order as it stands now, UNKNOWN once the call that sent it must be over."""
    current = read_order(connection, order.id)
    at = session.clock()
    over = current.epoch != session.fence.epoch or at - (current.submitted_at or at) > CALL_MS
    if current.status is OrderStatus.SUBMITTING and over:
        fences.check(connection, session.fence)
        return mark_unknown(connection, current, "the process that sent it did not live to see the answer", at_ms=at)
    return current


def _write(
    session: TradingSession, connection: sa.Connection, order_id: int, report: OrderReport | None, fills: list[VenueFill]
) -> Order:
    # Others write orders too: what is concluded is concluded from the order as it stands under the account's lock.
    current = lock_orders(connection, [order_id])[order_id]
    at = session.clock()
    if report is not None:
        current = settle_report(connection, current, report, fills, at_ms=at)
    elif current.active:
        venue = session.venue
        current = note_not_found(connection, current, venue.validity_ms, at_ms=at, certain=venue.features.certain)
    crashpoint("look.uncommitted")
    return current
