"""Between columns in memory (numpy) and tables in the store (pyarrow)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from fks_assets.quant.arrow import arrow_array, numpy_array, text_array
from fks_assets.quant.candles import OHLCV_COLUMNS, Candles

TIME_TYPE = pa.timestamp("ms", tz="UTC")


def times_to_arrow(open_time: np.ndarray) -> pa.Array:
    """Return int64 UTC milliseconds as a timestamp column."""
    return arrow_array(open_time.astype(np.int64, copy=False)).cast(TIME_TYPE)


def times_from_arrow(column: pa.ChunkedArray) -> np.ndarray:
    """Return a timestamp column as int64 UTC milliseconds."""
    return numpy_array(column.cast(pa.int64()))


def candles_table(parts: Sequence[tuple[Candles, str]]) -> pa.Table:
    """Return the ohlcv payload of (candles, source) parts that follow one another in time."""
    columns = [np.concatenate([getattr(candles, name) for candles, _ in parts]) for name in ("open_time", *OHLCV_COLUMNS)]
    order = np.argsort(columns[0], kind="stable")
    times, *values = (column[order] for column in columns)
    sources = sorted({source for _, source in parts})
    codes = np.concatenate([np.full(len(candles), sources.index(source), np.int32) for candles, source in parts])[order]
    return pa.table(
        {
            "open_time": times_to_arrow(times),
            **dict(zip(OHLCV_COLUMNS, (arrow_array(value) for value in values), strict=True)),
            "source": pa.DictionaryArray.from_arrays(arrow_array(codes), text_array(sources)),
            "is_synthetic": arrow_array(np.zeros(len(times), np.bool_)),
        }
    )


def candles_from_table(table: pa.Table) -> Candles:
    """Return the candle columns of an ohlcv table."""
    return Candles(times_from_arrow(table["open_time"]), *(numpy_array(table[name]) for name in OHLCV_COLUMNS))


def columns_table(open_time: np.ndarray, columns: Mapping[str, np.ndarray | pa.Array]) -> pa.Table:
    """Return a table of `open_time` and named columns of the same length."""
    arrays = {name: arrow_array(values) if isinstance(values, np.ndarray) else values for name, values in columns.items()}
    return pa.table({"open_time": times_to_arrow(open_time), **arrays})
