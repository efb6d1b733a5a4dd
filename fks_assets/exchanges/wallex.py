"""Wallex as a ccxt exchange, for which ccxt has no class: https://api.wallex.ir."""

from typing import Any
from urllib.parse import quote

from ccxt.base.errors import BadResponse, OrderNotFound

from fks_assets.exchanges.iranian import MISSING
from fks_assets.exchanges.wallex_answers import WallexAnswers


class Wallex(WallexAnswers):
    """ccxt's unified calls on api.wallex.ir."""

    order_paths = ("/account/orders",)

    async def result(self, path: str, api: str, method: str, params: Any, key: str, kind: type) -> Any:
        """Return a part of an answer's `result`."""
        answer = await self.request(path, api, method, params)
        return self.part(self.part(answer, "result", dict), key, kind)

    async def fetch_markets(self, params: Any = None) -> list[Any]:
        """Return every spot market; one whose steps are missing is inactive."""
        return self.parse_markets(await self.request("v1/markets", "public", "GET", params or {}))

    async def fetch_ticker(self, symbol: str, params: Any = None) -> Any:
        """Return a market's last price and figures of 24 hours, from the list of all markets."""
        await self.load_markets()
        market = self.market(symbol)
        symbols = await self.result("v1/markets", "public", "GET", params or {}, "symbols", dict)
        return self.parse_ticker(self.part(symbols, market["id"], dict).get("stats"), market)

    async def fetch_tickers(self, symbols: Any = None, params: Any = None) -> Any:
        """Return the tickers of all markets that have traded."""
        await self.load_markets()
        found = await self.result("v1/markets", "public", "GET", params or {}, "symbols", dict)
        stats = {market_id: self.part(entry, "stats", dict) for market_id, entry in found.items()}
        traded = {market_id: figures for market_id, figures in stats.items() if figures.get("lastPrice") not in MISSING}
        tickers = [self.parse_ticker(figures, self.market_by_id(market_id)) for market_id, figures in traded.items()]
        return self.filter_by_array_tickers(tickers, "symbol", self.market_symbols(symbols))

    async def fetch_order_book(self, symbol: str, limit: int | None = None, params: Any = None) -> Any:
        """Return the order book of a market; Wallex says no time for it."""
        await self.load_markets()
        market = self.market(symbol)
        answer = await self.request("v1/depth", "public", "GET", {"symbol": market["id"], **(params or {})})
        result = self.part(answer, "result", dict)
        bids, asks = ([self._level(level) for level in self.part(result, side, list)] for side in ("bid", "ask"))
        return self.book(market["symbol"], bids, asks, limit, None)

    async def fetch_trades(
        self, symbol: str, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the newest public trades, oldest first."""
        await self.load_markets()
        market = self.market(symbol)
        rows = await self.result("v1/trades", "public", "GET", {"symbol": market["id"], **(params or {})}, "latestTrades", list)
        return self.parse_trades([{"taker": row} for row in rows], market, since, limit)

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str = "1m", since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return candles, oldest first, the running one included."""
        await self.load_markets()
        window = self.candle_window(timeframe, since, limit, params or {})
        answer = await self.request("v1/udf/history", "public", "GET", {"symbol": self.market(symbol)["id"], **window})
        return self.candles(answer, since, limit)

    async def fetch_balance(self, params: Any = None) -> Any:
        """Return the balances, toman under IRT."""
        await self.load_markets()
        found = await self.result("v1/account/balances", "private", "GET", params or {}, "balances", dict)
        return self.parse_balances(found)

    async def fetch_trading_fees(self, params: Any = None) -> Any:
        """Return the account's own fees by symbol."""
        await self.load_markets()
        answer = await self.request("v1/account/fee", "private", "GET", params or {})
        return self.parse_fees(self.part(answer, "result", dict))

    async def create_order(self, symbol: str, type: str, side: str, amount: Any, price: Any = None, params: Any = None) -> Any:
        """Send a limit or market order as `order_request` makes it; an order that it refuses is not sent."""
        await self.load_markets()
        request = self.order_request(self.market(symbol), type, side, amount, price, params or {})
        return self.placed(await self.request("v1/account/orders", "private", "POST", request), request)

    async def cancel_order(self, id: str, symbol: str | None = None, params: Any = None) -> Any:
        """Cancel an order by its client id; return it as it is then."""
        await self.load_markets()
        self.only_known(params or {}, ("clientOrderId",))
        sent = {"clientOrderId": self._named(id, params)}
        answer = await self.request("v1/account/orders", "private", "DELETE", sent)
        return self.parse_order(self.part(answer, "result", dict))

    async def fetch_order(self, id: str | None, symbol: str | None = None, params: Any = None) -> Any:
        """Return an order by its client id. Raises OrderNotFound when Wallex does not know it."""
        await self.load_markets()
        wanted = self._named(id, params)
        answer = await self.request(f"v1/account/orders/{quote(wanted, safe='')}", "private", "GET")
        order = self.parse_order(self.part(answer, "result", dict))
        if order["id"] != wanted:
            raise BadResponse(f"wallex answered the order {order['id']!r} when asked for {wanted!r}")
        return order

    def _named(self, id: str | None, params: Any) -> str:
        named = id or (params or {}).get("clientOrderId")
        if not named:
            raise OrderNotFound("wallex finds orders by their client id, and none was given")
        return str(named)

    async def fetch_open_orders(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the orders that rest, of one market or of all."""
        await self.load_markets()
        market = None if symbol is None else self.market(symbol)
        sent = {**({} if market is None else {"symbol": market["id"]}), **(params or {})}
        rows = await self.result("v1/account/openOrders", "private", "GET", sent, "orders", list)
        return self.parse_orders(rows, market, since, limit)

    async def fetch_my_trades(
        self, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the account's newest fills, oldest first. They do not say of which order: see `fetch_order_trades`."""
        await self.load_markets()
        market = None if symbol is None else self.market(symbol)
        sent = {**({} if market is None else {"symbol": market["id"]}), **(params or {})}
        rows = await self.result("v1/account/trades", "private", "GET", sent, "AccountLatestTrades", list)
        return self.parse_trades(self.identified(rows, None), market, since, limit)

    async def fetch_order_trades(
        self, id: str, symbol: str | None = None, since: int | None = None, limit: int | None = None, params: Any = None
    ) -> list[Any]:
        """Return the fills that an order lists; none where Wallex leaves the list out."""
        order = await self.fetch_order(id, symbol, params)
        return self.filter_by_since_limit(order["trades"], since, limit)
