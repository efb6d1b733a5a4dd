"""Trade figures by hand, against quantstats on the trades' profits, and time in the market against a walk over every hour."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.performance import measure
from fks_assets.quant.performance_series import DAY_MS
from fks_assets.quant.performance_trades import time_in_market, trade_figures, whole_trades
from fks_assets_tests.quant.series import HOUR_MS, START_MS
from fks_assets_tests.quant.trade_rows import trades_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from quantstats import stats as quantstats


def test_four_trades_by_hand():
    trades = trades_of(
        [
            {"pnl": 30.0, "return_fraction": 0.03, "entry_fee": 1.0, "exit_fee": 2.0, "funding": 0.5},
            {"pnl": -10.0, "return_fraction": -0.01, "funding": -0.75, "quantity": 2.0},
            {"pnl": 0.0},
            {"pnl": 5.0, "return_fraction": 0.01, "exit_price": 105.0},
        ]
    )
    figures = trade_figures(trades)
    assert (figures.total_trades, figures.winning_trades, figures.losing_trades) == (4, 2, 1)
    assert (figures.win_rate_pct, figures.profit_factor) == (50.0, 3.5)
    assert (figures.expectancy, figures.average_win, figures.average_loss) == (6.25, 17.5, -10.0)
    percents = (figures.expectancy_pct, figures.average_win_pct, figures.average_loss_pct)
    assert percents == pytest.approx((0.75, 2.0, -1.0))
    assert (figures.fees_paid, figures.funding_paid) == (3.0, -0.25)
    assert figures.traded_value == 100 + 100 + 2 * 200 + 200 + 205


def test_a_trade_closed_in_parts_is_one_trade():
    """A target taken on half and a stop on the rest is one losing trade, not one win and one loss."""
    trades = trades_of(
        [
            {"entry_time": START_MS, "quantity": 1.0, "pnl": 4.0, "return_fraction": 0.04, "exit_reason": 7},
            {"entry_time": START_MS, "quantity": 3.0, "pnl": -6.0, "return_fraction": -0.02, "exit_reason": 1},
            {"entry_time": START_MS, "strategy": 1, "pnl": 1.0, "return_fraction": 0.01},
            {"entry_time": START_MS, "market": 1, "pnl": 2.0, "return_fraction": 0.02},
            {"entry_time": START_MS, "side": -1, "pnl": 3.0, "return_fraction": 0.03},
        ]
    )
    whole = whole_trades(trades)
    assert sorted(whole.pnl) == [-2.0, 1.0, 2.0, 3.0]
    assert whole.returns[whole.pnl < 0] == pytest.approx([(0.04 - 3 * 0.02) / 4])
    figures = trade_figures(trades)
    assert (figures.total_trades, figures.winning_trades, figures.losing_trades) == (4, 3, 1)


def test_no_trades_are_zero_trades_and_no_means():
    figures = measure(START_MS + DAY_MS * np.arange(3), np.array([100.0, 110.0, 99.0]), trades=trades_of([]))
    assert (figures.total_trades, figures.winning_trades, figures.losing_trades) == (0, 0, 0)
    assert (figures.fees_paid, figures.funding_paid, figures.turnover, figures.exposure_pct) == (0.0, 0.0, 0.0, 0.0)
    means = ("win_rate_pct", "profit_factor", "expectancy", "average_win", "average_loss", "average_win_pct")
    assert {getattr(figures, name) for name in means} == {None}


def test_without_a_losing_trade_there_is_no_profit_factor():
    figures = trade_figures(trades_of([{"pnl": 30.0}, {"pnl": 0.0}]))
    assert (figures.profit_factor, figures.average_loss, figures.win_rate_pct) == (None, None, 50.0)
    assert trade_figures(trades_of([{"pnl": -30.0}])).profit_factor == 0.0


@given(st.lists(st.integers(-1000, 1000).filter(bool), min_size=1, max_size=50))
def test_profits_add_up_as_quantstats_adds_them(profits):
    figures = trade_figures(trades_of([{"pnl": float(profit), "return_fraction": profit / 1000} for profit in profits]))
    series = pd.Series(np.array(profits) / 1000)
    assert figures.win_rate_pct == pytest.approx(100 * quantstats.win_rate(series, prepare_returns=False))
    factor = quantstats.profit_factor(series, prepare_returns=False)
    assert figures.profit_factor is None if math.isinf(factor) else figures.profit_factor == pytest.approx(factor)
    for ours, theirs in (
        (figures.average_win_pct, quantstats.avg_win(series, prepare_returns=False)),
        (figures.average_loss_pct, quantstats.avg_loss(series, prepare_returns=False)),
        (figures.expectancy_pct, series.mean()),
    ):
        assert ours is None if math.isnan(theirs) else ours == pytest.approx(100 * theirs)


def test_turnover_is_what_was_traded_over_mean_equity_a_year():
    """Bought at 100 and sold at 110, 50 coins: 10,500 traded; mean equity of 2 days 10,500; two days of 365."""
    trades = trades_of([{"quantity": 50.0, "exit_price": 110.0, "pnl": 500.0}])
    figures = measure(START_MS + DAY_MS * np.arange(3), np.array([10_000.0, 10_250.0, 10_750.0]), trades=trades)
    assert figures.turnover == pytest.approx(182.5)


@given(st.lists(st.tuples(st.integers(-10, 60), st.integers(0, 30)), max_size=12), st.integers(0, 20), st.integers(1, 40))
def test_time_in_the_market_equals_a_walk_over_every_hour(held, start, length):
    rows = [{"entry_time": at(entry), "exit_time": at(entry + hours)} for entry, hours in held]
    inside = [any(entry <= hour < entry + hours for entry, hours in held) for hour in range(start, start + length)]
    assert time_in_market(trades_of(rows), at(start), at(start + length)) == pytest.approx(sum(inside) / length)
    assert time_in_market(trades_of(rows), at(start), at(start)) is None


def at(hour: int) -> int:
    return START_MS + hour * HOUR_MS


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("pnl", math.nan, "pnl at row 1 is nan"),
        ("exit_fee", math.inf, "exit_fee at row 1 is inf"),
        ("quantity", 0.0, "quantity at row 1 is 0.0, it must be above zero"),
    ],
)
def test_unusable_trades_are_refused(column, value, words):
    with pytest.raises(InvalidInput, match=words):
        trade_figures(trades_of([{}, {column: value}]))


def test_columns_of_another_length_are_refused():
    trades = trades_of([{}, {}])
    object.__setattr__(trades, "funding", np.zeros(3))
    with pytest.raises(InvalidInput, match=r"column funding has shape \(3,\), pnl has 2 rows"):
        trade_figures(trades)
