"""What Wallex and Nobitex answer when they do not answer: each is a typed error, and never a row."""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import ccxt
import orjson
import pytest

from fks_assets.errors import ExchangeError, ExchangeRefused, ExchangeUnavailable, InvalidResponse, RateLimited
from fks_assets.exchanges.answers import Answer, AnswerJudge
from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets_tests.exchanges.fed_exchange import fed_exchange
from fks_assets_tests.exchanges.iranian_bodies import body, nobitex_bodies, wallex_bodies
from fks_assets_tests.shared_data import requires_shared

pytestmark = requires_shared
BODIES = {"wallex": wallex_bodies, "nobitex": nobitex_bodies}
CALLS: dict[tuple[str, str], Callable[[Any], Awaitable[Any]]] = {
    ("wallex", "v1/markets"): lambda exchange: exchange.load_markets(),
    ("wallex", "v1/depth"): lambda exchange: exchange.fetch_order_book("BTC/USDT"),
    ("wallex", "v1/trades"): lambda exchange: exchange.fetch_trades("BTC/USDT"),
    ("wallex", "udf/history"): lambda exchange: exchange.fetch_ohlcv("BTC/USDT", "1h"),
    ("wallex", "account/balances"): lambda exchange: exchange.fetch_balance(),
    ("wallex", "account/orders"): lambda exchange: exchange.create_order("BTC/USDT", "limit", "buy", "0.001", "10000"),
    ("wallex", "account/openOrders"): lambda exchange: exchange.fetch_open_orders(),
    ("wallex", "account/trades"): lambda exchange: exchange.fetch_my_trades(),
    ("nobitex", "v2/options"): lambda exchange: exchange.load_markets(),
    ("nobitex", "market/stats"): lambda exchange: exchange.fetch_ticker("BTC/IRT"),
    ("nobitex", "orderbook/BTCIRT"): lambda exchange: exchange.fetch_order_book("BTC/IRT"),
    ("nobitex", "trades/BTCIRT"): lambda exchange: exchange.fetch_trades("BTC/IRT"),
    ("nobitex", "udf/history"): lambda exchange: exchange.fetch_ohlcv("BTC/IRT", "5m"),
    ("nobitex", "wallets/list"): lambda exchange: exchange.fetch_balance(),
    ("nobitex", "orders/add"): lambda exchange: exchange.create_order("BTC/IRT", "limit", "sell", "0.6", "52000000"),
    ("nobitex", "orders/status"): lambda exchange: exchange.fetch_order("5684"),
    ("nobitex", "orders/update-status"): lambda exchange: exchange.cancel_order("5684"),
    ("nobitex", "orders/list"): lambda exchange: exchange.fetch_open_orders(),
    ("nobitex", "trades/list"): lambda exchange: exchange.fetch_my_trades(),
}
WHOLE = [b"", b"null", b"true", b"7", b'"text"', b"[]", b"[null]", b"{}", b"<html>502</html>", b"OK", b'{"status":"ok"}']
VALUES: list[Any] = [None, "", "-", "NaN", "Infinity", "text", "1e999", True, [], {}, -1]
# What each answer must have, by the names in the documented bodies; the rest is not read, or may be missing.
MUST = {
    ("wallex", "v1/markets"): "result symbols symbol baseAsset quoteAsset",
    ("wallex", "v1/depth"): "result ask bid price quantity",
    ("wallex", "v1/trades"): "result latestTrades symbol quantity price isBuyOrder timestamp",
    ("wallex", "udf/history"): "s t o h l c v",
    ("wallex", "account/balances"): "result balances value locked",
    ("wallex", "account/orders"): "result symbol type side origQty executedQty status clientOrderId",
    ("wallex", "account/openOrders"): "result orders symbol type side origQty executedQty status clientOrderId",
    ("wallex", "account/trades"): "result AccountLatestTrades symbol quantity price fee feeAsset isBuyer timestamp",
    ("nobitex", "v2/options"): "nobitex coins coin name minOrders amountPrecisions pricePrecisions",
    ("nobitex", "market/stats"): "stats btc-rls latest",
    ("nobitex", "orderbook/BTCIRT"): "asks bids",
    ("nobitex", "trades/BTCIRT"): "trades time price volume type",
    ("nobitex", "udf/history"): "s t o h l c v",
    ("nobitex", "wallets/list"): "wallets currency balance blockedBalance",
    ("nobitex", "orders/add"): "order type dstCurrency srcCurrency price amount matchedAmount id status",
    ("nobitex", "orders/status"): "order type dstCurrency srcCurrency price amount matchedAmount id status",
    ("nobitex", "orders/update-status"): "updatedStatus order type market amount matchedAmount id status",
    ("nobitex", "orders/list"): "orders type execution srcCurrency dstCurrency price amount matchedAmount id status",
    ("nobitex", "trades/list"): "trades id orderId market timestamp type price amount total fee",
}
FREE_TEXT = {"clientOrderId", "feeAsset", "currency", "coin", "name", "baseAsset", "quoteAsset"}
MAY_BE_MISSING = {"total", "fee", "market", "execution"}


def fed(name: str, path: str, answer: Any, status: int = 200) -> Any:
    exchange = fed_exchange(name, BODIES[name]())
    if path not in ("v1/markets", "v2/options"):
        asyncio.run(exchange.load_markets())
    exchange.bodies = {**exchange.bodies, path: answer}
    exchange.status = status
    return exchange


@pytest.mark.parametrize(("name", "path"), CALLS)
@pytest.mark.parametrize("answer", WHOLE)
def test_an_answer_of_another_form_is_a_bad_response(name: str, path: str, answer: bytes) -> None:
    exchange = fed(name, path, answer)
    with pytest.raises(ccxt.BadResponse):
        asyncio.run(CALLS[name, path](exchange))


def places(value: Any, names: set[str], where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of these names inside a JSON value, and to every element of the lists among them."""
    for key, each in value.items() if isinstance(value, dict) else ():
        if key in names:
            yield (*where, key)
            if isinstance(each, list):
                yield from ((*where, key, place) for place in range(len(each)))
                rows = [(place, row) for place, row in enumerate(each) if isinstance(row, list)]
                yield from ((*where, key, place, cell) for place, row in rows for cell in range(len(row)))
        for place, row in enumerate(each) if isinstance(each, list) else ():
            yield from places(row, names, (*where, key, place))
        yield from places(each, names, (*where, key))


def changed(value: Any, where: tuple[Any, ...], put: Any) -> Any:
    value = copy.deepcopy(value)
    holder = value
    for key in where[:-1]:
        holder = holder[key]
    if put is KeyError:
        del holder[where[-1]]
    else:
        holder[where[-1]] = put
    return value


@pytest.mark.parametrize(("name", "path"), CALLS)
def test_a_value_that_is_missing_or_none_where_one_must_be_gives_an_error_and_no_row(name: str, path: str) -> None:
    """Every required place of every documented body in turn: null, "-", NaN, text, another kind of value, or nothing at all."""
    whole = BODIES[name]()[path]
    honest = orjson.loads(whole) if isinstance(whole, bytes) else whole
    names = set(MUST[name, path].split())
    tried: set[str] = set()
    for where in places(honest, names):
        key = next(each for each in reversed(where) if isinstance(each, str))
        values = [each for each in VALUES if not (key in FREE_TEXT and isinstance(each, str) and each not in ("", "-"))]
        if key in MAY_BE_MISSING:
            values = [each for each in values if each not in (None, "", "-")]  # which is how both say that there is none
        elif not isinstance(where[-1], int):
            values.append(KeyError)
        for put in values:
            if put == _at(honest, where) or type(put) is type(_at(honest, where)) is not str:
                continue
            tried.add(key)
            with pytest.raises(ccxt.BadResponse) as caught:
                found = asyncio.run(CALLS[name, path](fed(name, path, orjson.dumps(changed(honest, where, put)))))
                pytest.fail(f"{where} as {put!r} gave {str(found)[:300]}")
            assert str(caught.value)
    assert tried == names


def _at(value: Any, where: tuple[Any, ...]) -> Any:
    for key in where:
        value = value[key]
    return value


@pytest.mark.parametrize(
    ("name", "status", "answer", "expected"),
    [
        ("nobitex", 200, {"status": "failed", "code": code, "message": "x", "clientOrderId": "order1"}, error)
        for code, error in (
            ("InvalidOrderPrice", ccxt.InvalidOrder),
            ("BadPrice", ccxt.InvalidOrder),
            ("PriceConditionFailed", ccxt.InvalidOrder),
            ("OverValueOrder", ccxt.InsufficientFunds),
            ("SmallOrder", ccxt.InvalidOrder),
            ("DuplicateOrder", ccxt.InvalidOrder),
            ("DuplicateClientOrderId", ccxt.DuplicateOrderId),
            ("InvalidMarketPair", ccxt.BadSymbol),
            ("MarketClosed", ccxt.MarketClosed),
            ("TradingUnavailable", ccxt.PermissionDenied),
            ("FeatureUnavailable", ccxt.PermissionDenied),
            ("ErrorCode", ccxt.ExchangeError),
            (None, ccxt.ExchangeError),
        )
    ]
    + [
        ("nobitex", 429, {"status": "failed", "code": "TooManyRequests", "backOff": 12, "limit": 60}, ccxt.RateLimitExceeded),
        ("nobitex", 401, {"detail": "توکن غیر مجاز"}, ccxt.AuthenticationError),
        ("nobitex", 403, {"detail": "no"}, ccxt.PermissionDenied),
        ("nobitex", 404, {"detail": "no"}, ccxt.OrderNotFound),
        ("nobitex", 422, {"detail": "no"}, ccxt.InvalidOrder),
        ("nobitex", 500, {"detail": "no"}, ccxt.ExchangeNotAvailable),
        ("nobitex", 502, b"<html>", ccxt.ExchangeNotAvailable),
        ("nobitex", 504, b"<html>", ccxt.RequestTimeout),
        ("wallex", 200, {"success": False, "message": "no"}, ccxt.ExchangeError),
        ("wallex", 400, {"success": False, "message": "no", "code": 1201}, ccxt.InvalidOrder),
        ("wallex", 401, {"success": False, "message": "no"}, ccxt.AuthenticationError),
        ("wallex", 403, {"success": False, "message": "no"}, ccxt.PermissionDenied),
        ("wallex", 404, {"success": False, "message": "no"}, ccxt.OrderNotFound),
        ("wallex", 429, {"success": False, "message": "no"}, ccxt.RateLimitExceeded),
        ("wallex", 500, {"success": False, "message": "no"}, ccxt.ExchangeNotAvailable),
        ("wallex", 503, b"", ccxt.ExchangeNotAvailable),
    ],
)
def test_a_refused_order_is_the_error_that_its_code_means(name: str, status: int, answer: Any, expected: type) -> None:
    """Issue 5: errors become our error types. The codes are those that the exchanges document."""
    path = "account/orders" if name == "wallex" else "orders/add"
    with pytest.raises(expected) as caught:
        asyncio.run(CALLS[name, path](fed(name, path, answer, status)))
    assert type(caught.value) is expected
    assert "key" not in str(caught.value)


@pytest.fixture(scope="module")
def judges() -> dict[str, AnswerJudge]:
    names = ("wallex", "nobitex")
    return {name: AnswerJudge(name, DIALECTS[name], load_exchange_class(name)(), load_errors()) for name in names}


@pytest.mark.parametrize(
    ("name", "status", "answer", "expected"),
    [
        ("nobitex", 200, {"s": "error", "errmsg": "Invalid resolution!"}, ExchangeRefused),
        ("nobitex", 200, {"status": "failed", "code": "InvalidSymbol", "message": "x"}, ExchangeRefused),
        ("nobitex", 200, {"status": "failed", "code": "TooManyRequests", "backOff": 7, "message": "x"}, RateLimited),
        ("nobitex", 404, {"detail": "x"}, ExchangeRefused),
        ("nobitex", 500, {"detail": "x"}, ExchangeUnavailable),
        ("nobitex", 403, b"<html>", RateLimited),
        ("nobitex", 200, b"null", InvalidResponse),
        ("nobitex", 200, [], InvalidResponse),
        ("nobitex", 200, {"status": 7}, InvalidResponse),
        ("wallex", 200, {"success": False, "message": "x"}, ExchangeRefused),
        ("wallex", 200, {"s": "error", "errmsg": "x"}, ExchangeRefused),
        ("wallex", 200, {"message": "x"}, InvalidResponse),
        ("wallex", 200, 7, InvalidResponse),
        ("wallex", 400, {"success": False}, ExchangeRefused),
        ("wallex", 429, {"success": False}, RateLimited),
        ("wallex", 503, b"", ExchangeUnavailable),
    ],
)
def test_public_answers_become_our_errors(
    judges: dict[str, AnswerJudge], name: str, status: int, answer: Any, expected: type[ExchangeError]
) -> None:
    content = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    with pytest.raises(ExchangeError) as caught:
        judges[name].decode(Answer(status, "Reason", {}, content, 0.0, 0.1), "history")
    assert type(caught.value) is expected


def test_a_refusal_for_too_many_requests_is_waited_out_as_long_as_its_body_says(judges: dict[str, AnswerJudge]) -> None:
    """The documented body says backOff 12."""
    answer = Answer(429, "Too Many Requests", {}, body("nobitex/documented/error_429.json"), 0.0, 0.1)
    with pytest.raises(RateLimited) as caught:
        judges["nobitex"].decode(answer, "history")
    assert caught.value.retry_after == 12.0
