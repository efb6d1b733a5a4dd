"""Searches of parameters and the windows of walk-forward tests, as they were found. Rows are only ever added."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.stores.database import Database


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """A search for the parameter set `name`. `parameters_hash` is that of the best parameters, None where none can be chosen.

    `recorded_at` is UTC milliseconds, None before it is recorded.
    """

    name: str
    strategy: str
    document: Mapping[str, Any]
    code_version: str
    parameters_hash: str | None
    content_hash: str
    run_id: str
    recorded_at: int | None = None


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """A walk-forward window of a strategy whose out-of-sample stretch is the UTC month `month` (YYYY-MM).

    `settings_hash` stands for how was searched: only windows of one hash and one version of the code belong together. In the
    document of one that was searched as the schedule does it `standard` is true.
    """

    strategy: str
    month: str
    document: Mapping[str, Any]
    code_version: str
    settings_hash: str
    content_hash: str
    run_id: str
    recorded_at: int | None = None


_SEARCH = sa.text("""
    SELECT s.name, s.strategy, s.document - 'tried', s.code_version, s.parameters_hash, s.content_hash, s.run_id,
        (extract(epoch FROM s.recorded_at) * 1000)::bigint
    FROM parameter_searches s WHERE s.name = :name AND s.code_version = :code_version
    ORDER BY (s.parameters_hash IS NOT DISTINCT FROM :parameters_hash) DESC, s.id DESC LIMIT 1
""")
_ADD_SEARCH = sa.text("""
    INSERT INTO parameter_searches (name, strategy, document, code_version, parameters_hash, content_hash, run_id)
    SELECT :name, :strategy, CAST(:document AS jsonb), :code_version, CAST(:parameters_hash AS text), :content_hash, :run_id
    WHERE NOT EXISTS (SELECT FROM parameter_searches s WHERE s.name = :name AND s.content_hash = :content_hash)
""")
_WINDOW = """w.strategy, w.month, w.document, w.code_version, w.settings_hash, w.content_hash, w.run_id,
    (extract(epoch FROM w.recorded_at) * 1000)::bigint"""
_OF_CODE = "n.strategy = :strategy AND n.code_version = :code_version"
_CHOSEN = f"""
    SELECT coalesce(CAST(:settings_hash AS text), (
        SELECT n.settings_hash FROM walk_forward_windows n WHERE {_OF_CODE}
        ORDER BY coalesce(n.document -> 'standard' = 'true', FALSE) DESC, n.id DESC LIMIT 1
    ))"""  # noqa: S608 - constants only
_WINDOWS = sa.text(f"""
    SELECT DISTINCT ON (w.month) {_WINDOW} FROM walk_forward_windows w
    WHERE w.strategy = :strategy AND w.code_version = :code_version AND w.settings_hash = ({_CHOSEN})
    ORDER BY w.month, w.id DESC
""")  # noqa: S608 - constants only
_COUNT_OTHERS = sa.text(f"""
    SELECT count(DISTINCT (n.month, n.settings_hash)) FROM walk_forward_windows n
    WHERE {_OF_CODE} AND n.settings_hash <> :settings_hash
""")  # noqa: S608 - constants only
_ADD_WINDOW = sa.text("""
    INSERT INTO walk_forward_windows (strategy, month, document, code_version, settings_hash, content_hash, run_id)
    VALUES (:strategy, :month, CAST(:document AS jsonb), :code_version, :settings_hash, :content_hash, :run_id)
""")


def record_search(connection: sa.Connection, search: SearchRecord) -> bool:
    """Add a search in the caller's transaction unless the set has one of the same content; return whether."""
    return bool(connection.execute(_ADD_SEARCH, _values(search)).rowcount)


def search_of(
    source: Database | sa.Connection, name: str, code_version: str, parameters_hash: str | None = None
) -> SearchRecord | None:
    """Return the newest search for a parameter set that found these parameters, else the newest one of this code, without the
    trials one by one; None if there is none.
    """
    keys = {"name": name, "code_version": code_version, "parameters_hash": parameters_hash}
    return next((SearchRecord(*row) for row in _rows(source, _SEARCH, keys)), None)


def record_window(connection: sa.Connection, window: WindowRecord) -> None:
    """Add a window in the caller's transaction."""
    connection.execute(_ADD_WINDOW, _values(window))


def read_windows(
    source: Database | sa.Connection, strategy: str, code_version: str, settings_hash: str | None = None
) -> list[WindowRecord]:
    """Return the windows of a strategy's code that were searched in one way, by month, of each month the newest.

    Without `settings_hash` they belong together with the newest standard one, or where there is none with the newest one.
    """
    keys = {"strategy": strategy, "code_version": code_version, "settings_hash": settings_hash}
    return [WindowRecord(*row) for row in _rows(source, _WINDOWS, keys)]


def count_other_windows(source: Database | sa.Connection, strategy: str, code_version: str, settings_hash: str) -> int:
    """Return how many windows of a strategy's code were searched in another way; those of one month and way count once."""
    keys = {"strategy": strategy, "code_version": code_version, "settings_hash": settings_hash}
    return int(_rows(source, _COUNT_OTHERS, keys)[0][0])


def _values(record: SearchRecord | WindowRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in record.__dataclass_fields__ if name != "recorded_at"}
    return {**values, "document": json.dumps(dict(record.document), allow_nan=False)}


def _rows(source: Database | sa.Connection, statement: sa.TextClause, values: dict[str, Any]) -> Sequence[sa.Row[Any]]:
    if isinstance(source, Database):
        with source.transaction() as connection:
            return _rows(connection, statement, values)
    return source.execute(statement, values).all()
