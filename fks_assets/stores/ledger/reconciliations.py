"""Comparisons of the ledger with the exchange, and the heartbeats of the parts that must never stop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import document, milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A comparison of an account with its exchange at a time (UTC ms); `detail` says what differs."""

    id: int
    account: str
    at: int
    ok: bool
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a part was last seen at work (UTC ms)."""

    name: str
    at: int
    detail: dict[str, Any]


_INSERT = sa.text(f"""
    INSERT INTO reconciliations (account, at, ok, detail) VALUES (:account, {moment(":at")}, :ok, CAST(:detail AS jsonb))
""")  # noqa: S608 - constants only
_NEWEST = sa.text(f"""
    SELECT id, account, {milliseconds("at")}, ok, detail FROM reconciliations
    WHERE account = :account ORDER BY id DESC LIMIT :count
""")  # noqa: S608 - constants only
_BEAT = sa.text(f"""
    INSERT INTO heartbeats AS h (name, at, detail) VALUES (:name, {moment(":at")}, CAST(:detail AS jsonb))
    ON CONFLICT (name) DO UPDATE SET at = excluded.at, detail = excluded.detail
""")  # noqa: S608 - constants only
_HEARTBEATS = sa.text(f'SELECT name, {milliseconds("at")}, detail FROM heartbeats ORDER BY name COLLATE "C"')  # noqa: S608 - constants only


def record_reconciliation(connection: sa.Connection, account: str, *, ok: bool, detail: Mapping[str, Any], at_ms: int) -> None:
    """Store the result of a comparison in the caller's transaction."""
    connection.execute(_INSERT, {"account": account, "at": at_ms, "ok": ok, "detail": document(dict(detail))})


def newest_reconciliations(source: Database | sa.Connection, account: str, count: int = 1) -> list[Reconciliation]:
    """Return the last comparisons of an account, newest first."""
    with reading(source) as connection:
        return [Reconciliation(*row) for row in connection.execute(_NEWEST, {"account": account, "count": count})]


def beat(connection: sa.Connection, name: str, *, at_ms: int, detail: Mapping[str, Any] | None = None) -> None:
    """Say, in the caller's transaction, that a part is at work."""
    connection.execute(_BEAT, {"name": name, "at": at_ms, "detail": document(dict(detail or {}))})


def read_heartbeats(source: Database | sa.Connection) -> dict[str, Heartbeat]:
    """Return the last heartbeat of each part by name."""
    with reading(source) as connection:
        return {row[0]: Heartbeat(*row) for row in connection.execute(_HEARTBEATS)}
