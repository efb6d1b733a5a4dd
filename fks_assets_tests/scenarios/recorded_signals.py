"""Recorded months as the desk has them after syncing: candles, trading rules, and what its strategies said of each candle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fks_assets.assets.market_data.market_rules import fetch_rules
from fks_assets.desk.decide import Signal
from fks_assets.desk.signals import Heard, Place
from fks_assets.quant.candles import Candles
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.timeframes import Timeframe, months_between, parse_timeframe
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.market_rules import all_rules_as_of
from fks_assets_tests.desk import Desk, build_desk

HOUR = parse_timeframe("1h")
# Indicators are the same from any beginning that is this many hours before.
HISTORY_DAYS = 40
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Recorded:
    """Hourly candles of [start_ms, end_ms), the signals of each strategy in each market (one a candle), trading rules.

    The order of `signals` is the order of their priority.
    """

    start_ms: int
    end_ms: int
    candles: Mapping[Market, Candles]
    signals: Mapping[Place, SignalColumns]
    rules: Mapping[Market, MarketRules]

    @property
    def timeframe(self) -> Timeframe:
        return HOUR

    @property
    def strategies(self) -> list[str]:
        return list(dict.fromkeys(strategy for strategy, _ in self.signals))

    def until(self, end_ms: int) -> "Recorded":
        """Return the part before a time (UTC ms)."""
        candles = {market: each.between(self.start_ms, end_ms) for market, each in self.candles.items()}
        signals = {place: _first(each, len(candles[place[1]])) for place, each in self.signals.items()}
        return Recorded(self.start_ms, end_ms, candles, signals, self.rules)

    def heard(self, now_ms: int) -> list[Heard]:
        """Return the newest signal of each place, of the candle that closed last at that time (UTC ms)."""
        found = []
        for (strategy, market), columns in self.signals.items():
            candles = self.candles[market]
            row = int(np.searchsorted(candles.open_time, now_ms - HOUR.milliseconds, side="right")) - 1
            if row >= 0:
                found.append(heard_at(strategy, market, candles, columns, row))
        return found


def heard_at(strategy: str, market: Market, candles: Candles, columns: SignalColumns, row: int) -> Heard:
    """Return the signal of one candle."""
    signal = Signal(
        strategy=strategy,
        market=market,
        timeframe=HOUR,
        open_time=int(candles.open_time[row]),
        action=int(columns.action[row]),
        confidence=float(columns.confidence[row]),
        close=float(candles.close[row]),
        stop=float(columns.stop[row]),
        target=float(columns.target[row]),
        reason=columns.reason(row),
    )
    return Heard(signal, InputRef(f"signals_{HOUR}", f"{market.key}|{signal.open_time}", "recorded"))


def sync_recorded(home: Path, database_url: str, folder: Path, symbols: Sequence[str], start_ms: int, end_ms: int) -> Recorded:
    """Let a desk sync a recorded folder from the simulator and judge it, all by its assets, and return what it stored."""
    months = months_between(start_ms - HISTORY_DAYS * DAY_MS, end_ms)
    with running_simulator(replay=folder) as simulator:
        desk = build_desk(
            home,
            database_url,
            simulator.url,
            symbols=symbols,
            TIMEFRAMES="1h",
            FIRST_MONTH=months[0],
            SIMULATOR__REPLAY=str(folder),
        )
        fetch_rules(desk.stores, desk.market_data)
        for name in ("ohlcv_1h", "indicators_1h", "signals_1h"):
            assert desk.run([name], months).success
    return stored(desk, start_ms, end_ms)


def stored(desk: Desk, start_ms: int, end_ms: int) -> Recorded:
    """Return what a desk has stored of the candles that open in [start_ms, end_ms)."""
    markets, read = desk.settings.market_list(), desk.stores.candles.read_table
    candles = {market: candles_from_table(read("ohlcv", market, "1h", start_ms, end_ms)) for market in markets}
    signals: dict[Place, SignalColumns] = {}
    for strategy in desk.settings.strategies:
        for market in markets:
            table = read(f"signals.{strategy}", market, "1h", start_ms, end_ms)
            reasons = table["reason"].to_pylist()
            words = tuple(dict.fromkeys(reasons))
            places = {word: place for place, word in enumerate(words)}
            columns = (table[name].to_numpy() for name in ("action", "confidence", "stop", "target"))
            codes = np.array([places[reason] for reason in reasons], np.int16)
            signals[strategy, market] = SignalColumns(*(np.ascontiguousarray(each) for each in columns), codes, words)
    rules = all_rules_as_of(desk.stores.database, markets, 2**42)
    return Recorded(start_ms, end_ms, candles, signals, rules)


def _first(columns: SignalColumns, rows: int) -> SignalColumns:
    parts = (getattr(columns, name)[:rows] for name in ("action", "confidence", "stop", "target", "reason_codes"))
    return SignalColumns(*parts, columns.reasons)
