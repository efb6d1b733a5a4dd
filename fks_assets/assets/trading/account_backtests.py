"""Daily at 00:25: every account of the desk by its own rules over the days before, all its strategies in one book."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import (
    PartitionReport,
    asked_by_a_person,
    final_errors,
    finished,
    link_to,
    materialization,
    raise_for_failures,
)
from fks_assets.assets.jobs import RESEARCH_LANE, ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import now_ms
from fks_assets.errors import in_words
from fks_assets.partitions import day_of, day_partitions
from fks_assets.quant.timeframes import usual_timeframe
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import latest_inputs

if TYPE_CHECKING:
    from fks_assets.assets.trading.account_days import DayOfAccounts

ASSET = "account_backtests"
CODE_VERSION = "1"


def build_account_backtests(settings: Settings) -> ScheduledAsset:
    """Return the asset `account_backtests`, its job and its schedule."""
    usual = usual_timeframe(settings.timeframes)
    timeframes = sorted({usual, *(rules.timeframe or usual for rules in settings.accounts.values())} & {*settings.timeframes})

    class AccountBacktestConfig(dg.Config):
        """The days before the partition's day that are looked at."""

        lookback_days: int = settings.backtests.days

    @dg.asset(
        description=(
            "Each account of the desk by its own rules (sizing, budgets, limits, costs), all its strategies on all its markets "
            "in one book, over the days before this one: figures of the book, what each strategy and market did in it, how much "
            "of its budget a strategy used, and a tear sheet. A partition holds the accounts that the desk had on its day."
        ),
        group_name="trading",
        kinds={"python", "postgres"},
        owners=["team:research"],
        partitions_def=day_partitions(settings),
        deps=[
            *(f"{prefix}_{timeframe}" for timeframe in timeframes for prefix in ("ohlcv", "indicators")),
            "market_rules",
            "strategy_parameters",
        ],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=60),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def account_backtests(
        context: dg.AssetExecutionContext,
        config: AccountBacktestConfig,
        stores: dg.ResourceParam[Stores],
        reports: dg.ResourceParam[Reports],
    ):
        from fks_assets.assets.trading.account_days import run_account_day

        by_person = asked_by_a_person(context)
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        details, failures = dict[str, str](), list[tuple[str, Exception]]()
        for day in context.partition_keys:
            with final_errors():
                found = run_account_day(
                    stores, reports, day, config.lookback_days, code_version=CODE_VERSION, run_id=context.run.run_id
                )
            for account, error in found.failures.items():
                context.log.warning(f"{day}: the backtest of account {account} failed: {in_words(error)}")
                failures.append((f"{day}|{account}", error))
                details[f"{day}|{account}"] = in_words(error)
            for account, test in found.tests.items():
                details[f"{day}|{account}"] = f"{test.performance.total_trades} trades"
            changed = day not in recorded or recorded[day].content_hash != found.content_hash
            if found.tests and (by_person or changed):
                yield materialization(
                    ASSET, CODE_VERSION, PartitionReport(day, found.content_hash, metadata=_metadata(stores, found))
                )
        raise_for_failures(failures, len(details), tolerate_some=not by_person)
        yield finished(
            status="completed_with_errors" if failures else "success",
            total_accounts=len(details),
            processed=len(details) - len(failures),
            errors=len(failures),
            details=details,
        )

    job = dg.define_asset_job(
        "backtest_accounts",
        selection=[account_backtests],
        description="Every account of the desk by its own rules.",
        tags={**RESEARCH_LANE, "dagster/max_runtime": "3000"},
    )

    @running_schedule(
        "backtest_accounts_schedule",
        job,
        "25 0 * * *",
        "Requests the backtests of all accounts for the day on which it ticks; none for a desk without accounts.",
    )
    def schedule(stores: dg.ResourceParam[Stores]) -> dg.RunRequest | dg.SkipReason:
        if not stores.settings.accounts:
            return dg.SkipReason("the settings have no account")
        day = day_of(now_ms())
        return dg.RunRequest(run_key=f"{ASSET}:{day}", partition_key=day)

    return ScheduledAsset(account_backtests, job, schedule)


def _metadata(stores: Stores, found: "DayOfAccounts") -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.assets.trading.account_presentation import market_rows, strategy_rows
    from fks_assets.assets.trading.presentation import SHOWN, figure_text, picture_of

    metadata: dict[str, Any] = {}
    figures: list[Mapping[str, Any]] = []
    for account, test in found.tests.items():
        page = found.reports[account]
        metadata[f"equity of {account}"] = dg.MetadataValue.md(picture_of(test))
        metadata[f"tear sheet of {account}"] = link_to(page)
        shown = {name: figure_text(name, getattr(test.performance, name)) for name in SHOWN}
        figures.append(
            {"account": account, "timeframe": test.timeframe.name, **shown, "orders": test.result.order_list_hash[:16]}
        )
        metadata[f"strategies of {account}"] = _table(strategy_rows(test))
        metadata[f"markets of {account}"] = _table(market_rows(test))
    notes = [f"{account}: {note}" for account, test in found.tests.items() for note in test.notes]
    notes += [f"{account} failed: {in_words(error)}" for account, error in found.failures.items()]
    return {
        **metadata,
        "figures": _table(figures),
        "dagster/row_count": found.trades,
        "content hash": found.content_hash,
        "partitions read": len({ref for test in found.tests.values() for ref in test.inputs}),
        "exchange": exchange_badge(stores),
        **({"notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))} if notes else {}),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])
