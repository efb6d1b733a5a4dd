import asyncio
import threading
from typing import Any

import pytest
import sqlalchemy as sa

from fks_assets.errors import ExchangeRefused, ExchangeUnavailable, InvalidInput, StoreError
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import RequestLimit
from fks_assets.exchanges.download import CandleRequest, Outcome, download
from fks_assets.exchanges.gateway import FetchedCandles
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.exchanges.exchange_script import START_MS, ScriptedExchange
from fks_assets_tests.exchanges.scripted_server import Reply, Request, scripted_server

M1 = parse_timeframe("1m")
MINUTE = 60_000


def request(coin: str, minutes: int = 1500, start: int = START_MS, timeframe: Any = M1) -> CandleRequest:
    return CandleRequest(Market(coin, "USDT", "binance"), f"{coin}/USDT", timeframe, start, start + minutes * MINUTE)


def profile(url: str, **bounds: Any) -> ExchangeProfile:
    return ExchangeProfile("binance", "binance", url, **{"deadline_seconds": 2.0, **bounds})


def refuse(symbol: str, status: int = 400) -> Any:
    def fault(asked: Request) -> Reply | None:
        return Reply(b'{"code":-1121,"msg":"Invalid symbol."}', status=status) if asked.query.get("symbol") == symbol else None

    return fault


def test_each_request_gets_its_own_candles_or_its_own_error(roomy_budget: DatabaseBudget):
    requests = [request(f"C{i}", minutes=900 + 100 * i) for i in range(8)]
    done: list[tuple[CandleRequest, Outcome]] = []
    with scripted_server(ScriptedExchange(faults=[refuse("C3USDT")])) as server:
        results = download(profile(server.url), roomy_budget, requests, lambda *pair: done.append(pair))
    assert list(results) == requests
    for asked, result in results.items():
        if asked.market.base == "C3":
            assert isinstance(result, ExchangeRefused)
            assert "C3/USDT 1m" in str(result)
        else:
            assert isinstance(result, FetchedCandles)
            assert result.candles.open_time.tolist() == list(range(asked.start_ms, asked.end_ms, MINUTE))
            assert result.known_until == asked.end_ms
    assert sorted(asked.market.base for asked, _ in done) == [f"C{i}" for i in range(8)]


def test_a_failing_page_stops_its_market_and_no_other(roomy_budget: DatabaseBudget):
    broken_from = START_MS + 2000 * MINUTE

    def fault(asked: Request) -> Reply | None:
        broken = asked.query.get("symbol") == "AUSDT" and int(asked.query["startTime"]) >= broken_from
        return Reply(b"{}", status=400) if broken else None

    with scripted_server(ScriptedExchange(faults=[fault])) as server:
        results = download(profile(server.url, connections=2), roomy_budget, [request("A", 60_000), request("B", 3000)])
        assert server.count("klines") < 20
    bad, good = results.values()
    assert isinstance(bad, ExchangeRefused)
    assert isinstance(good, FetchedCandles)
    assert len(good.candles) == 3000


def test_no_requests_are_no_work(roomy_budget: DatabaseBudget):
    assert download(profile("http://127.0.0.1:9"), roomy_budget, []) == {}


def test_the_same_request_twice_is_asked_once(roomy_budget: DatabaseBudget):
    with scripted_server(ScriptedExchange()) as server:
        results = download(profile(server.url), roomy_budget, [request("A", 100), request("A", 100)])
        assert (len(results), server.count("klines")) == (1, 1)


def test_it_works_in_a_thread_and_refuses_to_block_a_running_loop(roomy_budget: DatabaseBudget):
    with scripted_server(ScriptedExchange()) as server:
        results: dict[CandleRequest, Outcome] = {}
        thread = threading.Thread(target=lambda: results.update(download(profile(server.url), roomy_budget, [request("A", 100)])))
        thread.start()
        thread.join(30)
        (fetched,) = results.values()
        assert isinstance(fetched, FetchedCandles)

        async def inside() -> None:
            download(profile(server.url), roomy_budget, [request("A", 100)])

        with pytest.raises(RuntimeError, match="inside a running event loop use ExchangeGateway"):
            asyncio.run(inside())


def test_a_request_that_cannot_be_asked_for_is_refused_before_anything_is_sent(roomy_budget: DatabaseBudget):
    bad = CandleRequest(Market("A", "USDT", "binance"), "A-USDT", M1, START_MS, START_MS + MINUTE)
    with scripted_server(ScriptedExchange()) as server:
        with pytest.raises(InvalidInput, match="'A-USDT' is not a spot symbol"):
            download(profile(server.url), roomy_budget, [request("B"), bad])
        assert server.requests == []


def test_an_exchange_that_has_gone_silent_costs_a_few_deadlines_and_not_one_for_each_market(roomy_budget: DatabaseBudget):
    def silent(asked: Request) -> Reply | None:
        return Reply(status=503) if asked.endpoint == "klines" else None

    with scripted_server(ScriptedExchange(faults=[silent])) as server:
        results = download(
            profile(server.url, deadline_seconds=0.4, connections=2), roomy_budget, [request(f"C{i}", 10) for i in range(60)]
        )
        assert server.count("klines") < 40
    assert {type(result) for result in results.values()} == {ExchangeUnavailable}
    assert sum("has stopped answering" in str(result) for result in results.values()) > 40


def test_markets_that_do_not_exist_are_no_sign_of_silence(roomy_budget: DatabaseBudget):
    with scripted_server(ScriptedExchange(faults=[refuse(f"C{i}USDT") for i in range(20)])) as server:
        results = download(
            profile(server.url, connections=2), roomy_budget, [*(request(f"C{i}", 10) for i in range(20)), request("B", 10)]
        )
    assert [type(result) for result in results.values()] == [ExchangeRefused] * 20 + [FetchedCandles]


def test_what_the_callback_raises_ends_the_download(roomy_budget: DatabaseBudget):
    def stop(asked: CandleRequest, outcome: Outcome) -> None:
        raise KeyError("stop")

    with scripted_server(ScriptedExchange()) as server, pytest.raises(KeyError, match="stop"):
        download(profile(server.url), roomy_budget, [request(f"C{i}", 10) for i in range(5)], stop)


def test_a_database_that_is_gone_is_a_store_error_and_nothing_is_sent():
    nowhere = sa.create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})
    budget = DatabaseBudget(nowhere, "binance", "here", RequestLimit(6000, 100))
    with scripted_server(ScriptedExchange()) as server:
        with pytest.raises(StoreError, match="request budget of binance"):
            download(profile(server.url), budget, [request("A", 10)])
        assert server.requests == []


def test_the_budget_is_kept_while_pages_are_fetched(engine: sa.Engine):
    """11 pages weigh 22; 5 clock samples weigh 5; a bucket of 20 with 2 in reserve has to be waited for."""
    limit = RequestLimit(weight_per_minute=1000, burst=20)
    budget = DatabaseBudget(engine, "binance", "here", limit)
    with scripted_server(ScriptedExchange()) as server:
        (fetched,) = download(profile(server.url), budget, [request("A", 11_000)]).values()
        weights = [(asked.at, 2 if asked.endpoint == "klines" else 1) for asked in server.requests]
    assert isinstance(fetched, FetchedCandles)
    assert (len(fetched.candles), fetched.requests) == (11_000, 11)
    for first in range(len(weights)):
        spent = 0
        for at, weight in weights[first:]:
            spent += weight
            assert spent <= limit.burst + (at - weights[first][0]) * limit.per_second + 4
