"""What looks after the messages of the desk, and after what has to tick."""

from dataclasses import dataclass

import dagster as dg

from fks_assets.assets.alerting.alerting_health import build_alerting_health
from fks_assets.assets.alerting.liveness import build_liveness_sensor
from fks_assets.assets.alerting.outbox import build_outbox_sensor
from fks_assets.assets.alerting.run_failures import build_run_failure_sensor
from fks_assets.assets.jobs import ScheduledAsset


@dataclass(frozen=True, slots=True)
class Alerting:
    """The asset of the channels' health, and the sensors that deliver, tell of failed runs and watch the clock."""

    health: ScheduledAsset
    sensors: list[dg.SensorDefinition]


def build_alerting() -> Alerting:
    """Return the asset and the sensors."""
    return Alerting(build_alerting_health(), [build_outbox_sensor(), build_run_failure_sensor(), build_liveness_sensor()])
