"""Deflated Sharpe ratio and overfitting: the published examples, a slow enumeration of all splits, and seeded noise."""

import math
from itertools import combinations
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.performance_overfitting import (
    deflated_sharpe,
    expected_best_sharpe,
    independent_trials,
    overfitting,
    shortest_backtest_years,
)
from fks_assets.quant.performance_statistics import daily_sharpe, kurtosis, probabilistic_sharpe, skew


def test_the_worked_example_of_the_deflated_sharpe_ratio():
    """Bailey and López de Prado (2014), A Numerical Example: annual Sharpe ratio 2.5 over 5 years of 250 days, 100 trials whose
    annual ratios have variance 1/2, skewness -3 and kurtosis 10; the bar is 0.1132 a day and DSR 0.9004. With 46 trials it would
    have been about 0.95, the rest equal; with normal returns as many as 88 trials would have done."""
    daily, variance = 2.5 / math.sqrt(250), 0.5 / 250
    bar = expected_best_sharpe(100, variance)
    assert bar == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(daily, 1250, -3.0, 10.0 - 3.0, bar) == pytest.approx(0.9004, abs=5e-5)
    assert probabilistic_sharpe(daily, 1250, -3.0, 7.0, expected_best_sharpe(46, variance)) == pytest.approx(0.9505, abs=5e-5)
    normal = [probabilistic_sharpe(daily, 1250, 0.0, 0.0, expected_best_sharpe(trials, variance)) for trials in (88, 89)]
    assert normal[0] >= 0.95 > normal[1]


def test_the_worked_example_of_the_probabilistic_sharpe_ratio():
    """Bailey and López de Prado (2012): 24 months, ratio 0.458 a month, skewness -2.448, kurtosis 10.164: 0.982 if the returns
    were normal, 0.913 as they are."""
    assert probabilistic_sharpe(0.458, 24, 0.0, 0.0) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(0.458, 24, -2.448, 7.164) == pytest.approx(0.913, abs=5e-4)


def test_five_years_allow_for_forty_five_trials():
    """Bailey, Borwein, López de Prado and Zhu (2014): with five years of data at most 45 independent configurations should be
    tried, or a Sharpe ratio of 1 is expected from luck; the best of 10 without skill shows 1.57."""
    assert shortest_backtest_years(45) < 5.0 < shortest_backtest_years(46)
    assert expected_best_sharpe(10, 1.0) == pytest.approx(1.57, abs=5e-3)
    assert expected_best_sharpe(1, 1.0) == 0.0


def test_the_expected_best_is_what_noise_shows():
    """Seed 20140731: the best of N normal numbers, 4,000 times; the formula is an approximation for large N."""
    random = np.random.default_rng(20140731)
    for trials in (10, 100, 1000):
        best = random.normal(0, 1, (4000, trials)).max(axis=1)
        assert expected_best_sharpe(trials, 1.0) == pytest.approx(best.mean(), abs=0.03)


def test_the_deflated_ratio_of_noise_is_no_proof_and_that_of_skill_is():
    """Seed 7: the best of 200 columns of noise over two years, and the same with one that earns 0.3 of its deviation a day."""
    random = np.random.default_rng(7)
    returns = random.normal(0, 0.01, (730, 200))
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1) * math.sqrt(365)
    best = int(ratios.argmax())
    plain = probabilistic_sharpe(daily_sharpe(returns[:, best]), 730, skew(returns[:, best]), kurtosis(returns[:, best]))
    assert plain > 0.98
    assert deflated_sharpe(returns[:, best], ratios) < 0.9
    skilled = returns[:, 0] + 0.003
    assert deflated_sharpe(skilled, np.append(ratios, daily_sharpe(skilled) * math.sqrt(365))) > 0.99


def test_fewer_independent_trials_deflate_less():
    random = np.random.default_rng(8)
    returns, ratios = random.normal(0.001, 0.01, 500), random.normal(0, 1, 50)
    few, many = deflated_sharpe(returns, ratios, 5), deflated_sharpe(returns, ratios)
    assert few > many
    assert deflated_sharpe(returns, ratios[:1]) == probabilistic_sharpe(
        daily_sharpe(returns), 500, skew(returns), kurtosis(returns)
    )
    assert deflated_sharpe(np.full(500, 0.001), ratios) is None
    assert deflated_sharpe(returns[:3], ratios) is None


def test_copies_are_one_trial_and_strangers_are_many():
    random = np.random.default_rng(9)
    one = random.normal(0, 0.01, (400, 1))
    assert independent_trials(np.hstack([one, 2 * one, one + 0.01])) == pytest.approx(1.0)
    strangers = independent_trials(random.normal(0, 0.01, (4000, 10)))
    assert 9.5 < strangers <= 10.0
    assert independent_trials(np.hstack([one, np.zeros((400, 3))])) == 4.0


def slow_overfitting(returns: list[list[float]], blocks: int) -> tuple[float, float, list[float]]:
    """Return PBO, probability of loss and logits as Bailey et al. (2017) write them down, split by split."""
    trials = len(returns[0])
    length = len(returns) // blocks
    parts = [returns[len(returns) - (blocks - place) * length :][:length] for place in range(blocks)]
    logits, losses = [], 0
    for taken in combinations(range(blocks), blocks // 2):
        halves = [
            [row for place in range(blocks) if (place in taken) is inside for row in parts[place]] for inside in (True, False)
        ]
        ratios = [[ratio([row[trial] for row in half]) for trial in range(trials)] for half in halves]
        best = ratios[0].index(max(ratios[0]))
        rank = sum(other < ratios[1][best] for other in ratios[1]) + 1
        logits.append(math.log(rank / (trials + 1) / (1 - rank / (trials + 1))))
        losses += mean(row[best] for row in halves[1]) < 0
    return sum(logit <= 0 for logit in logits) / len(logits), losses / len(logits), logits


def ratio(values: list[float]) -> float:
    return mean(values) / stdev(values)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([2, 4, 6]), st.integers(2, 6), st.integers(2, 5), st.integers(0, 3))
def test_all_splits_equal_a_slow_enumeration(seed, blocks, trials, length, left_over):
    random = np.random.default_rng(seed)
    returns = random.normal(0, 0.01, (blocks * length + left_over, trials))
    found = overfitting(returns, blocks)
    probability, loss, logits = slow_overfitting(returns.tolist(), blocks)
    assert (found.probability, found.loss_probability) == (probability, loss)
    assert found.logits == pytest.approx(logits)
    assert len(found.logits) == math.comb(blocks, blocks // 2)
    assert (found.blocks, found.days) == (blocks, len(returns) - len(returns) % blocks)


def test_the_search_among_noise_is_overfit_half_of_the_time():
    """Seeds 0 to 59: without skill the best in sample is as often below the middle as above it."""
    found = [overfitting(np.random.default_rng(seed).normal(0, 0.01, (320, 20)), 8) for seed in range(60)]
    assert np.mean([each.probability for each in found]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([each.loss_probability for each in found]) == pytest.approx(0.5, abs=0.08)


def test_skill_is_not_overfit():
    returns = np.random.default_rng(1).normal(0, 0.01, (320, 20))
    returns[:, 7] += 0.005
    found = overfitting(returns)
    assert (found.probability, found.loss_probability) == (0.0, 0.0)


def test_what_wins_one_half_and_loses_it_in_the_other_is_overfit_for_certain():
    """Every trial earns the same over all of history, so the best in one half is the worst in the other: the paper's section on
    global constraints."""
    returns = np.random.default_rng(2).normal(0, 0.01, (320, 20))
    returns -= returns.mean(axis=0)
    returns /= returns.std(axis=0)
    found = overfitting(returns, 8)
    assert found.probability > 0.98
    assert found.slope < -0.8
    assert found.loss_probability == 1.0


def test_a_trial_that_never_traded_ranks_between_gain_and_loss():
    random = np.random.default_rng(3)
    idle = np.zeros((64, 2))
    with_winner = np.hstack([idle, np.abs(random.normal(0, 0.01, (64, 1)))])
    assert overfitting(with_winner, 4).probability == 0.0
    with_loser = np.hstack([idle, -np.abs(random.normal(0, 0.01, (64, 1)))])
    found = overfitting(with_loser, 4)
    assert found.logits == pytest.approx([math.log(2.5 / 1.5)] * 6)
    assert found.slope is None


@pytest.mark.parametrize(
    ("returns", "blocks", "words"),
    [
        (np.zeros((100, 1)), 16, r"2 or more trials is needed, was \(100, 1\)"),
        (np.zeros(100), 16, r"was \(100,\)"),
        (np.zeros((31, 3)), 16, "at least 32 days are needed, were 31"),
        (np.zeros((100, 3)), 5, "even number from 2 to 20 is needed, was 5"),
        (np.zeros((100, 3)), 22, "was 22"),
        (np.array([[0.0, 1.0], [math.nan, 1.0], [0.0, 0.0], [0.0, 0.0]]), 2, "nan at day 1 of trial 0"),
    ],
)
def test_unusable_trials_are_refused(returns, blocks, words):
    with pytest.raises(InvalidInput, match=words):
        overfitting(returns, blocks)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expected_best_sharpe(0, 1.0), "trials: at least 1 is needed, was 0"),
        (lambda: expected_best_sharpe(math.nan, 1.0), "was nan"),
        (lambda: expected_best_sharpe(10, -1.0), "was -1.0"),
        (lambda: deflated_sharpe(np.ones(9), np.array([1.0, math.inf])), "all finite"),
        (lambda: deflated_sharpe(np.ones(9), np.array([])), "at least one"),
    ],
)
def test_unusable_numbers_of_trials_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
