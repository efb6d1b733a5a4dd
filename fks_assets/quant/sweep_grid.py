"""A grid of parameters and trading rules: its axes, its combinations, which of them is best, and what lies one step beside it.

A combination that the strategy's model or the rules refuse as a whole (a fast mean above a slow one) is no part of the grid; it
is only counted. A value that its own field refuses is an error of whoever typed it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.rules import LegRules, Rules
from fks_assets.quant.strategies.base import Strategy
from fks_assets.quant.sweep_axes import MOST_COMBINATIONS, Axis, Value

OBJECTIVES = {"sharpe": "sharpe", "return": "total_return_pct", "profit_factor": "profit_factor"}
# What an objective is for a strategy that neither gains nor loses, where that is not 0.
BREAK_EVEN = {"profit_factor": 1.0}

Values = Mapping[str, Value]


class GridRules(Rules):
    """How the best of a grid is chosen: the highest `objective` of those with `least_trades` whole trades or more."""

    objective: Literal["sharpe", "return", "profit_factor"] = "sharpe"
    least_trades: int = Field(10, ge=1, le=1_000_000)

    @property
    def figure(self) -> str:
        """The objective's name among the figures of a sweep."""
        return OBJECTIVES[self.objective]

    @property
    def break_even(self) -> float:
        """The objective of a strategy that neither gains nor loses."""
        return BREAK_EVEN.get(self.objective, 0.0)


class Combination(NamedTuple):
    """One combination: the place of its value on each axis, and which of the grid's strategies and rules it has."""

    places: tuple[int, ...]
    strategy: int
    rules: int


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Every combination that may be run, the last axis fastest. `refused` counts those that may not."""

    axes: tuple[Axis, ...]
    strategies: tuple[Strategy[Any], ...]
    rules: tuple[LegRules, ...]
    combinations: tuple[Combination, ...]
    refused: int

    def __len__(self) -> int:
        return len(self.combinations)

    def values(self, row: int) -> dict[str, Value]:
        """Return the value on each axis of the combination in a row."""
        places = self.combinations[row].places
        return {axis.name: axis.values[place] for axis, place in zip(self.axes, places, strict=True)}


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The combinations of a grid by their objective, one value a combination in each column.

    `score`: the median of the objective over the markets, NaN where it is not defined; a market in which it is not defined counts
    as the lowest. `lowest`: the objective in the worst market. `trades`: the median of the whole trades. `fit`: may be chosen.
    `order`: the rows that are fit by descending score, the first of equal ones first, then all others. `rank`: the place in it
    from 1 on, 0 for one that may not be chosen.
    """

    score: np.ndarray
    lowest: np.ndarray
    trades: np.ndarray
    fit: np.ndarray
    order: np.ndarray
    rank: np.ndarray

    @property
    def best(self) -> int | None:
        """The row that is chosen, None where none may be."""
        return int(self.order[0]) if self.fit.any() else None


class Step(NamedTuple):
    """A combination beside another: the value that one axis has instead, and its score, NaN where it may not be chosen."""

    axis: str
    value: Value
    score: float


@dataclass(frozen=True, slots=True)
class Plateau:
    """How much of the best's objective is left one step along each axis.

    `share`: what the median of the steps has above break-even ÷ what the best has, from 0 (nothing, or a loss) to 1 (all of it,
    or more). A step that may not be chosen counts as break-even. None where the best is not above it, or has no step beside it.
    `edges`: the axes of numbers at an end of which the best lies; what comes after it was not tried.
    """

    share: float | None
    median: float | None
    worst: float | None
    steps: tuple[Step, ...]
    edges: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it for a JSON document."""
        return {
            "share": self.share,
            "median": self.median,
            "worst": self.worst,
            "steps": [step._asdict() for step in self.steps],
            "edges": list(self.edges),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The part of a grid that two axes span, the others at the best's values; `across` alone where the grid has one axis.

    `rows` int64, down × across, are those of the grid, -1 where a combination was refused. `best` is the place of the best.
    """

    down: Axis | None
    across: Axis
    rows: np.ndarray
    best: tuple[int, int]
    held: Values


def grid_of(axes: Sequence[Axis], strategy_of: Callable[[Values], Strategy[Any]], rules_of: Callable[[Values], LegRules]) -> Grid:
    """Return the grid of all combinations that `strategy_of` and `rules_of` take; they raise InvalidInput for others.

    Each is called once for the values of its own axes, by field. Raises InvalidInput for an axis given twice, for more than
    100,000 combinations, and when every one is refused.
    """
    names = [axis.name for axis in axes]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"sweep {name} is given twice")
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST_COMBINATIONS:
        raise InvalidInput(f"sweep: {count:,} combinations are above the bound of {MOST_COMBINATIONS:,}: sweep fewer values")
    strategies = _Made(axes, strategy_of, of_rules=False)
    rules = _Made(axes, rules_of, of_rules=True)
    combinations = []
    for places in product(*(range(len(axis.values)) for axis in axes)):
        strategy, rule = strategies.place(places), rules.place(places)
        if strategy is not None and rule is not None:
            combinations.append(Combination(places, strategy, rule))
    if not combinations:
        why = strategies.refusal or rules.refusal
        raise InvalidInput(f"sweep: every one of {count:,} combinations is refused, the first as {why}")
    return Grid(tuple(axes), tuple(strategies.made), tuple(rules.made), tuple(combinations), count - len(combinations))


def ranked(objective: np.ndarray, trades: np.ndarray, ruined: np.ndarray, rules: GridRules) -> Ranking:
    """Return the order of combinations, given three matrices of markets × combinations: the objective with NaN where it is not
    defined, whole trades, and where the account was lost.
    """
    known = np.where(np.isnan(objective), -np.inf, objective)
    middle, lowest, usual = np.median(known, axis=0), known.min(axis=0), np.median(trades, axis=0)
    fit = np.isfinite(middle) & (usual >= rules.least_trades) & ~ruined.any(axis=0)
    order = np.lexsort((-middle, ~fit))
    rank = np.zeros(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    score, worst = (np.where(np.isneginf(column), np.nan, column) for column in (middle, lowest))
    return Ranking(score, worst, usual, fit, order, np.where(fit, rank, 0))


def plateau_of(grid: Grid, ranking: Ranking, row: int, rules: GridRules) -> Plateau:
    """Return how a combination stands among those one step beside it; combinations that were refused are none of them."""
    at = {combination.places: place for place, combination in enumerate(grid.combinations)}
    steps = []
    for axis, places in _moved(grid, row):
        beside = at.get(places)
        if beside is not None:
            score = float(ranking.score[beside]) if ranking.fit[beside] else math.nan
            steps.append(Step(grid.axes[axis].name, grid.axes[axis].values[places[axis]], score))
    edges = tuple(
        axis.name for axis, place in zip(grid.axes, grid.combinations[row].places, strict=True) if len(axis.beside(place)) == 1
    )
    if not steps:
        return Plateau(None, None, None, (), edges)
    even, own = rules.break_even, float(ranking.score[row])
    scores = [even if math.isnan(step.score) else step.score for step in steps]
    median = float(np.median(scores))
    share = min(1.0, max(0.0, (median - even) / (own - even))) if own > even else None
    return Plateau(share, median, min(scores), tuple(steps), edges)


def plane_of(grid: Grid, row: int) -> Plane:
    """Return the plane through a combination that the first two axes with more than one value span, the longer one across."""
    own = grid.combinations[row].places
    places = sorted(range(len(grid.axes)), key=lambda place: len(grid.axes[place].values) == 1)[:2]
    *rest, across = sorted(places, key=lambda place: len(grid.axes[place].values))
    down = rest[0] if rest else None
    rows = np.full((1 if down is None else len(grid.axes[down].values), len(grid.axes[across].values)), -1, np.int64)
    for place, combination in enumerate(grid.combinations):
        if all(combination.places[axis] == own[axis] for axis in range(len(own)) if axis not in places):
            rows[0 if down is None else combination.places[down], combination.places[across]] = place
    held = {name: value for axis, (name, value) in enumerate(grid.values(row).items()) if axis not in places}
    best = 0 if down is None else own[down], own[across]
    return Plane(None if down is None else grid.axes[down], grid.axes[across], rows, best, held)


class _Made:
    """Strategies or rules by the places of the axes that they hang on, each made once; `refusal`: why the first was not."""

    def __init__(self, axes: Sequence[Axis], make: Callable[[Values], Any], *, of_rules: bool) -> None:
        self._axes = [(place, axis) for place, axis in enumerate(axes) if axis.of_rules == of_rules]
        self._make = make
        self._known: dict[tuple[int, ...], int | None] = {}
        self.made: list[Any] = []
        self.refusal = ""

    def place(self, places: tuple[int, ...]) -> int | None:
        """Return which one belongs to a combination, None where it is refused."""
        own = tuple(places[place] for place, _ in self._axes)
        if own not in self._known:
            self._known[own] = self._new({axis.field: axis.values[places[place]] for place, axis in self._axes})
        return self._known[own]

    def _new(self, values: Values) -> int | None:
        try:
            self.made.append(self._make(values))
        except InvalidInput as error:
            self.refusal = self.refusal or str(error)
            return None
        return len(self.made) - 1


def _moved(grid: Grid, row: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (axis, places) one step along each axis from a combination."""
    own = grid.combinations[row].places
    for axis, place in enumerate(own):
        for beside in grid.axes[axis].beside(place):
            yield axis, (*own[:axis], beside, *own[axis + 1 :])
