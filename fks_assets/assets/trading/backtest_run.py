"""A backtest at the desk: read the store, let the strategy judge, run the book, measure it against holding the same markets."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from fks_assets.assets.trading.coverage import coverage_notes
from fks_assets.assets.trading.funding_read import owes_funding
from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.assets.trading.measuring import Measured, measured
from fks_assets.assets.trading.series import SeriesRead, read_series
from fks_assets.assets.trading.standard import rules_of_markets
from fks_assets.clock import iso
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.ids import document_hash
from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import BacktestResult
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.candles import Candles
from fks_assets.quant.counting import counted
from fks_assets.quant.funding import known_pct
from fks_assets.quant.markets import Market
from fks_assets.quant.search_trials import judge_period
from fks_assets.quant.strategies.base import TOO_LITTLE_HISTORY, SignalColumns
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import InputRef

LARGEST_SERIES = 5_000_000


@dataclass(frozen=True, slots=True, eq=False)
class BookBacktest(Measured, ABC):
    """What the backtest of one book gave: trades and equity (`result`), its course, and what it was made from.

    It lies within `asked_ms`; `candles` are those of the period by market; `left_out` says why a market that was asked for is
    not in it; of the markets in `without_rules` no trading rules are stored; `unjudged` counts the candles of all legs that had
    too little history before them to be judged.
    """

    timeframe: Timeframe
    asked_ms: tuple[int, int]
    book: BookRules
    result: BacktestResult
    candles: Mapping[str, Candles]
    left_out: Mapping[str, str]
    without_rules: tuple[str, ...]
    unjudged: int
    inputs: tuple[InputRef, ...]

    @property
    @abstractmethod
    def name(self) -> str:
        """What was tested, in words."""

    @property
    @abstractmethod
    def history_needed(self) -> str:
        """How many candles what was tested needs before one that it judges, in words."""

    @abstractmethod
    def outcome(self) -> dict[str, Any]:
        """Return rules, period and figures for a JSON document, without what was read."""

    @property
    def own_notes(self) -> list[str]:
        """What a reader has to know of this kind of backtest, before what holds for every book."""
        return []

    @property
    @abstractmethod
    def tie_rules(self) -> frozenset[str]:
        """The rules by which its legs decide ties, see `LegRules.tie_rule`."""

    @property
    def _tie_note(self) -> str:
        ties, finer = self.result.ambiguous_candles, self.result.decided_by_finer
        names = {"optimistic" if rule == "optimistic" else "pessimistic" for rule in self.tie_rules}
        rule = f"the {names.pop()} rule" if len(names) == 1 else "the tie rules of their legs"
        asked = "finer" in self.tie_rules
        decided = f"finer candles decided {finer:,} of them, {rule} {ties - finer:,}" if asked else f"{rule} decided them"
        return f"{ties:,} candles reached both the stop and the target, or a stop that they had trailed themselves; {decided}."

    @property
    def fee_words(self) -> str:
        """The fees that were charged, by market where they differ."""
        words = {
            market: ", then ".join(f"maker {100 * each.maker:g} %, taker {100 * each.taker:g} %" for each in charged)
            for market, charged in self.result.fees.items()
        }
        if len(set(words.values())) == 1:
            return next(iter(words.values()))
        return "; ".join(f"{market}: {fees}" for market, fees in words.items())

    @property
    def is_simulated(self) -> bool:
        """Whether its candles are those of the simulated exchange."""
        return any("@simulated|" in ref.partition for ref in self.inputs)

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
        result, notes = self.result, self.own_notes
        if self.ruined_ms is not None:
            left = float(result.equity.equity[result.equity.time == self.ruined_ms][0])
            notes.append(
                f"The account was ruined at {iso(self.ruined_ms)}: its equity fell to {left:,.2f}; it counts as lost from there."
            )
        notes += coverage_notes(self.candles, self.timeframe, self.asked_ms)
        if self.unjudged:
            count = sum(map(len, self.candles.values())) * len(result.strategies)
            notes.append(
                f"{self.unjudged:,} of {count:,} candles were not judged, as too few were stored before them: "
                f"{self.history_needed}."
            )
        if result.ambiguous_candles:
            notes.append(self._tie_note)
        if self.funding_known_pct is not None:
            due, unknown = (sum(getattr(leg, f"funding_{name}") for leg in result.legs) for name in ("due", "unknown"))
            zero = f", as the {unknown:,} without a stored rate count as 0" if unknown else ""
            notes.append(
                f"{known_pct(due - unknown, due)} % of the funding is known: positions short or with leverage were held through "
                f"{due:,} fundings and paid {self.performance.funding_paid or 0:,.2f}{zero}."
            )
        early = sum(leg.before_rules for leg in result.legs)
        if early:
            notes.append(f"{early:,} fills lie before the first known trading rules of their market, which were applied.")
        if self.without_rules:
            named = ", ".join(self.without_rules)
            notes.append(f"No trading rules are stored of {named}: no tick, lot or smallest order was applied.")
        if result.parts_skipped:
            notes.append(f"{result.parts_skipped:,} partial exits were left out: they were below the market's smallest order.")
        for reason, count in result.refused.items():
            notes.append(f"{counted(count, 'signal')} gave no position: {reason.words}.")
        notes += [f"{market} is left out: {reason}." for market, reason in self.left_out.items()]
        return notes

    def book_outcome(self) -> dict[str, Any]:
        """Return the period and the figures of the book for a JSON document."""
        return {
            "timeframe": self.timeframe.name,
            "markets": list(self.result.markets),
            "left_out": dict(self.left_out),
            "start": iso(self.start_ms),
            "end": iso(self.end_ms),
            "book": self.book.model_dump(mode="json"),
            "fees": {market: [asdict(each) for each in charged] for market, charged in self.result.fees.items()},
            "metrics": self.performance.document(),
            "candles_unjudged": self.unjudged,
            "signals_refused": {reason.name.lower(): count for reason, count in self.result.refused.items()},
            "ambiguous_candles": self.result.ambiguous_candles,
            "decided_by_finer": self.result.decided_by_finer,
            "partial_exits_skipped": self.result.parts_skipped,
            "funding_known_pct": self.funding_known_pct,
            "order_list_hash": self.result.order_list_hash,
            "ruined_at": iso(self.ruined_ms),
        }

    def document(self) -> dict[str, Any]:
        """Return everything but the curves for a JSON document."""
        return {**self.outcome(), "content_hash": self.content_hash, "inputs_hash": self.inputs_hash}


@dataclass(frozen=True, slots=True, eq=False)
class Backtest(BookBacktest):
    """The backtest of one strategy on all its markets, each traded by the same `rules`."""

    subject: StrategyInForce
    rules: LegRules

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def tie_rules(self) -> frozenset[str]:
        return frozenset({self.rules.tie_rule})

    @property
    def history_needed(self) -> str:
        return f"{self.subject.name} needs {self.subject.strategy.lookback_rows:,}"

    def outcome(self) -> dict[str, Any]:
        return {**self.subject.document(), "rules": self.rules.model_dump(mode="json"), **self.book_outcome()}


def backtest(
    stores: Stores,
    subject: StrategyInForce,
    markets: Sequence[Market],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    *,
    rules: LegRules | None = None,
    book: BookRules | None = None,
    skip_missing: bool = False,
) -> Backtest:
    """Return the backtest of a strategy over all markets in one book, on the candles that open in [start_ms, end_ms).

    Rules that are not given are those of the settings. Signals come from the candles before the period on, so the first candle
    inside may act. Trading rules are those in force at each fill. Raises InvalidInput for markets of several quote coins,
    InsufficientData where candles are missing, of any market or with `skip_missing` of all.
    """
    usual_rules, usual_book = rules_of_markets(stores.settings, markets)
    rules, book = rules or usual_rules, book or usual_book
    lookback = subject.strategy.lookback_rows
    found, missing = read_period(stores, lookback, markets, timeframe, start_ms, end_ms, rules=rules, skip_missing=skip_missing)
    legs = tuple(
        Leg(subject.name, market_series(series, timeframe, rules), judge(subject, series), rules) for series in found.values()
    )
    result = run_backtest(Book(legs, book))
    candles = {leg.series.market: leg.series.candles for leg in legs}
    return Backtest(
        **measured(result, candles, timeframe).parts(),
        subject=subject,
        timeframe=timeframe,
        asked_ms=(start_ms, end_ms),
        rules=rules,
        book=book,
        result=result,
        candles=candles,
        left_out={market.key: reason for market, reason in missing.items()},
        without_rules=tuple(market.key for market, series in found.items() if not series.rules),
        unjudged=sum(unjudged(leg.signals) for leg in legs),
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
    rules: LegRules | Collection[LegRules],
    skip_missing: bool = False,
) -> tuple[dict[Market, SeriesRead], dict[Market, str]]:
    """Return (what is stored of each market in the period, why one has none).

    With it come history, and finer candles and funding rates if the rules, or any of them, ask for them. Raises InvalidInput for
    a period that is empty or too large, InsufficientData as `backtest` does.
    """
    if not start_ms < end_ms:
        raise InvalidInput(f"the backtest begins at {iso(start_ms)} and must end later, was {iso(end_ms)}")
    chosen = list(dict.fromkeys(markets))
    if (end_ms - start_ms) // timeframe.milliseconds * len(chosen) > LARGEST_SERIES:
        raise InvalidInput(f"the period holds more than {LARGEST_SERIES:,} candles: choose a shorter one or a longer timeframe")
    ways = [rules] if isinstance(rules, LegRules) else rules
    finer, funding = any(way.tie_rule == "finer" for way in ways), any(map(owes_funding, ways))
    found, missing = read_series(
        stores, chosen, timeframe, start_ms, end_ms, lookback_rows=lookback_rows, finer=finer, funding=funding
    )
    if not found or (missing and not skip_missing):
        raise InsufficientData(_what_to_do(stores.settings, missing, timeframe, start_ms, end_ms))
    return found, missing


def hash_of_inputs(inputs: Sequence[InputRef]) -> str:
    """Return the SHA-256, in hexadecimal, of what was read."""
    return sha256("\n".join(f"{ref.asset} {ref.partition} {ref.content_hash}" for ref in inputs).encode()).hexdigest()


def judge(subject: StrategyInForce, series: SeriesRead) -> SignalColumns:
    """Return the signals of the candles inside the period, judged with the history before them."""
    return judge_period(subject.strategy, series.candles, series.first, series.indicators, series.warm)


def market_series(series: SeriesRead, timeframe: Timeframe, rules: LegRules, *, whole: bool = False) -> MarketSeries:
    """Return what was read of a market as a book takes it; with `whole` the candles before the period too.

    By rules that are short or have leverage it owes funding.
    """
    candles, funding = series.candles if whole else series.period, series.funding if owes_funding(rules) else None
    return MarketSeries(series.market.key, timeframe, candles, series.rules, funding=funding, finer=series.finer)


def unjudged(signals: SignalColumns) -> int:
    """Return how many candles had too little history before them to be judged."""
    reason = [place for place, words in enumerate(signals.reasons) if words == TOO_LITTLE_HISTORY]
    return int(np.isin(signals.reason_codes, reason).sum())


def _what_to_do(settings: Settings, missing: Mapping[Market, str], timeframe: Timeframe, start_ms: int, end_ms: int) -> str:
    named = ", ".join(market.key for market in missing)
    words = f"no {timeframe} candles of {named} are stored for {iso(start_ms)} to {iso(end_ms)}: "
    if timeframe.name not in settings.timeframes or not any(settings.is_desk_market(market) for market in missing):
        kept = f"{', '.join(settings.timeframes)} of {', '.join(each.key for each in settings.market_list())}"
        return f"{words}this desk loads {kept}; `fks import` brings those of files"
    return f"{words}`fks sync` loads the kept history, `fks backfill --from` an older one, `fks import` those of files"
