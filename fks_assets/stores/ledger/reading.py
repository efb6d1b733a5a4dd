"""What every module of the ledger reads and writes rows with."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from enum import Enum
from typing import Any

import sqlalchemy as sa

from fks_assets.quant.markets import Market
from fks_assets.stores.database import Database


@contextmanager
def reading(source: Database | sa.Connection) -> Iterator[sa.Connection]:
    """Give a connection to read with: the caller's own, or a new one of the database."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            yield connection
    else:
        yield source


def milliseconds(column: str) -> str:
    """Return the SQL for a time as UTC milliseconds."""
    return f"(extract(epoch FROM {column}) * 1000)::bigint"


def moment(parameter: str) -> str:
    """Return the SQL for the time of a parameter in UTC milliseconds."""
    return f"to_timestamp(CAST({parameter} AS bigint) / 1000.0)"


def document(values: Any) -> str:
    """Return JSON in which amounts are exact text and markets their keys."""
    return json.dumps(values, default=_plain, separators=(",", ":"))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as the driver takes them."""
    return {name: _plain(value) if isinstance(value, Enum | Market) else value for name, value in values.items()}


def locked_accounts(connection: sa.Connection, names: Sequence[str]) -> dict[str, sa.Row[Any]]:
    """Lock accounts against other writers until the transaction ends, and return (mode, exchange, quote, enabled) by name.

    Every writer of the ledger does this first, and for all its accounts at once: rows below an account are then locked by one
    transaction at a time, and accounts are locked in the order of their names, so that nobody waits in a circle.
    """
    return {row[0]: row for row in connection.execute(_LOCK_ACCOUNTS, {"names": sorted(set(names))})}


_LOCK_ACCOUNTS = sa.text("""
    SELECT name, mode, exchange, quote, enabled FROM accounts WHERE name = ANY (CAST(:names AS text[]))
    ORDER BY name COLLATE "C" FOR NO KEY UPDATE
""")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Market):
        return value.key
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} {value!r} cannot be stored")
