"""Real PostgreSQL and real HTTP for the tests of the exchange gateway."""

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import RequestLimit
from fks_assets.ids import unique_name

if TYPE_CHECKING:
    from fks_assets.stores.database import Database


@pytest.fixture
def engine(database: "Database") -> sa.Engine:
    """Connections to a fresh, migrated database."""
    return database.engine


@pytest.fixture
def roomy_budget(engine: sa.Engine) -> DatabaseBudget:
    """A budget of its own that is never short of weight."""
    return DatabaseBudget(engine, unique_name(), "test", RequestLimit(weight_per_minute=10_000_000, burst=5_000_000))
