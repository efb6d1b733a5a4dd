"""From rows as a file has them to candles: sorted, each time once, the unusable set aside, every oddity counted."""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from fks_assets.clock import iso
from fks_assets.imports.report import MOST_EXAMPLES, Conflict, ConflictRule, ImportRefused, ImportReport
from fks_assets.imports.rows import RawRows
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles, Fault, QuarantinedRow, separate_bad_rows
from fks_assets.quant.ranges import holes_between
from fks_assets.quant.timeframes import Timeframe, first_open_candle

# 2009-01-03: the first block of the first coin.
EARLIEST_MS = 1_230_940_800_000
MOST_DECIMALS = 12
CHUNK_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Clock:
    """When a file is read, and how long after its end a candle counts as closed, both in milliseconds."""

    now_ms: int
    grace_ms: int = 0


def clean_rows(
    raw: RawRows, timeframe: Timeframe, rule: ConflictRule, clock: Clock, notes: tuple[str, ...] = ()
) -> tuple[Candles, ImportReport]:
    """Return the usable candles and the report; raise ImportRefused when none is usable, or most rows are not."""
    times, columns = raw.open_time(), raw.columns()
    order, out_of_order = _order_of(times)
    usable, quarantined = _separate(raw, times, columns, timeframe, clock)
    del times, columns
    if not len(usable):
        first = f"; first {iso(quarantined[0].open_time)}: {quarantined[0].reason}" if quarantined else ""
        raise ImportRefused(f"holds no usable row{first}")
    candles, exact, conflicting, conflicts = _one_row_each(usable, rule)
    report = ImportReport(
        rows_read=raw.read,
        usable=len(candles),
        exact_duplicates=exact,
        conflicting_duplicates=conflicting,
        out_of_order=out_of_order,
        order=order,
        time_units=dict(raw.time_units),
        date_formats=dict(raw.date_formats),
        disagreeing_dates=raw.disagreeing.total(),
        quarantined=tuple(quarantined),
        unreadable=raw.unreadable,
        unreadable_lines=tuple(raw.unreadable_lines),
        zero_volume=int((candles.volume == 0).sum()),
        holes=holes_between(candles.open_time, timeframe.milliseconds),
        step_ms=timeframe.milliseconds,
        conflicts=conflicts,
        conflict_rule=rule,
        notes=notes,
    )
    return candles, report


def _order_of(times: np.ndarray) -> tuple[str, int]:
    """Return (ascending or descending, rows that stand against that order)."""
    steps = np.diff(times)
    forward, backward = int((steps > 0).sum()), int((steps < 0).sum())
    return ("descending", forward) if backward > forward else ("ascending", backward)


def _separate(
    raw: RawRows, times: np.ndarray, columns: np.ndarray, timeframe: Timeframe, clock: Clock
) -> tuple[Candles, list[QuarantinedRow]]:
    """Return (usable rows in the order of the file, the others with their reasons)."""
    parts: list[Candles] = []
    quarantined: list[QuarantinedRow] = []
    faults = sorted(raw.faults)
    for first in range(0, len(times), CHUNK_ROWS):
        part_times, part = times[first : first + CHUNK_ROWS], columns[:, first : first + CHUNK_ROWS]
        known = faults[bisect_left(faults, first) : bisect_left(faults, first + len(part_times))]
        reasons = _time_faults(part_times, timeframe, clock) | {row - first: (raw.faults[row], Fault.MALFORMED) for row in known}
        quarantined += [
            QuarantinedRow(int(part_times[row]), tuple(part[:, row].tolist()), reason, kind)
            for row, (reason, kind) in sorted(reasons.items())
        ]
        if reasons:
            good = np.ones(len(part_times), np.bool_)
            good[list(reasons)] = False
            part_times, part = part_times[good], part[:, good]
        candles, bad = separate_bad_rows(Candles(part_times, *part), timeframe, clock.now_ms)
        parts.append(candles)
        quarantined += bad
        if len(quarantined) * 2 > len(times):
            raise ImportRefused(
                f"more than half of its {len(times):,} rows are unusable; "
                f"first {iso(quarantined[0].open_time)}: {quarantined[0].reason}"
            )
    if not quarantined:
        return Candles(times, *columns), []
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in ("open_time", *OHLCV_COLUMNS))
    return Candles(*joined), quarantined


def _time_faults(times: np.ndarray, timeframe: Timeframe, clock: Clock) -> dict[int, tuple[str, Fault]]:
    unfinished = (times >= first_open_candle(clock.now_ms, timeframe, clock.grace_ms)) & (times <= clock.now_ms)
    faults = dict.fromkeys(np.flatnonzero(unfinished).tolist(), ("the candle is not closed yet", Fault.FUTURE))
    too_old = "the open time is before 2009: no coin existed", Fault.MALFORMED
    return faults | dict.fromkeys(np.flatnonzero(times < EARLIEST_MS).tolist(), too_old)


def _one_row_each(rows: Candles, rule: ConflictRule) -> tuple[Candles, int, int, tuple[Conflict, ...]]:
    """Return (sorted candles, exact duplicates, conflicting duplicates, examples of these)."""
    if (np.diff(rows.open_time) > 0).all():
        return rows, 0, 0, ()
    values = np.stack([getattr(rows, name) for name in OHLCV_COLUMNS])
    order = np.argsort(rows.open_time, kind="stable")
    times = rows.open_time[order]
    again = np.append(False, times[1:] == times[:-1])
    if not again.any():
        return Candles(times, *values[:, order]), 0, 0, ()
    group = np.cumsum(~again) - 1
    shared = np.flatnonzero(again | np.append(again[1:], False))
    if rule is ConflictRule.LAST:
        rank = -shared
    elif rule is ConflictRule.PRECISE:
        rank = -_decimals(values[:, order[shared]])
    else:
        rank = shared
    # Of the rows of one time, the one of the lowest rank comes first; equal ranks stay in the order of the file.
    order[shared] = order[shared[np.lexsort((rank, group[shared]))]]
    taken = order[~again]
    left_out = order[again]
    winners = taken[group[again]]
    differ = (values[:, left_out] != values[:, winners]).any(axis=0)
    conflicts = tuple(
        Conflict(int(rows.open_time[out]), tuple(values[:, winner].tolist()), tuple(values[:, out].tolist()))
        for winner, out in zip(winners[differ][:MOST_EXAMPLES], left_out[differ][:MOST_EXAMPLES], strict=True)
    )
    if rule is ConflictRule.REFUSE and conflicts:
        raise ImportRefused(
            f"{int(differ.sum()):,} rows repeat an open time with other values; first {iso(conflicts[0].open_time)}: "
            f"{conflicts[0].taken} and {conflicts[0].left_out}"
        )
    return Candles(rows.open_time[taken], *values[:, taken]), int((~differ).sum()), int(differ.sum()), conflicts


def _decimals(values: np.ndarray) -> np.ndarray:
    """Return, for each column of (5, rows), how many decimals its numbers need in all, at most MOST_DECIMALS each."""
    needed = np.full(values.shape, MOST_DECIMALS)
    for places in range(MOST_DECIMALS - 1, -1, -1):
        needed[np.round(values, places) == values] = places
    return needed.sum(axis=0)
