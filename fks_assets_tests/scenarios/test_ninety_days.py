"""Ninety days of recorded candles through the whole desk in virtual time: signals, deals, orders, fills, stops, balances.

What must come out is the backtest of the same account (`run_backtest`, booked in Decimal by `exact_equity`): every fill and, at
each candle's close, the equity to the last digit.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from fks_assets.quant.orders import Mode
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.journal import wallets
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.scenarios.live_account import KEY, LiveAccount, live_account
from fks_assets_tests.scenarios.recorded_signals import DAY_MS, HISTORY_CANDLES, Recorded, joined_files, sync_recorded
from fks_assets_tests.scenarios.same_backtest import backtest_tells, ledger_tells
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, database_of_a_module
from fks_assets_tests.scenarios.virtual_account import ACCOUNT, CASH, VirtualAccount, dying, paper_account
from fks_assets_tests.shared_data import SHARED, requires_shared

pytestmark = requires_shared
FOLDER = Path() if SHARED is None else SHARED / "data/ohlcv/binance_1h_long"
TWO = ("BTC-USDT", "DOGE-USDT")
THREE = (*TWO, "ETH-USDT")
DAYS = 90
# The exchange was away four times in the first ninety days, for up to three hours; in the second ones never.
WITH_OUTAGES, WITHOUT = (parse_time("start", "now", day) for day in ("2021-02-01T00:00:00Z", "2021-04-29T00:00:00Z"))
RECOMPUTED_EVERY = 60
# Rows of the ledger that are not what their parts make them: bookings, wallets, positions, coins beside the positions.
_UNEVEN = sa.text("""
    SELECT 'booking ' || journal_id FROM journal_entries GROUP BY journal_id, currency HAVING sum(amount) <> 0
    UNION ALL
    SELECT 'wallet ' || currency FROM wallets w WHERE amount <> (
        SELECT sum(e.amount) FROM journal j JOIN journal_entries e ON e.journal_id = j.id
        WHERE j.account = w.account AND e.currency = w.currency AND e.book = 'wallet')
    UNION ALL
    SELECT 'position of deal ' || deal_id FROM positions p WHERE (bought_quantity, sold_quantity, fees_quote) <> (
        SELECT coalesce(sum(f.quantity) FILTER (WHERE f.side = 'BUY'), 0),
               coalesce(sum(f.quantity) FILTER (WHERE f.side = 'SELL'), 0), coalesce(sum(f.fee), 0)
        FROM orders o JOIN fills f ON f.order_id = o.id WHERE o.deal_id = p.deal_id)
    UNION ALL
    SELECT 'coins ' || w.currency FROM wallets w JOIN accounts a ON a.name = w.account
    WHERE w.currency <> a.quote AND w.amount <> (
        SELECT coalesce(sum(bought_quantity - sold_quantity), 0) FROM positions p
        WHERE p.account = w.account AND split_part(p.market, '-', 1) = w.currency)
""")


@pytest.fixture(scope="module")
def six_hours(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[Recorded]:
    """Ninety days of candles of six hours, joined from the recorded hours, and the signals that the assets derived from them.

    On two days, one of them right after an outage, the clocks stood still and the desk was asked for its newest signals: they are
    those that it has of these candles at the end.
    """
    with database_of_a_module(postgres_home, "six_hours") as url:
        yield joined(tmp_path_factory.mktemp("six_hours"), url, 6)


def joined(folder: Path, database_url: str, hours: int) -> Recorded:
    start, timeframe = WITH_OUTAGES, f"{hours}h"
    first, end = start - HISTORY_CANDLES * hours * HOUR_MS, start + DAYS * DAY_MS
    files = joined_files(FOLDER, folder / "files", TWO, hours, first, end + DAY_MS)
    looks = [start + 19 * DAY_MS + 30_000, parse_time("look", "now", "2021-04-25T09:00:30Z")]
    return recorded(folder / "desk", database_url, files, TWO, timeframe, start, looks)


def recorded(
    home: Path, database_url: str, folder: Path, symbols: Sequence[str], timeframe: str, start_ms: int, looks: Sequence[int]
) -> Recorded:
    end_ms = start_ms + DAYS * DAY_MS
    found, told = sync_recorded(home, database_url, folder, symbols, timeframe, start_ms, end_ms, looks)
    for now_ms, signals in told.items():
        # As text: a level that is not there is NaN.
        assert [repr(each) for each in signals] == [repr(each.signal) for each in found.heard(now_ms)]
    return found


@pytest.fixture
def watched(database: Database) -> Callable[[], None]:
    """A check of the books, to be made after every candle."""
    candles = itertools.count(1)

    def check() -> None:
        with database.transaction() as connection:
            assert connection.scalars(_UNEVEN).all() == []
        if next(candles) % RECOMPUTED_EVERY == 0:
            assert recompute(database) == []

    return check


def assert_is_the_backtest(account: VirtualAccount) -> None:
    """Compare every fill and the equity at each close, and see that all that can happen has happened."""
    rules = account.settings.accounts[ACCOUNT].model_copy(update={"mode": Mode.PAPER, "initial_cash": Decimal(CASH)})
    tested, lived = backtest_tells(account.recorded, rules), ledger_tells(account.database, ACCOUNT, account.recorded)
    assert lived.fills == tested.fills
    assert {time: lived.equity.get(time) for time in tested.equity} == tested.equity
    assert recompute(account.database) == []
    assert {fill.reason for fill in tested.fills} == {"entry", "stop", "target", "signal"}
    assert {fill.strategy for fill in tested.fills} == set(rules.strategies)
    assert {fill.market for fill in tested.fills} == {market.key for market in account.recorded.candles}


def test_ninety_days_on_paper_with_deaths_are_the_backtest_to_the_last_digit(
    home: Path, database: Database, six_hours: Recorded, watched: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 5, its first line; C14: what a process left half done when it died changes nothing."""
    account = dying(paper_account(home, database, six_hours), monkeypatch, chance=0.003, seed=1)
    asyncio.run(account.live(watched))
    assert_is_the_backtest(account)
    assert account.deaths.total() > 20


def assert_exchange_agrees(account: LiveAccount) -> None:
    """Compare the ledger with the exchange's own oracle: each order once, each fill once, the same coins."""
    there = account.simulator
    assert there.duplicates() == [] and there.books()["differences"] == {}
    orders = read_orders(account.database, account=ACCOUNT)
    sent = {order["client_id"] for order in there.orders(account=KEY)}
    assert sent == {order.client_order_id for order in orders if order.exchange_order_id is not None}
    assert len(there.fills(account=KEY)) == len(read_fills(account.database, account=ACCOUNT))
    held = {coin: Decimal(part["free"]) + Decimal(part["locked"]) for coin, part in there.balances(KEY).items()}
    booked = wallets(account.database, ACCOUNT)
    assert {coin: held.get(coin, 0) for coin in booked} == booked


@pytest.mark.nightly
def test_ten_days_live_at_an_exchange_are_the_same_backtest(
    home: Path, database: Database, six_hours: Recorded, watched: Callable[[], None]
) -> None:
    """Issue 5: signed orders over HTTP, resting pairs of stop and target, fills by the exchange's own matching; C14, F13."""
    # Ten days on which every strategy trades both markets and every kind of exit happens.
    part = six_hours.part(*(six_hours.start_ms + days * DAY_MS for days in (28, 38)))
    with live_account(home, database, part) as account:
        asyncio.run(account.live(watched))
        assert_is_the_backtest(account)
        assert_exchange_agrees(account)


@pytest.mark.nightly
def test_ninety_days_live_at_an_exchange_are_the_same_backtest(
    home: Path, database: Database, six_hours: Recorded, watched: Callable[[], None]
) -> None:
    """The same with all that ninety days bring."""
    with live_account(home, database, six_hours) as account:
        asyncio.run(account.live(watched))
        assert_is_the_backtest(account)
        assert_exchange_agrees(account)


@pytest.fixture(scope="module", params=[WITH_OUTAGES, WITHOUT], ids=["four outages", "no outage"])
def hours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[Recorded]:
    """Ninety days of recorded hours of three markets."""
    looks = [request.param + days * DAY_MS + 30_000 for days in (19, 68)]
    with database_of_a_module(postgres_home, "hours") as url:
        yield recorded(tmp_path_factory.mktemp("hours") / "desk", url, FOLDER, THREE, "1h", request.param, looks)


@pytest.mark.nightly
@pytest.mark.parametrize("chance", [0.0, 0.004], ids=["alive", "dying"])
def test_ninety_days_of_hours_on_paper_are_the_backtest_to_the_last_digit(
    home: Path,
    database: Database,
    hours: Recorded,
    watched: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    chance: float,
) -> None:
    """Issue 5, its first line, in full."""
    account = dying(paper_account(home, database, hours), monkeypatch, chance=chance, seed=2)
    asyncio.run(account.live(watched))
    assert_is_the_backtest(account)
    assert (account.deaths.total() > 100) == (chance > 0)


@pytest.mark.nightly
def test_ninety_days_of_four_hours_on_paper_are_the_backtest_to_the_last_digit(
    home: Path,
    database: Database,
    postgres_home: Path,
    tmp_path: Path,
    watched: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Issue 5, its first line, over the four outages and with deaths."""
    with database_of_a_module(postgres_home, "four_hours") as url:
        account = dying(paper_account(home, database, joined(tmp_path, url, 4)), monkeypatch, chance=0.004, seed=3)
        asyncio.run(account.live(watched))
    assert_is_the_backtest(account)
    assert account.deaths.total() > 20
