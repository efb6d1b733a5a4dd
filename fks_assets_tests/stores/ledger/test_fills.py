"""Fills are the ledger: any order of arrival, duplicates, fills after a cancel, fees in any coin, dust; always the same books."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.orders import Leg, Mode, OrderStatus, OrderType, PositionSide, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import deals, fills, journal, orders, positions
from fks_assets.stores.ledger.fills import NewFill
from fks_assets.stores.ledger.orders import ExternalOrder
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.amounts import tries
from fks_assets_tests.stores.ledger.books import (
    BTC,
    ETH,
    NOON,
    books_of,
    forgotten,
    hold_now,
    intent,
    open_account,
    open_deal,
    sent,
    trade,
)

EVENTS = 9
VALUE_CHECK = "ck_fills_value_of_price_and_quantity"


def happenings(connection) -> list[tuple[str, NewFill | int]]:
    """Three orders of two deals, six trades, and the cancel of two of the orders after trades of theirs."""
    fence = open_account(connection, Mode.LIVE, "0")
    journal.adjust(connection, "main", "USDT", Decimal(10000), "found", at_ms=NOON, by="test")
    journal.adjust(connection, "main", "BTC", Decimal(5), "found too", at_ms=NOON, by="test")
    first = sent(connection, fence, intent(open_deal(connection), "2"))
    second = sent(connection, fence, intent(open_deal(connection, ETH, 1), "3"))
    third = sent(connection, fence, intent(open_deal(connection, BTC, 2, Side.SELL), "1"))
    trades = [
        trade(first, "1", "0.5", "100.1", "0.0005", fee_currency="BTC", traded_at=NOON + 5),
        trade(first, "2", "0.7", "100.3", "0.07", traded_at=NOON + 9),
        trade(second, "1", "3", "10.01", "0.001", fee_currency="BNB", traded_at=NOON + 2),
        trade(third, "3", "0.6", "101", "-0.01", traded_at=NOON + 3),
        trade(third, "4", "0.4", "102", traded_at=NOON + 1),
        trade(first, "5", "0.1", "99", traded_at=NOON + 7),
    ]
    return [*(("trade", each) for each in trades), ("cancel", first.id), ("cancel", third.id), ("again", trades[1])]


@settings(max_examples=tries(20, 120), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(EVENTS)), cuts=st.lists(st.integers(1, EVENTS - 1), max_size=4), repeats=st.integers(1, 3))
def test_any_order_of_arrival_gives_the_same_books(database: Database, order: list[int], cuts: list[int], repeats: int) -> None:
    """O3, C13, C15: cancels and fills, in batches, doubled, in any order; compared with the order in which they happened."""
    with forgotten(database) as connection:
        events = happenings(connection)
        start = connection.begin_nested()
        play(connection, [[event] for event in events])
        expected = books_of(connection)
        start.rollback()
        parts = [0, *sorted(set(cuts)), EVENTS]
        shuffled = [events[place] for place in order]
        for _ in range(repeats):
            play(connection, [shuffled[begin:end] for begin, end in pairwise(parts)])
            hold_now(connection)
            assert recompute(connection) == []
        assert books_of(connection) == expected
        statuses = {each[0]: each[1] for each in expected["orders"]}
    assert sorted(statuses.values()) == ["CANCELED", "FILLED", "FILLED"]


def play(connection, batches) -> None:
    for batch in batches:
        told = [event for kind, event in batch if kind != "cancel"]
        for order_id in (event for kind, event in batch if kind == "cancel"):
            if orders.read_order(connection, order_id).active:
                orders.transition(connection, order_id, OrderStatus.CANCELED, at_ms=NOON)
        fills.record_fills(connection, "main", [*told, *told[:1]], at_ms=NOON)


def test_a_fee_in_the_base_coin_leaves_the_position(database: Database) -> None:
    """Buying 0.01 BTC and paying 0.00001 of it leaves 0.00999 to sell, no more (C13: freqtrade#12343 sold 196.5 of 172.1)."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        entry = sent(connection, fence, intent(deal, "0.01"))
        fills.record_fills(connection, "main", [trade(entry, "1", "0.01", "50000", "0.00001", fee_currency="BTC")], at_ms=NOON)
        bought = positions.read_positions(connection)[0]
        assert (bought.quantity, bought.entry_price, bought.fee_base) == (Decimal("0.00999"), 50000, Decimal("0.00001"))
        assert journal.wallets(connection, "main") == {"USDT": Decimal(9500), "BTC": Decimal("0.00999")}
        with pytest.raises(InvalidInput, match=r"SELL of 0\.01 BTC would exceed the position of deal \d+, 0.00999"):
            sent(connection, fence, intent(deal, "0.01", Leg.EXIT))
        exit_ = sent(connection, fence, intent(deal, "0.00999", Leg.EXIT))
        fills.record_fills(connection, "main", [trade(exit_, "2", "0.00999", "51000", "0.50949")], at_ms=NOON)
        sold = positions.read_positions(connection)[0]
        # 0.00999 * 51000 - 0.01 * 50000 - 0.50949
        assert (sold.is_open, sold.pnl, sold.exit_price) == (False, Decimal("8.98051"), 51000)
        assert journal.wallets(connection, "main")["USDT"] == Decimal("10008.98051")
        assert positions.fees(connection, deal.id) == {"BTC": Decimal("0.00001"), "USDT": Decimal("0.50949")}
        assert deals.read_deal(connection, deal.id).processed_side == "BUY_AND_SELL"


def test_a_fee_in_a_third_coin_is_paid_from_its_wallet(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        journal.deposit(connection, "main", "BNB", Decimal("0.5"), "bnb", at_ms=NOON, by="test")
        deal = open_deal(connection)
        entry = sent(connection, fence, intent(deal))
        fills.record_fills(connection, "main", [trade(entry, "1", fee="0.01", fee_currency="BNB")], at_ms=NOON)
        assert journal.wallets(connection, "main") == {"BNB": Decimal("0.49"), "BTC": 1, "USDT": 9900}
        position = positions.read_positions(connection)[0]
        assert (position.fees_quote, position.fee_base, position.quantity) == (0, 0, 1)
        assert positions.fees(connection, deal.id) == {"BNB": Decimal("0.01")}


def test_the_profit_of_a_half_closed_position_is_that_of_a_hand_calculation(database: Database) -> None:
    """Bought 2 at 100 and 2 at 110 with a fee of 1 each, sold 1 at 130 with a fee of 1, marked at 120: average 105;
    realised 130 - 105 - 3 = 22, unrealised 3 * 15 = 45, together 67 of 420."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        entry = sent(connection, fence, intent(deal, "4"))
        fills.record_fills(
            connection, "main", [trade(entry, "1", "2", "100", "1"), trade(entry, "2", "2", "110", "1")], at_ms=NOON
        )
        assert positions.read_positions(connection)[0].pnl is None
        exit_ = sent(connection, fence, intent(deal, "1", Leg.EXIT))
        fills.record_fills(connection, "main", [trade(exit_, "3", "1", "130", "1")], at_ms=NOON)
        positions.mark(connection, {BTC: Decimal(120)}, at_ms=NOON + 5)
        positions.mark(connection, {BTC: Decimal(1)}, at_ms=NOON + 4)
        position = positions.read_positions(connection)[0]
    assert (position.entry_price, position.realised_pnl, position.unrealised_pnl, position.pnl) == (105, 22, 45, 67)
    assert Fraction(round(position.pnl_fraction, 12)) == round(Fraction(67, 420), 12)
    assert (position.mark_price, position.marked_at) == (120, NOON + 5)


def test_a_short_position_gains_when_the_price_falls(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        journal.deposit(connection, "main", "BTC", Decimal(2), "coins", at_ms=NOON, by="test")
        deal = open_deal(connection, side=Side.SELL)
        entry = sent(connection, fence, intent(deal, "2"))
        fills.record_fills(connection, "main", [trade(entry, "1", "2", "100", "1")], at_ms=NOON)
        positions.mark(connection, {BTC: Decimal(90)}, at_ms=NOON)
        position = positions.read_positions(connection)[0]
        assert (position.side, position.quantity, position.unrealised_pnl, position.pnl) == (PositionSide.SHORT, 2, 20, 19)
        cover = sent(connection, fence, intent(deal, "2", Leg.EXIT))
        fills.record_fills(connection, "main", [trade(cover, "2", "2", "80", "1")], at_ms=NOON)
        closed = positions.read_positions(connection)[0]
        assert (closed.is_open, closed.pnl, closed.pnl_fraction) == (False, 38, Decimal("0.19"))


def test_what_is_too_little_to_sell_is_booked_as_dust(database: Database) -> None:
    """C12 (freqtrade#7586): the position closes, the coins stay in the wallet, and the next position is none the larger."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        entry = sent(connection, fence, intent(deal))
        fills.record_fills(connection, "main", [trade(entry, "1")], at_ms=NOON)
        exit_ = sent(connection, fence, intent(deal, "0.99", Leg.EXIT))
        fills.record_fills(connection, "main", [trade(exit_, "2", "0.99", "110")], at_ms=NOON)
        closed = positions.book_dust(connection, deal.id, at_ms=NOON + 7, by="desk")
        assert (closed.is_open, closed.dust_quantity, closed.closed_at) == (False, Decimal("0.01"), NOON + 7)
        assert closed.pnl == Decimal("8.9")  # 0.99 * 110 - 100
        assert journal.wallets(connection, "main")["BTC"] == Decimal("0.01")
        with pytest.raises(InvalidInput, match="there is no dust"):
            positions.book_dust(connection, deal.id, at_ms=NOON, by="desk")
        hold_now(connection)
        assert recompute(connection) == []
        again = open_deal(connection, number=1)
        fills.record_fills(connection, "main", [trade(sent(connection, fence, intent(again)), "3")], at_ms=NOON)
        assert positions.read_positions(connection, is_open=True)[0].quantity == 1


def test_a_fill_after_the_cancel_opens_the_position_again(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        order = sent(connection, fence, intent(deal, "2"))
        orders.transition(connection, order.id, OrderStatus.CANCELED, at_ms=NOON)
        fills.record_fills(connection, "main", [trade(order, "late", "0.5")], at_ms=NOON)
        after = orders.read_order(connection, order.id)
        assert (after.status, after.active, after.executed_quantity) == (OrderStatus.CANCELED, False, Decimal("0.5"))
        assert after.remaining_quantity == Decimal("1.5")
        assert positions.read_positions(connection, is_open=True)[0].quantity == Decimal("0.5")


def test_a_trade_that_is_told_with_other_numbers_is_refused_and_changes_nothing(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = sent(connection, fence, intent(open_deal(connection), "2"))
        known = trade(order, "1", "0.5", "100", "0.1")
        fills.record_fills(connection, "main", [known], at_ms=NOON)
        before = books_of(connection)
        for other in (replace(known, price=Decimal(101)), replace(known, fee=Decimal(0)), replace(known, fee_currency="BNB")):
            with pytest.raises(
                InvalidInput, match=r"trade 1 in BTC-USDT@binance is booked as 0\.5 at 100 with a fee of 0\.1 USDT"
            ):
                fills.record_fills(connection, "main", [trade(order, "2", "0.1"), other], at_ms=NOON)
        same = replace(known, price=Decimal("100.00"), traded_at=NOON + 999, is_maker=True)
        assert fills.record_fills(connection, "main", [same], at_ms=NOON) == []
        assert books_of(connection) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantity": Decimal("1.1")}, r"order \d+ is of 1, its fills would be 1\.1"),
        ({"quantity": Decimal(0)}, "0 at 100, both must be above 0"),
        ({"price": Decimal("NaN")}, "not a finite number"),
        ({"price": Decimal(-1)}, "1 at -1, both must be above 0"),
        ({"quantity": Decimal("0.1234567890123456789")}, "outside 20 digits before and 18 after the point"),
        ({"fee": Decimal(1), "fee_currency": None}, "a fee of 1 has no currency"),
        ({"trade_id": ""}, "has no id"),
        ({"order_id": 987654}, "order 987654 is unknown"),
    ],
)
def test_a_fill_that_cannot_be_is_refused_in_one_line(database: Database, changes: dict[str, object], said: str) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = sent(connection, fence, intent(open_deal(connection)))
        with pytest.raises(InvalidInput, match=said) as refused:
            fills.record_fills(connection, "main", [replace(trade(order, "1"), **changes)], at_ms=NOON)
    assert "\n" not in str(refused.value)


def test_a_float_never_becomes_a_fill(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = sent(connection, fence, intent(open_deal(connection)))
        with pytest.raises(TypeError, match="floats enter by from_analytics alone"):
            fills.record_fills(connection, "main", [replace(trade(order, "1"), price=100.0)], at_ms=NOON)


def test_a_paper_account_cannot_spend_what_it_has_not_and_a_live_one_says_since_when_it_owes(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection, Mode.PAPER, "100")
        order = sent(connection, fence, intent(open_deal(connection)))
        with pytest.raises(InvalidInput, match=r"paper account main would have -1\.5 USDT"), connection.begin_nested():
            fills.record_fills(connection, "main", [trade(order, "1", price="101.5")], at_ms=NOON)
    with forgotten(database) as connection:
        fence = open_account(connection, Mode.LIVE, "0")
        journal.adjust(connection, "main", "USDT", Decimal(100), "found", at_ms=NOON, by="test")
        order = sent(connection, fence, intent(open_deal(connection)))
        fills.record_fills(connection, "main", [trade(order, "1", price="101.5", traded_at=NOON + 3)], at_ms=NOON)
        assert journal.short_wallets(connection, "main") == {"USDT": NOON + 3}
        journal.adjust(connection, "main", "USDT", Decimal("1.5"), "found more", at_ms=NOON + 4, by="test")
        assert journal.short_wallets(connection, "main") == {}


def test_amounts_of_38_digits_are_booked_without_losing_one(database: Database) -> None:
    """reliability.md §4: Python's operators would round at 28 digits, SQLite at 15."""
    price, quantity = Decimal("12345678901.123456789012345678"), Decimal("9.000000000000000007")
    exact = Fraction(price) * Fraction(quantity) * 10**18
    value = Decimal(int(exact + Fraction(1, 2)))
    with forgotten(database) as connection:
        fence = open_account(connection, cash="99999999999999999999.999999999999999999")
        deal = open_deal(connection)
        order = sent(connection, fence, intent(deal, quantity, reference_price=price))
        stored = fills.record_fills(connection, "main", [replace(trade(order, "1"), price=price, quantity=quantity)], at_ms=NOON)
        assert Fraction(stored[0].value) * 10**18 == Fraction(value)
        owned = journal.wallets(connection, "main")
        assert Fraction(owned["USDT"]) * 10**18 == 10**38 - 1 - Fraction(value)
        assert Fraction(positions.read_positions(connection)[0].net_quantity) == Fraction(quantity)
        hold_now(connection)
        assert recompute(connection) == []


def test_orders_of_others_grow_with_their_fills_and_belong_to_no_deal(database: Database) -> None:
    """O7: what somebody else orders on our account moves the wallets and no position."""
    with forgotten(database) as connection:
        open_account(connection)
        external = ExternalOrder(BTC, "77", Side.BUY, OrderType.MARKET, Decimal(1), NOON, detail={"by": "the app"})
        order, is_new = orders.adopt_order(connection, "main", external)
        assert (is_new, order.leg, order.deal_id, order.status) == (True, Leg.EXTERNAL, None, OrderStatus.OPEN)
        fills.record_fills(connection, "main", [trade(order, "a", "0.4"), trade(order, "b", "0.7")], at_ms=NOON)
        grown = orders.read_order(connection, order.id)
        assert (grown.quantity, grown.executed_quantity, grown.status) == (Decimal("1.1"), Decimal("1.1"), OrderStatus.FILLED)
        assert positions.read_positions(connection) == []
        assert journal.wallets(connection, "main") == {"BTC": Decimal("1.1"), "USDT": 9890}
        hold_now(connection)


def test_fills_are_read_by_order_deal_market_and_time(database: Database) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection)
        order = sent(connection, fence, intent(deal))
        other = sent(connection, fence, intent(open_deal(connection, ETH, 1)))
        told = [
            trade(order, "9", "0.5", traded_at=NOON + 2),
            trade(order, "7", "0.5", traded_at=NOON),
            trade(other, "1", traded_at=NOON + 1),
        ]
        stored = fills.record_fills(connection, "main", told, at_ms=NOON)
        assert [fill.trade_id for fill in stored] == ["9", "7", "1"]
        assert [fill.trade_id for fill in fills.read_fills(connection)] == ["7", "1", "9"]
        assert [fill.trade_id for fill in fills.read_fills(connection, deal_id=deal.id)] == ["7", "9"]
        assert [fill.trade_id for fill in fills.read_fills(connection, market=ETH, order_id=other.id)] == ["1"]
        assert [fill.trade_id for fill in fills.read_fills(connection, since_ms=NOON + 1, until_ms=NOON + 2)] == ["1"]


def test_a_recomputation_finds_what_was_forged(database: Database) -> None:
    """The check of the checks: with the triggers away, every kind of forgery is found."""
    forgeries = {
        "order": "UPDATE orders SET executed_sum = executed_sum + 1",
        "position of deal": "UPDATE positions SET sold_sum = 1",
        "wallet main USDT": "UPDATE wallets SET amount = amount + 0.000000000000000001 WHERE currency = 'USDT'",
        "sum of booking": "UPDATE journal_entries SET amount = amount + 1 WHERE book = 'external'",
        "entries of fill": "UPDATE journal_entries SET amount = 2 * amount WHERE book = 'market'",
        "value of fill": f"ALTER TABLE fills DROP CONSTRAINT {VALUE_CHECK}; UPDATE fills SET value = value + 1",
    }
    with forgotten(database) as connection:
        fence = open_account(connection)
        order = sent(connection, fence, intent(open_deal(connection)))
        fills.record_fills(connection, "main", [trade(order, "1", "0.5")], at_ms=NOON)
        hold_now(connection)
        assert recompute(connection) == []
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for what, forgery in forgeries.items():
            attempt = connection.begin_nested()
            connection.exec_driver_sql(forgery)
            assert any(str(difference).startswith(what) for difference in recompute(connection)), what
            attempt.rollback()
