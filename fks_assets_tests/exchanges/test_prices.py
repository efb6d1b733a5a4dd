"""Last prices in one public request, exact to the digit; a price that is missing or is none is an error, never a number.

The bodies have the shape of each exchange's documentation; the expected values are their own texts.
"""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.errors import ExchangeError, InvalidResponse
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.prices import last_prices
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import Market, parse_market
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.database import Database
from fks_assets_tests.exchanges.scripted_server import Reply, scripted_server

BTC_USDT, BTC_IRT, BTC_USD = (parse_market(f"{symbol}@venue") for symbol in ("BTC-USDT", "BTC-IRT", "BTC-USD"))
WALLEX = {"BTCUSDT": "65000.5", "BTCTMN": 4100000000}
BODIES: dict[str, tuple[Any, dict[Market, str]]] = {
    "binance": (
        [{"symbol": "ETHUSDT", "price": "1"}, {"symbol": "BTCUSDT", "price": "65000.01000000"}],
        {BTC_USDT: "65000.01"},
    ),
    "kraken": (
        {"error": [], "result": {"XXBTZUSD": {"c": ["65000.10000", "0.1"]}, "XBTUSDT": {"c": ["65001.2", "1"]}}},
        {BTC_USD: "65000.1", BTC_USDT: "65001.2"},
    ),
    "wallex": (
        {"success": True, "result": {"symbols": {name: {"stats": {"lastPrice": price}} for name, price in WALLEX.items()}}},
        {BTC_USDT: "65000.5", BTC_IRT: "4100000000"},
    ),
    "nobitex": (
        {"status": "ok", "stats": {"btc-usdt": {"latest": "65000.5"}, "btc-rls": {"latest": "41000000005"}}},
        {BTC_USDT: "65000.5", BTC_IRT: "4100000000.5"},
    ),
}


def prices(database: Database, body: Any, markets: list[Market], dialect: str) -> dict[Market, Decimal]:
    with scripted_server(lambda request: Reply(json.dumps(body).encode())) as server:
        profile = ExchangeProfile("venue", dialect, server.url, deadline_seconds=0.5)
        budget = DatabaseBudget.for_profile(database.engine, profile)
        return asyncio.run(last_prices(profile, budget, markets))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_prices_are_those_of_the_answer(database: Database, dialect: str) -> None:
    """X21, X23: each exchange's own names, rial as toman."""
    body, expected = BODIES[dialect]
    found = prices(database, body, list(expected), dialect)
    assert found == {market: Decimal(text) for market, text in expected.items()}


@pytest.mark.parametrize(
    "body",
    [
        [],
        [{"symbol": "ETHUSDT", "price": "1"}],
        [{"symbol": "BTCUSDT", "price": "0.00000000"}],
        [{"symbol": "BTCUSDT", "price": "-1"}],
        [{"symbol": "BTCUSDT", "price": "NaN"}],
        [{"symbol": "BTCUSDT", "price": None}],
        [{"symbol": "BTCUSDT"}],
        {"symbol": "BTCUSDT", "price": "1"},
        [{"symbol": "BTCUSDT", "price": "1"}, {"symbol": "BTCUSDT", "price": "2"}],
    ],
    ids=["nothing", "another market", "zero", "below zero", "no number", "null", "no price", "no list", "two prices"],
)
def test_no_price_is_ever_made_up(database: Database, body: Any) -> None:
    """F15: ALGO fell back to 10,000."""
    with pytest.raises(InvalidResponse):
        prices(database, body, [BTC_USDT], "binance")


def test_the_simulated_exchange_answers_in_both_dialects(database: Database) -> None:
    for dialect in ("binance", "kraken"):
        with running_simulator(speed=0, dialect=dialect) as simulator:
            profile = ExchangeProfile("simulated", dialect, simulator.url)
            budget = DatabaseBudget.for_profile(database.engine, profile)
            markets = [parse_market("BTC-USDT@simulated"), parse_market("ETH-USDT@simulated")]
            found = asyncio.run(last_prices(profile, budget, markets))
            assert list(found) == markets and all(price > 0 for price in found.values())
            assert asyncio.run(last_prices(profile, budget, [])) == {}


def test_an_exchange_that_cannot_be_reached_gives_no_price(database: Database) -> None:
    profile = ExchangeProfile("venue", "binance", "http://127.0.0.1:9", deadline_seconds=0.3)
    with pytest.raises(ExchangeError):
        asyncio.run(last_prices(profile, DatabaseBudget.for_profile(database.engine, profile), [BTC_USDT]))
