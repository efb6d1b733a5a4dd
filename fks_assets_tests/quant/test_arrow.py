"""Columns cross between numpy and pyarrow unchanged; the reference is pyarrow's own conversion."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.arrow import arrow_array, numpy_array, text_array

NUMBERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.float32, np.float64, np.bool_)


@given(st.sampled_from(NUMBERS), st.lists(st.integers(0, 1)), st.integers(1, 3))
def test_numbers_and_truth_values_cross_both_ways(kind, values, step):
    given_values = np.array(values, kind)[::step]
    array = arrow_array(given_values)
    assert array.equals(pa.array(given_values))
    assert array.validate(full=True) is None
    back = numpy_array(array)
    assert back.dtype == given_values.dtype and np.array_equal(back, given_values)


@given(st.lists(st.lists(st.booleans(), max_size=20), max_size=4), st.integers(0, 5))
def test_chunks_and_slices_are_read_from_where_they_begin(chunks, skipped):
    column = pa.chunked_array([pa.array(chunk, pa.bool_()) for chunk in chunks], pa.bool_()).slice(skipped)
    assert numpy_array(column).tolist() == column.to_pylist()
    numbers = pa.chunked_array([pa.array(chunk, pa.bool_()).cast(pa.int64()) for chunk in chunks], pa.int64()).slice(skipped)
    assert numpy_array(numbers).tolist() == numbers.to_pylist()


@given(st.lists(st.text()))
def test_texts_cross(texts):
    assert text_array(texts).equals(pa.array(texts, pa.string()))


def test_times_come_as_milliseconds():
    times = pa.array([0, 1_700_000_000_000], pa.int64()).cast(pa.timestamp("ms", tz="UTC"))
    assert numpy_array(times).tolist() == [0, 1_700_000_000_000]


def test_nulls_are_shown_as_pyarrow_shows_them():
    assert np.isnan(numpy_array(pa.array([1.0, None]))).tolist() == [False, True]


@pytest.mark.parametrize("what", ["arrow_array(np.arange(3))", "text_array(['a'])", "numpy_array(arrow_array(np.ones(3, bool)))"])
def test_nothing_of_it_imports_pandas(what):
    script = f"import sys, numpy as np\nfrom fks_assets.quant.arrow import *\n{what}\nprint('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
