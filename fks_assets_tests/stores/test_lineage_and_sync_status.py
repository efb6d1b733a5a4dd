"""Lineage is only added to when something differs; a sync status keeps its last success."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from fks_assets.errors import InvalidInput, StoreError
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.stores.database import Database
from fks_assets.stores.lineage import InputRef, RecordedInputs, inputs_history, latest_inputs, record_inputs, record_many
from fks_assets.stores.sync_status import SyncState, SyncUpdate, read_sync, record_sync, record_syncs

BTC = parse_market("BTC-USDT@simulated")
ETH = parse_market("ETH-USDT@simulated")
FIRST = RecordedInputs(
    "signals_1h",
    "BTC-USDT@simulated|2026-11",
    "c1",
    "1",
    "s1",
    "run-1",
    (InputRef("ohlcv_1h", "BTC-USDT@simulated|2026-11", "h1"), InputRef("indicators_1h", "BTC-USDT@simulated|2026-11", "i1")),
    720,
)


def record(database: Database, *records: RecordedInputs) -> None:
    with database.transaction() as connection:
        record_many(connection, records)


def test_what_was_recorded_is_read_back(database: Database) -> None:
    with database.transaction() as connection:
        record_inputs(
            connection,
            asset=FIRST.asset,
            partition=FIRST.partition,
            content_hash="c1",
            code_version="1",
            settings_hash="s1",
            run_id="run-1",
            inputs=FIRST.inputs,
            row_count=720,
        )
        found = latest_inputs(connection, FIRST.asset, [FIRST.partition, "ETH-USDT@simulated|2026-11"])
    assert list(found) == [FIRST.partition]
    assert replace(found[FIRST.partition], recorded_at_ms=None, inputs=()) == replace(FIRST, inputs=())
    assert set(found[FIRST.partition].inputs) == set(FIRST.inputs)
    assert found[FIRST.partition].recorded_at_ms is not None


def test_the_same_again_by_another_run_adds_nothing(database: Database) -> None:
    record(database, FIRST)
    record(database, replace(FIRST, run_id="run-2", inputs=FIRST.inputs[::-1]))
    assert [each.run_id for each in inputs_history(database, FIRST.asset, FIRST.partition)] == ["run-1"]


@pytest.mark.parametrize(
    "change",
    [{"content_hash": "c2"}, {"code_version": "2"}, {"settings_hash": "s2"}, {"inputs": FIRST.inputs[:1]}, {"row_count": 721}],
    ids=lambda change: next(iter(change)),
)
def test_any_difference_adds_a_record_and_keeps_the_old_one(database: Database, change: dict[str, object]) -> None:
    record(database, FIRST)
    record(database, replace(FIRST, run_id="run-2", **change))
    history = inputs_history(database, FIRST.asset, FIRST.partition)
    assert [each.run_id for each in history] == ["run-1", "run-2"]
    assert latest_inputs(database, FIRST.asset, [FIRST.partition])[FIRST.partition] == history[1]


def test_going_back_to_an_earlier_result_is_a_change_too(database: Database) -> None:
    for content in ("c1", "c2", "c1"):
        record(database, replace(FIRST, content_hash=content))
    assert [each.content_hash for each in inputs_history(database, FIRST.asset, FIRST.partition)] == ["c1", "c2", "c1"]


def test_hundreds_of_records_take_one_statement(database: Database) -> None:
    statements: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    many = [replace(FIRST, partition=f"BTC-USDT@simulated|{year}-01") for year in range(1500, 1900)]
    record(database, *many)
    assert len(statements) == 1
    assert len(latest_inputs(database, FIRST.asset, [each.partition for each in many])) == 400


def test_a_rolled_back_transaction_records_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        record_many(connection, [FIRST])
        raise RuntimeError
    assert latest_inputs(database, FIRST.asset, [FIRST.partition]) == {}


def test_an_error_keeps_the_last_success_and_the_next_success_clears_the_error(database: Database) -> None:
    hour = parse_timeframe("1h")
    with database.transaction() as connection:
        record_sync(
            connection, BTC, hour, state=SyncState.COMPLETED, oldest_open=1000, newest_open=2000, total_candles=2, at_ms=5001
        )
        record_sync(connection, BTC, hour, state=SyncState.SYNCING, at_ms=6002)
        record_sync(connection, BTC, hour, state=SyncState.ERROR, error_message="timeout after 15 s", at_ms=7003)
    [failed] = read_sync(database)
    assert (failed.market, failed.timeframe, failed.state) == (BTC, "1h", SyncState.ERROR)
    assert (failed.error_message, failed.last_attempt_at, failed.last_success_at) == ("timeout after 15 s", 7003, 5001)
    assert (failed.oldest_open, failed.newest_open, failed.total_candles) == (1000, 2000, 2)
    with database.transaction() as connection:
        record_sync(connection, BTC, hour, state=SyncState.COMPLETED, newest_open=3000, at_ms=8004)
    [healed] = read_sync(database)
    assert (healed.state, healed.error_message, healed.last_success_at) == (SyncState.COMPLETED, None, 8004)
    assert (healed.oldest_open, healed.newest_open) == (1000, 3000)


def test_statuses_are_found_by_market_and_timeframe(database: Database) -> None:
    with database.transaction() as connection:
        record_syncs(
            connection,
            [SyncUpdate(market, timeframe, SyncState.PENDING, 1) for market in (ETH, BTC) for timeframe in ("5m", "1h")],
        )
    assert [(each.market, each.timeframe) for each in read_sync(database)] == [(BTC, "1h"), (BTC, "5m"), (ETH, "1h"), (ETH, "5m")]
    assert [each.market for each in read_sync(database, markets=[ETH], timeframes=["5m"])] == [ETH]
    assert read_sync(database, markets=[]) == []


def test_an_error_without_words_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput, match="without a reason"), database.transaction() as connection:
        record_sync(connection, BTC, "1h", state=SyncState.ERROR, at_ms=1)
    assert read_sync(database) == []


def test_bounds_in_the_wrong_order_are_refused_by_the_database(database: Database) -> None:
    with pytest.raises(StoreError, match="opens_in_order"), database.transaction() as connection:
        record_sync(connection, BTC, "1h", state=SyncState.COMPLETED, oldest_open=2, newest_open=1, at_ms=1)
