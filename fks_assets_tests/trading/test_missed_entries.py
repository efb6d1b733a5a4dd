"""Entries that were never made (D7): each account is held against each BUY by its own rules and state.

Prices expected are worked out from the candles: the open after the BUY's candle, and the account's own slippage.
"""

import itertools
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from fks_assets.assets.trading.missed_levels import missed_levels
from fks_assets.clock import iso
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.backtest.results import Refusal
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import parse_market
from fks_assets.quant.orders import Leg, Mode
from fks_assets.quant.strategies.registry import register_folder
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.ledger.accounts import AccountSpec, mirror
from fks_assets.stores.ledger.deals import update_deal
from fks_assets_tests.scenarios.stopped_clock import database_of_a_module
from fks_assets_tests.trading.desks import HOUR
from fks_assets_tests.trading.live_accounts import ACCOUNT, MINUTE, PAPER, Accounts
from fks_assets_tests.trading.live_days import DAY, MIDNIGHT, STEP, LiveDay

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[LiveDay]:
    """A day that was lived through without an account; compared at half past midnight, with the candle after the day stored."""
    with database_of_a_module(postgres_home, "missed_entries") as url, pytest.MonkeyPatch.context() as patch:
        day = LiveDay(tmp_path_factory.mktemp("missed"), url, patch)
        day.live()
        day.stand_at(MIDNIGHT + 24 * HOUR + 30 * MINUTE)
        yield day
        register_folder(None)
        day.desk.stores.database.engine.dispose()


@pytest.fixture
def accounts(lived: LiveDay) -> Accounts:
    return Accounts(lived, f"a{next(NUMBERS)}")


def test_a_buy_of_which_no_deal_was_made_is_named_with_its_account_and_price(accounts: Accounts) -> None:
    """Trading was down, or no price could be had until the signal was nobody's any more."""
    name = accounts.add(costs={"slippage": 0.001})
    [found] = accounts.compared()
    said = "2026-03-12T"
    assert (str(found.cause), found.account, found.live) == ("fill", name, "no deal")
    assert found.words.startswith(f"it was said at {said}") and found.words.endswith(", and the account made no deal of it")
    assert found.backtest == f"entry BUY at {float(accounts.next_open) * 1.001:.8g}"


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ("strategy mover was switched off at 2026-03-12T00:10:00Z by Ada: it lost", "fill"),
        ("desk is halted: storm", "fill"),
        ("order of 9000 USDT, max_order_notional is 5000", "fill"),
        ("account main has not been compared with simulated yet, so what it has is not known", "fill"),
        (f"{Refusal.LEVELS.words}: 90", "fill"),
        (f"{Refusal.STALE.words}: the signal is 481 min old", "late data"),
        (f"{Refusal.COOLDOWN.words} of 30 min", None),
        (f"{Refusal.DAILY_LIMIT.words}: 10", None),
        (f"{Refusal.POSITIONS.words}: 10", None),
        (Refusal.CASH.words, None),
        (Refusal.NO_STOP.words, None),
        (Refusal.SIZE.words, None),
    ],
)
def test_a_refused_buy_is_named_with_the_words_unless_the_book_of_a_backtest_refuses_it_too(
    accounts: Accounts, refusal: str, expected: str | None
) -> None:
    accounts.deal(accounts.add(), refusal=refusal)
    assert accounts.found() == ([] if expected is None else [(expected, refusal)])


def test_a_deal_that_ended_before_its_entry_is_named_with_the_words(accounts: Accounts) -> None:
    deal = accounts.deal(accounts.add())
    words = "the price 102.01 has left the band of 0.02 around 100"
    with accounts.day.desk.stores.database.transaction() as connection:
        update_deal(connection, deal.id, at_ms=deal.created_at + HOUR, refusal=words)
    assert accounts.found() == [("fill", words)]


def test_a_deal_whose_entry_nobody_sent_is_named(accounts: Accounts) -> None:
    """The process died after the decision, and none came after it."""
    accounts.deal(accounts.add())
    assert accounts.found() == [("fill", "its entry was never sent")]


def earlier_deal(accounts: Accounts, account: str) -> None:
    accounts.entered(accounts.deal(account, before=1), Decimal(100))


def other_exchange(accounts: Accounts, account: str) -> None:
    accounts.rules[account] = AccountRules.model_validate(PAPER | {"exchange": "kraken"})


def other_timeframe(accounts: Accounts, account: str) -> None:
    accounts.rules[account] = AccountRules.model_validate(PAPER | {"quote": "IRT"})


def persons_own(accounts: Accounts, account: str) -> None:
    accounts.deal(account, ordering=False)


@pytest.mark.parametrize("reason", [earlier_deal, other_exchange, other_timeframe, persons_own])
def test_an_account_that_had_no_reason_to_enter_misses_nothing(
    accounts: Accounts, reason: Callable[[Accounts, str], None]
) -> None:
    """It holds the market already, trades elsewhere, hears nothing of it, or leaves it to a person."""
    reason(accounts, accounts.add())
    assert accounts.found() == []


@pytest.mark.parametrize(("minutes", "count"), [(-1, 1), (10, 0)])
def test_an_account_that_was_added_in_the_day_misses_nothing_that_was_said_before(
    accounts: Accounts, minutes: int, count: int
) -> None:
    said = accounts.day.opens[accounts.place] + STEP + MINUTE
    accounts.add(at_ms=said + minutes * MINUTE)
    assert len(accounts.found()) == count


def test_a_deal_of_the_last_half_hour_is_a_cooldown_in_the_backtest_too(accounts: Accounts) -> None:
    """What was bought and sold before the close leaves the account within its cooldown at the open."""
    account = accounts.add(limits={"cooldown_minutes": 300})
    deal = accounts.deal(account, before=1, made_at=accounts.day.opens[accounts.place] - MINUTE)
    with accounts.day.desk.stores.database.transaction() as connection:
        update_deal(connection, deal.id, at_ms=deal.created_at + MINUTE, status="STOPPED")
    assert accounts.found() == []
    accounts.rules[account] = AccountRules.model_validate(PAPER)
    assert len(accounts.found()) == 1


def test_of_two_accounts_with_one_strategy_the_one_that_did_not_follow_is_named(accounts: Accounts) -> None:
    """And each is held against its own costs."""
    first, second, third = accounts.add("x"), accounts.add("y"), accounts.add("z", costs={"slippage": 0.001})
    accounts.entered(accounts.deal(first), accounts.next_open)
    accounts.entered(accounts.deal(third), round(accounts.next_open * Decimal("1.001"), 12))
    assert [(found.account, found.live) for found in accounts.compared()] == [(second, "no deal")]
    accounts.rules[third] = AccountRules.model_validate(PAPER)
    assert [(found.account, found.words) for found in accounts.compared() if found.account == third] == [
        (third, "the price was 0.1000% worse")
    ]


@pytest.mark.parametrize(
    ("leg", "away", "sold", "expected"),
    [
        (Leg.STOP, "0.0001", False, True),
        (Leg.STOP, "-0.0001", False, False),
        (Leg.TARGET, "0.0001", False, True),
        (Leg.TARGET, "-0.0001", False, False),
        (Leg.STOP, "0.0001", True, False),
    ],
)
@pytest.mark.parametrize("rests", [True, False])
def test_a_level_that_a_candle_has_reached_while_nothing_was_sold_is_named(
    accounts: Accounts, leg: Leg, away: str, sold: bool, expected: bool, rests: bool
) -> None:
    """S3.6, S3.7: whether the order rests at the exchange or the desk was to watch the price; `away` is beyond the extreme."""
    day, account = accounts.day, accounts.add()
    row = len(day.candles) - 6 + accounts.place + 2
    extreme = Decimal(str((day.candles.low if leg is Leg.STOP else day.candles.high)[row]))
    level = round(extreme * (1 + Decimal(away) * (1 if leg is Leg.STOP else -1)), 8)
    name = "stop_loss_price" if leg is Leg.STOP else "take_profit_price"
    deal = accounts.deal(account, **{name: level})
    accounts.entered(deal, accounts.next_open)
    opened = day.opens[accounts.place] + 2 * STEP
    if rests:
        accounts.ordered(deal, leg, level, deal.created_at + 2 * MINUTE, None)
    if sold:
        accounts.ordered(deal, Leg.EXIT, None, opened + HOUR, level)
    words = f"the candle of {iso(opened)} has reached it, and nothing was sold in it"
    found = [each.words for each in accounts.compared() if each.backtest.startswith(f"{leg} SELL")]
    assert (words in found) is expected


def test_a_level_that_a_candle_reaches_only_since_it_was_restated_is_a_data_revision(accounts: Accounts) -> None:
    """Nobody could have sold: in a market of its own, whose one candle falls to 80 a day later."""
    day, market = accounts.day, parse_market("ETH-USDT@simulated")
    partition = PartitionId("ohlcv", market, "4h", DAY[:7])
    opened = day.opens[3]
    deal = accounts.deal(accounts.add(), market=market, made_at=opened - HOUR)
    accounts.entered(deal, Decimal(100))
    accounts.ordered(deal, Leg.STOP, Decimal(90), deal.created_at + 2 * MINUTE, None)
    found = []
    for low, known_at in ((95.0, opened + STEP), (80.0, opened + STEP + 24 * HOUR)):
        columns = (np.array([value]) for value in (100.0, 101.0, low, 99.0, 5.0))
        table = candles_table([(Candles(np.array([opened]), *columns), "exchange")])
        with day.desk.stores.candles.begin([partition]) as transaction:
            transaction.merge(partition, table, known_at_ms=known_at)
        levels = missed_levels(day.desk.stores, "mover", MIDNIGHT, MIDNIGHT + 24 * HOUR)
        found.append([(str(each.cause), each.words) for each in levels if each.market == market.key])
    words = f"the candle of {iso(opened)} has reached it, and nothing was sold in it; it was restated since"
    assert found == [[], [("data revision", words)]]


def test_a_stop_in_a_candle_that_is_not_stored_is_late_data(accounts: Accounts) -> None:
    """The desk sold by the exchange's word; nobody can say yet what the backtest gets."""
    deal = accounts.deal(accounts.add())
    accounts.entered(deal, accounts.next_open)
    level = accounts.next_open * Decimal("0.5")
    accounts.ordered(deal, Leg.STOP, level, MIDNIGHT + 21 * HOUR, level)
    assert accounts.found() == [("late data", "the candle in which the backtest would trade is not stored")]


def test_a_live_account_is_held_against_its_own_costs(accounts: Accounts) -> None:
    """Its cash is at the exchange, so it has no book of its own to begin with."""
    account = accounts.add()
    accounts.rules[account] = AccountRules.model_validate(
        PAPER | {"mode": "live", "initial_cash": "0", "costs": {"slippage": 0.001}}
    )
    accounts.entered(accounts.deal(account), round(accounts.next_open * Decimal("1.001"), 12))
    assert accounts.found() == []


def test_a_buy_that_can_still_be_entered_misses_nothing_yet(accounts: Accounts) -> None:
    accounts.add()
    accounts.day.stand_at(accounts.day.opens[accounts.place] + STEP + 2 * MINUTE)
    assert accounts.found() == []
    accounts.day.stand_at(MIDNIGHT + 24 * HOUR + 30 * MINUTE)
    assert len(accounts.found()) == 1


def test_a_late_buy_that_the_desk_has_followed_is_no_hold(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hours late on 4h candles: the desk trades it. That its candle is restated to HOLD later explains its trade too."""
    day = LiveDay(home, database_url, monkeypatch, ACCOUNT)
    accounts = Accounts(day, "main")
    place = accounts.place

    def later(number: int) -> None:
        if number == place:
            day.stand_at(day.opens[place] + STEP + 2 * HOUR)
            row = len(day.candles) - 6 + place
            day.arrives(day.candles.slice(row, row + 1))
            day.derive()

    day.live(missing=[place], between=later)
    with day.desk.stores.database.transaction() as connection:
        mirror(connection, [AccountSpec("main", Mode.PAPER, "simulated", "USDT", Decimal(10_000))], at_ms=day.opens[0])
    accounts.entered(accounts.deal("main", made_at=day.opens[place] + STEP + 2 * HOUR + MINUTE), accounts.next_open)
    day.stand_at(MIDNIGHT + 23 * HOUR)
    day.restate(place, float(day.candles.close[len(day.candles) - 7 + place]))
    day.compare()
    assert day.found()[place] == ("data revision", "BUY", "HOLD")
    assert "unexplained" not in {cause for cause, *_ in day.found().values()}
    register_folder(None)
