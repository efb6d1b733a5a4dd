"""Daily at 00:10: every strategy in force by its own backtest over the 30 days before (`[backtests]`), with a tear sheet."""

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
from fks_assets.assets.trading.standard import standard_timeframe
from fks_assets.clock import now_ms
from fks_assets.errors import in_words
from fks_assets.partitions import day_of, strategy_day_partitions, strategy_day_range
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import latest_inputs

if TYPE_CHECKING:
    from fks_assets.assets.trading.daily import DailyOrder, DayOfStrategy

ASSET = "backtests"
CODE_VERSION = "3"


def build_backtests(settings: Settings) -> ScheduledAsset:
    """Return the asset `backtests`, its job and its schedule."""

    class BacktestConfig(dg.Config):
        """The days before the partition's day that are looked at, the candles, the markets (those of `[backtests]` if empty), and
        `rules` and `parameters` as NAME=VALUE instead of the desk's and of each set's own.

        By a backtest on other settings than those of `[backtests]` nobody is judged: it is kept beside the day's. With `optimize`
        better parameters are searched on the same days, in so many trials. They are shown and recorded; what is in force stays as
        it is, until a person changes it with `fks strategies set`.
        """

        lookback_days: int = settings.backtests.days
        timeframe: str = standard_timeframe(settings)
        markets: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        rules: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        parameters: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        optimize: bool = False
        trials: int = 100
        objective: str = "sharpe"
        least_trades: int = 10
        seed: int = 0
        workers: int = 1

    @dg.asset(
        description=(
            "Each strategy on all markets of a quote coin in one book, over the days before this one: trades, figures, equity "
            "beside that of holding the same markets, and a tear sheet. Every parameter set in force has a backtest of its own."
        ),
        group_name="trading",
        kinds={"python", "postgres"},
        owners=["team:research"],
        partitions_def=strategy_day_partitions(settings),
        deps=[
            *(f"{prefix}_{standard_timeframe(settings)}" for prefix in ("ohlcv", "indicators")),
            "market_rules",
            "strategy_parameters",
        ],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=60),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def backtests(
        context: dg.AssetExecutionContext,
        config: BacktestConfig,
        stores: dg.ResourceParam[Stores],
        reports: dg.ResourceParam[Reports],
    ):
        from fks_assets.assets.trading.daily import run_strategy_day

        by_person = asked_by_a_person(context)
        with final_errors():
            order = _order(stores, config)
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        total, details, failures = 0, dict[str, str](), list[tuple[str, Exception]]()
        for key in context.partition_keys:
            day, strategy = key.split("|")
            with final_errors():
                found = run_strategy_day(
                    stores, reports, day, strategy, order, code_version=CODE_VERSION, run_id=context.run.run_id
                )
            total += found.total
            for name, error in found.failures.items():
                context.log.warning(f"{day}: the backtest of {name} failed: {in_words(error)}")
                failures.append((f"{day}|{name}", error))
                details[f"{day}|{name}"] = in_words(error)
            for name, test in found.tests.items():
                details[f"{day}|{name}"] = f"{test.trades} trades"
            for name, error in found.not_searched.items():
                context.log.warning(f"{day}: the parameters of {name} were not searched: {in_words(error)}")
            changed = key not in recorded or recorded[key].content_hash != found.content_hash
            if found.tests and (by_person or changed or found.searches):
                yield materialization(
                    ASSET, CODE_VERSION, PartitionReport(key, found.content_hash, metadata=_metadata(stores, found))
                )
        if not total:
            raise dg.Failure("no set of these strategies is in force: `fks strategies set` makes one", allow_retries=False)
        raise_for_failures(failures, total, tolerate_some=not by_person)
        yield finished(
            status="completed_with_errors" if failures else "success",
            total_strategies=total,
            processed=total - len(failures),
            errors=len(failures),
            details=details,
        )

    job = dg.define_asset_job(
        "backtest",
        selection=[backtests],
        description="Every strategy in force by its own backtest.",
        tags={**RESEARCH_LANE, "dagster/max_runtime": "3000"},
    )

    @running_schedule(
        "backtest_schedule",
        job,
        "10 0 * * *",
        "Requests one run over every strategy for the day on which it ticks, ten minutes after its beginning.",
    )
    def schedule() -> dg.RunRequest:
        day = day_of(now_ms())
        return dg.RunRequest(run_key=f"{ASSET}:{day}", tags=strategy_day_range(day))

    return ScheduledAsset(backtests, job, schedule)


def _order(stores: Stores, config: Any) -> "DailyOrder":
    from fks_assets.assets.trading.daily import DailyOrder
    from fks_assets.assets.trading.rule_options import assignments
    from fks_assets.assets.trading.standard import BacktestPlan, standard_plan
    from fks_assets.quant.markets import parse_market
    from fks_assets.quant.optimisation import SearchRules, checked_workers
    from fks_assets.quant.timeframes import parse_timeframe

    plan = BacktestPlan(
        config.lookback_days,
        parse_timeframe(config.timeframe),
        tuple(parse_market(market) for market in config.markets) or standard_plan(stores.settings).markets,
        assignments(config.rules, "rules"),
        assignments(config.parameters, "parameters"),
    )
    plan.books(stores.settings)
    search = SearchRules(trials=config.trials, objective=config.objective, least_trades=config.least_trades, seed=config.seed)
    wanted = search if config.optimize else None
    return DailyOrder(plan, wanted, checked_workers(config.workers))


def _metadata(stores: Stores, found: "DayOfStrategy") -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.assets.trading.in_force import settings_note
    from fks_assets.assets.trading.presentation import SHOWN, figure_text, picture_of

    metadata: dict[str, Any] = {}
    rows, notes = [], []
    for name, made in found.tests.items():
        efficiency = found.evidence[name].efficiency
        for book, test, saved in zip(made.books, made.tests, found.reports[name], strict=True):
            shown = name if len(made.tests) == 1 else f"{name} in {book.quote}"
            metadata[f"equity of {shown}"] = dg.MetadataValue.md(picture_of(test))
            for what, file in (("tear sheet", saved.page), ("trades", saved.trades), ("equity curve", saved.equity)):
                metadata[f"{what} of {shown}"] = link_to(file)
            figures = {figure: figure_text(figure, getattr(test.performance, figure)) for figure in SHOWN}
            rows.append(
                {
                    "parameter set": shown,
                    "version": test.subject.version,
                    **figures,
                    "exits": len(test.result.trades),
                    "out-of-sample efficiency": "not known" if efficiency is None else round(efficiency, 3),
                    "orders": test.result.order_list_hash[:16],
                }
            )
            notes += [f"{shown}: {note}" for note in test.notes]
    return {
        **metadata,
        "figures": dg.MetadataValue.table([dg.TableRecord(row) for row in rows]),
        "dagster/row_count": sum(made.exits for made in found.tests.values()),
        "judged by it": found.is_standard,
        **settings_note(found.day, [made.subject for made in found.tests.values()]),
        "content hash": found.content_hash,
        "partitions read": len({ref for made in found.tests.values() for ref in made.inputs}),
        "exchange": exchange_badge(stores),
        **_found_parameters(found),
        **({"notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))} if notes else {}),
    }


def _found_parameters(found: "DayOfStrategy") -> dict[str, Any]:
    from fks_assets.assets.trading.search_presentation import picture_of_trials, search_row

    if not found.searches and not found.not_searched:
        return {}
    rows = [dg.TableRecord(search_row(searched)) for searched in found.searches.values()]
    metadata: dict[str, Any] = {"found parameters": dg.MetadataValue.table(rows)} if rows else {}
    for name, searched in found.searches.items():
        metadata[f"trials of {name}"] = dg.MetadataValue.md(picture_of_trials(searched))
    if found.not_searched:
        metadata["not searched"] = {name: in_words(error) for name, error in found.not_searched.items()}
    return metadata
