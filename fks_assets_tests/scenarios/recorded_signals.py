"""Recorded candles as a desk has them that lived through those days: candles, trading rules, what its strategies said of each."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fks_assets.assets.market_data.market_rules import fetch_rules
from fks_assets.desk.decide import Signal
from fks_assets.desk.signals import Heard, Place, newest_heads, read_signals
from fks_assets.ids import stable_id
from fks_assets.quant.candles import Candles
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.timeframes import Timeframe, months_between, parse_timeframe
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.market_rules import all_rules_as_of
from fks_assets_tests.desk import Desk
from fks_assets_tests.scenarios.stopped_clock import stopped_desk

DAY_MS = 86_400_000
# Indicators need 201 candles before the first one that is traded on.
HISTORY_CANDLES = 400
# Beside those that the desk ships with, one that leaves by its own signal more often than by a level.
STRATEGIES = {
    "STRATEGIES__ema_crossover__ema_fast": "5",
    "STRATEGIES__ema_crossover__ema_slow": "13",
    "STRATEGIES__ema_crossover__stop_atr": "4",
    "STRATEGIES__ema_crossover__target_atr": "8",
}
COLUMNS = ("action", "confidence", "stop", "target")


@dataclass(frozen=True)
class Recorded:
    """Candles that open in [start_ms, end_ms), the signals of each strategy in each market (one a candle), trading rules.

    `folder` holds the files that a simulator replays. The order of `signals` is that of their priority.
    """

    folder: Path
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    candles: Mapping[Market, Candles]
    signals: Mapping[Place, SignalColumns]
    rules: Mapping[Market, MarketRules]

    def part(self, start_ms: int, end_ms: int) -> "Recorded":
        """Return the candles that open in [start_ms, end_ms)."""
        candles, signals = {}, {}
        for (strategy, market), columns in self.signals.items():
            rows = slice(*np.searchsorted(self.candles[market].open_time, (start_ms, end_ms)).tolist())
            candles[market] = self.candles[market].slice(rows.start, rows.stop)
            parts = (getattr(columns, name)[rows] for name in (*COLUMNS, "reason_codes"))
            signals[strategy, market] = SignalColumns(*parts, columns.reasons)
        return Recorded(self.folder, self.timeframe, start_ms, end_ms, candles, signals, self.rules)

    def heard(self, now_ms: int) -> list[Heard]:
        """Return the newest signal of each place at a time (UTC ms), of the candle that had closed last."""
        found = []
        for (strategy, market), columns in self.signals.items():
            candles = self.candles[market]
            row = int(np.searchsorted(candles.open_time, now_ms - self.timeframe.milliseconds, side="right")) - 1
            if row >= 0:
                found.append(self._heard(strategy, market, candles, columns, row))
        return found

    def _heard(self, strategy: str, market: Market, candles: Candles, columns: SignalColumns, row: int) -> Heard:
        opened, close = int(candles.open_time[row]), float(candles.close[row])
        action = int(columns.action[row])
        confidence, stop, target = (float(getattr(columns, name)[row]) for name in COLUMNS[1:])
        signal = Signal(strategy, market, self.timeframe, opened, action, confidence, close, stop, target, columns.reason(row))
        return Heard(signal, InputRef(f"signals_{self.timeframe}", f"{market.key}|{opened}", stable_id(repr(signal))))


def sync_recorded(
    home: Path,
    database_url: str,
    folder: Path,
    symbols: Sequence[str],
    timeframe: str,
    start_ms: int,
    end_ms: int,
    looks: Sequence[int],
) -> tuple[Recorded, dict[int, list[Signal]]]:
    """Let a desk sync what a simulator replays and judge it by its assets: as scheduled at each of `looks` (UTC ms), as a person
    asks at the end. Return what it had stored then, and the signals that an account would have read from the store at each look.
    """
    step = parse_timeframe(timeframe)
    first_ms = start_ms - HISTORY_CANDLES * step.milliseconds
    days = (end_ms - first_ms) // DAY_MS + 32
    first_month, *_ = months_between(first_ms, end_ms)
    told: dict[int, list[Signal]] = {}
    with stopped_desk(
        home,
        database_url,
        looks[0],
        history_days=days,
        symbols=symbols,
        timeframe=timeframe,
        replay=folder,
        FIRST_MONTH=first_month,
        SIMULATOR__REPLAY=str(folder),
        **STRATEGIES,
    ) as desk:
        fetch_rules(desk.desk.stores, desk.desk.market_data)
        for now_ms in (*looks, end_ms + 60_000):
            desk.set_clock(now_ms)
            desk.clear()
            for name in (f"ohlcv_{timeframe}", f"indicators_{timeframe}", f"signals_{timeframe}"):
                assert desk.desk.run([name], months_between(first_ms, now_ms), scheduled=now_ms in looks).success
            if now_ms in looks:
                told[now_ms] = _newest(desk.desk, step, now_ms)
        return stored_signals(desk.desk, folder, step, start_ms, end_ms), told


def joined_files(folder: Path, target: Path, symbols: Sequence[str], hours: int, start_ms: int, end_ms: int) -> Path:
    """Write recorded hourly candles, joined to so many hours each, as a folder of recordings; return it.

    Candles of which an hour is missing are missing.
    """
    target.mkdir()
    step = hours * 3_600_000
    for symbol in symbols:
        name = symbol.replace("-", "_")
        rows = json.loads(gzip.decompress((folder / f"{name}-1h.json.gz").read_bytes()))
        groups: dict[int, list[list[float]]] = {}
        for row in rows:
            if start_ms <= row[0] < end_ms:
                groups.setdefault(row[0] // step * step, []).append(row)
        joined = [
            [opened, part[0][1], max(row[2] for row in part), min(row[3] for row in part), part[-1][4], _sum(part)]
            for opened, part in groups.items()
            if len(part) == hours
        ]
        (target / f"{name}-{hours}h.json").write_text(json.dumps(joined))
    return target


def _sum(rows: Sequence[Sequence[float]]) -> float:
    return round(sum(row[5] for row in rows), 8)


def _newest(desk: Desk, timeframe: Timeframe, now_ms: int) -> list[Signal]:
    markets, strategies = desk.settings.market_list(), list(desk.settings.strategies)
    with desk.stores.database.transaction() as connection:
        heads = newest_heads(connection, strategies, markets, timeframe, now_ms)
    heard, errors = read_signals(desk.stores.candles, heads, timeframe)
    assert not errors and not heads.behind
    return [each.signal for each in heard]


def stored_signals(desk: Desk, folder: Path, timeframe: Timeframe, start_ms: int, end_ms: int) -> Recorded:
    """Return what a desk has stored of [start_ms, end_ms): candles, trading rules, and the signals of its strategies."""
    markets, read = desk.settings.market_list(), desk.stores.candles.read_table
    candles = {market: candles_from_table(read("ohlcv", market, timeframe.name, start_ms, end_ms)) for market in markets}
    signals: dict[Place, SignalColumns] = {}
    for strategy in desk.settings.strategies:
        for market in markets:
            table = read(f"signals.{strategy}", market, timeframe.name, start_ms, end_ms)
            reasons = table["reason"].to_pylist()
            places = {words: place for place, words in enumerate(dict.fromkeys(reasons))}
            codes = np.array([places[words] for words in reasons], np.int16)
            columns = (np.ascontiguousarray(table[name].to_numpy()) for name in COLUMNS)
            signals[strategy, market] = SignalColumns(*columns, codes, tuple(places))
    rules = all_rules_as_of(desk.stores.database, markets, end_ms + DAY_MS)
    return Recorded(folder, timeframe, start_ms, end_ms, candles, signals, rules)
