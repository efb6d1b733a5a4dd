"""Send signed requests: an order once and never again, a query a few times, each try signed anew, within hard bounds."""

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Self, TypeVar

import aiohttp
from yarl import URL

from fks_assets.errors import ExchangeError, ExchangeUnavailable, InvalidResponse, NotSent, RateLimited
from fks_assets.exchanges.answers import Answer, used_weight
from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.orders.signing import SignedRequest
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.exchanges.transport import RETRIES, SHORTEST_TRY_SHARE, TRY_SHARE, HttpTransport
from fks_assets.redaction import redacted_body

Parsed = TypeVar("Parsed")
URGENT_PATIENCE_SECONDS = 10.0
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "fks_assets"}


class SignedTransport(HttpTransport):
    """Sends what a venue signs; an async context manager.

    Every request opens a connection of its own: on one that was kept open and has just ended, an order would be of unknown
    outcome. With `in_turn` one call is signed and answered before the next one is signed, for exchanges that want growing nonces.
    """

    def __init__(self, profile: ExchangeProfile, budget: RateBudget, *, in_turn: bool = False) -> None:
        super().__init__(profile, budget)
        self._turn = asyncio.Lock() if in_turn else nullcontext()

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._profile.connections, ssl=self._ssl_context(), force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=_HEADERS, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        # aiohttp sends a GET or DELETE once more, unasked, when the connection breaks; it has no other switch for that.
        self._session._retry_connection = False
        return self

    async def once(self, sign: Callable[[], SignedRequest], endpoint: str, seconds: float | None = None) -> Answer:
        """Sign a request, send it once and return its answer, whatever it says, without what it repeats of key and signature.

        Raises NotSent when no connection came about, ExchangeUnavailable or InvalidResponse when something may have been sent.
        """
        if self._session is None:
            raise NotSent(f"the connection to {self._profile.name} is closed", exchange=self._profile.name, endpoint=endpoint)
        seconds = self._profile.deadline_seconds if seconds is None else seconds
        async with self._turn:
            outcome = await self._outcome(self._session, sign(), endpoint, seconds)
        if isinstance(outcome, Answer):
            return outcome
        # Raised out here: the frames in which it came about know the URL with its signature.
        raise outcome.with_traceback(None)

    async def _outcome(
        self, session: aiohttp.ClientSession, request: SignedRequest, endpoint: str, seconds: float
    ) -> Answer | ExchangeError:
        sent_at = time.monotonic()
        try:
            async with (
                asyncio.timeout(seconds),
                session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    data=request.body,
                    headers=dict(request.headers),
                    allow_redirects=False,
                ) as response,
            ):
                body = redacted_body(await self._body(response, endpoint), *request.marks)
                reason = redacted_body((response.reason or "").encode("latin-1", "replace"), *request.marks).decode("latin-1")
                return Answer(response.status, reason, response.headers, body, sent_at, time.monotonic())
        except ExchangeError as error:
            return error
        except TimeoutError:
            return self._unavailable(endpoint, f"gave no complete answer within {seconds:.1f} s")
        except aiohttp.ClientConnectorError as error:
            fault = error.os_error.strerror or type(error.os_error).__name__
            message = f"{self._profile.name} {endpoint} cannot be reached: {fault}"
            return NotSent(message, exchange=self._profile.name, endpoint=endpoint)
        except (aiohttp.ClientError, OSError) as error:
            return self._unavailable(endpoint, f"broke the connection: {type(error).__name__}")

    async def query(
        self,
        sign: Callable[[], SignedRequest],
        endpoint: str,
        parse: Callable[[Answer], Parsed],
        *,
        budget: RateBudget,
        weight: int,
        urgent: bool = False,
    ) -> Parsed:
        """Return `parse` of the answer to a request that only reads, tried at most 5 times within the profile's deadline.

        Every try is signed anew and waits for the budget, all together no longer than the profile's patience (10 s for an urgent
        one). A ban is made known to every process and not waited out. Raises the last try's ExchangeError.
        """
        patience = self._profile.patience_seconds if not urgent else min(URGENT_PATIENCE_SECONDS, self._profile.patience_seconds)
        left = self._profile.deadline_seconds
        for retry in range(RETRIES + 1):
            asked = time.monotonic()
            await budget.acquire(weight, patience, urgent=urgent)
            started = time.monotonic()
            patience = max(0.0, patience - (started - asked))
            try:
                answer = await self.once(sign, endpoint, left if retry == RETRIES else left * TRY_SHARE)
                await self.report_used(answer, budget)
                return parse(answer)
            except RateLimited as error:
                await budget.block(error.retry_after, str(error))
                raise
            except (ExchangeUnavailable, InvalidResponse) as error:
                failure = error
            left -= time.monotonic() - started
            pause = self._backoff(retry)
            if retry == RETRIES or left - pause < self._profile.deadline_seconds * SHORTEST_TRY_SHARE:
                raise failure
            left -= pause
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def report_used(self, answer: Answer, budget: RateBudget) -> None:
        """Make known to all processes how much weight the exchange itself has counted."""
        used = used_weight(answer, self._profile.api)
        if used is not None:
            await budget.report_used(*used)
