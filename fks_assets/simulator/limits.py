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
    """Weight per window; requests inside a refused window after the grace are "ignoring", and enough of them are a ban."""

    weight: int = 6000
    window_seconds: float = 60.0
    grace_seconds: float = 1.0
    ban_after: int = 3
    ban_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class KrakenLimits:
    """Public calls: a counter that holds `burst` calls and regains `per_second`."""

    per_second: float = 1.0
    burst: float = 15.0


@dataclass(frozen=True, slots=True)
class Breach:
    """A refused request: kind `limit` (first refusal), `ignored` (sent although told to wait) or `banned`."""

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
        self._windows: dict[str, _Window] = {}
        self._counters: dict[str, _Counter] = {}
        self._breaches: deque[Breach] = deque(maxlen=_LONGEST)

    @property
    def breaches(self) -> list[Breach]:
        """Return the refused requests, oldest first."""
        return list(self._breaches)

    def override(self, dialect: str, values: dict[str, float]) -> None:
        """Replace limits of a dialect and forget what was used; raise InvalidInput for an unknown name or a value below 0."""
        if dialect not in ("binance", "kraken"):
            raise InvalidInput(f"limits: dialect {dialect!r} is unknown; known: binance, kraken")
        current: BinanceLimits | KrakenLimits = getattr(self, dialect)
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
        return {"binance": asdict(self.binance), "kraken": asdict(self.kraken)}

    def forget(self) -> None:
        """Drop all counters, bans and recorded breaches."""
        self._windows.clear()
        self._counters.clear()
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

    def judge_kraken(self, client: str, endpoint: str) -> Verdict:
        """Return the verdict on one public call, counting it when it passes."""
        limits, now = self.kraken, self._monotonic()
        counter = self._counters.setdefault(client, _Counter(limits.burst, now))
        counter.tokens = min(limits.burst, counter.tokens + (now - counter.at) * limits.per_second)
        counter.at = now
        if counter.tokens >= 1:
            counter.tokens -= 1
            return Verdict(True, int(limits.burst - counter.tokens))
        wait = (1 - counter.tokens) / limits.per_second if limits.per_second else float("inf")
        self._breaches.append(Breach(now_ms(), client, "kraken", endpoint, "limit", limits.burst, limits.burst, round(wait, 3)))
        return Verdict(False, int(limits.burst))

    def _refuse(self, client: str, endpoint: str, kind: str, window: _Window, status: int, wait: float) -> Verdict:
        retry_after = max(1, int(wait) + (wait % 1 > 0))
        at = now_ms()
        limit = float(self.binance.weight)
        self._breaches.append(Breach(at, client, "binance", endpoint, kind, float(window.used), limit, round(wait, 3)))
        return Verdict(False, window.used, status, retry_after, at + int(wait * 1000))
