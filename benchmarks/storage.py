"""The candle store against bare Parquet."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Row, compare, paired
from benchmarks.series import START_MS, synthetic_candles
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_of, month_window, months_between
from fks_assets.stores import embedded
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets.stores.database import open_database

MINUTE = 60_000
MARKET = parse_market("BTC-USDT@binance")
ROWS_OF_FIVE_YEARS = 2_629_440


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="fks-bench-") as folder:
        home = Path(folder)
        store = CandleStore(str(home / "candles"), open_database(home, None))
        try:
            yield _read(store, home)
            yield _upsert(store, home)
        finally:
            embedded.stop(home)


def _write(store: CandleStore, partition: PartitionId, candles: Candles) -> None:
    with store.begin([partition]) as transaction:
        transaction.merge(partition, candles_table([(candles, "exchange")]), known_at_ms=START_MS)


def _read(store: CandleStore, home: Path) -> Row:
    candles = synthetic_candles(ROWS_OF_FIVE_YEARS)
    months = months_between(START_MS, int(candles.open_time[-1]) + MINUTE)
    for month in months:
        _write(store, PartitionId("ohlcv", MARKET, "1m", month), candles.between(*month_window(month)))
    heads = store.heads("ohlcv", "1m", [MARKET])
    names = [heads[partition].object_name for partition in sorted(heads)]
    paths = [home / "candles" / str(name) for name in names]

    def bare() -> pa.Table:
        return pa.concat_tables([pq.ParquetFile(path).read() for path in paths])

    def ours() -> pa.Table:
        return store.read_table("ohlcv", MARKET, "1m")

    assert ours().num_rows == bare().num_rows == ROWS_OF_FIVE_YEARS
    return compare("candle read, 2.6M rows of one market: to pyarrow reading the same files", 1.3, *paired(ours, bare))


def _upsert(store: CandleStore, home: Path) -> Row:
    """Three new candles into each of 20 markets that hold 500."""
    markets = [parse_market(f"M{number}-USDT@binance") for number in range(20)]
    candles = synthetic_candles(2_000, 5 * MINUTE)
    month = month_of(START_MS)
    partitions = [PartitionId("ohlcv", market, "5m", month) for market in markets]
    for partition in partitions:
        _write(store, partition, candles.slice(0, 500))
    folder = home / "bare"
    folder.mkdir()
    frame = pd.DataFrame({name: getattr(candles, name) for name in ("open_time", "open", "high", "low", "close", "volume")})
    for market in markets:
        frame[:500].to_parquet(folder / f"{market.key}.parquet", index=False)
    positions = {"ours": 500, "bare": 500}

    def ours() -> None:
        first = positions["ours"]
        positions["ours"] += 3
        fresh = candles_table([(candles.slice(first - 3, first + 3), "exchange")])
        with store.begin(partitions) as transaction:
            for partition in partitions:
                transaction.merge(partition, fresh, known_at_ms=START_MS)

    def bare() -> None:
        first = positions["bare"]
        positions["bare"] += 3
        fresh = frame[first - 3 : first + 3]
        for market in markets:
            path = folder / f"{market.key}.parquet"
            stored = pq.ParquetFile(path).read().to_pandas()
            merged = pd.concat([stored, fresh]).drop_duplicates("open_time", keep="last").sort_values("open_time")
            merged.to_parquet(path, index=False)

    return compare("5-minute upsert, 20 markets: to bare read, merge, write without lock and fsync", 1.5, *paired(ours, bare, 15))
