"""Keep candles complete: read what is stored, fetch only what is missing, store it. Used by the ohlcv assets and `fks sync`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fks_assets.assets.market_data import CODE_VERSION
from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.assets.market_data.history import history_start
from fks_assets.assets.market_data.missing import Asked, holes_after
from fks_assets.assets.market_data.plan import SyncMode, plan_requests
from fks_assets.assets.market_data.quality import judge_markets
from fks_assets.assets.market_data.quarantine import note_quarantined
from fks_assets.clock import iso, now_ms
from fks_assets.errors import ExchangeError, TradingError
from fks_assets.exchanges.gateway import FetchedCandles
from fks_assets.quant.candles import QuarantinedRow
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range
from fks_assets.quant.timeframes import Timeframe, first_open_candle, month_window, months_between
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import Change, PartitionHead, PartitionId, StoreTransaction
from fks_assets.stores.lineage import RecordedInputs, record_many
from fks_assets.stores.quarantine import SeenRow
from fks_assets.stores.sync_status import SyncRecord, SyncState, SyncUpdate, read_sync, record_syncs

MARKETS_PER_BATCH = 25
SETTLING_CANDLES = 3
SETTLING_MS = 3_600_000


@dataclass(slots=True)
class PartitionSync:
    """What a sync did to one market and month."""

    partition: PartitionId
    head: PartitionHead
    change: Change | None = None
    error: ExchangeError | None = None
    exchange_time_ms: int | None = None
    quarantined: list[QuarantinedRow] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return self.change is not None and self.change.changed


@dataclass(frozen=True, slots=True)
class _Fetched:
    """An answer, the stretch it was asked for, and the source that its candles are marked with."""

    start_ms: int
    end_ms: int
    source: str
    answer: FetchedCandles


@dataclass(frozen=True, slots=True)
class _MarketAnswers:
    market: Market
    contacted: bool
    fetched: tuple[_Fetched, ...]
    failed: tuple[tuple[Range, ExchangeError], ...]
    before: SyncRecord | None

    @property
    def error(self) -> ExchangeError | None:
        return next((error for _, error in self.failed), None)

    @property
    def exchange_time_ms(self) -> int | None:
        return max((part.answer.exchange_time_ms for part in self.fetched), default=None)

    @property
    def newest_open(self) -> int:
        """Return the open time of the newest candle known of the market, 0 if there is none."""
        stored = 0 if self.before is None else self.before.newest_open or 0
        return max(
            stored,
            max((int(part.answer.candles.open_time[-1]) for part in self.fetched if len(part.answer.candles)), default=0),
        )

    @property
    def months(self) -> set[str]:
        return {month for part in self.fetched for month in months_between(part.start_ms, part.end_ms)}

    def refusal(self, timeframe: Timeframe) -> str | None:
        """Return words for the closed candles of which the exchange gave only unusable rows, None when there are none."""
        refused = []
        for part in self.fetched:
            given = set(part.answer.candles.open_time.tolist())
            end = min(part.end_ms, part.answer.known_until)
            refused += [
                row
                for row in part.answer.quarantined
                if part.start_ms <= timeframe.floor(row.open_time) < end and timeframe.floor(row.open_time) not in given
            ]
        if not refused:
            return None
        first = min(refused, key=lambda row: row.open_time)
        return f"{len(refused)} unusable rows were not stored; first {iso(first.open_time)}: {first.reason}"


def sync_candles(
    stores: Stores,
    market_data: MarketData,
    markets: Sequence[Market],
    months: Sequence[str],
    timeframe: Timeframe,
    *,
    mode: SyncMode,
    run_id: str,
    only: Mapping[Market, Sequence[Range]] | None = None,
) -> Iterator[PartitionSync]:
    """Bring the months of the markets up to date and yield one result per partition, market by market.

    `only` names what to ask for of each market instead of all that is missing.

    A market that fails keeps what was stored and what could be fetched; its partitions carry the error and the others go on.
    """
    windows = {month: month_window(month) for month in months}
    if mode is SyncMode.FOLLOW:
        earliest = history_start(stores.settings, timeframe)
        windows = {month: (max(start, earliest), end) for month, (start, end) in windows.items() if end > earliest}
    for first in range(0, len(markets), MARKETS_PER_BATCH):
        batch = markets[first : first + MARKETS_PER_BATCH]
        heads = stores.candles.heads("ohlcv", timeframe.name, batch)
        try:
            answers = _fetch(stores, market_data, batch, timeframe, windows, heads, mode, only)
            results = list(_store(stores, timeframe, windows, heads, answers, run_id))
        except TradingError as error:
            _note_failure(stores, batch, timeframe, error)
            raise
        yield from results
        judge_markets(stores, timeframe, batch, now_ms(), market_data=market_data)


def _note_failure(stores: Stores, markets: Sequence[Market], timeframe: Timeframe, error: TradingError) -> None:
    """Record the error that ended a whole batch for the markets that were being synced."""
    syncing = [record.market for record in read_sync(stores.database, markets, [timeframe]) if record.state is SyncState.SYNCING]
    words, at = str(error) or type(error).__name__, now_ms()
    with stores.database.transaction() as connection:
        record_syncs(
            connection,
            [SyncUpdate(market, timeframe.name, SyncState.ERROR, at, error_message=words) for market in syncing],
        )


def _fetch(
    stores: Stores,
    market_data: MarketData,
    markets: Sequence[Market],
    timeframe: Timeframe,
    windows: Mapping[str, tuple[int, int]],
    heads: Mapping[PartitionId, PartitionHead],
    mode: SyncMode,
    only: Mapping[Market, Sequence[Range]] | None,
) -> list[_MarketAnswers]:
    before = {record.market: record for record in read_sync(stores.database, markets, [timeframe])}
    planned = {
        market: list(
            plan_requests(stores, market, timeframe, windows, heads, mode, None if only is None else only.get(market, ()))
        )
        for market in markets
    }
    at = now_ms()
    with stores.database.transaction() as connection:
        record_syncs(
            connection, [SyncUpdate(market, timeframe.name, SyncState.SYNCING, at) for market in markets if planned[market]]
        )
    requests = [request for pairs in planned.values() for request, _ in pairs]
    outcomes = market_data.download(requests) if requests else {}
    answers = []
    for market, pairs in planned.items():
        fetched, failed = [], []
        for request, source in pairs:
            outcome = outcomes[request]
            if isinstance(outcome, FetchedCandles):
                fetched.append(_Fetched(request.start_ms, request.end_ms, source, outcome))
            else:
                failed.append(((request.start_ms, request.end_ms), outcome))
        answers.append(_MarketAnswers(market, bool(pairs), tuple(fetched), tuple(failed), before.get(market)))
    return answers


def _store(
    stores: Stores,
    timeframe: Timeframe,
    windows: Mapping[str, tuple[int, int]],
    heads: Mapping[PartitionId, PartitionHead],
    answers: Sequence[_MarketAnswers],
    run_id: str,
) -> Iterator[PartitionSync]:
    known_at = now_ms()
    results: dict[PartitionId, PartitionSync] = {}
    to_write = [
        (PartitionId("ohlcv", each.market, timeframe.name, month), each)
        for each in answers
        for month in windows
        if month in each.months
    ]
    with stores.candles.begin([partition for partition, _ in to_write]) as transaction:
        for partition, each in to_write:
            results[partition] = _merge(transaction, partition, each, timeframe, windows[partition.month], stores, known_at)
        record_many(transaction.connection, [_record(result, timeframe, run_id) for result in results.values()])
        now_stored = dict(heads) | {partition: result.head for partition, result in results.items()}
        start = history_start(stores.settings, timeframe)
        updates = [_sync_update(each, timeframe, now_stored, known_at, windows, start) for each in answers if each.contacted]
        record_syncs(transaction.connection, updates)
        seen = [
            SeenRow(each.market, timeframe.name, row, part.source)
            for each in answers
            for part in each.fetched
            for row in part.answer.quarantined
        ]
        markets = [each.market for each in answers]
        note_quarantined(transaction.connection, stores.candles, timeframe, markets, seen, now_stored, known_at)
        update_gaps(
            stores,
            [each.market for each in answers if each.contacted],
            timeframe,
            connection=transaction.connection,
            heads={partition: result.head for partition, result in results.items()},
            errors={each.market: {stretch: str(error) for stretch, error in each.failed} for each in answers},
        )
    for each in answers:
        for month in windows:
            partition = PartitionId("ohlcv", each.market, timeframe.name, month)
            if partition in results:
                yield results[partition]
            elif partition in heads or each.error:
                yield PartitionSync(partition, heads.get(partition) or PartitionHead.empty(partition), error=each.error)


def _merge(
    transaction: StoreTransaction,
    partition: PartitionId,
    answers: _MarketAnswers,
    timeframe: Timeframe,
    window: tuple[int, int],
    stores: Stores,
    known_at: int,
) -> PartitionSync:
    start, end = window
    table = candles_table([(part.answer.candles.between(start, end), part.source) for part in answers.fetched])
    grace_ms, newest = stores.settings.grace_ms, answers.newest_open
    asked = [_settled(part, timeframe, start, min(end, newest + timeframe.milliseconds), grace_ms) for part in answers.fetched]
    holes = holes_after(transaction.head(partition).confirmed_holes, asked, timeframe)
    change = transaction.merge(partition, table, known_at_ms=known_at, confirmed_holes=holes)
    first, last = month_window(partition.month)
    quarantined = [row for part in answers.fetched for row in part.answer.quarantined if first <= row.open_time < last]
    return PartitionSync(partition, change.head, change, answers.error, answers.exchange_time_ms, quarantined)


def _settled(part: _Fetched, timeframe: Timeframe, start_ms: int, end_ms: int, grace_ms: int) -> Asked:
    """Return the stretch of [start_ms, end_ms) about which this answer is final: the exchange may publish the newest few late.

    `end_ms` ends with the market's newest candle: what nothing follows is late or was left out by mistake, and no hole.
    """
    answer = part.answer
    newest = first_open_candle(answer.exchange_time_ms, timeframe, grace_ms) - max(
        SETTLING_MS, SETTLING_CANDLES * timeframe.milliseconds
    )
    start = max(start_ms, part.start_ms, answer.unreachable_before or 0)
    end = min(end_ms, part.end_ms, newest, answer.known_until)
    refused = (timeframe.floor(row.open_time) for row in answer.quarantined)
    answered = [*answer.candles.between(start, end).open_time.tolist(), *refused]
    return Asked(start, end, tuple(sorted(time for time in answered if start <= time < end)))


def _record(result: PartitionSync, timeframe: Timeframe, run_id: str) -> RecordedInputs:
    return RecordedInputs(
        asset=f"ohlcv_{timeframe}",
        partition=result.partition.key,
        content_hash=result.head.content_hash,
        code_version=CODE_VERSION,
        settings_hash="",
        run_id=run_id,
        inputs=(),
        row_count=result.head.row_count,
    )


def _cover(windows: Mapping[str, tuple[int, int]], start_ms: int, end_ms: int) -> bool:
    """Return whether the windows leave nothing of [start_ms, end_ms) out."""
    return all(
        month in windows and windows[month][0] <= max(start_ms, month_window(month)[0])
        for month in months_between(start_ms, end_ms)
    )


def _sync_update(
    answers: _MarketAnswers,
    timeframe: Timeframe,
    heads: Mapping[PartitionId, PartitionHead],
    at_ms: int,
    windows: Mapping[str, tuple[int, int]],
    history_start_ms: int,
) -> SyncUpdate:
    """Return what to note of a market: COMPLETED only when its whole history has been gone through without an error."""
    held = [head for partition, head in heads.items() if partition.market == answers.market and head.row_count]
    before = answers.before
    whole_history = _cover(windows, history_start_ms, at_ms)
    error = answers.refusal(timeframe) if answers.error is None else str(answers.error)
    if error is None and not whole_history and before is not None and before.state is SyncState.ERROR:
        error = before.error_message
    newest = max((head.last_open for head in held if head.last_open is not None), default=None)
    # New candles complete a market only if the run also went through the time since the candle that had been the newest.
    followed = before is not None and (
        newest == before.newest_open or (before.newest_open is not None and _cover(windows, before.newest_open, at_ms))
    )
    complete = whole_history or (before is not None and before.state is SyncState.COMPLETED and followed)
    return SyncUpdate(
        answers.market,
        timeframe.name,
        SyncState.ERROR if error else SyncState.COMPLETED if complete else SyncState.PENDING,
        at_ms,
        oldest_open=min((head.first_open for head in held if head.first_open is not None), default=None),
        newest_open=newest,
        total_candles=sum(head.row_count for head in held),
        error_message=error,
    )
