"""What an imported file held, and what became of each row that was not simply a candle."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fks_assets.clock import iso
from fks_assets.errors import InvalidInput
from fks_assets.quant.candles import Candles, QuarantinedRow
from fks_assets.quant.markets import Market
from fks_assets.quant.ranges import Range
from fks_assets.quant.timeframes import Timeframe

LARGEST_HOLES = 3
MOST_EXAMPLES = 5


class ImportRefused(InvalidInput):
    """A file cannot be used; the text says why in one line. Nothing of it was stored."""


class ImportFormat(StrEnum):
    """Who wrote the file. The value is also the origin in the `source` column of its candles."""

    BINANCE = "binance-dump"
    KRAKEN = "kraken-ohlcvt"
    CRYPTODATADOWNLOAD = "cryptodatadownload"
    FREQTRADE = "freqtrade"
    PARQUET = "parquet"


class ConflictRule(StrEnum):
    """Which of the rows of one open time that disagree is taken."""

    PRECISE = "precise"
    FIRST = "first"
    LAST = "last"
    REFUSE = "refuse"


CONFLICT_WORDS = {
    ConflictRule.PRECISE: "the row with the most decimals was taken, of equals the first in the file",
    ConflictRule.FIRST: "the first row in the file was taken",
    ConflictRule.LAST: "the last row in the file was taken",
    ConflictRule.REFUSE: "a file with such rows is refused",
}
RULES = {
    "exact_duplicates": "rows that repeat an open time with the same values count once",
    "out_of_order": "rows were sorted by open time",
    "mixed_time_units": "each row's unit (s, ms, us, ns) was told by its size",
    "mixed_date_formats": "each row's date was read in its own format",
    "disagreeing_dates": "the unix column counts where the date column says another time",
    "zero_volume": "candles without volume are kept as they are",
    "quarantined": "unusable rows are not stored",
    "unreadable": "lines without a readable open time or with a wrong number of columns were left out",
}


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two rows of one open time that disagree: open, high, low, close, volume of the one taken and of the one left out."""

    open_time: int
    taken: tuple[float, ...]
    left_out: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Counts of one series. rows_read = usable + exact and conflicting duplicates + quarantined + unreadable.

    `conflicts` and `unreadable_lines` are the first few examples; `conflicting_duplicates` and `unreadable` count all. `holes`
    are half-open ranges in UTC milliseconds between the first and the last usable row.
    """

    rows_read: int
    usable: int
    exact_duplicates: int
    conflicting_duplicates: int
    out_of_order: int
    order: str
    time_units: Mapping[str, int]
    date_formats: Mapping[str, int]
    disagreeing_dates: int
    quarantined: tuple[QuarantinedRow, ...]
    unreadable: int
    unreadable_lines: tuple[str, ...]
    zero_volume: int
    holes: tuple[Range, ...]
    step_ms: int
    conflicts: tuple[Conflict, ...]
    conflict_rule: ConflictRule
    notes: tuple[str, ...]

    @property
    def mixed_time_units(self) -> int:
        """Rows whose time unit is not the most frequent one."""
        return _minority(self.time_units)

    @property
    def mixed_date_formats(self) -> int:
        """Rows whose date format is not the most frequent one."""
        return _minority(self.date_formats)

    @property
    def missing(self) -> int:
        """Candles that the holes lack."""
        return sum(end - start for start, end in self.holes) // self.step_ms

    @property
    def resolved(self) -> dict[str, tuple[int, str]]:
        """What was found and is not simply a candle: its count and the rule by which it was resolved."""
        counts = {
            "exact_duplicates": self.exact_duplicates,
            "conflicting_duplicates": self.conflicting_duplicates,
            "out_of_order": self.out_of_order,
            "mixed_time_units": self.mixed_time_units,
            "mixed_date_formats": self.mixed_date_formats,
            "disagreeing_dates": self.disagreeing_dates,
            "zero_volume": self.zero_volume,
            "quarantined": len(self.quarantined),
            "unreadable": self.unreadable,
        }
        rules = RULES | {"conflicting_duplicates": CONFLICT_WORDS[self.conflict_rule]}
        return {kind: (count, rules[kind]) for kind, count in counts.items() if count}

    def document(self) -> dict[str, Any]:
        """Return the report in the shape that `fks import --json` documents."""
        largest = sorted(self.holes, key=lambda hole: (hole[0] - hole[1], hole[0]))[:LARGEST_HOLES]
        return {
            "rows_read": self.rows_read,
            "usable": self.usable,
            "exact_duplicates": self.exact_duplicates,
            "conflicting_duplicates": self.conflicting_duplicates,
            "out_of_order": self.out_of_order,
            "order": self.order,
            "mixed_time_units": self.mixed_time_units,
            "time_units": dict(self.time_units),
            "mixed_date_formats": self.mixed_date_formats,
            "date_formats": dict(self.date_formats),
            "disagreeing_dates": self.disagreeing_dates,
            "quarantined": len(self.quarantined),
            "quarantined_reasons": dict(Counter(row.reason for row in self.quarantined)),
            "quarantined_rows": [
                {"open_time": iso(row.open_time), "values": list(row.values), "reason": row.reason}
                for row in self.quarantined[:MOST_EXAMPLES]
            ],
            "unreadable": self.unreadable,
            "unreadable_lines": list(self.unreadable_lines),
            "zero_volume": self.zero_volume,
            "holes": len(self.holes),
            "missing": self.missing,
            "largest_holes": [
                {"start": iso(start), "end": iso(end), "missing": (end - start) // self.step_ms} for start, end in largest
            ],
            "conflicts": [
                {"open_time": iso(each.open_time), "taken": list(each.taken), "left_out": list(each.left_out)}
                for each in self.conflicts
            ],
            "resolved": {kind: {"count": count, "rule": rule} for kind, (count, rule) in self.resolved.items()},
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class ImportedSeries:
    """Usable candles of one market and timeframe from one file, or from one member of an archive.

    `label` names the file (`archive.zip/member.csv`), `sha256` is that of the file on the disk, `source` marks the candles.
    """

    label: str
    sha256: str
    format: ImportFormat
    market: Market
    timeframe: Timeframe
    source: str
    candles: Candles
    report: ImportReport


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file, or a member of an archive, that was not used, with the reason in one line."""

    label: str
    reason: str


def _minority(counts: Mapping[str, int]) -> int:
    return sum(counts.values()) - max(counts.values(), default=0)
