"""Trade figures by hand, against quantstats on the trades' profits and returns, and time in the market against a walk over every
hour.
"""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.book import Book, Leg, single
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import ExitReason
from fks_assets.quant.backtest.rules import BookRules, PartialExit, Sizing
from fks_assets.quant.performance import measure
from fks_assets.quant.performance_series import DAY_MS
from fks_assets.quant.performance_trades import bars_with_trades, time_in_market, trade_figures, whole_trades
from fks_assets_tests.quant.backtest.books import book, candles, free, judged, series, signals
from fks_assets_tests.quant.backtest.comparing import figures_of
from fks_assets_tests.quant.series import HOUR_MS, START_MS, recorded
from fks_assets_tests.quant.trade_rows import trades_of
from fks_assets_tests.shared_data import requires_shared

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
            {"entry_time": START_MS, "leg": 1, "pnl": 4.0, "return_fraction": 0.04},
        ]
    )
    whole = whole_trades(trades)
    assert sorted(whole.pnl) == [-2.0, 1.0, 2.0, 3.0, 4.0]
    assert whole.returns[whole.pnl < 0] == pytest.approx([(0.04 - 3 * 0.02) / 4])
    figures = trade_figures(trades)
    assert (figures.total_trades, figures.winning_trades, figures.losing_trades) == (5, 4, 1)


def test_one_strategy_that_enters_one_market_in_two_timeframes_at_once_makes_two_trades():
    """Both buy at 04:00; the hourly one sells half of it on the way."""
    slow = candles([(100, 101, 99, 100)] * 4, step_ms=4 * HOUR_MS)
    fast = candles([(100, 101, 99, 100)] * 16)
    whole = free(sizing=Sizing(kind="notional", size=100))
    halved = free(sizing=whole.sizing, partial_exits=[PartialExit(part=0.5, gain_percent=0.5)])
    legs = (
        Leg("a", series(fast), signals(16, {3: (1, math.nan, math.nan)}), halved),
        Leg("a", series(slow, timeframe="4h"), signals(4, {0: (1, math.nan, math.nan)}), whole),
    )
    trades = run_backtest(Book(legs)).trades
    assert len(trades) == 3 and set(trades.entry_time.tolist()) == {START_MS + 4 * HOUR_MS}
    assert trade_figures(trades).total_trades == 2


def test_a_bar_in_which_a_trade_began_and_ended_is_a_bar_with_a_position():
    """docs/metrics.md: 200 trades in 200 of 201 candles, none of them open at a close."""
    of = candles([(100, 101, 99, 100)] + [(100, 102, 99.9, 100)] * 200)
    result = run_backtest(book(of, dict.fromkeys(range(200), (1, 99.0, 101.0)), free()))
    figures = figures_of(result, START_MS)
    assert (figures.total_trades, figures.average_exposure_pct) == (200, 0.0)
    assert figures.exposure_pct == pytest.approx(100 * 200 / 201)
    assert time_in_market(result.trades, START_MS, START_MS + 201 * HOUR_MS) == pytest.approx(200 / 201)


def test_a_bar_at_whose_open_a_position_was_left_is_none_with_a_position():
    """Bought at 01:00, sold by a signal at the open of 03:00: two bars of five."""
    of = candles([(100, 101, 99, 100)] * 5)
    result = run_backtest(book(of, {0: (1, math.nan, math.nan), 2: (-1, math.nan, math.nan)}, free(short=False)))
    assert figures_of(result, START_MS).exposure_pct == pytest.approx(40.0)
    assert time_in_market(result.trades, START_MS, START_MS + 5 * HOUR_MS) == pytest.approx(0.4)


@given(
    st.lists(st.tuples(st.integers(-20, 100), st.integers(1, 40)), max_size=8),
    st.lists(st.integers(1, 9), min_size=1, max_size=10),
)
def test_bars_with_trades_equal_a_walk_over_every_hour(held, lengths):
    """Bars of any lengths; a trade is open from its entry up to the moment before its exit."""
    times = np.cumsum([0, *lengths])
    rows = [{"entry_time": at(entry), "exit_time": at(entry), "booked_at": at(entry + hours)} for entry, hours in held]
    expected = [
        any(entry <= hour < entry + hours for entry, hours in held for hour in range(first, end))
        for first, end in itertools.pairwise(times)
    ]
    assert bars_with_trades(trades_of(rows), at(times)).tolist() == expected


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
    assert_equals_quantstats(trades_of([{"pnl": float(profit), "return_fraction": profit / 1000} for profit in profits]))


@requires_shared
@pytest.mark.parametrize("name", ["breakout", "technical"])
def test_the_trades_of_five_years_of_btc_add_up_as_quantstats_and_pandas_add_them(name):
    """Each in two parts and with fees, so that profits, returns and parts are real numbers."""
    of = recorded("BTC")
    rules = free(partial_exits=[PartialExit(part=0.37, gain_percent=0.4)], sizing=Sizing(kind="confidence"))
    trades = run_backtest(single(name, series(of), judged(name, of), rules, BookRules(initial_cash=1e5))).trades
    assert (trades.exit_reason == ExitReason.PARTIAL).sum() > 100
    assert_equals_quantstats(trades)


def assert_equals_quantstats(trades):
    """Put the parts of each trade together with pandas, and hold every figure to 1e-9 of what quantstats makes of the trades."""
    names = ("market", "strategy", "side", "leg", "entry_time", "quantity", "entry_price", "exit_price", "pnl", "return_fraction")
    rows = pd.DataFrame({name: getattr(trades, name) for name in (*names, "entry_fee", "exit_fee", "funding")})
    rows["weighted"] = rows.return_fraction * rows.quantity
    parts = rows.groupby(["market", "strategy", "side", "leg", "entry_time"])
    pnl = parts.pnl.sum().reset_index(drop=True)
    returns = (parts.weighted.sum() / parts.quantity.sum()).reset_index(drop=True)
    figures = trade_figures(trades)
    assert figures.total_trades == len(pnl)
    assert (figures.winning_trades, figures.losing_trades) == ((pnl > 0).sum(), (pnl < 0).sum())
    for ours, theirs in (
        (figures.win_rate_pct, 100 * quantstats.win_rate(pnl, prepare_returns=False)),
        (figures.profit_factor, quantstats.profit_factor(pnl, prepare_returns=False)),
        (figures.average_win, quantstats.avg_win(pnl, prepare_returns=False)),
        (figures.average_loss, quantstats.avg_loss(pnl, prepare_returns=False)),
        (figures.average_win_pct, 100 * quantstats.avg_win(returns, prepare_returns=False)),
        (figures.average_loss_pct, 100 * quantstats.avg_loss(returns, prepare_returns=False)),
        (figures.expectancy, pnl.mean()),
        (figures.expectancy_pct, 100 * returns.mean()),
        (figures.fees_paid, (rows.entry_fee + rows.exit_fee).sum()),
        (figures.funding_paid, rows.funding.sum()),
        (figures.traded_value, (rows.quantity * (rows.entry_price + rows.exit_price)).sum()),
    ):
        assert ours is None if not math.isfinite(theirs) else ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


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
