"""A scripted Binance and Kraken with a clock of its own, whose candles are a formula of the time: the tests' expected values."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.exchanges.scripted_server import Reply, Request

START_MS = 1_700_006_400_000  # 2023-11-15 00:00:00 UTC


def candle_texts(open_ms: int) -> tuple[str, str, str, str, str]:
    """Return the texts of open, high, low, close and volume of the scripted candle that opens then."""
    base = 20_000 + (open_ms // 60_000) % 977
    return f"{base}.10000000", f"{base + 7}.30000000", f"{base - 9}.70000000", f"{base + 1}.90000000", f"{base % 13}.12500000"


def binance_row(open_ms: int, step: int) -> list[object]:
    """Return the Binance row of the scripted candle."""
    return [open_ms, *candle_texts(open_ms), open_ms + step - 1, "1.50000000", 7, "0.50000000", "0.75000000", "0"]


def kraken_row(open_ms: int) -> list[object]:
    """Return the Kraken row of the scripted candle."""
    texts = candle_texts(open_ms)
    return [open_ms // 1000, *texts[:4], "20000.5", texts[4], 7]


def udf_columns(opens_ms: Sequence[int], spelled: Callable[[str], object]) -> dict[str, object]:
    """Return the UDF history of the scripted candles that open then, every number as `spelled` writes it."""
    columns = list(zip(*(candle_texts(time) for time in opens_ms), strict=True)) or [()] * 5
    values = {name: [spelled(text) for text in column] for name, column in zip("ohlcv", columns, strict=True)}
    return {"s": "ok", "t": [time // 1000 for time in opens_ms], **values}


@dataclass
class ScriptedExchange:
    """Answers both dialects. `now_ms` stands still unless `runs`; `faults` are asked first and answer None to let a call pass."""

    now_ms: int = START_MS + 400 * 86_400_000
    told_skew_ms: int = 0
    runs: bool = False
    first_open_ms: int = START_MS
    running_is_unfinished: bool = True
    faults: list[Callable[[Request], Reply | None]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def __call__(self, request: Request) -> Reply:
        for fault in self.faults:
            reply = fault(request)
            if reply is not None:
                return reply
        handler = {"time": self._time, "klines": self._klines, "Time": self._kraken_time, "OHLC": self._ohlc}[request.endpoint]
        return Reply(orjson.dumps(handler(request.query)))

    def true_ms(self) -> int:
        return self.now_ms + (int((time.monotonic() - self.started) * 1000) if self.runs else 0)

    def opens(self, step: int, start_ms: int, end_ms: int) -> range:
        """Return the open times of all candles in [start, end) that exist, the running one included."""
        first = max(start_ms, self.first_open_ms)
        return range(first + -first % step, min(end_ms, self.true_ms() + 1), step)

    def _time(self, query: dict[str, str]) -> object:
        return {"serverTime": self.true_ms() + self.told_skew_ms}

    def _kraken_time(self, query: dict[str, str]) -> object:
        return {"error": [], "result": {"unixtime": (self.true_ms() + self.told_skew_ms) // 1000, "rfc1123": ""}}

    def _klines(self, query: dict[str, str]) -> object:
        step = parse_timeframe(query["interval"]).milliseconds
        end = int(query.get("endTime", self.true_ms())) + 1
        return [binance_row(time, step) for time in self.opens(step, int(query["startTime"]), end)[: int(query["limit"])]]

    def _ohlc(self, query: dict[str, str]) -> object:
        step = int(query["interval"]) * 60_000
        rows = [kraken_row(time) for time in self.opens(step, int(query.get("since", 0)) * 1000 + 1, self.true_ms() + 1)[-720:]]
        return {"error": [], "result": {"XXBTZUSD": rows, "last": rows[-2][0] if len(rows) > 1 else 0}}
