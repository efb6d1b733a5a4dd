"""What became of an attempt to send, read from the answer of a server."""

import email.utils
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from enum import StrEnum
from typing import Any

import orjson

from fks_assets.clock import to_ms

LONGEST_WAIT_MS = 7 * 86_400_000
# An API that once counted in milliseconds answers whole numbers; nobody is asked to wait longer than this in whole seconds.
MOST_WHOLE_SECONDS = 900
# Clocks round: a call that comes a moment too early counts as one inside the window.
MARGIN_MS = 100


class Result(StrEnum):
    """DELIVERED; LATER: worth another attempt; REFUSED: this message is not taken; DEAD: the target takes nothing any more."""

    DELIVERED = "DELIVERED"
    LATER = "LATER"
    REFUSED = "REFUSED"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result in words, and for how long (ms) nothing may be sent: to the target, or to its whole host."""

    result: Result
    words: str = ""
    wait_ms: int | None = None
    whole_host: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def document(self) -> dict[str, Any]:
        """The body as a JSON object, empty if it is none."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


def judged(answer: Answer, now_ms: int) -> Outcome:
    """Return what a webhook's answer means, by its status, its headers and its body."""
    status = answer.status
    if 200 <= status < 300:
        is_empty = answer.headers.get("x-ratelimit-remaining") == "0"
        reset = _number(answer.headers.get("x-ratelimit-reset-after")) if is_empty else None
        return Outcome(Result.DELIVERED, wait_ms=None if reset is None else _milliseconds(reset))
    said = f"answered {status}"
    if status == 429:
        scope = answer.headers.get("x-ratelimit-scope") == "global" or "x-ratelimit-global" in answer.headers
        whole = scope or answer.document.get("global") is True
        return Outcome(Result.LATER, f"{said}: too many messages", retry_after_ms(answer, now_ms), whole)
    if status in (401, 403, 404, 410):
        return Outcome(Result.DEAD, said)
    if status in (408, 425) or status >= 500:
        return Outcome(Result.LATER, said, retry_after_ms(answer, now_ms))
    return Outcome(Result.REFUSED, said)


def retry_after_ms(answer: Answer, now_ms: int) -> int | None:
    """Return for how long a server wants to be left alone, None if it does not say.

    `Retry-After` is in seconds or a date, `X-RateLimit-Reset-After` in seconds, `retry_after` of the body in seconds or, of older
    APIs, in milliseconds: what agrees with a header counts, then whole numbers above 900. The longest of them holds.
    """
    header = answer.headers.get("retry-after")
    waits = [_number(header), _number(answer.headers.get("x-ratelimit-reset-after"))]
    if header is not None and waits[0] is None:
        waits[0] = _until_date(header, answer.headers.get("date"), now_ms)
    known = [wait for wait in waits if wait is not None]
    document = answer.document
    parameters = document.get("parameters")
    told = document.get("retry_after", parameters.get("retry_after") if isinstance(parameters, dict) else None)
    number = _number(told)
    if number is not None:
        known.append(_seconds(number, max(known, default=None)))
    return _milliseconds(max(known)) if known else None


def _seconds(number: float, header: float | None) -> float:
    if header is not None:
        return number if abs(number - header) <= abs(number / 1000 - header) else number / 1000
    return number / 1000 if number == int(number) and number > MOST_WHOLE_SECONDS else number


def _until_date(header: str, date: str | None, now_ms: int) -> float | None:
    """Return the seconds until a date, by the clock of the server if its answer has a date: ours may be wrong."""
    until, now = _date_ms(header), None if date is None else _date_ms(date)
    return None if until is None else max(0.0, (until - (now_ms if now is None else now)) / 1000)


def _date_ms(header: str) -> int | None:
    try:
        found = email.utils.parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    return to_ms(found if found.tzinfo is not None else found.replace(tzinfo=UTC))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _milliseconds(seconds: float) -> int:
    return min(LONGEST_WAIT_MS, math.ceil(seconds * 1000) + MARGIN_MS)
