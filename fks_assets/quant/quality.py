"""Candles that are well-formed and yet hard to believe: prices that spike and come back, feeds that repeat themselves."""

import numpy as np

from fks_assets.quant.candles import OHLCV_COLUMNS, Candles

WINDOW = 100
# A market that hardly moves is not judged by its stillness: half a thousandth is the least that counts as usual.
LEAST_USUAL = 0.0005
_MAD_TO_DEVIATION = 1.4826
_NINETIETH_OF_NORMAL = 1.645
# Where nobody trades in more than one candle of ten, an hour without a trade is nothing special.
_SELDOM_SILENT = 0.1


def find_spikes(candles: Candles, score: float) -> np.ndarray:
    """Return the mask of candles whose high or low stands out from both neighbours by more than `score` usual moves.

    What stands out has come back: a crash or a rally that stays does not. The newest candle has no follower yet and is held
    against the one before it alone. The usual move is a robust standard deviation of the `WINDOW` log returns before the candle
    (Iglewicz and Hoaglin 1993: 1.4826 × the median absolute deviation, or the 90th percentile of the deviations / 1.645 if that
    is more, as in prices that move by whole ticks), times the root of the candle's volume over the window's median when that is
    above one: variance grows with trading (Clark 1973), and a print that nobody traded at has no volume to excuse it. Across a
    hole it grows with the root of the time between the candles. Candles with fewer than `WINDOW` returns before them are not
    judged.
    """
    spikes = np.zeros(len(candles), np.bool_)
    between = np.diff(candles.open_time)
    excursion = _excursions(candles, np.sqrt(between / between.min(initial=np.iinfo(np.int64).max)))
    rows = np.flatnonzero(excursion > score * LEAST_USUAL)
    rows = rows[rows > WINDOW]
    if len(rows):
        spikes[rows] = excursion[rows] > score * _usual_moves(candles, rows)
    return spikes


def excursions(candles: Candles) -> np.ndarray:
    """Return how far each candle's high or low lies beyond both its neighbours', as a log of the ratio; at most 0: not at all."""
    return _excursions(candles, 1.0)


def confirm_spikes(candles: Candles, spikes: np.ndarray, other: Candles, tolerance: float) -> np.ndarray:
    """Return the mask of those `spikes` that another exchange's candles show too: high and low within `tolerance`, a fraction."""
    confirmed = np.zeros(len(candles), np.bool_)
    if not len(other):
        return confirmed
    rows = np.flatnonzero(spikes)
    place = np.minimum(np.searchsorted(other.open_time, candles.open_time[rows]), len(other) - 1)
    confirmed[rows] = (
        (other.open_time[place] == candles.open_time[rows])
        & (np.abs(candles.high[rows] / other.high[place] - 1) <= tolerance)
        & (np.abs(candles.low[rows] / other.low[place] - 1) <= tolerance)
    )
    return confirmed


def find_stuck(candles: Candles, count: int) -> np.ndarray:
    """Return the mask of candles in a run of at least `count` that are equal in every price and in volume.

    A quiet market whose price stands still passes as long as its volume changes from candle to candle. Candles without volume say
    that nobody traded and repeat the last price by nature: they count only while they are the newest ones, and only where at most
    a tenth of the `WINDOW` candles before them had no volume.
    """
    same = np.ones(max(0, len(candles) - 1), np.bool_)
    for name in OHLCV_COLUMNS:
        column = getattr(candles, name)
        same &= column[1:] == column[:-1]
    starts = np.flatnonzero(np.concatenate(([True], ~same))) if len(candles) else np.empty(0, np.int64)
    lengths = np.diff(np.append(starts, len(candles)))
    stuck = lengths >= count
    silent = candles.volume[starts] == 0
    if len(starts) and silent[-1]:
        before = candles.volume[max(0, starts[-1] - WINDOW) : starts[-1]]
        silent[-1] = np.count_nonzero(before == 0) > _SELDOM_SILENT * len(before)
    return np.repeat(stuck & ~silent, lengths)


def _excursions(candles: Candles, scale: np.ndarray | float) -> np.ndarray:
    """Return `excursions` with the distance between two neighbours divided by `scale`."""
    result = np.full(len(candles), -np.inf)
    if len(candles) < 2:
        return result
    above, below = np.diff(np.log(candles.high)) / scale, -np.diff(np.log(candles.low)) / scale
    above[:-1] = np.minimum(above[:-1], -above[1:])
    below[:-1] = np.minimum(below[:-1], -below[1:])
    result[1:] = np.maximum(above, below)
    return result


def _usual_moves(candles: Candles, rows: np.ndarray) -> np.ndarray:
    returns = np.diff(np.log(candles.close), prepend=np.nan)
    before = rows[:, None] + np.arange(-WINDOW, 0)
    window = returns[before]
    deviations = np.abs(window - np.median(window, axis=1, keepdims=True))
    usual = np.maximum(
        _MAD_TO_DEVIATION * np.median(deviations, axis=1), np.quantile(deviations, 0.9, axis=1) / _NINETIETH_OF_NORMAL
    )
    volume = np.median(candles.volume[before], axis=1)
    busy = np.divide(candles.volume[rows], volume, out=np.ones(len(rows)), where=volume > 0)
    return np.maximum(usual, LEAST_USUAL) * np.sqrt(np.maximum(busy, 1.0))
