"""Read feather and Parquet files: columns by name, in batches."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fks_assets.imports.report import ImportFormat, ImportRefused
from fks_assets.imports.rows import RawRows, require_mostly_readable
from fks_assets.imports.sources import MOST_ROWS
from fks_assets.imports.times import UNREADABLE, ms_of_dates, ms_of_numbers
from fks_assets.quant.candles import OHLCV_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

FEATHER, PARQUET = b"ARROW1", b"PAR1"
FRAME_FORMATS = {FEATHER: ImportFormat.FREQTRADE, PARQUET: ImportFormat.PARQUET}
TIME_COLUMNS = ("ts_ms", "open_time", "date", "timestamp", "time", "datetime", "unix")
BATCH_ROWS = 131_072


def frame_format(head: bytes) -> ImportFormat | None:
    """Return the format of a binary file that begins with `head`, None when it is text."""
    return next((form for magic, form in FRAME_FORMATS.items() if head.startswith(magic)), None)


def read_frame(path: Path) -> RawRows:
    """Return the rows of a feather or Parquet file on the disk; raise ImportRefused when it lacks a column or cannot be read."""
    import pyarrow as pa

    rows = RawRows()
    try:
        with pa.OSFile(str(path)) as file:
            reader = _feather if file.read(len(FEATHER)) == FEATHER else _parquet
            file.seek(0)
            for batch, names in reader(file):
                _add_batch(rows, batch, names)
    except (pa.ArrowException, OSError) as error:
        raise ImportRefused(f"cannot be read: {' '.join(str(error).split())[:160]}") from error
    require_mostly_readable(rows)
    return rows


def _feather(file: Any) -> "Iterator[tuple[pa.RecordBatch, dict[str, str]]]":
    import pyarrow as pa

    reader = pa.ipc.open_file(file)
    names = _names(reader.schema.names)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number), names


def _parquet(file: Any) -> "Iterator[tuple[pa.RecordBatch, dict[str, str]]]":
    from pyarrow.parquet import ParquetFile

    reader = ParquetFile(file)
    if reader.metadata.num_rows > MOST_ROWS:
        raise ImportRefused(f"holds {reader.metadata.num_rows:,} rows, more than {MOST_ROWS:,}")
    names = _names(reader.schema_arrow.names)
    for batch in reader.iter_batches(BATCH_ROWS, columns=list(names.values()), use_threads=False):
        yield batch, names


def _names(columns: list[str]) -> dict[str, str]:
    """Return our column names and those of the file."""
    lower = {name.lower(): name for name in columns}
    time = next((lower[name] for name in TIME_COLUMNS if name in lower), None)
    if time is None:
        raise ImportRefused(f"has no time column ({', '.join(TIME_COLUMNS)}); it has {', '.join(columns) or 'none'}")
    if lacking := [name for name in OHLCV_COLUMNS if name not in lower]:
        raise ImportRefused(f"has no column {lacking[0]!r}; it has {', '.join(columns)}")
    return {"time": time} | {name: lower[name] for name in OHLCV_COLUMNS}


def _add_batch(rows: RawRows, batch: "pa.RecordBatch", names: dict[str, str]) -> None:
    times = _times(rows, batch.column(names["time"]), names["time"])
    values = np.stack([_values(batch.column(names[name]), names[name]) for name in OHLCV_COLUMNS])
    for row in np.flatnonzero(times == UNREADABLE).tolist():
        rows.leave_out(f"{names['time']} is {batch.column(names['time'])[row]}")
    rows.add(times, values)


def _times(rows: RawRows, column: "pa.Array", name: str) -> np.ndarray:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        unit = kind.unit if pa.types.is_timestamp(kind) else "ms"
        numbers = column if pa.types.is_timestamp(kind) else column.cast(pa.timestamp("ms"))
        per_ms = {"s": 1, "ms": 1, "us": 1000, "ns": 1_000_000}[unit]
        whole = -(-numbers.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False) // per_ms) * (1000 if unit == "s" else 1)
        return np.where(column.is_null().to_numpy(zero_copy_only=False), UNREADABLE, whole)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        whole = pa.types.is_integer(kind) and not column.null_count
        times, units = ms_of_numbers(column.cast(pa.int64() if whole else pa.float64()).to_numpy(zero_copy_only=False))
        rows.time_units += units
        return times
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        times, formats = ms_of_dates(column.fill_null("").cast(pa.string()))
        rows.date_formats += formats
        return times
    raise ImportRefused(f"the column {name!r} has type {kind}, which is no time")


def _values(column: "pa.Array", name: str) -> np.ndarray:
    import pyarrow as pa

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        raise ImportRefused(f"the column {name!r} has type {column.type}, which is no number")
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
