"""Nobitex's orders, fills and wallets. Client ids are found among resting orders only; equal orders within 10 s are refused."""

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from fks_assets.clock import to_datetime
from fks_assets.simulator.answers import Answer, Refusal, as_answer
from fks_assets.simulator.api import Params, PrivateHandler
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.nobitex import CODES, RIALS, error, in_rial, instrument_of, missing, name
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.money import ZERO, down, text, whole
from fks_assets.simulator.trading.orders import Fill, NewOrder, Order, OrderType, Reason, Refused, Side, Status

_KINDS = {
    "limit": OrderType.LIMIT,
    "market": OrderType.MARKET,
    "stop_limit": OrderType.STOP_LOSS_LIMIT,
    "stop_market": OrderType.STOP_LOSS,
}
_EXECUTIONS = {
    OrderType.LIMIT: "Limit",
    OrderType.LIMIT_MAKER: "Limit",
    OrderType.MARKET: "Market",
    OrderType.STOP_LOSS_LIMIT: "StopLimit",
    OrderType.STOP_LOSS: "StopMarket",
}
_STATUSES: Mapping[str, Callable[[Order], bool]] = {
    "all": lambda order: True,
    "open": lambda order: order.status.is_open,
    "done": lambda order: order.executed > 0,
    "close": lambda order: not order.status.is_open,
}
_CODES = {
    Reason.INSUFFICIENT: "OverValueOrder",
    Reason.DUPLICATE: "DuplicateClientOrderId",
    Reason.MARKET_CLOSED: "MarketClosed",
    Reason.PRICE_STEP: "InvalidOrderPrice",
    Reason.QUANTITY_STEP: "SmallOrder",
    Reason.NOTIONAL: "SmallOrder",
    Reason.PERCENT_PRICE: "BadPrice",
    Reason.WOULD_TRIGGER: "PriceConditionFailed",
    Reason.WOULD_TAKE: "PriceConditionFailed",
    Reason.OCO_PRICES: "PriceConditionFailed",
    Reason.MAX_ORDERS: "TradingUnavailable",
    Reason.MAX_ALGO_ORDERS: "TradingUnavailable",
    Reason.CLOSED: "InvalidOrderStatus",
}
_SAME_WITHIN_MS = 10_000
_LONGEST_CLIENT_ID = 32
_KEPT_MS = 3 * 86_400_000
_SENT = ("type", "execution", "mode", "srcCurrency", "dstCurrency", "amount", "price", "stopPrice", "stopLimitPrice")
_NONE = "0E-10"


def add_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Take an order, or with `mode` oco a limit order and a stop-limit order that end each other."""
    core, instrument = exchange.trading, instrument_of(exchange, params)
    sent = tuple(params.get(key, "") for key in _SENT)
    if any(one.request.extra.get("sent") == sent for one in core.all_orders(account) if _is_recent(one, core.now_ms)):
        raise Refusal(error("DuplicateOrder", "A same order was sent within 10 seconds."))
    if len(params.get("clientOrderId", "")) > _LONGEST_CLIENT_ID:
        raise Refusal(error("ParseError", "clientOrderId is too long"))
    if params.get("mode") == "oco":
        orders = [shown(one, exchange) for one in _place_pair(exchange, account, instrument, params, sent)]
        return as_answer({"status": "ok", "orders": orders})
    kind = _KINDS.get(params.get("execution", "limit"))
    if kind is None:
        raise Refusal(error("ParseError", "execution is invalid"))
    price = _price(instrument, params, "price") if kind.has_limit else None
    stop = _price(instrument, params, "stopPrice") if kind.is_conditional else None
    request = _request(instrument, params, kind, price, stop, sent)
    if price is not None and stop is not None and (price > stop) == (request.side is Side.SELL) and price != stop:
        raise Refusal(error("BadPrice", "The price is better than the stop price."))
    return as_answer({"status": "ok", "order": shown(core.place(account, request), exchange)})


def order_status(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    return as_answer({"status": "ok", "order": shown(_found(exchange, account, params, "id"), exchange)}, 1)


def update_status(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Cancel a resting order, and its twin with it."""
    if params.get("status") != "canceled":
        raise Refusal(error("ParseError", "status is invalid"))
    order = exchange.trading.cancel(account, _found(exchange, account, params, "order"))
    return as_answer({"status": "ok", "updatedStatus": "Canceled", "order": shown(order, exchange)})


def list_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    chosen = _STATUSES.get(params.get("status", "open"))
    if chosen is None:
        raise Refusal(error("ParseError", "status is invalid"))
    symbol = instrument_of(exchange, params).symbol if params.get("srcCurrency") else None
    least = int(params["fromId"]) if params.get("fromId", "").isdecimal() else 0
    found = [one for one in exchange.trading.all_orders(account, symbol) if chosen(one) and one.number >= least]
    details = ("id", "status", "fee", "created_at", "averagePrice", "clientOrderId", "pairId")
    rows = [
        {key: value for key, value in shown(one, exchange).items() if params.get("details") == "2" or key not in details}
        for one in _page(found[::-1], params, 100)
    ]
    return as_answer({"status": "ok", "orders": rows}, len(rows))


def list_trades(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Return the account's fills of three days, newest first."""
    core = exchange.trading
    symbol = instrument_of(exchange, params).symbol if params.get("srcCurrency") else None
    least = int(params["fromId"]) if params.get("fromId", "").isdecimal() else 0
    found = [one for one in core.fills_of(account, symbol) if one.at_ms > core.now_ms - _KEPT_MS and one.number >= least]
    page = _page(found[::-1], params, 30)
    rows = [_filled(core.registry.orders[fill.order], fill) for fill in page]
    return as_answer({"status": "ok", "trades": rows, "hasNext": bool(page) and page[-1] is not found[0]}, len(rows))


def list_wallets(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    rows = []
    for number, asset in enumerate(account.assets(), 1):
        per = RIALS if asset == "IRT" else 1
        total, blocked = account.total(asset) * per, account.locked[asset] * per
        rows.append(
            {
                "id": number,
                "currency": CODES.get(asset, asset.lower()),
                "balance": text(total, 0),
                "blockedBalance": text(blocked, 0),
                "activeBalance": text(total - blocked, 0),
            }
        )
    return as_answer({"status": "ok", "wallets": rows}, len(rows))


def shown(order: Order, exchange: SimulatedExchange) -> dict[str, Any]:
    """Return an order as Nobitex prints it."""
    instrument, request = order.instrument, order.request
    average = ZERO
    if order.executed:
        average = (order.executed_sum / order.executed).quantize(Decimal(1).scaleb(-instrument.price_decimals))
    fee = sum((_fee(instrument, fill) for fill in order.fills), ZERO)
    printed = {
        "id": order.number,
        "type": order.side.value.lower(),
        "execution": _EXECUTIONS[order.type],
        **_coins(instrument),
        "price": "market" if order.price is None else text(in_rial(instrument, order.price), 0),
        "amount": text(order.quantity, 0),
        "totalPrice": text(in_rial(instrument, order.executed_sum), 0),
        "matchedAmount": text(order.executed, 0) if order.executed else _NONE,
        "unmatchedAmount": text(order.remaining, 0) if order.remaining else _NONE,
        "averagePrice": text(in_rial(instrument, average), 0),
        "status": _status(order),
        "partial": order.status.is_open and order.executed > 0,
        "fee": text(fee, 0) if fee else _NONE,
        "created_at": to_datetime(order.placed_ms).isoformat(timespec="microseconds"),
        "clientOrderId": request.client_id or None,
    }
    if request.stop_price is not None:
        printed["param1"] = text(in_rial(instrument, request.stop_price), 0)
    twin = exchange.trading.registry.twin(order)
    return printed if twin is None else {**printed, "pairId": twin.number}


def refusal_of(refused: Refused) -> Answer:
    """Return Nobitex's answer to what the matching core refuses."""
    if refused.reason is Reason.UNKNOWN:
        return missing()
    return error(_CODES.get(refused.reason, "ParseError"), str(refused))


def _place_pair(
    exchange: SimulatedExchange, account: Account, instrument: Instrument, params: Params, sent: tuple[str, ...]
) -> tuple[Order, Order]:
    limit, stop, stop_limit = (_price(instrument, params, key) for key in ("price", "stopPrice", "stopLimitPrice"))
    target = _request(instrument, params, OrderType.LIMIT_MAKER, limit, None, sent)
    guard = _request(instrument, {**params, "clientOrderId": ""}, OrderType.STOP_LOSS_LIMIT, stop_limit, stop, sent)
    above, below = (target, guard) if target.side is Side.SELL else (guard, target)
    pair = exchange.trading.place_list(account, above, below)
    orders = [exchange.trading.registry.orders[number] for number in (pair.first, pair.second)]
    first, second = sorted(orders, key=lambda one: one.request.stop_price is not None)
    return first, second


def _request(
    instrument: Instrument, params: Params, kind: OrderType, price: Decimal | None, stop: Decimal | None, sent: tuple[str, ...]
) -> NewOrder:
    if params.get("type") not in ("buy", "sell"):
        raise Refusal(error("ParseError", "type is invalid"))
    return NewOrder(
        instrument=instrument,
        side=Side(params["type"].upper()),
        type=kind,
        quantity=down(_number(params, "amount", "ParseError"), instrument.size_decimals),
        price=price,
        stop_price=stop,
        client_id=params.get("clientOrderId", ""),
        extra={"sent": sent},
    )


def _price(instrument: Instrument, params: Params, key: str) -> Decimal:
    """Return a price in the market's own money, with the digits beyond its step rounded off as the exchange does."""
    sent = _number(params, key, "InvalidOrderPrice")
    price = sent / RIALS if instrument.quote == "IRT" else sent
    return price.quantize(whole(1, instrument.price_decimals), ROUND_HALF_EVEN)


def _number(params: Params, key: str, code: str) -> Decimal:
    try:
        value = Decimal(params.get(key, ""))
    except InvalidOperation:
        value = ZERO
    if not value.is_finite() or value <= 0:
        raise Refusal(error(code, f"{key} is invalid"))
    return value


def _found(exchange: SimulatedExchange, account: Account, params: Params, key: str) -> Order:
    """Return the order that its number names, or among the resting ones a client id."""
    sent, own = params.get(key, ""), params.get("clientOrderId", "")
    if sent.isdecimal():
        return exchange.trading.find(account, number=int(sent))
    if not own:
        raise Refusal(error("NullIdAndClientOrderId", "id or clientOrderId is needed"))
    order = exchange.trading.find(account, client_id=own)
    if not order.status.is_open:
        raise Refused(Reason.UNKNOWN)
    return order


def _is_recent(order: Order, now_ms: int) -> bool:
    return order.placed_ms > now_ms - _SAME_WITHIN_MS


def _status(order: Order) -> str:
    if order.status.is_open:
        return "Inactive" if order.is_waiting else "Active"
    return "Done" if order.status is Status.FILLED else "Canceled"


def _coins(instrument: Instrument) -> dict[str, str]:
    return {
        "market": f"{instrument.base}-{'RLS' if instrument.quote == 'IRT' else instrument.quote}",
        "srcCurrency": name(instrument.base),
        "dstCurrency": name(instrument.quote),
    }


def _fee(instrument: Instrument, fill: Fill) -> Decimal:
    return in_rial(instrument, fill.fee) if fill.fee_currency == instrument.quote else fill.fee


def _filled(order: Order, fill: Fill) -> dict[str, Any]:
    instrument = order.instrument
    return {
        "id": fill.number,
        "orderId": fill.order,
        **_coins(instrument),
        "timestamp": to_datetime(fill.at_ms).isoformat(timespec="microseconds"),
        "type": fill.side.value.lower(),
        "price": text(in_rial(instrument, fill.price), 0),
        "amount": text(fill.quantity, 0),
        "total": text(in_rial(instrument, fill.price * fill.quantity), 0),
        "fee": text(_fee(instrument, fill), 0),
    }


def _page(rows: list[Any], params: Params, default: int) -> list[Any]:
    page, size = (
        int(params[key]) if params.get(key, "").isdecimal() else value for key, value in (("page", 1), ("pageSize", default))
    )
    size = min(max(size, 1), 100)
    return rows[(max(page, 1) - 1) * size : max(page, 1) * size]


ENDPOINTS: Mapping[str, PrivateHandler] = {
    "orders/add": add_order,
    "orders/status": order_status,
    "orders/update-status": update_status,
    "orders/list": list_orders,
    "trades/list": list_trades,
    "wallets/list": list_wallets,
}
