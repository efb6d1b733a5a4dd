"""Kraken's signed endpoints: orders, trades and balances below /0/private."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from fks_assets.clock import to_ms
from fks_assets.simulator.answers import Answer, Refusal, as_answer, kraken_error
from fks_assets.simulator.api import Params, PrivateHandler
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import kraken_asset
from fks_assets.simulator.kraken import instrument_of
from fks_assets.simulator.kraken_orders import (
    amount,
    number_of,
    order_id,
    order_request,
    shown,
    summary,
    trade_id,
    traded,
)
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.money import ZERO, down, text
from fks_assets.simulator.trading.oracle import equity_of
from fks_assets.simulator.trading.orders import NewOrder, Order, Reason, Refused

_PAGE = 50
_MOST_IDS = 50
Row = TypeVar("Row")


def add_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    core = exchange.trading
    _check_deadline(exchange, params)
    request = _strict(order_request(instrument_of(exchange, params.get("pair", "")), params))
    if params.get("validate") in ("true", "1"):
        core.check(account, request)
        return _result({"descr": {"order": _planned(request)}})
    order = core.place(account, request)
    return _result({"descr": {"order": summary(order)}, "txid": [order_id(order.number)]})


def edit_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Cancel an order and place a changed one under a new id."""
    _check_deadline(exchange, params)
    order = _one(exchange, account, params)
    first, second = amount(params, "price"), amount(params, "price2")
    request = order.request
    changed = replace(
        request,
        quantity=amount(params, "volume") or order.quantity,
        price=(second if request.type.is_conditional else first) or request.price,
        stop_price=first or request.stop_price if request.type.is_conditional else None,
        client_id="",
    )
    made = exchange.trading.replace(account, order, _strict(changed))
    return _result(
        {
            "descr": {"order": summary(made)},
            "txid": order_id(made.number),
            "originaltxid": order_id(order.number),
            "volume": text(made.quantity),
            "price": text(first or ZERO, made.instrument.price_decimals),
            "price2": text(second or ZERO, made.instrument.price_decimals),
            "orders_cancelled": 1,
            "status": "ok",
        }
    )


def amend_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Change an order that keeps its ids."""
    _check_deadline(exchange, params)
    order = _one(exchange, account, params)
    quantity, price = amount(params, "order_qty"), amount(params, "limit_price")
    exchange.trading.amend(account, order, quantity=quantity, price=price, stop_price=amount(params, "trigger_price"))
    return _result({"amend_id": trade_id(exchange.trading.now_ms * 1000 + order.number)})


def cancel_order(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Cancel by txid or cl_ord_id one order, by userref all that carry it."""
    core, reference = exchange.trading, params.get("userref") or params.get("txid", "")
    if reference.lstrip("-").isdecimal():
        orders = [one for one in core.open_orders(account) if one.request.extra.get("userref") == int(reference)]
        if not orders:
            raise Refused(Reason.UNKNOWN)
    else:
        orders = [_one(exchange, account, params)]
    for order in orders:
        if order.status.is_open or len(orders) == 1:
            core.cancel(account, order)
    return _result({"count": len(orders)})


def cancel_all(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    orders = exchange.trading.open_orders(account)
    for order in orders:
        if order.status.is_open:
            exchange.trading.cancel(account, order)
    return _result({"count": len(orders)})


def query_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Return orders by txid; those that are not found are left out, unless none is found."""
    sent = [one for one in params.get("txid", "").split(",") if one]
    if params.get("cl_ord_id"):
        found = [exchange.trading.find(account, client_id=params["cl_ord_id"])]
    else:
        if not 1 <= len(sent) <= _MOST_IDS:
            raise Refusal(kraken_error("EGeneral:Invalid arguments:txid"))
        wanted = {number_of(one) for one in sent}
        found = [order for order in exchange.trading.all_orders(account) if order.number in wanted]
    found = _referred(found, params)
    if not found:
        raise Refused(Reason.UNKNOWN)
    return _result({order_id(one.number): shown(one, with_trades=_wants_trades(params)) for one in found}, len(found))


def open_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    found = _referred(exchange.trading.open_orders(account), params)
    rows = {order_id(one.number): shown(one, with_trades=_wants_trades(params)) for one in reversed(found)}
    return _result({"open": rows}, len(rows))


def closed_orders(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    ended = [one for one in exchange.trading.all_orders(account) if not one.status.is_open]
    by_opening = params.get("closetime") == "open"

    def moment(one: Order) -> int:
        return one.placed_ms if by_opening else one.updated_ms

    found = _between(_referred(ended, params), moment, params)
    page = _page(sorted(found, key=lambda one: (moment(one), one.number), reverse=True), params)
    rows = {order_id(one.number): shown(one, with_trades=_wants_trades(params)) for one in page}
    return _result({"closed": rows, "count": len(found)}, len(rows))


def trades_history(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    found = _between(exchange.trading.fills_of(account), lambda fill: fill.at_ms, params)
    orders = exchange.trading.registry.orders
    rows = {trade_id(fill.number): traded(orders[fill.order], fill) for fill in _page(found[::-1], params)}
    return _result({"trades": rows, "count": len(found)}, len(rows))


def query_trades(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    wanted = {number_of(one, "T") for one in params.get("txid", "").split(",")}
    found = [fill for fill in exchange.trading.fills_of(account) if fill.number in wanted]
    if not found:
        raise Refusal(kraken_error("EQuery:Unknown transaction"))
    orders = exchange.trading.registry.orders
    return _result({trade_id(fill.number): traded(orders[fill.order], fill) for fill in found}, len(found))


def balance(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    found = {kraken_asset(asset): text(account.total(asset), 10) for asset in account.assets() if account.total(asset)}
    return _result(found, len(found))


def extended_balance(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    found = {
        kraken_asset(asset): {"balance": text(account.total(asset), 10), "hold_trade": text(account.locked[asset], 10)}
        for asset in account.assets()
        if account.total(asset)
    }
    return _result(found, len(found))


def trade_balance(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    """Return the worth of the account; nothing is ever borrowed."""
    worth = text(down(equity_of(exchange.trading, account, "USDT"), 4), 4)
    none = text(ZERO, 4)
    return _result({"eb": worth, "tb": worth, "m": none, "uv": none, "n": none, "c": none, "v": none, "e": worth, "mf": worth})


def _one(exchange: SimulatedExchange, account: Account, params: Params) -> Order:
    """Return the open order that txid or cl_ord_id names."""
    core, named = exchange.trading, params.get("cl_ord_id")
    order = core.find(account, client_id=named) if named else core.find(account, number=number_of(params.get("txid", "")) or 0)
    if not order.status.is_open:
        raise Refused(Reason.CLOSED)
    return order


def _strict(request: NewOrder) -> NewOrder:
    """Refuse, in Kraken's words, a volume below the minimum or with too many digits; other rules are the core's."""
    smallest = Decimal(1).scaleb(-request.instrument.size_decimals)
    if request.quantity is not None and request.quantity < smallest:
        raise Refusal(kraken_error("EOrder:Order minimum not met"))
    return request


def _planned(request: NewOrder) -> str:
    order = Order(0, "", request, "", request.quantity or request.quote_quantity or ZERO, 0, 0, 0, price=request.price)
    return summary(order)


def _check_deadline(exchange: SimulatedExchange, params: Params) -> None:
    sent = params.get("deadline")
    if not sent:
        return
    try:
        deadline = datetime.fromisoformat(sent)
    except ValueError:
        deadline = None
    if deadline is None or deadline.tzinfo is None:
        raise Refusal(kraken_error("EGeneral:Invalid arguments:deadline"))
    if to_ms(deadline) < exchange.trading.told_ms:
        raise Refusal(kraken_error("EService:Deadline elapsed"))


def _referred(orders: list[Order], params: Params) -> list[Order]:
    reference, named = params.get("userref"), params.get("cl_ord_id")
    return [
        order
        for order in orders
        if (not reference or str(order.request.extra.get("userref", 0)) == reference) and (not named or order.client_id == named)
    ]


def _wants_trades(params: Params) -> bool:
    return params.get("trades") == "true"


def _between(rows: Sequence[Row], moment: Callable[[Row], int], params: Params) -> list[Row]:
    """Return the rows after `start` and up to `end`, both in seconds."""
    start, end = amount(params, "start"), amount(params, "end")
    return [row for row in rows if (start is None or moment(row) > start * 1000) and (end is None or moment(row) <= end * 1000)]


def _page(rows: Sequence[Row], params: Params) -> Sequence[Row]:
    offset = int(amount(params, "ofs") or 0)
    return rows[offset : offset + _PAGE]


def _result(content: dict[str, Any], rows: int = 0) -> Answer:
    return as_answer({"error": [], "result": content}, rows)


ENDPOINTS: Mapping[str, PrivateHandler] = {
    "AddOrder": add_order,
    "EditOrder": edit_order,
    "AmendOrder": amend_order,
    "CancelOrder": cancel_order,
    "CancelAll": cancel_all,
    "QueryOrders": query_orders,
    "OpenOrders": open_orders,
    "ClosedOrders": closed_orders,
    "TradesHistory": trades_history,
    "QueryTrades": query_trades,
    "Balance": balance,
    "BalanceEx": extended_balance,
    "TradeBalance": trade_balance,
}
