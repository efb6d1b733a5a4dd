"""Runs of the past, read from Dagster's storage: works whether or not a desk runs now."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fks_assets.clock import iso
from fks_assets.settings import Settings
from fks_assets.supervisor.graphql import RunStatus
from fks_assets.supervisor.home import DeskHome, write_dagster_home
from fks_assets.supervisor.launching import RANGE_END, RANGE_START, SCHEDULE_NAME, SENSOR_NAME

BACKFILL = "dagster/backfill"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. Times are ISO, UTC; `partitions` one or `first...last`; `trigger` a schedule, a sensor, `backfill` or `person`."""

    run_id: str
    job: str
    status: RunStatus
    dagster_status: str
    partitions: str | None
    trigger: str
    created_at: str | None
    started_at: str | None
    ended_at: str | None
    seconds: float | None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def recent_runs(settings: Settings, limit: int, status: RunStatus | None) -> list[RunRow]:
    """Return the newest runs, newest first; empty when no desk ever ran on this home."""
    home = DeskHome(settings.home)
    if settings.database_url is None and not (settings.home / "postgres").is_dir():
        return []
    home.dagster.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_dagster_home(home)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    import dagster as dg

    wanted = None if status is None else [dg.DagsterRunStatus(each) for each in status.dagster_statuses]
    with dg.DagsterInstance.get() as instance:
        return [_row(record) for record in instance.get_run_records(dg.RunsFilter(statuses=wanted), limit=limit)]


def _row(record: Any) -> RunRow:
    run = record.dagster_run
    first, last = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
    partitions = run.tags.get("dagster/partition") if first is None else first if first == last else f"{first}...{last}"
    seconds = None if record.start_time is None or record.end_time is None else round(record.end_time - record.start_time, 3)
    return RunRow(
        run_id=run.run_id,
        job=run.job_name,
        status=RunStatus.of(run.status.value),
        dagster_status=run.status.value,
        partitions=partitions,
        trigger=_trigger(run.tags),
        created_at=iso(round(record.create_timestamp.timestamp() * 1000)),
        started_at=_iso(record.start_time),
        ended_at=_iso(record.end_time),
        seconds=seconds,
    )


def _trigger(tags: Mapping[str, str]) -> str:
    return tags.get(SCHEDULE_NAME) or tags.get(SENSOR_NAME) or ("backfill" if BACKFILL in tags else "person")


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else iso(round(seconds * 1000))
