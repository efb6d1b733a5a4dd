"""The order gateway against the simulated exchange: five committed steps, one request, and what becomes of it."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.lookup import look_at
from fks_assets.desk.reconcile import reconcile
from fks_assets.errors import Denied, StaleFence
from fks_assets.exchanges.orders.venue import Unknown
from fks_assets.quant.orders import Leg, OrderStatus, OrderType
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.halts import HaltScope, halt
from fks_assets.stores.ledger.orders import Order, order_events, read_order
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.notifications import read_notifications
from fks_assets_tests.orders.trading_desk import TradingDesk, trading_desk

DIALECTS = ["binance", "kraken"]
PLACE = {"binance": "POST order", "kraken": "AddOrder"}


def submitting(intent: Any) -> Any:
    """Return the work of submitting an intent."""

    async def work(gateway: OrderGateway) -> Order:
        return await gateway.submit(intent)

    return work


def looking(order: Order) -> Any:
    """Return the work of one more look at an order."""

    async def work(gateway: OrderGateway) -> Order:
        return await look_at(gateway, order)

    return work


def sent_orders(desk: TradingDesk) -> int:
    """Return how many rightly signed requests to place an order have arrived."""
    wanted = ("POST order", "POST orderList/oco", "POST order/cancelReplace", "AddOrder")
    return sum(one["count"] for one in desk.simulator.requests() if one["endpoint"] in wanted)


def halted(desk: TradingDesk, scope: HaltScope, name: str) -> None:
    with desk.database.transaction() as connection:
        halt(connection, scope, name, reason="drill", by="test", at_ms=desk.clock())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_order_is_sent_once_however_often_it_is_submitted(database: Database, dialect: str):
    """O1, P7: the same intent in the same run, in later runs, and twice at the same time."""
    with trading_desk(database, dialect) as desk:
        intent = desk.intent(desk.deal())

        async def at_once(gateway: OrderGateway) -> list[Any]:
            return await asyncio.gather(*(gateway.submit(intent) for _ in range(4)), return_exceptions=True)

        found = desk.run(at_once)
        assert all(isinstance(one, Order) for one in found), found
        for _ in range(3):
            order = desk.run(submitting(intent))
        assert (order.status, order.executed_quantity) == (OrderStatus.FILLED, Decimal("0.01"))
        assert sent_orders(desk) == len(desk.simulator.orders()) == 1
        steps = [event.to_status for event in order_events(database, order.id)]
        assert steps[:3] == [OrderStatus.INTENT, OrderStatus.SUBMITTING, OrderStatus.OPEN]
        assert steps[-1] is OrderStatus.FILLED
        desk.check_books()


@pytest.mark.parametrize(
    ("how", "seen_after"),
    [
        pytest.param(how, seen, marks=() if place == number % 4 else pytest.mark.nightly)
        for number, how in enumerate(("reset", "status", "html", "torn", "empty"))
        for place, seen in enumerate((0, 5, 45, "trades"))
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_order_whose_answer_was_lost_is_found_and_never_sent_again(
    database: Database, dialect: str, how: str, seen_after: int | str
):
    """O2, C14: found at once, after 5 s, after 45 s, only in the trades; the market is frozen for entries until then."""
    with trading_desk(database, dialect) as desk:
        hidden = {"only_in_trades": True} if seen_after == "trades" else {"visible_after_seconds": seen_after}
        rule = {"action": "drop_after_accept", "endpoint": PLACE[dialect], "first": 1, "how": how, **hidden}
        intent, other = desk.intent(desk.deal()), desk.intent(desk.deal())

        async def lose(gateway: OrderGateway) -> Order:
            desk.simulator.add_faults(rule)
            order = await gateway.submit(intent)
            assert order.status is OrderStatus.UNKNOWN
            with pytest.raises(Denied, match="frozen"):
                await gateway.submit(other)
            return await gateway.submit(intent)

        order = desk.run(lose)
        assert order.status is OrderStatus.UNKNOWN
        for _ in range(4):
            desk.jump(20)
            desk.reconcile()
            order = read_order(database, order.id)
            if order.status is not OrderStatus.UNKNOWN:
                break
        assert (order.status, order.executed_quantity) == (OrderStatus.FILLED, Decimal("0.01"))
        assert desk.run(submitting(intent)).status is OrderStatus.FILLED
        assert sent_orders(desk) == len(desk.simulator.orders()) == 1
        assert desk.run(submitting(other)).status is OrderStatus.FILLED
        assert {note.kind for note in read_notifications(database)} >= {"order_unknown"}
        desk.check_books()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_order_is_absent_only_after_three_denials_in_two_ways_over_a_minute(database: Database, dialect: str):
    """O2: and not before it could no longer have been accepted; a new try has a new id."""
    with trading_desk(database, dialect) as desk:
        deal = desk.deal()
        intent = desk.intent(deal)

        async def lose(gateway: OrderGateway) -> Order:
            desk.simulator.add_faults({"action": "drop_before", "endpoint": PLACE[dialect], "first": 1, "how": "reset"})
            return await gateway.submit(intent)

        order = desk.run(lose)
        seen = []
        # Seconds since it was sent: 0 (too early to count), 26, 27, 28 (three, but within seconds), 60, 87.
        for pause in (0, 26, 1, 1, 32, 27):
            desk.jump(pause)
            order = desk.run(looking(order))
            seen.append(order.status)
        assert seen == [OrderStatus.UNKNOWN] * 5 + [OrderStatus.ABSENT]
        assert desk.run(submitting(intent)).status is OrderStatus.ABSENT
        again = desk.run(submitting(desk.intent(deal, generation=1)))
        assert again.status is OrderStatus.FILLED and again.client_order_id != order.client_order_id
        assert len(desk.simulator.orders()) == 1
        desk.check_books()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_question_that_fails_proves_nothing(database: Database, dialect: str):
    """O2, O7: with one of the two ways broken for ever, the order stays UNKNOWN for ever."""
    queries = {"binance": "GET myTrades", "kraken": "TradesHistory"}[dialect]
    with trading_desk(database, dialect) as desk:
        desk.profile["deadline_seconds"] = 0.5

        async def lose(gateway: OrderGateway) -> Order:
            desk.simulator.add_faults({"action": "drop_before", "endpoint": PLACE[dialect], "first": 1, "how": "reset"})
            return await gateway.submit(desk.intent(desk.deal()))

        order = desk.run(lose)
        desk.simulator.add_faults({"action": "status", "status": 503, "endpoint": queries})
        for _ in range(5):
            desk.jump(60)
            result = desk.reconcile()
            assert not result.passed and "503" in result.fault
        assert read_order(database, order.id).status is OrderStatus.UNKNOWN


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_order_that_arrives_late_is_counted_and_one_that_is_too_late_is_refused_by_its_time_stamp(
    database: Database, dialect: str
):
    """O2: recvWindow and deadline are what makes ABSENT provable."""
    with trading_desk(database, dialect) as desk:
        orders = []
        for seconds in (3, 30):

            async def late(gateway: OrderGateway, seconds: int = seconds) -> Order:
                desk.simulator.add_faults(
                    {"action": "delay", "endpoint": PLACE[dialect], "first": 1, "seconds": seconds, "how": "reset"}
                )
                order = await gateway.submit(desk.intent(desk.deal()))
                desk.simulator.remove_faults()
                return order

            order = desk.run(late)
            for _ in range(5):
                desk.jump(30)
                desk.reconcile()
            orders.append(read_order(database, order.id))
        assert [order.status for order in orders] == [OrderStatus.FILLED, OrderStatus.ABSENT]
        assert len(desk.simulator.orders()) == 1
        desk.check_books()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refusal_of_the_exchange_ends_the_order_and_says_why(database: Database, dialect: str):
    """O1: rejected is not unknown; the market is not frozen."""
    with trading_desk(database, dialect) as desk:
        desk.simulator.adjust(desk.key, "USDT", -999_990)
        intent = desk.intent(desk.deal())

        async def poor(gateway: OrderGateway) -> Order:
            desk.simulator.adjust(desk.key, "USDT", -9)
            return await gateway.submit(intent)

        with pytest.raises(Denied, match="needs"):
            desk.run(poor)
        desk.simulator.adjust(desk.key, "USDT", 999_999)
        desk.simulator.add_faults({"action": "reject", "endpoint": PLACE[dialect], "first": 1})
        with database.transaction() as connection:
            from fks_assets.stores.ledger.journal import deposit

            deposit(connection, "main", "USDT", Decimal(999_990), "top up", at_ms=desk.clock(), by="test")
        order = desk.run(submitting(intent))
        assert order.status is OrderStatus.REJECTED
        assert "nsufficient" in str(order_events(database, order.id)[-1].detail)
        assert desk.run(submitting(desk.intent(desk.deal()))).status is OrderStatus.FILLED


@pytest.mark.parametrize("scope", list(HaltScope))
def test_a_halt_stops_entries_and_nothing_that_takes_risk_away(database: Database, scope: HaltScope):
    """C16, F15: stops, exits and cancels pass while desk, account, strategy or market is halted."""
    with trading_desk(database) as desk:
        deal, price = desk.deal(), desk.last_price()
        desk.run(submitting(desk.intent(deal)))
        names = {HaltScope.DESK: "", HaltScope.ACCOUNT: "main", HaltScope.STRATEGY: "breakout", HaltScope.MARKET: desk.market.key}
        halted(desk, scope, names[scope])
        with pytest.raises(Denied, match="halted"):
            desk.run(submitting(desk.intent(desk.deal())))
        level = (price * Decimal("0.9")).quantize(Decimal(1))
        stop = desk.run(submitting(desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=level)))
        assert stop.status is OrderStatus.OPEN

        async def leave(gateway: OrderGateway) -> tuple[Order, Order]:
            return await gateway.cancel(stop.id), await gateway.submit(desk.intent(deal, Leg.EXIT))

        cancelled, exit_ = desk.run(leave)
        assert (cancelled.status, exit_.status) == (OrderStatus.CANCELED, OrderStatus.FILLED)
        assert read_positions(database, deal_ids=[deal.id])[0].net_quantity == 0
        desk.check_books()


def test_an_entry_that_was_halted_after_its_intent_is_not_sent(database: Database):
    """C16: the halt is looked at again in the last step before the request."""
    with trading_desk(database) as desk:
        intent = desk.intent(desk.deal())

        async def work(gateway: OrderGateway) -> None:
            write = gateway._write
            gateway._write = lambda *arguments: (write(*arguments), halted_by(arguments[0]))[0]  # type: ignore[method-assign]
            await gateway.submit(intent)

        def halted_by(connection: Any) -> None:
            halt(connection, HaltScope.DESK, "", reason="drill", by="test", at_ms=desk.clock())

        with pytest.raises(Denied, match="halted"):
            desk.run(work)
        assert sent_orders(desk) == 0


def test_nothing_is_sent_before_the_account_was_compared(database: Database):
    """C14, O7: by this holder of the fence, successfully, within the last five minutes."""
    with trading_desk(database) as desk:
        intent = desk.intent(desk.deal())
        with pytest.raises(Denied, match="not been compared"):
            desk.run(submitting(intent), reconciled=False)
        fence = desk.take_fence()
        desk.run(reconcile, fence=fence, reconciled=False)
        with pytest.raises(Denied, match="not been compared"):
            desk.run(submitting(intent), reconciled=False)
        desk.simulator.add_faults({"action": "status", "status": 500, "endpoint": "GET account"})
        fence = desk.take_fence()
        desk.profile["deadline_seconds"] = 0.3
        assert not desk.run(reconcile, fence=fence, reconciled=False).passed
        with pytest.raises(Denied, match="not been compared"):
            desk.run(submitting(intent), fence=fence, reconciled=False)
        desk.simulator.remove_faults()
        desk.run(reconcile, fence=fence, reconciled=False)
        desk.jump(301)
        with pytest.raises(Denied, match="last compared"):
            desk.run(submitting(intent), fence=fence, reconciled=False)
        assert sent_orders(desk) == 0


def test_a_gateway_that_was_taken_over_from_sends_nothing(database: Database):
    """P3: before its intent, between its steps, and for cancels."""
    with trading_desk(database) as desk:
        deal = desk.deal()

        async def overtaken(gateway: OrderGateway) -> None:
            desk.take_fence("another")
            await gateway.submit(desk.intent(deal))

        with pytest.raises(StaleFence, match="another"):
            desk.run(overtaken)

        async def overtaken_later(gateway: OrderGateway) -> None:
            transact = gateway.transact

            async def after(work: Any) -> Any:
                found = await transact(work)
                if isinstance(found, list) and found and found[0].status is OrderStatus.SUBMITTING:
                    desk.take_fence("another")
                return found

            gateway.transact = after  # type: ignore[method-assign]
            await gateway.submit(desk.intent(desk.deal()))

        with pytest.raises(StaleFence, match="another"):
            desk.run(overtaken_later)
        assert sent_orders(desk) == 0
        (order,) = [order for order in desk.orders() if order.status is OrderStatus.SUBMITTING]
        for _ in range(5):
            desk.jump(30)
            desk.reconcile()
        assert read_order(database, order.id).status is OrderStatus.ABSENT


def test_an_exchange_that_cannot_be_reached_leaves_no_order_of_unknown_outcome(database: Database):
    """O2: nothing was sent, so nothing is frozen."""
    with trading_desk(database) as desk:

        async def unplugged(gateway: OrderGateway) -> None:
            transport = gateway.venue._transport  # type: ignore[attr-defined]
            await transport.__aexit__(None, None, None)
            await gateway.submit(desk.intent(desk.deal()))

        desk.run(unplugged)
        (order,) = desk.orders()
        assert order.status is OrderStatus.DENIED
        assert desk.run(submitting(desk.intent(desk.deal()))).status is OrderStatus.FILLED


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_comparison_that_finds_the_order_before_its_answer_arrives_is_right(database: Database, dialect: str, is_lost: bool):
    """O2, O7: the answer, or its loss, changes nothing of what the exchange has shown."""
    with trading_desk(database, dialect) as desk:

        async def work(gateway: OrderGateway) -> Order:
            place = gateway.venue.place

            async def slow(*arguments: Any) -> Any:
                outcome = await place(*arguments)
                assert (await reconcile(gateway)).passed
                return Unknown("lost") if is_lost else outcome

            gateway.venue.place = slow  # type: ignore[method-assign]
            return await gateway.submit(desk.intent(desk.deal()))

        order = desk.run(work)
        assert (order.status, order.executed_quantity) == (OrderStatus.FILLED, Decimal("0.01"))
        assert len(desk.simulator.orders()) == 1
        desk.check_books()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_cancelled_order_keeps_what_it_had_executed(database: Database, dialect: str):
    """O3, C13: partly filled, then cancelled; the position is what was filled."""
    with trading_desk(database, dialect) as desk:
        deal = desk.deal(quantity="1")
        price = (desk.last_price() * Decimal("0.8")).quantize(Decimal(1))
        order = desk.run(submitting(desk.intent(deal, type_=OrderType.LIMIT, price=price)))
        (there,) = desk.simulator.orders()
        desk.simulator.fill_by_hand(there["number"], price, "0.3")

        async def cancel(gateway: OrderGateway) -> Order:
            return await gateway.cancel(order.id)

        order = desk.run(cancel)
        assert (order.status, order.executed_quantity) == (OrderStatus.CANCELED, Decimal("0.3"))
        assert read_positions(database, deal_ids=[deal.id])[0].bought_quantity == Decimal("0.3")
        assert desk.run(cancel).status is OrderStatus.CANCELED
        desk.check_books()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("action", ["drop_before", "drop_after_accept"])
def test_a_cancel_whose_answer_was_lost_is_asked_again(database: Database, dialect: str, action: str):
    """O3: the order is active until the exchange says otherwise."""
    with trading_desk(database, dialect) as desk:
        price = (desk.last_price() * Decimal("0.8")).quantize(Decimal(1))
        order = desk.run(submitting(desk.intent(desk.deal(), type_=OrderType.LIMIT, price=price)))
        endpoint = {"binance": "DELETE order", "kraken": "CancelOrder"}[dialect]

        async def cancel(gateway: OrderGateway) -> Order:
            return await gateway.cancel(order.id)

        async def lose(gateway: OrderGateway) -> Order:
            desk.simulator.add_faults({"action": action, "endpoint": endpoint, "first": 1, "how": "reset"})
            return await gateway.cancel(order.id)

        lost = desk.run(lose)
        assert lost.status is (OrderStatus.OPEN if action == "drop_before" else OrderStatus.CANCELED)
        assert desk.run(cancel).status is OrderStatus.CANCELED
        assert [one["status"] for one in desk.simulator.orders()] == ["CANCELED"]
        desk.check_books()


def test_stop_and_target_are_a_pair_of_which_one_executes(database: Database):
    """F13, O5: when one leg has executed the other is gone, here and there; F14: both are as large as what was filled."""
    with trading_desk(database) as desk:
        deal = desk.deal()
        desk.run(submitting(desk.intent(deal)))
        price = desk.last_price()
        low, high = (price * Decimal("0.9")).quantize(Decimal(1)), (price * Decimal("1.1")).quantize(Decimal(1))

        async def guard(gateway: OrderGateway) -> tuple[Order, Order]:
            return await gateway.submit_pair(
                desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=low),
                desk.intent(deal, Leg.TARGET, OrderType.LIMIT, price=high),
            )

        stop, target = desk.run(guard)
        assert (stop.status, target.status) == (OrderStatus.OPEN, OrderStatus.OPEN)
        assert stop.list_id == target.list_id is not None
        assert [order.id for order in desk.run(guard)] == [stop.id, target.id]
        leg = next(one for one in desk.simulator.orders(client_id=target.client_order_id))
        desk.simulator.fill_by_hand(leg["number"], high)
        desk.reconcile()
        stop, target = read_order(database, stop.id), read_order(database, target.id)
        assert target.status is OrderStatus.FILLED
        assert not stop.active and stop.executed_quantity == 0
        assert read_positions(database, deal_ids=[deal.id])[0].net_quantity == 0
        desk.check_books()


@pytest.mark.parametrize("fault", [None, "drop_before", "drop_after_accept"])
def test_a_stop_is_replaced_in_one_call(database: Database, fault: str | None):
    """O4: with the answer, without, and when the call never arrived; there is never a moment without a stop here."""
    with trading_desk(database) as desk:
        deal = desk.deal()
        desk.run(submitting(desk.intent(deal)))
        price = desk.last_price()
        levels = [(price * Decimal(part)).quantize(Decimal(1)) for part in ("0.9", "0.95")]
        old = desk.run(submitting(desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=levels[0])))

        async def move(gateway: OrderGateway) -> tuple[Order, Order]:
            if fault:
                desk.simulator.add_faults({"action": fault, "endpoint": "POST order/cancelReplace", "first": 1, "how": "reset"})
            intent = desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=levels[1], generation=1)
            return await gateway.replace(old, intent)

        old, new = desk.run(move)
        if fault:
            assert new.status is OrderStatus.UNKNOWN
            desk.run(move)
        for _ in range(5):
            desk.jump(30)
            desk.reconcile()
        old, new = read_order(database, old.id), read_order(database, new.id)
        alive = [one["stop_price"] for one in desk.simulator.orders() if one["status"] == "NEW"]
        assert [str(Decimal(each)) for each in alive] == [str(levels[0] if fault == "drop_before" else levels[1])]
        expected = (OrderStatus.OPEN, OrderStatus.ABSENT) if fault == "drop_before" else (OrderStatus.CANCELED, OrderStatus.OPEN)
        assert (old.status, new.status) == expected
        desk.check_books()


def test_no_stop_and_no_exit_goes_out_before_the_entry_has_filled(database: Database):
    """F14, O5: nothing is held yet, so there is nothing to guard or to sell; and never more than what is held."""
    with trading_desk(database) as desk:
        deal = desk.deal()
        level = (desk.last_price() * Decimal("0.9")).quantize(Decimal(1))
        stop = desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=level)
        for intent in (stop, desk.intent(deal, Leg.EXIT)):
            with pytest.raises(Denied, match="would exceed the position"):
                desk.run(submitting(intent))
        desk.run(submitting(desk.intent(deal)))
        with pytest.raises(Denied, match="would exceed the position"):
            desk.run(submitting(desk.intent(deal, Leg.EXIT, quantity=Decimal("0.02"), generation=1)))
        assert sent_orders(desk) == 1


def test_an_order_type_that_the_venue_lacks_is_denied_and_nothing_is_written(database: Database):
    """X23: no stop goes out without its trigger, or as another kind of order."""
    from dataclasses import replace

    with trading_desk(database) as desk:
        deal = desk.deal()

        async def work(gateway: OrderGateway) -> None:
            gateway.venue.features = replace(gateway.venue.features, stop_market=False, oco=False, replace=False)
            stop = desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=Decimal(40_000))
            with pytest.raises(Denied, match="has no STOP_MARKET"):
                await gateway.submit(stop)
            with pytest.raises(Denied, match="no pairs"):
                await gateway.submit_pair(stop, stop)

        desk.run(work)
        assert desk.orders() == []


def test_a_market_order_in_many_parts_is_whole_in_the_ledger(database: Database):
    """C13: every part is one fill; their sum is the position, and fees are as told."""
    with trading_desk(database) as desk:
        desk.simulator.set_trading(parts=7, part_seconds=1.0)
        deal = desk.deal(quantity="0.07")
        order = desk.run(submitting(desk.intent(deal)))
        assert order.active
        desk.jump(30)
        desk.reconcile()
        order = read_order(database, order.id)
        assert (order.status, order.executed_quantity) == (OrderStatus.FILLED, Decimal("0.07"))
        told = desk.simulator.fills(account=desk.key)
        assert sorted(fill.trade_id for fill in read_fills(database, order_id=order.id)) == sorted(
            str(one["number"]) for one in told
        )
        assert len(told) >= 7
        desk.check_books()
