"""A plain HTTP client that knows nothing of exchanges: what goes over the wire is what the tests see."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Seen:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(url: str, path: str, *, source: str = "127.0.0.1", timeout: float = 10.0) -> Seen:
    """Return the answer to one GET on a connection of its own, made from the given local address."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout, source_address=(source, 0))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return Seen(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
