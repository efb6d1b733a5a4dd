"""Collect the rows of a file block by block, in the order of the file, as columns; set aside what cannot be read."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fks_assets.imports.layouts import TextLayout
from fks_assets.imports.report import MOST_EXAMPLES, ImportRefused
from fks_assets.imports.sources import MOST_ROWS, BoundedText, JsonLines
from fks_assets.imports.times import UNREADABLE, ms_of_dates, ms_of_number_texts
from fks_assets.quant.candles import OHLCV_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 4 * 2**20
_NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity)")
_EMPTY = frozenset({"", "null", "none", "nan", "na", "n/a", "-nan"})


@dataclass(slots=True)
class RawRows:
    """Rows of a file in its order. `faults` gives, by row, the reason why it may not be used although its time is readable.

    `disagreeing` counts the rows whose unix and date columns differ, by unix less date in milliseconds.
    """

    times: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    spans: list[np.ndarray] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    time_units: Counter[str] = field(default_factory=Counter)
    date_formats: Counter[str] = field(default_factory=Counter)
    symbols: set[str] = field(default_factory=set)
    unreadable: int = 0
    unreadable_lines: list[str] = field(default_factory=list)
    count: int = 0
    disagreeing: Counter[int] = field(default_factory=Counter)

    @property
    def read(self) -> int:
        return self.count + self.unreadable

    def add(self, times: np.ndarray, values: np.ndarray, spans: np.ndarray | None = None) -> None:
        """Append a block: int64 (rows,) milliseconds or UNREADABLE, float64 (5, rows). Raises ImportRefused beyond MOST_ROWS."""
        if self.read + len(times) > MOST_ROWS:
            raise ImportRefused(f"holds more than {MOST_ROWS:,} rows")
        readable = times != UNREADABLE
        if not readable.all():
            self._move_faults(readable)
            times, values = times[readable], values[:, readable]
            spans = None if spans is None else spans[readable]
        self.times.append(times)
        self.values.append(values)
        if spans is not None:
            self.spans.append(spans)
        self.count += len(times)

    def leave_out(self, line: str) -> None:
        """Count a line that is no row at all."""
        self.unreadable += 1
        if len(self.unreadable_lines) < MOST_EXAMPLES:
            self.unreadable_lines.append(line)

    def open_time(self) -> np.ndarray:
        """Return int64 (rows,) milliseconds, and keep the blocks as one."""
        self.times = [np.concatenate(self.times) if self.times else np.empty(0, np.int64)]
        return self.times[0]

    def columns(self) -> np.ndarray:
        """Return float64 (5, rows), and keep the blocks as one."""
        blocks, self.values = self.values, []
        joined = np.empty((len(OHLCV_COLUMNS), self.count), np.float64)
        at = 0
        # One block at a time is let go as it is copied: together they are as large as the result.
        for place, block in enumerate(blocks):
            joined[:, at : at + block.shape[1]] = block
            at += block.shape[1]
            blocks[place] = joined[:, :0]
        self.values = [joined]
        return joined

    def _move_faults(self, readable: np.ndarray) -> None:
        """Number the faults of the newest block anew, as its rows without a time are about to go."""
        places = self.count + np.cumsum(readable) - 1
        moved = {row: reason for row, reason in self.faults.items() if row >= self.count}
        for row, reason in moved.items():
            del self.faults[row]
            if readable[row - self.count]:
                self.faults[int(places[row - self.count])] = reason


def read_text(text: BoundedText, layout: TextLayout) -> RawRows:
    """Return the rows of a text; raise ImportRefused when it is not what its first line promised."""
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, open_csv

    rows = RawRows()

    def skip(row: Any) -> str:
        shown = row.text if len(row.text) <= 80 else f"{row.text[:80]}…"
        rows.leave_out(f"{row.actual_columns} columns instead of {row.expected_columns}: {shown}")
        return "skip"

    names = [f"c{place}" for place in range(layout.width)]
    used = [names[place] for place in layout.used]
    options = (
        ReadOptions(use_threads=False, column_names=names, block_size=BLOCK_BYTES, skip_rows=layout.skipped_lines),
        ParseOptions(invalid_row_handler=skip),
        ConvertOptions(column_types=dict.fromkeys(used, pa.string()), include_columns=used, strings_can_be_null=False),
    )
    source = pa.PythonFile(JsonLines(text) if layout.is_json else text, mode="r")
    try:
        for block in open_csv(source, *options):
            _add_block(rows, layout, [block.column(name) if name in used else None for name in names])
    except pa.ArrowInvalid as error:
        words = " ".join(str(error).split())
        raise ImportRefused("holds no rows" if "Empty CSV" in words else f"is no {layout.format} file: {words[:120]}") from error
    require_mostly_readable(rows)
    return rows


def _add_block(rows: RawRows, layout: TextLayout, columns: Sequence["pa.Array | None"]) -> None:
    import pyarrow.compute as pc

    times = _times(rows, layout, columns)
    values = np.stack([_numbers(rows, columns[place], name) for place, name in zip(layout.values, OHLCV_COLUMNS, strict=True)])
    spans = None
    if layout.last is not None:
        ends, _ = ms_of_number_texts(columns[layout.last])
        # The last moment of a candle is written as …999 ms or …999999 us.
        spans = np.where((ends == UNREADABLE) | (times == UNREADABLE), 0, -(-(ends - times) // 1000) * 1000)
    if layout.symbol is not None:
        rows.symbols.update(pc.unique(columns[layout.symbol]).to_pylist())
    written = columns[layout.date if layout.time is None else layout.time]
    for row in np.flatnonzero(times == UNREADABLE).tolist():
        rows.leave_out(f"the open time is {written[row].as_py()[:40]!r}")
    rows.add(times, values, spans)
    require_mostly_readable(rows)


def _times(rows: RawRows, layout: TextLayout, columns: Sequence["pa.Array | None"]) -> np.ndarray:
    times = dated = None
    if layout.time is not None:
        times, units = ms_of_number_texts(columns[layout.time])
        rows.time_units += units
    if layout.date is not None:
        dated, formats = ms_of_dates(columns[layout.date])
        rows.date_formats += formats
    if times is None or dated is None:
        return dated if times is None else times
    differ = (times != dated) & (times != UNREADABLE) & (dated != UNREADABLE)
    apart, counts = np.unique((times - dated)[differ], return_counts=True)
    rows.disagreeing.update(dict(zip(apart.tolist(), counts.tolist(), strict=True)))
    return times


def _numbers(rows: RawRows, texts: "pa.Array", name: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return np.array(list(_exact(rows, texts.to_pylist(), name)), np.float64)


def _exact(rows: RawRows, cells: Iterable[str], name: str) -> Iterable[float]:
    for row, cell in enumerate(cells):
        text = cell.strip().lower()
        if _NUMBER.fullmatch(text):
            yield float(text)
        else:
            if text not in _EMPTY:
                rows.faults.setdefault(rows.count + row, f"{name} is {cell[:40]!r}, not a number")
            yield np.nan


def require_mostly_readable(rows: RawRows) -> None:
    """Raise ImportRefused when more rows than not cannot be read, or contradict themselves: the file was misunderstood."""
    if rows.unreadable * 2 > rows.read:
        example = next(iter(rows.unreadable_lines))
        raise ImportRefused(f"{rows.unreadable:,} of {rows.read:,} lines cannot be read; first: {example}")
    if rows.disagreeing.total() * 2 > rows.count:
        apart, count = rows.disagreeing.most_common(1)[0]
        raise ImportRefused(
            f"the unix and the date column lie {apart / 1000:g} s apart in {count:,} of {rows.count:,} rows: one is not UTC"
        )
