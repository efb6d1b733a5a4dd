"""Real processes write the same partitions at the same time and are killed in the middle; nothing is lost, doubled or torn."""

import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fks_assets.quant.markets import parse_market
from fks_assets.stores import embedded
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets.stores.database import Database
from fks_assets_tests.stores.processes import child, line_of
from fks_assets_tests.stores.tables import BTC, NOVEMBER, candle_rows, times

MINUTE = 60_000
WRITING_SECONDS = float(os.environ.get("TEST_WRITING_SECONDS", "2"))

SETUP = (
    f"""
START = {NOVEMBER}
"""
    + """
import json, random, sys, time
import pyarrow as pa
from fks_assets.quant.markets import parse_market
from fks_assets.stores.candles import CandleStore, PartitionId
from fks_assets.stores.database import Database
from fks_assets.errors import StoreError

MINUTE = 60_000
url, root, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = CandleStore(root, Database(url))
BTC = parse_market("BTC-USDT@simulated")

def rows(minutes, value):
    minutes = sorted(minutes)
    return pa.table({
        "open_time": pa.array([START + minute * MINUTE for minute in minutes], pa.timestamp("ms", tz="UTC")),
        "close": pa.array([float(value)] * len(minutes)),
    })
"""
)

# Each writer has minutes of its own, all fight for the first hundred. A printed line is a promise that its rows are stored.
RIVAL = (
    SETUP
    + """
partition = PartitionId("ohlcv", BTC, "1m", "2026-11")
drawn = random.Random(number)
own = 1000 + number * 10_000
inserted = restated = writes = 0
print("started", flush=True)
sys.stdin.readline()
until = time.monotonic() + float(sys.argv[4])
while time.monotonic() < until or writes < 10:
    fresh = range(own, own + drawn.randint(1, 20))
    own = fresh.stop
    shared = set(drawn.sample(range(100), 5))
    with store.begin([partition]) as transaction:
        change = transaction.merge(partition, rows(shared | set(fresh), number * 1_000_000 + writes), known_at_ms=START + writes)
    inserted, restated, writes = inserted + change.inserted, restated + change.restated, writes + 1
print(json.dumps([inserted, restated, writes, own]), flush=True)
"""
)


def seconds_of_writing() -> list[object]:
    return [pytest.param(WRITING_SECONDS, id="short"), pytest.param(30.0, id="30 s", marks=pytest.mark.nightly)]


@pytest.mark.parametrize("seconds", seconds_of_writing())
def test_two_processes_that_write_one_month_lose_and_double_nothing(
    candle_store: CandleStore, database: Database, seconds: float
) -> None:
    arguments = (database.url, candle_store.root)
    with child(RIVAL, *arguments, "1", str(seconds)) as first, child(RIVAL, *arguments, "2", str(seconds)) as second:
        rivals = (first, second)
        assert [line_of(rival) for rival in rivals] == ["started", "started"]
        for rival in rivals:
            rival.stdin.write("go\n")
            rival.stdin.flush()
        said = [json.loads(line_of(rival)) for rival in rivals]
    inserted, restated, writes, ends = (list(each) for each in zip(*said, strict=True))
    table = candle_store.read_table("ohlcv", BTC, "1m")
    minutes = [(time_ - NOVEMBER) // MINUTE for time_ in times(table)]
    assert min(writes) >= 10
    assert len(set(minutes)) == len(minutes)
    expected = {minute for number, end in ((1, ends[0]), (2, ends[1])) for minute in range(1000 + number * 10_000, end)}
    assert expected == {minute for minute in minutes if minute >= 1000}
    assert sum(inserted) == len(minutes)
    partition = PartitionId("ohlcv", BTC, "1m", "2026-11")
    assert sum(restated) == candle_store.revisions(partition).num_rows
    for minute, close in zip(minutes, table["close"].to_pylist(), strict=True):
        owner = int(close) // 1_000_000
        assert owner in (1, 2)
        assert minute < 1000 or owner == (minute - 1000) // 10_000


DATASETS = ("ohlcv", "indicators", "signals.technical")
# Every write gives the same rows of three partitions its own number. A printed number is committed.
VICTIM = (
    SETUP
    + """
partitions = [PartitionId(dataset, BTC, "1m", "2026-11") for dataset in ("ohlcv", "indicators", "signals.technical")]
print("started", flush=True)
while True:
    number += 1
    with store.begin(partitions) as transaction:
        for partition in partitions:
            transaction.merge(partition, rows(range(500), number), known_at_ms=START + number, replace=True)
    print(number, flush=True)
"""
)


@pytest.mark.parametrize("kills", [pytest.param(5, id="5 kills"), pytest.param(20, id="20 kills", marks=pytest.mark.nightly)])
def test_a_kill_in_the_middle_of_a_write_leaves_the_old_or_the_new_state_everywhere(
    candle_store: CandleStore, database: Database, kills: int
) -> None:
    drawn = random.Random(20261121)
    promised = 0
    for _ in range(kills):
        with child(VICTIM, database.url, candle_store.root, str(promised)) as victim:
            assert line_of(victim) == "started"
            promised = int(line_of(victim))
            time.sleep(drawn.random() * 0.15)
            victim.send_signal(signal.SIGKILL)
            rest, _ = victim.communicate()
            promised = max([promised, *(int(line) for line in rest.split())])
        found = set()
        for dataset in DATASETS:
            table = candle_store.read_table(dataset, BTC, "1m")
            assert table.num_rows == 500
            found |= set(table["close"].to_pylist())
        assert len(found) == 1, f"torn: {sorted(found)}"
        assert found.pop() in (promised, promised + 1)
    candle_store.sweep(-10)
    heads = [head for dataset in DATASETS for head in candle_store.heads(dataset, "1m").values()]
    named = {name for head in heads for name in (head.object_name, head.revisions_name)}
    assert {str(path.relative_to(candle_store.root)) for path in Path(candle_store.root).rglob("*.parquet")} == named


def test_a_killed_database_loses_nothing_that_it_had_confirmed(
    postgres_home: Path, candle_store: CandleStore, database: Database
) -> None:
    with child(VICTIM, database.url, candle_store.root, "0") as victim:
        assert line_of(victim) == "started"
        promised = int(line_of(victim))
        os.kill(embedded.status(postgres_home).server_pid or 0, signal.SIGKILL)
        rest, said = victim.communicate(timeout=60)
        promised = max([promised, *(int(line) for line in rest.split())])
        assert "StoreError: database:" in said
    embedded.ensure_running(postgres_home)
    for dataset in DATASETS:
        assert set(candle_store.read_table(dataset, BTC, "1m")["close"].to_pylist()) <= {promised, promised + 1}


def test_writers_of_overlapping_sets_in_any_order_never_wait_in_a_circle(candle_store: CandleStore, database: Database) -> None:
    partitions = [PartitionId("ohlcv", parse_market(f"C{number}-USDT@simulated"), "1h", "2026-11") for number in range(8)]

    def write(writer: int) -> None:
        drawn = random.Random(writer)
        for turn in range(15):
            chosen = drawn.sample(partitions, 5)
            with candle_store.begin(chosen) as transaction:
                for partition in chosen:
                    transaction.merge(partition, candle_rows({writer * 100 + turn: 1.0}), known_at_ms=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert sum(head.row_count for head in candle_store.heads("ohlcv", "1h").values()) == 4 * 15 * 5
