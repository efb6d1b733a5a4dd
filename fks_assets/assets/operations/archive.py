"""Daily: move old candles to the cold store. Sundays: forget gap records that have long been dealt with."""

from typing import Any

import dagster as dg
from pydantic import Field

from fks_assets.assets.events import final_errors
from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.resources.stores import Stores

FAILURES_SHOWN = 20


class ArchiveConfig(dg.Config):
    """How old candles must be, and how much one run does. What is left is done by the next run."""

    days_to_keep: int | None = Field(None, ge=31, le=36_500, description="Days; retention.candles of the settings if not given.")
    max_months: int = Field(
        5000, ge=1, le=1_000_000, description="Months of one market and timeframe that one run moves at most."
    )


class GapUpkeepConfig(dg.Config):
    """How long gap records that are over are kept."""

    days: int | None = Field(None, ge=1, le=36_500, description="Days; retention.gap_records of the settings if not given.")


def build_archive() -> ScheduledAsset:
    """Return the asset `archived_candles`, its job and its schedule."""

    @dg.asset(
        description=(
            "Months of candles in which every candle is older than `days_to_keep` days are moved to the cold store (zstd), where "
            "every read still finds them: written, flushed, read back and compared before the hot copy is let go. Their "
            "indicators are dropped; materialising them again rebuilds them. Signals stay."
        ),
        group_name="operations",
        kinds={"parquet"},
        owners=["team:operations"],
        code_version="1",
    )
    def archived_candles(context: dg.AssetExecutionContext, config: ArchiveConfig, stores: dg.ResourceParam[Stores]):
        from fks_assets.stores.archive import archive_candles, first_month_kept

        days = config.days_to_keep or stores.settings.retention.candles
        first_month = first_month_kept(days, now_ms())
        with final_errors():
            result = archive_candles(stores.candles, first_month, run_id=context.run.run_id, max_months=config.max_months)
        metadata: dict[str, Any] = {
            "candles_archived": result.candles_archived,
            "months_archived": result.months_archived,
            "indicators_dropped": result.indicators_dropped,
            "bytes_before": result.bytes_before,
            "bytes_after": result.bytes_after,
            "failed": len(result.failed),
            "months left for the next run": result.months_left,
            "days_to_keep": days,
            "first month kept": first_month,
        }
        if result.failed:
            metadata["failed months"] = dg.MetadataValue.json(dict(result.failed[:FAILURES_SHOWN]))
        yield dg.MaterializeResult(metadata=metadata)
        if result.failed:
            (month, reason), more = result.failed[0], len(result.failed) - 1
            others = f" (and {more} others)" if more else ""
            raise dg.Failure(f"{len(result.failed)} months could not be archived: {month}: {reason}{others}", allow_retries=False)

    job = dg.define_asset_job(
        "archive",
        selection=[archived_candles],
        description="Moves candles that are older than days_to_keep to the cold store.",
        tags={"dagster/priority": "-2", "dagster/max_runtime": "7200"},
    )
    return ScheduledAsset(archived_candles, job, _schedule(job, "30 3 * * *"))


def build_gap_upkeep() -> ScheduledAsset:
    """Return the asset `old_gap_records`, its job and its schedule."""

    @dg.asset(
        description=(
            "Gap records that were FILLED, or that FAILED for the last time, more than `days` days ago are removed; UNFILLABLE "
            "ones stay for ever."
        ),
        group_name="operations",
        kinds={"postgres"},
        owners=["team:operations"],
        code_version="1",
    )
    def old_gap_records(config: GapUpkeepConfig, stores: dg.ResourceParam[Stores]) -> dg.MaterializeResult:
        from fks_assets.stores.gap_records import delete_old_gaps

        days = config.days or stores.settings.retention.gap_records
        with stores.database.transaction() as connection:
            filled, failed = delete_old_gaps(connection, now_ms() - days * MILLISECONDS_PER_DAY)
        return dg.MaterializeResult(metadata={"filled_deleted": filled, "failed_deleted": failed, "days": days})

    job = dg.define_asset_job(
        "gap_upkeep",
        selection=[old_gap_records],
        description="Removes gap records that have long been dealt with.",
        tags={"dagster/priority": "-2", "dagster/max_runtime": "300"},
    )
    return ScheduledAsset(old_gap_records, job, _schedule(job, "0 4 * * 0"))


def _schedule(job: Any, cron: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
