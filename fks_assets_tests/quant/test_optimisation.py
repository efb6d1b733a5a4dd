"""Searches of parameters: on planted markets the right answer is known, and the same seed gives the same bytes."""

import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
from pydantic import Field, model_validator

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.backtest.book import MarketSeries, single
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.candles import OHLCV_COLUMNS
from fks_assets.quant.optimisation import Found, SearchRules, folds_of, search
from fks_assets.quant.performance_overfitting import deflated_sharpe, expected_best_sharpe
from fks_assets.quant.search_charts import trials_picture
from fks_assets.quant.search_evidence import evidence_of, parameter_stability
from fks_assets.quant.search_space import search_space
from fks_assets.quant.search_trials import SearchedMarket, Stretch, judge_period
from fks_assets.quant.strategies.base import Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.quant.backtest.comparing import figures_of
from fks_assets_tests.quant.searching import (
    DAY_MS,
    FREE,
    HISTORY_DAYS,
    START_MS,
    HoursParameters,
    InHours,
    Island,
    IslandParameters,
    after_history,
    far_away,
    hours,
    market,
    swinging,
)

EDGE = hours(150, seed=11, edge=0.0015)
QUICK = SearchRules(trials=40, seed=5)


class EveryKindParameters(Parameters):
    """One field of each kind."""

    length: int = Field(10, gt=0, le=400)
    share: float = Field(0.5, gt=0, lt=1)
    ratio: float = Field(1.5, gt=0, le=100)
    kind: Literal["plain", "weighted"] = "plain"
    shorts: bool = True
    endless: float = Field(3.0, gt=0)
    words: str = "none"


class EveryKind(Strategy[EveryKindParameters]):
    """Says nothing."""

    name = "every_kind"
    parameters_model = EveryKindParameters
    required_columns = ()

    def judge(self, candles, indicators) -> SignalColumns:
        return far_away(np.zeros(len(candles), np.int8), candles.close)


class Nothing(Strategy[Parameters]):
    """Has no parameters."""

    name = "nothing"
    parameters_model = Parameters
    required_columns = ()

    def judge(self, candles, indicators) -> SignalColumns:
        return far_away(np.zeros(len(candles), np.int8), candles.close)


def in_hours(begin: int = 6, end: int = 12) -> InHours:
    return InHours(HoursParameters(begin=begin, end=end))


def found_on(market_: SearchedMarket, rules: SearchRules = QUICK, **options: object) -> Found:
    return search(search_space(in_hours()), [market_], after_history(market_.series.candles), FREE, rules, **options)


def everything(found: Found) -> str:
    """Return all that a search says, down to the last bit of its returns."""
    return json.dumps([{**trial.document(), "returns": trial.returns.tobytes().hex()} for trial in found.trials])


def test_the_space_is_read_from_the_model_of_the_parameters() -> None:
    space = search_space(EveryKind(EveryKindParameters()), hold=["shorts"])
    searched = {each["name"]: each for each in space.document()["searched"]}
    assert searched["length"] == {"name": "length", "low": 1, "high": 400, "scale": "logarithmic"}
    assert searched["ratio"] == {"name": "ratio", "low": 0.1, "high": 100.0, "scale": "logarithmic"}
    assert searched["share"]["scale"] == "linear" and (searched["share"]["low"], searched["share"]["high"]) == (0.001, 0.999)
    assert searched["kind"] == {"name": "kind", "choices": ["plain", "weighted"]}
    assert space.held == {"shorts": True, "endless": 3.0, "words": "none"}
    with pytest.raises(InvalidInput, match="strategy nothing: no parameter is left to search: it has none"):
        search_space(Nothing(Parameters()))
    with pytest.raises(InvalidInput, match="no parameter is left to search: begin, end are held or have no bounds"):
        search_space(in_hours(), hold=["begin", "end"])


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_proposal_for_a_shipped_strategy_breaks_an_order_of_its_parameters(name: str) -> None:
    """S3.29: the model names such a breach; only what it says for other reasons may still be refused."""
    from optuna import create_study, samplers

    space = search_space(create_strategy(name))
    study = create_study(sampler=samplers.RandomSampler(seed=3))
    refusals = [space.refusal(space.propose(study.ask())) for _ in range(100)]
    assert not [words for words in refusals if words and "must be below" in words]
    assert sum(words is None for words in refusals) >= 50


def test_infeasible_parameters_are_never_run_and_none_is_run_twice() -> None:
    """S3.29."""
    InHours.judged.clear()
    found = found_on(market(EDGE))
    tried = [(trial.values["begin"], trial.values["end"]) for trial in found.trials]
    assert set(tried) == InHours.judged and len(set(tried)) == len(tried) == 40
    assert all(begin < end for begin, end in tried)


def test_the_planted_hours_are_found() -> None:
    """The market rises from 9 to 13 UTC and nowhere else."""
    best = found_on(market(EDGE), SearchRules(trials=80, seed=5)).best
    assert best is not None and 8 <= best.values["begin"] <= 10 and 12 <= best.values["end"] <= 14


def test_the_best_is_what_the_engine_gives_for_its_parameters() -> None:
    """One fold: the figures are those of the engine and the metrics module run by hand."""
    found = found_on(market(EDGE), SearchRules(trials=16, folds=1))
    best = found.best
    assert best is not None
    first = HISTORY_DAYS * 24
    source = market(EDGE)
    signals = judge_period(in_hours(**best.values), EDGE, first, source.indicators, source.warm)
    series = MarketSeries("BTC-USDT@x", parse_timeframe("1h"), EDGE.slice(first))
    by_hand = run_backtest(single("in_hours", series, signals, FREE.rules, FREE.book))
    figures = figures_of(by_hand, int(EDGE.open_time[first]))
    assert best.trades == figures.total_trades > 100
    assert best.score == pytest.approx(figures.sharpe, rel=1e-12)
    for name in ("total_return_pct", "max_drawdown_pct", "calmar", "volatility_pct"):
        assert getattr(best.performance, name) == pytest.approx(getattr(figures, name), rel=1e-9)


def test_folds_follow_one_another_and_begin_afresh() -> None:
    stretch = Stretch(START_MS + 3_600_000, START_MS + 100 * DAY_MS)
    folds = folds_of(stretch, 4)
    assert folds[0].start_ms == stretch.start_ms and folds[-1].end_ms == stretch.end_ms
    assert all(before.end_ms == after.start_ms for before, after in itertools.pairwise(folds))
    assert [fold.end_ms % DAY_MS for fold in folds] == [0, 0, 0, 0]
    assert len(folds_of(Stretch(0, 40 * DAY_MS), 4)) == 2, "a fold has at least 14 days"
    assert len(folds_of(Stretch(0, DAY_MS), 4)) == 1
    best = found_on(market(EDGE)).best
    assert best is not None and len(best.returns) == 120, "each day of the four folds once"


@pytest.mark.parametrize("objective", ["sharpe", "calmar", "return"])
def test_the_best_has_the_highest_objective_of_all_that_may_be_chosen(objective: Literal["sharpe", "calmar", "return"]) -> None:
    """The objective is computed here from the daily returns: mean, deviation, growth and deepest fall, a year of 365 days."""
    found = found_on(market(EDGE), SearchRules(objective=objective, trials=24, prune=False))

    def by_hand(returns: np.ndarray) -> float:
        growth = np.cumprod(1 + returns)
        if objective == "sharpe":
            return returns.mean() / returns.std(ddof=1) * math.sqrt(365)
        if objective == "return":
            return (growth[-1] - 1) * 100
        peaks = np.maximum.accumulate(np.concatenate(([1.0], growth)))[1:]
        return (growth[-1] ** (365 / len(returns)) - 1) / (1 - growth / peaks).max()

    scores = {trial.number: by_hand(trial.returns) for trial in found.trials if trial.state == "complete"}
    assert found.best is not None and found.best.number == max(scores, key=lambda number: scores[number])
    assert found.best.score == pytest.approx(scores[found.best.number], rel=1e-9)


def test_too_few_trades_cannot_be_chosen() -> None:
    found = found_on(market(EDGE), SearchRules(trials=8, least_trades=1_000))
    assert found.best is None and found.count("unfit") == 8
    evidence = evidence_of(found, [market(EDGE)], FREE)
    assert evidence.document() == dict.fromkeys(evidence.document())


def test_a_search_ends_when_nothing_is_left_to_try() -> None:
    """With the end held there are 20 beginnings, of which 12 lie before 12 o'clock."""
    space = search_space(in_hours(), hold=["end"])
    found = search(space, [market(EDGE)], after_history(EDGE), FREE, SearchRules(trials=50))
    assert found.exhausted and sorted(trial.values["begin"] for trial in found.trials) == list(range(12))


def test_given_values_come_first_and_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    found = found_on(market(EDGE), first=[{"begin": 2, "end": 3}], told=lambda done, total: told.append((done, total)))
    assert found.trials[0].values == {"begin": 2, "end": 3}
    assert told == [(8, 40), (16, 40), (24, 40), (32, 40), (40, 40)]


def test_a_trial_below_the_median_of_the_finished_ones_is_given_up_between_folds() -> None:
    """The rule is Golovin et al.'s median stopping rule, worked out here for the last batch from the trials before it."""
    rules = SearchRules(trials=40, seed=5)
    found, whole = found_on(market(EDGE), rules), found_on(market(EDGE), rules.model_copy(update={"prune": False}))
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned and not whole.count("pruned")
    assert {trial.state for trial in found.trials[:16]} == {"complete"}, "nothing is given up before there is a median"
    ends = [sum(round(fold.days) for fold in found.folds[:count]) for count in (1, 2, 3)]

    def sharpe(returns: np.ndarray) -> float:
        return returns.mean() / returns.std(ddof=1)

    batch = [trial for trial in found.trials if trial.number >= 32]
    for trial in batch:
        for end in ends:
            finished = [sharpe(each.returns[:end]) for each in found.trials[:32] if each.state == "complete"]
            best_so_far = max(sharpe(trial.returns[:cut]) for cut in ends if cut <= end)
            if best_so_far < np.median(finished):
                assert trial.state == "pruned" and len(trial.returns) == end
                break
        else:
            assert trial.state == "complete"
    assert all(trial.score is None for trial in pruned)


def test_the_answer_hangs_on_the_seed_and_not_on_threads() -> None:
    """C27."""
    plain = found_on(market(EDGE))
    assert everything(found_on(market(EDGE), workers=4)) == everything(plain)
    assert everything(found_on(market(EDGE), SearchRules(trials=40, seed=6))) != everything(plain)
    with pytest.raises(InvalidInput, match="workers must be from 1 to 256, was 0"):
        found_on(market(EDGE), workers=0)


def test_another_process_with_other_hashes_finds_the_same() -> None:
    """C27: two values of PYTHONHASHSEED."""
    script = (
        "from fks_assets_tests.quant.test_optimisation import EDGE, everything, found_on, market\n"
        "import hashlib\nprint(hashlib.sha256(everything(found_on(market(EDGE), workers=2)).encode()).hexdigest())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "4242")
    }
    assert len(answers) == 1


def test_no_candle_after_the_period_is_read() -> None:
    """D6: with other prices after it, and with none at all, the search says the same to the last bit."""
    stretch = Stretch(START_MS + HISTORY_DAYS * DAY_MS, START_MS + 100 * DAY_MS)
    space, wild = search_space(in_hours()), hours(150, seed=99)
    later = EDGE.open_time >= stretch.end_ms
    others = {name: np.where(later, getattr(wild, name) * 7, getattr(EDGE, name)) for name in OHLCV_COLUMNS}
    for other in (EDGE.between(0, stretch.end_ms), dataclasses.replace(EDGE, **others)):
        answers = [everything(search(space, [market(each)], stretch, FREE, QUICK)) for each in (EDGE, other)]
        assert answers[0] == answers[1]


def test_a_period_without_candles_cannot_be_searched() -> None:
    late = Stretch(START_MS + 500 * DAY_MS, START_MS + 600 * DAY_MS)
    with pytest.raises(InsufficientData, match="no market has a candle in the period to search"):
        search(search_space(in_hours()), [market(EDGE)], late, FREE, QUICK)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("trials", 1, "trials: Input should be greater than or equal to 2, was 1"),
        ("seed", -1, "seed: Input should be greater than or equal to 0, was -1"),
        ("least_trades", 0, "least_trades: Input should be greater than or equal to 1, was 0"),
        ("objective", "luck", "objective: Input should be 'sharpe', 'calmar' or 'return', was 'luck'"),
        ("folds", 25, "folds: Input should be less than or equal to 24, was 25"),
    ],
)
def test_bad_rules_are_named_with_field_bound_and_value(field: str, value: object, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        SearchRules(**{field: value})
    assert str(refused.value) == words


def test_a_plateau_is_stable_and_a_spike_is_not() -> None:
    """On the island the strategy is right, off it it is wrong; the best of both is the middle of the island."""
    swings = market(swinging(120))
    shares = {}
    for radius in (30.0, 1.0):
        space = search_space(Island(IslandParameters(radius=radius)))
        found = search(
            space, [swings], after_history(swings.series.candles), FREE, SearchRules(trials=2), first=[{"x": 50.0, "y": 50.0}]
        )
        assert found.best is not None and found.best.values == {"x": 50.0, "y": 50.0} and (found.best.score or 0) > 3
        stability = parameter_stability(found, found.best, [swings], FREE)
        assert stability.neighbours == 32 and stability == parameter_stability(found, found.best, [swings], FREE, workers=3)
        shares[radius] = stability.share
    assert shares == {30.0: 1.0, 1.0: 0.0}


def test_what_a_search_is_worth_counts_every_trial() -> None:
    """The deflated Sharpe ratio by the formulas of Bailey and López de Prado, written out here; those given up early count.

    The spread of the trials' ratios is that of their quartiles.
    """
    found = found_on(market(EDGE), SearchRules(trials=60, seed=5))
    evidence = evidence_of(found, [market(EDGE)], FREE)
    assert found.count("pruned") > 0 and found.best is not None
    whole = np.column_stack([trial.returns for trial in found.trials if trial.state != "pruned"])
    correlations = np.corrcoef(whole, rowvar=False)
    mean = correlations[~np.eye(len(correlations), dtype=bool)].mean()
    trials = mean + (1 - mean) * 60
    assert evidence.independent_trials == pytest.approx(trials, rel=1e-9)
    sharpes = sorted(whole.mean(axis=0) / whole.std(axis=0, ddof=1))
    places = [part * (len(sharpes) - 1) for part in (0.25, 0.75)]
    low, high = (sharpes[int(at)] + at % 1 * (sharpes[int(at) + 1] - sharpes[int(at)]) for at in places)
    bar = expected_best_sharpe(trials, ((high - low) / 1.349) ** 2)
    best = found.best.returns
    observed, count = best.mean() / best.std(ddof=1), len(best)
    centred = (best - best.mean()) / best.std()
    skew = (centred**3).mean() * math.sqrt(count * (count - 1)) / (count - 2)
    flat = (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * ((centred**4).mean() - 3) + 6)
    spread = math.sqrt((1 - skew * observed + (flat + 2) / 4 * observed**2) / (count - 1))
    assert evidence.deflated_sharpe == pytest.approx(0.5 * math.erfc(-(observed - bar) / spread / math.sqrt(2)), rel=1e-9)
    assert evidence.overfitting is not None and evidence.overfitting.blocks == 16


def test_a_search_of_noise_looks_like_one_and_a_search_of_an_edge_does_not() -> None:
    noise, edge = market(hours(330, seed=21)), market(hours(330, seed=21, edge=0.0015))
    lucky, skilled = (evidence_of(found_on(each), [each], FREE) for each in (noise, edge))
    assert lucky.deflated_sharpe is not None and skilled.deflated_sharpe is not None
    assert lucky.deflated_sharpe < 0.9 < 0.99 < skilled.deflated_sharpe
    assert lucky.overfitting is not None and skilled.overfitting is not None
    assert skilled.overfitting.probability < 0.1 < lucky.overfitting.probability


def test_a_few_points_that_only_pay_fees_do_not_hide_skill() -> None:
    """Two trials that lose 3 % a day widen the deviation of all ratios so far that nothing would pass; their quartiles stay."""
    edge = market(hours(330, seed=21, edge=0.0015))
    found = found_on(edge, SearchRules(trials=40, seed=5, prune=False))
    costly = [
        dataclasses.replace(trial, number=40 + place, returns=trial.returns - 0.03)
        for place, trial in enumerate(found.trials[:2])
    ]
    worse = dataclasses.replace(found, trials=(*found.trials, *costly))
    plain, hidden = (evidence_of(each, [edge], FREE).deflated_sharpe for each in (found, worse))
    assert plain is not None and plain > 0.95 and hidden == pytest.approx(plain, abs=0.01)
    sharpes = np.array([each.returns.mean() / each.returns.std(ddof=1) for each in worse.trials if each.state != "pruned"])
    assert found.best is not None
    assert (deflated_sharpe(found.best.returns, sharpes * math.sqrt(365)) or 0) < 0.1


def test_the_picture_shows_every_trial_that_has_a_score() -> None:
    drawn = trials_picture(np.array([0.5, np.nan, 1.5, 1.0]), title="trials of one")
    assert drawn.count("h0") == 3 and "best so far" in drawn and "trials of one" in drawn
    assert "No trial can be chosen" in trials_picture(np.array([np.nan]), title="none")


class BoundedParameters(Parameters):
    """Lengths that may not all be long at once, and a way of looking that takes four times as many candles."""

    fast: int = Field(20, ge=5, le=400)
    slow: int = Field(60, ge=5, le=400)
    kind: Literal["short", "long"] = "short"

    @model_validator(mode="after")
    def _bounded(self) -> "BoundedParameters":
        if self.fast + self.slow > 420:
            raise ValueError(f"fast + slow must be at most 420, was {self.fast + self.slow}")
        return self


class Bounded(Strategy[BoundedParameters]):
    name = "bounded"
    parameters_model = BoundedParameters

    @property
    def lookback_rows(self) -> int:
        return max(self.parameters.fast, self.parameters.slow) * (4 if self.parameters.kind == "long" else 1)

    def judge(self, candles, indicators):
        raise NotImplementedError


def test_the_history_that_is_read_is_enough_for_every_point_that_the_model_takes() -> None:
    """The model refuses all upper ends at once; the longest history is that of one number at its end, by the slower choice."""
    space = search_space(Bounded(BoundedParameters()))
    assert space.strategy_of({"fast": 400, "slow": 400, "kind": "long"}) is None
    assert space.longest_lookback() == 1600
    draws = np.random.default_rng(3)
    drawn = [own for own in (space.strategy_of(space.drawn(draws)) for _ in range(500)) if own is not None]
    assert len(drawn) > 100 and max(own.lookback_rows for own in drawn) <= 1600
