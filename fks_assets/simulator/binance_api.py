"""Binance's dialect: paths, keys and signatures, limits, and its words for what the matching core refuses."""

import hashlib
import hmac
import re
from collections.abc import Mapping

from fks_assets.simulator import binance, binance_lists, binance_private
from fks_assets.simulator.answers import Answer, Refusal, binance_error
from fks_assets.simulator.api import Call, Params, PrivateHandler, PublicHandler
from fks_assets.simulator.binance_params import number, required
from fks_assets.simulator.binance_paths import BinancePaths
from fks_assets.simulator.binance_refusals import refusal_of
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import Refused

_PREFIX = "/api/v3/"
_BANNED = "Way too much request weight used; IP banned until {until}. Please use the websocket for live updates to avoid bans."
_EXCEEDED = (
    "Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
    "Please use the websocket for live updates to avoid polling the API."
)
_SIGNATURE = re.compile(r"(^|&)signature=[^&]*")
_DEFAULT_WINDOW_MS, _LONGEST_WINDOW_MS, _AHEAD_MS = 5000, 60_000, 1000
_NEW_ORDERS = {"POST order": 1, "POST orderList/oco": 2, "POST order/cancelReplace": 1}


class BinanceApi(BinancePaths):
    """Binance spot under /api/v3."""

    name = "binance"
    prefix = _PREFIX
    routes = (_PREFIX + "{endpoint:path}",)
    public: Mapping[str, PublicHandler] = {name: endpoint.answer for name, endpoint in binance.ENDPOINTS.items()}
    private: Mapping[str, PrivateHandler] = {**binance_private.ENDPOINTS, **binance_lists.ENDPOINTS}

    def timeframe_of(self, params: Params) -> str:
        return binance.timeframe_of(params)

    def weight(self, endpoint: str, params: Params) -> int:
        if endpoint in self.public:
            return binance.ENDPOINTS[endpoint].weight(params)
        return binance_private.weight_of(endpoint, params)

    def judge(self, exchange: SimulatedExchange, call: Call, weight: int, headers: dict[str, str]) -> Answer | None:
        limiter = exchange.limiter
        verdict = limiter.judge_binance(call.client, call.endpoint, weight)
        headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(verdict.used)
        if verdict.allowed:
            return None
        banned, exceeded = _BANNED.format(until=verdict.banned_until_ms), _EXCEEDED.format(limit=limiter.binance.weight)
        text = banned if verdict.status == 418 else exceeded
        return binance_error(-1003, text, verdict.status, {"Retry-After": str(verdict.retry_after)})

    def judge_account(self, exchange: SimulatedExchange, account: Account, call: Call, headers: dict[str, str]) -> Answer | None:
        count = _NEW_ORDERS.get(call.endpoint)
        if count is None:
            return None
        verdict = exchange.limiter.judge_orders(account.key, call.endpoint, count)
        for name, used in zip(("10S", "1D"), verdict.used, strict=False):
            headers[f"X-MBX-ORDER-COUNT-{name}"] = str(used)
        if verdict.allowed:
            return None
        text = f"Too many new orders; current limit is {verdict.limit} orders per {verdict.interval}."
        return binance_error(-1015, text, 429, {"Retry-After": str(verdict.retry_after)})

    def authenticate(self, exchange: SimulatedExchange, call: Call) -> Account:
        key = call.headers.get("x-mbx-apikey", "")
        if not key:
            raise Refusal(binance_error(-2014, "API-key format invalid.", 401))
        account = exchange.trading.accounts.by_key.get(key)
        if account is None:
            raise Refusal(binance_error(-2015, "Invalid API-key, IP, or permissions for action.", 401))
        sent = required(call.params, "signature")
        signed = _SIGNATURE.sub("", call.query) + _SIGNATURE.sub("", call.body.decode("latin-1"))
        signature = hmac.new(account.secret.encode(), signed.encode("latin-1"), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature.encode(), sent.lower().encode()):
            raise Refusal(binance_error(-1022, "Signature for this request is not valid."))
        self._check_time(exchange, call.params)
        return account

    def refused(self, exchange: SimulatedExchange, refused: Refused, call: Call) -> Answer:
        return refusal_of(refused, is_query=call.method == "GET")

    @staticmethod
    def _check_time(exchange: SimulatedExchange, params: Params) -> None:
        sent = number(params, "timestamp")
        if sent is None:
            required(params, "timestamp")
        window = number(params, "recvWindow")
        if window is not None and window > _LONGEST_WINDOW_MS:
            raise Refusal(binance_error(-1131, f"recvWindow must be less than {_LONGEST_WINDOW_MS}"))
        if sent is None or not exchange.trading.settings.check_timestamps:
            return
        told = exchange.trading.told_ms
        if sent >= told + _AHEAD_MS:
            raise Refusal(binance_error(-1021, "Timestamp for this request was 1000ms ahead of the server's time."))
        if told - sent > (_DEFAULT_WINDOW_MS if window is None else window):
            raise Refusal(binance_error(-1021, "Timestamp for this request is outside of the recvWindow."))


BINANCE = BinanceApi()
