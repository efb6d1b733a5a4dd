"""Candles with everything that befalls a market."""

from dataclasses import fields

import numpy as np

from fks_assets.quant.candles import Candles
from fks_assets_tests.quant.series import joined, of_closes, synthetic


def rough(seed: int = 1, usual: Candles | None = None) -> Candles:
    """Return hourly candles: usual ones (560 synthetic by default), 540 at one price, a jump to the threefold, prices on a coarse
    grid; some hours are missing, alone and by the hundred.
    """
    usual = synthetic(560, volatility=0.01, seed=seed) if usual is None else usual
    last = float(usual.close[-1])
    moving = synthetic(260, volatility=0.01, seed=seed + 1, start_price=3 * last)
    steps = np.random.default_rng(seed).integers(-3, 4, 140)
    coarse = of_closes(np.round(moving.close[-1], 1) + 0.1 * steps)
    whole = joined(usual, of_closes(np.full(540, last)), moving, coarse)
    kept = np.ones(len(whole), np.bool_)
    kept[300:310] = kept[1150:1250] = kept[1300] = kept[1400:1440:3] = False
    return Candles(*(getattr(whole, field.name)[kept] for field in fields(Candles)))
