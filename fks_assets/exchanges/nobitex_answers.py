"""What Nobitex asks and answers, read as ccxt's structures.

Its rial markets (`BTCIRT`, `rls`) are counted in rial in orders, fills, statistics, books and balances, but in toman in candles.
The desk sees toman (`IRT`) everywhere: prices, values and balances are divided by ten as they come, multiplied as they go.
Orders have a client id of at most 32 characters, by which Nobitex itself finds only orders that still rest.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ccxt.base.errors import (
    BadRequest,
    BadResponse,
    BadSymbol,
    DuplicateOrderId,
    ExchangeError,
    InsufficientFunds,
    InvalidOrder,
    MarketClosed,
    NotSupported,
    OrderNotFound,
    PermissionDenied,
    RateLimitExceeded,
)

from fks_assets.exchanges.iranian import MISSING, RIALS, STOP_WORDS, TOMAN, IranianExchange, subtracted
from fks_assets.quant.money import EXACT, money_text

LONGEST_CLIENT_ID = 32
ORDER_REFUSALS = {
    "InvalidOrderPrice": InvalidOrder,
    "BadPrice": InvalidOrder,
    "PriceConditionFailed": InvalidOrder,
    "OverValueOrder": InsufficientFunds,
    "SmallOrder": InvalidOrder,
    "DuplicateOrder": InvalidOrder,
    "DuplicateClientOrderId": DuplicateOrderId,
    "InvalidMarketPair": BadSymbol,
    "MarketClosed": MarketClosed,
    "TradingUnavailable": PermissionDenied,
    "FeatureUnavailable": PermissionDenied,
}
"""The documented codes of orders that were not taken."""
_CODES = {
    **ORDER_REFUSALS,
    "TooManyRequests": RateLimitExceeded,
    "NotFound": OrderNotFound,
    "NullIdAndClientOrderId": BadRequest,
}
_STATUS = {"New": "open", "Active": "open", "Inactive": "open", "Done": "closed", "Canceled": "canceled", "Rejected": "rejected"}
_EXECUTIONS = {"Limit": "limit", "Market": "market", "StopLimit": "limit", "StopMarket": "market"}
_QUOTES = {"IRT": "rls", "USDT": "usdt"}
_QUOTE_NAMES = {"﷼": "IRT", "ریال": "IRT", "Rial": "IRT", "RLS": "IRT", "IRT": "IRT", "Tether": "USDT", "USDT": "USDT"}


class NobitexAnswers(IranianExchange):
    """The description of Nobitex and everything about it that needs no call."""

    order_paths = ("market/orders/",)

    def describe(self) -> Any:
        return self.deep_extend(
            super().describe(),
            {
                "id": "nobitex",
                "name": "Nobitex",
                "version": "v2",
                "rateLimit": 1000,
                "urls": {
                    "api": {"public": "https://apiv2.nobitex.ir", "private": "https://apiv2.nobitex.ir"},
                    "www": "https://nobitex.ir",
                },
                "has": {
                    "createStopOrder": True,
                    "createStopLimitOrder": True,
                    "createStopMarketOrder": True,
                    "createOcoOrder": True,
                    "fetchOrders": True,
                },
                "timeframes": {
                    "1m": "1",
                    "5m": "5",
                    "15m": "15",
                    "30m": "30",
                    "1h": "60",
                    "3h": "180",
                    "4h": "240",
                    "6h": "360",
                    "12h": "720",
                    "1d": "D",
                    "2d": "2D",
                    "3d": "3D",
                },
                "commonCurrencies": {"RLS": TOMAN},
                "options": {"candlesPerPage": 500, "coinNames": {}},
                "fees": {"trading": {"maker": "0.002", "taker": "0.0025"}},
            },
        )

    def credential_headers(self) -> dict[str, str]:
        """Return the documented headers of a program's calls."""
        return {"Authorization": f"Token {self.apiKey}", "User-Agent": "TraderBot/fks_assets"}

    def raise_reported(self, response: Any, status: int, said: str) -> None:
        if response.get("status") == "failed":
            raise _CODES.get(str(response.get("code")), ExchangeError)(said)
        if response.get("s") == "error":
            raise BadRequest(said)
        if status < 300 and response.get("s") not in ("ok", "no_data") and response.get("status") != "ok":
            raise BadResponse(said)

    def parse_market(self, market: Any) -> Any:
        """Return a market from (id, price steps, amount steps, least values), the steps and values of rial markets in rial."""
        market_id, prices, amounts, least = market
        quote_code = next((code for code in _QUOTES if market_id.endswith(code) and market_id != code), None)
        if quote_code is None:
            raise BadResponse(f"{self.id} answered the market {market_id!r}, whose quote is none of {', '.join(_QUOTES)}")
        base_id, quote_id = market_id.removesuffix(quote_code).lower(), _QUOTES[quote_code]
        base = self.safe_currency_code(base_id)
        per = RIALS if quote_code == TOMAN else None
        return self.safe_market_structure(
            {
                "id": market_id,
                "symbol": f"{base}/{quote_code}",
                "base": base,
                "quote": quote_code,
                "baseId": base_id,
                "quoteId": quote_id,
                "type": "spot",
                "spot": True,
                "margin": False,
                "active": True,
                "maker": self.fees["trading"]["maker"],
                "taker": self.fees["trading"]["taker"],
                "precision": {
                    "amount": self.amount(amounts, market_id, above_zero=True),
                    "price": self.amount(prices, market_id, above_zero=True, per=per),
                },
                "limits": {
                    "amount": {"min": None, "max": None},
                    "cost": {"min": self.amount_or_none(least, quote_id, per=per), "max": None},
                    "price": {"min": None, "max": None},
                    "leverage": {"min": None, "max": None},
                },
                "info": {"amountPrecision": amounts[market_id], "pricePrecision": prices[market_id]},
            }
        )

    def per(self, market: Any) -> Decimal | None:
        """Return by what prices and values of a market are divided to be in the desk's unit."""
        return RIALS if market["quote"] == TOMAN else None

    def pair(self, market: Any) -> dict[str, str]:
        """Return how a request names a market."""
        return {"srcCurrency": market["baseId"], "dstCurrency": market["quoteId"]}

    def parse_ticker(self, stats: Any, market: Any = None) -> Any:
        per = self.per(market)
        change = stats.get("dayChange") if isinstance(stats, dict) else None
        return self.safe_ticker(
            {
                "symbol": market["symbol"],
                "timestamp": None,
                "datetime": None,
                "last": self.amount(stats, "latest", above_zero=True, per=per),
                "bid": self.amount_or_none(stats, "bestBuy", per=per),
                "ask": self.amount_or_none(stats, "bestSell", per=per),
                "high": self.amount_or_none(stats, "dayHigh", per=per),
                "low": self.amount_or_none(stats, "dayLow", per=per),
                "open": self.amount_or_none(stats, "dayOpen", per=per),
                "baseVolume": self.amount_or_none(stats, "volumeSrc"),
                "quoteVolume": self.amount_or_none(stats, "volumeDst", per=per),
                "percentage": None if change in MISSING else str(change),
                "info": stats,
            },
            market,
        )

    def _level(self, level: Any, per: Decimal | None) -> list[str]:
        if not isinstance(level, list) or len(level) != 2:
            raise BadResponse(f"{self.id} answered {str(level)[:40]!r} as a level of a book")
        return [self.plain(level[0], "a price", above_zero=True, per=per), self.plain(level[1], "an amount", above_zero=True)]

    def parse_markets(self, answer: Any) -> list[Any]:
        """Return every spot market of an answer of the options that has both steps; note the full names of the coins."""
        rules = self.part(answer, "nobitex", dict)
        prices, amounts = (self.part(rules, key, dict) for key in ("pricePrecisions", "amountPrecisions"))
        least = self.part(rules, "minOrders", dict)
        coins = self.part(answer, "coins", list)
        self.options["coinNames"] = {self.text(coin, "name"): self.text(coin, "coin") for coin in coins}
        return [self.parse_market((market_id, prices, amounts, least)) for market_id in prices if market_id in amounts]

    def parse_balances(self, answer: Any) -> Any:
        """Return the balances of a list of wallets, rial as toman."""
        balances: dict[str, Any] = {"info": answer, "timestamp": None, "datetime": None}
        for wallet in self.part(answer, "wallets", list):
            code = self.safe_currency_code(self.text(wallet, "currency"))
            per = RIALS if code == TOMAN else None
            total, blocked = (self.amount(wallet, key, per=per) for key in ("balance", "blockedBalance"))
            balances[code] = {"total": total, "used": blocked, "free": subtracted(total, blocked)}
        return self.safe_balance(balances)

    def order_request(self, market: Any, kind: str, side: str, amount: Any, price: Any, asked: Mapping[str, Any]) -> Any:
        """Return what is sent for a limit or market order; `triggerPrice` (or stopPrice, stopLossPrice) makes it a stop.

        A market order's price is the one expected: Nobitex fills it only near that. Raises NotSupported for any other kind or
        parameter, InvalidOrder for numbers off the market's steps.
        """
        self.only_known(asked, ("clientOrderId", *STOP_WORDS))
        if kind not in ("limit", "market"):
            raise NotSupported(f"nobitex orders are limit or market, with or without a trigger, not {kind!r}; nothing was sent")
        trigger = next((asked[word] for word in STOP_WORDS if asked.get(word) is not None), None)
        request = self._common_request(market, side, amount, asked)
        request["execution"] = kind if trigger is None else f"stop_{kind}"
        if kind == "limit" or price is not None:
            request["price"] = self._sent_price(market, price, "price")
        if trigger is not None:
            request["stopPrice"] = self._sent_price(market, trigger, "trigger price")
        return request

    def oco_request(
        self, market: Any, side: str, amount: Any, price: Any, stop_price: Any, stop_limit_price: Any, asked: Mapping[str, Any]
    ) -> Any:
        """Return what is sent for a limit order and a stop-limit order of which one cancels the other."""
        self.only_known(asked, ("clientOrderId",))
        prices = {"price": price, "stopPrice": stop_price, "stopLimitPrice": stop_limit_price}
        sent = {name: self._sent_price(market, value, name) for name, value in prices.items()}
        return {**self._common_request(market, side, amount, asked), "mode": "oco", **sent}

    def _common_request(self, market: Any, side: Any, amount: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
        step = market["precision"]["amount"]
        request = {
            "type": self.side_of(side),
            **self.pair(market),
            "amount": money_text(self.order_number(amount, step, "amount")),
        }
        named = asked.get("clientOrderId")
        if named is not None:
            if not isinstance(named, str) or not 0 < len(named) <= LONGEST_CLIENT_ID:
                raise InvalidOrder(f"nobitex client ids are texts of 1 to {LONGEST_CLIENT_ID} characters, was {named!r}")
            request["clientOrderId"] = named
        return request

    def _sent_price(self, market: Any, price: Any, name: str) -> str:
        number = self.order_number(price, market["precision"]["price"], name)
        per = self.per(market)
        return money_text(number if per is None else EXACT.multiply(number, per))

    def placed_pair(self, answer: Any, market: Any, request: Mapping[str, Any]) -> list[Any]:
        """Return the two orders of an answer to an OCO order, the limit order first; raise BadResponse unless they are twins."""
        legs = self.part(answer, "orders", list)
        if len(legs) != 2:
            raise BadResponse(f"nobitex answered {len(legs)} orders to an OCO order, not 2")
        limit, stop = sorted(legs, key=lambda leg: isinstance(leg, dict) and leg.get("param1") not in MISSING)
        orders = [self.placed(limit, market, request), self.placed(stop, market, {**request, "clientOrderId": None})]
        ids = [order["id"] for order in orders]
        is_pair = [order["triggerPrice"] is not None for order in orders] == [False, True]
        if not is_pair or [str(order["info"].get("pairId")) for order in orders] != ids[::-1]:
            raise BadResponse(f"nobitex answered the orders {' and '.join(ids)} to an OCO order, which are not each other's twin")
        return orders

    def placed(self, answered: Any, market: Any, request: Mapping[str, Any]) -> Any:
        """Return the order that an answer says was taken; raise BadResponse when it is not the one that was sent."""
        order = self.parse_order(answered, market)
        named = request.get("clientOrderId")
        is_ours = order["side"] == request["type"] and Decimal(order["amount"]) == Decimal(request["amount"])
        if not is_ours or named not in (None, order["clientOrderId"]):
            raise BadResponse(
                f"nobitex answered the order {order['id']} of {order['side']} {order['amount']} with the client id "
                f"{order['clientOrderId']!r}, which was not sent"
            )
        return order

    def id_of(self, row: Any, key: str = "id") -> str:
        """Return the whole number that names an order or fill."""
        found = row.get(key) if isinstance(row, dict) else None
        if type(found) is not int or found < 0:
            raise BadResponse(f"{self.id} answered {str(found)[:40]!r} as {key}")
        return str(found)

    def _market_of(self, row: Any, market: Any) -> Any:
        """Return the market of an order or fill, by its `market` or the full names of its coins; it must be the asked one."""
        quote_code = _QUOTE_NAMES.get(self.text(row, "dstCurrency"))
        if row.get("market") is not None:
            base_id, _, quote_name = self.text(row, "market").partition("-")
            base_id, quote_code = base_id.lower(), _QUOTE_NAMES.get(quote_name)
        else:
            name = self.text(row, "srcCurrency")
            base_id = self.options["coinNames"].get(name, name)
        found = self.market_by_id(f"{base_id.upper()}{quote_code}")
        if market is not None and found["symbol"] != market["symbol"]:
            raise BadResponse(f"{self.id} answered about {found['symbol']} when asked about {market['symbol']}")
        return found

    def _fee(self, row: Any, market: Any, side: str) -> dict[str, str] | None:
        """Return the fee, which comes off what is got: coins of a buyer, money of a seller."""
        if row.get("fee") in MISSING:
            return None
        is_buy = side == "buy"
        cost = self.amount(row, "fee", per=None if is_buy else self.per(market))
        return {"cost": cost, "currency": market["base" if is_buy else "quote"]}

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Return a public trade from {"taker": row}, one of our own from {"own": row}."""
        is_own = "own" in trade
        row = trade["own" if is_own else "taker"]
        found = self._market_of(row, market) if is_own else market
        per = self.per(found)
        side = self.known(row, "type", {"buy": "buy", "sell": "sell"})
        time = self.moment(row, "timestamp") if is_own else self.possible(row.get("time"), row.get("time"))
        return self.safe_trade(
            {
                "id": self.id_of(row) if is_own else None,
                "order": self.id_of(row, "orderId") if is_own else None,
                "info": row,
                "timestamp": time,
                "datetime": self.iso8601(time),
                "symbol": found["symbol"],
                "type": None,
                "side": side,
                "takerOrMaker": None,
                "price": self.amount(row, "price", above_zero=True, per=per),
                "amount": self.amount(row, "amount", above_zero=True) if is_own else self.amount(row, "volume"),
                "cost": self.amount_or_none(row, "total", per=per),
                "fee": self._fee(row, found, side) if is_own else None,
            },
            found,
        )

    def parse_order(self, order: Any, market: Any = None) -> Any:
        """Return a unified order; what it cost is told by its fills, for a `totalPrice` means two things in two answers."""
        market = self._market_of(order, market)
        per = self.per(market)
        side = self.known(order, "type", {"buy": "buy", "sell": "sell"})
        is_at_market = order.get("price") == "market"
        kind = "market" if is_at_market else "limit"
        if order.get("execution") is not None:
            kind = self.known(order, "execution", _EXECUTIONS)
        filled, quantity = self.amount(order, "matchedAmount"), self.amount(order, "amount", above_zero=True)
        time = None if order.get("created_at") in MISSING else self.moment(order, "created_at")
        average = self.amount_or_none(order, "averagePrice", per=per)
        return self.safe_order(
            {
                "id": self.id_of(order),
                "clientOrderId": order.get("clientOrderId"),
                "info": order,
                "timestamp": time,
                "datetime": self.iso8601(time),
                "symbol": market["symbol"],
                "type": kind,
                "side": side,
                "price": None if is_at_market else self.amount(order, "price", above_zero=True, per=per),
                "triggerPrice": self.amount_or_none(order, "param1", per=per),
                "amount": quantity,
                "filled": filled,
                "average": average if Decimal(filled) > 0 else None,
                "status": self.known(order, "status", _STATUS),
                "fee": self._fee(order, market, side),
                "trades": [],
            },
            market,
        )
