"""What a parameter set decided on a market, held against what it says of the candles as they are now, and why that differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fks_assets.assets.trading.backtest_run import judge
from fks_assets.assets.trading.day_of_set import DayOfSet
from fks_assets.assets.trading.decided import FirstWord, Origins, Provenance, deadline_of, replaced_times
from fks_assets.assets.trading.in_force import StrategyInForce, parameters_hash
from fks_assets.assets.trading.series import SeriesRead
from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.rules import LegRules
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.difference import HOLD, Data, Decision, Mismatch, Recomputed, Recorded, explain
from fks_assets.quant.lookahead import judgement
from fks_assets.quant.markets import Market
from fks_assets.quant.strategies.base import Strategy
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.strategies import ParameterSet


@dataclass
class MarketDecisions:
    """The decisions of one market and timeframe on the day, which ends at `day_end_ms` (UTC ms).

    `words` are those of later candles too, `legs` the rules of the accounts that follow them; `series` None: no candle is stored.
    """

    stores: Stores
    subject: StrategyInForce
    versions: Sequence[ParameterSet]
    market: Market
    timeframe: Timeframe
    series: SeriesRead | None
    words: dict[int, FirstWord]
    legs: Sequence[LegRules]
    day_end_ms: int

    def __post_init__(self) -> None:
        self._origins = Origins(self.stores, self.market, self.timeframe)
        self._then: tuple[int, Candles] | None = None

    def into(self, found: DayOfSet) -> None:
        now = now_ms()
        said = self._said()
        end_ms = self.day_end_ms - self.timeframe.milliseconds
        candles = sorted({*said, *(candle for candle in self.words if candle < end_ms)})
        replaced = replaced_times(self.words, candles)
        for candle in candles:
            recorded = self._recorded(candle, replaced[candle])
            if recorded.deadline > now and not (recorded.in_time and self.day_end_ms <= now):
                continue
            found.decisions += 1
            found.decided[self.market.key, self.timeframe.name, candle] = recorded
            mismatch = self._mismatch(candle, said.get(candle), recorded)
            found.mismatches += [] if mismatch is None else [mismatch]
        found.said |= {(self.market.key, self.timeframe.name, candle): each for candle, each in said.items()}
        found.inputs.update(() if self.series is None else self.series.inputs)

    def _said(self) -> dict[int, Decision]:
        if self.series is None:
            return {}
        signals = judge(self.subject, self.series)
        columns = (signals.action, signals.confidence, signals.stop, signals.target)
        times = self.series.period.open_time.tolist()
        return {opened: Decision(*row) for opened, *row in zip(times, *(each.tolist() for each in columns), strict=True)}

    def _recorded(self, candle: int, replaced_at: int) -> Recorded:
        word = self.words.get(candle)
        decision = HOLD if word is None else word.decision
        deadline = deadline_of(candle, decision.action, self.timeframe, self.legs, replaced_at)
        return Recorded(decision, None if word is None else word.known_at, deadline)

    def _mismatch(self, candle: int, said: Decision | None, recorded: Recorded) -> Mismatch | None:
        word, deadline = self.words.get(candle), recorded.deadline
        if recorded.followed.agrees(said or HOLD):
            return None
        origin = None if word is None else self._origins.of(self.subject.name, candle, word.known_at)
        began = not recorded.in_time and origin is not None and origin.began
        recorded = Recorded(
            recorded.decision,
            recorded.known_at,
            deadline,
            in_force=self._in_force(recorded.known_at if recorded.in_time else deadline) and not began,
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
