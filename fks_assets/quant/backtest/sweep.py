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
from fks_assets.quant.backtest.layout import LEG_RULES
from fks_assets.quant.backtest.packing import Market, Signals, leg_records, pack_legs, pack_market, pack_signals, rule_values
from fks_assets.quant.backtest.rules import BookRules, LegRules, PartialExit
from fks_assets.quant.backtest.sharing import SharedWork
from fks_assets.quant.performance_series import daily_curve
from fks_assets.quant.strategies.base import SignalColumns

MOST_WORKERS = 256

C = TypeVar("C")


@dataclass(frozen=True, slots=True, eq=False)
class SweepResult(Generic[C]):
    """One row a combination, in the order given: the combination, and float64 columns by the names of summary.FIGURES, NaN where
    a figure is not defined; `ruined` bool where everything was lost, which the figures then say: the account is over.
    """

    combinations: tuple[C, ...]
    figures: dict[str, np.ndarray]
    ruined: np.ndarray

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
    are judged once. `rules_of` says how a combination trades (default: LegRules()). Both are called from the caller's thread and
    from those of the other workers.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise InvalidInput(f"workers must be from 1 to {MOST_WORKERS}, was {workers}")
    from fks_assets.quant.backtest.summary import FIGURES

    book = book or BookRules()
    market = pack_market([series], book.costs)
    figures, ruined = np.full((len(combinations), len(FIGURES)), np.nan), np.zeros(len(combinations), np.bool_)
    of = series, market, _daily_rows(market), book, strategy, combinations, rules_of or _default
    run = partial(_run_part, *of, figures, ruined)

    def judge(row: int) -> tuple[SignalColumns, Signals]:
        columns = signals_of(combinations[row])
        return columns, pack_signals(columns)

    work = SharedWork(_groups(combinations, shared), judge, workers)
    with ThreadPoolExecutor(max(1, workers - 1)) as threads:
        others = [threads.submit(work.work_off, run) for _ in range(workers - 1)]
        work.work_off(run)
    for other in others:
        other.result()
    return SweepResult(tuple(combinations), {name: figures[:, place] for place, name in enumerate(FIGURES)}, ruined)


def _run_part(
    series: MarketSeries,
    market: Market,
    daily_rows: np.ndarray,
    book_rules: BookRules,
    strategy: str,
    combinations: Sequence[C],
    rules_of: Callable[[C], LegRules],
    figures: np.ndarray,
    ruined: np.ndarray,
    judged: tuple[SignalColumns, Signals],
    rows: Sequence[int],
) -> None:
    columns, signals = judged
    step = series.timeframe.milliseconds
    groups: dict[tuple[PartialExit, ...], list[tuple[int, LegRules]]] = {}
    for row in rows:
        rules = rules_of(combinations[row])
        groups.setdefault(rules.partial_exits, []).append((row, rules))
    for group in groups.values():
        book = Book((Leg(strategy, series, columns, group[0][1]),), book_rules)
        first, partials = pack_legs(book, (0,), (len(signals),))
        where = first[0].tolist()[: -len(LEG_RULES)]
        legs = leg_records((*where, *rule_values(rules, step)) for _, rules in group)
        found, lost = np.empty((len(group), figures.shape[1])), np.empty(len(group), np.bool_)
        Run(book, market, first, partials, only_figures=True).simulate_each(signals, legs, daily_rows, found, lost)
        places = [row for row, _ in group]
        figures[places], ruined[places] = found, lost


def _groups(combinations: Sequence[C], shared: Callable[[C], Hashable] | None) -> Sequence[list[int]]:
    """Return the rows in groups with the same signals."""
    if shared is None:
        return [[row] for row in range(len(combinations))]
    groups: dict[Hashable, list[int]] = {}
    for row, combination in enumerate(combinations):
        groups.setdefault(shared(combination), []).append(row)
    return list(groups.values())


def _daily_rows(market: Market) -> np.ndarray:
    """Return the bar of each UTC day's last equity, -1 for the base."""
    first = market.columns[0][0]
    rows = np.arange(len(market.bar_time) + 1)
    return daily_curve(np.append(first, market.bar_time), rows).value - 1


def _default(_: object) -> LegRules:
    return LegRules()
