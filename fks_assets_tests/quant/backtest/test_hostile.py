"""Books that nobody would make on purpose are refused in one line, or do what docs/backtest-rules.md says (F16, C22, C23)."""

from decimal import Decimal

import numpy as np
import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.book import Book, Funding, Leg
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import Refusal
from fks_assets.quant.backtest.rules import BookRules, Budget, Costs, Sizing
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets.quant.performance_ruin import after_ruin
from fks_assets_tests.quant.backtest.books import MARKET, book, candles, free, series, signals
from fks_assets_tests.quant.backtest.comparing import assert_equals_reference
from fks_assets_tests.quant.backtest.ledger import exact_equity
from fks_assets_tests.quant.backtest.scenarios import FREE, NO_LEVELS, market_rules
from fks_assets_tests.quant.series import HOUR_MS, START_MS

CALM = (100, 101, 99, 100)
NONE = float("nan")


def test_one_candle_has_no_open_after_its_signal():
    result = assert_equals_reference(book(candles([CALM]), NO_LEVELS))
    assert len(result.trades) == 0 and result.final_equity == 10_000 and not result.refused


def test_no_signals_are_no_trades_and_a_flat_curve():
    result = assert_equals_reference(book(candles([CALM] * 5), {}))
    assert result.equity.equity.tolist() == [10_000.0] * 5


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("close", 1e300, "close is 1e+300 in the candle that opens at 1577840400000"),
        ("close", 1e-300, "close is 1e-300 in the candle that opens at 1577840400000"),
        ("high", 98.0, "high 98.0 is below low 99.0 in the candle that opens at 1577840400000"),
        ("open_time", START_MS, "open times must be int64 and at least 3600000 ms apart"),
    ],
)
def test_candles_that_no_market_makes_are_refused(column, value, message):
    of = candles([CALM] * 3)
    getattr(of, column)[1] = value
    with pytest.raises(InvalidInput, match=message.replace("+", r"\+")):
        series(of)


@pytest.mark.parametrize(("column", "value"), [("action", 3), ("confidence", NONE)])
def test_a_signal_that_says_nothing_clear_is_refused(column, value):
    broken = book(candles([CALM] * 3), {1: (1, NONE, NONE)})
    getattr(broken.legs[0].signals, column)[1] = value
    with pytest.raises(InvalidInput, match=f"signals: {column} is {value} in row 1"):
        run_backtest(broken)


@pytest.mark.parametrize(
    ("price", "tick", "lot"),
    [("0.00000123", "0.00000001", "1"), ("0.00000001", "0.00000001", "1"), ("100000000000000", "0.01", "0.000000000000000001")],
)
def test_prices_of_any_size_keep_every_tick_and_cost_no_more_than_there_is(price, tick, lot):
    """F16: 1.23e-6 on a tick of 1e-8 stays 1.23e-6. A lot may be far below the last digit of the quantity."""
    at = float(price)
    rules = (market_rules(tick_size=tick, lot_size=lot),)
    made = book(candles([(at, at, at, at)] * 3), NO_LEVELS, cash=1e15, rules_of_market=rules)
    result = assert_equals_reference(made)
    fills = exact_equity(made, result).fills
    assert [fill.price for fill in fills] == [Decimal(price)] * 2
    assert Decimal(0) < fills[0].price * fills[0].quantity + fills[0].fee <= Decimal(10) ** 15


def test_in_candles_without_volume_the_impact_is_that_of_its_limit():
    """100 at 0.5 * 0.3 ** 2 = 4.5 % is 104.5 in and 95.5 out: 9.569... coins less 9 each."""
    costs = Costs(maker_fee=0, taker_fee=0, impact=0.5, impact_limit=0.3)
    result = assert_equals_reference(book(candles([CALM] * 3, volume=0.0), NO_LEVELS, costs=costs))
    assert result.final_equity == pytest.approx(10_000 / 104.5 * 95.5, rel=1e-12)


def test_budgets_that_add_to_more_than_all_share_the_cash_in_the_order_of_the_book():
    """9,000 for the first, the 1,000 that are left for the second, nothing for the third."""
    legs = tuple(
        Leg(name, series(candles([CALM] * 3), f"{coin}-USDT@binance"), signals(3, NO_LEVELS), free())
        for name, coin in (("one", "BTC"), ("other", "ETH"), ("third", "XRP"))
    )
    budgets = {"one": Budget(share=0.9), "other": Budget(share=0.9)}
    result = assert_equals_reference(Book(legs, BookRules(costs=FREE, budgets=budgets)))
    assert result.trades.quantity.tolist() == [90.0, 10.0]
    assert result.equity.exposure.max() == 1.0 and result.refused == {Refusal.CASH: 1}


def test_markets_with_different_calendars_are_valued_at_their_own_last_close():
    """A 4h market, an hourly one listed ten hours later and delisted inside, an hourly one over the whole time (C22)."""
    late = candles([(50, 51, 49, 50), (50, 61, 50, 60), (60, 61, 59, 60)])
    late.open_time[:] += 10 * HOUR_MS
    slow = candles([CALM, CALM, (100, 121, 99, 120)], step_ms=4 * HOUR_MS)
    rules = free(sizing=Sizing(kind="notional", size=1000))
    legs = (
        Leg("one", series(candles([CALM] * 16)), signals(16, {0: (1, NONE, NONE)}), rules),
        Leg("one", series(late, "ETH-USDT@binance"), signals(3, NO_LEVELS), rules),
        Leg("one", series(slow, "XRP-USDT@kraken", "4h"), signals(3, NO_LEVELS), rules),
    )
    result = assert_equals_reference(Book(legs, BookRules(costs=FREE)))
    value = dict(zip(((result.equity.time - START_MS) // HOUR_MS).tolist(), result.equity.equity.tolist(), strict=True))
    assert value[11] == 10_000 and value[12] == 10_000 + 200 + 200 and value[16] == 10_400
    assert sorted(((result.trades.exit_time - START_MS) // HOUR_MS).tolist()) == [8, 12, 15]


def test_a_market_that_is_delisted_inside_the_book_is_closed_at_its_last_close_by_the_rules_it_had():
    """C22, C12: what is known after the delisting states no tick; 100.456 less 0.1 % is 100.355..., sold at 100.35."""
    gone = MarketRules(parse_market(MARKET), MarketStatus.DELISTED, valid_from=START_MS + 2 * HOUR_MS)
    of = candles([CALM, CALM, (100, 101, 99, 100.456)])
    costs = Costs(maker_fee=0, taker_fee=0, slippage=0.001)
    result = assert_equals_reference(book(of, NO_LEVELS, costs=costs, rules_of_market=(market_rules(0), gone)))
    assert result.trades.exit_price.tolist() == [100.35] and result.equity.exposure[-1] == 0


def test_funding_without_any_known_rate_is_nothing_and_says_so():
    """C23: three fundings were due while the position was held, none is known."""
    nothing = Funding(8 * HOUR_MS, np.empty(0, np.int64), np.empty(0))
    result = assert_equals_reference(book(candles([CALM] * 26), NO_LEVELS, costs=FREE, funding=nothing))
    assert result.funding_coverage == 0.0 and result.legs[0].funding_due == 3 and result.final_equity == 10_000


def test_ruin_is_named_with_its_bar_and_ends_the_trading():
    """A short position over a gap to 2.5 times its price: the margin is gone at twice the price, and with it everything."""
    of = candles([CALM, CALM, (250, 260, 240, 250), (250, 250, 240, 245), (245, 245, 244, 245)])
    result = assert_equals_reference(book(of, {0: (-1, NONE, NONE), 3: (1, NONE, NONE)}))
    assert after_ruin(result.equity.equity, result.initial_cash)[1] == 2
    assert abs(result.final_equity) < 1e-6 and result.refused == {Refusal.CASH: 1}


def test_funding_can_cost_more_than_there_is():
    """Ten times leverage and a funding of 100 %: 100,000 to pay from 10,000. The account says so and enters nothing any more."""
    funding = Funding(8 * HOUR_MS, np.array([START_MS + 8 * HOUR_MS]), np.array([1.0]))
    made = book(
        candles([CALM] * 20),
        {0: (1, NONE, NONE), 12: (-1, NONE, NONE)},
        free(leverage=10.0),
        costs=FREE,
        funding=funding,
    )
    result = run_backtest(made)
    assert result.final_equity == -90_000 == exact_equity(made, result).equity[-1]
    assert after_ruin(result.equity.equity, result.initial_cash)[1] == 8 and result.refused == {Refusal.CASH: 1}
