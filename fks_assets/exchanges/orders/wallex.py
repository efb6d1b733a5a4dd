"""Orders at Wallex. It has no orders with a trigger: the desk itself guards positions there.

An order is found by our own id, which is its only one. The list of the account's trades does not say of which order each is, so
that executions are read from the orders; where an order does not list them, they are the trades of its market, direction and
time, if these add up to exactly what it has executed, and an error if not.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from fks_assets.exchanges.orders.iranian_venue import IranianVenue
from fks_assets.exchanges.orders.venue import Canceled, CancelOutcome, Features, OrderReport, TradeMark, Unknown, VenueFill
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money, total

_ORDERS = "v1/account/orders"
_SECOND_MS = 1000


class WallexVenue(IranianVenue):
    """An account at Wallex."""

    features = Features(oco=False, stop_market=False, stop_limit=False, take_profit=False, replace=False)
    order_path = _ORDERS
    balance_path = "v1/account/balances"
    lookup_paths = (f"{_ORDERS}/",)

    async def cancel(self, market: Market, client_order_id: str, exchange_order_id: str | None) -> CancelOutcome:
        self._pair(market)
        named = {"clientOrderId": exchange_order_id or client_order_id}

        def read(value: Any) -> CancelOutcome:
            # Its own documentation shows a canceled order as FILLED: that it rests no more is what counts.
            rests = value["result"]["active"]
            return Canceled() if rests is False else Unknown(f"{self.name} did not say that the order was cancelled")

        return await self._send(_ORDERS, "DELETE", lambda: named, read, self._cancel_refused)

    async def order(
        self, market: Market, client_order_id: str, exchange_order_id: str | None = None, *, since_ms: int = 0
    ) -> OrderReport | None:
        found = await self._found(market, exchange_order_id or client_order_id)
        return None if found is None else self._report(found)

    async def order_fills(self, market: Market, exchange_order_id: str) -> list[VenueFill]:
        order = await self._found(market, exchange_order_id)
        executed = Decimal(0) if order is None else money(order["filled"])
        if order is None or not executed:
            return []
        if total(money(trade["amount"]) for trade in order["trades"]) == executed:
            return self._fills(order["trades"])
        path, since = "v1/account/trades", (order["timestamp"] or 0) - _SECOND_MS

        def read(value: Any) -> list[VenueFill]:
            rows = self._client.part(value["result"], "AccountLatestTrades", list)
            trades = [
                trade
                for trade in self._client.parse_trades(self._client.identified(rows, exchange_order_id))
                if trade["side"] == order["side"] and trade["timestamp"] >= since
            ]
            listed = total(money(trade["amount"]) for trade in trades)
            if listed != executed:
                raise ValueError(f"trades of {listed} in the time of an order that has executed {executed}")
            return self._fills(trades)

        return await self._ask(path, {"symbol": self._pair(market)}, read, weight=1)

    async def open_orders(self, markets: Sequence[Market]) -> list[OrderReport]:
        await self._list()

        def read(value: Any) -> list[OrderReport]:
            orders = self._client.parse_orders(self._client.part(value["result"], "orders", list))
            return [report for report in self._reports(orders) if report.market in set(markets)]

        return await self._ask("v1/account/openOrders", {}, read, weight=1)

    async def my_trades(
        self, markets: Sequence[Market], after: Mapping[Market, TradeMark], *, since_ms: int = 0
    ) -> list[VenueFill]:
        """Return none: what an order has executed is read from the order; what nobody here ordered shows in the balances."""
        return []

    async def _found(self, market: Market, named: str) -> Any:
        """Return an order as ccxt has it, None when Wallex has none of this id."""
        await self._list()
        self._pair(market)

        def read(value: Any) -> Any:
            if self._denies(value):
                return None
            order = self._client.parse_order(value["result"])
            if order["id"] != named or self._market(order["symbol"]) != market:
                raise ValueError(f"the order {order['id']} of {order['symbol']} where {named} was asked for")
            return order

        return await self._ask(f"{_ORDERS}/{quote(named, safe='')}", {}, read, weight=1)

    def _placed(self, value: Any, market: Any, request: Any) -> Any:
        return self._client.placed(value, request)

    def _balances(self, value: Any) -> Any:
        return self._client.parse_balances(self._client.part(value["result"], "balances", dict))

    def _executed_sum(self, order: Any) -> Decimal | None:
        return None if order["cost"] is None else money(order["cost"])

    def _says_missing(self, status: int, value: Mapping[str, Any]) -> bool:
        return status == 404 and value.get("success") is False
