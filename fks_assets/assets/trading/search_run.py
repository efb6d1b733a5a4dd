"""A search of parameters at the desk: read the store, search, say what the best is worth, and record it for people to judge."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.assets.trading.backtest_run import hash_of_inputs, market_series, read_period
from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.assets.trading.series import SeriesRead
from fks_assets.assets.trading.standard import rules_of_markets
from fks_assets.clock import iso
from fks_assets.ids import document_hash
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.markets import Market
from fks_assets.quant.optimisation import Found, SearchRules, Told, search
from fks_assets.quant.performance_overfitting import shortest_backtest_years
from fks_assets.quant.search_evidence import Evidence, evidence_of
from fks_assets.quant.search_space import SearchSpace, search_space
from fks_assets.quant.search_trials import SearchedMarket, Stretch, Terms
from fks_assets.quant.timeframes import Timeframe
from fks_assets.quant.walk_forward import WalkForward, WindowRules, walk_forward, windows_of
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import InputRef
from fks_assets.stores.searches import SearchRecord, record_search


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What is searched on: the stored candles of a period with their history, how they are traded, and what was read.

    `stretch` is the part of the period that has candles; `left_out` says why a market that was asked for has none.
    """

    subject: StrategyInForce
    space: SearchSpace
    timeframe: Timeframe
    markets: tuple[SearchedMarket, ...]
    stretch: Stretch
    terms: Terms
    left_out: Mapping[str, str]
    inputs: tuple[InputRef, ...]

    @property
    def inputs_hash(self) -> str:
        """The SHA-256, in hexadecimal, of all that was read."""
        return hash_of_inputs(self.inputs)

    def document(self) -> dict[str, Any]:
        """Return what was searched on for a JSON document."""
        return {
            "strategy": self.subject.strategy.name,
            "code_version": self.subject.code_version,
            "timeframe": self.timeframe.name,
            "markets": [market.series.market for market in self.markets],
            "left_out": dict(self.left_out),
            "start": iso(self.stretch.start_ms),
            "end": iso(self.stretch.end_ms),
            "rules": self.terms.rules.model_dump(mode="json"),
            "book": self.terms.book.model_dump(mode="json"),
            "inputs_hash": self.inputs_hash,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """A search with what its best is worth. `best` is the strategy with the parameters found, None where none can be chosen."""

    ground: Ground
    found: Found
    evidence: Evidence
    best: StrategyInForce | None

    @property
    def content_hash(self) -> str:
        """The SHA-256, in hexadecimal, of everything that the search says."""
        return document_hash(self.document())

    def figures(self) -> dict[str, Any]:
        """Return what was searched and found for a JSON document, without the ground."""
        found, best = self.found, self.found.best
        return {
            **found.rules.model_dump(mode="json"),
            "trials": len(found.trials),
            **{state: found.count(state) for state in ("complete", "pruned", "unfit")},
            "exhausted": found.exhausted,
            "fold_starts": [iso(fold.start_ms) for fold in found.folds],
            "shortest_backtest_years": shortest_backtest_years(len(found.trials)),
            **found.space.document(),
            "best": None
            if best is None or self.best is None
            else {**best.document(), "parameters": self.best.parameters, "parameters_hash": self.best.parameters_hash},
            **self.evidence.document(),
        }

    def document(self) -> dict[str, Any]:
        """Return everything for a JSON document, every trial too, but for their daily returns."""
        tried = [trial.document() for trial in self.found.trials]
        return {**self.ground.document(), **self.figures(), "tried": tried}


def ground_of(
    stores: Stores,
    subject: StrategyInForce,
    markets: Sequence[Market],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    *,
    hold: Collection[str] = (),
    rules: LegRules | None = None,
    book: BookRules | None = None,
    skip_missing: bool = False,
) -> Ground:
    """Return what a search of a strategy in a period is made on; parameters in `hold` keep their values.

    Rules that are not given are those of the settings. Enough history is read for the longest of the strategies that may be
    tried. Raises InvalidInput and InsufficientData as `backtest` does, and InvalidInput when no parameter is left to search.
    """
    usual_rules, usual_book = rules_of_markets(stores.settings, markets)
    rules, book = rules or usual_rules, book or usual_book
    space = search_space(subject.strategy, hold)
    lookback = max(space.longest_lookback(), subject.strategy.lookback_rows)
    found, missing = read_period(stores, lookback, markets, timeframe, start_ms, end_ms, rules=rules, skip_missing=skip_missing)
    first = min(int(each.candles.open_time[each.first]) for each in found.values())
    last = max(int(each.candles.open_time[-1]) for each in found.values()) + timeframe.milliseconds
    return Ground(
        subject=subject,
        space=space,
        timeframe=timeframe,
        markets=tuple(_market(each, timeframe, rules) for each in found.values()),
        stretch=Stretch(max(start_ms, first), min(end_ms, last)),
        terms=Terms(rules, book),
        left_out={market.key: reason for market, reason in missing.items()},
        inputs=tuple(sorted({ref for each in found.values() for ref in each.inputs})),
    )


def search_parameters(ground: Ground, rules: SearchRules, *, workers: int = 1, told: Told | None = None) -> Searched:
    """Return a search on the whole ground; the parameters that the subject has now are the first trial."""
    own = ground.subject.strategy.parameters.model_dump(mode="json")
    found = search(ground.space, ground.markets, ground.stretch, ground.terms, rules, first=[own], workers=workers, told=told)
    evidence = evidence_of(found, ground.markets, ground.terms, workers=workers)
    best = None if found.best is None else ground.space.strategy_of(found.best.values)
    chosen = None if best is None else ground.subject.with_strategy(best)
    return Searched(ground, found, evidence, chosen)


def walk_through(
    ground: Ground, windows: WindowRules, rules: SearchRules, *, workers: int = 1, told: Told | None = None
) -> WalkForward:
    """Return the walk-forward test of searching on this ground."""
    return walk_forward(
        ground.space, ground.markets, windows_of(ground.stretch, windows), ground.terms, rules, workers=workers, told=told
    )


def walk_document(walked: WalkForward, windows: WindowRules) -> dict[str, Any]:
    """Return a walk-forward test for a JSON document."""
    figures = ("total_return_pct", "cagr_pct", "sharpe", "max_drawdown_pct")
    return {
        **windows.model_dump(mode="json"),
        "step_days": windows.step,
        **walked.together.document(),
        **{name: getattr(walked.performance, name) for name in figures},
        "outcomes": [
            {
                "in_start": iso(each.window.inside.start_ms),
                "out_start": iso(each.window.outside.start_ms),
                "out_end": iso(each.window.outside.end_ms),
                "parameters": None if each.values is None else dict(each.values),
                "in_sample_annual_pct": each.annual_pct("inside"),
                "out_of_sample_annual_pct": each.annual_pct("outside"),
                "return_pct": each.gain * 100,
                "trades": each.trades,
                "ruined": each.ruined,
            }
            for each in walked.windows
        ],
    }


def keep_search(
    connection: sa.Connection, searched: Searched, name: str, *, run_id: str, walked: Mapping[str, Any] | None = None
) -> None:
    """Record a search for the parameter set `name` in the caller's transaction, with a walk-forward test made beside it.

    Nothing that is in force changes by it.
    """
    document = {**searched.document(), "walk_forward": None if walked is None else dict(walked)}
    record_search(
        connection,
        SearchRecord(
            name=name,
            strategy=searched.ground.subject.strategy.name,
            document=document,
            code_version=searched.ground.subject.code_version,
            parameters_hash=None if searched.best is None else searched.best.parameters_hash,
            content_hash=searched.content_hash if walked is None else document_hash(document),
            run_id=run_id,
        ),
    )


def _market(read: SeriesRead, timeframe: Timeframe, rules: LegRules) -> SearchedMarket:
    series = market_series(read, timeframe, rules, whole=True)
    return SearchedMarket(series, dict(read.indicators), read.warm)
