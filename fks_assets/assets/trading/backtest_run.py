"""A backtest at the desk: read the store, let the strategy judge, run the book, measure it against holding the same markets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.assets.trading.series import SeriesRead, read_series
from fks_assets.clock import iso
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.ids import document_hash
from fks_assets.quant.backtest.book import Book, Funding, Leg, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import BacktestResult
from fks_assets.quant.backtest.rules import BookRules, LegRules, Sizing
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.quant.performance import Performance, measure
from fks_assets.quant.performance_charts import Curve
from fks_assets.quant.performance_ruin import after_ruin
from fks_assets.quant.performance_series import with_base
from fks_assets.quant.search_trials import judge_period
from fks_assets.quant.strategies.base import TOO_LITTLE_HISTORY, SignalColumns
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import InputRef

# A spot market cannot be sold short; the stake is S3.10's min(confidence * 50, 50) % and S3.17 allows ten trades a day.
DESK_RULES = LegRules(sizing=Sizing(kind="confidence"), short=False, daily_trades=10, tie_rule="finer")
LARGEST_SERIES = 5_000_000
# Perpetual markets charge funding every eight hours. No rates are stored: what falls due is counted, and counts as unknown.
UNKNOWN_FUNDING = Funding(8 * 3_600_000, np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """What one backtest gave: trades and equity (`result`), every figure, the curve of holding, and what it was made from.

    `start_ms` is the open time of its first candle and `end_ms` the close time of the last, within `asked_ms`; `candles` are
    those of the period by market; `left_out` says why a market that was asked for is not in it; of the markets in
    `without_rules` no trading rules are stored; `unjudged` counts the candles of all markets that had too little history before
    them for the strategy to judge. `time` int64 ms are the moments of `equity` and `exposure`: the start, then the
    close of each bar. `ruined_ms` is the close of the bar after which nothing was left, else None: from
    there on figures and curves count the account as lost, whatever `result` says its positions were worth later.
    """

    subject: StrategyInForce
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    asked_ms: tuple[int, int]
    ruined_ms: int | None
    time: np.ndarray
    equity: np.ndarray
    exposure: np.ndarray
    rules: LegRules
    book: BookRules
    result: BacktestResult
    performance: Performance
    hold: Curve
    candles: Mapping[str, Candles]
    left_out: Mapping[str, str]
    without_rules: tuple[str, ...]
    unjudged: int
    inputs: tuple[InputRef, ...]

    @property
    def inputs_hash(self) -> str:
        """The SHA-256, in hexadecimal, of all that was read."""
        return hash_of_inputs(self.inputs)

    @property
    def content_hash(self) -> str:
        """The SHA-256, in hexadecimal, of everything that the backtest says, whatever else its inputs held."""
        return document_hash(self.outcome())

    @property
    def funding_known_pct(self) -> float | None:
        """The share of fundings with a known rate, of those that positions were held through; None where none fell due."""
        return 100 * self.result.funding_coverage if any(leg.funding_due for leg in self.result.legs) else None

    @property
    def notes(self) -> list[str]:
        """What a reader has to know, in sentences."""
        result, notes = self.result, []
        step = self.timeframe.milliseconds
        if self.ruined_ms is not None:
            left = float(result.equity.equity[result.equity.time == self.ruined_ms][0])
            notes.append(
                f"The account was ruined at {iso(self.ruined_ms)}: its equity fell to {left:,.2f}; it counts as lost from there."
            )
        if self.start_ms >= self.timeframe.ceil(self.asked_ms[0]) + step:
            notes.append(f"The stored candles begin at {iso(self.start_ms)}, not at {iso(self.asked_ms[0])}.")
        if self.end_ms <= self.timeframe.floor(self.asked_ms[1]) - step:
            notes.append(f"The stored candles end at {iso(self.end_ms)}, not at {iso(self.asked_ms[1])}.")
        if self.unjudged:
            count = sum(map(len, self.candles.values()))
            notes.append(
                f"{self.unjudged:,} of {count:,} candles were not judged, as too few were stored before them: "
                f"{self.subject.name} needs {self.subject.strategy.lookback_rows:,}."
            )
        if result.ambiguous_candles:
            open_ties = result.ambiguous_candles - result.decided_by_finer
            notes.append(
                f"{result.ambiguous_candles:,} candles reached both the stop and the target; finer candles decided "
                f"{result.decided_by_finer:,} of them, the pessimistic rule {open_ties:,}."
            )
        if self.funding_known_pct is not None:
            notes.append(
                f"{self.funding_known_pct:.0f} % of the funding is known: positions short or with leverage were held through "
                f"{sum(leg.funding_due for leg in result.legs):,} fundings, and those without a stored rate count as 0."
            )
        early = sum(leg.before_rules for leg in result.legs)
        if early:
            notes.append(f"{early:,} fills lie before the first known trading rules of their market, which were applied.")
        if self.without_rules:
            named = ", ".join(self.without_rules)
            notes.append(f"No trading rules are stored of {named}: no tick, lot or smallest order was applied.")
        for reason, count in result.refused.items():
            notes.append(f"{count:,} signals gave no position: {reason.words}.")
        notes += [f"{market} is left out: {reason}." for market, reason in self.left_out.items()]
        return notes

    def outcome(self) -> dict[str, Any]:
        """Return rules, period and figures for a JSON document, without what was read."""
        return {
            **self.subject.document(),
            "timeframe": self.timeframe.name,
            "markets": list(self.result.markets),
            "left_out": dict(self.left_out),
            "start": iso(self.start_ms),
            "end": iso(self.end_ms),
            "rules": self.rules.model_dump(mode="json"),
            "book": self.book.model_dump(mode="json"),
            "metrics": self.performance.document(),
            "candles_unjudged": self.unjudged,
            "signals_refused": {reason.name.lower(): count for reason, count in self.result.refused.items()},
            "ambiguous_candles": self.result.ambiguous_candles,
            "decided_by_finer": self.result.decided_by_finer,
            "funding_known_pct": self.funding_known_pct,
            "order_list_hash": self.result.order_list_hash,
            "ruined_at": iso(self.ruined_ms),
        }

    def document(self) -> dict[str, Any]:
        """Return everything but the curves for a JSON document."""
        return {**self.outcome(), "content_hash": self.content_hash, "inputs_hash": self.inputs_hash}


def backtest(
    stores: Stores,
    subject: StrategyInForce,
    markets: Sequence[Market],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    *,
    rules: LegRules = DESK_RULES,
    book: BookRules | None = None,
    skip_missing: bool = False,
) -> Backtest:
    """Return the backtest of a strategy over all markets in one book, on the candles that open in [start_ms, end_ms).

    Signals come from the candles before the period on, so the first candle inside may act. Trading rules are those in force at
    each fill. Raises InsufficientData where candles are missing, of any market or with `skip_missing` of all.
    """
    book = book or BookRules()
    lookback = subject.strategy.lookback_rows
    found, missing = read_period(stores, lookback, markets, timeframe, start_ms, end_ms, rules=rules, skip_missing=skip_missing)
    legs = tuple(_leg(subject, series, timeframe, rules) for series in found.values())
    result = run_backtest(Book(legs, book))
    candles = {leg.series.market: leg.series.candles for leg in legs}
    first = min(int(each.open_time[0]) for each in candles.values())
    hold = _holding(result.equity.time, candles, timeframe, first)
    kept, ruin = after_ruin(result.equity.equity, result.initial_cash)
    held = np.where(np.arange(len(kept)) < (len(kept) if ruin is None else ruin), result.equity.exposure, 0.0)
    time, equity = with_base(first, result.initial_cash, result.equity.time, kept)
    _, exposure = with_base(first, 0.0, result.equity.time, held)
    performance = measure(time, equity, exposure=exposure, trades=result.trades, hold=(hold.time, hold.value))
    return Backtest(
        subject=subject,
        timeframe=timeframe,
        start_ms=first,
        end_ms=int(result.equity.time[-1]),
        ruined_ms=None if ruin is None else int(result.equity.time[ruin]),
        time=time,
        equity=equity,
        exposure=exposure,
        asked_ms=(start_ms, end_ms),
        rules=rules,
        book=book,
        result=result,
        performance=performance,
        hold=hold,
        candles=candles,
        left_out={market.key: reason for market, reason in missing.items()},
        without_rules=tuple(market.key for market, series in found.items() if not series.rules),
        unjudged=sum(_unjudged(leg.signals) for leg in legs),
        inputs=tuple(sorted(ref for series in found.values() for ref in series.inputs)),
    )


def read_period(
    stores: Stores,
    lookback_rows: int,
    markets: Sequence[Market],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    *,
    rules: LegRules = DESK_RULES,
    skip_missing: bool = False,
) -> tuple[dict[Market, SeriesRead], dict[Market, str]]:
    """Return (what is stored of each market in the period, with history and finer candles as the rules ask, why one has none).

    Raises InvalidInput for a period that is empty or too large, InsufficientData as `backtest` does.
    """
    if not start_ms < end_ms:
        raise InvalidInput(f"the backtest begins at {iso(start_ms)} and must end later, was {iso(end_ms)}")
    chosen = list(dict.fromkeys(markets))
    if (end_ms - start_ms) // timeframe.milliseconds * len(chosen) > LARGEST_SERIES:
        raise InvalidInput(f"the period holds more than {LARGEST_SERIES:,} candles: choose a shorter one or a longer timeframe")
    finer = _finer(stores, timeframe) if rules.tie_rule == "finer" else None
    found, missing = read_series(stores, chosen, timeframe, start_ms, end_ms, lookback_rows=lookback_rows, finer=finer)
    if not found or (missing and not skip_missing):
        raise InsufficientData(_what_to_do(stores.settings, missing, timeframe, start_ms, end_ms))
    return found, missing


def hash_of_inputs(inputs: Sequence[InputRef]) -> str:
    """Return the SHA-256, in hexadecimal, of what was read."""
    return sha256("\n".join(f"{ref.asset} {ref.partition} {ref.content_hash}" for ref in inputs).encode()).hexdigest()


def judge(subject: StrategyInForce, series: SeriesRead) -> SignalColumns:
    """Return the signals of the candles inside the period, judged with the history before them."""
    return judge_period(subject.strategy, series.candles, series.first, series.indicators, series.warm)


def _leg(subject: StrategyInForce, series: SeriesRead, timeframe: Timeframe, rules: LegRules) -> Leg:
    spot = rules.leverage == 1 and not rules.short
    funding = None if spot else UNKNOWN_FUNDING
    market = MarketSeries(series.market.key, timeframe, series.period, series.rules, funding=funding, finer=series.finer)
    return Leg(subject.name, market, judge(subject, series), rules)


def _unjudged(signals: SignalColumns) -> int:
    reason = [place for place, words in enumerate(signals.reasons) if words == TOO_LITTLE_HISTORY]
    return int(np.isin(signals.reason_codes, reason).sum())


def _holding(time: np.ndarray, candles: Mapping[str, Candles], timeframe: Timeframe, start_ms: int) -> Curve:
    """Return the value of one coin of the quote put into each market alike at its first open and held; 1 at the start."""
    values = np.zeros(len(time))
    for each in candles.values():
        rows = np.searchsorted(each.open_time + timeframe.milliseconds, time, side="right") - 1
        values += np.where(rows < 0, 1.0, each.close[np.maximum(rows, 0)] / each.open[0])
    name = f"Holding {next(iter(candles))}" if len(candles) == 1 else f"Holding {len(candles)} markets alike"
    return Curve(name, np.concatenate(([start_ms], time)), np.concatenate(([1.0], values / len(candles))))


def _finer(stores: Stores, timeframe: Timeframe) -> Timeframe | None:
    """Return the desk's longest timeframe below one, None if it is the shortest."""
    smaller = [each for each in stores.settings.timeframe_list() if each.milliseconds < timeframe.milliseconds]
    return max(smaller, key=lambda each: each.milliseconds, default=None)


def _what_to_do(settings: Settings, missing: Mapping[Market, str], timeframe: Timeframe, start_ms: int, end_ms: int) -> str:
    named = ", ".join(market.key for market in missing)
    words = f"no {timeframe} candles of {named} are stored for {iso(start_ms)} to {iso(end_ms)}: "
    if timeframe.name not in settings.timeframes or not any(settings.is_desk_market(market) for market in missing):
        kept = f"{', '.join(settings.timeframes)} of {', '.join(each.key for each in settings.market_list())}"
        return f"{words}this desk loads {kept}; `fks import` brings those of files"
    return f"{words}`fks sync` loads the kept history, `fks backfill --from` an older one, `fks import` those of files"
