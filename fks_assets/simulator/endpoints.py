"""One request to an exchange endpoint: limits, faults, answer, journal, delivery."""

import time
from urllib.parse import parse_qsl

from fks_assets.clock import now_ms
from fks_assets.simulator import binance, kraken
from fks_assets.simulator.answers import Answer, Refusal, binance_error, html_error, kraken_error
from fks_assets.simulator.corruption import corrupt
from fks_assets.simulator.delivery import Receive, Scope, Send, deliver, replaced
from fks_assets.simulator.exchange import MARKER, SimulatedExchange
from fks_assets.simulator.faults import Asked, Hit
from fks_assets.simulator.source import Dialect

_BANNED = "Way too much request weight used; IP banned until {until}. Please use the websocket for live updates to avoid bans."
_EXCEEDED = (
    "Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
    "Please use the websocket for live updates to avoid polling the API."
)


class PublicEndpoint:
    """An ASGI application that answers one dialect's public endpoints; the path parameter `endpoint` names which."""

    def __init__(self, exchange: SimulatedExchange, dialect: Dialect) -> None:
        self._exchange = exchange
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        endpoint = scope["path_params"]["endpoint"]
        params = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        client = scope["client"][0] if scope["client"] else ""
        answer, headers, weight, hits = self._answer(endpoint, params, client)
        dialect = binance if self._dialect == "binance" else kraken
        self._exchange.journal.add(
            at_ms=now_ms(),
            simulated_ms=self._exchange.clock.now_ms(),
            client=client,
            dialect=self._dialect,
            endpoint=endpoint,
            params=params,
            symbol=dialect.symbol_of(self._exchange, params),
            timeframe=dialect.timeframe_of(params),
            status=answer.status,
            weight=weight,
            rows=answer.rows,
            bytes=len(answer.body),
            milliseconds=(time.perf_counter() - started) * 1000,
            faults=tuple(hit.rule.name for hit in hits),
        )
        await deliver(scope, receive, send, answer, headers, hits)

    def _answer(self, endpoint: str, params: dict[str, str], client: str) -> tuple[Answer, dict[str, str], int, list[Hit]]:
        exchange = self._exchange
        headers = {"Server": MARKER, "X-Simulator": exchange.source.kind}
        known = endpoint in (binance.ENDPOINTS if self._dialect == "binance" else kraken.ENDPOINTS)
        weight = binance.ENDPOINTS[endpoint].weight(params) if known and self._dialect == "binance" else 1
        refused = self._judge(client, endpoint, weight, headers)
        if refused is not None:
            return refused, headers, weight, []
        if not known:
            unknown = kraken_error("EGeneral:Unknown method") if self._dialect == "kraken" else html_error(404)
            return unknown, headers, weight, []
        dialect = binance if self._dialect == "binance" else kraken
        symbol, timeframe = dialect.symbol_of(exchange, params), dialect.timeframe_of(params)
        now = exchange.clock.now_ms()
        hits = exchange.faults.hits(Asked(self._dialect, endpoint, symbol, timeframe, client, now))
        answer = self._handle(endpoint, params, hits)
        if endpoint in ("klines", "OHLC"):
            answer = corrupt(answer, self._dialect, timeframe, now, hits)
        return replaced(answer, self._dialect, hits), headers, weight, hits

    def _handle(self, endpoint: str, params: dict[str, str], hits: list[Hit]) -> Answer:
        handler = binance.ENDPOINTS[endpoint].answer if self._dialect == "binance" else kraken.ENDPOINTS[endpoint]
        clock = self._exchange.clock
        skew = int(sum(hit.rule.options["seconds"] for hit in hits if hit.rule.action == "skew") * 1000)
        clock.skew_ms += skew
        try:
            return handler(self._exchange, params)
        except Refusal as refusal:
            return refusal.answer
        finally:
            clock.skew_ms -= skew

    def _judge(self, client: str, endpoint: str, weight: int, headers: dict[str, str]) -> Answer | None:
        """Return the refusal of a request beyond the limits, None when it may pass; note the used weight in the headers."""
        limiter = self._exchange.limiter
        if self._dialect == "kraken":
            return None if limiter.judge_kraken(client, endpoint).allowed else kraken_error("EAPI:Rate limit exceeded")
        verdict = limiter.judge_binance(client, endpoint, weight)
        headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(verdict.used)
        if verdict.allowed:
            return None
        banned, exceeded = _BANNED.format(until=verdict.banned_until_ms), _EXCEEDED.format(limit=limiter.binance.weight)
        text = banned if verdict.status == 418 else exceeded
        return binance_error(-1003, text, verdict.status, {"Retry-After": str(verdict.retry_after)})
