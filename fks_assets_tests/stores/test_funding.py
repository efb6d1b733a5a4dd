"""Stored funding rates: what was known when, and what a write changed."""

from decimal import Decimal

import pytest
import sqlalchemy as sa

from fks_assets.errors import InvalidInput, StoreError
from fks_assets.quant.funding import FundingRate
from fks_assets.quant.markets import Market, parse_market
from fks_assets.stores.database import Database
from fks_assets.stores.funding import FundingChange, funding_hash, newest_funding, read_funding, record_funding

BTC, ETH = parse_market("BTC-USDT@binance"), parse_market("ETH-USDT@binance")
EIGHT = 8 * 3_600_000
START = 1_767_225_600_000  # 2026-01-01T00:00Z
SEEN = START + 100 * EIGHT


def rates(*texts: str, start: int = START) -> list[FundingRate]:
    return [FundingRate(start + place * EIGHT, Decimal(text)) for place, text in enumerate(texts)]


def write(database: Database, market: Market, told: list[FundingRate], at_ms: int) -> FundingChange:
    with database.transaction() as connection:
        return record_funding(connection, market, told, at_ms)


def values(database: Database, market: Market, as_of_ms: int | None = None) -> list[str]:
    found = read_funding(database, [market], START, SEEN, as_of_ms)[market]
    return [str(each.rate.rate) for each in found]


def test_a_changed_rate_is_a_revision_and_an_earlier_read_gives_the_old_one(database: Database) -> None:
    """C23, and F13's as-of reads."""
    told = rates("0.0001", "-0.0003", "0.00012345")
    assert write(database, BTC, told, SEEN) == FundingChange(tuple(each.time_ms for each in told), ())
    assert write(database, BTC, told, SEEN + 1000) == FundingChange((), ())
    before = read_funding(database, [BTC], START, SEEN)[BTC]
    assert write(database, BTC, rates("0.0001", "0.0004"), SEEN + 2000) == FundingChange((), (START + EIGHT,))
    assert values(database, BTC) == ["0.0001", "0.0004", "0.00012345"]
    assert values(database, BTC, SEEN + 1999) == ["0.0001", "-0.0003", "0.00012345"]
    assert values(database, BTC, SEEN - 1) == []
    after = read_funding(database, [BTC], START, SEEN)[BTC]
    assert [(each.known_at, each.revisions) for each in after] == [(SEEN, 0), (SEEN + 2000, 1), (SEEN, 0)]
    assert funding_hash(after) != funding_hash(before) == funding_hash(read_funding(database, [BTC], START, SEEN, SEEN)[BTC])


def test_the_hash_is_of_times_and_values_however_they_came(database: Database) -> None:
    write(database, BTC, rates("0.0001", "0.0002"), SEEN)
    write(database, ETH, rates("0.00020", start=START + EIGHT), SEEN)
    write(database, ETH, rates("0.000100"), SEEN + 5)
    found = read_funding(database, [BTC, ETH], START, SEEN)
    assert funding_hash(found[BTC]) == funding_hash(found[ETH]) != funding_hash(found[ETH][:1])


def test_a_clock_that_was_put_back_does_not_hide_what_was_learnt_last(database: Database) -> None:
    write(database, BTC, rates("0.0001"), SEEN)
    assert write(database, BTC, rates("0.0002"), SEEN - 3_600_000).revised == (START,)
    assert values(database, BTC) == ["0.0002"]
    assert values(database, BTC, SEEN) == ["0.0001"]


def test_the_window_is_half_open_and_markets_are_apart(database: Database) -> None:
    write(database, BTC, rates("0.0001", "0.0002", "0.0003"), SEEN)
    found = read_funding(database, [BTC, ETH], START + EIGHT, START + 2 * EIGHT)
    assert [each.rate.time_ms for each in found[BTC]] == [START + EIGHT] and found[ETH] == []
    assert newest_funding(database, [BTC, ETH]) == {BTC: START + 2 * EIGHT}


def test_what_cannot_be_is_refused_by_the_function_and_by_the_table(database: Database) -> None:
    with pytest.raises(InvalidInput, match="BTC-USDT@binance: the funding of a time is given twice"):
        write(database, BTC, [*rates("0.0001"), *rates("0.0002")], SEEN)
    for rate in ("'NaN'", "1.1"):
        with pytest.raises(StoreError, match="rate_in_bounds"), database.transaction() as connection:
            connection.execute(sa.text(f"INSERT INTO funding_rates VALUES ('BTC-USDT@binance', now(), now(), {rate})"))
    assert values(database, BTC) == []
