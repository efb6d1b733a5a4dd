"""Binance's signed endpoints for lists of orders: one cancels the other."""

from collections.abc import Mapping

from fks_assets.simulator.answers import Answer, Refusal, as_answer, binance_error
from fks_assets.simulator.api import Params, PrivateHandler
from fks_assets.simulator.binance_orders import cancelled, client_id, listed, order_request, placed
from fks_assets.simulator.binance_params import instrument_of, number, required
from fks_assets.simulator.binance_private import response_type
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import OrderList, Reason, Refused


def new_oco(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    instrument, core = instrument_of(exchange, params), exchange.trading
    required(params, "quantity")
    above, below = (order_request(instrument, params, leg=leg) for leg in ("above", "below"))
    for leg, request in (("above", above), ("below", below)):
        if not (request.type.is_conditional or request.type.value == "LIMIT_MAKER"):
            raise Refusal(binance_error(-1116, f"Invalid orderType for the {leg} order."))
    kind = response_type(params, "FULL")
    both = core.place_list(account, above, below, client_id=client_id(params, "listClientOrderId"))
    orders = [core.registry.orders[both.first], core.registry.orders[both.second]]
    return as_answer({**listed(core, both), "orderReports": [placed(order, kind, both.placed_ms) for order in orders]})


def query_list(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    return as_answer(listed(exchange.trading, _found(exchange, account, params, "origClientOrderId")), rows=1)


def open_lists(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    core = exchange.trading
    numbers = sorted({order.list_number for order in core.open_orders(account) if order.list_number is not None})
    return as_answer([listed(core, core.registry.lists[number]) for number in numbers], rows=len(numbers))


def cancel_list(exchange: SimulatedExchange, account: Account, params: Params) -> Answer:
    core = exchange.trading
    both = _found(exchange, account, params, "listClientOrderId")
    if instrument_of(exchange, params).symbol != both.symbol:
        raise Refused(Reason.UNKNOWN)
    orders = [core.registry.orders[both.first], core.registry.orders[both.second]]
    still = [order for order in orders if order.status.is_open]
    if not still:
        raise Refused(Reason.CLOSED)
    shown = client_id(params, "newClientOrderId") or f"cancel{both.number}"
    core.cancel(account, still[0])
    reports = [cancelled(order, shown, core.now_ms) for order in orders]
    return as_answer({**listed(core, both), "orderReports": reports}, rows=len(reports))


def _found(exchange: SimulatedExchange, account: Account, params: Params, name: str) -> OrderList:
    list_id, named = number(params, "orderListId"), params.get(name)
    if list_id is None and not named:
        raise Refusal(binance_error(-1102, f"Param '{name}' or 'orderListId' must be sent, but both were empty/null!"))
    core = exchange.trading
    core.advance()
    for both in reversed(core.registry.lists.values()):
        is_named = both.number == list_id if list_id is not None else both.client_id == named
        if is_named and both.account == account.key and core.now_ms >= core.registry.orders[both.first].hidden_until_ms:
            return both
    raise Refused(Reason.UNKNOWN)


ENDPOINTS: Mapping[str, PrivateHandler] = {
    "POST orderList/oco": new_oco,
    "GET orderList": query_list,
    "DELETE orderList": cancel_list,
    "GET openOrderList": open_lists,
}
