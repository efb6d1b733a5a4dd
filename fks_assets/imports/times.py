"""Read the times of files: numbers in any unit, dates in formats that are unambiguous. All results are UTC milliseconds."""

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

UNITS = ("s", "ms", "us", "ns")
# In seconds, 1e11 is the year 5138; in milliseconds it is 1973: no candle is older, and none that young.
_BOUNDS = np.array([10**11, 10**14, 10**17])
_PER_MS = np.array([1, 1, 1000, 1_000_000])
_LATEST_MS = 253_402_300_799_999
UNREADABLE = -(2**62)
DATE_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %I-%p", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S")
_SHOWN = {
    "%Y-%m-%d %H:%M:%S": "2020-11-20 07:00:00",
    "%Y-%m-%d %I-%p": "2020-11-20 07-AM",
    "%Y-%m-%d": "2020-11-20",
    "%Y-%m-%d %H:%M": "2020-11-20 07:00",
    "%Y-%m-%dT%H:%M:%SZ": "2020-11-20T07:00:00Z",
    "%Y-%m-%dT%H:%M:%S": "2020-11-20T07:00:00",
}
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?")


def ms_of_numbers(values: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    """Return (int64 milliseconds, rows by unit) of int64 or float64 times; each row's unit is told by its magnitude.

    A part of a millisecond is rounded up, which leaves such a time off every grid. What is no time is UNREADABLE.
    """
    if values.dtype.kind == "f":
        readable = np.isfinite(values) & (np.abs(values) < 2.0**62)
        values = np.where(readable, values, 0.0)
        whole = np.rint(values)
        fractional = np.abs(values - whole) > 1e-6
        if fractional.any():
            return _ms_of_fractions(values, readable)
        values = whole.astype(np.int64)
    else:
        readable = np.ones(len(values), np.bool_)
    kinds = np.searchsorted(_BOUNDS, np.abs(values), side="right")
    ms = -(-values // _PER_MS[kinds]) * np.where(kinds == 0, 1000, 1)
    return _checked(ms, kinds, readable)


def ms_of_number_texts(texts: "pa.Array") -> tuple[np.ndarray, Counter[str]]:
    """Return what `ms_of_numbers` returns, of numbers written out as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for kind in (pa.int64(), pa.float64()):
        try:
            return ms_of_numbers(pc.cast(texts, kind).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            continue
    cells = (text.strip() for text in texts.to_pylist())
    return ms_of_numbers(np.array([float(cell) if _NUMBER.fullmatch(cell) else np.nan for cell in cells], np.float64))


def ms_of_dates(texts: "pa.Array") -> tuple[np.ndarray, Counter[str]]:
    """Return (int64 milliseconds, rows by date format) of UTC dates; 12-AM is midnight. What is no date is UNREADABLE."""
    import pyarrow as pa
    import pyarrow.compute as pc

    result = np.full(len(texts), UNREADABLE, np.int64)
    formats: Counter[str] = Counter()
    left = np.arange(len(texts))
    for form in DATE_FORMATS:
        if not len(left):
            break
        cells = texts if len(left) == len(texts) else texts.take(pa.array(left))
        moments = pc.strptime(cells, format=form, unit="ms", error_is_null=True)
        # strptime turns 30 February into 1 March.
        real = pc.equal(pc.strftime(moments, format="%d"), pc.utf8_slice_codeunits(cells, 8, 10))
        found = pc.and_(pc.is_valid(moments), pc.fill_null(real, False)).to_numpy(zero_copy_only=False)
        if found.any():
            result[left[found]] = pc.cast(moments, pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)[found]
            formats[_SHOWN[form]] += int(found.sum())
            left = left[~found]
    return result, formats


def _ms_of_fractions(values: np.ndarray, readable: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    kinds = np.searchsorted(_BOUNDS, np.abs(values), side="right")
    exact = values / _PER_MS[kinds] * np.where(kinds == 0, 1000, 1)
    nearest = np.rint(exact)
    return _checked(np.where(np.abs(exact - nearest) < 1e-3, nearest, np.ceil(exact)).astype(np.int64), kinds, readable)


def _checked(ms: np.ndarray, kinds: np.ndarray, readable: np.ndarray) -> tuple[np.ndarray, Counter[str]]:
    readable = readable & (ms >= 0) & (ms <= _LATEST_MS)
    counts = np.bincount(kinds[readable], minlength=len(UNITS))
    units = Counter({unit: int(count) for unit, count in zip(UNITS, counts, strict=True) if count})
    return np.where(readable, ms, UNREADABLE), units
