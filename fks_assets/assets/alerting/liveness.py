"""Watches the clock of the desk: every sensor and schedule that is switched on has to tick, or people are told."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.resources.stores import Stores

if TYPE_CHECKING:
    from dagster._core.scheduler.instigation import InstigatorState

KIND = "liveness"
HEARTBEAT = "liveness"
SECONDS = 60
MOST_MISSED = 3
# Sensors share their threads: one that should tick every five seconds may wait for another.
LEAST_SILENCE_SECONDS = 60.0
# A tick may come so much later than its time.
GRACE_SECONDS = 120.0
# Between two looks that lie further apart the desk was down: what was missed then is nobody's fault.
LONGEST_PAUSE_SECONDS = 300.0
SEE = "See its ticks in the web UI under Automation, and `fks status`."


@dataclass(frozen=True, slots=True)
class Ticking:
    """A sensor (with its interval in seconds) or a schedule (with its crons) that is switched on.

    `last_tick` (s) is its last one without an error: what fails each time does its work as little as what stands still.
    """

    name: str
    last_tick: float | None
    interval: float | None = None
    crons: tuple[str, ...] = ()


@dataclass(slots=True)
class Watch:
    """What the watch remembers from look to look; times are UTC seconds."""

    since: float
    looked: float
    missed: dict[str, list[float]] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, cursor: str | None, now: float) -> "Watch":
        """Return what a cursor says, or a new watch if there is none, or the last look was too long ago."""
        found = cls(**json.loads(cursor)) if cursor else cls(now, now)
        if not 0 <= now - found.looked <= LONGEST_PAUSE_SECONDS:
            found.since = found.looked = now
        return found

    @property
    def cursor(self) -> str:
        return json.dumps({"since": self.since, "looked": self.looked, "missed": self.missed, "late": self.late})


def build_liveness_sensor() -> dg.SensorDefinition:
    """Return the sensor."""

    @dg.sensor(
        name="liveness_sensor",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people when a sensor or schedule that is switched on has missed three ticks, and when it ticks again.",
    )
    def liveness_sensor(context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.SensorResult:
        from fks_assets.clock import now_ms

        now = now_ms()
        watch = Watch.of(context.cursor, now / 1000)
        news = look(watch, ticking(context.instance, context.repository_def, but="liveness_sensor"), now / 1000)
        tell(stores, watch, news, now)
        words = f"not ticking: {', '.join(watch.late)}" if watch.late else "every sensor and schedule ticks"
        return dg.SensorResult(skip_reason=words, cursor=watch.cursor)

    return liveness_sensor


def look(watch: Watch, running: Iterable[Ticking], now: float) -> dict[str, bool]:
    """Judge what is switched on and note it in the watch; return what is news: by name, whether it ticks.

    A sensor is late three intervals after its last tick, a schedule when three of its times have passed without a tick. Time in
    which nobody looked does not count.
    """
    late: list[str] = []
    missed: dict[str, list[float]] = {}
    for each in running:
        if each.interval is not None:
            silence = now - max(each.last_tick or 0.0, watch.since)
            is_late = silence > max(MOST_MISSED * each.interval, LEAST_SILENCE_SECONDS)
        else:
            missed[each.name] = _missed(each, watch, now)
            is_late = len(missed[each.name]) >= MOST_MISSED
        if is_late:
            late.append(each.name)
    news = {name: False for name in late if name not in watch.late} | {name: True for name in watch.late if name not in late}
    watch.late, watch.missed, watch.looked = sorted(late), missed, now
    return news


def ticking(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition | None, *, but: str) -> list[Ticking]:
    """Return the sensors and schedules of a repository that are switched on, without the one named."""
    assert repository is not None
    states = {state.instigator_name: state for state in instance.all_instigator_state()}
    found: list[Ticking] = []
    for sensor in repository.sensor_defs:
        state = states.get(sensor.name)
        if sensor.name != but and _is_on(state, sensor.default_status is dg.DefaultSensorStatus.RUNNING):
            data: Any = None if state is None else state.instigator_data
            # Dagster clears it while a tick is under way, and when one has failed.
            last = (None if data is None else data.last_tick_success_timestamp) or _last_tick(instance, state)
            found.append(Ticking(sensor.name, last, interval=float(sensor.minimum_interval_seconds or 30)))
    for schedule in repository.schedule_defs:
        state = states.get(schedule.name)
        if _is_on(state, schedule.default_status is dg.DefaultScheduleStatus.RUNNING):
            crons = (schedule.cron_schedule,) if isinstance(schedule.cron_schedule, str) else tuple(schedule.cron_schedule)
            found.append(Ticking(schedule.name, _last_tick(instance, state), crons=crons))
    return found


def tell(stores: Stores, watch: Watch, news: Mapping[str, bool], now: int) -> None:
    """Write a message for each thing that stopped ticking or ticks again, and a heartbeat that names those that do not."""
    from fks_assets.stores.ledger.reconciliations import beat
    from fks_assets.stores.notifications import notify

    with stores.database.transaction() as connection:
        beat(connection, HEARTBEAT, at_ms=now, detail={"late": watch.late})
        for name, ticks in sorted(news.items()):
            words = f"✅ {name} ticks again." if ticks else f"{name} is switched on and does not tick, or only with errors. {SEE}"
            notify(connection, KIND, "INFO" if ticks else "HIGH", words, f"{KIND}:{name}:{ticks}:{now}")


def _missed(schedule: Ticking, watch: Watch, now: float) -> list[float]:
    """Return the newest times of a schedule that passed under the watch's eyes without a tick."""
    passed = _times(schedule.crons, max(watch.since, watch.looked - GRACE_SECONDS), now - GRACE_SECONDS)
    last = schedule.last_tick or 0.0
    return [moment for moment in [*watch.missed.get(schedule.name, []), *passed] if moment > last][-MOST_MISSED:]


def _times(crons: Iterable[str], start: float, end: float) -> list[float]:
    """Return the times of cron schedules (UTC) in [start, end)."""
    from dagster._utils.schedules import cron_string_iterator

    found: set[float] = set()
    for cron in crons:
        for moment in cron_string_iterator(start, cron, "UTC"):
            if moment.timestamp() >= end:
                break
            found.add(moment.timestamp())
    return sorted(found)


def _is_on(state: "InstigatorState | None", by_default: bool) -> bool:
    from dagster._core.scheduler.instigation import InstigatorStatus

    if state is None or state.status is InstigatorStatus.DECLARED_IN_CODE:
        return by_default
    return state.status is InstigatorStatus.RUNNING


def _last_tick(instance: dg.DagsterInstance, state: "InstigatorState | None") -> float | None:
    from dagster._core.scheduler.instigation import TickStatus

    if state is None:
        return None
    worked = [TickStatus.SUCCESS, TickStatus.SKIPPED]
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1, statuses=worked)
    return ticks[0].timestamp if ticks else None
