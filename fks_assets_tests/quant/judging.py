"""What the strategy tests share: a strategy's word on candles, and indicators that say what a test wants them to."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.strategies.base import SignalColumns, Strategy
from fks_assets_tests.quant.series import candles_of


def judged(strategy: Strategy[Any], candles: Candles) -> SignalColumns:
    """Return the strategy's word on candles whose history begins with them."""
    return strategy.evaluate(candles, compute_indicators(candles), warm_rows(len(candles)))


def last_word(
    strategy: Strategy[Any], before: Mapping[str, float], now: Mapping[str, float], close: float = 100.0
) -> tuple[int, float, float, float, str]:
    """Return (action, confidence, stop, target, reason) of a last candle with indicators `now`, after warm ones with `before`."""
    rows = strategy.lookback_rows + 1
    closes = np.full(rows, close)
    indicators = {name: np.append(np.full(rows - 1, before[name]), now[name]) for name in before}
    signals = strategy.evaluate(candles_of(closes, closes, closes), indicators, np.ones(rows, np.bool_))
    return (
        int(signals.action[-1]),
        float(signals.confidence[-1]),
        float(signals.stop[-1]),
        float(signals.target[-1]),
        signals.reason(-1),
    )
