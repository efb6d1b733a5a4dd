"""Parameter sets, states, certificates and backtests of strategies, on a real PostgreSQL: versions stay, writers wait."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from fks_assets.errors import InvalidInput, StoreError
from fks_assets.stores.database import Database
from fks_assets.stores.strategies import parameters_history, read_parameters, remove_parameters, write_parameters
from fks_assets.stores.strategy_records import (
    BacktestRecord,
    StoredCertificate,
    certificate_of,
    newest_results,
    read_states,
    record_certificate,
    record_result,
    state_history,
    switch,
)

NOON = 1_767_268_800_000  # 2026-01-01T12:00Z
DAY = 86_400_000
HASH = "a" * 64


def write(database: Database, value: int, at_ms: int = NOON, name: str = "fast", **options: int):
    with database.transaction() as connection:
        return write_parameters(
            connection, name, "breakout", {"ema_fast": value}, by="Ada", note=f"try {value}", at_ms=at_ms, **options
        )


def test_every_change_of_a_parameter_set_is_a_version_that_says_who_when_and_why(database: Database) -> None:
    """S4.23."""
    assert write(database, 3).version == 1
    assert write(database, 4, NOON + DAY).version == 2
    assert write(database, 4, NOON + 2 * DAY).version == 2, "the same once more is no change"
    with database.transaction() as connection:
        removed = remove_parameters(connection, "fast", by="Grace", note="worse", at_ms=NOON + 3 * DAY)
    assert (removed.version, removed.removed, removed.parameters) == (3, True, {"ema_fast": 4})
    assert write(database, 4, NOON + 4 * DAY).version == 4, "a removed set may come back"
    history = parameters_history(database, "fast")
    assert [(each.version, each.parameters["ema_fast"], each.removed, each.changed_by, each.note) for each in history] == [
        (1, 3, False, "Ada", "try 3"),
        (2, 4, False, "Ada", "try 4"),
        (3, 4, True, "Grace", "worse"),
        (4, 4, False, "Ada", "try 4"),
    ]
    assert [each.changed_at for each in history] == [NOON, NOON + DAY, NOON + 3 * DAY, NOON + 4 * DAY]


def test_the_sets_in_force_at_a_time_are_those_written_by_then(database: Database) -> None:
    write(database, 3)
    write(database, 4, NOON + DAY)
    write(database, 9, NOON + DAY, name="another")
    assert read_parameters(database, NOON - 1) == {}
    assert {name: each.version for name, each in read_parameters(database, NOON).items()} == {"fast": 1}
    assert {name: each.version for name, each in read_parameters(database).items()} == {"another": 1, "fast": 2}


def test_a_clock_set_back_makes_no_version_older_than_the_one_it_replaces(database: Database) -> None:
    write(database, 3)
    assert write(database, 4, NOON - DAY).changed_at == NOON
    assert read_parameters(database, NOON)["fast"].version == 2


def test_what_cannot_be_a_version_is_refused_in_one_line(database: Database) -> None:
    write(database, 3)
    with pytest.raises(InvalidInput, match="'fast' is at version 1 by now, not 0: look at it again"):
        write(database, 4, expected_version=0)
    with (
        pytest.raises(InvalidInput, match="'fast' is one of breakout; choose another name"),
        database.transaction() as connection,
    ):
        write_parameters(connection, "fast", "technical", {}, by="Ada", note="", at_ms=NOON)
    with pytest.raises(InvalidInput, match="'slow' is not stored; stored are fast"), database.transaction() as connection:
        remove_parameters(connection, "slow", by="Ada", note="", at_ms=NOON)
    with pytest.raises(InvalidInput, match="who changes it must be named"), database.transaction() as connection:
        write_parameters(connection, "fast", "breakout", {}, by=" ", note="", at_ms=NOON)
    with pytest.raises(StoreError, match="names_form"):
        write(database, 4, name="Fast!")
    assert [each.version for each in parameters_history(database, "fast")] == [1]


def test_writers_of_one_set_wait_for_each_other_and_every_version_stays(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda value: write(database, value), range(12)))
    history = parameters_history(database, "fast")
    assert [each.version for each in history] == list(range(1, 13))
    assert sorted(each.parameters["ema_fast"] for each in history) == list(range(12))


def test_a_strategy_is_on_until_it_is_switched_off_and_each_turn_is_logged_once(database: Database) -> None:
    def turn(enabled: bool, by: str) -> bool:
        with database.transaction() as connection:
            return switch(connection, "breakout", enabled, reason=f"{by} says so", by=by, at_ms=NOON) is not None

    assert read_states(database) == {}
    assert not turn(True, "Ada"), "it was on"
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda number: turn(False, f"check {number}"), range(8))) == 1
    assert read_states(database, ["breakout"])["breakout"].enabled is False
    assert turn(True, "Ada")
    assert [(each.enabled, each.changed_by[:5]) for each in state_history(database, "breakout")] == [
        (False, "check"),
        (True, "Ada"),
    ]
    with pytest.raises(InvalidInput, match="breakout: the reason must be given, was empty"), database.transaction() as connection:
        switch(connection, "breakout", False, reason="", by="Ada", at_ms=NOON)


def certificate(passed: bool, accused: bool, words: str) -> StoredCertificate:
    return StoredCertificate("breakout", "c0de", "5e77", passed, accused, {"words": words}, NOON)


def test_an_accusation_outlives_every_later_certificate_of_the_same_code_and_parameters(database: Database) -> None:
    """D6: nobody certifies until it passes."""
    found = []
    for each in (
        certificate(False, False, "did not act"),
        certificate(True, False, "honest here"),
        certificate(False, False, "did not act there"),
        certificate(False, True, "looks ahead"),
        certificate(True, False, "honest elsewhere"),
    ):
        with database.transaction() as connection:
            record_certificate(connection, each)
        found.append(certificate_of(database, "breakout", "c0de", "5e77").document["words"])
    assert found == ["did not act", "honest here", "honest here", "looks ahead", "looks ahead"]
    assert certificate_of(database, "breakout", "0ther", "5e77") is None
    assert certificate_of(database, "breakout", "c0de", "0ther") is None
    with pytest.raises(StoreError, match="passed_without_findings"), database.transaction() as connection:
        record_certificate(connection, certificate(True, True, "both"))


def test_a_backtest_is_stored_once_for_each_content_and_the_newest_counts(database: Database) -> None:
    def store(name: str, day: str, content: str) -> bool:
        with database.transaction() as connection:
            record = BacktestRecord(name, day, {"metrics": {"sharpe": 1.5}}, HASH, "c0de", "5e77", content * 64, "run")
            return record_result(connection, record)

    assert store("breakout", "2026-01-02", "1") and not store("breakout", "2026-01-02", "1")
    assert store("breakout", "2026-01-02", "2") and store("breakout", "2026-01-01", "3") and store("technical", "2026-01-01", "4")
    assert {name: each.content_hash[0] for name, each in newest_results(database).items()} == {"breakout": "2", "technical": "4"}
    assert {name: each.day for name, each in newest_results(database, day="2026-01-01").items()} == {
        "breakout": "2026-01-01",
        "technical": "2026-01-01",
    }
    assert newest_results(database, ["technical"])["technical"].document == {"metrics": {"sharpe": 1.5}}
    with database.transaction() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM backtest_results")) == 4
