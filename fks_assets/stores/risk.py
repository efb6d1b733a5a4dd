"""Risk rows: what the risk of each account was at each look, and which alarm stood then."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.quant.risk import RiskLevel
from fks_assets.quant.risk_alarm import Alarm
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import document, milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class RiskRow:
    """The risk of an account at a time (UTC ms). `document` has all figures, amounts as exact text."""

    account: str
    at: int
    level: RiskLevel
    document: Mapping[str, Any]
    alarm: Alarm | None


_INSERT = sa.text(f"""
    INSERT INTO risk_history (account, at, level, document, alarm)
    VALUES (:account, {moment(":at")}, :level, CAST(:document AS jsonb), CAST(:alarm AS jsonb))
    ON CONFLICT (account, at) DO NOTHING RETURNING id
""")  # noqa: S608 - constants only
_NEWEST = sa.text(f"""
    SELECT account, {milliseconds("at")}, level, document, alarm FROM risk_history
    WHERE account = :account ORDER BY id DESC LIMIT :count
""")  # noqa: S608 - constants only
_LEVELS = sa.text(f"""
    SELECT {milliseconds("at")}, level FROM risk_history
    WHERE account = :account AND at < {moment(":until")} AND at >= coalesce(
        (SELECT max(at) FROM risk_history WHERE account = :account AND at <= {moment(":since")}), {moment(":since")})
    ORDER BY at
""")  # noqa: S608 - constants only


def record_risk(connection: sa.Connection, row: RiskRow) -> bool:
    """Store a row in the caller's transaction; return whether it is new: an account has one for each time."""
    values = {
        "account": row.account,
        "at": row.at,
        "level": row.level.value,
        "document": document(dict(row.document)),
        "alarm": None if row.alarm is None else document(asdict(row.alarm)),
    }
    return connection.execute(_INSERT, values).first() is not None


def newest_risk(source: Database | sa.Connection, account: str) -> RiskRow | None:
    """Return the row of an account that was stored last, None if there is none."""
    return next(iter(read_risk(source, account, newest=1)), None)


def read_risk(source: Database | sa.Connection, account: str, *, newest: int) -> list[RiskRow]:
    """Return the rows of an account that were stored last, newest first, whatever the clock said then."""
    with reading(source) as connection:
        return [_row(row) for row in connection.execute(_NEWEST, {"account": account, "count": newest})]


def read_levels(source: Database | sa.Connection, account: str, *, since_ms: int, until_ms: int) -> list[tuple[int, RiskLevel]]:
    """Return (time in UTC ms, level) of the looks before `until_ms`, oldest first.

    The first one is the newest at or before `since_ms`, if there is any.
    """
    with reading(source) as connection:
        rows = connection.execute(_LEVELS, {"account": account, "since": since_ms, "until": until_ms})
        return [(row[0], RiskLevel(row[1])) for row in rows]


def _row(row: sa.Row[Any]) -> RiskRow:
    alarm = None if row[4] is None else Alarm(row[4]["since"], tuple(row[4]["codes"]), row[4]["told_at"])
    return RiskRow(row[0], row[1], RiskLevel(row[2]), row[3], alarm)
