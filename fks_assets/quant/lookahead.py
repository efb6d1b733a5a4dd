"""Judgements held against each other: what a strategy says of some candles, as columns, and where two such differ."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.base import SignalColumns, Strategy

Columns = Mapping[str, np.ndarray]


def first_difference(some: Columns, others: Columns, *, rounding: float = 0.0) -> tuple[int, str] | None:
    """Return the first row in which two sets of columns of equal length differ, with the first such column; None if none does.

    Numbers differ by more than the share `rounding` of the larger one; NaN equals NaN.
    """
    apart = {name: differing(column, others[name], rounding) for name, column in some.items()}
    rows = np.flatnonzero(np.logical_or.reduce(list(apart.values())))
    return next(((int(row), name) for row in rows[:1] for name in apart if apart[name][row]), None)


def differing(some: np.ndarray, others: np.ndarray, rounding: float = 0.0) -> np.ndarray:
    """Return for each row whether two columns differ, as `first_difference` means it."""
    apart = some != others
    if some.dtype.kind == "f" and apart.any():
        with np.errstate(invalid="ignore"):
            close = np.abs(some - others) <= rounding * np.maximum(np.abs(some), np.abs(others))
        apart &= ~(close | (np.isnan(some) & np.isnan(others)))
    return apart.astype(np.bool_)


def judgement(strategy: Strategy[Any], candles: Candles) -> SignalColumns:
    """Return what the strategy says of candles whose known history begins with them."""
    return Strategy.evaluate(strategy, candles, compute_indicators(candles), warm_rows(len(candles)))


def columns_of(signals: SignalColumns) -> dict[str, np.ndarray]:
    """Return the columns by name, the reasons in words."""
    return {
        "action": signals.action,
        "confidence": signals.confidence,
        "stop": signals.stop,
        "target": signals.target,
        "reason": np.array(signals.reasons, dtype=object)[signals.reason_codes],
    }
