"""Trades as columns, from rows that name only what matters to a test."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from fks_assets.quant.backtest.results import Trades
from fks_assets_tests.quant.series import HOUR_MS, START_MS

DEFAULTS: Mapping[str, Any] = {
    "market": 0,
    "strategy": 0,
    "side": 1,
    "entry_time": START_MS,
    "exit_time": START_MS + HOUR_MS,
    "entry_price": 100.0,
    "exit_price": 100.0,
    "quantity": 1.0,
    "entry_fee": 0.0,
    "exit_fee": 0.0,
    "funding": 0.0,
    "pnl": 0.0,
    "return_fraction": 0.0,
    "exit_reason": 4,
    "candles_held": 1,
    "ambiguous": False,
    "leg": 0,
}
TYPES = {
    **dict.fromkeys(("market", "strategy"), np.int16),
    **dict.fromkeys(("side", "exit_reason"), np.int8),
    **dict.fromkeys(("candles_held", "leg"), np.int32),
    **dict.fromkeys(("entry_time", "exit_time", "booked_at"), np.int64),
    "ambiguous": np.bool_,
}


def trades_of(rows: Sequence[Mapping[str, Any]]) -> Trades:
    """Return the rows as Trades. Each is a trade of its own, an hour after the one before, unless it names its entry time.

    An exit is booked at its time unless a row says otherwise.
    """
    filled = [{**DEFAULTS, "entry_time": START_MS + place * HOUR_MS, **row} for place, row in enumerate(rows)]
    filled = [{"booked_at": row["exit_time"], **row} for row in filled]
    names = [field.name for field in fields(Trades)]
    return Trades(*(np.array([row[name] for row in filled], TYPES.get(name, np.float64)) for name in names))
