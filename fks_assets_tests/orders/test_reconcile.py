"""What can happen at the exchange while the desk looks away, and what one comparison makes of it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.lookup import look_at
from fks_assets.desk.settling import book_fills, note_not_found
from fks_assets.exchanges.orders.venue import VenueFill
from fks_assets.quant.orders import Leg, OrderStatus, OrderType, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.halts import HaltScope, halted, resume
from fks_assets.stores.ledger.journal import deposit, wallets
from fks_assets.stores.ledger.order_rows import add_event
from fks_assets.stores.ledger.orders import Order, order_events, read_order
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.ledger.reconciliations import newest_reconciliations
from fks_assets.stores.notifications import read_notifications
from fks_assets_tests.orders.trading_desk import ACCOUNT, TradingDesk, trading_desk

DIALECTS = ["binance", "kraken"]


class Scene:
    """A desk with one resting order of its own, a buy far below the market."""

    def __init__(self, desk: TradingDesk) -> None:
        self.desk = desk
        self.level = (desk.last_price() * Decimal("0.8")).quantize(Decimal(1))
        self.deal = desk.deal(quantity="1")

        async def rest(gateway: OrderGateway) -> Order:
            return await gateway.submit(desk.intent(self.deal, type_=OrderType.LIMIT, price=self.level))

        self.own: Order = desk.run(rest)
        assert self.own.status is OrderStatus.OPEN
        (there,) = desk.simulator.orders()
        self.number: int = there["number"]

    def by_hand(self, side: str = "BUY", quantity: str = "0.5", price: Decimal | None = None, type_: str = "LIMIT") -> int:
        level = None if type_ == "MARKET" else price or self.level
        return self.desk.simulator.place_by_hand(self.desk.key, "BTC-USDT", side, type_, quantity, level)["number"]

    def external(self) -> list[Order]:
        return [order for order in self.desk.orders() if order.leg is Leg.EXTERNAL]

    def stored(self) -> Order:
        return read_order(self.desk.database, self.own.id)


def own_filled(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.fill_by_hand(scene.number, scene.level)
    return OrderStatus.FILLED, "1", [], {}


def own_partly_filled(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.fill_by_hand(scene.number, scene.level, "0.25")
    return OrderStatus.PARTIALLY_FILLED, "0.25", [], {}


def own_filled_in_two_parts(scene: Scene) -> tuple[Any, ...]:
    for part in ("0.25", "0.75"):
        scene.desk.simulator.fill_by_hand(scene.number, scene.level, part)
    return OrderStatus.FILLED, "1", [], {}


def own_cancelled_by_its_owner(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.cancel_by_hand(scene.number)
    return OrderStatus.CANCELED, "0", [], {}


def own_partly_filled_then_cancelled(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.fill_by_hand(scene.number, scene.level, "0.4")
    scene.desk.simulator.cancel_by_hand(scene.number)
    return OrderStatus.CANCELED, "0.4", [], {}


def external_order_rests(scene: Scene) -> tuple[Any, ...]:
    scene.by_hand()
    return OrderStatus.OPEN, "0", [(OrderStatus.OPEN, "0")], {}


def external_order_partly_filled(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.fill_by_hand(scene.by_hand(), scene.level, "0.2")
    return OrderStatus.OPEN, "0", [(OrderStatus.PARTIALLY_FILLED, "0.2")], {}


def external_order_filled(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.fill_by_hand(scene.by_hand(), scene.level)
    return OrderStatus.OPEN, "0", [(OrderStatus.FILLED, "0.5")], {}


def external_order_partly_filled_then_cancelled(scene: Scene) -> tuple[Any, ...]:
    number = scene.by_hand()
    scene.desk.simulator.fill_by_hand(number, scene.level, "0.2")
    scene.desk.simulator.cancel_by_hand(number)
    return OrderStatus.OPEN, "0", [(OrderStatus.CANCELED, "0.2")], {}


def external_order_came_and_went(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.cancel_by_hand(scene.by_hand())
    return OrderStatus.OPEN, "0", [], {}


def external_market_order(scene: Scene) -> tuple[Any, ...]:
    scene.by_hand(side="SELL", type_="MARKET")
    return OrderStatus.OPEN, "0", [(OrderStatus.FILLED, "0.5")], {}


def two_external_orders_of_both_sides(scene: Scene) -> tuple[Any, ...]:
    scene.by_hand()
    scene.by_hand(side="SELL", price=scene.level * 2)
    return OrderStatus.OPEN, "0", [(OrderStatus.OPEN, "0")] * 2, {}


def own_and_external_filled(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.fill_by_hand(scene.number, scene.level, "0.1")
    scene.desk.simulator.fill_by_hand(scene.by_hand(), scene.level)
    return OrderStatus.PARTIALLY_FILLED, "0.1", [(OrderStatus.FILLED, "0.5")], {}


def money_came_in(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.adjust(scene.desk.key, "USDT", 1000)
    return OrderStatus.OPEN, "0", [], {"USDT": "1000"}


def money_went_out(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.adjust(scene.desk.key, "USDT", -1000)
    return OrderStatus.OPEN, "0", [], {"USDT": "-1000"}


def coins_came_in(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.adjust(scene.desk.key, "BTC", "0.5")
    return OrderStatus.OPEN, "0", [], {"BTC": "0.5"}


def coins_went_out_while_an_order_was_filled(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.fill_by_hand(scene.number, scene.level, "0.3")
    scene.desk.simulator.adjust(scene.desk.key, "BTC", "-0.7")
    return OrderStatus.PARTIALLY_FILLED, "0.3", [], {"BTC": "-0.7"}


def less_than_a_lot_is_missing(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.adjust(scene.desk.key, "BTC", "-0.00000999")
    return OrderStatus.OPEN, "0", [], {}


def another_coin_came_in(scene: Scene) -> tuple[Any, ...]:
    scene.desk.simulator.adjust(scene.desk.key, "ETH", "3")
    return OrderStatus.OPEN, "0", [], {}


def nothing(scene: Scene) -> tuple[Any, ...]:
    return OrderStatus.OPEN, "0", [], {}


CHANGES: list[Callable[[Scene], tuple[Any, ...]]] = [
    nothing,
    own_filled,
    own_partly_filled,
    own_filled_in_two_parts,
    own_cancelled_by_its_owner,
    own_partly_filled_then_cancelled,
    external_order_rests,
    external_order_partly_filled,
    external_order_filled,
    external_order_partly_filled_then_cancelled,
    external_order_came_and_went,
    external_market_order,
    two_external_orders_of_both_sides,
    own_and_external_filled,
    money_came_in,
    money_went_out,
    coins_came_in,
    coins_went_out_while_an_order_was_filled,
    less_than_a_lot_is_missing,
    another_coin_came_in,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_comparison_brings_the_ledger_to_where_the_exchange_is(
    database: Database, dialect: str, change: Callable[[Scene], tuple[Any, ...]]
):
    """O7: own orders, others' orders, money and coins; equal after one cycle, to the digit; a second one changes nothing."""
    with trading_desk(database, dialect) as desk:
        scene = Scene(desk)
        status, executed, external, drift = change(scene)
        result = desk.reconcile()
        assert result.passed
        assert (scene.stored().status, scene.stored().executed_quantity) == (status, Decimal(executed))
        positions = read_positions(database, deal_ids=[scene.deal.id])
        assert (positions[0].bought_quantity if positions else Decimal(0)) == Decimal(executed)
        found = [(order.status, order.executed_quantity) for order in scene.external()]
        assert found == [(each, Decimal(quantity)) for each, quantity in external]
        assert {currency: amount.normalize() for currency, amount in result.drift.items()} == {
            currency: Decimal(amount).normalize() for currency, amount in drift.items()
        }
        before = wallets(database, ACCOUNT)
        again = desk.reconcile()
        assert (again.drift, again.trades, wallets(database, ACCOUNT)) == (result.drift, 0, before)
        held = desk.simulator.balances(desk.key)
        for currency in ("USDT", "BTC"):
            there = Decimal(held[currency]["free"]) + Decimal(held[currency]["locked"])
            assert abs(there - result.drift.get(currency, Decimal(0)) - before[currency]) < Decimal("0.00001")
        assert [one["status"] for one in desk.simulator.orders(origin="human")].count("CANCELED") == (
            1 if ("cancelled" in change.__name__ and external) or change is external_order_came_and_went else 0
        )
        desk.check_books()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_drift_stops_new_risk_and_tells_a_person_once(database: Database, dialect: str):
    """O7: halt and message are of one transaction; booked and resumed, the account trades again."""
    with trading_desk(database, dialect) as desk:
        desk.reconcile()
        desk.simulator.adjust(desk.key, "USDT", 500)
        for _ in range(3):
            assert desk.reconcile().drift == {"USDT": Decimal(500)}
        stop = halted(database, HaltScope.ACCOUNT, ACCOUNT, at_ms=desk.clock())
        assert stop is not None and "500 USDT" in stop.reason
        notes = read_notifications(database, ["drift"])
        assert [note.severity for note in notes] == ["HIGH"]
        with database.transaction() as connection:
            deposit(connection, ACCOUNT, "USDT", Decimal(500), "bank", at_ms=desk.clock(), by="owner")
            resume(connection, HaltScope.ACCOUNT, ACCOUNT, reason="booked", by="owner", at_ms=desk.clock())
        assert desk.reconcile().ok
        assert [one.ok for one in newest_reconciliations(database, ACCOUNT, 5)] == [True, False, False, False, True]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_rested_and_traded_before_the_books_began_is_in_the_opening_balance(database: Database, dialect: str):
    """O7: an account with coins, a resting order and old trades: no drift, and nothing counted twice."""
    with trading_desk(database, dialect) as desk:
        level = (desk.last_price() * Decimal("0.8")).quantize(Decimal(1))
        number = desk.simulator.place_by_hand(desk.key, "BTC-USDT", "BUY", "LIMIT", "0.5", level)["number"]
        desk.simulator.place_by_hand(desk.key, "BTC-USDT", "SELL", "MARKET", "0.1")
        desk.simulator.fill_by_hand(number, level, "0.2")
        desk.jump(60)
        first = desk.reconcile()
        assert first.ok and first.trades == 0
        (order,) = desk.orders()
        assert (order.leg, order.status, order.executed_quantity) == (Leg.EXTERNAL, OrderStatus.OPEN, Decimal(0))
        desk.simulator.fill_by_hand(number, level, "0.1")
        assert desk.reconcile().ok
        assert read_order(database, order.id).executed_quantity == Decimal("0.1")
        desk.simulator.cancel_by_hand(number)
        assert desk.reconcile().ok
        assert read_order(database, order.id).status is OrderStatus.CANCELED
        desk.check_books()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("broken", ["trades", "open orders", "balances", "clock"])
def test_a_comparison_with_a_failed_question_is_not_passed_and_changes_no_money(database: Database, dialect: str, broken: str):
    """O7: a failed query is not "flat"; C15: the next one goes on where the last complete one ended."""
    endpoints = {
        "trades": {"binance": "GET myTrades", "kraken": "TradesHistory"},
        "open orders": {"binance": "GET openOrders", "kraken": "OpenOrders"},
        "balances": {"binance": "GET account", "kraken": "BalanceEx"},
        "clock": {"binance": "time", "kraken": "Time"},
    }
    with trading_desk(database, dialect) as desk:
        scene = Scene(desk)
        desk.profile["deadline_seconds"] = 0.4
        desk.simulator.fill_by_hand(scene.number, scene.level, "0.5")
        marks = newest_reconciliations(database, ACCOUNT)[0].detail["marks"]
        desk.simulator.add_faults({"action": "status", "status": 502, "endpoint": endpoints[broken][dialect]})
        result = desk.reconcile()
        assert (result.passed, result.drift, halted(database, HaltScope.ACCOUNT, ACCOUNT, at_ms=desk.clock())) == (
            False,
            {},
            None,
        )
        (stored,) = newest_reconciliations(database, ACCOUNT)
        assert (stored.ok, stored.detail["passed"], stored.detail["marks"]) == (False, False, marks)
        desk.simulator.remove_faults()
        assert desk.reconcile().ok
        assert scene.stored().executed_quantity == Decimal("0.5")
        desk.check_books()


def test_a_trade_before_a_known_one_is_not_passed_over(database: Database):
    """C15: the mark is how far trades were pulled, not the newest that is booked: that one may have come with an answer."""
    with trading_desk(database) as desk:
        scene = Scene(desk)
        desk.simulator.fill_by_hand(scene.number, scene.level, "0.5")

        async def buy(gateway: OrderGateway) -> Order:
            return await gateway.submit(desk.intent(desk.deal()))

        fence = desk.take_fence()
        with database.transaction() as connection:
            from fks_assets.stores.ledger.reconciliations import record_reconciliation

            detail = newest_reconciliations(connection, ACCOUNT)[0].detail | {"epoch": fence.epoch}
            record_reconciliation(connection, ACCOUNT, ok=True, detail=detail, at_ms=desk.clock())
        bought = desk.run(buy, fence=fence, reconciled=False)
        assert bought.status is OrderStatus.FILLED and scene.stored().executed_quantity == 0
        assert desk.reconcile().ok
        assert scene.stored().executed_quantity == Decimal("0.5")


def test_an_intent_that_was_never_sent_is_ended_by_the_next_holder(database: Database):
    """C14: what it was decided on is old; the deal is tried anew under a new id or not at all."""
    with trading_desk(database) as desk:
        intent = desk.intent(desk.deal())

        async def die(gateway: OrderGateway) -> None:
            with gateway.database.transaction() as connection:
                gateway._write(connection, "submit", [gateway._fit(intent)])

        desk.run(die)
        assert [order.status for order in desk.orders()] == [OrderStatus.INTENT]
        desk.reconcile()
        assert [order.status for order in desk.orders()] == [OrderStatus.DENIED]
        assert desk.simulator.orders() == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_order_that_one_question_denies_and_another_shows_is_there(database: Database, dialect: str):
    """O2: two ways of asking."""
    denial = {"binance": ("GET order", -2013, "Order does not exist."), "kraken": ("QueryOrders", 0, "EOrder:Unknown order")}
    with trading_desk(database, dialect) as desk:
        scene = Scene(desk)
        endpoint, code, message = denial[dialect]
        desk.simulator.add_faults({"action": "error", "endpoint": endpoint, "code": code, "message": message})

        async def look(gateway: OrderGateway) -> Order:
            return await look_at(gateway, scene.stored())

        for _ in range(5):
            desk.jump(30)
            assert desk.run(look).status is OrderStatus.OPEN


def test_an_open_order_that_is_gone_ends_only_after_the_same_proof(database: Database):
    """O7: three denials over a minute, without a sight of it between; then a person is told."""
    with trading_desk(database) as desk:
        order = Scene(desk).own
        seen = []
        for pause in (40, 0, 30, 31):
            desk.jump(pause)
            with database.transaction() as connection:
                seen.append(note_not_found(connection, read_order(connection, order.id), 5000, at_ms=desk.clock()).status)
        assert seen == [OrderStatus.OPEN] * 3 + [OrderStatus.CANCELED]
        assert [note.kind for note in read_notifications(database)] == ["order_absent"]


@pytest.mark.parametrize("word, ended", [("not open", OrderStatus.CANCELED), ("done", OrderStatus.OPEN)])
def test_a_cancel_between_two_questions_is_a_sight_of_the_order_only_when_it_met_it(
    database: Database, word: str, ended: OrderStatus
):
    """O7: who cancels what cannot be found, every few seconds, comes to know all the same that it is gone."""
    with trading_desk(database) as desk:
        order = Scene(desk).own
        for pause in (40, 30, 31):
            desk.jump(pause)
            with database.transaction() as connection:
                for detail in ({"cancel": "asked"}, {"cancel": word}):
                    add_event(connection, order.id, OrderStatus.OPEN, OrderStatus.OPEN, desk.clock(), detail)
                note_not_found(connection, read_order(connection, order.id), 5000, at_ms=desk.clock())
        assert read_order(database, order.id).status is ended


def test_a_clock_that_goes_back_proves_nothing(database: Database):
    """T3: denials whose times run backwards are not counted."""
    with trading_desk(database) as desk:
        order = Scene(desk).own
        start = desk.clock()
        for ahead in (200_000, 100_000, 150_000):
            with database.transaction() as connection:
                note_not_found(connection, read_order(connection, order.id), 5000, at_ms=start + ahead)
        assert read_order(database, order.id).status is OrderStatus.OPEN


def test_a_fill_after_the_cancel_is_booked_and_the_order_stays_cancelled(database: Database):
    """O3: a late execution is a fact."""
    with trading_desk(database) as desk:
        scene = Scene(desk)

        async def cancel(gateway: OrderGateway) -> Order:
            return await gateway.cancel(scene.own.id)

        assert desk.run(cancel).status is OrderStatus.CANCELED
        fill = VenueFill(
            "99", "1", desk.market, Side.BUY, scene.level, Decimal("0.1"), Decimal("1.5"), "USDT", True, desk.clock()
        )
        for _ in range(2):
            with database.transaction() as connection:
                book_fills(connection, scene.stored(), [fill], at_ms=desk.clock())
        assert (scene.stored().status, scene.stored().executed_quantity) == (OrderStatus.CANCELED, Decimal("0.1"))
        assert read_positions(database, deal_ids=[scene.deal.id])[0].bought_quantity == Decimal("0.1")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_order_taken_for_absent_that_executes_after_all_is_ours(database: Database, dialect: str):
    """O2, O3: an exchange that hid an order for good shows its trade: it is booked to the deal, and a person is told."""
    place = {"binance": "POST order", "kraken": "AddOrder"}[dialect]
    with trading_desk(database, dialect) as desk:
        level = (desk.last_price() * Decimal("0.8")).quantize(Decimal(1))
        deal = desk.deal(quantity="1")

        async def lose(gateway: OrderGateway) -> Order:
            desk.simulator.add_faults(
                {"action": "drop_after_accept", "endpoint": place, "first": 1, "how": "reset", "only_in_trades": True}
            )
            return await gateway.submit(desk.intent(deal, type_=OrderType.LIMIT, price=level))

        order = desk.run(lose)
        for _ in range(5):
            desk.jump(30)
            desk.reconcile()
        assert read_order(database, order.id).status is OrderStatus.ABSENT
        (there,) = desk.simulator.orders()
        desk.simulator.fill_by_hand(there["number"], level)
        assert desk.reconcile().passed
        assert read_order(database, order.id).status is OrderStatus.FILLED
        assert [note.severity for note in read_notifications(database, ["order_back"])] == ["HIGH"]
        assert order_events(database, order.id)[-1].to_status is OrderStatus.FILLED
        desk.check_books()
