"""The whole graph of the shipped desk, written down: whoever changes it changes this picture too."""

from pathlib import Path

import dagster as dg
import pytest

from fks_assets.definitions import build_definitions
from fks_assets.settings import read_settings

TIMEFRAMES = ("5m", "1h", "1d")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder: Path = tmp_path_factory.mktemp("desk")
    return build_definitions(read_settings({}, folder))


def test_each_timeframe_has_candles_then_indicators_then_signals(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.materializable_asset_keys
    }
    candles = sorted(f"ohlcv_{timeframe}" for timeframe in TIMEFRAMES)
    expected: dict[str, list[str]] = {
        "market_rules": [],
        "funding_rates": [],
        "universe": ["market_rules", "ohlcv_1d"],
        "gap_repair": candles,
        "data_completeness": candles,
        "recency_validation": candles,
        "archived_candles": [],
        "old_gap_records": [],
        "store_upkeep": [],
        "strategy_parameters": [],
        "backtests": ["indicators_1h", "market_rules", "ohlcv_1h", "strategy_parameters"],
        "account_backtests": ["indicators_1h", "market_rules", "ohlcv_1h", "strategy_parameters"],
        "strategy_validation": ["backtests"],
        "shadow_branch": ["indicators_1h", "market_rules", "ohlcv_1h"],
        "live_backtest_difference": sorted(
            f"{prefix}_{timeframe}" for prefix in ("ohlcv", "indicators", "signals") for timeframe in TIMEFRAMES
        ),
        "walk_forward": ["indicators_1h", "market_rules", "ohlcv_1h"],
        "trade_ideas": ["market_rules", "signals_1h"],
        "deals": ["market_rules", "signals_1h"],
        "orders": ["deals"],
        "fills": ["orders"],
        "positions": ["fills", "ohlcv_5m"],
        "balances": ["positions"],
        "portfolio_risk": ["ohlcv_1d", "positions"],
        "ledger_audit": ["balances", "fills", "positions"],
        "alerting_health": [],
    }
    for name in ("daily_report", "weekly_report", "monthly_report"):
        expected[name] = ["balances", "fills", "ohlcv_5m", "portfolio_risk", "positions"]
    for timeframe in TIMEFRAMES:
        expected[f"ohlcv_{timeframe}"] = []
        expected[f"indicators_{timeframe}"] = [f"ohlcv_{timeframe}"]
        expected[f"signals_{timeframe}"] = [f"indicators_{timeframe}", f"ohlcv_{timeframe}"]
    assert found == expected


def test_every_asset_says_what_it_is_whose_it_is_and_which_code_made_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description and node.code_version and node.owners, key.to_user_string()


def test_jobs_hold_the_promised_assets_and_schedules_run_from_the_start(definitions: dg.Definitions) -> None:
    held = {
        name: sorted(key.to_user_string() for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys)
        for name in sorted(job.name for job in definitions.jobs or [])
    }
    chain = {prefix: [f"{prefix}_{timeframe}" for timeframe in TIMEFRAMES] for prefix in ("ohlcv", "indicators", "signals")}
    assert held == {
        "critical_path": sorted(chain["ohlcv"]),
        "signals": sorted(chain["ohlcv"] + chain["indicators"] + chain["signals"]),
        "risk": sorted(chain["ohlcv"] + chain["indicators"]),
        "upkeep": ["store_upkeep"],
        "backfill": ["gap_repair"],
        "backfill_tier1": ["gap_repair"],
        "backfill_tier2": ["gap_repair"],
        "completeness": ["data_completeness"],
        "recency": ["recency_validation"],
        "rules": ["market_rules"],
        "funding": ["funding_rates"],
        "daily_universe": ["universe"],
        "archive": ["archived_candles"],
        "gap_upkeep": ["old_gap_records"],
        "parameters": ["strategy_parameters"],
        "backtest": ["backtests"],
        "backtest_accounts": ["account_backtests"],
        "validation": ["strategy_validation"],
        "shadow": ["shadow_branch"],
        "differences": ["live_backtest_difference"],
        "walk_forward_windows": ["walk_forward"],
        "ideas": ["trade_ideas"],
        "trading": ["balances", "deals", "fills", "orders", "positions"],
        "order_monitor": ["fills", "orders", "positions"],
        "position_marks": ["positions"],
        "account_balances": ["balances", "positions"],
        "account_risk": ["portfolio_risk", "positions"],
        "audit": ["ledger_audit"],
        "daily_reports": ["daily_report"],
        "weekly_reports": ["weekly_report"],
        "monthly_reports": ["monthly_report"],
        "alerting": ["alerting_health"],
    }
    schedules = {schedule.name: schedule for schedule in definitions.schedules or []}
    assert {name: (schedule.cron_schedule, schedule.execution_timezone) for name, schedule in schedules.items()} == {
        "critical_path_schedule": ("*/5 * * * *", "UTC"),
        "signals_schedule": ("*/15 * * * *", "UTC"),
        "risk_schedule": ("*/30 * * * *", "UTC"),
        "upkeep_schedule": ("40 * * * *", "UTC"),
        "archive_schedule": ("30 3 * * *", "UTC"),
        "gap_upkeep_schedule": ("0 4 * * 0", "UTC"),
        "rules_schedule": ("20 0 * * *", "UTC"),
        "universe_schedule": ("25 0 * * *", "UTC"),
        "funding_schedule": ("7 * * * *", "UTC"),
        "backfill_tier1_schedule": ("0 2 * * *", "UTC"),
        "backfill_tier2_schedule": ("15 3 * * *", "UTC"),
        "completeness_schedule": ("0 8 * * *", "UTC"),
        "recency_schedule": ("25 * * * *", "UTC"),
        "parameters_schedule": ("5 0 * * *", "UTC"),
        "backtest_schedule": ("10 0 * * *", "UTC"),
        "backtest_accounts_schedule": ("25 0 * * *", "UTC"),
        "validation_schedule": ("0 1 * * *", "UTC"),
        "differences_schedule": ("30 0 * * *", "UTC"),
        "walk_forward_schedule": ("40 0 1 * *", "UTC"),
        "account_balances_schedule": ("*/15 * * * *", "UTC"),
        "account_risk_schedule": ("*/30 * * * *", "UTC"),
        "audit_schedule": ("30 1 * * *", "UTC"),
        "daily_reports_schedule": ("30 23 * * *", "UTC"),
        "weekly_reports_schedule": ("0 8 * * 1", "UTC"),
        "monthly_reports_schedule": ("0 8 1 * *", "UTC"),
        "alerting_schedule": ("3-59/10 * * * *", "UTC"),
    }
    assert {schedule.default_status for schedule in schedules.values()} == {dg.DefaultScheduleStatus.RUNNING}
    assert {sensor.name: sensor.default_status for sensor in definitions.sensors or []} == {
        "gap_sensor": dg.DefaultSensorStatus.RUNNING,
        "ideas_sensor": dg.DefaultSensorStatus.RUNNING,
        "ideas_after_failure_sensor": dg.DefaultSensorStatus.RUNNING,
        "deals_sensor": dg.DefaultSensorStatus.RUNNING,
        "orders_sensor": dg.DefaultSensorStatus.RUNNING,
        "positions_sensor": dg.DefaultSensorStatus.RUNNING,
        "stop_loss": dg.DefaultSensorStatus.RUNNING,
        "outbox_sensor": dg.DefaultSensorStatus.RUNNING,
        "run_failures_sensor": dg.DefaultSensorStatus.RUNNING,
        "liveness_sensor": dg.DefaultSensorStatus.RUNNING,
    }


def test_the_code_server_can_load_everything_by_its_name(definitions: dg.Definitions) -> None:
    """A job may not be called like an asset: Dagster finds that out only when a server loads the repository."""
    definitions.get_repository_def().load_all_definitions()


def test_partitions_are_markets_times_months_with_the_open_month(definitions: dg.Definitions) -> None:
    keys = definitions.resolve_asset_graph().get(dg.AssetKey("ohlcv_1h")).partitions_def.get_partition_keys()
    assert "BTC-USDT@simulated|2023-01" in keys and len({key.split("|")[0] for key in keys}) == 10
