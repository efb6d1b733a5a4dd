"""The assets of the accounts, their jobs, and what asks for them: a run only when there is something to do."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from fks_assets.assets.account_reports.assets import build_account_reports
from fks_assets.assets.jobs import UnresolvedAssetJobDefinition
from fks_assets.assets.portfolio.account_asset import TRADING_TAGS, build_account_asset
from fks_assets.assets.portfolio.ledger_audit import build_ledger_audit
from fks_assets.assets.portfolio.looks import (
    BALANCES,
    DEALS,
    FILLS,
    ORDERS,
    POSITIONS,
    look_at_balances,
    look_at_deals,
    look_at_fills,
    look_at_orders,
    look_at_positions,
)
from fks_assets.assets.portfolio.risk_asset import build_portfolio_risk
from fks_assets.assets.portfolio.sensors import (
    build_balances_schedule,
    build_deals_sensor,
    build_orders_sensor,
    build_positions_sensor,
)
from fks_assets.assets.portfolio.stop_loss import build_stop_loss_sensor
from fks_assets.assets.portfolio.stop_loss_check import build_stop_check
from fks_assets.quant.timeframes import usual_timeframe
from fks_assets.resources.reports import Reports
from fks_assets.settings import Settings

TRADING, ORDER_MONITOR, POSITION_MARKS, ACCOUNT_BALANCES = "trading", "order_monitor", "position_marks", "account_balances"


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Everything that has a partition an account; empty for a desk without accounts."""

    assets: Sequence[dg.AssetsDefinition] = ()
    checks: Sequence[dg.AssetChecksDefinition] = ()
    jobs: Sequence[UnresolvedAssetJobDefinition] = ()
    schedules: Sequence[dg.ScheduleDefinition] = ()
    sensors: Sequence[dg.SensorDefinition] = ()


def build_portfolio(settings: Settings, critical_path: UnresolvedAssetJobDefinition, reports: Reports) -> Portfolio:
    """Return deals → orders → fills → positions → balances and risk → reports, their jobs, schedules and sensors."""
    if not settings.accounts:
        return Portfolio()
    assets = _assets(settings)
    risk = build_portfolio_risk(settings, assets[POSITIONS], reports)
    job = {
        TRADING: _job(
            TRADING, assets, (DEALS, ORDERS, FILLS, POSITIONS, BALANCES), "Decide on new signals and send what follows.", 240
        ),
        ORDER_MONITOR: _job(ORDER_MONITOR, assets, (ORDERS, FILLS, POSITIONS), "Compare with the venue, guard, enter.", 120),
        POSITION_MARKS: _job(POSITION_MARKS, assets, (POSITIONS,), "The newest price of each open position.", 120),
        ACCOUNT_BALANCES: _job(ACCOUNT_BALANCES, assets, (POSITIONS, BALANCES), "What each account is worth.", 120, risk.check),
    }
    audit = build_ledger_audit([FILLS, POSITIONS, BALANCES])
    told = build_account_reports(settings, reports, [*(assets[each] for each in (FILLS, POSITIONS, BALANCES)), risk.asset])
    return Portfolio(
        assets=[*assets.values(), risk.asset, audit.asset, *(each.asset for each in told)],
        checks=[risk.check, build_stop_check(settings.guard, assets[POSITIONS])],
        jobs=[*job.values(), risk.job, audit.job, *(each.job for each in told)],
        schedules=[
            build_balances_schedule(job[ACCOUNT_BALANCES]),
            risk.schedule,
            audit.schedule,
            *(each.schedule for each in told),
        ],
        sensors=[
            build_deals_sensor(job[TRADING]),
            build_orders_sensor(job[ORDER_MONITOR]),
            build_positions_sensor(job[POSITION_MARKS], critical_path),
            build_stop_loss_sensor(settings.guard, job[ORDER_MONITOR], assets[POSITIONS]),
        ],
    )


def _assets(settings: Settings) -> dict[str, dg.AssetsDefinition]:
    offered = settings.timeframe_list()
    heard = sorted(
        {rules.timeframe or usual_timeframe(settings.timeframes) for rules in settings.accounts.values()}
        & set(settings.timeframes)
    )
    shortest = min(offered, key=lambda timeframe: timeframe.milliseconds)
    return {
        DEALS: build_account_asset(
            settings,
            DEALS,
            look_at_deals,
            description=(
                "What each account decided on the newest signal of its strategies, once for each signal: a deal with size, stop "
                "and target, or the reason why not. Signals older than two candles are nobody's any more. In alert mode a deal "
                "raises one message, and a person executes it."
            ),
            deps=[f"signals_{timeframe}" for timeframe in heard] + ["market_rules"],
            kinds={"python", "postgres"},
        ),
        ORDERS: build_account_asset(
            settings,
            ORDERS,
            look_at_orders,
            description=(
                "The orders of each account. Materialising compares the account with its venue, guards what is held with stop "
                "and target, and sends the entries that are decided and not sent. Each order is sent once, however often this "
                "is materialised; a paper account sends nothing anywhere."
            ),
            deps=[DEALS],
            kinds={"python", "postgres"},
        ),
        FILLS: build_account_asset(
            settings,
            FILLS,
            look_at_fills,
            description="What was executed, each trade once. Materialising brings in what the venue has and the ledger has not.",
            deps=[ORDERS],
            kinds={"python", "postgres"},
        ),
        POSITIONS: build_account_asset(
            settings,
            POSITIONS,
            look_at_positions,
            description="What each account holds: the sums of its fills, marked with the newest price, with profit and percent.",
            deps=[FILLS, f"ohlcv_{shortest}"],
            kinds={"python", "postgres"},
        ),
        BALANCES: build_account_asset(
            settings,
            BALANCES,
            look_at_balances,
            description=(
                "What each account is worth: cash, positions, margin, the profit of the UTC day and of all time without "
                "deposits, and the time-weighted return; kept for ever."
            ),
            deps=[POSITIONS],
            kinds={"python", "postgres"},
        ),
    }


def _job(
    name: str,
    assets: dict[str, dg.AssetsDefinition],
    chosen: Sequence[str],
    description: str,
    max_runtime: int,
    *checks: dg.AssetChecksDefinition,
) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*(assets[each] for each in chosen)) | dg.AssetSelection.checks(*checks),
        description=description,
        executor_def=dg.in_process_executor,
        tags={**TRADING_TAGS, "dagster/max_runtime": str(max_runtime)},
    )
