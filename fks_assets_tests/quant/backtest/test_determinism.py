"""The same book gives the same bytes, in any process; what comes later changes nothing that came before (C27, F4)."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fks_assets.quant.backtest.book import Book, Funding, Leg, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import END, BacktestResult, EquityCurve, ExitReason, Trades
from fks_assets.quant.backtest.rules import BookRules, Budget, Costs, PartialExit, Sizing
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets_tests.amounts import tries
from fks_assets_tests.quant.backtest.books import free, judged, series
from fks_assets_tests.quant.backtest.drawing import books, finer_of
from fks_assets_tests.quant.series import HOUR_MS, START_MS, synthetic

SCRIPT = """
from fks_assets_tests.quant.backtest.test_determinism import bytes_of, large_book
from fks_assets.quant.backtest.engine import run_backtest
print(bytes_of(run_backtest(large_book())))
"""


def bytes_of(result: BacktestResult) -> str:
    """Return the SHA-256 of every byte of a result."""
    digest = hashlib.sha256(repr((result.markets, result.strategies, result.legs, result.order_list_hash)).encode())
    for table in (result.trades, result.equity, result.orders):
        for name in table.__dataclass_fields__:
            digest.update(getattr(table, name).tobytes())
    return digest.hexdigest()


def large_book() -> Book:
    """Return two strategies with budgets on three markets in two timeframes: leverage, short positions, trailing stops, partial
    exits, funding, finer candles, trading rules that change, costs of every kind.
    """
    random = np.random.default_rng(8)
    rules = tuple(
        MarketRules(parse_market("BTC-USDT@binance"), MarketStatus.TRADING, Decimal(tick), Decimal("0.001"), valid_from=start)
        for tick, start in (("0.01", 0), ("0.05", START_MS + 1000 * HOUR_MS))
    )
    due = START_MS + 8 * HOUR_MS * np.arange(350, dtype=np.int64)
    funding = Funding(8 * HOUR_MS, due, random.normal(0, 0.0005, 350).round(6))
    btc, eth, xrp = (synthetic(3000, seed=seed, volatility=0.01) for seed in range(3))
    slow = Candles(START_MS + 4 * HOUR_MS * np.arange(750), *(getattr(xrp, name)[:750] for name in OHLCV_COLUMNS))
    markets = (
        series(btc, "BTC-USDT@binance", rules=rules, funding=funding),
        series(eth, "ETH-USDT@binance", finer=finer_of(random, eth, HOUR_MS, 4)),
        series(slow, "XRP-USDT@kraken", "4h"),
    )
    how = {
        "breakout": free(trailing_percent=0.25, leverage=3.0, tie_rule="finer", sizing=Sizing(kind="confidence")),
        "technical": free(partial_exits=(PartialExit(part=0.4, gain_percent=0.5),), sizing=Sizing(kind="risk", base="equity")),
    }
    legs = [Leg(name, each, judged(name, each.candles), rules) for name, rules in how.items() for each in markets]
    budgets = {"breakout": Budget(share=0.6, max_positions=2), "technical": Budget(share=0.5)}
    return Book(
        tuple(legs),
        BookRules(max_positions=5, costs=Costs(slippage=0.0002, spread=0.0002, impact=0.2, impact_limit=0.05), budgets=budgets),
    )


def test_three_runs_in_one_process_are_equal_byte_by_byte():
    first, second, third = (run_backtest(large_book()) for _ in range(3))
    assert len(first.trades) > 300
    reasons = {reason for reason in ExitReason if (first.trades.exit_reason == reason).any()}
    assert reasons >= {ExitReason.STOP, ExitReason.TARGET, ExitReason.TRAILING, ExitReason.PARTIAL, ExitReason.SIGNAL}
    assert set(first.trades.side.tolist()) == {1, -1} and (first.trades.funding != 0).any() and first.decided_by_finer
    assert bytes_of(first) == bytes_of(second) == bytes_of(third)


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_another_process_with_another_hash_seed_gives_the_same_bytes(seed):
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert answer.stdout.strip() == bytes_of(run_backtest(large_book()))


def cut(book: Book, end_ms: int) -> Book | None:
    """Return the book as it would have been at a moment: only candles that have closed, their signals, and fundings till then."""
    kept: dict[int, MarketSeries] = {}
    for leg in book.legs:
        own = leg.series
        candles = own.candles.slice(0, int(np.searchsorted(own.candles.open_time + own.timeframe.milliseconds, end_ms, "right")))
        if not len(candles):
            return None
        funding = own.funding
        if funding is not None:
            past = funding.time < end_ms
            funding = Funding(funding.interval_ms, funding.time[past], funding.rate[past])
        finer = None if own.finer is None else own.finer.between(0, end_ms)
        kept[id(own)] = replace(own, candles=candles, funding=funding, finer=finer if finer is not None and len(finer) else None)
    legs = []
    for leg in book.legs:
        rows = len(kept[id(leg.series)].candles)
        columns = [getattr(leg.signals, name)[:rows] for name in ("action", "confidence", "stop", "target", "reason_codes")]
        legs.append(Leg(leg.strategy, kept[id(leg.series)], SignalColumns(*columns, leg.signals.reasons), leg.rules))
    return Book(tuple(legs), book.rules)


def rows_before(table: Trades | EquityCurve, rows: np.ndarray) -> list[bytes]:
    return [getattr(table, name)[rows].tobytes() for name in table.__dataclass_fields__]


@given(books(), st.floats(0.1, 1.0))
@settings(max_examples=tries(30, 200))
def test_cutting_the_future_off_changes_no_trade_and_no_equity_before_the_cut(book, share):
    whole = run_backtest(book)
    moment = int(np.quantile(whole.equity.time, share, method="nearest"))
    shorter = cut(book, moment)
    if shorter is None:
        return
    result = run_backtest(shorter)
    # A series that was cut is closed at its last close; compare what happened before the first such close.
    step = max(leg.series.timeframe.milliseconds for leg in book.legs)
    closes = [
        int(short.series.candles.open_time[-1]) + short.series.timeframe.milliseconds
        for long, short in zip(book.legs, shorter.legs, strict=True)
        if len(short.series.candles) < len(long.series.candles)
    ]
    end = min(closes, default=2**60)
    whole_bars, bars = (each.equity.time < end for each in (whole, result))
    assert rows_before(whole.equity, whole_bars) == rows_before(result.equity, bars)
    whole_rows, rows = (each.trades.exit_time < end - step for each in (whole, result))
    assert rows_before(whole.trades, whole_rows) == rows_before(result.trades, rows)


def test_a_signal_cannot_be_filled_before_the_open_after_it():
    of = synthetic(2000, seed=3)
    random = np.random.default_rng(5)
    action = random.choice([-1, 0, 1], 2000).astype(np.int8)
    nowhere = np.full(2000, np.nan)
    signals = SignalColumns(action, np.ones(2000), nowhere, nowhere, np.zeros(2000, np.int16), ("drawn",))
    result = run_backtest(Book((Leg("drawn", series(of), signals, free()),)))
    row_of = {int(time): row for row, time in enumerate(of.open_time)}
    for entry, exit_, side, reason in zip(
        result.trades.entry_time, result.trades.exit_time, result.trades.side, result.trades.exit_reason, strict=True
    ):
        assert action[row_of[int(entry)] - 1] == side
        assert reason == END or action[row_of[int(exit_)] - 1] == -side
