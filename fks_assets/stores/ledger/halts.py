"""Halts: the kill switch and its smaller sisters. They stop new risk; stops and exits pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import milliseconds, moment, reading


class HaltScope(StrEnum):
    """What is halted; the desk has no name."""

    DESK = "desk"
    ACCOUNT = "account"
    STRATEGY = "strategy"
    MARKET = "market"


@dataclass(frozen=True, slots=True)
class Halt:
    """A halt, or the end of one (`halted` False). It ends by itself at `until`; times are UTC milliseconds."""

    id: int
    scope: HaltScope
    name: str
    halted: bool
    until: int | None
    reason: str
    changed_at: int
    changed_by: str

    def __str__(self) -> str:
        named = self.scope.value if self.scope is HaltScope.DESK else f"{self.scope.value} {self.name}"
        return f"{named} is halted{f' until {iso(self.until)}' if self.until else ''}: {self.reason}"


_COLUMNS = f"id, scope, name, halted, {milliseconds('until')}, reason, {milliseconds('changed_at')}, changed_by"
_INSERT = sa.text(f"""
    INSERT INTO halts (scope, name, halted, until, reason, changed_at, changed_by)
    VALUES (:scope, :name, :halted, {moment(":until")}, :reason, {moment(":at")}, :by) RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_IN_FORCE = sa.text(f"""
    SELECT {_COLUMNS} FROM (
        SELECT DISTINCT ON (scope, name) * FROM halts
        WHERE CAST(:scopes AS text[]) IS NULL OR (scope, name) IN (
            SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:names AS text[])))
        ORDER BY scope, name, id DESC) newest
    WHERE halted AND (until IS NULL OR until > {moment(":at")}) ORDER BY id
""")  # noqa: S608 - constants only
_LIFTS = sa.text(f"""
    SELECT scope, name, {milliseconds("max(changed_at)")} FROM halts WHERE NOT halted GROUP BY scope, name
""")  # noqa: S608 - constants only
_ALONE = sa.text("LOCK TABLE halts IN SHARE ROW EXCLUSIVE MODE")
_HISTORY = sa.text(f"SELECT {_COLUMNS} FROM halts ORDER BY id")  # noqa: S608 - constants only


def halt(
    connection: sa.Connection,
    scope: HaltScope | str,
    name: str,
    *,
    reason: str,
    by: str,
    at_ms: int,
    until_ms: int | None = None,
) -> Halt:
    """Stop new risk in the caller's transaction, until a time or until `resume`.

    Raises InvalidInput for an unknown scope, an end before the beginning, an empty reason or `by`.
    """
    if until_ms is not None and until_ms <= at_ms:
        raise InvalidInput(f"the halt would end at {iso(until_ms)}, before it begins at {iso(at_ms)}")
    return _add(connection, scope, name, True, until_ms, reason, by, at_ms)


def resume(connection: sa.Connection, scope: HaltScope | str, name: str, *, reason: str, by: str, at_ms: int) -> Halt:
    """End a halt in the caller's transaction. Raises InvalidInput for one that is not, and for an empty reason or `by`."""
    if halted(connection, scope, name, at_ms=at_ms) is None:
        raise InvalidInput(f"{HaltScope(scope).value} {name}".strip() + " is not halted")
    return _add(connection, scope, name, False, None, reason, by, at_ms)


def halted(source: Database | sa.Connection, scope: HaltScope | str, name: str, *, at_ms: int) -> Halt | None:
    """Return the halt of exactly this scope and name that is in force at a time, None if there is none."""
    return next(iter(in_force(source, [(HaltScope(scope), name)], at_ms=at_ms)), None)


def in_force(source: Database | sa.Connection, named: Sequence[tuple[HaltScope, str]] | None = None, *, at_ms: int) -> list[Halt]:
    """Return the halts in force at a time, of the scopes and names given or all, oldest first."""
    values = {
        "scopes": None if named is None else [scope.value for scope, _ in named],
        "names": None if named is None else [name for _, name in named],
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
    until_ms: int | None = None,
) -> Halt | None:
    """Write a halt as `halt` does unless one of this scope and name is in force, whoever wrote it; None then.

    A halt of a person is so never replaced by one that ends earlier, and of many writers at once one succeeds.
    """
    if halted(connection, scope, name, at_ms=at_ms) is not None:
        return None
    connection.execute(_ALONE)
    if halted(connection, scope, name, at_ms=at_ms) is not None:
        return None
    return halt(connection, scope, name, reason=reason, by=by, at_ms=at_ms, until_ms=until_ms)


def last_lifts(source: Database | sa.Connection) -> dict[tuple[str, str], int]:
    """Return when (UTC ms) each scope and name was resumed last; those that never were are missing."""
    with reading(source) as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(_LIFTS)}


def halt_history(source: Database | sa.Connection) -> list[Halt]:
    """Return every halt and every end of one, oldest first."""
    with reading(source) as connection:
        return [_halt(row) for row in connection.execute(_HISTORY)]


def _add(
    connection: sa.Connection,
    scope: HaltScope | str,
    name: str,
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
    if not reason.strip() or not by.strip():
        raise InvalidInput("who changes the halt, and why, must be said; was empty")
    values = {"scope": HaltScope(scope).value, "name": name, "halted": stops, "until": until_ms}
    return _halt(connection.execute(_INSERT, {**values, "reason": reason, "by": by, "at": at_ms}).one())


def _halt(row: sa.Row[Any]) -> Halt:
    return Halt(row[0], HaltScope(row[1]), *row[2:])
