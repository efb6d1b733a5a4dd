"""Wallex's dialect below /wallex: paths, keys and its words for what the matching core refuses."""

from collections.abc import Mapping

from fks_assets.simulator import wallex
from fks_assets.simulator.answers import Answer, Refusal
from fks_assets.simulator.api import Call, Params, PrivateHandler, PublicHandler
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import Refused
from fks_assets.simulator.udf import dated

_PREFIX = "/wallex/v1/"
_ACCOUNT = "account/"
_CALLS_A_SECOND = 100


class WallexApi:
    """Wallex under /wallex."""

    name = "wallex"
    routes = (_PREFIX + "{endpoint:path}",)
    public: Mapping[str, PublicHandler] = wallex.PUBLIC
    private: Mapping[str, PrivateHandler] = wallex.PRIVATE

    def endpoint_of(self, method: str, path: str) -> str:
        name = path.removeprefix(_PREFIX)
        if name.startswith(_ACCOUNT):
            return f"{method} {name.removeprefix(_ACCOUNT).partition('/')[0]}"
        return name.removeprefix("udf/") if method == "GET" else f"{method} {name}"

    def path_params(self, path: str) -> Params:
        name = path.removeprefix(_PREFIX + _ACCOUNT + "orders/")
        return {"clientOrderId": name} if name != path else {}

    def symbol_of(self, exchange: SimulatedExchange, params: Params) -> str:
        sent = params.get("symbol", "").upper()
        return next((one.symbol for one in wallex.listed(exchange) if wallex.market_id(one) == sent), "")

    def timeframe_of(self, params: Params) -> str:
        sent = params.get("resolution", "")
        return wallex.RESOLUTIONS.get(sent, sent)

    def weight(self, endpoint: str, params: Params) -> int:
        return 1

    def judge(self, exchange: SimulatedExchange, call: Call, weight: int, headers: dict[str, str]) -> Answer | None:
        headers["Date"] = dated(exchange)
        wait = exchange.limiter.judge_calls(self.name, call.client, call.endpoint, _CALLS_A_SECOND, 1.0)
        return None if wait is None else wallex.error("Too many requests", 429)

    def judge_account(self, exchange: SimulatedExchange, account: Account, call: Call, headers: dict[str, str]) -> Answer | None:
        return None

    def authenticate(self, exchange: SimulatedExchange, call: Call) -> Account:
        """Return the account of the key; Wallex's calls carry the key itself and no signature."""
        key = call.headers.get("x-api-key") or call.headers.get("authorization", "").removeprefix("Bearer ")
        account = exchange.trading.accounts.by_key.get(key)
        if account is None:
            raise Refusal(wallex.error("Unauthenticated", 401))
        return account

    def refused(self, exchange: SimulatedExchange, refused: Refused, call: Call) -> Answer:
        return wallex.refusal_of(refused)

    def error(self, code: int, message: str) -> Answer:
        return wallex.error(message)

    def unknown(self) -> Answer:
        return wallex.error("Not found", 404)


WALLEX = WallexApi()
