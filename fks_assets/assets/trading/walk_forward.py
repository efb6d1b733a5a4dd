"""Monthly on the 1st at 00:40: parameters chosen before the month that has ended, and what they gave in it."""

import json
from collections.abc import Sequence
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
from fks_assets.assets.trading.standard import standard_plan, standard_timeframe
from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.errors import in_words
from fks_assets.partitions import last_month, strategy_month_partitions, strategy_month_range
from fks_assets.quant.timeframes import month_window
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings
from fks_assets.stores.lineage import latest_inputs

if TYPE_CHECKING:
    from fks_assets.assets.trading.forward_months import MonthOfStrategy, Plan
    from fks_assets.quant.markets import Market

ASSET = "walk_forward"
IN_DAYS = 180
CODE_VERSION = "1"


def build_walk_forward(settings: Settings) -> ScheduledAsset:
    """Return the asset `walk_forward`, its job and its schedule."""

    class WalkForwardConfig(dg.Config):
        """How each month's parameters are chosen: on so many days before it, by a search of so many trials on these candles.

        Without `markets` they are those of `[backtests]` in the first one's quote coin: a window is one book.
        """

        in_days: int = IN_DAYS
        timeframe: str = standard_timeframe(settings)
        markets: list[str] = []  # noqa: RUF012 - Dagster's configuration copies it
        trials: int = 50
        objective: str = "sharpe"
        least_trades: int = 10
        seed: int = 0
        workers: int = 1

    @dg.asset(
        description=(
            "Walk-forward windows: for each month the parameters of a strategy are searched on the days before it alone, and "
            "tried in the month. What the months give, one after another, is what searching would have earned; its share of what "
            "the searches promised is the out-of-sample efficiency. Nothing that is in force changes."
        ),
        group_name="trading",
        kinds={"python", "postgres"},
        owners=["team:research"],
        partitions_def=strategy_month_partitions(settings),
        deps=[*(f"{prefix}_{standard_timeframe(settings)}" for prefix in ("ohlcv", "indicators")), "market_rules"],
        code_version=CODE_VERSION,
        backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=12),
        output_required=False,
        dagster_type=dg.Nothing,
    )
    def walk_forward(context: dg.AssetExecutionContext, config: WalkForwardConfig, stores: dg.ResourceParam[Stores]):
        from fks_assets.assets.trading.forward_months import run_month
        from fks_assets.assets.trading.in_force import strategies_in_force

        by_person = asked_by_a_person(context)
        with final_errors():
            plan = _plan(stores, config)
        in_force, _ = strategies_in_force(stores.database, stores.settings)
        wanted = {subject.strategy.name for subject in in_force.values()}
        recorded = latest_inputs(stores.database, ASSET, context.partition_keys)
        details, failures, total = dict[str, str](), list[tuple[str, Exception]](), 0
        for key in sorted(context.partition_keys):
            month, strategy = key.split("|")
            if strategy not in wanted:
                continue
            total += 1
            try:
                found = run_month(stores, strategy, month, plan, code_version=CODE_VERSION, run_id=context.run.run_id)
            except Exception as error:
                context.log.warning(f"{key}: {in_words(error)}")
                failures.append((key, error))
                details[key] = in_words(error)
                continue
            details[key] = f"{found.outcome.gain * 100:+.2f} % out of sample"
            if by_person or key not in recorded or recorded[key].content_hash != found.content_hash:
                report = PartitionReport(key, found.content_hash, metadata=_metadata(stores, found))
                yield materialization(ASSET, CODE_VERSION, report)
        if not total:
            raise dg.Failure("none of these strategies is in force: `fks strategies set` makes a set", allow_retries=False)
        raise_for_failures(failures, total, tolerate_some=not by_person)
        yield finished(
            status="completed_with_errors" if failures else "success",
            total_windows=total,
            processed=total - len(failures),
            errors=len(failures),
            details=details,
        )

    job = dg.define_asset_job(
        "walk_forward_windows",
        selection=[walk_forward],
        description="The walk-forward window of every strategy in force, out of sample in the last month that has ended.",
        tags={"dagster/max_runtime": "6000"},
    )

    @running_schedule(
        "walk_forward_schedule",
        job,
        "40 0 1 * *",
        "Requests one run over every strategy for the month that has just ended.",
    )
    def schedule() -> dg.RunRequest:
        month = last_month(now_ms())
        return dg.RunRequest(run_key=f"{ASSET}:{month}", tags=strategy_month_range(month))

    return ScheduledAsset(walk_forward, job, schedule)


def _plan(stores: Stores, config: Any) -> "Plan":
    from fks_assets.assets.trading.forward_months import Plan
    from fks_assets.assets.trading.standard import rules_of_markets
    from fks_assets.quant.markets import parse_market
    from fks_assets.quant.optimisation import SearchRules, checked_workers
    from fks_assets.quant.timeframes import parse_timeframe
    from fks_assets.quant.walk_forward import WindowRules

    chosen = tuple(parse_market(market) for market in config.markets) or _of_one_quote(standard_plan(stores.settings).markets)
    rules, book = rules_of_markets(stores.settings, chosen)
    search = SearchRules(objective=config.objective, trials=config.trials, seed=config.seed, least_trades=config.least_trades)
    in_days = WindowRules(in_days=config.in_days).in_days
    standard = config.model_copy(update={"workers": 1}) == type(config)()
    workers = checked_workers(config.workers)
    return Plan(in_days, parse_timeframe(config.timeframe), chosen, rules, book, search, workers, standard)


def history_reaches(stores: Stores, month: str) -> bool:
    """Return whether a candle of any market is stored that is old enough for the usual window of a month."""
    markets = _of_one_quote(standard_plan(stores.settings).markets)
    heads = stores.candles.heads("ohlcv", standard_timeframe(stores.settings), markets).values()
    wanted_ms = month_window(month)[0] - (IN_DAYS - 1) * MILLISECONDS_PER_DAY
    return any(head.row_count and (head.first_open or 0) <= wanted_ms for head in heads)


def _of_one_quote(markets: "Sequence[Market]") -> "tuple[Market, ...]":
    return tuple(market for market in markets if market.quote == markets[0].quote)


def _metadata(stores: Stores, found: "MonthOfStrategy") -> dict[str, Any]:
    from fks_assets.assets.market_data.presentation import exchange_badge
    from fks_assets.assets.trading.search_presentation import out_of_sample_picture, together_rows, window_rows

    document = found.document
    return {
        "out of sample": dg.MetadataValue.md(out_of_sample_picture(found.ground.subject.name, found.windows)),
        "windows": dg.MetadataValue.table([dg.TableRecord(row) for row in window_rows(found.windows)]),
        "return of the month, %": round(document["return_pct"], 3),
        **together_rows(found.together),
        "parameters": dg.MetadataValue.json(document["parameters"] or {}),
        "dagster/row_count": len(found.outcome.outside),
        "content hash": found.content_hash,
        "partitions read": len(found.ground.inputs),
        "search": json.dumps(document["search"]),
        "exchange": exchange_badge(stores),
    }
