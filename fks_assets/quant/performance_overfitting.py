"""How much of a good backtest is luck: deflated Sharpe ratio, and the probability of backtest overfitting (CSCV).

Searching a thousand parameter sets finds a good one in pure noise. The first asks how good the best of that many noises would be;
the second how often the best of one half of history is below the middle in the other half.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant import performance_statistics as statistics

EULER_GAMMA = 0.5772156649015329
MOST_BLOCKS = 20  # 184,756 splits
SPLITS_AT_ONCE = 512

_NORMAL = NormalDist()


def expected_best_sharpe(trials: float, variance: float) -> float:
    """Return the Sharpe ratio that the best of `trials` strategies without skill is expected to show.

    `trials` is how many independent ones were tried (not always whole), `variance` that of their Sharpe ratios; the answer has
    the unit of its root. Source: Bailey and López de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014).
    Raises InvalidInput for fewer than 1 trial or a variance that is negative or no number.
    """
    if not (trials >= 1 and math.isfinite(trials)):
        raise InvalidInput(f"trials: at least 1 is needed, was {trials}")
    if not (variance >= 0 and math.isfinite(variance)):
        raise InvalidInput(f"variance of the Sharpe ratios of the trials: a number from 0 up is needed, was {variance}")
    if trials == 1:
        return 0.0
    tails = (_NORMAL.inv_cdf(1.0 - 1.0 / trials), _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e)))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * tails[0] + EULER_GAMMA * tails[1])


def deflated_sharpe(returns: np.ndarray, trial_sharpes: np.ndarray, trials: float | None = None) -> float | None:
    """Return the probability 0..1 that the true Sharpe ratio is above what the best of all trials would show without skill.

    `returns` are the daily returns (fractions) of the strategy that was chosen, `trial_sharpes` the annualised Sharpe ratios of
    all that were tried, the chosen one among them, `trials` how many of those were independent (see `independent_trials`), by
    default all. None when the returns do not vary or number fewer than 4. Raises InvalidInput when a Sharpe ratio is not finite.
    """
    ratios = np.asarray(trial_sharpes, np.float64)
    if ratios.ndim != 1 or not len(ratios) or not np.isfinite(ratios).all():
        raise InvalidInput(f"trial Sharpe ratios: at least one, all finite, are needed, were {ratios.ravel()[:5]}")
    daily = ratios / math.sqrt(statistics.DAYS_PER_YEAR)
    variance = float(np.var(daily, ddof=1)) if len(daily) > 1 else 0.0
    bar = expected_best_sharpe(len(daily) if trials is None else trials, variance)
    observed, skew, kurtosis = (rule(returns) for rule in (statistics.daily_sharpe, statistics.skew, statistics.kurtosis))
    if observed is None or skew is None or kurtosis is None:
        return None
    return statistics.probabilistic_sharpe(observed, len(returns), skew, kurtosis, bar)


def independent_trials(returns: np.ndarray) -> float:
    """Return how many independent trials the columns of a days × trials matrix amount to: ρ + (1 − ρ)·N.

    ρ is the mean correlation between different trials, taken as 0 when negative. Source: as `expected_best_sharpe`, appendix 3.
    """
    returns = _matrix(returns, 2)
    trials = returns.shape[1]
    active = returns[:, np.ptp(returns, axis=0) > statistics.LEAST_SPREAD]
    if active.shape[1] < 2:
        return float(trials)
    correlations = np.corrcoef(active, rowvar=False)
    count = active.shape[1]
    mean = min(1.0, max(0.0, float((correlations.sum() - count) / (count * (count - 1)))))
    return mean + (1.0 - mean) * trials


def shortest_backtest_years(trials: int, sharpe: float = 1.0) -> float:
    """Return how many years of history are needed, for the best of `trials` without skill not to show this annual Sharpe ratio.

    Source: Bailey, Borwein, López de Prado and Zhu, Pseudo-Mathematics and Financial Charlatanism, Notices of the AMS 61 (2014).
    """
    return (expected_best_sharpe(trials, 1.0) / sharpe) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class Overfitting:
    """What combinatorially symmetric cross-validation found.

    `probability`: share 0..1 of the splits in which the best in sample is at or below the middle out of sample. `logits`: one for
    each split, positive when above the middle. `loss_probability`: share in which it lost money out of sample. `slope`: of the
    best one's Sharpe ratio out of sample on that in sample, None when the latter does not vary. `blocks`, `days`: what was split.
    """

    probability: float
    logits: np.ndarray
    loss_probability: float
    slope: float | None
    blocks: int
    days: int


def overfitting(returns: np.ndarray, blocks: int = 16) -> Overfitting:
    """Return the probability of backtest overfitting of a search, from the daily returns of everything that was tried.

    `returns` is a days × trials matrix of fractions, `blocks` the even number S of equal stretches of days; the days left over at
    the beginning are not used. Every way to take half of the blocks is a split. The Sharpe ratio ranks the trials; one whose
    returns do not vary ranks by the sign of its mean: without trades as 0. Equal trials share the middle of their ranks.
    Source: Bailey, Borwein, López de Prado and Zhu, The Probability of Backtest Overfitting, Journal of Computational Finance 20
    (2017). Raises InvalidInput for fewer than two trials, an odd number of blocks, or fewer than two days a block.
    """
    if blocks < 2 or blocks % 2 or blocks > MOST_BLOCKS:
        raise InvalidInput(f"blocks: an even number from 2 to {MOST_BLOCKS} is needed, was {blocks}")
    returns = _matrix(returns, 2 * blocks)
    days = returns.shape[0] // blocks * blocks
    used = returns[len(returns) - days :]
    best, logits, gains = [], [], []
    for inside, outside, mean in _splits(used, blocks):
        rows = np.arange(len(inside))
        chosen = inside.argmax(axis=1)
        theirs = outside[rows, chosen]
        rank = (outside < theirs[:, None]).sum(axis=1) + ((outside == theirs[:, None]).sum(axis=1) + 1) / 2
        share = rank / (returns.shape[1] + 1)
        logits.append(np.log(share / (1.0 - share)))
        best.append(np.column_stack((inside[rows, chosen], theirs)))
        gains.append(mean[rows, chosen])
    logit, pairs, gained = np.concatenate(logits), np.concatenate(best), np.concatenate(gains)
    return Overfitting(float((logit <= 0).mean()), logit, float((gained < 0).mean()), _slope(pairs), blocks, days)


def _splits(returns: np.ndarray, blocks: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield Sharpe ratios in sample and out of sample, and means out of sample, as splits × trials, some splits at a time."""
    length = len(returns) // blocks
    centre = returns.mean(axis=0)
    parts = (returns - centre).reshape(blocks, length, -1)
    sums, squares = parts.sum(axis=1), (parts**2).sum(axis=1)
    lows, highs = (edge(returns.reshape(blocks, length, -1), axis=1) for edge in (np.min, np.max))
    takes = np.array(list(combinations(range(blocks), blocks // 2)))
    for start in range(0, len(takes), SPLITS_AT_ONCE):
        chosen = np.zeros((len(takes[start : start + SPLITS_AT_ONCE]), blocks))
        np.put_along_axis(chosen, takes[start : start + SPLITS_AT_ONCE], 1.0, axis=1)
        halves = []
        for half in (chosen, 1.0 - chosen):
            count = length * blocks // 2
            away = half @ sums / count
            mean = away + centre
            variance = np.maximum(half @ squares - count * away**2, 0.0) / (count - 1)
            rows = half.argsort(axis=1, kind="stable")[:, blocks // 2 :]
            constant = highs[rows].max(axis=1) - lows[rows].min(axis=1) <= statistics.LEAST_SPREAD
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = mean / np.sqrt(variance)
            flat = np.where(np.abs(mean) <= statistics.LEAST_SPREAD, 0.0, np.copysign(np.inf, mean))
            halves.append((np.where(constant | (variance == 0), flat, ratio), mean))
        yield halves[0][0], halves[1][0], halves[1][1]


def _slope(pairs: np.ndarray) -> float | None:
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    return statistics.beta(pairs[:, 1], pairs[:, 0]) if len(pairs) > 1 else None


def _matrix(returns: np.ndarray, least_days: int) -> np.ndarray:
    returns = np.asarray(returns, np.float64)
    if returns.ndim != 2 or returns.shape[1] < 2:
        raise InvalidInput(f"returns of the trials: a matrix of days × 2 or more trials is needed, was {returns.shape}")
    if returns.shape[0] < least_days:
        raise InvalidInput(f"returns of the trials: at least {least_days} days are needed, were {returns.shape[0]}")
    if not np.isfinite(returns).all():
        day, trial = (int(place) for place in np.argwhere(~np.isfinite(returns))[0])
        raise InvalidInput(f"returns of the trials: {returns[day, trial]} at day {day} of trial {trial} is not a finite number")
    return returns
