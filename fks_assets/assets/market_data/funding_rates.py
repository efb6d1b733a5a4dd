"""Funding rates: one partition a market and month, kept complete by the schedule, and a check that says what is not known."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import (
    PARTITIONS_PER_RUN,
    PartitionReport,
    asked_by_a_person,
    final_errors,
    finished,
    materialization,
    raise_for_failures,
)
from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.assets.schedules import IN_PROGRESS, range_tags, running_schedule
from fks_assets.partitions import FUNDING_JOB, market_month_partitions
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

if TYPE_CHECKING:
    from fks_assets.assets.market_data.funding import MonthOfFunding

ASSET = "funding_rates"
CODE_VERSION = "1"
MISSING_SHOWN = 10


def build_funding_rates(settings: Settings) -> ScheduledAsset:
    """Return the asset `funding_rates`, its job and its schedule."""

    @dg.asset(
        name=ASSET,
        description=(
            "What a long position in the perpetual market pays every eight hours, as a fraction of its value; a short one "
            "receives it. Backtests with short positions or leverage charge it. A rate that the exchange changes replaces the "
            "old one, which stays readable as of an earlier time. Materialising a month asks for all of it again, so it repairs "
            "holes."
        ),
        group_name="market_data",
        kinds={"ccxt", "postgres"},
        owners=["team:market-data"],
        partitions_def=market_month_partitions(settings),
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=PARTITIONS_PER_RUN),
        retry_policy=dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def funding_rates(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores], market_data: dg.ResourceParam[MarketData]
    ):
        from fks_assets.assets.market_data.funding import load_funding
        from fks_assets.stores.lineage import latest_inputs

        by_person = asked_by_a_person(context)
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        with final_errors():
            loaded = load_funding(stores, market_data, context.partition_keys, whole=by_person, run_id=context.run.run_id)
        for refused in dict.fromkeys(month.refused for month in loaded.months if month.refused):
            context.log.warning(f"no funding rates: {refused}")
        for month in loaded.months:
            changed = month.key not in recorded or recorded[month.key].content_hash != month.content_hash
            if by_person or changed:
                report = PartitionReport(month.key, month.content_hash, metadata=_metadata(stores, month))
                yield materialization(ASSET, CODE_VERSION, report)
        raise_for_failures(loaded.failures, len(context.partition_keys), tolerate_some=not by_person)
        yield finished()

    job = dg.define_asset_job(
        FUNDING_JOB,
        selection=[funding_rates],
        description="The funding rates that were due and are not stored.",
        tags={"dagster/max_runtime": "900"},
    )

    @running_schedule(
        "funding_schedule",
        job,
        "7 * * * *",
        "Requests one run over every market and the months in which a rate that was due is not stored.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.RunRequest | dg.SkipReason:
        from fks_assets.assets.market_data.funding import months_behind

        if context.instance.get_runs_count(dg.RunsFilter(job_name=FUNDING_JOB, statuses=IN_PROGRESS)):
            return dg.SkipReason(f"the last run of {FUNDING_JOB} is still going")
        months = months_behind(stores)
        if months is None:
            return dg.SkipReason("every rate that was due is stored, or the exchange is not asked for any")
        return dg.RunRequest(
            run_key=f"{FUNDING_JOB}:{context.scheduled_execution_time.isoformat()}", tags=range_tags(stores, months)
        )

    return ScheduledAsset(funding_rates, job, schedule)


def build_funding_check() -> dg.AssetChecksDefinition:
    """Return the check of the funding rates. It judges every market of the desk, whichever partitions a run covered."""

    @dg.asset_check(
        asset=ASSET,
        name="known",
        description="Every funding that was due in the months kept or asked for is known. What is not counts as 0 in backtests.",
    )
    def known(stores: dg.ResourceParam[Stores]) -> dg.AssetCheckResult:
        from fks_assets.assets.market_data.funding import coverage_by_market
        from fks_assets.clock import iso, now_ms
        from fks_assets.quant.funding import NOTHING_DUE

        found = coverage_by_market(stores, stores.settings.market_list(), now_ms())
        whole = sum(found.values(), NOTHING_DUE)
        lacking = {
            market.key: f"{len(each.missing):,} of {each.due:,} are not known, the first of {iso(each.missing[0])}"
            for market, each in found.items()
            if each.missing
        }
        return dg.AssetCheckResult(
            passed=not lacking,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "failing": lacking,
                "due": whole.due,
                "known": whole.known,
                "known [%]": whole.known_pct,
                "markets": len(found),
            },
        )

    return known


def _metadata(stores: Stores, found: "MonthOfFunding") -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.clock import iso
    from fks_assets.quant.money import money_text, total

    rates, coverage = [each.rate for each in found.rates], found.coverage
    metadata: dict[str, Any] = {
        "dagster/row_count": len(rates),
        "due": coverage.due,
        "known [%]": coverage.known_pct,
        "first": iso(rates[0].time_ms) if rates else "none",
        "last": iso(rates[-1].time_ms) if rates else "none",
        "paid by a long position [%]": money_text(total(each.rate for each in rates).scaleb(2)),
        "new": len(found.inserted),
        "changed": len(found.revised),
        "content hash": found.content_hash,
        "exchange": exchange_badge(stores),
    }
    if coverage.missing:
        more = f", and {len(coverage.missing) - MISSING_SHOWN:,} more" if len(coverage.missing) > MISSING_SHOWN else ""
        metadata["not known"] = ", ".join(str(iso(time)) for time in coverage.missing[:MISSING_SHOWN]) + more
    if found.refused is not None:
        metadata["refused"] = found.refused
    return metadata
