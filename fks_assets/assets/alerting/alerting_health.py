"""Every ten minutes: do messages reach people, and does the clock of the desk tick? Red here is what no message can say."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from fks_assets.assets.alerting.liveness import HEARTBEAT
from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.resources.stores import Stores

ASSET, JOB = "alerting_health", "alerting"
LONGEST_WAIT_MS = 15 * 60_000
LONGEST_SILENCE_MS = 5 * 60_000


def build_alerting_health() -> ScheduledAsset:
    """Return the asset with its checks, its job and its schedule."""

    @dg.asset(
        name=ASSET,
        description=(
            "Whether the desk can tell people: the channels with what waits on each, and whether sensors and schedules tick. "
            "Its checks turn red when a channel is dead, when a message waits for more than a quarter of an hour, or when "
            "something that is switched on does not tick."
        ),
        group_name="operations",
        kinds={"python", "postgres"},
        owners=["team:operations"],
        code_version="1",
        check_specs=[
            dg.AssetCheckSpec("channels_alive", asset=ASSET, description="No channel of the settings is dead."),
            dg.AssetCheckSpec("delivered", asset=ASSET, description="No message waits for more than 15 minutes, none is stuck."),
            dg.AssetCheckSpec("ticking", asset=ASSET, description="Every sensor and schedule that is switched on ticks."),
        ],
    )
    def alerting_health(stores: dg.ResourceParam[Stores]) -> dg.MaterializeResult:
        from fks_assets.clock import now_ms

        rows, checks = judge_alerting(stores, now_ms())
        return dg.MaterializeResult(
            metadata={"channels": dg.MetadataValue.md(_table(rows)), "waiting": sum(row["waiting"] for row in rows)},
            check_results=list(checks),
        )

    job = dg.define_asset_job(
        JOB, selection=[alerting_health], description="Whether messages reach people.", tags={"dagster/max_runtime": "120"}
    )
    schedule = dg.ScheduleDefinition(
        name=f"{JOB}_schedule",
        job=job,
        cron_schedule="3-59/10 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The health of the channels, every ten minutes.",
    )
    return ScheduledAsset(alerting_health, job, schedule)


def judge_alerting(stores: Stores, at_ms: int) -> tuple[list[dict[str, Any]], Iterator[dg.AssetCheckResult]]:
    """Return what is known of each channel, and the results of the checks."""
    from fks_assets.settings.notifications import LOG_CHANNEL
    from fks_assets.stores.deliveries import oldest_unrouted, waiting
    from fks_assets.stores.ledger.reconciliations import read_heartbeats
    from fks_assets.stores.notification_targets import read_targets

    with stores.database.transaction() as connection:
        targets, waits, unrouted = read_targets(connection), waiting(connection), oldest_unrouted(connection)
        heartbeat = read_heartbeats(connection).get(HEARTBEAT)
    rows: list[dict[str, Any]] = []
    for name in (LOG_CHANNEL, *stores.settings.notifications.channels):
        target, left = targets.get(name), waits.get(name, {})
        rows.append(
            {
                "channel": name,
                "target": "–" if target is None else target.shown,
                "state": "NEW" if target is None else target.state,
                "reason": (None if target is None else target.reason) or "",
                "waiting": left.get("count", 0),
                "stuck": left.get("stuck", 0),
                "since": left.get("since"),
            }
        )
    known = [each["since"] for each in waits.values()] + ([] if unrouted is None else [unrouted])
    waited_ms = at_ms - min(known, default=at_ms)

    def results() -> Iterator[dg.AssetCheckResult]:
        dead = {row["channel"]: row["reason"] for row in rows if row["state"] == "DEAD"}
        yield dg.AssetCheckResult(check_name="channels_alive", passed=not dead, metadata={"dead": dead})
        yield dg.AssetCheckResult(
            check_name="delivered",
            passed=waited_ms <= LONGEST_WAIT_MS and not any(row["stuck"] for row in rows),
            metadata={"oldest waits for [s]": waited_ms // 1000, "stuck": {row["channel"]: row["stuck"] for row in rows}},
        )
        silent = heartbeat is None or abs(at_ms - heartbeat.at) > LONGEST_SILENCE_MS
        late = [] if heartbeat is None else heartbeat.detail["late"]
        metadata: dict[str, Any] = {"not ticking": late, "watched": not silent}
        yield dg.AssetCheckResult(check_name="ticking", passed=not late and not silent, metadata=metadata)

    return rows, results()


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| channel | target | state | waiting | stuck | last trouble |", "|---|---|---|---|---|---|"]
    for row in rows:
        cells = (row["channel"], row["target"], row["state"], row["waiting"], row["stuck"], row["reason"])
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |")
    return "\n".join(lines)
