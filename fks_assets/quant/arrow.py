"""Between numpy and pyarrow by their shared memory: pyarrow's own ways import pandas, which costs a run a third of a second."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def arrow_array(values: np.ndarray) -> pa.Array:
    """Return numbers or truth values as an Arrow array of the same type, numbers without a copy."""
    if values.dtype == np.bool_:
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(np.packbits(values, bitorder="little"))])
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def text_array(texts: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array of strings."""
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def numpy_array(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers or truth values as numpy has them, times as int64 of their unit; nulls as pyarrow shows them."""
    if column.null_count:
        return column.to_numpy(zero_copy_only=False)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [_values(chunk) for chunk in chunks if len(chunk)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, _dtype(column.type))


def _values(chunk: pa.Array) -> np.ndarray:
    start, stop = chunk.offset, chunk.offset + len(chunk)
    data = chunk.buffers()[1]
    if pa.types.is_boolean(chunk.type):
        return np.unpackbits(np.frombuffer(data, np.uint8), count=stop, bitorder="little")[start:].view(np.bool_)
    return np.frombuffer(data, _dtype(chunk.type), stop)[start:]


def _dtype(kind: pa.DataType) -> np.dtype:
    return np.dtype(np.int64) if pa.types.is_timestamp(kind) else np.dtype(kind.to_pandas_dtype())
