"""Orders at Nobitex, in toman to the desk and in rial on the way.

Its pairs of orders are not used: only one of the two can carry an id of ours, so that after a lost answer nobody could tell
whether the other one is there. Stops and stop-limits are orders of their own.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.exchanges.orders.iranian_venue import IranianVenue
from fks_assets.exchanges.orders.venue import Canceled, CancelOutcome, Features, OrderReport, TradeMark, Unknown, VenueFill
from fks_assets.quant.markets import Market

PAGE = 100
_STATUS = "market/orders/status"
_LIST = "market/orders/list"
_TRADES = "market/trades/list"


class NobitexVenue(IranianVenue):
    """An account at Nobitex."""

    features = Features(oco=False, stop_market=True, stop_limit=True, take_profit=False, replace=False)
    order_path = "market/orders/add"
    balance_path = "users/wallets/list"
    lookup_paths = (_STATUS,)

    async def cancel(self, market: Market, client_order_id: str, exchange_order_id: str | None) -> CancelOutcome:
        self._pair(market)
        key = {"clientOrderId": client_order_id} if exchange_order_id is None else {"order": exchange_order_id}

        def read(value: Any) -> CancelOutcome:
            done = value["updatedStatus"] == "Canceled"
            return Canceled() if done else Unknown(f"{self.name} did not say that the order was cancelled")

        params = {**key, "status": "canceled"}
        return await self._send("market/orders/update-status", "POST", lambda: params, read, self._cancel_refused)

    async def order(
        self, market: Market, client_order_id: str, exchange_order_id: str | None = None, *, since_ms: int = 0
    ) -> OrderReport | None:
        """Return an order. By our id Nobitex finds only one that rests: the lists are read for one that has ended."""
        await self._list()
        key = {"clientOrderId": client_order_id} if exchange_order_id is None else {"id": exchange_order_id}

        def read(value: Any) -> Any:
            return None if self._denies(value) else self._client.parse_order(value["order"], self._ccxt_market(market))

        found = await self._ask(_STATUS, key, read, weight=1, method="POST")
        if found is None and exchange_order_id is None:
            ended = await self._orders(market, "all", since_ms)
            named = [order for order in ended if order["clientOrderId"] == client_order_id]
            found = max(named, key=lambda order: int(order["id"]), default=None)
        return None if found is None else self._report(found)

    async def order_fills(self, market: Market, exchange_order_id: str) -> list[VenueFill]:
        """Return the executions of an order within the last three days."""
        await self._list()
        fills = await self._trades(self._client_pair(market), 0)
        return [fill for fill in fills if fill.exchange_order_id == exchange_order_id]

    async def open_orders(self, markets: Sequence[Market]) -> list[OrderReport]:
        await self._list()
        return [report for report in self._reports(await self._orders(None, "open", 0)) if report.market in set(markets)]

    async def my_trades(
        self, markets: Sequence[Market], after: Mapping[Market, TradeMark], *, since_ms: int = 0
    ) -> list[VenueFill]:
        await self._list()
        fills = [fill for fill in await self._trades({}, since_ms) if fill.market in set(markets)]
        return sorted(fills, key=lambda fill: int(fill.trade_id))

    async def _orders(self, market: Market | None, status: str, since_ms: int) -> list[Any]:
        """Return orders as ccxt has them, newest first, until a page ends before `since_ms`; each once."""
        wanted = {} if market is None else self._client_pair(market)
        orders: dict[str, Any] = {}
        for page in range(1, 10**6):
            params = {"status": status, "details": "2", "order": "-id", "page": str(page), "pageSize": str(PAGE), **wanted}
            found = await self._ask(_LIST, params, lambda value: self._read_orders(value), weight=1)
            orders.update((order["id"], order) for order in found)
            oldest = min((order["timestamp"] or 0 for order in found), default=0)
            if len(found) < PAGE or oldest < since_ms:
                break
        return list(orders.values())

    def _read_orders(self, value: Any) -> list[Any]:
        return self._client.parse_orders(self._client.part(value, "orders", list))

    async def _trades(self, wanted: Mapping[str, str], since_ms: int) -> list[VenueFill]:
        fills: dict[str, VenueFill] = {}
        for page in range(1, 10**6):
            params = {"page": str(page), "pageSize": str(PAGE), **wanted}
            found, goes_on = await self._ask(_TRADES, params, self._read_trades, weight=1)
            fills.update((fill.trade_id, fill) for fill in found)
            if not goes_on or min((fill.traded_at for fill in found), default=since_ms) < since_ms:
                break
        return list(fills.values())

    def _read_trades(self, value: Any) -> tuple[list[VenueFill], bool]:
        rows = self._client.part(value, "trades", list)
        fills = self._fills(self._client.parse_trades([{"own": row} for row in rows]))
        return fills, value.get("hasNext", len(rows) == PAGE) is True

    def _client_pair(self, market: Market) -> dict[str, str]:
        return self._client.pair(self._ccxt_market(market))

    def _ccxt_market(self, market: Market) -> Any:
        self._pair(market)
        if market.ccxt_symbol not in self._client.markets:
            raise InvalidInput(f"{self.name} does not list {market}")
        return self._client.markets[market.ccxt_symbol]

    def _placed(self, value: Any, market: Any, request: Any) -> Any:
        return self._client.placed(self._client.part(value, "order", dict), market, request)

    def _balances(self, value: Any) -> Any:
        return self._client.parse_balances(value)

    def _executed_sum(self, order: Any) -> Decimal | None:
        """Return nothing but a zero: averages are rounded, and the fills tell it to the digit."""
        return None if Decimal(order["filled"]) else Decimal(0)

    def _says_missing(self, status: int, value: Mapping[str, Any]) -> bool:
        failed = value.get("status") == "failed"
        return (failed and value.get("code") == "NotFound") or (status == 404 and (failed or "detail" in value))
