"""The backtest engine against the least a breakout backtest can cost: TA-Lib on arrays and one bare numba pass.

The limit knows one strategy, one market, long only, one fee, and writes equity and trades; ours has every rule switched on that
can be on without changing a trade, and both make the same trades, which is checked.
"""

import importlib.util
import itertools
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from statistics import median

import numba
import numpy as np
import talib

from benchmarks.measure import Row, absolute, compare, paired, peak_bytes
from benchmarks.series import synthetic_candles
from fks_assets.quant.backtest.book import MarketSeries, single
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import BacktestResult
from fks_assets.quant.backtest.rules import BookRules, Budget, Costs, LegRules, PartialExit
from fks_assets.quant.backtest.sweep import SweepResult, sweep
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.strategies.columns import Columns
from fks_assets.quant.strategies.lending import LentColumns
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.quant.backtest.peers import PEERS, candles_and_signals
from fks_assets_tests.quant.series import recorded, synthetic
from fks_assets_tests.shared_data import SHARED

MARKET, CASH, FEE, FIRST = "BTC-USDT@binance", 100_000.0, 0.0001, 501
LOOKBACKS, RSI_BOUNDS = (10, 20, 30, 40, 50), (65.0, 70.0, 75.0, 80.0, 85.0)
STOPS, REWARDS = (0.2, 0.3, 0.5, 0.8, 1.2), (1.5, 2.0, 3.0, 4.0)
FRESH_PROCESSES = 7
# Enough that each row takes seconds: what disturbs the machine for a moment is then no part of the median.
SWEEPS = 45
COMBINATIONS = tuple(itertools.product(LOOKBACKS, RSI_BOUNDS, STOPS, REWARDS))


@numba.njit(nogil=True)
def bare_signals(high, low, close, fast, slow, rsi, volume, mean, lookback_high, lookback_low, rsi_high, rsi_low, signal):
    """Write 1, -1 or 0 for each candle."""
    for row in range(FIRST, len(close)):
        busy = volume[row] > 1.2 * mean[row]
        if close[row] > lookback_high[row - 1] and fast[row] > slow[row] and rsi[row] < rsi_high and busy:
            signal[row] = 1
        elif close[row] < lookback_low[row - 1] and fast[row] < slow[row] and rsi[row] > rsi_low and busy:
            signal[row] = -1
        else:
            signal[row] = 0


@numba.njit(nogil=True)
def bare_judgement(
    high, low, close, fast, slow, rsi, volume, mean, lookback_high, lookback_low, momentum,
    signal, confidence, stop, target, reason,
):  # fmt: skip
    """Write all that a judgement says of each candle: signal, confidence, stop, target and the place of its reason."""
    for row in range(len(close)):
        signal[row], confidence[row], stop[row], target[row], reason[row] = 0, 0.0, np.nan, np.nan, 2
        if row < FIRST or not np.isfinite(momentum[row]):
            reason[row] = 3
            continue
        busy = volume[row] > 1.2 * mean[row]
        if close[row] > lookback_high[row - 1] and fast[row] > slow[row] and rsi[row] < 75.0 and busy:
            signal[row], confidence[row], reason[row] = 1, 0.8, 0
        elif close[row] < lookback_low[row - 1] and fast[row] < slow[row] and rsi[row] > 25.0 and busy:
            signal[row], confidence[row], reason[row] = -1, 0.8, 1
        if signal[row] != 0:
            stop[row] = close[row] * (1 - signal[row] * 0.003)
            target[row] = close[row] * (1 + signal[row] * 0.006)


@numba.njit(nogil=True)
def bare_pass(open_, high, low, close, signal, stop_part, target_part, cash, equity, entries, exits, prices, pnls):
    """Trade the signals long only, whole cash, stop first; return the number of trades."""
    trades, held, entry, stop, target, quantity, entered = 0, False, 0.0, 0.0, 0.0, 0.0, 0
    equity[0] = cash
    for row in range(1, len(close)):
        price = 0.0
        if not held and signal[row - 1] > 0:
            stop, target = close[row - 1] * (1 - stop_part), close[row - 1] * (1 + target_part)
            if stop < open_[row] < target:
                held, entry, entered = True, open_[row], row
                quantity = cash / (entry * (1 + FEE))
                cash -= quantity * entry * (1 + FEE)
        elif held and signal[row - 1] < 0:
            price = open_[row]
        if held:
            if price == 0.0:
                if low[row] <= stop:
                    price = min(stop, open_[row])
                elif high[row] >= target:
                    price = target
                elif row + 1 == len(close):
                    price = close[row]
            if price > 0.0:
                cash += quantity * price * (1 - FEE)
                entries[trades], exits[trades], prices[trades] = entered, row, price
                pnls[trades] = quantity * (price * (1 - FEE) - entry * (1 + FEE))
                trades += 1
                held = False
        equity[row] = cash + quantity * close[row] if held else cash
    return trades


@numba.njit(nogil=True)
def bare_figures(equity, days):
    """Return (deepest drawdown, Sharpe of daily returns)."""
    peak, deepest = equity[0], 0.0
    for value in equity:
        peak = max(peak, value)
        deepest = max(deepest, 1 - value / peak)
    total, squares, before = 0.0, 0.0, equity[0]
    for row in days:
        part = equity[row] / before - 1
        total += part
        squares += part * part
        before = equity[row]
    mean = total / len(days)
    return deepest, mean / np.sqrt((squares - len(days) * mean * mean) / (len(days) - 1)) * np.sqrt(365.0)


def bare_indicators(candles: Candles, lookback: int = 20) -> tuple[np.ndarray, ...]:
    high, low, close, volume = candles.high, candles.low, candles.close, candles.volume
    return (
        talib.EMA(close, 5),
        talib.EMA(close, 13),
        talib.RSI(close, 14),
        volume,
        talib.SMA(volume, 5),
        talib.MAX(high, lookback),
        talib.MIN(low, lookback),
    )


class Buffers:
    """What the limit writes into."""

    def __init__(self, rows: int) -> None:
        self.signal = np.zeros(rows, np.int8)
        self.equity = np.empty(rows)
        self.entries, self.exits = np.empty(rows, np.int64), np.empty(rows, np.int64)
        self.prices, self.pnls = np.empty(rows), np.empty(rows)

    def trade(self, candles: Candles, stop: float, reward: float) -> int:
        return bare_pass(
            candles.open, candles.high, candles.low, candles.close, self.signal, stop / 100, stop * reward / 100, CASH,
            self.equity, self.entries, self.exits, self.prices, self.pnls,
        )  # fmt: skip

    def judge(self, candles: Candles, columns: tuple[np.ndarray, ...], rsi: float) -> None:
        bare_signals(candles.high, candles.low, candles.close, *columns, rsi, 100 - rsi, self.signal)


def limit_backtest(candles: Candles) -> tuple[Buffers, int]:
    """One breakout backtest from candles to equity and trades."""
    buffers = Buffers(len(candles))
    buffers.judge(candles, bare_indicators(candles), 75.0)
    return buffers, buffers.trade(candles, 0.3, 2.0)


def limit_judgement(candles: Candles) -> tuple[Buffers, int]:
    """The same, with what the product's strategy gives besides: a confidence, levels and a reason for every candle."""
    rows = len(candles)
    buffers = Buffers(rows)
    levels = np.empty((3, rows))
    columns = (*bare_indicators(candles), talib.ROCP(candles.close, 3))
    said = (buffers.signal, *levels, np.empty(rows, np.int16))
    bare_judgement(candles.high, candles.low, candles.close, *columns, *said)
    return buffers, buffers.trade(candles, 0.3, 2.0)


def our_rules(**rules: object) -> LegRules:
    """Return rules that are all set, none of which changes a trade here."""
    unused = {
        "short": False,
        "trailing_percent": 99.0,
        "partial_exits": (PartialExit(part=0.5, gain_percent=1000.0),),
        "daily_trades": 1000,
        "oldest_signal_candles": 1e6,
        "liquidation_fee": 0.01,
    }
    return LegRules(**(unused | rules))


def our_book() -> BookRules:
    costs = Costs(maker_fee=FEE, taker_fee=FEE)
    return BookRules(initial_cash=CASH, max_positions=10, costs=costs, budgets={"breakout": Budget(max_positions=10)})


FIXED_LEVELS, SIGNAL_LEVELS, BOOK = our_rules(stop_percent=0.3, target_percent=0.6), our_rules(), our_book()


def our_backtest(candles: Candles, signals: SignalColumns, rules: LegRules) -> BacktestResult:
    series = MarketSeries(MARKET, parse_timeframe("1h"), candles)
    return run_backtest(single("breakout", series, signals, rules, BOOK))


def from_bare_signals(candles: Candles) -> BacktestResult:
    """Do what the limit does, but with our engine: TA-Lib, the same judgement, then every rule of ours."""
    buffers = Buffers(len(candles))
    buffers.judge(candles, bare_indicators(candles), 75.0)
    prices = candles.close
    columns = SignalColumns(buffers.signal, prices, prices, prices, np.empty(len(candles), np.int16), ("",))
    return our_backtest(candles, columns, FIXED_LEVELS)


def from_strategy(candles: Candles) -> BacktestResult:
    """Do all that the product does: the strategy computes what it needs from the candles and judges them."""
    strategy = create_strategy("breakout", {"momentum_signals": False})
    columns = Columns(candles, {})
    needed = {
        "ema_5": columns.ema(5),
        "ema_13": columns.ema(13),
        "rsi_14": columns.rsi(14),
        "high_20": columns.highest_before(20),
        "low_20": columns.lowest_before(20),
        "volume_ratio": columns.volume_ratio(5),
        "momentum_3": columns.change(3),
    }
    return our_backtest(candles, strategy.evaluate(candles, needed, warm_rows(len(candles))), SIGNAL_LEVELS)


def recorded_or_synthetic() -> tuple[str, Candles]:
    """Return BTC 1h as recorded, or as many synthetic candles that move as much."""
    if SHARED is not None:
        return "BTC 1h", recorded("BTC")
    return "synthetic 1h", synthetic(45_024, volatility=0.008)


def our_sweep(candles: Candles, indicators: dict[str, np.ndarray], workers: int) -> SweepResult[tuple[int, float, float, float]]:
    """Run all combinations: the look-back and the RSI bound make the signals, stop and target are rules of the engine."""
    warm = warm_rows(len(candles))
    lent = LentColumns(candles, indicators, warm)

    @lru_cache
    def rules_of(stop: float, reward: float) -> LegRules:
        return LegRules(short=False, oldest_signal_candles=None, stop_percent=stop, target_percent=stop * reward)

    def signals_of(combination: tuple[int, float, float, float]) -> SignalColumns:
        lookback, rsi, *_ = combination
        changed = {"lookback": lookback, "rsi_high": rsi, "rsi_low": 100 - rsi, "momentum_signals": False}
        return create_strategy("breakout", changed).evaluate(candles, lent, warm)

    return sweep(
        MarketSeries(MARKET, parse_timeframe("1h"), candles),
        COMBINATIONS,
        signals_of,
        rules_of=lambda combination: rules_of(*combination[2:]),
        shared=lambda combination: combination[:2],
        book=our_book(),
        strategy="breakout",
        workers=workers,
    )


def limit_sweep(candles: Candles, days: np.ndarray) -> list[tuple[float, float]]:
    """Run all combinations over shared indicators and signals, with drawdown and Sharpe."""
    buffers, found = Buffers(len(candles)), []
    shared = bare_indicators(candles)[:5]
    for lookback in LOOKBACKS:
        columns = (*shared, talib.MAX(candles.high, lookback), talib.MIN(candles.low, lookback))
        for rsi in RSI_BOUNDS:
            buffers.judge(candles, columns, rsi)
            for stop, reward in itertools.product(STOPS, REWARDS):
                buffers.trade(candles, stop, reward)
                found.append(bare_figures(buffers.equity, days))
    return found


def bare_passes(candles: Candles, workers: int) -> None:
    """Trade the same signals again and again on so many threads: all of it compiled, nothing shared but what is read."""
    columns = bare_indicators(candles)

    def some(_: int) -> None:
        buffers = Buffers(len(candles))
        for _ in range(50):
            buffers.judge(candles, columns, 75.0)
            buffers.trade(candles, 0.3, 2.0)

    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(some, range(8)))


def first_backtest_seconds() -> float:
    """Return what the first backtest of a fresh process takes after its imports, the compiled code being on disk."""
    script = (
        "import time, numba, talib\n"
        "from benchmarks.backtest import from_strategy\n"
        "from benchmarks.series import synthetic_candles\n"
        "candles = synthetic_candles(10_000, 3_600_000)\n"
        "start = time.perf_counter()\n"
        "from_strategy(candles)\n"
        "print(time.perf_counter() - start)"
    )
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def check_same_trades(candles: Candles) -> None:
    """Fail unless both sides made the same trades for the same money."""
    buffers, trades = limit_backtest(candles)
    result = from_bare_signals(candles)
    if len(result.trades) != trades or not np.allclose(result.equity.equity, buffers.equity, rtol=1e-9):
        raise SystemExit(f"the limit made {trades} trades, the engine {len(result.trades)}: they are not comparable")
    judged, strategy = limit_judgement(candles), from_strategy(candles)
    if judged[1] != len(strategy.trades) or not np.allclose(strategy.equity.equity, judged[0].equity, rtol=1e-9):
        raise SystemExit(f"the limit made {judged[1]} trades, the strategy {len(strategy.trades)}: they are not comparable")


def against_peers() -> Iterator[Row]:
    """Time the other engines that are installed on the same candles and the same signals."""
    if SHARED is None:
        return
    candles, signals = candles_and_signals()
    for module, name, bar in (("vectorbt", "vectorbt, levels from the fill", 1 / 8), ("backtesting", "backtesting.py", 1 / 100)):
        if importlib.util.find_spec(module) is not None:
            ours, theirs = paired(lambda: our_backtest(candles, signals, SIGNAL_LEVELS), PEERS[name], 7)
            yield compare(f"one backtest, BTC 1h, {len(candles):,} candles, from signals: {name}", bar, ours, theirs)


def run() -> Iterator[Row]:
    yield from against_peers()
    for name, candles, rounds in (
        (*recorded_or_synthetic(), 1000),
        ("synthetic 1h", synthetic_candles(2_629_440, 3_600_000), 25),
    ):
        what = f"one backtest, {name}, {len(candles):,} candles"
        check_same_trades(candles)
        ours, limit = paired(lambda c=candles: from_bare_signals(c), lambda c=candles: limit_backtest(c), rounds)
        yield compare(f"{what}: all rules on", 1.5, ours, limit)
        ours, limit = paired(lambda c=candles: from_strategy(c), lambda c=candles: limit_judgement(c), rounds)
        yield compare(f"{what}: by the strategy, a judgement of every candle", 1.5, ours, limit)

    name, candles = recorded_or_synthetic()
    indicators = compute_indicators(candles)
    days = np.flatnonzero(np.diff((candles.open_time + 3_599_999) // 86_400_000, append=0) != 0)
    what = f"sweep, {name}, {len(COMBINATIONS)} combinations"
    ours, limit = paired(lambda: our_sweep(candles, indicators, 1), lambda: limit_sweep(candles, days), SWEEPS)
    yield compare(f"{what}: one core", 2.0, ours, limit)
    two, one = paired(lambda: our_sweep(candles, indicators, 2), lambda: our_sweep(candles, indicators, 1), SWEEPS)
    yield compare(f"{what}: two cores to one", 1 / 1.8, two, one)
    two, one = paired(lambda: bare_passes(candles, 2), lambda: bare_passes(candles, 1), SWEEPS)
    yield compare(f"{what}: what this machine's second core gives bare passes", 1.0, two, one)
    peak = peak_bytes(lambda: our_sweep(candles, indicators, 1))
    yield absolute(f"{what}: peak memory", peak / 2**20, 16, "MiB", "whatever their number")
    first_backtest_seconds()
    seconds = median(first_backtest_seconds() for _ in range(FRESH_PROCESSES))
    yield absolute("first backtest in a fresh process beyond imports", seconds, 0.3, "s")
