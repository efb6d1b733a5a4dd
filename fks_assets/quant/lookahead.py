"""Proof that a judgement uses the past alone: with the future cut off, each row must say exactly what it said with it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.base import SignalColumns, Strategy

Columns = Mapping[str, np.ndarray]


def first_lookahead_row(
    compute: Callable[[Candles], Columns], candles: Candles, rows: Iterable[int] | None = None
) -> tuple[int, str] | None:
    """Return the first of `rows` (all by default) whose value changes when every later candle is cut off, with the column; None
    if none does.

    What is compared is the last row of the cut series, which is what a live desk would have seen at that candle's close, bit by
    bit. Each row costs one evaluation of its past: a few thousand candles take seconds.
    """
    whole = compute(candles)
    for row in range(len(candles)) if rows is None else rows:
        cut = compute(candles.slice(0, row + 1))
        for name, column in whole.items():
            seen, now = column[row], cut[name][-1]
            if seen != now and not (seen != seen and now != now):
                return row, name
    return None


def strategy_columns(strategy: Strategy[Any]) -> Callable[[Candles], Columns]:
    """Return the function from candles to everything the strategy says of them, indicators computed on the way."""
    return lambda candles: columns_of(strategy.evaluate(candles, compute_indicators(candles), warm_rows(len(candles))))


def columns_of(signals: SignalColumns) -> dict[str, np.ndarray]:
    """Return the columns by name, the reasons in words."""
    return {
        "action": signals.action,
        "confidence": signals.confidence,
        "stop": signals.stop,
        "target": signals.target,
        "reason": np.array(signals.reasons, dtype=object)[signals.reason_codes],
    }
