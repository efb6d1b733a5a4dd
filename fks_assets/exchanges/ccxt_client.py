"""A ccxt exchange whose every request goes through our transport."""

from typing import Any

from fks_assets.exchanges.answers import Answer, AnswerJudge
from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.transport import HttpTransport, endpoint_of


class ThroughTransport:
    """Mixed in before a ccxt class: sends what ccxt builds and gives it the decoded answer. Reads only."""

    transport: HttpTransport
    judge: AnswerJudge

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Return the decoded JSON answer; raise our ExchangeErrors, never ccxt's."""
        if method != "GET" or body is not None:
            raise ValueError(f"only reads pass through this client, this was a {method}")
        endpoint = endpoint_of(url, self.judge.dialect.weights)

        def decode(answer: Answer) -> Any:
            return self.judge.decode(answer, endpoint)

        return await self.transport.read(url, endpoint, decode)


def build_client(profile: ExchangeProfile, transport: HttpTransport) -> Any:
    """Return the ccxt exchange of the profile's dialect, pointed at the profile's URL; it holds no session of its own."""
    dialect = profile.api
    ccxt_class = load_exchange_class(dialect.ccxt_id)
    client_class = type(ccxt_class.__name__, (ThroughTransport, ccxt_class), {})
    config: dict[str, Any] = {"options": dict(dialect.ccxt_options), "enableRateLimit": False, "number": str}
    if profile.base_url is not None:
        config["urls"] = {"api": base_urls(dialect.name, profile.base_url)}
    client = client_class(config)
    client.transport = transport
    client.judge = AnswerJudge(profile.name, dialect, client, load_errors())
    return client


def base_urls(dialect: str, base_url: str) -> dict[str, str]:
    """Return ccxt's URL table for a server that speaks the dialect at `base_url`, the scheme and host without a path."""
    root = base_url.rstrip("/")
    return {"public": f"{root}/api/v3"} if dialect == "binance" else {"public": root, "private": root}
