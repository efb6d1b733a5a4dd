"""Wrong states are impossible: every constraint and trigger of the ledger's tables is shown to refuse, by raw SQL."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError

from fks_assets.stores import accounting_tables, ledger_tables
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fills
from fks_assets.stores.models import METADATA
from fks_assets_tests.stores.ledger.books import NOON, forgotten, hold_now, intent, open_account, open_deal, sent, trade
from fks_assets_tests.stores.ledger.rows import REFUSED, REFUSED_BY_KEYS, ROWS

TABLES = [
    table.name for module in (ledger_tables, accounting_tables) for table in vars(module).values() if isinstance(table, sa.Table)
]


@pytest.fixture
def books(database: Database) -> Iterator[sa.Connection]:
    """Account main, deal 1 with order 1 and fill 1, deal 2, journal 1, all with these very ids; nothing stays."""
    with forgotten(database) as connection:
        for table in ("deals", "orders", "fills", "journal"):
            connection.execute(sa.text(f"ALTER TABLE {table} ALTER COLUMN id RESTART WITH 1"))
        fence = open_account(connection)
        deal = open_deal(connection)
        open_deal(connection, number=1)
        order = sent(connection, fence, intent(deal, "10"), exchange_order_id="1")
        fills.record_fills(connection, "main", [trade(order, "known", "0.5")], at_ms=NOON)
        hold_now(connection)
        yield connection


def insert(connection: sa.Connection, table: str, changes: dict[str, Any]) -> None:
    row = ROWS[table] | changes
    names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    overriding = "OVERRIDING SYSTEM VALUE " if "id" in row else ""
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) {overriding}VALUES ({values})"), row)


def refusal(connection: sa.Connection, table: str, changes: dict[str, Any]) -> str | None:
    attempt = connection.begin_nested()
    try:
        insert(connection, table, changes)
    except IntegrityError as refused:
        return refused.orig.diag.constraint_name
    finally:
        attempt.rollback()
    return None


def test_every_check_of_every_table_refuses(books: sa.Connection) -> None:
    """reliability.md §4: NaN is above every bound in PostgreSQL, so each amount is tried with it."""
    wallets = {"wallets"}
    assert {*ROWS} | wallets == {*TABLES}
    for table in ROWS:
        found = {check: refusal(books, table, changes) for check, changes in map(_keyed, REFUSED[table])}
        # PostgreSQL tries checks by their names, so that another one of the table may be the first to refuse NaN.
        nan = [constraint for (name, _), constraint in found.items() if name == "numbers_are_numbers"]
        assert all(str(constraint).startswith(f"ck_{table}_") for constraint in nan), table
        assert not nan or f"ck_{table}_numbers_are_numbers" in nan
        rest = {check: constraint for check, constraint in found.items() if check[0] != "numbers_are_numbers"}
        assert rest == {check: f"ck_{table}_{check[0]}" for check in rest}, table
        known = {str(each.name) for each in METADATA.tables[table].constraints if isinstance(each, sa.CheckConstraint)}
        assert {f"ck_{table}_{check}" for check, _ in REFUSED[table]} == known, table


def test_keys_and_references_refuse(books: sa.Connection) -> None:
    """O1: one order for each client id and each generation; O3: one fill for each trade, of its order's market and side."""
    for table, cases in REFUSED_BY_KEYS.items():
        found = {check: refusal(books, table, changes) for check, changes in map(_keyed, cases)}
        assert found == {check: check[0] for check in found}, table


def test_one_credential_of_an_account_is_present(books: sa.Connection) -> None:
    insert(books, "credentials", {})
    assert refusal(books, "credentials", {"nonce": b"o" * 12}) == "uq_credentials_present"
    assert refusal(books, "credentials", {"nonce": b"o" * 12, "removed_at": "2026-01-01", "ciphertext": b""}) is None
    assert refusal(books, "credentials", {"removed_at": "2026-01-01", "ciphertext": b""}) == "uq_credentials_nonce"


# Rows that stand alone; the others are refused for what is missing beside them, which the tests below show.
ALONE = sorted({*ROWS} - {"fills", "journal", "journal_entries", "positions"})


@pytest.mark.parametrize("table", ALONE)
def test_the_row_that_the_checks_are_tried_on_is_a_good_one(books: sa.Connection, table: str) -> None:
    assert refusal(books, table, {}) is None


@pytest.mark.parametrize("amount", ["Infinity", "100000000000000000000"])
def test_an_amount_that_does_not_fit_is_refused_by_its_type(books: sa.Connection, amount: str) -> None:
    with pytest.raises(DataError, match="overflow"), books.begin_nested():
        insert(books, "deals", {"quantity": amount})


WRONG = {
    "has no entries": """
        INSERT INTO journal (account, kind, reference, at, booked_by) VALUES ('main', 'deposit', 'x', now(), 'x')
    """,
    "the entries in SOL sum to 1, not 0": "INSERT INTO journal_entries VALUES (1, 'external', 'SOL', 1)",
    "wallets change by journal entries alone": "UPDATE wallets SET amount = amount + 1",
    "rows of fills are only ever added": "UPDATE fills SET fee = 0",
    "rows of journal are only ever added": "DELETE FROM journal",
    "rows of journal_entries are only ever added": "UPDATE journal_entries SET amount = -amount",
    "rows of order_events are only ever added": "DELETE FROM order_events",
    "rows of account_events are only ever added": "UPDATE account_events SET reason = 'other'",
    "rows of halts are only ever added": "DELETE FROM halts",
    "rows of orders are only ever added": "DELETE FROM orders",
    "rows of deals are only ever added": "DELETE FROM deals",
    "rows of positions are only ever added": "DELETE FROM positions",
    "order 1 says 0.6 executed for 60, its fills are 0.5 for 50": "UPDATE orders SET executed_quantity = 0.6, executed_sum = 60",
    "order 1: what was executed never shrinks": "UPDATE orders SET executed_quantity = 0.4, executed_sum = 40",
    "order 1: no fill makes CANCELED of PARTIALLY_FILLED": (
        "UPDATE orders SET executed_quantity = 0.6, executed_sum = 60, status = 'CANCELED', active = false"
    ),
    "order 1: PARTIALLY_FILLED does not become REJECTED": "UPDATE orders SET status = 'REJECTED', active = false",
    "order 1: what was written before it was sent never changes": "UPDATE orders SET quantity = 11",
    "the position of deal 1 is not the sum of its fills": "UPDATE positions SET bought_sum = bought_sum + 1",
    "deal 2 has fills and no position": """
        WITH j AS (INSERT INTO journal (account, kind, reference, deal_id, at, booked_by)
            VALUES ('main', 'dust', 'x', 2, now(), 'x') RETURNING id)
        INSERT INTO journal_entries SELECT id, book, 'BTC', amount FROM j, (VALUES ('dust', -1), ('market', 1)) v (book, amount)
    """,
}


@pytest.mark.parametrize("said", WRONG)
def test_what_a_check_of_one_row_cannot_see_is_refused(books: sa.Connection, said: str) -> None:
    with pytest.raises(IntegrityError) as refused, books.begin_nested():
        books.execute(sa.text(WRONG[said]))
        hold_now(books)
    assert said in str(refused.value.orig)


@pytest.mark.parametrize("table", ["fills", "journal", "journal_entries", "order_events", "wallets", "orders"])
def test_no_table_of_the_books_is_emptied(books: sa.Connection, table: str) -> None:
    with pytest.raises(IntegrityError, match=r"only ever added|by journal entries alone"), books.begin_nested():
        books.execute(sa.text(f"TRUNCATE {table} CASCADE"))


def test_a_fill_without_its_booking_is_refused(books: sa.Connection) -> None:
    with pytest.raises(IntegrityError, match="is not in the journal"), books.begin_nested():
        insert(books, "fills", {})
        hold_now(books)
    insert(books, "fills", {})
    number = books.scalar(sa.text("SELECT max(id) FROM fills"))
    insert(books, "journal", {"kind": "fill", "fill_id": number})
    booked = books.scalar(sa.text("SELECT max(id) FROM journal"))
    for book, currency, amount in (
        ("wallet", "BTC", "0.5"),
        ("market", "BTC", "-0.5"),
        ("wallet", "USDT", "-50"),
        ("market", "USDT", "50"),
    ):
        insert(books, "journal_entries", {"journal_id": booked, "book": book, "currency": currency, "amount": amount})
    with pytest.raises(IntegrityError, match=r"order 1 says 0\.5 executed for 50, its fills are 1 for 100"):
        hold_now(books)


def _keyed(case: tuple[str, dict[str, Any]]) -> tuple[tuple[str, str], dict[str, Any]]:
    return (case[0], repr(case[1])), case[1]
