"""Wallex and Nobitex answer in the same shapes as ccxt's own classes of Binance and Kraken do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fks_assets_tests.exchanges.fed_exchange import fed_exchange
from fks_assets_tests.exchanges.iranian_bodies import body, nobitex_bodies, wallex_bodies
from fks_assets_tests.shared_data import requires_shared

pytestmark = requires_shared
Call = Callable[[Any], Awaitable[Any]]

# What only the two of ccxt fill in. ccxt's own classes give the levels of a book as floats; here they are text like all numbers.
ONLY_OF_CCXT = {
    "market": {"tierBased", "percentage", "feeSide", "stock", "altname", "tiers", "wsId"},
    "market.limits": {"market"},
}


def binance_bodies() -> dict[str, Any]:
    documented, recorded = "binance/documented", "binance/recorded"
    return {
        "exchangeInfo": body(f"{recorded}/exchangeInfo_2025-08_25symbols.json"),
        "klines": body(f"{recorded}/klines_BTCUSDT_1h_page1.json"),
        "depth": body(f"{recorded}/depth_BTCUSDT.json"),
        "aggTrades": [{"a": 26129, "p": "0.01", "q": "4.7", "f": 1, "l": 2, "T": 1498793709153, "m": True, "M": True}],
        "account": body(f"{documented}/account.json"),
        "ticker/24hr": body(f"{documented}/ticker_24hr_1.json"),
        "order": body(f"{documented}/order_query.json"),
        "openOrders": body(f"{documented}/open_orders.json"),
        "myTrades": body(f"{documented}/my_trades.json"),
    }


def kraken_bodies() -> dict[str, Any]:
    recorded = "kraken/recorded"
    return {
        "AssetPairs": body(f"{recorded}/AssetPairs_2025-11_subset.json"),
        "Assets": {"error": [], "result": {}},
        "Ticker": body(f"{recorded}/Ticker_XBTUSDT.json"),
        "OHLC": body(f"{recorded}/OHLC_XBTUSDT_1m_2025-11.json"),
        "Depth": body(f"{recorded}/Depth.json"),
        "QueryOrders": body(f"{recorded}/QueryOrders_open_limit_2024.json"),
    }


BODIES = {"binance": binance_bodies, "kraken": kraken_bodies, "wallex": wallex_bodies, "nobitex": nobitex_bodies}
SYMBOL = {"binance": "BTC/USDT", "kraken": "BTC/USDT", "wallex": "BTC/USDT", "nobitex": "BTC/IRT"}
OF_ORDERS = {**SYMBOL, "binance": "LTC/BTC", "nobitex": "BTC/USDT"}
OF_FILLS = {**OF_ORDERS, "binance": "BNB/BTC", "nobitex": "USDT/IRT"}
ORDER = {
    "binance": "1",
    "kraken": "OR6EGN-KQSEG-AMI6CL",
    "wallex": "LIMIT-670f7c34-d609-40d3-b98e-0150640d79cb",
    "nobitex": "5684",
}
TIMEFRAME = {"binance": "1h", "kraken": "1m", "wallex": "1h", "nobitex": "5m"}

CALLS: dict[str, Callable[[Any, str], Awaitable[Any]]] = {
    "ticker": lambda exchange, name: exchange.fetch_ticker(SYMBOL[name]),
    "order_book": lambda exchange, name: exchange.fetch_order_book(SYMBOL[name]),
    "candles": lambda exchange, name: exchange.fetch_ohlcv(SYMBOL[name], TIMEFRAME[name]),
    "trades": lambda exchange, name: exchange.fetch_trades(SYMBOL[name]),
    "balance": lambda exchange, name: exchange.fetch_balance(),
    "order": lambda exchange, name: exchange.fetch_order(ORDER.get(name, ""), None if name == "nobitex" else OF_ORDERS[name]),
    "open_orders": lambda exchange, name: exchange.fetch_open_orders(OF_ORDERS[name]),
    "fills": lambda exchange, name: exchange.fetch_my_trades(OF_FILLS[name]),
    "tickers": lambda exchange, name: exchange.fetch_tickers(),
}
COMPARED = ["market", *(call for call in CALLS if call not in ("balance", "tickers"))]
OF_KRAKEN = ["market", "ticker", "order_book", "candles", "order"]


def asked(name: str, call: str) -> Any:
    exchange = fed_exchange(name, BODIES[name]())
    if call == "market":
        found = asyncio.run(exchange.load_markets())
        return found[SYMBOL[name]]
    return asyncio.run(CALLS[call](exchange, name))


def shape(value: Any, *, text_for_floats: bool = False) -> Any:
    """Return the keys and kinds of a structure: of a list, of its first element; what may be missing has no kind."""
    if isinstance(value, dict):
        return {key: shape(each, text_for_floats=text_for_floats) for key, each in value.items() if key != "info"}
    if isinstance(value, list):
        return [shape(each, text_for_floats=text_for_floats) for each in value[:1]]
    if isinstance(value, tuple):
        return shape(list(value), text_for_floats=text_for_floats)
    return None if value is None else "text" if text_for_floats and isinstance(value, float) else type(value).__name__


def assert_same(mine: Any, theirs: Any, where: str) -> None:
    if isinstance(theirs, dict):
        assert isinstance(mine, dict), where
        extra = ONLY_OF_CCXT.get(where, set())
        assert set(theirs) - extra == set(mine) - extra, where
        for key in set(mine) & set(theirs):
            assert_same(mine[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list):
        assert isinstance(mine, list), where
        for one, other in zip(mine, theirs, strict=False):
            assert_same(one, other, where)
    else:
        assert mine is None or theirs is None or isinstance(mine, dict | list) or mine == theirs, f"{where}: {mine}, not {theirs}"


@pytest.mark.parametrize(
    ("name", "call"),
    [(name, call) for name in ("wallex", "nobitex") for call in COMPARED] + [("kraken", call) for call in OF_KRAKEN],
)
def test_every_call_has_the_keys_and_types_of_binances(name: str, call: str) -> None:
    """Issue 5: recorded and documented bodies parse to the same unified shapes. Kraken, ccxt's own too, proves the measure."""
    mine, theirs = asked(name, call), asked("binance", call)
    is_text = call == "order_book"
    if is_text:
        mine = {**mine, "bids": [[str(each) for each in level[:2]] for level in mine["bids"]], "asks": []}
        theirs = {**theirs, "bids": [[str(each) for each in level] for level in theirs["bids"]], "asks": []}
    if call == "market":
        for market in (mine, theirs):
            market["precision"] = {key: str(market["precision"][key]) for key in ("amount", "price")}
            market["maker"], market["taker"] = str(market["maker"]), str(market["taker"])
    assert_same(shape(mine), shape(theirs), call)


@pytest.mark.parametrize("name", ["binance", "wallex", "nobitex"])
def test_balances_name_free_used_and_total_of_each_currency_both_ways(name: str) -> None:
    found = asked(name, "balance")
    assert {"info", "timestamp", "datetime", "free", "used", "total"} <= set(found)
    for currency, total in found["total"].items():
        assert set(found[currency]) == {"free", "used", "total"}
        assert found[currency]["total"] == total and type(total) is str


@pytest.mark.parametrize("name", ["wallex", "nobitex"])
def test_tickers_are_those_of_single_markets_by_symbol(name: str) -> None:
    assert asked(name, "tickers") == {SYMBOL[name]: asked(name, "ticker")}


@pytest.mark.parametrize("name", ["wallex", "nobitex"])
@pytest.mark.parametrize("call", ["market", *CALLS])
def test_no_number_is_a_float_anywhere(name: str, call: str) -> None:
    def floats(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [found for key, each in value.items() if key != "info" for found in floats(each)]
        if isinstance(value, list):
            return [found for each in value for found in floats(each)]
        return [value] if isinstance(value, float) else []

    assert floats(asked(name, call)) == []
