"""Reports of accounts: 23:30 of the day, Mondays 08:00 of the week before, on the 1st 08:00 of the month before (UTC)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import (
    PartitionReport,
    asked_by_a_person,
    finished,
    link_to,
    materialization,
    raise_for_failures,
)
from fks_assets.assets.jobs import ScheduledAsset
from fks_assets.assets.portfolio.account_asset import input_of
from fks_assets.assets.portfolio.presentation import table
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import to_ms
from fks_assets.errors import TradingError, in_words
from fks_assets.ids import stable_id
from fks_assets.partitions import REPORT_JOBS, account_period_partitions, report_range
from fks_assets.quant.report_periods import ReportType, period_of
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import RecordedInputs, latest_inputs, record_many

if TYPE_CHECKING:
    from fks_assets.assets.account_reports.making import MadeReport

CODE_VERSION = "1"
GROUP = "reporting"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type of report: when its schedule ticks (UTC), and of what it tells."""

    cron: str
    words: str
    asked: str


_KINDS = {
    ReportType.DAILY: _Kind(
        "30 23 * * *",
        "An account in a UTC day, told at 23:30; what came later is in it when the day is over.",
        "Requests the reports of all accounts: of today up to 23:30, and of yesterday up to its end.",
    ),
    ReportType.WEEKLY: _Kind(
        "0 8 * * 1",
        "An account in a week, from Monday to Monday by UTC.",
        "Requests the reports of all accounts of the week that has ended.",
    ),
    ReportType.MONTHLY: _Kind(
        "0 8 1 * *",
        "An account in a UTC month.",
        "Requests the reports of all accounts of the month that has ended.",
    ),
}
_HOLDS = (
    "Equity, profit and deposits apart, metrics, the last trades, open positions, how much of the time stops were watched, time "
    "at each level of risk, messages, locks. People are told once."
)
_READ = ("fills", "positions", "balances", "portfolio_risk")
_TRADES = ("closed_at", "market", "strategy", "side", "quantity", "entry_price", "exit_price", "pnl", "pnl_percent", "ended_by")
_POSITIONS = ("opened_at", "market", "strategy", "side", "quantity", "entry_price", "mark_price", "unrealised_pnl", "pnl_percent")


def build_account_reports(settings: Settings, reports: Reports, deps: Sequence[Any]) -> list[ScheduledAsset]:
    """Return the daily, the weekly and the monthly report of every account, each with its job and schedule."""
    return [_build(settings, reports, job, kind, deps) for job, kind in REPORT_JOBS.items()]


def _build(settings: Settings, reports: Reports, job_name: str, kind: ReportType, deps: Sequence[Any]) -> ScheduledAsset:
    name = f"{kind}_report"
    shortest = min(settings.timeframe_list(), key=lambda timeframe: timeframe.milliseconds)

    @dg.asset(
        name=name,
        description=f"{_KINDS[kind].words} {_HOLDS}",
        group_name=GROUP,
        kinds={"python", "postgres", "html"},
        owners=["team:trading"],
        partitions_def=account_period_partitions(settings, kind),
        deps=[*deps, f"ohlcv_{shortest}"],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=60),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def account_report(
        context: dg.AssetExecutionContext, stores: dg.ResourceParam[Stores], market_data: dg.ResourceParam[MarketData]
    ):
        from fks_assets.assets.account_reports.making import make_report

        by_person = asked_by_a_person(context)
        recorded = latest_inputs(stores.database, name, context.partition_keys)
        floor = market_data.trading_floor()
        made, failures = dict[str, str](), list[tuple[str, Exception]]()
        for key in sorted(context.partition_keys):
            account, _, date = key.partition("|")
            try:
                found = make_report(
                    stores,
                    reports,
                    floor.account(account),
                    period_of(kind, date),
                    now_ms=floor.clock(),
                    run_id=context.run.run_id,
                )
            except TradingError as error:
                failures.append((key, error))
                continue
            except Exception as error:
                # One account's books, or those of one day, stop no other report.
                context.log.exception(f"the report {key} failed")
                failures.append((key, TradingError(in_words(error))))
                continue
            made[key] = found.status
            content = found.report.content_hash
            inputs = [*found.report.prices, *(each for asset in _READ for each in input_of(stores, asset, account))]
            rules = stable_id(settings.accounts[account].model_dump_json())
            record = RecordedInputs(name, key, content, CODE_VERSION, rules, context.run.run_id, tuple(sorted(inputs)), 1)
            with stores.database.transaction() as connection:
                record_many(connection, [record])
            if by_person or key not in recorded or recorded[key].content_hash != content:
                yield materialization(name, CODE_VERSION, PartitionReport(key, content, metadata=_metadata(stores, found)))
        raise_for_failures(failures, len(context.partition_keys), tolerate_some=False)
        yield finished(reports=made)

    job = dg.define_asset_job(
        job_name,
        selection=[account_report],
        description=_KINDS[kind].asked,
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": "600", "dagster/priority": "-1"},
    )

    @running_schedule(f"{job_name}_schedule", job, _KINDS[kind].cron, _KINDS[kind].asked)
    def schedule(context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.RunRequest:
        moment = context.scheduled_execution_time
        return dg.RunRequest(run_key=f"{job_name}:{moment.isoformat()}", tags=report_range(stores.settings, kind, to_ms(moment)))

    return ScheduledAsset(account_report, job, schedule)


def _metadata(stores: Stores, made: "MadeReport") -> dict[str, Any]:
    from fks_assets.assets.account_reports.page import picture_of
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.quant.charts import markdown_image

    document = made.report.document
    picture = picture_of(made.report, alone=True)
    equity, trades, stops = document["equity"], document["trades"], document["stops"]
    before = {} if made.before is None else {"content hash before": made.before.content_hash}
    return {
        **({} if picture is None else {"equity": dg.MetadataValue.md(markdown_image(picture, "Equity"))}),
        "page": link_to(made.page),
        "of": f"{made.report.period.words}{'' if document['complete'] else ', up to ' + document['to']}",
        "what was made": made.status,
        "people told now": made.is_told,
        **{f"{name.replace('_', ' ')}": _shown(equity[name]) for name in ("start", "end", "net_deposits", "profit")},
        "profit [%]": _shown(equity["profit_percent"]),
        "trades closed": trades["closed"],
        "trades won [%]": _shown(trades["win_rate_percent"]),
        "open positions": document["positions"]["open"],
        "stops watched [%]": _shown(stops["coverage_percent"]),
        "stops executed": stops["executed"],
        **table("last trades", trades["last"], _TRADES),
        **table("positions", document["positions"]["list"], _POSITIONS),
        "report": dg.MetadataValue.json(dict(document)),
        "file": dg.MetadataValue.path(str(made.file.path)),
        "dagster/row_count": 1,
        "content hash": made.report.content_hash,
        **before,
        "exchange": exchange_badge(stores),
    }


def _shown(value: Any) -> Any:
    return "–" if value is None else value
