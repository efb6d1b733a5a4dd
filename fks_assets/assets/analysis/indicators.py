"""Indicators: one asset a timeframe, derived month by month from the candles."""

from collections.abc import Callable

import dagster as dg

from fks_assets.assets.analysis.derived_asset import Recipe, build_derived_asset
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

CODE_VERSION = "1"


def build_indicators_asset(timeframe: Timeframe, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that computes the indicators of one timeframe."""
    return build_derived_asset(
        "indicators",
        timeframe,
        partitions,
        _recipe,
        description=(
            "RSI 14, MACD 12/26/9, Bollinger bands 20/2, ATR 14, SMA 20/50/200, EMA 5/12/13/26, volume mean and ratio, 20-candle "
            f"high and low before the candle, momentum 3, of each closed {timeframe} candle, by TA-Lib. Each month is computed "
            "with enough earlier candles that the values equal those over the whole history; `is_warm` says for each row "
            "whether there were enough."
        ),
        kinds={"talib", "parquet"},
        upstream=["ohlcv"],
        code_version=CODE_VERSION,
    )


def _recipe(_stores: Stores, _warn: Callable[[str], None]) -> Recipe:
    from fks_assets.assets.analysis.presentation import indicator_metadata
    from fks_assets.assets.analysis.write import indicator_tables
    from fks_assets.quant.indicators import WARMUP_ROWS

    return Recipe(WARMUP_ROWS, indicator_tables, indicator_metadata)
