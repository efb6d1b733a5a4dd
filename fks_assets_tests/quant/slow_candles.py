"""Candles from trades, one trade after the other with Decimal: what the fast ones are compared with."""

from collections.abc import Iterable
from decimal import Decimal

Row = tuple[Decimal, Decimal, Decimal, Decimal, Decimal, int]


def slow_candles(trades: Iterable[tuple[int, str, str]], step_ms: int) -> dict[int, Row]:
    """Return open, high, low, close, volume and count by open time (ms) of trades (time in ns, price, volume) in order."""
    found: dict[int, Row] = {}
    for time_ns, price_text, volume_text in trades:
        price, volume = Decimal(price_text), Decimal(volume_text)
        opens = time_ns // (step_ms * 10**6) * step_ms
        if opens in found:
            open_, high, low, _, total, count = found[opens]
            found[opens] = (open_, max(high, price), min(low, price), price, total + volume, count + 1)
        else:
            found[opens] = (price, price, price, price, volume, 1)
    return found
