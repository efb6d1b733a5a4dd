"""Checks on candles: whether every market could be synced, and how old the newest candle is."""

import dagster as dg

from fks_assets.clock import now_ms
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

AGE_GRACE_MS = 5 * 60_000


def build_candle_checks(timeframe: Timeframe) -> list[dg.AssetChecksDefinition]:
    """Return the checks of one timeframe's candles. They judge the markets of the desk, whichever partitions a run covered."""
    asset = f"ohlcv_{timeframe}"

    @dg.asset_check(asset=asset, name="synced", description="No market's last sync ended in an error.")
    def synced(stores: dg.ResourceParam[Stores]) -> dg.AssetCheckResult:
        from fks_assets.stores.sync_status import SyncState, read_sync

        records = read_sync(stores.database, stores.settings.market_list(), [timeframe])
        errors = {record.market.key: record.error_message or "" for record in records if record.state is SyncState.ERROR}
        return dg.AssetCheckResult(passed=not errors, severity=dg.AssetCheckSeverity.WARN, metadata={"errors": errors})

    @dg.asset_check(
        asset=asset, name="fresh", description="The newest candle closed at most two timeframes and five minutes ago."
    )
    def fresh(stores: dg.ResourceParam[Stores]) -> dg.AssetCheckResult:
        from fks_assets.stores.sync_status import read_sync

        limit = 2 * timeframe.milliseconds + AGE_GRACE_MS
        now = now_ms()
        records = {record.market: record for record in read_sync(stores.database, stores.settings.market_list(), [timeframe])}
        late: dict[str, str] = {}
        for market in stores.settings.market_list():
            newest = records[market].newest_open if market in records else None
            age = None if newest is None else now - newest - timeframe.milliseconds
            if age is None or age > limit:
                late[market.key] = "no candles" if age is None else f"{age / 60_000:.0f} min"
        return dg.AssetCheckResult(
            passed=not late, severity=dg.AssetCheckSeverity.WARN, metadata={"late": late, "limit [min]": limit / 60_000}
        )

    return [synced, fresh]
