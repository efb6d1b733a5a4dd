"""The one place that reads the wall clock. Everything else is given a time or calls these."""

import time
from datetime import UTC, datetime

MILLISECONDS_PER_DAY = 86_400_000


def now_ms() -> int:
    """Return the current UTC time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.now(UTC)


def to_datetime(timestamp_ms: int) -> datetime:
    """Return the aware UTC datetime of a millisecond timestamp."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Return milliseconds since the epoch of an aware datetime."""
    return round(moment.timestamp() * 1000)


def day_start_ms(day: str) -> int:
    """Return where a UTC day such as `2026-11-21` begins, in milliseconds."""
    return to_ms(datetime.fromisoformat(day).replace(tzinfo=UTC))


def iso(timestamp_ms: int | None) -> str | None:
    """Return `2026-11-21T04:05:00Z` for a millisecond timestamp, None for None."""
    return None if timestamp_ms is None else to_datetime(timestamp_ms).isoformat(timespec="seconds").replace("+00:00", "Z")
