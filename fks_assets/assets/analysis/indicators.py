"""Indicators: one asset a timeframe, derived month by month from the candles."""

import dagster as dg

from fks_assets.assets.events import PARTITIONS_PER_RUN, PartitionReport, asked_by_a_person, finished, materialization
from fks_assets.partitions import split_partition_key
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

CODE_VERSION = "1"


def build_indicators_asset(timeframe: Timeframe, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that computes the indicators of one timeframe."""
    name, upstream = f"indicators_{timeframe}", f"ohlcv_{timeframe}"

    @dg.asset(
        name=name,
        description=(
            "RSI 14, MACD 12/26/9, Bollinger bands 20/2, ATR 14, SMA 20/50/200, EMA 5/12/13/26, volume mean and ratio, 20-candle "
            f"high and low before the candle, momentum 3, of each closed {timeframe} candle, by TA-Lib. Each month is computed "
            "with enough earlier candles that the values equal those over the whole history; `is_warm` says for each row "
            "whether there were enough."
        ),
        group_name="analysis",
        kinds={"talib", "parquet"},
        owners=["team:research"],
        partitions_def=partitions,
        deps=[upstream],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def indicators(context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.analysis.derive import plan_derivations
        from fks_assets.assets.analysis.presentation import derived_metadata, indicator_chart
        from fks_assets.assets.analysis.write import Derive, indicator_tables
        from fks_assets.quant.indicators import WARMUP_ROWS

        by_person = asked_by_a_person(context)
        keys = [split_partition_key(key) for key in context.partition_keys]
        plan = plan_derivations(
            stores,
            name,
            timeframe,
            keys,
            code_version=CODE_VERSION,
            settings_hash="",
            upstream=["ohlcv"],
            lookback_rows=WARMUP_ROWS,
        )
        derive = Derive(stores, name, timeframe, indicator_tables, CODE_VERSION, "", context.run.run_id)
        for derived in derive.write(month for month in plan if by_person or not month.up_to_date):
            month, head = derived.month, derived.heads[0]
            if by_person or derived.content_hash != month.recorded_hash:
                metadata = {"chart": indicator_chart(stores, timeframe, head), **derived_metadata(stores, head, month.inputs)}
                inputs = {upstream: month.candles.content_hash}
                yield materialization(name, CODE_VERSION, PartitionReport(month.key, derived.content_hash, inputs, metadata))
        yield finished()

    return indicators
