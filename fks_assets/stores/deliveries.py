"""Deliveries: a notification on a channel. Several senders may work at once: each row is leased to one of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class Unrouted:
    """A notification of which no channel knows yet."""

    id: int
    kind: str
    severity: str


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that its sender holds, with what it says; `attempts` counts this one."""

    id: int
    notification_id: int
    channel: str
    round: int
    attempts: int
    kind: str
    severity: str
    message: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notification on a channel; times are UTC milliseconds."""

    id: int
    notification_id: int
    channel: str
    round: int
    state: str
    attempts: int
    created_at: int
    next_attempt_at: int
    delivered_at: int | None
    last_error: str | None
    handed_to: str | None


@dataclass(frozen=True, slots=True)
class Stuck:
    """A delivery that should go on to another channel; `taken` are the channels of its round with the states there."""

    id: int
    notification_id: int
    channel: str
    round: int
    state: str
    taken: Mapping[str, str]


_UNROUTED = sa.text("""
    SELECT id, kind, severity FROM notifications WHERE routed_at IS NULL ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
""")
_OLDEST_UNROUTED = sa.text(f"SELECT {milliseconds('min(created_at)')} FROM notifications WHERE routed_at IS NULL")  # noqa: S608
_ROUTED = sa.text(f"""
    UPDATE notifications SET routed_at = {moment(":at")},
        escalate_at = CASE WHEN severity = 'URGENT' AND acknowledged_at IS NULL THEN {moment(":escalate")} END
    WHERE id = ANY (CAST(:ids AS bigint[]))
""")  # noqa: S608 - constants only
_INSERT = sa.text(f"""
    INSERT INTO deliveries (notification_id, channel, round, created_at, next_attempt_at)
    SELECT id, channel, :round, {moment(":at")}, {moment(":at")}
    FROM unnest(CAST(:ids AS bigint[]), CAST(:channels AS text[])) AS new (id, channel)
    ON CONFLICT ON CONSTRAINT uq_deliveries_once DO NOTHING
""")  # noqa: S608 - constants only
# So far ahead lies only what was written by a clock that has been set back since: it is not waited for.
_FUTURE = f"{moment(':at')} + interval '2 minutes'"
_LEASE_IS_OVER = f"(lease_until <= {moment(':at')} OR lease_until > {_FUTURE})"
_IS_DUE = f"""
    (d.state = 'PENDING' AND (d.next_attempt_at <= {moment(":at")} OR d.created_at > {_FUTURE})
        OR d.state = 'SENDING' AND {_LEASE_IS_OVER})
"""
_DUE = sa.text(f"""
    SELECT d.id, d.notification_id, d.channel, d.round, d.attempts + 1, n.kind, n.severity, n.message,
        {milliseconds("n.created_at")}
    FROM deliveries d JOIN notifications n ON n.id = d.notification_id
    WHERE d.channel = ANY (CAST(:channels AS text[])) AND {_IS_DUE}
    ORDER BY n.severity = 'URGENT' DESC, d.next_attempt_at, d.id LIMIT :most FOR UPDATE OF d SKIP LOCKED
""")  # noqa: S608 - constants only
_LEASE = sa.text(f"""
    UPDATE deliveries SET state = 'SENDING', attempts = attempts + 1, lease_until = {moment(":until")}, leased_by = :sender
    WHERE id = ANY (CAST(:ids AS bigint[]))
""")  # noqa: S608 - constants only
_MINE = "id = ANY (CAST(:ids AS bigint[])) AND state = 'SENDING' AND leased_by = :sender"
_DELIVERED = sa.text(f"""
    UPDATE deliveries SET lease_until = NULL, leased_by = NULL, last_error = NULL, delivered_at = {moment(":at")},
        state = CASE WHEN CAST(:digest AS bigint) IS NULL OR id = :digest THEN 'DELIVERED' ELSE 'DIGESTED' END,
        digest_of = CASE WHEN id <> :digest THEN CAST(:digest AS bigint) END
    WHERE {_MINE}
""")  # noqa: S608 - constants only
_LATER = sa.text(f"""
    UPDATE deliveries SET state = 'PENDING', lease_until = NULL, leased_by = NULL, last_error = :error,
        next_attempt_at = {moment(":next")} WHERE {_MINE}
""")  # noqa: S608 - constants only
_REFUSED = sa.text(f"""
    UPDATE deliveries SET state = 'FAILED', lease_until = NULL, leased_by = NULL, last_error = :error,
        handed_to = nullif(handed_to, channel) WHERE {_MINE}
""")  # noqa: S608 - constants only
_BURY = sa.text(f"""
    UPDATE deliveries SET state = 'DEAD', last_error = :error, lease_until = NULL, leased_by = NULL,
        handed_to = nullif(handed_to, channel)
    WHERE channel = :channel AND (
        state = 'PENDING' OR state = 'SENDING' AND ({_LEASE_IS_OVER} OR leased_by = :sender))
""")  # noqa: S608 - constants only
_BURY_UNKNOWN = sa.text(f"""
    UPDATE deliveries SET state = 'DEAD', last_error = 'the channel is no longer in the settings', lease_until = NULL,
        leased_by = NULL, handed_to = nullif(handed_to, channel)
    WHERE channel <> ALL (CAST(:channels AS text[]))
        AND (state = 'PENDING' OR state = 'SENDING' AND {_LEASE_IS_OVER})
""")  # noqa: S608 - constants only
_STUCK = sa.text(f"""
    SELECT d.id, d.notification_id, d.channel, d.round, d.state, (
        SELECT jsonb_object_agg(o.channel, o.state) FROM deliveries o
        WHERE o.notification_id = d.notification_id AND o.round = d.round)
    FROM deliveries d JOIN notifications n ON n.id = d.notification_id
    WHERE d.channel <> :log AND d.handed_to IS NULL AND n.acknowledged_at IS NULL AND (
        d.state IN ('FAILED', 'DEAD') AND d.next_attempt_at <= {moment(":at")}
        OR d.state IN ('PENDING', 'SENDING') AND n.severity = 'URGENT'
            AND (d.created_at <= {moment(":before")} OR d.created_at > {_FUTURE}))
    ORDER BY n.severity = 'URGENT' DESC, d.next_attempt_at, d.id LIMIT :most FOR UPDATE OF d SKIP LOCKED
""")  # noqa: S608 - constants only
_HANDED = sa.text("UPDATE deliveries SET handed_to = :channel WHERE id = :id")
_LOOK_AGAIN = sa.text(f"UPDATE deliveries SET next_attempt_at = {moment(':at')} WHERE id = :id")  # noqa: S608
_AGAIN = sa.text(f"""
    UPDATE deliveries SET state = 'PENDING', next_attempt_at = {moment(":at")}, handed_to = NULL
    WHERE notification_id = :notification AND round = :round AND channel = :channel AND state = 'DEAD'
""")  # noqa: S608 - constants only
_ESCALATING = sa.text(f"""
    SELECT id, escalations FROM notifications WHERE escalate_at <= {moment(":at")} ORDER BY escalate_at LIMIT :most
    FOR UPDATE SKIP LOCKED
""")  # noqa: S608 - constants only
_ESCALATED = sa.text(f"""
    UPDATE notifications SET escalations = :escalations, escalate_at = {moment(":next")} WHERE id = :id
""")  # noqa: S608 - constants only
_END_ESCALATIONS = sa.text("""
    UPDATE deliveries SET state = 'FAILED', last_error = 'acknowledged before it was said'
    WHERE notification_id = :id AND round > 0 AND state = 'PENDING'
""")
_COLUMNS = (
    f"id, notification_id, channel, round, state, attempts, {milliseconds('created_at')}, {milliseconds('next_attempt_at')}, "
    f"{milliseconds('delivered_at')}, last_error, handed_to"
)
_READ = sa.text(f"""
    SELECT {_COLUMNS} FROM deliveries WHERE notification_id = ANY (CAST(:ids AS bigint[])) ORDER BY notification_id, round, id
""")  # noqa: S608 - constants only
_WAITING = sa.text(f"""
    SELECT d.channel, count(*), {milliseconds("min(d.created_at)")}, count(*) FILTER (WHERE d.state IN ('FAILED', 'DEAD'))
    FROM deliveries d JOIN notifications n ON n.id = d.notification_id
    WHERE d.state IN ('PENDING', 'SENDING')
        OR d.state IN ('FAILED', 'DEAD') AND d.handed_to IS NULL AND n.acknowledged_at IS NULL
    GROUP BY d.channel
""")  # noqa: S608 - constants only


def oldest_unrouted(connection: sa.Connection) -> int | None:
    """Return when the oldest notification was written (UTC ms) of which no sender knows yet, None if there is none."""
    return connection.execute(_OLDEST_UNROUTED).scalar()


def unrouted(connection: sa.Connection, most: int) -> list[Unrouted]:
    """Lock and return the oldest notifications that have no deliveries yet and that no other sender is looking at."""
    return [Unrouted(*row) for row in connection.execute(_UNROUTED, {"most": most})]


def note_routed(connection: sa.Connection, ids: Sequence[int], *, at_ms: int, escalate_ms: int | None) -> None:
    """Note that notifications have their deliveries; urgent ones are escalated at a time unless somebody acknowledges them."""
    connection.execute(_ROUTED, {"ids": list(ids), "at": at_ms, "escalate": escalate_ms})


def add_deliveries(connection: sa.Connection, pairs: Iterable[tuple[int, str]], *, at_ms: int, round_number: int = 0) -> None:
    """Add a delivery for each pair of notification and channel that has none in this round."""
    listed = list(pairs)
    values = {"ids": [each[0] for each in listed], "channels": [each[1] for each in listed]}
    connection.execute(_INSERT, {**values, "round": round_number, "at": at_ms})


def due(connection: sa.Connection, channels: Sequence[str], *, at_ms: int, most: int) -> list[Due]:
    """Lock and return what waits to be sent now, urgent first, and what a sender that is gone has left."""
    return [Due(*row) for row in connection.execute(_DUE, {"channels": list(channels), "at": at_ms, "most": most})]


def lease(connection: sa.Connection, ids: Sequence[int], sender: str, *, until_ms: int) -> None:
    """Note, in the transaction that has locked them, that a sender is sending these."""
    connection.execute(_LEASE, {"ids": list(ids), "sender": sender, "until": until_ms})


def delivered(connection: sa.Connection, ids: Sequence[int], sender: str, *, at_ms: int, digest: int | None = None) -> None:
    """Note a success of a sender's own deliveries, said by the message of `digest` if that is given."""
    connection.execute(_DELIVERED, {"ids": list(ids), "sender": sender, "at": at_ms, "digest": digest})


def postponed(connection: sa.Connection, ids: Sequence[int], sender: str, error: str, *, next_ms: int) -> None:
    """Note that a sender's own deliveries did not arrive, and when they are tried again."""
    connection.execute(_LATER, {"ids": list(ids), "sender": sender, "error": error, "next": next_ms})


def refused(connection: sa.Connection, ids: Sequence[int], sender: str, error: str) -> None:
    """Note that a sender's own deliveries were refused for what they are; they are not tried there again."""
    connection.execute(_REFUSED, {"ids": list(ids), "sender": sender, "error": error})


def bury(connection: sa.Connection, channel: str, sender: str, error: str, *, at_ms: int) -> None:
    """Give up what waits on a channel that is dead, and what `sender` is sending there."""
    connection.execute(_BURY, {"channel": channel, "sender": sender, "error": error, "at": at_ms})


def bury_unknown(connection: sa.Connection, channels: Sequence[str], *, at_ms: int) -> None:
    """Give up what waits on channels that are not among these."""
    connection.execute(_BURY_UNKNOWN, {"channels": list(channels), "at": at_ms})


def stuck(connection: sa.Connection, log: str, *, at_ms: int, before_ms: int, most: int) -> list[Stuck]:
    """Lock and return deliveries that failed, and urgent ones that wait since before a time, and that nobody has taken over.

    Urgent ones come first, then what was looked at longest ago; a message that somebody has acknowledged is none of them.
    """
    values = {"log": log, "at": at_ms, "before": before_ms, "most": most}
    return [Stuck(*row) for row in connection.execute(_STUCK, values)]


def hand_to(connection: sa.Connection, delivery: int, channel: str) -> None:
    """Note which channel has a delivery's message instead; its own: there is no other."""
    connection.execute(_HANDED, {"id": delivery, "channel": channel})


def look_again(connection: sa.Connection, delivery: int, *, at_ms: int) -> None:
    """Note when it is asked again whether another channel could take a delivery that failed."""
    connection.execute(_LOOK_AGAIN, {"id": delivery, "at": at_ms})


def try_again(connection: sa.Connection, notification: int, round_number: int, channel: str, *, at_ms: int) -> None:
    """Let a delivery of a channel that was dead be sent."""
    values = {"notification": notification, "round": round_number, "channel": channel}
    connection.execute(_AGAIN, {**values, "at": at_ms})


def escalating(connection: sa.Connection, *, at_ms: int, most: int) -> list[tuple[int, int]]:
    """Lock and return (notification, escalations so far) of those that nobody has acknowledged in time."""
    return [(row[0], row[1]) for row in connection.execute(_ESCALATING, {"at": at_ms, "most": most})]


def note_escalated(connection: sa.Connection, notification: int, escalations: int, *, next_ms: int | None) -> None:
    """Note how often a notification has been escalated, and when it is next; None: not any more."""
    connection.execute(_ESCALATED, {"id": notification, "escalations": escalations, "next": next_ms})


def end_escalations(connection: sa.Connection, notification: int) -> None:
    """Give up the escalations of a notification that still wait: somebody has seen it."""
    connection.execute(_END_ESCALATIONS, {"id": notification})


def read_deliveries(source: Database | sa.Connection, notifications: Sequence[int]) -> list[Delivery]:
    """Return the deliveries of notifications, in the order in which they were asked for."""
    with reading(source) as connection:
        return [Delivery(*row) for row in connection.execute(_READ, {"ids": list(notifications)})]


def waiting(source: Database | sa.Connection) -> dict[str, dict[str, Any]]:
    """Return for each channel how many deliveries wait or are stuck there, and since when the oldest does (UTC ms)."""
    with reading(source) as connection:
        return {row[0]: {"count": row[1], "since": row[2], "stuck": row[3]} for row in connection.execute(_WAITING)}
