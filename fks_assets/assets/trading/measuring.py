"""The course of a book that was run: figures and curves until its end or its ruin, beside holding the same markets."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from fks_assets.quant.backtest.results import BacktestResult
from fks_assets.quant.candles import Candles
from fks_assets.quant.performance import Performance, measure
from fks_assets.quant.performance_charts import Curve
from fks_assets.quant.performance_ruin import after_ruin
from fks_assets.quant.performance_series import buy_and_hold, with_base
from fks_assets.quant.timeframes import Timeframe


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Every figure of a book, its curves, and the curve of holding.

    `start_ms` is the open time of its first candle and `end_ms` the close time of the last. `time` int64 ms are the moments of
    `equity` and `exposure`: the start, then the close of each bar. `ruined_ms` is the close of the bar after which nothing was
    left, else None: from there on figures and curves count the account as lost, whatever its positions were worth later.
    """

    start_ms: int
    end_ms: int
    ruined_ms: int | None
    time: np.ndarray
    equity: np.ndarray
    exposure: np.ndarray
    performance: Performance
    hold: Curve

    def parts(self) -> dict[str, Any]:
        """Return these fields by name, for what is built on them."""
        return {each.name: getattr(self, each.name) for each in fields(Measured)}


def measured(result: BacktestResult, candles: Mapping[str, Candles], timeframe: Timeframe) -> Measured:
    """Return the course of a book that traded these candles by market."""
    first = min(int(each.open_time[0]) for each in candles.values())
    hold = _holding(result.equity.time, candles, timeframe, first)
    kept, ruin = after_ruin(result.equity.equity, result.initial_cash)
    held = np.where(np.arange(len(kept)) < (len(kept) if ruin is None else ruin), result.equity.exposure, 0.0)
    time, equity = with_base(first, result.initial_cash, result.equity.time, kept)
    _, exposure = with_base(first, 0.0, result.equity.time, held)
    return Measured(
        start_ms=first,
        end_ms=int(result.equity.time[-1]),
        ruined_ms=None if ruin is None else int(result.equity.time[ruin]),
        time=time,
        equity=equity,
        exposure=exposure,
        performance=measure(time, equity, exposure=exposure, trades=result.trades, hold=(hold.time, hold.value)),
        hold=hold,
    )


def _holding(time: np.ndarray, candles: Mapping[str, Candles], timeframe: Timeframe, start_ms: int) -> Curve:
    """Return the value of one coin of the quote put into each market alike at its first open and held; 1 at the start."""
    step = timeframe.milliseconds
    prices = [
        (np.concatenate((each.open_time[:1], each.open_time + step)), np.concatenate((each.open[:1], each.close)))
        for each in candles.values()
    ]
    name = f"Holding {next(iter(candles))}" if len(candles) == 1 else f"Holding {len(candles)} markets alike"
    moments = np.concatenate(([start_ms], time))
    return Curve(name, moments, buy_and_hold(moments, prices))
