"""Walk-forward: what is chosen on the past keeps nothing of a random walk, and most of an edge that is really there."""

import dataclasses

import numpy as np
import pytest

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.candles import OHLCV_COLUMNS
from fks_assets.quant.optimisation import SearchRules
from fks_assets.quant.search_space import SearchSpace, search_space
from fks_assets.quant.search_trials import Stretch, Track
from fks_assets.quant.walk_forward import (
    Window,
    WindowOutcome,
    WindowRules,
    efficiency,
    put_together,
    run_window,
    walk_forward,
    windows_of,
)
from fks_assets_tests.quant.searching import (
    DAY_MS,
    FREE,
    HOUR_MS,
    START_MS,
    HoursParameters,
    InHours,
    after_history,
    hours,
    market,
)

MONTHLY = WindowRules(in_days=90, out_days=30)
RULES = SearchRules(trials=24, folds=1, least_trades=5)


def space() -> SearchSpace:
    return search_space(InHours(HoursParameters()))


def days(window: Window) -> tuple[int, int, int]:
    """Return in days since the start of the candles: where is chosen from, where is tried from, and until when."""
    return tuple((at - START_MS) // DAY_MS for at in (window.inside.start_ms, window.outside.start_ms, window.outside.end_ms))


def test_windows_roll_through_time_and_no_day_is_out_of_sample_twice() -> None:
    period = Stretch(START_MS, START_MS + 200 * DAY_MS)
    assert [days(each) for each in windows_of(period, MONTHLY)] == [(0, 90, 120), (30, 120, 150), (60, 150, 180)]
    anchored = WindowRules(in_days=90, out_days=30, anchored=True)
    assert [days(each) for each in windows_of(period, anchored)] == [(0, 90, 120), (0, 120, 150), (0, 150, 180)]
    gaps = WindowRules(in_days=90, out_days=30, step_days=45)
    assert [days(each) for each in windows_of(period, gaps)] == [(0, 90, 120), (45, 135, 165)]
    late = windows_of(Stretch(START_MS + HOUR_MS, period.end_ms), MONTHLY)
    assert days(late[0]) == (1, 91, 121) and all(each.inside.end_ms == each.outside.start_ms for each in late)
    with pytest.raises(InsufficientData, match=r"a walk-forward window needs 90 \+ 30 days, the period has 119\.0"):
        windows_of(Stretch(START_MS, START_MS + 119 * DAY_MS), MONTHLY)
    with pytest.raises(InvalidInput, match="step_days must be at least out_days, 30, was 29"):
        WindowRules(in_days=90, out_days=30, step_days=29)
    with pytest.raises(InvalidInput, match="in_days: Input should be greater than or equal to 7, was 6"):
        WindowRules(in_days=6)


def test_what_is_chosen_has_seen_nothing_of_the_window_or_later() -> None:
    """D6: candles from the end of the in-sample stretch on are cut off, or replaced by others: the choice stays the same."""
    candles = hours(200, seed=3, edge=0.001)
    (window, *_) = windows_of(after_history(candles), MONTHLY)
    outcome, found = run_window(space(), [market(candles)], window, FREE, RULES)
    later = candles.open_time >= window.outside.start_ms
    wild = hours(200, seed=77)
    others = {name: np.where(later, getattr(wild, name) * 5, getattr(candles, name)) for name in OHLCV_COLUMNS}
    for other in (candles.between(0, window.inside.end_ms), dataclasses.replace(candles, **others)):
        again, searched = run_window(space(), [market(other)], window, FREE, RULES)
        assert [trial.document() for trial in searched.trials] == [trial.document() for trial in found.trials]
        assert again.values == outcome.values and again.inside.tobytes() == outcome.inside.tobytes()
        assert again.outside.tobytes() != outcome.outside.tobytes(), "what it gives is of the candles after it"


def test_the_out_of_sample_curve_is_what_each_choice_gives_in_its_window_one_after_another() -> None:
    candles = hours(230, seed=5, edge=0.001)
    source, period = market(candles), after_history(candles)
    windows = windows_of(period, MONTHLY)
    told: list[tuple[int, int]] = []
    walked = walk_forward(space(), [source], windows, FREE, RULES, told=lambda done, total: told.append((done, total)))
    assert len(walked.windows) == 3 and told[-1] == (72, 72) and told == sorted(told)
    growth = 1.0
    for outcome, window, searched in zip(walked.windows, windows, walked.searches, strict=True):
        assert searched.best is not None and outcome.values == searched.best.values
        alone = Track([source], window.outside, FREE).run(InHours(HoursParameters(**outcome.values)))
        np.testing.assert_array_equal(outcome.outside, alone.returns)
        assert len(outcome.outside) == 30 and len(outcome.inside) == 90 and outcome.trades == alone.trades > 0
        growth *= np.prod(1 + alone.returns)
    assert walked.performance.days == 90
    assert walked.performance.total_return_pct == pytest.approx((growth - 1) * 100, rel=1e-9)
    again = walk_forward(space(), [source], windows, FREE, RULES, workers=3)
    assert again.together == walked.together


def test_a_search_of_a_random_walk_keeps_nothing_and_a_real_edge_is_kept() -> None:
    """C24: the best of 24 pairs of hours on 30 days, without costs: on a random walk that is luck, in sample and there alone.

    A standard error of the mean of 1,500 days out of sample is about a tenth of what is promised in sample.
    """
    monthly, kept = WindowRules(in_days=30, out_days=30), {}
    for edge in (0.0, 0.0015):
        inside, outside = [], []
        for seed in (1, 2, 3):
            candles = hours(560, seed=seed, edge=edge)
            walked = walk_forward(space(), [market(candles)], windows_of(after_history(candles), monthly), FREE, RULES)
            inside += [each.inside for each in walked.windows]
            outside += [each.outside for each in walked.windows]
        annual = [float(np.concatenate(each).mean()) * 365 * 100 for each in (inside, outside)]
        assert len(inside) == 48 and annual[0] > 80, "in sample both look very good"
        kept[edge] = efficiency(*annual)
    assert kept[0.0] is not None and abs(kept[0.0]) < 0.25
    assert kept[0.0015] is not None and kept[0.0015] > 0.75


def outcome_with(inside: float, outside: float, begin: int | None, end: int = 20) -> WindowOutcome:
    stretch = Stretch(START_MS, START_MS + 10 * DAY_MS)
    values = None if begin is None else {"begin": begin, "end": end}
    return WindowOutcome(Window(stretch, stretch), values, np.full(20, inside), np.full(10, outside), 3, ruined=False)


def test_the_figures_of_windows_by_hand() -> None:
    """In sample 0.1 % a day on average, out of sample 0.02 %: 36.5 % and 7.3 % a year, an efficiency of a fifth."""
    given = [(0.002, 0.0011, 0), (0.001, -0.0005, 19), (0.0, 0.0, None), (0.001, 0.0002, 19)]
    together = put_together(space(), [outcome_with(*each) for each in given])
    assert (together.windows, together.days) == (4, 40)
    assert together.in_sample_annual_pct == pytest.approx(36.5) and together.out_of_sample_annual_pct == pytest.approx(7.3)
    assert together.efficiency == pytest.approx(0.2)
    assert together.profitable_pct == 50.0
    assert together.drift == pytest.approx(0.25), (
        "the beginning once over its whole range, the end never; the second time neither"
    )


def test_efficiency_is_negative_for_a_loss_and_undefined_where_nothing_was_promised() -> None:
    assert efficiency(50.0, -25.0) == -0.5
    assert efficiency(50.0, 0.0) == 0.0
    assert efficiency(0.0, 10.0) is None and efficiency(-10.0, -20.0) is None and efficiency(None, 5.0) is None
    assert put_together(space(), [outcome_with(-0.001, 0.001, 3)]).efficiency is None
    assert put_together(space(), [outcome_with(0.001, 0.001, 3)]).drift is None


def test_a_window_without_a_choice_stays_out_of_the_market() -> None:
    candles = hours(160, seed=8)
    (window, *_) = windows_of(after_history(candles), MONTHLY)
    outcome, _ = run_window(space(), [market(candles)], window, FREE, SearchRules(trials=4, least_trades=5_000))
    assert outcome.values is None and outcome.gain == 0.0 and outcome.trades == 0
    assert (len(outcome.inside), len(outcome.outside)) == (90, 30) and not outcome.inside.any()
