"""Daily at 00:10: every strategy in force by its own backtest over the days before, with a tear sheet."""

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
from fks_assets.assets.jobs import RESEARCH_LANE, ScheduledAsset
from fks_assets.assets.schedules import running_schedule
from fks_assets.clock import now_ms
from fks_assets.errors import in_words
from fks_assets.partitions import day_of, strategy_day_partitions, strategy_day_range
from fks_assets.quant.timeframes import usual_timeframe
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import latest_inputs

if TYPE_CHECKING:
    from fks_assets.assets.trading.daily import DayOfStrategy, Period

ASSET = "backtests"
CODE_VERSION = "2"


def build_backtests(settings: Settings) -> ScheduledAsset:
    """Return the asset `backtests`, its job and its schedule."""

    class BacktestConfig(dg.Config):
        """The days before the partition's day that are looked at, the candles, and the markets (all of the desk if empty).

        With `optimize` better parameters are searched on the same days, in so many trials. They are shown and recorded; what is
        in force stays as it is, until a person changes it with `fks strategies set`.
        """

        lookback_days: int = 365
        timeframe: str = usual_timeframe(settings.timeframes)
        markets: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        optimize: bool = False
        trials: int = 100
        objective: str = "sharpe"
        least_trades: int = 10
        seed: int = 0
        workers: int = 1

    @dg.asset(
        description=(
            "Each strategy on all markets in one book, over the days before this one: trades, figures, equity beside that of "
            "holding the same markets, and a tear sheet. Every parameter set in force has a backtest of its own."
        ),
        group_name="trading",
        kinds={"python", "postgres"},
        owners=["team:research"],
        partitions_def=strategy_day_partitions(settings),
        deps=[
            *(f"{prefix}_{usual_timeframe(settings.timeframes)}" for prefix in ("ohlcv", "indicators")),
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
            period = _period(stores, config)
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        total, details, failures = 0, dict[str, str](), list[tuple[str, Exception]]()
        for key in context.partition_keys:
            day, strategy = key.split("|")
            with final_errors():
                found = run_strategy_day(
                    stores, reports, day, strategy, period, code_version=CODE_VERSION, run_id=context.run.run_id
                )
            total += found.total
            for name, error in found.failures.items():
                context.log.warning(f"{day}: the backtest of {name} failed: {in_words(error)}")
                failures.append((f"{day}|{name}", error))
                details[f"{day}|{name}"] = in_words(error)
            for name, test in found.tests.items():
                details[f"{day}|{name}"] = f"{test.performance.total_trades} trades"
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


def _period(stores: Stores, config: Any) -> "Period":
    from fks_assets.assets.trading.daily import Period
    from fks_assets.errors import InvalidInput
    from fks_assets.quant.markets import parse_market
    from fks_assets.quant.optimisation import SearchRules, checked_workers
    from fks_assets.quant.timeframes import parse_timeframe

    if config.lookback_days < 1:
        raise InvalidInput(f"lookback_days must be at least 1, was {config.lookback_days}")
    chosen = [parse_market(market) for market in config.markets] or stores.settings.market_list()
    search = SearchRules(trials=config.trials, objective=config.objective, least_trades=config.least_trades, seed=config.seed)
    wanted = search if config.optimize else None
    return Period(config.lookback_days, parse_timeframe(config.timeframe), chosen, wanted, checked_workers(config.workers))


def _metadata(stores: Stores, found: "DayOfStrategy") -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.assets.trading.presentation import SHOWN, figure_text, picture_of

    metadata: dict[str, Any] = {}
    rows = []
    for name, test in found.tests.items():
        page = found.reports[name]
        metadata[f"equity of {name}"] = dg.MetadataValue.md(picture_of(test))
        metadata[f"tear sheet of {name}"] = dg.MetadataValue.url(page.url) if page.url else dg.MetadataValue.path(str(page.path))
        figures = {figure: figure_text(figure, getattr(test.performance, figure)) for figure in SHOWN}
        rows.append(
            {"parameter set": name, "version": test.subject.version, **figures, "orders": test.result.order_list_hash[:16]}
        )
    notes = [f"{name}: {note}" for name, test in found.tests.items() for note in test.notes]
    return {
        **metadata,
        "figures": dg.MetadataValue.table([dg.TableRecord(row) for row in rows]),
        "dagster/row_count": sum(len(test.result.trades) for test in found.tests.values()),
        "content hash": found.content_hash,
        "partitions read": len({ref for test in found.tests.values() for ref in test.inputs}),
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
