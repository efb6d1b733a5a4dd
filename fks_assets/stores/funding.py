"""The funding rates of perpetual markets: a row for each time one was told, and another for each time it changed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.funding import FundingRate
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.money import money_text
from fks_assets.stores.database import Database


@dataclass(frozen=True, slots=True)
class StoredRate:
    """A rate as it was known; `known_at` is when it was first seen so (UTC ms), `revisions` counts the values before it."""

    market: Market
    rate: FundingRate
    known_at: int
    revisions: int

    def document(self) -> dict[str, Any]:
        """Return it for a JSON document: the rate as exact text, times in ISO form."""
        return {
            "market": self.market.key,
            "time": iso(self.rate.time_ms),
            "rate": money_text(self.rate.rate),
            "known_at": iso(self.known_at),
            "revisions": self.revisions,
        }


@dataclass(frozen=True, slots=True)
class FundingChange:
    """What a write changed: the times (UTC ms) of rates that were new, and of those that replaced another value."""

    inserted: tuple[int, ...]
    revised: tuple[int, ...]


_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('funding_rates ' || :market, 0))")
# A clock that was put back does not make an older row the newest one.
_INSERT = sa.text("""
    WITH told AS (
        SELECT to_timestamp(ms / 1000.0) AS time, rate
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (ms bigint, rate numeric)
    ), compared AS (
        SELECT told.*, known.rate AS old_rate, known.known_at AS old_known_at FROM told LEFT JOIN LATERAL (
            SELECT rate, known_at FROM funding_rates WHERE market = :market AND time = told.time ORDER BY known_at DESC LIMIT 1
        ) AS known ON true
    ), added AS (
        INSERT INTO funding_rates (market, time, known_at, rate)
        SELECT :market, time, greatest(to_timestamp(:at / 1000.0), old_known_at + interval '1 millisecond'), rate
        FROM compared WHERE rate IS DISTINCT FROM old_rate
        RETURNING time
    )
    SELECT (extract(epoch FROM added.time) * 1000)::bigint, compared.old_rate IS NOT NULL
    FROM added JOIN compared USING (time) ORDER BY 1
""")
_READ = sa.text("""
    SELECT DISTINCT ON (market, time) market, (extract(epoch FROM time) * 1000)::bigint, rate,
        (extract(epoch FROM known_at) * 1000)::bigint, count(*) OVER (PARTITION BY market, time) - 1
    FROM funding_rates
    WHERE market = ANY(:markets) AND time >= to_timestamp(:start / 1000.0) AND time < to_timestamp(:end / 1000.0)
        AND (CAST(:as_of AS bigint) IS NULL OR known_at <= to_timestamp(:as_of / 1000.0))
    ORDER BY market, time, known_at DESC
""")

_NEWEST = sa.text("""
    SELECT m, (SELECT (extract(epoch FROM max(time)) * 1000)::bigint FROM funding_rates WHERE market = m)
    FROM unnest(CAST(:markets AS text[])) AS m
""")


def record_funding(connection: sa.Connection, market: Market, rates: Sequence[FundingRate], at_ms: int) -> FundingChange:
    """Store what a market's rates were seen to be at a time (UTC ms), in the caller's transaction, and return what changed.

    A row is added only where a rate is new or differs. Writers of the same market wait for each other. Raises InvalidInput when
    two rates are of the same time.
    """
    if len({each.time_ms for each in rates}) != len(rates):
        raise InvalidInput(f"{market}: the funding of a time is given twice")
    if not rates:
        return FundingChange((), ())
    connection.execute(_LOCK, {"market": market.key})
    rows = json.dumps([{"ms": each.time_ms, "rate": str(each.rate)} for each in rates])
    added = list(connection.execute(_INSERT, {"market": market.key, "rows": rows, "at": at_ms}))
    inserted, revised = (tuple(time for time, replaced in added if replaced is wanted) for wanted in (False, True))
    return FundingChange(inserted, revised)


def read_funding(
    source: Database | sa.Connection, markets: Sequence[Market], start_ms: int, end_ms: int, as_of_ms: int | None = None
) -> dict[Market, list[StoredRate]]:
    """Return, for each market, the stored rates of [start_ms, end_ms) in ascending order, as known at a time; None: now."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_funding(connection, markets, start_ms, end_ms, as_of_ms)
    found: dict[Market, list[StoredRate]] = {market: [] for market in markets}
    values = {"markets": [market.key for market in markets], "start": start_ms, "end": end_ms, "as_of": as_of_ms}
    for key, time, rate, known_at, revisions in source.execute(_READ, values):
        market = parse_market(key)
        found[market].append(StoredRate(market, FundingRate(time, rate.normalize()), known_at, revisions))
    return found


def newest_funding(source: Database | sa.Connection, markets: Sequence[Market]) -> dict[Market, int]:
    """Return when the newest stored rate of each market was due (UTC ms), where there is one."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return newest_funding(connection, markets)
    rows = source.execute(_NEWEST, {"markets": [market.key for market in markets]})
    return {parse_market(key): time for key, time in rows if time is not None}


def funding_hash(rates: Sequence[StoredRate]) -> str:
    """Return the SHA-256, in hexadecimal, of times and values, whenever they became known."""
    lines = [f"{each.rate.time_ms} {money_text(each.rate.rate)}" for each in rates]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
