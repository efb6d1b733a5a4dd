"""ccxt's own classes trade with the simulator: signed requests, orders, lists, balances and trades come back as they should."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import ccxt
import ccxt.async_support
import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.simulator.signed import KRAKEN_SECRET
from fks_assets_tests.simulator.test_ccxt import settings

NOW = 1_763_697_723_456
LOOSE = {
    "binance": {"weight": 10**7, "orders_10s": 10**6},
    "kraken": {"burst": 10**6, "private_burst": 10**6, "order_burst": 10**6},
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as client:
        client.set_trading(fill_model="last", check_timestamps=False)
        yield client


_names = iter(range(10**6))


def keyed(name: str, simulator: SimulatorClient, module: Any = ccxt) -> Any:
    """Return a ccxt exchange with a new account of 100,000 USDT and 2 BTC, reading numbers as texts."""
    key, secret = f"sim-{next(_names)}", KRAKEN_SECRET
    simulator.add_account(key, secret, balances={"USDT": "100000", "BTC": "2"}, maker="0.001", taker="0.002")
    given = settings(name, simulator)
    given["urls"]["api"]["private"] = given["urls"]["api"]["public"]
    client = getattr(module, name)({**given, "apiKey": key, "secret": secret})
    client.number = str
    return client


@pytest.fixture(params=["binance", "kraken"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def exchange(name: str, simulator: SimulatorClient) -> Any:
    client = keyed(name, simulator)
    client.load_markets()
    return client


def near(exchange: Any, factor: str) -> str:
    return exchange.price_to_precision("BTC/USDT", str(Decimal(exchange.fetch_ticker("BTC/USDT")["last"]) * Decimal(factor)))


def test_a_market_order_fills_and_shows_its_cost_and_fee(exchange: Any, name: str) -> None:
    placed = exchange.create_order("BTC/USDT", "market", "buy", "0.1", None, {"clientOrderId": "deal-1"})
    order = exchange.fetch_order(placed["id"], "BTC/USDT")
    price = Decimal(exchange.fetch_ticker("BTC/USDT")["last"])
    assert (order["status"], order["clientOrderId"], order["side"], order["type"]) == ("closed", "deal-1", "buy", "market")
    assert Decimal(order["filled"]) == Decimal("0.1") and Decimal(order["cost"]) == price * Decimal("0.1")
    (trade,) = exchange.fetch_my_trades("BTC/USDT")
    assert trade["order"] == placed["id"] and Decimal(trade["price"]) == price and trade["takerOrMaker"] == "taker"
    # Binance takes 0.2 % of the coins bought, Kraken of what they cost.
    fee = (Decimal("0.0002"), "BTC") if name == "binance" else (price * Decimal("0.0002"), "USDT")
    assert (Decimal(trade["fee"]["cost"]), trade["fee"]["currency"]) == fee


def test_a_limit_order_rests_is_found_and_is_cancelled(exchange: Any) -> None:
    placed = exchange.create_order("BTC/USDT", "limit", "buy", "0.5", near(exchange, "0.9"))
    (resting,) = exchange.fetch_open_orders("BTC/USDT")
    assert (resting["id"], resting["status"], Decimal(resting["remaining"])) == (placed["id"], "open", Decimal("0.5"))
    balance = exchange.fetch_balance()
    assert Decimal(balance["USDT"]["total"]) == 100_000 and Decimal(balance["USDT"]["used"]) > 20_000
    exchange.cancel_order(placed["id"], "BTC/USDT")
    assert exchange.fetch_order(placed["id"], "BTC/USDT")["status"] == "canceled"
    assert exchange.fetch_open_orders("BTC/USDT") == []
    assert Decimal(exchange.fetch_balance()["USDT"]["free"]) == 100_000
    with pytest.raises(ccxt.OrderNotFound):
        exchange.cancel_order(placed["id"], "BTC/USDT")


def test_stops_wait_with_their_trigger(exchange: Any) -> None:
    """X23: the trigger reaches the exchange."""
    trigger = near(exchange, "0.95")
    market = exchange.create_order("BTC/USDT", "market", "sell", "0.1", None, {"stopLossPrice": trigger})
    limit = exchange.create_order("BTC/USDT", "limit", "sell", "0.1", near(exchange, "0.94"), {"stopLossPrice": trigger})
    for one in (market, limit):
        order = exchange.fetch_order(one["id"], "BTC/USDT")
        assert order["status"] == "open" and Decimal(order["triggerPrice"]) == Decimal(trigger)


def test_refusals_become_ccxts_own_errors(exchange: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order("BTC/USDT", "market", "buy", "10")
    with pytest.raises(ccxt.ExchangeError, match=r"NOTIONAL|Cost minimum not met"):
        exchange.create_order("BTC/USDT", "limit", "buy", "0.00001", near(exchange, "0.9"))
    exchange.apiKey = "sim-nobody"
    with pytest.raises(ccxt.AuthenticationError):
        exchange.fetch_balance()


def test_a_wrong_secret_is_refused_for_its_signature(exchange: Any) -> None:
    exchange.secret = "aGVsbG8="
    with pytest.raises(ccxt.ExchangeError, match=r"(?i)signature"):
        exchange.fetch_balance()


def test_binance_lists_and_replaces_through_the_implicit_endpoints(simulator: SimulatorClient) -> None:
    """S3.22: one cancels the other, and the stop is moved in one request."""
    exchange = keyed("binance", simulator)
    exchange.load_markets()
    prices = {"abovePrice": near(exchange, "1.05"), "belowStopPrice": near(exchange, "0.95")}
    kinds = {"aboveType": "LIMIT_MAKER", "belowType": "STOP_LOSS"}
    both = exchange.private_post_orderlist_oco({"symbol": "BTCUSDT", "side": "SELL", "quantity": "1", **prices, **kinds})
    assert both["listOrderStatus"] == "EXECUTING" and len(exchange.fetch_open_orders("BTC/USDT")) == 2
    assert Decimal(exchange.fetch_balance()["BTC"]["used"]) == 1
    ended = exchange.private_delete_orderlist({"symbol": "BTCUSDT", "orderListId": both["orderListId"]})
    assert ended["listOrderStatus"] == "ALL_DONE"
    stop = exchange.create_order("BTC/USDT", "market", "sell", "1", None, {"stopLossPrice": near(exchange, "0.9")})
    moved = exchange.private_post_order_cancelreplace(
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "STOP_LOSS",
            "quantity": "1",
            "stopPrice": near(exchange, "0.95"),
            "cancelReplaceMode": "STOP_ON_FAILURE",
            "cancelOrderId": stop["id"],
        }
    )
    assert (moved["cancelResult"], moved["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    (left,) = exchange.fetch_open_orders("BTC/USDT")
    assert left["id"] != stop["id"]


def test_kraken_amends_in_place(simulator: SimulatorClient) -> None:
    exchange = keyed("kraken", simulator)
    exchange.load_markets()
    placed = exchange.create_order("BTC/USDT", "limit", "buy", "0.5", near(exchange, "0.9"))
    exchange.edit_order(placed["id"], "BTC/USDT", "limit", "buy", "0.4", near(exchange, "0.8"))
    order = exchange.fetch_order(placed["id"])
    assert Decimal(order["amount"]) == Decimal("0.4") and Decimal(order["price"]) == Decimal(near(exchange, "0.8"))


def test_an_unsynchronised_clock_is_refused_and_ccxt_can_put_it_right() -> None:
    """E6: the simulated time is years away from this machine's."""
    with running_simulator(start_ms=NOW - 10**11, speed=1.0) as simulator:
        exchange = keyed("binance", simulator)
        exchange.load_markets()
        with pytest.raises(ccxt.InvalidNonce):
            exchange.fetch_balance()
        exchange.load_time_difference()
        exchange.options["adjustForTimeDifference"] = True
        assert Decimal(exchange.fetch_balance()["BTC"]["free"]) == 2


def test_the_async_class_trades_the_same(name: str, simulator: SimulatorClient) -> None:
    async def trade() -> tuple[Any, Any]:
        client = keyed(name, simulator, ccxt.async_support)
        try:
            await client.load_markets()
            orders = [await client.create_order("BTC/USDT", "market", "buy", "0.01") for _ in range(3)]
            found = await asyncio.gather(*(client.fetch_order(one["id"], "BTC/USDT") for one in orders), return_exceptions=True)
            return found, await client.fetch_balance()
        finally:
            await client.close()

    found, balance = asyncio.run(trade())
    assert [one["status"] for one in found if isinstance(one, dict)] and Decimal(balance["BTC"]["total"]) > 2


def test_an_answer_lost_after_acceptance_leaves_an_order_that_ccxt_can_find(exchange: Any, simulator: SimulatorClient) -> None:
    """O2: the error says nothing about what became of the order; the client id does."""
    simulator.add_faults(
        {"name": "lost", "action": "drop_after_accept", "endpoint": "submissions", "how": "status", "status": 502}
    )
    try:
        with pytest.raises(ccxt.OperationFailed):
            exchange.create_order("BTC/USDT", "limit", "buy", "0.1", near(exchange, "0.9"), {"clientOrderId": "deal-lost"})
    finally:
        simulator.remove_faults("lost")
    (found,) = exchange.fetch_open_orders("BTC/USDT")
    assert found["clientOrderId"] == "deal-lost"
    assert len(simulator.orders(account=exchange.apiKey)) == 1
