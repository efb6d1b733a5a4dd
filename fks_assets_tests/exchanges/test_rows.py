import math
import random

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fks_assets.exchanges import rows as module
from fks_assets.exchanges.rows import BINANCE_LAYOUT, KRAKEN_LAYOUT, MalformedRows, RawRows, binance_rows, exact_rows, kraken_rows
from fks_assets_tests.exchanges.exchange_script import START_MS, binance_row
from fks_assets_tests.shared_data import SHARED, requires_shared

HOUR = 3_600_000
BODY = orjson.dumps([binance_row(START_MS + i * HOUR, HOUR) for i in range(40)])


def fast(body: bytes) -> RawRows | None:
    return module._fast_binance_rows(body)


def exact(body: bytes) -> RawRows:
    return exact_rows(orjson.loads(body), BINANCE_LAYOUT)


def assert_same(first: RawRows, second: RawRows) -> None:
    assert np.array_equal(first.open_time, second.open_time)
    assert np.array_equal(first.spans, second.spans)
    for one, other in zip(first.columns, second.columns, strict=True):
        assert one.dtype == other.dtype == np.float64
        assert one.tobytes() == other.tobytes()


def test_the_fast_path_reads_a_usual_body_and_every_value_is_the_float_of_its_text():
    rows = fast(BODY)
    decoded = orjson.loads(BODY)
    assert rows is not None
    assert rows.open_time.tolist() == [row[0] for row in decoded]
    for column, cell in zip(rows.columns, (1, 2, 3, 4, 5), strict=True):
        assert column.tolist() == [float(row[cell]) for row in decoded]


@requires_shared
@pytest.mark.parametrize("name", ["klines_BTCUSDT_1h_page1", "klines_BTCUSDT_1h_page2"])
def test_both_paths_agree_on_recorded_bodies(name: str):
    body = orjson.dumps(orjson.loads((SHARED / f"data/api/binance/recorded/{name}.json").read_bytes()))
    rows = fast(body)
    assert rows is not None
    assert_same(rows, exact(body))


@requires_shared
def test_a_recorded_kraken_answer_gives_its_rows_without_vwap_count_and_last():
    decoded = orjson.loads((SHARED / "data/api/kraken/recorded/OHLC_XBTUSDT_1m_2025-11.json").read_bytes())
    rows = kraken_rows(decoded)
    recorded = decoded["result"]["XBTUSDT"]
    assert rows.open_time.tolist() == [row[0] * 1000 for row in recorded]
    assert rows.columns[4].tolist() == [float(row[6]) for row in recorded]
    assert rows.spans is None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_mutated_body_never_reads_otherwise_on_the_fast_path_than_on_the_exact_one(data: st.DataObject):
    """The fast path may pass a body on to the exact one; when it does not, both must give the same, bit for bit."""
    body = bytearray(BODY)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["replace", "insert", "delete", "cut", "swap"]))
        piece = data.draw(
            st.sampled_from([b"0", b"9", b".", b",", b'"', b"[", b"]", b"-", b"e", b" ", b"null", b"NaN", b"00", b"\n", b"1"])
        )
        if kind == "replace":
            body[at : at + len(piece)] = piece
        elif kind == "insert":
            body[at:at] = piece
        elif kind == "delete":
            del body[at : at + data.draw(st.integers(1, 3))]
        elif kind == "cut":
            del body[at:]
        else:
            other = data.draw(st.integers(0, len(body) - 1))
            body[at], body[other] = body[other], body[at]
        if not body:
            return
    rows = fast(bytes(body))
    if rows is not None:
        assert_same(rows, exact(bytes(body)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.from_regex(r"\A[0-9]{0,25}\.[0-9]{0,25}\Z"), min_size=5, max_size=5), st.integers(0, 2**62))
def test_any_digits_give_the_same_value_on_both_paths(texts: list[str], time: int):
    row = [time, *texts, time + 9, "1.5", 7, "0.5", "0.75", "0"]
    body = orjson.dumps([row, *(binance_row(START_MS + i * HOUR, HOUR) for i in range(30))])
    rows = fast(body)
    if rows is not None:
        assert_same(rows, exact(body))


def test_half_of_all_single_digit_changes_are_read_on_the_fast_path():
    """Guards the two properties above: they would hold for a fast path that never reads anything."""
    chooser = random.Random(1)
    places = [i for i, byte in enumerate(BODY) if chr(byte).isdigit()]
    read = 0
    for _ in range(200):
        body = bytearray(BODY)
        body[chooser.choice(places)] = ord(chooser.choice("123456789"))
        read += fast(bytes(body)) is not None
    assert read > 100


@pytest.mark.parametrize(
    ("mutation", "fault"),
    [
        ({"cell": (3, 0), "value": None}, "row 3 has null as a time"),
        ({"cell": (3, 0), "value": True}, "row 3 has true as a time"),
        ({"cell": (3, 0), "value": "1"}, 'row 3 has "1" as a time'),
        ({"cell": (3, 0), "value": 1.5}, "row 3 has 1.5 as a time"),
        ({"cell": (3, 0), "value": -1}, "row 3 has the impossible time -1"),
        ({"cell": (3, 0), "value": 2**60}, "row 3 has the impossible time"),
        ({"cell": (3, 2), "value": ["1"]}, "row 3 holds a list in column 2"),
        ({"cell": (3, 9), "value": {}}, "row 3 holds an object in column 9"),
        ({"row": 5, "value": None}, "row 5 is null, not a list"),
        ({"row": 5, "value": "abc"}, "row 5 is text, not a list"),
        ({"row": 5, "value": [1, "2"]}, "row 5 has 2 columns, not 12"),
    ],
)
def test_a_malformed_body_is_refused_with_its_fault(mutation: dict, fault: str):
    decoded = orjson.loads(BODY)
    if "cell" in mutation:
        row, cell = mutation["cell"]
        decoded[row][cell] = mutation["value"]
    else:
        decoded[mutation["row"]] = mutation["value"]
    body = orjson.dumps(decoded)
    with pytest.raises(MalformedRows, match=fault.replace("[", r"\[")):
        binance_rows(body, lambda: orjson.loads(body))


@pytest.mark.parametrize("value", [None, {}, "", "text", 7, True])
def test_a_body_that_is_no_list_is_refused(value: object):
    with pytest.raises(MalformedRows, match="not a list of rows"):
        exact_rows(value, BINANCE_LAYOUT)


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "null"), ("abc", '"abc"'), ("1_0", '"1_0"'), (" 1", '" 1"'), (True, "true"), ("", '""')]
)
def test_a_row_whose_value_is_no_number_is_set_aside_with_the_reason(value: object, shown: str):
    decoded = orjson.loads(BODY)
    decoded[4][2] = value
    rows = exact_rows(decoded, BINANCE_LAYOUT)
    (unreadable,) = rows.unreadable
    assert unreadable.open_time == decoded[4][0]
    assert unreadable.reason == f"high is {shown}, not a number"
    assert math.isnan(unreadable.values[1])
    assert len(rows.open_time) == 39


def test_text_that_spells_a_number_that_is_not_finite_is_kept_for_the_quarantine():
    decoded = orjson.loads(BODY)
    decoded[4][2], decoded[5][5] = "NaN", "1e400"
    rows = exact_rows(decoded, BINANCE_LAYOUT)
    assert math.isnan(rows.columns[1][4])
    assert rows.columns[4][5] == math.inf


@pytest.mark.parametrize(
    ("decoded", "fault"),
    [
        ([], "no result object"),
        ({"error": []}, "no result object"),
        ({"error": [], "result": []}, "no result object"),
        ({"error": [], "result": {"last": 1}}, "names 0 pairs"),
        ({"error": [], "result": {"A": [], "B": [], "last": 1}}, "names 2 pairs"),
        ({"error": [], "result": {"A": None}}, "null, not a list of rows"),
    ],
)
def test_a_kraken_answer_of_another_shape_is_refused(decoded: object, fault: str):
    with pytest.raises(MalformedRows, match=fault):
        kraken_rows(decoded)


def test_kraken_times_are_seconds():
    rows = exact_rows([[1_700_006_400, "1", "2", "0.5", "1.5", "1.1", "3", 4]], KRAKEN_LAYOUT)
    assert rows.open_time.tolist() == [1_700_006_400_000]
    assert [column.tolist() for column in rows.columns] == [[1.0], [2.0], [0.5], [1.5], [3.0]]
