"""The rules that let a strategy trade: S2.14, X2, X3 and F3."""

from dataclasses import replace

import numpy as np
import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.performance import Performance, measure
from fks_assets.quant.performance_rules import RULES, Rule, broken_rules
from fks_assets.quant.performance_series import DAY_MS
from fks_assets_tests.quant.series import START_MS

GOOD = measure(START_MS + DAY_MS * np.arange(4), np.array([100.0, 110.0, 105.0, 120.0]))


def figures(**changed: float | None) -> Performance:
    return replace(GOOD, **changed)  # type: ignore[arg-type]


def test_a_strategy_within_all_bounds_breaks_none():
    assert broken_rules(GOOD) == ()
    assert [rule.figure for rule in RULES] == ["sharpe", "total_return_pct", "max_drawdown_intraday_pct"]


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"sharpe": 1.0}, ()),
        ({"sharpe": 0.9999}, ("Sharpe ratio was 0.9999, must be >= 1",)),
        ({"total_return_pct": 0.0}, ("Total return was 0.0000 %, must be > 0 %",)),
        ({"max_drawdown_intraday_pct": 29.9999}, ()),
        ({"max_drawdown_intraday_pct": 30.0}, ("Max drawdown, any bar was 30.0000 %, must be < 30 %",)),
        ({"sharpe": None}, ("Sharpe ratio is not defined, must be >= 1",)),
    ],
)
def test_sharpe_from_one_return_above_zero_drawdown_below_thirty(changed, lines):
    """X2: a Sharpe ratio of exactly 1 passes. X3: a drawdown of exactly 30 % fails. What is not known fails."""
    assert broken_rules(figures(**changed)) == lines


def test_each_rule_fires_by_itself_on_a_measured_curve():
    """F3: two of three rules never fired, for they read names that the engine did not give."""
    for equity in ([1.1, 1.2, 0.77, 2.0], [110.0, 120.0, 77.0, 200.0], [10.0, 11.0, 7.7, 9.0]):
        fallen = measure(START_MS + DAY_MS * np.arange(4), np.array(equity))
        assert any(line.startswith("Max drawdown") for line in broken_rules(fallen)), equity
    lost = measure(START_MS + DAY_MS * np.arange(4), np.array([100.0, 99.0, 100.0, 98.0]))
    assert [line.split(" was")[0] for line in broken_rules(lost)] == ["Sharpe ratio", "Total return"]


@pytest.mark.parametrize("fall", [0.7, 7 / 10, 77 / 110, 0.77 / 1.1, 2.1 / 3])
def test_a_fall_of_thirty_percent_is_one_whatever_its_last_bit_says(fall):
    figures = measure(START_MS + DAY_MS * np.arange(3), np.array([1.0, 1.1, 1.1 * fall]))
    assert any("Max drawdown" in line for line in broken_rules(figures))


@pytest.mark.parametrize("rule", [("Max Drawdown (%)", "<", 30.0), ("sharpe", "=>", 1.0)])
def test_rules_on_what_is_not_measured_cannot_be_made(rule):
    with pytest.raises(InvalidInput, match="no such figure or comparison"):
        Rule(*rule)
