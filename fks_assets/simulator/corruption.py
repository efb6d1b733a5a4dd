"""Faults in the content of candles and funding rates: wrong values, restated, unfinished, missing, repeated or displaced rows."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from fks_assets.simulator.answers import Answer
from fks_assets.simulator.fault_rules import COLUMNS
from fks_assets.simulator.faults import Hit
from fks_assets.simulator.intervals import BINANCE_INTERVALS, KRAKEN_INTERVALS, Interval
from fks_assets.simulator.source import Dialect

_TEXTS = {"nan": "NaN", "inf": "Infinity", "zero": "0.00000000", "overflow": "1e400", "null": None, "text": "n/a"}
Row = list[Any]


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of the rows of an answer: their interval and the simulated time."""

    dialect: Dialect
    interval: Interval
    now_ms: int

    def open_ms(self, row: Row) -> int:
        return int(row[0]) * (1000 if self.dialect == "kraken" else 1)

    def move(self, row: Row, open_ms: int) -> None:
        """Give a row another open time."""
        row[0] = open_ms // (1000 if self.dialect == "kraken" else 1)
        if self.dialect == "binance":
            row[6] = self.interval.close(open_ms) - 1

    def column(self, name: str) -> int:
        return 6 if self.dialect == "kraken" and name == "volume" else 1 + COLUMNS.index(name)

    def is_closed(self, row: Row) -> bool:
        return self.interval.close(self.open_ms(row)) <= self.now_ms


Change = Callable[[list[Row], Frame, Mapping[str, Any], random.Random], list[Row]]


def corrupt(answer: Answer, dialect: Dialect, timeframe: str, now_ms: int, hits: list[Hit]) -> Answer:
    """Return the candle answer with the content faults among the hits applied in order; others are left to the caller."""
    chosen = [hit for hit in hits if hit.rule.action in CHANGES]
    if not chosen or answer.status != 200:
        return answer
    document = orjson.loads(answer.body)
    result = document.get("result") if isinstance(document, dict) else None
    if isinstance(document, dict) and not result:
        return answer
    pair = next((name for name in result if name != "last"), "") if result else ""
    rows = result[pair] if result else document
    frame = Frame(dialect, _interval(dialect, timeframe), now_ms)
    for hit in chosen:
        rows = CHANGES[hit.rule.action](rows, frame, hit.rule.options, hit.random)
    if result:
        result[pair] = rows
    else:
        document = rows
    return replace(answer, body=orjson.dumps(document), rows=len(rows))


def _interval(dialect: Dialect, timeframe: str) -> Interval:
    known = BINANCE_INTERVALS if dialect == "binance" else {one.name: one for one in KRAKEN_INTERVALS.values()}
    return known[timeframe or "1m"]


def _picked(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[int]:
    """Return the indices that `where` and `count` choose."""
    count = min(options["count"], len(rows))
    where = options["where"]
    if where == "all":
        return list(range(len(rows)))
    if where == "random":
        return sorted(chance.sample(range(len(rows)), count))
    if where == "first":
        return list(range(count))
    if where == "middle":
        start = (len(rows) - count) // 2
        return list(range(start, start + count))
    candidates = [index for index, row in enumerate(rows) if where == "last" or frame.is_closed(row)]
    return candidates[-count:]


def _scaled(text: str, factor: float) -> str:
    places = len(text.partition(".")[2])
    return f"{float(text) * factor:.{places}f}"


def _values(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    column = frame.column(options["column"])
    for index in _picked(rows, frame, options, chance):
        row = rows[index]
        if options["values"] == "high_below_low":
            row[2], row[3] = _scaled(row[3], 0.99), _scaled(row[2], 1.01)
        elif options["values"] == "negative":
            row[column] = f"-{row[column]}"
        else:
            row[column] = _TEXTS[options["values"]]
    return rows


def _revise(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    for row in rows:
        if frame.open_ms(row) == options["open_time"]:
            for name in COLUMNS:
                column = frame.column(name)
                row[column] = _scaled(row[column], options["volume_factor" if name == "volume" else "price_factor"])
    return rows


def _partial(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    """Serve the newest closed candle as it stood before it closed, as an exchange does that publishes late."""
    closed = [row for row in rows if frame.is_closed(row)]
    if not closed:
        return rows
    row, fraction = closed[-1], options["fraction"]
    if frame.now_ms - frame.interval.close(frame.open_ms(row)) >= options["seconds"] * 1000:
        return rows
    places = len(row[1].partition(".")[2])
    open_, high, low, close = (float(row[column]) for column in range(1, 5))
    close = open_ + (close - open_) * fraction
    upper, lower = max(open_, close), min(open_, close)
    high, low = upper + (high - upper) * fraction, lower - (lower - low) * fraction
    row[2:5] = [f"{value:.{places}f}" for value in (high, low, close)]
    volume = frame.column("volume")
    row[volume] = _scaled(row[volume], fraction)
    return rows


def _unfinished(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    """Let the running candle claim a close time that has passed."""
    if rows and not frame.is_closed(rows[-1]) and frame.dialect == "binance":
        rows[-1][6] = frame.now_ms - 1
    return rows


def _missing(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    gone = set(_picked(rows, frame, options, chance))
    return [row for index, row in enumerate(rows) if index not in gone]


def _duplicate(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    again = set(_picked(rows, frame, options, chance))
    return [copy for index, row in enumerate(rows) for copy in ([row, list(row)] if index in again else [row])]


def _reorder(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    if options["how"] == "reverse":
        return rows[::-1]
    mixed = list(rows)
    chance.shuffle(mixed)
    return mixed


def _off_grid(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    for index in _picked(rows, frame, options, chance):
        frame.move(rows[index], frame.open_ms(rows[index]) + options["milliseconds"])
    return rows


def _future(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    """Append copies of the last row that open after the running candle."""
    if not rows:
        return rows
    open_ms = frame.interval.floor(frame.now_ms)
    added = []
    for _ in range(options["count"]):
        open_ms = frame.interval.close(open_ms)
        row = list(rows[-1])
        frame.move(row, open_ms)
        added.append(row)
    return [*rows, *added]


@dataclass(frozen=True, slots=True)
class FundingFrame(Frame):
    """What is known of rows of funding, which are [time, rate, rest] here: every fault of a value hits the rate."""

    def column(self, name: str) -> int:
        return 1

    def move(self, row: Row, open_ms: int) -> None:
        row[0] = open_ms


def corrupt_funding(answer: Answer, now_ms: int, hits: list[Hit]) -> Answer:
    """Return the answer with funding rates after the content faults among the hits that mean something for them."""
    chosen = [hit for hit in hits if hit.rule.action in FUNDING_CHANGES and hit.rule.options.get("values") != "high_below_low"]
    if not chosen or answer.status != 200:
        return answer
    rows = [[each.pop("fundingTime"), each.pop("fundingRate"), each] for each in orjson.loads(answer.body)]
    frame = FundingFrame("binance", BINANCE_INTERVALS["8h"], now_ms)
    for hit in chosen:
        rows = FUNDING_CHANGES[hit.rule.action](rows, frame, hit.rule.options, hit.random)
    told = [{"fundingTime": time, "fundingRate": rate, **rest} for time, rate, rest in rows]
    return replace(answer, body=orjson.dumps(told), rows=len(told))


def _revise_rate(rows: list[Row], frame: Frame, options: Mapping[str, Any], chance: random.Random) -> list[Row]:
    for row in rows:
        if row[0] == options["open_time"]:
            row[1] = _scaled(row[1], options["price_factor"])
    return rows


CHANGES: Mapping[str, Change] = {
    "values": _values,
    "revise": _revise,
    "partial": _partial,
    "unfinished": _unfinished,
    "missing": _missing,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "off_grid": _off_grid,
    "future": _future,
}
_LIKE_CANDLES = ("values", "missing", "duplicate", "reorder", "off_grid", "future")
FUNDING_CHANGES: Mapping[str, Change] = {**{name: CHANGES[name] for name in _LIKE_CANDLES}, "revise": _revise_rate}
