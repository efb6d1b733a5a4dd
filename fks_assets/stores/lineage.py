"""From what each materialised partition was made: content hashes, code version, settings, run and inputs. Only ever added to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.stores.database import Database


@dataclass(frozen=True, order=True, slots=True)
class InputRef:
    """A partition of an asset, with the content that was read."""

    asset: str
    partition: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class RecordedInputs:
    """What a partition of an asset was made from. `recorded_at_ms` is UTC milliseconds, None before it is recorded."""

    asset: str
    partition: str
    content_hash: str
    code_version: str
    settings_hash: str
    run_id: str
    inputs: tuple[InputRef, ...]
    row_count: int
    recorded_at_ms: int | None = None


_INSERT = sa.text("""
    INSERT INTO partition_inputs (asset, partition, content_hash, code_version, settings_hash, run_id, inputs, row_count)
    SELECT n.asset, n.partition, n.content_hash, n.code_version, n.settings_hash, n.run_id, n.inputs, n.row_count
    FROM ROWS FROM (jsonb_to_recordset(CAST(:rows AS jsonb)) AS (asset text, partition text, content_hash text, code_version text,
        settings_hash text, run_id text, inputs jsonb, row_count int)) WITH ORDINALITY
        AS n (asset, partition, content_hash, code_version, settings_hash, run_id, inputs, row_count, place)
    LEFT JOIN LATERAL (
        SELECT o.content_hash, o.code_version, o.settings_hash, o.inputs, o.row_count FROM partition_inputs o
        WHERE o.asset = n.asset AND o.partition = n.partition ORDER BY o.id DESC LIMIT 1
    ) o ON true
    WHERE (n.content_hash, n.code_version, n.settings_hash, n.inputs, n.row_count)
        IS DISTINCT FROM (o.content_hash, o.code_version, o.settings_hash, o.inputs, o.row_count)
    ORDER BY n.place
""")
_COLUMNS = """asset, partition, content_hash, code_version, settings_hash, run_id, inputs, row_count,
    (extract(epoch FROM recorded_at) * 1000)::bigint"""
_LATEST = sa.text(f"""
    SELECT p.* FROM unnest(CAST(:partitions AS text[])) AS k (partition) CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM partition_inputs o WHERE o.asset = :asset AND o.partition = k.partition ORDER BY o.id DESC LIMIT 1
    ) p
""")  # noqa: S608 - constants only
_HISTORY = sa.text(f"""
    SELECT {_COLUMNS} FROM partition_inputs WHERE asset = :asset AND partition = :partition ORDER BY id
""")  # noqa: S608 - constants only


def record_inputs(
    connection: sa.Connection,
    *,
    asset: str,
    partition: str,
    content_hash: str,
    code_version: str,
    settings_hash: str,
    run_id: str,
    inputs: Sequence[InputRef],
    row_count: int,
) -> None:
    """Record one partition in the caller's transaction; see `record_many`."""
    record_many(
        connection,
        [RecordedInputs(asset, partition, content_hash, code_version, settings_hash, run_id, tuple(inputs), row_count)],
    )


def record_many(connection: sa.Connection, records: Sequence[RecordedInputs]) -> None:
    """Append records, each of another partition, in one statement.

    A record that says the same as the newest one of its partition, but for the run, is not appended. The order of inputs says
    nothing. The caller's transaction decides whether they stay.
    """
    if not records:
        return
    rows = [
        {
            "asset": record.asset,
            "partition": record.partition,
            "content_hash": record.content_hash,
            "code_version": record.code_version,
            "settings_hash": record.settings_hash,
            "run_id": record.run_id,
            "inputs": [asdict(each) for each in sorted(record.inputs)],
            "row_count": record.row_count,
        }
        for record in records
    ]
    connection.execute(_INSERT, {"rows": json.dumps(rows)})


def latest_inputs(source: Database | sa.Connection, asset: str, partitions: Sequence[str]) -> dict[str, RecordedInputs]:
    """Return the newest record of each partition that has one."""
    rows = _rows(source, _LATEST, {"asset": asset, "partitions": list(partitions)})
    return {record.partition: record for record in rows}


def inputs_history(source: Database | sa.Connection, asset: str, partition: str) -> list[RecordedInputs]:
    """Return every record of a partition, oldest first."""
    return _rows(source, _HISTORY, {"asset": asset, "partition": partition})


def _rows(source: Database | sa.Connection, statement: sa.TextClause, values: dict[str, Any]) -> list[RecordedInputs]:
    if isinstance(source, Database):
        with source.transaction() as connection:
            return _rows(connection, statement, values)
    return [
        RecordedInputs(*row[:6], tuple(InputRef(**each) for each in row[6]), row[7], row[8])
        for row in source.execute(statement, values)
    ]
