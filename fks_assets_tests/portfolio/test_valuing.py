"""What an account is worth: margin, the UTC day's profit, profit without deposits, the time-weighted return; marks of positions.

Numbers are worked out by hand; the return is checked against the product of the returns between the flows.
"""

import asyncio
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from fks_assets.desk.budget import budget
from fks_assets.desk.floor import Floor
from fks_assets.desk.valuing import balance_of, balances_document, mark_positions, take_balance
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.orders import Leg, Mode, Side
from fks_assets.settings import read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import journal
from fks_assets.stores.ledger.balances import read_balances
from fks_assets.stores.ledger.fills import record_fills
from fks_assets.stores.ledger.positions import mark, read_positions
from fks_assets_tests.portfolio.test_deciding import Feed
from fks_assets_tests.portfolio.test_risk_gate import account_rules
from fks_assets_tests.stores.ledger import books
from fks_assets_tests.stores.ledger.books import BTC, ETH, NOON

MINUTE, DAY = 60_000, 86_400_000
MIDNIGHT = NOON + DAY // 2


@pytest.fixture
def floor(database: Database, home: Path) -> Floor:
    """The floor of a desk with the paper account `main` of 10,000 USDT, whose clock shows noon."""
    settings = read_settings({"FKS_HOME": str(home), "FKS_EXCHANGE": "binance"}, home)
    with database.transaction() as connection:
        books.open_account(connection, Mode.PAPER)
    return Floor(database, settings, lambda exchange: Feed(), lambda: NOON)


def trade(floor: Floor, side: Side, quantity: str, price: str, at_ms: int = NOON, number: int = 0, fee: str = "0") -> None:
    with floor.database.transaction() as connection:
        fence = books.fences.take(connection, "main", "test", at_ms=at_ms)
        deal = books.open_deal(connection, number=number)
        leg = Leg.ENTRY if side is Side.BUY else Leg.EXIT
        order = books.sent(connection, fence, books.intent(deal, quantity, leg, at_ms=at_ms), f"{number}{side}{price}")
        record_fills(
            connection,
            "main",
            [books.trade(order, f"{number}{side}{price}", quantity, price, fee, traded_at=at_ms)],
            at_ms=at_ms,
        )


def balance(floor: Floor, at_ms: int):
    later = replace(floor, clock=lambda: at_ms)
    return take_balance(later, later.account("main"))


def test_positions_are_marked_with_the_price_now_else_with_the_newest_close(floor: Floor) -> None:
    """S2.3: latest price, unrealised PnL of a LONG, PnL %; 2 bought at 100 are 5 % up at 105."""
    trade(floor, Side.BUY, "2", "100")
    feed = Feed({BTC: 105.0})
    marked = asyncio.run(mark_positions(replace(floor, prices=lambda exchange: feed), floor.account("main")))
    assert marked.missing == []
    [position] = read_positions(floor.database)
    assert (position.unrealised_pnl, position.pnl_fraction) == (10, Decimal("0.05"))
    feed.now = {}
    feed.last_close = lambda market: Quote.of_price(98.0, NOON + 20 * DAY)  # type: ignore[method-assign]
    asyncio.run(mark_positions(replace(floor, prices=lambda exchange: feed), floor.account("main")))
    [position] = read_positions(floor.database)
    assert (position.mark_price, position.unrealised_pnl) == (98, -4)
    feed.last_close = lambda market: None  # type: ignore[method-assign]
    lost = asyncio.run(mark_positions(replace(floor, prices=lambda exchange: feed), floor.account("main")))
    assert lost.missing == [BTC] and read_positions(floor.database)[0].mark_price == 98


def test_a_short_gains_when_the_price_falls(floor: Floor) -> None:
    """S2.3: a SELL deal is a SHORT; 2 sold at 100 are 20 up at 90."""
    with floor.database.transaction() as connection:
        fence = books.fences.take(connection, "main", "test", at_ms=NOON)
        journal.deposit(connection, "main", "ETH", Decimal(2), "coins", at_ms=NOON, by="Ada")
        deal = books.open_deal(connection, ETH, side=Side.SELL)
        order = books.sent(connection, fence, books.intent(deal, "2"), "short")
        record_fills(connection, "main", [books.trade(order, "short", "2", "100")], at_ms=NOON)
        mark(connection, {ETH: Decimal(90)}, at_ms=NOON)
        worth = balance_of(connection, floor.account("main"), at_ms=NOON + 1)
    [position] = read_positions(floor.database)
    assert (position.side, position.unrealised_pnl, position.pnl_fraction) == ("SHORT", 20, Decimal("0.1"))
    assert (worth.cash, worth.position_value, worth.unrealised_pnl, worth.margin_used) == (10_200, -180, 20, 200)


def test_a_short_binds_the_share_of_its_strategy_as_a_long_does(floor: Floor) -> None:
    """S3.10: half of 10,000 is the strategy's; 10 sold at 100 bind 1,000 of it, and 600 once 4 are bought back."""
    rules = account_rules(strategies={"technical": 0.5, "breakout": 0.5})
    with floor.database.transaction() as connection:
        fence = books.fences.take(connection, "main", "test", at_ms=NOON)
        journal.deposit(connection, "main", "ETH", Decimal(10), "coins", at_ms=NOON, by="Ada")
        deal = books.open_deal(connection, ETH, side=Side.SELL)
        for leg, quantity, left in ((Leg.ENTRY, "10", 4_000), (Leg.EXIT, "4", 4_400)):
            order = books.sent(connection, fence, books.intent(deal, quantity, leg), quantity)
            record_fills(connection, "main", [books.trade(order, quantity, quantity, "100")], at_ms=NOON)
            assert budget(connection, floor.account("main"), rules, "technical") == (left, 5_000)


def test_equity_is_cash_and_positions_and_margin_is_what_they_cost(floor: Floor) -> None:
    """S2.2: 10,000 less 200 and a fee of 0.2; marked at 105 the 2 coins are worth 210."""
    trade(floor, Side.BUY, "2", "100", fee="0.2")
    with floor.database.transaction() as connection:
        mark(connection, {BTC: Decimal(105)}, at_ms=NOON)
    found = balance(floor, NOON + MINUTE)
    assert (found.cash, found.position_value, found.equity) == (Decimal("9799.8"), 210, Decimal("10009.8"))
    assert (found.margin_used, found.margin_free) == (200, Decimal("9799.8"))
    assert (found.unrealised_pnl, found.realised_pnl, found.cumulative_pnl) == (10, Decimal("-0.2"), Decimal("9.8"))
    with floor.database.transaction() as connection:
        fence = books.fences.take(connection, "main", "test", at_ms=NOON)
        books.sent(connection, fence, books.intent(books.open_deal(connection, ETH, number=5), "3"), "waits")
    waiting = balance(floor, NOON + 2 * MINUTE)
    assert (waiting.margin_used, waiting.margin_free) == (500, Decimal("9499.8")), "3 at 100 are on their way"


def test_the_day_begins_at_midnight_utc_and_deposits_are_no_profit(floor: Floor) -> None:
    """F5: FKS took the change since the last 15 minutes for a day's; C26: hummingbot counted deposits."""
    trade(floor, Side.BUY, "10", "100")
    for price, at_ms, expected in (
        ("101", NOON + MINUTE, 10),
        ("105", MIDNIGHT - MINUTE, 50),
        ("104", MIDNIGHT, -10),
        ("107", MIDNIGHT + 15 * MINUTE, 20),
    ):
        with floor.database.transaction() as connection:
            mark(connection, {BTC: Decimal(price)}, at_ms=at_ms)
        assert balance(floor, at_ms).daily_pnl == expected, price
    with floor.database.transaction() as connection:
        journal.deposit(connection, "main", "USDT", Decimal(5000), "bank", at_ms=MIDNIGHT + 20 * MINUTE, by="Ada")
        journal.withdraw(connection, "main", "USDT", Decimal(1000), "back", at_ms=MIDNIGHT + 21 * MINUTE, by="Ada")
    found = balance(floor, MIDNIGHT + 30 * MINUTE)
    assert (found.daily_pnl, found.cumulative_pnl, found.net_deposits, found.equity) == (20, 70, 14_000, 14_070)


def test_the_return_is_weighted_by_time_and_not_by_money(floor: Floor) -> None:
    """C26 (freqtrade#8532): 1 % before a deposit of 90,000 and 0.1 % after it are 1.101 %, whatever the money."""
    trade(floor, Side.BUY, "10", "100")
    with floor.database.transaction() as connection:
        mark(connection, {BTC: Decimal(110)}, at_ms=NOON)
    first = balance(floor, NOON + MINUTE)
    assert first.time_weighted_return == Decimal("0.01")
    with floor.database.transaction() as connection:
        journal.deposit(connection, "main", "USDT", Decimal(90_000), "bank", at_ms=NOON + MINUTE + 1, by="Ada")
        mark(connection, {BTC: Decimal("120.1")}, at_ms=NOON + 2 * MINUTE)
    second = balance(floor, NOON + 2 * MINUTE)
    expected = Fraction(101, 100) * Fraction(100_201, 100_100) - 1
    assert abs(Fraction(second.time_weighted_return) - expected) < Fraction(1, 10**17)
    assert abs(expected - Fraction(1_101, 100_000)) < Fraction(1, 100_000)


def test_coins_that_are_in_no_position_are_listed_and_not_counted(floor: Floor) -> None:
    with floor.database.transaction() as connection:
        journal.adjust(connection, "main", "BNB", Decimal("0.5"), "for fees", at_ms=NOON, by="Ada")
    found = balance(floor, NOON + MINUTE)
    assert found.equity == 10_000 and found.details["other_coins"] == {"BNB": "0.5"}


def test_what_positions_that_are_over_brought_is_summed_to_the_last_digit(floor: Floor) -> None:
    """S2.2: three round trips of which two cost a fee, and an open position; against the sum of their own results."""
    for number, (price, fee) in enumerate((("101.000000000000000001", "0.1"), ("99.5", "0"), ("100.25", "0.000000000000000003"))):
        trade(floor, Side.BUY, "1", "100", number=number)
        trade(floor, Side.SELL, "1", price, number=number, fee=fee)
    trade(floor, Side.BUY, "2", "100", number=7, fee="0.2")
    closed = [position.pnl for position in read_positions(floor.database, is_open=False)]
    assert closed == [Decimal("0.900000000000000001"), Decimal("-0.5"), Decimal("0.249999999999999997")]
    found = balance(floor, NOON + MINUTE)
    assert found.realised_pnl == sum(closed, Decimal("-0.2")) and found.details["closed_positions"] == 3


def test_an_account_that_owes_more_than_it_has_is_noted_as_having_lost_all(floor: Floor) -> None:
    """S2.7: 100 coins owed that were sold at 100 and cost 250: the equity is below 0, and looks at it go on."""
    with floor.database.transaction() as connection:
        fence = books.fences.take(connection, "main", "test", at_ms=NOON)
        journal.deposit(connection, "main", "ETH", Decimal(100), "coins", at_ms=NOON, by="Ada")
        order = books.sent(connection, fence, books.intent(books.open_deal(connection, ETH, side=Side.SELL), "100"), "short")
        record_fills(connection, "main", [books.trade(order, "short", "100", "100")], at_ms=NOON)
    for minute, price in ((1, "100"), (2, "250"), (3, "260")):
        with floor.database.transaction() as connection:
            mark(connection, {ETH: Decimal(price)}, at_ms=NOON + minute * MINUTE)
        found = balance(floor, NOON + minute * MINUTE)
    assert (found.equity, found.time_weighted_return) == (-6_000, -1)


def test_the_same_moment_has_one_balance_and_the_answer_is_the_promised_one(floor: Floor) -> None:
    """S2.2: {status, accounts_synced, results: {name: {status, balance, equity, daily_pnl, cumulative_pnl}}}."""
    first = balance(floor, NOON + MINUTE)
    assert balance(floor, NOON + MINUTE) == first and len(read_balances(floor.database, "main")) == 1
    answer = balances_document({"main": first}, {"other": "the exchange is away"})
    assert (answer["status"], answer["accounts_synced"]) == ("completed_with_errors", 1)
    assert answer["results"]["other"] == {"status": "error", "error": "the exchange is away"}
    shown = answer["results"]["main"]
    assert {name: shown[name] for name in ("status", "balance", "equity", "daily_pnl", "cumulative_pnl")} == {
        "status": "success",
        "balance": "10000",
        "equity": "10000",
        "daily_pnl": "0",
        "cumulative_pnl": "0",
    }
