"""The ledger of holes in the candles: one row for each hole, updated until it is filled."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.timeframes import Timeframe, parse_timeframe
from fks_assets.stores.database import Database

OPEN = tuple(status for status in GapStatus if status is not GapStatus.FILLED)


@dataclass(frozen=True, slots=True)
class GapRecord:
    """One hole. Times are UTC milliseconds, [start_ms, end_ms) half-open; `id` None before it is written."""

    id: int | None
    market: Market
    timeframe: str
    start_ms: int
    end_ms: int
    missing_candles: int
    is_api_fillable: bool
    overflow_candles: int
    candles_from_today: int
    status: GapStatus
    cause: GapCause | None
    detected_at: int
    attempts: int = 0
    attempted_at: int | None = None
    next_attempt_at: int | None = None
    filled_at: int | None = None
    filled_candles: int = 0
    required_csv_file: str | None = None
    error_message: str | None = None

    def is_due(self, at_ms: int) -> bool:
        """Return whether it is to be fetched and no pause after an attempt keeps it waiting."""
        return self.status in (GapStatus.DETECTED, GapStatus.FAILED) and (self.next_attempt_at or 0) <= at_ms


_COLUMNS = """
    id, market, timeframe, (extract(epoch FROM gap_start) * 1000)::bigint, (extract(epoch FROM gap_end) * 1000)::bigint,
    missing_candles, is_api_fillable, overflow_candles, candles_from_today, status, cause,
    (extract(epoch FROM detected_at) * 1000)::bigint, attempts, (extract(epoch FROM attempted_at) * 1000)::bigint,
    (extract(epoch FROM next_attempt_at) * 1000)::bigint, (extract(epoch FROM filled_at) * 1000)::bigint, filled_candles,
    required_csv_file, error_message
"""
_SELECT = sa.text(f"""
    SELECT {_COLUMNS} FROM gap_records
    WHERE (CAST(:markets AS text[]) IS NULL OR market = ANY (CAST(:markets AS text[])))
      AND (CAST(:timeframes AS text[]) IS NULL OR timeframe = ANY (CAST(:timeframes AS text[])))
      AND (CAST(:statuses AS text[]) IS NULL OR status = ANY (CAST(:statuses AS text[])))
    ORDER BY market COLLATE "C", timeframe COLLATE "C", gap_start, id
""")  # noqa: S608 - constants only
_ROWS = """
    jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id bigint, market text, timeframe text, interval_minutes int,
        gap_start bigint, gap_end bigint, missing_candles int, is_api_fillable boolean, overflow_candles int,
        candles_from_today int, status text, cause text, detected_at bigint, attempts int, attempted_at bigint,
        next_attempt_at bigint, filled_at bigint, filled_candles int, required_csv_file text, error_message text)
"""
_INSERT = sa.text(f"""
    INSERT INTO gap_records (market, timeframe, interval_minutes, gap_start, gap_end, missing_candles, is_api_fillable,
        overflow_candles, candles_from_today, status, cause, detected_at, attempts, attempted_at, next_attempt_at, filled_at,
        filled_candles, required_csv_file, error_message)
    SELECT market, timeframe, interval_minutes, to_timestamp(gap_start / 1000.0), to_timestamp(gap_end / 1000.0),
        missing_candles, is_api_fillable, overflow_candles, candles_from_today, status, cause,
        to_timestamp(detected_at / 1000.0), attempts, to_timestamp(attempted_at / 1000.0),
        to_timestamp(next_attempt_at / 1000.0), to_timestamp(filled_at / 1000.0), filled_candles, required_csv_file, error_message
    FROM {_ROWS}
    ORDER BY market COLLATE "C", timeframe COLLATE "C", gap_start
""")  # noqa: S608 - constants only
_UPDATE = sa.text(f"""
    UPDATE gap_records g SET gap_start = to_timestamp(r.gap_start / 1000.0), gap_end = to_timestamp(r.gap_end / 1000.0),
        missing_candles = r.missing_candles, is_api_fillable = r.is_api_fillable, overflow_candles = r.overflow_candles,
        candles_from_today = r.candles_from_today, status = r.status, cause = r.cause, attempts = r.attempts,
        attempted_at = to_timestamp(r.attempted_at / 1000.0), next_attempt_at = to_timestamp(r.next_attempt_at / 1000.0),
        filled_at = to_timestamp(r.filled_at / 1000.0), filled_candles = r.filled_candles,
        required_csv_file = r.required_csv_file, error_message = r.error_message
    FROM {_ROWS} WHERE g.id = r.id
""")  # noqa: S608 - constants only
_DELETE = sa.text("DELETE FROM gap_records WHERE id = ANY (CAST(:ids AS bigint[]))")
_DELETE_OLD = sa.text("""
    WITH removed AS (
        DELETE FROM gap_records
        WHERE (status = 'FILLED' AND filled_at < to_timestamp(:before / 1000.0))
           OR (status = 'FAILED' AND coalesce(attempted_at, detected_at) < to_timestamp(:before / 1000.0))
        RETURNING status
    )
    SELECT count(*) FILTER (WHERE status = 'FILLED'), count(*) FILTER (WHERE status = 'FAILED') FROM removed
""")
_RETRY = sa.text("""
    UPDATE gap_records SET status = 'DETECTED', next_attempt_at = NULL
    WHERE (status = 'FAILED' OR (status = 'DETECTED' AND next_attempt_at IS NOT NULL))
      AND (CAST(:markets AS text[]) IS NULL OR market = ANY (CAST(:markets AS text[])))
      AND (CAST(:timeframes AS text[]) IS NULL OR timeframe = ANY (CAST(:timeframes AS text[])))
""")
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('gap_records ' || s, 0)) FROM unnest(CAST(:series AS text[])) s")


def lock_series(connection: sa.Connection, timeframe: Timeframe, markets: Sequence[Market]) -> None:
    """Let no other transaction judge the gaps of these markets until this one ends."""
    connection.execute(_LOCK, {"series": [f"{market.key} {timeframe}" for market in sorted(markets)]})


def read_gaps(
    source: Database | sa.Connection,
    markets: Sequence[Market] | None = None,
    timeframes: Sequence[Timeframe | str] | None = None,
    statuses: Sequence[GapStatus] | None = None,
) -> list[GapRecord]:
    """Return gap records by market, timeframe and start; None means all."""
    if isinstance(source, Database):
        with source.transaction() as connection:
            return read_gaps(connection, markets, timeframes, statuses)
    rows = source.execute(
        _SELECT,
        {
            **_filter(markets, timeframes),
            "statuses": None if statuses is None else [status.value for status in statuses],
        },
    )
    return [
        GapRecord(row[0], parse_market(row[1]), *row[2:9], GapStatus(row[9]), row[10] and GapCause(row[10]), *row[11:])
        for row in rows
    ]


def write_gaps(connection: sa.Connection, records: Sequence[GapRecord]) -> None:
    """Insert records without an id and update the others, in the caller's transaction."""
    for statement, chosen in (
        (_UPDATE, [record for record in records if record.id is not None]),
        (_INSERT, [record for record in records if record.id is None]),
    ):
        if chosen:
            connection.execute(statement, {"rows": json.dumps([_row(record) for record in chosen])})


def delete_gaps(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Remove records that others have absorbed."""
    if ids:
        connection.execute(_DELETE, {"ids": list(ids)})


def delete_old_gaps(connection: sa.Connection, before_ms: int) -> tuple[int, int]:
    """Remove FILLED and FAILED records that ended before a time and return how many of each; UNFILLABLE ones stay for ever."""
    filled, failed = connection.execute(_DELETE_OLD, {"before": before_ms}).one()
    return filled, failed


def retry_failed(
    connection: sa.Connection, markets: Sequence[Market] | None = None, timeframes: Sequence[Timeframe | str] | None = None
) -> int:
    """Make gaps that wait for their next attempt DETECTED again without a pause, FAILED ones too, and return how many."""
    return connection.execute(_RETRY, _filter(markets, timeframes)).rowcount


def _filter(markets: Sequence[Market] | None, timeframes: Sequence[Timeframe | str] | None) -> dict[str, list[str] | None]:
    return {
        "markets": None if markets is None else [market.key for market in markets],
        "timeframes": None if timeframes is None else [str(timeframe) for timeframe in timeframes],
    }


def _row(record: GapRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "market": record.market.key,
        "timeframe": record.timeframe,
        "interval_minutes": parse_timeframe(record.timeframe).seconds // 60,
        "gap_start": record.start_ms,
        "gap_end": record.end_ms,
        "missing_candles": record.missing_candles,
        "is_api_fillable": record.is_api_fillable,
        "overflow_candles": record.overflow_candles,
        "candles_from_today": record.candles_from_today,
        "status": record.status.value,
        "cause": record.cause and record.cause.value,
        "detected_at": record.detected_at,
        "attempts": record.attempts,
        "attempted_at": record.attempted_at,
        "next_attempt_at": record.next_attempt_at,
        "filled_at": record.filled_at,
        "filled_candles": record.filled_candles,
        "required_csv_file": record.required_csv_file,
        "error_message": record.error_message,
    }
