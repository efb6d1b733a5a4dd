"""Sync from the command line: what the ohlcv assets call, summed up by market."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fks_assets.clock import iso, now_ms
from fks_assets.ids import unique_name
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, months_between
from fks_assets.settings import Settings


@dataclass(slots=True)
class MarketSync:
    """What a sync did to one market and timeframe. `newest_open` is ISO, UTC; `error` is None when all went well."""

    market: str
    timeframe: str
    inserted: int = 0
    restated: int = 0
    newest_open: str | None = None
    error: str | None = None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def sync_now(settings: Settings, markets: Sequence[Market], timeframe: Timeframe) -> list[MarketSync]:
    """Bring the desk's history window of these markets up to date, and return one summary a market."""
    from fks_assets.assets.market_data.history import history_start
    from fks_assets.assets.market_data.sync import SyncMode, sync_candles
    from fks_assets.resources.market_data import MarketData
    from fks_assets.resources.stores import Stores

    stores = Stores(settings)
    months = months_between(history_start(settings, timeframe), now_ms() + 1)
    results = sync_candles(
        stores, MarketData(settings, stores), markets, months, timeframe, mode=SyncMode.FOLLOW, run_id=f"cli-{unique_name()}"
    )
    summaries = {market: MarketSync(market.key, timeframe.name) for market in markets}
    newest: dict[Market, int] = {}
    for result in results:
        summary, head = summaries[result.partition.market], result.head
        if result.change is not None:
            summary.inserted += result.change.inserted
            summary.restated += result.change.restated
        if result.error is not None:
            summary.error = str(result.error)
        if head.last_open is not None:
            newest[result.partition.market] = max(newest.get(result.partition.market, 0), head.last_open)
            summary.newest_open = iso(newest[result.partition.market])
    return list(summaries.values())
