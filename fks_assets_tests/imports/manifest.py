"""The figures of the recorded files, as the list that came with them states them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fks_assets_tests.shared_data import SHARED

DATA = Path() if SHARED is None else SHARED / "data"
_ROW = re.compile(r"\| (ohlcv/[^ |]+) \|")
_LARGEST = re.compile(r"(\d+)@(\d{4}-\d\d-\d\d \d\d:\d\d)")


@dataclass(frozen=True)
class Listed:
    """One file of the list. Times are UTC milliseconds; `largest` are (missing candles, first missing) of some holes."""

    path: Path
    interval: str
    rows: int
    first: int
    last: int
    holes: int
    missing: int
    largest: list[tuple[int, int]]
    duplicates: int
    conflicting: int
    order: str
    zero_volume: int

    @property
    def parquet(self) -> Path:
        """The copy of the same rows."""
        stem = re.sub(r"\.(csv|json|feather)(\.gz)?$", "", self.path.name)
        return DATA / "parquet" / f"ohlcv__{self.path.parent.name}__{stem}.parquet"


def listed_files() -> list[Listed]:
    """Return every OHLCV file of the list; none when there are no recorded data."""
    if SHARED is None:
        return []
    lines = (DATA / "MANIFEST.md").read_text(encoding="utf-8").splitlines()
    return [_listed([cell.strip() for cell in line.strip("|").split("|")]) for line in lines if _ROW.match(line)]


def _listed(cells: list[str]) -> Listed:
    name, _, _, interval, rows, span, gaps, duplicates, order, zero, *_ = cells
    first, last = span.split(" .. ")
    counts, _, largest = gaps.partition(" ")
    holes, missing = counts.split("/")
    repeated = re.findall(r"\d+", duplicates)
    return Listed(
        DATA / name,
        interval,
        int(rows),
        _ms(first),
        _ms(last),
        int(holes),
        int(missing),
        [(int(count), _ms(start)) for count, start in _LARGEST.findall(largest)],
        int(repeated[0]),
        int(repeated[1]) if len(repeated) > 1 else 0,
        order,
        int(zero),
    )


def _ms(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp()) * 1000
