"""Whatever an exchange answers, it becomes rows or one of our errors, and no wrong candle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fks_assets.errors import ExchangeError, InvalidResponse
from fks_assets.exchanges.answers import Answer, AnswerJudge
from fks_assets.exchanges.candle_api import answered_time_ms, candle_url, exchange_time_ms, read_rows
from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.screening import Window, screen_rows
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.exchanges.exchange_script import START_MS, binance_row, candle_texts, kraken_row, udf_columns

H1 = parse_timeframe("1h")
STEP = H1.milliseconds
TIMES = [START_MS + i * STEP for i in range(30)]
END = TIMES[-1] + STEP
BODIES = {
    "binance": orjson.dumps([binance_row(time, STEP) for time in TIMES]),
    "kraken": orjson.dumps(
        {"error": [], "result": {"XXBTZUSD": [kraken_row(time) for time in TIMES], "last": TIMES[-1] // 1000}}
    ),
    "wallex": orjson.dumps(udf_columns(TIMES, lambda text: f"{text}00000000")),
    "nobitex": orjson.dumps(udf_columns(TIMES, float)),
}
UDF_COLUMNS = "tohlcv"
CLIENTS = {name: load_exchange_class(name)() for name in DIALECTS}
JUDGES = {name: AnswerJudge(name, dialect, CLIENTS[name], load_errors()) for name, dialect in DIALECTS.items()}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["error", "result", "code", "msg", "last", "A"]), inner)
    ),
    max_leaves=12,
)


def judged(dialect: str, status: int, body: bytes) -> tuple[Any, Any] | None:
    """Return the screened candles and quarantined rows of an answer, None when it is one of our errors."""
    try:
        rows = read_rows(Answer(status, "", {}, body, 0.0, 0.1), JUDGES[dialect], H1)
    except ExchangeError as error:
        assert str(error)
        return None
    return screen_rows(rows, H1, Window(START_MS, END, END, END, DIALECTS[dialect].asked_only))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_honest_answer_is_read_whole(dialect: str):
    candles, quarantined = judged(dialect, 200, BODIES[dialect])
    assert quarantined == ()
    assert candles.open_time.tolist() == TIMES
    assert candles.high.tolist() == [float(candle_texts(time)[1]) for time in TIMES]


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(list(DIALECTS)), st.sampled_from([200, 200, 200, 400, 403, 418, 429, 500]), json_values)
def test_any_json_is_rows_or_one_of_our_errors(dialect: str, status: int, value: Any):
    judged(dialect, status, orjson.dumps(value))


def sent_times(dialect: str, document: Any) -> Callable[[], list[int]]:
    """Return what gives the open times (ms) that a document tells now."""
    if dialect == "binance":
        return lambda: [row[0] for row in document]
    if dialect == "kraken":
        return lambda: [row[0] * 1000 for row in document["result"]["XXBTZUSD"]]
    return lambda: [time * 1000 for time in document["t"]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_any_cell_gives_candles_that_were_sent_or_none(data: st.DataObject):
    """Only the changed rows may differ from the honest answer, and what is left of them obeys the rules of a candle."""
    dialect = data.draw(st.sampled_from(list(DIALECTS)))
    document = orjson.loads(BODIES[dialect])
    times = sent_times(dialect, document)
    changed: set[int] = set()
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.integers(0, len(TIMES) - 1))
        value = data.draw(json_values | st.sampled_from(["NaN", "Infinity", "-1", "0", "1e400", "1e-400", "", " 1", "0x1"]))
        if dialect in ("wallex", "nobitex"):
            document[data.draw(st.sampled_from(UDF_COLUMNS))][row] = value
        else:
            rows = document if dialect == "binance" else document["result"]["XXBTZUSD"]
            rows[row][data.draw(st.integers(0, len(rows[row]) - 1))] = value
        changed.add(row)
    found = judged(dialect, 200, orjson.dumps(document))
    if found is None:
        return
    candles, _ = found
    honest = {time: candle_texts(time) for i, time in enumerate(TIMES) if i not in changed}
    kept = dict(zip(candles.open_time.tolist(), range(len(candles)), strict=True))
    for time, texts in honest.items():
        if time in kept:
            values = [getattr(candles, name)[kept[time]] for name in ("open", "high", "low", "close", "volume")]
            assert values == [float(text) for text in texts] or time in {times()[i] for i in changed}
    table = np.stack([candles.open, candles.high, candles.low, candles.close])
    assert np.isfinite(table).all()
    assert (table > 0).all()
    assert (candles.high == table.max(axis=0)).all()
    assert (candles.low == table.min(axis=0)).all()
    assert (candles.volume >= 0).all()
    assert set(kept) <= set(TIMES)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(DIALECTS)), st.data())
def test_any_damage_to_the_bytes_is_noticed_or_harmless(dialect: str, data: st.DataObject):
    body = bytearray(BODIES[dialect])
    start = data.draw(st.integers(0, len(body) - 1))
    body[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=6))
    found = judged(dialect, 200, bytes(body))
    if found is not None:
        assert set(found[0].open_time.tolist()) <= set(TIMES)


@pytest.mark.parametrize(
    ("dialect", "symbol", "query"),
    [
        ("binance", "BTC/USDT", "symbol=BTCUSDT&interval=1h&startTime=1700006400000&limit=1000&endTime=1700010000000"),
        ("kraken", "BTC/USD", "pair=XBTUSD&interval=60&since=1700002800"),
        ("kraken", "DOGE/EUR", "pair=XDGEUR&interval=60&since=1700002800"),
        ("kraken", "SOL/USD", "pair=SOLUSD&interval=60&since=1700002800"),
        ("wallex", "BTC/IRT", "symbol=BTCTMN&resolution=60&from=1700006400&to=1700010000"),
        ("nobitex", "BTC/IRT", "symbol=BTCIRT&resolution=60&from=1700006400&to=1700010000"),
    ],
)
def test_candles_are_asked_for_in_each_exchanges_own_words(dialect: str, symbol: str, query: str):
    url = candle_url(CLIENTS[dialect], DIALECTS[dialect], symbol, H1, START_MS, end_ms=START_MS + STEP + 1, rows=1000)
    assert url.partition("?")[2] == query
    assert url.startswith("https://api")


def test_exchange_times_are_read_in_milliseconds():
    assert exchange_time_ms({"serverTime": START_MS}, DIALECTS["binance"]) == START_MS
    assert exchange_time_ms({"error": [], "result": {"unixtime": START_MS // 1000}}, DIALECTS["kraken"]) == START_MS


def test_where_no_endpoint_tells_the_time_the_date_of_an_answer_does():
    """Sun, 06 Nov 1994 08:49:37 GMT is RFC 9110's own example of a date; 784111777 s by the calendar."""
    dated = Answer(200, "", {"Date": "Wed, 15 Nov 2023 00:00:00 GMT"}, b"{}", 0.0, 0.1)
    for dialect in ("wallex", "nobitex"):
        assert answered_time_ms(dated, {}, DIALECTS[dialect]) == START_MS + 500
        for bad in ({}, {"Date": "yesterday"}, {"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}):
            with pytest.raises(ValueError, match="the clock says"):
                answered_time_ms(Answer(200, "", bad, b"{}", 0.0, 0.1), {}, DIALECTS[dialect])


@pytest.mark.parametrize("dialect", ["wallex", "nobitex"])
@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (range(0, 1500, 60), None),
        (range(0, 1500, 1), "candles of 60 s where 1h candles"),
        ((0, 60, 90, 120), "candles of 1800 s where 1h candles"),
        (range(0, 21 * 240, 240), "candles of 7200 s where 1h candles"),
        (range(0, 20 * 240, 240), None),
        ((0, 60, 600, 6000), None),
        ((0,), None),
        ((), None),
    ],
)
def test_candles_of_another_length_are_refused_where_quiet_ones_may_be_missing(dialect: str, minutes: Any, words: str | None):
    body = orjson.dumps(udf_columns([START_MS + minute * 60_000 for minute in minutes], float))
    if words is None:
        assert len(read_rows(Answer(200, "", {}, body, 0.0, 0.1), JUDGES[dialect], H1)) == len(minutes)
        return
    with pytest.raises(InvalidResponse, match=words):
        read_rows(Answer(200, "", {}, body, 0.0, 0.1), JUDGES[dialect], H1)
