"""What a fault may be told: every action with its keys, their types and bounds. Reads fault files and control requests."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson

from fks_assets.clock import to_ms
from fks_assets.errors import InvalidInput

_SUBMISSIONS = (
    *("POST order", "POST orderList/oco", "POST order/cancelReplace", "AddOrder", "EditOrder", "AmendOrder"),
    *("POST orders", "orders/add"),
)
_CANCELS = (
    *("DELETE order", "DELETE openOrders", "DELETE orderList", "CancelOrder", "CancelAll"),
    *("DELETE orders", "orders/update-status"),
)
_ORDER_QUERIES = (
    *("GET order", "GET openOrders", "GET allOrders", "GET orderList", "GET openOrderList"),
    *("QueryOrders", "OpenOrders", "ClosedOrders"),
    *("GET orders", "orders/status", "orders/list"),
)
PRIVATE_ENDPOINTS = (
    *(*_SUBMISSIONS, *_CANCELS, *_ORDER_QUERIES),
    *("POST order/test", "GET myTrades", "GET account", "GET rateLimit/order"),
    *("TradesHistory", "QueryTrades", "Balance", "BalanceEx", "TradeBalance"),
    *("GET trades", "GET balances", "trades/list", "wallets/list"),
)
ENDPOINT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "candles": ("klines", "OHLC", "history"),
    "clock": ("time", "Time"),
    "funding": ("fundingRate",),
    "markets": ("exchangeInfo", "Assets", "AssetPairs", "markets", "options"),
    "submissions": _SUBMISSIONS,
    "cancels": _CANCELS,
    "order_queries": _ORDER_QUERIES,
    "private": PRIVATE_ENDPOINTS,
}
ENDPOINTS = (
    *("ping", "time", "exchangeInfo", "klines", "depth", "trades", "aggTrades"),
    *("ticker/price", "ticker/24hr", "ticker/bookTicker"),
    *("Time", "SystemStatus", "Assets", "AssetPairs", "OHLC", "Ticker", "Depth", "Trades"),
    *("history", "markets", "options", "stats", "orderbook"),
    "fundingRate",
    *PRIVATE_ENDPOINTS,
)
BAD_VALUES = ("nan", "inf", "negative", "zero", "overflow", "null", "text", "high_below_low")
WHERE = ("first", "last", "last_closed", "middle", "random", "all")
COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Key:
    """A key's type: number, whole, text, texts, flag, time or choice; with bounds, default and whether it must be given."""

    kind: str
    low: float = 0.0
    high: float = float("inf")
    choices: tuple[str, ...] = ()
    default: Any = None
    required: bool = False


_SECONDS = Key("number", high=86_400, required=True)
_LOST = {
    "how": Key("choice", choices=("reset", "hang", "status", "html", "torn", "empty"), default="reset"),
    "status": Key("whole", low=400, high=599, default=502),
    "hang_seconds": Key("number", high=86_400, default=3600.0),
}
_ROWS = {"where": Key("choice", choices=WHERE, default="last"), "count": Key("whole", low=1, high=1000, default=1)}

COMMON: Mapping[str, Key] = {
    "name": Key("text"),
    "action": Key("text", required=True),
    "dialect": Key("choice", choices=("binance", "kraken", "wallex", "nobitex", "fapi")),
    "endpoint": Key("texts", choices=(*ENDPOINTS, *ENDPOINT_GROUPS)),
    "symbol": Key("texts"),
    "timeframe": Key("texts"),
    "client": Key("texts"),
    "from": Key("time"),
    "until": Key("time"),
    "probability": Key("number", high=1.0, default=1.0),
    "skip": Key("whole", default=0),
    "every": Key("whole", low=1, default=1),
    "first": Key("whole", low=1),
}
ACTIONS: Mapping[str, Mapping[str, Key]] = {
    "latency": {"seconds": _SECONDS, "jitter_seconds": Key("number", high=86_400, default=0.0)},
    "hang": {"seconds": Key("number", high=86_400, default=3600.0)},
    "reset": {"after_bytes": Key("whole", default=0)},
    "drip": {"bytes_per_second": Key("number", low=0.01, high=1e9, required=True)},
    "status": {
        "status": Key("whole", low=400, high=599, required=True),
        "retry_after": Key("number"),
        "body": Key("text"),
        "html": Key("flag", default=False),
    },
    "error": {"message": Key("text", required=True), "code": Key("whole", low=-99_999, high=0, default=-1000)},
    "reject": {"message": Key("text"), "code": Key("whole", low=-99_999, high=0, default=-2010)},
    "drop_before": _LOST,
    "drop_after_accept": {
        **_LOST,
        "visible_after_seconds": Key("number", default=0.0),
        "only_in_trades": Key("flag", default=False),
    },
    "delay": {"seconds": _SECONDS, **_LOST},
    "torn": {"at": Key("number", high=1.0, default=0.5), "honest_length": Key("flag", default=False)},
    "garbage": {"body": Key("text"), "bytes": Key("whole", low=1, high=10**7, default=200)},
    "empty": {},
    "oversize": {"bytes": Key("whole", low=1, high=2**34, required=True)},
    "skew": {"seconds": Key("number", low=-86_400, high=86_400, required=True)},
    "values": {
        "values": Key("choice", choices=BAD_VALUES, required=True),
        "column": Key("choice", choices=COLUMNS, default="close"),
        **_ROWS,
    },
    "revise": {
        "open_time": Key("time", required=True),
        "price_factor": Key("number", low=0.01, high=100, default=1.0),
        "volume_factor": Key("number", high=100, default=1.0),
    },
    "partial": {"fraction": Key("number", high=1.0, default=0.5), "seconds": Key("number", default=86_400.0)},
    "unfinished": {},
    "missing": {**_ROWS},
    "duplicate": {**_ROWS},
    "reorder": {"how": Key("choice", choices=("reverse", "shuffle"), default="shuffle")},
    "off_grid": {"milliseconds": Key("whole", low=1000, high=86_400_000, default=1000), **_ROWS},
    "future": {"count": Key("whole", low=1, high=1000, default=1)},
}


@dataclass(frozen=True, slots=True)
class FaultRule:
    """When a fault applies and what it does; `options` hold every key of its action."""

    name: str
    action: str
    dialect: str | None = None
    endpoints: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    timeframes: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    from_ms: int | None = None
    until_ms: int | None = None
    probability: float = 1.0
    skip: int = 0
    every: int = 1
    first: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def on_the_wire(self) -> "FaultRule":
        """Return the rule that loses the answer as `how` says, for a rule about what becomes of a request; else itself."""
        if "hang_seconds" not in self.options:
            return self
        how = self.options["how"]
        status = {"status": self.options["status"], "retry_after": None, "body": None, "html": how == "html"}
        losses: dict[str, tuple[str, dict[str, Any]]] = {
            "reset": ("reset", {"after_bytes": 0}),
            "hang": ("hang", {"seconds": self.options["hang_seconds"]}),
            "torn": ("torn", {"at": 0.5, "honest_length": False}),
            "empty": ("empty", {}),
        }
        action, options = losses.get(how, ("status", status))
        return replace(self, action=action, options=options)


def read_fault_file(path: Path) -> tuple[list[FaultRule], int]:
    """Return the rules and the seed of a TOML or JSON fault file; raise InvalidInput in one line that names rule and key."""
    try:
        content = path.read_bytes()
        document = orjson.loads(content) if path.suffix == ".json" else tomllib.loads(content.decode())
    except OSError as error:
        raise InvalidInput(f"fault file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInput(f"fault file {path} is not valid {'JSON' if path.suffix == '.json' else 'TOML'}: {error}") from error
    try:
        return parse_faults(document)
    except InvalidInput as error:
        raise InvalidInput(f"fault file {path}: {error}") from None


def parse_faults(document: Any) -> tuple[list[FaultRule], int]:
    """Return the rules and the seed of `{"seed": 1, "faults": [{…}]}`; raise InvalidInput that names rule and key."""
    if not isinstance(document, dict):
        raise InvalidInput("faults must be a table with a list `faults`")
    unknown = sorted(set(document) - {"seed", "faults"})
    if unknown:
        raise InvalidInput(f"key {unknown[0]!r} is unknown; known: seed, faults")
    entries = document.get("faults", [])
    if not isinstance(entries, list):
        raise InvalidInput(f"key 'faults' was {entries!r}; give a list of rules")
    seed = _value("faults", "seed", Key("whole", default=0), document.get("seed", 0))
    return [_rule(entry, number) for number, entry in enumerate(entries, 1)], seed


def parse_time(label: str, name: str, value: Any) -> int:
    """Return ms of an ISO text, a TOML date-time (without a zone it is UTC) or a number of ms."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    elif isinstance(value, date) and not isinstance(value, datetime):
        moment = datetime(value.year, value.month, value.day)
    if not isinstance(moment, datetime):
        raise InvalidInput(f"{label}: key {name!r} was {value!r}; give a time such as 2026-11-21T04:00:00Z")
    return to_ms(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


def _rule(entry: Any, number: int) -> FaultRule:
    label = f"faults[{number}]"
    if not isinstance(entry, dict):
        raise InvalidInput(f"{label} was {entry!r}; give a table")
    action = entry.get("action")
    if isinstance(entry.get("name"), str):
        label += f" {entry['name']!r}"
    if action not in ACTIONS:
        raise InvalidInput(f"{label}: key 'action' was {action!r}; known: {', '.join(ACTIONS)}")
    keys = {**COMMON, **ACTIONS[action]}
    for name in entry:
        if name not in keys:
            raise InvalidInput(f"{label}: key {name!r} is unknown for action {action!r}; known: {', '.join(keys)}")
    for name, key in keys.items():
        if key.required and name not in entry:
            raise InvalidInput(f"{label}: key {name!r} is missing; action {action!r} needs it")
    values = {name: _value(label, name, key, entry[name]) if name in entry else key.default for name, key in keys.items()}
    if values["from"] is not None and values["until"] is not None and values["until"] <= values["from"]:
        raise InvalidInput(f"{label}: key 'until' is not after 'from'")
    return FaultRule(
        name=values["name"] or f"{action}-{number}",
        action=action,
        dialect=values["dialect"],
        endpoints=frozenset(one for name in values["endpoint"] or () for one in ENDPOINT_GROUPS.get(name, (name,))),
        symbols=frozenset(values["symbol"] or ()),
        timeframes=frozenset(values["timeframe"] or ()),
        clients=frozenset(values["client"] or ()),
        from_ms=values["from"],
        until_ms=values["until"],
        probability=values["probability"],
        skip=values["skip"],
        every=values["every"],
        first=values["first"],
        options={name: values[name] for name in ACTIONS[action]},
    )


def _value(label: str, name: str, key: Key, value: Any) -> Any:
    """Return the checked value of a key."""
    if key.kind == "time":
        return parse_time(label, name, value)
    if key.kind == "texts":
        return _texts(label, name, key.choices, value)
    if key.kind == "choice":
        return _texts(label, name, key.choices, [value] if isinstance(value, str) else value)[0]
    expected = {"number": (int, float), "whole": int, "text": str, "flag": bool}[key.kind]
    if not isinstance(value, expected) or (isinstance(value, bool) and key.kind != "flag"):
        words = {"number": "a number", "whole": "a whole number", "text": "a text", "flag": "true or false"}
        raise InvalidInput(f"{label}: key {name!r} was {value!r}; give {words[key.kind]}")
    if key.kind in ("number", "whole") and not key.low <= value <= key.high:
        raise InvalidInput(f"{label}: key {name!r} was {value!r}; give {key.low:g} to {key.high:g}")
    return value


def _texts(label: str, name: str, choices: Sequence[str], value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"{label}: key {name!r} was {value!r}; give a text or a list of texts")
    for text in texts:
        if choices and text not in choices:
            raise InvalidInput(f"{label}: key {name!r} was {text!r}; known: {', '.join(choices)}")
    return texts
