"""An account at each simulated exchange. Afterwards its books are exact, and nothing was taken twice."""

from collections.abc import Iterator

import pytest

from fks_assets.stores.database import Database
from fks_assets_tests.orders.trading_desk import TradingDesk, trading_desk


@pytest.fixture(params=["binance", "kraken"])
def desk(request: pytest.FixtureRequest, database: Database) -> Iterator[TradingDesk]:
    """With pairs of stop and target, and without."""
    yield from checked(database, request.param)


@pytest.fixture
def binance(database: Database) -> Iterator[TradingDesk]:
    yield from checked(database, "binance")


def checked(database: Database, dialect: str) -> Iterator[TradingDesk]:
    with trading_desk(database, dialect) as desk:
        yield desk
        desk.simulator.remove_faults()
        desk.check_books()
