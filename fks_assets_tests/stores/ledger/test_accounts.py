"""Accounts follow the settings, money that comes and goes is booked once, deals are made once."""

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import parse_market
from fks_assets.quant.orders import DealStatus, Mode, OrderType, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import accounts, deals, fills, journal, orders
from fks_assets.stores.ledger.accounts import AccountSpec
from fks_assets.stores.ledger.orders import ExternalOrder
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.stores.ledger.books import BTC, ETH, NOON, forgotten, intent, open_account, open_deal, sent, trade

PAPER = AccountSpec("main", Mode.PAPER, "simulated", "USDT", Decimal(10000))
LIVE = AccountSpec("live", Mode.LIVE, "binance", "USDT")


def test_the_accounts_of_the_settings_are_mirrored_once(database: Database) -> None:
    """A paper account is given its cash once, a live one waits for a person."""
    with forgotten(database) as connection:
        first = accounts.mirror(connection, [PAPER, LIVE], at_ms=NOON)
        assert [(each.name, each.mode, each.enabled) for each in first] == [("live", "live", False), ("main", "paper", True)]
        richer = AccountSpec("main", Mode.PAPER, "simulated", "USDT", Decimal(99999))
        assert accounts.mirror(connection, [LIVE, richer], at_ms=NOON + 5) == first
        assert journal.wallets(connection, "main") == {"USDT": 10000}
        assert journal.wallets(connection, "live") == {}
        assert [event.kind for event in accounts.account_events(connection, "main")] == ["created"]


def test_an_account_that_leaves_the_settings_stops_and_one_that_returns_goes_on(database: Database) -> None:
    with forgotten(database) as connection:
        accounts.mirror(connection, [PAPER, LIVE], at_ms=NOON)
        accounts.enable(connection, "live", True, by="me", reason="checked", at_ms=NOON)
        gone = accounts.mirror(connection, [], at_ms=NOON + 1)
        assert [each.enabled for each in gone] == [False, False]
        back = accounts.mirror(connection, [PAPER, LIVE], at_ms=NOON + 2)
        assert {each.name: each.enabled for each in back} == {"main": True, "live": False}
        assert [event.kind for event in accounts.account_events(connection, "live")] == ["created", "enabled", "left", "returned"]


def test_what_a_person_switched_off_stays_off(database: Database) -> None:
    with forgotten(database) as connection:
        accounts.mirror(connection, [PAPER], at_ms=NOON)
        off = accounts.enable(connection, "main", False, by="me", reason="holiday", at_ms=NOON + 1)
        assert accounts.enable(connection, "main", False, by="me", reason="again", at_ms=NOON + 2) == off
        accounts.mirror(connection, [], at_ms=NOON + 3)
        assert accounts.mirror(connection, [PAPER], at_ms=NOON + 4) == [off]
        with pytest.raises(InvalidInput, match="must be said; was empty"):
            accounts.enable(connection, "main", True, by="", reason="x", at_ms=NOON)
        with pytest.raises(InvalidInput, match="account 'other' is unknown; known: main"):
            accounts.enable(connection, "other", True, by="me", reason="x", at_ms=NOON)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (AccountSpec("main", Mode.LIVE, "binance", "USDT"), "paper money and real money do not mix, choose another name"),
        (AccountSpec("main", Mode.PAPER, "binance", "EUR"), "is in use with quote USDT, not EUR"),
        (AccountSpec("main", Mode.PAPER, "kraken", "USDT"), "is in use on binance, not kraken"),
    ],
)
def test_an_account_in_use_does_not_become_another(database: Database, spec: AccountSpec, said: str) -> None:
    with forgotten(database) as connection:
        fence = open_account(connection)
        fills.record_fills(connection, "main", [trade(sent(connection, fence, intent(open_deal(connection))), "1")], at_ms=NOON)
        with pytest.raises(InvalidInput, match=said):
            accounts.mirror(connection, [spec], at_ms=NOON)


def test_a_flat_paper_account_may_move_to_another_exchange(database: Database) -> None:
    """`fks up --exchange binance` after a time on the simulator."""
    with forgotten(database) as connection:
        accounts.mirror(connection, [PAPER], at_ms=NOON)
        moved = accounts.mirror(connection, [AccountSpec("main", Mode.PAPER, "binance", "USDT", Decimal(10000))], at_ms=NOON + 1)
        assert (moved[0].exchange, moved[0].enabled, moved[0].changed_at) == ("binance", True, NOON + 1)
        assert journal.wallets(connection, "main") == {"USDT": 10000}
        assert open_deal(connection, BTC).market == BTC


def test_money_is_booked_once_for_each_reference(database: Database) -> None:
    """C26: deposits are flows, no profit; funding is profit, no flow."""
    with forgotten(database) as connection:
        open_account(connection)
        assert journal.deposit(connection, "main", "USDT", Decimal(50), "bank 1", at_ms=NOON + 1, by="me", note="salary")
        assert not journal.deposit(connection, "main", "USDT", Decimal("50.0"), "bank 1", at_ms=NOON + 9, by="me")
        with pytest.raises(
            InvalidInput, match="reference 'bank 1' of account main is booked already, as a deposit of other numbers"
        ):
            journal.deposit(connection, "main", "USDT", Decimal(51), "bank 1", at_ms=NOON, by="me")
        with pytest.raises(InvalidInput, match="booked already"):
            journal.adjust(connection, "main", "USDT", Decimal(50), "bank 1", at_ms=NOON, by="me")
        assert journal.withdraw(connection, "main", "USDT", Decimal(30), "bank 2", at_ms=NOON + 2, by="me")
        assert journal.adjust(connection, "main", "SOL", Decimal("0.5"), "airdrop", at_ms=NOON + 3, by="desk")
        assert journal.fund(connection, "main", "USDT", Decimal("-0.1"), "interest", at_ms=NOON + 4, by="desk")
        assert journal.wallets(connection, "main") == {"SOL": Decimal("0.5"), "USDT": Decimal("10019.9")}
        flows = journal.cash_flows(connection, "main", since_ms=NOON + 1)
        assert [(flow.kind, flow.currency, flow.amount, flow.at - NOON) for flow in flows] == [
            ("deposit", "USDT", 50, 1),
            ("withdrawal", "USDT", -30, 2),
            ("adjustment", "SOL", Decimal("0.5"), 3),
        ]
        assert journal.cash_flows(connection, "main", kinds=["deposit"], until_ms=NOON + 1)[0].reference == "initial cash"
        booking = journal.read_bookings(connection, "main", ["deposit"])[1]
        assert (booking.reference, booking.note, booking.booked_by) == ("bank 1", "salary", "me")
        assert booking.entries == (("external", "USDT", Decimal(-50)), ("wallet", "USDT", Decimal(50)))
        assert recompute(connection) == []


@pytest.mark.parametrize(
    ("what", "amount", "said"),
    [
        (journal.withdraw, Decimal(10001), "account main has 10000 USDT, less than 10001"),
        (journal.withdraw, Decimal(-1), "amount -1 is not above 0"),
        (journal.deposit, Decimal(0), "amount 0 is not above 0"),
        (journal.deposit, Decimal("NaN"), "not a finite number"),
        (journal.adjust, Decimal(0), "an adjustment of 0 changes nothing"),
        (journal.fund, Decimal(0), "funding of 0 changes nothing"),
    ],
)
def test_money_that_cannot_move_is_refused(database: Database, what: Any, amount: Decimal, said: str) -> None:
    with forgotten(database) as connection:
        open_account(connection)
        with pytest.raises(InvalidInput, match=said):
            what(connection, "main", "USDT", amount, "x", at_ms=NOON, by="me")
        with pytest.raises(InvalidInput, match="needs a reference and somebody who books it"):
            journal.deposit(connection, "main", "USDT", Decimal(1), " ", at_ms=NOON, by="me")
        with pytest.raises(InvalidInput, match="account 'nobody' is unknown"):
            journal.deposit(connection, "nobody", "USDT", Decimal(1), "x", at_ms=NOON, by="me")


def test_a_signal_makes_one_deal_for_ever(database: Database) -> None:
    """S3.18; the id is a function of account, strategy, market, timeframe and candle."""
    with forgotten(database) as connection:
        open_account(connection)
        new = deals.NewDeal(
            "main", "technical", "signals", BTC, "1h", NOON, Side.BUY, Decimal(100), Decimal(1), Decimal("0.71239"), "votes", NOON
        )
        first, is_new = deals.open_deal(connection, new)
        assert (is_new, first.confidence, first.status, first.processed_side) == (True, Decimal("0.7124"), "STARTED", "NONE")
        assert deals.open_deal(connection, new) == (first, False)
        assert open_deal(connection, ETH).id != first.id
        assert open_deal(connection, timeframe="1d").id != first.id


def test_a_deal_goes_its_way_and_a_refused_one_nowhere(database: Database) -> None:
    """S3.21's states."""
    with forgotten(database) as connection:
        fence = open_account(connection)
        deal = open_deal(connection, stop_loss_price=Decimal(90), take_profit_price=Decimal(120))
        order = sent(connection, fence, intent(deal))
        running = deals.update_deal(connection, deal.id, at_ms=NOON + 1, status=DealStatus.RUNNING, stop_loss_order_id=order.id)
        assert (running.is_active, running.stop_loss_order_id, running.updated_at) == (True, order.id, NOON + 1)
        trailing = deals.update_deal(
            connection, deal.id, at_ms=NOON, trailing_stop_distance=Decimal("0.05"), stop_loss_price=Decimal(95)
        )
        assert (trailing.trailing_stop_enabled, trailing.stop_loss_price) == (True, 95)
        over = deals.update_deal(connection, deal.id, at_ms=NOON, status=DealStatus.STOPPED)
        assert not over.is_active
        again = deals.update_deal(connection, deal.id, at_ms=NOON, status=DealStatus.RUNNING)
        assert again.is_active
        refused = open_deal(connection, number=1, refusal="the daily limit of 10 trades is reached", quantity=Decimal(0))
        assert (refused.status, refused.is_active, refused.quantity) == ("NOT_ORDERING", False, 0)
        late = deals.update_deal(connection, open_deal(connection, number=2).id, at_ms=NOON, refusal="halted")
        assert (late.status, late.is_active) == ("NOT_ORDERING", False)
        assert [each.id for each in deals.read_deals(connection, active=True, strategy="technical")] == [deal.id]
        assert len(deals.read_deals(connection, account="main", market=BTC, since_ms=NOON)) == 3
        assert deals.read_deals(connection, since_ms=NOON + 1) == []
        with pytest.raises(TypeError, match="deals have no changeable colour"):
            deals.update_deal(connection, deal.id, at_ms=NOON, colour="red")
        with pytest.raises(InvalidInput, match="deal 987654 is unknown"):
            deals.update_deal(connection, 987654, at_ms=NOON)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"price": Decimal(0)}, "deal in BTC-USDT@binance: price 0 is not above 0"),
        ({"quantity": Decimal(0)}, "quantity 0 is not above 0"),
        ({"confidence": Decimal("1.2")}, r"confidence 1\.2000 is not between 0 and 1"),
        ({"trailing_stop_distance": Decimal("0.00001")}, "trailing_stop_distance .* is not a fraction between 0 and 1"),
        ({"stop_loss_price": Decimal(0)}, "stop_loss_price 0 is not above 0"),
        (
            {"stop_loss_price": Decimal(120), "take_profit_price": Decimal(110)},
            "the stop 120 of a BUY is on the wrong side of its target 110",
        ),
        (
            {"stop_loss_price": Decimal(90), "take_profit_price": Decimal(110), "side": Side.SELL},
            "of a SELL is on the wrong side",
        ),
        ({"market": parse_market("BTC-USDT@kraken")}, "account main trades on binance"),
        ({"account": "nobody"}, "account 'nobody' is unknown; known: main"),
    ],
)
def test_a_deal_that_cannot_be_is_refused(database: Database, changes: dict[str, Any], said: str) -> None:
    with forgotten(database) as connection:
        open_account(connection)
        with pytest.raises(InvalidInput, match=said):
            open_deal(connection, **changes)


PLANS = {
    "SELECT id FROM deals WHERE market = 'BTC-USDT@binance' AND created_at >= now()": "ix_deals_market_created_at",
    "SELECT id FROM deals WHERE account = 'main' AND market = 'BTC-USDT@binance' AND is_active": "ix_deals_active",
    "SELECT id FROM orders WHERE account = 'main' AND market = 'BTC-USDT@binance' AND active": "ix_orders_active",
    "SELECT id FROM orders WHERE market = 'BTC-USDT@binance' AND created_at >= now()": "ix_orders_market_created_at",
    "SELECT id FROM fills WHERE order_id = 7": "ix_fills_order_id",
    "SELECT deal_id FROM positions WHERE account = 'main' AND market = 'A-B@c' AND closed_at IS NULL": "ix_positions_open",
}


@pytest.mark.parametrize("statement", PLANS)
def test_what_the_desk_asks_all_the_time_is_answered_by_an_index(database: Database, statement: str) -> None:
    """S3.26: indexes by market and time, and by what is active."""
    with forgotten(database) as connection:
        connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(row[0] for row in connection.execute(sa.text(f"EXPLAIN {statement}")))
        known = set(connection.scalars(sa.text("SELECT indexname FROM pg_indexes")))
    # Which of several indexes it is depends on what the planner knows of the tables by then.
    assert "Index" in plan and "Seq Scan" not in plan
    assert PLANS[statement] in known


def test_an_order_of_an_unknown_account_is_nobodys(database: Database) -> None:
    with forgotten(database) as connection:
        open_account(connection)
        with pytest.raises(InvalidInput, match="account 'nobody' is unknown"):
            fills.record_fills(
                connection, "nobody", [fills.NewFill(1, "1", Decimal(1), Decimal(1), Decimal(0), None, NOON)], at_ms=NOON
            )
        with pytest.raises(InvalidInput, match="account 'nobody' is unknown"):
            orders.adopt_order(connection, "nobody", ExternalOrder(BTC, "1", Side.BUY, OrderType.MARKET, Decimal(1), NOON))
        fence = open_account(connection, name="other")
        order = sent(connection, fence, intent(open_deal(connection)))
        with pytest.raises(InvalidInput, match=f"order {order.id} belongs to account main, not other"):
            fills.record_fills(connection, "other", [trade(order, "1")], at_ms=NOON)
        assert orders.read_orders(connection, account="other") == []
