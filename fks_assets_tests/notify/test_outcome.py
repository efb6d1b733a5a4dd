"""What answers mean: literal cases from Discord's, Slack's and Telegram's documentation, and from RFC 9110."""

import json
from email.utils import format_datetime

import pytest
import sqlalchemy as sa

from fks_assets.clock import to_datetime
from fks_assets.notify.outcome import LONGEST_WAIT_MS, MARGIN_MS, Answer, Result, judged, retry_after_ms
from fks_assets.stores.database import Database
from fks_assets.stores.notification_targets import register_target, take_target, target_worked

NOW = 1_795_000_000_000


def answer(headers: dict[str, str] | None = None, body: object = None, status: int = 429) -> Answer:
    return Answer(status, headers or {}, b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "65"}, None, 65),
        ({"retry-after": "0"}, None, 0),
        ({}, {"retry_after": 64.57, "global": False}, 64.57),
        ({}, {"retry_after": 6457}, 6.457),
        ({}, {"retry_after": 3}, 3),
        ({}, {"retry_after": 900}, 900),
        ({"retry-after": "6"}, {"retry_after": 6457}, 6.457),
        ({"retry-after": "2"}, {"retry_after": 1500}, 2),
        ({"retry-after": "1337"}, {"retry_after": 1336.57}, 1337),
        ({"retry-after": "3600"}, {"retry_after": 3600}, 3600),
        ({"x-ratelimit-reset-after": "1.25"}, None, 1.25),
        ({"retry-after": "1", "x-ratelimit-reset-after": "2.5"}, {"retry_after": 1}, 2.5),
        ({}, {"ok": False, "parameters": {"retry_after": 27}}, 27),
        ({"retry-after": format_datetime(to_datetime(NOW + 90_000), usegmt=False)}, None, 90),
        ({"retry-after": format_datetime(to_datetime(NOW - 90_000))}, None, 0),
        # RFC 5322: -0000 is UTC of which the zone is not known.
        ({"retry-after": format_datetime(to_datetime(NOW + 90_000)).replace("+0000", "-0000")}, None, 90),
        # A server whose clock is an hour behind or ahead of ours says so in its own date.
        (
            {"retry-after": format_datetime(to_datetime(NOW - 3_510_000)), "date": format_datetime(to_datetime(NOW - 3_600_000))},
            None,
            90,
        ),
        (
            {"retry-after": format_datetime(to_datetime(NOW + 3_690_000)), "date": format_datetime(to_datetime(NOW + 3_600_000))},
            None,
            90,
        ),
        ({"retry-after": format_datetime(to_datetime(NOW + 90_000)), "date": "yesterday"}, None, 90),
    ],
)
def test_how_long_a_server_wants_to_be_left_alone(headers: dict[str, str], body: object, seconds: float) -> None:
    """N1: seconds, milliseconds, dates; the longest of those that are said."""
    assert retry_after_ms(answer(headers, body), NOW) == round(seconds * 1000) + MARGIN_MS


@pytest.mark.parametrize(
    "given",
    [
        answer(),
        answer({"retry-after": "soon"}),
        answer({"retry-after": "-5"}),
        answer({"retry-after": "nan"}),
        answer({"retry-after": "inf"}),
        answer(body={"retry_after": None}),
        answer(body={"retry_after": True}),
        answer(body=["retry_after"]),
        Answer(429, {}, b"<html>"),
    ],
)
def test_nonsense_is_no_pause(given: Answer) -> None:
    assert retry_after_ms(given, NOW) is None


def test_no_pause_is_longer_than_a_week() -> None:
    assert retry_after_ms(answer({"retry-after": "99999999999"}), NOW) == LONGEST_WAIT_MS


@pytest.mark.parametrize(
    ("status", "result"),
    [
        *((status, Result.DELIVERED) for status in (200, 201, 204)),
        *((status, Result.LATER) for status in (408, 425, 429, 500, 502, 503, 504, 529)),
        *((status, Result.DEAD) for status in (401, 403, 404, 410)),
        *((status, Result.REFUSED) for status in (302, 400, 405, 413, 422)),
    ],
)
def test_what_a_status_means(status: int, result: Result) -> None:
    assert judged(Answer(status), NOW).result is result


@pytest.mark.parametrize(
    "given",
    [answer({"x-ratelimit-global": "true"}), answer({"x-ratelimit-scope": "global"}), answer(body={"global": True})],
)
def test_a_limit_of_everything_is_told_from_one_of_a_webhook(given: Answer) -> None:
    assert judged(given, NOW).whole_host and not judged(answer({"x-ratelimit-scope": "shared"}), NOW).whole_host


def test_a_bucket_gives_thirty_a_minute_and_four_at_once(database: Database) -> None:
    """Counted over ten minutes of asking four times a second: never more than 30 in any minute, 26 in each that follows."""
    times: list[int] = []
    with database.transaction() as connection:
        register_target(connection, "t", "a", "x", at_ms=NOW)
        for at in range(NOW, NOW + 600_000, 250):
            if take_target(connection, "t", "h", "me", at_ms=at, lease_ms=1000, per_minute=30) is None:
                times.append(at)
                target_worked(connection, "t", "me", at_ms=at, not_before=None)
    assert times[:4] == [NOW, NOW + 250, NOW + 500, NOW + 750]
    assert all(later - earlier >= 60_000 for earlier, later in zip(times, times[30:], strict=False))
    assert 255 <= len(times) <= 264


def test_a_target_is_one_sender_s_at_a_time(database: Database) -> None:
    """The second one is told when the lease of the first is over; a dead one's lease ends by itself."""
    with database.transaction() as connection:
        register_target(connection, "t", "a", "x", at_ms=NOW)
        assert take_target(connection, "t", "h", "one", at_ms=NOW, lease_ms=20_000, per_minute=600) is None
        assert take_target(connection, "t", "h", "two", at_ms=NOW + 1, lease_ms=20_000, per_minute=600) == NOW + 20_000
        assert take_target(connection, "t", "h", "two", at_ms=NOW + 20_000, lease_ms=20_000, per_minute=600) is None
        # The first one comes back: it may not end a lease that is not its own.
        target_worked(connection, "t", "one", at_ms=NOW + 20_001, not_before=None)
        assert take_target(connection, "t", "h", "one", at_ms=NOW + 20_002, lease_ms=1, per_minute=600) == NOW + 40_000
        found = connection.execute(sa.text("SELECT leased_by FROM notification_targets")).scalars().all()
    assert found == ["two"]
