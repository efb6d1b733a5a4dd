"""What the web UI shows of a month of indicators or signals."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from fks_assets.assets.market_data.presentation import CHART_CANDLES, exchange_badge
from fks_assets.clock import iso
from fks_assets.quant.charts import candle_chart_svg, indicator_chart_svg, markdown_image
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table, times_from_arrow
from fks_assets.stores.candles import PartitionHead
from fks_assets.stores.lineage import InputRef

ACTIONS = {1: "BUY", -1: "SELL", 0: "HOLD"}
SIGNALS_SHOWN = 5


def derived_metadata(stores: Stores, head: PartitionHead, inputs: Sequence[InputRef]) -> dict[str, Any]:
    """Return the metadata that every derived month has: rows, range, hash and the inputs it was made from."""
    return {
        "dagster/row_count": head.row_count,
        "first candle": iso(head.first_open) or "none",
        "last candle": iso(head.last_open) or "none",
        "content hash": head.content_hash,
        "exchange": exchange_badge(stores),
        "made from": dg.MetadataValue.table(
            [
                dg.TableRecord({"asset": ref.asset, "partition": ref.partition, "content hash": ref.content_hash[:16]})
                for ref in inputs
            ]
        ),
    }


def indicator_chart(stores: Stores, timeframe: Timeframe, head: PartitionHead) -> dg.MarkdownMetadataValue:
    """Return a picture of the newest closes with their means and bands."""
    start, end = _newest_window(head, timeframe)
    market = head.partition.market
    candles = candles_from_table(stores.candles.read_table("ohlcv", market, timeframe.name, start, end))
    table = stores.candles.read_table("indicators", market, timeframe.name, start, end)
    lines = {name: table[name].to_numpy() for name in ("sma_20", "sma_50", "bb_upper", "bb_lower")}
    title = f"{market} {timeframe} {head.partition.month}"
    return dg.MetadataValue.md(markdown_image(indicator_chart_svg(candles, lines, title=title, badge=_badge(stores)), title))


def signal_metadata(stores: Stores, timeframe: Timeframe, heads: Sequence[PartitionHead]) -> dict[str, Any]:
    """Return the newest signal of each strategy, how often each said BUY or SELL, and a picture with the marks of all."""
    market = heads[0].partition.market
    start, end = _newest_window(heads[0], timeframe)
    candles = candles_from_table(stores.candles.read_table("ohlcv", market, timeframe.name, start, end))
    marks = np.zeros(len(candles), np.int8)
    counts: list[dg.TableRecord] = []
    newest: list[dg.TableRecord] = []
    for head in heads:
        partition = head.partition
        table = stores.candles.read_table(partition.dataset, market, timeframe.name, *_window_of(head, timeframe))
        strategy = partition.dataset.removeprefix("signals.")
        action = table["action"].to_numpy()
        times = times_from_arrow(table["open_time"])
        shown = np.isin(candles.open_time, times[action != 0])
        marks[shown] = action[np.isin(times, candles.open_time[shown])]
        buys, sells = int((action > 0).sum()), int((action < 0).sum())
        counts.append(dg.TableRecord({"strategy": strategy, "BUY": buys, "SELL": sells, "HOLD": len(action) - buys - sells}))
        for row in np.flatnonzero(action)[-SIGNALS_SHOWN:][::-1]:
            newest.append(
                dg.TableRecord(
                    {
                        "strategy": strategy,
                        "candle": iso(int(times[row])),
                        "action": ACTIONS[int(action[row])],
                        "confidence": round(table["confidence"][int(row)].as_py(), 3),
                        "reason": table["reason"][int(row)].as_py(),
                    }
                )
            )
    title = f"{market} {timeframe} {heads[0].partition.month}"
    svg = candle_chart_svg(candles, title=title, badge=_badge(stores), signals=marks)
    metadata: dict[str, Any] = {
        "chart": dg.MetadataValue.md(markdown_image(svg, title)),
        "signals": dg.MetadataValue.table(counts),
    }
    if newest:
        metadata["newest signals"] = dg.MetadataValue.table(newest)
    return metadata


def _badge(stores: Stores) -> str | None:
    return "SIMULATED" if stores.settings.is_simulated else None


def _window_of(head: PartitionHead, timeframe: Timeframe) -> tuple[int, int]:
    return head.first_open or 0, (head.last_open or 0) + timeframe.milliseconds


def _newest_window(head: PartitionHead, timeframe: Timeframe) -> tuple[int, int]:
    end = _window_of(head, timeframe)[1]
    return end - CHART_CANDLES * timeframe.milliseconds, end
