"""What became known of strategies: whether they are switched on, certificates, daily backtests. Rows are only ever added."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.stores.database import Database


@dataclass(frozen=True, slots=True)
class Word:
    """What a person vouches for: a version of a strategy's code with its parameters, until a time (UTC milliseconds)."""

    until: int
    code_version: str
    parameters_hash: str


@dataclass(frozen=True, slots=True)
class StrategyState:
    """A strategy was switched on or off. Times are UTC milliseconds.

    A person who switched it on meant a version of its code with its parameters; that word stands until `holds_until`.
    """

    id: int
    name: str
    enabled: bool
    reason: str
    changed_at: int
    changed_by: str
    word: "Word | None" = None

    def holds(self, code_version: str, parameters_hash: str, at_ms: int) -> bool:
        """Return whether a person's word stands for this code with these parameters at a time."""
        if self.word is None or at_ms >= self.word.until:
            return False
        return (self.word.code_version, self.word.parameters_hash) == (code_version, parameters_hash)

    def document(self) -> dict[str, Any]:
        """Return the state for a JSON document, its time in ISO form."""
        return {
            "enabled": self.enabled,
            "reason": self.reason,
            "changed_at": iso(self.changed_at),
            "changed_by": self.changed_by,
            "holds_until": None if self.word is None else iso(self.word.until),
        }


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate of one version of a strategy's code with one set of parameters. `issued_at` is UTC milliseconds.

    `accused`: something was found. One that neither passed nor accuses was made on candles on which the strategy did not act.
    """

    strategy: str
    code_version: str
    parameters_hash: str
    passed: bool
    accused: bool
    document: Mapping[str, Any]
    issued_at: int


@dataclass(frozen=True, slots=True)
class BacktestRecord:
    """The backtest of a parameter set that ends where the UTC day `day` (YYYY-MM-DD) begins; `document` holds its metrics.

    `settings_hash` is one id for all that decides what it gives, but for candles, code and parameters.
    """

    name: str
    day: str
    document: Mapping[str, Any]
    order_list_hash: str
    code_version: str
    parameters_hash: str
    content_hash: str
    run_id: str
    settings_hash: str
    recorded_at: int | None = None


_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
_STATE = """s.id, s.name, s.enabled, s.reason, (extract(epoch FROM s.changed_at) * 1000)::bigint, s.changed_by,
    (extract(epoch FROM s.holds_until) * 1000)::bigint, s.code_version, s.parameters_hash"""
_NEWEST_STATES = sa.text(f"""
    SELECT DISTINCT ON (s.name) {_STATE} FROM strategy_states s
    WHERE CAST(:names AS text[]) IS NULL OR s.name = ANY (CAST(:names AS text[])) ORDER BY s.name, s.id DESC
""")  # noqa: S608 - constants only
_STATES = sa.text(f"SELECT {_STATE} FROM strategy_states s WHERE s.name = :name ORDER BY s.id")  # noqa: S608 - constants only
_ADD_STATE = sa.text("""
    INSERT INTO strategy_states (name, enabled, reason, changed_at, changed_by, holds_until, code_version, parameters_hash)
    VALUES (:name, :enabled, :reason, to_timestamp(:at / 1000.0), :by, to_timestamp(CAST(:until AS bigint) / 1000.0),
        :code_version, :parameters_hash) RETURNING id
""")
_CERTIFICATE = sa.text("""
    SELECT strategy, code_version, parameters_hash, passed, accused, document, (extract(epoch FROM issued_at) * 1000)::bigint
    FROM certificates WHERE strategy = :strategy AND code_version = :code_version AND parameters_hash = :parameters_hash
    ORDER BY accused DESC, passed DESC, id DESC LIMIT 1
""")
_ADD_CERTIFICATE = sa.text("""
    INSERT INTO certificates (strategy, code_version, parameters_hash, passed, accused, document, issued_at)
    VALUES (:strategy, :code_version, :parameters_hash, :passed, :accused, CAST(:document AS jsonb),
        to_timestamp(:at / 1000.0))
""")
_RESULT = """b.name, to_char(b.day, 'YYYY-MM-DD'), b.document, b.order_list_hash, b.code_version, b.parameters_hash,
    b.content_hash, b.run_id, b.settings_hash, (extract(epoch FROM b.recorded_at) * 1000)::bigint"""
_NEWEST_RESULTS = sa.text(f"""
    SELECT DISTINCT ON (b.name) {_RESULT} FROM backtest_results b
    WHERE (CAST(:names AS text[]) IS NULL OR b.name = ANY (CAST(:names AS text[])))
      AND (CAST(:day AS date) IS NULL OR b.day = CAST(:day AS date))
      AND (CAST(:settings_hash AS text) IS NULL OR b.settings_hash = :settings_hash)
    ORDER BY b.name, b.day DESC, b.id DESC
""")  # noqa: S608 - constants only
_OTHER_RESULTS = sa.text(f"""
    SELECT DISTINCT ON (b.settings_hash) {_RESULT} FROM backtest_results b
    WHERE b.name = :name AND b.settings_hash NOT IN (:settings_hash, '') AND b.day > CAST(:after AS date)
    ORDER BY b.settings_hash, b.day DESC, b.id DESC
""")  # noqa: S608 - constants only
_ADD_RESULT = sa.text("""
    INSERT INTO backtest_results (
        name, day, document, order_list_hash, code_version, parameters_hash, content_hash, run_id, settings_hash
    )
    SELECT :name, CAST(:day AS date), CAST(:document AS jsonb), :order_list_hash, :code_version, :parameters_hash, :content_hash,
        :run_id, :settings_hash
    WHERE :content_hash IS DISTINCT FROM (
        SELECT b.content_hash FROM backtest_results b
        WHERE b.name = :name AND b.day = CAST(:day AS date) AND b.settings_hash = :settings_hash
        ORDER BY b.id DESC LIMIT 1
    )
""")


def switch(
    connection: sa.Connection, name: str, enabled: bool, *, reason: str, by: str, at_ms: int, word: Word | None = None
) -> StrategyState | None:
    """Switch a strategy on or off in the caller's transaction; return the new state, None where it stood so already.

    A person's `word` is noted also where it is on. Those who switch one strategy wait for each other. Raises InvalidInput for an
    empty reason or an empty `by`.
    """
    for field, text in (("the reason", reason), ("who changes it", by)):
        if not text.strip():
            raise InvalidInput(f"strategy {name}: {field} must be given, was empty")
    lock_state(connection, name)
    state = read_states(connection, [name]).get(name)
    if word is None and enabled == (state is None or state.enabled):
        return None
    meant = {field: None if word is None else getattr(word, field) for field in ("until", "code_version", "parameters_hash")}
    values = {"name": name, "enabled": enabled, "reason": reason, "at": at_ms, "by": by, **meant}
    return StrategyState(connection.execute(_ADD_STATE, values).scalar_one(), name, enabled, reason, at_ms, by, word)


def lock_state(connection: sa.Connection, name: str) -> None:
    """Let nobody else switch a strategy until the caller's transaction ends: how it stands stays as it is read."""
    connection.execute(_LOCK, {"key": f"strategy_states {name}"})


def read_states(source: Database | sa.Connection, names: Sequence[str] | None = None) -> dict[str, StrategyState]:
    """Return the newest state of each strategy that was ever switched; every other one is on."""
    rows = _rows(source, _NEWEST_STATES, {"names": None if names is None else list(names)})
    return {state.name: state for state in map(_state, rows)}


def state_history(source: Database | sa.Connection, name: str) -> list[StrategyState]:
    """Return every time a strategy was switched, oldest first."""
    return [_state(row) for row in _rows(source, _STATES, {"name": name})]


def record_certificate(connection: sa.Connection, certificate: StoredCertificate) -> None:
    """Add a certificate in the caller's transaction. The database refuses one that passed and accuses."""
    values = {name: getattr(certificate, name) for name in ("strategy", "code_version", "parameters_hash", "passed", "accused")}
    document = json.dumps(dict(certificate.document))
    connection.execute(_ADD_CERTIFICATE, {**values, "document": document, "at": certificate.issued_at})


def certificate_of(
    source: Database | sa.Connection, strategy: str, code_version: str, parameters_hash: str
) -> StoredCertificate | None:
    """Return the certificate that counts for exactly this code and these parameters: one that accuses, else one that passed,
    else the newest; None if there is none. What was found once is not undone by trying again on other candles.
    """
    keys = {"strategy": strategy, "code_version": code_version, "parameters_hash": parameters_hash}
    return next((StoredCertificate(*row) for row in _rows(source, _CERTIFICATE, keys)), None)


def record_result(connection: sa.Connection, result: BacktestRecord) -> bool:
    """Add a backtest in the caller's transaction unless the newest of its name, day and settings has the same content.

    Return whether it was added.
    """
    connection.execute(_LOCK, {"key": f"backtest_results {result.name} {result.day}"})
    columns = ("name", "day", "order_list_hash", "code_version", "parameters_hash", "content_hash", "run_id", "settings_hash")
    values = {name: getattr(result, name) for name in columns}
    return bool(connection.execute(_ADD_RESULT, {**values, "document": json.dumps(dict(result.document))}).rowcount)


def newest_results(
    source: Database | sa.Connection,
    names: Sequence[str] | None = None,
    day: str | None = None,
    *,
    settings_hash: str | None = None,
) -> dict[str, BacktestRecord]:
    """Return by name the newest backtest of each parameter set, or the newest one of a day (YYYY-MM-DD) or of some settings."""
    values = {"names": None if names is None else list(names), "day": day, "settings_hash": settings_hash}
    return {result.name: result for result in (BacktestRecord(*row) for row in _rows(source, _NEWEST_RESULTS, values))}


def other_results(source: Database | sa.Connection, name: str, settings_hash: str, after_day: str) -> list[BacktestRecord]:
    """Return the newest backtest on each other settings than these, of days after one (YYYY-MM-DD), newest first."""
    values = {"name": name, "settings_hash": settings_hash, "after": after_day}
    found = [BacktestRecord(*row) for row in _rows(source, _OTHER_RESULTS, values)]
    return sorted(found, key=lambda result: (result.day, result.recorded_at or 0), reverse=True)


def _state(row: sa.Row[Any]) -> StrategyState:
    *fields, until, code_version, parameters_hash = row
    return StrategyState(*fields, None if until is None else Word(until, code_version, parameters_hash))


def _rows(source: Database | sa.Connection, statement: sa.TextClause, values: dict[str, Any]) -> Sequence[sa.Row[Any]]:
    if isinstance(source, Database):
        with source.transaction() as connection:
            return _rows(connection, statement, values)
    return source.execute(statement, values).all()
