"""Keep candles complete: read what is stored, fetch only what is missing, store it. Used by the ohlcv assets and `fks sync`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fks_assets.assets.market_data.history import history_start
from fks_assets.assets.market_data.missing import Asked, holes_after, missing_ranges
from fks_assets.clock import now_ms
from fks_assets.errors import ExchangeError
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.download import CandleRequest
from fks_assets.exchanges.gateway import FetchedCandles
from fks_assets.quant.candles import QuarantinedRow
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, first_open_candle, month_window, months_between
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import Change, PartitionHead, PartitionId
from fks_assets.stores.lineage import record_inputs
from fks_assets.stores.sync_status import SyncState, record_sync

CODE_VERSION = "1"
MARKETS_PER_BATCH = 25
OVERLAP_CANDLES = 3
SETTLING_CANDLES = 3
SETTLING_MS = 3_600_000


class SyncMode(StrEnum):
    """FOLLOW: the schedules' history window, and the newest candles once more. REPAIR: every hole of the months asked for.
    VERIFY: fetch those months whole again and compare."""

    FOLLOW = "follow"
    REPAIR = "repair"
    VERIFY = "verify"


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
    symbol_source: str
    start_ms: int
    end_ms: int
    answer: FetchedCandles


def sync_candles(
    stores: Stores,
    market_data: MarketData,
    markets: Sequence[Market],
    months: Sequence[str],
    timeframe: Timeframe,
    *,
    mode: SyncMode,
    run_id: str,
) -> Iterator[PartitionSync]:
    """Bring the months of the markets up to date and yield one result per partition, market by market.

    A market that fails keeps what was stored; its partitions carry the error and the others go on.
    """
    for first in range(0, len(markets), MARKETS_PER_BATCH):
        yield from _sync_batch(stores, market_data, markets[first : first + MARKETS_PER_BATCH], months, timeframe, mode, run_id)


def _sync_batch(
    stores: Stores,
    market_data: MarketData,
    markets: Sequence[Market],
    months: Sequence[str],
    timeframe: Timeframe,
    mode: SyncMode,
    run_id: str,
) -> Iterator[PartitionSync]:
    windows = {month: month_window(month) for month in months}
    if mode is SyncMode.FOLLOW:
        earliest = history_start(stores.settings, timeframe)
        windows = {month: (max(start, earliest), end) for month, (start, end) in windows.items() if end > earliest}
    heads = stores.candles.heads("ohlcv", timeframe.name, markets, list(windows))
    partitions = [PartitionId("ohlcv", market, timeframe.name, month) for market in markets for month in windows]
    requests = {
        market: list(_plan(stores, market, timeframe, windows, heads, mode)) for market in markets
    }
    with stores.database.engine.begin() as connection:
        for market in markets:
            if requests[market]:
                record_sync(connection, market, timeframe, state=SyncState.SYNCING, at_ms=now_ms())
    flat = [request for planned in requests.values() for request, _ in planned]
    answers = market_data.download(flat) if flat else {}
    for market in markets:
        fetched = [
            _Fetched(source, request.start_ms, request.end_ms, answer)
            for request, source in requests[market]
            if isinstance(answer := answers[request], FetchedCandles)
        ]
        error = next((answers[request] for request, _ in requests[market] if isinstance(answers[request], ExchangeError)), None)
        own = [partition for partition in partitions if partition.market == market]
        yield from _store(stores, market, timeframe, own, windows, heads, fetched, error, bool(requests[market]), run_id)


def _plan(
    stores: Stores,
    market: Market,
    timeframe: Timeframe,
    windows: dict[str, tuple[int, int]],
    heads: dict[PartitionId, PartitionHead],
    mode: SyncMode,
) -> Iterator[tuple[CandleRequest, str]]:
    page = DIALECTS[stores.settings.exchange_profile().dialect].page_rows
    ranges: list[tuple[int, int]] = []
    for month, (start, end) in windows.items():
        partition = PartitionId("ohlcv", market, timeframe.name, month)
        head = heads.get(partition)
        ranges += (
            [(start, end)]
            if mode is SyncMode.VERIFY
            else missing_ranges(
                stores.candles,
                partition,
                head,
                timeframe,
                start,
                end,
                skip_confirmed=mode is SyncMode.FOLLOW,
                overlap=OVERLAP_CANDLES if mode is SyncMode.FOLLOW else 0,
            )
        )
    for start, end in _joined(sorted(ranges), page * timeframe.milliseconds):
        for segment in stores.settings.history_segments(market, start, end):
            yield CandleRequest(market, segment.symbol, timeframe, segment.start_ms, segment.end_ms), segment.source


def _joined(ranges: Iterable[tuple[int, int]], page_ms: int) -> Iterator[tuple[int, int]]:
    """Join touching ranges, and neighbours that one page can answer together."""
    current: tuple[int, int] | None = None
    for start, end in ranges:
        if current is not None and (start <= current[1] or end - current[0] <= page_ms):
            current = current[0], max(current[1], end)
            continue
        if current is not None:
            yield current
        current = start, end
    if current is not None:
        yield current


def _store(
    stores: Stores,
    market: Market,
    timeframe: Timeframe,
    partitions: Sequence[PartitionId],
    windows: dict[str, tuple[int, int]],
    heads: dict[PartitionId, PartitionHead],
    fetched: Sequence[_Fetched],
    error: ExchangeError | None,
    contacted: bool,
    run_id: str,
) -> Iterator[PartitionSync]:
    known_at = now_ms()
    touched = {month for part in fetched for month in months_between(part.start_ms, part.end_ms)}
    to_write = [partition for partition in partitions if partition.month in touched]
    results: dict[PartitionId, PartitionSync] = {}
    quarantined: defaultdict[str, list[QuarantinedRow]] = defaultdict(list)
    for part in fetched:
        for row in part.answer.quarantined:
            for month in months_between(row.open_time, row.open_time + 1):
                quarantined[month].append(row)
    exchange_time = max((part.answer.exchange_time_ms for part in fetched), default=None)
    with stores.candles.begin(to_write) as transaction:
        for partition in to_write:
            start, end = windows[partition.month]
            table = candles_table([(part.answer.candles.between(start, end), part.symbol_source) for part in fetched])
            asked = [_settled(part, timeframe, start, end, stores.settings.grace_ms) for part in fetched]
            holes = holes_after(transaction.head(partition).confirmed_holes, asked, timeframe)
            change = transaction.merge(partition, table, known_at_ms=known_at, confirmed_holes=holes)
            results[partition] = PartitionSync(partition, change.head, change, error, exchange_time, quarantined[partition.month])
            record_inputs(
                transaction.connection,
                asset=f"ohlcv_{timeframe}",
                partition=partition.key,
                content_hash=change.head.content_hash,
                code_version=CODE_VERSION,
                settings_hash="",
                run_id=run_id,
                inputs=[],
                row_count=change.head.row_count,
            )
        if contacted:
            record_sync(
                transaction.connection,
                market,
                timeframe,
                state=SyncState.ERROR if error else SyncState.COMPLETED,
                error_message=str(error) if error else None,
                at_ms=known_at,
            )
    for partition in partitions:
        if partition in results:
            yield results[partition]
        elif partition in heads or error:
            yield PartitionSync(partition, heads.get(partition) or PartitionHead.empty(partition), None, error, exchange_time)


def _settled(part: _Fetched, timeframe: Timeframe, start_ms: int, end_ms: int, grace_ms: int) -> Asked:
    """Return the stretch of [start_ms, end_ms) about which this answer is final: the exchange may publish the newest few late."""
    answer = part.answer
    newest = first_open_candle(answer.exchange_time_ms, timeframe, grace_ms) - max(SETTLING_MS, SETTLING_CANDLES * timeframe.milliseconds)
    start = max(start_ms, part.start_ms, answer.unreachable_before or 0)
    end = min(end_ms, part.end_ms, newest)
    answered = [*answer.candles.between(start, end).open_time.tolist(), *(row.open_time for row in answer.quarantined)]
    return Asked(start, end, tuple(sorted(time for time in answered if start <= time < end)))
