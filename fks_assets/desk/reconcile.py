"""Compare an account with its venue: at the start, before anything is sent, and every minute.

Trades are pulled from where the last complete pull ended, so none that happened while nobody listened is lost. Orders that are
not ours are written down as external and never touched. What the venue holds and the ledger does not explain, by more than a
lot, stops new risk in the account and tells a person. A question that fails proves nothing: the comparison is then not passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.lookup import claimant, look_at, report_of
from fks_assets.desk.session import TradingSession
from fks_assets.desk.settling import ENDED, book_fills, books_began, settle_report
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.orders.venue import OrderReport, TradeMark, VenueBalance, VenueFill
from fks_assets.quant.markets import Market
from fks_assets.quant.money import SMALLEST, ZERO, money_text, total
from fks_assets.quant.orders import Leg, OrderStatus
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.halts import HaltScope, halt, halted
from fks_assets.stores.ledger.journal import deposit, wallets
from fks_assets.stores.ledger.orders import ExternalOrder, Order, adopt_order, find_order, read_orders, transition
from fks_assets.stores.ledger.reconciliations import newest_reconciliations, record_reconciliation
from fks_assets.stores.notifications import notify

BY = "reconciliation"
# A fill between two questions looks like a difference once; one that is there three times is one.
LOOKS = 3
# So far back is an order of ours looked for whose id the venue knows and we do not.
REMEMBERED_MS = 7 * 86_400_000


@dataclass(slots=True)
class Reconciled:
    """A comparison. `passed`: every question was answered and the ledger brought up to date. `drift`: venue less ledger."""

    passed: bool
    fault: str = ""
    trades: int = 0
    external: list[int] = field(default_factory=list)
    drift: dict[str, Decimal] = field(default_factory=dict)
    unknown: list[int] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether there is nothing that a person has to look at."""
        return self.passed and not self.drift and not self.unknown


async def reconcile(session: TradingSession) -> Reconciled:
    """Compare the session's account with its venue, bring the ledger up to date, record the comparison and return it."""
    crashpoint("reconcile.begin")
    await session.transact(lambda connection: _recover(session, connection))
    crashpoint("reconcile.recovered")
    result = Reconciled(passed=True)
    marks: dict[str, TradeMark] = {}
    try:
        for look in range(LOOKS):
            marks = await _pull(session, result)
            held = await session.venue.balances()
            crashpoint("reconcile.pulled")
            if look == 0:
                await session.transact(lambda connection, held=held: _open_books(session, connection, held))
            result.drift = await session.transact(lambda connection, held=held: _drift(session, connection, held))
            if not result.drift:
                break
    except ExchangeError as error:
        result.passed, result.fault, result.drift = False, str(error), {}
    crashpoint("reconcile.compared")
    await session.transact(lambda connection: _record(session, connection, result, marks))
    crashpoint("reconcile.recorded")
    return result


def _recover(session: TradingSession, connection: sa.Connection) -> None:
    """End the intents that an earlier holder of the fence wrote and never sent: what they were decided on is old."""
    fences.check(connection, session.fence)
    for order in read_orders(connection, account=session.account, statuses=[OrderStatus.INTENT]):
        if order.epoch != session.fence.epoch:
            words = {"words": "written by a process that ended before it was sent"}
            transition(connection, order.id, OrderStatus.DENIED, at_ms=session.clock(), detail=words)
    crashpoint("reconcile.recovered.uncommitted")


async def _pull(session: TradingSession, result: Reconciled) -> dict[str, TradeMark]:
    """Bring trades and orders of all markets into the ledger; return how far the trades have been pulled."""
    asked_at = session.clock()
    since, before = await session.transact(lambda connection: _marks(session, connection))
    told = await session.venue.my_trades(list(session.rules), before, since_ms=since) if session.venue.features.trades else []
    fills = [fill for fill in told if fill.traded_at >= since]
    result.trades += await _bring_trades(session, fills, result)
    marks = {}
    for market in session.rules:
        ids = [fill.trade_id for fill in fills if fill.market == market] or [before[market].trade_id if market in before else ""]
        marks[market.key] = TradeMark(ids[-1], asked_at)
    crashpoint("reconcile.trades")
    open_reports = await session.venue.open_orders(list(session.rules))
    for report in open_reports:
        order = await session.transact(lambda connection, report=report: _identified(session, connection, report))
        if order is None:
            await _adopt(session, report, [], result)
        elif order.active:
            fills = await _missing_fills(session, order, report)
            await session.transact(
                lambda connection, order=order, report=report, fills=fills: settle_report(
                    connection, order, report, fills, at_ms=session.clock()
                )
            )
    crashpoint("reconcile.orders")
    there = {(report.market, report.exchange_order_id) for report in open_reports}
    active = await session.transact(lambda connection: read_orders(connection, account=session.account, active=True))
    result.unknown = []
    for order in active:
        if (order.market, order.exchange_order_id) not in there:
            order = await look_at(session, order)
            if order.status is OrderStatus.UNKNOWN:
                result.unknown.append(order.id)
    crashpoint("reconcile.looked")
    return marks


async def _bring_trades(session: TradingSession, fills: Sequence[VenueFill], result: Reconciled) -> int:
    """Book executions by the orders they belong to; orders that nobody here knows are looked up and adopted."""
    new = 0
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
            order = await session.transact(lambda connection, report=report, own=own: _owner(session, connection, report, own))
            if order is None:
                await _adopt(session, report or report_of(own), own, result)
                new += len(own)
                continue
            told = report or report_of(own, order.quantity)
            await session.transact(
                lambda connection, order=order, told=told: settle_report(connection, order, told, [], at_ms=session.clock())
            )
        new += await session.transact(lambda connection, order=order, own=own: _book(session, connection, order, own))
    return new


def _book(session: TradingSession, connection: sa.Connection, order: Order, fills: Sequence[VenueFill]) -> int:
    booked = book_fills(connection, order, fills, at_ms=session.clock())
    crashpoint("reconcile.trades.uncommitted")
    if booked and order.status in (OrderStatus.ABSENT, OrderStatus.REJECTED):
        message = f"Order {order.client_order_id} in {order.market} was taken for {order.status} and has executed after all."
        notify(connection, "order_back", "HIGH", message, f"order_back:{order.client_order_id}")
    return len(booked)


async def _missing_fills(session: TradingSession, order: Order, report: OrderReport) -> list[VenueFill]:
    if report.executed_quantity <= order.executed_quantity:
        return []
    return await session.venue.order_fills(order.market, report.exchange_order_id)


async def _adopt(session: TradingSession, report: OrderReport, fills: Sequence[VenueFill], result: Reconciled) -> None:
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
        book_fills(connection, order, fills, at_ms=at)
        if report.status in ENDED:
            transition(connection, order.id, report.status, at_ms=at)
        if is_new:
            what = f"{report.side} {money_text(report.quantity)} {report.market}"
            message = f"An order that is not ours is in account {session.account}: {what}, {report.exchange_order_id}."
            notify(connection, "external_order", "WARN", message, f"external_order:{session.account}:{report.exchange_order_id}")
        crashpoint("reconcile.adopt.uncommitted")
        return order

    order = await session.transact(adopt)
    if order.id not in result.external:
        result.external.append(order.id)


def _identified(session: TradingSession, connection: sa.Connection, report: OrderReport) -> Order | None:
    """Return the order that a report is about, known by the venue's id or by ours, None when it is not ours."""
    found = find_order(connection, account=session.account, market=report.market, exchange_order_id=report.exchange_order_id)
    if found is not None or not report.client_order_id:
        return found
    recent = read_orders(connection, account=session.account, market=report.market, since_ms=session.clock() - REMEMBERED_MS)
    candidates = [order for order in recent if order.exchange_order_id is None and order.leg is not Leg.EXTERNAL]
    return next((order for order in candidates if session.venue.own_id(order.client_order_id) == report.client_order_id), None)


def _owner(
    session: TradingSession, connection: sa.Connection, report: OrderReport | None, fills: Sequence[VenueFill]
) -> Order | None:
    """Return our order behind executions: by what the venue says about it, or, where it says nothing, by the executions alone."""
    return claimant(connection, session.account, fills) if report is None else _identified(session, connection, report)


def _open_books(session: TradingSession, connection: sa.Connection, held: Mapping[str, VenueBalance]) -> None:
    """Book what the account holds when the ledger has nothing of it at all: its opening balance."""
    if wallets(connection, session.account) or books_began(connection, session.account) is not None:
        return
    for currency, balance in sorted(held.items()):
        if balance.total > 0:
            reference = f"opening balance {currency}"
            deposit(connection, session.account, currency, balance.total, reference, at_ms=session.clock(), by=BY)


def _drift(session: TradingSession, connection: sa.Connection, held: Mapping[str, VenueBalance]) -> dict[str, Decimal]:
    """Return what the venue has more (above 0) or less than the ledger, by currency, where that is more than a lot."""
    booked = wallets(connection, session.account)
    found: dict[str, Decimal] = {}
    for currency in sorted({*booked, *(coin for market in session.rules for coin in (market.base, market.quote))}):
        there = held[currency].total if currency in held else ZERO
        difference = total((there, booked.get(currency, ZERO).copy_negate()))
        if abs(difference) > _tolerance(session, currency):
            found[currency] = difference
    return found


def _tolerance(session: TradingSession, currency: str) -> Decimal:
    """Return the largest lot of the coin; of one that only pays, the largest tick."""
    lots = [rules.lot_size for market, rules in session.rules.items() if market.base == currency and rules.lot_size]
    ticks = [rules.tick_size for market, rules in session.rules.items() if market.quote == currency and rules.tick_size]
    return max(lots or ticks or [SMALLEST])


def _record(session: TradingSession, connection: sa.Connection, result: Reconciled, marks: Mapping[str, TradeMark]) -> None:
    fences.check(connection, session.fence)
    at = session.clock()
    detail: dict[str, Any] = {
        "epoch": session.fence.epoch,
        "passed": result.passed,
        "fault": result.fault,
        "trades": result.trades,
        "external": result.external,
        "unknown": result.unknown,
        "drift": result.drift,
    }
    if result.passed:
        detail["marks"] = {market: [mark.trade_id, mark.pulled_at] for market, mark in marks.items()}
    else:
        # The next comparison goes on from where the last complete one ended.
        detail["marks"] = _stored_marks(session, connection)
    record_reconciliation(connection, session.account, ok=result.ok, detail=detail, at_ms=at)
    if result.drift:
        _pause(session, connection, result.drift, at)
    crashpoint("reconcile.record.uncommitted")


def _pause(session: TradingSession, connection: sa.Connection, drift: Mapping[str, Decimal], at_ms: int) -> None:
    """Stop new risk in the account and tell a person, once for each halt."""
    words = ", ".join(f"{money_text(amount)} {currency}" for currency, amount in drift.items())
    reason = f"the exchange differs from the ledger by {words}"
    if halted(connection, HaltScope.ACCOUNT, session.account, at_ms=at_ms) is None:
        stop = halt(connection, HaltScope.ACCOUNT, session.account, reason=reason, by=BY, at_ms=at_ms)
        message = f"Account {session.account} takes no new risk: {reason}. Book what moved (fks cash), then resume."
        notify(connection, "drift", "HIGH", message, f"drift:{session.account}:{stop.id}")


def _marks(session: TradingSession, connection: sa.Connection) -> tuple[int, dict[Market, TradeMark]]:
    """Return since when the account has books (UTC ms), and how far the last complete pull went in each market."""
    began = books_began(connection, session.account)
    stored = _stored_marks(session, connection)
    marks = {market: TradeMark(*stored[market.key]) for market in session.rules if market.key in stored}
    return session.clock() if began is None else began, marks


def _stored_marks(session: TradingSession, connection: sa.Connection) -> dict[str, list[Any]]:
    found = next(iter(newest_reconciliations(connection, session.account)), None)
    return {} if found is None else found.detail.get("marks", {})
