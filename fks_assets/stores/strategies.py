"""Named parameter sets of strategies: every change is a version that stays, with who made it, when and why."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.stores.database import Database


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """One version of a named set. `parameters` holds every parameter of `strategy`; `changed_at` is UTC milliseconds."""

    name: str
    version: int
    strategy: str
    parameters: Mapping[str, Any]
    removed: bool
    changed_at: int
    changed_by: str
    note: str

    def document(self) -> dict[str, Any]:
        """Return the version for a JSON document, its time in ISO form."""
        return {
            "name": self.name,
            "version": self.version,
            "strategy": self.strategy,
            "parameters": dict(self.parameters),
            "removed": self.removed,
            "changed_at": iso(self.changed_at),
            "changed_by": self.changed_by,
            "note": self.note,
        }


_COLUMNS = """p.name, p.version, p.strategy, p.parameters, p.removed, (extract(epoch FROM p.changed_at) * 1000)::bigint,
    p.changed_by, p.note"""
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('strategy_parameters ' || :name, 0))")
_NEWEST = sa.text(f"SELECT {_COLUMNS} FROM strategy_parameters p WHERE name = :name ORDER BY version DESC LIMIT 1")  # noqa: S608 - constants only
_INSERT = sa.text("""
    INSERT INTO strategy_parameters (name, version, strategy, parameters, removed, changed_at, changed_by, note)
    VALUES (:name, :version, :strategy, CAST(:parameters AS jsonb), :removed, to_timestamp(:at / 1000.0), :by, :note)
""")
_AS_OF = sa.text(f"""
    SELECT DISTINCT ON (p.name COLLATE "C") {_COLUMNS} FROM strategy_parameters p
    WHERE CAST(:at AS bigint) IS NULL OR p.changed_at <= to_timestamp(CAST(:at AS bigint) / 1000.0)
    ORDER BY p.name COLLATE "C", p.version DESC
""")  # noqa: S608 - constants only
_HISTORY = sa.text(f"SELECT {_COLUMNS} FROM strategy_parameters p WHERE name = :name ORDER BY version")  # noqa: S608 - constants only


def write_parameters(
    connection: sa.Connection,
    name: str,
    strategy: str,
    parameters: Mapping[str, Any],
    *,
    by: str,
    note: str,
    at_ms: int,
    expected_version: int | None = None,
) -> ParameterSet:
    """Add a version in the caller's transaction and return it; the newest one if that says the same already.

    Writers of one set wait for each other. The parameters must have been validated. Raises InvalidInput for an empty `by`, for
    another strategy than the set has had, and when the newest version is not `expected_version` (0: there is none).
    """
    _require_person(by)
    newest = _locked(connection, name, expected_version)
    if newest is not None and newest.strategy != strategy:
        raise InvalidInput(f"parameter set {name!r} is one of {newest.strategy}; choose another name for one of {strategy}")
    if newest is not None and not newest.removed and dict(newest.parameters) == dict(parameters):
        return newest
    return _add(connection, newest, name, strategy, parameters, removed=False, by=by, note=note, at_ms=at_ms)


def remove_parameters(
    connection: sa.Connection, name: str, *, by: str, note: str, at_ms: int, expected_version: int | None = None
) -> ParameterSet:
    """Add a version in the caller's transaction with which the set is no longer in force; its history stays.

    Raises InvalidInput for a set that is not there, an empty `by`, and as `write_parameters` for `expected_version`.
    """
    _require_person(by)
    newest = _locked(connection, name, expected_version)
    if newest is None or newest.removed:
        known = [each.name for each in read_parameters(connection).values() if not each.removed]
        raise InvalidInput(f"parameter set {name!r} is not stored; stored are {', '.join(known) or 'none'}")
    return _add(connection, newest, name, newest.strategy, newest.parameters, removed=True, by=by, note=note, at_ms=at_ms)


def read_parameters(source: Database | sa.Connection, at_ms: int | None = None) -> dict[str, ParameterSet]:
    """Return the newest version of each set by name, or what it was at a time (UTC ms); removed ones say so."""
    return {each.name: each for each in _sets(source, _AS_OF, {"at": at_ms})}


def parameters_history(source: Database | sa.Connection, name: str) -> list[ParameterSet]:
    """Return every version of a set, oldest first."""
    return _sets(source, _HISTORY, {"name": name})


def _locked(connection: sa.Connection, name: str, expected_version: int | None) -> ParameterSet | None:
    connection.execute(_LOCK, {"name": name})
    newest = next(iter(_sets(connection, _NEWEST, {"name": name})), None)
    found = 0 if newest is None else newest.version
    if expected_version is not None and found != expected_version:
        raise InvalidInput(f"parameter set {name!r} is at version {found} by now, not {expected_version}: look at it again")
    return newest


def _add(
    connection: sa.Connection,
    newest: ParameterSet | None,
    name: str,
    strategy: str,
    parameters: Mapping[str, Any],
    *,
    removed: bool,
    by: str,
    note: str,
    at_ms: int,
) -> ParameterSet:
    # A clock that was set back may not make a later version look older than the one it replaces.
    at = at_ms if newest is None else max(at_ms, newest.changed_at)
    added = ParameterSet(name, 1 if newest is None else newest.version + 1, strategy, dict(parameters), removed, at, by, note)
    values = {"name": name, "version": added.version, "strategy": strategy, "parameters": json.dumps(added.parameters)}
    connection.execute(_INSERT, {**values, "removed": removed, "at": at, "by": by, "note": note})
    return added


def _sets(source: Database | sa.Connection, statement: sa.TextClause, values: dict[str, Any]) -> list[ParameterSet]:
    if isinstance(source, Database):
        with source.transaction() as connection:
            return _sets(connection, statement, values)
    return [ParameterSet(*row) for row in source.execute(statement, values)]


def _require_person(by: str) -> None:
    if not by.strip():
        raise InvalidInput("who changes it must be named, was empty")
