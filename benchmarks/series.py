"""Synthetic candles: a seeded geometric random walk, the same on every machine."""

import numpy as np

from fks_assets.quant.candles import Candles

START_MS = 1_577_836_800_000


def synthetic_candles(rows: int, step_ms: int = 60_000, seed: int = 7) -> Candles:
    """Return `rows` candles from 2020-01-01 with plausible highs, lows and volumes."""
    random = np.random.default_rng(seed)
    close = 20_000 * np.exp(np.cumsum(random.normal(0, 0.0004, rows)))
    open_ = np.concatenate([[20_000.0], close[:-1]])
    spread = np.abs(random.normal(0, 0.0003, (2, rows))) * close
    return Candles(
        START_MS + step_ms * np.arange(rows, dtype=np.int64),
        open_,
        np.maximum(open_, close) + spread[0],
        np.minimum(open_, close) - spread[1],
        close,
        random.gamma(2.0, 5.0, rows),
    )
