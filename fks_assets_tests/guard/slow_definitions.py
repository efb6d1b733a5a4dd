"""The desk's definitions with sensors beside stop_loss that sleep for 55 seconds at each tick: what a desk may have to bear."""

import time

import dagster as dg

from fks_assets import definitions

SLEEP_SECONDS = 55
# More than Dagster evaluates at once when it is not told how many.
SLEEPERS = 5


def sleeper(number: int) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"sleeper_{number}",
        job_name="upkeep",
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sleeping() -> dg.SkipReason:
        time.sleep(SLEEP_SECONDS)
        return dg.SkipReason("slept")

    return sleeping


defs = dg.Definitions.merge(definitions.defs, dg.Definitions(sensors=[sleeper(number) for number in range(SLEEPERS)]))
