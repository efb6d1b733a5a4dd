"""How the synchronisation of each market and timeframe stands."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from fks_assets.errors import InvalidInput
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.database import Database


class SyncState(StrEnum):
    PENDING = "PENDING"
    SYNCING = "SYNCING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class SyncUpdate:
    """A new state of one market and timeframe at a time. What is None stays as it is stored. Times are UTC milliseconds."""

    market: Market
    timeframe: str
    state: SyncState
    at_ms: int
    oldest_open: int | None = None
    newest_open: int | None = None
    total_candles: int | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """The stored state of one market and timeframe. Times are UTC milliseconds."""

    market: Market
    timeframe: str
    state: SyncState
    oldest_open: int | None
    newest_open: int | None
    total_candles: int | None
    error_message: str | None
    last_attempt_at: int
    last_success_at: int | None


_UPSERT = sa.text("""
    INSERT INTO sync_status AS s
        (market, timeframe, state, oldest_open, newest_open, total_candles, error_message, last_attempt_at, last_success_at)
    SELECT market, timeframe, state, to_timestamp(oldest_open / 1000.0), to_timestamp(newest_open / 1000.0), total_candles,
        error_message, to_timestamp(at / 1000.0), CASE state WHEN 'COMPLETED' THEN to_timestamp(at / 1000.0) END
    FROM jsonb_to_recordset(CAST(:updates AS jsonb)) AS u (market text, timeframe text, state text, oldest_open bigint,
        newest_open bigint, total_candles bigint, error_message text, at bigint)
    ORDER BY market COLLATE "C", timeframe COLLATE "C"
    ON CONFLICT (market, timeframe) DO UPDATE SET
        state = excluded.state,
        oldest_open = coalesce(excluded.oldest_open, s.oldest_open),
        newest_open = coalesce(excluded.newest_open, s.newest_open),
        total_candles = coalesce(excluded.total_candles, s.total_candles),
        error_message = CASE excluded.state WHEN 'COMPLETED' THEN NULL ELSE coalesce(excluded.error_message, s.error_message) END,
        last_attempt_at = excluded.last_attempt_at,
        last_success_at = coalesce(excluded.last_success_at, s.last_success_at)
""")
_SELECT = sa.text("""
    SELECT market, timeframe, state, (extract(epoch FROM oldest_open) * 1000)::bigint,
        (extract(epoch FROM newest_open) * 1000)::bigint, total_candles, error_message,
        (extract(epoch FROM last_attempt_at) * 1000)::bigint, (extract(epoch FROM last_success_at) * 1000)::bigint
    FROM sync_status
    WHERE (CAST(:markets AS text[]) IS NULL OR market = ANY (CAST(:markets AS text[])))
      AND (CAST(:timeframes AS text[]) IS NULL OR timeframe = ANY (CAST(:timeframes AS text[])))
    ORDER BY market COLLATE "C", timeframe COLLATE "C"
""")


def record_sync(
    connection: sa.Connection,
    market: Market,
    timeframe: Timeframe | str,
    *,
    state: SyncState,
    oldest_open: int | None = None,
    newest_open: int | None = None,
    total_candles: int | None = None,
    error_message: str | None = None,
    at_ms: int,
) -> None:
    """Store one state in the caller's transaction; see `record_syncs`."""
    update = SyncUpdate(market, str(timeframe), state, at_ms, oldest_open, newest_open, total_candles, error_message)
    record_syncs(connection, [update])


def record_syncs(connection: sa.Connection, updates: Sequence[SyncUpdate]) -> None:
    """Store states, each of another market and timeframe, in one statement.

    COMPLETED clears the error and notes the time of success; ERROR needs words (else InvalidInput); the last success stays.
    Rows are taken in one order, so that two writers never wait for each other in a circle.
    """
    for update in updates:
        if update.state is SyncState.ERROR and not update.error_message:
            raise InvalidInput(f"sync of {update.market} {update.timeframe} failed without a reason: give an error_message")
    if not updates:
        return
    rows = [
        {
            "market": update.market.key,
            "timeframe": update.timeframe,
            "state": update.state.value,
            "oldest_open": update.oldest_open,
            "newest_open": update.newest_open,
            "total_candles": update.total_candles,
            "error_message": update.error_message,
            "at": update.at_ms,
        }
        for update in updates
    ]
    connection.execute(_UPSERT, {"updates": json.dumps(rows)})


def read_sync(
    source: Database | sa.Connection, markets: Sequence[Market] | None = None, timeframes: Sequence[Timeframe | str] | None = None
) -> list[SyncRecord]:
    """Return the stored states, by market and timeframe; None means all."""
    values = {
        "markets": None if markets is None else [market.key for market in markets],
        "timeframes": None if timeframes is None else [str(timeframe) for timeframe in timeframes],
    }
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_sync(connection, markets, timeframes)
    rows = source.execute(_SELECT, values)
    return [SyncRecord(parse_market(row[0]), row[1], SyncState(row[2]), *row[3:]) for row in rows]
