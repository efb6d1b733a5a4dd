"""Judge the holes of every market and keep the gap records true to what is stored."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from fks_assets.assets.market_data.history import history_start, trading_time
from fks_assets.assets.market_data.missing import stored_ranges
from fks_assets.clock import now_ms, to_ms
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.history_files import required_csv_file
from fks_assets.quant.gaps import (
    GapCause,
    GapStatus,
    KnownGap,
    SeriesFacts,
    backoff_ms,
    judge_holes,
    reconcile,
    shared_outages,
)
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range, complement, joined, without
from fks_assets.quant.timeframes import Timeframe, first_open_candle, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores.candles import PartitionHead, PartitionId
from fks_assets.stores.gap_records import OPEN, GapRecord, delete_gaps, lock_series, read_gaps, write_gaps
from fks_assets.stores.heads import select_heads
from fks_assets.stores.sync_status import read_sync

# A candle that closed less than this ago is about to be fetched by the next tick: it is late, not lost.
TAIL_GRACE_MS = 15 * 60_000
ABANDONED_MS = 3_600_000
NOT_GIVEN = "the exchange answered without these candles, and nothing shows yet that it has none"
_MINUTE, _HOUR = 60_000, 3_600_000

Heads = Mapping[PartitionId, PartitionHead]


def expected_window(stores: Stores, market: Market, timeframe: Timeframe, heads: Heads, at_ms: int) -> Range:
    """Return [start, end) of the grid on which a market should have candles at a time, (0, 0) if there is none yet.

    It begins with the history of the settings or with the oldest stored candle, and ends TAIL_GRACE_MS ago; listing and delisting
    of the settings cut it. A market or timeframe that is not the desk's is expected between its own first and last candle; a
    replay ends with its last one, as recordings do not go on until today.
    """
    mine = [head for partition, head in heads.items() if partition.market == market and head.row_count]
    first = min((head.first_open for head in mine if head.first_open is not None), default=None)
    last = max((head.last_open for head in mine if head.last_open is not None), default=None)
    settings = stores.settings
    if not settings.is_desk_market(market) or timeframe.name not in settings.history_days:
        return (0, 0) if first is None or last is None else (first, last + timeframe.milliseconds)
    oldest = history_start(settings, timeframe)
    start = timeframe.ceil(oldest if first is None else min(oldest, first))
    listed, delisted = trading_time(settings, market, timeframe)
    start = max(start, listed)
    end = min(first_open_candle(at_ms, timeframe, TAIL_GRACE_MS), delisted)
    if settings.is_simulated and settings.simulator.replay is not None:
        end = min(end, start if last is None else last + timeframe.milliseconds)
    return start, max(start, end)


def update_gaps(
    stores: Stores,
    markets: Sequence[Market],
    timeframe: Timeframe,
    *,
    connection: sa.Connection | None = None,
    heads: Heads | None = None,
    errors: Mapping[Market, Mapping[Range, str]] | None = None,
    attempted: Collection[int | None] = (),
) -> list[GapRecord]:
    """Bring the gap records of these markets up to date with what is stored and return those that are open.

    `connection` and `heads`: a transaction that has just written, and what it stored; everything else is read anew, as others may
    have written meanwhile. `errors` names the stretches of markets that could not be fetched: gaps in them become FAILED.
    `attempted`: records that were BACKFILLING and have had their attempt. Both are tried again after a pause that doubles.
    """
    if connection is None:
        with stores.database.transaction() as own:
            return update_gaps(stores, markets, timeframe, connection=own, heads=heads, errors=errors, attempted=attempted)
    at = now_ms()
    lock_series(connection, timeframe, markets)
    heads = select_heads(connection, "ohlcv", timeframe.name, markets) | dict(heads or {})
    by_market: dict[Market, dict[PartitionId, PartitionHead]] = {market: {} for market in markets}
    for partition, head in heads.items():
        if partition.market in by_market:
            by_market[partition.market][partition] = head
    series = {market: _facts(stores, market, timeframe, held, at) for market, held in by_market.items()}
    down = _outages(stores, connection, timeframe, series)
    loaded = {record.market for record in read_sync(connection, markets, [timeframe]) if record.last_success_at is not None}
    known: dict[Market, list[GapRecord]] = {market: [] for market in markets}
    for record in read_gaps(connection, markets, [timeframe], OPEN):
        known[record.market].append(record)
    judge = _Judge(stores, timeframe, at, errors or {}, attempted)
    open_now: list[GapRecord] = []
    written: list[GapRecord] = []
    removed: list[int] = []
    for market, facts in series.items():
        before = {record.id: record for record in known[market]}
        facts = replace(facts, outages=joined([*facts.outages, *down]))
        start = facts.start_ms
        if market not in loaded and facts.stored:
            # The history is still being loaded: what lies before it is not lost.
            start = max(start, facts.stored[0][0])
        noted = known[market]
        facts = replace(
            facts,
            start_ms=min([start, *(record.start_ms for record in noted)]),
            end_ms=max([facts.end_ms, *(record.end_ms for record in noted)]),
        )
        after, absorbed = reconcile(
            [_known(record) for record in noted], judge_holes(facts), facts.stored, timeframe.milliseconds
        )
        for gap in after:
            record = judge.record(market, gap, before.get(gap.id) if gap.id is not None else None)
            if record.status is not GapStatus.FILLED:
                open_now.append(record)
            if gap.id is None or _differs(record, before[gap.id]):
                written.append(record)
        removed += [gap.id for gap in absorbed if gap.id is not None]
    delete_gaps(connection, removed)
    write_gaps(connection, written)
    if any(record.id is None for record in open_now):
        return read_gaps(connection, markets, [timeframe], OPEN)
    return open_now


def _facts(stores: Stores, market: Market, timeframe: Timeframe, heads: Heads, at: int) -> SeriesFacts:
    start, end = expected_window(stores, market, timeframe, heads, at)
    mine = [heads[partition] for partition in sorted(heads)]
    stored = joined(held for head in mine for held in stored_ranges(stores.candles, head, timeframe.milliseconds))
    settings = stores.settings
    of_desk = market.exchange == settings.exchange
    rows = DIALECTS[settings.exchanges[market.exchange].dialect].history_rows if market.exchange in settings.exchanges else None
    return SeriesFacts(
        timeframe,
        start,
        end,
        stored,
        confirmed=joined(hole for head in mine for hole in head.confirmed_holes),
        outages=[(to_ms(outage.start), to_ms(outage.end)) for outage in settings.exchanges[market.exchange].outages]
        if market.exchange in settings.exchanges
        else [],
        unlisted=complement(0, timeframe.ceil(at), [trading_time(settings, market, timeframe)]),
        reach_ms=timeframe.floor(at) - (rows - 1) * timeframe.milliseconds if rows and of_desk else None,
    )


def _outages(
    stores: Stores, connection: sa.Connection, timeframe: Timeframe, series: Mapping[Market, SeriesFacts]
) -> list[Range]:
    """Return when no market of the exchange traded; the desk's markets that are not looked at can only speak against it."""
    down = shared_outages([facts.confirmed for facts in series.values()], [facts.stored for facts in series.values()], timeframe)
    others = [market for market in stores.settings.market_list() if market not in series]
    if not down or not others:
        return down
    step = timeframe.milliseconds
    months = sorted({month for start, end in down for month in months_between(start, end)})
    heads = select_heads(connection, "ohlcv", timeframe.name, others, months)
    return without(down, joined(held for head in heads.values() for held in stored_ranges(stores.candles, head, step)))


def _known(record: GapRecord) -> KnownGap:
    return KnownGap(
        record.id,
        record.start_ms,
        record.end_ms,
        record.missing_candles,
        record.status,
        record.cause,
        record.filled_candles,
    )


def _differs(record: GapRecord, before: GapRecord) -> bool:
    """Return whether a record says anything new; its growing distance from today alone does not."""
    return replace(record, candles_from_today=before.candles_from_today) != before


@dataclass(frozen=True, slots=True)
class _Judge:
    """Makes records of what gaps have become at a time."""

    stores: Stores
    timeframe: Timeframe
    at: int
    errors: Mapping[Market, Mapping[Range, str]]
    attempted: Collection[int | None]

    def record(self, market: Market, gap: KnownGap, before: GapRecord | None) -> GapRecord:
        """Return the record of a gap that has just been reconciled; `before` is what was noted of it."""
        beyond = gap.cause is GapCause.BEYOND_API_LIMIT
        record = GapRecord(
            id=gap.id,
            market=market,
            timeframe=self.timeframe.name,
            start_ms=gap.start_ms,
            end_ms=gap.end_ms,
            missing_candles=gap.missing_candles,
            is_api_fillable=gap.status is not GapStatus.UNFILLABLE,
            overflow_candles=gap.missing_candles if beyond else 0,
            candles_from_today=(self.at - gap.start_ms) // self.timeframe.milliseconds,
            status=gap.status,
            cause=gap.cause,
            detected_at=self.at if before is None else before.detected_at,
            attempts=0 if before is None else before.attempts,
            attempted_at=None if before is None else before.attempted_at,
            next_attempt_at=None if before is None else before.next_attempt_at,
            filled_candles=gap.filled_candles,
            required_csv_file=required_csv_file(market, self.timeframe) if beyond else None,
            error_message=None if before is None else before.error_message,
        )
        if gap.status is GapStatus.FILLED:
            return replace(record, filled_at=self.at, next_attempt_at=None, error_message=None, is_api_fillable=True)
        if gap.status is GapStatus.UNFILLABLE:
            return replace(record, next_attempt_at=None, error_message=None)
        return self._pending(record)

    def _pending(self, record: GapRecord) -> GapRecord:
        """Return a fillable gap's record after a failure, after an attempt that did not fill it, or as it was."""
        stretches = self.errors.get(record.market, {}).items()
        words = next((told for (first, last), told in stretches if first < record.end_ms and last > record.start_ms), None)
        trying = record.status is GapStatus.BACKFILLING
        if words is not None and (trying or record.is_due(self.at)):
            attempts = record.attempts if trying else record.attempts + 1
            return replace(
                record,
                status=GapStatus.FAILED,
                cause=GapCause.FETCH_FAILED,
                error_message=words,
                attempts=attempts,
                attempted_at=record.attempted_at if trying else self.at,
                next_attempt_at=self._after_pause(attempts),
            )
        if trying and record.id in self.attempted:
            return replace(
                record,
                status=GapStatus.DETECTED,
                cause=None,
                error_message=NOT_GIVEN,
                next_attempt_at=self._after_pause(record.attempts),
            )
        if trying and record.attempted_at is not None and self.at - record.attempted_at > ABANDONED_MS:
            return replace(record, status=GapStatus.DETECTED, cause=None, error_message=None)
        return record

    def _after_pause(self, attempts: int) -> int:
        settings = self.stores.settings.gaps
        return self.at + backoff_ms(attempts, settings.retry_minutes * _MINUTE, settings.most_retry_hours * _HOUR)
