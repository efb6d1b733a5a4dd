"""What happens next to resting orders: the first moment at which the price reaches one of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fks_assets.simulator.bars import Bars
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import DAY_MS, HOUR_MS
from fks_assets.simulator.source import CandleSource
from fks_assets.simulator.trading.money import steps
from fks_assets.simulator.trading.orders import Order, Side
from fks_assets.simulator.trading.path import Candle, Touch, candle_at, first_touch, first_trail, trailed
from fks_assets.simulator.trading.rules import falls_to_trigger

_SPANS_MS = (2 * HOUR_MS, DAY_MS, 8 * DAY_MS)
_TRAILING_SCALE = 10_000
_NEVER = 2**62


@dataclass(frozen=True, slots=True)
class Event:
    """An order reached at a time: the price that trades, and the volume (lots) and end of the candle it trades in."""

    at_ms: int
    number: int
    ticks: int | None
    volume: int
    candle_end_ms: int


def next_event(
    source: CandleSource, instrument: Instrument, orders: Iterable[Order], after_ms: int, until_ms: int, way: str
) -> Event | None:
    """Return the first event of a market's open orders in (after_ms, until_ms]; of several at once the oldest order's."""
    resting: list[Order] = []
    found: list[Event] = []
    for order in orders:
        if is_taking(order):
            due = max(order.not_before_ms, after_ms + 1)
            if due <= until_ms:
                found.append(Event(due, order.number, None, 0, due))
        elif order.is_waiting and order.extreme is not None:
            event, _ = trail(source, order, after_ms, until_ms, way)
            if event is not None:
                found.append(event)
        else:
            resting.append(order)
    event = _first_reached(source, instrument, resting, after_ms, until_ms, way)
    if event is not None:
        found.append(event)
    return min(found, key=lambda one: (one.at_ms, one.number), default=None)


def is_taking(order: Order) -> bool:
    """Tell whether what is left of an order takes at any price: it is or has become a market order."""
    return not order.is_waiting and not order.type.has_limit


def level_of(order: Order) -> tuple[int, bool]:
    """Return the level in ticks that an order waits for, and whether the price has to fall to it."""
    decimals = order.instrument.price_decimals
    if order.is_waiting:
        assert order.request.stop_price is not None
        return steps(order.request.stop_price, decimals), falls_to_trigger(order.request)
    assert order.price is not None
    return steps(order.price, decimals), order.side is Side.BUY


def trailing_level(order: Order) -> int:
    """Return the level in ticks at which a waiting trailing order stands."""
    assert order.extreme is not None
    return trailed(order.extreme, _distance(order), falls_to_trigger(order.request))


def trail(source: CandleSource, order: Order, after_ms: int, until_ms: int, way: str) -> tuple[Event | None, int]:
    """Return what sets off a waiting trailing order in (after_ms, until_ms], and the price's extreme by then or by `until_ms`."""
    assert order.extreme is not None
    extreme, falls, distance = order.extreme, falls_to_trigger(order.request), _distance(order)
    for start, stop in _stretches(after_ms, until_ms):
        bars, lengths = source.tape(order.instrument, start, stop + 1)
        begun = int((bars.open_time <= start).sum())
        for number in range(begun):
            touch, extreme = first_trail(_candle(bars, lengths, number), way, extreme, distance, falls, start, stop)
            if touch is not None and touch.at_ms <= stop:
                return _event(touch, order.number, _candle(bars, lengths, number)), extreme
        later = bars.take(slice(begun, None))
        if len(later):
            before, reached = _could_trail(later, extreme, distance, falls)
            reached[-1] = True
            for index in np.flatnonzero(reached).tolist():
                candle = _candle(later, lengths[begun:], index)
                touch, extreme = first_trail(candle, way, int(before[index]), distance, falls, start, stop)
                if touch is not None and touch.at_ms <= stop:
                    return _event(touch, order.number, candle), extreme
    return None, extreme


def _first_reached(
    source: CandleSource, instrument: Instrument, orders: list[Order], after_ms: int, until_ms: int, way: str
) -> Event | None:
    levels = [(order, *level_of(order)) for order in orders]
    low = max((level for _, level, falls in levels if falls), default=-1)
    high = min((level for _, level, falls in levels if not falls), default=_NEVER)
    for start, stop in _stretches(after_ms, until_ms) if orders else ():
        bars, lengths = source.tape(instrument, start, stop + 1)
        for index in np.flatnonzero((bars.low <= low) | (bars.high >= high)).tolist():
            candle = _candle(bars, lengths, index)
            found = []
            for order, level, falls in levels:
                after = max(after_ms, order.since_ms, order.not_before_ms - 1)
                touch = first_touch(candle, way, level, falls, after) if candle.end_ms > after else None
                if touch is not None and touch.at_ms <= until_ms:
                    found.append(_event(touch, order.number, candle))
            if found:
                return min(found, key=lambda one: (one.at_ms, one.number))
    return None


def _stretches(after_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
    """Return consecutive stretches of time, short ones first: most of what is searched for happens soon."""
    start, spans = after_ms, iter(_SPANS_MS)
    while start < until_ms:
        stop = min(until_ms, start + next(spans, _SPANS_MS[-1]))
        yield start, stop
        start = stop


def _candle(bars: Bars, lengths: np.ndarray, index: int) -> Candle:
    return candle_at(bars, int(lengths[index]), index)


def _event(touch: Touch, number: int, candle: Candle) -> Event:
    return Event(touch.at_ms, number, touch.ticks, candle.volume, candle.end_ms)


def _could_trail(bars: Bars, extreme: int, distance: tuple[int, int], falls: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the extreme before each candle, and which candles may set the order off (a tick too many for the rounding)."""
    numerator, denominator = distance
    if falls:
        after = np.maximum(np.maximum.accumulate(bars.high), extreme)
        reached = bars.low * denominator <= after * (denominator - numerator) + denominator
    else:
        after = np.minimum(np.minimum.accumulate(bars.low), extreme)
        reached = bars.high * denominator >= after * (denominator + numerator) - denominator
    return np.concatenate(([extreme], after[:-1])), reached


def _distance(order: Order) -> tuple[int, int]:
    assert order.request.trailing is not None
    return int(order.request.trailing * _TRAILING_SCALE), _TRAILING_SCALE
