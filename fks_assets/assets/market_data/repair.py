"""Repair gaps: fetch what is missing and can be fetched, newest gaps first, within the exchange's limits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.assets.market_data.plan import SyncMode
from fks_assets.assets.market_data.sync import PartitionSync, sync_candles
from fks_assets.clock import MILLISECONDS_PER_DAY, now_ms
from fks_assets.errors import ExchangeError, InvalidInput
from fks_assets.quant.gaps import GapCause, GapStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range, joined
from fks_assets.quant.timeframes import Timeframe, months_between
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.stores.database import REPAIR_LOCK, alone
from fks_assets.stores.gap_records import OPEN, GapRecord, lock_series, read_gaps, retry_failed, write_gaps

TIERS = ("TIER1", "TIER2", "TIER3", "TIER4")
MARKETS_PER_BATCH = 25


@dataclass(frozen=True, slots=True)
class RepairOrder:
    """What to repair: the gaps of a tier's markets (ALL: of every market, TIER1 first) in these timeframes.

    Gaps that ended more than `lookback_days` ago are left alone; of each market and timeframe the newest `max_gaps_per_asset`
    are taken. `between` asks instead for all that is missing in a stretch of time. `retry` does not wait for the pause after an
    attempt. `trades` rebuilds from public trades what the exchange's candles no longer reach.
    """

    tier: str
    timeframes: tuple[Timeframe, ...]
    lookback_days: int
    max_gaps_per_asset: int
    between: Range | None = None
    retry: bool = False
    trades: bool = True


@dataclass(slots=True)
class RepairReport:
    """What a repair did, with the names and counts of S5.1."""

    task_id: str
    tier: str
    intervals: list[int]
    assets_processed: int = 0
    gaps_detected: int = 0
    gaps_filled: int = 0
    gaps_unfillable: int = 0
    gaps_failed: int = 0
    total_candles_filled: int = 0
    errors: list[str] = field(default_factory=list)
    required_csv_files: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def order_timeframes(stores: Stores, intervals: Sequence[int]) -> tuple[Timeframe, ...]:
    """Return the desk's timeframes of these lengths in minutes, the longest first. Raises InvalidInput for any other length."""
    offered = {timeframe.seconds // 60: timeframe for timeframe in stores.settings.timeframe_list()}
    unknown = [minutes for minutes in intervals if minutes not in offered]
    if unknown:
        raise InvalidInput(f"interval {unknown[0]} min is not one of the desk's: {', '.join(map(str, offered))}")
    return tuple(offered[minutes] for minutes in sorted(set(intervals), reverse=True))


def markets_of_tier(stores: Stores, tier: str) -> list[Market]:
    """Return the markets of a tier in the order of the settings; ALL: of every tier, TIER1 first. Raises InvalidInput."""
    if tier not in (*TIERS, "ALL"):
        raise InvalidInput(f"tier {tier!r} is unknown; known: {', '.join(TIERS)}, ALL")
    chosen = TIERS if tier == "ALL" else (tier,)
    tiers = stores.settings.tiers()
    return [market for each in chosen for market, its in tiers.items() if its == each]


def repair_gaps(
    stores: Stores, market_data: MarketData, order: RepairOrder, report: RepairReport
) -> Iterator[tuple[Timeframe, PartitionSync]]:
    """Repair and yield what changed, month by month; `report` says in the end what became of the gaps.

    Whatever was stored stays when it is interrupted; the next repair goes on with what is still missing.
    """
    markets = markets_of_tier(stores, order.tier)
    report.assets_processed = len(markets)
    with alone(stores.database.url, REPAIR_LOCK) as is_alone:
        for timeframe in order.timeframes:
            for first in range(0, len(markets), MARKETS_PER_BATCH):
                some = markets[first : first + MARKETS_PER_BATCH]
                for result in _Batch(stores, market_data, order, report, timeframe, some, is_alone).run():
                    yield timeframe, result


@dataclass(frozen=True, slots=True)
class _Batch:
    """One timeframe of some markets. `is_alone`: no other repair runs, so a gap that is BACKFILLING was left by one that died."""

    stores: Stores
    market_data: MarketData
    order: RepairOrder
    report: RepairReport
    timeframe: Timeframe
    markets: Sequence[Market]
    is_alone: bool

    def run(self) -> Iterator[PartitionSync]:
        at = now_ms()
        if self.order.retry:
            with self.stores.database.transaction() as connection:
                retry_failed(connection, self.markets, [self.timeframe])
        known = update_gaps(self.stores, self.markets, self.timeframe)
        looked_at = [gap for gap in known if self._concerns(gap, at)]
        self.report.gaps_detected += len(looked_at)
        chosen = self._chosen(looked_at, at)
        asked = self._asked(chosen)
        if chosen:
            self._begin(chosen, at)
        errors: dict[Market, str] = {}
        if asked:
            for result in self._fetch(asked):
                if result.error is not None:
                    errors[result.partition.market] = str(result.error)
                if result.change is not None:
                    self.report.total_candles_filled += result.change.inserted
                if result.changed:
                    yield result
        if self.order.trades:
            yield from self._rebuild(looked_at, errors)
        update_gaps(self.stores, self.markets, self.timeframe, attempted={gap.id for gap in chosen})
        self.report.errors += [f"{market.key} {self.timeframe}: {words}" for market, words in errors.items()]
        self._count(looked_at)

    def _concerns(self, gap: GapRecord, at: int) -> bool:
        if self.order.between is not None:
            return gap.start_ms < self.order.between[1] and gap.end_ms > self.order.between[0]
        return gap.end_ms > at - self.order.lookback_days * MILLISECONDS_PER_DAY

    def _chosen(self, gaps: Sequence[GapRecord], at: int) -> list[GapRecord]:
        """Return the gaps to fetch: of each market the newest ones that are due."""
        due = [gap for gap in gaps if gap.is_due(at) or (gap.status is GapStatus.BACKFILLING and self.is_alone)]
        return due if self.order.between is not None else self._newest_of_each_market(due)

    def _newest_of_each_market(self, gaps: Sequence[GapRecord]) -> list[GapRecord]:
        taken: Counter[Market] = Counter()
        chosen = []
        for gap in sorted(gaps, key=lambda gap: gap.start_ms, reverse=True):
            taken[gap.market] += 1
            if taken[gap.market] <= self.order.max_gaps_per_asset:
                chosen.append(gap)
        return chosen

    def _asked(self, chosen: Sequence[GapRecord]) -> dict[Market, list[Range]]:
        """Return the stretches to ask for; a stretch of time given by a person is asked for whole, with its known holes."""
        asked: dict[Market, list[Range]] = {}
        for gap in chosen:
            asked.setdefault(gap.market, []).append((gap.start_ms, gap.end_ms))
        if self.order.between is not None:
            start, end = self.order.between
            return {market: [(start, end)] for market in self.markets}
        return {market: joined(ranges) for market, ranges in asked.items()}

    def _begin(self, chosen: Sequence[GapRecord], at: int) -> None:
        """Note that the gaps are being fetched, those that another writer closed since they were looked at left out."""
        ids = {gap.id for gap in chosen}
        with self.stores.database.transaction() as connection:
            lock_series(connection, self.timeframe, self.markets)
            known = read_gaps(connection, self.markets, [self.timeframe], OPEN)
            begun = [
                replace(gap, status=GapStatus.BACKFILLING, attempts=gap.attempts + 1, attempted_at=at, next_attempt_at=None)
                for gap in known
                if gap.id in ids and gap.is_api_fillable
            ]
            write_gaps(connection, begun)

    def _fetch(self, asked: Mapping[Market, Sequence[Range]]) -> Iterator[PartitionSync]:
        months = sorted({month for ranges in asked.values() for start, end in ranges for month in months_between(start, end)})
        yield from sync_candles(
            self.stores,
            self.market_data,
            list(asked),
            months,
            self.timeframe,
            mode=SyncMode.REPAIR,
            run_id=self.report.task_id,
            only=None if self.order.between is not None else asked,
        )

    def _rebuild(self, gaps: Sequence[GapRecord], errors: dict[Market, str]) -> Iterator[PartitionSync]:
        """Rebuild from public trades what lies beyond the reach of the exchange's candles."""
        beyond = [gap for gap in gaps if gap.cause is GapCause.BEYOND_API_LIMIT]
        if not beyond or not self.market_data.gives_trades:
            return
        from fks_assets.assets.market_data.rebuild import rebuild_from_trades

        first, last = self.order.between or (0, now_ms())
        for gap in self._newest_of_each_market(beyond):
            try:
                rebuilt = rebuild_from_trades(
                    self.stores,
                    self.market_data,
                    gap.market,
                    self.timeframe,
                    max(gap.start_ms, first),
                    min(gap.end_ms, last),
                    run_id=self.report.task_id,
                )
            except ExchangeError as error:
                errors[gap.market] = str(error)
                continue
            self.report.total_candles_filled += sum(change.change.inserted for change in rebuilt.partitions if change.change)
            yield from rebuilt.partitions

    def _count(self, before: Sequence[GapRecord]) -> None:
        after = {gap.id: gap for gap in read_gaps(self.stores.database, self.markets, [self.timeframe])}
        for gap in before:
            now = after.get(gap.id)
            if now is None:
                continue
            if now.status is GapStatus.FILLED:
                self.report.gaps_filled += 1
            elif now.status is GapStatus.UNFILLABLE:
                self.report.gaps_unfillable += 1
                if now.required_csv_file and now.required_csv_file not in self.report.required_csv_files:
                    self.report.required_csv_files.append(now.required_csv_file)
            elif now.status is GapStatus.FAILED:
                self.report.gaps_failed += 1
