"""The exchange's own candles with which rebuilt ones are compared: those beside a hole, and the day candles of its days."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.download import CandleRequest
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles, concatenate
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import complement, runs
from fks_assets.quant.timeframes import TIMEFRAMES, Timeframe
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table

_HOUR_MS = 3_600_000
_LOOK_CANDLES, _LOOK_MS = 500, 3 * MILLISECONDS_PER_DAY
_DAY = TIMEFRAMES["1d"]


@dataclass(frozen=True, slots=True, eq=False)
class NativeStretch:
    """The exchange's candles of [start_ms, end_ms), without a hole."""

    start_ms: int
    end_ms: int
    candles: Candles


class NativeCandles:
    """Finds the exchange's own candles of a market: those that are stored as such, and those that its API still gives."""

    def __init__(self, stores: Stores, market_data: MarketData, market: Market) -> None:
        self._stores = stores
        self._market_data = market_data
        self._market = market

    def beside(self, timeframe: Timeframe, start_ms: int, end_ms: int) -> Iterator[NativeStretch]:
        """Yield the stored stretches next to a hole on either side; if there are none, the oldest stretch that the API gives.

        A stretch spans 60 candles or three hours, whichever is less, and holds three candles with trades, if there are as many;
        one candle of 12 hours or more is enough. Raises ExchangeError.
        """
        look = max(_LOOK_CANDLES * timeframe.milliseconds, _LOOK_MS)
        found = [
            _stretch(self._stored(timeframe, start_ms - look, start_ms), timeframe, newest=True),
            _stretch(self._stored(timeframe, end_ms, end_ms + look), timeframe, newest=False),
        ]
        if found == [None, None]:
            at, rows = timeframe.floor(now_ms()), self._stores.settings.exchange_profile().api.history_rows or 0
            found = [_stretch(self._given(timeframe, at - rows * timeframe.milliseconds, at), timeframe, newest=False)]
        yield from (stretch for stretch in found if stretch is not None)

    def days(self, start_ms: int, end_ms: int) -> Candles:
        """Return the day candles of the whole UTC days in [start_ms, end_ms), as far as they are stored or given.

        Raises ExchangeError.
        """
        start, end = _DAY.ceil(start_ms), _DAY.floor(end_ms)
        stored = self._stored(_DAY, start, end)
        missing = complement(start, end, runs(stored.open_time, _DAY.milliseconds)) if start < end else []
        reach = now_ms() - (self._stores.settings.exchange_profile().api.history_rows or 0) * MILLISECONDS_PER_DAY
        if not missing or missing[-1][1] <= reach:
            return stored
        return concatenate([self._given(_DAY, max(reach, missing[0][0]), missing[-1][1]), stored])

    def _stored(self, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        table = self._stores.candles.read_table(
            "ohlcv", self._market, timeframe.name, start_ms, end_ms, columns=[*OHLCV_COLUMNS, "source", "is_synthetic"]
        )
        own = {segment.source for segment in self._stores.settings.history_segments(self._market, start_ms, end_ms)}
        is_own = np.isin(np.array(table["source"].to_pylist(), np.object_), list(own)) if table.num_rows else np.empty(0, bool)
        return candles_from_table(table.filter(is_own).filter(pc.invert(pc.field("is_synthetic"))))

    def _given(self, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        requests = [
            CandleRequest(self._market, segment.symbol, timeframe, segment.start_ms, segment.end_ms)
            for segment in self._stores.settings.history_segments(self._market, start_ms, end_ms)
        ]
        outcomes = list(self._market_data.download(requests).values())
        for outcome in outcomes:
            if isinstance(outcome, ExchangeError):
                raise outcome
        return concatenate([outcome.candles for outcome in outcomes if not isinstance(outcome, ExchangeError)])


def _stretch(candles: Candles, timeframe: Timeframe, *, newest: bool) -> NativeStretch | None:
    """Return enough candles from one end of the newest or oldest run without a hole, None if nobody traded there."""
    found = runs(candles.open_time, timeframe.milliseconds)
    if not found:
        return None
    start, end = found[-1 if newest else 0]
    run = candles.between(start, end)
    traded = np.cumsum((run.volume > 0)[:: -1 if newest else 1])
    if traded[-1] == 0:
        return None
    span = min(60, 3 * _HOUR_MS // timeframe.milliseconds)
    fewest = 3 if timeframe.milliseconds < 12 * _HOUR_MS else 1
    count = max(span, int(np.searchsorted(traded, min(fewest, traded[-1]))) + 1)
    run = run.slice(-count) if newest else run.slice(0, count)
    first = int(run.open_time[0])
    return NativeStretch(first, first + len(run) * timeframe.milliseconds, run)
