"""Signed requests: built by ccxt's class of the exchange, which can sign and knows the error codes, but cannot send anything."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from fks_assets.errors import InvalidInput, NotSent
from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
from fks_assets.exchanges.exchange_clock import REFRESH_SECONDS
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.redaction import hide

LARGEST_SKEW_MS = 1000
RECEIVE_WINDOW_MS = 5000
_SIGNATURE = re.compile(r"signature=([^&\s]+)")
_CARRIED = re.compile(r"[ -~]*")
_PLAIN_HEADERS = frozenset({"accept", "content-type", "user-agent"})
_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What signs the calls of an account. Not shown by repr."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One request, ready to be sent; it may carry a signature and is not shown by repr."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: str | None = field(repr=False)

    @property
    def marks(self) -> tuple[str, ...]:
        """What of the request must not come back in a message: its signature, and the headers that say who asks."""
        named = (value for name, value in self.headers.items() if name.lower() not in _PLAIN_HEADERS)
        return (*_SIGNATURE.findall(f"{self.url} {self.body or ''}"), *named)


class TradingClock:
    """The exchange's clock as signed calls need it: known, measured at most ten minutes ago, and close to this machine's.

    A machine whose own clock is more than a second off misjudges which candle is the last one: it does not trade.
    """

    def __init__(self, exchange: str, exchange_ms: Callable[[], Any], wall_ms: Callable[[], int]) -> None:
        self._exchange = exchange
        self._exchange_ms = exchange_ms
        self.wall_ms = wall_ms
        self._told_ms = 0
        self._told_at = float("-inf")

    async def check(self) -> int:
        """Return the exchange's time (ms); raise NotSent when the clocks disagree, ExchangeError when it cannot be measured."""
        told = await self._exchange_ms()
        skew = self.wall_ms() - told
        if abs(skew) > LARGEST_SKEW_MS:
            way = "ahead of" if skew > 0 else "behind"
            words = f"this machine's clock is {abs(skew) / 1000:.3f} s {way} that of {self._exchange}, at most 1 s is allowed"
            raise NotSent(f"{words}: nothing is signed", exchange=self._exchange)
        self._told_ms, self._told_at = told, time.monotonic()
        return told

    def now_ms(self) -> int:
        """Return the exchange's time (ms) now; raise NotSent unless `check` was passed within the last ten minutes."""
        elapsed = time.monotonic() - self._told_at
        if elapsed > REFRESH_SECONDS:
            raise NotSent(f"the clock of {self._exchange} was not measured in the last ten minutes", exchange=self._exchange)
        return self._told_ms + int(elapsed * 1000)


class _SignsOnly:
    """Mixed in before a ccxt class: takes the time from our clock and refuses to send."""

    clock: TradingClock

    def milliseconds(self) -> int:
        return self.clock.now_ms()

    async def fetch(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("this client signs; the venue sends")


class _Microseconds(_SignsOnly):
    """Gives nonces that grow from call to call and from process to process: this machine's time in microseconds."""

    last_nonce = 0

    def nonce(self) -> int:
        self.clock.now_ms()
        self.last_nonce = max(self.last_nonce + 1, self.clock.wall_ms() * 1000)
        return self.last_nonce


class Signer:
    """Builds the requests of one account. Raises InvalidInput for an exchange that is reached without encryption."""

    def __init__(self, profile: ExchangeProfile, key: ApiKey, clock: TradingClock) -> None:
        hide(key.key, key.secret)
        _require_encryption(profile)
        self._exchange = profile.name
        dialect = profile.api
        ccxt_class = load_exchange_class(dialect.ccxt_id)
        mixin = _Microseconds if dialect.name == "kraken" else _SignsOnly
        options = {**dialect.ccxt_options, "recvWindow": RECEIVE_WINDOW_MS}
        config: dict[str, Any] = {"options": options, "enableRateLimit": False}
        if profile.base_url is not None:
            root = profile.base_url.rstrip("/")
            base = f"{root}/api/v3" if dialect.name == "binance" else root
            config["urls"] = {"api": {"public": base, "private": base}}
        self._client: Any = type(ccxt_class.__name__, (mixin, ccxt_class), {"clock": clock})(config)
        # Set afterwards, so that they are in no variable that a traceback might show.
        self._client.apiKey, self._client.secret = key.key, key.secret

    @property
    def mapping(self) -> Any:
        """ccxt's exchange, for its reading of error codes."""
        return self._client

    @property
    def ccxt_errors(self) -> ModuleType:
        return load_errors()

    def request(self, path: str, method: str, params: Mapping[str, Any], *, private: bool = True) -> SignedRequest:
        """Return the request to a path of the API, signed now; raise NotSent when the key cannot sign or the clock is unknown."""
        failure = ""
        try:
            built = self._client.sign(path, ["private" if private else "public"], method, dict(params))
            request = SignedRequest(method, built["url"], built["headers"] or {}, built["body"])
            if all(_CARRIED.fullmatch(text) for text in (request.url, *request.headers.values())):
                return request
            failure = "it holds what a request cannot carry"
        except NotSent:
            raise
        except Exception as error:
            failure = type(error).__name__
        # Raised out here: the error above may hold the secret in its text or frames.
        message = f"the key of this account cannot sign for {self._exchange}: {failure}"
        raise NotSent(message, exchange=self._exchange, endpoint=path)

    def forget(self) -> None:
        """Drop the key."""
        self._client.apiKey = self._client.secret = None


def _require_encryption(profile: ExchangeProfile) -> None:
    parts = urlsplit(profile.base_url or "https://")
    if parts.scheme != "https" and parts.hostname not in _THIS_MACHINE:
        raise InvalidInput(f"{profile.name} is reached at {parts.scheme}://{parts.hostname}: a key goes there by https:// only")
