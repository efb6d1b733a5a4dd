"""Axes, grids, their ranking and what lies beside the best, and the picture of it all; expected numbers are reckoned by hand."""

import re
from decimal import Decimal
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.rules import LegRules, Rules
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.sweep_axes import Axis, read_axis, words
from fks_assets.quant.sweep_charts import MOST_ACROSS, heat_map, heat_map_words
from fks_assets.quant.sweep_grid import Grid, GridRules, Plane, Ranking, grid_of, plane_of, plateau_of, ranked

NAN = float("nan")


class Fields(Rules):
    """One field of each kind."""

    whole: int = Field(5, ge=1, le=400)
    part: float = Field(0.5, gt=0, le=100)
    maybe: float | None = Field(None, gt=0, lt=100)
    flag: bool = True
    side: Literal["long", "short"] = "long"
    text: str = "a"
    several: tuple[int, ...] = ()


def axis(name: str, text: str) -> Axis:
    return read_axis(name, text, Fields.model_fields[name])


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("whole", "30,10, 20", (10, 20, 30)),
        ("whole", "10:50:10", (10, 20, 30, 40, 50)),
        ("whole", "7:7:1", (7,)),
        ("whole", "1:3:1,10,2e1", (1, 2, 3, 10, 20)),
        ("part", "0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        ("part", "1,2.5", (1.0, 2.5)),
        ("maybe", "2,none,0.5:1:0.25", (None, 0.5, 0.75, 1.0, 2.0)),
        ("flag", "true,false", (True, False)),
        ("side", "short,long", ("short", "long")),
        ("text", "b:c,a", ("b:c", "a")),
    ],
)
def test_values_are_read_as_they_are_meant(name: str, text: str, values: tuple[Any, ...]) -> None:
    found = axis(name, text).values
    assert found == values and [type(each) for each in found] == [type(each) for each in values]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("whole", "10,500", "sweep whole: Input should be less than or equal to 400, was 500"),
        ("whole", "0:4:2", "sweep whole: Input should be greater than or equal to 1, was 0"),
        ("whole", "10.5", "sweep whole: Input should be a valid integer, was 10.5"),
        ("whole", "ten", "sweep whole: Input should be a valid integer, was 'ten'"),
        ("whole", "true", "sweep whole: Input should be a valid integer, was 'true'"),
        ("whole", "none", "sweep whole: Input should be a valid integer, was 'none'"),
        ("whole", "10:55:10", "sweep whole: '10:55:10' does not reach its end: after 50 comes 60"),
        ("whole", "10:5:1", "sweep whole: '10:5:1' must go up: TO not below FROM, STEP above 0"),
        ("whole", "1:5:0", "sweep whole: '1:5:0' must go up: TO not below FROM, STEP above 0"),
        ("whole", "1:5", "sweep whole: '1:5' is not of the form FROM:TO:STEP, three numbers"),
        ("whole", "1:x:2", "sweep whole: '1:x:2' is not of the form FROM:TO:STEP, three numbers"),
        ("whole", "1:1e18:1", "sweep whole: '1:1e18:1' is more than 100,000 values"),
        ("whole", "10,,20", "sweep whole: a value is missing; values are written 10,20,30 or FROM:TO:STEP"),
        ("whole", "", "sweep whole: a value is missing; values are written 10,20,30 or FROM:TO:STEP"),
        ("whole", "10,20,10.0", "sweep whole: 10 is given twice"),
        ("part", "nan", "sweep part: Input should be a valid number, was 'nan'"),
        ("part", "1e999999999", "sweep part: Input should be a valid number, was '1e999999999'"),
        ("maybe", "100", "sweep maybe: Input should be less than 100, was 100.0"),
        ("flag", "yes", "sweep flag: Input should be a valid boolean, was 'yes'"),
        ("flag", "1", "sweep flag: Input should be a valid boolean, was '1'"),
        ("side", "up", "sweep side: Input should be 'long' or 'short', was 'up'"),
        ("several", "1", "sweep several: only numbers, words and true or false can be swept"),
    ],
)
def test_wrong_values_are_one_line_that_names_field_value_and_bound(name: str, text: str, line: str) -> None:
    """F16."""
    with pytest.raises(InvalidInput) as refused:
        axis(name, text)
    assert str(refused.value) == line


@given(low=st.integers(1, 5000), step=st.integers(1, 500), count=st.integers(1, 60), digits=st.integers(0, 4))
def test_a_range_has_the_decimals_that_a_person_would_write(low: int, step: int, count: int, digits: int) -> None:
    unit = Decimal(10) ** -digits
    expected = [(low + place * step) * unit for place in range(count)]
    expected = [each for each in expected if each <= 100]
    if expected:
        found = axis("part", f"{expected[0]}:{expected[-1]}:{step * unit}")
        assert found.values == tuple(float(str(each)) for each in expected)


def grid(**texts: str) -> Grid:
    """Return a grid of breakout, which has to have `stop_loss_percent` below `take_profit_percent`, and of some rules."""
    fields = create_strategy("breakout").parameters.__class__.model_fields
    axes = [
        read_axis(name.replace("rules_", "rules."), text, (LegRules.model_fields | fields)[name.removeprefix("rules_")])
        for name, text in texts.items()
    ]
    return grid_of(axes, lambda values: create_strategy("breakout", dict(values)), lambda values: LegRules(**values))


def test_a_grid_is_the_product_without_what_the_models_refuse() -> None:
    found = grid(ema_fast="3,8,20", rules_stop_percent="none,1", ema_slow="8,21")
    assert len(found) + found.refused == 12 and found.refused == 4
    assert [found.values(row) for row in range(3)] == [
        {"ema_fast": 3, "rules.stop_percent": None, "ema_slow": 8},
        {"ema_fast": 3, "rules.stop_percent": None, "ema_slow": 21},
        {"ema_fast": 3, "rules.stop_percent": 1.0, "ema_slow": 8},
    ]
    assert all(each.parameters.ema_fast < each.parameters.ema_slow for each in found.strategies)
    assert (len(found.strategies), len(found.rules)) == (4, 2), "each is made once, whatever the other axes are"
    for row, each in enumerate(found.combinations):
        own = found.strategies[each.strategy].parameters
        assert found.values(row) == {
            "ema_fast": own.ema_fast, "rules.stop_percent": found.rules[each.rules].stop_percent, "ema_slow": own.ema_slow,
        }  # fmt: skip
    both = grid(rules_leverage="1,10", rules_maintenance_margin="0.005,0.2")
    assert [(values["rules.leverage"], values["rules.maintenance_margin"]) for values in map(both.values, range(3))] == [
        (1.0, 0.005), (1.0, 0.2), (10.0, 0.005),
    ]  # fmt: skip


def test_a_grid_without_combinations_or_with_too_many_is_refused_in_one_line() -> None:
    """F16."""
    why = "the first as strategy breakout: ema_fast must be below ema_slow, was 20 and 5"
    with pytest.raises(InvalidInput, match=f"^sweep: every one of 4 combinations is refused, {why}$"):
        grid(ema_fast="20,30", ema_slow="5,6")
    with pytest.raises(InvalidInput, match=r"^sweep: 125,000 combinations are above the bound of 100,000: sweep fewer values$"):
        grid(lookback="2:51:1", rsi_period="2:51:1", volume_period="1:50:1")
    with pytest.raises(InvalidInput, match=r"^sweep lookback is given twice$"):
        grid_of([Axis("lookback", (5,)), Axis("lookback", (6,))], lambda _: create_strategy("breakout"), lambda _: LegRules())


def test_combinations_rank_by_the_median_over_the_markets_and_an_undefined_figure_is_the_lowest() -> None:
    objective = np.array([[1.0, 3.0, 2.0, 9.0, NAN, 2.0], [2.0, 1.0, 2.0, 9.0, 5.0, 7.0], [6.0, 1.5, NAN, 9.0, NAN, 2.0]])
    trades = np.array([[20.0, 20, 20, 3, 20, 20], [20, 20, 20, 3, 20, 20], [20, 20, 2, 30, 20, 20]])
    ruined = np.zeros((3, 6), np.bool_)
    found = ranked(objective, trades, ruined, GridRules(least_trades=10))
    np.testing.assert_array_equal(found.score, [2.0, 1.5, 2.0, 9.0, NAN, 2.0])
    np.testing.assert_array_equal(found.lowest, [1.0, 1.0, NAN, 9.0, NAN, 2.0])
    assert found.trades.tolist() == [20, 20, 20, 3, 20, 20]
    assert found.fit.tolist() == [True, True, True, False, False, True]
    assert found.order.tolist() == [0, 2, 5, 1, 3, 4] and found.rank.tolist() == [1, 4, 2, 0, 0, 3] and found.best == 0
    ruined[1, 0] = True
    assert ranked(objective, trades, ruined, GridRules()).best == 2
    assert ranked(objective[:, 3:5], trades[:, 3:5], ruined[:, 3:5], GridRules()).best is None
    even = ranked(np.array([[1.0], [NAN]]), np.full((2, 1), 20.0), np.zeros((2, 1), np.bool_), GridRules())
    assert np.isnan(even.score[0]) and even.best is None, "of two markets one is not defined: nor is the middle of the two"


def by_score(found: Grid, scores: dict[tuple[int, ...], float], fit: set[tuple[int, ...]] | None = None) -> Ranking:
    """Return the ranking on one market of combinations by their places."""
    own = np.array([[scores[each.places] for each in found.combinations]])
    enough = np.array([[20.0 if fit is None or each.places in fit else 1.0 for each in found.combinations]])
    return ranked(own, enough, np.zeros(own.shape, np.bool_), GridRules())


def test_the_plateau_is_the_median_of_one_step_along_each_axis() -> None:
    found = grid(lookback="10,20,30", volume_ratio="1,2", momentum_signals="true,false", rules_stop_percent="none,1")
    scores = {each.places: 0.1 for each in found.combinations}
    scores |= {(1, 0, 0, 1): 2.0, (0, 0, 0, 1): 1.0, (2, 0, 0, 1): 1.6, (1, 1, 0, 1): NAN, (1, 0, 1, 1): 9.0, (1, 0, 0, 0): 8.0}
    ranking = by_score(found, scores)
    row = [each.places for each in found.combinations].index((1, 0, 0, 1))
    plateau = plateau_of(found, ranking, row, GridRules())
    assert [(step.axis, step.value) for step in plateau.steps] == [("lookback", 10), ("lookback", 30), ("volume_ratio", 2.0)]
    assert (plateau.share, plateau.median, plateau.worst, plateau.edges) == (0.5, 1.0, 0.0, ("volume_ratio",))
    loss = plateau_of(found, ranking, [each.places for each in found.combinations].index((1, 1, 0, 1)), GridRules())
    assert loss.share is None, "nothing is a share of what is not above break-even"
    factor = GridRules(objective="profit_factor")
    assert plateau_of(found, ranking, row, factor).share == 0.0, "a profit factor of 1 is nothing: (1 - 1) / (2 - 1)"
    alone = grid(momentum_signals="true,false")
    assert plateau_of(alone, by_score(alone, {(0,): 1.0, (1,): 2.0}), 1, GridRules()).steps == ()


def test_a_combination_that_was_refused_is_no_step_and_a_hole_in_the_plane() -> None:
    found = grid(ema_fast="3,8,13", lookback="10,20", ema_slow="8,13")
    ranking = by_score(found, {each.places: float(place) for place, each in enumerate(found.combinations)})
    assert found.values(ranking.best or 0) == {"ema_fast": 8, "lookback": 20, "ema_slow": 13}
    plateau = plateau_of(found, ranking, ranking.best or 0, GridRules())
    assert [(step.axis, step.value) for step in plateau.steps] == [("ema_fast", 3), ("lookback", 10)]
    plane = plane_of(found, ranking.best or 0)
    assert plane.down is not None and (plane.down.name, plane.across.name) == ("lookback", "ema_fast"), "the longer one across"
    assert plane.held == {"ema_slow": 13} and plane.best == (1, 1)
    assert (plane.rows[:, 2] == -1).all() and plane.rows[1, 1] == ranking.best
    assert heat_map_words(plane) == "Held as in the best: ema_slow 13."
    assert "13" not in texts_of(heat_map(plane, ranking, break_even=0.0, label="")), "a value that was always refused is left out"
    ordered = grid(ema_fast="3,8", ema_slow="5,13")
    ranking = by_score(ordered, {each.places: float(place) for place, each in enumerate(ordered.combinations)})
    assert heat_map_words(plane_of(ordered, 0)) == "A hole is a combination that was refused."
    assert len(re.findall('height="25.5"', heat_map(plane_of(ordered, 0), ranking, break_even=0.0, label=""))) == 3


def texts_of(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("text")]


def test_the_heat_map_shows_every_value_marks_the_best_and_leaves_pale_what_may_not_be_chosen() -> None:
    found = grid(lookback="10,20,30", ema_fast="3,8")
    scores = {(0, 0): 1.5, (0, 1): -0.5, (1, 0): 2.25, (1, 1): NAN, (2, 0): 0.75, (2, 1): 5.5}
    ranking = by_score(found, scores, set(scores) - {(2, 1)})
    drawn = heat_map(plane_of(found, ranking.best or 0), ranking, break_even=0.0, label="Grid: <Sharpe> ratio")
    texts = texts_of(drawn)
    assert texts[:11] == ["ema_fast", "3", "1.50", "2.25", "0.75", "8", "−0.50", "–", "5.50", "10", "20"]
    cells = re.findall(r"<rect[^>]*>", drawn)
    assert ['stroke="var(--curve)"' in cell for cell in cells[:6]] == [False, True, False, False, False, False]
    fills = [match[1] for cell in cells[:6] if (match := re.search(r'fill="([^"]*)"', cell))]
    assert fills == ["var(--g3)", "var(--g5)", "var(--g1)", "var(--l5)", "var(--ground)", "var(--ground)"]
    assert "may not be chosen" in texts and ElementTree.fromstring(drawn).get("aria-label") == "Grid: <Sharpe> ratio"
    one = grid(lookback="10,20,30")
    ranking = by_score(one, {(0,): 1.0, (1,): 2.0, (2,): 1.0})
    assert texts_of(heat_map(plane_of(one, 1), ranking, break_even=0.0, label="one"))[:4] == ["", "1.00", "2.00", "1.00"]


def test_a_large_plane_shows_its_ends_and_what_is_beside_the_best() -> None:
    values = tuple(range(1, 101))
    ranking = ranked(np.sin(np.arange(1.0, 101.0))[None, :], np.full((1, 100), 20.0), np.zeros((1, 100), np.bool_), GridRules())
    best = ranking.best or 0
    plane = Plane(None, Axis("length", values), np.arange(100)[None, :], (0, best), {})
    drawn = heat_map(plane, ranking, break_even=0.0, label="large")
    shown = re.findall(r"<rect[^>]*>", drawn)
    assert len([cell for cell in shown if 'height="25.5"' in cell]) == MOST_ACROSS
    assert {words(values[place]) for place in (0, best, 99)} <= set(texts_of(drawn))
    assert heat_map_words(plane) == f"Of 100 values of length {MOST_ACROSS} are shown."
