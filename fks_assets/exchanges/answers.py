"""Judge an exchange's HTTP answer: give its JSON, or raise the error that says what the exchange meant."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, Protocol

import orjson

from fks_assets.errors import ExchangeError, ExchangeRefused, ExchangeUnavailable, InvalidResponse, RateLimited
from fks_assets.exchanges.dialects import Dialect, FundingApi

LONGEST_BAN_SECONDS = 3 * 86_400.0
_UNTIL_MS = re.compile(r"banned until (\d{13})")
_UNTIL_SECONDS = re.compile(r"Throttled: ?(\d{10})")
_BACK_OFF = re.compile(r'"backOff": ?"?(\d{1,6}(?:\.\d{1,3})?)')
_LOCKOUT_SECONDS = 900.0
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
_TAGS = re.compile(r"<[^>]*>|\s+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with its whole body, not shown by repr. `sent_at` and `received_at` are monotonic seconds around it."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    sent_at: float
    received_at: float


class CcxtMapping(Protocol):
    """The part of a ccxt exchange that knows what its error texts and codes mean."""

    def handle_errors(self, *arguments: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class AnswerJudge:
    """Turns answers of one exchange into JSON values or our errors, with ccxt's own table of its error codes and texts."""

    exchange: str
    dialect: Dialect | FundingApi
    mapping: CcxtMapping
    ccxt_errors: ModuleType

    def check(self, answer: Answer, endpoint: str) -> None:
        """Raise the matching ExchangeError unless the answer's status is 200; its body is not looked at then."""
        if answer.status != 200:
            self._raise(answer, endpoint, _decoded(answer.body))

    def decode(self, answer: Answer, endpoint: str) -> Any:
        """Return the JSON value of an answer that reports no error.

        Raises RateLimited, ExchangeUnavailable (may be repeated), ExchangeRefused, or InvalidResponse when it is not JSON.
        """
        value = _decoded(answer.body)
        if answer.status != 200:
            self._raise(answer, endpoint, value)
        if value is None:
            raise self.invalid(endpoint, f"not JSON: {excerpt(answer.body)}")
        error = self._reported(answer, endpoint, value)
        if error is not None:
            raise error
        return value

    def invalid(self, endpoint: str, fault: str) -> InvalidResponse:
        """Return the error for an answer that is not what the API promises."""
        message = f"{self.exchange} {endpoint} answered something that its API does not promise: {fault}"
        return InvalidResponse(message, exchange=self.exchange, endpoint=endpoint)

    def _raise(self, answer: Answer, endpoint: str, value: Any) -> None:
        status, said = answer.status, f"HTTP {answer.status}: {excerpt(answer.body) or answer.reason}"
        if status in (418, 429) or (status == 403 and not isinstance(value, dict)):
            raise self._limited(answer, endpoint, said)
        reported = self._reported(answer, endpoint, value)
        if isinstance(reported, RateLimited):
            raise reported
        if status >= 500 or status == 408:
            raise ExchangeUnavailable(f"{self.exchange} {endpoint} failed: {said}", exchange=self.exchange, endpoint=endpoint)
        if reported is not None and not isinstance(reported, InvalidResponse):
            raise reported
        if 400 <= status < 500:
            raise ExchangeRefused(f"{self.exchange} refused {endpoint}: {said}", exchange=self.exchange, endpoint=endpoint)
        raise self.invalid(endpoint, said)

    def _reported(self, answer: Answer, endpoint: str, value: Any) -> ExchangeError | None:
        """Return the error that the body itself reports, by ccxt's reading of it."""
        if value is None:
            return None
        body = answer.body.decode(errors="replace").lstrip()
        said = f"HTTP {answer.status}: {excerpt(answer.body)}"
        try:
            self.mapping.handle_errors(
                answer.status, answer.reason, endpoint, "GET", dict(answer.headers), body, value, None, None
            )
        except self.ccxt_errors.BaseError as error:
            return self._translated(error, answer, endpoint, said)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError):
            return self.invalid(endpoint, f"an error report of unknown form: {excerpt(answer.body)}")
        return None

    def _translated(self, error: Exception, answer: Answer, endpoint: str, said: str) -> ExchangeError:
        kinds = self.ccxt_errors
        where = {"exchange": self.exchange, "endpoint": endpoint}
        if isinstance(error, kinds.DDoSProtection | kinds.RateLimitExceeded) or _UNTIL_SECONDS.search(said):
            return self._limited(answer, endpoint, said)
        if isinstance(error, kinds.BadResponse):
            return self.invalid(endpoint, said)
        if isinstance(error, kinds.OperationFailed):
            return ExchangeUnavailable(f"{self.exchange} {endpoint} failed: {said}", **where)
        return ExchangeRefused(f"{self.exchange} refused {endpoint}: {said}", **where)

    def _limited(self, answer: Answer, endpoint: str, said: str) -> RateLimited:
        seconds = ban_seconds(answer, self.dialect)
        message = f"{self.exchange} {endpoint} refuses calls for {seconds:.0f} s: {said}"
        return RateLimited(message, exchange=self.exchange, endpoint=endpoint, retry_after=seconds)


def ban_seconds(answer: Answer, dialect: Dialect | FundingApi) -> float:
    """Return how long the exchange wants silence: its Retry-After, what the body names, or the dialect's default."""
    moment = answer_date(answer)
    stated = [_retry_after(answer.headers.get("Retry-After"), moment)]
    text = answer.body[:2000].decode(errors="replace")
    for pattern, per_second in ((_UNTIL_MS, 1000), (_UNTIL_SECONDS, 1)):
        if moment is not None and (found := pattern.search(text)):
            stated.append(int(found[1]) / per_second - moment.timestamp())
    if found := _BACK_OFF.search(text):
        stated.append(float(found[1]))
    if "Temporary lockout" in text:
        stated.append(_LOCKOUT_SECONDS)
    seconds = max((value for value in stated if value is not None and value > 0), default=None)
    if seconds is None:
        seconds = dialect.ban_seconds.get(answer.status, dialect.ban_seconds[0])
    return min(seconds, LONGEST_BAN_SECONDS)


def used_weight(answer: Answer, dialect: Dialect | FundingApi) -> tuple[int, float] | None:
    """Return the weight that the exchange counts in its running minute and the seconds left of it, None when it does not say."""
    told = answer.headers.get(dialect.used_weight_header) if dialect.used_weight_header else None
    if told is None or not (told.isascii() and told.isdigit() and len(told) < 10):
        return None
    moment = answer_date(answer)
    return int(told), 60.0 if moment is None else 61.0 - moment.second


def answer_date(answer: Answer) -> datetime | None:
    """Return when the server says that it answered, to the second; None when it does not say."""
    return _date(answer.headers.get("Date"))


def excerpt(body: bytes) -> str:
    """Return the beginning of a body for a message: one line, printable, without HTML tags and without URL queries."""
    text = _TAGS.sub(" ", body[:2000].decode(errors="replace")).strip()
    text = _QUERY.sub(r"\1?…", "".join(character if character.isprintable() else "�" for character in text))
    return text[:200] + ("…" if len(text) > 200 else "")


@contextmanager
def shape_guard(judge: AnswerJudge, endpoint: str) -> Iterator[None]:
    """Turn what code stumbles over in an answer of unexpected shape into InvalidResponse."""
    try:
        yield
    except judge.ccxt_errors.BaseError as error:
        raise judge.invalid(endpoint, excerpt(str(error).encode())) from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise judge.invalid(endpoint, f"{type(error).__name__}: {error}") from None


def _decoded(body: bytes) -> Any:
    """Return the JSON value of a body; None when it is no JSON or null."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _retry_after(value: str | None, moment: datetime | None) -> float | None:
    if value is None:
        return None
    try:
        return float(value) if not value.lower().startswith(("nan", "inf")) else None
    except ValueError:
        until = _date(value)
        return None if until is None or moment is None else (until - moment).total_seconds()


def _date(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
