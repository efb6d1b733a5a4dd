"""Candles built from public trades, and how well they agree with candles that an exchange gave itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.timeframes import Timeframe

NS_PER_MS = 1_000_000
VOLUME_UNITS = 10**8
_MOST_PARTS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Public trades of one market in the order in which they happened, as equal-length columns.

    `number` is the exchange's running number (int64), `time_ns` UTC nanoseconds (int64, never falling), `price` and `volume`
    float64.
    """

    number: np.ndarray
    time_ns: np.ndarray
    price: np.ndarray
    volume: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def slice(self, start: int, stop: int | None = None) -> "Trades":
        """Return trades start..stop as views."""
        return Trades(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    def between(self, start_ns: int, end_ns: int) -> "Trades":
        """Return the trades in the half-open range [start_ns, end_ns) as views."""
        first, last = np.searchsorted(self.time_ns, (start_ns, end_ns))
        return self.slice(int(first), int(last))


def empty_trades() -> Trades:
    """Return no trades, with the right column types."""
    return Trades(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class _Partial:
    """Candles that may still grow. The volume is `whole` + `fraction` / VOLUME_UNITS, so that its sum is exact."""

    open_time: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    whole: np.ndarray
    fraction: np.ndarray

    def take(self, selector: np.ndarray | slice) -> "_Partial":
        return _Partial(*(getattr(self, field.name)[selector] for field in fields(self)))


class CandleBuilder:
    """Builds the candles of a timeframe from trades that are added in order of time, from `start_ms` on.

    Volumes are added exactly in units of 10**-8: a candle's volume is the float nearest to the decimal sum. An interval without
    trades gives no candle; one that began before `start_ms` is left out. Memory grows with the candles, not with the trades.
    """

    def __init__(self, timeframe: Timeframe, start_ms: int) -> None:
        self._timeframe = timeframe
        self._first_ms = timeframe.ceil(start_ms)
        self._newest_ns = -1
        self._parts: list[_Partial] = []

    def add(self, trades: Trades) -> None:
        """Add the next trades; raise ValueError when they go back in time or a value is not finite."""
        if not len(trades):
            return
        if not (np.isfinite(trades.price).all() and np.isfinite(trades.volume).all()):
            raise ValueError("a price or volume of the trades is not a finite number")
        if int(trades.time_ns[0]) < self._newest_ns or (np.diff(trades.time_ns) < 0).any():
            raise ValueError("the trades are not in order of time")
        self._newest_ns = int(trades.time_ns[-1])
        times = trades.time_ns // NS_PER_MS
        opens = times - times % self._timeframe.milliseconds
        wanted = opens >= self._first_ms
        whole = np.floor(trades.volume)
        fraction = np.rint((trades.volume - whole) * VOLUME_UNITS).astype(np.int64)
        price = trades.price
        part = _Partial(opens, price, price, price, price, whole.astype(np.int64), fraction)
        self._parts.append(_folded(part.take(wanted)))
        if len(self._parts) >= _MOST_PARTS:
            self._parts = [self._joined()]

    def take(self, until_ms: int) -> Candles:
        """Return the candles whose interval ends by `until_ms`, up to which all trades must have been added, and forget them."""
        joined = self._joined()
        closed = joined.open_time + self._timeframe.milliseconds <= until_ms
        self._parts = [joined.take(~closed)]
        done = joined.take(closed)
        volume = [
            (whole * VOLUME_UNITS + fraction) / VOLUME_UNITS
            for whole, fraction in zip(done.whole.tolist(), done.fraction.tolist(), strict=True)
        ]
        return Candles(done.open_time, done.open, done.high, done.low, done.close, np.array(volume, np.float64))

    def _joined(self) -> _Partial:
        if not self._parts:
            return _folded(_Partial(np.empty(0, np.int64), *np.empty((4, 0)), *np.empty((2, 0), np.int64)))
        return _folded(
            _Partial(*(np.concatenate([getattr(part, field.name) for part in self._parts]) for field in fields(_Partial)))
        )


def candles_from_trades(trades: Trades, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
    """Return the candles of the intervals that lie wholly in [start_ms, end_ms), where `trades` must be complete.

    An interval without trades gives no candle; see `CandleBuilder`. Raises ValueError when the trades are not in order of time.
    """
    builder = CandleBuilder(timeframe, start_ms)
    builder.add(trades)
    return builder.take(end_ms)


def _folded(part: _Partial) -> _Partial:
    """Return one row for each open time; equal ones follow each other."""
    if not len(part.open_time):
        return part
    first = np.concatenate(([0], np.flatnonzero(np.diff(part.open_time)) + 1))
    last = np.append(first[1:], len(part.open_time)) - 1
    return _Partial(
        part.open_time[first],
        part.open[first],
        np.maximum.reduceat(part.high, first),
        np.minimum.reduceat(part.low, first),
        part.close[last],
        np.add.reduceat(part.whole, first),
        np.add.reduceat(part.fraction, first),
    )


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two candles of the same time may be apart, relative to the exchange's own: each price, and the volume."""

    price: float = 1e-9
    volume: float = 1e-6

    def of(self, column: str) -> float:
        """Return the bound of a column."""
        return self.volume if column == "volume" else self.price


@dataclass(frozen=True, slots=True)
class Agreement:
    """How rebuilt candles compare with native ones of the same stretch.

    `compared` counts the intervals in which either has volume, `differing` those in which a column is beyond the tolerance or one
    of the two has no candle; `largest` is the largest relative difference of each column where both have one.
    """

    compared: int
    differing: int
    largest: Mapping[str, float]
    first_difference_ms: int | None
    tolerance: Tolerance

    @property
    def holds(self) -> bool:
        """Return whether candles were compared and none differs."""
        return self.compared > 0 and self.differing == 0

    def __str__(self) -> str:
        apart = ", ".join(f"{name} {value:.3g}" for name, value in self.largest.items())
        bounds = f"prices {self.tolerance.price:g}, volume {self.tolerance.volume:g}"
        return f"{self.differing} of {self.compared} candles differ; largest relative difference: {apart}; tolerance: {bounds}"


def compare_candles(rebuilt: Candles, native: Candles, tolerance: Tolerance = Tolerance()) -> Agreement:
    """Compare rebuilt with native candles, both of one stretch and complete there.

    A native candle without volume is the exchange's way to say that nobody traded: it agrees with no rebuilt candle.
    """
    rebuilt, native = (
        Candles(*(getattr(candles, field.name)[candles.volume > 0] for field in fields(Candles))) for candles in (rebuilt, native)
    )
    times, mine, theirs = np.intersect1d(rebuilt.open_time, native.open_time, assume_unique=True, return_indices=True)
    differs = np.zeros(len(times), np.bool_)
    largest = {}
    for name in OHLCV_COLUMNS:
        expected = getattr(native, name)[theirs]
        apart = np.abs(getattr(rebuilt, name)[mine] - expected) / expected
        differs |= ~(apart <= tolerance.of(name))
        largest[name] = float(apart.max(initial=0.0))
    alone = np.setxor1d(rebuilt.open_time, native.open_time, assume_unique=True)
    wrong = np.sort(np.concatenate((times[differs], alone)))
    return Agreement(len(times) + len(alone), len(wrong), largest, int(wrong[0]) if len(wrong) else None, tolerance)


def joined_agreement(parts: Sequence[Agreement]) -> Agreement:
    """Return what several comparisons within the same tolerance say together; `parts` is not empty."""
    first = [part.first_difference_ms for part in parts if part.first_difference_ms is not None]
    return Agreement(
        sum(part.compared for part in parts),
        sum(part.differing for part in parts),
        {name: max(part.largest[name] for part in parts) for name in OHLCV_COLUMNS},
        min(first, default=None),
        parts[0].tolerance,
    )
