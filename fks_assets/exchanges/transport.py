"""Read from an exchange over HTTP within hard bounds: a deadline for each call, a body limit, the shared budget, few retries."""

import asyncio
import random
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from yarl import URL

from fks_assets.errors import ExchangeError, ExchangeUnavailable, InvalidResponse, RateLimited
from fks_assets.exchanges.answers import Answer, used_weight
from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.ids import unique_name

RETRIES = 4
FIRST_BACKOFF_SECONDS = 0.25
TRY_SHARE = 0.6
SHORTEST_TRY_SHARE = 0.1
_GZIP = zlib.MAX_WBITS | 16
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "fks_assets"}

Parsed = TypeVar("Parsed")


@dataclass(slots=True)
class Tally:
    """Counts the requests that were really sent for one purpose."""

    requests: int = 0


class HttpTransport:
    """Sends GET requests of one exchange; an async context manager that owns the connections."""

    def __init__(self, profile: ExchangeProfile, budget: RateBudget, *, jitter: random.Random | None = None) -> None:
        self._profile = profile
        self._budget = budget
        self._jitter = jitter or random.Random(unique_name())  # noqa: S311 (spreads retries, guards nothing)
        self._slots = asyncio.Semaphore(profile.connections)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._profile.connections, ssl=self._ssl_context(), keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=_HEADERS, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self, url: str, endpoint: str, parse: Callable[[Answer], Parsed], *, tally: Tally | None = None) -> Parsed:
        """Return `parse` of the answer to a GET.

        All tries together last no longer than the profile's deadline, not counting waits for the budget, which the profile's
        patience bounds. Unavailability and invalid answers are tried again, at most 4 times. A refusal for too many requests is
        made known to every process and waited out if patience allows. Raises the last try's ExchangeError.
        """
        weight = self._profile.api.weights[endpoint]
        left, patience = self._profile.deadline_seconds, self._profile.patience_seconds
        for retry in range(RETRIES + 1):
            async with self._slots:
                asked = time.monotonic()
                await self._budget.acquire(weight, patience)
                started = time.monotonic()
                patience = max(0.0, patience - (started - asked))
                if tally is not None:
                    tally.requests += 1
                try:
                    answer = await self._get(url, endpoint, left if retry == RETRIES else left * TRY_SHARE)
                    await self._report(answer)
                    return parse(answer)
                except RateLimited as error:
                    await self._budget.block(error.retry_after, str(error))
                    failure: ExchangeError = error
                except (ExchangeUnavailable, InvalidResponse) as error:
                    failure = error
                left -= time.monotonic() - started
            pause = 0.0 if isinstance(failure, RateLimited) else self._backoff(retry)
            if retry == RETRIES or left - pause < self._profile.deadline_seconds * SHORTEST_TRY_SHARE:
                if retry > 0:
                    failure.args = (f"{failure} (try {retry + 1})",)
                raise failure
            left -= pause
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    def _backoff(self, retry: int) -> float:
        return FIRST_BACKOFF_SECONDS * 2**retry * self._jitter.uniform(0.5, 1.5)

    async def _report(self, answer: Answer) -> None:
        used = used_weight(answer, self._profile.api)
        if used is not None:
            await self._budget.report_used(*used)

    async def _get(self, url: str, endpoint: str, seconds: float) -> Answer:
        if self._session is None:
            raise RuntimeError("the transport is closed; use it inside its `async with`")
        sent_at = time.monotonic()
        try:
            async with asyncio.timeout(seconds), self._session.get(URL(url, encoded=True), allow_redirects=False) as response:
                body = await self._body(response, endpoint)
                return Answer(response.status, response.reason or "", response.headers, body, sent_at, time.monotonic())
        except TimeoutError:
            raise self._unavailable(endpoint, f"gave no complete answer within {seconds:.1f} s") from None
        except aiohttp.ClientPayloadError:
            raise self._unavailable(endpoint, "broke off its answer") from None
        except aiohttp.ClientConnectorError as error:
            raise self._unavailable(endpoint, f"cannot be reached: {error.os_error.strerror or type(error).__name__}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unavailable(endpoint, f"broke the connection: {type(error).__name__}") from None

    async def _body(self, response: aiohttp.ClientResponse, endpoint: str) -> bytes:
        limit = self._profile.body_limit_bytes
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        if encoding not in ("identity", "gzip", ""):
            raise self._invalid(endpoint, f"the unknown encoding {encoding[:20]!r}")
        unzip = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
        parts: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            part = chunk if unzip is None else self._unzip(unzip, chunk, limit - size + 1, endpoint)
            size += len(part)
            if size > limit:
                raise self._invalid(endpoint, f"more than {limit} bytes")
            parts.append(part)
        if unzip is not None and not unzip.eof:
            raise self._invalid(endpoint, "a gzip body that breaks off")
        return b"".join(parts)

    def _unzip(self, unzip: "zlib._Decompress", chunk: bytes, room: int, endpoint: str) -> bytes:
        try:
            return unzip.decompress(chunk, room)
        except zlib.error:
            raise self._invalid(endpoint, "a body that is not the gzip it claims to be") from None

    def _ssl_context(self) -> ssl.SSLContext | bool:
        if (self._profile.base_url or "").startswith("http://"):
            return True
        import certifi

        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        # SSLKEYLOGFILE would write down what opens a recording of the connection.
        context.keylog_filename = None  # type: ignore[assignment]
        return context

    def _unavailable(self, endpoint: str, fault: str) -> ExchangeUnavailable:
        return ExchangeUnavailable(f"{self._profile.name} {endpoint} {fault}", exchange=self._profile.name, endpoint=endpoint)

    def _invalid(self, endpoint: str, fault: str) -> InvalidResponse:
        message = f"{self._profile.name} {endpoint} answered {fault}"
        return InvalidResponse(message, exchange=self._profile.name, endpoint=endpoint)


def endpoint_of(url: str, known: Mapping[str, int]) -> str:
    """Return the last part of the URL's path, which must be an endpoint whose weight is known."""
    endpoint = URL(url, encoded=True).path.rpartition("/")[2]
    if endpoint not in known:
        raise ValueError(f"endpoint {endpoint!r} has no known weight; known: {', '.join(known)}")
    return endpoint
