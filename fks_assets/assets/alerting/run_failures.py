"""Tells people of runs that failed: at once and urgently of those that trading depends on, once for each error and day."""

import re

import dagster as dg

from fks_assets.resources.stores import Stores

KIND = "run_failure"
SECONDS = 15
# Without these the desk trades on old data, or what it holds is not looked after.
CRITICAL_JOBS = frozenset({"critical_path", "signals", "trading", "order_monitor", "position_marks", "account_balances", "audit"})
# What differs from run to run and is not the error: numbers, ids, addresses of objects.
_VARIABLE = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{16,}\b|\d+", re.IGNORECASE)
LONGEST_ERROR = 600


def build_run_failure_sensor() -> dg.SensorDefinition:
    """Return the sensor."""

    @dg.run_failure_sensor(
        name="run_failures_sensor",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people of failed runs, urgently of those that trading depends on; once for each job, error and day.",
    )
    def run_failures_sensor(context: dg.RunFailureSensorContext, stores: dg.ResourceParam[Stores]) -> None:
        tell_failure(stores, context.dagster_run, error_of(context))

    return run_failures_sensor


def tell_failure(stores: Stores, run: dg.DagsterRun, error: str) -> bool:
    """Write the message of a failed run, unless this job was told of with this error today; return whether it is new."""
    from fks_assets.clock import now_ms
    from fks_assets.ids import stable_id
    from fks_assets.partitions import day_of
    from fks_assets.redaction import redacted
    from fks_assets.stores.notifications import notify

    words = " ".join(redacted(error).split())
    first = run.tags.get("dagster/partition") or run.tags.get("dagster/asset_partition_range_start")
    where = f" for {first}" if first else ""
    severity = "URGENT" if run.job_name in CRITICAL_JOBS else "HIGH"
    message = f"The job {run.job_name} failed{where}: {words[:LONGEST_ERROR]}. Run {run.run_id}, see `fks runs --status FAILURE`."
    key = f"{KIND}:{run.job_name}:{stable_id(_VARIABLE.sub('#', words))}:{day_of(now_ms())}"
    with stores.database.transaction() as connection:
        return notify(connection, KIND, severity, message, key)


def error_of(context: dg.RunFailureSensorContext) -> str:
    """Return the error of a run's first failed step, without Dagster's own around it, or what Dagster says of the run."""
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster"):
            error = error.cause
        if error is not None:
            return f"{event.step_key}: {error.message.strip()}"
    return context.failure_event.message or "no reason is known"
