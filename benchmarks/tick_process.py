"""One fresh process that does what a schedule's tick leads to, or runs an empty job: `python -m benchmarks.tick_process tick`."""

import json
import resource
import sys

import dagster as dg


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job
def empty() -> None:
    """Run one op that does nothing."""
    nothing()


def run_empty() -> dict[str, int]:
    """Run the empty job on the instance of DAGSTER_HOME."""
    with dg.DagsterInstance.get() as instance:
        empty.execute_in_process(instance=instance)
    return {"materialised": 0}


def run_tick() -> dict[str, int]:
    """Ask what is behind, run critical_path over it, and count what it materialised; the settings say which desk."""
    from fks_assets.assets.schedules import behind_request, range_tags
    from fks_assets.definitions import defs

    stores = defs.resources["stores"]
    with dg.DagsterInstance.get() as instance:
        request = behind_request(stores, ("ohlcv",))
        if request is None:
            raise SystemExit("nothing is behind: there is nothing to measure")
        months, names = request
        result = defs.resolve_job_def("critical_path").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in names],
            tags={**range_tags(stores, months), "dagster/schedule_name": "critical_path_schedule"},
        )
    return {"materialised": sum(event.is_step_materialization for event in result.all_events), "timeframes": len(names)}


if __name__ == "__main__":
    told: dict[str, float] = {**{"empty": run_empty, "tick": run_tick}[sys.argv[1]]()}
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({**told, "cpu": used.ru_utime + used.ru_stime}))
