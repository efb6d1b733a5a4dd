"""Desks with accounts on a simulated exchange whose clock stands still until a test moves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from fks_assets.assets.market_data.market_rules import fetch_rules
from fks_assets.assets.schedules import TICKS, behind_request, range_tags
from fks_assets.assets.trading.in_force import strategies_in_force
from fks_assets.assets.trading.promotion import switch_on
from fks_assets.clock import now_ms
from fks_assets.desk.floor import Floor
from fks_assets.quant.markets import Market
from fks_assets.resources.stores import Stores
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.candle_tables import times_from_arrow
from fks_assets.stores.strategy_records import StoredCertificate, record_certificate
from fks_assets_tests.scenarios.stopped_clock import StoppedDesk, database_of_a_module, stopped_desk

START_MS = parse_time("start", "now", "2025-06-10T09:00:30Z")
HISTORY_DAYS = 25
# By then a position of the simulated markets has reached its target.
HOURS_TO_AN_EXIT = 8
PAPER = {
    "ACCOUNTS__main__mode": "paper",
    "ACCOUNTS__main__initial_cash": "10000",
    "ACCOUNTS__main__strategies__technical": "0.5",
    "ACCOUNTS__main__strategies__breakout": "0.5",
}


@contextmanager
def account_desk(home: Path, postgres_home: Path, name: str, **accounts: str) -> Iterator[StoppedDesk]:
    """Give a desk with these accounts (a paper account `main` without any), certified strategies, and signals up to date.

    `name` is that of its database.
    """
    with (
        database_of_a_module(postgres_home, name) as url,
        stopped_desk(home, url, START_MS, history_days=HISTORY_DAYS, **(accounts or PAPER)) as desk,
    ):
        certify_all(desk.desk.stores)
        fetch_rules(desk.desk.stores, desk.desk.market_data)
        tick(desk)
        yield desk
        desk.desk.stores.database.engine.dispose()


def tick(desk: StoppedDesk, job: str = "signals") -> None:
    """Run what the schedule of the job asks for now."""
    request = behind_request(desk.desk.stores, next(tick.prefixes for tick in TICKS if tick.job == job))
    assert request is not None, "nothing is behind"
    months, names = request
    result = desk.desk.definitions.resolve_job_def(job).execute_in_process(
        instance=desk.desk.instance,
        asset_selection=[dg.AssetKey(name) for name in names],
        tags={**range_tags(desk.desk.stores, months), "dagster/schedule_name": f"{job}_schedule"},
    )
    assert result.success


def run(desk: StoppedDesk, job: str, account: str = "main", *, asked: bool = False) -> dg.ExecuteInProcessResult:
    """Run a job for an account, as its sensor asks for it or as a person does."""
    tags = {"dagster/partition": account} | ({} if asked else {"dagster/sensor_name": "test_sensor"})
    return desk.desk.definitions.resolve_job_def(job).execute_in_process(
        instance=desk.desk.instance, tags=tags, raise_on_error=False
    )


def faults(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return in words what failed in a run."""
    found = [event.step_failure_data.error for event in result.get_step_failure_events()]
    return [(error.cause or error).message for error in found if error is not None]


def look(desk: StoppedDesk, sensor: str) -> list[str]:
    """Return the accounts for which a sensor asks for a run now."""
    definitions = desk.desk.definitions
    with dg.build_sensor_context(
        desk.desk.instance, sensor_name=sensor, resources={"stores": desk.desk.stores}, definitions=definitions
    ) as context:
        answer = definitions.resolve_sensor_def(sensor).evaluate_tick(context)
    return [request.partition_key for request in answer.run_requests or []]


def certify_all(stores: Stores) -> None:
    """Give every strategy in force a certificate that passed, for its code and parameters, and a person's word that it trades."""
    in_force, _ = strategies_in_force(stores.database, stores.settings)
    with stores.database.transaction() as connection:
        for subject in in_force.values():
            document = {"findings": [], "notes": [], "market": "none", "rows": 0, "checks": []}
            record_certificate(
                connection,
                StoredCertificate(
                    subject.strategy.name, subject.code_version, subject.parameters_hash, True, False, document, START_MS
                ),
            )
        for name in in_force:
            switch_on(connection, stores.settings, name, reason="a test", by="Ada", at_ms=now_ms(), days=365)


def floor_of(desk: StoppedDesk) -> Floor:
    """Return what the accounts of a desk trade with."""
    return desk.desk.market_data.trading_floor()


def heard(desk: StoppedDesk) -> dict[tuple[str, Market], dict[int, int]]:
    """Return what each strategy says of each candle (1 BUY, -1 SELL, 0 HOLD, by open time), read from the store alone."""
    found = {}
    for name in desk.desk.settings.strategies:
        for market in desk.desk.settings.market_list():
            table = desk.desk.stores.candles.read_table(f"signals.{name}", market, "1h")
            found[name, market] = dict(
                zip(times_from_arrow(table["open_time"]).tolist(), table["action"].to_pylist(), strict=True)
            )
    return found
