"""An account at each simulated exchange. Afterwards its books are exact, and nothing was taken twice."""

from collections.abc import Iterator

import pytest

from fks_assets.stores.database import Database
from fks_assets_tests.guarding.guarded_desk import checked
from fks_assets_tests.orders.trading_desk import TradingDesk


@pytest.fixture(params=["binance", "kraken"])
def desk(request: pytest.FixtureRequest, database: Database) -> Iterator[TradingDesk]:
    """With pairs of stop and target, and without."""
    yield from checked(database, request.param)


@pytest.fixture
def binance(database: Database) -> Iterator[TradingDesk]:
    yield from checked(database, "binance")
