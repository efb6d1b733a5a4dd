"""What the venues of all exchanges share: the clock and the limits before a call, one send, and the class of its outcome."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self, TypeVar

from fks_assets.clock import now_ms
from fks_assets.errors import ExchangeError, InvalidInput, InvalidResponse, NotSent, RateLimited, StoreError
from fks_assets.exchanges.answers import Answer, AnswerJudge, excerpt, shape_guard
from fks_assets.exchanges.candle_api import answered_time_ms
from fks_assets.exchanges.exchange_clock import ClockSample, ExchangeClock
from fks_assets.exchanges.orders.private_limits import PRIVATE_LIMITS, VenueBudgets
from fks_assets.exchanges.orders.refusals import refusal
from fks_assets.exchanges.orders.signed_transport import URGENT_PATIENCE_SECONDS, SignedTransport
from fks_assets.exchanges.orders.signing import ApiKey, Signer, TradingClock
from fks_assets.exchanges.orders.venue import Denied, Features, Permit, Rejected, Unknown, VenueOrder
from fks_assets.exchanges.prices import last_prices
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import OrderType

READY_PATIENCE_SECONDS = 5.0
_SUCCESS = frozenset({200})
_log = logging.getLogger(__name__)
Parsed = TypeVar("Parsed")


class ExchangeVenue(ABC):
    """The account of one API key at one exchange. Use it inside `async with`; `Venue` says what its methods promise.

    `wall_ms` is this machine's clock, which a test replaces whose exchange lives in another time.
    """

    features: Features
    validity_ms: int
    # Half of the time unit in which the exchange tells the time.
    clock_middle_ms = 0
    growing_nonces = False
    query_method = "GET"

    def __init__(
        self,
        profile: ExchangeProfile,
        key: ApiKey,
        budgets: VenueBudgets,
        markets: Sequence[Market],
        *,
        wall_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.name = profile.name
        self._profile = profile
        self._dialect = profile.api
        self._budgets = budgets
        self._weights = PRIVATE_LIMITS[profile.dialect].weights
        self._markets = {profile.api.pair_id(market.ccxt_symbol): market for market in markets}
        self._transport = SignedTransport(profile, budgets.public, in_turn=self.growing_nonces)
        self._exchange_clock = ExchangeClock(profile.name, self._sample_clock)
        self._clock = TradingClock(profile.name, self._exchange_clock.now_ms, wall_ms)
        self._signer = Signer(profile, key, self._clock)
        self._judge = AnswerJudge(profile.name, profile.api, self._signer.mapping, self._signer.ccxt_errors)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close connections and forget the key."""
        await self._exchange_clock.close()
        await self._transport.__aexit__(None, None, None)
        self._signer.forget()

    async def ready(self, *, urgent: bool = False) -> Permit:
        """Return leave to send one order; stops and exits (urgent) have a share of the limits that nothing else may use."""
        await self._clock.check()
        patience = URGENT_PATIENCE_SECONDS if urgent else READY_PATIENCE_SECONDS
        await self._budgets.public.acquire(1, patience, urgent=urgent)
        await self._budgets.orders.acquire(1, patience, urgent=urgent)
        return Permit()

    def own_id(self, client_order_id: str) -> str:
        """Return what the exchange calls our order of this id."""
        return client_order_id

    async def prices(self, markets: Sequence[Market]) -> dict[Market, Decimal]:
        """Return the last price of each market; raise ExchangeError rather than leave one out or make one up."""
        return await last_prices(self._profile, self._budgets.public, markets)

    def _pair(self, market: Market) -> str:
        pair = self._dialect.pair_id(market.ccxt_symbol)
        if self._markets.get(pair) != market:
            raise InvalidInput(f"{market} is not a market of this account at {self.name}")
        return pair

    def _fault(self, order: VenueOrder) -> str | None:
        """Return why such an order cannot go out, None when it can. A stop never goes out without its trigger."""
        if not self.features.takes(order.type):
            return f"{self.name} has no {order.type} orders"
        waits = order.type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT)
        limited = order.type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        for name, value, needed in (
            ("quantity", order.quantity, True),
            ("price", order.price, limited),
            ("stop price", order.stop_price, waits),
        ):
            if needed and (value is None or value <= 0):
                return f"a {order.type} order of {order.market} needs a {name} above 0, was {value}"
        return None

    async def _send(
        self,
        path: str,
        method: str,
        params: Callable[[], Mapping[str, str]],
        read: Callable[[Any], Parsed],
        refused: Callable[[int, Any], Parsed | Rejected | None] | None = None,
    ) -> Parsed | Rejected | Denied | Unknown:
        """Send once; return `read` of a success, what `refused` (status, body) proves of anything else, or Unknown.

        `params` is asked when the request is signed.
        """
        try:
            answer = await self._transport.once(lambda: self._signer.request(path, method, params()), path)
        except NotSent as error:
            return Denied(str(error))
        except ExchangeError as error:
            return Unknown(str(error))
        value, reported = self._reading(answer, path)
        await self._share(answer, reported)
        try:
            with shape_guard(self._judge, path):
                if answer.status == 200 and reported is None:
                    return read(value)
                proof = self._refused(answer.status, value) if refused is None else refused(answer.status, value)
        except InvalidResponse as error:
            return Unknown(str(error))
        return proof or Unknown(str(reported or f"{self.name} {path}: HTTP {answer.status}: {excerpt(answer.body)}"))

    def _refused(self, status: int, value: Any) -> Rejected | None:
        return refusal(self._dialect.name, status, value)

    async def _ask(
        self,
        path: str,
        params: Mapping[str, str],
        read: Callable[[Any], Parsed],
        *,
        private: bool = True,
        urgent: bool = False,
        weight: int | None = None,
        method: str | None = None,
    ) -> Parsed:
        """Return `read` of the answer to a query; raise ExchangeError when it fails."""
        if private:
            await self._clock.check()

        def parse(answer: Answer) -> Parsed:
            value, reported = self._reading(answer, path)
            if reported is not None and not (answer.status < 500 and self._denies(value)):
                raise reported
            with shape_guard(self._judge, path):
                return read(value)

        return await self._transport.query(
            lambda: self._signer.request(path, method or (self.query_method if private else "GET"), params, private=private),
            path,
            parse,
            budget=self._budgets.calls if private else self._budgets.public,
            weight=self._weights[path] if weight is None else weight,
            urgent=urgent,
        )

    @abstractmethod
    def _denies(self, value: Any) -> bool:
        """Return whether the exchange says that there is no such order; the reader of the answer is then told so."""

    def _reading(self, answer: Answer, path: str) -> tuple[Any, ExchangeError | None]:
        """Return the JSON value of an answer, exact to the digit, and the error that it reports."""
        try:
            self._judge.decode(answer, path)
        except ExchangeError as error:
            return _exact(answer.body), error
        return _exact(answer.body), None

    async def _share(self, answer: Answer, reported: ExchangeError | None) -> None:
        """Tell all processes of used weight and of a ban. The outcome of an order matters more than that this succeeds."""
        try:
            await self._transport.report_used(answer, self._budgets.public)
            if isinstance(reported, RateLimited):
                await self._budgets.public.block(reported.retry_after, str(reported))
        except StoreError as error:
            _log.warning("what %s said about its limits could not be shared: %s", self.name, error)

    async def _sample_clock(self) -> ClockSample:
        endpoint = self._dialect.clock_endpoint

        def parse(answer: Answer) -> ClockSample:
            value = self._judge.decode(answer, endpoint)
            with shape_guard(self._judge, endpoint):
                told = answered_time_ms(answer, value, self._dialect) + self.clock_middle_ms
                return ClockSample(told, answer.sent_at, answer.received_at)

        return await self._transport.query(
            lambda: self._signer.request(self._dialect.path(endpoint), "GET", {}, private=False),
            endpoint,
            parse,
            budget=self._budgets.public,
            weight=self._dialect.weights[endpoint],
            urgent=True,
        )


def _exact(body: bytes) -> Any:
    """Return the JSON value of a body with its fractions as Decimal; None when it is no JSON."""
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        return None
