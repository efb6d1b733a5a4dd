"""Orders at Binance's spot market, in the words of its REST API."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fks_assets.exchanges.orders.exchange_venue import ExchangeVenue
from fks_assets.exchanges.orders.signing import RECEIVE_WINDOW_MS
from fks_assets.exchanges.orders.venue import (
    Accepted,
    Canceled,
    CancelOutcome,
    Denied,
    Features,
    NotOpen,
    OcoOutcome,
    OrderReport,
    Outcome,
    Permit,
    Rejected,
    ReplaceOutcome,
    TradeMark,
    Unknown,
    VenueBalance,
    VenueFill,
    VenueOrder,
)
from fks_assets.quant.markets import Market
from fks_assets.quant.money import ZERO, money, money_text
from fks_assets.quant.orders import OrderStatus, OrderType, Side

PAGE = 1000
_UNKNOWN_ORDER = -2011
_NO_SUCH_ORDER = -2013
_HALF_REPLACED = -2021
_NOT_REPLACED = -2022
_ALL_MARKETS_WEIGHT = 80
_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_MARKET: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT",
}
_TYPES_READ = {
    **{name: type_ for type_, name in _TYPES.items()},
    "LIMIT_MAKER": OrderType.LIMIT,
    "TAKE_PROFIT_LIMIT": OrderType.TAKE_PROFIT,
}
_STATUSES = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PENDING_CANCEL": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.PARTIALLY_FILLED,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}


class BinanceVenue(ExchangeVenue):
    """An account at Binance spot."""

    features = Features(oco=True, stop_market=True, stop_limit=True, take_profit=True, replace=True)
    validity_ms = RECEIVE_WINDOW_MS

    async def place(self, order: VenueOrder, permit: Permit) -> Outcome:
        fault = self._fault(order) or permit.spend()
        if fault:
            return Denied(fault)
        return await self._send("order", "POST", lambda: self._order_params(order), lambda value: self._accepted(value, order))

    async def place_oco(self, stop: VenueOrder, target: VenueOrder, permit: Permit) -> OcoOutcome:
        fault = self._fault(stop) or self._fault(target) or _pair_fault(stop, target) or permit.spend()
        if fault:
            return OcoOutcome("", Denied(fault), Denied(fault))
        outcome = await self._send(
            "orderList/oco",
            "POST",
            lambda: self._oco_params(stop, target),
            lambda value: self._accepted_pair(value, stop, target),
        )
        return outcome if isinstance(outcome, OcoOutcome) else OcoOutcome("", outcome, outcome)

    async def replace(self, old_client_order_id: str, new: VenueOrder, permit: Permit) -> ReplaceOutcome:
        fault = self._fault(new) or permit.spend()
        if fault:
            return ReplaceOutcome(Denied(fault), Denied(fault))
        mode = {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": old_client_order_id}
        outcome = await self._send(
            "order/cancelReplace",
            "POST",
            lambda: self._order_params(new) | mode,
            lambda value: self._halves(value, new),
            lambda _, value: self._half_done(value, new),
        )
        return outcome if isinstance(outcome, ReplaceOutcome) else ReplaceOutcome(outcome, outcome)

    async def cancel(self, market: Market, client_order_id: str, exchange_order_id: str | None) -> CancelOutcome:
        params = {"symbol": self._pair(market), **_named(client_order_id, exchange_order_id)}

        def read(value: Any) -> CancelOutcome:
            # For one leg of a pair the answer is about the whole list.
            done = value["listOrderStatus"] == "ALL_DONE" if "listOrderStatus" in value else value["status"] == "CANCELED"
            return Canceled() if done else Unknown(f"{self.name} did not say that the order was cancelled")

        def refused(status: int, value: Any) -> CancelOutcome | None:
            return NotOpen() if status == 400 and _code(value) == _UNKNOWN_ORDER else self._refused(status, value)

        return await self._send("order", "DELETE", lambda: params, read, refused)

    async def order(
        self, market: Market, client_order_id: str, exchange_order_id: str | None = None, *, since_ms: int = 0
    ) -> OrderReport | None:
        params = {"symbol": self._pair(market), **_named(client_order_id, exchange_order_id)}
        return await self._ask("order", params, lambda value: None if self._denies(value) else self._report(value))

    async def order_fills(self, market: Market, exchange_order_id: str) -> list[VenueFill]:
        params = {"symbol": self._pair(market), "orderId": exchange_order_id, "limit": str(PAGE)}
        return await self._ask("myTrades", params, self._fills)

    async def open_orders(self, markets: Sequence[Market]) -> list[OrderReport]:
        pairs = [self._pair(market) for market in markets]
        if len(pairs) * self._weights["openOrders"] < _ALL_MARKETS_WEIGHT:
            return [report for pair in pairs for report in await self._ask("openOrders", {"symbol": pair}, self._reports)]
        found = await self._ask("openOrders", {}, self._reports, weight=_ALL_MARKETS_WEIGHT)
        return [report for report in found if report.market in set(markets)]

    async def my_trades(
        self, markets: Sequence[Market], after: Mapping[Market, TradeMark], *, since_ms: int = 0
    ) -> list[VenueFill]:
        return [fill for market in markets for fill in await self._trades_of(market, after.get(market), since_ms)]

    async def balances(self) -> dict[str, VenueBalance]:
        def read(value: Any) -> dict[str, VenueBalance]:
            return {each["asset"]: VenueBalance(money(each["free"]), money(each["locked"])) for each in value["balances"]}

        return await self._ask("account", {}, read)

    async def _trades_of(self, market: Market, after: TradeMark | None, since_ms: int) -> list[VenueFill]:
        params = {"symbol": self._pair(market), "limit": str(PAGE)}
        last = "" if after is None else after.trade_id
        first = {"fromId": str(int(last) + 1)} if last else {"startTime": str(since_ms)}
        fills: list[VenueFill] = []
        while True:
            page = await self._ask("myTrades", params | first, self._fills)
            fills += page
            if len(page) < PAGE:
                return fills
            first = {"fromId": str(int(page[-1].trade_id) + 1)}

    def _order_params(self, order: VenueOrder) -> dict[str, str]:
        params = {
            "symbol": self._pair(order.market),
            "side": order.side.value,
            "type": _TYPES[order.type],
            "quantity": money_text(order.quantity),
            "newClientOrderId": order.client_order_id,
            "newOrderRespType": "FULL",
        }
        if order.type is OrderType.TAKE_PROFIT and order.price is not None:
            params["type"] = "TAKE_PROFIT_LIMIT"
        if order.price is not None and order.type is not OrderType.MARKET:
            params |= {"price": money_text(order.price), "timeInForce": "GTC"}
        if order.stop_price is not None:
            params["stopPrice"] = money_text(order.stop_price)
        return params

    def _oco_params(self, stop: VenueOrder, target: VenueOrder) -> dict[str, str]:
        above, below = ("above", "below") if stop.side is Side.SELL else ("below", "above")
        params = {
            "symbol": self._pair(stop.market),
            "side": stop.side.value,
            "quantity": money_text(stop.quantity),
            "listClientOrderId": f"L{stop.client_order_id[:31]}",
            "newOrderRespType": "FULL",
            f"{above}Type": "LIMIT_MAKER",
            f"{above}Price": money_text(target.price or ZERO),
            f"{above}ClientOrderId": target.client_order_id,
            f"{below}Type": _TYPES[stop.type],
            f"{below}StopPrice": money_text(stop.stop_price or ZERO),
            f"{below}ClientOrderId": stop.client_order_id,
        }
        if stop.type is OrderType.STOP_LIMIT:
            params |= {f"{below}Price": money_text(stop.price or ZERO), f"{below}TimeInForce": "GTC"}
        return params

    def _accepted(self, value: Any, order: VenueOrder) -> Accepted | Unknown:
        if value["clientOrderId"] != order.client_order_id or value["symbol"] != self._pair(order.market):
            return Unknown(f"{self.name} answered for another order than {order.client_order_id}")
        fills = tuple(
            VenueFill(
                trade_id=_id(fill["tradeId"]),
                exchange_order_id=_id(value["orderId"]),
                market=order.market,
                side=order.side,
                price=money(fill["price"]),
                quantity=money(fill["qty"]),
                fee=money(fill["commission"]),
                fee_currency=fill["commissionAsset"],
                is_maker=False,
                traded_at=int(value["transactTime"]),
            )
            for fill in value.get("fills", ())
        )
        return Accepted(_id(value["orderId"]), _STATUSES[value["status"]], fills)

    def _accepted_pair(self, value: Any, stop: VenueOrder, target: VenueOrder) -> OcoOutcome:
        reports = {report["clientOrderId"]: report for report in value["orderReports"]}
        outcomes = (self._accepted(reports[order.client_order_id], order) for order in (stop, target))
        return OcoOutcome(_id(value["orderListId"]), *outcomes)

    def _half_done(self, value: Any, new: VenueOrder) -> ReplaceOutcome | Rejected | None:
        """Return what an answer other than a success says about the two halves; it may be that the old order is gone."""
        if _code(value) in (_HALF_REPLACED, _NOT_REPLACED):
            return self._halves(value["data"], new)
        return self._refused(400, value)

    def _halves(self, halves: Mapping[str, Any], new: VenueOrder) -> ReplaceOutcome:
        canceled: CancelOutcome = Canceled()
        if halves["cancelResult"] != "SUCCESS":
            said = halves["cancelResponse"]
            canceled = NotOpen() if said["code"] == _UNKNOWN_ORDER else self._refused(400, said) or _unproven("cancel", said)
        placed: Outcome
        if halves["newOrderResult"] == "SUCCESS":
            placed = self._accepted(halves["newOrderResponse"], new)
        elif halves["newOrderResult"] == "NOT_ATTEMPTED":
            placed = Rejected("NOT_ATTEMPTED", "the old order could not be cancelled")
        else:
            said = halves["newOrderResponse"]
            placed = self._refused(400, said) or _unproven("new order", said)
        return ReplaceOutcome(canceled, placed)

    def _denies(self, value: Any) -> bool:
        return _code(value) == _NO_SUCH_ORDER

    def _report(self, value: Any) -> OrderReport:
        return OrderReport(
            market=self._markets[value["symbol"]],
            exchange_order_id=_id(value["orderId"]),
            client_order_id=str(value["clientOrderId"]),
            side=Side(value["side"]),
            type=_TYPES_READ[value["type"]],
            quantity=money(value["origQty"]),
            price=money(value["price"]) or None,
            stop_price=money(value.get("stopPrice", "0")) or None,
            status=_STATUSES[value["status"]],
            executed_quantity=money(value["executedQty"]),
            # Negative for orders so old that Binance does not know it.
            executed_sum=_known(money(value["cummulativeQuoteQty"])),
            created_at=int(value["time"]),
        )

    def _reports(self, value: Any) -> list[OrderReport]:
        return [self._report(each) for each in _listed(value) if each["symbol"] in self._markets]

    def _fills(self, value: Any) -> list[VenueFill]:
        return [
            VenueFill(
                trade_id=_id(each["id"]),
                exchange_order_id=_id(each["orderId"]),
                market=self._markets[each["symbol"]],
                side=Side.BUY if _flag(each["isBuyer"]) else Side.SELL,
                price=money(each["price"]),
                quantity=money(each["qty"]),
                fee=money(each["commission"]),
                fee_currency=each["commissionAsset"],
                is_maker=_flag(each["isMaker"]),
                traded_at=int(each["time"]),
            )
            for each in _listed(value)
        ]


def _named(client_order_id: str, exchange_order_id: str | None) -> dict[str, str]:
    return {"origClientOrderId": client_order_id} if exchange_order_id is None else {"orderId": exchange_order_id}


def _pair_fault(stop: VenueOrder, target: VenueOrder) -> str | None:
    """Return why two orders are no pair, None when they are."""
    if (stop.market, stop.side, stop.quantity) != (target.market, target.side, target.quantity):
        return "stop and target of a pair must have the same market, side and quantity"
    if stop.type not in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT) or target.type is not OrderType.LIMIT:
        return f"a pair is a stop and a limit order, was {stop.type} and {target.type}"
    return None


def _unproven(half: str, said: Mapping[str, Any]) -> Unknown:
    return Unknown(f"the {half}: {said['code']}: {said['msg']}")


def _code(value: Any) -> int | None:
    return value.get("code") if isinstance(value, dict) else None


def _listed(value: Any) -> list[Any]:
    """Return the list itself: an object in its place would look like a list of nothing."""
    if type(value) is not list:
        raise TypeError(f"a list is {type(value).__name__}")
    return value


def _id(value: Any) -> str:
    if type(value) is not int or value < 0:
        raise ValueError(f"an id is {value!r}")
    return str(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError(f"a flag is {value!r}")
    return value


def _known(value: Decimal) -> Decimal | None:
    return value if value >= 0 else None
