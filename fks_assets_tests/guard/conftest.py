"""A guard over an empty ledger."""

import pytest

from fks_assets.stores.database import Database
from fks_assets_tests.guard.world import GuardWorld


@pytest.fixture
def world(database: Database) -> GuardWorld:
    return GuardWorld(database)
