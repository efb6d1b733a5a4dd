import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.simulator.plain_http import get

NOW = 1_763_697_723_456  # 2025-11-21T04:02:03.456Z
HOUR = 3_600_000


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits={"binance": {"weight": 10**6}}) as client:
        yield client


def ask(simulator: SimulatorClient, path: str) -> Any:
    seen = get(simulator.url, f"/api/v3/{path}")
    assert seen.status == 200, seen.body
    return seen.json


def shape(value: Any) -> Any:
    """Return the types of a JSON value: keys of tables, the shape of a list's first entry, how a text reads."""
    if isinstance(value, dict):
        return {name: shape(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str) and value.replace(".", "", 1).removeprefix("-").isdigit():
        return f"number with {len(value.partition('.')[2])} decimals"
    return type(value).__name__


def recorded(name: str) -> Any:
    assert SHARED is not None
    return json.loads((Path(SHARED) / "data" / "api" / "binance" / name).read_text())


@requires_shared
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("time", "documented/time.json"),
        ("klines?symbol=BTCUSDT&interval=1h&limit=1000", "recorded/klines_BTCUSDT_1h_page1.json"),
        ("klines?symbol=BTCUSDT&interval=5m&limit=24", "recorded/klines_BTCUSDT_5m_limit24_no_range.json"),
        ("ticker/price?symbol=BTCUSDT", "recorded/ticker_price_BTCUSDT.json"),
        ("ticker/price", "documented/ticker_price_2.json"),
        ("ticker/bookTicker?symbol=BTCUSDT", "recorded/ticker_book_BTCUSDT.json"),
        ("ticker/bookTicker", "documented/ticker_book_2.json"),
        ("ticker/24hr?symbol=ETHUSDT", "recorded/ticker_24hr_DOGEUSDT.json"),
        ("ticker/24hr?symbols=%5B%22BTCUSDT%22,%22ETHUSDT%22%5D", "recorded/ticker_24hr_symbols_array.json"),
        ("ticker/24hr?symbol=ETHUSDT&type=MINI", "documented/ticker_24hr_3.json"),
        ("depth?symbol=BTCUSDT&limit=1000", "recorded/depth_BTCUSDT.json"),
        ("trades?symbol=BTCUSDT&limit=15", "recorded/trades_BTCUSDT_limit15.json"),
    ],
)
def test_an_answer_has_the_shape_of_the_recorded_one(simulator: SimulatorClient, path: str, body: str) -> None:
    ours, theirs = ask(simulator, path), recorded(body)
    if path.startswith("klines"):
        ours, theirs = [[shape(value) for value in page[0]] for page in (ours, theirs)]
        assert ours == theirs
    else:
        assert shape(ours) == shape(theirs)


@requires_shared
def test_exchange_info_has_every_recorded_field_and_filter_and_a_marker(simulator: SimulatorClient) -> None:
    ours, theirs = ask(simulator, "exchangeInfo"), recorded("recorded/exchangeInfo_2025-08_25symbols.json")
    assert ours.pop("simulator") == {
        "simulator": "fks-simulator",
        "data": "generated from seed 7",
        "kind": "generated",
        "seed": 7,
    }
    assert {name: type(value) for name, value in ours.items()} == {name: type(value) for name, value in theirs.items()}
    assert ours["rateLimits"][1:] == theirs["rateLimits"][1:]
    bitcoin = next(one for one in theirs["symbols"] if one["symbol"] == "BTCUSDT")
    mine = ours["symbols"][0]
    assert {name: type(value) for name, value in mine.items()} == {name: type(value) for name, value in bitcoin.items()}
    assert [shape(entry) for entry in mine["filters"]] == [shape(entry) for entry in bitcoin["filters"]]
    for number in (0, 1):
        for key in ("tickSize", "stepSize", "minPrice", "minQty"):
            assert mine["filters"][number].get(key) == bitcoin["filters"][number].get(key)


def test_exchange_info_halts_a_delisted_market_and_hides_one_not_yet_listed(simulator: SimulatorClient) -> None:
    found = {one["symbol"]: one["status"] for one in ask(simulator, "exchangeInfo")["symbols"]}
    assert found["MATICUSDT"] == "BREAK" and found["POLUSDT"] == "TRADING" and len(found) == 11
    simulator.set_clock(now="2024-09-09T00:00:00Z")
    before = {one["symbol"]: one["status"] for one in ask(simulator, "exchangeInfo")["symbols"]}
    simulator.set_clock(now=NOW)
    assert before["MATICUSDT"] == "TRADING" and "POLUSDT" not in before


def opens(rows: list[list[Any]]) -> list[int]:
    return [row[0] for row in rows]


def test_klines_default_to_the_newest_500_with_the_running_one_last(simulator: SimulatorClient) -> None:
    rows = ask(simulator, "klines?symbol=BTCUSDT&interval=1m")
    assert len(rows) == 500
    assert rows[-1][0] == NOW - NOW % 60_000 and rows[-1][6] > NOW
    assert rows[-1][6] == rows[-1][0] + 59_999


def test_klines_from_a_start_come_oldest_first_up_to_the_limit(simulator: SimulatorClient) -> None:
    start = 1_700_000_000_000
    first = -(-start // HOUR) * HOUR
    rows = ask(simulator, f"klines?symbol=BTCUSDT&interval=1h&startTime={start}&limit=3")
    assert opens(rows) == [first, first + HOUR, first + 2 * HOUR]
    assert len(ask(simulator, f"klines?symbol=BTCUSDT&interval=1h&startTime={start}&limit=5000")) == 1000


def test_klines_with_only_an_end_are_the_newest_up_to_it(simulator: SimulatorClient) -> None:
    end = 1_700_000_000_000
    last = end // HOUR * HOUR
    assert opens(ask(simulator, f"klines?symbol=BTCUSDT&interval=1h&endTime={end}&limit=2")) == [last - HOUR, last]


def test_klines_with_start_equal_to_end_on_a_boundary_are_that_candle(simulator: SimulatorClient) -> None:
    at = 1_700_000_000_000 // 60_000 * 60_000
    assert opens(ask(simulator, f"klines?symbol=BTCUSDT&interval=1m&startTime={at}&endTime={at}")) == [at]


def test_klines_of_an_empty_range_are_an_empty_list(simulator: SimulatorClient) -> None:
    assert ask(simulator, "klines?symbol=BTCUSDT&interval=1h&startTime=1600000000001&endTime=1600000000002") == []
    assert ask(simulator, f"klines?symbol=BTCUSDT&interval=1h&startTime={NOW + HOUR}") == []
    assert ask(simulator, "klines?symbol=POLUSDT&interval=1h&endTime=1600000000000") == []
    assert ask(simulator, f"klines?symbol=MATICUSDT&interval=1h&startTime={NOW - 100 * HOUR}") == []


def test_no_page_ever_shows_the_future(simulator: SimulatorClient) -> None:
    for name in ("1m", "5m", "1h", "1d", "1w", "1M"):
        assert ask(simulator, f"klines?symbol=BTCUSDT&interval={name}&startTime={NOW - 40 * 24 * HOUR}&limit=1000")[-1][0] <= NOW


def test_pages_joined_by_their_last_open_time_are_the_whole_series(simulator: SimulatorClient) -> None:
    start, found = NOW - 130 * 24 * HOUR, []
    while True:
        rows = ask(simulator, f"klines?symbol=LINKUSDT&interval=1h&startTime={start}&limit=700")
        found += rows
        if len(rows) < 700:
            break
        start = rows[-1][0] + 1
    truth = simulator.candles("LINK-USDT", "1h", NOW - 130 * 24 * HOUR)
    assert opens(found[:-1]) == truth.open_time.tolist()
    assert [float(row[4]) for row in found[:-1]] == truth.close.tolist()


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("klines?symbol=NOPE&interval=1h", -1121, "Invalid symbol."),
        (
            "klines?symbol=btcusdt&interval=1h",
            -1100,
            "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
        ),
        ("klines?interval=1h", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ("klines?symbol=BTCUSDT", -1102, "Mandatory parameter 'interval' was not sent, was empty/null, or malformed."),
        ("klines?symbol=BTCUSDT&interval=1H", -1120, "Invalid interval."),
        (
            "klines?symbol=BTCUSDT&interval=1h&limit=-1",
            -1100,
            "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.",
        ),
        ("klines?symbol=BTCUSDT&interval=1h&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("time?x=1", -1101, "Too many parameters; expected '0' and received '1'."),
        ("ticker/price?symbol=BTCUSDT&symbols=[]", -1128, "Combination of optional parameters invalid."),
    ],
)
def test_a_wrong_request_is_refused_in_the_exchanges_words(
    simulator: SimulatorClient, path: str, code: int, message: str
) -> None:
    seen = get(simulator.url, f"/api/v3/{path}")
    assert (seen.status, seen.json) == (400, {"code": code, "msg": message})


def test_an_unknown_path_is_a_page_and_not_json(simulator: SimulatorClient) -> None:
    seen = get(simulator.url, "/api/v3/order/cancelAll")
    assert seen.status == 404 and seen.body.startswith(b"<html>")


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("ping", 1),
        ("time", 1),
        ("exchangeInfo", 20),
        ("klines?symbol=BTCUSDT&interval=1h", 2),
        ("depth?symbol=BTCUSDT", 5),
        ("depth?symbol=BTCUSDT&limit=101", 25),
        ("depth?symbol=BTCUSDT&limit=1000", 50),
        ("depth?symbol=BTCUSDT&limit=5000", 250),
        ("trades?symbol=BTCUSDT", 25),
        ("aggTrades?symbol=BTCUSDT", 4),
        ("ticker/price?symbol=BTCUSDT", 2),
        ("ticker/price", 4),
        ("ticker/bookTicker", 4),
        ("ticker/24hr?symbol=BTCUSDT", 2),
        ("ticker/24hr", 80),
    ],
)
def test_a_request_costs_the_documented_weight(simulator: SimulatorClient, path: str, weight: int) -> None:
    """Weights from the vendor's rest-api.md."""
    simulator.forget_breaches()
    assert get(simulator.url, f"/api/v3/{path}").headers["x-mbx-used-weight-1m"] == str(weight)


def test_book_ticker_depth_and_trades_agree_with_the_price(simulator: SimulatorClient) -> None:
    price = float(ask(simulator, "ticker/price?symbol=ETHUSDT")["price"])
    best = ask(simulator, "ticker/bookTicker?symbol=ETHUSDT")
    book = ask(simulator, "depth?symbol=ETHUSDT&limit=5000")
    tape = ask(simulator, "trades?symbol=ETHUSDT&limit=1000")
    assert float(best["bidPrice"]) <= price < float(best["askPrice"])
    assert book["bids"][0] == [best["bidPrice"], best["bidQty"]] and book["asks"][0] == [best["askPrice"], best["askQty"]]
    bids, asks = ([float(level[0]) for level in book[side]] for side in ("bids", "asks"))
    assert bids == sorted(bids, reverse=True) and asks == sorted(asks) and len(set(bids)) == len(bids)
    assert len(tape) == 1000 and [trade["id"] for trade in tape] == sorted({trade["id"] for trade in tape})
    assert abs(float(tape[-1]["price"]) / price - 1) < 0.001 and tape[-1]["time"] <= NOW


def test_a_trade_never_changes_after_it_was_seen(simulator: SimulatorClient) -> None:
    earlier = {trade["id"]: trade for trade in ask(simulator, "trades?symbol=ADAUSDT&limit=50")}
    simulator.set_clock(advance_seconds=3)
    later = {trade["id"]: trade for trade in ask(simulator, "trades?symbol=ADAUSDT&limit=1000")}
    simulator.set_clock(now=NOW)
    assert set(later) > set(earlier)
    assert all(later[number] == trade for number, trade in earlier.items())


def test_day_figures_are_those_of_the_last_1440_minutes(simulator: SimulatorClient) -> None:
    figures = ask(simulator, "ticker/24hr?symbol=SOLUSDT")
    simulator.set_clock(now=NOW - NOW % 60_000)
    whole = ask(simulator, "ticker/24hr?symbol=SOLUSDT")
    minutes = simulator.candles("SOL-USDT", "1m", NOW - NOW % 60_000 - 24 * HOUR)
    simulator.set_clock(now=NOW)
    assert float(whole["highPrice"]) == minutes.high.max() and float(whole["lowPrice"]) == minutes.low.min()
    assert float(whole["volume"]) == pytest.approx(minutes.volume.sum(), rel=1e-3)
    assert float(whole["openPrice"]) == minutes.open[0]
    assert figures["closeTime"] - figures["openTime"] == 24 * HOUR
    assert float(figures["lowPrice"]) <= float(figures["weightedAvgPrice"]) <= float(figures["highPrice"])
