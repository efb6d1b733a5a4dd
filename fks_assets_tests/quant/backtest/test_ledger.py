"""A backtest booked in Decimal: what a desk's ledger that books the same fills must have, to the last digit (C12, F16)."""

from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.book import Book, Leg, single
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.orders import order_levels, order_price, trailed_stop
from fks_assets.quant.backtest.results import ENTRY, BacktestResult
from fks_assets.quant.backtest.rules import BookRules, Costs, Sizing
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.sizing import order_quantity
from fks_assets_tests.amounts import tries
from fks_assets_tests.quant.backtest.books import free, judged, series
from fks_assets_tests.quant.backtest.drawing import books
from fks_assets_tests.quant.backtest.ledger import ExactAccount, ExactFill, ExactFunding, exact_equity
from fks_assets_tests.quant.backtest.reference import reference_backtest
from fks_assets_tests.quant.backtest.scenarios import SCENARIOS, two_markets
from fks_assets_tests.quant.backtest.test_reference import BINANCE
from fks_assets_tests.quant.series import recorded
from fks_assets_tests.shared_data import requires_shared

SAME = Decimal("1e-24")
DESK = Context(prec=60)


def assert_same_curve(book: Book, result: BacktestResult) -> None:
    """Hold the exact curve against the reference, which divides and so rounds at its fortieth digit, and against the floats."""
    exact = exact_equity(book, result)
    outcome = reference_backtest(book)
    assert exact.time.tolist() == [time for time, *_ in outcome.equity]
    size = Decimal(book.rules.initial_cash)
    # Once in 100,000 entries a quotient is so near a whole lot that floats and the reference see it on different sides of it. A
    # desk sees it as the engine does, because it asks the same function.
    if result.orders.quantity.tolist() == [float(quantity) for *_, quantity, _, _, _ in outcome.orders]:
        with localcontext(DESK):
            for ours, (time, theirs, *_) in zip(exact.equity, outcome.equity, strict=True):
                assert abs(ours - theirs) <= SAME * max(size, abs(theirs)), f"at {time}: {ours}, reference {theirs}"
    gross = np.where(np.isinf(result.equity.exposure), 0.0, result.equity.exposure * np.abs(result.equity.equity))
    floats = np.array([float(each) for each in exact.equity])
    assert (np.abs(result.equity.equity - floats) <= 1e-11 * (book.rules.initial_cash + gross + np.abs(floats))).all()


def assert_desk_orders_the_same(book: Book, result: BacktestResult) -> int:
    """Replay the fills into a Decimal account; at each entry ask what a desk would order; return the number of entries."""
    exact = exact_equity(book, result)
    account = ExactAccount(Decimal(repr(book.rules.initial_cash)))
    entered: dict[int, ExactFill] = {}
    entries = 0
    for entry in exact.entries:
        if isinstance(entry, ExactFill) and entry.reason == ENTRY:
            entries += 1
            assert desk_order(book, account, entered, entry) == (entry.price, entry.quantity)
            entered[entry.leg] = entry
        account.book(entry)
    return entries


def desk_order(book: Book, account: ExactAccount, entered: dict[int, ExactFill], fill: ExactFill) -> tuple[Decimal, Decimal]:
    """Return (price, quantity) of the order that a desk with this account sends at this moment."""
    leg = book.legs[fill.leg]
    candles, rules, costs = leg.series.candles, rules_at(leg, fill.time), book.rules.costs
    row = int(np.searchsorted(candles.open_time, fill.time))

    def price_of(quantity: float) -> Decimal:
        opened, volume = Decimal(repr(float(candles.open[row]))), float(candles.volume[row])
        return order_price(costs, rules, price=opened, side=fill.side, quantity=quantity, volume=volume)

    def repriced(quantity: float) -> Decimal:
        paid.append(price_of(quantity))
        return paid[-1]

    with localcontext(DESK):
        price = price_of(0.0)
        paid = [price]
        stop, _ = order_levels(
            leg.rules,
            rules,
            side=fill.side,
            price=price,
            signal_close=float(candles.close[row - 1]),
            signal_stop=float(leg.signals.stop[row - 1]),
            signal_target=float(leg.signals.target[row - 1]),
        )
        available, equity = money_for(book, leg, account, entered, fill.time)
        quantity = order_quantity(
            leg.rules.sizing,
            rules,
            side=fill.side,
            price=price,
            stop=stop,
            confidence=float(leg.signals.confidence[row - 1]),
            available=available,
            equity=equity,
            fee=costs.fee_rate(rules.taker_fee, rests=False),
            leverage=leg.rules.leverage,
            reprice=repriced if costs.impact else None,
        )
        return paid[-1], quantity


def money_for(book: Book, leg: Leg, account: ExactAccount, entered: dict[int, ExactFill], time: int) -> tuple[Decimal, Decimal]:
    """Return (cash left in the strategy's budget, its share of the equity) as docs/backtest-rules.md says."""
    marks, stakes = {}, {}
    cash = account.cash
    for place, quantity in account.positions.items():
        other, paid = book.legs[place], entered[place].price
        closes = other.series.candles.open_time + other.series.timeframe.milliseconds
        last = int(np.searchsorted(closes, time, side="right")) - 1
        since = last >= 0 and closes[last] > entered[place].time
        marks[place] = Decimal(repr(float(other.series.candles.close[last]))) if since else paid
        stakes[place] = abs(quantity) * paid / Decimal(repr(other.rules.leverage))
        # What the account took for the whole position, less the margin that it commits.
        cash += quantity * paid - stakes[place]
    budget = book.rules.budgets.get(leg.strategy)
    share = Decimal(1) if budget is None else Decimal(repr(budget.share))
    equity = share * account.equity(marks)
    mine = sum((stake for place, stake in stakes.items() if book.legs[place].strategy == leg.strategy), Decimal(0))
    return cash if share == 1 else min(cash, equity - mine), equity


def rules_at(leg: Leg, time: int) -> MarketRules:
    current = leg.series.rules[0]
    for rules in leg.series.rules[1:]:
        if rules.valid_from is not None and rules.valid_from <= time:
            current = rules
    return current


@given(books(ruled=True))
@settings(max_examples=tries(15, 120))
def test_the_exact_equity_of_any_book_is_that_of_the_reference(book):
    assert_same_curve(book, run_backtest(book))


@given(books(ruled=True))
@settings(max_examples=tries(15, 120))
def test_a_desk_with_the_same_decimal_account_orders_the_same_price_and_quantity_at_every_entry(book):
    assert_desk_orders_the_same(book, run_backtest(book))


@requires_shared
@pytest.mark.parametrize("kind", ["fraction", "confidence", "risk"])
def test_five_years_of_btc_are_ordered_by_a_desk_as_the_engine_fills_them(kind):
    of = recorded("BTC")
    rules = free(sizing=Sizing(kind=kind, base="cash" if kind == "fraction" else "equity"), trailing_percent=2.0)
    book = single(
        "breakout", series(of, rules=(BINANCE,)), judged("breakout", of), rules, BookRules(costs=Costs(slippage=0.0002))
    )
    result = run_backtest(book)
    assert assert_desk_orders_the_same(book, result) > 1000
    curve = exact_equity(book, result)
    assert len(curve.fills) == len(result.orders)
    np.testing.assert_allclose([float(each) for each in curve.equity], result.equity.equity, rtol=1e-12)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.words for scenario in SCENARIOS])
def test_the_books_worked_out_by_hand_have_the_equity_worked_out_by_hand(scenario):
    book = scenario.book()
    curve = exact_equity(book, run_backtest(book))
    profit = sum((Decimal(repr(float(trade[4]))) for trade in scenario.trades), Decimal(0))
    assert float(curve.equity[-1]) == pytest.approx(float(Decimal(repr(book.rules.initial_cash)) + profit), rel=1e-12)


def test_a_ledger_without_rounding_is_kept_to_the_last_digit():
    """0.1 coins at 0.3 with 0.1 % fee, in floats 0.030000000000000002; worked out by hand."""
    account = ExactAccount(Decimal(1))
    account.book(ExactFill(0, 1, 1, Decimal("0.1"), Decimal("0.3"), Decimal("0.00003"), ENTRY))
    account.book(ExactFunding(0, 2, Decimal("-0.0000001")))
    assert account.cash == Decimal("0.9699701") and account.equity({0: Decimal("0.7")}) == Decimal("1.0399701")
    account.book(ExactFill(0, 3, -1, Decimal("0.1"), Decimal("0.7"), Decimal("0.00007"), 1))
    assert account.cash == account.equity({}) == Decimal("1.0399001") and not account.positions


def test_a_result_of_another_book_is_refused():
    one, other = SCENARIOS[0].book(), two_markets({})()
    with pytest.raises(InvalidInput, match="the result is that of another book"):
        exact_equity(other, run_backtest(one))


def test_a_stop_trails_on_the_tick_and_never_back():
    """S3.8; 1 % below 100.057 is 99.05643, rounded up to cents."""
    rules = free(trailing_percent=1.0)
    assert trailed_stop(rules, BINANCE, side=1, stop=Decimal(95), price=Decimal("100.057")) == Decimal("99.06")
    assert trailed_stop(rules, BINANCE, side=1, stop=Decimal("99.06"), price=Decimal(100)) == Decimal("99.06")
    assert trailed_stop(rules, BINANCE, side=-1, stop=None, price=Decimal(100)) == Decimal(101)
    assert trailed_stop(free(), BINANCE, side=1, stop=None, price=Decimal(100)) is None
