"""The sensors of the accounts: a run only when there is something to do, and none beside one that is going."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fks_assets.clock import to_datetime
from fks_assets.desk.floor import Floor
from fks_assets.partitions import account_range
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.deals import read_deals
from fks_assets_tests.portfolio.accounts import account_desk, faults, look, run, tick
from fks_assets_tests.scenarios.stopped_clock import StoppedDesk

TWO = {
    "ACCOUNTS__main__mode": "paper",
    "ACCOUNTS__main__initial_cash": "10000",
    "ACCOUNTS__main__strategies__technical": "1.0",
    "ACCOUNTS__told__mode": "alert",
    "ACCOUNTS__told__strategies__technical": "1.0",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    with account_desk(tmp_path_factory.mktemp("sensors"), postgres_home, "account_sensors", **TWO) as desk:
        yield desk


def after_critical_path(desk: StoppedDesk) -> list[str]:
    """Return the accounts for which the positions sensor asks after a run of the critical path."""
    sensor = desk.desk.definitions.resolve_sensor_def("positions_sensor")
    finished = dg.DagsterRun(job_name="critical_path", run_id="the-run")
    event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name="critical_path")
    context = dg.build_run_status_sensor_context("positions_sensor", event, desk.desk.instance, finished)
    answer = sensor(context, stores=desk.desk.stores)
    return [] if isinstance(answer, dg.SkipReason) else [request.partition_key for request in answer]


def test_each_account_is_asked_once_for_new_signals_and_never_beside_a_run(desk: StoppedDesk) -> None:
    """P7, S3.22: undecided signals ask for a run; decided ones do not, until the next candle."""
    assert after_critical_path(desk) == [] and look(desk, "orders_sensor") == []
    assert look(desk, "deals_sensor") == ["main", "told"]
    going = desk.desk.instance.create_run_for_job(
        desk.desk.definitions.resolve_job_def("trading"), tags={"dagster/partition": "main"}, status=dg.DagsterRunStatus.STARTED
    )
    assert look(desk, "deals_sensor") == ["told"]
    desk.desk.instance.delete_run(going.run_id)
    for account in ("main", "told"):
        assert faults(run(desk, "trading", account)) == []
    assert look(desk, "deals_sensor") == []
    desk.advance(1)
    assert look(desk, "deals_sensor") == [], "a candle has closed, and nobody has judged it yet"
    tick(desk)
    assert look(desk, "deals_sensor") == ["main", "told"]


def test_open_deals_ask_for_a_look_at_the_venue_and_alerts_do_not(desk: StoppedDesk) -> None:
    """O7: compared every minute while something is held; a person's account has no venue."""
    deals = read_deals(desk.desk.stores.database, active=True)
    assert {deal.account for deal in deals} == {"main"}, "an alert account without money is told of nothing"
    assert look(desk, "orders_sensor") == ["main"]
    assert after_critical_path(desk) == ["main"]
    schedule = desk.desk.definitions.resolve_schedule_def("account_balances_schedule")
    moment = to_datetime(desk.now_ms)
    with dg.build_schedule_context(
        desk.desk.instance,
        scheduled_execution_time=moment,
        resources={"stores": desk.desk.stores},
        repository_def=desk.desk.definitions.get_repository_def(),
    ) as context:
        asked = schedule.evaluate_tick(context).run_requests or []
    assert [request.partition_key for request in asked] == ["main", "told"]


def test_a_run_without_a_partition_is_of_every_account(desk: StoppedDesk) -> None:
    """S2.2: account_id=None is all of them; `fks run account_balances` asks so."""
    tags = account_range(desk.desk.settings)
    job = desk.desk.definitions.resolve_job_def("account_balances")
    result = job.execute_in_process(instance=desk.desk.instance, tags=tags, raise_on_error=False)
    assert faults(result) == []
    assert desk.desk.materialised("balances") == {"main", "told"}


def test_a_fault_in_the_desks_own_code_stops_one_account_and_no_other(desk: StoppedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """C14: the run fails, with the words of the fault, after the other accounts had what they need."""
    open_account = Floor.account

    def account(floor: Floor, name: str) -> Account:
        if name == "main":
            raise KeyError("a coin that nobody knows")
        return open_account(floor, name)

    monkeypatch.setattr(Floor, "account", account)
    job = desk.desk.definitions.resolve_job_def("account_balances")
    result = job.execute_in_process(instance=desk.desk.instance, tags=account_range(desk.desk.settings), raise_on_error=False)
    (fault,) = faults(result)
    assert "1 of 2 partitions failed: main: KeyError: 'a coin that nobody knows'" in fault
    assert [event.partition for event in result.get_asset_materialization_events()] == ["told"]


def test_a_signal_that_nobody_decided_in_time_is_dropped(desk: StoppedDesk) -> None:
    """T4: the desk slept for three hours; the newest candle it has is older than two, and nothing is bought on it."""
    before = len(read_deals(desk.desk.stores.database))
    desk.advance(3)
    assert look(desk, "deals_sensor") == ["main", "told"]
    assert faults(run(desk, "trading")) == []
    for deal in read_deals(desk.desk.stores.database)[before:]:
        assert deal.refusal is not None and "min old" in deal.refusal
    assert "main" not in look(desk, "deals_sensor"), "it is decided: there is nothing to be done about it"
