"""The oracle's pages under /_simulator: what was served, what is true, and the levers of clock, faults and limits."""

import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.simulator.answers import JSON, Answer
from fks_assets.simulator.corruption import corrupt
from fks_assets.simulator.exchange import MARKER, SimulatedExchange
from fks_assets.simulator.fault_rules import parse_faults, parse_time
from fks_assets.simulator.faults import Asked, Hit
from fks_assets.simulator.intervals import BINANCE_INTERVALS
from fks_assets.simulator.source import read_page

_ALL_ROWS = 10**9
_NO_CHANCE = random.Random(0)  # noqa: S311 (chance of faults, no secret)
_COLUMNS = ["open_time", "open", "high", "low", "close", "volume"]
Levers = Callable[[SimulatedExchange, Request, Any], Any]


def control_routes(exchange: SimulatedExchange) -> list[Route]:
    """Return the routes of the oracle."""
    pages: list[tuple[str, str, Levers]] = [
        ("/_simulator", "GET", _status),
        ("/_simulator/journal", "GET", _read_journal),
        ("/_simulator/journal", "DELETE", _clear_journal),
        ("/_simulator/candles", "GET", _candles),
        ("/_simulator/clock", "GET", _read_clock),
        ("/_simulator/clock", "POST", _set_clock),
        ("/_simulator/faults", "GET", _read_faults),
        ("/_simulator/faults", "POST", _add_faults),
        ("/_simulator/faults", "DELETE", _remove_faults),
        ("/_simulator/breaches", "GET", _read_breaches),
        ("/_simulator/breaches", "DELETE", _forget_breaches),
        ("/_simulator/limits", "POST", _set_limits),
    ]
    return [Route(path, control_page(exchange, lever), methods=[method]) for path, method, lever in pages]


def control_page(exchange: SimulatedExchange, lever: Levers) -> Callable[[Request], Awaitable[Response]]:
    """Return a page that answers what the lever returns, or 400 with the words of the InvalidInput that it raises."""

    async def page(request: Request) -> Response:
        try:
            sent = await request.body()
            content = lever(exchange, request, orjson.loads(sent) if sent else {})
        except orjson.JSONDecodeError as error:
            return _json({"error": f"the request body is not JSON: {error}"}, 400)
        except InvalidInput as error:
            return _json({"error": str(error)}, 400)
        return content if isinstance(content, Response) else _json(content)

    return page


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), status, {"Server": MARKER}, JSON)


def _status(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return {
        **exchange.marker(),
        "pid": os.getpid(),
        "dialects": sorted(exchange.dialects),
        "markets": [instrument.symbol for instrument in exchange.listed()],
        "clock": _read_clock(exchange, request, sent),
    }


def _read_journal(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    wanted = dict(request.query_params)
    known = ("after", "limit", "client", "dialect", "endpoint", "symbol", "timeframe", "status", "account", "fault")
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"journal filter {name!r} is unknown; known: {', '.join(known)}")
    after, limit = (_whole(name, wanted.pop(name, None)) for name in ("after", "limit"))
    return {"entries": [entry.as_json() for entry in exchange.journal.read(after=after or 0, limit=limit, **wanted)]}


def _clear_journal(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    exchange.journal.clear()
    return {"entries": []}


def _candles(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    """Return the closed candles that open in [start, end) with the restatements in force (unless restated=false)."""
    query = request.query_params
    symbol, timeframe = query.get("symbol", ""), query.get("timeframe", "")
    instrument = exchange.source.instruments.get(symbol)
    if instrument is None:
        raise InvalidInput(f"symbol {symbol!r} is unknown; known: {', '.join(exchange.source.instruments)}")
    if timeframe not in BINANCE_INTERVALS:
        raise InvalidInput(f"timeframe {timeframe!r} is unknown; known: {', '.join(BINANCE_INTERVALS)}")
    now = exchange.clock.now_ms()
    page = read_page(
        exchange.source,
        instrument,
        BINANCE_INTERVALS[timeframe],
        first_ms=_whole("start", query.get("start")) or 0,
        last_ms=(_whole("end", query.get("end")) or now + 1) - 1,
        now_ms=now,
        limit=_ALL_ROWS,
        newest=False,
        with_running=False,
    )
    answer = Answer(page.body("binance"))
    if query.get("restated", "true") != "false":
        asked = Asked("binance", "klines", symbol, timeframe, "", now)
        restated = [Hit(rule, _NO_CHANCE) for rule in exchange.faults.revisions(asked)]
        answer = corrupt(answer, "binance", timeframe, now, restated)
    rows = [[row[0], *map(float, row[1:6])] for row in orjson.loads(answer.body)]
    return {"symbol": symbol, "timeframe": timeframe, "now_ms": now, "columns": _COLUMNS, "rows": rows}


def _read_clock(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    clock = exchange.clock
    now = clock.now_ms()
    return {"now_ms": now, "now": iso(now), "told_ms": clock.told_ms(), "speed": clock.speed, "skew_ms": clock.skew_ms}


def _set_clock(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    known = ("now", "advance_seconds", "speed", "skew_seconds")
    if not isinstance(sent, dict) or not set(sent) <= set(known):
        raise InvalidInput(f"clock was {sent!r}; give a table of {', '.join(known)}")
    for name in known[1:]:
        if name in sent and (isinstance(sent[name], bool) or not isinstance(sent[name], int | float)):
            raise InvalidInput(f"clock: key {name!r} was {sent[name]!r}; give a number")
    exchange.clock.set(
        now_ms=parse_time("clock", "now", sent["now"]) if "now" in sent else None,
        advance_ms=int(sent.get("advance_seconds", 0) * 1000),
        speed=sent.get("speed"),
        skew_ms=int(sent["skew_seconds"] * 1000) if "skew_seconds" in sent else None,
    )
    exchange.trading.advance()
    return _read_clock(exchange, request, sent)


def _read_faults(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return {"seed": exchange.faults.seed, "faults": exchange.faults.as_json()}


def _add_faults(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    rules, seed = parse_faults(sent)
    exchange.faults.add(rules)
    if "seed" in sent:
        exchange.faults.seed = seed
    return _read_faults(exchange, request, sent)


def _remove_faults(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return {"removed": exchange.faults.remove(request.query_params.get("name"))}


def _read_breaches(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    return {"breaches": [breach.as_json() for breach in exchange.limiter.breaches]}


def _forget_breaches(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    exchange.limiter.forget()
    return {"breaches": []}


def _set_limits(exchange: SimulatedExchange, request: Request, sent: Any) -> Any:
    if not isinstance(sent, dict) or not all(isinstance(values, dict) for values in sent.values()):
        raise InvalidInput(f'limits was {sent!r}; give for example {{"binance": {{"weight": 100}}}}')
    for dialect, values in sent.items():
        exchange.limiter.override(dialect, values)
    return exchange.limiter.as_json()


def _whole(name: str, text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not text.isdecimal():
        raise InvalidInput(f"{name} was {text!r}; give a whole number")
    return int(text)
