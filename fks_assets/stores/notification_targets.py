"""The places that messages go to: leased by one sender at a time, paced by a bucket, left alone inside forbidden windows."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import milliseconds, moment, reading

# So many messages may follow one another at once.
BURST = 4
# No lease lasts so long, nor do clocks differ by as much: one that ends later was written by a clock that has been set back.
LONGEST_LEASE_MS = 120_000
HOST_PREFIX = "host:"


@dataclass(frozen=True, slots=True)
class Target:
    """A place as the senders know it; times are UTC milliseconds. `shown` is its host and last four characters."""

    target: str
    channel: str
    shown: str
    state: str
    reason: str | None
    failures: int
    not_before: int | None
    delivered_at: int | None
    changed_at: int


@dataclass(frozen=True, slots=True)
class DeadTarget:
    """Why a place takes nothing any more, and when a sender last had it in its settings (UTC ms)."""

    reason: str
    seen_at: int


_COLUMNS = (
    f"target, channel, shown, state, reason, failures, {milliseconds('not_before')}, {milliseconds('delivered_at')}, "
    f"{milliseconds('changed_at')}"
)
_REGISTER = sa.text(f"""
    INSERT INTO notification_targets AS t (target, channel, shown, seen_at, changed_at)
    VALUES (:target, :channel, :shown, {moment(":at")}, {moment(":at")})
    ON CONFLICT (target) DO UPDATE SET channel = excluded.channel, shown = excluded.shown, seen_at = excluded.seen_at
""")  # noqa: S608 - constants only
_LOCK = sa.text(f"""
    SELECT state, greatest({milliseconds("t.not_before")}, (
            SELECT {milliseconds("h.not_before")} FROM notification_targets h WHERE h.target = :host)),
        {milliseconds("bucket_at")}, {milliseconds("lease_until")}, leased_by
    FROM notification_targets t WHERE target = :target FOR UPDATE OF t SKIP LOCKED
""")  # noqa: S608 - constants only
_TAKE = sa.text(f"""
    UPDATE notification_targets SET lease_until = {moment(":until")}, leased_by = :sender, bucket_at = {moment(":bucket")}
    WHERE target = :target
""")  # noqa: S608 - constants only
_WORKED = sa.text(f"""
    UPDATE notification_targets SET failures = 0, refusals = 0, reason = :reason, delivered_at = {moment(":at")},
        not_before = greatest(not_before, {moment(":not_before")}),
        lease_until = CASE WHEN leased_by = :sender THEN NULL ELSE lease_until END,
        leased_by = CASE WHEN leased_by = :sender THEN NULL ELSE leased_by END
    WHERE target = :target
""")  # noqa: S608 - constants only
_FAILED = sa.text(f"""
    UPDATE notification_targets SET failures = failures + :failed, refusals = refusals + :refused, reason = :reason,
        not_before = greatest(not_before, {moment(":not_before")}),
        lease_until = CASE WHEN leased_by = :sender THEN NULL ELSE lease_until END,
        leased_by = CASE WHEN leased_by = :sender THEN NULL ELSE leased_by END
    WHERE target = :target RETURNING refusals
""")  # noqa: S608 - constants only
_BLOCK_HOST = sa.text(f"""
    INSERT INTO notification_targets AS t (target, channel, shown, not_before, reason, seen_at, changed_at)
    VALUES (:host, '', :host, {moment(":not_before")}, :reason, {moment(":at")}, {moment(":at")})
    ON CONFLICT (target) DO UPDATE SET not_before = greatest(t.not_before, excluded.not_before), reason = excluded.reason
""")  # noqa: S608 - constants only
_DIED = sa.text(f"""
    UPDATE notification_targets SET state = 'DEAD', reason = :reason, changed_at = {moment(":at")}
    WHERE target = :target AND state <> 'DEAD'
""")  # noqa: S608 - constants only
_REVIVE = sa.text(f"""
    UPDATE notification_targets SET state = 'UP', failures = 0, refusals = 0, changed_at = {moment(":at")}
    WHERE target = :target AND state = 'DEAD'
""")  # noqa: S608 - constants only
_NEWEST = sa.text(f"""
    SELECT DISTINCT ON (channel) {_COLUMNS} FROM notification_targets WHERE channel <> ''
    ORDER BY channel, seen_at DESC, changed_at DESC
""")  # noqa: S608 - constants only
_FAILURES = sa.text("SELECT failures FROM notification_targets WHERE target = :target")
_DEAD = sa.text(f"SELECT target, reason, {milliseconds('seen_at')} FROM notification_targets WHERE state = 'DEAD'")  # noqa: S608


def register_target(connection: sa.Connection, target: str, channel: str, shown: str, *, at_ms: int) -> None:
    """Note that a channel goes to a target now; a new target is up."""
    connection.execute(_REGISTER, {"target": target, "channel": channel, "shown": shown, "at": at_ms})


def take_target(
    connection: sa.Connection, target: str, host: str, sender: str, *, at_ms: int, lease_ms: int, per_minute: int
) -> int | None:
    """Take a target for oneself in the caller's transaction and count one message; return None, or when to ask again (UTC ms).

    Only one sender has a target at a time, until it is settled or `lease_ms` have passed. Nobody gets it inside a forbidden
    window, of the target or its whole host, nor when its bucket is empty, nor when it is dead. In any minute at most `per_minute`
    messages are counted.
    """
    row = connection.execute(_LOCK, {"target": target, "host": HOST_PREFIX + host}).one_or_none()
    if row is None or row[0] == "DEAD":
        return at_ms + 1000
    _, not_before, bucket_at, lease_until, leased_by = row
    interval = -(-60_000 // (per_minute - BURST))
    if bucket_at is None or bucket_at > at_ms + BURST * interval + LONGEST_LEASE_MS:
        bucket_at = at_ms
    earliest = max(not_before or 0, bucket_at - (BURST - 1) * interval)
    if lease_until is not None and leased_by != sender and lease_until <= at_ms + LONGEST_LEASE_MS:
        earliest = max(earliest, lease_until)
    if earliest > at_ms:
        return earliest
    values = {"target": target, "sender": sender, "until": at_ms + lease_ms, "bucket": max(bucket_at, at_ms) + interval}
    connection.execute(_TAKE, values)
    return None


def target_worked(
    connection: sa.Connection, target: str, sender: str, *, at_ms: int, not_before: int | None, reason: str | None = None
) -> None:
    """Give a target back after a success; `not_before`: it said that its bucket is empty until then; `reason`: what it lacks."""
    values = {"target": target, "sender": sender, "at": at_ms, "not_before": not_before, "reason": reason}
    connection.execute(_WORKED, values)


def target_failed(
    connection: sa.Connection, target: str, sender: str, *, reason: str, not_before: int | None, refused: bool = False
) -> int:
    """Give a target back after a failure; nothing is sent there before a time. Return the refusals in a row."""
    values = {"target": target, "sender": sender, "reason": reason, "not_before": not_before}
    return connection.execute(_FAILED, {**values, "failed": int(not refused), "refused": int(refused)}).scalar() or 0


def failures_of(connection: sa.Connection, target: str) -> int:
    """Return how often in a row nothing arrived at a target."""
    return connection.execute(_FAILURES, {"target": target}).scalar() or 0


def block_host(connection: sa.Connection, host: str, *, reason: str, not_before: int, at_ms: int) -> None:
    """Leave every target of a host alone until a time."""
    connection.execute(_BLOCK_HOST, {"host": HOST_PREFIX + host, "reason": reason, "not_before": not_before, "at": at_ms})


def target_died(connection: sa.Connection, target: str, reason: str, *, at_ms: int) -> bool:
    """Note that a target is no more; return whether that is news."""
    return connection.execute(_DIED, {"target": target, "reason": reason, "at": at_ms}).rowcount > 0


def revive_target(connection: sa.Connection, target: str, *, at_ms: int) -> bool:
    """Let messages go to a dead target again; return whether it was dead."""
    return connection.execute(_REVIVE, {"target": target, "at": at_ms}).rowcount > 0


def dead_targets(connection: sa.Connection) -> Mapping[str, DeadTarget]:
    """Return the targets that are no more."""
    return {row[0]: DeadTarget(row[1], row[2]) for row in connection.execute(_DEAD)}


def read_targets(source: Database | sa.Connection) -> Mapping[str, Target]:
    """Return for each channel the target that a sender last had in its settings."""
    with reading(source) as connection:
        return {row[1]: Target(*row) for row in connection.execute(_NEWEST)}
