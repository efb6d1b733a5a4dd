"""What the web UI shows of a month of indicators or signals."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from fks_assets.assets.analysis.write import Derived
from fks_assets.assets.market_data.presentation import CHART_CANDLES, exchange_badge
from fks_assets.clock import iso
from fks_assets.quant.candles import Candles
from fks_assets.quant.charts import candle_chart_svg, indicator_chart_svg, markdown_image
from fks_assets.quant.timeframes import parse_timeframe
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


def indicator_metadata(stores: Stores, derived: Derived) -> dict[str, Any]:
    """Return a picture of the newest closes with their means and bands."""
    head = derived.heads[0]
    candles, start, end = _newest_candles(stores, head)
    market, timeframe = head.partition.market, head.partition.timeframe
    table = stores.candles.read_table("indicators", market, timeframe, start, end)
    times = times_from_arrow(table["open_time"])
    lines = {name: _on(candles.open_time, times, table[name].to_numpy()) for name in ("sma_20", "sma_50", "bb_upper", "bb_lower")}
    title = _title(head)
    return {"chart": _picture(indicator_chart_svg(candles, lines, title=title, badge=_badge(stores)), title)}


def signal_metadata(stores: Stores, derived: Derived) -> dict[str, Any]:
    """Return the newest signal of each strategy, how often each said BUY or SELL, and a picture with the marks of all."""
    heads = derived.heads
    candles, _, _ = _newest_candles(stores, heads[0])
    marks = np.zeros(len(candles), np.int8)
    counts: list[dg.TableRecord] = []
    newest: list[dg.TableRecord] = []
    for head in heads:
        table = stores.candles.read_heads([head])
        strategy = head.partition.dataset.removeprefix("signals.")
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
    title = _title(heads[0])
    svg = candle_chart_svg(candles, title=title, badge=_badge(stores), signals=marks)
    metadata: dict[str, Any] = {
        "chart": _picture(svg, title),
        "signals": dg.MetadataValue.table(counts),
    }
    if newest:
        metadata["newest signals"] = dg.MetadataValue.table(newest)
    return metadata


def _badge(stores: Stores) -> str | None:
    return "SIMULATED" if stores.settings.is_simulated else None


def _on(candle_times: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values at the times of the candles; NaN where a neighbouring month has no indicators yet."""
    placed = np.full(len(candle_times), np.nan)
    placed[np.isin(candle_times, times)] = values[np.isin(times, candle_times)]
    return placed


def _title(head: PartitionHead) -> str:
    return f"{head.partition.market} {head.partition.timeframe} {head.partition.month}"


def _picture(svg: str, title: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(markdown_image(svg, title))


def _newest_candles(stores: Stores, head: PartitionHead) -> tuple[Candles, int, int]:
    """Return the candles that a picture of a month shows, and the half-open range of times that they are from."""
    timeframe = parse_timeframe(head.partition.timeframe)
    end = (head.last_open or 0) + timeframe.milliseconds
    start = end - CHART_CANDLES * timeframe.milliseconds
    table = stores.candles.read_table("ohlcv", head.partition.market, timeframe.name, start, end)
    return candles_from_table(table), start, end
