"""What Wallex asks and answers, read as ccxt's structures. Prices and balances are in toman, which it calls TMN and the desk IRT.

An order's id is its client id: nothing else names it. The documented API has no stop and no OCO order, so a trigger is refused
here and never sent as a plain order. Fills carry no number of their own; their ids are made from what they say.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ccxt.base.errors import AuthenticationError, BadResponse, ExchangeError, InvalidOrder, NotSupported

from fks_assets.exchanges.iranian import MISSING, STOP_WORDS, TOMAN, IranianExchange, subtracted
from fks_assets.quant.money import money_text

_STATUS = {
    "NEW": "open",
    "PARTIALLY_FILLED": "open",
    "FILLED": "closed",
    "CANCELED": "canceled",
    "REJECTED": "rejected",
    "EXPIRED": "expired",
}
_TRIGGERS = (*STOP_WORDS, "takeProfitPrice", "stopLoss", "takeProfit", "trailingAmount", "trailingPercent", "stopLimitPrice")
_MOST_DECIMALS = 18


class WallexAnswers(IranianExchange):
    """The description of Wallex and everything about it that needs no call."""

    order_paths = ("account/orders",)

    def describe(self) -> Any:
        return self.deep_extend(
            super().describe(),
            {
                "id": "wallex",
                "name": "Wallex",
                "version": "v1",
                "rateLimit": 100,
                "urls": {
                    "api": {"public": "https://api.wallex.ir", "private": "https://api.wallex.ir"},
                    "www": "https://wallex.ir",
                },
                "requiredCredentials": {"apiKey": False, "token": False},
                "has": {"fetchTradingFees": True},
                "timeframes": {"1m": "1", "1h": "60", "4h": "240", "1d": "1D"},
                "commonCurrencies": {"TMN": TOMAN},
                "options": {"candlesPerPage": 500},
                "fees": {"trading": {"maker": "0.004", "taker": "0.004"}},
            },
        )

    def credential_headers(self) -> dict[str, str]:
        """Return the documented X-API-Key header, or the older Bearer one for an account that has a token."""
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.apiKey:
            return {"X-API-Key": self.apiKey}
        raise AuthenticationError("wallex needs an apiKey or a token")

    def raise_reported(self, response: Any, status: int, said: str) -> None:
        if status >= 300:
            return
        if response.get("s") == "error" or response.get("success") is False:
            raise ExchangeError(said)
        if response.get("s") not in ("ok", "no_data") and response.get("success") is not True:
            raise BadResponse(said)

    def parse_markets(self, answer: Any) -> list[Any]:
        """Return every market of an answer, each under its own name."""
        symbols = self.part(self.part(answer, "result", dict), "symbols", dict)
        for name, symbol in symbols.items():
            if self.text(symbol, "symbol") != name:
                raise BadResponse(f"{self.id} answered the market {symbol['symbol'][:40]!r} as {name[:40]!r}")
        return [self.parse_market(symbol) for symbol in symbols.values()]

    def parse_market(self, symbol: Any) -> Any:
        """Return a market; one whose steps are missing is inactive."""
        market_id, base_id, quote_id = (self.text(symbol, key) for key in ("symbol", "baseAsset", "quoteAsset"))
        base, quote_code = self.safe_currency_code(base_id), self.safe_currency_code(quote_id)
        steps = {name: self._step(symbol, key) for name, key in (("amount", "stepSize"), ("price", "tickSize"))}
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
                "active": None not in steps.values(),
                "maker": self.fees["trading"]["maker"],
                "taker": self.fees["trading"]["taker"],
                "precision": steps,
                "limits": {
                    "amount": {"min": self.amount_or_none(symbol, "minQty"), "max": self.amount_or_none(symbol, "maxQty")},
                    "cost": {"min": self.amount_or_none(symbol, "minNotional"), "max": None},
                    "price": {"min": None, "max": None},
                    "leverage": {"min": None, "max": None},
                },
                "created": self.parse8601(symbol.get("createdAt")),
                "info": symbol,
            }
        )

    def _step(self, symbol: Any, key: str) -> str | None:
        decimals = symbol.get(key)
        if decimals in MISSING:
            return None
        if type(decimals) is not int or not 0 <= decimals <= _MOST_DECIMALS:
            raise BadResponse(f"{self.id} answered {str(decimals)[:40]!r} decimals as {key}")
        return money_text(Decimal(1).scaleb(-decimals))

    def parse_ticker(self, stats: Any, market: Any = None) -> Any:
        change = stats.get("24h_ch") if isinstance(stats, dict) else None
        return self.safe_ticker(
            {
                "symbol": market["symbol"],
                "timestamp": None,
                "datetime": None,
                "last": self.amount(stats, "lastPrice", above_zero=True),
                "bid": self.amount_or_none(stats, "bidPrice"),
                "ask": self.amount_or_none(stats, "askPrice"),
                "high": self.amount_or_none(stats, "24h_highPrice"),
                "low": self.amount_or_none(stats, "24h_lowPrice"),
                "baseVolume": self.amount_or_none(stats, "24h_volume"),
                "quoteVolume": self.amount_or_none(stats, "24h_quoteVolume"),
                "percentage": None if change in MISSING else str(change),
                "info": stats,
            },
            market,
        )

    def _level(self, level: Any) -> list[str]:
        return [self.amount(level, key, above_zero=True) for key in ("price", "quantity")]

    def identified(self, rows: list[Any], order_id: str | None) -> list[Any]:
        """Return fills with ids made from what they say and how many said the same before, the same at every reading."""
        seen: Counter[str] = Counter()
        named = []
        for row in sorted(rows, key=lambda row: self.moment(row, "timestamp")):
            said = "|".join([*(str(row.get(key)) for key in ("symbol", "timestamp", "isBuyer")), *self._level(row)])
            digest = hashlib.sha256(f"{order_id or ''}|{said}".encode()).hexdigest()[:24]
            named.append({"own": row, "id": f"{digest}-{seen[digest]}", "order": order_id})
            seen[digest] += 1
        return named

    def parse_trade(self, trade: Any, market: Any = None) -> Any:
        """Return a public trade from {"taker": row}, one of our own from {"own": row, "id", "order"}."""
        row = trade.get("own") or trade["taker"]
        is_own = "own" in trade
        market = self.market_by_id(self.text(row, "symbol"))
        time = self.moment(row, "timestamp")
        is_buy = row.get("isBuyer" if is_own else "isBuyOrder")
        if type(is_buy) is not bool:
            raise BadResponse(f"{self.id} answered {str(is_buy)[:40]!r} as the side of a trade")
        fee = None
        if is_own:
            fee = {"cost": self.amount(row, "fee"), "currency": self.safe_currency_code(self.text(row, "feeAsset"))}
        return self.safe_trade(
            {
                "id": trade.get("id"),
                "order": trade.get("order"),
                "info": row,
                "timestamp": time,
                "datetime": self.iso8601(time),
                "symbol": market["symbol"],
                "type": None,
                "side": "buy" if is_buy else "sell",
                "takerOrMaker": None,
                "price": self.amount(row, "price", above_zero=True),
                "amount": self.amount(row, "quantity", above_zero=True),
                "cost": self.amount_or_none(row, "sum"),
                "fee": fee,
            },
            market,
        )

    def parse_order(self, order: Any, market: Any = None) -> Any:
        """Return a unified order. What was executed decides, not the word: an order FILLED in part is open or canceled."""
        named = self.text(order, "clientOrderId")
        market = self.market_by_id(self.text(order, "symbol"))
        status = self.known(order, "status", _STATUS)
        filled, quantity = self.amount(order, "executedQty"), self.amount(order, "origQty", above_zero=True)
        if status == "closed" and Decimal(filled) < Decimal(quantity):
            status = "open" if order.get("active") is True else "canceled"
        kind = self.known(order, "type", {"LIMIT": "limit", "MARKET": "market"})
        fills = order.get("fills")
        is_filled = Decimal(filled) > 0
        time = self._order_time(order)
        return self.safe_order(
            {
                "id": named,
                "clientOrderId": named,
                "info": order,
                "timestamp": time,
                "datetime": self.iso8601(time),
                "symbol": market["symbol"],
                "type": kind,
                "side": self.known(order, "side", {"BUY": "buy", "SELL": "sell"}),
                "price": self.amount_or_none(order, "price") if kind == "limit" else None,
                "triggerPrice": None,
                "amount": quantity,
                "filled": filled,
                "cost": self.amount_or_none(order, "executedSum") if is_filled else "0",
                "average": self.amount_or_none(order, "executedPrice") if is_filled else None,
                "status": status,
                "trades": self.parse_trades(self.identified(fills, named), market) if isinstance(fills, list) else [],
            },
            market,
        )

    def _order_time(self, order: Any) -> int | None:
        if order.get("created_at") not in MISSING:
            return self.moment(order, "created_at")
        return order["transactTime"] * 1000 if type(order.get("transactTime")) is int else None

    def parse_balances(self, found: Any) -> Any:
        """Return the balances. `value` is taken as the total with the locked part in it: so nothing is counted free twice."""
        balances: dict[str, Any] = {"info": found, "timestamp": None, "datetime": None}
        for asset, entry in found.items():
            total, locked = self.amount(entry, "value"), self.amount(entry, "locked")
            code = self.safe_currency_code(asset)
            balances[code] = {"total": total, "used": locked, "free": subtracted(total, locked)}
        return self.safe_balance(balances)

    def parse_fees(self, found: Any) -> Any:
        """Return the account's own fees, as fractions of the value, by symbol; markets that are not listed are left out."""
        listed = {name: entry for name, entry in found.items() if name in (self.markets_by_id or {})}
        fees = {}
        for name, entry in listed.items():
            symbol = self.market_by_id(name)["symbol"]
            maker, taker = (self.amount(entry, key) for key in ("makerFeeRate", "takerFeeRate"))
            fees[symbol] = {
                "info": entry,
                "symbol": symbol,
                "maker": maker,
                "taker": taker,
                "percentage": True,
                "tierBased": True,
            }
        return fees

    def order_request(self, market: Any, kind: str, side: str, amount: Any, price: Any, asked: Mapping[str, Any]) -> Any:
        """Return what is sent for a limit or market order, with `clientOrderId` if one is given.

        Raises NotSupported for every other type and for anything that has a trigger: Wallex documents no such order. Raises
        InvalidOrder for an amount or price that is not on the market's steps.
        """
        triggers = [name for name in _TRIGGERS if asked.get(name) is not None]
        if triggers or kind not in ("limit", "market"):
            raise NotSupported(
                f"wallex documents no {kind} order{' with ' + ', '.join(triggers) if triggers else ''}: it has limit and market "
                "orders without a trigger; nothing was sent"
            )
        self.only_known(asked, ("clientOrderId",))
        steps = market["precision"]
        request = {
            "symbol": market["id"],
            "type": kind.upper(),
            "side": self.side_of(side).upper(),
            "quantity": money_text(self.order_number(amount, steps["amount"], "amount")),
        }
        if kind == "limit":
            request["price"] = money_text(self.order_number(price, steps["price"], "price"))
        elif price is not None:
            raise InvalidOrder("a market order at wallex has no price; nothing was sent")
        if asked.get("clientOrderId") is not None:
            request["client_id"] = asked["clientOrderId"]
        return request

    def placed(self, answer: Any, request: Mapping[str, Any]) -> Any:
        """Return the order that an answer says was taken; raise BadResponse when it is not the one that was sent."""
        order = self.parse_order(self.part(answer, "result", dict))
        is_ours = order["side"] == request["side"].lower() and Decimal(order["amount"]) == Decimal(request["quantity"])
        if not is_ours or order["info"]["symbol"] != request["symbol"]:
            raise BadResponse(f"wallex answered the order {order['id']} of {order['side']} {order['amount']}, which was not sent")
        return order
