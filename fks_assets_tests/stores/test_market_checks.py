"""Check results move `since` only when they turn; a message is written once for each key."""

import pytest

from fks_assets.errors import StoreError
from fks_assets.quant.timeframes import TIMEFRAMES
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
from fks_assets.stores.market_checks import (
    SCANNED,
    Blocked,
    CheckResult,
    MarketCheck,
    read_blocked,
    read_checks,
    record_checks,
    record_scans,
)
from fks_assets.stores.notifications import notify, read_notifications
from fks_assets_tests.stores.tables import BTC, ETH, candle_rows, merge

HOUR = TIMEFRAMES["1h"]


def record(database: Database, reason: str, at_ms: int, name: str = "sane", market=BTC) -> list[MarketCheck]:
    with database.transaction() as connection:
        return record_checks(connection, [CheckResult(market, "1h", name, reason)], at_ms)


def test_since_moves_only_when_a_check_turns(database: Database) -> None:
    turns = [
        ("", 1000, [], 1000),
        ("", 2000, [], 1000),
        ("a spike", 3000, ["sane"], 3000),
        ("two spikes", 4000, [], 3000),
        ("", 5000, [], 5000),
        ("a spike", 6000, ["sane"], 6000),
    ]
    for reason, at_ms, turned, since in turns:
        assert [each.name for each in record(database, reason, at_ms)] == turned
        [check] = read_checks(database)
        assert check == MarketCheck(BTC, "1h", "sane", not reason, reason, since, at_ms)


def test_a_first_result_that_fails_has_turned(database: Database) -> None:
    assert [each.reason for each in record(database, "a gap", 1000, "complete")] == ["a gap"]


def test_results_are_found_by_market_timeframe_and_name(database: Database) -> None:
    record(database, "", 1000)
    record(database, "late", 1000, "fresh", ETH)
    with database.transaction() as connection:
        record_scans(connection, HOUR, {BTC: "c1"}, 1000)
    assert [(each.market, each.name) for each in read_checks(database)] == [(BTC, "sane"), (ETH, "fresh")]
    assert [each.name for each in read_checks(database, [ETH], ["1h"])] == ["fresh"]
    assert [each.reason for each in read_checks(database, names=[SCANNED])] == ["c1"]
    assert read_checks(database, [ETH], ["5m"]) == []


def test_a_market_is_blocked_in_its_newest_month_with_every_failing_check(candle_store: CandleStore, database: Database) -> None:
    record(database, "a spike", 1000)
    assert read_blocked(database, [BTC, ETH], HOUR) == {}, "without candles there is nothing to block"
    merge(candle_store, candle_rows({0: 1.0}), 1000)
    record(database, "late", 2000, "fresh")
    record(database, "", 2000, "complete")
    blocked = read_blocked(database, [BTC, ETH], HOUR)
    assert blocked == {BTC: Blocked("2026-11", {"fresh": "late", "sane": "a spike"})}
    assert str(blocked[BTC]) == "fresh: late; sane: a spike"
    assert read_blocked(database, [ETH], HOUR) == read_blocked(database, [BTC], TIMEFRAMES["5m"]) == {}


def test_a_message_is_written_once_for_each_key(database: Database) -> None:
    with database.transaction() as connection:
        assert notify(connection, "market_check", "WARN", "first words", "key 1")
        assert not notify(connection, "market_check", "HIGH", "other words", "key 1")
        assert notify(connection, "correction", "INFO", "third words", "key 2")
    assert [(each.kind, each.severity, each.message) for each in read_notifications(database)] == [
        ("market_check", "WARN", "first words"),
        ("correction", "INFO", "third words"),
    ]
    assert [each.dedup_key for each in read_notifications(database, ["correction"])] == ["key 2"]


def test_a_message_of_a_rolled_back_transaction_was_never_there(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        notify(connection, "market_check", "WARN", "words", "key")
        raise RuntimeError
    with database.transaction() as connection:
        assert notify(connection, "market_check", "WARN", "words", "key")


def test_an_unknown_severity_is_refused(database: Database) -> None:
    with pytest.raises(StoreError, match="severity_known"), database.transaction() as connection:
        notify(connection, "market_check", "LOUD", "words", "key")
