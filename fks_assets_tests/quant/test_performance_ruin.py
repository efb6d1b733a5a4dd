"""An account that lost everything is over, for figures and for searches."""

import numpy as np
import pytest

from fks_assets.quant.backtest.rules import BookRules, LegRules, Sizing
from fks_assets.quant.optimisation import SearchRules, search
from fks_assets.quant.performance import measure
from fks_assets.quant.performance_ruin import after_ruin
from fks_assets.quant.performance_rules import broken_rules
from fks_assets.quant.search_space import search_space
from fks_assets.quant.search_trials import Terms
from fks_assets_tests.quant.searching import DAY_MS, START_MS, HoursParameters, InHours, after_history, hours, market


@pytest.mark.parametrize("lost", [0.0, -250.0, 1e-8])
def test_what_comes_after_zero_does_not_count(lost: float) -> None:
    equity, row = after_ruin(np.array([100.0, 40.0, lost, 90.0, 120.0]), 100.0)
    assert row == 2 and equity.tolist() == pytest.approx([100.0, 40.0, 1e-7, 1e-7, 1e-7], rel=1e-12)
    figures = measure(START_MS + DAY_MS * np.arange(5, dtype=np.int64), equity)
    assert figures.total_return_pct == pytest.approx(-100, abs=1e-6) and figures.cagr_pct == pytest.approx(-100, abs=1e-6)
    assert figures.max_drawdown_intraday_pct == pytest.approx(100, abs=1e-6)
    assert figures.sharpe is not None and figures.sharpe < 0
    assert broken_rules(figures)[0] == "The account was ruined: it lost all of its equity" and len(broken_rules(figures)) == 4


def test_an_account_that_lives_is_left_as_it_is() -> None:
    equity = np.array([100.0, 1e-3, 50.0])
    kept, row = after_ruin(equity, 100.0)
    assert kept is equity and row is None
    figures = measure(START_MS + DAY_MS * np.arange(3, dtype=np.int64), np.array([100.0, 0.01, 50.0]))
    assert not any("ruined" in line for line in broken_rules(figures)), "99.99 % down is not ruin"


def test_a_trial_that_is_ruined_cannot_be_chosen() -> None:
    """Short with ten times the money that there is, in a market that doubles every week."""
    steep = market(hours(60, seed=2, edge=0.0045, edge_hours=(0, 24)))
    rules = LegRules(long=False, sizing=Sizing(kind="notional", size=100_000.0), leverage=20.0, maintenance_margin=0.0)
    terms = Terms(rules.model_copy(update={"cooldown_minutes": 0.0}), BookRules())
    stretch = after_history(steep.series.candles)
    found = search(search_space(InHours(HoursParameters())), [steep], stretch, terms, SearchRules(trials=4, least_trades=1))
    assert found.best is None and found.count("unfit") == 4
    worst = min(trial.performance.total_return_pct or 0 for trial in found.trials)
    assert worst == pytest.approx(-100, abs=1e-3)
