"""The ledger computed anew from its fills and entries, in fractions and without SQL sums: nothing may differ."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sqlalchemy as sa

from fks_assets.quant.markets import parse_market
from fks_assets.quant.money import DIGITS_AFTER
from fks_assets.stores.database import Database

Sums = dict[Any, Fraction]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the ledger that is not what its fills and entries make it. `what`: which figure of which row."""

    what: str
    stored: Fraction
    computed: Fraction

    def __str__(self) -> str:
        return f"{self.what}: stored {self.stored}, computed {self.computed}"


_FILLS = sa.text("""
    SELECT f.id, f.account, f.market, f.side, f.price, f.quantity, f.value, f.fee, f.fee_currency, f.order_id, o.deal_id
    FROM fills f JOIN orders o ON o.id = f.order_id ORDER BY f.id
""")
_ENTRIES = sa.text("""
    SELECT j.id, j.account, j.kind, j.fill_id, j.deal_id, e.book, e.currency, e.amount
    FROM journal j LEFT JOIN journal_entries e ON e.journal_id = j.id ORDER BY j.id
""")
_ORDERS = sa.text("SELECT id, executed_quantity, executed_sum FROM orders")
_POSITIONS = sa.text("""
    SELECT deal_id, bought_quantity, bought_sum, sold_quantity, sold_sum, fees_quote, fee_base, dust_quantity FROM positions
""")
_WALLETS = sa.text("SELECT account, currency, amount FROM wallets")
_PARTS = ("bought_quantity", "bought_sum", "sold_quantity", "sold_sum", "fees_quote", "fee_base", "dust_quantity")
_BATCH = 10_000


def recompute(source: Database | sa.Connection) -> list[Difference]:
    """Return every figure that is not the sum of its parts: empty if the books are right.

    Fills' values; entries of each fill; zero sums of each booking and currency; executed sums of orders; sums of positions;
    wallets. A database gives one snapshot to all of it; a connection gives what its transaction sees.
    """
    if isinstance(source, Database):
        with source.transaction() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            return list(_differences(connection, {"yield_per": _BATCH}))
    return list(_differences(source, {}))


def _differences(connection: sa.Connection, options: Mapping[str, Any]) -> Iterator[Difference]:
    def rows(statement: sa.TextClause) -> Iterator[Any]:
        yield from connection.execute(statement, execution_options=options)

    orders: Sums = defaultdict(Fraction)
    positions: Sums = defaultdict(Fraction)
    wallets: Sums = defaultdict(Fraction)
    booked: Sums = defaultdict(Fraction)
    expected: Sums = defaultdict(Fraction)
    zero: Sums = defaultdict(Fraction)
    for row in rows(_FILLS):
        price, quantity, value, fee = (Fraction(amount) for amount in (row.price, row.quantity, row.value, row.fee))
        if value != _to_18_digits(price * quantity):
            yield Difference(f"value of fill {row.id}", value, _to_18_digits(price * quantity))
        base, quote = parse_market(row.market).base, parse_market(row.market).quote
        way = 1 if row.side == "BUY" else -1
        orders[row.order_id, "executed_quantity"] += quantity
        orders[row.order_id, "executed_sum"] += value
        for book, currency, amount in (
            ("market", base, -way * quantity),
            ("market", quote, way * value),
            ("wallet", base, way * quantity),
            ("wallet", quote, -way * value),
            ("wallet", row.fee_currency, -fee),
            ("fees", row.fee_currency, fee),
        ):
            if amount:
                expected[row.id, book, currency] += amount
        if row.deal_id is not None:
            name = "bought" if way > 0 else "sold"
            positions[row.deal_id, f"{name}_quantity"] += quantity
            positions[row.deal_id, f"{name}_sum"] += value
            positions[row.deal_id, "fees_quote"] += fee if row.fee_currency == quote else 0
            positions[row.deal_id, "fee_base"] += fee if row.fee_currency == base else 0
    for row in rows(_ENTRIES):
        amount = Fraction(row.amount or 0)
        zero[row.id, row.currency] += amount
        if row.book == "wallet":
            wallets[row.account, row.currency] += amount
        if row.fill_id is not None:
            booked[row.fill_id, row.book, row.currency] += amount
        if row.book == "dust":
            positions[row.deal_id, "dust_quantity"] -= amount
    yield from _compare("entries of fill", booked, expected)
    yield from (Difference(f"sum of booking {key[0]} in {key[1]}", amount, Fraction(0)) for key, amount in zero.items() if amount)
    yield from _compare("order", _named(rows(_ORDERS), ("executed_quantity", "executed_sum")), orders)
    yield from _compare("position of deal", _named(rows(_POSITIONS), _PARTS), positions)
    stored_wallets = {(row.account, row.currency): Fraction(row.amount) for row in rows(_WALLETS)}
    yield from _compare("wallet", stored_wallets, wallets)


def _named(rows: Iterator[Any], names: tuple[str, ...]) -> Sums:
    return {(row[0], name): Fraction(amount) for row in rows for name, amount in zip(names, row[1:], strict=True)}


def _compare(what: str, stored: Mapping[Hashable, Fraction], computed: Mapping[Hashable, Fraction]) -> Iterator[Difference]:
    for key in dict.fromkeys((*stored, *computed)):
        ours, theirs = stored.get(key, Fraction(0)), computed.get(key, Fraction(0))
        if ours != theirs:
            yield Difference(f"{what} {' '.join(map(str, key if isinstance(key, tuple) else (key,)))}", ours, theirs)


def _to_18_digits(value: Fraction) -> Fraction:
    """Halves away from zero, as the column's check has it; a value is never below 0."""
    scale = 10**DIGITS_AFTER
    return Fraction((value * scale * 2 + 1) // 2, scale)
