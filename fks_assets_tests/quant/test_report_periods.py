"""The periods of reports: days, ISO weeks and months by the calendar of the standard library."""

import calendar
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.clock import to_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.report_periods import Period, ReportType, newest_period, period_at, period_of, period_on, report_type

DAY_MS = 86_400_000
MOMENTS = st.integers(345_600_000, 4_102_444_800_000)  # from Monday 5 January 1970 on


def ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@given(MOMENTS, st.sampled_from(list(ReportType)))
def test_each_moment_is_in_one_period_and_periods_follow_each_other(moment: int, kind: ReportType) -> None:
    """The lengths are those of `calendar`; a week is that of `date.isocalendar`."""
    period = period_at(kind, moment)
    assert period.start <= moment < period.end == period.next.start
    assert period_of(kind, period.key) == period == period_at(kind, period.end - 1)
    first = date.fromisoformat(period.key if kind is not ReportType.MONTHLY else f"{period.key}-01")
    assert period.start == ms(first.isoformat())
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).date()
    days = {ReportType.DAILY: 1, ReportType.WEEKLY: 7, ReportType.MONTHLY: calendar.monthrange(day.year, day.month)[1]}[kind]
    assert period.end - period.start == days * DAY_MS
    if kind is ReportType.WEEKLY:
        assert first.isocalendar()[:2] == day.isocalendar()[:2] and first.isoweekday() == 1
    assert period_on(kind, day.isoformat()) == period


@pytest.mark.parametrize(
    ("kind", "key", "words"),
    [
        ("daily", "2026-11-21", "Sat 21 Nov 2026"),
        ("weekly", "2026-12-28", "week 53 of 2026, 28 Dec to 3 Jan"),
        ("monthly", "2024-02", "February 2024"),
    ],
)
def test_a_period_has_words(kind: str, key: str, words: str) -> None:
    """2026 has 53 ISO weeks, as `date(2026, 12, 28).isocalendar()` says."""
    assert period_of(ReportType(kind), key).words == words


def test_a_day_can_be_told_from_half_past_eleven_on_and_others_when_they_are_over() -> None:
    """Between 23:30 and midnight the answer is 23:30, whenever it is asked: what is told depends on no clock."""
    day = period_of(ReportType.DAILY, "2026-11-21")
    assert day.through(ms("2026-11-21T23:30")) == day.through(day.end - 1) == ms("2026-11-21T23:30")
    assert day.through(day.end) == day.through(day.end + 90 * DAY_MS) == day.end
    with pytest.raises(
        InvalidInput, match="daily report of 2026-11-21 cannot be made before 2026-11-21T23:30:00Z: at 2026-11-21T23:"
    ):
        day.through(ms("2026-11-21T23:30") - 1)
    for kind, key, end in (("weekly", "2026-11-16", "2026-11-23"), ("monthly", "2026-11", "2026-12-01")):
        period = period_of(ReportType(kind), key)
        assert period.through(ms(end)) == period.end == ms(end)
        with pytest.raises(InvalidInput, match=f"{kind} report of {key} cannot be made before {end}T00:00:00Z"):
            period.through(ms(end) - 1)


@given(MOMENTS.filter(lambda moment: moment > 70 * DAY_MS), st.sampled_from(list(ReportType)))
def test_the_newest_period_is_one_that_can_be_made_and_the_next_one_cannot(moment: int, kind: ReportType) -> None:
    period = newest_period(kind, moment)
    assert period.through(moment) <= period.end and period.is_news(moment)
    with pytest.raises(InvalidInput):
        period.next.through(moment)


def test_what_is_old_is_no_news() -> None:
    """A report is news until the period after it is over."""
    january = period_of(ReportType.MONTHLY, "2026-01")
    assert january.is_news(ms("2026-02-28T23:59")) and not january.is_news(ms("2026-03-01"))
    day = Period(ReportType.DAILY, "2026-01-05", ms("2026-01-05"), ms("2026-01-06"))
    assert day.is_news(ms("2026-01-06T23:30")) and not day.is_news(ms("2026-01-07"))


@pytest.mark.parametrize(
    ("kind", "key", "words"),
    [
        ("daily", "2026-02-29", "'2026-02-29' is not the key of a daily report, such as 2026-11-21"),
        ("daily", "20260201", "'20260201' is not the key"),
        ("daily", "2026-11", "'2026-11' is not the key"),
        ("daily", "0001-01-01", "'0001-01-01' is not the key"),
        ("weekly", "2026-11-21", "week 2026-11-21 does not begin on a Monday; the one that contains it is 2026-11-16"),
        ("weekly", "2026-W47", "'2026-W47' is not the key of a weekly report, such as 2026-11-16, a Monday"),
        ("monthly", "2026-11-01", "month '2026-11-01' is not of the form YYYY-MM"),
    ],
)
def test_a_key_of_another_form_is_refused(kind: str, key: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        period_of(ReportType(kind), key)
    assert words in str(caught.value)


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    assert [report_type(each) for each in ("daily", "weekly", "monthly")] == list(ReportType)
    with pytest.raises(InvalidInput, match="report type 'DAILY' is unknown; known: daily, weekly, monthly"):
        report_type("DAILY")
