"""Candles in the columns of TradingView's UDF, as Wallex and Nobitex give them; a candle without trades is left out."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import orjson

from fks_assets.simulator.answers import Answer, as_answer
from fks_assets.simulator.exchange import SimulatedExchange
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import BINANCE_INTERVALS, DAY_MS, Interval
from fks_assets.simulator.source import read_page

_ALL = 10**9
TEHRAN_MS = 12_600_000
"""How far Tehran's clock is ahead of UTC, since it gave up summer time in 2022."""
Candle = tuple[int, str, str, str, str, str]


def candles(exchange: SimulatedExchange, instrument: Instrument, interval: Interval, first_ms: int, last_ms: int) -> list[Candle]:
    """Return the candles with trades that open in [first_ms, last_ms], oldest first, the running one as it stands."""
    now = exchange.seen_ms(instrument)
    page = read_page(
        exchange.source,
        instrument,
        interval,
        first_ms=max(first_ms, 0),
        last_ms=min(last_ms, now),
        now_ms=now,
        limit=_ALL,
        newest=False,
    )
    rows = orjson.loads(page.body("binance"))
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows if Decimal(row[5]) > 0]


def tehran_days(exchange: SimulatedExchange, instrument: Instrument, first_ms: int, last_ms: int) -> list[Candle]:
    """Return candles of days that begin at midnight in Tehran and open in [first_ms, last_ms]."""
    days: dict[int, list[Candle]] = {}
    start = -(-(first_ms + TEHRAN_MS) // DAY_MS) * DAY_MS - TEHRAN_MS
    for row in candles(exchange, instrument, BINANCE_INTERVALS["30m"], start, last_ms + DAY_MS - 1):
        days.setdefault((row[0] + TEHRAN_MS) // DAY_MS * DAY_MS - TEHRAN_MS, []).append(row)
    return [_joined(opened, rows) for opened, rows in sorted(days.items()) if opened <= last_ms]


def history(rows: Sequence[Candle], spelled: Callable[[str], Any]) -> Answer:
    """Return candles as a UDF history, every number as `spelled` writes it."""
    if not rows:
        return as_answer({"s": "no_data"})
    columns = {name: [spelled(row[place]) for row in rows] for place, name in enumerate("ohlcv", 1)}
    return as_answer({"s": "ok", "t": [row[0] // 1000 for row in rows], **columns}, len(rows))


def dated(exchange: SimulatedExchange) -> str:
    """Return the Date header of an answer: for lack of an endpoint that tells it, the exchange's clock."""
    return formatdate(exchange.clock.told_ms() / 1000, usegmt=True)


def seconds(text: str) -> int | None:
    """Return the ms of a number of seconds, None for what is none."""
    return int(text) * 1000 if text.isascii() and text.isdecimal() and len(text) < 12 else None


def _joined(opened: int, rows: Sequence[Candle]) -> Candle:
    high, low = (pick((row[place] for row in rows), key=Decimal) for pick, place in ((max, 2), (min, 3)))
    return opened, rows[0][1], high, low, rows[-1][4], str(sum(Decimal(row[5]) for row in rows))
