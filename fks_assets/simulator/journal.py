"""What the simulator was asked and what it really answered: the tests' oracle."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fks_assets.clock import iso

_LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request. `at_ms` is real time, `simulated_ms` the exchange's; `rows` are those served; `faults` those applied.

    `account` is the key of a private request that was signed rightly.
    """

    number: int
    at_ms: int
    simulated_ms: int
    client: str
    dialect: str
    endpoint: str
    params: Mapping[str, str]
    symbol: str
    timeframe: str
    status: int
    weight: int
    rows: int
    bytes: int
    milliseconds: float
    faults: tuple[str, ...]
    account: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the entry as JSON values, times also as ISO text."""
        return {
            "number": self.number,
            "at_ms": self.at_ms,
            "at": iso(self.at_ms),
            "simulated_ms": self.simulated_ms,
            "simulated": iso(self.simulated_ms),
            "client": self.client,
            "dialect": self.dialect,
            "endpoint": self.endpoint,
            "params": dict(self.params),
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "status": self.status,
            "weight": self.weight,
            "rows": self.rows,
            "bytes": self.bytes,
            "milliseconds": round(self.milliseconds, 3),
            "faults": list(self.faults),
            "account": self.account,
        }


class Journal:
    """The newest requests, oldest first; numbers start at 1 and never repeat."""

    def __init__(self, longest: int = _LONGEST) -> None:
        self._entries: deque[Entry] = deque(maxlen=longest)
        self._next = 1

    def add(self, **values: Any) -> Entry:
        """Record one request and return its entry."""
        entry = Entry(number=self._next, **values)
        self._next += 1
        self._entries.append(entry)
        return entry

    def read(self, *, after: int = 0, limit: int | None = None, **wanted: str) -> list[Entry]:
        """Return entries numbered above `after` whose named fields print as wanted; `fault` asks for an applied fault."""
        fault = wanted.pop("fault", None)
        found = (
            entry
            for entry in list(self._entries)
            if entry.number > after
            and (fault is None or fault in entry.faults)
            and all(str(getattr(entry, name)) == value for name, value in wanted.items())
        )
        return list(islice(found, limit))

    def clear(self) -> None:
        """Forget every entry; the numbering goes on."""
        self._entries.clear()
