"""What asks for runs of the accounts: new signals, orders and positions that need a look, fresh candles, the quarter-hour."""

from collections.abc import Iterator, Sequence

import dagster as dg

from fks_assets.assets.jobs import UnresolvedAssetJobDefinition
from fks_assets.assets.schedules import IN_PROGRESS, running_schedule
from fks_assets.clock import now_ms
from fks_assets.errors import TradingError
from fks_assets.resources.stores import Stores

DEALS_SECONDS = 60
ORDERS_SECONDS = 45


def build_deals_sensor(job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the sensor that asks for decisions: a run for each account that has not decided on a newest signal."""

    @dg.sensor(
        name="deals_sensor",
        job=job,
        minimum_interval_seconds=DEALS_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests a run for each account that has a newest signal on which it has not decided.",
    )
    def deals_sensor(
        context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        accounts = [name for name in stores.settings.accounts if has_new_signals(stores, name)]
        yield from requests(context, job.name, accounts, "no account has a signal on which it has not decided")

    return deals_sensor


def build_orders_sensor(job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the sensor that asks for a look at the venue: a run for each account with something open or unsent."""

    @dg.sensor(
        name="orders_sensor",
        job=job,
        minimum_interval_seconds=ORDERS_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests a run for each account with open, unknown or unsent orders, or positions to compare and guard.",
    )
    def orders_sensor(
        context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        accounts = [name for name in stores.settings.accounts if needs_a_look(stores, name)]
        yield from requests(context, job.name, accounts, "no account has open orders, positions or unsent entries")

    return orders_sensor


def build_positions_sensor(job: UnresolvedAssetJobDefinition, critical_path: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Return the sensor that asks for marks after each run of the critical path (S1.1).

    Accounts cannot be in one Dagster job with months of markets, hence a job and a sensor of their own.
    """

    @dg.run_status_sensor(
        name="positions_sensor",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[critical_path],
        request_job=job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for marks of open positions after each run of {critical_path.name}.",
    )
    def positions_sensor(
        context: dg.RunStatusSensorContext, stores: dg.ResourceParam[Stores]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        from fks_assets.stores.ledger.positions import read_positions

        held = {position.account for position in read_positions(stores.database, is_open=True)}
        accounts = [name for name in stores.settings.accounts if name in held]
        if not accounts:
            return dg.SkipReason("no account holds anything")
        run_id = context.dagster_run.run_id
        return [dg.RunRequest(run_key=f"{job.name}:{run_id}:{name}", partition_key=name) for name in accounts]

    return positions_sensor


def build_balances_schedule(job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Return the schedule that asks for the balance of every account each quarter of an hour (S2.2)."""

    @running_schedule(
        f"{job.name}_schedule",
        job,
        "*/15 * * * *",
        "Requests the balance of every account.",
    )
    def balances_schedule(context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]) -> list[dg.RunRequest]:
        moment = context.scheduled_execution_time.isoformat()
        return [dg.RunRequest(run_key=f"{job.name}:{moment}:{name}", partition_key=name) for name in stores.settings.accounts]

    return balances_schedule


def has_new_signals(stores: Stores, name: str) -> bool:
    """Return whether there is a newest signal on which an account has not decided; heads alone are read."""
    from fks_assets.desk.floor import account_timeframe, heard_markets
    from fks_assets.desk.signals import newest_heads, undecided

    settings = stores.settings
    rules = settings.accounts[name]
    try:
        timeframe = account_timeframe(settings, rules)
    except TradingError:
        # The run says what is wrong with the settings; asking for it every minute would not mend them.
        return False
    with stores.database.transaction() as connection:
        heads = newest_heads(connection, list(rules.strategies), heard_markets(settings, rules.quote), timeframe, now_ms())
        return bool(undecided(connection, name, heads.for_exchange(settings.account_exchange(name)), timeframe))


def needs_a_look(stores: Stores, name: str) -> bool:
    """Return whether an account that the desk orders for has an active deal, or an order of which the end is not known."""
    from fks_assets.quant.orders import Mode
    from fks_assets.stores.ledger.deals import read_deals
    from fks_assets.stores.ledger.orders import read_orders

    if stores.settings.accounts[name].mode is Mode.ALERT:
        return False
    with stores.database.transaction() as connection:
        return bool(read_deals(connection, account=name, active=True) or read_orders(connection, account=name, active=True))


def requests(
    context: dg.SensorEvaluationContext, job: str, accounts: Sequence[str], otherwise: str
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Yield a request for each account whose last run of the job is over; say why if there is none."""
    going = [name for name in accounts if is_going(context.instance, job, name)]
    for name in accounts:
        if name not in going:
            yield dg.RunRequest(partition_key=name)
    if not accounts:
        yield dg.SkipReason(otherwise)
    elif len(going) == len(accounts):
        yield dg.SkipReason(f"the last run of {job} is still going for {', '.join(going)}")


def is_going(instance: dg.DagsterInstance, job: str, account: str) -> bool:
    """Return whether a run of a job for an account has not ended."""
    filters = dg.RunsFilter(job_name=job, statuses=IN_PROGRESS, tags={"dagster/partition": account})
    return bool(instance.get_runs_count(filters))
