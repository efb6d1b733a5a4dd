"""When a price first stands at a level: the way of the price through a candle, in straight lines between its four prices.

The way is the one that the ticker shows (open, low, high, close when the candle rises; open, high, low, close when it falls), or
always one extreme first. Between two candles the price jumps. Prices are in ticks, times in ms, all of it computed in whole
numbers, so that an answer does not depend on how often one asks.
"""

from collections.abc import Iterator
from typing import NamedTuple

from fks_assets.simulator.bars import Bars

WAYS = ("drawn", "low_first", "high_first")


class Candle(NamedTuple):
    """One candle: it lasts from `open_ms` until `end_ms` (excluded); `volume` in lots."""

    open_ms: int
    end_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class Leg(NamedTuple):
    """A straight line of the price from (start_ms, start) to (end_ms, end)."""

    start_ms: int
    start: int
    end_ms: int
    end: int

    def at(self, time_ms: int) -> int:
        """Return the price at a time, rounded to the tick toward the line's start."""
        moved = abs(self.end - self.start) * (time_ms - self.start_ms) // (self.end_ms - self.start_ms)
        return self.start + moved if self.end >= self.start else self.start - moved


class Touch(NamedTuple):
    """The moment at which a level is reached, and the price that trades then."""

    at_ms: int
    ticks: int


def candle_at(bars: Bars, length_ms: int, index: int) -> Candle:
    """Return one row of the bars."""
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    opened = int(bars.open_time[index])
    return Candle(opened, opened + length_ms, *(int(column[index]) for column in columns))


def legs(candle: Candle, way: str) -> Iterator[Leg]:
    """Return the three lines of the candle."""
    low_first = candle.close >= candle.open if way == "drawn" else way == "low_first"
    turns = (candle.low, candle.high) if low_first else (candle.high, candle.low)
    points = (candle.open, *turns, candle.close)
    third = (candle.end_ms - candle.open_ms) // 3
    for number in range(3):
        start = candle.open_ms + number * third
        end = candle.end_ms if number == 2 else start + third
        yield Leg(start, points[number], end, points[number + 1])


def first_touch(candle: Candle, way: str, level: int, falls: bool, after_ms: int) -> Touch | None:
    """Return when, after `after_ms` and within the candle, the price is at or below (`falls`; else at or above) the level.

    The price is the level itself where the line crosses it, and what trades where the price has jumped beyond it.
    """
    sign = 1 if falls else -1
    for leg in legs(candle, way):
        if leg.end_ms <= after_ms:
            continue
        if leg.start_ms > after_ms:
            # Only the first leg can start beyond the level: a jump between candles.
            if sign * (leg.start - level) <= 0:
                return Touch(leg.start_ms, leg.start)
        elif _is_beyond(leg, level, sign, after_ms):
            begin = min(after_ms + 1, candle.end_ms - 1)
            return Touch(begin, leg.at(begin))
        if sign * (leg.end - level) <= 0:
            return Touch(_crossing(leg, level, after_ms, candle.end_ms), level)
    return None


def first_trail(
    candle: Candle, way: str, extreme: int, distance: tuple[int, int], falls: bool, after_ms: int, now_ms: int
) -> tuple[Touch | None, int]:
    """Return when the price has come back from its extreme by `distance` (numerator, denominator), and the extreme by `now_ms`.

    `falls`: a sell order that trails below the highest price; otherwise a buy order that trails above the lowest.
    """
    sign = 1 if falls else -1
    for leg in legs(candle, way):
        if leg.end_ms <= after_ms or leg.start_ms > now_ms:
            continue
        start = leg.start if leg.start_ms > after_ms else leg.at(after_ms)
        extreme = max(extreme, start) if falls else min(extreme, start)
        level = trailed(extreme, distance, falls)
        if sign * (start - level) <= 0:
            return Touch(max(leg.start_ms, min(after_ms + 1, candle.end_ms - 1)), start), extreme
        if sign * (leg.end - level) <= 0:
            return Touch(_crossing(leg, level, after_ms, candle.end_ms), level), extreme
        reached = leg.end if leg.end_ms <= now_ms else leg.at(now_ms)
        extreme = max(extreme, reached) if falls else min(extreme, reached)
    return None, extreme


def trailed(extreme: int, distance: tuple[int, int], falls: bool) -> int:
    """Return the level that trails the extreme, rounded to the tick toward it."""
    numerator, denominator = distance
    if falls:
        return -(-extreme * (denominator - numerator) // denominator)
    return extreme * (denominator + numerator) // denominator


def _is_beyond(leg: Leg, level: int, sign: int, time_ms: int) -> bool:
    length = leg.end_ms - leg.start_ms
    exact = leg.start * length + (leg.end - leg.start) * (time_ms - leg.start_ms)
    return sign * (exact - level * length) <= 0


def _crossing(leg: Leg, level: int, after_ms: int, candle_end_ms: int) -> int:
    """Return the first ms at which a line that ends beyond the level has reached it; what happens at the close is inside."""
    way = abs(leg.end - leg.start)
    passed = -(-(leg.end_ms - leg.start_ms) * abs(level - leg.start) // way) if way else 0
    return min(max(leg.start_ms + passed, after_ms + 1), candle_end_ms - 1)
