"""Stops at the simulated exchange when requests and answers are lost, refused or late, and when something is broken."""

from dataclasses import replace
from decimal import ROUND_UP, Decimal
from typing import Any

import pytest

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.protect import Protected, protect, protect_until_settled
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.market_rules import MarketStatus
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType
from fks_assets.stores.ledger.deals import read_deal, update_deal
from fks_assets.stores.ledger.order_rows import order_events
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.guarding.guarded_desk import (
    CANCELS,
    PLACES_STOP,
    Told,
    at_exchange,
    enter,
    faults_of,
    follow_jumps,
    guard,
    guard_on,
    leave,
    legs,
    position_of,
    quote_now,
    stop_of,
    told_of,
    unguarded_ms,
)
from fks_assets_tests.orders.trading_desk import RULES, TradingDesk

LOST = {"how": "reset", "first": 1}
GAP_SECONDS = 10


@pytest.mark.parametrize("action", ["drop_after_accept", "drop_before", "reject"])
@pytest.mark.parametrize("what", ["place", "cancel", "exit"])
def test_whatever_becomes_of_a_request_the_position_is_guarded_again_within_seconds(desk: TradingDesk, what: str, action: str):
    """O2, O4: lost answers, lost requests, refusals; within 10 s of the exchange's clock, sold once at most, told as it ends."""
    place = "POST orderList/oco" if desk.dialect == "binance" else PLACES_STOP[desk.dialect]
    endpoint = {"place": place, "cancel": CANCELS[desk.dialect], "exit": PLACES_STOP[desk.dialect]}[what]
    rule = {"action": action, "endpoint": endpoint, "first": 1, **({} if action == "reject" else LOST)}
    deal = enter(desk, stop="0.9", target="1.2", trailing="0.05")
    if what != "place":
        guard(desk)
    if what == "exit":
        leave(desk, deal)
        guard_on(desk, rule)
        for _ in range(3):
            desk.jump(30)
            guard_on(desk)
        assert position_of(desk, deal).net_quantity == 0 and at_exchange(desk) == []
    elif what == "place":
        began = desk.simulator.clock()["now_ms"]
        guard_on(desk, rule)
        assert faults_of(desk) == []
        placed = [one["placed_ms"] for one in at_exchange(desk) if one["stop_price"]]
        assert len(placed) == 1 and placed[0] - began < GAP_SECONDS * 1000
    else:
        price = desk.last_price()
        desk.simulator.add_faults(rule)
        guard(desk, Told(price, high=price * Decimal("1.02")))
        assert faults_of(desk) == []
        guard_on(desk)
        assert unguarded_ms(desk) < GAP_SECONDS * 1000
    assert faults_of(desk) == []
    for _ in range(5):
        desk.jump(30)
        guard(desk)
    assert not [order for order in desk.orders() if order.status in (OrderStatus.UNKNOWN, OrderStatus.SUBMITTING)]
    assert faults_of(desk) == []


@pytest.mark.parametrize("action", ["drop_after_accept", "drop_before", "reject"])
def test_whatever_becomes_of_a_replacement_there_is_one_stop(binance: TradingDesk, action: str):
    """O4: cancelReplace with its answer lost, its request lost, or refused; the old stop stays unless the new one is there."""
    deal = enter(binance, stop="0.9", trailing="0.05")
    price = binance.last_price()
    guard(binance, Told(price))
    before = stop_of(binance, deal).level
    rule = {"action": action, "endpoint": "POST order/cancelReplace", "first": 1, **({} if action == "reject" else LOST)}
    guard(binance, Told(price, high=price * Decimal("1.02")), rule)
    assert len(at_exchange(binance)) == 1 and faults_of(binance) == []
    for _ in range(5):
        binance.jump(30)
        guard(binance, Told(price))
    assert len(at_exchange(binance)) == 1 and faults_of(binance) == []
    assert unguarded_ms(binance) == 0
    raised = (price * Decimal("1.02") * Decimal("0.95")).quantize(Decimal("0.01"), ROUND_UP)
    assert stop_of(binance, deal).level == (raised if action == "drop_after_accept" else before)


def test_a_lost_stop_is_proven_gone_before_another_one_is_sent(desk: TradingDesk):
    """O2, O4, O5: not open to a cancel, after it could be taken, with no coin missing or locked; the market stays frozen."""
    enter(desk, stop="0.9")
    rule = {"action": "drop_before", "endpoint": PLACES_STOP[desk.dialect], **LOST}
    guard_on(desk, rule)
    lost, other = [order for order in desk.orders() if order.leg is Leg.STOP]
    assert (lost.status, other.status) == (OrderStatus.UNKNOWN, OrderStatus.OPEN)
    details = [event.detail for event in order_events(desk.database, lost.id)]
    assert {"cancel": "not open"} in details and any("gone" in detail for detail in details)
    assert unguarded_ms(desk) == 0 and faults_of(desk) == []


def test_a_lost_stop_that_the_exchange_hides_is_not_placed_a_second_time(desk: TradingDesk):
    """O2, O5: taken, the answer lost, and shown nowhere for 45 s: the locked coins give it away."""
    enter(desk, stop="0.9")
    endpoint = PLACES_STOP[desk.dialect]
    guard_on(desk, {"action": "drop_after_accept", "endpoint": endpoint, **LOST, "visible_after_seconds": 45})
    assert len([one for one in desk.simulator.orders(account=desk.key) if one["stop_price"]]) == 1
    assert len([note for note in told_of(desk, "stop") if "without a stop" in note.message]) == 1
    desk.jump(45)
    (protected,) = guard(desk)
    assert protected.words[-1].startswith("guarded") and faults_of(desk) == []
    assert len([one for one in desk.simulator.orders(account=desk.key) if one["stop_price"]]) == 1


def test_a_clock_that_goes_back_makes_no_run_stay_for_ever(binance: TradingDesk) -> None:
    """T3: twenty seconds are ten rounds, though by the clock they never pass."""
    deal = enter(binance, stop="0.9")
    guard(binance)
    leave(binance, deal)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert len(pauses) <= 10, "it stays"
        binance.ahead_ms -= 5_000

    async def work(gateway: OrderGateway) -> list[Protected]:
        quotes = {binance.market: await quote_now(gateway, binance, None)}
        binance.simulator.add_faults({"action": "reject", "endpoint": "POST order", "name": "exits"})
        return await protect_until_settled(gateway, quotes, pause=pause)

    (protected,) = binance.run(work)
    assert protected.pending and len(pauses) == 10
    binance.simulator.remove_faults("exits")


def test_a_stop_that_the_exchange_refuses_again_and_again_ends_the_position(desk: TradingDesk):
    """O4, C10: after the deadline, at the market, with one urgent message; entries of others are not touched."""
    deal = enter(desk, stop="0.9")
    endpoint = ["POST order", "POST orderList/oco"] if desk.dialect == "binance" else "AddOrder"
    refused = {"action": "reject", "endpoint": endpoint, "name": "stops", "first": 7}
    found = guard_on(desk, refused)
    if position_of(desk, deal).net_quantity:
        desk.simulator.remove_faults("stops")
        found = guard_on(desk)
    assert position_of(desk, deal).net_quantity == 0, found
    notes = [note for note in told_of(desk, "stop") if note.severity == "URGENT"]
    assert len([note for note in notes if "no stop can be placed" in note.message]) == 1
    tries = len(legs(desk, deal, Leg.STOP))
    assert 2 <= tries <= 8


def test_a_trailing_stop_that_is_refused_goes_back_to_where_it_was(binance: TradingDesk):
    """O4: a pair is cancelled, its successor refused with and without target: the last level rests again in the same round."""
    deal = enter(binance, stop="0.9", target="1.5", trailing="0.05")
    guard(binance)
    before, price = stop_of(binance, deal).level, binance.last_price()
    refused = {"action": "reject", "endpoint": ["POST order", "POST orderList/oco"], "first": 2}
    guard(binance, Told(price, high=price * Decimal("1.03")), refused)
    row = stop_of(binance, deal)
    assert (row.state, row.level) == (StopState.RESTING, before)
    assert len(at_exchange(binance)) == 2 and faults_of(binance) == []
    binance.jump(70)
    guard(binance, Told(price, high=price * Decimal("1.03")))
    assert (stop_of(binance, deal).level or 0) > (before or 0)
    assert unguarded_ms(binance) < GAP_SECONDS * 1000


def test_an_exchange_that_is_down_for_a_minute_costs_no_position(desk: TradingDesk):
    """O4: nothing can be placed and nothing can be sold; a person is told once; then the stop is placed and the deal goes on."""
    deal = enter(desk, stop="0.9")
    desk.profile["deadline_seconds"] = 0.3

    async def down(gateway: OrderGateway) -> Any:
        follow_jumps(gateway, desk)
        transport = gateway.venue._transport  # type: ignore[attr-defined]
        await transport.__aexit__(None, None, None)
        for _ in range(5):
            await protect(gateway, {})
            desk.jump(12)
        return await protect(gateway, {})

    desk.run(down)
    assert [note.kind for note in told_of(desk, "stop")] == ["stop"]
    assert position_of(desk, deal).quantity == Decimal("0.01")
    desk.profile["deadline_seconds"] = 3.0
    guard_on(desk)
    assert stop_of(desk, deal).state is StopState.RESTING and len(at_exchange(desk)) == 1
    assert faults_of(desk) == []


def test_in_a_delisted_market_a_person_is_told_and_nothing_is_sent(desk: TradingDesk):
    """E7: the exchange has dropped the stop; whatever is held is said once an hour."""
    deal = enter(desk, stop="0.9")
    guard(desk)
    desk.simulator.halt("BTC-USDT")
    market = RULES[desk.dialect]
    closed = replace(market, status=MarketStatus.DELISTED, tick_size=None, lot_size=None)
    sent = len(desk.simulator.orders(account=desk.key))
    desk.rules = {market.market: closed}
    for _ in range(3):
        guard(desk, Told(Decimal(45_000)))
    assert len(desk.simulator.orders(account=desk.key)) == sent
    assert position_of(desk, deal).quantity == Decimal("0.01")
    assert len(told_of(desk, "stop")) == 1
    desk.jump(3600)
    guard(desk, Told(Decimal(45_000)))
    assert len(told_of(desk, "stop")) == 2


def test_an_exit_sells_no_more_than_is_free(desk: TradingDesk):
    """O5: coins that somebody else has put on sale stay there; a person is told what is stuck."""
    deal = enter(desk, stop="0.9", quantity="0.5")
    desk.simulator.adjust(desk.key, "BTC", -2)
    desk.simulator.place_by_hand(desk.key, "BTC-USDT", "SELL", "LIMIT", "0.2", 90_000)
    leave(desk, deal)
    guard(desk, blind=True)
    desk.jump(15)
    guard(desk, blind=True)
    assert position_of(desk, deal).quantity == Decimal("0.2")
    assert sum(order.executed_quantity for order in legs(desk, deal, Leg.EXIT)) == Decimal("0.3")
    (note,) = told_of(desk, "stop")
    assert "cannot be left" in note.message and "0 are free" in note.message


@pytest.mark.parametrize("price", [0.0, float("nan"), float("inf"), -5.0])
def test_a_price_that_is_none_changes_nothing(desk: TradingDesk, price: float):
    """E8: nor does a price that nobody confirms, a fifth away from the last one."""
    deal = enter(desk, stop=None, target="1.01")
    for told in (price, 10.0, 1e9):

        async def work(gateway: OrderGateway, told: float = told) -> Any:
            return await protect(gateway, {desk.market: Quote.of_price(told, desk.clock())})

        desk.run(work)
    assert position_of(desk, deal).quantity == Decimal("0.01") and at_exchange(desk) == []
    assert legs(desk, deal, Leg.EXIT) == [] and told_of(desk, "stop") == []


def test_one_broken_deal_leaves_the_others_guarded(binance: TradingDesk):
    """O4: whatever is wrong with it."""
    first, second = enter(binance), enter(binance)

    async def work(gateway: OrderGateway) -> Any:
        submit = gateway.submit

        async def broken(intent: Any) -> Any:
            if intent.deal.id == first.id:
                raise KeyError("a fault of ours")
            return await submit(intent)

        gateway.submit = broken  # type: ignore[method-assign]
        return await protect(gateway, {})

    found = {each.deal.id: each for each in binance.run(work)}
    assert "KeyError" in found[first.id].words[-1] and found[first.id].pending
    assert found[second.id].words[-1].startswith("guarded")


def test_an_entry_that_executes_after_its_deal_has_ended_is_sold(binance: TradingDesk):
    """O3: a fill after the cancel; told, left, and ended once more."""
    deal = binance.deal()
    price = (binance.last_price() * Decimal("0.8")).quantize(Decimal(1))

    async def rest(gateway: OrderGateway) -> Any:
        return await gateway.submit(binance.intent(deal, type_=OrderType.LIMIT, price=price))

    binance.run(rest)
    with binance.database.transaction() as connection:
        update_deal(connection, deal.id, at_ms=binance.clock(), status=DealStatus.STOPPED)
    (there,) = at_exchange(binance, "BUY")
    binance.simulator.fill_by_hand(there["number"], price)
    guard(binance)
    assert position_of(binance, deal).net_quantity == 0
    assert not read_deal(binance.database, deal.id).is_active
    assert [note.severity for note in told_of(binance, "stop")] == ["HIGH"]
