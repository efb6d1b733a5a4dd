"""Ninety days of recorded candles through the whole desk in virtual time: signals, deals, orders, fills, stops, balances.

What must come out is the backtest of the same account (`run_backtest`, booked in Decimal by `exact_equity`): every fill and, at
each candle's close, the equity to the last digit.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fks_assets import crashpoints
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.scenarios.recorded_signals import DAY_MS, Recorded, joined_files, sync_recorded
from fks_assets_tests.scenarios.same_backtest import backtest_tells, ledger_tells
from fks_assets_tests.scenarios.stopped_clock import database_of_a_module
from fks_assets_tests.scenarios.virtual_account import ACCOUNT, MortalAccount, VirtualAccount, paper_account
from fks_assets_tests.shared_data import SHARED, requires_shared

pytestmark = requires_shared
FOLDER = Path() if SHARED is None else SHARED / "data/ohlcv/binance_1h_long"
SYMBOLS = ("BTC-USDT", "ETH-USDT", "DOGE-USDT")
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
    SELECT 'position of deal ' || deal_id FROM positions p WHERE (bought_quantity, sold_quantity, fees_quote) IS DISTINCT FROM (
        SELECT coalesce(sum(f.quantity) FILTER (WHERE f.side = 'BUY'), 0),
               coalesce(sum(f.quantity) FILTER (WHERE f.side = 'SELL'), 0), sum(f.fee)
        FROM orders o JOIN fills f ON f.order_id = o.id WHERE o.deal_id = p.deal_id)
    UNION ALL
    SELECT 'coins ' || w.currency FROM wallets w JOIN accounts a ON a.name = w.account WHERE w.currency <> a.quote AND w.amount <> (
        SELECT coalesce(sum(bought_quantity - sold_quantity), 0) FROM positions p
        WHERE p.account = w.account AND split_part(p.market, '-', 1) = w.currency)
""")


@pytest.fixture(scope="module")
def module_database(postgres_home: Path) -> Iterator[str]:
    with database_of_a_module(postgres_home, "ninety_days") as url:
        yield url


@pytest.fixture(scope="module")
def four_hours(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> Recorded:
    """Ninety days of candles of four hours, joined from the recorded hours, and the signals that the assets derived from them.

    On two days the desk stood still and was asked for its newest signals: they are those that it has of these candles at the end.
    """
    folder = tmp_path_factory.mktemp("four_hours")
    start, end = WITH_OUTAGES, WITH_OUTAGES + DAYS * DAY_MS
    files = joined_files(FOLDER, folder / "files", SYMBOLS, 4, start - 100 * DAY_MS, end + 2 * DAY_MS)
    looks = [start + 19 * DAY_MS + 30_000, parse_time("look", "now", "2021-04-25T09:00:30Z")]
    return _recorded(folder / "desk", module_database, files, "4h", start, end, looks)


def _recorded(
    home: Path, database_url: str, folder: Path, timeframe: str, start_ms: int, end_ms: int, looks: list[int]
) -> Recorded:
    recorded, told = sync_recorded(home, database_url, folder, SYMBOLS, timeframe, start_ms, end_ms, looks)
    for now_ms, signals in told.items():
        # Their text, because a level that is not there is NaN.
        assert [repr(each) for each in signals] == [repr(each.signal) for each in recorded.heard(now_ms)]
    return recorded


@pytest.fixture
def watched(database: Database) -> Callable[[], None]:
    """A check of the books, to be made after every candle."""
    count = 0

    def check() -> None:
        nonlocal count
        count += 1
        with database.transaction() as connection:
            assert connection.scalars(_UNEVEN).all() == []
        if count % RECOMPUTED_EVERY == 0:
            assert recompute(database) == []

    return check


def test_ninety_days_on_paper_are_the_backtest_to_the_last_digit(
    home: Path, database: Database, four_hours: Recorded, watched: Callable[[], None]
) -> None:
    """Issue 5: signals → deals → orders → fills → stops → balances; sums are zero at every step (S4.19, P4)."""
    account = paper_account(home, database, four_hours)
    asyncio.run(account.live(watched))
    _assert_is_the_backtest(account)


def _assert_is_the_backtest(account: VirtualAccount) -> None:
    tested, lived = backtest_tells(account.recorded, account.settings.accounts[ACCOUNT]), None
    lived = ledger_tells(account.database, ACCOUNT, account.recorded)
    assert lived.fills == tested.fills
    assert {time: lived.equity.get(time) for time in tested.equity} == tested.equity
    assert recompute(account.database) == []
    assert {fill.reason for fill in tested.fills} == {"entry", "stop", "target", "signal"}
    assert {fill.strategy for fill in tested.fills} == set(account.settings.accounts[ACCOUNT].strategies)
    assert {fill.market.split("@")[0] for fill in tested.fills} == set(SYMBOLS)
