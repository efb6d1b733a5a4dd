"""Bring what a venue says into the ledger: outcomes of what was sent, reports of orders, fills, and the proof that there is none.

The functions here that take a connection work in the caller's transaction.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.exchanges.orders.venue import Accepted, Denied, OrderReport, Outcome, Rejected, VenueFill, VenueOrder
from fks_assets.quant.money import money_text
from fks_assets.quant.orders import Leg, OrderStatus
from fks_assets.stores.ledger.fills import Fill, NewFill, record_fills
from fks_assets.stores.ledger.journal import cash_flows
from fks_assets.stores.ledger.order_rows import add_event, lock_orders, order_events
from fks_assets.stores.ledger.orders import Order, read_order, transition
from fks_assets.stores.notifications import notify

ENDED = frozenset({OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED})
UNSETTLED = frozenset({OrderStatus.SUBMITTING, OrderStatus.UNKNOWN})
# A call is over by then, whatever the exchange did: its deadline is 15 s.
CALL_MS = 20_000
NOT_FOUND_TIMES = 3
NOT_FOUND_MS = 60_000
_NOT_FOUND = "not_found"
# Of what is noted about an order without a word from the venue that it is there.
_NO_SIGHT = frozenset({"cancel", "gone"})


def venue_order(order: Order) -> VenueOrder:
    """Return the order as it goes out."""
    return VenueOrder(order.market, order.client_order_id, order.side, order.type, order.quantity, order.price, order.stop_price)


def settle_outcome(connection: sa.Connection, order: Order, outcome: Outcome, *, at_ms: int, list_id: str = "") -> Order:
    """Write what became of an order that was sent, with the fills that the answer told, and return it.

    A comparison may have found the order at the venue meanwhile: what is known then stands, whatever became of the answer.
    """
    current = lock_orders(connection, [order.id])[order.id]
    if isinstance(outcome, Accepted):
        known = OrderStatus.OPEN if current.status in UNSETTLED else current.status
        named = {"exchange_order_id": outcome.exchange_order_id, "list_id": list_id or None}
        transition(connection, order.id, known, at_ms=at_ms, **named)
        book_fills(connection, order, outcome.fills, at_ms=at_ms)
        # What has ended is asked for once more: only then is it known that all its fills were told.
        return read_order(connection, order.id)
    if current.status is not OrderStatus.SUBMITTING:
        return current
    if isinstance(outcome, Rejected):
        detail = {"code": outcome.code, "words": outcome.words}
        return transition(connection, order.id, OrderStatus.REJECTED, at_ms=at_ms, detail=detail)
    if isinstance(outcome, Denied):
        return transition(connection, order.id, OrderStatus.DENIED, at_ms=at_ms, detail={"words": outcome.words})
    return mark_unknown(connection, current, outcome.words, at_ms=at_ms)


def mark_unknown(connection: sa.Connection, order: Order, words: str, *, at_ms: int) -> Order:
    """Note that nobody knows what became of an order, tell a person, and return it: its market is frozen for entries."""
    what = f"{order.side} {money_text(order.quantity)} {order.market} in account {order.account}"
    message = f"What became of order {order.client_order_id} ({what}) is unknown: {words}. It is looked for, never sent again."
    notify(connection, "order_unknown", "WARN", message, f"order_unknown:{order.client_order_id}")
    return transition(connection, order.id, OrderStatus.UNKNOWN, at_ms=at_ms, detail={"words": words})


def settle_report(
    connection: sa.Connection, order: Order, report: OrderReport, fills: Sequence[VenueFill], *, at_ms: int
) -> Order:
    """Write what the venue says about an order, and return it.

    An order of ours ends here only once all the fills that its report speaks of are booked: what it lacks comes with the next
    look. Others' orders may have executed before the account's books began.
    """
    if (report.market, report.side) != (order.market, order.side):
        raise InvalidInput(f"order {order.id} is {order.side} {order.market}, the venue speaks of {report.side} {report.market}")
    if _times_not_found(connection, order):
        add_event(connection, order.id, order.status, order.status, at_ms, {"seen": True})
    if order.status in UNSETTLED:
        transition(connection, order.id, OrderStatus.OPEN, at_ms=at_ms, exchange_order_id=report.exchange_order_id)
        message = f"Order {order.client_order_id} was found at the exchange as {report.exchange_order_id}."
        notify(connection, "order_found", "INFO", message, f"order_found:{order.client_order_id}")
    elif order.exchange_order_id is None:
        transition(connection, order.id, order.status, at_ms=at_ms, exchange_order_id=report.exchange_order_id)
    elif not fills and report.status not in ENDED:
        return order
    book_fills(connection, order, fills, at_ms=at_ms)
    current = read_order(connection, order.id)
    complete = current.executed_quantity >= report.executed_quantity or order.leg is Leg.EXTERNAL
    if report.status in ENDED and current.active and complete:
        return transition(connection, order.id, report.status, at_ms=at_ms)
    return current


def book_fills(connection: sa.Connection, order: Order, fills: Iterable[VenueFill], *, at_ms: int) -> list[Fill]:
    """Book the fills of an order and return the new ones; those that are known change nothing.

    What another's order executed before the account's books began is part of the opening balance.
    """
    if order.leg is Leg.EXTERNAL:
        began = books_began(connection, order.account)
        fills = [fill for fill in fills if began is not None and fill.traded_at >= began]
    return record_fills(
        connection,
        order.account,
        [
            NewFill(
                order.id, fill.trade_id, fill.price, fill.quantity, fill.fee, fill.fee_currency, fill.traded_at, fill.is_maker
            )
            for fill in fills
        ],
        at_ms=at_ms,
    )


def books_began(connection: sa.Connection, account: str) -> int | None:
    """Return when the first money of an account was booked (UTC ms), None while there is none."""
    flows = cash_flows(connection, account)
    return flows[0].at if flows else None


def note_not_found(connection: sa.Connection, order: Order, validity_ms: int, *, at_ms: int, certain: bool = False) -> Order:
    """Note that both ways of asking know nothing of an order; end it once that is proven, and return it.

    The proof is the answer given three times, over at least a minute, all of it after the order could still have been accepted;
    of a venue that is `certain` one answer is enough.
    An order that was lost on its way is ABSENT then, one that the venue had and has no more is CANCELED.
    """
    if not certain and at_ms < (order.submitted_at or order.created_at) + validity_ms + CALL_MS:
        return order
    times = [*_times_not_found(connection, order), at_ms]
    add_event(connection, order.id, order.status, order.status, at_ms, {_NOT_FOUND: len(times)})
    if not certain and (len(times) < NOT_FOUND_TIMES or at_ms - times[0] < NOT_FOUND_MS):
        return order
    lost = order.status is OrderStatus.UNKNOWN
    word = "never reached the exchange" if lost else "is gone from the exchange, which knows nothing of it"
    message = f"Order {order.client_order_id} in {order.market} {word}: asked {len(times)} times in two ways."
    notify(connection, "order_absent", "WARN", message, f"order_absent:{order.client_order_id}")
    ended = OrderStatus.ABSENT if lost else OrderStatus.CANCELED
    return transition(connection, order.id, ended, at_ms=at_ms, detail={"words": f"asked {len(times)} times"})


def _times_not_found(connection: sa.Connection, order: Order) -> list[int]:
    """Return when the order was not found since it was last heard of, oldest first; clocks that went back count for nothing.

    A cancel that met nothing is no sight of it, nor is the proof that no coins are missing.
    """
    times: list[int] = []
    for event in reversed(order_events(connection, order.id)):
        if _NOT_FOUND in event.detail:
            times.append(event.at)
        elif not event.detail or event.detail.get("cancel") == "done" or set(event.detail) - _NO_SIGHT:
            break
    times.reverse()
    return times if times == sorted(times) else []
