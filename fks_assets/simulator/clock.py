"""The simulated exchange's time: it starts anywhere, runs at any speed, and may tell a time that is off."""

import time
from collections.abc import Callable

from fks_assets import clock
from fks_assets.errors import InvalidInput

MAX_SPEED = 100_000.0


class SimulatedClock:
    """Simulated UTC milliseconds; `speed` simulated seconds pass in a real one, 0 stands still."""

    def __init__(self, start_ms: int | None = None, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._speed = _checked_speed(speed)
        self._base_ms = clock.now_ms() if start_ms is None else start_ms
        self._base_at = monotonic()
        self.skew_ms = 0

    def now_ms(self) -> int:
        """Return the true simulated time: it decides which candles exist and which are closed."""
        return self._base_ms + int((self._monotonic() - self._base_at) * 1000 * self._speed)

    def told_ms(self) -> int:
        """Return the time that the exchange tells its clients: the true one plus the skew."""
        return self.now_ms() + self.skew_ms

    @property
    def speed(self) -> float:
        return self._speed

    def set(
        self, *, now_ms: int | None = None, advance_ms: int = 0, speed: float | None = None, skew_ms: int | None = None
    ) -> None:
        """Jump to a time, then move by `advance_ms`, and change speed or skew; what is not given stays."""
        checked = self._speed if speed is None else _checked_speed(speed)
        base = self.now_ms() if now_ms is None else now_ms
        self._base_ms, self._base_at = base + advance_ms, self._monotonic()
        self._speed = checked
        if skew_ms is not None:
            self.skew_ms = skew_ms


def _checked_speed(speed: float) -> float:
    if not 0 <= speed <= MAX_SPEED:
        raise InvalidInput(f"speed {speed} is outside 0..{MAX_SPEED:g}")
    return speed
