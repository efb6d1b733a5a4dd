"""Messages to people, written in the transaction of what they tell of: one for each key, however often it is raised."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.stores.database import Database


@dataclass(frozen=True, slots=True)
class Notification:
    """A message. `created_at` is UTC milliseconds by the database's clock."""

    id: int
    kind: str
    severity: str
    message: str
    dedup_key: str
    created_at: int


_INSERT = sa.text("""
    INSERT INTO notifications (kind, severity, message, dedup_key) VALUES (:kind, :severity, :message, :dedup_key)
    ON CONFLICT (dedup_key) DO NOTHING RETURNING id
""")
_SELECT = sa.text("""
    SELECT id, kind, severity, message, dedup_key, (extract(epoch FROM created_at) * 1000)::bigint FROM notifications
    WHERE (CAST(:kinds AS text[]) IS NULL OR kind = ANY (CAST(:kinds AS text[]))) ORDER BY id
""")


def notify(connection: sa.Connection, kind: str, severity: str, message: str, dedup_key: str) -> bool:
    """Write a message in the caller's transaction, unless its key has been used; return whether it is new."""
    values = {"kind": kind, "severity": severity, "message": message, "dedup_key": dedup_key}
    return connection.execute(_INSERT, values).first() is not None


def read_notifications(source: Database | sa.Connection, kinds: Sequence[str] | None = None) -> list[Notification]:
    """Return the messages, oldest first; None means all kinds."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_notifications(connection, kinds)
    return [Notification(*row) for row in source.execute(_SELECT, {"kinds": None if kinds is None else list(kinds)})]
