"""Hard limits, halts and the fence stand in the transaction that writes the intent; what takes risk away passes them."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from fks_assets.errors import Denied, InvalidInput, StaleFence
from fks_assets.quant.orders import Leg, Mode, OrderStatus, OrderType, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import accounts, balances, fences, fills, halts, journal, orders
from fks_assets.stores.ledger.orders import OrderLimits
from fks_assets_tests.stores.ledger.books import (
    BTC,
    ETH,
    NOON,
    WIDE,
    forgotten,
    intent,
    open_account,
    open_deal,
    sent,
    trade,
)
from fks_assets_tests.stores.ledger.test_balances import balance

DAY = 86_400_000


def write(connection: sa.Connection, fence: fences.Fence, wanted: orders.OrderIntent, **limits: Any) -> orders.Order:
    return orders.write_intent(connection, wanted, fence=fence, limits=replace(WIDE, **limits))


def test_the_same_signal_writes_one_intent_however_often(database: Database) -> None:
    """O1, P7: re-materialising writes nothing new, whatever the price is by now."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        first = write(connection, fence, intent(deal))
        assert (first.status, first.epoch, first.submitted_at) == (OrderStatus.INTENT, fence.epoch, None)
        assert write(connection, fence, intent(deal, "0.5", at_ms=NOON + 60_000)) == first
        again = write(connection, fence, intent(deal, "0.5", generation=1))
        assert again.id != first.id
        assert again.client_order_id != first.client_order_id
        assert [order.id for order in orders.read_orders(connection, deal_id=deal.id)] == [first.id, again.id]


def test_signals_of_two_timeframes_at_one_time_have_orders_of_their_own(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        hourly, daily = open_deal(connection), open_deal(connection, timeframe="1d")
        assert hourly.signal_time == daily.signal_time
        ids = {write(connection, fence, intent(deal)).client_order_id for deal in (hourly, daily)}
        assert len(ids) == 2


@pytest.mark.parametrize(
    ("limits", "changes", "said"),
    [
        ({"max_order_notional": Decimal("99.99")}, {}, "order of 100 USDT, max_order_notional is 99.99"),
        (
            {"price_band": Decimal("0.02")},
            {"type": OrderType.LIMIT, "price": Decimal("102.01")},
            "is further than price_band 0.02",
        ),
        ({"price_band": Decimal("0.02")}, {"type": OrderType.LIMIT, "price": Decimal("97.99")}, "from the market's 100"),
        ({"max_open_orders": 1}, {}, "has 1 open orders, max_open_orders is 1"),
        ({"max_orders_per_minute": 1}, {}, "wrote 1 orders in a minute, max_orders_per_minute is 1"),
        ({}, {"quantity": Decimal("100.01")}, "order needs 10001 USDT, account main has 10000, of which 1 is promised elsewhere"),
        ({}, {"quantity": Decimal(1), "side": Side.SELL}, "order needs 1 BTC, account main has 0"),
    ],
)
def test_an_entry_beyond_a_limit_is_denied_by_its_name(
    database: Database, limits: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    """O8; at the bound itself it passes."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        write(connection, fence, intent(open_deal(connection, ETH), "0.01"))
        deal = open_deal(connection, number=1)
        with pytest.raises(Denied, match=said) as denied:
            write(connection, fence, intent(deal, **changes), **limits)
        assert "\n" not in str(denied.value)
        assert orders.read_orders(connection, deal_id=deal.id) == []


def test_an_entry_at_the_bounds_passes(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        bounds = {
            "max_order_notional": Decimal(102),
            "price_band": Decimal("0.02"),
            "max_open_orders": 1,
            "max_orders_per_minute": 1,
        }
        assert write(connection, fence, intent(deal, type=OrderType.LIMIT, price=Decimal(102)), **bounds).quantity == 1


def test_orders_of_more_than_a_minute_ago_and_those_that_are_over_do_not_count(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = sent(connection, fence, intent(open_deal(connection)))
        later = intent(open_deal(connection, number=1), at_ms=NOON + 60_000)
        with pytest.raises(Denied, match="max_open_orders"):
            write(connection, fence, later, max_open_orders=1)
        orders.transition(connection, order.id, OrderStatus.CANCELED, at_ms=NOON)
        with pytest.raises(Denied, match="max_orders_per_minute"):
            write(connection, fence, replace(later, at_ms=NOON + 59_999), max_orders_per_minute=1)
        assert write(connection, fence, later, max_open_orders=1, max_orders_per_minute=1).status is OrderStatus.INTENT


def test_a_runaway_strategy_is_stopped_at_the_limit(database: Database) -> None:
    """O8: of a thousand orders in a minute ten are written."""
    written = 0
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        for number in range(1000):
            try:
                write(connection, fence, intent(deal, "0.01", generation=number), max_orders_per_minute=10)
                written += 1
            except Denied:
                continue
    assert written == 10


def test_a_day_of_losses_ends_new_risk_until_the_next_day(database: Database) -> None:
    """O8: 500 of the day's first 10,000 are 5 %."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        midnight = NOON - NOON % DAY
        balances.record_balance(connection, balance(midnight - 1, equity="10000", daily="-9000"))
        deal = open_deal(connection)
        assert write(connection, fence, intent(deal), max_daily_loss=Decimal("0.05"))
        balances.record_balance(connection, balance(NOON - 5, equity="9500.01", daily="-499.99"))
        assert write(connection, fence, intent(deal, generation=1), max_daily_loss=Decimal("0.05"))
        balances.record_balance(connection, balance(NOON - 4, equity="9500", daily="-500"))
        with pytest.raises(Denied, match=r"has lost 500 of 10000 since 2026-01-01T00:00:00Z, max_daily_loss is 0\.05"):
            write(connection, fence, intent(deal, generation=2), max_daily_loss=Decimal("0.05"))
        tomorrow = intent(deal, generation=2, at_ms=midnight + DAY)
        assert write(connection, fence, tomorrow, max_daily_loss=Decimal("0.05"))


@pytest.mark.parametrize(
    ("scope", "name"), [("desk", ""), ("account", "main"), ("strategy", "technical"), ("market", "BTC-USDT@binance")]
)
def test_a_halt_stops_new_risk_and_lets_stops_and_exits_pass(database: Database, scope: str, name: str) -> None:
    """C16 (hummingbot#2534, #1145): stops stay guarded and closing is allowed; an intent that was not sent yet is not sent."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        fills.record_fills(connection, "main", [trade(sent(connection, fence, intent(deal)), "1")], at_ms=NOON)
        waiting = write(connection, fence, intent(open_deal(connection, number=1)))
        halt = halts.halt(connection, scope, name, reason="drill", by="test", at_ms=NOON)
        with pytest.raises(Denied, match=r"is halted: drill"):
            write(connection, fence, intent(open_deal(connection, number=2)))
        with pytest.raises(Denied, match=r"is halted: drill"):
            orders.transition(connection, waiting.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=fence)
        for leg in (Leg.STOP, Leg.TARGET, Leg.EXIT):
            assert sent(connection, fence, intent(deal, leg=leg)).status is OrderStatus.OPEN
        assert halts.in_force(connection, at_ms=NOON) == [halt]
        halts.resume(connection, scope, name, reason="drill over", by="test", at_ms=NOON + 1)
        assert orders.transition(connection, waiting.id, OrderStatus.SUBMITTING, at_ms=NOON + 1, fence=fence).active


def test_a_halt_with_an_end_ends_by_itself_and_others_do_not_touch_it(database: Database) -> None:
    with forgotten(database) as connection:
        halts.halt(connection, "market", BTC.key, reason="spike", by="desk", at_ms=NOON, until_ms=NOON + 10)
        halts.halt(connection, "market", ETH.key, reason="spike", by="desk", at_ms=NOON)
        assert halts.halted(connection, "market", BTC.key, at_ms=NOON + 9) is not None
        assert halts.halted(connection, "market", BTC.key, at_ms=NOON + 10) is None
        assert [halt.name for halt in halts.in_force(connection, at_ms=NOON + 10)] == [ETH.key]
        assert [halt.halted for halt in halts.halt_history(connection)] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("world", "x", "why", "me"), "scope 'world' is unknown; known: desk, account, strategy, market"),
        (("desk", "main", "why", "me"), "was desk 'main'"),
        (("account", "", "why", "me"), "was account ''"),
        (("desk", "", " ", "me"), "must be said; was empty"),
        (("desk", "", "why", ""), "must be said; was empty"),
    ],
)
def test_a_halt_without_sense_is_refused(database: Database, arguments: tuple[str, ...], said: str) -> None:
    scope, name, reason, by = arguments
    with forgotten(database) as connection:
        with pytest.raises(InvalidInput, match=said):
            halts.halt(connection, scope, name, reason=reason, by=by, at_ms=NOON)
        with pytest.raises(InvalidInput, match="before it begins"):
            halts.halt(connection, "desk", "", reason="why", by="me", at_ms=NOON, until_ms=NOON)
        with pytest.raises(InvalidInput, match="desk is not halted"):
            halts.resume(connection, "desk", "", reason="why", by="me", at_ms=NOON)


def test_a_market_with_an_unknown_order_is_frozen_for_entries_alone(database: Database) -> None:
    """O2: the symbol is frozen until it is known what became of the order."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        fills.record_fills(connection, "main", [trade(sent(connection, fence, intent(deal)), "1")], at_ms=NOON)
        lost = write(connection, fence, intent(open_deal(connection, number=1)))
        orders.transition(connection, lost.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=fence)
        orders.transition(connection, lost.id, OrderStatus.UNKNOWN, at_ms=NOON)
        with pytest.raises(
            Denied, match=f"BTC-USDT@binance is frozen in account main: what became of order {lost.id} is unknown"
        ):
            write(connection, fence, intent(open_deal(connection, number=2)))
        assert write(connection, fence, intent(open_deal(connection, ETH, 2)))
        assert write(connection, fence, intent(deal, leg=Leg.EXIT))
        orders.transition(connection, lost.id, OrderStatus.ABSENT, at_ms=NOON)
        assert write(connection, fence, intent(open_deal(connection, number=2)))


def test_nothing_is_sold_that_the_position_does_not_hold(database: Database) -> None:
    """O5: never short on spot, never the coins of another deal."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        journal.deposit(connection, "main", "BTC", Decimal(5), "coins", at_ms=NOON, by="test")
        deal, other = open_deal(connection), open_deal(connection, number=1)
        with pytest.raises(Denied, match=f"SELL of 1 BTC would exceed the position of deal {deal.id}, 0"):
            write(connection, fence, intent(deal, leg=Leg.STOP))
        fills.record_fills(connection, "main", [trade(sent(connection, fence, intent(other, "2")), "1", "2")], at_ms=NOON)
        with pytest.raises(Denied, match="BUY of 1 BTC would exceed the position"):
            write(connection, fence, intent(other, leg=Leg.EXIT, side=Side.BUY))
        assert write(connection, fence, intent(other, "2", leg=Leg.EXIT)).quantity == 2
        short = open_deal(connection, number=2, side=Side.SELL)
        with pytest.raises(Denied, match="order needs 6 BTC, account main has 7, of which 2 is promised elsewhere"):
            write(connection, fence, intent(short, "6"))
        assert write(connection, fence, intent(short, "5")).side is Side.SELL


def test_only_an_account_that_may_trade_takes_new_risk(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        accounts.enable(connection, "main", False, by="me", reason="holiday", at_ms=NOON)
        with pytest.raises(Denied, match="account main may not trade: enable it first"):
            write(connection, fence, intent(deal))
    with forgotten(database) as connection:
        fence = open_account(connection, Mode.ALERT, "0")
        deal = open_deal(connection, ordering=False)
        assert (deal.status, deal.is_active) == ("NOT_ORDERING", True)
        with pytest.raises(Denied, match="is in alert mode: a person sends its orders"):
            write(connection, fence, intent(deal))
        recorded, is_new = orders.record_order(connection, intent(deal), "77")
        assert (is_new, recorded.status, recorded.exchange_order_id, recorded.epoch) == (True, OrderStatus.OPEN, "77", 0)
        assert orders.record_order(connection, intent(deal), "77") == (recorded, False)
        fills.record_fills(connection, "main", [trade(recorded, "1")], at_ms=NOON)
        assert journal.wallets(connection, "main") == {"BTC": 1, "USDT": -100}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantity": Decimal(0)}, "quantity 0 is not above 0"),
        ({"price": Decimal("-1")}, "price -1 is not above 0"),
        ({"stop_price": Decimal("NaN")}, "not a finite number"),
        ({"reference_price": None}, "no reference_price to judge its limits by"),
    ],
)
def test_an_intent_that_is_none_is_refused(database: Database, changes: dict[str, Any], said: str) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        with pytest.raises(InvalidInput, match=said):
            write(connection, fence, replace(intent(open_deal(connection)), **changes))


@pytest.mark.parametrize("name", ["max_order_notional", "max_open_orders", "max_daily_loss"])
def test_a_limit_below_zero_is_none(name: str) -> None:
    values = {"max_order_notional": Decimal(1), "max_open_orders": 1, "max_orders_per_minute": 1}
    values |= {"max_daily_loss": Decimal(1), "price_band": Decimal(1)}
    with pytest.raises(InvalidInput, match=f"limit {name} -1 is below 0"):
        OrderLimits(**(values | {name: Decimal(-1)}))


def test_who_lost_the_fence_writes_nothing(database: Database) -> None:
    """P3: two daemons; the older one neither writes an intent nor submits one that it wrote before."""
    with forgotten(database) as connection:
        old = open_account(connection)
        deal = open_deal(connection)
        written = write(connection, old, intent(deal))
        new = fences.take(connection, "trading", "other", at_ms=NOON)
        assert new.epoch == old.epoch + 1
        said = f"fence 'trading': test held epoch {old.epoch}, other has it since epoch {new.epoch}: it may not trade any more"
        for attempt in (
            lambda: write(connection, old, intent(deal)),
            lambda: write(connection, old, intent(deal, generation=1)),
            lambda: orders.transition(connection, written.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=old),
        ):
            with pytest.raises(StaleFence, match=said):
                attempt()
        assert orders.transition(connection, written.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=new).active
        with pytest.raises(StaleFence, match="nobody has taken it"):
            fences.check(connection, fences.Fence("none", 1, "x"))
