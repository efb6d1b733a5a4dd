"""One request to an exchange endpoint: limits, faults, signature, answer, journal, delivery."""

import time
from collections.abc import Callable
from decimal import localcontext
from urllib.parse import parse_qsl

import orjson

from fks_assets.clock import now_ms
from fks_assets.simulator.answers import Answer, Refusal
from fks_assets.simulator.api import Api, Call
from fks_assets.simulator.corruption import corrupt, corrupt_funding
from fks_assets.simulator.delivery import Receive, Scope, Send, deliver, replaced
from fks_assets.simulator.exchange import MARKER, SimulatedExchange
from fks_assets.simulator.faults import Asked, Hit
from fks_assets.simulator.trading.core import FOREVER_MS
from fks_assets.simulator.trading.money import EXACT
from fks_assets.simulator.trading.orders import Reason, Refused

_REFUSALS = ("status", "error")
_SECRETS = ("signature", "nonce")


class ExchangeEndpoint:
    """An ASGI application that answers the endpoints of one dialect."""

    def __init__(self, exchange: SimulatedExchange, api: Api) -> None:
        self._exchange = exchange
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = _call_of(self._api, scope, await _body(receive))
        served = _Served(self._exchange, self._api, call)
        answer, hits = served.answer()
        self._exchange.journal.add(
            at_ms=now_ms(),
            simulated_ms=self._exchange.clock.now_ms(),
            client=call.client,
            dialect=self._api.name,
            endpoint=call.endpoint,
            params={name: value for name, value in call.params.items() if name not in _SECRETS},
            symbol=self._api.symbol_of(self._exchange, call.params),
            timeframe=self._api.timeframe_of(call.params),
            status=answer.status,
            weight=served.weight,
            rows=answer.rows,
            bytes=len(answer.body),
            milliseconds=(time.perf_counter() - started) * 1000,
            faults=tuple(hit.rule.name for hit in hits),
            account=served.account,
        )
        wire = [Hit(hit.rule.on_the_wire(), hit.random) for hit in hits]
        await deliver(scope, receive, send, answer, served.headers, wire)


class _Served:
    """One request on its way through the exchange."""

    def __init__(self, exchange: SimulatedExchange, api: Api, call: Call) -> None:
        self._exchange = exchange
        self._api = api
        self._call = call
        self.headers = {"Server": MARKER, "X-Simulator": exchange.source.kind}
        self.account = ""
        self.weight = api.weight(call.endpoint, call.params)

    def answer(self) -> tuple[Answer, list[Hit]]:
        """Return the answer as far as no fault of the wire changes it, and the faults that apply."""
        exchange, api, call = self._exchange, self._api, self._call
        refused = api.judge(exchange, call, self.weight, self.headers)
        if refused is not None:
            return refused, []
        is_private = call.endpoint in api.private
        if not is_private and call.endpoint not in api.public:
            return api.unknown(), []
        symbol, timeframe = api.symbol_of(exchange, call.params), api.timeframe_of(call.params)
        now = exchange.clock.now_ms()
        hits = exchange.faults.hits(Asked(api.name, call.endpoint, symbol, timeframe, call.client, now))
        answer = self._private(hits) if is_private else self._handled(self._public, hits)
        if call.endpoint in ("klines", "OHLC"):
            answer = corrupt(answer, api.name, timeframe, now, hits)
        elif call.endpoint == "fundingRate":
            answer = corrupt_funding(answer, now, hits)
        return replaced(answer, api.error, [Hit(hit.rule.on_the_wire(), hit.random) for hit in hits]), hits

    def _private(self, hits: list[Hit]) -> Answer:
        """Return the answer to a private request, which the faults may keep from arriving or let arrive late, lost or twice."""
        actions = {hit.rule.action: hit.rule.options for hit in hits}
        if "drop_before" in actions or not actions.keys().isdisjoint(_REFUSALS):
            return Answer(b"{}")
        if "reject" in actions:
            return self._rejected(actions["reject"]["code"], actions["reject"]["message"])
        trading = self._exchange.trading
        if "delay" in actions:
            due = trading.now_ms + int(actions["delay"]["seconds"] * 1000)
            trading.run_later(due, lambda: _ignore(self._handled(self._signed, hits)))
            return Answer(b"{}")
        newest = trading.registry.newest_number
        answer = self._handled(self._signed, hits)
        if "duplicate" in actions:
            self._handled(self._signed, hits)
        if "drop_after_accept" in actions:
            options = actions["drop_after_accept"]
            seen = trading.now_ms + int(options["visible_after_seconds"] * 1000)
            trading.registry.hide(newest, FOREVER_MS if options["only_in_trades"] else seen)
        return answer

    def _rejected(self, code: int, message: str | None) -> Answer:
        if message is not None:
            return self._api.error(code, message)
        return self._api.refused(self._exchange, Refused(Reason.INSUFFICIENT), self._call)

    def _handled(self, handler: Callable[[], Answer], hits: list[Hit]) -> Answer:
        """Return what a handler answers, while the exchange's clock is off by what the faults say."""
        clock = self._exchange.clock
        skew = int(sum(hit.rule.options["seconds"] for hit in hits if hit.rule.action == "skew") * 1000)
        clock.skew_ms += skew
        try:
            with localcontext(EXACT):
                return handler()
        except Refusal as refusal:
            return refusal.answer
        except Refused as refused:
            return self._api.refused(self._exchange, refused, self._call)
        finally:
            clock.skew_ms -= skew

    def _public(self) -> Answer:
        return self._api.public[self._call.endpoint](self._exchange, self._call.params)

    def _signed(self) -> Answer:
        self._exchange.trading.advance()
        account = self._api.authenticate(self._exchange, self._call)
        self.account = account.key
        refused = self._api.judge_account(self._exchange, account, self._call, self.headers)
        if refused is not None:
            return refused
        return self._api.private[self._call.endpoint](self._exchange, account, self._call.params)


def _call_of(api: Api, scope: Scope, body: bytes) -> Call:
    query = scope["query_string"].decode("latin-1")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    params = {**dict(parse_qsl(query, keep_blank_values=True)), **api.path_params(scope["path"])}
    params.update(_sent(body, headers.get("content-type", "")))
    endpoint = api.endpoint_of(scope["method"], scope["path"])
    client = scope["client"][0] if scope["client"] else ""
    return Call(scope["method"], scope["path"], endpoint, params, query, body, headers, client)


def _sent(body: bytes, content_type: str) -> dict[str, str]:
    """Return the fields of a body, form or JSON; none of one that is neither."""
    if "json" not in content_type:
        return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    try:
        fields = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {name: value if isinstance(value, str) else orjson.dumps(value).decode() for name, value in fields.items()}


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _ignore(answer: Answer) -> None:
    """Nobody waits for the answer to a late request."""
