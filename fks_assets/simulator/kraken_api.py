"""Kraken's dialect: paths, keys, nonces and signatures, call counters, and its words for what the matching core refuses."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from fks_assets.simulator import kraken, kraken_private
from fks_assets.simulator.answers import Answer, Refusal, kraken_error
from fks_assets.simulator.api import Call, Params, PrivateHandler, PublicHandler
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.kraken_orders import number_of, refusal_of
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import Refused

_PUBLIC, _PRIVATE = "/0/public/", "/0/private/"
_COSTS = {"TradesHistory": 2.0, "QueryTrades": 1.0}
_ORDER_COUNTED = ("AddOrder", "EditOrder", "AmendOrder", "CancelOrder")
_PENALTIES = ((5, 8.0), (10, 6.0), (15, 5.0), (45, 4.0), (90, 2.0), (300, 1.0))


class KrakenApi:
    """Kraken spot under /0."""

    name = "kraken"
    routes = (_PUBLIC + "{endpoint:path}", _PRIVATE + "{endpoint:path}")
    public: Mapping[str, PublicHandler] = kraken.ENDPOINTS
    private: Mapping[str, PrivateHandler] = kraken_private.ENDPOINTS

    def endpoint_of(self, method: str, path: str) -> str:
        name = path.rpartition("/")[2]
        known = self.private if path.startswith(_PRIVATE) else self.public
        return name if name in known else f"{method} {path}"

    def path_params(self, path: str) -> Params:
        return {}

    def symbol_of(self, exchange: SimulatedExchange, params: Params) -> str:
        found = kraken.symbol_of(exchange, params)
        number = number_of(params.get("txid", ""))
        order = exchange.trading.registry.orders.get(number) if number is not None else None
        return found or ("" if order is None else order.symbol)

    def timeframe_of(self, params: Params) -> str:
        return kraken.timeframe_of(params)

    def weight(self, endpoint: str, params: Params) -> int:
        return int(_COSTS.get(endpoint, 1.0))

    def judge(self, exchange: SimulatedExchange, call: Call, weight: int, headers: dict[str, str]) -> Answer | None:
        if call.endpoint in self.private or exchange.limiter.judge_kraken(call.client, call.endpoint).allowed:
            return None
        return kraken_error("EAPI:Rate limit exceeded")

    def judge_account(self, exchange: SimulatedExchange, account: Account, call: Call, headers: dict[str, str]) -> Answer | None:
        limiter, symbol = exchange.limiter, self.symbol_of(exchange, call.params)
        if call.endpoint in _ORDER_COUNTED:
            cost = self._order_cost(exchange, call)
            is_allowed = limiter.judge_kraken_order(account.key, symbol, call.endpoint, cost).allowed
            return None if is_allowed else kraken_error("EOrder:Rate limit exceeded")
        cost = _COSTS.get(call.endpoint, 1.0)
        is_allowed = limiter.judge_kraken_key(account.key, call.endpoint, cost).allowed
        return None if is_allowed else kraken_error("EAPI:Rate limit exceeded")

    def authenticate(self, exchange: SimulatedExchange, call: Call) -> Account:
        account = exchange.trading.accounts.by_key.get(call.headers.get("api-key", ""))
        if account is None:
            raise Refusal(kraken_error("EAPI:Invalid key"))
        nonce = call.params.get("nonce", "")
        if not nonce.isdecimal() or len(nonce) > 20:
            raise Refusal(kraken_error("EAPI:Invalid nonce"))
        digest = hashlib.sha256(nonce.encode() + call.body).digest()
        try:
            secret = base64.b64decode(account.secret, validate=True)
        except binascii.Error:
            raise Refusal(kraken_error("EAPI:Invalid signature")) from None
        expected = base64.b64encode(hmac.new(secret, call.path.encode() + digest, hashlib.sha512).digest())
        if not hmac.compare_digest(expected, call.headers.get("api-sign", "").encode()):
            raise Refusal(kraken_error("EAPI:Invalid signature"))
        if int(nonce) <= account.last_nonce:
            raise Refusal(kraken_error("EAPI:Invalid nonce"))
        account.last_nonce = int(nonce)
        return account

    def refused(self, exchange: SimulatedExchange, refused: Refused, call: Call) -> Answer:
        return kraken_error(refusal_of(refused))

    def error(self, code: int, message: str) -> Answer:
        return kraken_error(message)

    def unknown(self) -> Answer:
        return kraken_error("EGeneral:Unknown method")

    @staticmethod
    def _order_cost(exchange: SimulatedExchange, call: Call) -> float:
        """Return what a call counts on the market's order counter: 1, and more for what ends a young order."""
        if call.endpoint == "AddOrder":
            return 1.0
        order = exchange.trading.registry.orders.get(number_of(call.params.get("txid", "")) or 0)
        age = (exchange.trading.now_ms - order.placed_ms) / 1000 if order is not None else float("inf")
        penalty = next((cost for below, cost in _PENALTIES if age < below), 0.0)
        return penalty if call.endpoint == "CancelOrder" else 1.0 + penalty


KRAKEN = KrakenApi()
