"""Search the parameters of a strategy: seeded, in batches, over chronological folds of the period. Equal input, equal answer.

Optuna's TPE sampler proposes; every batch is proposed before any of it is run and told in order once all of it has been run, so
that the answer does not depend on how many threads there are or which of them is first.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.backtest.rules import Rules
from fks_assets.quant.backtest.sweep import MOST_WORKERS
from fks_assets.quant.performance import Performance
from fks_assets.quant.performance_series import DAY_MS
from fks_assets.quant.search_space import SearchSpace
from fks_assets.quant.search_trials import SearchedMarket, Stretch, Terms, Track, measured
from fks_assets.quant.strategies.base import Strategy

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial as OptunaTrial

BATCH = 8
UNPRUNED_TRIALS = 2 * BATCH
FEWEST_FOLD_DAYS = 14
PROPOSALS = 4
DRAWS = 5_000
WORST = -1e9
OBJECTIVES = {"sharpe": "sharpe", "calmar": "calmar", "return": "total_return_pct"}

Told = Callable[[int, int], None]


class SearchRules(Rules):
    """How is searched. `trials` count everything that was tried on the candles, those that were given up early among them.

    `objective`: the figure that is made as large as possible, of all folds one after another. A trial with fewer than
    `least_trades` cannot be chosen. `folds` parts of the period, in the order of time, are run one by one; after each a trial is
    given up that is below the median of the finished ones at that point, if `prune`.
    """

    objective: Literal["sharpe", "calmar", "return"] = "sharpe"
    trials: int = Field(100, ge=2, le=10_000)
    seed: int = Field(0, ge=0, lt=2**32)
    least_trades: int = Field(10, ge=1, le=1_000_000)
    folds: int = Field(4, ge=1, le=24)
    prune: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One set of values that was tried. `number` counts from 0 in the order of proposal.

    `state`: complete; pruned: given up after some of the folds; unfit: too few trades, ruined, or without the objective, so that
    it cannot be chosen. `score` is the objective, None where not complete. `performance` is of the folds that were run, one after
    another, `returns` are their days, `trades` the whole trades in them.
    """

    number: int
    values: Mapping[str, Any]
    state: Literal["complete", "pruned", "unfit"]
    score: float | None
    returns: np.ndarray
    trades: int
    performance: Performance

    def document(self) -> dict[str, Any]:
        """Return the trial for a JSON document."""
        figures = ("sharpe", "calmar", "total_return_pct", "max_drawdown_pct")
        return {
            "number": self.number,
            "parameters": dict(self.values),
            "state": self.state,
            "score": self.score,
            "days": len(self.returns),
            "trades": self.trades,
            **{name: getattr(self.performance, name) for name in figures},
        }


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Every trial of a search in the order of proposal. `exhausted`: nothing was left to try before all trials were used."""

    space: SearchSpace
    rules: SearchRules
    folds: tuple[Stretch, ...]
    trials: tuple[Trial, ...]
    exhausted: bool

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, the first of equal ones; None where no trial can be chosen."""
        fit = [trial for trial in self.trials if trial.score is not None]
        return max(fit, key=lambda trial: (trial.score, -trial.number), default=None)

    @property
    def stretch(self) -> Stretch:
        return Stretch(self.folds[0].start_ms, self.folds[-1].end_ms)

    def count(self, state: str) -> int:
        """Return how many trials ended so."""
        return sum(trial.state == state for trial in self.trials)


def search(
    space: SearchSpace,
    markets: Sequence[SearchedMarket],
    stretch: Stretch,
    terms: Terms,
    rules: SearchRules | None = None,
    *,
    first: Sequence[Mapping[str, Any]] = (),
    workers: int = 1,
    told: Told | None = None,
) -> Found:
    """Return all trials of a search over the candles that open in `stretch`; no other candle but the history before it is read.

    `first` are values to try before any proposal. `told` is called with (trials done, trials in all) after each batch. Values
    that the strategy's model refuses are never run and count for nothing, nor do those that were tried before. Raises
    InvalidInput for bad `workers`, InsufficientData for a stretch without candles.
    """
    rules = rules or SearchRules()
    checked_workers(workers)
    known = [each for each in (market.until(stretch.end_ms) for market in markets) if each is not None]
    if not any(int(market.series.candles.open_time[-1]) >= stretch.start_ms for market in known):
        raise InsufficientData("no market has a candle in the period to search")
    folds = folds_of(stretch, rules.folds)
    base = terms.book.initial_cash
    tracks = [Track(known, fold, terms) for fold in folds]
    study, batches = _study(rules), _Proposals(space, first, rules.seed)
    trials: list[Trial] = []
    with ThreadPoolExecutor(workers) as threads:
        while len(trials) < rules.trials:
            batch = batches.take(study, min(BATCH, rules.trials - len(trials)))
            if not batch:
                break
            runs = _run_batch(study, batch, tracks, rules, base, threads)
            done = [run.trial(len(trials) + place, stretch.start_ms, base, rules) for place, run in enumerate(runs)]
            _tell(study, runs, done)
            trials += done
            if told is not None:
                told(len(trials), rules.trials)
    return Found(space, rules, folds, tuple(trials), exhausted=len(trials) < rules.trials)


def checked_workers(workers: int) -> int:
    """Return a number of threads; raise InvalidInput unless it is from 1 to 256."""
    if not 1 <= workers <= MOST_WORKERS:
        raise InvalidInput(f"workers must be from 1 to {MOST_WORKERS}, was {workers}")
    return workers


def folds_of(stretch: Stretch, count: int) -> tuple[Stretch, ...]:
    """Return the period in `count` parts of about one length, cut at midnight UTC; fewer where a part would be below 14 days."""
    count = max(1, min(count, int(stretch.days // FEWEST_FOLD_DAYS)))
    length = (stretch.end_ms - stretch.start_ms) / count
    inner = [round((stretch.start_ms + place * length) / DAY_MS) * DAY_MS for place in range(1, count)]
    edges = [stretch.start_ms, *inner, stretch.end_ms]
    return tuple(Stretch(start, end) for start, end in itertools.pairwise(edges))


def score_of(returns: np.ndarray, trades: int, start_ms: int, base: float, rules: SearchRules, *, ruined: bool) -> float | None:
    """Return the objective of daily returns; None where it is not defined, or they may not be chosen."""
    if ruined or trades < rules.least_trades or not len(returns):
        return None
    return getattr(measured(returns, start_ms, base), OBJECTIVES[rules.objective])


class _Run:
    """A proposal on its way through the folds."""

    def __init__(self, asked: "OptunaTrial | None", values: Mapping[str, Any], strategy: Strategy[Any]) -> None:
        self.asked, self.values, self.strategy = asked, values, strategy
        self.parts: list[np.ndarray] = []
        self.trades, self.ruined, self.pruned = 0, False, False

    @property
    def alive(self) -> bool:
        return not (self.ruined or self.pruned)

    @property
    def returns(self) -> np.ndarray:
        return np.concatenate(self.parts)

    def pass_over(self, track: Track) -> None:
        passed = track.run(self.strategy)
        self.parts.append(passed.returns)
        self.trades += passed.trades
        self.ruined = passed.ruined

    def trial(self, number: int, start_ms: int, base: float, rules: SearchRules) -> Trial:
        returns = self.returns
        score = None if self.pruned else score_of(returns, self.trades, start_ms, base, rules, ruined=self.ruined)
        state: Literal["complete", "pruned", "unfit"] = "pruned" if self.pruned else "unfit" if score is None else "complete"
        performance = measured(returns, start_ms, base)
        return Trial(number, dict(self.values), state, score, returns, self.trades, performance)


class _Proposals:
    """What to run next: the given values first, then what Optuna proposes, each point once.

    Where Optuna proposes what was tried before, or what the model refuses, a point is drawn at random instead.
    """

    def __init__(self, space: SearchSpace, first: Sequence[Mapping[str, Any]], seed: int) -> None:
        self._space = space
        self._given = list(first)
        self._draws = np.random.default_rng(seed)
        self._seen: set[tuple[Any, ...]] = set()

    def take(self, study: "Study", count: int) -> list[_Run]:
        """Return up to `count` proposals; fewer when nothing new was found."""
        found: list[_Run] = []
        while self._given and len(found) < count:
            values = {each.name: self._given[0][each.name] for each in self._space.dimensions}
            self._given.pop(0)
            self._add(found, None, values)
        while len(found) < count and (self._asked(study, found) or self._drawn(study, found)):
            pass
        return found

    def _asked(self, study: "Study", found: list[_Run], times: int = PROPOSALS) -> bool:
        from optuna.trial import TrialState

        for _ in range(times):
            asked = study.ask()
            if self._add(found, asked, self._space.propose(asked)):
                return True
            study.tell(asked, state=TrialState.FAIL)
        return False

    def _drawn(self, study: "Study", found: list[_Run]) -> bool:
        for _ in range(DRAWS):
            point = self._space.drawn(self._draws)
            if self._point(point) not in self._seen and self._space.strategy_of(point) is not None:
                study.enqueue_trial(point)
                if self._asked(study, found, times=1):
                    return True
        return False

    def _add(self, found: list[_Run], asked: "OptunaTrial | None", values: Mapping[str, Any]) -> bool:
        point = self._point(values)
        strategy = None if point in self._seen else self._space.strategy_of(values)
        if strategy is None:
            return False
        self._seen.add(point)
        found.append(_Run(asked, values, strategy))
        return True

    def _point(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(values[each.name] for each in self._space.dimensions)


def _study(rules: SearchRules) -> "Study":
    import optuna

    with _quiet():
        return optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=rules.seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Let Optuna say only what is wrong, and leave its own level as it was."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


def _run_batch(
    study: "Study", batch: list[_Run], tracks: Sequence[Track], rules: SearchRules, base: float, threads: ThreadPoolExecutor
) -> list[_Run]:
    start_ms = tracks[0].stretch.start_ms
    free = rules.model_copy(update={"least_trades": 0})
    for place, track in enumerate(tracks):
        alive = [run for run in batch if run.alive]
        list(threads.map(_Run.pass_over, alive, [track] * len(alive)))
        if not rules.prune or place + 1 == len(tracks):
            continue
        for run in alive:
            if run.asked is not None and not run.ruined:
                so_far = score_of(run.returns, run.trades, start_ms, base, free, ruined=False)
                run.asked.report(WORST if so_far is None else so_far, place)
                run.pruned = run.asked.should_prune()
    return batch


def _tell(study: "Study", runs: Sequence[_Run], done: Sequence[Trial]) -> None:
    from optuna.trial import TrialState

    for run, trial in zip(runs, done, strict=True):
        if run.asked is not None and run.pruned:
            study.tell(run.asked, state=TrialState.PRUNED)
        elif run.asked is not None:
            study.tell(run.asked, WORST if trial.score is None else trial.score)
