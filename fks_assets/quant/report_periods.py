"""The periods that accounts are reported on: UTC days, ISO weeks from Monday to Monday, and months."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from fks_assets.clock import MILLISECONDS_PER_DAY, iso, to_datetime, to_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.timeframes import month_of, month_window

# The report of a day can be made half an hour before the day is over; what it then covers ends at this time of the day.
EARLY_MS = 84_600_000


class ReportType(StrEnum):
    """How long the period of a report is."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


@dataclass(frozen=True, slots=True)
class Period:
    """A UTC day, week or month: [start, end) in milliseconds. `key` is the day, the week's Monday, or the month `2026-11`."""

    type: ReportType
    key: str
    start: int
    end: int

    @property
    def words(self) -> str:
        """The period as people say it."""
        first, last = to_datetime(self.start), to_datetime(self.end - MILLISECONDS_PER_DAY)
        if self.type is ReportType.DAILY:
            return f"{first:%a} {first.day} {first:%b %Y}"
        if self.type is ReportType.MONTHLY:
            return f"{first:%B %Y}"
        year, week, _ = first.isocalendar()
        return f"week {week} of {year}, {first.day} {first:%b} to {last.day} {last:%b}"

    @property
    def next(self) -> "Period":
        """The period after this one."""
        return period_at(self.type, self.end)

    def through(self, now_ms: int) -> int:
        """Return up to when (UTC ms, excluded) a report can tell of the period at a time: its end, or 23:30 of a running day.

        Raises InvalidInput before that.
        """
        early = self.start + EARLY_MS if self.type is ReportType.DAILY else self.end
        if now_ms < early:
            raise InvalidInput(
                f"the {self.type} report of {self.key} cannot be made before {iso(early)}: at {iso(now_ms)} it is not over"
            )
        return self.end if now_ms >= self.end else early

    def is_news(self, now_ms: int) -> bool:
        """Return whether people are told of a report made now: as long as the period after it is not over."""
        return now_ms < self.next.end


def report_type(text: str) -> ReportType:
    """Return the type of that name; raise InvalidInput that lists the known ones."""
    if text not in list(ReportType):
        raise InvalidInput(f"report type {text!r} is unknown; known: {', '.join(ReportType)}")
    return ReportType(text)


def period_at(kind: ReportType, timestamp_ms: int) -> Period:
    """Return the period that contains a time (UTC ms)."""
    if kind is ReportType.MONTHLY:
        month = month_of(timestamp_ms)
        return Period(kind, month, *month_window(month))
    day = to_datetime(timestamp_ms).date()
    first = day - timedelta(days=day.weekday()) if kind is ReportType.WEEKLY else day
    days = 7 if kind is ReportType.WEEKLY else 1
    start = to_ms(datetime(first.year, first.month, first.day, tzinfo=UTC))
    return Period(kind, first.isoformat(), start, start + days * MILLISECONDS_PER_DAY)


def period_of(kind: ReportType, key: str) -> Period:
    """Return the period of a key. Raises InvalidInput for one that is of another form, no date, or no Monday."""
    if kind is ReportType.MONTHLY:
        return period_at(kind, month_window(key)[0])
    period = period_at(kind, _day(key, f"{key!r} is not the key of a {kind} report, such as {_EXAMPLES[kind]}"))
    if period.key != key:
        raise InvalidInput(f"week {key} does not begin on a Monday; the one that contains it is {period.key}")
    return period


def period_on(kind: ReportType, text: str) -> Period:
    """Return the period that contains a day such as 2026-11-21, of months 2026-11 too. Raises InvalidInput for anything else."""
    if kind is ReportType.MONTHLY and len(text) == len("2026-11"):
        return period_of(kind, text)
    return period_at(kind, _day(text, f"{text!r} is not a day such as 2026-11-21"))


def newest_period(kind: ReportType, now_ms: int) -> Period:
    """Return the last period of which a report can be made at a time."""
    period = period_at(kind, now_ms)
    is_early = kind is ReportType.DAILY and now_ms >= period.start + EARLY_MS
    return period if is_early else period_at(kind, period.start - 1)


_EXAMPLES = {ReportType.DAILY: "2026-11-21", ReportType.WEEKLY: "2026-11-16, a Monday"}


def _day(text: str, words: str) -> int:
    """Return when a day begins (UTC ms); raise InvalidInput with these words for what is no day."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(words) from None
    if found.isoformat() != text or found.year < 1970:
        raise InvalidInput(words)
    return to_ms(datetime(found.year, found.month, found.day, tzinfo=UTC))
