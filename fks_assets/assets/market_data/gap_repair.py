"""The gap repair as an asset: two jobs by tier, one that the gap sensor asks for, and the sensor."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from fks_assets.assets.events import PartitionReport, final_errors, materialization
from fks_assets.assets.jobs import MARKET_DATA_LANE, UnresolvedAssetJobDefinition
from fks_assets.assets.market_data import CODE_VERSION as OHLCV_VERSION
from fks_assets.assets.schedules import IN_PROGRESS
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

CODE_VERSION = "1"
TIMES = {"backfill_tier1": ("0 2 * * *", "TIER1", (60, 1440)), "backfill_tier2": ("15 3 * * *", "TIER2", (1440,))}
EVERY_GAP_DAYS = 36_500
SENSOR_SECONDS = 60
SHORTEST_WAIT_MS, LONGEST_WAIT_MS = 60_000, 3_600_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class GapRepair:
    asset: dg.AssetsDefinition
    jobs: list[UnresolvedAssetJobDefinition]
    schedules: list[dg.ScheduleDefinition]
    sensors: list[dg.SensorDefinition]


def build_gap_repair(settings: Settings) -> GapRepair:
    """Return the repair of gaps; runs without configuration repair TIER1 in the timeframes of one hour and one day."""
    offered = [timeframe.seconds // 60 for timeframe in settings.timeframe_list()]

    class GapRepairConfig(dg.Config):
        """Which gaps to repair, with the names and defaults of the settings."""

        tier: str = "TIER1"
        intervals: list[int] = [minutes for minutes in (60, 1440) if minutes in offered] or offered
        lookback_days: int = settings.gaps.lookback_days
        max_gaps_per_asset: int = settings.gaps.max_gaps_per_asset
        retry_failed: bool = False
        rebuild_from_trades: bool = True

    @dg.asset(
        description=(
            "Looks for holes on the whole grid of every market of a tier (head, middle, tail), fetches what the exchange still "
            "gives, rebuilds from public trades what lies beyond its candles, and notes in the gap records what became of each. "
            "A gap is FILLED only when every candle is there."
        ),
        group_name="market_data",
        kinds={"python", "postgres"},
        owners=["team:market-data"],
        code_version=CODE_VERSION,
        deps=[f"ohlcv_{timeframe}" for timeframe in settings.timeframes],
    )
    def gap_repair(
        context: dg.AssetExecutionContext,
        config: GapRepairConfig,
        stores: dg.ResourceParam[Stores],
        market_data: dg.ResourceParam[MarketData],
    ) -> dg.MaterializeResult:
        from fks_assets.assets.market_data.presentation import ohlcv_metadata
        from fks_assets.assets.market_data.repair import RepairOrder, RepairReport, order_timeframes, repair_gaps

        report = RepairReport(context.run.run_id, config.tier, list(config.intervals))
        with final_errors():
            order = RepairOrder(
                config.tier,
                order_timeframes(stores, config.intervals),
                config.lookback_days,
                config.max_gaps_per_asset,
                retry=config.retry_failed,
                trades=config.rebuild_from_trades,
            )
            for timeframe, result in repair_gaps(stores, market_data, order, report):
                changed = PartitionReport(
                    result.partition.key, result.head.content_hash, metadata=ohlcv_metadata(stores, timeframe, result)
                )
                context.log_event(materialization(f"ohlcv_{timeframe}", OHLCV_VERSION, changed))
        for error in report.errors:
            context.log.warning(error)
        return dg.MaterializeResult(metadata={"report": dg.MetadataValue.json(report.as_dict())})

    jobs = {
        name: _job(name, {"tier": tier, "intervals": [minutes for minutes in intervals if minutes in offered] or offered})
        for name, (_, tier, intervals) in TIMES.items()
    }
    schedules = [
        dg.ScheduleDefinition(
            name=f"{name}_schedule",
            job=jobs[name],
            cron_schedule=cron,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Repairs the gaps of {tier}.",
        )
        for name, (cron, tier, _) in TIMES.items()
    ]
    backfill = _job("backfill", None)
    return GapRepair(gap_repair, [*jobs.values(), backfill], schedules, [_gap_sensor(backfill, offered)])


def _job(name: str, config: dict[str, object] | None) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=["gap_repair"],
        config=None if config is None else {"ops": {"gap_repair": {"config": config}}},
        description="Finds and repairs gaps in the candles of a tier.",
        tags={**MARKET_DATA_LANE, "dagster/priority": "-1", "dagster/max_runtime": "3600"},
    )


def _gap_sensor(job: UnresolvedAssetJobDefinition, offered: Sequence[int]) -> dg.SensorDefinition:
    """Return the sensor that asks for a repair when a gap is due, TIER1 first, and looks more often while gaps keep coming."""

    @dg.sensor(
        name="gap_sensor",
        job=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a repair of the gaps that are due, TIER1 first; looks more often while new gaps appear.",
    )
    def gap_sensor(context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.RunRequest | dg.SkipReason:
        from fks_assets.assets.market_data.due_gaps import due_tier, new_gaps_per_day
        from fks_assets.clock import iso, now_ms
        from fks_assets.quant.gaps import adaptive_interval_ms

        now = now_ms()
        next_look = json.loads(context.cursor)["next_look_ms"] if context.cursor else 0
        if now < next_look:
            return dg.SkipReason(f"the next look for gaps is at {iso(next_look)}")
        if context.instance.get_runs_count(dg.RunsFilter(job_name=job.name, statuses=IN_PROGRESS)):
            return dg.SkipReason("the last repair is still going")
        tier = due_tier(stores, now)
        wait = adaptive_interval_ms(new_gaps_per_day(stores, now - DAY_MS), SHORTEST_WAIT_MS, LONGEST_WAIT_MS)
        context.update_cursor(json.dumps({"next_look_ms": now + (SHORTEST_WAIT_MS if tier else wait)}))
        if tier is None:
            return dg.SkipReason(f"no gap is due; the next look is at {iso(now + wait)}")
        config = {"tier": tier, "intervals": list(offered), "lookback_days": EVERY_GAP_DAYS}
        return dg.RunRequest(run_key=f"gaps:{tier}:{now}", run_config={"ops": {"gap_repair": {"config": config}}})

    return gap_sensor
