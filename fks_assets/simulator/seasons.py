"""When markets are busy, and when the whole exchange is down."""

from functools import lru_cache

import numpy as np

from fks_assets.simulator.intervals import CELL_MS, MINUTE_MS
from fks_assets.simulator.randomness import generator

_HOUR_OF_DAY = np.array(
    [1.05, 0.95, 0.9, 0.8, 0.72, 0.7, 0.72, 0.8, 0.92, 0.98, 0.95, 0.95]
    + [1.05, 1.35, 1.6, 1.65, 1.5, 1.3, 1.15, 1.05, 1.0, 0.95, 0.9, 0.95]
)
_MONDAY_TO_SUNDAY = np.array([1.05, 1.1, 1.12, 1.1, 1.05, 0.7, 0.75])
_OUTAGE_CHANCE = 0.13
_OUTAGE_MINUTES = (5, 600)


def activity(hour_numbers: np.ndarray) -> np.ndarray:
    """Return the usual turnover of each UTC hour (hours since the epoch) as a share of the average hour."""
    weekday = (hour_numbers // 24 + 3) % 7
    return _HOUR_OF_DAY[hour_numbers % 24] * _MONDAY_TO_SUNDAY[weekday]


@lru_cache(maxsize=1024)
def outage(seed: int, cell: int) -> tuple[int, int] | None:
    """Return [start, end) in ms of the exchange's outage in an eight-day cell, None in most of them."""
    random = generator(seed, "outage", cell)
    if random.random() >= _OUTAGE_CHANCE:
        return None
    minutes = int(np.clip(random.lognormal(4.4, 1.0), *_OUTAGE_MINUTES))
    start = int(random.integers(0, CELL_MS // MINUTE_MS - minutes))
    begin = cell * CELL_MS + start * MINUTE_MS
    return begin, begin + minutes * MINUTE_MS
