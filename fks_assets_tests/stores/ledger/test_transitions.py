"""Every change of an order's status: what the table allows happens, everything else is refused, by us and by the database."""

from decimal import Decimal
from itertools import product

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from fks_assets.errors import IllegalTransition, InvalidInput
from fks_assets.quant.orders import FILL_TRANSITIONS, TRANSITIONS, Leg, OrderStatus
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fills, orders
from fks_assets.stores.ledger.fences import Fence
from fks_assets.stores.ledger.orders import Order
from fks_assets_tests.stores.ledger.books import NOON, WIDE, forgotten, hold_now, intent, open_account, open_deal, trade

WAYS: dict[OrderStatus, tuple[OrderStatus | str, ...]] = {
    OrderStatus.INTENT: (),
    OrderStatus.SUBMITTING: (OrderStatus.SUBMITTING,),
    OrderStatus.UNKNOWN: (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN),
    OrderStatus.OPEN: (OrderStatus.SUBMITTING, OrderStatus.OPEN),
    OrderStatus.PARTIALLY_FILLED: (OrderStatus.SUBMITTING, "half"),
    OrderStatus.FILLED: (OrderStatus.SUBMITTING, "half", "rest"),
    OrderStatus.CANCELED: (OrderStatus.SUBMITTING, OrderStatus.OPEN, OrderStatus.CANCELED),
    OrderStatus.REJECTED: (OrderStatus.SUBMITTING, OrderStatus.REJECTED),
    OrderStatus.EXPIRED: (OrderStatus.SUBMITTING, OrderStatus.EXPIRED),
    OrderStatus.DENIED: (OrderStatus.DENIED,),
    OrderStatus.ABSENT: (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN, OrderStatus.ABSENT),
}

SET_STATUS = sa.text("""
    UPDATE orders SET status = :to, active = :active, submitted_at = coalesce(submitted_at, now()) WHERE id = :id
""")


def order_at(connection: sa.Connection, fence: Fence, status: OrderStatus, number: int) -> Order:
    order = orders.write_intent(connection, intent(open_deal(connection, number=number)), fence=fence, limits=WIDE)
    for step in WAYS[status]:
        if isinstance(step, OrderStatus):
            orders.transition(connection, order.id, step, at_ms=NOON, fence=fence if step is OrderStatus.SUBMITTING else None)
        else:
            fills.record_fills(connection, "main", [trade(order, f"{number} {step}", "0.5")], at_ms=NOON)
    reached = orders.read_order(connection, order.id)
    assert reached.status is status
    return reached


def test_every_pair_of_statuses_is_legal_exactly_where_the_table_says(database: Database) -> None:
    """All 121 pairs, by the module and by raw SQL; the database's own table is the same."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        by_us, by_database = set(), set()
        for before in OrderStatus:
            example = connection.begin_nested()
            order = order_at(connection, fence, before, 0)
            for after in OrderStatus:
                attempt = connection.begin_nested()
                try:
                    changed = orders.transition(
                        connection, order.id, after, at_ms=NOON, fence=fence if after is OrderStatus.SUBMITTING else None
                    )
                    assert changed.status is after
                    by_us.add((before, after))
                except IllegalTransition as refused:
                    assert f"order {order.id} is {before}" in str(refused)
                attempt.rollback()
                attempt = connection.begin_nested()
                try:
                    connection.execute(SET_STATUS, {"to": after.value, "active": after.is_active, "id": order.id})
                    by_database.add((before, after))
                except IntegrityError:
                    pass
                attempt.rollback()
            example.rollback()
    table = {(before, after) for before, afters in TRANSITIONS.items() for after in afters}
    same = {(status, status) for status in OrderStatus}
    assert by_us == (table | same) - {(OrderStatus.SUBMITTING, OrderStatus.SUBMITTING)}
    assert by_database == (table | same) - {(OrderStatus.INTENT, OrderStatus.INTENT)}  # An intent has no time of sending.


def test_a_fill_moves_an_order_exactly_where_the_table_says(database: Database) -> None:
    """O3: a fill is a fact after a cancel, an expiry, even after a proof of absence; what was never sent cannot fill."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        found: dict[OrderStatus, set[OrderStatus]] = {}
        for before, quantity in product(OrderStatus, ("0.25", "0.5", "1")):
            number = list(OrderStatus).index(before)
            attempt = connection.begin_nested()
            order = order_at(connection, fence, before, number)
            if order.executed_quantity + Decimal(quantity) > 1:
                attempt.rollback()
                continue
            try:
                fills.record_fills(connection, "main", [trade(order, "late", quantity)], at_ms=NOON)
                hold_now(connection)
                found.setdefault(before, set()).add(orders.read_order(connection, order.id).status)
            except InvalidInput as refused:
                assert "it cannot have been filled" in str(refused)
            attempt.rollback()
    assert found == FILL_TRANSITIONS


def test_submitting_needs_the_fence_and_is_given_once(database: Database) -> None:
    """O1, P3: whoever commits SUBMITTING sends; a second process that found the same intent is refused."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = orders.write_intent(connection, intent(open_deal(connection)), fence=fence, limits=WIDE)
        with pytest.raises(InvalidInput, match="needs the fence"):
            orders.transition(connection, order.id, OrderStatus.SUBMITTING, at_ms=NOON)
        orders.transition(connection, order.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=fence)
        with pytest.raises(IllegalTransition, match="is SUBMITTING, which does not become SUBMITTING"):
            orders.transition(connection, order.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=fence)


def test_the_id_of_the_exchange_is_written_once(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = order_at(connection, fence, OrderStatus.SUBMITTING, 0)
        orders.transition(connection, order.id, OrderStatus.OPEN, at_ms=NOON)
        known = orders.transition(connection, order.id, OrderStatus.OPEN, at_ms=NOON + 5, exchange_order_id="77", list_id="9")
        assert (known.exchange_order_id, known.list_id, known.updated_at) == ("77", "9", NOON + 5)
        assert orders.transition(connection, order.id, OrderStatus.OPEN, at_ms=NOON + 9, exchange_order_id="77") == known
        with pytest.raises(InvalidInput, match="is 77 at binance, not 78"):
            orders.transition(connection, order.id, OrderStatus.CANCELED, at_ms=NOON, exchange_order_id="78")
        assert orders.find_order(connection, account="main", market=order.market, exchange_order_id="77") == known
        assert orders.find_order(connection, client_order_id=order.client_order_id) == known
        assert orders.find_order(connection, client_order_id="A" * 32) is None


def test_the_history_of_an_order_is_complete(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = order_at(connection, fence, OrderStatus.UNKNOWN, 0)
        orders.transition(connection, order.id, OrderStatus.OPEN, at_ms=NOON + 1, detail={"found": "by its client id"})
        fills.record_fills(connection, "main", [trade(order, "7", "0.4")], at_ms=NOON + 2)
        orders.transition(connection, order.id, OrderStatus.CANCELED, at_ms=NOON + 3)
        events = orders.order_events(connection, order.id)
    assert [(event.from_status, event.to_status) for event in events] == [
        (None, "INTENT"),
        ("INTENT", "SUBMITTING"),
        ("SUBMITTING", "UNKNOWN"),
        ("UNKNOWN", "OPEN"),
        ("OPEN", "PARTIALLY_FILLED"),
        ("PARTIALLY_FILLED", "CANCELED"),
    ]
    assert [event.detail for event in events[3:5]] == [{"found": "by its client id"}, {"trades": ["7"], "executed": "0.4"}]
    assert [event.at for event in events[-3:]] == [NOON + 1, NOON + 2, NOON + 3]


def test_an_unknown_order_is_named(database: Database) -> None:
    with forgotten(database) as connection, pytest.raises(InvalidInput, match="order 123456 is unknown"):
        orders.transition(connection, 123456, OrderStatus.OPEN, at_ms=NOON)


def test_a_leg_that_reduces_is_written_with_its_leg(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = order_at(connection, fence, OrderStatus.FILLED, 0)
        deal = open_deal(connection)
        stop = orders.write_intent(connection, intent(deal, "1", Leg.STOP), fence=fence, limits=WIDE)
        assert (stop.leg, stop.side, stop.deal_id) == (Leg.STOP, "SELL", order.deal_id)
