"""What the web UI shows of a month of candles."""

from typing import Any

import dagster as dg

from fks_assets.assets.market_data.sync import PartitionSync
from fks_assets.clock import iso, now_ms
from fks_assets.quant.candles import Candles
from fks_assets.quant.charts import candle_chart_svg, markdown_image
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table

CHART_CANDLES = 96
QUARANTINE_ROWS_SHOWN = 10


def ohlcv_metadata(stores: Stores, timeframe: Timeframe, result: PartitionSync) -> dict[str, Any]:
    """Return the metadata of one materialised month."""
    head = result.head
    metadata: dict[str, Any] = {
        "chart": candle_chart(stores, timeframe, result),
        "dagster/row_count": head.row_count,
        "first candle": iso(head.first_open) or "none",
        "last candle": iso(head.last_open) or "none",
        "holes confirmed by the exchange": len(head.confirmed_holes),
        "restated candles": head.revision_count,
        "content hash": head.content_hash,
        "exchange": exchange_badge(stores),
    }
    if head.last_open is not None:
        reference = result.exchange_time_ms or now_ms()
        metadata["age of the newest close [min]"] = round((reference - head.last_open - timeframe.milliseconds) / 60_000, 1)
    if result.change is not None:
        metadata["new candles"] = result.change.inserted
    if result.quarantined:
        metadata["quarantined rows"] = len(result.quarantined)
        metadata["quarantine"] = dg.MetadataValue.table(
            [
                dg.TableRecord({"open time": iso(row.open_time), "values": str(row.values), "reason": row.reason})
                for row in result.quarantined[:QUARANTINE_ROWS_SHOWN]
            ]
        )
    return metadata


def exchange_badge(stores: Stores) -> str:
    """Return the exchange's name; simulated data says so loudly."""
    return "SIMULATED - not real market data" if stores.settings.is_simulated else stores.settings.exchange


def candle_chart(stores: Stores, timeframe: Timeframe, result: PartitionSync) -> dg.MarkdownMetadataValue:
    """Return a picture of the month's newest candles."""
    head, market = result.head, result.partition.market
    end = None if head.last_open is None else head.last_open + timeframe.milliseconds
    start = 0 if end is None else end - CHART_CANDLES * timeframe.milliseconds
    candles: Candles = candles_from_table(stores.candles.read_table("ohlcv", market, timeframe.name, start, end or 0))
    title = f"{market} {timeframe} {result.partition.month}"
    badge = "SIMULATED" if stores.settings.is_simulated else None
    return dg.MetadataValue.md(markdown_image(candle_chart_svg(candles, title=title, badge=badge), title))
