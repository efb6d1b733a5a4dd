"""Many writers at once, and a database that is killed under them: sums stay zero, nothing acknowledged is lost."""

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from fks_assets.errors import Denied, IllegalTransition, StaleFence
from fks_assets.quant.orders import OrderStatus
from fks_assets.stores import embedded
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fences, fills, journal, orders, positions
from fks_assets.stores.ledger.reading import locked_accounts
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.stores.ledger.books import NOON, WIDE, intent, open_account, open_deal, sent, trade
from fks_assets_tests.stores.processes import child, line_of, wait_until

WRITERS = 8
BANK = [f"bank{number}" for number in range(5)]


@pytest.mark.parametrize(
    "transfers", [pytest.param(60, id="480 transfers"), pytest.param(12_500, id="100,000 transfers", marks=pytest.mark.nightly)]
)
def test_eight_writers_move_money_and_no_coin_appears_or_goes(database: Database, transfers: int) -> None:
    """The bank of Jepsen: withdraw here, deposit there, in one transaction; readers see the whole sum at every moment."""
    with database.transaction() as connection:
        for name in BANK:
            open_account(connection, name=name, cash="1000")
    done = threading.Event()

    def write(writer: int) -> int:
        drawn, refused = random.Random(writer), 0
        for turn in range(transfers):
            source, target = drawn.sample(BANK, 2)
            amount = Decimal(drawn.randint(1, 60_000)).scaleb(-2)
            with database.transaction() as connection:
                locked_accounts(connection, [source, target])
                if journal.wallets(connection, source)["USDT"] < amount:
                    refused += 1
                    continue
                reference = f"{writer} {turn}"
                journal.withdraw(connection, source, "USDT", amount, reference, at_ms=NOON, by="bank")
                journal.deposit(connection, target, "USDT", amount, reference, at_ms=NOON, by="bank")
        return refused

    def read() -> set[Decimal]:
        seen = set()
        while not done.is_set():
            with database.transaction() as connection:
                seen.add(connection.scalar(sa.text("SELECT sum(amount) FROM wallets")))
        return seen

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reader = pool.submit(read)
        try:
            refused = sum(pool.map(write, range(WRITERS)))
        finally:
            done.set()
        assert reader.result() == {Decimal(5000)}
    assert recompute(database) == []
    with database.transaction() as connection:
        booked = connection.scalar(sa.text("SELECT count(*) FROM journal WHERE kind = 'withdrawal'"))
        assert booked == WRITERS * transfers - refused > 0
        assert connection.scalar(sa.text("SELECT min(amount) FROM wallets")) >= 0


def test_fills_of_the_same_orders_from_eight_writers_are_counted_once(database: Database) -> None:
    """O3: every writer tells all trades, in its own order; without locks 50 of 50 balances came out wrong elsewhere."""
    with database.transaction() as connection:
        fence = open_account(connection, cash="100000")
        placed = [sent(connection, fence, intent(open_deal(connection, number=number), "20")) for number in range(4)]
    told = [trade(order, f"{order.id} {number}", "1", fee="0.01") for order in placed for number in range(20)]

    def tell(writer: int) -> int:
        drawn = random.Random(writer)
        mine = drawn.sample(told, len(told))
        booked = 0
        while mine:
            batch, mine = mine[:7], mine[7:]
            with database.transaction() as connection:
                booked += len(fills.record_fills(connection, "main", batch, at_ms=NOON))
        return booked

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(tell, range(WRITERS))) == len(told)
    assert recompute(database) == []
    assert {position.quantity for position in positions.read_positions(database)} == {Decimal(20)}
    assert journal.wallets(database, "main") == {"BTC": 80, "USDT": Decimal("91999.2")}


def test_the_limit_of_open_orders_holds_against_eight_writers(database: Database) -> None:
    """O8: judged under the lock of the account, so that no two see the last free place."""
    with database.transaction() as connection:
        fence = open_account(connection)
        deals = [open_deal(connection, number=number) for number in range(WRITERS)]
    limits = orders.OrderLimits(Decimal(10**6), 3, 10_000, Decimal(1), Decimal(1))

    def write(number: int) -> bool:
        try:
            with database.transaction() as connection:
                orders.write_intent(connection, intent(deals[number], "0.1"), fence=fence, limits=limits)
        except Denied:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(WRITERS))) == 3
    assert len(orders.read_orders(database, active=True)) == 3


def test_one_of_eight_writers_submits_an_intent(database: Database) -> None:
    """O1: two daemons that found the same intent: one sends."""
    with database.transaction() as connection:
        fence = open_account(connection)
        order = orders.write_intent(connection, intent(open_deal(connection)), fence=fence, limits=WIDE)

    def submit(_: int) -> bool:
        try:
            with database.transaction() as connection:
                orders.transition(connection, order.id, OrderStatus.SUBMITTING, at_ms=NOON, fence=fence)
        except IllegalTransition:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(submit, range(WRITERS))) == 1


def test_a_new_holder_of_the_fence_waits_for_the_intent_under_way_and_no_longer(database: Database) -> None:
    """P3: checked in the same transaction as the intent, so that there is no moment between check and commit."""
    with database.transaction() as connection:
        old = open_account(connection)
        deal = open_deal(connection)
    taken = threading.Event()

    def take() -> fences.Fence:
        with database.transaction() as connection:
            fence = fences.take(connection, "trading", "other", at_ms=NOON)
        taken.set()
        return fence

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as connection:
            orders.write_intent(connection, intent(deal), fence=old, limits=WIDE)
            future = pool.submit(take)
            assert not taken.wait(0.3)
        assert future.result().epoch == old.epoch + 1
    assert len(orders.read_orders(database)) == 1
    with pytest.raises(StaleFence), database.transaction() as connection:
        orders.write_intent(connection, intent(deal, generation=1), fence=old, limits=WIDE)
    assert len(orders.read_orders(database)) == 1


# Notes `try n` before each transaction and `ack n` after its commit was confirmed. It outlives the server and goes on.
WRITER = """
import sys
from decimal import Decimal
from pathlib import Path
from fks_assets.errors import StoreError
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fills, journal
from fks_assets_tests.stores.ledger.books import NOON, intent, open_deal, sent, trade
from fks_assets.stores.ledger import fences
url, home, name, log = sys.argv[1], Path(sys.argv[2]), sys.argv[3], open(sys.argv[4], "a", buffering=1)
database = Database(url, embedded_home=home)
with database.transaction() as connection:
    fence = fences.take(connection, name, name, at_ms=NOON)
print("started", flush=True)
number = 0
while True:
    number += 1
    log.write(f"try {number}\\n")
    try:
        with database.transaction() as connection:
            journal.deposit(connection, name, "USDT", Decimal(100), f"gift {number}", at_ms=NOON, by=name)
            deal = open_deal(connection, number=number, account=name)
            order = sent(connection, fence, intent(deal))
            fills.record_fills(connection, name, [trade(order, str(number))], at_ms=NOON)
    except StoreError:
        continue
    log.write(f"ack {number}\\n")
"""


@pytest.mark.parametrize("kills", [pytest.param(10, id="10 kills"), pytest.param(200, id="200 kills", marks=pytest.mark.nightly)])
def test_a_database_that_is_killed_under_load_loses_nothing_acknowledged(
    postgres_home: Path, database: Database, tmp_path: Path, kills: int
) -> None:
    """P4, C15: kill -9 of PostgreSQL; every acknowledged deal with its money, order and fill is there, and nothing else."""
    names = ("first", "second")
    with database.transaction() as connection:
        for name in names:
            open_account(connection, name=name, cash="1")
    logs = {name: tmp_path / f"{name}.log" for name in names}
    drawn = random.Random(20261121)
    with (
        child(WRITER, database.url, str(postgres_home), "first", str(logs["first"])) as first,
        child(WRITER, database.url, str(postgres_home), "second", str(logs["second"])) as second,
    ):
        assert [line_of(each) for each in (first, second)] == ["started", "started"]
        for _ in range(kills):
            before = {name: len(noted(logs[name], "ack")) for name in names}
            wait_until(lambda before=before: all(len(noted(logs[name], "ack")) > before[name] for name in names), "writes", 60)
            time.sleep(drawn.random() * 0.2)
            victim = embedded.status(postgres_home).server_pid
            os.kill(victim or 0, signal.SIGKILL)
            wait_until(lambda victim=victim: embedded.status(postgres_home).server_pid not in (None, victim), "a new server", 60)
        wait_until(lambda: all(len(noted(logs[name], "ack")) > 0 for name in names), "writes", 60)
    embedded.ensure_running(postgres_home)
    database.engine.dispose()
    assert recompute(database) == []
    lost_answers = 0
    for name in names:
        tried, acknowledged = noted(logs[name], "try"), noted(logs[name], "ack")
        with database.transaction() as connection:
            gifts = connection.scalars(
                sa.text("SELECT reference FROM journal WHERE account = :name AND kind = 'deposit'"), {"name": name}
            )
            stored = {int(reference.removeprefix("gift ")) for reference in gifts if reference.startswith("gift ")}
        assert acknowledged <= stored <= tried
        lost_answers += len(stored - acknowledged)
        booked = fills.read_fills(database, account=name)
        assert {int(fill.trade_id) for fill in booked} == stored
        assert journal.wallets(database, name) == {"BTC": len(stored), "USDT": 1}
        assert len(orders.read_orders(database, account=name)) == len(stored)
    # Each kill may take at most the answer of one commit from each writer, and each writer is ended in the middle of one.
    assert lost_answers <= (kills + 1) * len(names)


def noted(log: Path, what: str) -> set[int]:
    lines = log.read_text(encoding="ascii").splitlines() if log.exists() else []
    return {int(line.split()[1]) for line in lines if line.startswith(what) and line.split()[1:]}
