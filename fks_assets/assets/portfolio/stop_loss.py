"""The sensor that guards stops (S2.11, S3.8, S3.9): it looks at every open position every five seconds, in its own body."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from fks_assets.assets.jobs import UnresolvedAssetJobDefinition
from fks_assets.assets.portfolio.sensors import is_going
from fks_assets.assets.portfolio.stop_loss_check import CHECK_NAME, check_metadata
from fks_assets.ids import stable_id
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings.guard import GuardSettings

if TYPE_CHECKING:
    from fks_assets.desk.stop_guard import Look
    from fks_assets.desk.stop_judgement import Ask


def build_stop_loss_sensor(
    settings: GuardSettings, job: UnresolvedAssetJobDefinition, positions: dg.AssetsDefinition
) -> dg.SensorDefinition:
    """Return the sensor; it asks for a run of `job` for an account whose venue has something to do.

    Dagster looks at its sensors every five seconds and counts a sensor's interval from the start of its last tick, which is a
    moment after the look: an interval of five would miss every other look.
    """

    @dg.sensor(
        name="stop_loss",
        job=job,
        minimum_interval_seconds=settings.interval_seconds - 1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Compares the stops and targets of all open positions with the prices of now, tells the people of alert "
            f"accounts, and requests a run of {job.name} only when a venue has something to do. "
            "Each look is a heartbeat for `fks watchdog`."
        ),
    )
    def stop_loss(
        context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores], market_data: dg.ResourceParam[MarketData]
    ) -> dg.SensorResult:
        from fks_assets.desk.stop_guard import StopGuard

        look = StopGuard(stores.database, settings, market_data.tickers, accounts=stores.settings.accounts).look()
        for fault in look.faults:
            context.log.warning(fault)
        requests = list(run_requests(context.instance, job.name, look.asks))
        events = []
        if look.changed:
            passed = not look.unwatched
            metadata = check_metadata(look.positions, look.unwatched)
            events.append(
                dg.AssetCheckEvaluation(asset_key=positions.key, check_name=CHECK_NAME, passed=passed, metadata=metadata)
            )
        return dg.SensorResult(
            run_requests=requests, asset_events=events, skip_reason=None if requests else dg.SkipReason(words(look))
        )

    return stop_loss


def run_requests(instance: dg.DagsterInstance, job: str, asks: "Sequence[Ask]") -> Iterator[dg.RunRequest]:
    """Yield one request for each account that asks and has no run of the job under way; the same reasons have the same key."""
    by_account: dict[str, list[Ask]] = {}
    for ask in asks:
        by_account.setdefault(ask.account, []).append(ask)
    for account, own in by_account.items():
        if is_going(instance, job, account):
            continue
        key = stable_id(*sorted(ask.key for ask in own))
        why = "; ".join(ask.why for ask in own[:5]) + (f"; and {len(own) - 5} more" if len(own) > 5 else "")
        yield dg.RunRequest(run_key=f"stop_loss:{account}:{key}", partition_key=account, tags={"fks/why": why[:200]})


def words(look: "Look") -> str:
    """Return what a look did, in one line."""
    if not look.positions:
        return "nothing is held"
    return f"{look.watched} of {look.positions} open positions watched, {look.told} messages, {look.took_ms} ms"
