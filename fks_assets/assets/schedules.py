"""The clock of the market × month jobs. A tick asks what is behind, not what time it is, so that a missed tick heals itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from fks_assets.assets.jobs import UnresolvedAssetJobDefinition, asset_names
from fks_assets.partitions import partition_key
from fks_assets.resources.stores import Stores

IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


@dataclass(frozen=True, slots=True)
class Tick:
    """A schedule: its job, when it ticks (UTC), and the kinds of asset it may have to refresh."""

    job: str
    cron: str
    prefixes: tuple[str, ...]


TICKS = (
    Tick("critical_path", "*/5 * * * *", ("ohlcv",)),
    Tick("signals", "*/15 * * * *", ("ohlcv", "indicators", "signals")),
    Tick("risk", "*/30 * * * *", ("ohlcv", "indicators")),
)


def running_schedule(
    name: str, job: UnresolvedAssetJobDefinition, cron: str, description: str
) -> Callable[[Callable[..., Any]], dg.ScheduleDefinition]:
    """Return the decorator of a schedule that ticks by UTC and is switched on from the first start on."""
    return dg.schedule(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )


def build_schedule(tick: Tick, job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Return the schedule of one job."""

    @running_schedule(
        f"{tick.job}_schedule",
        job,
        tick.cron,
        "Requests one run over every market and the months that are behind; none while the last run is still going.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.RunRequest | dg.SkipReason:
        running = context.instance.get_runs_count(dg.RunsFilter(job_name=tick.job, statuses=IN_PROGRESS))
        if running:
            return dg.SkipReason(f"the last run of {tick.job} is still going")
        request = behind_request(stores, tick.prefixes)
        if request is None:
            return dg.SkipReason("every candle that has closed is stored, and all that derives from it is up to date")
        months, names = request
        return dg.RunRequest(
            run_key=f"{tick.job}:{context.scheduled_execution_time.isoformat()}",
            asset_selection=[dg.AssetKey(name) for name in names],
            tags=range_tags(stores, months),
        )

    return schedule


def behind_request(stores: Stores, prefixes: Sequence[str]) -> tuple[Sequence[str], list[str]] | None:
    """Return (months, asset names) that are behind, or None when nothing is."""
    from fks_assets.assets.freshness import behind

    work = behind(stores, derived="indicators" in prefixes, signals="signals" in prefixes)
    if work is None:
        return None
    return work.months, asset_names(prefixes, work.timeframes)


def range_tags(stores: Stores, months: Sequence[str]) -> dict[str, str]:
    """Return the tags that make one run cover every market in all months from the first to the last."""
    markets = stores.settings.market_list()
    return {
        "dagster/asset_partition_range_start": partition_key(markets[0], min(months)),
        "dagster/asset_partition_range_end": partition_key(markets[-1], max(months)),
    }
