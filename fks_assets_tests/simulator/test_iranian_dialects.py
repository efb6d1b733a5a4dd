"""Wallex's and Nobitex's dialects of the simulator, traded through our ccxt classes over HTTP.

The documented bodies are the oracle of the shapes; the simulator's books and its control API are the oracle of what happened.
"""

import asyncio
import http.client
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ccxt
import orjson
import pytest

from fks_assets.exchanges.ccxt_loader import load_exchange_class
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.exchanges.iranian_bodies import NOBITEX_OCO, NOBITEX_TRADES, body
from fks_assets_tests.shared_data import requires_shared

NOW = 1_763_697_723_456
MINUTE, HOUR = 60_000, 3_600_000
KEY = "sim-iran"
Ask = Callable[[Any], Awaitable[Any]]


@pytest.fixture
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0) as client:
        client.add_account(KEY, "unused", balances={"USDT": "100000", "BTC": "2", "IRT": "0"}, maker="0.002", taker="0.002")
        client.set_trading(fill_model="last")
        yield client


@pytest.fixture
def toman(tmp_path: Path) -> Iterator[SimulatorClient]:
    """A recorded market of tether in toman at about 116,000, in whole toman."""
    start = NOW // HOUR * HOUR - 3 * 24 * HOUR
    rows = [
        [start + number * MINUTE, *(str(price + more) for more in (0, 50, -50, 10)), "1250.5"]
        for number in range(3 * 24 * 60)
        for price in [116_000 + number % 7 * 10]
    ]
    (tmp_path / "USDT_IRT-1m.json").write_bytes(orjson.dumps(rows))
    with running_simulator(replay=tmp_path, speed=0) as client:
        client.add_account(KEY, "unused", balances={"IRT": "500000000", "USDT": "1000"}, maker="0.002", taker="0.0025")
        client.set_trading(fill_model="last")
        yield client


def ask(name: str, simulator: SimulatorClient, *calls: Ask, key: str = KEY) -> list[Any]:
    """Return what the calls of one client give, in their order; an error of ccxt is given back as it is."""
    root = f"{simulator.url}/{name}"
    config = {"apiKey": key, "urls": {"api": {"public": root, "private": root}}, "enableRateLimit": False}

    async def run() -> list[Any]:
        exchange = load_exchange_class(name)(config)
        found: list[Any] = []
        try:
            for call in calls:
                try:
                    found.append(await call(exchange))
                except ccxt.BaseError as error:
                    found.append(error)
        finally:
            await exchange.close()
        return found

    return asyncio.run(run())


def plain(name: str, simulator: SimulatorClient, path: str, method: str = "GET", content: Any = None) -> Any:
    """Return the JSON of an answer to a request that no exchange class has made."""
    parts = urlsplit(simulator.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    key = {"X-API-Key": KEY} if name == "wallex" else {"Authorization": f"Token {KEY}"}
    try:
        sent = None if content is None else orjson.dumps(content)
        connection.request(method, f"/{name}/{path}", sent, {**key, "Content-Type": "application/json"})
        return orjson.loads(connection.getresponse().read())
    finally:
        connection.close()


def last_price(simulator: SimulatorClient, symbol: str = "BTC-USDT") -> Decimal:
    return Decimal(str(simulator.candles(symbol, "1m", NOW - HOUR).close[-1])).quantize(Decimal("0.01"))


@pytest.mark.parametrize("name", ["wallex", "nobitex"])
def test_an_order_lives_from_its_placing_to_its_fills_and_its_end(name: str, simulator: SimulatorClient) -> None:
    """Issue 5: place, partial fill, cancel, fetch, fills, in both dialects."""
    below = last_price(simulator) * Decimal("0.99") // 1
    (placed,) = ask(
        name,
        simulator,
        lambda x: x.create_order("BTC/USDT", "limit", "buy", "0.5", below, {"clientOrderId": "desk1"}),
    )
    assert (placed["status"], placed["clientOrderId"], placed["filled"]) == ("open", "desk1", "0")
    (kept,) = simulator.orders()
    simulator.fill_by_hand(kept["number"], price=str(below), quantity="0.2")
    order, by_id, resting, balance = ask(
        name,
        simulator,
        lambda x: x.fetch_order(None, "BTC/USDT", {"clientOrderId": "desk1"}),
        lambda x: x.fetch_order(placed["id"], "BTC/USDT"),
        lambda x: x.fetch_open_orders("BTC/USDT"),
        lambda x: x.fetch_balance(),
    )
    assert order == by_id == resting[0]
    assert (order["status"], order["filled"], order["remaining"]) == ("open", "0.2", "0.3")
    assert balance["USDT"]["used"] == str((below * Decimal("0.3")).normalize())
    assert Decimal(balance["BTC"]["free"]) == Decimal("2") + Decimal("0.2") * Decimal("0.998")
    ended, again, fills, mine, none = ask(
        name,
        simulator,
        lambda x: x.cancel_order(placed["id"], "BTC/USDT"),
        lambda x: x.cancel_order(placed["id"], "BTC/USDT"),
        lambda x: x.fetch_order_trades(placed["id"], "BTC/USDT"),
        lambda x: x.fetch_my_trades("BTC/USDT"),
        lambda x: x.fetch_open_orders("BTC/USDT"),
    )
    assert (ended["status"], ended["filled"]) == ("canceled", "0.2")
    assert isinstance(again, ccxt.ExchangeError) and none == []
    (fill,) = fills
    assert (fill["order"], fill["price"], fill["amount"], fill["side"]) == (placed["id"], str(below), "0.2", "buy")
    assert fill["fee"] == {"cost": "0.0004", "currency": "BTC"}
    assert [(one["price"], one["amount"]) for one in mine] == [(str(below), "0.2")]
    (after,) = ask(name, simulator, lambda x: x.fetch_order(None, "BTC/USDT", {"clientOrderId": "desk1"}))
    assert (after["id"], after["status"]) == (placed["id"], "canceled")


@pytest.mark.parametrize("name", ["wallex", "nobitex"])
def test_a_market_order_is_filled_and_known_by_its_client_id_afterwards(name: str, simulator: SimulatorClient) -> None:
    (sold, found) = ask(
        name,
        simulator,
        lambda x: x.create_order("BTC/USDT", "market", "sell", "0.1", None, {"clientOrderId": "exit1"}),
        lambda x: x.fetch_order(None, "BTC/USDT", {"clientOrderId": "exit1"}),
    )
    assert (sold["status"], sold["filled"], sold["price"]) == ("closed", "0.1", None) or sold["price"] == sold["average"]
    assert (found["id"], found["status"], found["filled"]) == (sold["id"], "closed", "0.1")


@pytest.mark.parametrize("name", ["wallex", "nobitex"])
def test_a_client_id_that_rests_is_taken_once(name: str, simulator: SimulatorClient) -> None:
    below = last_price(simulator) * Decimal("0.99") // 1
    params = {"clientOrderId": "desk1"}
    first, second = ask(
        name,
        simulator,
        lambda x: x.create_order("BTC/USDT", "limit", "buy", "0.01", below, params),
        lambda x: x.create_order("BTC/USDT", "limit", "buy", "0.02", below, params),
    )
    assert first["status"] == "open"
    assert isinstance(second, ccxt.InvalidOrder)
    assert type(second) is (ccxt.DuplicateOrderId if name == "nobitex" else ccxt.InvalidOrder)
    assert simulator.duplicates() == [] and len(simulator.orders()) == 1


def test_nobitex_refuses_an_equal_order_for_ten_seconds(simulator: SimulatorClient) -> None:
    below = last_price(simulator) * Decimal("0.99") // 1

    def send(named: str) -> Ask:
        return lambda x: x.create_order("BTC/USDT", "limit", "buy", "0.01", below, {"clientOrderId": named})

    first, second = ask("nobitex", simulator, send("a"), send("b"))
    assert first["status"] == "open" and type(second) is ccxt.InvalidOrder and "DuplicateOrder" in str(second)
    simulator.set_clock(advance_seconds=10)
    (third,) = ask("nobitex", simulator, send("b"))
    assert third["status"] == "open"


def test_a_stop_at_nobitex_waits_for_its_trigger_and_fills_then(simulator: SimulatorClient) -> None:
    """X23. The market of this seed rises within six hours, which the simulator's own candles say."""
    last = last_price(simulator)
    above, below = last * Decimal("1.001") // 1, last * Decimal("0.99") // 1
    guard, entry = ask(
        "nobitex",
        simulator,
        lambda x: x.create_order("BTC/USDT", "limit", "sell", "0.1", below - 100, {"triggerPrice": below}),
        lambda x: x.create_order("BTC/USDT", "market", "buy", "0.1", None, {"triggerPrice": above, "clientOrderId": "s"}),
    )
    assert (guard["triggerPrice"], guard["price"], guard["type"]) == (str(below), str(below - 100), "limit")
    assert (entry["triggerPrice"], entry["price"], entry["type"]) == (str(above), None, "market")
    assert {order["info"]["status"] for order in (guard, entry)} == {"Inactive"}
    assert [order["type"] for order in simulator.orders()] == ["STOP_LOSS_LIMIT", "STOP_LOSS"]
    simulator.set_clock(advance_seconds=6 * 3600)
    moved = simulator.candles("BTC-USDT", "1m", NOW)
    assert moved.high.max() > above and moved.low.min() > below
    bought, waiting = ask(
        "nobitex",
        simulator,
        lambda x: x.fetch_order(entry["id"], "BTC/USDT"),
        lambda x: x.fetch_order(guard["id"], "BTC/USDT"),
    )
    assert (bought["status"], bought["filled"], waiting["info"]["status"]) == ("closed", "0.1", "Inactive")
    assert Decimal(bought["average"]) >= above


def test_an_oco_pair_at_nobitex_ends_together(simulator: SimulatorClient) -> None:
    last = last_price(simulator) // 1
    ((limit, stop),) = ask(
        "nobitex",
        simulator,
        lambda x: x.create_oco_order("BTC/USDT", "sell", "0.1", last + 5000, last - 4000, last - 4100, {"clientOrderId": "pair"}),
    )
    assert (limit["price"], limit["clientOrderId"], limit["info"]["status"]) == (str(last + 5000), "pair", "Active")
    assert (stop["price"], stop["triggerPrice"], stop["info"]["status"]) == (str(last - 4100), str(last - 4000), "Inactive")
    assert (limit["info"]["pairId"], stop["info"]["pairId"]) == (int(stop["id"]), int(limit["id"]))
    assert simulator.balances(KEY)["BTC"]["locked"] == "0.1"
    ended, twin, wrong = ask(
        "nobitex",
        simulator,
        lambda x: x.cancel_order(stop["id"], "BTC/USDT"),
        lambda x: x.fetch_order(limit["id"], "BTC/USDT"),
        lambda x: x.create_oco_order("BTC/USDT", "sell", "0.1", last - 5000, last - 4000, last - 4100),
    )
    assert (ended["status"], twin["status"]) == ("canceled", "canceled")
    assert type(wrong) is ccxt.InvalidOrder and "PriceConditionFailed" in str(wrong)


def test_no_stop_ever_reaches_wallex_as_a_plain_order(simulator: SimulatorClient) -> None:
    """X23. The dialect takes an order with a stop price as a plain one, as its documentation lets expect."""
    error, resting = ask(
        "wallex",
        simulator,
        lambda x: x.create_order("BTC/USDT", "market", "sell", "0.1", None, {"stopPrice": "50000"}),
        lambda x: x.fetch_open_orders(),
    )
    assert isinstance(error, ccxt.NotSupported) and resting == []
    assert simulator.orders() == [] and simulator.journal(endpoint="POST orders") == []
    order = {"symbol": "BTCUSDT", "type": "MARKET", "side": "SELL", "quantity": "0.1", "stopPrice": "50000"}
    assert plain("wallex", simulator, "v1/account/orders", "POST", order)["result"]["status"] == "FILLED"


@pytest.mark.parametrize("name", ["wallex", "nobitex"])
def test_refusals_are_errors_and_leave_nothing(name: str, simulator: SimulatorClient) -> None:
    last = last_price(simulator) // 1
    found = ask(
        name,
        simulator,
        lambda x: x.create_order("BTC/USDT", "limit", "buy", "50", last),
        lambda x: x.create_order("BTC/USDT", "limit", "buy", "0.00001", last),
        lambda x: x.create_order("BTC/USDT", "limit", "buy", "0.01", "1"),
        lambda x: x.fetch_order("987654321"),
        lambda x: x.cancel_order("987654321"),
    )
    poor, small, far, *unknown = found
    assert type(poor) is (ccxt.InsufficientFunds if name == "nobitex" else ccxt.InvalidOrder)
    assert type(small) is ccxt.InvalidOrder and type(far) is ccxt.InvalidOrder
    assert [type(error) for error in unknown] == [ccxt.OrderNotFound] * 2
    (stranger,) = ask(name, simulator, lambda x: x.fetch_balance(), key="sim-nobody")
    assert type(stranger) is ccxt.AuthenticationError
    assert simulator.orders() == []


def test_toman_is_one_unit_through_candles_books_balances_orders_and_fills(toman: SimulatorClient) -> None:
    """Nobitex counts in rial but in candles; ten rial are a toman. The simulator's own books are in toman."""
    end = toman.candles("USDT-IRT", "1m").open_time[-1] + MINUTE
    ticker, book, candles, markets, balance, order = ask(
        "nobitex",
        toman,
        lambda x: x.fetch_ticker("USDT/IRT"),
        lambda x: x.fetch_order_book("USDT/IRT"),
        lambda x: x.fetch_ohlcv("USDT/IRT", "1m", since=end - 5 * MINUTE),
        lambda x: x.load_markets(),
        lambda x: x.fetch_balance(),
        lambda x: x.create_order("USDT/IRT", "limit", "buy", "60", "115000", {"clientOrderId": "rial"}),
    )
    close = toman.candles("USDT-IRT", "1m").close[-1]
    assert Decimal(ticker["last"]) == Decimal(candles[-1][4]) == Decimal(str(close))
    assert abs(Decimal(book["bids"][0][0]) - Decimal(ticker["last"])) < 100
    assert markets["USDT/IRT"]["precision"]["price"] == "1"
    assert balance["IRT"]["total"] == "500000000"

    sent = toman.journal(endpoint="orders/add")[0]["params"]
    assert sent["price"] == "1150000" and order["price"] == "115000"
    (kept,) = toman.orders()
    assert Decimal(kept["price"]) == 115000
    assert toman.balances(KEY)["IRT"]["locked"] == "6900000"
    toman.fill_by_hand(kept["number"], price="115000", quantity="40")
    fills, wallex_book, wallex_balance = [
        *ask("nobitex", toman, lambda x: x.fetch_my_trades("USDT/IRT")),
        *ask("wallex", toman, lambda x: x.fetch_order_book("USDT/IRT"), lambda x: x.fetch_balance()),
    ]
    assert (fills[0]["price"], fills[0]["cost"]) == ("115000", "4600000")
    assert wallex_book["bids"] == [*wallex_book["bids"]] and wallex_book["bids"][0][0] == book["bids"][0][0]
    assert wallex_balance["IRT"]["total"] == "495400000"


def test_days_of_nobitex_begin_at_midnight_in_tehran(simulator: SimulatorClient) -> None:
    (days,) = ask("nobitex", simulator, lambda x: x.fetch_ohlcv("BTC/USDT", "1d", since=NOW - 5 * 24 * HOUR))
    assert len(days) >= 2
    assert {(row[0] + 3 * HOUR + HOUR // 2) % (24 * HOUR) for row in days} == {0}


def test_a_page_of_candles_holds_five_hundred_and_the_next_one_those_before(simulator: SimulatorClient) -> None:
    asked = f"market/udf/history?symbol=BTCUSDT&resolution=5&from={(NOW - 60 * HOUR) // 1000}&to={NOW // 1000}"
    first, second, third = (plain("nobitex", simulator, f"{asked}&page={page}") for page in (1, 2, 3))
    assert len(first["t"]) == 500 and second["t"][-1] == first["t"][0] - 300 and third["s"] == "no_data"
    truth = simulator.candles("BTC-USDT", "5m", NOW - 60 * HOUR)
    assert [*second["t"], *first["t"]][: len(truth)] == [time // 1000 for time in truth.open_time.tolist()]


@requires_shared
def test_the_shapes_are_those_of_the_documented_bodies(simulator: SimulatorClient) -> None:
    """Every key that a documented body has is there with the same kind of value; what more there is was documented later."""
    below = str(last_price(simulator) * Decimal("0.99") // 1)
    order = ("BTC/USDT", "limit", "sell", "0.01", str(last_price(simulator) + 3000))
    ask("wallex", simulator, lambda x: x.create_order(*order, {"clientOrderId": "w"}))

    def answered(name: str, path: str, method: str = "GET", content: Any = None) -> Any:
        return plain(name, simulator, path, method, content)

    stop = {"type": "sell", "execution": "stop_market", "srcCurrency": "btc", "dstCurrency": "usdt", "amount": "0.01"}
    oco = {**stop, "execution": "limit", "mode": "oco", "price": order[4], "stopPrice": below, "stopLimitPrice": below}
    limit = {**stop, "execution": "limit", "price": order[4]}
    wallex, nobitex = "wallex/documented", "nobitex/documented"
    for name, path, expected, found in (
        ("wallex", "markets", body(f"{wallex}/markets.json"), answered("wallex", "v1/markets")),
        ("wallex", "depth", body(f"{wallex}/depth.json"), answered("wallex", "v1/depth?symbol=BTCUSDT")),
        ("wallex", "trades", body(f"{wallex}/trades.json"), answered("wallex", "v1/trades?symbol=BTCUSDT")),
        ("wallex", "balances", body(f"{wallex}/balances.json"), answered("wallex", "v1/account/balances")),
        ("wallex", "order", body(f"{wallex}/order_new.json"), answered("wallex", "v1/account/orders/w")),
        ("wallex", "open", body(f"{wallex}/open_orders.json"), answered("wallex", "v1/account/openOrders?symbol=BTCUSDT")),
        ("nobitex", "book", body(f"{nobitex}/orderbook_v3.json"), answered("nobitex", "v3/orderbook/BTCUSDT")),
        ("nobitex", "trades", body(f"{nobitex}/trades_v2.json"), answered("nobitex", "v2/trades/BTCUSDT")),
        ("nobitex", "limit", body(f"{nobitex}/order_add_limit.json"), answered("nobitex", "market/orders/add", "POST", limit)),
        (
            "nobitex",
            "stop",
            body(f"{nobitex}/order_add_stop_market.json"),
            answered("nobitex", "market/orders/add", "POST", {**stop, "stopPrice": below}),
        ),
        ("nobitex", "oco", orjson.dumps(NOBITEX_OCO), answered("nobitex", "market/orders/add", "POST", oco)),
        ("nobitex", "list", body(f"{nobitex}/orders_list.json"), answered("nobitex", "market/orders/list?details=2")),
        ("nobitex", "wallets", body(f"{nobitex}/wallets_list.json"), answered("nobitex", "users/wallets/list")),
    ):
        assert_covers(found, orjson.loads(expected), f"{name} {path}")
    ask("nobitex", simulator, lambda x: x.create_order("BTC/USDT", "market", "sell", "0.01"))
    assert_covers(answered("nobitex", "market/trades/list"), NOBITEX_TRADES, "nobitex fills")


# What the simulator has no use for: addresses, names in Persian and figures of the past week.
_LEFT_OUT = {"depositAddress", "depositTag", "depositInfo", "rialBalance", "rialBalanceSell", "totalOrderPrice", "isMyOrder"}
_LEFT_OUT |= {"faName", "faBaseAsset", "faQuoteAsset", "7d_ch", "7d_volume", "lastTradeSide", "bidVolume", "askVolume"}
_LEFT_OUT |= {"bidCount", "askCount", "direction", "tradeType"}
_NUMBERS = {"matchedAmount", "fee", "minNotional", "minQty", "quantity", "24h_ch"}


def assert_covers(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, dict) and isinstance(found, dict) and not set(expected) & set(found) and len(expected) <= 2:
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, dict):
        assert set(expected) - _LEFT_OUT <= set(found), where
        for key in set(expected) - _LEFT_OUT:
            assert_covers(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list) and found, where
        assert_covers(found[0], expected[0], where)
    else:
        same = type(found) is type(expected) or None in (found, expected) or where.rpartition(".")[2] in _NUMBERS
        assert same, f"{where}: {found!r}, documented {expected!r}"
