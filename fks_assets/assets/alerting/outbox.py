"""The sensor that delivers messages where no `fks up` does: under plain `dagster dev`, or with Dagster's own processes alone."""

import dagster as dg

from fks_assets.resources.stores import Stores

SECONDS = 15
DELIVER_SECONDS = 20.0


def build_outbox_sensor() -> dg.SensorDefinition:
    """Return the sensor. While the sender of `fks up` is at work it does nothing; leases keep the two apart in any case."""

    @dg.sensor(
        name="outbox_sensor",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Delivers messages to people where no sender of `fks up` is at work. It never requests a run.",
    )
    def outbox_sensor(context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.SkipReason:
        from fks_assets.notify.service import deliver_for

        tried = deliver_for(stores.settings, stores.database, DELIVER_SECONDS)
        if tried is None:
            return dg.SkipReason("the sender of fks up is at work")
        return dg.SkipReason(f"{tried} deliveries were tried" if tried else "nothing may or need be sent now")

    return outbox_sensor
