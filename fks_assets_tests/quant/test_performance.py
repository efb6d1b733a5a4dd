"""The conventions of the metrics: days, bases, cash flows, what is not defined, and what is refused. Sums are done by hand."""

import json
import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.performance import FIGURES, Performance, measure
from fks_assets.quant.performance_series import DAY_MS, CashFlows, buy_and_hold, daily_curve, monthly_returns
from fks_assets_tests.quant.series import HOUR_MS, START_MS

ALWAYS = {"start_ms", "end_ms", "days", "start_equity", "end_equity", "net_cash_flow"}
FLAT = np.array([100.0, 100.0, 100.0, 100.0, 100.0])
growths = st.lists(st.floats(0.5, 2.0), min_size=1, max_size=60)


def days(count: int) -> np.ndarray:
    """The closing times of `count` days."""
    return START_MS + DAY_MS * np.arange(1, count + 1, dtype=np.int64)


def by_day(*equity: float, **options: object) -> Performance:
    return measure(days(len(equity)), np.array(equity, np.float64), **options)  # type: ignore[arg-type]


def flows(*moves: tuple[int, float]) -> CashFlows:
    return CashFlows(np.array([time for time, _ in moves], np.int64), np.array([amount for _, amount in moves]))


def close(one: float | None, other: float | None, tolerance: float) -> bool:
    return one is other if one is None or other is None else math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def test_three_days_by_hand():
    """Returns +10 %, -10 %, +10 %: mean 1/30, squared deviations 1/225, 4/225, 1/225, so the sample variance is 1/75."""
    figures = by_day(100, 110, 99, 108.9)
    assert figures.days == 3
    expected = {
        "total_return_pct": 8.9,
        "average_daily_return_pct": 10 / 3,
        "cagr_pct": (1.089 ** (365 / 3) - 1) * 100,
        "best_day_pct": 10.0,
        "worst_day_pct": -10.0,
        "volatility_pct": math.sqrt(365 / 75) * 100,
        "sharpe": math.sqrt(75 * 365) / 30,
        "sortino": (1 / 30) / math.sqrt(0.01 / 3) * math.sqrt(365),
        "calmar": (1.089 ** (365 / 3) - 1) / 0.1,
        "max_drawdown_pct": 10.0,
        "max_drawdown_intraday_pct": 10.0,
        "average_drawdown_pct": 10.0,
        "average_drawdown_days": 2.0,
        "value_at_risk_pct": 8.0,
        "expected_shortfall_pct": 10.0,
        "tail_ratio": 0.1 / 0.08,
        "skew": -math.sqrt(3),
    }
    assert {name: getattr(figures, name) for name in expected} == pytest.approx(expected, rel=1e-12)
    assert figures.longest_drawdown_days == 2
    assert (figures.kurtosis, figures.probabilistic_sharpe) == (None, None)


def test_losses_are_positive_numbers_and_average_losses_negative_ones():
    """F3: the validation reads these names and signs."""
    figures = by_day(100, 70, 80)
    assert figures.max_drawdown_pct == pytest.approx(30.0)
    assert figures.value_at_risk_pct is not None
    assert figures.value_at_risk_pct > 0


def test_a_moment_at_midnight_closes_the_day_before():
    hourly = START_MS + HOUR_MS * np.arange(1, 49)
    daily = daily_curve(hourly, np.arange(1.0, 49.0))
    assert daily.day.tolist() == [START_MS, START_MS + DAY_MS]
    assert daily.value.tolist() == [24.0, 48.0]
    assert (daily_curve(hourly - 1, np.arange(1.0, 49.0)).value == daily.value).all()


def test_the_first_day_counts_only_if_it_has_a_step():
    assert daily_curve(days(3), np.array([1.0, 2.0, 4.0])).returns.tolist() == [1.0, 1.0]
    from_noon = np.concatenate(([START_MS + 12 * HOUR_MS], days(3)))
    assert daily_curve(from_noon, np.array([1.0, 1.5, 3.0, 6.0])).returns.tolist() == [0.5, 1.0, 1.0]
    from_midnight = np.concatenate(([START_MS], days(3)))
    daily = daily_curve(from_midnight, np.array([1.0, 1.5, 3.0, 6.0]))
    assert daily.returns.tolist() == [0.5, 1.0, 1.0]
    assert daily.day.tolist() == (days(3) - DAY_MS).tolist()


def test_days_without_a_bar_carry_equity():
    """C25: a rule that trades on Fridays alone has calm days between, and they count."""
    figures = measure(days(8)[[0, 1, 7]], np.array([100.0, 110.0, 121.0]))
    assert figures.days == 7
    assert figures.average_daily_return_pct == pytest.approx(20 / 7)
    carried = by_day(100, 110, 110, 110, 110, 110, 110, 121)
    assert {**figures.document(), "start_ms": 0} == {**carried.document(), "start_ms": 0}


def test_hourly_bars_are_not_annualised_as_if_they_were_days():
    """F4 and F5: sqrt(365) on hourly bars, sqrt(252) on 15 minute snapshots."""
    random = np.random.default_rng(7)
    hourly = START_MS + HOUR_MS * np.arange(24 * 40 + 1)
    equity = 1000 * np.exp(np.cumsum(random.normal(0, 0.004, len(hourly))))
    closes = measure(hourly[::24], equity[::24])
    every_hour = measure(hourly, equity)
    deeper = {"max_drawdown_intraday_pct"}
    assert {name: value for name, value in every_hour.document().items() if name not in deeper} == {
        name: value for name, value in closes.document().items() if name not in deeper
    }
    assert every_hour.max_drawdown_intraday_pct >= every_hour.max_drawdown_pct


def test_a_fall_inside_a_day_shows_in_the_drawdown_of_every_bar_only():
    time = START_MS + HOUR_MS * np.array([0, 24, 30, 48])
    figures = measure(time, np.array([100.0, 110.0, 55.0, 121.0]))
    assert figures.max_drawdown_pct == 0.0
    assert figures.max_drawdown_intraday_pct == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("equity", "undefined", "zero"),
    [
        ([100.0], set(FIGURES) - ALWAYS, set()),
        ([100.0, 105.0], {"cagr_pct", "volatility_pct", "sharpe", "sortino", "calmar", "value_at_risk_pct", "tail_ratio"}, set()),
        (FLAT, {"sharpe", "sortino", "calmar", "skew", "kurtosis", "tail_ratio"}, {"total_return_pct", "volatility_pct"}),
        (FLAT, {"average_drawdown_pct", "average_drawdown_days"}, {"max_drawdown_pct", "longest_drawdown_days", "cagr_pct"}),
        (100 * 1.01 ** np.arange(30.0), {"sharpe", "sortino", "calmar", "skew", "kurtosis", "probabilistic_sharpe"}, set()),
        ([100.0, 101.0, 103.0, 104.0], {"sortino", "calmar", "average_drawdown_pct", "kurtosis"}, {"max_drawdown_pct"}),
        ([1.0, 100.0, 10_000.0], {"cagr_pct", "calmar", "sortino"}, set()),
    ],
    ids=["one point", "one day", "flat", "flat, no drawdown", "steady growth", "never down", "beyond all numbers"],
)
def test_what_is_not_defined_is_none_and_what_is_zero_is_zero(equity, undefined, zero):
    figures = by_day(*equity).document()
    assert {name: figures[name] for name in undefined} == dict.fromkeys(undefined)
    assert {name: figures[name] for name in zero} == dict.fromkeys(zero, 0)


def test_without_trades_and_comparison_their_figures_are_none():
    figures = by_day(100, 110, 99).document()
    names = list(FIGURES)
    assert {name: figures[name] for name in names[names.index("exposure_pct") :]} == dict.fromkeys(
        names[names.index("exposure_pct") :]
    )


def test_deposits_and_withdrawals_are_no_profit():
    """C26. 100 grows by 10 %, 890 come in, all grows by 10 %, half is taken out, the rest falls by 20 %: 1.1² · 0.8 = 0.968."""
    figures = by_day(100, 1000, 550, 440, cash_flows=flows((int(days(2)[1]), 890.0), (int(days(3)[2]) - 1, -550.0)))
    assert figures.total_return_pct == pytest.approx(-3.2)
    assert figures.best_day_pct == pytest.approx(10.0)
    assert figures.max_drawdown_pct == pytest.approx(20.0)
    assert figures.net_cash_flow == 340.0
    assert (figures.start_equity, figures.end_equity) == (100.0, 440.0)


def test_a_deposit_inside_a_day_earns_from_the_next_point_on():
    noon = START_MS + 12 * HOUR_MS
    time = np.array([START_MS, noon, START_MS + DAY_MS])
    figures = measure(time, np.array([100.0, 220.0, 110.0]), cash_flows=flows((noon - 1000, 100.0)))
    assert figures.total_return_pct == pytest.approx((1.2 * 0.5 - 1) * 100)


def test_flows_up_to_the_base_and_after_the_end_change_nothing():
    plain = by_day(100, 110, 99)
    moved = by_day(100, 110, 99, cash_flows=flows((START_MS, 50.0), (int(days(1)[0]), 50.0), (int(days(9)[8]), 70.0)))
    assert moved == plain
    assert by_day(100, 110, 99, cash_flows=CashFlows(np.empty(0, np.int64), np.empty(0))) == plain


@given(growths, st.data())
def test_flows_at_the_noted_moments_leave_every_return_as_it_was(steps, data):
    count = len(steps)
    paid = data.draw(st.lists(st.floats(-0.4, 3.0), min_size=count, max_size=count))
    equity, time, moves = [100.0], days(count + 1), []
    for place, (growth, share) in enumerate(zip(steps, paid, strict=True)):
        grown = equity[-1] * growth
        moves.append((int(time[place + 1]) - place % 2 * 1000, grown * share))
        equity.append(grown * (1 + share))
    without = measure(time, 100 * np.cumprod([1.0, *steps])).document()
    figures = measure(time, np.array(equity), cash_flows=flows(*moves)).document()
    for name in ("total_return_pct", "worst_day_pct", "max_drawdown_pct", "volatility_pct"):
        assert close(figures[name], without[name], 1e-8)


@pytest.mark.parametrize(
    ("time", "equity", "words"),
    [
        ([1, 2], [1.0], r"times have shape \(2,\) and values \(1,\)"),
        ([START_MS, START_MS], [1.0, 1.0], rf"time {START_MS} at row 1 is not after {START_MS}, the one before it"),
        ([START_MS, START_MS + 2, START_MS + 1], [1.0] * 3, rf"time {START_MS + 1} at row 2 is not after {START_MS + 2}"),
        ([START_MS, START_MS + 1], [1.0, 0.0], rf"value 0.0 at row 1 \(time {START_MS + 1}\) is not a finite number above zero"),
        ([START_MS, START_MS + 1], [-5.0, 1.0], "value -5.0 at row 0"),
        ([START_MS, START_MS + 1], [1.0, math.nan], "value nan at row 1"),
        ([START_MS, START_MS + 1], [math.inf, 1.0], "value inf at row 0"),
        ([START_MS // 1000], [1.0], rf"time {START_MS // 1000} at row 0 is not UTC milliseconds between the years 1990 and 2200"),
        ([START_MS * 1000], [1.0], rf"time {START_MS * 1000} at row 0 is not UTC milliseconds"),
        ([float(START_MS)], [1.0], "times must be whole numbers"),
        ([START_MS], ["a"], "values numbers"),
        ([[START_MS]], [[1.0]], r"shape \(1, 1\)"),
    ],
)
def test_unusable_curves_are_refused_in_one_line_that_names_row_and_value(time, equity, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        measure(np.array(time), np.array(equity))
    assert "\n" not in str(caught.value)
    if words.startswith(("time ", "value ")):
        good = days(3)
        with pytest.raises(InvalidInput, match="comparison: "):
            measure(good, np.ones(3), hold=(np.array(time), np.array(equity)))


def test_no_curve_at_all_is_too_little_data():
    with pytest.raises(InsufficientData, match="at least one"):
        measure(np.empty(0, np.int64), np.empty(0))


@pytest.mark.parametrize(
    ("cash_flows", "words"),
    [
        (flows((START_MS + DAY_MS + 1, math.nan)), "amount nan at row 0"),
        (flows((START_MS + DAY_MS + 1, 110.0)), "110 paid up to time .* is not less than the equity then, 110"),
        (CashFlows(np.array([1, 2]), np.array([1.0])), "must be of one length"),
    ],
)
def test_unusable_cash_flows_are_refused(cash_flows, words):
    with pytest.raises(InvalidInput, match=words):
        by_day(100, 110, 99, cash_flows=cash_flows)


@pytest.mark.parametrize("exposure", [[0.0, 1.0], [0.0, math.nan, 1.0], [0.0, -0.5, 1.0]])
def test_unusable_exposures_are_refused(exposure):
    with pytest.raises(InvalidInput, match="exposure: it must hold 3 finite numbers from 0 up"):
        by_day(100, 110, 99, exposure=np.array(exposure))


def test_exposure_is_the_share_of_bars_in_the_market_after_the_base():
    figures = by_day(100, 110, 99, 98, 97, exposure=np.array([0.0, 0.5, 2.0, 0.0, 0.5]))
    assert (figures.exposure_pct, figures.average_exposure_pct) == (75.0, 75.0)
    assert by_day(100.0, exposure=np.array([1.0])).exposure_pct is None


def test_holding_is_taken_at_the_same_moments():
    """The price is known hourly and goes on after the curve ends at noon of the second day."""
    hourly = START_MS + HOUR_MS * np.arange(24 * 5)
    price = 100.0 + np.arange(24.0 * 5)
    time = np.array([START_MS, START_MS + DAY_MS, START_MS + DAY_MS + 12 * HOUR_MS])
    figures = measure(time, np.array([10.0, 11.0, 12.1]), hold=(hourly, price))
    assert figures.hold_return_pct == pytest.approx(36.0)
    assert figures.excess_return_pct == pytest.approx(21.0 - 36.0)
    assert figures.beta == pytest.approx(0.0)
    assert figures.alpha_pct == pytest.approx(3650.0)
    assert figures.correlation is None


def test_holding_itself_has_beta_one_and_no_alpha():
    equity = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.02, 50)))
    figures = measure(days(50), equity, hold=(days(50), equity * 7))
    assert (figures.beta, figures.correlation) == pytest.approx((1.0, 1.0))
    assert (figures.alpha_pct, figures.excess_return_pct) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_a_market_listed_later_is_cash_until_then():
    figures = by_day(100, 110, 99, 98, hold=(days(4)[2:], np.array([50.0, 60.0])))
    assert figures.hold_return_pct == pytest.approx(20.0)
    with pytest.raises(InvalidInput, match="begins at time"):
        by_day(100, 110, hold=(days(4)[2:], np.array([50.0, 60.0])))


def test_several_markets_are_held_in_equal_parts():
    """Half doubles, half waits a day for its listing and then halves: 0.5 · 2 + 0.5 · 0.5."""
    early, late = (days(3), np.array([10.0, 15.0, 20.0])), (days(3)[1:], np.array([8.0, 4.0]))
    assert buy_and_hold(days(3), [early, late]).tolist() == [1.0, 1.25, 1.25]
    with pytest.raises(InvalidInput, match="no market was given"):
        buy_and_hold(days(3), [])


def test_months_are_compounded_and_years_follow_from_them():
    """From 2020-01-30 to 2021-01-31, one move in each of three months: +10 % on the first day, -50 %, +100 %."""
    ends = np.array([1, 2, 20, 200, 366, 367, 368]) + 29
    equity = np.array([100.0, 110.0, 55.0, 55.0, 55.0, 110.0, 110.0])
    daily = daily_curve(START_MS + DAY_MS * ends, equity)
    years = monthly_returns(daily).years()
    table = {(year, month): change for year, months, _ in years for month, change in enumerate(months, 1)}
    moved = {when: change for when, change in table.items() if change}
    assert moved == pytest.approx({(2020, 1): 0.1, (2020, 2): -0.5, (2021, 1): 1.0})
    assert sum(change is None for change in table.values()) == 11
    assert [total for _, _, total in years] == pytest.approx([-0.45, 1.0])
    assert monthly_returns(daily_curve(days(1), np.ones(1))).years() == []


def test_every_figure_has_a_label_and_fits_into_json():
    assert list(FIGURES) == [field.name for field in fields(Performance)]
    assert {shown.unit for shown in FIGURES.values()} == {"ms", "days", "money", "%", "× a year", ""}
    for name, shown in FIGURES.items():
        assert name.endswith("_pct") == (shown.unit == "%"), name
    document = by_day(100, 110, 99, 108.9, 120).document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document


@given(growths, st.floats(1e-6, 1e9))
def test_only_money_changes_with_the_size_of_the_account(steps, size):
    equity = 100 * np.cumprod([1.0, *steps])
    small, large = (measure(days(len(equity)), each).document() for each in (equity, equity * size))
    for name in FIGURES.keys() - {"start_equity", "end_equity"}:
        assert close(large[name], small[name], 1e-6), name


@given(growths)
def test_figures_keep_their_bounds(steps):
    figures = by_day(*(100 * np.cumprod([1.0, *steps])))
    assert 0 <= figures.max_drawdown_pct < 100
    assert figures.max_drawdown_pct == figures.max_drawdown_intraday_pct
    assert figures.average_drawdown_pct is None or 0 < figures.average_drawdown_pct <= figures.max_drawdown_pct * (1 + 1e-9)
    assert -figures.worst_day_pct <= figures.max_drawdown_pct + 1e-9
    assert 0 <= figures.longest_drawdown_days <= figures.days
    assert figures.worst_day_pct <= figures.average_daily_return_pct + 1e-9 <= figures.best_day_pct + 2e-9
    assert figures.probabilistic_sharpe is None or 0 <= figures.probabilistic_sharpe <= 1
    if figures.value_at_risk_pct is not None:
        assert figures.value_at_risk_pct <= figures.expected_shortfall_pct + 1e-9 <= -figures.worst_day_pct + 2e-9
    assert all(value is None or math.isfinite(value) for value in figures.document().values())


@given(growths)
def test_drawdowns_equal_a_plain_look_at_every_pair(steps):
    equity = [float(each) for each in 100 * np.cumprod([1.0, *steps])]
    below = [1 - now / max(equity[: place + 1]) for place, now in enumerate(equity)][1:]
    runs, depths = [], []
    for depth in below:
        if depth > 0 and runs and runs[-1] > 0:
            runs[-1], depths[-1] = runs[-1] + 1, max(depths[-1], depth)
        else:
            runs.append(1 if depth > 0 else 0)
            depths.append(depth)
    fallen = [(length, depth) for length, depth in zip(runs, depths, strict=True) if length]
    figures = by_day(*equity)
    assert figures.max_drawdown_pct == pytest.approx(100 * max(below))
    assert figures.longest_drawdown_days == max((length for length, _ in fallen), default=0)
    assume(fallen)
    assert figures.average_drawdown_pct == pytest.approx(100 * sum(depth for _, depth in fallen) / len(fallen))
    assert figures.average_drawdown_days == pytest.approx(sum(length for length, _ in fallen) / len(fallen))


@given(st.lists(st.tuples(st.integers(1, 4 * 24), st.floats(0.9, 1.1)), min_size=1, max_size=80))
def test_days_equal_a_plain_walk_over_the_calendar(moves):
    time, equity = [START_MS], [100.0]
    for hours, growth in moves:
        time.append(time[-1] + hours * HOUR_MS)
        equity.append(equity[-1] * growth)
    daily = daily_curve(np.array(time), np.array(equity))
    expected, day = [], START_MS
    while day < time[-1]:
        expected.append([value for at, value in zip(time, equity, strict=True) if at <= day + DAY_MS][-1])
        day += DAY_MS
    assert daily.value.tolist() == expected
    assert daily.day.tolist() == [START_MS + place * DAY_MS for place in range(len(expected))]
    assert np.prod(1 + daily.returns) == pytest.approx(equity[-1] / equity[0])
    months = monthly_returns(daily)
    assert np.prod(1 + months.returns) == pytest.approx(equity[-1] / equity[0])
