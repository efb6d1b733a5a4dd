"""Messages to people, written in the transaction of what they tell of: one for each key, however often it is raised."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import end_escalations
from fks_assets.stores.ledger.reading import milliseconds, moment, reading

# Longer texts are cut, longer keys end in their hash: their index takes 2,700 bytes, and no message may undo what it tells of.
MOST_TEXT, MOST_KEY = 100_000, 500


@dataclass(frozen=True, slots=True)
class Notification:
    """A message. `created_at` is UTC milliseconds by the database's clock; `escalations` counts how often it went on."""

    id: int
    kind: str
    severity: str
    message: str
    dedup_key: str
    created_at: int
    acknowledged_at: int | None = None
    acknowledged_by: str | None = None
    escalate_at: int | None = None
    escalations: int = 0


_INSERT = sa.text("""
    INSERT INTO notifications (kind, severity, message, dedup_key) VALUES (:kind, :severity, :message, :dedup_key)
    ON CONFLICT (dedup_key) DO NOTHING RETURNING id
""")
_COLUMNS = (
    f"id, kind, severity, message, dedup_key, {milliseconds('created_at')}, {milliseconds('acknowledged_at')}, acknowledged_by, "
    f"{milliseconds('escalate_at')}, escalations"
)
_SELECT = sa.text(f"""
    SELECT {_COLUMNS} FROM notifications
    WHERE (CAST(:kinds AS text[]) IS NULL OR kind = ANY (CAST(:kinds AS text[]))) ORDER BY id
""")  # noqa: S608 - constants only
_NEWEST = sa.text(f"""
    SELECT {_COLUMNS} FROM notifications
    WHERE NOT :unacknowledged OR severity = 'URGENT' AND acknowledged_at IS NULL ORDER BY id DESC LIMIT :most
""")  # noqa: S608 - constants only
_ONE = sa.text(f"SELECT {_COLUMNS} FROM notifications WHERE id = :id")  # noqa: S608 - constants only
_ACKNOWLEDGE = sa.text(f"""
    UPDATE notifications SET acknowledged_at = {moment(":at")}, acknowledged_by = :by, escalate_at = NULL
    WHERE id = :id AND acknowledged_at IS NULL
""")  # noqa: S608 - constants only


def notify(connection: sa.Connection, kind: str, severity: str, message: str, dedup_key: str) -> bool:
    """Write a message in the caller's transaction, unless its key has been used; return whether it is new."""
    return add_notification(connection, kind, severity, message, dedup_key) is not None


def add_notification(connection: sa.Connection, kind: str, severity: str, message: str, dedup_key: str) -> int | None:
    """Write a message in the caller's transaction and return its number, None if its key has been used.

    Whatever a feed or an error put into it can be stored: what a database cannot hold is replaced by `?`.
    """
    key = dedup_key if len(dedup_key) <= MOST_KEY else f"{dedup_key[:MOST_KEY]}:{stable_id(_storable(dedup_key))}"
    values = {"kind": kind, "severity": severity, "message": _storable(message[:MOST_TEXT]), "dedup_key": _storable(key)}
    return connection.execute(_INSERT, values).scalar()


def read_notifications(source: Database | sa.Connection, kinds: Sequence[str] | None = None) -> list[Notification]:
    """Return the messages, oldest first; None means all kinds."""
    with reading(source) as connection:
        rows = connection.execute(_SELECT, {"kinds": None if kinds is None else list(kinds)})
        return [Notification(*row) for row in rows]


def newest_notifications(source: Database | sa.Connection, most: int, *, unacknowledged: bool = False) -> list[Notification]:
    """Return the newest messages, newest first, or only urgent ones that nobody has acknowledged."""
    with reading(source) as connection:
        rows = connection.execute(_NEWEST, {"most": most, "unacknowledged": unacknowledged})
        return [Notification(*row) for row in rows]


def read_notification(source: Database | sa.Connection, number: int) -> Notification:
    """Return a message. Raises InvalidInput for one that is not."""
    with reading(source) as connection:
        row = connection.execute(_ONE, {"id": number}).one_or_none()
    if row is None:
        raise InvalidInput(f"notification {number} does not exist")
    return Notification(*row)


def acknowledge(connection: sa.Connection, number: int, *, by: str, at_ms: int) -> Notification:
    """Note who has seen a message, which ends its escalation; the first one counts. Return the message as it is now.

    Escalations that wait for a channel are not said any more, the message itself is.
    Raises InvalidInput for a message that is not, and for an empty `by`.
    """
    if not by.strip():
        raise InvalidInput("who acknowledges must be said; was empty")
    connection.execute(_ACKNOWLEDGE, {"id": number, "by": by, "at": at_ms})
    end_escalations(connection, number)
    return read_notification(connection, number)


def _storable(text: str) -> str:
    """Return text without NUL and lone surrogates, which neither UTF-8 nor the database takes."""
    return text.replace("\x00", "?").encode("utf-8", "replace").decode()
