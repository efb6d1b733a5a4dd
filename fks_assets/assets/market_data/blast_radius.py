"""What a restated candle changed: its values before and after, and every row that was made from it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from fks_assets.clock import MILLISECONDS_PER_DAY, iso
from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.partitions import split_partition_key
from fks_assets.quant.candles import OHLCV_COLUMNS
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe, month_of
from fks_assets.resources.stores import Stores
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.canonical import KNOWN_AT, SUPERSEDED_AT, payload_of, times_of
from fks_assets.stores.market_checks import read_blocked
from fks_assets.stores.notifications import notify
from fks_assets.stores.revisions import Lineage, datasets_of, dependents_of, record_as_of, restated_months

ACTIONS = {1: "BUY", -1: "SELL", 0: "HOLD"}
NOTED_DAYS = 7
NOTES_PER_RUN = 20
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row of a dataset before and after, in the columns that differ; None: it was not there. `open_time` in ms."""

    dataset: str
    open_time: int
    old: Values | None
    new: Values | None


@dataclass(frozen=True, slots=True)
class DependentChange:
    """A partition that used the old value. `state`: changed, unchanged, pending while it has not been made again, or kept: a
    backtest or another result of its day, which nothing makes again.
    """

    asset: str
    partition: str
    state: str
    rows: tuple[RowChange, ...]


@dataclass(frozen=True, slots=True)
class CandleRevision:
    """One restatement of a candle. `new` None: the candle was removed. Times are UTC milliseconds."""

    known_at: int
    superseded_at: int
    old: Values
    new: Values | None
    dependents: tuple[DependentChange, ...]

    @property
    def pending(self) -> bool:
        return any(dependent.state == "pending" for dependent in self.dependents)


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """Every restatement of one candle, oldest first, each with what it changed."""

    market: Market
    timeframe: Timeframe
    open_time: int
    revisions: tuple[CandleRevision, ...]

    def document(self) -> dict[str, Any]:
        """Return it for JSON, with ISO times."""
        return {
            "market": self.market.key,
            "timeframe": self.timeframe.name,
            "open_time": iso(self.open_time),
            "revisions": [
                {
                    "known_at": iso(revision.known_at),
                    "superseded_at": iso(revision.superseded_at),
                    "old": revision.old,
                    "new": revision.new,
                    "dependents": [
                        {
                            "asset": dependent.asset,
                            "partition": dependent.partition,
                            "state": dependent.state,
                            "rows": [
                                {"dataset": row.dataset, "open_time": iso(row.open_time), "old": row.old, "new": row.new}
                                for row in dependent.rows
                            ],
                        }
                        for dependent in revision.dependents
                    ],
                }
                for revision in self.revisions
            ],
        }


def blast_radius(stores: Stores, market: Market, timeframe: Timeframe, open_time: int) -> BlastRadius:
    """Return what the restatements of one candle changed; none, if it was never restated.

    Raises InvalidInput for a time off the grid, InsufficientData when no candle was ever stored there.
    """
    if open_time != timeframe.floor(open_time):
        raise InvalidInput(f"{iso(open_time)} is not the open time of a {timeframe} candle: {iso(timeframe.floor(open_time))} is")
    partition = PartitionId("ohlcv", market, timeframe.name, month_of(open_time))
    table = stores.candles.revisions(partition)
    old = table.filter(pa.array(times_of(table) == open_time))
    now = stores.candles.read_table("ohlcv", market, timeframe.name, open_time, open_time + 1)
    if not old.num_rows and not now.num_rows:
        raise InsufficientData(f"no {timeframe} candle of {market} was ever stored at {iso(open_time)}")
    states = [*old.drop_columns([SUPERSEDED_AT]).to_pylist(), *now.to_pylist()]
    restated = sorted({int(time) for time in times_of(table, SUPERSEDED_AT)})
    revisions: list[CandleRevision] = []
    with stores.database.transaction() as connection:
        lineage = dependents_of(connection, f"ohlcv_{timeframe}", partition.key) if old.num_rows else []
        for place, (known_at, superseded_at) in enumerate(
            zip(times_of(old, KNOWN_AT).tolist(), times_of(old, SUPERSEDED_AT).tolist(), strict=True)
        ):
            following = states[place + 1] if place + 1 < len(states) else None
            search = _Search(stores, connection, partition, open_time, known_at, superseded_at, restated)
            revisions.append(
                CandleRevision(
                    known_at,
                    superseded_at,
                    {name: states[place][name] for name in OHLCV_COLUMNS},
                    following and {name: following[name] for name in OHLCV_COLUMNS},
                    search.dependents(lineage),
                )
            )
    return BlastRadius(market, timeframe, open_time, tuple(revisions))


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for what one restatement changed. `restated` are the times of all restatements in the month of the candle.

    A partition used the old value if it was made after that had been recorded and before the new one was. The first record after
    that is of the partition made again; what changed in it was replaced between this restatement and the next one after it.
    """

    stores: Stores
    connection: sa.Connection
    candles: PartitionId
    open_time: int
    known_at: int
    superseded_at: int
    restated: Sequence[int]

    def dependents(self, lineage: Sequence[Lineage]) -> tuple[DependentChange, ...]:
        before = record_as_of(self.connection, self.stores.candles, self.candles, self.known_at) or 0
        after = record_as_of(self.connection, self.stores.candles, self.candles, self.superseded_at, before)
        later = [(time, self._record(time, after)) for time in self.restated if time > self.superseded_at]
        changes: list[DependentChange] = []
        for each in lineage:
            if not any(before < record and (after is None or record < after) for record in each.records):
                continue
            if not _is_made_again(each.asset, self.candles.timeframe):
                changes.append(DependentChange(each.asset, each.partition, "kept", ()))
                continue
            made_again = next((record for record in each.records if after is not None and record > after), None)
            if after is not None and made_again is None:
                changes.append(DependentChange(each.asset, each.partition, "pending", ()))
                continue
            ends = (time for time, record in later if made_again is None or record is None or record > made_again)
            rows = self._rows(each, next(ends, None))
            changes.append(DependentChange(each.asset, each.partition, "changed" if rows else "unchanged", rows))
        return tuple(changes)

    def _record(self, moment_ms: int, after: int | None) -> int | None:
        return record_as_of(self.connection, self.stores.candles, self.candles, moment_ms, after or 0)

    def _rows(self, each: Lineage, end_ms: int | None) -> tuple[RowChange, ...]:
        """Return the rows of a dependent that were replaced from this restatement on and before `end_ms`."""
        market, month = split_partition_key(each.partition)
        name = each.asset.removesuffix(f"_{self.candles.timeframe}")
        partitions = [
            PartitionId(dataset, market, self.candles.timeframe, month)
            for dataset in datasets_of(self.connection, name, PartitionId(name, market, self.candles.timeframe, month))
        ]
        return tuple(change for partition in partitions for change in self._changes(partition, end_ms))

    def _changes(self, partition: PartitionId, end_ms: int | None) -> list[RowChange]:
        table = self.stores.candles.revisions(partition)
        superseded = times_of(table, SUPERSEDED_AT)
        chosen = (superseded >= self.superseded_at) & (times_of(table) >= self.open_time)
        if end_ms is not None:
            chosen &= superseded < end_ms
        old = table.filter(pa.array(chosen))
        times, first = np.unique(times_of(old), return_index=True)
        if not len(times):
            return []
        new = self.stores.candles.read_table(
            partition.dataset,
            partition.market,
            partition.timeframe,
            int(times[0]),
            int(times[-1]) + 1,
            as_of_ms=None if end_ms is None else end_ms - 1,
        )
        found = dict(zip(times_of(new).tolist(), new.select(payload_of(new)).to_pylist(), strict=True))
        rows = old.take(pa.array(first)).select(payload_of(old)).to_pylist()
        changes = [_change(partition.dataset, time, row, found.get(time)) for time, row in zip(times.tolist(), rows, strict=True)]
        return [change for change in changes if change is not None]


def _is_made_again(asset: str, timeframe: str) -> bool:
    """Return whether ticks derive an asset anew when candles of the timeframe change; shadows are asked for once, by a person."""
    return asset.endswith(f"_{timeframe}") and not asset.startswith("shadow.")


def _change(dataset: str, open_time: int, old: Values, new: Values | None) -> RowChange | None:
    """Return the columns that differ (of signals always action and confidence), None when none does."""
    if new is None:
        return RowChange(dataset, open_time, _shown(old), None)
    names = [name for name in old if not _same(old[name], new.get(name))]
    if not names:
        return None
    names = [name for name in old if name in names or name in ("action", "confidence")]
    return RowChange(
        dataset, open_time, _shown({name: old[name] for name in names}), _shown({name: new.get(name) for name in names})
    )


def _same(old: Any, new: Any) -> bool:
    return old == new or (old != old and new != new)


def _shown(values: Values) -> Values:
    return {
        name: ACTIONS.get(value, value) if name == "action" else None if value != value else value
        for name, value in values.items()
    }


def publish_corrections(stores: Stores, timeframe: Timeframe, markets: Sequence[Market], now_ms: int) -> int:
    """Write a correction note for each restatement of the last days whose consequences are all known; return how many are new.

    Each restatement is noted once, NOTES_PER_RUN candles a call, the newest first: one whose dependents have not been made again
    waits for a later call without holding up those that come after it. Markets that give no signals for now wait too.
    """
    since = now_ms - NOTED_DAYS * MILLISECONDS_PER_DAY
    with stores.database.transaction() as connection:
        blocked = read_blocked(connection, markets, timeframe)
        months = restated_months(connection, timeframe, [market for market in markets if market not in blocked], since)
        restated: list[tuple[Market, int, int]] = []
        for month in months:
            table = stores.candles.revisions(month)
            pairs = zip(times_of(table).tolist(), times_of(table, SUPERSEDED_AT).tolist(), strict=True)
            restated += [(month.market, opened, time) for opened, time in pairs if time >= since]
        restated.sort(key=lambda each: -each[2])
        keys = {_key(market, timeframe, opened, time): (market, opened) for market, opened, time in restated}
        noted = set(connection.execute(_NOTED, {"keys": list(keys)}).scalars()) if keys else set()
    written = 0
    for market, opened in list(dict.fromkeys(place for key, place in keys.items() if key not in noted))[:NOTES_PER_RUN]:
        radius = blast_radius(stores, market, timeframe, opened)
        with stores.database.transaction() as connection:
            for revision in radius.revisions:
                if not revision.pending and revision.superseded_at >= since:
                    key = _key(market, timeframe, opened, revision.superseded_at)
                    written += notify(connection, "correction", "INFO", correction_note(radius, revision), key)
    return written


_NOTED = sa.text("SELECT dedup_key FROM notifications WHERE dedup_key = ANY (CAST(:keys AS text[]))")


def correction_note(radius: BlastRadius, revision: CandleRevision) -> str:
    """Return a restatement and its consequences in words, followed by one line of JSON."""
    moved = [
        f"{name} {revision.old[name]:.10g} → {revision.new[name]:.10g}"
        for name in OHLCV_COLUMNS
        if revision.new is not None and revision.old[name] != revision.new[name]
    ]
    lines = [
        f"The {radius.timeframe} candle of {radius.market} at {iso(radius.open_time)} was restated at "
        f"{iso(revision.superseded_at)}: {', '.join(moved) or 'it was removed'}."
    ]
    for dependent in revision.dependents:
        lines.append(f"{dependent.asset} {dependent.partition}: {dependent.state}, {len(dependent.rows)} rows")
        lines += [
            f"  {row.dataset} {iso(row.open_time)}: {_signal(row.old)} → {_signal(row.new)}"
            for row in dependent.rows
            if row.dataset.startswith("signals.")
        ]
    only = BlastRadius(radius.market, radius.timeframe, radius.open_time, (revision,))
    return "\n".join([*lines, json.dumps(only.document(), default=str)])


def _signal(values: Values | None) -> str:
    return "none" if values is None else f"{values.get('action')} {values.get('confidence')}"


def _key(market: Market, timeframe: Timeframe, open_time: int, superseded_at: int) -> str:
    return f"correction {market} {timeframe} {iso(open_time)} {superseded_at}"
