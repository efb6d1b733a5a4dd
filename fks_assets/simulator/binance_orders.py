"""Binance's words for an order: reading a request for one, and printing one, its fills and its list."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from fks_assets.simulator.answers import Refusal, binance_error
from fks_assets.simulator.api import Params
from fks_assets.simulator.binance_params import illegal, required
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.trading.core import TradingCore
from fks_assets.simulator.trading.money import ZERO, text
from fks_assets.simulator.trading.orders import Fill, NewOrder, Order, OrderList, OrderType, Side, TimeInForce

_DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_CLIENT_ID = r"^[a-zA-Z0-9-_]{1,36}$"
_MOST_DECIMALS = 8
SELF_TRADE_PREVENTION = "EXPIRE_MAKER"
RESPONSES = ("ACK", "RESULT", "FULL")


def order_request(instrument: Instrument, params: Params, *, leg: str = "", extra: dict[str, Any] | None = None) -> NewOrder:
    """Return the order that the parameters ask for; with `leg` (`above` or `below`) one of a list's two."""

    def name(plain: str) -> str:
        return f"{leg}{plain[0].upper()}{plain[1:]}" if leg else plain

    kind = one_of(params, name("type"), OrderType, -1116, "Invalid orderType.")
    for needed in _needed(kind):
        if not (needed == "stopPrice" and params.get(name("trailingDelta"))):
            required(params, name(needed))
    for parameter, belongs in (("price", kind.has_limit), ("stopPrice", kind.is_conditional)):
        if params.get(name(parameter)) and not belongs:
            raise Refusal(binance_error(-1106, f"Parameter '{name(parameter)}' sent when not required."))
    if params.get(name("icebergQty")):
        raise Refusal(binance_error(-1013, "Filter failure: ICEBERG_PARTS"))
    tif_name = name("timeInForce")
    trailing = decimal(params, name("trailingDelta"))
    if kind is OrderType.MARKET and (params.get("quantity") is None) == (params.get("quoteOrderQty") is None):
        required(params, "quantity")
    return NewOrder(
        instrument=instrument,
        side=one_of(params, "side", Side, -1117, "Invalid side."),
        type=kind,
        quantity=decimal(params, "quantity"),
        quote_quantity=decimal(params, "quoteOrderQty") if kind is OrderType.MARKET else None,
        price=decimal(params, name("price")),
        stop_price=decimal(params, name("stopPrice")),
        trailing=None if trailing is None else trailing / 10_000,
        time_in_force=one_of(params, tif_name, TimeInForce, -1115, "Invalid timeInForce.", "GTC"),
        client_id=client_id(params, name("clientOrderId") if leg else "newClientOrderId"),
        extra=extra or {},
    )


def decimal(params: Params, name: str) -> Decimal | None:
    """Return a parameter's amount, None if it was not sent; refuse what is no plain number or has too many digits."""
    sent = params.get(name)
    if sent is None or sent == "":
        return None
    if not re.fullmatch(_DECIMAL, sent):
        raise Refusal(illegal(name, _DECIMAL))
    if len(sent.partition(".")[2].rstrip("0")) > _MOST_DECIMALS:
        raise Refusal(binance_error(-1111, f"Parameter '{name}' has too much precision."))
    return Decimal(sent)


def client_id(params: Params, name: str) -> str:
    """Return a client id, empty if none was sent; refuse one with other characters than Binance's."""
    sent = params.get(name, "")
    if sent and not re.fullmatch(_CLIENT_ID, sent):
        raise Refusal(illegal(name, _CLIENT_ID))
    return sent


def one_of(params: Params, name: str, kind: Any, code: int, words: str, default: str | None = None) -> Any:
    """Return a parameter as a member of an enumeration; refuse an unknown one with a code and words."""
    sent = params.get(name) or default or required(params, name)
    if sent not in list(kind):
        raise Refusal(binance_error(code, words))
    return kind(sent)


def queried(order: Order) -> dict[str, Any]:
    """Return an order as a query answers it."""
    return {
        **_names(order, order.client_id),
        **_figures(order),
        **_stop(order, always=True),
        "icebergQty": text(ZERO),
        "time": order.placed_ms,
        "updateTime": order.updated_ms,
        "isWorking": not order.is_waiting,
        "workingTime": _working_time(order),
        "origQuoteOrderQty": _quote_quantity(order),
        "selfTradePreventionMode": SELF_TRADE_PREVENTION,
    }


def placed(order: Order, kind: str, at_ms: int) -> dict[str, Any]:
    """Return a new order as its placing is answered: ACK, RESULT or FULL."""
    found = {**_names(order, order.client_id), "transactTime": at_ms}
    if kind == "ACK":
        return found
    found |= {
        **_figures(order),
        **_stop(order, always=False),
        "origQuoteOrderQty": _quote_quantity(order),
        "workingTime": _working_time(order),
        "selfTradePreventionMode": SELF_TRADE_PREVENTION,
    }
    if kind == "FULL":
        found["fills"] = [_short_fill(fill) for fill in order.fills]
    return found


def cancelled(order: Order, new_client_id: str, at_ms: int) -> dict[str, Any]:
    """Return an order as its cancel is answered."""
    return {
        **_names(order, new_client_id),
        "origClientOrderId": order.client_id,
        "transactTime": at_ms,
        **_figures(order),
        **_stop(order, always=False),
        "origQuoteOrderQty": _quote_quantity(order),
        "selfTradePreventionMode": SELF_TRADE_PREVENTION,
    }


def listed(core: TradingCore, both: OrderList) -> dict[str, Any]:
    """Return a list of orders without the orders' own reports."""
    orders = [core.registry.orders[both.first], core.registry.orders[both.second]]
    done = not any(order.status.is_open for order in orders)
    return {
        "orderListId": both.number,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if done else "EXECUTING",
        "listClientOrderId": both.client_id,
        "transactionTime": both.updated_ms,
        "symbol": orders[0].instrument.binance_id,
        "orders": [
            {"symbol": order.instrument.binance_id, "orderId": order.number, "clientOrderId": order.client_id} for order in orders
        ],
    }


def traded(core: TradingCore, fill: Fill) -> dict[str, Any]:
    """Return a fill as a row of the account's trades."""
    order = core.registry.orders[fill.order]
    return {
        "symbol": order.instrument.binance_id,
        "id": fill.number,
        "orderId": fill.order,
        "orderListId": -1 if order.list_number is None else order.list_number,
        "price": text(fill.price),
        "qty": text(fill.quantity),
        "quoteQty": text(fill.price * fill.quantity),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_currency,
        "time": fill.at_ms,
        "isBuyer": fill.side is Side.BUY,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def newest(found: Iterable[Any], limit: int) -> list[Any]:
    """Return the last `limit` entries."""
    return list(found)[-limit:]


def _needed(kind: OrderType) -> tuple[str, ...]:
    """Return the parameters that a type of order needs besides its quantity."""
    names = ["price"] if kind.has_limit else []
    if kind.is_conditional:
        names.append("stopPrice")
    if kind.has_limit and kind is not OrderType.LIMIT_MAKER:
        names.append("timeInForce")
    return tuple(names)


def _names(order: Order, shown_id: str) -> dict[str, Any]:
    return {
        "symbol": order.instrument.binance_id,
        "orderId": order.number,
        "orderListId": -1 if order.list_number is None else order.list_number,
        "clientOrderId": shown_id,
    }


def _figures(order: Order) -> dict[str, Any]:
    return {
        "price": text(order.price or ZERO),
        "origQty": text(order.quantity),
        "executedQty": text(order.executed),
        "cummulativeQuoteQty": text(order.executed_sum),
        "status": order.status.value,
        "timeInForce": order.request.time_in_force.value,
        "type": order.type.value,
        "side": order.side.value,
    }


def _stop(order: Order, *, always: bool) -> dict[str, Any]:
    if order.request.trailing is not None:
        return {"stopPrice": text(ZERO), "trailingDelta": int(order.request.trailing * 10_000), "trailingTime": order.placed_ms}
    if order.request.stop_price is not None or always:
        return {"stopPrice": text(order.request.stop_price or ZERO)}
    return {}


def _working_time(order: Order) -> int:
    return -1 if order.working_ms is None else order.working_ms


def _quote_quantity(order: Order) -> str:
    return text(order.request.quote_quantity or ZERO)


def _short_fill(fill: Fill) -> dict[str, Any]:
    return {
        "price": text(fill.price),
        "qty": text(fill.quantity),
        "commission": text(fill.fee),
        "commissionAsset": fill.fee_currency,
        "tradeId": fill.number,
    }
