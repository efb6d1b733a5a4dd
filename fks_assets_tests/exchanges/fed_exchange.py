"""ccxt exchanges that are fed bodies instead of sending: everything but the socket is the real class."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from fks_assets.exchanges.ccxt_loader import load_exchange_class
from fks_assets.exchanges.dialects import DIALECTS


class Feed:
    """Mixed in before a ccxt class: answers from `bodies` by the end of the path and notes what would have been sent."""

    bodies: Mapping[str, Any]
    status: int
    sent: list[tuple[str, str, Mapping[str, Any]]]

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        parts = urlsplit(url)
        content = json.loads(body) if body and body.startswith("{") else {}
        self.sent.append((method, parts.path + (f"?{parts.query}" if parts.query else ""), content))
        endpoint = max((each for each in self.bodies if parts.path.endswith(each)), key=len)
        fed = self.bodies[endpoint]
        text = fed.decode() if isinstance(fed, bytes) else orjson.dumps(fed).decode()
        value = self.parse_json(text)
        self.handle_errors(self.status, "Reason", url, method, {}, text, value, headers, body)
        self.handle_http_status_code(self.status, "Reason", url, method, text)
        return value


def fed_exchange(name: str, bodies: Mapping[str, Any], status: int = 200) -> Any:
    """Return ccxt's exchange of a dialect with a key, numbers as text; its load_markets needs a body too."""
    ccxt_class = load_exchange_class(DIALECTS[name].ccxt_id)
    config = {"apiKey": "key", "secret": "c2VjcmV0", "enableRateLimit": False, "number": str}
    exchange = type(name, (Feed, ccxt_class), {})({**config, "options": dict(DIALECTS[name].ccxt_options)})
    exchange.bodies, exchange.status, exchange.sent = bodies, status, []
    return exchange
