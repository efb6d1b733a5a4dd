"""The exchange's own clock, carried forward by the monotonic clock: what the local wall clock says plays no part."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fks_assets.errors import ExchangeUnavailable

SAMPLES = 5
REFRESH_SECONDS = 600.0
LONGEST_ROUND_TRIP_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class ClockSample:
    """The exchange's time (ms) in an answer, and the monotonic seconds around the request."""

    exchange_ms: int
    sent_at: float
    received_at: float

    @property
    def round_trip(self) -> float:
        return self.received_at - self.sent_at

    @property
    def offset_ms(self) -> float:
        """Exchange time less monotonic time in ms, as if the answer was made half-way through the round trip."""
        return self.exchange_ms - (self.sent_at + self.round_trip / 2) * 1000


class ExchangeClock:
    """Knows the exchange's time from the median of five samples, taken anew every ten minutes."""

    def __init__(self, exchange: str, sample: Callable[[], Awaitable[ClockSample]]) -> None:
        self._exchange = exchange
        self._sample = sample
        self._offset_ms = 0.0
        self._measured_at: float | None = None
        self._measuring: asyncio.Task[None] | None = None

    async def now_ms(self) -> int:
        """Return the exchange's time in ms; raise ExchangeError when it cannot be measured."""
        if self._measured_at is None or time.monotonic() - self._measured_at > REFRESH_SECONDS:
            if self._measuring is None:
                self._measuring = asyncio.create_task(self._measure())
                self._measuring.add_done_callback(self._forget_measuring)
            await asyncio.shield(self._measuring)
        return int(self._offset_ms + time.monotonic() * 1000)

    async def close(self) -> None:
        """Stop a measurement that is under way."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait([self._measuring])

    async def _measure(self) -> None:
        samples = [await self._sample() for _ in range(SAMPLES)]
        usable = [sample for sample in samples if sample.round_trip <= LONGEST_ROUND_TRIP_SECONDS]
        if len(usable) <= SAMPLES // 2:
            slowest = max(sample.round_trip for sample in samples)
            message = f"the clock of {self._exchange} cannot be measured: its answers take up to {slowest:.1f} s"
            raise ExchangeUnavailable(message, exchange=self._exchange, endpoint="clock")
        self._offset_ms = statistics.median(sample.offset_ms for sample in usable)
        self._measured_at = time.monotonic()

    def _forget_measuring(self, task: asyncio.Task[None]) -> None:
        self._measuring = None
        if not task.cancelled():
            task.exception()
