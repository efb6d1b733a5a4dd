"""A bad value is one line that names the field, the bound and the value."""

from decimal import Decimal

import numpy as np
import pytest

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.backtest.book import Book, Funding, Leg
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.rules import BookRules, Budget, Costs, LegRules, PartialExit, Sizing
from fks_assets.quant.candles import Candles, empty_candles
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets_tests.quant.backtest.books import MARKET, candles, free, series, signals

CALM = (100, 101, 99, 100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Costs(taker_fee=0.03), "taker_fee: Input should be less than or equal to 0.02, was 0.03"),
        (lambda: Costs(slippage=float("nan")), "slippage: Input should be a finite number, was nan"),
        (lambda: Costs(slippage=-0.1), "slippage: Input should be greater than or equal to 0, was -0.1"),
        (lambda: Costs(spread="0.1"), "spread: Input should be a valid number, was '0.1'"),
        (lambda: Costs(impakt=0.1), "impakt: unknown rule, was 0.1"),
        (lambda: LegRules(leverage=0.5), "leverage: Input should be greater than or equal to 1, was 0.5"),
        (lambda: LegRules(leverage=126), "leverage: Input should be less than or equal to 125, was 126"),
        (
            lambda: LegRules(leverage=50.0, maintenance_margin=0.02),
            "maintenance_margin must be below 1 / leverage = 0.02, was 0.02",
        ),
        (lambda: LegRules(tie_rule="lucky"), "tie_rule: Input should be 'pessimistic', 'optimistic' or 'finer', was 'lucky'"),
        (lambda: LegRules(trailing_percent=0), "trailing_percent: Input should be greater than 0, was 0"),
        (lambda: LegRules(daily_trades=0), "daily_trades: Input should be greater than or equal to 1, was 0"),
        (
            lambda: LegRules(daily_trades=99999999999999999999),
            "daily_trades: Input should be less than or equal to 1000000, was 99999999999999999999",
        ),
        (
            lambda: LegRules(oldest_signal_candles=1e300),
            "oldest_signal_candles: Input should be less than or equal to 1000000, was 1e+300",
        ),
        (
            lambda: BookRules(max_positions=10**30),
            f"max_positions: Input should be less than or equal to 1000000, was {10**30}",
        ),
        (
            lambda: BookRules(budgets={"breakout": {"max_positions": 10**30}}),
            f"max_positions: Input should be less than or equal to 1000000, was {10**30}",
        ),
        (lambda: Sizing(kind="notional", size=1e300), "size: Input should be less than or equal to 1000000000000000, was 1e+300"),
        (
            lambda: LegRules(maintenance_margin=0.6),
            "maintenance_margin: Input should be less than or equal to 0.5, was 0.6",
        ),
        (lambda: LegRules(daily_trades=1.5), "daily_trades: Input should be a valid integer, was 1.5"),
        (lambda: LegRules(cooldown_minutes=-1), "cooldown_minutes: Input should be greater than or equal to 0, was -1"),
        (lambda: LegRules(long=False, short=False), "long must be true where short is false, was False"),
        (lambda: LegRules(long=1), "long: Input should be a valid boolean, was 1"),
        (lambda: Sizing(size=1.5), "size is a fraction for kind 'fraction' and must be at most 1, was 1.5"),
        (lambda: Sizing(kind="notional"), "size is missing: kind 'notional' needs an amount in the quote coin, was None"),
        (
            lambda: LegRules(sizing={"kind": "risk", "size": 2}),
            "sizing: size is a fraction for kind 'risk' and must be at most 1",
        ),
        (lambda: PartialExit(part=1, gain_percent=5), "part: Input should be less than 1, was 1"),
        (
            lambda: LegRules(partial_exits=[{"part": 0.6, "gain_percent": 1}, {"part": 0.6, "gain_percent": 2}]),
            "partial_exits must take at most 1, the whole position, took 1.2",
        ),
        (
            lambda: LegRules(partial_exits=[{"part": 0.5, "gain_percent": 2}, {"part": 0.5, "gain_percent": 2}]),
            "partial_exits must each have a larger gain_percent than the one before, were [2.0, 2.0]",
        ),
        (lambda: BookRules(initial_cash=0), "initial_cash: Input should be greater than 0, was 0"),
        (lambda: Budget(share=1.1), "share: Input should be less than or equal to 1, was 1.1"),
        (
            lambda: BookRules(budgets={"breakout": {"share": 2.0}}),
            "budgets.breakout: share: Input should be less than or equal to 1, was 2.0",
        ),
    ],
)
def test_a_bad_rule_is_one_line_with_field_bound_and_value(make, message):
    with pytest.raises(InvalidInput) as raised:
        make()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rules_can_be_read_from_a_document_and_do_not_change():
    rules = LegRules(sizing={"kind": "risk", "size": 0.01}, partial_exits=[{"part": 0.5, "gain_percent": 2}])
    assert rules.sizing.value == 0.01 and rules.partial_exits == (PartialExit(part=0.5, gain_percent=2.0),)
    assert LegRules(**rules.model_dump()) == rules
    with pytest.raises(Exception, match="frozen"):
        rules.leverage = 2.0  # type: ignore[misc]


def test_the_largest_rules_there_are_run():
    book = Book(
        (Leg("drawn", series(candles([CALM] * 3)), signals(3, {0: (1, 95, 110)}), free(**LARGEST)),),
        BookRules(max_positions=1_000_000, budgets={"drawn": Budget(max_positions=1_000_000)}),
    )
    assert len(run_backtest(book).trades) == 1


LARGEST = {"daily_trades": 1_000_000, "oldest_signal_candles": 1_000_000.0, "cooldown_minutes": 525_600.0}


@pytest.mark.parametrize("parts", [[0.1] * 7 + [0.3], [0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3], [0.011, 0.048, 0.941]])
def test_parts_that_are_the_whole_position_but_for_what_floats_make_of_them_take_all(parts):
    rules = LegRules(partial_exits=[{"part": part, "gain_percent": place + 1} for place, part in enumerate(parts)])
    assert rules.takes_all
    assert not LegRules(partial_exits=[{"part": 0.5, "gain_percent": 1}, {"part": 0.49, "gain_percent": 2}]).takes_all


def broken(column: str, value: float) -> Candles:
    of = candles([CALM, CALM, CALM])
    getattr(of, column)[1] = value
    return of


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: series(empty_candles()), InsufficientData, "BTC-USDT@binance 1h: there are no candles"),
        (lambda: series(broken("low", np.nan)), InvalidInput, "low is nan in the candle that opens at 1577840400000"),
        (lambda: series(broken("high", np.inf)), InvalidInput, "high is inf in the candle that opens at 1577840400000"),
        (lambda: series(broken("open", 0.0)), InvalidInput, "open is 0.0 in the candle that opens at 1577840400000"),
        (
            lambda: series(broken("open", 120.0)),
            InvalidInput,
            "open 120.0 is outside low 99.0 to high 101.0 in the candle that opens at 1577840400000",
        ),
        (
            lambda: series(candles([CALM]), finer=broken("close", 98.5)),
            InvalidInput,
            "finer candles: close 98.5 is outside low 99.0 to high 101.0 in the candle that opens at 1577840400000",
        ),
        (lambda: series(broken("volume", -1.0)), InvalidInput, "volume is -1.0 in the candle that opens at 1577840400000"),
        (lambda: series(broken("open_time", 0)), InvalidInput, "open times must be int64 and at least 3600000 ms apart"),
        (
            lambda: Leg("drawn", series(candles([CALM, CALM])), signals(3, {})),
            InvalidInput,
            "drawn on BTC-USDT@binance: action has shape (3,), the candles have 2 rows",
        ),
        (lambda: Book(()), InvalidInput, "a book needs at least one leg"),
        (lambda: Funding(0, np.array([1]), np.array([0.1])), InvalidInput, "funding interval_ms must be above 0, was 0"),
        (lambda: Funding(1, np.array([2, 1]), np.array([0.1, 0.1])), InvalidInput, "funding times must ascend, each once"),
        (
            lambda: Funding(1, np.array([2]), np.array([1.5])),
            InvalidInput,
            "funding rate 1.5 at 2 is above 1: no market pays that",
        ),
    ],
)
def test_data_that_cannot_be_traded_on_is_refused(make, kind, message):
    with pytest.raises(kind) as raised:
        make()
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_markets_that_pay_in_several_coins_are_no_book():
    """A gain of 5 toman and a loss of 5 dollars are not nothing."""
    legs = [
        Leg("drawn", series(candles([CALM, CALM]), market), signals(2, {}), free())
        for market in ("BTC-USDT@binance", "ETH-USDT@binance", "BTC-IRT@binance")
    ]
    assert Book(tuple(legs[:2])).markets == ("BTC-USDT@binance", "ETH-USDT@binance")
    with pytest.raises(InvalidInput, match="a book counts in one quote coin, its markets pay in USDT, IRT: make a book of each"):
        Book(tuple(legs))


def test_a_book_refuses_doubled_legs_unknown_budgets_and_rules_of_another_market():
    where = series(candles([CALM, CALM]))
    leg = Leg("drawn", where, signals(2, {}), free())
    with pytest.raises(InvalidInput, match="strategy drawn trades BTC-USDT@binance 1h twice in one book"):
        Book((leg, leg))
    with pytest.raises(InvalidInput, match=r"budgets\.other: no leg of that strategy, there are drawn"):
        Book((leg,), BookRules(budgets={"other": Budget()}))
    foreign = MarketRules(parse_market("ETH-USDT@binance"), MarketStatus.TRADING, Decimal("0.01"), Decimal("0.01"))
    with pytest.raises(InvalidInput, match="BTC-USDT@binance: rules are those of ETH-USDT@binance"):
        series(candles([CALM]), MARKET, rules=(foreign,))
