"""What the best of a search is worth: how much of it is luck, and how much of it stays a step beside it."""

import math
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fks_assets.quant import performance_statistics
from fks_assets.quant.optimisation import Found, Trial, score_of
from fks_assets.quant.performance_overfitting import Overfitting, deflated_sharpe, independent_trials, overfitting
from fks_assets.quant.search_trials import SearchedMarket, Terms, Track
from fks_assets.quant.strategies.base import Strategy

NEIGHBOURS = 32
REACH = 0.1
MOST_BLOCKS = 16
FEWEST_BLOCK_DAYS = 5
QUARTILES_A_DEVIATION = 1.349  # of a normal distribution


@dataclass(frozen=True, slots=True)
class Stability:
    """How much of the objective remains beside the best.

    `share` is the median of the objective over the neighbours, divided by that of the best, from 0 (nothing, or a loss) to 1 (all
    of it, or more). A neighbour has every searched number moved at once, each by up to `reach` of its range either way; one
    that trades too little, or whose objective is not defined, counts as 0. None where that of the best is not above 0, or there
    is no neighbour.
    """

    share: float | None
    neighbours: int
    median: float | None
    worst: float | None
    reach: float = REACH

    def document(self) -> dict[str, Any]:
        """Return it for a JSON document."""
        return {
            "share": self.share,
            "neighbours": self.neighbours,
            "median": self.median,
            "worst": self.worst,
            "reach": self.reach,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What speaks for and against the best of a search; None where it cannot be said, see `deflated_sharpe` and `overfitting`.

    `independent_trials`: how many independent ones all trials amount to, those given up early too; so many the deflated Sharpe
    ratio counts. Its spread of their ratios, and `overfitting`, are of the trials that ran over all folds.
    """

    deflated_sharpe: float | None
    independent_trials: float | None
    overfitting: Overfitting | None
    stability: Stability | None

    def document(self) -> dict[str, Any]:
        """Return the figures for a JSON document."""
        found = self.overfitting
        return {
            "deflated_sharpe": self.deflated_sharpe,
            "independent_trials": self.independent_trials,
            "overfitting_probability": None if found is None else found.probability,
            "overfitting_loss_probability": None if found is None else found.loss_probability,
            "overfitting_blocks": None if found is None else found.blocks,
            "parameter_stability": None if self.stability is None else self.stability.share,
            "stability": None if self.stability is None else self.stability.document(),
        }


def evidence_of(found: Found, markets: Sequence[SearchedMarket], terms: Terms, *, workers: int = 1) -> Evidence:
    """Return what the best of a search is worth, on the candles that were searched; nothing where there is no best."""
    best, whole = found.best, whole_returns(found)
    if best is None:
        return Evidence(None, None, None, None)
    trials = _independent(whole, len(found.trials))
    return Evidence(
        deflated_sharpe=_deflated(best.returns, whole, trials),
        independent_trials=trials,
        overfitting=_overfitting(whole),
        stability=parameter_stability(found, best, markets, terms, workers=workers),
    )


def whole_returns(found: Found) -> np.ndarray:
    """Return the daily returns of the trials that ran over all folds, as a matrix of days × trials."""
    days = max(len(trial.returns) for trial in found.trials)
    columns = [trial.returns for trial in found.trials if trial.state != "pruned" and len(trial.returns) == days]
    return np.column_stack(columns) if columns else np.empty((days, 0))


def deflated_by_quartiles(best: np.ndarray, daily_ratios: Sequence[float] | np.ndarray, trials: float) -> float | None:
    """Return the deflated Sharpe ratio of the best's daily returns, with a spread that a few very bad trials do not widen.

    `daily_ratios` are the Sharpe ratios of the trials, not annualised. `deflated_sharpe` takes their deviation. A search tries
    points that do nothing but pay fees; with their ratios of -10 in it, no strategy would ever pass. Here it is the distance of
    the quartiles over 1.349: the deviation, where there are no such ones.
    """
    low, high = np.quantile(daily_ratios, (0.25, 0.75))
    spread = float(high - low) / QUARTILES_A_DEVIATION
    # Two ratios with just this deviation.
    pair = np.array([-spread, spread]) * math.sqrt(performance_statistics.DAYS_PER_YEAR / 2)
    return deflated_sharpe(best, pair, trials)


def parameter_stability(
    found: Found, best: Trial, markets: Sequence[SearchedMarket], terms: Terms, *, workers: int = 1
) -> Stability:
    """Return how much of the objective remains in the neighbourhood of the best trial; the neighbours hang on the seed alone."""
    draws = np.random.default_rng((found.rules.seed, NEIGHBOURS))
    points = found.space.neighbours(best.values, NEIGHBOURS, REACH, draws)
    known = [each for each in (market.until(found.stretch.end_ms) for market in markets) if each is not None]
    tracks = [Track(known, fold, terms) for fold in found.folds]
    own = [strategy for strategy in (found.space.strategy_of(point) for point in points) if strategy is not None]
    with ThreadPoolExecutor(workers) as threads:
        scores = list(threads.map(lambda strategy: _score(strategy, tracks, terms, found), own))
    if not scores or best.score is None or best.score <= 0:
        return Stability(None, len(scores), None if not scores else statistics.median(scores), min(scores, default=None))
    median = statistics.median(scores)
    return Stability(min(1.0, max(0.0, median / best.score)), len(scores), median, min(scores))


def _score(strategy: Strategy[Any], tracks: Sequence[Track], terms: Terms, found: Found) -> float:
    runs = [track.run(strategy) for track in tracks]
    score = score_of(
        np.concatenate([run.returns for run in runs]),
        sum(run.trades for run in runs),
        found.stretch.start_ms,
        terms.book.initial_cash,
        found.rules,
        ruined=any(run.ruined for run in runs),
    )
    return 0.0 if score is None else score


def _independent(whole: np.ndarray, trials: int) -> float:
    """Return ρ + (1 − ρ)·N for all N trials, ρ being the mean correlation of those that ran over all folds."""
    count = whole.shape[1]
    if count < 2 or whole.shape[0] < 2:
        return float(trials)
    correlation = (count - independent_trials(whole)) / (count - 1)
    return correlation + (1.0 - correlation) * trials


def _deflated(best: np.ndarray, whole: np.ndarray, trials: float) -> float | None:
    return deflated_by_quartiles(best, [performance_statistics.daily_sharpe(column) or 0.0 for column in whole.T], trials)


def _overfitting(whole: np.ndarray) -> Overfitting | None:
    blocks = min(MOST_BLOCKS, whole.shape[0] // FEWEST_BLOCK_DAYS // 2 * 2)
    return overfitting(whole, blocks) if whole.shape[1] >= 2 and blocks >= 2 else None
