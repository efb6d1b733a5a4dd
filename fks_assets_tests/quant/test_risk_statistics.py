"""Value at risk, expected shortfall, correlated exposure, drawdown: against the standard library and published figures."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.performance_series import DAY_MS
from fks_assets.quant.risk_statistics import DailyReturns, correlated_exposure, daily_returns, drawdowns, tail_loss

DAY = 1_767_225_600_000  # 2026-01-01


def returns_of(*columns: list[float]) -> DailyReturns:
    values = np.array(columns, np.float64).T
    return DailyReturns(tuple("ABCDEF"[: len(columns)]), DAY + DAY_MS * np.arange(len(values)), values)


# An investment of 100: in 10 % of the cases all is lost, in 30 % 20, in 40 % nothing, in 20 % 50 are gained. Source of the table
# and of the shortfalls: Wikipedia, "Expected shortfall", section Examples, the portfolio for which 100 was paid.
PUBLISHED = returns_of([-1.0] * 10 + [-0.2] * 30 + [0.0] * 40 + [0.5] * 20)


@pytest.mark.parametrize(
    ("worst_percent", "shortfall"),
    [(5, 100), (10, 100), (20, 60), (30, 46.667), (40, 40), (50, 32), (60, 26.667), (80, 20), (90, 12.222), (100, 6)],
)
def test_the_expected_shortfall_is_the_published_one(worst_percent: int, shortfall: float) -> None:
    """Wikipedia's example; the code takes the returns of 100 days with those frequencies."""
    if worst_percent == 100:
        assert -100 * PUBLISHED.values.mean() == pytest.approx(shortfall)
        return
    found = tail_loss([1.0], PUBLISHED, confidence=1 - worst_percent / 100)
    assert found.expected_shortfall * 100 == pytest.approx(shortfall, abs=0.001)


def test_the_value_at_risk_is_the_quantile_of_the_standard_library() -> None:
    """statistics.quantiles, inclusive, in twentieths: its first cut is at 5 %; numpy's default is the same rule."""
    rng = np.random.default_rng(6)
    drawn = rng.standard_t(4, (250, 3)) * 0.02
    returns, weights = returns_of(*drawn.T.tolist()), [0.5, -0.2, 0.1]
    days = [math.fsum(weight * value for weight, value in zip(weights, row, strict=True)) for row in drawn.tolist()]
    found = tail_loss(weights, returns)
    assert found.value_at_risk == pytest.approx(-statistics.quantiles(days, n=20, method="inclusive")[0], rel=1e-12)
    assert found.value_at_risk == pytest.approx(-np.quantile(days, 0.05), rel=1e-12)
    worst = sorted(days)
    assert found.expected_shortfall == pytest.approx(-(math.fsum(worst[:12]) + worst[12] / 2) / 12.5, rel=1e-12)
    assert found.days == 250


def test_gains_on_every_day_are_a_risk_below_nothing() -> None:
    found = tail_loss([1.0], returns_of([0.01, 0.02, 0.03]))
    assert found.value_at_risk == pytest.approx(-0.011) and found.expected_shortfall == pytest.approx(-0.01)


def test_equal_markets_add_up_and_hedges_cancel_out() -> None:
    wave = [0.01, -0.02, 0.03, -0.01, 0.0]
    against = [-value for value in wave]
    assert correlated_exposure([0.3, 0.4], returns_of(wave, [2 * value for value in wave])) == pytest.approx(0.7)
    assert correlated_exposure([0.3, 0.4], returns_of(wave, against)) == pytest.approx(0.1)
    assert correlated_exposure([0.3, -0.3], returns_of(wave, wave)) == pytest.approx(0.0, abs=1e-9)
    assert correlated_exposure([-0.3], returns_of(wave)) == pytest.approx(0.3)


def test_markets_without_correlation_add_up_as_the_sides_of_a_right_angle() -> None:
    """By hand: the two columns are orthogonal, so 0.3 and 0.4 are 0.5."""
    assert correlated_exposure([0.3, 0.4], returns_of([1, 1, -1, -1], [1, -1, 1, -1])) == pytest.approx(0.5)


def test_a_market_that_does_not_move_has_no_correlation_and_says_so() -> None:
    with pytest.raises(InsufficientData, match="B moved by the same on each of 3 days"):
        correlated_exposure([0.5, 0.5], returns_of([0.1, 0.2, 0.3], [0.0, 0.0, 0.0]))
    with pytest.raises(InsufficientData, match="at least 2 daily returns, there are 1"):
        correlated_exposure([0.5], returns_of([0.1]))
    with pytest.raises(InsufficientData, match="at least 1 daily return, there are 0"):
        tail_loss([0.5], returns_of([]))


@pytest.mark.parametrize("weights", [[1.0], [1.0, float("nan")], [0.1, 0.2, 0.3]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(InvalidInput, match="one finite number for each of A, B"):
        tail_loss(weights, returns_of([0.1, 0.2], [0.2, 0.1]))


a_return = st.floats(-0.5, 0.5, allow_nan=False).map(lambda value: round(value, 6))
tables = st.integers(1, 4).flatmap(
    lambda markets: st.tuples(
        st.lists(st.lists(a_return, min_size=markets, max_size=markets), min_size=2, max_size=60),
        st.lists(st.floats(-2, 2, allow_nan=False), min_size=markets, max_size=markets),
    )
)


@given(tables)
def test_correlation_never_adds_exposure_and_the_tail_is_never_better_than_its_edge(
    drawn: tuple[list[list[float]], list[float]],
) -> None:
    """0 <= sqrt(w'Cw) <= sum |w|; expected shortfall >= value at risk; both grow with the weights."""
    rows, weights = drawn
    returns = returns_of(*np.array(rows).T.tolist())
    tail, twice = tail_loss(weights, returns), tail_loss([2 * weight for weight in weights], returns)
    assert tail.expected_shortfall >= tail.value_at_risk - 1e-12
    assert twice.value_at_risk == pytest.approx(2 * tail.value_at_risk, abs=1e-12)
    if (np.ptp(returns.values, axis=0) > 0).all():
        exposure = correlated_exposure(weights, returns)
        assert 0 <= exposure <= sum(map(abs, weights)) + 1e-9


def closes(prices: dict[int, float], step_ms: int = DAY_MS) -> tuple[np.ndarray, np.ndarray]:
    """Closes by how many steps after the beginning of 2026 the candle closed."""
    return DAY + step_ms * np.array(list(prices), np.int64), np.array(list(prices.values()))


def test_daily_returns_are_of_days_that_every_market_has() -> None:
    """A market's missing day takes its return and the next one's with it; nothing is filled in."""
    found = daily_returns(
        {
            "BTC": closes({1: 100.0, 2: 110.0, 3: 99.0, 4: 99.0, 5: 100.0}),
            "ETH": closes({1: 10.0, 2: 11.0, 4: 12.0, 5: 15.0}),
        }
    )
    assert found.markets == ("BTC", "ETH")
    assert ((found.day - DAY) // DAY_MS).tolist() == [1, 4]
    assert found.values.tolist() == pytest.approx(np.array([[0.1, 0.1], [100 / 99 - 1, 0.25]]))


def test_a_day_of_hours_closes_with_its_last_hour_and_an_unfinished_one_not_at_all() -> None:
    hours = {hour: 100.0 + hour for hour in range(1, 24 * 3 + 8)}
    found = daily_returns({"BTC": closes(hours, DAY_MS // 24)})
    assert found.values[:, 0].tolist() == pytest.approx([148 / 124 - 1, 172 / 148 - 1])
    assert len(daily_returns({"BTC": closes({}), "ETH": closes({1: 1.0, 2: 2.0})})) == 0
    assert len(daily_returns({})) == 0


def test_a_drawdown_is_counted_from_the_highest_value_before() -> None:
    """By hand: 120 is the peak of 90 (25 %) and of 114 (5 %)."""
    assert drawdowns(np.array([100.0, 120.0, 90.0, 114.0])) == pytest.approx((0.05, 0.25))
    assert drawdowns(np.array([100.0, 101.0])) == (0.0, 0.0)
    with pytest.raises(InsufficientData):
        drawdowns(np.array([]))
    with pytest.raises(InvalidInput):
        drawdowns(np.array([1.0, 0.0]))
