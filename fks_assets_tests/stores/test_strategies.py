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
    Word,
    certificate_of,
    newest_results,
    other_results,
    read_states,
    record_certificate,
    record_result,
    state_history,
    switch,
)
from fks_assets.stores.verdicts import StoredVerdict, counting_verdict, newest_verdict, record_verdict

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
            record = BacktestRecord(name, day, {"metrics": {"sharpe": 1.5}}, HASH, "c0de", "5e77", content * 64, "run", "5e71")
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


def test_a_verdict_is_kept_once_a_day_and_counts_for_what_it_is_of(database: Database) -> None:
    def judge(day: str, passed: bool, code: str = "c0de", judged: bool = True, settings: str = "5e71") -> None:
        with database.transaction() as connection:
            verdict = StoredVerdict("breakout", day, judged, passed, f"{day} {passed}", code, "5e77", settings, NOON)
            record_verdict(connection, verdict)

    def counts(code: str = "c0de", settings: str = "5e71") -> str | None:
        found = counting_verdict(database, "breakout", code, "5e77", settings)
        return None if found is None else found.reason

    assert newest_verdict(database, "breakout") is None and counts() is None
    for _ in range(2):
        judge("2026-01-02", True)
    judge("2026-01-01", False)
    judge("2026-01-03", False, judged=False)
    judge("2026-01-04", False, code="0ther")
    assert counts() == "2026-01-02 True", "an older day came later, and a newer one was not judged"
    assert (counts(code="0ther"), counts(settings="0ther")) == ("2026-01-04 False", None)
    newest = newest_verdict(database, "breakout")
    assert newest is not None and (newest.day, newest.judged_at) == ("2026-01-04", NOON)
    judge("2026-01-02", False)
    assert counts() == "2026-01-02 False", "judged anew on the same day"
    with database.transaction() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM strategy_verdicts")) == 5
    with pytest.raises(StoreError, match="passed_when_judged"):
        judge("2026-01-05", True, judged=False)


def test_backtests_on_other_settings_stand_beside_each_other(database: Database) -> None:
    def store(day: str, settings: str, content: str) -> bool:
        with database.transaction() as connection:
            record = BacktestRecord("breakout", day, {}, HASH, "c0de", "5e77", content * 64, "run", settings)
            return record_result(connection, record)

    assert store("2026-01-02", "standard", "1") and store("2026-01-02", "tried", "1"), "the same content on other settings"
    assert store("2026-01-02", "standard", "2") and not store("2026-01-02", "tried", "1")
    assert store("2026-01-03", "tried", "3") and store("2026-01-01", "older", "4")
    assert newest_results(database, settings_hash="standard")["breakout"].content_hash[0] == "2"
    assert newest_results(database)["breakout"].content_hash[0] == "3"
    others = other_results(database, "breakout", "standard", "2025-12-31")
    assert [(each.settings_hash, each.day) for each in others] == [("tried", "2026-01-03"), ("older", "2026-01-01")]
    assert [each.settings_hash for each in other_results(database, "breakout", "standard", "2026-01-01")] == ["tried"]


def test_a_persons_word_is_noted_where_the_strategy_is_on_and_ends(database: Database) -> None:
    word = Word(NOON + DAY, "c0de", "5e77")
    with database.transaction() as connection:
        assert switch(connection, "breakout", True, reason="to watch", by="Ada", at_ms=NOON, word=word) is not None
    state = read_states(database)["breakout"]
    assert state.word == word and state.document()["holds_until"] == "2026-01-02T12:00:00Z"
    assert [state.holds("c0de", "5e77", NOON + DAY - 1), state.holds("c0de", "5e77", NOON + DAY)] == [True, False]
    assert not state.holds("0ther", "5e77", NOON) and not state.holds("c0de", "0ther", NOON)
    with pytest.raises(StoreError, match="word_is_whole"), database.transaction() as connection:
        switch(connection, "breakout", False, reason="enough", by="Ada", at_ms=NOON, word=word)
