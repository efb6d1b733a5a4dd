"""Finer candles for ties: what is stored inside each candle of a period, the longest timeframe that says all of it first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from fks_assets.quant.candles import Candles, concatenate
from fks_assets.quant.timeframes import TIMEFRAMES, Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.candles import PartitionHead

Months = Mapping[str, PartitionHead]


@dataclass(frozen=True, slots=True, eq=False)
class FinerCandles:
    """Finer candles, sorted, inside one candle all of one timeframe; None where there are none. `heads`: of all that was read."""

    candles: Candles | None
    heads: tuple[PartitionHead, ...]


def timeframes_inside(timeframe: Timeframe) -> list[Timeframe]:
    """Return every shorter timeframe whose candles do not reach over the edge of one of these, the longest first."""
    shorter = [each for each in TIMEFRAMES.values() if each.milliseconds < timeframe.milliseconds]
    inside = [each for each in shorter if timeframe.milliseconds % each.milliseconds == 0]
    return sorted(inside, key=lambda each: -each.milliseconds)


def read_finer(
    stores: Stores, stored: Iterable[tuple[Timeframe, Months]], timeframe: Timeframe, open_time: np.ndarray
) -> FinerCandles:
    """Return what is stored inside the candles of a timeframe that open at `open_time` (int64 ms, sorted).

    `stored` are the months of one market by shorter timeframe, the longest first. A shorter one is read only where the longer
    ones leave a part of a candle open, and is taken for the candles of which it holds more.
    """
    covered = np.zeros(len(open_time), np.int64)
    source = np.full(len(open_time), -1)
    parts: list[tuple[Candles, np.ndarray]] = []
    heads: list[PartitionHead] = []
    for finer, months in stored:
        read = _months_of(months, open_time[covered < timeframe.milliseconds])
        if not read:
            continue
        heads += read
        candles, owner = _inside(candles_from_table(stores.candles.read_heads(read)), open_time, timeframe)
        held = np.bincount(owner, minlength=len(open_time)) * finer.milliseconds
        more = held > covered
        covered[more], source[more] = held[more], len(parts)
        parts.append((candles, owner))
    chosen = [_rows(candles, source[owner] == place) for place, (candles, owner) in enumerate(parts)]
    joined = concatenate(chosen)
    return FinerCandles(joined if len(joined) else None, tuple(heads))


def _months_of(months: Months, open_time: np.ndarray) -> list[PartitionHead]:
    """Return the months, oldest first, in which candles lie that open at these times; what is inside one lies in its month."""
    wanted = np.unique(open_time.astype("datetime64[ms]").astype("datetime64[M]")).astype(str)
    return [months[month] for month in wanted.tolist() if month in months]


def _inside(candles: Candles, open_time: np.ndarray, timeframe: Timeframe) -> tuple[Candles, np.ndarray]:
    """Return the finer candles that lie inside one that opens at `open_time`, and its row for each of them."""
    owner = np.searchsorted(open_time, candles.open_time, side="right") - 1
    inside = (owner >= 0) & (candles.open_time < open_time[owner] + timeframe.milliseconds)
    return _rows(candles, inside), owner[inside]


def _rows(candles: Candles, chosen: np.ndarray) -> Candles:
    return Candles(*(getattr(candles, field.name)[chosen] for field in fields(Candles)))
