"""Rows that may reach no indicator, stop or balance: one entry for each market, timeframe, time and kind until it is resolved."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.quant.candles import Fault, QuarantinedRow
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.database import Database

REPLACED = "a usable candle is stored"
WITHDRAWN = "the exchange no longer gives a row at this time"
UNREMARKABLE = "it no longer stands out"
ACCEPTED = "accepted by a person"


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A bad row of a market and timeframe, and the exchange symbol or file that it came from."""

    market: Market
    timeframe: str
    row: QuarantinedRow
    source: str


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """What is noted of a bad row. Times are UTC milliseconds; `resolved_at` and `resolution` None while it is unresolved."""

    id: int
    market: Market
    timeframe: str
    row: QuarantinedRow
    source: str
    first_seen_at: int
    last_seen_at: int
    times_seen: int
    resolved_at: int | None
    resolution: str | None


_SEEN = """
    jsonb_to_recordset(CAST(:rows AS jsonb)) AS s (place int, market text, timeframe text, open_time bigint, open float8,
        high float8, low float8, close float8, volume float8, kind text, reason text, source text)
"""
# A row that was resolved for good is the same matter when it comes again with the same values, and not raised anew.
_SEE_AGAIN = sa.text(f"""
    WITH known AS (
        SELECT s.*, q.id FROM {_SEEN} CROSS JOIN LATERAL (
            SELECT id FROM quarantined_rows o
            WHERE o.market = s.market AND o.timeframe = s.timeframe AND o.open_time = to_timestamp(s.open_time / 1000.0)
              AND o.kind = s.kind AND (o.resolved_at IS NULL OR (o.resolution <> :passing AND
                (o.open, o.high, o.low, o.close, o.volume) IS NOT DISTINCT FROM (s.open, s.high, s.low, s.close, s.volume)))
            ORDER BY o.resolved_at IS NULL DESC, o.id DESC LIMIT 1 FOR UPDATE
        ) q
    )
    UPDATE quarantined_rows o SET open = k.open, high = k.high, low = k.low, close = k.close, volume = k.volume,
        reason = k.reason, source = k.source, last_seen_at = greatest(o.last_seen_at, to_timestamp(:at / 1000.0)),
        times_seen = o.times_seen + 1
    FROM known k WHERE o.id = k.id RETURNING k.place
""")  # noqa: S608 - constants only
_INSERT = sa.text(f"""
    INSERT INTO quarantined_rows AS o (market, timeframe, open_time, open, high, low, close, volume, kind, reason, source,
        first_seen_at, last_seen_at)
    SELECT market, timeframe, to_timestamp(open_time / 1000.0), open, high, low, close, volume, kind, reason, source,
        to_timestamp(:at / 1000.0), to_timestamp(:at / 1000.0)
    FROM {_SEEN} ORDER BY place
    ON CONFLICT (market, timeframe, open_time, kind) WHERE resolved_at IS NULL DO UPDATE SET
        last_seen_at = excluded.last_seen_at, times_seen = o.times_seen + 1
""")  # noqa: S608 - constants only
_SELECT = sa.text("""
    SELECT id, market, timeframe, (extract(epoch FROM open_time) * 1000)::bigint, open, high, low, close, volume, kind, reason,
        source, (extract(epoch FROM first_seen_at) * 1000)::bigint, (extract(epoch FROM last_seen_at) * 1000)::bigint, times_seen,
        (extract(epoch FROM resolved_at) * 1000)::bigint, resolution
    FROM quarantined_rows
    WHERE (CAST(:markets AS text[]) IS NULL OR market = ANY (CAST(:markets AS text[])))
      AND (CAST(:timeframes AS text[]) IS NULL OR timeframe = ANY (CAST(:timeframes AS text[])))
      AND (CAST(:kinds AS text[]) IS NULL OR kind = ANY (CAST(:kinds AS text[])))
      AND (CAST(:since AS bigint) IS NULL OR open_time >= to_timestamp(CAST(:since AS bigint) / 1000.0))
      AND (CAST(:resolved AS boolean) OR resolved_at IS NULL)
    ORDER BY market COLLATE "C", timeframe COLLATE "C", open_time, id
""")
_RESOLVE = sa.text("""
    WITH chosen AS (
        SELECT id FROM quarantined_rows WHERE id = ANY (CAST(:ids AS bigint[])) AND resolved_at IS NULL
        ORDER BY market COLLATE "C", timeframe COLLATE "C", open_time, kind COLLATE "C" FOR UPDATE
    )
    UPDATE quarantined_rows q SET resolved_at = to_timestamp(:at / 1000.0), resolution = :resolution
    FROM chosen WHERE q.id = chosen.id
""")


def record_quarantined(connection: sa.Connection, seen: Sequence[SeenRow], at_ms: int) -> None:
    """Note bad rows in the caller's transaction.

    An entry that is still unresolved, or was resolved for good with the same values, is counted as seen once more; a row that
    comes several times in `seen` counts once, as its last one is.
    """
    unique = {(each.market.key, each.timeframe, each.row.open_time, each.row.kind.value): each for each in seen}
    if not unique:
        return
    rows = [_row(place, unique[key]) for place, key in enumerate(sorted(unique))]
    again = {
        row.place for row in connection.execute(_SEE_AGAIN, {"rows": json.dumps(rows), "at": at_ms, "passing": UNREMARKABLE})
    }
    new = [row for row in rows if row["place"] not in again]
    if new:
        connection.execute(_INSERT, {"rows": json.dumps(new), "at": at_ms})


def read_quarantined(
    source: Database | sa.Connection,
    markets: Sequence[Market] | None = None,
    timeframes: Sequence[Timeframe | str] | None = None,
    *,
    kinds: Collection[Fault] | None = None,
    since_ms: int | None = None,
    resolved: bool = False,
) -> list[QuarantineEntry]:
    """Return entries of rows that open at `since_ms` or later, by market, timeframe and time; `resolved` adds those that are."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_quarantined(connection, markets, timeframes, kinds=kinds, since_ms=since_ms, resolved=resolved)
    values = {
        "markets": None if markets is None else [market.key for market in markets],
        "timeframes": None if timeframes is None else [str(timeframe) for timeframe in timeframes],
        "kinds": None if kinds is None else [kind.value for kind in kinds],
        "since": since_ms,
        "resolved": resolved,
    }
    return [
        QuarantineEntry(
            row[0],
            parse_market(row[1]),
            row[2],
            QuarantinedRow(row[3], tuple(row[4:9]), row[10], Fault(row[9])),
            *row[11:],
        )
        for row in source.execute(_SELECT, values)
    ]


def resolve_quarantined(connection: sa.Connection, ids: Sequence[int], resolution: str, at_ms: int) -> int:
    """End unresolved entries with the words that say why, and return how many there were."""
    if not ids:
        return 0
    return connection.execute(_RESOLVE, {"ids": list(ids), "resolution": resolution, "at": at_ms}).rowcount


def _row(place: int, seen: SeenRow) -> dict[str, object]:
    # JSON has no NaN and no infinity; PostgreSQL reads their names.
    names = ("open", "high", "low", "close", "volume")
    return {
        "place": place,
        "market": seen.market.key,
        "timeframe": seen.timeframe,
        "open_time": seen.row.open_time,
        **{name: str(value) for name, value in zip(names, seen.row.values, strict=True)},
        "kind": seen.row.kind.value,
        "reason": seen.row.reason,
        "source": seen.source,
    }
