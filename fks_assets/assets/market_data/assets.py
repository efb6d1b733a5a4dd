"""Candles: one asset a timeframe, partitioned by market and month."""

import dagster as dg

from fks_assets.assets.events import (
    PARTITIONS_PER_RUN,
    PartitionReport,
    asked_by_a_person,
    final_errors,
    finished,
    materialization,
    raise_for_failures,
)
from fks_assets.assets.market_data import CODE_VERSION
from fks_assets.clock import iso
from fks_assets.partitions import split_partition_key
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores


class SyncConfig(dg.Config):
    """How thoroughly to look. `verify` fetches the whole months again and records every candle that the exchange has restated."""

    verify: bool = False


def build_ohlcv_asset(timeframe: Timeframe, partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset that keeps the closed candles of one timeframe complete."""

    @dg.asset(
        name=f"ohlcv_{timeframe}",
        description=(
            f"Closed {timeframe} candles (open, high, low, close, volume) of each market, from the desk's exchange through ccxt. "
            "Materialising a month verifies and repairs it: only missing candles are fetched; a candle that the exchange "
            "restated replaces the old one, which stays readable as of an earlier time."
        ),
        group_name="market_data",
        kinds={"ccxt", "parquet"},
        owners=["team:market-data"],
        partitions_def=partitions,
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
        retry_policy=dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def ohlcv(
        context: dg.AssetExecutionContext,
        config: SyncConfig,
        stores: dg.ResourceParam[Stores],
        market_data: dg.ResourceParam[MarketData],
    ):
        from fks_assets.assets.market_data.plan import SyncMode
        from fks_assets.assets.market_data.presentation import ohlcv_metadata
        from fks_assets.assets.market_data.sync import sync_candles

        by_person = asked_by_a_person(context)
        mode = SyncMode.VERIFY if config.verify else SyncMode.REPAIR if by_person else SyncMode.FOLLOW
        asked = [split_partition_key(key) for key in context.partition_keys]
        markets, months = (list(dict.fromkeys(part)) for part in zip(*asked, strict=True))
        failures, total, run_id = [], 0, context.run.run_id
        with final_errors():
            for result in sync_candles(stores, market_data, markets, sorted(months), timeframe, mode=mode, run_id=run_id):
                total += 1
                if result.error is not None:
                    context.log.warning(f"{result.partition.key}: {result.error}")
                    failures.append((result.partition.key, result.error))
                if result.quarantined:
                    first = result.quarantined[0]
                    count = f"{len(result.quarantined)} unusable rows, the first at {iso(first.open_time)}: {first.reason}"
                    context.log.warning(f"{result.partition.key}: {count}")
                if result.changed or (by_person and result.error is None):
                    report = PartitionReport(
                        result.partition.key, result.head.content_hash, metadata=ohlcv_metadata(stores, timeframe, result)
                    )
                    yield materialization(f"ohlcv_{timeframe}", CODE_VERSION, report)
        raise_for_failures(failures, total, tolerate_some=not by_person)
        yield finished()

    return ohlcv
