"""Five thousand series with gaps, repaired within the exchange's limits: the simulator counts weight and logs every breach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from fks_assets.clock import now_ms
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.settings import PROJECT_ROOT, SHIPPED_DESK
from fks_assets.simulator.inprocess import running_simulator

MARKETS = [f"M{number:04d}-USDT" for number in range(1000)]
ROWS = {"5m": 600, "15m": 200, "1h": 100, "4h": 60, "1d": 30}
DAY_MS = 86_400_000
MOST_MEGABYTES = 1000
REPAIR = """
import json, resource, sys
now = int(sys.argv[1])
import numpy as np
from fks_assets.assets.market_data.repair import RepairOrder, RepairReport, repair_gaps
from fks_assets.definitions import defs
from fks_assets.quant.candles import Candles
from fks_assets.quant.timeframes import month_window, months_between
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.sync_status import SyncState, SyncUpdate, record_syncs
from fks_assets_tests.scenarios.test_many_gaps import ROWS, columns_of, kept_rows

stores, market_data = defs.resources["stores"], defs.resources["market_data"]
taken = 0
for timeframe in stores.settings.timeframe_list():
    for number, market in enumerate(stores.settings.market_list()):
        times, *columns = columns_of(timeframe.name, number, now)
        keep = kept_rows(len(times), number)
        taken += int((~keep).sum())
        candles = Candles(times[keep], *(column[keep] for column in columns))
        months = months_between(int(times[0]), int(times[-1]) + 1)
        partitions = {PartitionId("ohlcv", market, timeframe.name, month): month_window(month) for month in months}
        with stores.candles.begin(partitions) as transaction:
            for partition, window in partitions.items():
                transaction.merge(partition, candles_table([(candles.between(*window), "exchange")]), known_at_ms=now)
            update = SyncUpdate(market, timeframe.name, SyncState.COMPLETED, now, newest_open=int(times[-1]))
            record_syncs(transaction.connection, [update])
report = RepairReport("test", "ALL", [])
for _ in repair_gaps(stores, market_data, RepairOrder("ALL", tuple(stores.settings.timeframe_list()), 3650, 1000), report):
    pass
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({**report.as_dict(), "taken": taken, "peak": peak}))
"""


def columns_of(timeframe: str, number: int, end_ms: int, rows: int | None = None) -> list[np.ndarray]:
    """Return the columns of the newest candles of one series up to a time; the same candle is the same whatever the end."""
    step, rows = parse_timeframe(timeframe).milliseconds, rows or ROWS[timeframe]
    times = (end_ms // step - rows) * step + step * np.arange(rows, dtype=np.int64)
    close = np.round(100 + 10 * np.sin(times / step / 7 + number), 2)
    volume = np.round(5 + 3 * np.cos(times / step / 5), 2)
    return [times, close, close + 0.5, close - 0.5, close, volume]


def kept_rows(rows: int, number: int) -> np.ndarray:
    """Return which rows are stored: a hole near the head, two in the middle, one near the tail."""
    keep = np.ones(rows, np.bool_)
    random = np.random.default_rng(number)
    for first in random.choice(np.arange(1, rows - 8, 6), 4, replace=False):
        keep[first : first + int(random.integers(1, 5))] = False
    return keep


@pytest.mark.nightly
def test_five_thousand_series_with_gaps_are_repaired_without_a_breach_in_bounded_memory(
    tmp_path: Path, private_database_url: str
) -> None:
    now = now_ms()
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for timeframe in ROWS:
        for number, symbol in enumerate(MARKETS):
            rows = list(
                zip(
                    *(
                        column.tolist()
                        for column in columns_of(
                            timeframe,
                            number,
                            now + DAY_MS,
                            rows=ROWS[timeframe] + DAY_MS // parse_timeframe(timeframe).milliseconds + 1,
                        )
                    ),
                    strict=True,
                )
            )
            (recordings / f"{symbol.replace('-', '_')}-{timeframe}.json").write_bytes(orjson.dumps(rows))
    head = SHIPPED_DESK.read_text(encoding="utf-8").split("[[markets]]")[0]
    head = head.replace('timeframes = ["5m", "1h", "1d"]', f"timeframes = {json.dumps(list(ROWS))}")
    markets = "".join(f'[[markets]]\nsymbol = "{symbol}"\ngroup = "alts"\ntier = "TIER1"\n' for symbol in MARKETS)
    desk = tmp_path / "desk.toml"
    desk.write_text(f'{head}{markets}[exchanges.simulated]\ndialect = "binance"\n[strategies.technical]\n', encoding="utf-8")
    with running_simulator(start_ms=now, replay=recordings) as simulator:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("FKS_")},
            "FKS_HOME": str(tmp_path / "home"),
            "FKS_DESK": str(desk),
            "FKS_DATABASE_URL": private_database_url,
            "FKS_EXCHANGES__simulated__url": simulator.url,
            "FKS_SIMULATOR__REPLAY": str(recordings),
            **{f"FKS_HISTORY_DAYS__{timeframe}": "1" for timeframe in ROWS},
        }
        done = subprocess.run(
            [sys.executable, "-c", REPAIR, str(now)],
            cwd=PROJECT_ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        told = json.loads(done.stdout.splitlines()[-1])
        assert simulator.breaches() == []
    assert told["gaps_detected"] == told["gaps_filled"] >= len(MARKETS) * len(ROWS)
    assert (told["total_candles_filled"], told["gaps_failed"], told["errors"]) == (told["taken"], 0, [])
    assert told["peak"] < MOST_MEGABYTES
