"""Pull what happened at the venue into the ledger: trades, our orders and others'. Nothing here sends or cancels anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.lookup import REMEMBERED_MS, claimants, look_at, report_of
from fks_assets.desk.session import TradingSession
from fks_assets.desk.settling import ENDED, UNSETTLED, book_fills, books_began, settle_report
from fks_assets.exchanges.orders.venue import OrderReport, TradeMark, VenueFill
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money_text
from fks_assets.quant.orders import Leg, OrderStatus
from fks_assets.stores.ledger.orders import ExternalOrder, Order, adopt_order, find_order, read_orders, transition
from fks_assets.stores.notifications import notify


@dataclass(slots=True)
class Pulled:
    """What was pulled: `trades` counts new ones, `external` and `unknown` are ids of orders, `marks` how far trades are known."""

    trades: int = 0
    external: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    marks: dict[Market, TradeMark] = field(default_factory=dict)


async def pull(session: TradingSession, before: Mapping[Market, TradeMark]) -> Pulled:
    """Bring trades after the marks, and all orders, of the session's markets into the ledger. Raises ExchangeError."""
    asked_at, pulled = session.clock(), Pulled()
    since = await session.transact(lambda connection: books_began(connection, session.account)) or asked_at
    told = await session.venue.my_trades(list(session.rules), before, since_ms=since)
    fills = [fill for fill in told if fill.traded_at >= since]
    undecided = await _bring_trades(session, fills, pulled)
    for market in session.rules:
        ids = [fill.trade_id for fill in fills if fill.market == market] or [before[market].trade_id if market in before else ""]
        if market not in undecided:
            pulled.marks[market] = TradeMark(ids[-1], asked_at)
        elif market in before:
            pulled.marks[market] = before[market]
    crashpoint("reconcile.trades")
    open_reports = await session.venue.open_orders(list(session.rules))
    await _bring_reports(session, open_reports, pulled)
    crashpoint("reconcile.orders")
    there = {(report.market, report.exchange_order_id) for report in open_reports}
    active = await session.transact(lambda connection: read_orders(connection, account=session.account, active=True))
    for order in active:
        if (order.market, order.exchange_order_id) not in there:
            order = await look_at(session, order)
        if order.status is OrderStatus.UNKNOWN:
            pulled.unknown.append(order.id)
    crashpoint("reconcile.looked")
    return pulled


async def _bring_reports(session: TradingSession, reports: Sequence[OrderReport], pulled: Pulled) -> None:
    for report, order in await session.transact(lambda connection: _settle_reports(session, connection, reports)):
        if order is None:
            await _adopt(session, report, [], pulled)
            continue
        fills = await session.venue.order_fills(order.market, report.exchange_order_id)
        await session.transact(
            lambda connection, order=order, report=report, fills=fills: settle_report(
                connection, order, report, fills, at_ms=session.clock()
            )
        )


def _settle_reports(
    session: TradingSession, connection: sa.Connection, reports: Sequence[OrderReport]
) -> list[tuple[OrderReport, Order | None]]:
    """Write down what needs no further question; return the reports whose fills are missing, or whose order is not ours."""
    active = read_orders(connection, account=session.account, active=True)
    known = {(order.market, order.exchange_order_id): order for order in active if order.exchange_order_id}
    left: list[tuple[OrderReport, Order | None]] = []
    for report in reports:
        order = known.get((report.market, report.exchange_order_id)) or _identified(session, connection, report)
        if order is None or (order.active and report.executed_quantity > order.executed_quantity):
            left.append((report, order))
        elif order.active:
            settle_report(connection, order, report, [], at_ms=session.clock())
    return left


async def _bring_trades(session: TradingSession, fills: Sequence[VenueFill], pulled: Pulled) -> set[Market]:
    """Book executions by the orders they belong to; orders that nobody here knows are looked up and adopted.

    Return the markets with executions that may be of several orders of unknown outcome: they are looked at again next time.
    """
    undecided: set[Market] = set()
    by_order: dict[tuple[Market, str], list[VenueFill]] = {}
    for fill in fills:
        by_order.setdefault((fill.market, fill.exchange_order_id), []).append(fill)
    for (market, name), own in by_order.items():
        order = await session.transact(
            lambda connection, market=market, name=name: find_order(
                connection, account=session.account, market=market, exchange_order_id=name
            )
        )
        if order is None:
            report = await session.venue.order(market, "", name, since_ms=own[0].traded_at)
            possible = await session.transact(
                lambda connection, report=report, own=own: _owners(session, connection, report, own)
            )
            if len(possible) > 1 and possible[0].status in UNSETTLED:
                undecided.add(market)
                continue
            if len(possible) != 1:
                await _adopt(session, report or report_of(own), own, pulled)
                continue
            order = possible[0]
            told = report or report_of(own, order.quantity)
            await session.transact(
                lambda connection, order=order, told=told: settle_report(connection, order, told, [], at_ms=session.clock())
            )
        pulled.trades += await session.transact(lambda connection, order=order, own=own: _book(session, connection, order, own))
    return undecided


def _book(session: TradingSession, connection: sa.Connection, order: Order, fills: Sequence[VenueFill]) -> int:
    booked = book_fills(connection, order, fills, at_ms=session.clock())
    crashpoint("reconcile.trades.uncommitted")
    if booked and order.status in (OrderStatus.ABSENT, OrderStatus.REJECTED):
        message = f"Order {order.client_order_id} in {order.market} was taken for {order.status} and has executed after all."
        notify(connection, "order_back", "HIGH", message, f"order_back:{order.client_order_id}")
    return len(booked)


async def _adopt(session: TradingSession, report: OrderReport, fills: Sequence[VenueFill], pulled: Pulled) -> None:
    """Write down an order that is not ours, with what it has executed."""
    if report.executed_quantity and not fills:
        fills = await session.venue.order_fills(report.market, report.exchange_order_id)

    def adopt(connection: sa.Connection) -> Order:
        at = session.clock()
        external = ExternalOrder(
            market=report.market,
            exchange_order_id=report.exchange_order_id,
            side=report.side,
            type=report.type,
            quantity=report.quantity,
            at_ms=at,
            price=report.price,
            stop_price=report.stop_price,
            detail={"client_order_id": report.client_order_id, "status": report.status.value},
        )
        order, is_new = adopt_order(connection, session.account, external)
        pulled.trades += len(book_fills(connection, order, fills, at_ms=at))
        if report.status in ENDED:
            transition(connection, order.id, report.status, at_ms=at)
        if is_new:
            what = f"{report.side} {money_text(report.quantity)} {report.market}"
            message = f"An order that is not ours is in account {session.account}: {what}, {report.exchange_order_id}."
            notify(connection, "external_order", "WARN", message, f"external_order:{session.account}:{report.exchange_order_id}")
        crashpoint("reconcile.adopt.uncommitted")
        return order

    order = await session.transact(adopt)
    pulled.external.append(order.id)


def _identified(session: TradingSession, connection: sa.Connection, report: OrderReport) -> Order | None:
    """Return the order that a report is about, known by the venue's id or by ours, None when it is not ours."""
    found = find_order(connection, account=session.account, market=report.market, exchange_order_id=report.exchange_order_id)
    if found is not None or not report.client_order_id:
        return found
    recent = read_orders(connection, account=session.account, market=report.market, since_ms=session.clock() - REMEMBERED_MS)
    candidates = [order for order in recent if order.exchange_order_id is None and order.leg is not Leg.EXTERNAL]
    return next((order for order in candidates if session.venue.own_id(order.client_order_id) == report.client_order_id), None)


def _owners(
    session: TradingSession, connection: sa.Connection, report: OrderReport | None, fills: Sequence[VenueFill]
) -> list[Order]:
    """Return our orders that may be behind executions: by what the venue says, or where it says nothing, by the executions."""
    if report is None:
        return claimants(connection, session.account, fills)
    found = _identified(session, connection, report)
    return [] if found is None else [found]
