"""Start runs of the running desk: what is behind, as the schedules would, or the partitions that a person names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fks_assets.clock import now_ms
from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import month_of, month_window
from fks_assets.settings import Settings
from fks_assets.supervisor.graphql import DeskApi, LaunchedRun

if TYPE_CHECKING:
    from fks_assets.resources.stores import Stores

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
SCHEDULE_NAME = "dagster/schedule_name"


@dataclass(frozen=True, slots=True)
class PartitionRange:
    """Every market from the first to the last (in the order of the settings) times every month from the first to the last."""

    first: str
    last: str

    @property
    def tags(self) -> dict[str, str]:
        return {RANGE_START: self.first, RANGE_END: self.last}


def partition_range(settings: Settings, markets: Sequence[Market], months: Sequence[str]) -> PartitionRange:
    return PartitionRange(f"{markets[0].key}|{min(months)}", f"{markets[-1].key}|{max(months)}")


def asked_range(settings: Settings, partition: str | None, market: Market | None, month: str | None) -> PartitionRange:
    """Return the partitions that a person named; raise InvalidInput for one that the desk does not have."""
    from fks_assets.partitions import split_partition_key

    if partition in settings.accounts:
        return PartitionRange(partition, partition)
    markets, months = settings.market_list(), [month or month_of(now_ms())]
    if partition is not None:
        if partition.count("|") != 1:
            raise InvalidInput(f"partition {partition!r} is not of the form MARKET|YYYY-MM, such as {markets[0].key}|{months[0]}")
        market, months[0] = split_partition_key(partition)
    if market is not None:
        if market not in markets:
            raise InvalidInput(f"market {market.key!r} is not on this desk; it has {', '.join(each.key for each in markets)}")
        markets = [market]
    start, _ = month_window(months[0])
    if start < month_window(settings.first_month)[0] or start > now_ms():
        raise InvalidInput(f"month {months[0]!r} is not on this desk; it has {settings.first_month} to {month_of(now_ms())}")
    return partition_range(settings, markets, months)


def launch_behind(api: DeskApi, stores: "Stores", job: str, lane: Mapping[str, str] | None = None) -> LaunchedRun | None:
    """Launch now what the job's schedule would launch; None when nothing is behind.

    A job without partitions is launched as it is, one of days for today, one of accounts for all of them, and waits for the other
    runs of `lane` (a run tag) if that is given. Raises InvalidInput for an unknown job.
    """
    from fks_assets.assets.schedules import TICKS, behind_request, range_tags
    from fks_assets.partitions import ACCOUNT_JOBS, account_range, day_of, tags_of_today

    tick = next((tick for tick in TICKS if tick.job == job), None)
    if tick is None:
        own = account_range(stores.settings) if job in ACCOUNT_JOBS else tags_of_today(job, day_of(now_ms()))
        return api.launch(job, {**own, **(lane or {})})
    request = behind_request(stores, tick.prefixes)
    if request is None:
        return None
    months, assets = request
    return api.launch(job, {**range_tags(stores, months), SCHEDULE_NAME: f"{job}_schedule"}, assets)


def launch_partitions(api: DeskApi, job: str, partitions: PartitionRange) -> LaunchedRun:
    """Launch the job on the named partitions, as a person would from the web UI."""
    return api.launch(job, partitions.tags)
