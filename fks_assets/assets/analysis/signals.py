"""Signals: one asset a timeframe; each strategy of the desk judges every closed candle."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from fks_assets.assets.analysis.derived_asset import Recipe, build_derived_asset
from fks_assets.quant.timeframes import Timeframe

CODE_VERSION = "1"


def build_signals_asset(
    timeframe: Timeframe, partitions: dg.PartitionsDefinition, strategies: Mapping[str, Mapping[str, Any]]
) -> dg.AssetsDefinition:
    """Return the asset that holds the signals of one timeframe; `strategies` maps names to parameters."""

    def recipe() -> Recipe:
        from fks_assets.assets.analysis.presentation import signal_metadata
        from fks_assets.assets.analysis.write import signal_tables
        from fks_assets.quant.strategies.registry import create_strategy, settings_hash

        chosen = [create_strategy(strategy, parameters) for strategy, parameters in strategies.items()]
        lookback = max(strategy.lookback_rows for strategy in chosen)
        return Recipe(lookback, signal_tables(chosen), signal_metadata, settings_hash(chosen))

    return build_derived_asset(
        "signals",
        timeframe,
        partitions,
        recipe,
        description=(
            f"BUY, SELL or HOLD of each strategy ({', '.join(strategies)}) at each closed {timeframe} candle, with confidence, "
            "stop, target and reason. A row depends only on candles closed by then; rows with too little history are HOLD. "
            "A market of which a check on the candles fails gets none for its newest month until it passes again."
        ),
        kinds={"python", "parquet"},
        upstream=["ohlcv", "indicators"],
        code_version=CODE_VERSION,
        for_trading=True,
    )
