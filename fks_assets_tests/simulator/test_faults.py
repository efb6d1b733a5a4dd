"""Every fault as a plain HTTP client sees it."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.simulator.plain_http import Seen, get

NOW = 1_763_697_723_456  # 2025-11-21T04:02:03.456Z
HOUR = 3_600_000
RUNNING = NOW // HOUR * HOUR
KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=6"
OHLC = "/0/public/OHLC?pair=XBTUSDT&interval=60&since=0"


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits={"binance": {"weight": 10**6}, "kraken": {"burst": 10**6}}) as client:
        yield client


@pytest.fixture
def simulator(running: SimulatorClient) -> Iterator[SimulatorClient]:
    running.remove_faults()
    running.clear_journal()
    yield running
    running.remove_faults()


def ask(simulator: SimulatorClient, path: str = KLINES, **fault: Any) -> Seen:
    """Return the answer to a request while one fault is in force."""
    simulator.remove_faults()
    simulator.add_faults(fault)
    return get(simulator.url, path)


def true_rows(simulator: SimulatorClient) -> list[list[Any]]:
    simulator.remove_faults()
    return get(simulator.url, KLINES).json


def test_status_429_carries_retry_after_and_the_exchanges_words(simulator: SimulatorClient) -> None:
    seen = ask(simulator, action="status", status=429, retry_after=7)
    assert (seen.status, seen.headers["retry-after"], seen.json["code"]) == (429, "7", -1003)


@pytest.mark.parametrize(("status", "code"), [(418, -1003), (500, -1000), (503, -1008), (504, -1007)])
def test_a_status_comes_with_the_body_that_binance_sends(simulator: SimulatorClient, status: int, code: int) -> None:
    seen = ask(simulator, action="status", status=status)
    assert (seen.status, seen.json["code"]) == (status, code)


def test_a_status_can_come_with_html_or_any_body(simulator: SimulatorClient) -> None:
    seen = ask(simulator, action="status", status=520, html=True)
    assert (seen.status, seen.headers["content-type"]) == (520, "text/html") and b"<title>520 error</title>" in seen.body
    assert ask(simulator, action="status", status=500, body="oops").body == b"oops"


def test_an_error_is_worded_in_the_dialect_asked(simulator: SimulatorClient) -> None:
    seen = ask(simulator, OHLC, action="error", message="EService:Busy")
    assert (seen.status, seen.json) == (200, {"error": ["EService:Busy"]})
    seen = ask(simulator, action="error", code=-1001, message="Internal error.")
    assert (seen.status, seen.json) == (400, {"code": -1001, "msg": "Internal error."})


def test_latency_delays_the_answer_and_changes_nothing(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    started = time.monotonic()
    seen = ask(simulator, action="latency", seconds=0.3)
    assert time.monotonic() - started >= 0.3
    assert seen.json == expected


def test_a_drip_arrives_whole_in_small_pieces(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    simulator.add_faults({"action": "drip", "bytes_per_second": 4000})
    parts = urlsplit(simulator.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as connection:
        connection.sendall(f"GET {KLINES} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        pieces = []
        while piece := connection.recv(65_536):
            pieces.append(piece)
    assert len(pieces) >= 3
    assert json.loads(b"".join(pieces).partition(b"\r\n\r\n")[2]) == expected


def test_a_torn_body_breaks_the_promise_of_its_length(simulator: SimulatorClient) -> None:
    with pytest.raises(http.client.IncompleteRead) as torn:
        ask(simulator, action="torn", at=0.5)
    length = len(json.dumps(true_rows(simulator), separators=(",", ":")))
    assert len(torn.value.partial) == length // 2 and torn.value.expected == length - length // 2


def test_an_honestly_torn_body_is_only_bad_json(simulator: SimulatorClient) -> None:
    seen = ask(simulator, action="torn", at=0.9, honest_length=True)
    assert seen.status == 200 and seen.body.startswith(b"[[")
    with pytest.raises(json.JSONDecodeError):
        _ = seen.json


def test_garbage_empty_and_chosen_bodies(simulator: SimulatorClient) -> None:
    garbage = ask(simulator, action="garbage", bytes=500)
    assert garbage.status == 200 and len(garbage.body) == 500
    assert ask(simulator, action="garbage", bytes=500).body == garbage.body
    assert ask(simulator, action="garbage", body="null").body == b"null"
    assert ask(simulator, action="empty").body == b""


def test_an_oversize_body_is_the_answer_behind_a_sea_of_blanks(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    seen = ask(simulator, action="oversize", bytes=3_000_000)
    assert len(seen.body) > 3_000_000 and seen.json == expected and "content-length" not in seen.headers


def test_a_client_that_leaves_an_endless_body_stops_the_server_from_sending(simulator: SimulatorClient) -> None:
    simulator.add_faults({"action": "oversize", "bytes": 2**34})
    parts = urlsplit(simulator.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as connection:
        connection.sendall(f"GET {KLINES} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    simulator.remove_faults()
    assert get(simulator.url, KLINES).status == 200


def test_a_reset_is_a_reset(simulator: SimulatorClient) -> None:
    with pytest.raises(ConnectionResetError):
        ask(simulator, action="reset")
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        ask(simulator, action="reset", after_bytes=100)


def test_a_hang_answers_nothing_until_it_ends(simulator: SimulatorClient) -> None:
    simulator.add_faults({"name": "hang", "action": "hang", "seconds": 60})
    with pytest.raises(TimeoutError):
        get(simulator.url, KLINES, timeout=0.3)
    assert [entry["faults"] for entry in simulator.journal()] == [["hang"]]
    with pytest.raises(ConnectionResetError):
        ask(simulator, action="hang", seconds=0.1)


@pytest.mark.parametrize(
    ("values", "text"),
    [("nan", "NaN"), ("inf", "Infinity"), ("zero", "0.00000000"), ("overflow", "1e400"), ("null", None), ("text", "n/a")],
)
def test_a_bad_value_stands_where_it_was_asked_for(simulator: SimulatorClient, values: str, text: str | None) -> None:
    expected = true_rows(simulator)
    rows = ask(simulator, action="values", values=values, column="high", where="first").json
    assert rows[0][2] == text
    rows[0][2] = expected[0][2]
    assert rows == expected


def test_negative_values_and_high_below_low(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    rows = ask(simulator, action="values", values="negative", column="volume", where="all").json
    assert [row[5] for row in rows] == [f"-{row[5]}" for row in expected]
    rows = ask(simulator, action="values", values="high_below_low", where="last_closed").json
    assert float(rows[-2][2]) < float(rows[-2][3]) and rows[-1] == expected[-1]


def test_bad_values_reach_kraken_rows_too(simulator: SimulatorClient) -> None:
    rows = ask(simulator, OHLC, action="values", values="nan", column="volume", where="last", count=2).json["result"]["XBTUSDT"]
    assert [row[6] for row in rows[-3:]][1:] == ["NaN", "NaN"] and rows[-3][6] != "NaN"


def test_a_revised_candle_changes_from_its_time_on_and_is_then_the_truth(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    candle = expected[2][0]
    simulator.add_faults(
        {
            "action": "revise",
            "symbol": "BTC-USDT",
            "timeframe": "1h",
            "open_time": candle,
            "volume_factor": 2.0,
            "price_factor": 1.5,
            "from": NOW + 1000,
        }
    )
    assert get(simulator.url, KLINES).json == expected
    simulator.set_clock(advance_seconds=2)
    rows = get(simulator.url, KLINES).json
    truth, former = (simulator.candles("BTC-USDT", "1h", candle, candle + HOUR, restated=restated) for restated in (True, False))
    simulator.set_clock(now=NOW)
    assert float(rows[2][5]) == pytest.approx(2 * float(expected[2][5])) and float(rows[2][4]) == pytest.approx(
        1.5 * float(expected[2][4])
    )
    assert rows[:2] == expected[:2] and rows[3:5] == expected[3:5]
    assert truth.close[0] == float(rows[2][4]) and former.close[0] == float(expected[2][4])


def test_a_partial_candle_is_the_last_closed_one_before_it_was_complete(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    rows = ask(simulator, action="partial", fraction=0.5, seconds=600).json
    assert rows[-1] == expected[-1] and rows[:-2] == expected[:-2]
    closed, whole = rows[-2], expected[-2]
    assert float(closed[5]) == pytest.approx(float(whole[5]) / 2, rel=1e-4)
    assert float(whole[3]) <= float(closed[3]) <= float(closed[4]) <= float(closed[2]) <= float(whole[2])
    assert ask(simulator, action="partial", fraction=0.5, seconds=60).json == expected


def test_an_unfinished_candle_can_claim_to_be_closed(simulator: SimulatorClient) -> None:
    assert true_rows(simulator)[-1][6] > NOW
    assert ask(simulator, action="unfinished").json[-1][6] == NOW - 1


def test_skew_shifts_the_told_time_and_not_the_candles(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    assert ask(simulator, "/api/v3/time", action="skew", seconds=-60).json == {"serverTime": NOW - 60_000}
    assert ask(simulator, "/0/public/Time", action="skew", seconds=5).json["result"]["unixtime"] == (NOW + 5000) // 1000
    assert ask(simulator, action="skew", seconds=3600).json == expected
    simulator.remove_faults()
    assert get(simulator.url, "/api/v3/time").json == {"serverTime": NOW}


def test_rows_go_missing_come_twice_or_in_another_order(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    assert ask(simulator, action="missing", where="middle", count=2).json == expected[:2] + expected[4:]
    assert ask(simulator, action="duplicate", where="first").json == [expected[0], *expected]
    assert ask(simulator, action="reorder", how="reverse").json == expected[::-1]
    shuffled = ask(simulator, action="reorder").json
    assert shuffled != expected and sorted(shuffled) == expected


def test_rows_stand_off_the_grid_or_in_the_future(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    assert ask(simulator, action="off_grid", where="first", milliseconds=1000).json[0][0] == expected[0][0] + 1000
    rows = ask(simulator, action="future", count=2).json
    assert [row[0] for row in rows[-2:]] == [RUNNING + HOUR, RUNNING + 2 * HOUR] and rows[:-2] == expected


def test_a_rule_hits_only_what_it_names(simulator: SimulatorClient) -> None:
    simulator.add_faults(
        {
            "name": "x",
            "action": "status",
            "status": 500,
            "endpoint": "candles",
            "symbol": ["ETH-USDT"],
            "timeframe": "1h",
            "client": "127.0.0.1",
        }
    )
    paths = {
        "/api/v3/klines?symbol=ETHUSDT&interval=1h": 500,
        "/0/public/OHLC?pair=ETHUSDT&interval=60": 500,
        "/api/v3/klines?symbol=ETHUSDT&interval=5m": 200,
        "/api/v3/klines?symbol=BTCUSDT&interval=1h": 200,
        "/api/v3/depth?symbol=ETHUSDT": 200,
    }
    assert {path: get(simulator.url, path).status for path in paths} == paths
    assert get(simulator.url, "/api/v3/klines?symbol=ETHUSDT&interval=1h", source="127.0.0.3").status == 200
    assert [(entry["faults"], entry["status"]) for entry in simulator.journal(fault="x")] == [(["x"], 500)] * 2


def test_first_skip_and_every_count_matching_requests(simulator: SimulatorClient) -> None:
    def statuses(count: int, **options: Any) -> list[int]:
        simulator.remove_faults()
        simulator.add_faults({"action": "status", "status": 500, **options})
        return [get(simulator.url, "/api/v3/ping").status for _ in range(count)]

    assert statuses(4, first=2) == [500, 500, 200, 200]
    assert statuses(4, skip=1, first=1) == [200, 500, 200, 200]
    assert statuses(6, every=3) == [500, 200, 200, 500, 200, 200]
    assert simulator.faults()[0]["matched"] == 6 and simulator.faults()[0]["applied"] == 2


def test_chance_is_seeded(simulator: SimulatorClient) -> None:
    def statuses(seed: int) -> list[int]:
        simulator.remove_faults()
        simulator.add_faults({"name": "chance", "action": "status", "status": 500, "probability": 0.5}, seed=seed)
        return [get(simulator.url, "/api/v3/ping").status for _ in range(40)]

    first = statuses(1)
    assert statuses(1) == first != statuses(2)
    assert 8 <= first.count(500) <= 32


def test_faults_compose_in_one_answer(simulator: SimulatorClient) -> None:
    expected = true_rows(simulator)
    simulator.add_faults(
        {"name": "slow", "action": "latency", "seconds": 0.05},
        {"name": "twice", "action": "duplicate"},
        {"name": "turned", "action": "reorder", "how": "reverse"},
    )
    assert get(simulator.url, KLINES).json == [*expected, expected[-1]][::-1]
    assert simulator.journal()[-1]["faults"] == ["slow", "twice", "turned"] and simulator.journal()[-1]["rows"] == 7
