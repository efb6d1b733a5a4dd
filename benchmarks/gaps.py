"""A scan of half a thousand markets for gaps: from the heads, as the desk does it, and from every stored row."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.desks import desk_of
from benchmarks.measure import Row, absolute, peak_bytes, wall
from benchmarks.series import synthetic_candles
from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.clock import now_ms
from fks_assets.quant.candles import Candles
from fks_assets.quant.ranges import holes_between
from fks_assets.quant.timeframes import month_window, months_between, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.settings import read_settings
from fks_assets.stores import embedded
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.canonical import times_of
from fks_assets.stores.sync_status import SyncState, SyncUpdate, record_syncs

SYMBOLS = [f"M{number:03d}-USDT" for number in range(500)]
HOUR = parse_timeframe("1h")
DAYS = 365
HOLES_OF_A_MARKET = 20
ROUNDS = 3


def run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="fks-bench-") as folder:
        home = Path(folder)
        desk = home / "desk.toml"
        desk.write_text(desk_of(SYMBOLS, ["1h"]), encoding="utf-8")
        settings = read_settings({"FKS_HOME": str(home), "FKS_DESK": str(desk), "FKS_HISTORY_DAYS__1h": str(DAYS)}, home)
        stores = Stores(settings)
        try:
            taken = _fill(stores)
            yield from _scans(stores, taken)
        finally:
            stores.database.engine.dispose()
            embedded.stop(home)


def _fill(stores: Stores) -> int:
    """Store a year of each market but for a few holes, and return how many candles were left out."""
    markets = stores.settings.market_list()
    end = HOUR.floor(now_ms())
    start = end - (DAYS + 1) * 86_400_000
    random = np.random.default_rng(3)
    rows = (end - start) // HOUR.milliseconds
    candles = synthetic_candles(rows, HOUR.milliseconds)
    times = start + HOUR.milliseconds * np.arange(rows, dtype=np.int64)
    taken = 0
    for market in markets:
        keep = np.ones(rows, np.bool_)
        keep[random.choice(np.arange(48, rows - 48), HOLES_OF_A_MARKET, replace=False)] = False
        taken += HOLES_OF_A_MARKET
        columns = (getattr(candles, name)[keep] for name in ("open", "high", "low", "close", "volume"))
        held = Candles(times[keep], *columns)
        months = {PartitionId("ohlcv", market, "1h", month): month_window(month) for month in months_between(start, end)}
        with stores.candles.begin(months) as transaction:
            for partition, window in months.items():
                transaction.merge(partition, candles_table([(held.between(*window), "exchange")]), known_at_ms=end)
            update = SyncUpdate(market, "1h", SyncState.COMPLETED, end, newest_open=int(times[-1]), oldest_open=int(times[0]))
            record_syncs(transaction.connection, [update])
    return taken


def _scans(stores: Stores, taken: int) -> Iterator[Row]:
    markets = stores.settings.market_list()

    def scan() -> int:
        return sum(gap.missing_candles for gap in update_gaps(stores, markets, HOUR))

    def rows() -> int:
        heads = stores.candles.heads("ohlcv", "1h").values()
        missing = 0
        for head in heads:
            times = times_of(stores.candles.read_heads([head]))
            missing += sum(end - start for start, end in holes_between(times, HOUR.milliseconds)) // HOUR.milliseconds
        return missing

    assert scan() == taken, "the scan must find what was left out, and nothing else"
    assert rows() <= taken
    seconds = [wall(scan) for _ in range(ROUNDS)]
    what = f"gap scan, {len(markets)} markets x 1 year x 1h, {HOLES_OF_A_MARKET} holes each, with its records"
    shown = f"every row read instead: {wall(rows):.3g} s"
    yield absolute(what, sorted(seconds)[ROUNDS // 2], 3.0, "s", shown)
    yield absolute(f"{what}: peak memory", peak_bytes(scan) / 2**20, 500.0, "MiB")
