"""Hold a result against the reference, trade by trade, order by order, bar by bar."""

from decimal import Decimal

import numpy as np

from fks_assets.quant.backtest import layout
from fks_assets.quant.backtest.book import Book
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import ENTRY, BacktestResult, EquityCurve, ExitReason, Refusal, Written
from fks_assets.quant.performance import Performance, measure
from fks_assets.quant.performance_series import with_base
from fks_assets_tests.quant.backtest.reference import Outcome, reference_backtest

CLOSE = 1e-9
# What is left in floating point of an account that lost everything, to its first cash.
LOST = 1e-11
EXACT = ("market", "strategy", "side", "entry_time", "exit_time", "exit_reason", "candles_held", "ambiguous", "leg", "booked_at")
PRICES = ("entry_price", "exit_price", "return_fraction")
AMOUNTS = ("quantity", "entry_fee", "exit_fee", "pnl", "funding")


def assert_equals_reference(book: Book) -> BacktestResult:
    """Run both; raise AssertionError that names the first difference; return the engine's result."""
    result, outcome = run_backtest(book), reference_backtest(book)
    _compare_trades(result, outcome)
    _compare_orders(result, outcome)
    _compare_equity(result, outcome)
    for counts, desk in zip(result.legs, outcome.desks, strict=True):
        assert {Refusal(reason).name: count for reason, count in counts.refused.items()} == desk.refused
        assert (counts.ambiguous_candles, counts.decided_by_finer) == (desk.ambiguous, desk.decided)
        assert (counts.funding_due, counts.funding_unknown) == (desk.due, desk.unknown)
        assert counts.parts_skipped == desk.skipped
    return result


def figures_of(result: BacktestResult, start_ms: int) -> Performance:
    """Return every figure of a backtest, from its initial cash at `start_ms` (the open time of its first candle) on."""
    time, equity = with_base(start_ms, result.initial_cash, result.equity.time, result.equity.equity)
    _, exposure = with_base(start_ms, 0.0, result.equity.time, result.equity.exposure)
    return measure(time, equity, exposure=exposure, trades=result.trades)


def result_of(equity: EquityCurve, cash: float, **trades: np.ndarray) -> BacktestResult:
    """Return a result of one strategy on one market without orders, its trades' columns as given, 0 in all others."""
    records = np.zeros(max(map(len, trades.values()), default=0), layout.TRADE)
    for name, column in trades.items():
        records[name] = column
    written = Written(records, np.zeros(0, layout.ORDER), np.zeros(1, layout.STATE), np.zeros((1, len(Refusal)), np.int64))
    return BacktestResult(("BTC-USDT@x",), ("s",), cash, equity, {}, (("BTC-USDT@x", "s"),), written)


def rows_of(result: BacktestResult) -> list[dict[str, object]]:
    """Return the trades as dictionaries with names for codes."""
    rows = []
    for row in range(len(result.trades)):
        trade = {name: getattr(result.trades, name)[row].item() for name in result.trades.__dataclass_fields__}
        trade["market"] = result.markets[trade["market"]]
        trade["strategy"] = result.strategies[trade["strategy"]]
        trade["exit_reason"] = ExitReason(trade["exit_reason"]).name
        rows.append(trade)
    return rows


def _compare_trades(result: BacktestResult, outcome: Outcome) -> None:
    ours = rows_of(result)
    for row, (our, their) in enumerate(zip(ours, outcome.trades, strict=False)):
        both = f"trade {row}: {our}, reference {their}"
        assert {name: our[name] for name in EXACT} == {name: their[name] for name in EXACT}, both
        value = abs(their["entry_price"] * their["quantity"])
        lost = Decimal(LOST * result.initial_cash)
        # Differences of larger figures are as exact as those.
        scales = {"pnl": value, "funding": value, "return_fraction": max(abs(their["return_fraction"]), Decimal(1))}
        for name in (*PRICES, *AMOUNTS):
            scale = scales.get(name, abs(their[name]))
            allowed = Decimal(CLOSE) * scale + (lost if name in AMOUNTS else 0)
            assert abs(Decimal(our[name]) - their[name]) <= allowed, f"{name} is {our[name]}, {both}"
    assert len(ours) == len(outcome.trades)


def _compare_orders(result: BacktestResult, outcome: Outcome) -> None:
    orders = result.orders
    assert len(orders) == len(outcome.orders)
    for row, (time, market, strategy, side, quantity, price, fee, reason) in enumerate(outcome.orders):
        code = int(orders.reason[row])
        ours = (
            int(orders.time[row]),
            result.markets[orders.market[row]],
            result.strategies[orders.strategy[row]],
            int(orders.side[row]),
            "ENTRY" if code == ENTRY else ExitReason(code).name,
        )
        assert ours == (time, market, strategy, side, reason), f"order {row}"
        lost = Decimal(LOST * result.initial_cash)
        for our, their in ((orders.quantity[row], quantity), (orders.price[row], price), (orders.fee[row], fee)):
            assert abs(Decimal(float(our)) - their) <= Decimal(CLOSE) * abs(their) + lost, f"order {row}: {our}, {their}"


def _compare_equity(result: BacktestResult, outcome: Outcome) -> None:
    curve = result.equity
    assert curve.time.tolist() == [time for time, *_ in outcome.equity]
    equity, exposure = (np.array([float(row[place]) for row in outcome.equity]) for place in (1, 2))
    # What positions are worth is subtracted from each other: the error is that of the larger parts.
    lost = np.isinf(exposure)
    assert (np.isinf(curve.exposure) == lost).all()
    parts = np.where(lost, 0.0, np.abs(exposure * equity))
    error = CLOSE * np.abs(equity) + LOST * (result.initial_cash + parts)
    for name, theirs, allowed in (
        ("equity", equity, error),
        ("exposure", exposure, CLOSE + np.abs(exposure) * error / np.maximum(np.abs(equity), 1e-300)),
    ):
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(getattr(curve, name) - theirs) <= allowed) & ~(lost & (name == "exposure"))
        row = int(np.argmax(wrong))
        assert not wrong.any(), f"bar {row}: {name} is {getattr(curve, name)[row]}, reference {theirs[row]}"
