"""Reports of accounts as they were made: the newest row of an account, type and period counts, older ones stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.quant.report_periods import Period
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import locked_accounts, milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report that was made at `recorded_at` by the run `run_id`; it tells of its period up to `through`. Times are UTC ms."""

    document: Mapping[str, Any]
    through: int
    content_hash: str
    run_id: str
    recorded_at: int


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """Messages that the desk wrote in a period: how many a channel has said, all channels failed to say, still wait, went on
    because nobody acknowledged them."""

    written: int
    sent: int
    failed: int
    waiting: int
    escalated: int


_INSERT = sa.text(f"""
    INSERT INTO account_reports (account, type, start, through, document, content_hash, run_id)
    VALUES (:account, :type, {moment(":start")}, {moment(":through")}, CAST(:document AS json), :content_hash, :run_id)
""")  # noqa: S608 - constants only
_NEWEST = sa.text(f"""
    SELECT document, {milliseconds("through")}, content_hash, run_id, {milliseconds("recorded_at")} FROM account_reports
    WHERE account = :account AND type = :type AND start = {moment(":start")} ORDER BY id DESC LIMIT 1
""")  # noqa: S608 - constants only
_MESSAGES = sa.text(f"""
    SELECT count(*), count(*) FILTER (WHERE d.sent), count(*) FILTER (WHERE d.failed AND NOT d.sent AND NOT d.waiting),
        count(*) FILTER (WHERE d.waiting AND NOT d.sent), count(*) FILTER (WHERE n.escalations > 0)
    FROM notifications n CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(state IN ('DELIVERED', 'DIGESTED')), false) AS sent,
            coalesce(bool_or(state IN ('FAILED', 'DEAD')), false) AS failed,
            coalesce(bool_or(state IN ('PENDING', 'SENDING')), false) AS waiting
        FROM deliveries WHERE notification_id = n.id AND channel <> :log) d
    WHERE n.created_at >= {moment(":start")} AND n.created_at < {moment(":end")}
""")  # noqa: S608 - constants only


def newest_report(source: Database | sa.Connection, account: str, period: Period) -> StoredReport | None:
    """Return the newest report of an account's period, None if there is none."""
    with reading(source) as connection:
        row = connection.execute(_NEWEST, {"account": account, "type": period.type.value, "start": period.start}).first()
        return None if row is None else StoredReport(*row)


def record_report(
    connection: sa.Connection, account: str, period: Period, through_ms: int, text: str, content_hash: str, run_id: str
) -> StoredReport | None:
    """Store a report (JSON text) in the caller's transaction, unless the newest one says the same; return the newest before."""
    locked_accounts(connection, [account])
    before = newest_report(connection, account, period)
    if before is None or before.content_hash != content_hash:
        values = {"account": account, "type": period.type.value, "start": period.start, "through": through_ms}
        connection.execute(_INSERT, {**values, "document": text, "content_hash": content_hash, "run_id": run_id})
    return before


def count_messages(source: Database | sa.Connection, start_ms: int, end_ms: int, *, log: str) -> MessageCounts:
    """Return what became of the messages of [start_ms, end_ms); `log` is the channel that has all of them and does not count."""
    with reading(source) as connection:
        return MessageCounts(*connection.execute(_MESSAGES, {"start": start_ms, "end": end_ms, "log": log}).one())
