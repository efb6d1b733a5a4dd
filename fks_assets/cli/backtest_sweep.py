"""The sweeping half of `fks backtest`: --sweep, --top and --csv."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fks_assets.cli.backtest_search import require_none
from fks_assets.errors import InvalidInput

if TYPE_CHECKING:
    from fks_assets.assets.trading.in_force import StrategyInForce
    from fks_assets.assets.trading.sweep_run import Swept
    from fks_assets.quant.markets import Market
    from fks_assets.quant.sweep_grid import GridRules
    from fks_assets.quant.timeframes import Timeframe
    from fks_assets.resources.stores import Stores

USUAL_TOP = 20
SHOWN = ("total_return_pct", "max_drawdown_pct", "sharpe", "profit_factor", "win_rate_pct")


@dataclass(frozen=True, slots=True)
class SweepWanted:
    """What was asked for: the values of each axis as they were typed, how the best is chosen, and what is shown and written."""

    axes: Mapping[str, str]
    rules: "GridRules"
    workers: int
    top: int
    csv: Path | None

    def run(
        self,
        stores: "Stores",
        subject: "StrategyInForce",
        markets: "Sequence[Market]",
        timeframe: "Timeframe",
        start_ms: int,
        end_ms: int,
        held: Mapping[str, Any],
        held_rules: Mapping[str, Any],
        *,
        skip_missing: bool,
    ) -> "SweepAnswer":
        """Sweep with the values of --set (`held`) and --rule (`held_rules`) for all. Nothing is stored or changed."""
        from fks_assets.assets.trading.sweep_run import axes_of, sweep_grid

        swept = sweep_grid(
            stores,
            subject,
            markets,
            timeframe,
            start_ms,
            end_ms,
            axes_of(self.axes, subject.strategy),
            self.rules,
            held=held,
            held_rules=held_rules,
            workers=self.workers,
            skip_missing=skip_missing,
        )
        return SweepAnswer(swept, self.top, self.csv)


@dataclass(frozen=True, slots=True)
class SweepAnswer:
    """What the sweep gave, for people, for JSON and for the tear sheet."""

    swept: "Swept"
    top: int
    csv: Path | None

    @property
    def notes(self) -> list[str]:
        """What a reader of the backtest has to know of the sweep, in sentences."""
        swept, best = self.swept, self.swept.ranking.best
        grid = f"a grid of {len(swept.grid):,} combinations of {', '.join(axis.name for axis in swept.grid.axes)}"
        if best is None or swept.plateau is None:
            return [f"No combination of {grid} can be chosen: this is the first of them."]
        notes = [
            f"These parameters and rules are the best of {grid}: deflated Sharpe {_two_digits(swept.deflated_sharpe)}, plateau "
            f"{_two_digits(swept.plateau.share)}."
        ]
        if swept.ranking.score[best] <= swept.rules.break_even:
            notes.append(
                f"No combination gained: {swept.rules.objective} {_number(float(swept.ranking.score[best]))} is the best."
            )
        if swept.plateau.edges:
            notes.append(f"They lie at the edge of the grid in {', '.join(swept.plateau.edges)}: beyond it nothing was tried.")
        return notes

    @property
    def pictures(self) -> list[tuple[str, str, str]]:
        """The heat map through the best, as a tear sheet takes it."""
        from fks_assets.quant.performance import FIGURES
        from fks_assets.quant.sweep_charts import heat_map, heat_map_words
        from fks_assets.quant.sweep_grid import plane_of

        swept, best = self.swept, self.swept.ranking.best
        if best is None:
            return []
        plane = plane_of(swept.grid, best)
        over = f", median of {len(swept.markets)} markets" if len(swept.markets) > 1 else ""
        figure = FIGURES[swept.rules.figure]
        heading = f"Grid: {figure.label}{', %' if figure.unit == '%' else ''}{over}"
        drawn = heat_map(plane, swept.ranking, break_even=swept.rules.break_even, label=heading)
        return [(heading, drawn, heat_map_words(plane))]

    def document(self) -> dict[str, Any]:
        """Return the part that a sweep adds to the document of a backtest."""
        return {"sweep": {**self.swept.document(self.top), "csv": None if self.csv is None else str(self.csv)}}

    def write(self) -> None:
        """Write every combination with every figure of every market, in full precision; do nothing without --csv."""
        if self.csv is None:
            return
        try:
            with self.csv.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(_lines(self.swept))
        except OSError as error:
            raise InvalidInput(f"--csv {self.csv}: cannot be written: {error.strerror}") from None


def sweep_wanted(
    texts: Sequence[str],
    *,
    optimize: int | None,
    walk_forward: bool,
    searching: Mapping[str, Any],
    choosing: Mapping[str, Any],
    workers: int | None,
    top: int | None,
    csv: Path | None,
) -> SweepWanted | None:
    """Return what the options ask for, None for no sweep: `texts` are NAME=VALUES, `choosing` the fields of GridRules.

    Options that were not given are None. Raises InvalidInput that names the field, its bound and the value, and for an option
    that nothing would come of, as those for `searching`.
    """
    if not texts:
        require_none({"top": top, "csv": csv}, "--sweep")
        return None
    other = "--optimize" if optimize is not None else "--walk-forward" if walk_forward else None
    if other is not None:
        raise InvalidInput(f"--sweep and {other} are two ways to search: give one of them")
    require_none(searching, "--optimize or --walk-forward: a sweep has no use for it")
    from fks_assets.assets.trading.rule_options import named_texts
    from fks_assets.quant.optimisation import checked_workers
    from fks_assets.quant.sweep_grid import GridRules

    rules = GridRules(**{name: value for name, value in choosing.items() if value is not None})
    axes = named_texts(texts, "--sweep")
    return SweepWanted(axes, rules, checked_workers(1 if workers is None else workers), USUAL_TOP if top is None else top, csv)


def show_sweep(answer: SweepAnswer) -> None:
    """Print what the sweep gave, for people."""
    from fks_assets.assets.trading.search_presentation import set_command
    from fks_assets.cli.output import print_table

    swept = answer.swept
    print_table("Sweep", ("", ""), _sweep_rows(swept))
    shown = swept.ranking.order[: answer.top].tolist()
    title = f"Combinations, the best {len(shown):,} of {len(swept.grid):,}"
    print_table(title, _columns(swept), (_cells(swept, row) for row in shown))
    if answer.csv is not None:
        print(f"All combinations: {answer.csv}")
    if swept.best is None:
        print("No combination can be chosen: the figures at the top are of the first one in the list.")
        return
    if any(not axis.of_rules for axis in swept.grid.axes):
        print(f"To put the parameters in force: {set_command(swept.best, swept.subject.name)}")
    ruled = _words({axis.field: value for axis, value in _best_values(swept) if axis.of_rules})
    if ruled:
        print(f"Trading rules belong to no parameter set, those of the best are: {ruled}")


def _sweep_rows(swept: "Swept") -> list[tuple[str, object]]:
    from fks_assets.assets.trading.search_presentation import rounded

    ranking, best, plateau = swept.ranking, swept.ranking.best, swept.plateau
    steps = () if plateau is None else plateau.steps
    rows: list[tuple[str, object]] = [
        ("combinations", f"{len(swept.grid):,} ({int(ranking.fit.sum()):,} may be chosen), {swept.grid.refused:,} refused"),
        ("objective", swept.rules.objective + (f", median of {len(swept.markets)} markets" if len(swept.markets) > 1 else "")),
        ("score of the best", "–" if best is None else rounded(float(ranking.score[best]))),
        ("deflated Sharpe (probability of skill)", rounded(swept.deflated_sharpe)),
        ("plateau (share left a step beside it)", rounded(None if plateau is None else plateau.share)),
        ("a step beside it", "; ".join(f"{step.axis} {_value(step.value)}: {_number(step.score)}" for step in steps) or "–"),
        ("at the edge of the grid", "–" if plateau is None or not plateau.edges else ", ".join(plateau.edges)),
        ("the best", "–" if best is None else _words({axis.name: value for axis, value in _best_values(swept)})),
    ]
    return rows


def _columns(swept: "Swept") -> tuple[str, ...]:
    axes = (axis.name for axis in swept.grid.axes)
    if len(swept.markets) > 1:
        return ("rank", *axes, swept.rules.figure, "lowest", "total_trades")
    return ("rank", *axes, *SHOWN, "total_trades")


def _cells(swept: "Swept", row: int) -> list[object]:
    ranking = swept.ranking
    first = [int(ranking.rank[row]) or None, *(_value(value) for value in swept.grid.values(row).values())]
    if len(swept.markets) > 1:
        figures = [ranking.score[row], ranking.lowest[row]]
    else:
        figures = [swept.markets[0].figures[name][row] for name in SHOWN]
    return [*first, *(_number(float(value)) for value in figures), float(ranking.trades[row])]


def _lines(swept: "Swept") -> Iterator[list[object]]:
    """Yield a head, then a line a combination and market: values as they are typed, figures in full, empty where undefined."""
    yield ["number", "rank", "market", *(axis.name for axis in swept.grid.axes), *swept.markets[0].figures]
    for row in range(len(swept.grid)):
        first = [row, int(swept.ranking.rank[row]) or ""]
        values = [_value(value) for value in swept.grid.values(row).values()]
        for each in swept.markets:
            figures = (float(column[row]) for column in each.figures.values())
            yield [*first, each.market, *values, *("" if math.isnan(value) else repr(value) for value in figures)]


def _best_values(swept: "Swept") -> list[tuple[Any, Any]]:
    best = swept.ranking.best
    return [] if best is None else list(zip(swept.grid.axes, swept.grid.values(best).values(), strict=True))


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    from fks_assets.quant.sweep_axes import words

    return words(value)


def _number(value: float) -> float | str:
    return "–" if math.isnan(value) else round(value, 3)


def _two_digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
