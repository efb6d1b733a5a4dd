"""Daily at 00:30: what was decided and traded the day before, held against the backtest; each difference has a cause."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import (
    PartitionReport,
    asked_by_a_person,
    final_errors,
    finished,
    materialization,
    raise_for_failures,
)
from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import iso, now_ms
from fks_assets.partitions import day_before, day_of, strategy_day_partitions, strategy_day_range
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import RecordedInputs, latest_inputs, record_many

if TYPE_CHECKING:
    from fks_assets.assets.trading.day_of_set import DayOfSet
    from fks_assets.quant.markets import Market
    from fks_assets.quant.timeframes import Timeframe

ASSET = "live_backtest_difference"
CHECK = "every_difference_has_a_cause"
KIND = "unexplained_difference"
CODE_VERSION = "3"
SHOWN = 200


def build_live_backtest_difference(settings: Settings) -> ScheduledAsset:
    """Return the asset `live_backtest_difference`, its check, its job and its schedule."""

    class DifferenceConfig(dg.Config):
        """The timeframes and markets whose decisions are compared: all of the desk if empty."""

        timeframes: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        markets: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it

    @dg.asset(
        description=(
            "Every decision and trade of the day beside what a backtest of the stored candles says of it. A decision is the "
            "first signal that was stored for a candle in time to be followed; each account is held against it by its own rules "
            "and costs, also where it has entered nothing. Each difference has one cause: the candles were restated or came "
            "late, the fill or the fee was another, the code or the parameters have changed; one without a cause is a failure, "
            "and a person is told. A day is compared with the parameter sets in force when it ended."
        ),
        group_name="trading",
        kinds={"python", "postgres"},
        owners=["team:research"],
        partitions_def=strategy_day_partitions(settings),
        deps=[f"{prefix}_{timeframe}" for timeframe in settings.timeframes for prefix in ("ohlcv", "indicators", "signals")],
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=ASSET,
                description="Live and backtest agree. A difference with a known cause is a warning, one without is an error.",
            )
        ],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=60),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def live_backtest_difference(context: dg.AssetExecutionContext, config: DifferenceConfig, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.trading.difference import compare_day
        from fks_assets.assets.trading.in_force import moment_of, strategies_in_force

        by_person = asked_by_a_person(context)
        with final_errors():
            markets, timeframes = _chosen(stores, config.markets, config.timeframes)
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        compared: list[DayOfSet] = []
        failures: list[tuple[str, Exception]] = []
        sets = {
            day: strategies_in_force(stores.database, stores.settings, moment_of(day))
            for day in dict.fromkeys(key.split("|")[0] for key in context.partition_keys)
        }
        for day, (_, unusable) in sets.items():
            for name, error in unusable.items():
                context.log.warning(f"{day}: parameter set {name} cannot be compared: {error}")
        for key in context.partition_keys:
            day, strategy = key.split("|")
            subjects = [subject for subject in sets[day][0].values() if subject.strategy.name == strategy]
            days: list[DayOfSet] = []
            for subject in subjects:
                try:
                    days.append(compare_day(stores, subject, day, markets, timeframes))
                except Exception as error:
                    context.log.warning(f"{day}: {subject.name} could not be compared: {type(error).__name__}: {error}")
                    failures.append((f"{day}|{subject.name}", error))
            if not days:
                continue
            compared += days
            content = _hash(days)
            _record(stores, key, days, content, context.run.run_id)
            if by_person or key not in recorded or recorded[key].content_hash != content:
                yield materialization(ASSET, CODE_VERSION, PartitionReport(key, content, metadata=_metadata(days)))
        yield _check(compared, failures)
        raise_for_failures(failures, len(compared) + len(failures), tolerate_some=not by_person)
        yield finished()

    job = dg.define_asset_job(
        "differences",
        selection=[live_backtest_difference],
        description="Holds what was decided and traded on a day against the backtest.",
        tags={"dagster/max_runtime": "3000"},
    )

    @running_schedule(
        "differences_schedule",
        job,
        "30 0 * * *",
        "Requests one run over every strategy for the day before, and for the one before that, which is completed by then.",
    )
    def schedule() -> dg.RunRequest:
        day = day_before(day_of(now_ms()))
        first = max(day_before(day), f"{settings.first_month}-01")
        return dg.RunRequest(run_key=f"{ASSET}:{day}", tags=strategy_day_range(min(first, day), day))

    return ScheduledAsset(live_backtest_difference, job, schedule)


def _chosen(stores: Stores, markets: Sequence[str], timeframes: Sequence[str]) -> "tuple[list[Market], list[Timeframe]]":
    from fks_assets.quant.markets import parse_market
    from fks_assets.quant.timeframes import parse_timeframe

    return (
        [parse_market(market) for market in markets] or stores.settings.market_list(),
        [parse_timeframe(timeframe) for timeframe in timeframes] or stores.settings.timeframe_list(),
    )


def _hash(days: "Sequence[DayOfSet]") -> str:
    return hashlib.sha256("\n".join(f"{each.subject.name} {each.content_hash}" for each in days).encode()).hexdigest()


def _record(stores: Stores, key: str, days: "Sequence[DayOfSet]", content_hash: str, run_id: str) -> None:
    """Record the comparison, and tell a person of what has no cause, in one transaction."""
    from fks_assets.stores.notifications import notify

    day = key.split("|")[0]
    inputs = tuple(sorted({ref for each in days for ref in each.inputs}))
    hashes = " ".join(each.subject.parameters_hash for each in days)
    code = f"{CODE_VERSION} {days[0].subject.code_version}"
    rows = sum(len(each.mismatches) for each in days)
    with stores.database.transaction() as connection:
        record_many(connection, [RecordedInputs(ASSET, key, content_hash, code, hashes, run_id, inputs, rows)])
        for each in days:
            if each.unexplained:
                first = each.unexplained[0]
                message = (
                    f"⚠️ {each.subject.name} on {day}: {len(each.unexplained)} of {each.decisions} decisions and {each.trades} "
                    f"trades differ from its backtest without a cause, the first at {iso(first.candle)} on {first.market} "
                    f"{first.timeframe}: live {first.live}, backtest {first.backtest}"
                )
                notify(connection, KIND, "HIGH", message, f"{KIND}:{day}:{each.subject.name}:{each.content_hash}")


def _check(compared: "Sequence[DayOfSet]", failures: Sequence[tuple[str, Exception]]) -> dg.AssetCheckResult:
    counts: Counter[str] = Counter()
    for each in compared:
        counts.update(each.counts())
    unexplained = sum(len(each.unexplained) for each in compared)
    failed = {name: str(error) for name, error in failures}
    return dg.AssetCheckResult(
        passed=not counts and not failed,
        check_name=CHECK,
        asset_key=dg.AssetKey(ASSET),
        severity=dg.AssetCheckSeverity.ERROR if unexplained or failed else dg.AssetCheckSeverity.WARN,
        metadata={
            "decisions": sum(each.decisions for each in compared),
            "trades": sum(each.trades for each in compared),
            "differences": sum(counts.values()),
            "unexplained": unexplained,
            "causes": dict(counts),
            **({"could not be compared": failed} if failed else {}),
        },
    )


def _metadata(days: "Sequence[DayOfSet]") -> Mapping[str, Any]:
    rows = [{"parameter set": each.subject.name, **found.document()} for each in days for found in each.mismatches]
    counts = [
        {
            "parameter set": each.subject.name,
            "decisions": each.decisions,
            "trades": each.trades,
            "cause": cause,
            "differences": count,
        }
        for each in days
        for cause, count in (each.counts() or {"none": 0}).items()
    ]
    return {
        "dagster/row_count": len(rows),
        "causes": dg.MetadataValue.table([dg.TableRecord(row) for row in counts]),
        **({"differences": dg.MetadataValue.table([dg.TableRecord(row) for row in rows[:SHOWN]])} if rows else {}),
        **({"not shown": len(rows) - SHOWN} if len(rows) > SHOWN else {}),
        "content hash": _hash(days),
    }
