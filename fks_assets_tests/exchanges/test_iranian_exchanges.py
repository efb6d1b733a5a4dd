"""Wallex and Nobitex: exact units, what goes out, and what comes back of it. The documented bodies are the oracle."""

import asyncio
from decimal import Decimal
from typing import Any

import ccxt
import orjson
import pytest

from fks_assets_tests.exchanges.fed_exchange import fed_exchange
from fks_assets_tests.exchanges.iranian_bodies import (
    NOBITEX_OCO,
    NOBITEX_TRADES,
    WALLEX_TRADES,
    body,
    nobitex_bodies,
    wallex_bodies,
)
from fks_assets_tests.shared_data import SHARED, requires_shared

pytestmark = requires_shared


def nobitex(**other: Any) -> Any:
    return fed_exchange("nobitex", nobitex_bodies(**other))


def wallex(**other: Any) -> Any:
    return fed_exchange("wallex", wallex_bodies(**other))


def documented(path: str, *keys: str) -> Any:
    found = orjson.loads(body(path))
    for key in keys:
        found = found[key]
    return found


def test_statistics_in_rial_and_candles_in_toman_of_the_same_minutes_are_one_unit() -> None:
    """Recorded 2026-09-24: the candles of BTCIRT end at 19534025255, the statistics of btc-rls say 195000000220."""
    exchange = nobitex(market_stats=body("nobitex/recorded/stats_btc-rls_2026-09.json"))
    ticker = asyncio.run(exchange.fetch_ticker("BTC/IRT"))
    candles = asyncio.run(exchange.fetch_ohlcv("BTC/IRT", "5m"))
    assert (ticker["last"], ticker["bid"], ticker["ask"]) == ("19500000022", "19500000025", "19529999988")
    assert candles[-1] == [1790166900000, "19531013020", "19568802733", "19531013020", "19534025255", "0.01238743"]
    assert Decimal("0.99") < Decimal(candles[-1][4]) / Decimal(ticker["last"]) < Decimal("1.01")


def test_tether_markets_are_not_converted() -> None:
    stats = body("nobitex/recorded/stats_btc-usdt_2026-09.json")
    ticker = asyncio.run(nobitex(market_stats=stats).fetch_ticker("BTC/USDT"))
    assert (ticker["last"], ticker["bid"], ticker["ask"]) == ("85498", "85397.1", "85498")


def test_rial_is_divided_by_ten_exactly_in_books_trades_balances_orders_and_fills() -> None:
    """Documented bodies; 746212980 rial are 74621298 toman by hand."""
    exchange = nobitex(orders_list={"status": "ok", "orders": []})
    book = asyncio.run(exchange.fetch_order_book("BTC/IRT"))
    assert book["bids"] == [["147000112", "0.126571"], ["147000000", "0.818994"]]
    assert book["asks"] == [["147609100", "1.016"], ["147970000", "0.2561"]]
    assert [trade["price"] for trade in asyncio.run(exchange.fetch_trades("BTC/IRT"))] == ["147000011"] * 2
    assert asyncio.run(exchange.fetch_balance())["IRT"] == {"free": "74621298", "used": "0", "total": "74621298"}
    order = asyncio.run(exchange.fetch_order("5684"))
    assert (order["symbol"], order["price"], order["amount"], order["filled"]) == ("LTC/IRT", "850000", "3", "0")
    fill = asyncio.run(exchange.fetch_my_trades("USDT/IRT"))[0]
    assert (fill["price"], fill["amount"], fill["cost"]) == ("31680", "57.3605", "1817180.64")
    assert fill["fee"]["cost"] == "2725.77096" and fill["fee"]["currency"] == "IRT"


def test_a_buyers_fee_is_in_coins_and_is_not_divided() -> None:
    bought = {**NOBITEX_TRADES, "trades": [{**NOBITEX_TRADES["trades"][0], "type": "buy", "fee": "0.0860"}]}
    fill = asyncio.run(nobitex(trades_list=bought).fetch_my_trades())[0]
    assert (fill["fee"]["cost"], fill["fee"]["currency"]) == ("0.086", "USDT")


def test_market_rules_are_in_toman() -> None:
    """Documented: BTCIRT has a price step of 10 rial and orders of 3,000,000 rial at least."""
    market = asyncio.run(nobitex().load_markets())["BTC/IRT"]
    assert market["precision"] == {"amount": "0.000001", "price": "1"}
    assert market["limits"]["cost"]["min"] == "300000"
    assert asyncio.run(nobitex().load_markets())["BTC/USDT"]["limits"]["cost"]["min"] == "11"


def test_wallexs_toman_is_the_desks_and_its_steps_are_numbers_of_decimals() -> None:
    listed = documented("wallex/documented/markets.json")
    symbol = listed["result"]["symbols"]["BTCUSDT"]
    toman = {**symbol, "symbol": "BTCTMN", "quoteAsset": "TMN", "tickSize": 0, "minNotional": 50000}
    listed["result"]["symbols"]["BTCTMN"] = toman
    markets = asyncio.run(wallex(v1_markets=listed).load_markets())
    assert set(markets) == {"BTC/USDT", "BTC/IRT"}
    assert markets["BTC/USDT"]["precision"] == {"amount": "0.000001", "price": "0.01"}
    assert (markets["BTC/IRT"]["id"], markets["BTC/IRT"]["precision"]["price"]) == ("BTCTMN", "1")
    balance = asyncio.run(wallex().fetch_balance())
    assert balance["IRT"] == {"free": "10000000", "used": "0", "total": "10000000"}


def test_what_is_locked_is_not_free() -> None:
    """Wallex does not say whether `value` holds the locked part; it is taken as if, so that nothing is spent twice."""
    found = {"TMN": {"asset": "TMN", "fiat": True, "value": "21051348", "locked": "21000000"}}
    exchange = wallex(account_balances={"success": True, "result": {"balances": found}})
    assert asyncio.run(exchange.fetch_balance())["IRT"] == {"free": "51348", "used": "21000000", "total": "21051348"}


def test_the_retired_book_with_its_sides_the_other_way_round_is_refused() -> None:
    old = {"orderbook_BTCIRT": body("nobitex/documented/orderbook_v2_old.json")}
    with pytest.raises(ccxt.BadResponse, match="a book of BTC/IRT with bids at 147970000 and asks at 147000000"):
        asyncio.run(nobitex(**old).fetch_order_book("BTC/IRT"))


def test_levels_are_in_order_of_price_and_not_of_text() -> None:
    levels = [["999990", "1"], ["1000000", "1"], ["99990", "1"]]
    answer = {"status": "ok", "lastUpdate": 1, "bids": levels, "asks": [["2000000", "1"], ["10000000", "1"]]}
    book = asyncio.run(nobitex(orderbook_BTCIRT=answer).fetch_order_book("BTC/IRT", 2))
    assert [level[0] for level in book["bids"]] == ["100000", "99999"]
    assert [level[0] for level in book["asks"]] == ["200000", "1000000"]


def test_a_limit_order_goes_out_in_rial_as_documented() -> None:
    """The documented call: sell 0.6 btc at 520000000 rls as order1. The documented answer says so."""
    exchange = nobitex()
    order = asyncio.run(
        exchange.create_order("BTC/IRT", "limit", "sell", "0.600000", Decimal("52000000"), {"clientOrderId": "order1"})
    )
    method, path, sent = exchange.sent[-1]
    assert (method, path) == ("POST", "/market/orders/add")
    assert sent == {
        "type": "sell",
        "execution": "limit",
        "srcCurrency": "btc",
        "dstCurrency": "rls",
        "amount": "0.6",
        "price": "520000000",
        "clientOrderId": "order1",
    }
    assert (order["id"], order["price"], order["status"], order["clientOrderId"]) == ("25", "52000000", "open", "order1")


@pytest.mark.parametrize("word", ["triggerPrice", "stopPrice", "stopLossPrice"])
def test_a_stop_at_nobitex_goes_out_with_its_trigger(word: str) -> None:
    """X23. The documented call: stop_market, sell 64 doge at 47500 rls; the answer has it as param1."""
    exchange = nobitex(orders_add=body("nobitex/documented/order_add_stop_market.json"))
    order = asyncio.run(
        exchange.create_order("DOGE/IRT", "market", "sell", "64", None, {word: "4750", "clientOrderId": "order1"})
    )
    sent = exchange.sent[-1][2]
    assert (sent["execution"], sent["stopPrice"], "price" in sent) == ("stop_market", "47500", False)
    assert (order["triggerPrice"], order["type"], order["price"], order["status"]) == ("4750", "market", None, "open")


def test_a_stop_limit_at_nobitex_has_both_prices() -> None:
    exchange = nobitex(orders_add={"status": "ok", "order": {**NOBITEX_OCO["orders"][1], "type": "sell"}})
    order = asyncio.run(exchange.create_order("BTC/USDT", "limit", "sell", "0.01", "42715", {"stopPrice": "42700"}))
    sent = exchange.sent[-1][2]
    assert (sent["execution"], sent["price"], sent["stopPrice"]) == ("stop_limit", "42715", "42700")
    assert (order["price"], order["triggerPrice"]) == ("42715", "42700")


def test_an_oco_order_is_two_orders_that_name_each_other() -> None:
    """The documented call and answer."""
    exchange = nobitex(orders_add=NOBITEX_OCO)
    params = {"clientOrderId": "order1"}
    limit, stop = asyncio.run(exchange.create_oco_order("BTC/USDT", "buy", "0.01", "42390", "42700", "42715", params))
    assert exchange.sent[-1][2] == {
        "type": "buy",
        "srcCurrency": "btc",
        "dstCurrency": "usdt",
        "amount": "0.01",
        "mode": "oco",
        "price": "42390",
        "stopPrice": "42700",
        "stopLimitPrice": "42715",
        "clientOrderId": "order1",
    }
    assert (limit["id"], limit["price"], limit["triggerPrice"], limit["clientOrderId"]) == ("27", "42390", None, "order1")
    assert (stop["id"], stop["price"], stop["triggerPrice"], stop["clientOrderId"]) == ("28", "42715", "42700", None)


@pytest.mark.parametrize(
    "change", [{"pairId": 99}, {"pairId": None}, {"param1": None}, {"amount": "0.02"}, {"type": "sell"}, {"id": None}]
)
def test_two_orders_that_are_no_pair_are_no_answer_to_an_oco_order(change: dict[str, Any]) -> None:
    legs = [NOBITEX_OCO["orders"][0], {**NOBITEX_OCO["orders"][1], **change}]
    exchange = nobitex(orders_add={"status": "ok", "orders": legs})
    with pytest.raises(ccxt.BadResponse):
        asyncio.run(exchange.create_oco_order("BTC/USDT", "buy", "0.01", "42390", "42700", "42715"))


def test_an_order_at_wallex_goes_out_as_documented_with_the_desks_id() -> None:
    """S3.23."""
    named = "LIMIT-670f7c34-d609-40d3-b98e-0150640d79cb"
    exchange = wallex()
    order = asyncio.run(exchange.create_order("BTC/USDT", "limit", "buy", "0.001", "10000", {"clientOrderId": named}))
    method, path, sent = exchange.sent[-1]
    assert (method, path) == ("POST", "/v1/account/orders")
    assert sent == {
        "symbol": "BTCUSDT",
        "type": "LIMIT",
        "side": "BUY",
        "quantity": "0.001",
        "price": "10000",
        "client_id": named,
    }
    assert (order["id"], order["clientOrderId"], order["status"], order["filled"]) == (named, named, "open", "0")
    assert (order["average"], order["cost"]) == (None, "0")


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("market", {"triggerPrice": "9000"}),
        ("market", {"stopPrice": "9000"}),
        ("limit", {"stopLossPrice": "9000"}),
        ("limit", {"takeProfitPrice": "9000"}),
        ("limit", {"stopLoss": {"triggerPrice": "9000"}}),
        ("stop", {}),
        ("stop_limit", {"stopPrice": "9000"}),
        ("stop_market", {"stopPrice": "9000"}),
        ("STOP_LOSS_LIMIT", {}),
        ("limit", {"trailingPercent": "5"}),
        ("limit", {"postOnly": True}),
        ("limit", {"reduceOnly": True}),
        ("limit", {"timeInForce": "IOC"}),
        ("limit", {"something": 1}),
    ],
)
def test_a_stop_at_wallex_is_refused_and_nothing_is_sent(kind: str, params: dict[str, Any]) -> None:
    """X23: the original's stop reached Wallex as a plain order."""
    exchange = wallex()
    asyncio.run(exchange.load_markets())
    sent = len(exchange.sent)
    with pytest.raises(ccxt.NotSupported, match="nothing was sent"):
        asyncio.run(exchange.create_order("BTC/USDT", kind, "sell", "0.001", "10000", params))
    assert len(exchange.sent) == sent


def test_what_each_can_do_with_triggers_is_said_aloud() -> None:
    """X23: the desk guards by itself where the exchange does not."""
    words = ("createStopOrder", "createStopLimitOrder", "createStopMarketOrder", "createOcoOrder")
    assert [wallex().has[word] for word in words] == [False] * 4
    assert [nobitex().has[word] for word in words] == [True] * 4
    assert not hasattr(wallex(), "create_oco_order")


@pytest.mark.parametrize(
    ("symbol", "amount", "price", "params"),
    [
        ("BTC/IRT", "0.0000005", "52000000", {}),
        ("BTC/IRT", "0.6", "52000000.5", {}),
        ("BTC/IRT", "0", "52000000", {}),
        ("BTC/IRT", "-1", "52000000", {}),
        ("BTC/IRT", "0.6", None, {}),
        ("BTC/IRT", "nan", "52000000", {}),
        ("BTC/IRT", float("inf"), "52000000", {}),
        ("BTC/IRT", "0.6", "52000000", {"clientOrderId": "x" * 33}),
        ("BTC/IRT", "0.6", "52000000", {"clientOrderId": ""}),
        ("BTC/IRT", "0.6", "52000000", {"stopPrice": "0.05"}),
    ],
)
def test_numbers_off_the_steps_of_a_market_are_not_sent(symbol: str, amount: Any, price: Any, params: dict[str, Any]) -> None:
    exchange = nobitex()
    asyncio.run(exchange.load_markets())
    with pytest.raises(ccxt.InvalidOrder):
        asyncio.run(exchange.create_order(symbol, "limit", "sell", amount, price, params))
    assert len(exchange.sent) == 1


@pytest.mark.parametrize("name", ["wallex", "nobitex"])
@pytest.mark.parametrize("change", ["side", "amount", "id"])
def test_an_answer_about_another_order_is_no_success(name: str, change: str) -> None:
    if name == "wallex":
        order = documented("wallex/documented/order_new.json")
        order["result"].update({"side": {"side": "SELL"}, "amount": {"origQty": "1"}, "id": {"clientOrderId": ""}}[change])
        exchange = wallex(account_orders=order)
        call = exchange.create_order("BTC/USDT", "limit", "buy", "0.001", "10000")
    else:
        order = documented("nobitex/documented/order_add_limit.json")
        order["order"].update({"side": {"type": "buy"}, "amount": {"amount": "1"}, "id": {"clientOrderId": "other"}}[change])
        exchange = nobitex(orders_add=order)
        call = exchange.create_order("BTC/IRT", "limit", "sell", "0.6", "52000000", {"clientOrderId": "order1"})
    with pytest.raises(ccxt.BadResponse):
        asyncio.run(call)


def test_a_canceled_order_is_told_as_it_is_then() -> None:
    exchange = nobitex()
    order = asyncio.run(exchange.cancel_order("5684", "USDT/IRT"))
    assert exchange.sent[-1] == ("POST", "/market/orders/update-status", {"order": 5684, "status": "canceled"})
    assert (order["status"], order["type"], order["price"], order["symbol"]) == ("canceled", "market", None, "USDT/IRT")
    other = wallex()
    named = "LIMIT-670f7c34-d609-40d3-b98e-0150640d79cb"
    asyncio.run(other.cancel_order(named))
    assert other.sent[-1][:2] == ("DELETE", f"/v1/account/orders?clientOrderId={named}")


@pytest.mark.parametrize(
    ("said", "executed", "active", "status"),
    [
        ("NEW", "0", True, "open"),
        ("PARTIALLY_FILLED", "0.0004", True, "open"),
        ("FILLED", "0.001", False, "closed"),
        ("FILLED", "0", False, "canceled"),
        ("FILLED", "0.0004", False, "canceled"),
        ("FILLED", "0.0004", True, "open"),
        ("CANCELED", "0.0004", False, "canceled"),
        ("REJECTED", "0", False, "rejected"),
        ("EXPIRED", "0", False, "expired"),
    ],
)
def test_what_was_executed_counts_more_than_wallexs_word(said: str, executed: str, active: bool, status: str) -> None:
    """Its own documentation shows an order as FILLED that was canceled with nothing executed."""
    answer = documented("wallex/documented/order_new.json")
    answer["result"].update({"status": said, "executedQty": executed, "active": active})
    order = asyncio.run(wallex(account_orders=answer).create_order("BTC/USDT", "limit", "buy", "0.001", "10000"))
    assert (order["status"], order["filled"]) == (status, executed)


@pytest.mark.parametrize(
    ("said", "status"), [("New", "open"), ("Active", "open"), ("Inactive", "open"), ("Done", "closed"), ("Canceled", "canceled")]
)
def test_each_status_of_nobitex_has_its_unified_word(said: str, status: str) -> None:
    answer = documented("nobitex/documented/order_status.json")
    answer["order"]["status"] = said
    assert asyncio.run(nobitex(orders_status=answer).fetch_order("5684"))["status"] == status


def test_an_order_that_has_ended_is_found_by_its_client_id_all_the_same() -> None:
    """Nobitex looks client ids up among resting orders only: a filled order would look as if it had never come."""
    done = {**documented("nobitex/documented/orders_list.json", "orders")[0], "status": "Done", "matchedAmount": "0.0123"}
    listed = {"status": "ok", "orders": [{**done, "id": 1, "clientOrderId": None}, done]}
    missing = {"status": "failed", "code": "NotFound", "message": "No Order matches the given query."}
    exchange = nobitex(orders_status=missing, orders_list=listed)
    order = asyncio.run(exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "order1"}))
    assert (order["id"], order["status"], order["filled"]) == ("173546223", "closed", "0.0123")
    assert "status=all" in exchange.sent[-1][1] and "details=2" in exchange.sent[-1][1]
    with pytest.raises(ccxt.OrderNotFound):
        asyncio.run(exchange.fetch_order(None, "BTC/USDT", {"clientOrderId": "order2"}))
    with pytest.raises(ccxt.OrderNotFound):
        asyncio.run(exchange.fetch_order("5684"))


def test_a_list_of_orders_is_read_to_its_last_page_and_each_order_once() -> None:
    one = documented("nobitex/documented/orders_list.json", "orders")[0]
    pages = [[{**one, "id": 300 - number} for number in rows] for rows in (range(100), range(99, 199), range(198, 230))]

    class Paged:
        def __contains__(self, _: Any) -> bool:
            return True

        def __iter__(self) -> Any:
            return iter(["orders/list", "v2/options"])

        def __getitem__(self, path: str) -> Any:
            return nobitex_bodies()[path] if path == "v2/options" else {"status": "ok", "orders": pages.pop(0)}

    exchange = nobitex()
    exchange.bodies = Paged()
    orders = asyncio.run(exchange.fetch_open_orders("BTC/USDT"))
    assert sorted(int(order["id"]) for order in orders) == list(range(71, 301))


def test_equal_fills_at_wallex_have_different_ids_that_stay_the_same() -> None:
    row = WALLEX_TRADES["result"]["AccountLatestTrades"][0]
    later = {**row, "timestamp": "2021-05-29T07:56:00Z"}

    def ids(rows: list[Any]) -> list[str]:
        answer = {"success": True, "result": {"AccountLatestTrades": rows}}
        return [fill["id"] for fill in asyncio.run(wallex(account_trades=answer).fetch_my_trades())]

    first, second = ids([row, row])
    assert first != second
    assert ids([later, row, row])[:2] == [first, second]
    assert len(set(ids([later, row, row]))) == 3


def test_the_fills_of_an_order_at_wallex_come_with_the_order() -> None:
    fill = {**WALLEX_TRADES["result"]["AccountLatestTrades"][0], "quantity": "0.0004", "price": "10000", "sum": "4"}
    answer = documented("wallex/documented/order_new.json")
    answer["result"].update({"executedQty": "0.0004", "status": "PARTIALLY_FILLED", "fills": [fill]})
    named = answer["result"]["clientOrderId"]
    (found,) = asyncio.run(wallex(**{"account_orders": answer, named: answer}).fetch_order_trades(named))
    assert (found["order"], found["price"], found["amount"], found["fee"]["currency"]) == (named, "10000", "0.0004", "BTC")


def test_keys_go_into_private_calls_alone() -> None:
    """S3.23: Wallex takes X-API-Key, and Bearer from an account that has a token."""
    exchange = wallex()
    assert exchange.sign("v1/account/balances", "private")["headers"]["X-API-Key"] == "key"
    assert "X-API-Key" not in exchange.sign("v1/markets", "public")["headers"]
    exchange.token = "token"
    assert exchange.sign("v1/account/balances", "private")["headers"]["Authorization"] == "Bearer token"
    exchange.token = exchange.apiKey = ""
    with pytest.raises(ccxt.AuthenticationError, match="wallex needs an apiKey or a token"):
        exchange.sign("v1/account/balances", "private")
    other = nobitex()
    headers = other.sign("market/orders/list", "private")["headers"]
    assert headers["Authorization"] == "Token key" and headers["User-Agent"].startswith("TraderBot/")
    assert "Authorization" not in other.sign("market/stats", "public")["headers"]


def test_a_window_of_candles_is_asked_for_in_seconds_and_no_longer_than_a_page() -> None:
    exchange = nobitex()
    asyncio.run(exchange.fetch_ohlcv("BTC/IRT", "5m", since=1790166600000, limit=2))
    assert exchange.sent[-1][1].endswith("history?symbol=BTCIRT&resolution=5&from=1790166600&to=1790167200")
    asyncio.run(exchange.fetch_ohlcv("BTC/IRT", "5m", since=1790166600000))
    assert exchange.sent[-1][1].endswith(f"to={1790166600 + 500 * 300}")
    with pytest.raises(ccxt.BadRequest, match="nobitex has no 2m candles"):
        asyncio.run(exchange.fetch_ohlcv("BTC/IRT", "2m"))


def test_daily_candles_open_at_midnight_in_tehran() -> None:
    """Documented: t=1562095800 is 2019-07-02T19:30Z, midnight in Tehran in its summer time of 2019."""
    candles = asyncio.run(nobitex(udf_history=body("nobitex/documented/udf_history_D.json")).fetch_ohlcv("BTC/IRT", "1d"))
    assert [row[0] for row in candles] == [1562095800000, 1562182200000]
    assert asyncio.run(nobitex(udf_history=body("nobitex/documented/udf_history_no_data.json")).fetch_ohlcv("BTC/IRT")) == []


# What each file below data/api is read by; None for two that say nothing which another one does not.
READ_BY: dict[str, Any] = {
    "wallex/documented/account_fee.json": ("account/fee", lambda x: x.fetch_trading_fees()),
    "wallex/documented/balances.json": ("account/balances", lambda x: x.fetch_balance()),
    "wallex/documented/depth.json": ("v1/depth", lambda x: x.fetch_order_book("BTC/USDT")),
    "wallex/documented/markets.json": ("v1/markets", lambda x: x.fetch_ticker("BTC/USDT")),
    "wallex/documented/open_orders.json": ("account/openOrders", lambda x: x.fetch_open_orders()),
    "wallex/documented/order_new.json": ("account/orders", lambda x: x.cancel_order("a")),
    "wallex/documented/trades.json": ("v1/trades", lambda x: x.fetch_trades("BTC/USDT")),
    "wallex/documented/udf_history.json": ("udf/history", lambda x: x.fetch_ohlcv("BTC/USDT", "1h")),
    "nobitex/documented/error_429.json": ccxt.RateLimitExceeded,
    "nobitex/documented/market_stats.json": ("market/stats", lambda x: x.fetch_ticker("BTC/IRT")),
    "nobitex/documented/order_add_failed.json": ccxt.ExchangeError,
    "nobitex/documented/order_add_limit.json": ("orders/status", lambda x: x.fetch_order("25")),
    "nobitex/documented/order_add_stop_market.json": ("orders/status", lambda x: x.fetch_order("26")),
    "nobitex/documented/order_canceled.json": ("orders/update-status", lambda x: x.cancel_order("5684")),
    "nobitex/documented/order_status.json": ("orders/status", lambda x: x.fetch_order("5684")),
    "nobitex/documented/orderbook_v2_old.json": ccxt.BadResponse,
    "nobitex/documented/orderbook_v3.json": ("orderbook/BTCIRT", lambda x: x.fetch_order_book("BTC/IRT")),
    "nobitex/documented/orderbook_v3_all.json": None,
    "nobitex/documented/orders_list.json": ("orders/list", lambda x: x.fetch_open_orders()),
    "nobitex/documented/trades_v2.json": ("trades/BTCIRT", lambda x: x.fetch_trades("BTC/IRT")),
    "nobitex/documented/udf_history_D.json": ("udf/history", lambda x: x.fetch_ohlcv("BTC/IRT", "1d")),
    "nobitex/documented/udf_history_bad_resolution.json": ccxt.BadRequest,
    "nobitex/documented/udf_history_no_data.json": ("udf/history", lambda x: x.fetch_ohlcv("BTC/IRT")),
    "nobitex/documented/wallet_balance.json": None,
    "nobitex/documented/wallets_list.json": ("wallets/list", lambda x: x.fetch_balance()),
    "nobitex/recorded/stats_btc-rls_2026-09.json": ("market/stats", lambda x: x.fetch_ticker("BTC/IRT")),
    "nobitex/recorded/stats_btc-usdt_2026-09.json": ("market/stats", lambda x: x.fetch_ticker("BTC/USDT")),
    "nobitex/recorded/udf_history_BTCIRT_5m_2026-09.json": ("udf/history", lambda x: x.fetch_ohlcv("BTC/IRT", "5m")),
    "nobitex/recorded/udf_history_BTCUSDT_5m_2026-09.json": ("udf/history", lambda x: x.fetch_ohlcv("BTC/USDT", "5m")),
}


def test_every_body_that_is_kept_is_read() -> None:
    """Issue 5: no documented or recorded body is left out, and errors are told as such."""
    assert SHARED is not None
    root = SHARED / "data" / "api"
    kept = {str(path.relative_to(root)) for name in ("wallex", "nobitex") for path in (root / name).rglob("*.json")}
    assert kept == set(READ_BY)
    for path, how in READ_BY.items():
        exchange = fed_exchange(path.partition("/")[0], {**wallex_bodies(), **nobitex_bodies()})
        if isinstance(how, tuple):
            asyncio.run(exchange.load_markets())
            exchange.bodies = {**exchange.bodies, how[0]: body(path)}
            assert asyncio.run(how[1](exchange)) is not None
        elif how is not None:
            bodies = nobitex_bodies(**dict.fromkeys(("orderbook_BTCIRT",), body(path)))
            with pytest.raises(how):
                asyncio.run(fed_exchange("nobitex", bodies).fetch_order_book("BTC/IRT"))


def test_the_accounts_own_fees_are_fractions() -> None:
    """Documented: BTCUSDT at 0.00200000 both ways; BTCTMN is not among the documented markets."""
    bodies = {**wallex_bodies(), "account/fee": body("wallex/documented/account_fee.json")}
    fees = asyncio.run(fed_exchange("wallex", bodies).fetch_trading_fees())
    assert {symbol: (fee["maker"], fee["taker"]) for symbol, fee in fees.items()} == {"BTC/USDT": ("0.002", "0.002")}
