"""Binance's signed endpoints for single orders, trades and the account."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from fks_assets.simulator.answers import Answer, Refusal, as_answer, binance_error
from fks_assets.simulator.api import Params, PrivateHandler
from fks_assets.simulator.binance_orders import (
    RESPONSES,
    cancelled,
    client_id,
    newest,
    order_request,
    placed,
    queried,
    traded,
)
from fks_assets.simulator.binance_params import instrument_of, limit_of, number, required
from fks_assets.simulator.binance_refusals import refusal_of
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.money import ZERO, text
from fks_assets.simulator.trading.orders import NewOrder, Order, OrderType, Reason, Refused

_MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")


def new_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    request, kind = _asked_order(exchange, params)
    order = exchange.trading.place(account, request)
    return as_answer(placed(order, kind, order.placed_ms))


def test_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    request, _ = _asked_order(exchange, params)
    exchange.trading.check(account, request)
    if params.get("computeCommissionRates") != "true":
        return as_answer({})
    rates, none = {"maker": text(account.maker), "taker": text(account.taker)}, {"maker": text(ZERO), "taker": text(ZERO)}
    discount = {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": text(ZERO)}
    return as_answer(
        {
            "standardCommissionForOrder": rates,
            "specialCommissionForOrder": none,
            "taxCommissionForOrder": none,
            "discount": discount,
        }
    )


def query_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    instrument = instrument_of(exchange, params)
    return as_answer(queried(_found(exchange, account, instrument, params)), rows=1)


def cancel_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    order = _found(exchange, account, instrument_of(exchange, params), params)
    return as_answer(_cancel(exchange, account, order, params, "newClientOrderId"))


def cancel_open_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    instrument, core = instrument_of(exchange, params), exchange.trading
    orders = core.open_orders(account, instrument.symbol)
    if not orders:
        raise Refused(Reason.UNKNOWN)
    for order in orders:
        if order.status.is_open:
            core.cancel(account, order)
    return as_answer([cancelled(order, f"cancel{order.number}", core.now_ms) for order in orders], rows=len(orders))


def replace_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Cancel an order and place another one: 200 if both went well, 409 if one did, 400 if none."""
    request, kind = _asked_order(exchange, params)
    mode = required(params, "cancelReplaceMode")
    if mode not in _MODES:
        raise Refusal(binance_error(-1145, "Invalid cancelReplaceMode"))
    core = exchange.trading
    with core.at_one_moment():
        core.check_rules(request)
        named = {"orderId": params.get("cancelOrderId", ""), "origClientOrderId": params.get("cancelOrigClientOrderId", "")}
        try:
            order = _found(exchange, account, request.instrument, {name: value for name, value in named.items() if value})
            ended: Any = _cancel(exchange, account, order, params, "cancelNewClientOrderId")
            is_cancelled = True
        except Refused:
            ended, is_cancelled = {"code": -2011, "msg": "Unknown order sent."}, False
        begun, result = None, "NOT_ATTEMPTED"
        if is_cancelled or mode == "ALLOW_FAILURE":
            try:
                begun, result = placed(core.place(account, request), kind, core.now_ms), "SUCCESS"
            except Refused as refused:
                begun, result = orjson.loads(refusal_of(refused).body), "FAILURE"
    found = {
        "cancelResult": "SUCCESS" if is_cancelled else "FAILURE",
        "newOrderResult": result,
        "cancelResponse": ended,
        "newOrderResponse": begun,
    }
    if is_cancelled and result == "SUCCESS":
        return as_answer(found)
    is_partial = is_cancelled or result == "SUCCESS"
    words = (-2021, "Order cancel-replace partially failed.") if is_partial else (-2022, "Order cancel-replace failed.")
    content = {"code": words[0], "msg": words[1], "data": found}
    return Answer(orjson.dumps(content), 409 if is_partial else 400)


def open_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    symbol = instrument_of(exchange, params).symbol if params.get("symbol") else None
    found = [queried(order) for order in exchange.trading.open_orders(account, symbol)]
    return as_answer(found, rows=len(found))


def all_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    instrument, limit = instrument_of(exchange, params), limit_of(params, 500, 1000)
    first, start, end = number(params, "orderId"), number(params, "startTime"), number(params, "endTime")
    orders = [
        order
        for order in exchange.trading.all_orders(account, instrument.symbol)
        if (first is None or order.number >= first)
        and (start is None or order.placed_ms >= start)
        and (end is None or order.placed_ms <= end)
    ]
    chosen = newest(orders, limit) if first is None and start is None else orders[:limit]
    return as_answer([queried(order) for order in chosen], rows=len(chosen))


def my_trades(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    instrument, limit = instrument_of(exchange, params), limit_of(params, 500, 1000)
    order, first = number(params, "orderId"), number(params, "fromId")
    start, end = number(params, "startTime"), number(params, "endTime")
    fills = [
        fill
        for fill in exchange.trading.fills_of(account, instrument.symbol)
        if (order is None or fill.order == order)
        and (first is None or fill.number >= first)
        and (start is None or fill.at_ms >= start)
        and (end is None or fill.at_ms <= end)
    ]
    chosen = newest(fills, limit) if first is None and start is None else fills[:limit]
    return as_answer([traded(exchange.trading, fill) for fill in chosen], rows=len(chosen))


def account_information(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    sides = {name for instrument in exchange.listed() for name in (instrument.base, instrument.quote)}
    assets = sorted(sides.union(account.assets()))
    if params.get("omitZeroBalances") == "true":
        assets = [asset for asset in assets if account.total(asset)]
    maker, taker = text(account.maker), text(account.taker)
    return as_answer(
        {
            "makerCommission": int(account.maker * 10_000),
            "takerCommission": int(account.taker * 10_000),
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": maker, "taker": taker, "buyer": text(ZERO), "seller": text(ZERO)},
            "canTrade": True,
            "canWithdraw": True,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": account.changed_ms,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": text(account.free[asset]), "locked": text(account.locked[asset])} for asset in assets
            ],
            "permissions": ["SPOT"],
            "uid": list(exchange.trading.accounts.by_key).index(account.key) + 1,
        },
        rows=len(assets),
    )


def order_counts(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    limits, used = exchange.limiter.binance, exchange.limiter.orders_of(account.key)
    rows = (("SECOND", 10, limits.orders_10s, used[0]), ("DAY", 1, limits.orders_1d, used[1]))
    return as_answer(
        [
            {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": length, "limit": limit, "count": count}
            for interval, length, limit, count in rows
        ]
    )


def response_type(params: Params, default: str) -> str:
    """Return how much of a new order is answered."""
    kind = params.get("newOrderRespType", default)
    if kind not in RESPONSES:
        raise Refusal(binance_error(-1130, "Data sent for parameter 'newOrderRespType' is not valid."))
    return kind


def weight_of(endpoint: str, params: Params) -> int:
    """Return the weight of a signed endpoint; 1 for one that does not exist."""
    return _WEIGHTS[endpoint](params) if endpoint in _WEIGHTS else 1


def _asked_order(exchange: SimulatedExchange, params: Params) -> tuple[NewOrder, str]:
    request = order_request(instrument_of(exchange, params), params)
    default = "FULL" if request.type in (OrderType.MARKET, OrderType.LIMIT) else "ACK"
    return request, response_type(params, default)


def _found(exchange: SimulatedExchange, account: Account, instrument: Instrument, params: Params) -> Order:
    order_id = number(params, "orderId")
    named = params.get("origClientOrderId")
    if order_id is None and not named:
        words = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        raise Refusal(binance_error(-1102, words))
    order = exchange.trading.find(account, instrument.symbol, number=order_id, client_id=named)
    if named and order.client_id != named:
        raise Refused(Reason.UNKNOWN)
    return order


def _cancel(exchange: SimulatedExchange, account: Account, order: Order, params: Params, name: str) -> dict[str, Any]:
    shown = client_id(params, name) or f"cancel{order.number}"
    exchange.trading.cancel(account, order)
    return cancelled(order, shown, exchange.trading.now_ms)


_WEIGHTS: Mapping[str, Callable[[Params], int]] = {
    "POST order": lambda _: 1,
    "POST order/test": lambda params: 20 if params.get("computeCommissionRates") == "true" else 1,
    "GET order": lambda _: 4,
    "DELETE order": lambda _: 1,
    "DELETE openOrders": lambda _: 1,
    "POST order/cancelReplace": lambda _: 1,
    "GET openOrders": lambda params: 6 if params.get("symbol") else 80,
    "GET allOrders": lambda _: 20,
    "GET myTrades": lambda params: 5 if params.get("orderId") else 20,
    "GET account": lambda _: 20,
    "GET rateLimit/order": lambda _: 40,
    "POST orderList/oco": lambda _: 1,
    "GET orderList": lambda _: 4,
    "DELETE orderList": lambda _: 1,
    "GET openOrderList": lambda _: 6,
}
ENDPOINTS: Mapping[str, PrivateHandler] = {
    "POST order": new_order,
    "POST order/test": test_order,
    "GET order": query_order,
    "DELETE order": cancel_order,
    "DELETE openOrders": cancel_open_orders,
    "POST order/cancelReplace": replace_order,
    "GET openOrders": open_orders,
    "GET allOrders": all_orders,
    "GET myTrades": my_trades,
    "GET account": account_information,
    "GET rateLimit/order": order_counts,
}
