"""Timeframes, the candle grid, months, and the one rule that says when a candle is closed. All times are UTC milliseconds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fks_assets.errors import InvalidInput

_MINUTE = 60_000
_MONTH = re.compile(r"(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A candle length that divides a UTC day, so its grid starts at midnight and months hold whole candles."""

    name: str
    milliseconds: int

    @property
    def seconds(self) -> int:
        return self.milliseconds // 1000

    def floor(self, timestamp_ms: int) -> int:
        """Return the open time of the candle that contains the timestamp."""
        return timestamp_ms - timestamp_ms % self.milliseconds

    def ceil(self, timestamp_ms: int) -> int:
        """Return the first grid point at or after the timestamp."""
        return -(-timestamp_ms // self.milliseconds) * self.milliseconds

    def __str__(self) -> str:
        return self.name


TIMEFRAMES = {
    name: Timeframe(name, minutes * _MINUTE)
    for name, minutes in {
        "1m": 1,
        "3m": 3,
        "5m": 5,
        "15m": 15,
        "30m": 30,
        "1h": 60,
        "2h": 120,
        "4h": 240,
        "6h": 360,
        "8h": 480,
        "12h": 720,
        "1d": 1440,
    }.items()
}


def parse_timeframe(name: str) -> Timeframe:
    """Return the timeframe called `name`; raise InvalidInput that lists the known ones."""
    try:
        return TIMEFRAMES[name]
    except KeyError:
        raise InvalidInput(f"timeframe {name!r} is unknown; known: {', '.join(TIMEFRAMES)}") from None


def first_open_candle(exchange_time_ms: int, timeframe: Timeframe, grace_ms: int) -> int:
    """Return the open time of the earliest candle that must still be taken as unfinished.

    A candle is closed when its close time is at or before the exchange's own clock less `grace_ms`; every candle that opens
    before the returned time is closed, every other is not. This is the only place that decides it.
    """
    return timeframe.floor(exchange_time_ms - grace_ms)


def month_of(timestamp_ms: int) -> str:
    """Return the UTC month `2026-11` that contains the timestamp."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m")


def month_window(month: str) -> tuple[int, int]:
    """Return (start, end) of the UTC month in milliseconds, end excluded; raise InvalidInput unless `YYYY-MM` from 1970 on."""
    match = _MONTH.fullmatch(month)
    if match is None:
        raise InvalidInput(f"month {month!r} is not of the form YYYY-MM")
    year, number = int(match[1]), int(match[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    start, end = (datetime(y, m, 1, tzinfo=UTC) for y, m in ((year, number), following))
    return int(start.timestamp()) * 1000, int(end.timestamp()) * 1000


def months_between(start_ms: int, end_ms: int) -> list[str]:
    """Return every month touched by the half-open range [start, end), oldest first."""
    months: list[str] = []
    cursor = start_ms
    while cursor < end_ms:
        month = month_of(cursor)
        months.append(month)
        cursor = month_window(month)[1]
    return months


def usual_timeframe(offered: Sequence[str]) -> str:
    """Return 1h, or the first of the timeframes that a desk offers if it has none."""
    return "1h" if "1h" in offered else offered[0]
