"""Short ways to write candle files and to read them back."""

import gzip
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fks_assets.imports.cleaning import Clock
from fks_assets.imports.identity import Asked
from fks_assets.imports.reading import ImportOptions, read_file
from fks_assets.imports.report import ConflictRule, ImportedSeries, ImportFormat, RefusedFile
from fks_assets.quant.timeframes import parse_timeframe

HOUR = 3_600_000
START = 1_735_689_600_000  # 2025-01-01T00:00Z
NOW = 1_764_000_000_000  # 2025-11-24T16:00Z

Row = Sequence[object]


def read_all(path: Path, **options: Any) -> list[ImportedSeries | RefusedFile]:
    """Read a file with `timeframe`, `pair`, `exchange`, `format`, `conflicts` and `now` as they are given."""
    timeframe = options.get("timeframe")
    return list(
        read_file(
            path,
            ImportOptions(
                Clock(options.get("now", NOW)),
                Asked(
                    options.get("pair"),
                    options.get("exchange"),
                    None if timeframe is None else parse_timeframe(timeframe),
                    options.get("fallback"),
                ),
                None if "format" not in options else ImportFormat(options["format"]),
                ConflictRule(options.get("conflicts", "precise")),
            ),
        )
    )


def read_one(path: Path, **options: Any) -> ImportedSeries:
    """Read a file that holds one usable series."""
    (found,) = read_all(path, **options)
    assert isinstance(found, ImportedSeries), found
    return found


def refusal(path: Path, **options: Any) -> str:
    """Return why the one series of a file is refused."""
    (found,) = read_all(path, **options)
    assert isinstance(found, RefusedFile), found
    assert found.reason and "\n" not in found.reason
    return found.reason


def candle(hour: int, close: float = 10.0, volume: float = 5.0) -> tuple[float, ...]:
    """Return open, high, low, close, volume of an hour."""
    return close, close + 1 + hour % 3, close - 1, close, volume


def kraken_lines(hours: Iterable[int], **values: float) -> list[str]:
    """Return rows of Kraken's layout: seconds and seven columns."""
    return [",".join(map(str, (START // 1000 + hour * 3600, *candle(hour, **values), 3))) for hour in hours]


def binance_lines(hours: Iterable[int], unit: int = 1, start: int = START) -> list[str]:
    """Return rows of Binance's layout; `unit` is how many of its time units make a millisecond."""
    lines = []
    for hour in hours:
        opens = start + hour * HOUR
        ends = (opens + HOUR) * unit - 1
        lines.append(",".join(map(str, (opens * unit, *candle(hour), ends, 50.0, 7, 2.0, 20.0, 0))))
    return lines


def write(folder: Path, name: str, lines: Iterable[str], newline: str = "\n", prefix: bytes = b"") -> Path:
    """Write text lines, compressed when the name ends in .gz."""
    content = prefix + "".join(f"{line}{newline}" for line in lines).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def zipped(folder: Path, name: str, members: dict[str, Iterable[str]]) -> Path:
    """Write an archive of texts."""
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, lines in members.items():
            archive.writestr(member, "".join(f"{line}\n" for line in lines))
    return path


def hours_of(series: ImportedSeries) -> list[int]:
    """Return the open times as hours from START."""
    return [(time - START) // HOUR for time in series.candles.open_time.tolist()]
