"""The exchanges' real request limits, kept per client address in real time, and a record of who broke them."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput

_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class BinanceLimits:
    """Weight per window; requests inside a refused window after the grace are "ignoring", and enough of them are a ban.

    `orders_10s` and `orders_1d` are new orders of one account in 10 seconds and in a day.
    """

    weight: int = 6000
    window_seconds: float = 60.0
    grace_seconds: float = 1.0
    ban_after: int = 3
    ban_seconds: float = 120.0
    orders_10s: int = 100
    orders_1d: int = 200_000


@dataclass(frozen=True, slots=True)
class KrakenLimits:
    """Counters that hold `burst` and regain `per_second`: public calls of an address, private calls of a key (Starter), and
    orders of a key in one market.
    """

    per_second: float = 1.0
    burst: float = 15.0
    private_per_second: float = 0.33
    private_burst: float = 15.0
    order_per_second: float = 1.0
    order_burst: float = 60.0


@dataclass(frozen=True, slots=True)
class FapiLimits:
    """Requests for funding rates of an address in so many seconds."""

    requests: float = 500.0
    seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Breach:
    """A refused request: kind `limit` (first refusal), `ignored` (sent although told to wait), `banned` or `orders`.

    `client` is an address, or a key where the limit is an account's.
    """

    at_ms: int
    client: str
    dialect: str
    endpoint: str
    kind: str
    used: float
    limit: float
    retry_after: float

    def as_json(self) -> dict[str, Any]:
        """Return the breach as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass. When not: `status` 429 or 418 (Binance; 200 for Kraken) and seconds to wait."""

    allowed: bool
    used: int
    status: int = 200
    retry_after: int = 0
    banned_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class OrderVerdict:
    """Whether new orders may pass, and how many were counted in 10 seconds and a day; when not: which limit was met."""

    allowed: bool
    used: tuple[int, ...]
    limit: int = 0
    interval: str = ""
    retry_after: int = 0


@dataclass(slots=True)
class _Window:
    started: float
    used: int = 0
    refused_at: float | None = None
    ignored: int = 0
    banned_until: float = 0.0
    bans: int = 0


@dataclass(slots=True)
class _Counter:
    tokens: float
    at: float


class Limiter:
    """Judges every request by client address; limits can be replaced while it runs."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.binance = BinanceLimits()
        self.kraken = KrakenLimits()
        self.fapi = FapiLimits()
        self._windows: dict[str, _Window] = {}
        self._counters: dict[tuple[str, ...], _Counter] = {}
        self._orders: dict[tuple[str, float], _Window] = {}
        self._calls: dict[tuple[str, str, str], _Window] = {}
        self._breaches: deque[Breach] = deque(maxlen=_LONGEST)

    @property
    def breaches(self) -> list[Breach]:
        """Return the refused requests, oldest first."""
        return list(self._breaches)

    def override(self, dialect: str, values: dict[str, float]) -> None:
        """Replace limits of a dialect and forget what was used; raise InvalidInput for an unknown name or a value below 0."""
        if dialect not in ("binance", "kraken", "fapi"):
            raise InvalidInput(f"limits: dialect {dialect!r} is unknown; known: binance, kraken, fapi")
        current: BinanceLimits | KrakenLimits | FapiLimits = getattr(self, dialect)
        names = [field.name for field in fields(current)]
        for name, value in values.items():
            if name not in names:
                raise InvalidInput(f"limits: {name!r} is unknown for {dialect}; known: {', '.join(names)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise InvalidInput(f"limits: {name} was {value!r}; give a number of 0 or more")
        setattr(self, dialect, replace(current, **values))
        self.forget()

    def as_json(self) -> dict[str, Any]:
        """Return the limits in force by dialect."""
        return {"binance": asdict(self.binance), "kraken": asdict(self.kraken), "fapi": asdict(self.fapi)}

    def forget(self) -> None:
        """Drop all counters, bans and recorded breaches."""
        self._windows.clear()
        self._counters.clear()
        self._orders.clear()
        self._calls.clear()
        self._breaches.clear()

    def judge_binance(self, client: str, endpoint: str, weight: int) -> Verdict:
        """Return the verdict on a request of `weight`, counting it."""
        limits, now = self.binance, self._monotonic()
        window = self._windows.setdefault(client, _Window(now))
        if now < window.banned_until:
            return self._refuse(client, endpoint, "banned", window, 418, window.banned_until - now)
        if now - window.started >= limits.window_seconds:
            window.started += (now - window.started) // limits.window_seconds * limits.window_seconds
            window.used, window.refused_at, window.ignored = 0, None, 0
        window.used += weight
        if window.used <= limits.weight:
            return Verdict(True, window.used)
        wait = window.started + limits.window_seconds - now
        if window.refused_at is None:
            window.refused_at = now
            return self._refuse(client, endpoint, "limit", window, 429, wait)
        if now - window.refused_at > limits.grace_seconds:
            window.ignored += 1
        if window.ignored >= limits.ban_after:
            length = limits.ban_seconds * 2**window.bans
            window.bans += 1
            window.banned_until = now + length
            return self._refuse(client, endpoint, "banned", window, 418, length)
        return self._refuse(client, endpoint, "ignored" if window.ignored else "limit", window, 429, wait)

    def judge_orders(self, account: str, endpoint: str, count: int) -> OrderVerdict:
        """Return the verdict on `count` new orders of a Binance account, counting them."""
        now, used = self._monotonic(), []
        for seconds, limit in ((10.0, self.binance.orders_10s), (86_400.0, self.binance.orders_1d)):
            window = self._orders.setdefault((account, seconds), _Window(now))
            if now - window.started >= seconds:
                window.started, window.used = now, 0
            window.used += count
            used.append(window.used)
            if window.used > limit:
                wait = window.started + seconds - now
                self._note("binance", account, endpoint, "orders", window.used, limit, wait)
                return OrderVerdict(False, tuple(used), limit, "10 SECOND" if seconds == 10.0 else "1 DAY", max(1, int(wait)))
        return OrderVerdict(True, tuple(used))

    def orders_of(self, account: str) -> tuple[int, int]:
        """Return how many new orders of a Binance account count in its 10 seconds and its day."""
        now = self._monotonic()
        windows = ((self._orders.get((account, seconds)), seconds) for seconds in (10.0, 86_400.0))
        short, long = (0 if one is None or now - one.started >= seconds else one.used for one, seconds in windows)
        return short, long

    def judge_kraken(self, client: str, endpoint: str) -> Verdict:
        """Return the verdict on one public call, counting it when it passes."""
        return self._spend("limit", client, endpoint, 1.0, self.kraken.burst, self.kraken.per_second)

    def judge_kraken_key(self, key: str, endpoint: str, cost: float) -> Verdict:
        """Return the verdict on a private call of a key, counting it when it passes."""
        return self._spend("limit", f"key {key}", endpoint, cost, self.kraken.private_burst, self.kraken.private_per_second)

    def judge_kraken_order(self, key: str, symbol: str, endpoint: str, cost: float) -> Verdict:
        """Return the verdict on an order or a cancel of a key in one market, counting it when it passes."""
        name = f"key {key} in {symbol}"
        return self._spend("orders", name, endpoint, cost, self.kraken.order_burst, self.kraken.order_per_second)

    def judge_calls(self, dialect: str, client: str, endpoint: str, most: int, seconds: float) -> float | None:
        """Return the seconds to wait when a client has called an endpoint `most` times in `seconds`, None when it may pass."""
        now = self._monotonic()
        window = self._calls.setdefault((dialect, client, endpoint), _Window(now))
        if now - window.started >= seconds:
            window.started, window.used = now, 0
        window.used += 1
        if window.used <= most:
            return None
        wait = window.started + seconds - now
        self._note(dialect, client, endpoint, "limit", window.used, most, wait)
        return wait

    def _spend(self, kind: str, client: str, endpoint: str, cost: float, burst: float, per_second: float) -> Verdict:
        now = self._monotonic()
        counter = self._counters.setdefault((kind, client), _Counter(burst, now))
        counter.tokens = min(burst, counter.tokens + (now - counter.at) * per_second)
        counter.at = now
        if counter.tokens >= cost:
            counter.tokens -= cost
            return Verdict(True, int(burst - counter.tokens))
        wait = (cost - counter.tokens) / per_second if per_second else float("inf")
        self._note("kraken", client, endpoint, kind, burst, burst, wait)
        return Verdict(False, int(burst))

    def _note(self, dialect: str, client: str, endpoint: str, kind: str, used: float, limit: float, wait: float) -> None:
        self._breaches.append(Breach(now_ms(), client, dialect, endpoint, kind, float(used), float(limit), round(wait, 3)))

    def _refuse(self, client: str, endpoint: str, kind: str, window: _Window, status: int, wait: float) -> Verdict:
        retry_after = max(1, int(wait) + (wait % 1 > 0))
        self._note("binance", client, endpoint, kind, window.used, self.binance.weight, wait)
        return Verdict(False, window.used, status, retry_after, now_ms() + int(wait * 1000))
