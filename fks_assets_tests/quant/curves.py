"""Twenty equity curves of real candles: holding a market, and trading it by one simple rule with fees."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from fks_assets_tests.quant.series import HOUR_MS, RECORDED, recorded
from fks_assets_tests.shared_data import SHARED

FEE = 0.001
KRAKEN = {"ADAUSD_1440": 1440, "XBTUSD_1440": 1440, "XBTUSD_720": 720, "XBTUSD_60": 60}


@dataclass(frozen=True)
class RealCurve:
    """Close times (ms), equity at them, and the price that buy and hold follows."""

    time: np.ndarray
    equity: np.ndarray
    price: np.ndarray


def rule_equity(close: np.ndarray, length: int = 200) -> np.ndarray:
    """Return the equity of holding while the close before was above the mean of the last `length`, with a fee at each change."""
    sums = np.concatenate(([0.0], np.cumsum(close)))
    held = np.zeros(len(close), bool)
    held[length:] = close[length - 1 : -1] > (sums[length:-1] - sums[:-length][: len(close) - length]) / length
    moves = np.concatenate(([1.0], np.where(held[1:], close[1:] / close[:-1], 1.0)))
    changes = np.concatenate(([0], np.abs(np.diff(held.astype(int)))))
    return 10_000 * np.cumprod(moves * (1 - FEE * changes))


def _binance(base: str) -> tuple[np.ndarray, np.ndarray]:
    candles = recorded(base)
    return candles.open_time + HOUR_MS, candles.close


def _kraken(name: str) -> tuple[np.ndarray, np.ndarray]:
    if SHARED is None:
        pytest.skip("recorded market data not found")
    rows = np.loadtxt(SHARED / "data" / "ohlcv" / "kraken_ohlcvt" / f"{name}.csv", delimiter=",")
    return (rows[:, 0].astype(np.int64) + KRAKEN[name] * 60) * 1000, rows[:, 4]


def _source(name: str) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    return (lambda: _kraken(name)) if name in KRAKEN else (lambda: _binance(name))


CURVES = (*(f"{base} held" for base in RECORDED), *(f"{base} by rule" for base in RECORDED), *(f"{name} held" for name in KRAKEN))


@lru_cache(maxsize=len(CURVES))
def real_curve(name: str) -> RealCurve:
    """Return one of CURVES; what is held is compared with holding BTC, what goes by the rule with holding the same market."""
    source, _, kind = name.partition(" ")
    time, close = _source(source)()
    if kind == "by rule":
        return RealCurve(time, rule_equity(close), close)
    other_time, other = _kraken("XBTUSD_60") if source in KRAKEN else _binance("BTC")
    rows = np.maximum(np.searchsorted(other_time, time, side="right") - 1, 0)
    return RealCurve(time, close, other[rows])
