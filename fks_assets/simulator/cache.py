"""A cache that forgets what was used longest ago once a total cost is exceeded."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class CostCache(Generic[Value]):
    """Keep values up to a total cost in bytes; a value costs what `cost` says when it is put in."""

    def __init__(self, limit: int, cost: Callable[[Value], int]) -> None:
        self._limit = limit
        self._cost = cost
        self._total = 0
        self._entries: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value kept under the key, making and keeping it if there is none."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry[0]
        value = make()
        cost = self._cost(value)
        self._entries[key] = (value, cost)
        self._total += cost
        while self._total > self._limit and len(self._entries) > 1:
            _, (_, freed) = self._entries.popitem(last=False)
            self._total -= freed
        return value

    def __len__(self) -> int:
        return len(self._entries)
