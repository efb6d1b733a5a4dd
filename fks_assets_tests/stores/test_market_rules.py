"""Trading rules are stored once for each time they changed and are read as they were known at any moment (D11)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import parse_market
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.database import Database
from fks_assets.stores.market_rules import (
    MarketRules,
    MarketStatus,
    RulesChange,
    all_rules_as_of,
    record_rules,
    rules_as_of,
    rules_history,
)
from fks_assets_tests.amounts import tries

DAY = 86_400_000
BTC, LUNA = parse_market("BTC-USDT@binance"), parse_market("LUNA-USDT@binance")
RULES = MarketRules(
    LUNA,
    MarketStatus.TRADING,
    tick_size=Decimal("0.0001"),
    lot_size=Decimal("0.01"),
    min_quantity=Decimal("0.01"),
    max_quantity=Decimal("900000"),
    min_notional=Decimal("10"),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
)
GONE = MarketRules(LUNA, MarketStatus.DELISTED)


def at(text: str) -> int:
    return parse_time("test", "at", f"{text}T00:20:00Z")


def record(database: Database, rules: MarketRules, at_ms: int) -> list[RulesChange]:
    with database.transaction() as connection:
        return record_rules(connection, [rules], at_ms)


def test_a_symbol_delisted_in_2022_has_its_rules_as_of_2021_and_is_delisted_after(database: Database) -> None:
    """D11."""
    record(database, RULES, at("2021-02-01"))
    record(database, replace(RULES, tick_size=Decimal("0.001")), at("2021-11-05"))
    record(database, GONE, at("2022-05-13"))
    assert rules_as_of(database, LUNA, at("2020-12-31")) is None
    assert rules_as_of(database, LUNA, at("2021-06-01")) == RULES
    assert rules_as_of(database, LUNA, at("2021-11-05") - 1) == RULES
    assert rules_as_of(database, LUNA, at("2021-11-05")).tick_size == Decimal("0.001")
    assert rules_as_of(database, LUNA, at("2022-05-12")).status is MarketStatus.TRADING
    for day in ("2022-05-13", "2023-01-01", "2026-11-21"):
        assert rules_as_of(database, LUNA, at(day)) == GONE
    assert rules_as_of(database, BTC, at("2021-06-01")) is None


def test_a_row_is_added_only_when_the_content_changed(database: Database) -> None:
    """The same rules seen again move `last_seen_at`; 5 and 5.00 are the same rule."""
    first = record(database, RULES, at("2021-02-01"))
    assert first == [RulesChange(None, RULES)]
    assert record(database, replace(RULES, min_notional=Decimal("10.000")), at("2021-02-02")) == []
    assert record(database, RULES, at("2021-02-03")) == []
    changed = replace(RULES, min_notional=Decimal("5"), status=MarketStatus.HALTED)
    (change,) = record(database, changed, at("2021-02-04"))
    assert change.changed == {"status": ("trading", "halted"), "min_notional": ("10", "5")}
    history = rules_history(database, LUNA)
    assert [(each.valid_from, each.last_seen_at) for each in history] == [
        (at("2021-02-01"), at("2021-02-03")),
        (at("2021-02-04"), at("2021-02-04")),
    ]
    assert history == [RULES, changed]


def test_every_number_comes_back_exactly(database: Database) -> None:
    exact = replace(
        RULES,
        tick_size=Decimal("0.000000000000000001"),
        max_quantity=Decimal("99999999999999999999"),
        maker_fee=Decimal("-0.00005"),
    )
    record(database, exact, at("2021-02-01"))
    stored = rules_as_of(database, LUNA, at("2021-02-01"))
    assert stored == exact and stored.content_hash == exact.content_hash
    assert stored.document() == {
        "market": "LUNA-USDT@binance",
        "status": "trading",
        "tick_size": "0.000000000000000001",
        "lot_size": "0.01",
        "min_quantity": "0.01",
        "max_quantity": "99999999999999999999",
        "min_notional": "10",
        "maker_fee": "-0.00005",
        "taker_fee": "0.001",
        "valid_from": "2021-02-01T00:20:00Z",
        "last_seen_at": "2021-02-01T00:20:00Z",
    }


def test_rules_that_come_and_go_have_a_row_for_each_time(database: Database) -> None:
    halted = replace(RULES, status=MarketStatus.HALTED)
    for day, rules in (("2021-02-01", RULES), ("2021-02-02", halted), ("2021-02-03", RULES)):
        record(database, rules, at(day))
    assert rules_history(database, LUNA) == [RULES, halted, RULES]


def test_snapshots_may_arrive_in_any_order_but_may_not_contradict_each_other(database: Database) -> None:
    record(database, RULES, at("2021-02-05"))
    record(database, RULES, at("2021-02-09"))
    assert record(database, RULES, at("2021-02-01")) == []
    assert [each.valid_from for each in rules_history(database, LUNA)] == [at("2021-02-01")]
    old = replace(RULES, lot_size=Decimal("1"))
    record(database, old, at("2021-01-01"))
    assert rules_history(database, LUNA) == [old, RULES]
    with pytest.raises(InvalidInput, match=r"LUNA-USDT@binance seen at 2021-02-06.* contradict those stored for 2021-02-01"):
        record(database, old, at("2021-02-06"))
    with pytest.raises(InvalidInput, match="given twice"), database.transaction() as connection:
        record_rules(connection, [RULES, GONE], at("2022-01-01"))
    assert rules_history(database, LUNA) == [old, RULES]


def test_what_is_recorded_belongs_to_the_callers_transaction(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        record_rules(connection, [RULES], at("2021-02-01"))
        assert rules_as_of(connection, LUNA, at("2021-02-01")) == RULES
        raise ZeroDivisionError
    assert rules_as_of(database, LUNA, at("2021-02-01")) is None


def test_many_writers_of_the_same_rules_leave_one_row(database: Database) -> None:
    """Whatever the order in which eight processes see a market's rules, there is one row a content."""

    def write(number: int) -> None:
        for day in range(10):
            rules = [replace(RULES, market=market, lot_size=Decimal(1 + day // 5)) for market in (LUNA, BTC)[:: (-1) ** number]]
            with database.transaction() as connection:
                try:
                    record_rules(connection, rules, at("2021-02-01") + day * DAY + number)
                except InvalidInput:
                    connection.rollback()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    for market in (LUNA, BTC):
        assert [rules.lot_size for rules in rules_history(database, market)] == [Decimal(1), Decimal(2)]
    with database.transaction() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM market_rules")) == 4


@settings(max_examples=tries(20, 80), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), min_size=1, max_size=12, unique_by=lambda each: each[0]))
def test_as_of_any_day_the_newest_snapshot_before_it_is_read(database: Database, seen: list[tuple[int, int]]) -> None:
    """Snapshots in the order of time; expected is a plain look through the list."""
    with database.transaction() as connection:
        connection.execute(sa.text("DELETE FROM market_rules"))
    in_order = sorted(seen)
    for day, lot in in_order:
        record(database, replace(RULES, lot_size=Decimal(lot)), day * DAY)
    for day in range(14):
        before = [lot for seen_on, lot in in_order if seen_on <= day]
        found = rules_as_of(database, LUNA, day * DAY)
        assert (None if found is None else found.lot_size) == (before[-1] if before else None)
    versions = [lot for place, (_, lot) in enumerate(in_order) if place == 0 or in_order[place - 1][1] != lot]
    assert [rules.lot_size for rules in rules_history(database, LUNA)] == versions


def test_all_markets_that_were_ever_recorded_can_be_read_at_once(database: Database) -> None:
    with database.transaction() as connection:
        record_rules(connection, [RULES, replace(RULES, market=BTC)], at("2021-02-01"))
        assert record_rules(connection, [], at("2021-02-02")) == []
    assert list(all_rules_as_of(database, None, at("2021-02-01"))) == [BTC, LUNA]
    assert all_rules_as_of(database, [LUNA], at("2021-01-01")) == {}
