"""Nobitex's dialect below /nobitex: paths, tokens, call limits and its words for what the matching core refuses."""

from collections.abc import Mapping

import orjson

from fks_assets.simulator import nobitex, nobitex_private
from fks_assets.simulator.answers import Answer, Refusal
from fks_assets.simulator.api import Call, Params, PrivateHandler, PublicHandler
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import Refused
from fks_assets.simulator.udf import dated

_PREFIX = "/nobitex/"
_PUBLIC = {"v2/options": "options", "market/stats": "stats", "market/udf/history": "history"}
_BY_SYMBOL = {"v3/orderbook/": "orderbook", "v2/trades/": "trades"}
_PRIVATE = {
    ("POST", "market/orders/add"): "orders/add",
    ("POST", "market/orders/status"): "orders/status",
    ("POST", "market/orders/update-status"): "orders/update-status",
    ("GET", "market/orders/list"): "orders/list",
    ("GET", "market/trades/list"): "trades/list",
    ("GET", "users/wallets/list"): "wallets/list",
}
# Calls and the seconds in which they may be made, of an address (public) and of a token.
_LIMITS = {
    "history": (60, 60.0),
    "orderbook": (300, 60.0),
    "trades": (60, 60.0),
    "stats": (20, 60.0),
    "options": (60, 60.0),
    "orders/add": (300, 600.0),
    "orders/status": (300, 60.0),
    "orders/update-status": (90, 60.0),
    "orders/list": (30, 60.0),
    "trades/list": (30, 60.0),
    "wallets/list": (20, 120.0),
}


class NobitexApi:
    """Nobitex under /nobitex."""

    name = "nobitex"
    routes = (_PREFIX + "{endpoint:path}",)
    public: Mapping[str, PublicHandler] = nobitex.ENDPOINTS
    private: Mapping[str, PrivateHandler] = nobitex_private.ENDPOINTS

    def endpoint_of(self, method: str, path: str) -> str:
        name = path.removeprefix(_PREFIX)
        if (method, name) in _PRIVATE:
            return _PRIVATE[method, name]
        by_symbol = next((endpoint for start, endpoint in _BY_SYMBOL.items() if name.startswith(start)), None)
        found = by_symbol or _PUBLIC.get(name)
        return found if found is not None and method == "GET" else f"{method} {name}"

    def path_params(self, path: str) -> Params:
        name = path.removeprefix(_PREFIX)
        return next(({"symbol": name.removeprefix(start)} for start in _BY_SYMBOL if name.startswith(start)), {})

    def symbol_of(self, exchange: SimulatedExchange, params: Params) -> str:
        found = nobitex.named(exchange, params)
        number = params.get("order") or params.get("id") or ""
        order = exchange.trading.registry.orders.get(int(number)) if number.isdecimal() else None
        return found.symbol if found is not None else "" if order is None else order.symbol

    def timeframe_of(self, params: Params) -> str:
        sent = params.get("resolution", "")
        return nobitex.RESOLUTIONS.get(sent, sent)

    def weight(self, endpoint: str, params: Params) -> int:
        return 1

    def judge(self, exchange: SimulatedExchange, call: Call, weight: int, headers: dict[str, str]) -> Answer | None:
        headers["Date"] = dated(exchange)
        return self._limited(exchange, call, call.client) if call.endpoint in self.public else None

    def judge_account(self, exchange: SimulatedExchange, account: Account, call: Call, headers: dict[str, str]) -> Answer | None:
        return self._limited(exchange, call, f"key {account.key}")

    def authenticate(self, exchange: SimulatedExchange, call: Call) -> Account:
        """Return the account of the token; Nobitex's calls carry the token itself and no signature."""
        key = call.headers.get("authorization", "").removeprefix("Token ")
        account = exchange.trading.accounts.by_key.get(key)
        if account is None:
            raise Refusal(Answer(orjson.dumps({"detail": "توکن غیر مجاز"}), 401))
        return account

    def refused(self, exchange: SimulatedExchange, refused: Refused, call: Call) -> Answer:
        return nobitex_private.refusal_of(refused)

    def error(self, code: int, message: str) -> Answer:
        return nobitex.error(message, message)

    def unknown(self) -> Answer:
        return nobitex.missing()

    def _limited(self, exchange: SimulatedExchange, call: Call, who: str) -> Answer | None:
        most, seconds = _LIMITS[call.endpoint]
        wait = exchange.limiter.judge_calls(self.name, who, call.endpoint, most, seconds)
        if wait is None:
            return None
        return nobitex.error("TooManyRequests", "Too many requests.", 429, backOff=max(1, int(wait) + 1), limit=most)


NOBITEX = NobitexApi()
