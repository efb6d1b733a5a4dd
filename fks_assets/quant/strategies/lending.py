"""Columns that many strategies are lent, so that what all of them need is computed once."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from threading import Lock

import numpy as np

from fks_assets.quant.candles import Candles

# More of them than the shipped strategies ask for of one set of lengths, and few enough for the memory of a long series.
MOST_KEPT = 12


class LentColumns(Mapping[str, np.ndarray]):
    """Stored indicators of some candles, as a sweep lends them to many strategies. Single columns that `Columns` computes of the
    same candles, and which rows are ready to be judged, are kept for the next one, the MOST_KEPT that were asked for last. It can
    be used from several threads at a time.
    """

    def __init__(self, candles: Candles, stored: Mapping[str, np.ndarray], warm: np.ndarray) -> None:
        self.candles, self.warm = candles, warm
        self._stored = stored
        self._kept: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, name: str) -> np.ndarray:
        return self._stored[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def kept(self, key: Hashable, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what `compute` gave the first time, or gives now; read-only."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = compute()
        found.setflags(write=False)
        with self._lock:
            self._kept[key] = found
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found
