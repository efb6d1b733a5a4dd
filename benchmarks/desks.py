"""Desks of any size on the simulated exchange."""

import json
from collections.abc import Sequence

from fks_assets.settings import SHIPPED_DESK


def desk_of(symbols: Sequence[str], timeframes: Sequence[str]) -> str:
    """Return the shipped desk.toml with other markets and timeframes."""
    head = SHIPPED_DESK.read_text(encoding="utf-8").split("[[markets]]")[0]
    shipped = 'timeframes = ["5m", "1h", "1d"]'
    assert shipped in head
    head = head.replace(shipped, f"timeframes = {json.dumps(list(timeframes))}")
    markets = "".join(f'[[markets]]\nsymbol = "{symbol}"\ngroup = "alts"\ntier = "TIER1"\n' for symbol in symbols)
    return f'{head}{markets}[exchanges.simulated]\ndialect = "binance"\n[strategies.technical]\n[strategies.breakout]\n'
