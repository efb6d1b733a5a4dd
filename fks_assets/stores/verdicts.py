"""What validation found of each parameter set, day by day. Rows are only ever added."""

from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reading import milliseconds, moment, reading


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """How a parameter set was judged by its backtest of a UTC day (YYYY-MM-DD), or why it was not. `judged_at` is UTC ms.

    `settings_hash` is that of the desk's standard backtest then.
    """

    name: str
    day: str
    judged: bool
    passed: bool
    reason: str
    code_version: str
    parameters_hash: str
    settings_hash: str
    judged_at: int


_COLUMNS = f"""v.name, to_char(v.day, 'YYYY-MM-DD'), v.judged, v.passed, v.reason, v.code_version, v.parameters_hash,
    v.settings_hash, {milliseconds("v.judged_at")}"""
_NEWEST = sa.text(f"SELECT {_COLUMNS} FROM strategy_verdicts v WHERE v.name = :name ORDER BY v.day DESC, v.id DESC LIMIT 1")  # noqa: S608 - constants only
_COUNTING = sa.text(f"""
    SELECT {_COLUMNS} FROM strategy_verdicts v
    WHERE v.name = :name AND v.judged AND v.code_version = :code_version AND v.parameters_hash = :parameters_hash
      AND v.settings_hash = :settings_hash
    ORDER BY v.day DESC, v.id DESC LIMIT 1
""")  # noqa: S608 - constants only
_ADD = sa.text(f"""
    INSERT INTO strategy_verdicts (
        name, day, judged, passed, reason, code_version, parameters_hash, settings_hash, judged_at
    )
    SELECT :name, CAST(:day AS date), :judged, :passed, :reason, :code_version, :parameters_hash, :settings_hash,
        {moment(":judged_at")}
    WHERE NOT EXISTS (
        SELECT FROM (
            SELECT * FROM strategy_verdicts v WHERE v.name = :name AND v.day = CAST(:day AS date) ORDER BY v.id DESC LIMIT 1
        ) newest
        WHERE newest.judged = :judged AND newest.passed = :passed AND newest.reason = :reason
          AND newest.code_version = :code_version AND newest.parameters_hash = :parameters_hash
          AND newest.settings_hash = :settings_hash
    )
""")  # noqa: S608 - constants only
_FIELDS = ("name", "day", "judged", "passed", "reason", "code_version", "parameters_hash", "settings_hash", "judged_at")


def record_verdict(connection: sa.Connection, verdict: StoredVerdict) -> None:
    """Add a verdict in the caller's transaction unless the newest of its name and day says the same."""
    connection.execute(_ADD, {field: getattr(verdict, field) for field in _FIELDS})


def newest_verdict(source: Database | sa.Connection, name: str) -> StoredVerdict | None:
    """Return the verdict of the newest day of a parameter set, whatever it is of and whether it was judged; None without any."""
    with reading(source) as connection:
        return next((StoredVerdict(*row) for row in connection.execute(_NEWEST, {"name": name})), None)


def counting_verdict(
    source: Database | sa.Connection, name: str, code_version: str, parameters_hash: str, settings_hash: str
) -> StoredVerdict | None:
    """Return the newest verdict of exactly this code, these parameters and this standard backtest; None without any."""
    values = {
        "name": name,
        "code_version": code_version,
        "parameters_hash": parameters_hash,
        "settings_hash": settings_hash,
    }
    with reading(source) as connection:
        return next((StoredVerdict(*row) for row in connection.execute(_COUNTING, values)), None)
