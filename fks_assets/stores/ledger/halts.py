"""Halts: the kill switch and its smaller sisters. They stop new risk; stops and exits pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import read_account
from fks_assets.stores.ledger.reading import milliseconds, moment, reading


class HaltScope(StrEnum):
    """What is halted; the desk has no name."""

    DESK = "desk"
    ACCOUNT = "account"
    STRATEGY = "strategy"
    MARKET = "market"


@dataclass(frozen=True, slots=True)
class Halt:
    """A halt, or the end of one (`halted` False). It ends by itself at `until`; times are UTC milliseconds.

    `account`: whom alone the halt of a strategy or a market binds; None: every account.
    """

    id: int
    scope: HaltScope
    name: str
    account: str | None
    halted: bool
    until: int | None
    reason: str
    changed_at: int
    changed_by: str

    def binds(self, account: str) -> bool:
        """Return whether it stops new risk of an account, of whatever strategy and market."""
        return self.name == account if self.scope is HaltScope.ACCOUNT else self.account in (None, account)

    def __str__(self) -> str:
        until = f" until {iso(self.until)}" if self.until else ""
        return f"{halt_words(self.scope, self.name, self.account)} is halted{until}: {self.reason}"


_COLUMNS = f"id, scope, name, account, halted, {milliseconds('until')}, reason, {milliseconds('changed_at')}, changed_by"
_INSERT = sa.text(f"""
    INSERT INTO halts (scope, name, account, halted, until, reason, changed_at, changed_by)
    VALUES (:scope, :name, :account, :halted, {moment(":until")}, :reason, {moment(":at")}, :by) RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_IN_FORCE = sa.text(f"""
    SELECT {_COLUMNS} FROM (
        SELECT DISTINCT ON (scope, name, account) * FROM halts
        WHERE (CAST(:scopes AS text[]) IS NULL OR (scope, name) IN (
            SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:names AS text[]))))
          AND (CAST(:account AS text) IS NULL
            OR CASE scope WHEN 'account' THEN name ELSE coalesce(account, :account) END = :account)
        ORDER BY scope, name, account, id DESC) newest
    WHERE halted AND (until IS NULL OR until > {moment(":at")}) ORDER BY id
""")  # noqa: S608 - constants only
_LIFTS = sa.text(f"""
    SELECT scope, name, {milliseconds("max(changed_at)")} FROM halts
    WHERE NOT halted AND coalesce(account, :account) = :account GROUP BY scope, name
""")  # noqa: S608 - constants only
_ALONE = sa.text("LOCK TABLE halts IN SHARE ROW EXCLUSIVE MODE")
_HISTORY = sa.text(f"SELECT {_COLUMNS} FROM halts ORDER BY id")  # noqa: S608 - constants only


def halt_words(scope: HaltScope, name: str, account: str | None = None) -> str:
    """Return what a halt is of, such as `market BTC-USDT@binance of account main`."""
    return " ".join(filter(None, (scope.value, name, f"of account {account}" if account else "")))


def halt(
    connection: sa.Connection,
    scope: HaltScope | str,
    name: str,
    *,
    reason: str,
    by: str,
    at_ms: int,
    until_ms: int | None = None,
    account: str | None = None,
) -> Halt:
    """Stop new risk in the caller's transaction, until a time or until `resume`; of one account alone if it is named.

    Raises InvalidInput for an unknown scope or account, an end before the beginning, an empty reason or `by`.
    """
    if until_ms is not None and until_ms <= at_ms:
        raise InvalidInput(f"the halt would end at {iso(until_ms)}, before it begins at {iso(at_ms)}")
    return _add(connection, scope, name, account, True, until_ms, reason, by, at_ms)


def resume(
    connection: sa.Connection,
    scope: HaltScope | str,
    name: str,
    *,
    reason: str,
    by: str,
    at_ms: int,
    account: str | None = None,
) -> Halt:
    """End a halt in the caller's transaction. Raises InvalidInput for one that is not, and for an empty reason or `by`.

    The halt of one account and that of all are two, and each is ended by itself.
    """
    if halted(connection, scope, name, account=account, at_ms=at_ms) is None:
        others = [each.account or "all" for each in in_force(connection, [(HaltScope(scope), name)], at_ms=at_ms)]
        instead = f", only of {', '.join(others)}" if others else ""
        raise InvalidInput(f"{halt_words(HaltScope(scope), name, account)} is not halted{instead}")
    return _add(connection, scope, name, account, False, None, reason, by, at_ms)


def halted(
    source: Database | sa.Connection, scope: HaltScope | str, name: str, *, at_ms: int, account: str | None = None
) -> Halt | None:
    """Return the halt of exactly this scope, name and account that is in force at a time, None if there is none."""
    found = in_force(source, [(HaltScope(scope), name)], at_ms=at_ms)
    return next((each for each in found if each.account == account), None)


def in_force(
    source: Database | sa.Connection,
    named: Sequence[tuple[HaltScope, str]] | None = None,
    *,
    at_ms: int,
    account: str | None = None,
) -> list[Halt]:
    """Return the halts in force at a time, oldest first: of the scopes and names given or all, that bind `account` or any."""
    values = {
        "scopes": None if named is None else [scope.value for scope, _ in named],
        "names": None if named is None else [name for _, name in named],
        "account": account,
        "at": at_ms,
    }
    with reading(source) as connection:
        return [_halt(row) for row in connection.execute(_IN_FORCE, values)]


def halt_unless_halted(
    connection: sa.Connection,
    scope: HaltScope | str,
    name: str,
    *,
    reason: str,
    by: str,
    at_ms: int,
    until_ms: int,
    gives_way: Callable[[Halt], bool],
    account: str | None = None,
) -> Halt | None:
    """Write a halt as `halt` does unless one that binds the same is in force and does not give way to it; None then.

    A halt of a person is so never replaced by one that ends by itself, and of many writers at once one succeeds.
    """

    def stands() -> bool:
        found = in_force(connection, [(HaltScope(scope), name)], account=account, at_ms=at_ms)
        return any(not gives_way(each) for each in found)

    if stands():
        return None
    connection.execute(_ALONE)
    if stands():
        return None
    return halt(connection, scope, name, account=account, reason=reason, by=by, at_ms=at_ms, until_ms=until_ms)


def last_lifts(source: Database | sa.Connection, account: str) -> dict[tuple[str, str], int]:
    """Return when (UTC ms) each scope and name was resumed last, for an account or for all; those that never were are missing."""
    with reading(source) as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(_LIFTS, {"account": account})}


def halt_history(source: Database | sa.Connection) -> list[Halt]:
    """Return every halt and every end of one, oldest first."""
    with reading(source) as connection:
        return [_halt(row) for row in connection.execute(_HISTORY)]


def _add(
    connection: sa.Connection,
    scope: HaltScope | str,
    name: str,
    account: str | None,
    stops: bool,
    until_ms: int | None,
    reason: str,
    by: str,
    at_ms: int,
) -> Halt:
    if scope not in list(HaltScope):
        raise InvalidInput(f"scope {scope!r} is unknown; known: {', '.join(HaltScope)}")
    if (scope == HaltScope.DESK) != (name == ""):
        raise InvalidInput(f"a halt of the desk has no name, every other has one; was {scope} {name!r}")
    if account is not None and scope not in (HaltScope.STRATEGY, HaltScope.MARKET):
        raise InvalidInput(f"only the halt of a strategy or a market can be of one account; was {scope} {name} of {account}")
    if not reason.strip() or not by.strip():
        raise InvalidInput("who changes the halt, and why, must be said; was empty")
    if account is not None:
        read_account(connection, account)
    values = {"scope": HaltScope(scope).value, "name": name, "account": account, "halted": stops, "until": until_ms}
    return _halt(connection.execute(_INSERT, {**values, "reason": reason, "by": by, "at": at_ms}).one())


def _halt(row: sa.Row[Any]) -> Halt:
    return Halt(row[0], HaltScope(row[1]), *row[2:])
