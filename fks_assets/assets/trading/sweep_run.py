"""A grid of parameters and rules at the desk: read the store, sweep every market, choose, and say what the best is worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic.fields import FieldInfo

from fks_assets.assets.trading.backtest_run import Backtest, backtest, judge, market_series, read_period
from fks_assets.assets.trading.funding_read import owes_funding
from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.assets.trading.series import SeriesRead
from fks_assets.assets.trading.standard import rules_of_markets
from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.named_rules import rules_from
from fks_assets.quant.backtest.rules import BookRules, LegRules, Sizing
from fks_assets.quant.backtest.sweep import sweep
from fks_assets.quant.markets import Market
from fks_assets.quant.optimisation import checked_workers
from fks_assets.quant.performance_series import daily_curve
from fks_assets.quant.performance_statistics import DAYS_PER_YEAR
from fks_assets.quant.search_evidence import deflated_by_quartiles
from fks_assets.quant.strategies.base import SignalColumns, Strategy, read_parameters
from fks_assets.quant.strategies.lending import LentColumns
from fks_assets.quant.sweep_axes import OF_RULES, Axis, read_axis
from fks_assets.quant.sweep_grid import Combination, Grid, GridRules, Plateau, Ranking, Values, grid_of, plateau_of, ranked
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

OF_SIZING = "sizing."


@dataclass(frozen=True, slots=True, eq=False)
class MarketSwept:
    """What every combination of a grid gave on one market: a float64 column by each figure of a sweep, and bool `ruined`."""

    market: str
    figures: Mapping[str, np.ndarray]
    ruined: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """A grid that was run, each market by itself, and what its best is worth.

    `best` is the strategy of the best combination, None where none may be chosen. `test` is the backtest of the first one in the
    order of the ranking, so of the best if there is one, over all markets in one book. `deflated_sharpe` counts every combination
    as an independent try; their ratios are the medians over the markets.
    """

    subject: StrategyInForce
    grid: Grid
    rules: GridRules
    markets: tuple[MarketSwept, ...]
    ranking: Ranking
    best: StrategyInForce | None
    test: Backtest
    deflated_sharpe: float | None
    plateau: Plateau | None

    def row(self, row: int) -> dict[str, Any]:
        """Return one combination for a JSON document; `rank` counts from 1, None for one that may not be chosen."""
        ranking = self.ranking
        return {
            "number": row,
            "rank": int(ranking.rank[row]) or None,
            "values": self.grid.values(row),
            "score": float(ranking.score[row]),
            "lowest": float(ranking.lowest[row]),
            "trades": float(ranking.trades[row]),
            "ruined": any(bool(each.ruined[row]) for each in self.markets),
            "markets": {
                each.market: {name: float(column[row]) for name, column in each.figures.items()} for each in self.markets
            },
        }

    def document(self, top: int) -> dict[str, Any]:
        """Return the sweep for a JSON document with the best `top` rows; NaN where a figure is not defined."""
        best = self.ranking.best
        return {
            **self.rules.model_dump(mode="json"),
            "axes": [{"name": axis.name, "values": list(axis.values)} for axis in self.grid.axes],
            "combinations": len(self.grid),
            "refused": self.grid.refused,
            "fit": int(self.ranking.fit.sum()),
            "markets": [each.market for each in self.markets],
            "best": None
            if best is None or self.best is None
            else {**self.row(best), "parameters": self.best.parameters, "parameters_hash": self.best.parameters_hash},
            "deflated_sharpe": self.deflated_sharpe,
            "plateau": None if self.plateau is None else self.plateau.document(),
            "rows": [self.row(int(row)) for row in self.ranking.order[:top]],
        }


def axes_of(texts: Mapping[str, str], strategy: Strategy[Any]) -> tuple[Axis, ...]:
    """Return the axes by name: parameters of a strategy, and trading rules of a leg as `rules.stop_percent`.

    Raises InvalidInput for an unknown name with those that are known, and as `read_axis`.
    """
    known = _swept_fields(strategy)
    for name in texts:
        if name not in known:
            raise InvalidInput(f"sweep {name!r}: unknown; {strategy.name} and its trading rules have {', '.join(known)}")
    return tuple(read_axis(name, text, known[name]) for name, text in texts.items())


def sweep_grid(
    stores: Stores,
    subject: StrategyInForce,
    markets: Sequence[Market],
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    axes: Sequence[Axis],
    rules: GridRules,
    *,
    held: Values | None = None,
    held_rules: Mapping[str, Any] | None = None,
    workers: int = 1,
    skip_missing: bool = False,
) -> Swept:
    """Return every combination of the axes, run on each market by itself over the candles that open in [start_ms, end_ms).

    Each row has the figures that `backtest` gives for those parameters and rules on that market. `held` are parameters that all
    have instead of the subject's, `held_rules` trading rules by name, known to `rule_options`; neither has to be sound without
    the values of the axes. Raises as `grid_of` and `backtest` do, InvalidInput for bad `workers` and an axis that is held.
    """
    checked_workers(workers)
    held, held_rules = held or {}, held_rules or {}
    for axis in axes:
        given = held_rules if axis.of_rules else held
        if axis.field in given:
            raise InvalidInput(f"sweep {axis.name}: it is held at {given[axis.field]!r} too: give one of them")
    usual = rules_of_markets(stores.settings, markets)
    grid = grid_of(
        axes,
        lambda values: _strategy(subject, {**held, **values}),
        lambda values: rules_from({**held_rules, **values}, *usual)[0],
    )
    # No axis is a rule of the book: it is the same for all.
    _, book = rules_from({**held_rules, **_of_rules(grid.values(0))}, *usual)
    lookback = max(strategy.lookback_rows for strategy in grid.strategies)
    found, _ = read_period(stores, lookback, markets, timeframe, start_ms, end_ms, rules=grid.rules, skip_missing=skip_missing)
    swept = tuple(_sweep_market(subject, grid, series, timeframe, book, workers) for series in found.values())
    matrices = {name: np.array([each.figures[name] for each in swept]) for name in swept[0].figures}
    ranking = ranked(matrices[rules.figure], matrices["total_trades"], np.array([each.ruined for each in swept]), rules)
    best, first = ranking.best, grid.combinations[int(ranking.order[0])]
    shown, shown_rules = _named(subject, grid.strategies[first.strategy]), grid.rules[first.rules]
    period = (markets, timeframe, start_ms, end_ms)
    test = backtest(stores, shown, *period, rules=shown_rules, book=book, skip_missing=skip_missing)
    return Swept(
        subject=subject,
        grid=grid,
        rules=rules,
        markets=swept,
        ranking=ranking,
        best=None if best is None else shown,
        test=test,
        deflated_sharpe=None if best is None else _deflated(test, matrices["sharpe"]),
        plateau=None if best is None else plateau_of(grid, ranking, best, rules),
    )


def _swept_fields(strategy: Strategy[Any]) -> dict[str, FieldInfo]:
    own = type(strategy.parameters).model_fields
    ruled = {name: field for name, field in LegRules.model_fields.items() if name not in ("sizing", "partial_exits")}
    sized = {f"{OF_SIZING}{name}": field for name, field in Sizing.model_fields.items()}
    return {**own, **{f"{OF_RULES}{name}": field for name, field in {**ruled, **sized}.items()}}


def _of_rules(values: Values) -> dict[str, Any]:
    return {name.removeprefix(OF_RULES): value for name, value in values.items() if name.startswith(OF_RULES)}


def _strategy(subject: StrategyInForce, values: Values) -> Strategy[Any]:
    own = subject.strategy
    changed = {**own.parameters.model_dump(), **values}
    return type(own)(read_parameters(own.name, type(own.parameters), changed))


def _named(subject: StrategyInForce, strategy: Strategy[Any]) -> StrategyInForce:
    return subject.with_strategy(strategy)


def _sweep_market(
    subject: StrategyInForce, grid: Grid, read: SeriesRead, timeframe: Timeframe, book: BookRules, workers: int
) -> MarketSwept:
    # One series for all rules that owe funding, one for all that owe none.
    ways = {owes_funding(rules): rules for rules in grid.rules}
    series_of = {owes: market_series(read, timeframe, rules) for owes, rules in ways.items()}
    lent = replace(read, indicators=LentColumns(read.candles, read.indicators, read.warm))

    def signals_of(combination: Combination) -> SignalColumns:
        return judge(_named(subject, grid.strategies[combination.strategy]), lent)

    figures: dict[str, np.ndarray] = {}
    ruined = np.zeros(len(grid), np.bool_)
    owing = np.array([owes_funding(grid.rules[combination.rules]) for combination in grid.combinations])
    for owes, series in series_of.items():
        rows = np.flatnonzero(owing == owes)
        result = sweep(
            series,
            [grid.combinations[row] for row in rows.tolist()],
            signals_of,
            rules_of=lambda combination: grid.rules[combination.rules],
            shared=lambda combination: combination.strategy,
            book=book,
            strategy=subject.name,
            workers=workers,
        )
        for name, column in result.figures.items():
            figures.setdefault(name, np.empty(len(grid)))[rows] = column
        ruined[rows] = result.ruined
    return MarketSwept(read.market.key, figures, ruined)


def _deflated(test: Backtest, sharpes: np.ndarray) -> float | None:
    returns = daily_curve(test.time, test.equity).returns
    ratios = np.median(np.nan_to_num(sharpes), axis=0) / math.sqrt(DAYS_PER_YEAR)
    return deflated_by_quartiles(returns, ratios, len(ratios))
