"""Turn the bodies of candle answers into columns: fast when every byte is as promised, exact and explicit when not."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np
import orjson

from fks_assets.quant.candles import OHLCV_COLUMNS, Fault, QuarantinedRow

_DIGITS = b"0123456789"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SPECIAL = frozenset({"nan", "inf", "-inf", "infinity", "-infinity"})
_NESTED = frozenset({list, dict})
_LATEST_MS = 2**53
_BINANCE_WIDTH = 12
_BINANCE_ROW = b'[,".",".",".",".",".",,".",,".",".",""]'
_FEWEST_ROWS_FOR_ARROW = 20
# `[[1,"2"],[3,"4"]]` becomes the lines `,,1,"2"` and `,,3,"4"`: each row begins with two empty cells.
_TO_LINES = bytes.maketrans(b"[]", b",\n")


class MalformedRows(ValueError):
    """The rows are not what the API promises; says where and how."""


@dataclass(frozen=True, slots=True, eq=False)
class RawRows:
    """Rows as the exchange sent them, in its order: open times (int64 ms) and one float64 column for each of open, high, low,
    close and volume. `spans` are the lengths that the rows themselves state (ms), None for an API that states none. `may_omit`
    says that the API leaves out candles without trades. `unreadable` are rows with a usable time but a value that is no number;
    they are in no column."""

    open_time: np.ndarray
    columns: tuple[np.ndarray, ...]
    spans: np.ndarray | None = None
    unreadable: tuple[QuarantinedRow, ...] = ()
    may_omit: bool = False

    def __len__(self) -> int:
        return len(self.open_time) + len(self.unreadable)


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where a dialect's candle rows hold what: `width` cells, time in units of `time_scale` ms, then open … volume at `cells`;
    the last millisecond of the candle at `last_cell` if it is there."""

    width: int
    time_scale: int
    cells: tuple[int, int, int, int, int]
    last_cell: int | None = None


BINANCE_LAYOUT = RowLayout(width=_BINANCE_WIDTH, time_scale=1, cells=(1, 2, 3, 4, 5), last_cell=6)
KRAKEN_LAYOUT = RowLayout(width=8, time_scale=1000, cells=(1, 2, 3, 4, 6))
UDF_LAYOUT = RowLayout(width=6, time_scale=1000, cells=(1, 2, 3, 4, 5))
_UDF_COLUMNS = "tohlcv"


def binance_rows(body: bytes, decode: Callable[[], Any]) -> RawRows:
    """Return the rows of a Binance klines body; raise MalformedRows when its JSON, from `decode`, is not a list of such rows."""
    rows = _fast_binance_rows(body)
    return rows if rows is not None else exact_rows(decode(), BINANCE_LAYOUT)


def kraken_rows(decoded: Any) -> RawRows:
    """Return the rows of a decoded Kraken OHLC answer without its `last`; raise MalformedRows when it is not one."""
    result = decoded.get("result") if isinstance(decoded, dict) else None
    if not isinstance(result, dict):
        raise MalformedRows("the answer has no result object")
    pairs = [key for key in result if key != "last"]
    if len(pairs) != 1:
        raise MalformedRows(f"the result names {len(pairs)} pairs, not one")
    return exact_rows(result[pairs[0]], KRAKEN_LAYOUT)


def udf_rows(decoded: Any) -> RawRows:
    """Return the rows of a decoded UDF history, which comes in columns; raise MalformedRows when it is not one."""
    said = decoded.get("s") if isinstance(decoded, dict) else None
    if said not in ("ok", "no_data"):
        raise MalformedRows("the answer is neither candles nor says that there are none")
    columns = (
        [decoded.get(name, []) for name in _UDF_COLUMNS] if said == "no_data" else [decoded.get(name) for name in _UDF_COLUMNS]
    )
    for name, column in zip(_UDF_COLUMNS, columns, strict=True):
        if not isinstance(column, list):
            raise MalformedRows(f"the column {name} is {_kind(column)}, not a list")
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise MalformedRows(f"the columns have {', '.join(map(str, lengths))} values, not equally many")
    return replace(exact_rows([list(row) for row in zip(*columns, strict=True)], UDF_LAYOUT), may_omit=True)


def exact_rows(rows: Any, layout: RowLayout) -> RawRows:
    """Return decoded JSON rows as columns; every value is exactly float(text).

    Raises MalformedRows when it is not a list of flat rows of the right width with a whole number as time. A row whose value is
    null, true, or text that is no number is set aside as unreadable with its reason.
    """
    if not isinstance(rows, list):
        raise MalformedRows(f"the candles are {_kind(rows)}, not a list of rows")
    times: list[int] = []
    spans: list[int] = []
    values: list[list[float]] = []
    unreadable: list[QuarantinedRow] = []
    for number, row in enumerate(rows):
        _require_flat(row, number, layout.width)
        time = _time(row[0], number, layout.time_scale)
        if layout.last_cell is not None:
            spans.append(_time(row[layout.last_cell], number, layout.time_scale) + 1 - time)
        numbers = [_value(row[cell]) for cell in layout.cells]
        if None in numbers:
            unreadable.append(_unreadable(time, [row[cell] for cell in layout.cells], numbers))
        else:
            times.append(time)
            values.append(numbers)
    table = np.array(values, np.float64).reshape(len(values), len(OHLCV_COLUMNS))
    columns = tuple(np.ascontiguousarray(table[:, i]) for i in range(len(OHLCV_COLUMNS)))
    stated = None if layout.last_cell is None else np.array(spans, np.int64)
    return RawRows(np.array(times, np.int64), columns, stated, tuple(unreadable))


def _require_flat(row: Any, number: int, width: int) -> None:
    if not isinstance(row, list):
        raise MalformedRows(f"row {number} is {_kind(row)}, not a list")
    if len(row) != width:
        raise MalformedRows(f"row {number} has {len(row)} columns, not {width}")
    if not _NESTED.isdisjoint(map(type, row)):
        column = next(column for column, cell in enumerate(row) if type(cell) in _NESTED)
        raise MalformedRows(f"row {number} holds {_kind(row[column])} in column {column}")


def _time(cell: Any, number: int, scale: int) -> int:
    if type(cell) is not int:
        raise MalformedRows(f"row {number} has {_shown(cell)} as a time, not a whole number")
    if not 0 <= cell * scale <= _LATEST_MS:
        raise MalformedRows(f"row {number} has the impossible time {cell}")
    return cell * scale


def _value(cell: Any) -> float | None:
    if isinstance(cell, str):
        return float(cell) if _NUMBER.fullmatch(cell) or cell.lower() in _SPECIAL else None
    return float(cell) if type(cell) in (int, float) else None


def _unreadable(time: int, cells: Sequence[Any], numbers: Sequence[float | None]) -> QuarantinedRow:
    name, cell = next((name, cell) for name, cell, value in zip(OHLCV_COLUMNS, cells, numbers, strict=True) if value is None)
    values = tuple(float("nan") if value is None else value for value in numbers)
    return QuarantinedRow(time, values, f"{name} is {_shown(cell)}, not a number", Fault.MALFORMED)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return _shown(value)
    return {dict: "an object", list: "a list", str: "text"}.get(type(value), "a number")


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()[:40]


def _fast_binance_rows(body: bytes) -> RawRows | None:
    """Return the rows if the body is byte for byte of the usual form, else None: then the exact path decides and names the fault.

    With its digits removed, such a body is one known row repeated, which proves quotes, brackets, commas, signs and points at the
    cost of one pass. What that cannot see is a digit where none may be; the places next to quotes and brackets show it.
    """
    count = body.count(b"]") - 1
    if count < _FEWEST_ROWS_FOR_ARROW or body.translate(None, _DIGITS) != _skeleton(count) or not _digits_are_in_place(body):
        return None
    from pyarrow import ArrowInvalid, BufferReader
    from pyarrow.csv import read_csv

    from fks_assets.quant.arrow import numpy_array

    read, parse, convert = _csv_options()
    try:
        table = read_csv(BufferReader(body.translate(_TO_LINES)), read, parse, convert)
    except ArrowInvalid:
        return None
    times, *columns, last = (numpy_array(column) for column in table.columns)
    if len(times) != count or max(int(times.max()), int(last.max())) > _LATEST_MS:
        return None
    return RawRows(times, tuple(columns), last + 1 - times)


def _digits_are_in_place(body: bytes) -> bool:
    """Return whether digits stand only inside quotes and between commas, and unquoted numbers are there without leading zeros."""
    codes = np.frombuffer(body, np.uint8)
    quotes = np.flatnonzero(codes == ord('"'))
    row_ends = np.flatnonzero(codes == ord("]"))[:-2]
    row_starts = np.append(row_ends + 3, 2)
    after, second = codes[quotes[1::2] + 1], codes[quotes[1::2] + 2]
    zeros = quotes[1::2][(second == ord("0")) & (after == ord(","))]
    return (
        body.startswith(b"[[")
        and body.endswith(b'"]]')
        and bool((codes[row_ends + 1] == ord(",")).all() and (codes[row_ends + 2] == ord("[")).all())
        and bool((codes[quotes[::2] - 1] == ord(",")).all() and ((after == ord(",")) | (after == ord("]"))).all())
        and bool((codes[row_starts] != ord("0")).all() and (codes[zeros + 3] == ord(",")).all())
        and not ((after == ord(",")) & (second == ord(","))).any()
    )


@lru_cache(maxsize=4)
def _skeleton(count: int) -> bytes:
    return b"[" + b",".join([_BINANCE_ROW] * count) + b"]"


@cache
def _csv_options() -> tuple[Any, Any, Any]:
    import pyarrow
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions

    unused = [f"unused_{i}" for i in range(_BINANCE_WIDTH - 2 - len(OHLCV_COLUMNS))]
    names = ["empty_0", "empty_1", "open_time", *OHLCV_COLUMNS, "last", *unused]
    types = {"open_time": pyarrow.int64(), **dict.fromkeys(OHLCV_COLUMNS, pyarrow.float64()), "last": pyarrow.int64()}
    return (
        ReadOptions(use_threads=False, column_names=names, block_size=4 * 2**20),
        ParseOptions(newlines_in_values=False),
        ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False, check_utf8=False
        ),
    )
