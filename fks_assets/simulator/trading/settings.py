"""How the simulated exchange fills orders: the knobs of the control API."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fks_assets.errors import InvalidInput
from fks_assets.simulator.intervals import BINANCE_INTERVALS
from fks_assets.simulator.trading.path import WAYS

FILL_MODELS = ("book", "last", "open")


@dataclass(frozen=True, slots=True)
class TradingSettings:
    """`fill_model`: what takes liquidity walks the drawn `book`, or gets all of it at the `last` price or, market orders only,
    at the `open` of the running candle of `open_timeframe`. `way`: how the price runs through a candle (see path.py).

    `volume_share`: the part of a book level, or of a candle's volume, that one order can have (1: touched is filled whole).
    `parts` fills every order in that many pieces, `part_seconds` of simulated time apart.
    """

    fill_model: str = "book"
    open_timeframe: str = "1m"
    way: str = "drawn"
    volume_share: float = 1.0
    parts: int = 1
    part_seconds: float = 1.0
    max_orders: int = 200
    max_algo_orders: int = 5
    check_timestamps: bool = True

    def changed(self, values: Mapping[str, Any]) -> "TradingSettings":
        """Return the settings with some replaced; raise InvalidInput that names the key and what it may be."""
        if not isinstance(values, Mapping):
            raise InvalidInput(f"trading settings were {values!r}; give a table")
        for name, value in values.items():
            if name not in _CHECKS:
                raise InvalidInput(f"trading setting {name!r} is unknown; known: {', '.join(_CHECKS)}")
            is_right, words = _CHECKS[name]
            if not is_right(value):
                raise InvalidInput(f"trading setting {name!r} was {value!r}; give {words}")
        return replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _one_of(*choices: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in choices, f"one of {', '.join(choices)}"


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "fill_model": _one_of(*FILL_MODELS),
    "open_timeframe": _one_of(*BINANCE_INTERVALS),
    "way": _one_of(*WAYS),
    "volume_share": (_number(1e-6, 1.0), "a number from 0.000001 to 1"),
    "parts": (_whole(1, 1000), "a whole number from 1 to 1000"),
    "part_seconds": (_number(0.001, 86_400.0), "a number from 0.001 to 86400"),
    "max_orders": (_whole(1, 10**6), "a whole number from 1 to 1000000"),
    "max_algo_orders": (_whole(1, 10**6), "a whole number from 1 to 1000000"),
    "check_timestamps": (lambda value: isinstance(value, bool), "true or false"),
}
assert set(_CHECKS) == {field.name for field in fields(TradingSettings)}
