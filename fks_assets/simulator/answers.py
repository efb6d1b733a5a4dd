"""What an endpoint gives back, and the refusals of both dialects in their own words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from fks_assets.errors import TradingError

JSON = "application/json;charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer and what the journal says about it."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    rows: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(TradingError):
    """A request that the exchange refuses; carries the answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode(errors="replace"))
        self.answer = answer


def as_answer(content: Any, rows: int = 0) -> Answer:
    """Return a JSON answer."""
    return Answer(orjson.dumps(content), rows=rows)


def binance_error(code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Answer:
    """Return Binance's error body."""
    return Answer(orjson.dumps({"code": code, "msg": message}), status, headers=headers or {})


def kraken_error(*errors: str) -> Answer:
    """Return Kraken's error body, which comes with HTTP 200."""
    return Answer(orjson.dumps({"error": list(errors)}))


def html_error(status: int) -> Answer:
    """Return the page that a proxy in front of an exchange sends."""
    title = f"{status} error"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>"
    return Answer(page.encode(), status, "text/html")
