"""The journal: every movement of money as entries that sum to 0, and the wallets that follow from it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.money import EXACT, ZERO, money, money_text
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import document, locked_accounts, milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class Posting:
    """Something to be booked once: (book, currency, amount) that sum to 0 in each currency. `at` is UTC milliseconds."""

    kind: str
    reference: str
    at: int
    entries: Sequence[tuple[str, str, Decimal]]
    fill_id: int | None = None
    deal_id: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Booking:
    """A booked posting. `entries` are (book, currency, amount); `at` is UTC milliseconds."""

    id: int
    account: str
    kind: str
    reference: str
    at: int
    booked_by: str
    note: str
    entries: tuple[tuple[str, str, Decimal], ...]


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Money that came from outside (above 0) or went there. `at` is UTC milliseconds."""

    at: int
    kind: str
    currency: str
    amount: Decimal
    reference: str


FLOWS = ("deposit", "withdrawal", "adjustment")
KINDS = ("fill", *FLOWS, "dust", "funding")
_POST = sa.text(f"""
    INSERT INTO journal (account, kind, reference, fill_id, deal_id, at, booked_by, note)
    SELECT :account, r.kind, r.reference, r.fill_id, r.deal_id, {moment("r.at")}, :by, r.note
    FROM jsonb_to_recordset(CAST(:rows AS jsonb))
        AS r (kind text, reference text, fill_id bigint, deal_id bigint, at bigint, note text)
    RETURNING id, reference
""")  # noqa: S608 - constants only
_ENTER = sa.text("""
    INSERT INTO journal_entries (journal_id, book, currency, amount)
    SELECT r.id, r.book, r.currency, r.amount
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, book text, currency text, amount numeric)
""")
_KNOWN = sa.text("""
    SELECT j.kind, (SELECT e.amount FROM journal_entries e
        WHERE e.journal_id = j.id AND e.book = 'wallet' AND e.currency = :currency)
    FROM journal j WHERE account = :account AND reference = :reference
""")
_WALLETS = sa.text('SELECT currency, amount FROM wallets WHERE account = :account ORDER BY currency COLLATE "C"')
_SHORT = sa.text(f"""
    SELECT currency, {milliseconds("short_since")} FROM wallets WHERE account = :account AND short_since IS NOT NULL
    ORDER BY currency COLLATE "C"
""")  # noqa: S608 - constants only
_FLOWS = sa.text(f"""
    SELECT {milliseconds("j.at")}, j.kind, e.currency, e.amount, j.reference
    FROM journal j JOIN journal_entries e ON e.journal_id = j.id AND e.book = 'wallet'
    WHERE j.account = :account AND j.kind = ANY (CAST(:kinds AS text[]))
      AND (CAST(:since AS bigint) IS NULL OR j.at >= {moment(":since")})
      AND (CAST(:until AS bigint) IS NULL OR j.at < {moment(":until")})
    ORDER BY j.at, j.id, e.currency COLLATE "C"
""")  # noqa: S608 - constants only
_BOOKINGS = sa.text(f"""
    SELECT j.id, j.account, j.kind, j.reference, {milliseconds("j.at")}, j.booked_by, j.note,
        (SELECT jsonb_agg(jsonb_build_array(e.book, e.currency, e.amount::text)
            ORDER BY e.book COLLATE "C", e.currency COLLATE "C")
         FROM journal_entries e WHERE e.journal_id = j.id)::text
    FROM (
        SELECT * FROM journal WHERE account = :account AND (CAST(:kinds AS text[]) IS NULL OR kind = ANY (CAST(:kinds AS text[])))
        ORDER BY id DESC LIMIT CAST(:newest AS bigint)) j
    ORDER BY j.id
""")  # noqa: S608 - constants only


def deposit(
    connection: sa.Connection,
    account: str,
    currency: str,
    amount: Decimal,
    reference: str,
    *,
    at_ms: int,
    by: str,
    note: str = "",
) -> bool:
    """Book money that came in, in the caller's transaction; return whether it is new: a reference is booked once.

    Raises InvalidInput for an amount that is not above 0 and for a reference that was booked with other numbers.
    """
    return _move(connection, account, "deposit", currency, _positive(amount), reference, at_ms, by, note)


def withdraw(
    connection: sa.Connection,
    account: str,
    currency: str,
    amount: Decimal,
    reference: str,
    *,
    at_ms: int,
    by: str,
    note: str = "",
) -> bool:
    """Book money that went out, in the caller's transaction; return whether it is new.

    Raises as `deposit`, and InvalidInput when the account has less.
    """
    return _move(connection, account, "withdrawal", currency, _positive(amount).copy_negate(), reference, at_ms, by, note)


def adjust(
    connection: sa.Connection,
    account: str,
    currency: str,
    amount: Decimal,
    reference: str,
    *,
    at_ms: int,
    by: str,
    note: str = "",
) -> bool:
    """Book a change that happened outside and was found later, above or below 0; return whether it is new. Raises as `deposit`.

    This alone may leave a wallet below 0, which the wallet then says.
    """
    if not money(amount):
        raise InvalidInput("an adjustment of 0 changes nothing")
    return _move(connection, account, "adjustment", currency, money(amount), reference, at_ms, by, note)


def fund(
    connection: sa.Connection,
    account: str,
    currency: str,
    amount: Decimal,
    reference: str,
    *,
    at_ms: int,
    by: str,
    note: str = "",
) -> bool:
    """Book funding or interest, above 0 if it was paid to us: profit or cost, no deposit. Returns and raises as `adjust`."""
    if not money(amount):
        raise InvalidInput("funding of 0 changes nothing")
    return _move(connection, account, "funding", currency, money(amount), reference, at_ms, by, note, other="fees")


def wallets(source: Database | sa.Connection, account: str) -> dict[str, Decimal]:
    """Return what an account owns by currency, as far as it is booked; dust is part of it."""
    with reading(source) as connection:
        return {row[0]: row[1] for row in connection.execute(_WALLETS, {"account": account})}


def short_wallets(source: Database | sa.Connection, account: str) -> dict[str, int]:
    """Return the currencies of which an account has less than nothing, and since when (UTC ms): something is not booked."""
    with reading(source) as connection:
        return {row[0]: row[1] for row in connection.execute(_SHORT, {"account": account})}


def cash_flows(
    source: Database | sa.Connection,
    account: str,
    *,
    kinds: Sequence[str] = FLOWS,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> list[CashFlow]:
    """Return what came from outside or went there, oldest first: it is no profit. `until_ms` is not included."""
    values = {"account": account, "kinds": list(kinds), "since": since_ms, "until": until_ms}
    with reading(source) as connection:
        return [CashFlow(*row) for row in connection.execute(_FLOWS, values)]


def read_bookings(
    source: Database | sa.Connection, account: str, kinds: Sequence[str] | None = None, *, newest: int | None = None
) -> list[Booking]:
    """Return everything that was booked, in the order of booking; None means all kinds. `newest`: only so many, the last ones."""
    values = {"account": account, "kinds": None if kinds is None else list(kinds), "newest": newest}
    with reading(source) as connection:
        rows = connection.execute(_BOOKINGS, values).all()
    return [
        Booking(*row[:7], tuple((book, currency, Decimal(amount)) for book, currency, amount in json.loads(row[7])))
        for row in rows
    ]


def post(connection: sa.Connection, account: str, postings: Sequence[Posting], *, by: str) -> None:
    """Book postings in the caller's transaction; a trigger brings the wallets along. The account must be locked.

    Entries of one book and currency are one entry; those that are 0 are left out.
    """
    rows = [
        {
            "kind": each.kind,
            "reference": each.reference,
            "fill_id": each.fill_id,
            "deal_id": each.deal_id,
            "at": each.at,
            "note": each.note,
        }
        for each in postings
    ]
    ids = {row.reference: row.id for row in connection.execute(_POST, {"account": account, "rows": document(rows), "by": by})}
    entries = []
    for posting in postings:
        sums: dict[tuple[str, str], Decimal] = {}
        for book, currency, amount in posting.entries:
            sums[book, currency] = EXACT.add(sums.get((book, currency), ZERO), amount)
        entries += [
            {"id": ids[posting.reference], "book": book, "currency": currency, "amount": amount}
            for (book, currency), amount in sums.items()
            if amount
        ]
    connection.execute(_ENTER, {"rows": document(entries)})


def _move(
    connection: sa.Connection,
    account: str,
    kind: str,
    currency: str,
    amount: Decimal,
    reference: str,
    at_ms: int,
    by: str,
    note: str,
    other: str = "external",
) -> bool:
    if not by.strip() or not reference.strip():
        raise InvalidInput(f"a {kind} needs a reference and somebody who books it; was {reference!r} by {by!r}")
    if account not in locked_accounts(connection, [account]):
        raise InvalidInput(f"account {account!r} is unknown")
    known = connection.execute(_KNOWN, {"account": account, "reference": reference, "currency": currency}).first()
    if known is not None:
        if tuple(known) != (kind, amount):
            raise InvalidInput(
                f"reference {reference!r} of account {account} is booked already, as a {known[0]} of other numbers"
            )
        return False
    owned = wallets(connection, account).get(currency, ZERO)
    if kind == "withdrawal" and EXACT.add(owned, amount) < 0:
        raise InvalidInput(f"account {account} has {money_text(owned)} {currency}, less than {money_text(amount.copy_negate())}")
    entries = [("wallet", currency, amount), (other, currency, amount.copy_negate())]
    post(connection, account, [Posting(kind, reference, at_ms, entries, note=note)], by=by)
    return True


def _positive(amount: Decimal) -> Decimal:
    if money(amount) <= 0:
        raise InvalidInput(f"amount {amount} is not above 0")
    return money(amount)
