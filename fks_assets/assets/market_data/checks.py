"""Checks on candles: whether every market could be synced, and whether its candles may be traded on."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from fks_assets.clock import now_ms
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

ONLY_ITS_OWN = "A market that fails gives no signals until it passes again; the others trade on."
DESCRIPTIONS = {
    "synced": "No market's last sync ended in an error.",
    "complete": f"No candle that the exchange still gives is missing in a market's look-back. {ONLY_ITS_OWN}",
    "sane": f"No price of the look-back spikes and comes back, and no feed repeats the same candle. {ONLY_ITS_OWN}",
    "fresh": f"The newest candle closed at most two timeframes and five minutes ago. {ONLY_ITS_OWN}",
    "quarantine": f"Every unusable row of the look-back was replaced by a usable candle or taken back. {ONLY_ITS_OWN}",
    "revisions": f"No more candles of the look-back were restated in 24 hours than the settings allow. {ONLY_ITS_OWN}",
}


def build_candle_checks(timeframe: Timeframe) -> list[dg.AssetChecksDefinition]:
    """Return the checks of one timeframe's candles. They judge the markets of the desk, whichever partitions a run covered.

    None of them blocks in Dagster's sense, which would stop the run for every market: the table market_checks stops the signals
    of the markets that fail. A check warns while some markets pass and is an error when none does.
    """
    asset = dg.AssetKey(f"ohlcv_{timeframe}")

    @dg.multi_asset_check(
        name=f"ohlcv_{timeframe}_checks",
        specs=[dg.AssetCheckSpec(name, asset=asset, description=words) for name, words in DESCRIPTIONS.items()],
        can_subset=True,
    )
    def candle_checks(context: dg.AssetCheckExecutionContext, stores: dg.ResourceParam[Stores]):
        chosen = {key.name for key in context.selected_asset_check_keys}
        markets = len(stores.settings.market_list())
        for name, (failing, extra) in _findings(stores, timeframe, chosen).items():
            yield dg.AssetCheckResult(
                passed=not failing,
                check_name=name,
                asset_key=asset,
                severity=dg.AssetCheckSeverity.ERROR if len(failing) == markets else dg.AssetCheckSeverity.WARN,
                metadata={"failing": dict(failing), "markets": markets, **extra},
            )

    return [candle_checks]


def _findings(stores: Stores, timeframe: Timeframe, chosen: set[str]) -> dict[str, tuple[Mapping[str, str], dict[str, Any]]]:
    """Return, for each check that is asked for, the failing markets with their reasons and further metadata."""
    from fks_assets.assets.market_data.quality import AGE_GRACE_MS, judge_markets
    from fks_assets.stores.sync_status import SyncState, read_sync

    markets, quality = stores.settings.market_list(), stores.settings.quality
    found: dict[str, tuple[Mapping[str, str], dict[str, Any]]] = {}
    if "synced" in chosen:
        records = read_sync(stores.database, markets, [timeframe])
        errors = {record.market.key: record.error_message or "" for record in records if record.state is SyncState.ERROR}
        found["synced"] = errors, {}
    if chosen == {"synced"}:
        return found
    verdicts = judge_markets(stores, timeframe, markets, now_ms())
    restated = {verdict.market.key: verdict.restated for verdict in verdicts if verdict.restated}
    look_back = {"look-back [candles]": quality.lookback_candles}
    extra: dict[str, dict[str, Any]] = {
        "complete": look_back,
        "sane": {**look_back, "spike score": quality.spike_score, "stuck candles": quality.stuck_candles},
        "fresh": {"limit [min]": (2 * timeframe.milliseconds + AGE_GRACE_MS) / 60_000},
        "quarantine": look_back,
        "revisions": {"restated in 24 h": restated, "allowed": quality.revisions_per_day},
    }
    for name, metadata in extra.items():
        if name in chosen:
            failing = {verdict.market.key: verdict.failures[name] for verdict in verdicts if name in verdict.failures}
            found[name] = failing, metadata
    return found
