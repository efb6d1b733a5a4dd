"""Binance's signed endpoints, key by key against the recorded and documented bodies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.simulator.binance_trading import LOOSE, MARKET, NOW, cancel, new, new_key, oco, resting
from fks_assets_tests.simulator.signed import BinanceKey


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as client:
        yield client


@pytest.fixture
def key(running: SimulatorClient) -> BinanceKey:
    return new_key(running)


def types(value: Any) -> Any:
    """Return the types of a JSON value, of a list those of its first entry; an amount is `number in text`."""
    if isinstance(value, dict):
        return {name: types(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [types(entry) for entry in value[:1]]
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return "number in text"
    return type(value).__name__


def documented(name: str) -> Any:
    assert SHARED is not None
    return json.loads((Path(SHARED) / "data" / "api" / "binance" / name).read_text())


@requires_shared
@pytest.mark.parametrize(
    ("body", "ask"),
    [
        ("documented/order_new_1.json", lambda key: new(key, newOrderRespType="ACK")),
        ("documented/order_new_2.json", lambda key: new(key, newOrderRespType="RESULT")),
        ("documented/order_new_3.json", new),
        ("documented/order_test_1.json", lambda key: key.ok("POST", "order/test", **MARKET)),
        ("documented/order_test_2.json", lambda key: key.ok("POST", "order/test", computeCommissionRates="true", **MARKET)),
        ("documented/order_query.json", lambda key: key.ok("GET", "order", symbol="BTCUSDT", orderId=new(key)["orderId"])),
        ("documented/all_orders.json", lambda key: [new(key), key.ok("GET", "allOrders", symbol="BTCUSDT")][1]),
        ("documented/open_orders.json", lambda key: [resting(key), key.ok("GET", "openOrders", symbol="BTCUSDT")][1]),
        ("documented/order_cancel_1.json", lambda key: cancel(key, resting(key)["orderId"])),
        ("documented/my_trades.json", lambda key: [new(key), key.ok("GET", "myTrades", symbol="BTCUSDT")][1]),
        ("documented/account.json", lambda key: key.ok("GET", "account")),
        ("documented/rate_limit_order.json", lambda key: key.ok("GET", "rateLimit/order")),
        ("documented/orderlist_query.json", lambda key: key.ok("GET", "orderList", orderListId=oco(key)["orderListId"])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_has_every_documented_key_of_the_documented_type(key: BinanceKey, body: str, ask: Any) -> None:
    assert types(ask(key)) == types(documented(body))


@requires_shared
def test_a_list_of_orders_is_answered_as_documented(key: BinanceKey) -> None:
    ours, theirs = oco(key, newOrderRespType="RESULT"), documented("documented/orderlist_oco_new.json")
    for report in theirs["orderReports"]:
        report.pop("icebergQty", None)
    assert types(ours) == types(theirs)
    assert [types(one) for one in ours["orderReports"]] == [types(one) for one in theirs["orderReports"]]
    ended = key.ok("DELETE", "orderList", symbol="BTCUSDT", orderListId=ours["orderListId"])
    documents = documented("documented/orderlist_cancel.json")
    assert types(ended) == types(documents)
    assert [types(one) for one in ended["orderReports"]] == [types(one) for one in documents["orderReports"]]
    assert (ended["listOrderStatus"], {one["status"] for one in ended["orderReports"]}) == ("ALL_DONE", {"CANCELED"})


@requires_shared
def test_refusals_read_as_recorded(key: BinanceKey) -> None:
    bodies = {(entry["body"]["code"], entry["body"]["msg"]): entry["status"] for entry in documented("errors.json")}
    wrong = BinanceKey(key.simulator, "sim-unknown")
    far, late = NOW + 1000, NOW - 5001
    found = [
        key.refused("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="100"),
        key.refused("DELETE", "order", symbol="BTCUSDT", orderId=10**9),
        key.refused("POST", "order", symbol="NOPE", side="BUY", type="MARKET", quantity="1"),
        key.refused("GET", "account", timestamp=late),
        key.refused("GET", "account", timestamp=far),
        key.refused("GET", "account", signature="0" * 64),
        key.refused("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.000001"),
        key.refused("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.00001"),
        wrong.refused("GET", "account"),
    ]
    for status, code, words in found:
        assert bodies.get((code, words)) == status, (status, code, words)
