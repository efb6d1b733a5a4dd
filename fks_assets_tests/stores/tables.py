"""Small tables, and short ways to merge them, for the tests of the candle store."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_window
from fks_assets.stores.candles import CandleStore, Change, PartitionHead, PartitionId

BTC = parse_market("BTC-USDT@simulated")
ETH = parse_market("ETH-USDT@simulated")
HOUR = 3_600_000
NOVEMBER = month_window("2026-11")[0]
OCTOBER = month_window("2026-10")[0]
TIME = pa.timestamp("ms", tz="UTC")
PARTITION = PartitionId("ohlcv", BTC, "1h", "2026-11")


def candle_rows(closes: Mapping[int, float], start_ms: int = NOVEMBER, source: str = "exchange") -> pa.Table:
    """Return hourly candles with the given closes; keys count hours from `start_ms`."""
    hours = sorted(closes)
    values = [closes[hour] for hour in hours]
    return pa.table(
        {
            "open_time": pa.array([start_ms + hour * HOUR for hour in hours], TIME),
            **{name: pa.array(values, pa.float64()) for name in ("open", "high", "low", "close", "volume")},
            "source": pa.array([source] * len(hours), pa.string()).dictionary_encode(),
            "is_synthetic": pa.array([False] * len(hours), pa.bool_()),
        }
    )


def columns_at(hours: Iterable[int], **columns: Any) -> pa.Table:
    """Return a table of other columns than a candle's."""
    return pa.table({"open_time": pa.array([NOVEMBER + hour * HOUR for hour in hours], TIME), **columns})


def closes_of(table: pa.Table, start_ms: int = NOVEMBER) -> dict[int, float]:
    """Return close by hour, the inverse of `candle_rows`."""
    hours = [(time - start_ms) // HOUR for time in times(table)]
    assert len(set(hours)) == len(hours)
    return dict(zip(hours, table["close"].to_pylist(), strict=True))


def times(table: pa.Table, name: str = "open_time") -> list[int]:
    return table[name].cast(pa.int64()).to_pylist()


def merge(
    store: CandleStore,
    table: pa.Table,
    known_at_ms: int,
    partition: PartitionId = PARTITION,
    *,
    replacing: bool = False,
    holes: list[tuple[int, int]] | None = None,
) -> Change:
    """Merge into one partition in a transaction of its own."""
    with store.begin([partition]) as transaction:
        return transaction.merge(partition, table, known_at_ms=known_at_ms, replace=replacing, confirmed_holes=holes)


def head_of(store: CandleStore, partition: PartitionId = PARTITION) -> PartitionHead | None:
    """Return the stored head of a partition."""
    return store.heads(partition.dataset, partition.timeframe, [partition.market], [partition.month]).get(partition)


def object_names(store: CandleStore) -> list[str]:
    """Return the names of all files below the root."""
    return sorted(str(path.relative_to(store.root)) for path in Path(store.root).rglob("*") if path.is_file())
