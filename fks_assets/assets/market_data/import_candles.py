"""Store candles from files beside those from the exchange: what is stored already stays, unless it is to be replaced."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fks_assets.assets.market_data import CODE_VERSION
from fks_assets.clock import now_ms
from fks_assets.imports.report import MOST_EXAMPLES, Conflict, ImportedSeries
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles
from fks_assets.quant.gaps import GapStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import runs, without
from fks_assets.quant.timeframes import Timeframe, month_window, months_between
from fks_assets.resources.stores import Stores
from fks_assets.stores.candle_tables import candles_from_table, candles_table
from fks_assets.stores.candles import PartitionHead, PartitionId, StoreTransaction
from fks_assets.stores.gap_records import OPEN, read_gaps
from fks_assets.stores.lineage import InputRef, RecordedInputs, record_many


@dataclass(slots=True)
class StoredImport:
    """What an import did, or would do, to the stored candles of one market and timeframe.

    `inserted`: were missing; `equal`: were stored with the same values; `kept`: are stored with other values and stay;
    `replaced`: were stored with other values and went to the revisions. `conflicts` are a few of the last two, with the values
    that are stored in the end first. `months` are those that changed.
    """

    inserted: int = 0
    equal: int = 0
    kept: int = 0
    replaced: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    months: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.inserted or self.replaced)


@dataclass(frozen=True, slots=True)
class GapOutcome:
    """What became of the gap records of a market and timeframe: how many are filled now that were open, and how many are open."""

    market: Market
    timeframe: Timeframe
    filled: int
    open: int


@dataclass(frozen=True, slots=True)
class _Sorted:
    """New rows of one month, by what is stored under their open time: nothing, the same values, or others (`stored`)."""

    missing: np.ndarray
    equal: int
    differing: np.ndarray
    stored: np.ndarray


def store_series(
    stores: Stores, series: ImportedSeries, *, replace: bool = False, dry_run: bool = False, run_id: str
) -> StoredImport:
    """Store the candles of a file in one transaction and return what changed; `dry_run` only finds out what would.

    Stored rows that differ stay, wherever they came from, unless `replace`. The same import again changes nothing.
    Call `judge_gaps` afterwards.
    """
    partitions = _partitions(series)
    outcome = StoredImport()
    if dry_run:
        for partition in partitions:
            start, end = month_window(partition.month)
            stored = stores.candles.read_table("ohlcv", series.market, series.timeframe.name, start, end, columns=OHLCV_COLUMNS)
            _note(outcome, partition, series, _compare(stored, series.candles.between(start, end)), replace=replace)
        return outcome
    known_at = now_ms()
    with stores.candles.begin(partitions) as transaction:
        changed = [
            head
            for partition in partitions
            if (head := _merge(transaction, partition, series, outcome, known_at, replace=replace)) is not None
        ]
        record_many(transaction.connection, [_record(head, series, run_id) for head in changed])
    return outcome


def judge_gaps(stores: Stores, imported: Iterable[tuple[Market, Timeframe]]) -> list[GapOutcome]:
    """Bring the gap records of imported series up to date: those whose candles are all there now become FILLED."""
    from fks_assets.assets.market_data.gap_ledger import update_gaps

    outcomes = []
    for market, timeframe in sorted(set(imported), key=lambda each: (each[0], each[1].milliseconds)):
        before = {record.id for record in read_gaps(stores.database, [market], [timeframe], OPEN)}
        update_gaps(stores, [market], timeframe)
        after = read_gaps(stores.database, [market], [timeframe])
        filled = sum(record.id in before and record.status is GapStatus.FILLED for record in after)
        outcomes.append(GapOutcome(market, timeframe, filled, sum(record.status is not GapStatus.FILLED for record in after)))
    return outcomes


def _partitions(series: ImportedSeries) -> list[PartitionId]:
    times = series.candles.open_time
    if not len(times):
        return []
    months = months_between(int(times[0]), int(times[-1]) + 1)
    held = [month for month in months if len(series.candles.between(*month_window(month)))]
    return [PartitionId("ohlcv", series.market, series.timeframe.name, month) for month in held]


def _merge(
    transaction: StoreTransaction,
    partition: PartitionId,
    series: ImportedSeries,
    outcome: StoredImport,
    known_at: int,
    *,
    replace: bool,
) -> PartitionHead | None:
    """Merge one month and return its new head, None when nothing changed."""
    candles = series.candles.between(*month_window(partition.month))
    compared = _compare(transaction.read(partition), candles)
    _note(outcome, partition, series, compared, replace=replace)
    wanted = np.sort(np.concatenate((compared.missing, compared.differing))) if replace else compared.missing
    if not len(wanted):
        return None
    chosen = Candles(*(getattr(candles, name)[wanted] for name in ("open_time", *OHLCV_COLUMNS)))
    holes = without(transaction.head(partition).confirmed_holes, runs(chosen.open_time, series.timeframe.milliseconds))
    table = candles_table([(chosen, series.source)])
    return transaction.merge(partition, table, known_at_ms=known_at, confirmed_holes=holes).head


def _compare(table: pa.Table, candles: Candles) -> _Sorted:
    stored = candles_from_table(table)
    rows = np.arange(len(candles))
    if not len(stored):
        return _Sorted(rows, 0, rows[:0], rows[:0])
    place = np.minimum(np.searchsorted(stored.open_time, candles.open_time), len(stored) - 1)
    known = stored.open_time[place] == candles.open_time
    same = known.copy()
    for name in OHLCV_COLUMNS:
        same &= getattr(stored, name)[place] == getattr(candles, name)
    differing = known & ~same
    values = np.stack([getattr(stored, name)[place[differing]] for name in OHLCV_COLUMNS])
    return _Sorted(rows[~known], int(same.sum()), rows[differing], values)


def _note(outcome: StoredImport, partition: PartitionId, series: ImportedSeries, compared: _Sorted, *, replace: bool) -> None:
    differing = len(compared.differing)
    outcome.inserted += len(compared.missing)
    outcome.equal += compared.equal
    outcome.kept += 0 if replace else differing
    outcome.replaced += differing if replace else 0
    if len(compared.missing) or (replace and differing):
        outcome.months.append(partition.month)
    candles = series.candles.between(*month_window(partition.month))
    for row in range(min(differing, MOST_EXAMPLES - len(outcome.conflicts))):
        at = int(compared.differing[row])
        old, new = tuple(compared.stored[:, row].tolist()), candles.values(at)
        outcome.conflicts.append(Conflict(int(candles.open_time[at]), *((new, old) if replace else (old, new))))


def _record(head: PartitionHead, series: ImportedSeries, run_id: str) -> RecordedInputs:
    return RecordedInputs(
        asset=f"ohlcv_{series.timeframe}",
        partition=head.partition.key,
        content_hash=head.content_hash,
        code_version=CODE_VERSION,
        settings_hash="",
        run_id=run_id,
        inputs=(InputRef(series.source, series.label, series.sha256),),
        row_count=head.row_count,
    )
