"""Whatever an exchange answers, it becomes rows or one of our errors, and no wrong candle."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fks_assets.errors import ExchangeError
from fks_assets.exchanges.answers import Answer, AnswerJudge
from fks_assets.exchanges.candle_api import candle_url, exchange_time_ms, read_rows
from fks_assets.exchanges.ccxt_loader import load_errors, load_exchange_class
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.screening import Window, screen_rows
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.exchanges.exchange_script import START_MS, binance_row, candle_texts, kraken_row

H1 = parse_timeframe("1h")
STEP = H1.milliseconds
TIMES = [START_MS + i * STEP for i in range(30)]
END = TIMES[-1] + STEP
BODIES = {
    "binance": orjson.dumps([binance_row(time, STEP) for time in TIMES]),
    "kraken": orjson.dumps(
        {"error": [], "result": {"XXBTZUSD": [kraken_row(time) for time in TIMES], "last": TIMES[-1] // 1000}}
    ),
}
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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_any_cell_gives_candles_that_were_sent_or_none(data: st.DataObject):
    """Only the changed rows may differ from the honest answer, and what is left of them obeys the rules of a candle."""
    dialect = data.draw(st.sampled_from(list(DIALECTS)))
    document = orjson.loads(BODIES[dialect])
    rows = document if dialect == "binance" else document["result"]["XXBTZUSD"]
    changed: set[int] = set()
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.integers(0, len(rows) - 1))
        cell = data.draw(st.integers(0, len(rows[row]) - 1))
        rows[row][cell] = data.draw(
            json_values | st.sampled_from(["NaN", "Infinity", "-1", "0", "1e400", "1e-400", "", " 1", "0x1"])
        )
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
            assert values == [float(text) for text in texts] or time in {
                rows[i][0] * (1 if dialect == "binance" else 1000) for i in changed
            }
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
    ],
)
def test_candles_are_asked_for_in_each_exchanges_own_words(dialect: str, symbol: str, query: str):
    url = candle_url(CLIENTS[dialect], DIALECTS[dialect], symbol, H1, START_MS, end_ms=START_MS + STEP + 1, rows=1000)
    assert url.partition("?")[2] == query
    assert url.startswith("https://api.")


def test_exchange_times_are_read_in_milliseconds():
    assert exchange_time_ms({"serverTime": START_MS}, DIALECTS["binance"]) == START_MS
    assert exchange_time_ms({"error": [], "result": {"unixtime": START_MS // 1000}}, DIALECTS["kraken"]) == START_MS
