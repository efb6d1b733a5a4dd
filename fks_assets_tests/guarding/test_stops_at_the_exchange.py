"""Stops and targets at the simulated exchange, with pairs (Binance) and without (Kraken): placed, trailed, executed, lost."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.protect import Protected, protect
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType
from fks_assets.stores.ledger.deals import read_deal
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.guarding.guarded_desk import (
    Told,
    at_exchange,
    enter,
    faults_of,
    guard,
    leave,
    legs,
    pay_fees_in_coins,
    position_of,
    quote_now,
    stop_of,
    told_of,
    unguarded_ms,
    until,
)
from fks_assets_tests.orders.trading_desk import RULES, TradingDesk

GAP_SECONDS = 10


def test_stop_and_target_rest_after_the_entry_is_filled_and_the_same_again_changes_nothing(desk: TradingDesk):
    """S3.5, S3.6, S3.7, F14, P7: the order rows, the deal's ids, one stop of what was bought, opposite side, on the tick."""
    deal = enter(desk, stop="0.9", target="1.1")
    for _ in range(3):
        (protected,) = guard(desk)
        assert not protected.pending
        assert faults_of(desk) == []
    (stop,) = legs(desk, deal, Leg.STOP)
    deal, row = read_deal(desk.database, deal.id), stop_of(desk, deal)
    assert (stop.type, stop.side, stop.quantity, stop.status) == (
        OrderType.STOP_MARKET,
        "SELL",
        Decimal("0.01"),
        OrderStatus.OPEN,
    )
    assert (stop.stop_price, deal.stop_loss_order_id) == (deal.stop_loss_price, stop.id)
    assert (row.state, row.level, row.order_id) == (StopState.RESTING, deal.stop_loss_price, stop.id)
    targets = legs(desk, deal, Leg.TARGET)
    assert [target.price for target in targets] == ([deal.take_profit_price] if desk.dialect == "binance" else [])
    assert deal.take_profit_order_id == (targets[0].id if targets else None)
    assert len(at_exchange(desk)) == (2 if desk.dialect == "binance" else 1)


def test_the_price_goes_through_the_stop(desk: TradingDesk):
    """S1.14, S3.9, F13: closed by the exchange itself, the twin cancelled, one alert however often one looks."""
    deal = enter(desk, stop="0.997", target="1.5")
    guard(desk)
    until(desk, 300, lambda: not at_exchange(desk))
    for _ in range(3):
        guard(desk)
    (stop,) = legs(desk, deal, Leg.STOP)
    assert (stop.status, position_of(desk, deal).net_quantity) == (OrderStatus.FILLED, 0)
    assert all(not order.active and not order.executed_quantity for order in legs(desk, deal, Leg.TARGET))
    assert legs(desk, deal, Leg.EXIT) == []
    deal = read_deal(desk.database, deal.id)
    assert (deal.status, deal.is_active) == (DealStatus.STOPPED, False)
    (note,) = told_of(desk, "stop")
    assert note.severity == "URGENT" and note.message.startswith("🛑 STOP LOSS TRIGGERED!")
    assert told_of(desk, "trade") == []


def test_the_price_reaches_the_target(desk: TradingDesk):
    """S3.7, F13: by the exchange where it rests there, else seen by the desk and sold at the market; one message."""
    deal = enter(desk, stop="0.5", target="1.003")
    guard(desk)
    level = read_deal(desk.database, deal.id).take_profit_price
    assert level is not None
    if desk.dialect == "binance":
        until(desk, 300, lambda: not at_exchange(desk))
    else:
        until(desk, 300, lambda: desk.last_price() > level)
    for _ in range(3):
        guard(desk)
    assert position_of(desk, deal).net_quantity == 0 and at_exchange(desk) == []
    assert [order.executed_quantity for order in legs(desk, deal, Leg.STOP)] == [0]
    price = position_of(desk, deal).exit_price
    assert price is not None and price >= level * Decimal("0.999")
    assert [note.severity for note in told_of(desk, "stop")] == []
    assert {note.severity for note in told_of(desk, "trade")} == {"INFO"}
    assert sum(note.message.startswith("🎯") for note in told_of(desk, "trade")) == 1


def test_a_stop_grows_with_an_entry_that_is_filled_in_parts(desk: TradingDesk):
    """F14, C13: at each moment what is held is guarded, never more."""
    desk.simulator.set_trading(parts=4, part_seconds=20.0)
    deal = enter(desk, stop="0.9", quantity="0.04")
    seen = set()
    for _ in range(6):
        guard(desk)
        assert faults_of(desk) == []
        seen.add(sum(Decimal(one["quantity"]) for one in at_exchange(desk)))
        desk.jump(20)
    assert seen == {Decimal("0.01"), Decimal("0.02"), Decimal("0.03"), Decimal("0.04")}
    assert position_of(desk, deal).quantity == Decimal("0.04")
    assert unguarded_ms(desk) < GAP_SECONDS * 1000


@pytest.mark.parametrize("target", [None, "1.5"])
def test_a_trailing_stop_follows_the_price_with_hardly_a_gap(desk: TradingDesk, target: str | None):
    """S3.8, O4: by the exchange's own clock; none at all where it replaces in one call, seconds with a pair."""
    deal = enter(desk, stop="0.9", target=target, trailing="0.05")
    guard(desk)
    price, levels = desk.last_price(), []
    for part in ("1.01", "1.02", "1.015", "1.03"):
        guard(desk, Told(price, high=price * Decimal(part)))
        assert faults_of(desk) == []
        levels.append(stop_of(desk, deal).level)
    best = [Decimal(each) for each in ("1.01", "1.02", "1.02", "1.03")]
    for level, part in zip(levels, best, strict=True):
        assert level is not None and 0 <= level - price * part * Decimal("0.95") <= (RULES[desk.dialect].tick_size or 0)
    assert len(at_exchange(desk)) == (2 if desk.dialect == "binance" and target else 1)
    gap = unguarded_ms(desk)
    assert gap < GAP_SECONDS * 1000
    if desk.dialect == "binance" and target is None:
        assert gap == 0
    assert read_deal(desk.database, deal.id).status is DealStatus.UPDATED
    assert told_of(desk, "stop") == []


def test_a_price_that_falls_back_through_the_raised_stop_ends_the_position(desk: TradingDesk):
    """C9: as the backtest does with a candle whose close has passed the stop that its high has raised."""
    deal = enter(desk, stop="0.9", trailing="0.05")
    guard(desk)
    price = desk.last_price()
    guard(desk, Told(price, high=price * Decimal("1.06")))
    assert position_of(desk, deal).net_quantity == 0 and at_exchange(desk) == []
    assert len([note for note in told_of(desk, "stop") if "STOP LOSS TRIGGERED" in note.message]) == 1


def test_a_sell_signal_cancels_the_guards_and_sells_what_is_held(desk: TradingDesk):
    """O5: in this order; the fills that a stop had by then are not sold again."""
    deal = enter(desk, stop="0.9", target="1.2")
    guard(desk)
    (stop,) = [one for one in at_exchange(desk) if one["stop_price"]]
    desk.simulator.fill_by_hand(stop["number"], desk.last_price(), "0.004")
    leave(desk, deal)
    guard(desk)
    assert position_of(desk, deal).net_quantity == 0 and at_exchange(desk) == []
    assert sum(order.executed_quantity for order in legs(desk, deal, Leg.EXIT)) == Decimal("0.006")
    assert faults_of(desk) == []


def test_a_stop_that_executes_while_it_is_being_cancelled_is_not_sold_again(desk: TradingDesk):
    """O5, O3: the race of stop and exit: the exit re-reads what is held after the cancel."""
    deal = enter(desk, stop="0.9")
    guard(desk)
    leave(desk, deal)
    (stop,) = at_exchange(desk)
    price = desk.last_price()

    async def work(gateway: OrderGateway) -> Any:
        cancel = gateway.venue.cancel

        async def late(*arguments: Any) -> Any:
            desk.simulator.fill_by_hand(stop["number"], price)
            return await cancel(*arguments)

        gateway.venue.cancel = late  # type: ignore[method-assign]
        return await protect(gateway, {})

    desk.run(work)
    assert position_of(desk, deal).net_quantity == 0
    assert legs(desk, deal, Leg.EXIT) == [] and faults_of(desk) == []
    assert [note.message[:1] for note in told_of(desk, "stop")] == ["🛑"]


def test_what_is_too_little_to_sell_is_booked_as_dust(binance: TradingDesk):
    """C13: fees in the coin leave less than a lot; the deal is over, the coins stay in the wallet."""
    pay_fees_in_coins(binance)
    deal = enter(binance, stop="0.9", quantity="0.01")
    guard(binance)
    (stop,) = legs(binance, deal, Leg.STOP)
    assert stop.quantity == Decimal("0.00999")
    leave(binance, deal)
    guard(binance)
    position = position_of(binance, deal)
    assert (position.net_quantity, position.dust_quantity) == (0, Decimal("0.0000025"))
    assert not read_deal(binance.database, deal.id).is_active


def test_a_quiet_round_reads_the_ledger_once_and_asks_the_exchange_nothing(binance: TradingDesk):
    """However many positions there are."""
    for _ in range(4):
        enter(binance)
    guard(binance)

    async def work(gateway: OrderGateway) -> tuple[int, int]:
        transact, calls = gateway.transact, []

        async def counted(work: Any) -> Any:
            calls.append(work)
            return await transact(work)

        gateway.transact = counted  # type: ignore[method-assign]
        before = len(binance.simulator.journal())
        found = await protect(gateway, {binance.market: Quote.of_price(float(binance.last_price()), binance.clock())})
        assert [each.words[0][:7] for each in found] == ["guarded"] * 4
        return len(calls), len(binance.simulator.journal()) - before

    assert binance.run(work) == (1, 0)


def guard_without(binance: TradingDesk, told: Told | None, **lacks: bool) -> list[Protected]:
    """Do a round at an exchange that lacks something."""

    async def work(gateway: OrderGateway) -> list[Protected]:
        gateway.venue.features = replace(gateway.venue.features, **lacks)
        return await protect(gateway, {} if told is None else {binance.market: await quote_now(gateway, binance, told)})

    return binance.run(work)


def test_where_the_exchange_has_no_stops_the_desk_leaves_at_the_market(binance: TradingDesk):
    """X23, S3.9, S1.14: Wallex; nothing goes out before the price is there, then one exit and one alert."""
    lacks = {"oco": False, "stop_market": False, "stop_limit": False, "replace": False}
    deal = enter(binance, stop="0.9", target="1.2", trailing="0.05")
    price = binance.last_price()
    for told in (None, Told(price), Told(price * Decimal("0.96"), high=price)):
        guard_without(binance, told, **lacks)
        assert at_exchange(binance) == [] and stop_of(binance, deal).state is StopState.NONE
    assert abs((stop_of(binance, deal).level or 0) - price * Decimal("0.95")) <= Decimal("0.01")
    for _ in range(3):
        guard_without(binance, Told(price * Decimal("0.949")), **lacks)
    assert position_of(binance, deal).net_quantity == 0 and len(legs(binance, deal, Leg.EXIT)) == 1
    (note,) = told_of(binance, "stop")
    assert note.message.startswith("🛑 STOP LOSS TRIGGERED!") and note.severity == "URGENT"
    assert [note.message[:13] for note in told_of(binance, "trade")] == ["Position left"]


def test_a_stop_limit_that_is_passed_and_does_not_execute_is_left_at_the_market(binance: TradingDesk):
    """C10: its limit lies 1 % behind; after 15 s the position is sold and a person is told."""
    lacks = {"oco": False, "stop_market": False}
    deal = enter(binance, stop="0.9")
    guard_without(binance, None, **lacks)
    (stop,) = legs(binance, deal, Leg.STOP)
    assert stop.type is OrderType.STOP_LIMIT and stop.stop_price is not None and stop.price is not None
    assert 0 <= stop.stop_price * Decimal("0.99") - stop.price < Decimal("0.01")
    below = Told(stop.price * Decimal("0.99"))
    for seconds in (0, 10, 10):
        binance.jump(seconds)
        guard_without(binance, below, **lacks)
    assert position_of(binance, deal).net_quantity == 0
    assert legs(binance, deal, Leg.STOP)[0].status is OrderStatus.CANCELED
    (note,) = told_of(binance, "stop")
    assert "did not execute" in note.message


def test_a_position_that_is_all_dust_is_told(binance: TradingDesk):
    """C13: worth less than the smallest order before a stop could rest; the coins stay in the wallet."""
    deal = enter(binance, stop="0.1", quantity="0.00012")
    price = binance.last_price()
    guard(binance, Told(price * Decimal("0.85")), {"action": "reject", "endpoint": "POST order"})
    position = position_of(binance, deal)
    assert (position.net_quantity, position.dust_quantity) == (0, Decimal("0.00012"))
    assert [note.severity for note in told_of(binance, "trade")] == ["WARN"]
