"""Signals: one asset a timeframe; each strategy of the desk judges every closed candle."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from fks_assets.assets.events import (
    PARTITIONS_PER_RUN,
    PartitionReport,
    asked_by_a_person,
    finished,
    materialization,
    raise_for_failures,
)
from fks_assets.partitions import split_partition_key
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

CODE_VERSION = "1"


def build_signals_asset(
    timeframe: Timeframe, partitions: dg.PartitionsDefinition, strategies: Mapping[str, Mapping[str, Any]]
) -> dg.AssetsDefinition:
    """Return the asset that holds the signals of one timeframe; `strategies` maps names to parameters."""
    name, candles, indicators = f"signals_{timeframe}", f"ohlcv_{timeframe}", f"indicators_{timeframe}"

    @dg.asset(
        name=name,
        description=(
            f"BUY, SELL or HOLD of each strategy ({', '.join(strategies)}) at each closed {timeframe} candle, with confidence, "
            "stop, target and reason. A row depends only on candles closed by then; rows with too little history are HOLD."
        ),
        group_name="analysis",
        kinds={"python", "parquet"},
        owners=["team:research"],
        partitions_def=partitions,
        deps=[candles, indicators],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def signals(context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.analysis.derive import plan_derivations
        from fks_assets.assets.analysis.presentation import derived_metadata, signal_metadata
        from fks_assets.assets.analysis.write import Derive, signal_tables
        from fks_assets.quant.strategies.registry import create_strategy, settings_hash

        by_person = asked_by_a_person(context)
        chosen = [create_strategy(strategy, parameters) for strategy, parameters in strategies.items()]
        keys = [split_partition_key(key) for key in context.partition_keys]
        settings = settings_hash(chosen)
        plan = list(
            plan_derivations(
                stores,
                name,
                timeframe,
                keys,
                code_version=CODE_VERSION,
                settings_hash=settings,
                upstream=["ohlcv", "indicators"],
                lookback_rows=max(strategy.lookback_rows for strategy in chosen),
            )
        )
        derive = Derive(stores, name, timeframe, signal_tables(chosen), CODE_VERSION, settings, context.run.run_id)
        failures: list[tuple[str, Exception]] = []
        stale = [month for month in plan if by_person or not month.up_to_date]
        for derived in derive.write(stale, lambda month, error: failures.append((month.key, error))):
            month = derived.month
            if by_person or derived.content_hash != month.recorded_hash:
                inputs = {ref.asset: ref.content_hash for ref in month.inputs if ref.partition == month.key}
                metadata = {
                    **signal_metadata(stores, timeframe, derived.heads),
                    **derived_metadata(stores, derived.heads[0], month.inputs),
                }
                yield materialization(name, CODE_VERSION, PartitionReport(month.key, derived.content_hash, inputs, metadata))
        raise_for_failures(failures, len(plan), tolerate_some=not by_person)
        yield finished()

    return signals
