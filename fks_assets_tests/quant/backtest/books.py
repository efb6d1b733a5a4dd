"""Books to test with: by hand, recorded, and drawn at random."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.quant.series import HOUR_MS, START_MS

MARKET = "BTC-USDT@binance"


def candles(rows: Sequence[tuple[float, float, float, float]], volume: float = 1000.0, step_ms: int = HOUR_MS) -> Candles:
    """Return candles from 2020-01-01 on with these (open, high, low, close)."""
    prices = np.array(rows, np.float64)
    return Candles(
        START_MS + step_ms * np.arange(len(rows), dtype=np.int64),
        *(np.ascontiguousarray(prices[:, place]) for place in range(4)),
        np.full(len(rows), volume),
    )


def signals(rows: int, acting: dict[int, tuple[int, float, float] | tuple[int, float, float, float]]) -> SignalColumns:
    """Return signals that hold but at the rows given with (action, stop, target[, confidence])."""
    action, confidence = np.zeros(rows, np.int8), np.zeros(rows)
    stop, target = np.full(rows, np.nan), np.full(rows, np.nan)
    for row, (side, low, high, *rest) in acting.items():
        action[row], stop[row], target[row], confidence[row] = side, low, high, rest[0] if rest else 1.0
    return SignalColumns(action, confidence, stop, target, np.zeros(rows, np.int16), ("drawn",))


def series(of: Candles, market: str = MARKET, timeframe: str = "1h", **rest: Any) -> MarketSeries:
    """Return the candles as a series of the market."""
    return MarketSeries(market, parse_timeframe(timeframe), of, **rest)


def book(of: Candles, acting: dict[int, Any], rules: LegRules | None = None, cash: float = 10_000.0, **rest: Any) -> Book:
    """Return the book of one strategy on one market; `rest` goes to the book's rules, or to the series where it belongs there."""
    own = {name: rest.pop(name) for name in ("market", "timeframe", "rules_of_market", "funding", "finer") if name in rest}
    where = series(of, **{{"rules_of_market": "rules"}.get(name, name): value for name, value in own.items()})
    return Book((Leg("drawn", where, signals(len(of), acting), rules or free()),), BookRules(initial_cash=cash, **rest))


def free(**rules: Any) -> LegRules:
    """Return rules without cooldown and age limit of signals unless they are given."""
    return LegRules(**({"cooldown_minutes": 0, "oldest_signal_candles": None} | rules))


def judged(name: str, of: Candles, **overrides: Any) -> SignalColumns:
    """Return a strategy's signals on the candles."""
    return create_strategy(name, overrides).evaluate(of, compute_indicators(of), warm_rows(len(of)))
