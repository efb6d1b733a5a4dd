"""What Dagster has to tell: runs that failed, sensors and schedules that stand still, channels that are dead."""

import asyncio
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fks_assets.assets.alerting.alerting_health import ASSET, build_alerting_health
from fks_assets.assets.alerting.liveness import Ticking, Watch, look, tell, ticking
from fks_assets.assets.alerting.outbox import build_outbox_sensor
from fks_assets.assets.alerting.run_failures import build_run_failure_sensor
from fks_assets.clock import now_ms
from fks_assets.redaction import hide
from fks_assets.resources.stores import Stores
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.reconciliations import beat, read_heartbeats
from fks_assets.stores.notifications import Notification, read_notifications
from fks_assets_tests.notify.hooks import Hooks, Reply
from fks_assets_tests.notify.told import ToldDesk, discord

NOON = 1_795_003_200 - 1_795_003_200 % 86_400 + 43_200.0


@pytest.fixture
def desk(home: Path, database: Database, hooks: Hooks) -> ToldDesk:
    return ToldDesk(home, database, hooks, {"first": discord("first")})


def stores_of(desk: ToldDesk) -> Stores:
    settings = desk.settings.model_copy(update={"database_url": None})
    stores = Stores(settings)
    stores.__dict__["database"] = desk.database
    return stores


def fail(stores: Stores, job_name: str, words: str) -> list[Notification]:
    """Let a run of a job fail with these words, show it to the sensor, and return the messages there are then."""

    @dg.op
    def breaks() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise RuntimeError(words) from error

    @dg.job(name=job_name)
    def broken() -> None:
        breaks()

    with dg.DagsterInstance.ephemeral() as instance:
        result = broken.execute_in_process(instance=instance, raise_on_error=False)
        assert not result.success
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failures_sensor",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=instance.get_run_by_id(result.run_id),
            resources={"stores": stores},
        ).for_run_failure()
        build_run_failure_sensor()(context)
    return read_notifications(stores.database, ["run_failure"])


def test_a_failed_run_is_told_once_for_each_error(desk: ToldDesk) -> None:
    """A run that trading depends on is urgent; the same error with other numbers is the same error; secrets stay inside."""
    stores = stores_of(desk)
    hide("s3cr3t-canary-value")
    (first,) = fail(stores, "trading", "no answer to order 17 after 3 s, key s3cr3t-canary-value")
    assert first.severity == "URGENT"
    assert "The job trading failed: breaks: " in first.message and "s3cr3t" not in first.message
    assert len(fail(stores, "trading", "no answer to order 18 after 4 s, key s3cr3t-canary-value")) == 1
    assert len(fail(stores, "trading", "another error")) == 2
    assert [each.severity for each in fail(stores, "backtest", "another error")] == ["URGENT", "URGENT", "HIGH"]


def test_a_sensor_is_late_three_intervals_after_its_last_tick() -> None:
    """Literal times: an interval of 60 s, the last tick at 1,000 s."""
    watch = Watch(since=0.0, looked=1_000.0)
    for now, late in ((1_100.0, []), (1_179.0, []), (1_181.0, ["deals"]), (1_240.0, ["deals"])):
        news = look(watch, [Ticking("deals", 1_000.0, interval=60.0)], now)
        assert watch.late == late
        assert news == ({"deals": False} if now == 1_181.0 else {})
    assert look(watch, [Ticking("deals", 1_239.0, interval=60.0)], 1_250.0) == {"deals": True}


def test_a_schedule_is_late_when_three_of_its_times_have_passed() -> None:
    """Every five minutes; a tick may come two minutes after its time. The last one was at noon."""
    watch, late = Watch(since=NOON, looked=NOON), {}
    for minute in range(1, 20):
        now = NOON + 60 * minute
        look(watch, [Ticking("critical_path", NOON, crons=("*/5 * * * *",))], now)
        late[minute] = list(watch.late)
    assert [minute for minute, names in late.items() if names] == [18, 19]
    # It ticks again, late, for the time at 12:15.
    assert look(watch, [Ticking("critical_path", NOON + 900, crons=("*/5 * * * *",))], NOON + 1_200) == {"critical_path": True}


def test_a_night_without_a_desk_is_no_standstill() -> None:
    watch = Watch(since=NOON, looked=NOON)
    morning = NOON + 12 * 3_600
    watch = Watch.of(watch.cursor, morning)
    running = [Ticking("deals", NOON, interval=60.0), Ticking("critical_path", NOON, crons=("*/5 * * * *",))]
    for second in range(0, 150, 30):
        assert look(watch, running, morning + second) == {} and watch.late == []


def test_what_never_ticked_is_late_too() -> None:
    watch = Watch(since=NOON, looked=NOON)
    look(watch, [Ticking("deals", None, interval=30.0)], NOON + 91)
    assert watch.late == ["deals"]


def test_the_sensors_and_schedules_that_are_switched_on_are_watched() -> None:
    """The definitions of the desk against a real instance: all that run from the start, until one is switched off."""
    from fks_assets.definitions import defs

    repository = defs.get_repository_def()
    names = {each.name for each in [*repository.sensor_defs, *repository.schedule_defs]}
    with dg.instance_for_test() as instance:
        watched = ticking(instance, repository, but="liveness_sensor")
        assert {each.name for each in watched} == names - {"liveness_sensor"}
        assert all(each.crons or each.interval for each in watched)


def test_ticks_and_switches_are_read_from_the_instance() -> None:
    """Rows as the daemon writes them: a sensor that ticks, one that was switched off; one that only fails now, and a schedule."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        ScheduleInstigatorData,
        SensorInstigatorData,
        TickData,
        TickStatus,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
    from dagster._utils.error import SerializableErrorInfo

    from fks_assets.definitions import defs

    place = ManagedGrpcPythonEnvCodeLocationOrigin(LoadableTargetOrigin(module_name="fks_assets.definitions"), "fks")
    repository = RemoteRepositoryOrigin(place, "__repository__")

    def state(name: str, kind: InstigatorType, status: InstigatorStatus, data: Any) -> InstigatorState:
        return InstigatorState(RemoteInstigatorOrigin(repository, name), kind, status, data)

    sensor = SensorInstigatorData(last_tick_timestamp=NOON, min_interval=60, last_tick_success_timestamp=NOON + 1)
    failing = SensorInstigatorData(last_tick_timestamp=NOON + 500, min_interval=30)
    orders = state("orders_sensor", InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, failing)
    schedule = ScheduleInstigatorData("*/5 * * * *", start_timestamp=NOON)
    critical = state("critical_path_schedule", InstigatorType.SCHEDULE, InstigatorStatus.RUNNING, schedule)
    with dg.instance_for_test() as instance:
        instance.add_instigator_state(state("deals_sensor", InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, sensor))
        instance.add_instigator_state(state("gap_sensor", InstigatorType.SENSOR, InstigatorStatus.STOPPED, sensor))
        instance.add_instigator_state(critical)
        instance.add_instigator_state(orders)
        for row, second, status in (
            (critical, 0, TickStatus.SUCCESS),
            (critical, 300, TickStatus.SKIPPED),
            (critical, 600, TickStatus.FAILURE),
            (orders, 5, TickStatus.SKIPPED),
            (orders, 500, TickStatus.FAILURE),
        ):
            instance.create_tick(
                TickData(
                    row.instigator_origin_id,
                    row.instigator_name,
                    row.instigator_type,
                    status,
                    NOON + second,
                    run_ids=[] if status is TickStatus.SUCCESS else None,
                    error=SerializableErrorInfo("no answer", [], "ExchangeUnavailable") if status is TickStatus.FAILURE else None,
                    selector_id=row.selector_id,
                )
            )
        watched = {each.name: each for each in ticking(instance, defs.get_repository_def(), but="liveness_sensor")}
    assert watched["deals_sensor"] == Ticking("deals_sensor", NOON + 1, interval=60.0)
    assert watched["critical_path_schedule"] == Ticking("critical_path_schedule", NOON + 300, crons=("*/5 * * * *",))
    assert "gap_sensor" not in watched and watched["ideas_sensor"].last_tick is None
    assert watched["orders_sensor"].last_tick == NOON + 5


def test_a_standstill_is_told_once_and_so_is_its_end(desk: ToldDesk) -> None:
    stores, watch = stores_of(desk), Watch(since=NOON, looked=NOON)
    for second, last in ((200, NOON), (230, NOON), (260, NOON + 255)):
        news = look(watch, [Ticking("deals", last, interval=60.0)], NOON + second)
        tell(stores, watch, news, round((NOON + second) * 1000))
    told = read_notifications(desk.database, ["liveness"])
    assert [(each.severity, each.message.split(".")[0]) for each in told] == [
        ("HIGH", "deals is switched on and does not tick, or only with errors"),
        ("INFO", "✅ deals ticks again"),
    ]
    assert read_heartbeats(desk.database)["liveness"].detail == {"late": []}


def checks(stores: Stores) -> dict[str, bool]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([build_alerting_health().asset], resources={"stores": stores}, instance=instance)
        assert result.success
        (event,) = result.asset_materializations_for_node(ASSET)
        assert "| first |" in event.metadata["channels"].value
        return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


def test_the_checks_turn_red_with_a_dead_channel_and_green_with_a_new_address(desk: ToldDesk, hooks: Hooks) -> None:
    """N3: the asset check is red while the only channel is dead and something waits for it."""
    stores = stores_of(desk)
    with desk.database.transaction() as connection:
        beat(connection, "liveness", at_ms=now_ms(), detail={"late": []})
    asyncio.run(desk.sender().step())
    assert checks(stores) == {"channels_alive": True, "delivered": True, "ticking": True}
    hooks.plans[desk.path("first")] = [Reply(404)]
    desk.tell("hello")
    for _ in range(2):
        asyncio.run(desk.sender().step())
    assert checks(stores) == {"channels_alive": False, "delivered": False, "ticking": True}
    desk.environment["FIRST"] = desk.address("second")
    asyncio.run(desk.sender().run_for(70.0, desk.is_quiet))
    assert checks(stores)["channels_alive"]


def test_a_message_that_nobody_sends_turns_the_check_red(desk: ToldDesk) -> None:
    """No sender at all: the outbox alone says so. So does a watch that looked last ten minutes ago."""
    stores = stores_of(desk)
    with desk.database.transaction() as connection:
        beat(connection, "liveness", at_ms=now_ms() - 600_000, detail={"late": []})
    desk.tell("hello")
    with desk.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE notifications SET created_at = created_at - interval '16 minutes'")
    assert checks(stores) == {"channels_alive": True, "delivered": False, "ticking": False}


def test_the_sensor_sends_where_no_sender_runs(desk: ToldDesk, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain `dagster dev`: the sensor delivers; beside the sender of `fks up` it does nothing."""
    monkeypatch.setenv("FIRST", desk.address("first"))
    stores, sensor = stores_of(desk), build_outbox_sensor()

    def evaluate() -> Any:
        with dg.DagsterInstance.ephemeral() as instance:
            return sensor(dg.build_sensor_context(instance=instance, resources={"stores": stores})).skip_message

    number = desk.tell("hello")
    assert evaluate() == "2 deliveries were tried"
    assert evaluate() == "nothing may or need be sent now"
    assert desk.states(number) == {"log": "DELIVERED", "first": "DELIVERED"}
    with desk.database.transaction() as connection:
        beat(connection, "notify", at_ms=now_ms())
    desk.tell("again")
    assert evaluate() == "the sender of fks up is at work" and len(hooks.accepted) == 1


def test_the_watch_survives_its_cursor() -> None:
    watch = Watch(since=NOON, looked=NOON + 5, missed={"a": [NOON]}, late=["a"])
    assert Watch.of(watch.cursor, NOON + 10) == watch
    assert json.loads(watch.cursor)["late"] == ["a"]
