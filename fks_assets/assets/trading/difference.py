"""One day of one parameter set: what was decided and traded, held against what a backtest of the stored candles says of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fks_assets.assets.trading.backtest_run import judge
from fks_assets.assets.trading.booked_trades import booked, sold_at_open
from fks_assets.assets.trading.decided import FirstWord, Origins, Provenance, deadline_of, first_words
from fks_assets.assets.trading.in_force import StrategyInForce, parameters_hash
from fks_assets.assets.trading.recorded_exits import read_exits
from fks_assets.assets.trading.recorded_trades import RecordedTrade, read_trades
from fks_assets.assets.trading.series import SeriesRead, read_series
from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.ids import stable_id
from fks_assets.partitions import day_window
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.difference import (
    HOLD,
    Cause,
    Data,
    Decision,
    Mismatch,
    Recomputed,
    Recorded,
    Trade,
    explain,
    trade_mismatches,
)
from fks_assets.quant.lookahead import judgement
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import SELL, Strategy
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import Timeframe, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.lineage import InputRef, latest_inputs
from fks_assets.stores.strategies import ParameterSet, parameters_history


@dataclass(slots=True)
class DayOfSet:
    """How a day of a parameter set compares: so many `decisions` and `trades` were compared, `mismatches` differ.

    `inputs` is what was read; by market, timeframe and candle `said` holds the backtest's actions, `followed` those that could be
    followed.
    """

    subject: StrategyInForce
    day: str
    decisions: int = 0
    trades: int = 0
    said: dict[tuple[str, str, int], int] = field(default_factory=dict)
    followed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    inputs: set[InputRef] = field(default_factory=set)

    @property
    def unexplained(self) -> list[Mismatch]:
        return [each for each in self.mismatches if each.cause is Cause.UNEXPLAINED]

    @property
    def content_hash(self) -> str:
        """An id of all that was found."""
        return stable_id(self.subject.name, f"{self.decisions} {self.trades}", *(repr(each) for each in self.mismatches))

    def counts(self) -> dict[str, int]:
        """Return how many mismatches each cause has, those that occur."""
        return {str(cause): count for cause, count in sorted(Counter(each.cause for each in self.mismatches).items())}


def compare_day(
    stores: Stores, subject: StrategyInForce, day: str, markets: Sequence[Market], timeframes: Sequence[Timeframe]
) -> DayOfSet:
    """Compare the decisions of a UTC day, those at candles that closed on it, with what `subject` says of the stored candles now,
    and the trades that followed them, entries and exits, and the stops and targets executed on it, with what the backtest books.

    A decision that can still be followed is left out. Errors of the strategy's own code are not caught.
    """
    found = DayOfSet(subject, day)
    versions = parameters_history(stores.database, subject.name)
    start_ms, end_ms = day_window(day)
    for timeframe in timeframes:
        step = timeframe.milliseconds
        series, _ = read_series(
            stores, markets, timeframe, start_ms - step, end_ms - step, lookback_rows=subject.strategy.lookback_rows
        )
        for market in markets:
            words = first_words(stores, subject.name, market, timeframe, start_ms - step, end_ms - step)
            compared = _Market(stores, subject, versions, market, timeframe, series.get(market), words)
            compared.into(found)
        keys = [f"{market.key}|{month}" for market in markets for month in months_between(start_ms - step, end_ms - step)]
        signals = latest_inputs(stores.database, f"signals_{timeframe}", keys).values()
        found.inputs.update(InputRef(record.asset, record.partition, record.content_hash) for record in signals)
    _compare_trades(stores, found, markets, timeframes)
    return found


def _compare_trades(stores: Stores, found: DayOfSet, markets: Sequence[Market], timeframes: Sequence[Timeframe]) -> None:
    trades = read_trades(stores.database, found.subject.name, *day_window(found.day))
    keys, names = {market.key for market in markets}, {timeframe.name for timeframe in timeframes}
    done = [trade for trade in trades if trade.market in keys and trade.timeframe in names]
    differing = {(each.market, each.timeframe, each.candle) for each in found.mismatches}
    pairs = [(trade.trade(), booked(stores, trade) if _asked_for(found, trade) else None) for trade in done]
    pairs += _exits(stores, found)
    found.trades = len(pairs)
    found.mismatches += trade_mismatches(pairs, differing)


def _exits(stores: Stores, found: DayOfSet) -> list[tuple[Trade | None, Trade | None]]:
    """Return what was sold at each SELL that found a position held, and what the backtest sells there.

    Where one of both says SELL and the other does not, the decision differs, and its position is not followed any further; nor is
    one that the backtest never entered.
    """
    sells: dict[tuple[str, str], set[int]] = {}
    for (market, timeframe, candle), followed in found.followed.items():
        if SELL in (followed, found.said.get((market, timeframe, candle))):
            sells.setdefault((market, timeframe), set()).add(candle)
    pairs = []
    for left in read_exits(stores.database, found.subject.name, *day_window(found.day), sells):
        market, timeframe, side = left.trade.market, left.trade.timeframe, -left.trade.side
        if found.said.get((market, timeframe, left.entered), side) != side:
            continue
        place = market, timeframe, left.trade.candle
        due = booked(stores, left.trade) if found.said.get(place) == found.followed[place] == SELL else None
        if left.guard is None or due is None or not sold_at_open(stores, left.guard, place[2]):
            pairs.append((left.trade.trade(), due))
    return [pair for pair in pairs if pair != (None, None)]


def _asked_for(found: DayOfSet, trade: RecordedTrade) -> bool:
    """Return whether the backtest trades: an exit always, as its position was opened; an entry where its decision says so."""
    return trade.leg != "entry" or found.said.get((trade.market, trade.timeframe, trade.candle)) == trade.side


@dataclass
class _Market:
    """The decisions of one market and timeframe on the day; `series` None: none of its candles is stored."""

    stores: Stores
    subject: StrategyInForce
    versions: Sequence[ParameterSet]
    market: Market
    timeframe: Timeframe
    series: SeriesRead | None
    words: dict[int, FirstWord]

    def __post_init__(self) -> None:
        self._origins = Origins(self.stores, self.market, self.timeframe)
        self._then: tuple[int, Candles] | None = None

    def into(self, found: DayOfSet) -> None:
        now = now_ms()
        said = self._said()
        for candle in sorted({*said, *self.words}):
            if deadline_of(candle, self.timeframe) > now:
                continue
            found.decisions += 1
            found.followed[self.market.key, self.timeframe.name, candle] = self._recorded(candle).followed.action
            mismatch = self._mismatch(candle, said.get(candle))
            found.mismatches += [] if mismatch is None else [mismatch]
        found.said |= {(self.market.key, self.timeframe.name, candle): each.action for candle, each in said.items()}
        found.inputs.update(() if self.series is None else self.series.inputs)

    def _said(self) -> dict[int, Decision]:
        if self.series is None:
            return {}
        signals = judge(self.subject, self.series)
        columns = (signals.action, signals.confidence, signals.stop, signals.target)
        times = self.series.period.open_time.tolist()
        return {opened: Decision(*row) for opened, *row in zip(times, *(each.tolist() for each in columns), strict=True)}

    def _recorded(self, candle: int) -> Recorded:
        word, deadline = self.words.get(candle), deadline_of(candle, self.timeframe)
        return Recorded(HOLD, None, deadline) if word is None else Recorded(word.decision, word.known_at, deadline)

    def _mismatch(self, candle: int, said: Decision | None) -> Mismatch | None:
        word, recorded = self.words.get(candle), self._recorded(candle)
        deadline = recorded.deadline
        if recorded.followed.agrees(said or HOLD):
            return None
        origin = None if word is None else self._origins.of(self.subject.name, candle, word.known_at)
        began = not recorded.in_time and origin is not None and origin.began
        recorded = Recorded(
            recorded.decision,
            recorded.known_at,
            deadline,
            in_force=self._in_force(deadline) and not began,
            code_version=None if origin is None else origin.code_version,
            parameters_hash=None if origin is None else origin.parameters_hash,
        )
        recomputed = Recomputed(said, self.subject.code_version, self.subject.parameters_hash)
        why = explain(recorded, recomputed, lambda data, then: self._again(candle, recorded, origin, data, then))
        assert why is not None
        live = recorded.followed.words if word is not None and recorded.in_time else "nothing"
        backtest = "no candle" if said is None else said.words
        return Mismatch(self.market.key, self.timeframe.name, candle, why[0], live, backtest, why[1])

    def _in_force(self, moment_ms: int) -> bool:
        """Return whether the set was in force at a time, as far as the stored sets tell."""
        before = [version for version in self.versions if version.changed_at <= moment_ms]
        return self.subject.name in self.stores.settings.strategies or bool(before and not before[-1].removed)

    def _again(
        self, candle: int, recorded: Recorded, origin: Provenance | None, data: Data, parameters_then: bool
    ) -> Decision | None:
        strategy = self._strategy_of(recorded.parameters_hash) if parameters_then else self.subject.strategy
        if strategy is None or self.series is None:
            return None
        assert recorded.known_at is not None
        candles = self._candles(data, recorded.known_at if origin is None else origin.candles_as_of).between(0, candle + 1)
        if not len(candles) or int(candles.open_time[-1]) != candle:
            return None
        used = candles.slice(max(0, len(candles) - 2 * strategy.lookback_rows - 1))
        signals = judgement(strategy, used)
        return Decision(
            int(signals.action[-1]), float(signals.confidence[-1]), float(signals.stop[-1]), float(signals.target[-1])
        )

    def _strategy_of(self, wanted: str | None) -> Strategy[Any] | None:
        """Return the strategy with the parameters of this hash, None if no version that is still known has it."""
        name = self.subject.strategy.name
        known = [dict(version.parameters) for version in self.versions]
        for values in (*known, self.stores.settings.strategies.get(self.subject.name, {})):
            try:
                strategy = create_strategy(name, values)
            except InvalidInput:
                continue
            if parameters_hash(strategy) == wanted:
                return strategy
        return None

    def _candles(self, data: Data, as_of_ms: int) -> Candles:
        assert self.series is not None
        now = self.series.candles
        if data is Data.NOW:
            return now
        if self._then is None or self._then[0] != as_of_ms:
            start, end = int(now.open_time[0]), int(now.open_time[-1]) + 1
            table = self.stores.candles.read_table("ohlcv", self.market, self.timeframe.name, start, end, as_of_ms=as_of_ms)
            self._then = as_of_ms, candles_from_table(table)
        then = self._then[1]
        return then if data is Data.THEN else _completed(then, now)


def _completed(then: Candles, now: Candles) -> Candles:
    """Return candles as they were known then, with those that are only known now."""
    added = ~np.isin(now.open_time, then.open_time)
    times = np.concatenate([then.open_time, now.open_time[added]])
    order = np.argsort(times)
    columns = (np.concatenate([getattr(then, name), getattr(now, name)[added]])[order] for name in OHLCV_COLUMNS)
    return Candles(times[order], *columns)
