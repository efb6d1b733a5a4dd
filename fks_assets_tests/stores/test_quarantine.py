"""Quarantined rows: one entry while it is unresolved, counted each time it is seen, and ended with words."""

import math
from dataclasses import replace

import pytest

from fks_assets.errors import StoreError
from fks_assets.quant.candles import Fault, QuarantinedRow
from fks_assets.stores.database import Database
from fks_assets.stores.quarantine import (
    REPLACED,
    UNREMARKABLE,
    QuarantineEntry,
    SeenRow,
    read_quarantined,
    record_quarantined,
    resolve_quarantined,
)
from fks_assets_tests.stores.tables import BTC, ETH, HOUR, NOVEMBER

ROW = QuarantinedRow(NOVEMBER, (1.0, 2.0, 0.5, -1.0, 3.0), "a price is not above zero", Fault.NOT_POSITIVE)
SEEN = SeenRow(BTC, "1h", ROW, "exchange")


def record(database: Database, *seen: SeenRow, at_ms: int = 1000) -> None:
    with database.transaction() as connection:
        record_quarantined(connection, seen, at_ms)


def resolve(database: Database, entry: QuarantineEntry, resolution: str, at_ms: int = 9000) -> int:
    with database.transaction() as connection:
        return resolve_quarantined(connection, [entry.id], resolution, at_ms)


def row(**changes: object) -> SeenRow:
    return replace(SEEN, row=replace(ROW, **changes))


def test_what_was_recorded_is_read_back(database: Database) -> None:
    record(database, SEEN)
    [entry] = read_quarantined(database)
    assert (entry.market, entry.timeframe, entry.row, entry.source) == (BTC, "1h", ROW, "exchange")
    assert (entry.first_seen_at, entry.last_seen_at, entry.times_seen) == (1000, 1000, 1)
    assert (entry.resolved_at, entry.resolution) == (None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -0.0])
def test_any_value_is_kept_as_it_came(database: Database, value: float) -> None:
    record(database, row(values=(value, 1.0, 1.0, 1.0, 1.0)))
    [entry] = read_quarantined(database)
    assert str(entry.row.values[0]) == str(value)
    record(database, row(values=(value, 1.0, 1.0, 1.0, 1.0)), at_ms=2000)
    assert [each.times_seen for each in read_quarantined(database)] == [2]


@pytest.mark.parametrize("open_time", [NOVEMBER + 1, 0, 2**53])
def test_any_time_is_kept_as_it_came(database: Database, open_time: int) -> None:
    record(database, row(open_time=open_time, kind=Fault.OFF_GRID))
    assert [each.row.open_time for each in read_quarantined(database)] == [open_time]


@pytest.mark.parametrize("kind", Fault)
def test_the_database_knows_every_kind(database: Database, kind: Fault) -> None:
    record(database, row(kind=kind))
    assert [each.row.kind for each in read_quarantined(database, kinds=[kind])] == [kind]


def test_a_row_that_comes_again_is_counted_and_shows_its_newest_values(database: Database) -> None:
    record(database, SEEN)
    record(database, row(values=(9.0, 9.0, 9.0, -9.0, 9.0)), at_ms=2000)
    record(database, SEEN, SEEN, at_ms=3000)
    [entry] = read_quarantined(database)
    assert (entry.times_seen, entry.first_seen_at, entry.last_seen_at, entry.row) == (3, 1000, 3000, ROW)


def test_each_market_timeframe_time_and_kind_has_an_entry_of_its_own(database: Database) -> None:
    others = [
        replace(SEEN, market=ETH),
        replace(SEEN, timeframe="5m"),
        row(open_time=NOVEMBER + HOUR),
        row(kind=Fault.CROSSED),
    ]
    record(database, *others, SEEN)
    assert len(read_quarantined(database)) == 5
    assert [each.market for each in read_quarantined(database, [ETH])] == [ETH]
    assert [each.timeframe for each in read_quarantined(database, timeframes=["5m"])] == ["5m"]
    assert [each.row.open_time for each in read_quarantined(database, since_ms=NOVEMBER + 1)] == [NOVEMBER + HOUR]
    assert [each.row.kind for each in read_quarantined(database, kinds=[Fault.CROSSED])] == [Fault.CROSSED]


def test_a_resolved_entry_says_why_and_is_history(database: Database) -> None:
    record(database, SEEN)
    [entry] = read_quarantined(database)
    assert resolve(database, entry, REPLACED) == 1
    assert resolve(database, entry, "again") == 0
    assert read_quarantined(database) == []
    [old] = read_quarantined(database, resolved=True)
    assert (old.resolved_at, old.resolution) == (9000, REPLACED)


def test_what_was_resolved_for_good_is_not_raised_again_unless_its_values_differ(database: Database) -> None:
    record(database, SEEN)
    [entry] = read_quarantined(database)
    resolve(database, entry, "accepted by a person")
    record(database, SEEN, at_ms=10_000)
    assert read_quarantined(database) == []
    assert [(each.id, each.times_seen) for each in read_quarantined(database, resolved=True)] == [(entry.id, 2)]
    record(database, row(values=(7.0, 7.0, 7.0, -7.0, 7.0)), at_ms=11_000)
    assert [each.row.values[0] for each in read_quarantined(database)] == [7.0]


def test_what_no_longer_stood_out_is_raised_again_when_it_does(database: Database) -> None:
    record(database, SEEN)
    resolve(database, read_quarantined(database)[0], UNREMARKABLE)
    record(database, SEEN, at_ms=10_000)
    [entry] = read_quarantined(database)
    assert (entry.times_seen, entry.first_seen_at) == (1, 10_000)
    assert len(read_quarantined(database, resolved=True)) == 2


def test_nothing_to_record_or_to_resolve_is_no_error(database: Database) -> None:
    record(database)
    with database.transaction() as connection:
        assert resolve_quarantined(connection, [], REPLACED, 1) == 0


def test_a_rolled_back_transaction_records_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        record_quarantined(connection, [SEEN], 1000)
        raise RuntimeError
    assert read_quarantined(database) == []


def test_a_hundred_rows_take_two_statements(database: Database) -> None:
    import sqlalchemy as sa

    statements: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    record(database, *(row(open_time=NOVEMBER + place * HOUR) for place in range(100)))
    assert len(statements) == 2
    assert len(read_quarantined(database)) == 100


def test_a_resolution_without_a_time_is_refused_by_the_database(database: Database) -> None:
    import sqlalchemy as sa

    record(database, SEEN)
    with pytest.raises(StoreError, match="resolution_has_time"), database.transaction() as connection:
        connection.execute(sa.text("UPDATE quarantined_rows SET resolution = 'because'"))
