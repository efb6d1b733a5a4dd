"""What a row of the candle store is: the column types it may have, its checks, when two rows are equal, and the content hash."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fks_assets.clock import iso
from fks_assets.errors import StoreError
from fks_assets.quant.arrow import arrow_array, numpy_array
from fks_assets.quant.candles import OHLCV_COLUMNS

TIME_TYPE = pa.timestamp("ms", tz="UTC")
TEXT_TYPE = pa.dictionary(pa.int32(), pa.string())
OPEN_TIME, KNOWN_AT, SUPERSEDED_AT = "open_time", "known_at", "superseded_at"
OWN_COLUMNS = frozenset({KNOWN_AT, SUPERSEDED_AT})
EMPTY_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Grid:
    """The open times that a partition may hold: [start_ms, end_ms) in steps of step_ms. `label` names the partition in errors."""

    label: str
    start_ms: int
    end_ms: int
    step_ms: int


def times_of(table: pa.Table, name: str = OPEN_TIME) -> np.ndarray:
    """Return a time column as int64 UTC milliseconds."""
    return numpy_array(table[name])


def time_column(value_ms: int, rows: int) -> pa.Array:
    """Return a column that repeats one time."""
    return arrow_array(np.full(rows, value_ms, np.int64)).view(TIME_TYPE)


def payload_of(table: pa.Table) -> list[str]:
    """Return the names of the columns that carry data: neither the open time nor what the store adds."""
    return [name for name in table.column_names if name != OPEN_TIME and name not in OWN_COLUMNS]


def empty_table(dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return no rows, with the columns that a dataset has as far as the store knows them, or with the named ones."""
    types: dict[str, pa.DataType] = {OPEN_TIME: TIME_TYPE}
    if dataset == "ohlcv":
        types |= {name: pa.float64() for name in OHLCV_COLUMNS} | {"source": TEXT_TYPE, "is_synthetic": pa.bool_()}
    types[KNOWN_AT] = TIME_TYPE
    names = list(types) if columns is None else columns
    return pa.schema([(name, types.get(name, pa.float64())) for name in names]).empty_table()


def canonical_table(table: pa.Table, grid: Grid) -> pa.Table:
    """Return the rows with `open_time` first, in the types of the store, in one chunk.

    Floating point nulls become NaN and texts dictionaries. Raises StoreError, naming the value, for a column of another type and
    for open times that are null, unsorted, repeated, off the grid or outside the partition.
    """
    if OPEN_TIME not in table.column_names:
        raise StoreError(f"{grid.label}: the table has no column {OPEN_TIME!r}, it has {', '.join(table.column_names) or 'none'}")
    if len(set(table.column_names)) != len(table.column_names):
        raise StoreError(f"{grid.label}: the table has two columns of the same name: {', '.join(table.column_names)}")
    if own := OWN_COLUMNS.intersection(table.column_names):
        raise StoreError(f"{grid.label}: the column {min(own)!r} is written by the store and cannot be given")
    columns = {OPEN_TIME: _canonical_times(table, grid)}
    for name in payload_of(table):
        columns[name] = _canonical_column(table[name], name, grid)
    return pa.table(columns)


def content_hash(table: pa.Table | None) -> str:
    """Return the SHA-256, in hexadecimal, of the open times and payload of a canonical table.

    It depends on values alone: not on chunks, on the order of columns or of a dictionary, nor on when a row became known.
    No rows have one hash, whatever the columns.
    """
    if table is None or table.num_rows == 0:
        return EMPTY_HASH
    digest = hashlib.sha256(times_of(table).astype("<i8", copy=False).tobytes())
    for name in sorted(payload_of(table)):
        for part in _hashed_parts(name, table[name]):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


def equal_rows(left: pa.Table, right: pa.Table) -> np.ndarray:
    """Tell for each pair of rows of two equally long canonical tables whether their payload is the same; NaN equals NaN."""
    same = np.ones(left.num_rows, np.bool_)
    for name in payload_of(left):
        same &= _equal_values(left[name], right[name])
    return same


def same_rows(left: pa.Table, right: pa.Table) -> bool:
    """Tell whether two canonical tables hold the same columns and rows, `known_at` and `superseded_at` included."""
    if left.num_rows != right.num_rows or left.schema.names != right.schema.names or left.schema.types != right.schema.types:
        return False
    times = [name for name in left.column_names if name == OPEN_TIME or name in OWN_COLUMNS]
    same = all(np.array_equal(times_of(left, name), times_of(right, name)) for name in times)
    return same and bool(equal_rows(left, right).all())


def _canonical_times(table: pa.Table, grid: Grid) -> pa.ChunkedArray:
    column = table[OPEN_TIME]
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        raise StoreError(f"{grid.label}: {OPEN_TIME} has type {column.type}, it must be a time with a zone")
    if column.null_count:
        raise StoreError(f"{grid.label}: {column.null_count} open times are null")
    if column.type != TIME_TYPE:
        try:
            column = column.cast(TIME_TYPE)
        except pa.ArrowInvalid as error:
            raise StoreError(f"{grid.label}: an open time is not a whole millisecond") from error
    times = numpy_array(column)
    if len(times) == 0:
        return column
    wrong = np.flatnonzero(np.diff(times) <= 0)
    if len(wrong):
        first, second = times[wrong[0]], times[wrong[0] + 1]
        fault = "is there twice" if first == second else f"comes after {iso(int(first))}: the rows are not sorted"
        raise StoreError(f"{grid.label}: the open time {iso(int(second))} {fault}")
    if times[0] < grid.start_ms or times[-1] >= grid.end_ms:
        outside = times[0] if times[0] < grid.start_ms else times[-1]
        raise StoreError(f"{grid.label}: the open time {iso(int(outside))} is outside the month")
    off = np.flatnonzero(times % grid.step_ms)
    if len(off):
        raise StoreError(f"{grid.label}: the open time {iso(int(times[off[0]]))} ({times[off[0]]} ms) is off the grid")
    return column


def _canonical_column(column: pa.ChunkedArray, name: str, grid: Grid) -> pa.Array:
    kind = column.type
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if pa.types.is_string(values) or pa.types.is_large_string(values):
        if not pa.types.is_dictionary(kind) or array.dictionary.null_count:
            return array.cast(pa.string()).dictionary_encode()
        return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), array.dictionary.cast(pa.string()))
    if pa.types.is_float64(kind) or pa.types.is_float32(kind):
        return array.fill_null(float("nan")) if array.null_count else array
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return array
    raise StoreError(f"{grid.label}: the column {name!r} has type {kind}; the store keeps numbers, truth values and texts")


def _hashed_parts(name: str, column: pa.ChunkedArray) -> Iterator[bytes]:
    yield name.encode()
    if pa.types.is_dictionary(column.type):
        texts, codes = _text_codes(column)
        used = sorted({texts[code] for code in np.unique(codes) if code >= 0})
        rank = {text: position for position, text in enumerate(used)}
        # The extra last place serves code -1, which stands for null.
        ranks = np.array([*(rank.get(text, -1) for text in texts), -1], "<i4")
        yield b"text"
        yield json.dumps(used).encode()
        yield ranks[codes].tobytes()
        return
    values, nulls = _numbers(column)
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    yield str(values.dtype).encode()
    yield values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    yield nulls.tobytes() if nulls is not None else b""


def _equal_values(left: pa.ChunkedArray, right: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_dictionary(left.type):
        left_texts, left_codes = _text_codes(left)
        right_texts, right_codes = _text_codes(right)
        place = {text: position for position, text in enumerate(left_texts)}
        moved = np.array([*(place.get(text, -2) for text in right_texts), -1], np.int64)
        kept = np.array([*(place[text] for text in left_texts), -1], np.int64)
        return kept[left_codes] == moved[right_codes]
    (left_values, left_nulls), (right_values, right_nulls) = _numbers(left), _numbers(right)
    if left_values.dtype.kind == "f":
        bits = np.int64 if left_values.dtype.itemsize == 8 else np.int32
        both_nan = np.isnan(left_values) & np.isnan(right_values)
        return (np.ascontiguousarray(left_values).view(bits) == np.ascontiguousarray(right_values).view(bits)) | both_nan
    same = left_values == right_values
    if left_nulls is not None or right_nulls is not None:
        none = np.zeros(len(same), np.bool_)
        same &= (none if left_nulls is None else left_nulls) == (none if right_nulls is None else right_nulls)
    return same


def _numbers(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (values with nulls as zero, mask of nulls or None)."""
    if column.null_count == 0:
        return numpy_array(column), None
    nulls = numpy_array(column.is_null())
    return column.fill_null(False if pa.types.is_boolean(column.type) else 0).to_numpy(), nulls


def _text_codes(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """Return (texts, code of each row, -1 for null)."""
    array = column.unify_dictionaries().combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.nulls(0, TEXT_TYPE)
    codes = numpy_array(array.indices.fill_null(-1) if array.null_count else array.indices)
    return array.dictionary.to_pylist(), codes
