"""Ask a running simulator for what it served and what is true, and move its clock, faults and limits; trading is in the base."""

from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import orjson

from fks_assets.errors import ExchangeUnavailable, InvalidInput
from fks_assets.quant.candles import Candles
from fks_assets.simulator.client_trading import TradingOracle


class SimulatorClient(TradingOracle):
    """The oracle of the simulator at `url`; a request that it refuses raises InvalidInput with its words."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.port is None:
            raise InvalidInput(f"simulator url {url!r} is not of the form http://127.0.0.1:8787")
        self.url = f"http://{parts.netloc}"
        self._host, self._port = parts.hostname, parts.port
        self._timeout = timeout

    @property
    def binance_url(self) -> str:
        """The base for Binance's REST paths."""
        return f"{self.url}/api/v3"

    def status(self) -> dict[str, Any]:
        """Return marker, seed, pid, markets and clock; raise ConnectionRefusedError if nothing listens there."""
        try:
            found = self._call("GET", "")
        except ConnectionRefusedError:
            raise
        except (HTTPException, ExchangeUnavailable, OSError, ValueError) as error:
            raise InvalidInput(f"what listens at {self.url} does not answer as the simulator: {error!r}") from error
        if not isinstance(found, dict) or "simulator" not in found:
            raise InvalidInput(f"what listens at {self.url} is not the simulator")
        return found

    def journal(self, **filters: str | int) -> list[dict[str, Any]]:
        """Return the requests served, oldest first; filter by after, limit or an entry's fields, `fault` among them."""
        return self._call("GET", "/journal", filters)["entries"]

    def clear_journal(self) -> None:
        """Forget the requests served so far."""
        self._call("DELETE", "/journal")

    def candles(
        self, symbol: str, timeframe: str, start_ms: int = 0, end_ms: int | None = None, *, restated: bool = True
    ) -> Candles:
        """Return the true closed candles of `BTC-USDT` that open in [start_ms, end_ms), after restatements unless told not to."""
        query: dict[str, str | int] = {"symbol": symbol, "timeframe": timeframe, "start": start_ms}
        query["restated"] = "true" if restated else "false"
        if end_ms is not None:
            query["end"] = end_ms
        rows = self._call("GET", "/candles", query)["rows"]
        values = np.array(rows, np.float64).reshape(len(rows), 6)
        return Candles(np.array([row[0] for row in rows], np.int64), *(values[:, column].copy() for column in range(1, 6)))

    def clock(self) -> dict[str, Any]:
        """Return now_ms, now, told_ms, speed and skew_ms."""
        return self._call("GET", "/clock")

    def set_clock(self, **levers: Any) -> dict[str, Any]:
        """Set now (ms or ISO text), advance_seconds, speed or skew_seconds."""
        return self._call("POST", "/clock", body=levers)

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules in force and how often each matched and applied."""
        return self._call("GET", "/faults")["faults"]

    def add_faults(self, *rules: Mapping[str, Any], seed: int | None = None) -> None:
        """Add rules with the keys of a fault file."""
        self._call("POST", "/faults", body={"faults": rules} if seed is None else {"faults": rules, "seed": seed})

    def remove_faults(self, name: str | None = None) -> int:
        """Drop the rules of a name, or all; return how many."""
        return self._call("DELETE", "/faults", {} if name is None else {"name": name})["removed"]

    def breaches(self) -> list[dict[str, Any]]:
        """Return the requests refused for exceeding a limit, oldest first."""
        return self._call("GET", "/breaches")["breaches"]

    def forget_breaches(self) -> None:
        """Drop recorded breaches, used weight and bans."""
        self._call("DELETE", "/breaches")

    def set_limits(self, **dialects: Mapping[str, float]) -> None:
        """Replace limits, for example binance={"weight": 100}."""
        self._call("POST", "/limits", body=dialects)

    def _call(self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None) -> Any:
        return orjson.loads(self._read(method, path, query, body))

    def _read(self, method: str, path: str, query: Mapping[str, str | int] | None = None, body: Any = None) -> bytes:
        target = f"/_simulator{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else orjson.dumps(body, default=_listed)
        connection = HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(method, target, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            sent = answer.read()
        finally:
            connection.close()
        if answer.status == 400:
            raise InvalidInput(orjson.loads(sent)["error"])
        if answer.status != 200:
            raise ExchangeUnavailable(f"{method} {self.url}{target}: HTTP {answer.status}", exchange="simulated", endpoint=path)
        return sent


def _listed(value: Any) -> Any:
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{value!r} cannot be sent as JSON")
