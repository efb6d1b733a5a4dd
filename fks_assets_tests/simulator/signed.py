"""Signing clients written from the exchanges' documents alone: what they send is what the simulator has to check."""

import base64
import hashlib
import hmac
import http.client
from typing import Any
from urllib.parse import urlencode, urlsplit

from fks_assets.simulator.client import SimulatorClient
from fks_assets_tests.simulator.plain_http import Seen

KRAKEN_SECRET = base64.b64encode(b"a secret of the simulated exchange").decode()


def send(url: str, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Seen:
    """Return the answer to one request with a form body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        sent = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        connection.request(method, path, body or None, sent)
        answer = connection.getresponse()
        return Seen(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


class BinanceKey:
    """Signs as Binance's document says: HMAC-SHA256 of query and body together; GET and DELETE in the query, POST in the body."""

    def __init__(self, simulator: SimulatorClient, key: str = "sim-b", secret: str = "hush") -> None:
        self.simulator = simulator
        self.key = key
        self.secret = secret

    def call(self, method: str, endpoint: str, **params: Any) -> Seen:
        """Return the answer; `timestamp` is the simulated time unless given, `signature` the right one unless given."""
        given = {"timestamp": self.simulator.clock()["told_ms"], **params}
        given.setdefault("signature", self.signature(urlencode(given)))
        text = urlencode(given)
        path, body = (f"/api/v3/{endpoint}", text) if method == "POST" else (f"/api/v3/{endpoint}?{text}", "")
        return send(self.simulator.url, method, path, body, {"X-MBX-APIKEY": self.key})

    def ok(self, method: str, endpoint: str, **params: Any) -> Any:
        """Return the JSON of an answer that must be 200."""
        seen = self.call(method, endpoint, **params)
        assert seen.status == 200, seen.body
        return seen.json

    def refused(self, method: str, endpoint: str, **params: Any) -> tuple[int, int, str]:
        """Return status, code and words of a refusal."""
        seen = self.call(method, endpoint, **params)
        return seen.status, seen.json["code"], seen.json["msg"]

    def signature(self, text: str) -> str:
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class KrakenKey:
    """Signs as Kraken's document says: HMAC-SHA512 of path and SHA256 of nonce and body, with a nonce that grows."""

    def __init__(self, simulator: SimulatorClient, key: str = "sim-k", secret: str = KRAKEN_SECRET) -> None:
        self.url = simulator.url
        self.key = key
        self.secret = secret
        self.nonce = 0

    def call(self, endpoint: str, **params: Any) -> Seen:
        """Return the answer to one call."""
        self.nonce += 1
        body = urlencode({"nonce": self.nonce, **params})
        path = f"/0/private/{endpoint}"
        nonce = str(params.get("nonce", self.nonce))
        digest = hashlib.sha256(nonce.encode() + body.encode()).digest()
        signature = hmac.new(base64.b64decode(self.secret), path.encode() + digest, hashlib.sha512).digest()
        return send(self.url, "POST", path, body, {"API-Key": self.key, "API-Sign": base64.b64encode(signature).decode()})

    def ok(self, endpoint: str, **params: Any) -> Any:
        """Return the result of a call that must go well."""
        answer = self.call(endpoint, **params).json
        assert answer["error"] == [], answer
        return answer["result"]

    def refused(self, endpoint: str, **params: Any) -> str:
        """Return the only error of a call."""
        seen = self.call(endpoint, **params)
        (error,) = seen.json["error"]
        assert seen.status == 200 and "result" not in seen.json
        return str(error)
