"""Jobs over the market × month assets, and what their runs share."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

MARKET_DATA_LANE = {"fks/lane": "market-data"}
# What judges strategies is made in the order of launching: parameters, then backtests by them, then the verdicts on those.
RESEARCH_LANE = {"fks/lane": "research"}


@dataclass(frozen=True, slots=True)
class ScheduledAsset:
    """An asset with the job that materialises it alone and the schedule of that job."""

    asset: dg.AssetsDefinition
    job: UnresolvedAssetJobDefinition
    schedule: dg.ScheduleDefinition


def asset_names(prefixes: Sequence[str], timeframes: Sequence[str]) -> list[str]:
    return [f"{prefix}_{timeframe}" for prefix in prefixes for timeframe in timeframes]


def build_jobs(timeframes: Sequence[str]) -> dict[str, UnresolvedAssetJobDefinition]:
    """Return the jobs by name. They share a lane, so that they follow one another instead of fetching the same candle twice."""
    chains = {
        "critical_path": (["ohlcv"], "Candles of every market whose newest candle has closed.", "3", 240),
        "signals": (
            ["ohlcv", "indicators", "signals"],
            "Fresh candles, then indicators, then the signals of every strategy.",
            "2",
            900,
        ),
        "risk": (["ohlcv", "indicators"], "Fresh candles and indicators for the risk figures.", "1", 900),
    }
    return {
        name: dg.define_asset_job(
            name,
            selection=_selection(name, asset_names(prefixes, timeframes)),
            description=description,
            tags={**MARKET_DATA_LANE, "dagster/priority": priority, "dagster/max_runtime": str(max_runtime)},
        )
        for name, (prefixes, description, priority, max_runtime) in chains.items()
    }


def _selection(job: str, names: Sequence[str]) -> dg.AssetSelection:
    """Return the assets with their checks, but without them on the critical path.

    The sync itself judges the markets and stops those that fail: a check only shows it, and to Dagster each costs as much as an
    asset.
    """
    chosen = dg.AssetSelection.assets(*names)
    return chosen.without_checks() if job == "critical_path" else chosen
