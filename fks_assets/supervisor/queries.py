"""The few numbers that the supervisor reads from the databases."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from fks_assets.errors import StoreError
from fks_assets.stores.models import DATASET_HEADS

if TYPE_CHECKING:
    from fks_assets.stores.database import Database

_HEARTBEAT_AGE = text("SELECT extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(timestamp)) FROM daemon_heartbeats")


def database_answers(database: "Database") -> bool:
    try:
        with database.transaction() as connection:
            return connection.scalar(text("SELECT 1")) == 1
    except StoreError:
        return False


def heartbeat_age_seconds(dagster_database: "Database") -> float | None:
    """Return how long ago a daemon last said that it lives, None when none ever did or the database does not answer."""
    try:
        with dagster_database.transaction() as connection:
            age = connection.scalar(_HEARTBEAT_AGE)
    except StoreError:
        return None
    return None if age is None else float(age)


def stored_rows(database: "Database", markets: Sequence[str], first_months: Mapping[str, str]) -> dict[str, int]:
    """Return the rows stored by dataset (`ohlcv`, `indicators`, `signals.<strategy>`) from each timeframe's first month on."""
    heads, counts = DATASET_HEADS.c, dict[str, int]()
    with database.transaction() as connection:
        for timeframe, month in first_months.items():
            wanted = (heads.timeframe == timeframe) & (heads.month >= month) & heads.market.in_(markets)
            found = connection.execute(select(heads.dataset, func.sum(heads.row_count)).where(wanted).group_by(heads.dataset))
            for dataset, rows in found:
                counts[dataset] = counts.get(dataset, 0) + int(rows)
    return counts


def other_sessions(database: "Database") -> int:
    """Return how many sessions of other processes the server has now."""
    statement = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
    with database.transaction() as connection:
        return int(connection.scalar(statement) or 0)
