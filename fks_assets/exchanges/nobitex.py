"""Nobitex as a ccxt exchange, for which ccxt has no class: https://apiv2.nobitex.ir."""

from collections.abc import Mapping
from typing import Any

from ccxt.base.errors import BadResponse, MarketClosed, OrderNotFound

from fks_assets.exchanges.nobitex_answers import NobitexAnswers

PAGE_ROWS = 100
MOST_PAGES = 10


class Nobitex(NobitexAnswers):
    """ccxt's unified calls on apiv2.nobitex.ir."""

    order_paths = ("/market/orders/",)

    async def fetch_markets(self, params: Any = None) -> list[Any]:
        """Return every spot market that has both steps; the options say nothing of one that is closed for a while."""
        return self.parse_markets(await self.request("v2/options", "public", "GET", params or {}))

    async def fetch_ticker(self, symbol: str, params: Any = None) -> Any:
        """Return a market's last price and figures of the day. Raises MarketClosed for one that does not trade now."""
        await self.load_markets()
        market = self.market(symbol)
        answer = await self.request("market/stats", "public", "GET", {**self.pair(market), **(params or {})})
        stats = self.part(self.part(answer, "stats", dict), f"{market['baseId']}-{market['quoteId']}", dict)
        if stats.get("isClosed") is True:
            raise MarketClosed(f"nobitex has closed {symbol} for now")
        return self.parse_ticker(stats, market)

    async def fetch_tickers(self, symbols: Any = None, params: Any = None) -> Any:
        """Return the tickers of all markets that trade now."""
        await self.load_markets()
        answer = await self.request("market/stats", "public", "GET", params or {})
        by_pair = {f"{market['baseId']}-{market['quoteId']}": market for market in self.markets.values()}
        tickers = [
            self.parse_ticker(stats, by_pair[pair])
            for pair, stats in self.part(answer, "stats", dict).items()
            if pair in by_pair and not (isinstance(stats, dict) and stats.get("isClosed") is True)
        ]
        return self.filter_by_array_tickers(tickers, "symbol", self.market_symbols(symbols))

    async def fetch_order_book(self, symbol: str, limit: int | None = None, params: Any = None) -> Any:
        """Return the order book of a market with the time of its last change."""
        await self.load_markets()
        market = self.market(symbol)
        answer = await self.request(f"v3/orderbook/{market['id']}", "public", "GET", params or {})
        per, time = self.per(market), answer.get("lastUpdate") if isinstance(answer, dict) else None
        bids, asks = ([self._level(level, per) for level in self.part(answer, side, list)] for side in ("bids", "asks"))
        return self.book(market["symbol"], bids, asks, limit, time if type(time) is int else None)

    async def fetch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the newest public trades, oldest first; an amount below the last digit is told as 0."""
        await self.load_markets()
        market = self.market(symbol)
        answer = await self.request(f"v2/trades/{market['id']}", "public", "GET", params or {})
        rows = [{"taker": row} for row in self.part(answer, "trades", list)]
        return self.parse_trades(rows, market, since, limit)

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return candles in toman, oldest first, at most 500. Those of a day and longer open at midnight in Tehran."""
        await self.load_markets()
        window = self.candle_window(timeframe, since, limit, params or {})
        answer = await self.request("market/udf/history", "public", "GET", {"symbol": self.market(symbol)["id"], **window})
        return self.candles(answer, since, limit)

    async def fetch_balance(self, params: Any = None) -> Any:
        """Return the balances, rial as toman."""
        await self.load_markets()
        answer = await self.request("users/wallets/list", "private", "GET", params or {})
        return self.parse_balances(answer)

    async def create_order(self, symbol: str, type: str, side: str, amount: Any, price: Any = None, params: Any = None) -> Any:
        """Send a limit, market or stop order as `order_request` makes it; an order that it refuses is not sent."""
        await self.load_markets()
        market = self.market(symbol)
        request = self.order_request(market, type, side, amount, price, params or {})
        answer = await self.request("market/orders/add", "private", "POST", request)
        return self.placed(self.part(answer, "order", dict), market, request)

    async def create_oco_order(
        self, symbol: str, side: str, amount: Any, price: Any, stop_price: Any, stop_limit_price: Any, params: Any = None
    ) -> list[Any]:
        """Send a limit order and a stop-limit order of which one cancels the other; return both, the limit order first.

        The client id belongs to the limit order; the stop has none, and is found by its own id or the other's `pairId`.
        """
        await self.load_markets()
        market = self.market(symbol)
        request = self.oco_request(market, side, amount, price, stop_price, stop_limit_price, params or {})
        return self.placed_pair(await self.request("market/orders/add", "private", "POST", request), market, request)

    async def cancel_order(self, id: str | None, symbol: str | None = None, params: Any = None) -> Any:
        """Cancel an order by its id or, without one, by `clientOrderId`; of an OCO order both go."""
        await self.load_markets()
        self.only_known(params or {}, ("clientOrderId",))
        sent = {**self._key(id, params, "order"), "status": "canceled"}
        answer = await self.request("market/orders/update-status", "private", "POST", sent)
        if self.text(answer, "updatedStatus") != "Canceled":
            raise BadResponse(f"nobitex answered the status {answer['updatedStatus'][:40]!r} to a cancellation")
        return self.parse_order(self.part(answer, "order", dict), None if symbol is None else self.market(symbol))

    async def fetch_order(self, id: str | None, symbol: str | None = None, params: Any = None) -> Any:
        """Return an order by its id or, without one, by `clientOrderId`.

        By client id Nobitex finds only what still rests; the newest 1000 orders are read then. OrderNotFound: in none of them.
        """
        await self.load_markets()
        market = None if symbol is None else self.market(symbol)
        try:
            answer = await self.request("market/orders/status", "private", "POST", self._key(id, params, "id"))
        except OrderNotFound:
            named = (params or {}).get("clientOrderId")
            if id is not None or named is None:
                raise
            found = [order for order in await self._listed(market, "all") if order["clientOrderId"] == named]
            if not found:
                raise
            return max(found, key=lambda order: int(order["id"]))
        return self.parse_order(self.part(answer, "order", dict), market)

    def _key(self, id: str | None, params: Any, name: str) -> dict[str, Any]:
        if id is not None:
            if not str(id).isascii() or not str(id).isdecimal():
                raise OrderNotFound(f"nobitex order ids are whole numbers, was {id!r}")
            return {name: int(id)}
        if not (params or {}).get("clientOrderId"):
            raise OrderNotFound("nobitex finds orders by id or clientOrderId, and none was given")
        return {"clientOrderId": params["clientOrderId"]}

    async def fetch_open_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the orders that rest, stops that have not been triggered among them."""
        await self.load_markets()
        orders = await self._listed(None if symbol is None else self.market(symbol), "open")
        return self.filter_by_since_limit(orders, since, limit)

    async def fetch_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the newest 1000 orders of every status."""
        await self.load_markets()
        orders = await self._listed(None if symbol is None else self.market(symbol), "all")
        return self.filter_by_since_limit(orders, since, limit)

    async def _listed(self, market: Any, status: str) -> list[Any]:
        sent = {"status": status, "details": 2, "order": "-id", **({} if market is None else self.pair(market))}
        rows = await self._pages("market/orders/list", sent, "orders")
        return self.parse_orders(rows, market)

    async def fetch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the account's fills, oldest first: Nobitex keeps those of the last three days."""
        await self.load_markets()
        market = None if symbol is None else self.market(symbol)
        sent = {**({} if market is None else self.pair(market)), **(params or {})}
        rows = [{"own": row} for row in await self._pages("market/trades/list", sent, "trades")]
        return self.parse_trades(rows, market, since, limit)

    async def fetch_order_trades(
        self, id: str, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return an order's fills of the last three days."""
        return [trade for trade in await self.fetch_my_trades(symbol, since, limit, params) if trade["order"] == str(id)]

    async def _pages(self, path: str, sent: Mapping[str, Any], key: str) -> list[Any]:
        """Return the rows of a list that comes in pages; a row that moved to the next page meanwhile counts once."""
        rows: dict[str, Any] = {}
        for page in range(1, MOST_PAGES + 1):
            answer = await self.request(path, "private", "GET", {**sent, "page": page, "pageSize": PAGE_ROWS})
            found = self.part(answer, key, list)
            rows.update((self.id_of(row), row) for row in found)
            if not answer.get("hasNext", len(found) == PAGE_ROWS):
                break
        return list(rows.values())
