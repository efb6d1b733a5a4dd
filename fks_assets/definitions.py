"""The desk, assembled: the only place that knows all of it.

Loading it opens no database and imports no exchange, TA-Lib or Arrow.
"""

import gc
import logging
import warnings

import dagster as dg

from fks_assets.assets.alerting.build import build_alerting
from fks_assets.assets.analysis.indicators import build_indicators_asset
from fks_assets.assets.analysis.signals import build_signals_asset
from fks_assets.assets.jobs import build_jobs
from fks_assets.assets.market_data.assets import build_ohlcv_asset
from fks_assets.assets.market_data.checks import build_candle_checks
from fks_assets.assets.market_data.funding_rates import build_funding_check, build_funding_rates
from fks_assets.assets.market_data.gap_repair import build_gap_repair
from fks_assets.assets.market_data.market_rules import build_market_rules
from fks_assets.assets.market_data.universe import build_universe
from fks_assets.assets.operations.archive import build_archive, build_gap_upkeep
from fks_assets.assets.operations.store_upkeep import build_store_upkeep
from fks_assets.assets.portfolio.assets import build_portfolio
from fks_assets.assets.reporting.completeness import build_completeness_report
from fks_assets.assets.reporting.recency import build_recency_validation
from fks_assets.assets.schedules import TICKS, build_schedule
from fks_assets.assets.trading.account_backtests import build_account_backtests
from fks_assets.assets.trading.backtests import build_backtests
from fks_assets.assets.trading.live_backtest_difference import build_live_backtest_difference
from fks_assets.assets.trading.shadow_branch import build_shadow_branch
from fks_assets.assets.trading.strategy_parameters import build_strategy_parameters
from fks_assets.assets.trading.strategy_validation import build_strategy_validation
from fks_assets.assets.trading.trade_ideas import build_trade_ideas
from fks_assets.assets.trading.walk_forward import build_walk_forward
from fks_assets.executors import build_executor
from fks_assets.partitions import market_month_partitions
from fks_assets.quant.strategies.registry import strategy_faults
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.reports import Reports
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings, load_settings
from fks_assets.supervisor.addresses import desk_addresses

_LOG = logging.getLogger(__name__)


def build_definitions(settings: Settings) -> dg.Definitions:
    """Return the whole desk for these settings. What cannot be used of the user's strategies is left out, with a warning each."""
    for fault in strategy_faults():
        _LOG.warning("%s; it is left out", fault)
    partitions = market_month_partitions(settings)
    timeframes = settings.timeframe_list()
    assets = [
        asset
        for timeframe in timeframes
        for asset in (
            build_ohlcv_asset(timeframe, partitions),
            build_indicators_asset(timeframe, partitions),
            build_signals_asset(timeframe, partitions),
        )
    ]
    jobs = build_jobs(settings.timeframes)
    repair = build_gap_repair(settings)
    ideas = build_trade_ideas(settings, jobs["signals"])
    shadow = build_shadow_branch(settings)
    stores = Stores(settings)
    reports = Reports(settings, lambda: desk_addresses(settings.home))
    portfolio = build_portfolio(settings, jobs["critical_path"], reports)
    alerting = build_alerting()
    scheduled = [
        alerting.health,
        build_market_rules(settings),
        build_funding_rates(settings),
        build_universe(settings),
        build_completeness_report(settings),
        build_recency_validation(settings),
        build_archive(),
        build_gap_upkeep(),
        build_store_upkeep(),
        build_strategy_parameters(settings),
        build_backtests(settings),
        build_account_backtests(settings),
        build_strategy_validation(settings),
        build_walk_forward(settings),
        build_live_backtest_difference(settings),
    ]
    return dg.Definitions(
        assets=[*assets, repair.asset, ideas.asset, shadow.asset, *(each.asset for each in scheduled), *portfolio.assets],
        asset_checks=[
            *(check for timeframe in timeframes for check in build_candle_checks(timeframe)),
            build_funding_check(),
            *portfolio.checks,
        ],
        jobs=[*jobs.values(), *repair.jobs, ideas.job, shadow.job, *(each.job for each in scheduled), *portfolio.jobs],
        schedules=[
            *(build_schedule(tick, jobs[tick.job]) for tick in TICKS),
            *repair.schedules,
            *(each.schedule for each in scheduled),
            *portfolio.schedules,
        ],
        sensors=[*repair.sensors, *ideas.sensors, *portfolio.sensors, *alerting.sensors],
        resources={"stores": stores, "market_data": MarketData(settings, stores), "reports": reports},
        executor=build_executor(settings.executor),
    )


with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    defs = build_definitions(load_settings())
# All that is loaded now stays loaded: searching it for garbage again and again is a quarter of what a short run costs.
gc.freeze()
