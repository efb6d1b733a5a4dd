"""A guard over an empty ledger."""

import pytest

from fks_assets.exchanges import tickers
from fks_assets.stores.database import Database
from fks_assets_tests.guard.world import ENOUGH_SECONDS, GuardWorld


@pytest.fixture
def world(database: Database) -> GuardWorld:
    return GuardWorld(database)


@pytest.fixture(autouse=True)
def patient_with_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickers, "PATIENCE_SECONDS", ENOUGH_SECONDS)
