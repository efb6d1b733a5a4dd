"""What was decided on a day: the first signal stored for each candle, and from which code, parameters and candles it was made."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fks_assets.assets.analysis.write import combined_hash
from fks_assets.assets.trading.in_force import STRATEGIES
from fks_assets.quant.backtest.rules import LegRules
from fks_assets.quant.difference import Decision
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import SELL
from fks_assets.quant.timeframes import Timeframe, month_of, month_window, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.canonical import KNOWN_AT, SUPERSEDED_AT, content_hash, times_of
from fks_assets.stores.lineage import RecordedInputs, inputs_history

MINUTE = 60_000
# Signals are derived every 15 minutes. Where no account follows them, what has come within two ticks has been decided.
UNFOLLOWED_MS = 30 * MINUTE
NEVER = sys.maxsize
MOMENTS_TRIED = 20


def deadline_of(candle: int, action: int, timeframe: Timeframe, legs: Sequence[LegRules], replaced_at: int) -> int:
    """Return until when (UTC ms) what was said of a candle could be followed by accounts that trade it by the rules of `legs`.

    That is as long as the desk itself takes it: a BUY until it is stale by the most patient of them, a SELL for ever, and neither
    once the word of a later candle is there, at `replaced_at`. Without an account it is half an hour after the close.
    """
    closed, step = candle + timeframe.milliseconds, timeframe.milliseconds
    if not legs:
        return closed + UNFOLLOWED_MS
    patience = math.inf if action == SELL else max(leg.signal_deadline(closed, step) for leg in legs)
    return int(min(patience, replaced_at - 1))


def replaced_times(words: Mapping[int, "FirstWord"], candles: Iterable[int]) -> dict[int, int]:
    """Return by candle when (UTC ms) the first word of a later one was there, NEVER where there is none."""
    later = sorted(words, reverse=True)
    found: dict[int, int] = {}
    place, first = 0, NEVER
    for candle in sorted(candles, reverse=True):
        while place < len(later) and later[place] > candle:
            first = min(first, words[later[place]].known_at)
            place += 1
        found[candle] = first
    return found


@dataclass(frozen=True, slots=True)
class FirstWord:
    """The first signal that was stored for a candle. `known_at` is UTC milliseconds."""

    decision: Decision
    known_at: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a signal was made from. `candles_as_of` is a time (UTC ms) as of which the month's candles were those it used.

    `began`: its parameter set judged this month for the first time, and others had done so before.
    """

    code_version: str
    parameters_hash: str
    candles_as_of: int
    began: bool


def first_words(
    stores: Stores, name: str, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int
) -> dict[int, FirstWord]:
    """Return by open time the first signals of a parameter set for the candles that open in [start_ms, end_ms)."""
    dataset = f"signals.{name}"
    # The current rows first: one that is replaced meanwhile is then found twice, and not missed.
    tables = [stores.candles.read_table(dataset, market, timeframe.name, start_ms, end_ms)]
    for month in months_between(start_ms, end_ms):
        revisions = stores.candles.revisions(PartitionId(dataset, market, timeframe.name, month))
        times = times_of(revisions)
        tables.append(revisions.filter(pa.array((times >= start_ms) & (times < end_ms))))
    first: dict[int, FirstWord] = {}
    for table in tables:
        if not table.num_rows:
            continue
        values = [table[column].to_pylist() for column in ("action", "confidence", "stop", "target")]
        known = times_of(table, KNOWN_AT).tolist()
        for row, (opened, known_at) in enumerate(zip(times_of(table).tolist(), known, strict=True)):
            if opened not in first or known_at < first[opened].known_at:
                first[opened] = FirstWord(Decision(*(column[row] for column in values)), known_at)
    return first


@dataclass
class Origins:
    """Looks up how the signals of one market and timeframe came about. What it reads, it reads once."""

    stores: Stores
    market: Market
    timeframe: Timeframe
    _months: dict[str, list[tuple[RecordedInputs, Mapping[str, str]]]] = field(default_factory=dict)
    _hashes: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _found: dict[tuple[str, str, int], Provenance | None] = field(default_factory=dict)

    def of(self, name: str, candle: int, known_at: int) -> Provenance | None:
        """Return from what the version of a signal that became known at a time was made; None if that was not recorded.

        It is the record of just those rows that the month held at that time, of all parameter sets that the record names; among
        several the one written next to it. Where none is (a set that broke has rows of its own time), it is one of that minute.
        """
        key = name, month_of(candle), known_at
        if key not in self._found:
            self._found[key] = self._search(*key)
        return self._found[key]

    def _search(self, name: str, month: str, known_at: int) -> Provenance | None:
        history = self._history(month)
        away = [abs((record.recorded_at_ms or 0) - known_at) for record, _ in history]
        nearest = sorted((place for place, (_, used) in enumerate(history) if name in used), key=lambda place: away[place])
        for place in nearest:
            record, used = history[place]
            if record.content_hash == self._content(tuple(used), month, known_at):
                return self._provenance(name, month, known_at, place)
        close = nearest and away[nearest[0]] < MINUTE
        return self._provenance(name, month, known_at, nearest[0]) if close else None

    def _provenance(self, name: str, month: str, known_at: int, place: int) -> Provenance:
        history = self._history(month)
        record, used = history[place]
        code_version, parameters = used[name].split()
        began = place > 0 and not any(name in earlier for _, earlier in history[:place])
        return Provenance(code_version, parameters, self._candles_as_of(record, month, known_at), began)

    def _history(self, month: str) -> list[tuple[RecordedInputs, Mapping[str, str]]]:
        """Return the records of a month that say which parameter sets judged it, with code and parameters of each set."""
        if month not in self._months:
            records = inputs_history(self.stores.database, f"signals_{self.timeframe}", f"{self.market.key}|{month}")
            self._months[month] = [(record, used) for record in records if (used := _used(record))]
        return self._months[month]

    def _content(self, names: tuple[str, ...], month: str, moment_ms: int) -> str:
        datasets = {f"signals.{name}": self._hash(f"signals.{name}", month, moment_ms) for name in names}
        return combined_hash(datasets)

    def _hash(self, dataset: str, month: str, moment_ms: int) -> str:
        key = dataset, month, moment_ms
        if key not in self._hashes:
            start, end = month_window(month)
            table = self.stores.candles.read_table(dataset, self.market, self.timeframe.name, start, end, as_of_ms=moment_ms)
            self._hashes[key] = content_hash(table)
        return self._hashes[key]

    def _candles_as_of(self, record: RecordedInputs, month: str, known_at: int) -> int:
        """Return the last time up to `known_at` as of which the month's candles were those that were read.

        A candle that was restated while the signals were made from the old one is known a little before they are.
        """
        asset = f"ohlcv_{self.timeframe}"
        read = next(ref.content_hash for ref in record.inputs if (ref.asset, ref.partition) == (asset, record.partition))
        if self._hash("ohlcv", month, known_at) == read:
            return known_at
        start, end = month_window(month)
        now = self.stores.candles.read_table("ohlcv", self.market, self.timeframe.name, start, end, columns=[KNOWN_AT])
        old = self.stores.candles.revisions(PartitionId("ohlcv", self.market, self.timeframe.name, month))
        moments = np.unique(np.concatenate([times_of(now, KNOWN_AT), times_of(old, KNOWN_AT), times_of(old, SUPERSEDED_AT)]))
        for moment in moments[moments <= known_at][::-1][:MOMENTS_TRIED].tolist():
            if self._hash("ohlcv", month, moment - 1) == read:
                return moment - 1
        return known_at


def _used(record: RecordedInputs) -> Mapping[str, str]:
    """Return code and parameters of each parameter set that a record names."""
    return {ref.partition: ref.content_hash for ref in record.inputs if ref.asset == STRATEGIES}
