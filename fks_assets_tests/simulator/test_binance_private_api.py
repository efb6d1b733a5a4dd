"""Binance's signed endpoints over plain HTTP: what is checked, taken, refused, filled and counted."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.simulator.binance_trading import LOOSE, MARKET, NOW, cancel, near, new, new_key, oco, replaced, resting
from fks_assets_tests.simulator.plain_http import get
from fks_assets_tests.simulator.signed import BinanceKey, send


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as client:
        yield client


@pytest.fixture
def key(running: SimulatorClient) -> BinanceKey:
    return new_key(running)


def test_the_signature_covers_every_parameter_and_the_window_is_kept(key: BinanceKey) -> None:
    sent = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1&timestamp={NOW}"
    headers = {"X-MBX-APIKEY": key.key}
    changed = sent.replace("0.1", "0.2") + f"&signature={key.signature(sent)}"
    assert send(key.simulator.url, "POST", "/api/v3/order", changed, headers).json["code"] == -1022
    # In the query, in the body, or split between both: the text that is signed is query and body in a row.
    split = f"symbol=BTCUSDT&side=BUY&timestamp={NOW}", "type=MARKET&quantity=0.1"
    signed = f"{split[1]}&signature={key.signature(''.join(split))}"
    assert send(key.simulator.url, "POST", f"/api/v3/order?{split[0]}", signed, headers).status == 200
    assert send(key.simulator.url, "POST", f"/api/v3/order?{sent}&signature={key.signature(sent)}", "", headers).status == 200
    assert send(key.simulator.url, "GET", f"/api/v3/account?timestamp={NOW}&signature=00", "", {}).json["code"] == -2014
    assert send(key.simulator.url, "GET", f"/api/v3/account?timestamp={NOW}", "", headers).json["code"] == -1102
    assert key.refused("GET", "account", recvWindow=60_001)[1] == -1131
    assert key.ok("GET", "account", timestamp=NOW - 50_000, recvWindow=60_000)["canTrade"] is True
    assert key.ok("GET", "account", timestamp=NOW + 999)["canTrade"] is True
    assert len(key.ok("GET", "allOrders", symbol="BTCUSDT")) == 2


def test_a_skewed_clock_judges_by_its_own_time(key: BinanceKey) -> None:
    """E6: the exchange's clock is off, the client's is right."""
    key.simulator.set_clock(skew_seconds=-2)
    try:
        assert key.refused("GET", "account", timestamp=NOW)[1] == -1021
        assert key.ok("GET", "account", timestamp=NOW - 2000)["canTrade"] is True
    finally:
        key.simulator.set_clock(skew_seconds=0)
    key.simulator.set_trading(check_timestamps=False)
    assert key.ok("GET", "account", timestamp=1)["canTrade"] is True


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        ({"type": "LIMIT", "price": "60000.001", "timeInForce": "GTC"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"type": "LIMIT", "price": "1000", "timeInForce": "GTC"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"type": "MARKET", "quantity": "0.123456"}, -1013, "Filter failure: LOT_SIZE"),
        ({"type": "MARKET", "quantity": "0.00005"}, -1013, "Filter failure: NOTIONAL"),
        ({"type": "MARKET", "quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"type": "MARKET", "quantity": "1e3"}, -1100, "Illegal characters found in parameter 'quantity'; legal range is"),
        ({"type": "MARKET", "quantity": "-1"}, -1100, "Illegal characters found in parameter 'quantity'; legal range is"),
        ({"type": "MARKET", "price": "60000"}, -1106, "Parameter 'price' sent when not required."),
        ({"type": "LIMIT", "price": "60000"}, -1102, "Mandatory parameter 'timeInForce' was not sent"),
        ({"type": "STOP_LOSS"}, -1102, "Mandatory parameter 'stopPrice' was not sent"),
        ({"type": "STOP_LOSS", "stopPrice": "90000", "side": "SELL"}, -2010, "Stop price would trigger immediately."),
        ({"type": "STOP_LOSS", "trailingDelta": "5", "side": "SELL"}, -1013, "Filter failure: TRAILING_DELTA"),
        ({"type": "LIMIT_MAKER", "price": "90000"}, -2010, "Order would immediately match and take."),
        ({"type": "LIMIT", "price": "60000", "timeInForce": "GTC", "icebergQty": "0.01"}, -1013, "Filter failure: ICEBERG_PARTS"),
        ({"type": "ICEBERG"}, -1116, "Invalid orderType."),
        ({"side": "HOLD", "type": "MARKET"}, -1117, "Invalid side."),
        ({"type": "LIMIT", "price": "60000", "timeInForce": "GTD"}, -1115, "Invalid timeInForce."),
        ({"type": "MARKET", "newClientOrderId": "x" * 37}, -1100, "Illegal characters found in parameter 'newClientOrderId'"),
        ({"type": "MARKET", "newClientOrderId": "a b"}, -1100, "Illegal characters found in parameter 'newClientOrderId'"),
    ],
)
def test_a_bad_order_is_refused_with_binances_code(key: BinanceKey, order: dict[str, str], code: int, words: str) -> None:
    given = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.1", **order}
    status, found, text = key.refused("POST", "order", **given)
    assert (status, found) == (400, code) and text.startswith(words)
    assert key.refused("POST", "order/test", **given)[1] == code


def test_the_account_shows_what_is_free_and_locked(key: BinanceKey) -> None:
    new(key, "SELL", "LIMIT", "0.5", timeInForce="GTC", price=near(key, "1.1"))
    rows = {one["asset"]: one for one in key.ok("GET", "account")["balances"]}
    assert rows["BTC"] == {"asset": "BTC", "free": "1.50000000", "locked": "0.50000000"}
    assert {one["asset"] for one in key.ok("GET", "account", omitZeroBalances="true")["balances"]} == {"BTC", "USDT"}


def test_an_order_is_found_by_both_ids_and_cancelled_once(key: BinanceKey) -> None:
    order = resting(key, newClientOrderId="mine")
    for name, value in (("orderId", order["orderId"]), ("origClientOrderId", "mine")):
        assert key.ok("GET", "order", symbol="BTCUSDT", **{name: value})["status"] == "NEW"
    refused = key.refused("POST", "order", **{**MARKET, "newClientOrderId": "mine"})
    assert refused == (400, -2010, "Duplicate order sent.")
    assert cancel(key, order["orderId"], newClientOrderId="why")["clientOrderId"] == "why"
    assert key.refused("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"])[1:] == (-2011, "Unknown order sent.")
    assert key.refused("GET", "order", symbol="BTCUSDT", origClientOrderId="other")[1:] == (-2013, "Order does not exist.")
    assert key.refused("GET", "order", symbol="ETHUSDT", orderId=order["orderId"])[1] == -2013
    assert key.refused("GET", "order", symbol="BTCUSDT")[1] == -1102
    assert new(key, newClientOrderId="mine")["status"] == "FILLED"


def test_accounts_do_not_see_each_other(key: BinanceKey, running: SimulatorClient) -> None:
    order = resting(key)
    running.add_account(f"{key.key}-other", "hush", balances={})
    other = BinanceKey(running, f"{key.key}-other")
    assert other.refused("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])[1] == -2013
    assert other.refused("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"])[1] == -2011
    assert other.ok("GET", "openOrders") == [] and other.ok("GET", "myTrades", symbol="BTCUSDT") == []


def test_all_open_orders_of_a_market_are_cancelled_together(key: BinanceKey) -> None:
    resting(key)
    oco(key)
    reports = key.ok("DELETE", "openOrders", symbol="BTCUSDT")
    assert {one["status"] for one in reports} == {"CANCELED"} and len(reports) == 3
    assert key.refused("DELETE", "openOrders", symbol="BTCUSDT")[1] == -2011


def test_cancel_and_replace_tells_which_half_failed(key: BinanceKey) -> None:
    """O4: 200 when both went well, 409 when one did, 400 when none did; filters are looked at before anything is cancelled."""
    order = resting(key)
    done = replaced(key, order["orderId"]).json
    assert (done["cancelResult"], done["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert (done["cancelResponse"]["status"], done["newOrderResponse"]["status"]) == ("CANCELED", "NEW")
    gone = replaced(key, order["orderId"])
    assert (gone.status, gone.json["code"]) == (400, -2022)
    assert gone.json["data"]["newOrderResult"] == "NOT_ATTEMPTED" and gone.json["data"]["newOrderResponse"] is None
    both = replaced(key, order["orderId"], cancelReplaceMode="ALLOW_FAILURE")
    assert (both.status, both.json["code"], both.json["data"]["cancelResult"]) == (409, -2021, "FAILURE")
    poor = replaced(key, done["newOrderResponse"]["orderId"], quantity="50")
    assert (poor.status, poor.json["data"]["cancelResult"]) == (409, "SUCCESS")
    assert poor.json["data"]["newOrderResponse"]["code"] == -2010
    last_one = both.json["data"]["newOrderResponse"]["orderId"]
    filtered = replaced(key, last_one, price="60000.001")
    assert (filtered.status, filtered.json["code"]) == (400, -1013)
    assert [one["orderId"] for one in key.ok("GET", "openOrders", symbol="BTCUSDT")] == [last_one]


def test_a_lists_stop_sells_and_its_target_expires(key: BinanceKey, running: SimulatorClient) -> None:
    both = oco(key, belowType="STOP_LOSS", belowPrice="", belowTimeInForce="", belowStopPrice=near(key, "0.999"))
    stop, target = (one["orderId"] for one in both["orders"])
    assert key.ok("GET", "order", symbol="BTCUSDT", orderId=stop)["isWorking"] is False
    assert len(key.ok("GET", "openOrderList")) == 1
    running.set_clock(advance_seconds=6 * 3600)
    try:
        ends = [key.ok("GET", "order", symbol="BTCUSDT", orderId=one)["status"] for one in (stop, target)]
        assert sorted(ends) == ["EXPIRED", "FILLED"]
        assert key.ok("GET", "orderList", orderListId=both["orderListId"])["listOrderStatus"] == "ALL_DONE"
        assert key.ok("GET", "openOrderList") == []
    finally:
        running.set_clock(now=NOW)


def test_trades_come_in_pages_by_id_and_time(key: BinanceKey) -> None:
    for _ in range(5):
        new(key, quantity="0.01")
    rows = key.ok("GET", "myTrades", symbol="BTCUSDT")
    assert [one["id"] for one in rows] == sorted(one["id"] for one in rows) and len(rows) == 5
    assert key.ok("GET", "myTrades", symbol="BTCUSDT", limit=2) == rows[-2:]
    assert key.ok("GET", "myTrades", symbol="BTCUSDT", fromId=rows[1]["id"], limit=2) == rows[1:3]
    assert key.ok("GET", "myTrades", symbol="BTCUSDT", orderId=rows[2]["orderId"]) == [rows[2]]
    assert key.ok("GET", "myTrades", symbol="BTCUSDT", startTime=NOW + 1) == []
    assert key.ok("GET", "myTrades", symbol="BTCUSDT", startTime=NOW, endTime=NOW) == rows
    orders = key.ok("GET", "allOrders", symbol="BTCUSDT")
    assert key.ok("GET", "allOrders", symbol="BTCUSDT", orderId=orders[3]["orderId"]) == orders[3:]


def test_partial_fills_show_in_the_order_and_sum_up(key: BinanceKey, running: SimulatorClient) -> None:
    running.set_trading(parts=3, part_seconds=10)
    order = new(key, quantity="0.3")
    assert (order["status"], order["executedQty"]) == ("PARTIALLY_FILLED", "0.10000000")
    running.set_clock(advance_seconds=30)
    try:
        done = key.ok("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])
        fills = key.ok("GET", "myTrades", symbol="BTCUSDT", orderId=order["orderId"])
        assert done["status"] == "FILLED" and len(fills) == 3
        assert Decimal(done["cummulativeQuoteQty"]) == sum(Decimal(one["quoteQty"]) for one in fills)
    finally:
        running.set_clock(now=NOW)


def test_new_orders_are_limited_per_account_and_counted_in_headers() -> None:
    """C15: 100 new orders in 10 seconds, then 429 with -1015 and a time to wait; a list of two counts two."""
    with running_simulator(start_ms=NOW, speed=0) as simulator:
        simulator.add_account("sim-b", "hush", balances={"USDT": "100000", "BTC": "5"})
        key = BinanceKey(simulator)
        first = key.call("POST", "order", **{**MARKET, "quantity": "0.001"})
        assert (first.headers["x-mbx-order-count-10s"], first.headers["x-mbx-order-count-1d"]) == ("1", "1")
        oco(key)
        assert [one["count"] for one in key.ok("GET", "rateLimit/order")] == [3, 3]
        simulator.set_limits(binance={"orders_10s": 2})
        seen = [key.call("POST", "order", **{**MARKET, "quantity": "0.001"}) for _ in range(3)]
        assert [one.status for one in seen] == [200, 200, 429]
        assert seen[-1].json["code"] == -1015 and int(seen[-1].headers["retry-after"]) >= 1
        assert [one["kind"] for one in simulator.breaches()] == ["orders"]
        assert key.call("GET", "account").status == 200


def test_signed_endpoints_weigh_what_binance_says(key: BinanceKey, running: SimulatorClient) -> None:
    running.clear_journal()
    new(key)
    for endpoint, more in (("openOrders", {}), ("openOrders", {"symbol": "BTCUSDT"}), ("account", {}), ("order", {"orderId": 1})):
        key.call("GET", endpoint, **{"symbol": "BTCUSDT", **more} if endpoint == "order" else more)
    weights = {(one["endpoint"], one["symbol"]): one["weight"] for one in running.journal(account=key.key)}
    assert weights == {
        ("POST order", "BTC-USDT"): 1,
        ("GET openOrders", ""): 80,
        ("GET openOrders", "BTC-USDT"): 6,
        ("GET account", ""): 20,
        ("GET order", "BTC-USDT"): 4,
    }


def test_the_journal_keeps_no_signature(key: BinanceKey, running: SimulatorClient) -> None:
    new(key)
    (entry,) = running.journal(account=key.key, endpoint="POST order")
    assert entry["params"]["quantity"] == "0.1" and "signature" not in entry["params"]


def test_a_halted_market_takes_no_order_and_shows_it(key: BinanceKey, running: SimulatorClient) -> None:
    """E7: a market is delisted while orders rest in it."""
    order = key.ok(
        "POST", "order", symbol="ADAUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="100", price=ada(running)
    )
    running.halt("ADA-USDT")
    try:
        assert key.ok("GET", "order", symbol="ADAUSDT", orderId=order["orderId"])["status"] == "EXPIRED"
        refused = key.refused("POST", "order", symbol="ADAUSDT", side="BUY", type="MARKET", quantity="100")
        assert refused[1:] == (-2010, "Market is closed.")
        info = get(running.url, "/api/v3/exchangeInfo?symbol=ADAUSDT").json["symbols"][0]
        assert info["status"] == "BREAK"
        running.set_clock(advance_seconds=7200)
        assert get(running.url, "/api/v3/klines?symbol=ADAUSDT&interval=1m").json[-1][0] <= NOW
    finally:
        running.halt("ADA-USDT", resume=True)
        running.set_clock(now=NOW)


def ada(running: SimulatorClient) -> str:
    price = Decimal(get(running.url, "/api/v3/ticker/price?symbol=ADAUSDT").json["price"]) * Decimal("0.9")
    return f"{price.quantize(Decimal('0.0001'))}"


def test_a_frozen_feed_stands_still_while_the_exchange_trades_on(key: BinanceKey, running: SimulatorClient) -> None:
    target = new(key, "SELL", "LIMIT", "0.1", timeInForce="GTC", price=near(key, "1.005"))
    running.freeze("BTC-USDT")
    try:
        frozen = get(running.url, "/api/v3/ticker/price?symbol=BTCUSDT").json
        running.set_clock(advance_seconds=24 * 3600)
        assert get(running.url, "/api/v3/ticker/price?symbol=BTCUSDT").json == frozen
        assert get(running.url, "/api/v3/klines?symbol=BTCUSDT&interval=1m").json[-1][0] == NOW // 60_000 * 60_000
        assert key.ok("GET", "order", symbol="BTCUSDT", orderId=target["orderId"])["status"] == "FILLED"
        running.freeze("BTC-USDT", resume=True)
        assert get(running.url, "/api/v3/ticker/price?symbol=BTCUSDT").json != frozen
    finally:
        running.freeze("BTC-USDT", resume=True)
        running.set_clock(now=NOW)
