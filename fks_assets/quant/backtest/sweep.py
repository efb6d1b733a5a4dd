"""Many combinations of parameters on one series: indicators once, signals once for all combinations that share them, and a few
figures for each. Memory does not grow with the number of combinations but for those figures.

The work is spread over threads: the compiled pass runs without Python's lock, nothing is copied to another process, and starting
a process would take longer than a sweep does.
"""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.backtest.engine import Run
from fks_assets.quant.backtest.layout import LEG, LEG_RULES
from fks_assets.quant.backtest.packing import Market, pack_legs, pack_market, pack_signals, rule_values
from fks_assets.quant.backtest.rules import BookRules, LegRules, PartialExit
from fks_assets.quant.performance_series import daily_curve
from fks_assets.quant.strategies.base import SignalColumns

MOST_WORKERS = 256
# Parts of a group of combinations with the same signals that one thread takes at a time.
PARTS_A_WORKER = 4

C = TypeVar("C")


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult(Generic[C]):
    """One row a combination, in the order given: the combination, and float64 columns by the names of summary.FIGURES, NaN where
    a figure is not defined.
    """

    combinations: tuple[C, ...]
    figures: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.combinations)

    def best(self, figure: str = "sharpe") -> int:
        """Return the row with the highest figure, the first of equal ones; raise InvalidInput where no row has it."""
        values = self.figures[figure]
        if not len(values) or np.isnan(values).all():
            raise InvalidInput(f"no combination has a {figure}")
        return int(np.nanargmax(values))


def sweep(
    series: MarketSeries,
    combinations: Sequence[C],
    signals_of: Callable[[C], SignalColumns],
    *,
    rules_of: Callable[[C], LegRules] | None = None,
    shared: Callable[[C], Hashable] | None = None,
    book: BookRules | None = None,
    strategy: str = "sweep",
    workers: int = 1,
) -> SweepResult[C]:
    """Return the figures of every combination, the same for any number of workers.

    `signals_of` judges the series for a combination; those for which `shared` returns the same value have the same signals, and
    are judged once for each part of them that a worker takes. `rules_of` says how a combination trades (default: LegRules()).
    Both are called from the caller's thread and from those of the other workers.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise InvalidInput(f"workers must be from 1 to {MOST_WORKERS}, was {workers}")
    from fks_assets.quant.backtest.summary import FIGURES

    book = book or BookRules()
    market = pack_market([series], book.costs)
    figures = np.full((len(combinations), len(FIGURES)), np.nan)
    work = partial(
        _run_part, series, market, _daily_rows(market), book, strategy, combinations, signals_of, rules_of or _default, figures
    )
    left = iter(_parts(combinations, shared, workers))

    def work_off() -> None:
        # Whoever is ready takes the next part; an error leaves none to the others.
        try:
            for rows in left:
                work(rows)
        except BaseException:
            for _ in left:
                pass
            raise

    with ThreadPoolExecutor(max(1, workers - 1)) as threads:
        others = [threads.submit(work_off) for _ in range(workers - 1)]
        work_off()
    for other in others:
        other.result()
    return SweepResult(tuple(combinations), {name: figures[:, place] for place, name in enumerate(FIGURES)})


def _run_part(
    series: MarketSeries,
    market: Market,
    daily_rows: np.ndarray,
    book_rules: BookRules,
    strategy: str,
    combinations: Sequence[C],
    signals_of: Callable[[C], SignalColumns],
    rules_of: Callable[[C], LegRules],
    figures: np.ndarray,
    rows: Sequence[int],
) -> None:
    columns = signals_of(combinations[rows[0]])
    signals, step = pack_signals(columns), series.timeframe.milliseconds
    groups: dict[tuple[PartialExit, ...], list[tuple[int, LegRules]]] = {}
    for row in rows:
        rules = rules_of(combinations[row])
        groups.setdefault(rules.partial_exits, []).append((row, rules))
    for group in groups.values():
        book = Book((Leg(strategy, series, columns, group[0][1]),), book_rules)
        first, partials = pack_legs(book, (0,), (len(signals),))
        where = first[0].tolist()[: -len(LEG_RULES)]
        legs = np.array([(*where, *rule_values(rules, step)) for _, rules in group], LEG)
        found = np.empty((len(group), figures.shape[1]))
        Run(book, market, first, partials, only_figures=True).simulate_each(signals, legs, daily_rows, found)
        figures[[row for row, _ in group]] = found


def _parts(combinations: Sequence[C], shared: Callable[[C], Hashable] | None, workers: int) -> Sequence[list[int]]:
    """Return the rows in parts with the same signals, small enough for all workers to end at about the same time."""
    if shared is None:
        return [[row] for row in range(len(combinations))]
    groups: dict[Hashable, list[int]] = {}
    for row, combination in enumerate(combinations):
        groups.setdefault(shared(combination), []).append(row)
    if workers == 1:
        return list(groups.values())
    size = max(1, len(combinations) // (PARTS_A_WORKER * workers))
    parts = [rows[start : start + size] for rows in groups.values() for start in range(0, len(rows), size)]
    whole = len(parts) - len(parts) % workers
    # What is left after equal numbers of parts for all is shared among all.
    return parts[:whole] + [rows[nth::workers] for rows in parts[whole:] for nth in range(min(workers, len(rows)))]


def _daily_rows(market: Market) -> np.ndarray:
    """Return the bar of each UTC day's last equity, -1 for the base."""
    first = market.columns[0][0]
    rows = np.arange(len(market.bar_time) + 1)
    return daily_curve(np.append(first, market.bar_time), rows).value - 1


def _default(_: object) -> LegRules:
    return LegRules()
