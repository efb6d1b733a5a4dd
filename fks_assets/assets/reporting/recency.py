"""Hourly: which markets miss recent candles, and one message each time that set changes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from fks_assets.assets.events import final_errors
from fks_assets.assets.jobs import MARKET_DATA_LANE, ScheduledAsset
from fks_assets.quant.counting import counted
from fks_assets.resources.stores import Stores
from fks_assets.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

KIND = "recency"
MARKETS_NAMED = 10
HOUR_MS = 3_600_000


def build_recency_validation(settings: Settings) -> ScheduledAsset:
    """Return the asset, its job and its schedule; runs without configuration look at daily candles of TIER1 and TIER2."""
    watched = ["TIER1", "TIER2"]
    offered = [timeframe.seconds // 60 for timeframe in settings.timeframe_list()]

    class RecencyConfig(dg.Config):
        """A market is late when its newest candle closed this many hours or more before the last one that it should have."""

        hours: float = 24.0
        interval_minutes: int = 1440 if 1440 in offered else max(offered)
        tiers: list[str] = watched

    @dg.asset(
        description=(
            "Markets whose newest stored candle lies too far behind the last candle that should be there. One message each time "
            "the set of late markets changes, and one when it is empty again."
        ),
        group_name="reporting",
        kinds={"postgres"},
        owners=["team:market-data"],
        code_version="1",
        deps=[f"ohlcv_{timeframe}" for timeframe in settings.timeframes],
    )
    def recency_validation(
        context: dg.AssetExecutionContext, config: RecencyConfig, stores: dg.ResourceParam[Stores]
    ) -> dg.MaterializeResult:
        from fks_assets.clock import now_ms

        with final_errors():
            document = late_markets(stores, config.tiers, config.interval_minutes, config.hours, now_ms())
        late = document["assets_missing_data"]
        with stores.database.transaction() as connection:
            told = tell_change(connection, late)
        if late:
            context.log.warning(alert_text(late))
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.json(document),
                "assets checked": document["assets_checked"],
                "assets missing data": len(late),
                "message": alert_text(late) if late else "every asset has recent data",
                "message written": told,
            }
        )

    job = dg.define_asset_job(
        "recency",
        selection=[recency_validation],
        description="Looks for markets without recent candles.",
        tags={**MARKET_DATA_LANE, "dagster/priority": "-1", "dagster/max_runtime": "300"},
    )
    schedule = dg.ScheduleDefinition(
        name="recency_schedule",
        job=job,
        cron_schedule="25 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The recency of the daily candles of TIER1 and TIER2, every hour.",
    )
    return ScheduledAsset(recency_validation, job, schedule)


def late_markets(stores: Stores, tiers: Sequence[str], interval_minutes: int, hours: float, at_ms: int) -> dict[str, Any]:
    """Return the markets that are late at a time, the latest first, in the shape of S5.6.

    `hours_behind` counts from the close of the newest stored candle to the close of the last one expected, so that a market that
    has all its candles is 0 hours behind at any time of day; without any candle it counts the whole expected history.
    Raises InvalidInput for an unknown tier or interval, and for hours that are not positive.
    """
    from fks_assets.assets.market_data.gap_ledger import expected_window
    from fks_assets.assets.market_data.repair import markets_of_tier, order_timeframes
    from fks_assets.assets.reporting.series import heads_by_market
    from fks_assets.clock import iso
    from fks_assets.errors import InvalidInput

    if not hours > 0:
        raise InvalidInput(f"hours {hours:g} is not above 0")
    (timeframe,) = order_timeframes(stores, [interval_minutes])
    tier_of = {market: tier for tier in dict.fromkeys(tiers) for market in markets_of_tier(stores, tier)}
    markets = [market for market in stores.settings.market_list() if market in tier_of]
    late: list[dict[str, Any]] = []
    heads = stores.candles.heads("ohlcv", timeframe.name, markets)
    for market, mine in heads_by_market(heads, markets).items():
        start, end = expected_window(stores, market, timeframe, mine, at_ms)
        newest = max((head.last_open for head in mine.values() if head.last_open is not None), default=None)
        behind = (end - (start if newest is None else newest + timeframe.milliseconds)) / HOUR_MS
        if behind >= hours:
            late.append(
                {
                    "ticker": f"{market.base}-{market.quote}",
                    "tier": stores.settings.market_settings(market).tier,
                    "last_timestamp": iso(newest),
                    "hours_behind": round(behind, 2),
                }
            )
    late.sort(key=lambda entry: (-entry["hours_behind"], entry["ticker"]))
    return {"assets_checked": len(markets), "interval_minutes": interval_minutes, "assets_missing_data": late}


def alert_text(late: Sequence[Mapping[str, Any]]) -> str:
    """Return the words of S5.15."""
    named = ", ".join(f"{entry['ticker']}: {entry['hours_behind']:.0f}h behind" for entry in late[:MARKETS_NAMED])
    more = f" and {len(late) - MARKETS_NAMED} more" if len(late) > MARKETS_NAMED else ""
    return f"⚠️ {counted(len(late), 'asset')} missing recent data: {named}{more}"


def tell_change(connection: "sa.Connection", late: Sequence[Mapping[str, Any]]) -> bool:
    """Write a message if the set of late markets is not the one last told, and return whether one was written.

    The key of a message names its set and the message before it: two runs at once write one, and a set that comes back is told
    again.
    """
    from sqlalchemy import text

    from fks_assets.ids import stable_id
    from fks_assets.stores.notifications import notify

    newest = connection.execute(
        text("SELECT id, dedup_key FROM notifications WHERE kind = :kind ORDER BY id DESC LIMIT 1"), {"kind": KIND}
    ).one_or_none()
    told = "none" if newest is None else newest.dedup_key.split(":")[1]
    now = stable_id(*sorted(entry["ticker"] for entry in late)) if late else "none"
    if now == told:
        return False
    before = 0 if newest is None else newest.id
    words = alert_text(late) if late else "✅ every asset has recent data again"
    return notify(connection, KIND, "WARN" if late else "INFO", words, f"{KIND}:{now}:{before}")
