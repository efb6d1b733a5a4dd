"""Candles that the exchange no longer gives, rebuilt from its public trades and checked against candles that it does give."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fks_assets.assets.market_data import CODE_VERSION
from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.assets.market_data.missing import Asked, holes_after, missing_ranges
from fks_assets.assets.market_data.native import NativeCandles, NativeStretch
from fks_assets.assets.market_data.sync import PartitionSync
from fks_assets.clock import iso, now_ms
from fks_assets.errors import InvalidInput, InvalidResponse
from fks_assets.exchanges.trade_download import TradesRequest
from fks_assets.exchanges.trades import TradePage
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles, empty_candles
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range, joined
from fks_assets.quant.timeframes import TIMEFRAMES, Timeframe, month_window, months_between
from fks_assets.quant.trades import Agreement, CandleBuilder, compare_candles, joined_agreement
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import Change, PartitionHead, PartitionId, StoreTransaction
from fks_assets.stores.canonical import times_of
from fks_assets.stores.lineage import RecordedInputs, record_many
from fks_assets.stores.sync_status import SyncUpdate, read_sync, record_syncs

SOURCE = "trades"
PAGES_PER_STORE = 50
_DAY = TIMEFRAMES["1d"]


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What a rebuild of [start_ms, end_ms) did.

    `partitions` are the months in which candles were stored, `candles` how many. `agreement` compares what the trades give with
    the exchange's own candles, None when nothing was missing. Everything before `known_until_ms` is settled.
    """

    start_ms: int
    end_ms: int
    partitions: tuple[PartitionSync, ...]
    candles: int
    trades: int
    requests: int
    agreement: Agreement | None
    known_until_ms: int


def rebuild_from_trades(
    stores: Stores, market_data: MarketData, market: Market, timeframe: Timeframe, start_ms: int, end_ms: int, *, run_id: str
) -> RebuildResult:
    """Rebuild the missing candles of a market that open in [start_ms, end_ms) and store them with the source "trades".

    First the trades beside each hole are compared with the exchange's own candles there, then the hole is read and stored piece
    by piece, whole days compared with the exchange's day candles as far as it still gives those. Candles that are stored stay as
    they are; what is stored, or known to be silent, is not read again. Intervals without trades become confirmed holes.

    Raises InvalidInput when the market's exchange is not asked for trades; ExchangeError when it failed, InvalidResponse when the
    candles do not agree or there is none to compare with. What had been checked and stored by then stays, and the next call goes
    on from there.
    """
    if market.exchange != stores.settings.exchange or not market_data.gives_trades:
        raise InvalidInput(f"candles of {market} cannot be rebuilt: trades are read from {stores.settings.exchange} if from any")
    rebuild = _Rebuild(stores, market_data, market, timeframe, run_id)
    try:
        return rebuild.run(timeframe.ceil(start_ms), timeframe.ceil(end_ms))
    finally:
        if rebuild.written:
            update_gaps(stores, [market], timeframe)


@dataclass(slots=True)
class _Rebuild:
    stores: Stores
    market_data: MarketData
    market: Market
    timeframe: Timeframe
    run_id: str
    written: dict[PartitionId, PartitionSync] = field(default_factory=dict)
    agreements: list[Agreement] = field(default_factory=list)
    candles: int = 0
    trades: int = 0
    requests: int = 0

    def run(self, start_ms: int, end_ms: int) -> RebuildResult:
        holes = self._holes(start_ms, end_ms)
        native = NativeCandles(self.stores, self.market_data, self.market)
        windows = {(found.start_ms, found.end_ms): found for hole in holes for found in native.beside(self.timeframe, *hole)}
        for window in windows.values():
            self._compare(window)
        if holes and not any(agreement.holds for agreement in self.agreements):
            raise self._refusal("there is none of the exchange's own candles to compare them with")
        known_until = end_ms
        for hole in holes:
            days = native.days(*hole) if self.timeframe.milliseconds < _DAY.milliseconds else empty_candles()
            settled = _Hole(self, hole, days).fill()
            if settled < hole[1]:
                known_until = settled
                break
        return RebuildResult(
            start_ms,
            end_ms,
            tuple(result for result in self.written.values() if result.changed),
            self.candles,
            self.trades,
            self.requests,
            joined_agreement(self.agreements) if self.agreements else None,
            known_until,
        )

    def read(self, start_ms: int, end_ms: int, on_page: Callable[[TradePage], None]) -> int:
        """Read the trades of a stretch and return until when they are known."""
        known_until = start_ms
        for segment in self.stores.settings.history_segments(self.market, start_ms, end_ms):
            read = self.market_data.download_trades(TradesRequest(segment.symbol, segment.start_ms, segment.end_ms), on_page)
            self.trades += read.trades
            self.requests += read.requests
            known_until = read.known_until_ms
            if known_until < segment.end_ms:
                break
        return known_until

    def compare(self, rebuilt: Candles, native: Candles) -> None:
        """Note how rebuilt candles agree with native ones; raise InvalidResponse unless they do."""
        agreement = compare_candles(rebuilt, native)
        self.agreements.append(agreement)
        if agreement.differing:
            raise self._refusal(f"from {iso(agreement.first_difference_ms)} on they are not the exchange's own: {agreement}")

    def store(self, candles: Candles, start_ms: int, end_ms: int) -> None:
        """Store the candles of [start_ms, end_ms), where those that are missing do not exist."""
        partitions = [PartitionId("ohlcv", self.market, self.timeframe.name, month) for month in months_between(start_ms, end_ms)]
        with self.stores.candles.begin(partitions) as transaction:
            for partition in partitions:
                first, last = month_window(partition.month)
                self._merge(transaction, partition, candles, max(start_ms, first), min(end_ms, last))
            record_many(transaction.connection, [self._record(self.written[partition]) for partition in partitions])
            heads = self.stores.candles.heads("ohlcv", self.timeframe.name, [self.market])
            heads |= {partition: self.written[partition].head for partition in partitions}
            self._note_status(transaction, [head for head in heads.values() if head.row_count])

    def _holes(self, start_ms: int, end_ms: int) -> list[Range]:
        months = {month: month_window(month) for month in months_between(start_ms, end_ms)}
        heads = self.stores.candles.heads("ohlcv", self.timeframe.name, [self.market], list(months))
        by_month = {partition.month: head for partition, head in heads.items()}
        return joined(
            hole
            for month, (first, last) in months.items()
            for hole in missing_ranges(
                self.stores.candles,
                by_month.get(month),
                self.timeframe,
                max(start_ms, first),
                min(end_ms, last),
                skip_confirmed=True,
                overlap=0,
            )
        )

    def _compare(self, window: NativeStretch) -> None:
        builder = CandleBuilder(self.timeframe, window.start_ms)
        known_until = self.read(window.start_ms, window.end_ms, lambda page: builder.add(page.trades))
        self.compare(builder.take(known_until), window.candles.between(window.start_ms, self.timeframe.floor(known_until)))

    def _merge(self, transaction: StoreTransaction, partition: PartitionId, candles: Candles, start_ms: int, end_ms: int) -> None:
        candles = candles.between(start_ms, end_ms)
        stored = times_of(transaction.read(partition))
        table = candles_table([(candles, SOURCE)]).filter(~np.isin(candles.open_time, stored))
        present = np.union1d(stored, candles.open_time)
        answered = tuple(present[(present >= start_ms) & (present < end_ms)].tolist())
        holes = holes_after(transaction.head(partition).confirmed_holes, [Asked(start_ms, end_ms, answered)], self.timeframe)
        change = transaction.merge(partition, table, known_at_ms=now_ms(), confirmed_holes=holes)
        before = self.written.get(partition)
        inserted = change.inserted + (before.change.inserted if before is not None and before.change is not None else 0)
        self.written[partition] = PartitionSync(partition, change.head, Change(change.head, inserted, 0, 0))
        self.candles += change.inserted

    def _note_status(self, transaction: StoreTransaction, held: list[PartitionHead]) -> None:
        """Let the sync status count the rebuilt candles; its state is not this module's to change."""
        updates = [
            SyncUpdate(
                self.market,
                self.timeframe.name,
                before.state,
                before.last_attempt_at,
                oldest_open=min((head.first_open for head in held if head.first_open is not None), default=None),
                newest_open=max((head.last_open for head in held if head.last_open is not None), default=None),
                total_candles=sum(head.row_count for head in held),
                error_message=before.error_message,
            )
            for before in read_sync(transaction.connection, [self.market], [self.timeframe])
        ]
        record_syncs(transaction.connection, updates)

    def _record(self, result: PartitionSync) -> RecordedInputs:
        return RecordedInputs(
            asset=f"ohlcv_{self.timeframe}",
            partition=result.partition.key,
            content_hash=result.head.content_hash,
            code_version=CODE_VERSION,
            settings_hash="",
            run_id=self.run_id,
            inputs=(),
            row_count=result.head.row_count,
        )

    def _refusal(self, fault: str) -> InvalidResponse:
        message = f"{self.market} {self.timeframe}: candles rebuilt from trades are not stored: {fault}"
        return InvalidResponse(message, exchange=self.market.exchange, endpoint=SOURCE)


class _Hole:
    """One hole while it is filled from its start; `days` are the exchange's own day candles of the days that lie in it."""

    def __init__(self, rebuild: _Rebuild, hole: Range, days: Candles) -> None:
        self._rebuild = rebuild
        self._hole = hole
        self._days = days
        self._builder = CandleBuilder(rebuild.timeframe, hole[0])
        self._day_builder = CandleBuilder(_DAY, hole[0])
        self._stored_until = hole[0]
        self._pages = 0

    def fill(self) -> int:
        """Read, check and store the hole piece by piece; return until when it is settled.

        What was read since the last piece was stored is lost with an error, so that nothing is stored unchecked.
        """
        known_until = self._rebuild.read(*self._hole, self._take)
        self._store(known_until)
        return self._stored_until

    def _take(self, page: TradePage) -> None:
        self._builder.add(page.trades)
        if len(self._days):
            self._day_builder.add(page.trades)
        self._pages += 1
        if self._pages >= PAGES_PER_STORE:
            self._store(_DAY.floor(page.known_until_ms) if len(self._days) else page.known_until_ms)

    def _store(self, known_until: int) -> None:
        until = self._rebuild.timeframe.floor(known_until)
        if until <= self._stored_until:
            return
        candles, days = self._builder.take(until), self._day_builder.take(until)
        native = self._days.between(self._stored_until, until - _DAY.milliseconds + 1)
        self._rebuild.compare(_of_times(days, native.open_time), native)
        self._rebuild.store(candles, self._stored_until, until)
        self._stored_until, self._pages = until, 0


def _of_times(candles: Candles, open_times: np.ndarray) -> Candles:
    chosen = np.isin(candles.open_time, open_times)
    return Candles(candles.open_time[chosen], *(getattr(candles, name)[chosen] for name in OHLCV_COLUMNS))
