"""Each public endpoint × each fault, over real HTTP: either correct candles or a typed error that says what happened."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fks_assets.errors import ExchangeError, ExchangeRefused, ExchangeUnavailable, InvalidResponse, RateLimited
from fks_assets.exchanges import transport
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.gateway import ExchangeGateway, FetchedCandles
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import parse_market
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.exchanges import fetching
from fks_assets_tests.exchanges.exchange_script import ScriptedExchange
from fks_assets_tests.exchanges.fetching import M5, NOW_MS, START, SYMBOLS, fetch
from fks_assets_tests.exchanges.scripted_server import Reply, Request, scripted_server

DIALECTS = ("binance", "kraken")
BTC = parse_market("BTC-USDT@simulated")
HEALTHY = 2


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW_MS, speed=0, limits={"kraken": {"burst": 1e6}}) as client:
        for symbol in SYMBOLS:
            client.candles(symbol, "5m", START, NOW_MS)
        yield client


@pytest.fixture(autouse=True)
def no_faults_left(simulator: SimulatorClient) -> Iterator[None]:
    yield
    simulator.remove_faults()
    simulator.forget_breaches()
    simulator.set_clock(skew_seconds=0)


def assert_true(simulator: SimulatorClient, symbol: str, fetched: Any, without: tuple[int, ...] = ()) -> None:
    """Check the result against the simulator's own knowledge of what is true, value by value."""
    assert isinstance(fetched, FetchedCandles), fetched
    truth = simulator.candles(symbol, "5m", START, NOW_MS)
    keep = ~np.isin(truth.open_time, without)
    for name in ("open_time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(fetched.candles, name), getattr(truth, name)[keep]), (symbol, name)


NETWORK_FAULTS: dict[str, tuple[dict[str, Any], type[ExchangeError], str]] = {
    "500": ({"action": "status", "status": 500}, ExchangeUnavailable, "HTTP 500"),
    "503 HTML": ({"action": "status", "status": 503, "html": True}, ExchangeUnavailable, "HTTP 503"),
    "hang": ({"action": "hang", "seconds": 4}, ExchangeUnavailable, "gave no complete answer within"),
    "drip": ({"action": "drip", "bytes_per_second": 20}, ExchangeUnavailable, "gave no complete answer within"),
    "reset": ({"action": "reset"}, ExchangeUnavailable, "broke the connection"),
    "torn": ({"action": "torn", "at": 0.5}, ExchangeUnavailable, "broke off its answer"),
    "torn, length honest": ({"action": "torn", "at": 0.5, "honest_length": True}, InvalidResponse, "not JSON"),
    "empty": ({"action": "empty"}, InvalidResponse, "not JSON"),
}
BODY_FAULTS: dict[str, tuple[dict[str, Any], type[ExchangeError], str]] = {
    "garbage": ({"action": "garbage"}, InvalidResponse, "not JSON"),
    "other JSON": ({"action": "garbage", "body": '{"hello":1}'}, InvalidResponse, "does not promise"),
    "NaN literal": ({"action": "garbage", "body": "[[NaN]]"}, InvalidResponse, "not JSON"),
    "text": ({"action": "garbage", "body": '"klines"'}, InvalidResponse, "does not promise"),
    "rows of text": ({"action": "garbage", "body": '["a","b"]'}, InvalidResponse, "does not promise"),
    "null": ({"action": "garbage", "body": "null"}, InvalidResponse, "not JSON"),
    "oversize": ({"action": "oversize", "bytes": 2_000_000}, InvalidResponse, "more than 1000000 bytes"),
    "404": ({"action": "status", "status": 404, "html": True}, ExchangeRefused, "HTTP 404"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("faults", [NETWORK_FAULTS, BODY_FAULTS], ids=["network", "body"])
def test_each_market_meets_its_own_fault_alone_and_says_which(
    simulator: SimulatorClient, roomy_budget: DatabaseBudget, dialect: str, faults: dict[str, Any]
):
    hit = dict(zip(SYMBOLS, faults.values(), strict=False))
    assert len(SYMBOLS) - len(hit) == HEALTHY
    simulator.add_faults(*({**rule, "endpoint": "candles", "symbol": symbol} for symbol, (rule, _, _) in hit.items()))
    results = fetch(simulator.url, roomy_budget, dialect, body_limit_bytes=1_000_000, deadline_seconds=2.5)
    for symbol, (_, kind, words) in hit.items():
        assert type(results[symbol]) is kind, (symbol, results[symbol])
        assert words in str(results[symbol])
        assert symbol.replace("-", "/") in str(results[symbol])
        assert "since=" not in str(results[symbol])
        assert "startTime=" not in str(results[symbol])
    for symbol in SYMBOLS[len(hit) :]:
        assert_true(simulator, symbol, results[symbol])
    simulator.remove_faults()
    healed = fetch(simulator.url, roomy_budget, dialect)
    for symbol in SYMBOLS:
        assert_true(simulator, symbol, healed[symbol])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_fault_that_passes_within_four_retries_is_not_noticed(
    simulator: SimulatorClient, roomy_budget: DatabaseBudget, dialect: str
):
    passing = [rule for rule, kind, _ in [*NETWORK_FAULTS.values(), *BODY_FAULTS.values()] if kind is not ExchangeRefused][:10]
    simulator.add_faults(
        *({**rule, "endpoint": "candles", "symbol": symbol, "first": 1} for symbol, rule in zip(SYMBOLS, passing, strict=True))
    )
    results = fetch(simulator.url, roomy_budget, dialect, deadline_seconds=6.0)
    for symbol in SYMBOLS:
        assert_true(simulator, symbol, results[symbol])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bad_values_are_quarantined_and_the_other_candles_are_exact(
    simulator: SimulatorClient, roomy_budget: DatabaseBudget, dialect: str
):
    bad = ("nan", "inf", "negative", "zero", "overflow", "null", "text", "high_below_low")
    simulator.add_faults(
        *(
            {"action": "values", "values": values, "where": "middle", "endpoint": "candles", "symbol": symbol}
            for symbol, values in zip(SYMBOLS, bad, strict=False)
        )
    )
    results = fetch(simulator.url, roomy_budget, dialect)
    for symbol in SYMBOLS[: len(bad)]:
        (row,) = results[symbol].quarantined
        assert row.reason
        assert_true(simulator, symbol, results[symbol], without=(row.open_time,))
    for symbol in SYMBOLS[len(bad) :]:
        assert_true(simulator, symbol, results[symbol])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_order_repeats_and_rows_out_of_place_change_no_candle(
    simulator: SimulatorClient, roomy_budget: DatabaseBudget, dialect: str
):
    rules: list[dict[str, Any]] = [
        {"action": "reorder", "how": "shuffle"},
        {"action": "reorder", "how": "reverse"},
        {"action": "duplicate", "where": "random", "count": 5},
        {"action": "unfinished"},
        {"action": "future", "count": 3},
    ]
    simulator.add_faults(
        *({**rule, "endpoint": "candles", "symbol": symbol} for symbol, rule in zip(SYMBOLS, rules, strict=False))
    )
    results = fetch(simulator.url, roomy_budget, dialect)
    for symbol in SYMBOLS:
        assert_true(simulator, symbol, results[symbol])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_off_the_grid_are_quarantined(simulator: SimulatorClient, roomy_budget: DatabaseBudget, dialect: str):
    simulator.add_faults(
        {"action": "off_grid", "where": "middle", "endpoint": "candles", "symbol": "BTC-USDT", "milliseconds": 7000}
    )
    fetched = fetch(simulator.url, roomy_budget, dialect, SYMBOLS[:1])["BTC-USDT"]
    (row,) = fetched.quarantined
    assert row.reason == "the open time is off the 5m grid"
    assert_true(simulator, "BTC-USDT", fetched, without=(M5.floor(row.open_time),))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("skew_seconds", [-3600, 3600])
def test_a_skewed_clock_never_makes_a_candle_wrong(
    simulator: SimulatorClient, roomy_budget: DatabaseBudget, dialect: str, skew_seconds: int
):
    simulator.set_clock(skew_seconds=skew_seconds)
    for symbol, fetched in fetch(simulator.url, roomy_budget, dialect, SYMBOLS[:3]).items():
        truth = simulator.candles(symbol, "5m", START, NOW_MS)
        count = len(fetched.candles)
        assert np.array_equal(fetched.candles.close, truth.close[:count])
        assert count == len(truth) - (12 if skew_seconds < 0 else 0)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", [*NETWORK_FAULTS, *BODY_FAULTS])
@pytest.mark.parametrize("endpoint", ["clock", "markets"])
def test_clock_and_market_faults_are_typed_errors(
    simulator: SimulatorClient,
    roomy_budget: DatabaseBudget,
    dialect: str,
    endpoint: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
):
    rule, kind, words = {**NETWORK_FAULTS, **BODY_FAULTS}[fault]
    monkeypatch.setattr(transport, "RETRIES", 0)
    simulator.add_faults({**rule, "endpoint": endpoint})
    deadline = 0.5 if fault in ("hang", "drip") else 10.0
    profile = ExchangeProfile(dialect, dialect, simulator.url, deadline_seconds=deadline, body_limit_bytes=1_000_000)

    async def call() -> Any:
        async with ExchangeGateway(profile, roomy_budget) as gateway:
            return await (gateway.clock_ms() if endpoint == "clock" else gateway.market_rules([BTC]))

    with pytest.raises(ExchangeError) as caught:
        asyncio.run(call())
    assert type(caught.value) is kind
    assert words in str(caught.value) or (endpoint == "markets" and "without any market" in str(caught.value))


@pytest.mark.parametrize(("status", "header", "seconds"), [(429, 7, 7), (418, 200, 200), (403, None, 60), (429, None, 60)])
def test_a_ban_is_a_typed_error_for_every_market_and_no_more_requests(
    simulator: SimulatorClient, roomy_budget: DatabaseBudget, status: int, header: float | None, seconds: float
):
    rule = {"action": "status", "status": status, "endpoint": "candles", "html": status == 403}
    simulator.add_faults(rule if header is None else {**rule, "retry_after": header})
    simulator.clear_journal()
    results = fetch(simulator.url, roomy_budget, "binance", connections=2)
    for result in results.values():
        assert type(result) is RateLimited
        assert seconds - 5 < result.retry_after <= seconds
        assert f"HTTP {status}" in str(result)
    assert len(simulator.journal(endpoint="klines")) <= 2


def test_krakens_rate_limit_text_is_a_ban(simulator: SimulatorClient, roomy_budget: DatabaseBudget):
    simulator.add_faults({"action": "error", "message": "EAPI:Rate limit exceeded", "endpoint": "candles"})
    simulator.clear_journal()
    results = fetch(simulator.url, roomy_budget, "kraken", connections=2)
    assert {type(result) for result in results.values()} == {RateLimited}
    assert len(simulator.journal(endpoint="OHLC")) <= 2


def test_a_ban_shorter_than_our_patience_is_waited_out(simulator: SimulatorClient, roomy_budget: DatabaseBudget):
    simulator.add_faults({"action": "status", "status": 429, "retry_after": 1, "endpoint": "candles", "first": 1})
    results = fetch(simulator.url, roomy_budget, "binance", SYMBOLS[:3], patience_seconds=20.0)
    for symbol in SYMBOLS[:3]:
        assert_true(simulator, symbol, results[symbol])


def test_three_processes_send_nothing_while_a_ban_lasts(simulator: SimulatorClient, database_url: str):
    """Requests that were under way when the ban began may still arrive: they get the time of one answer."""
    simulator.add_faults({"action": "status", "status": 429, "retry_after": 4, "endpoint": "candles", "skip": 40, "first": 1})
    simulator.clear_journal()
    command = [sys.executable, "-m", fetching.__name__, simulator.url, database_url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    kinds = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert all(kind["RateLimited"] and kind["FetchedCandles"] for kind in kinds)
    journal = simulator.journal()
    (banned_at,) = [entry["at_ms"] for entry in journal if entry["status"] == 429]
    inside = [entry["at_ms"] - banned_at for entry in journal if 300 < entry["at_ms"] - banned_at < 3900]
    assert inside == []
    assert any(entry["at_ms"] - banned_at > 4000 for entry in journal)


def test_an_endless_body_is_cut_off_without_filling_memory(roomy_budget: DatabaseBudget):
    def endless(request: Request) -> Reply | None:
        return Reply(endless=True) if request.endpoint == "klines" else None

    with scripted_server(ScriptedExchange(now_ms=NOW_MS, faults=[endless])) as server:
        result = fetch(server.url, roomy_budget, "binance", SYMBOLS[:1], body_limit_bytes=3_000_000)["BTC-USDT"]
    assert isinstance(result, InvalidResponse | ExchangeUnavailable)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"not http at all\r\n\r\n", "broke the connection"),
        (b"", "broke the connection"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "broke"),
    ],
)
def test_an_answer_that_is_not_http_is_unavailability(roomy_budget: DatabaseBudget, raw: bytes, words: str):
    def answer(request: Request) -> Reply | None:
        return Reply(raw=raw) if request.endpoint == "klines" else None

    with scripted_server(ScriptedExchange(now_ms=NOW_MS, faults=[answer])) as server:
        result = fetch(server.url, roomy_budget, "binance", SYMBOLS[:1], deadline_seconds=0.5)["BTC-USDT"]
    assert isinstance(result, ExchangeUnavailable)
    assert words in str(result)


def test_nobody_listening_is_said_so_at_once(roomy_budget: DatabaseBudget):
    results = fetch("http://127.0.0.1:9", roomy_budget, "binance", SYMBOLS, deadline_seconds=0.5)
    assert {type(result) for result in results.values()} == {ExchangeUnavailable}
    assert all("cannot be reached" in str(result) or "stopped answering" in str(result) for result in results.values())


def test_a_redirect_is_not_followed(roomy_budget: DatabaseBudget):
    def elsewhere(request: Request) -> Reply | None:
        return Reply(status=302, headers={"Location": "/api/v3/time"}) if request.endpoint == "klines" else None

    with scripted_server(ScriptedExchange(now_ms=NOW_MS, faults=[elsewhere])) as server:
        result = fetch(server.url, roomy_budget, "binance", SYMBOLS[:1], deadline_seconds=0.5)["BTC-USDT"]
        assert isinstance(result, InvalidResponse)
        assert server.count("time") == 5
