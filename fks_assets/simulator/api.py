"""What a dialect is: which paths it has, how it signs, limits and refuses, and its endpoints by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fks_assets.simulator.answers import Answer
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import Refused

Params = Mapping[str, str]
PublicHandler = Callable[[SimulatedExchange, Params], Answer]
PrivateHandler = Callable[[SimulatedExchange, Account, Params], Answer]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. `endpoint` is its name in tables, faults and journal; `params` are those of query and body together.

    Header names are in lower case; `query` and `body` are as sent, for signatures.
    """

    method: str
    path: str
    endpoint: str
    params: Params
    query: str
    body: bytes
    headers: Mapping[str, str]
    client: str


class Api(Protocol):
    """One dialect. Handlers raise Refusal (an answer) or let the core's Refused pass, which `refused` puts into words."""

    name: str
    routes: tuple[str, ...]
    public: Mapping[str, PublicHandler]
    private: Mapping[str, PrivateHandler]

    def endpoint_of(self, method: str, path: str) -> str:
        """Return the name of the endpoint at a path, whether it exists or not."""

    def path_params(self, path: str) -> Params:
        """Return what the path itself says, beside the name of the endpoint."""

    def symbol_of(self, exchange: SimulatedExchange, params: Params) -> str:
        """Return the desk's symbol (`BTC-USDT`) of a request, empty when it names none that is known."""

    def timeframe_of(self, params: Params) -> str:
        """Return the interval name of a request, empty when it names none."""

    def weight(self, endpoint: str, params: Params) -> int:
        """Return what a request counts against the limits."""

    def judge(self, exchange: SimulatedExchange, call: Call, weight: int, headers: dict[str, str]) -> Answer | None:
        """Return the refusal of a request beyond the limits of its address, None when it may pass; add headers to the answer."""

    def judge_account(self, exchange: SimulatedExchange, account: Account, call: Call, headers: dict[str, str]) -> Answer | None:
        """Return the refusal of a private request beyond the limits of its account, None when it may pass."""

    def authenticate(self, exchange: SimulatedExchange, call: Call) -> Account:
        """Return the account whose key and signature a private request carries; raise Refusal."""

    def refused(self, exchange: SimulatedExchange, refused: Refused, call: Call) -> Answer:
        """Return the dialect's answer to what the matching core refuses."""

    def error(self, code: int, message: str) -> Answer:
        """Return the dialect's error body."""

    def unknown(self) -> Answer:
        """Return the answer at a path that does not exist."""
