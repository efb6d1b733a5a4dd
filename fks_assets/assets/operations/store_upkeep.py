"""Hourly: sweep candle objects that nothing refers to any more."""

import dagster as dg

from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.resources.stores import Stores

GRACE_SECONDS = 3600.0


def build_store_upkeep() -> ScheduledAsset:
    """Return the asset, its job and its schedule."""

    @dg.asset(
        description=(
            "Every write makes a new immutable object; those that no head refers to and that are older than an hour, so that no "
            "reader can still hold them, are removed."
        ),
        group_name="operations",
        kinds={"parquet"},
        owners=["team:operations"],
        code_version="1",
    )
    def store_upkeep(stores: dg.ResourceParam[Stores]) -> dg.MaterializeResult:
        swept = stores.candles.sweep(GRACE_SECONDS)
        return dg.MaterializeResult(metadata={"objects removed": swept.objects_removed, "bytes removed": swept.bytes_removed})

    job = dg.define_asset_job("upkeep", selection=[store_upkeep], tags={"dagster/max_runtime": "900"})
    schedule = dg.ScheduleDefinition(
        name="upkeep_schedule",
        job=job,
        cron_schedule="40 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return ScheduledAsset(store_upkeep, job, schedule)
