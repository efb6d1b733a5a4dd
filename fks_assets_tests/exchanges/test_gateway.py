import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
import pytest

from fks_assets.errors import ExchangeRefused, ExchangeUnavailable, InvalidInput, InvalidResponse
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.exchange_clock import ClockSample, ExchangeClock
from fks_assets.exchanges.gateway import UNFOLLOWED_MS, ExchangeGateway, FetchedCandles
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets_tests.exchanges.exchange_script import START_MS, ScriptedExchange, candle_texts
from fks_assets_tests.exchanges.scripted_server import Reply, Request, ScriptedServer, scripted_server

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
M1, H1, D1 = parse_timeframe("1m"), parse_timeframe("1h"), parse_timeframe("1d")

Ask = Callable[[ExchangeGateway], Awaitable[Any]]


def ask(
    server: ScriptedServer, budget: DatabaseBudget, call: Ask, *, dialect: str = "binance", grace_ms: int = 2000, **bounds: Any
) -> Any:
    profile = ExchangeProfile(dialect, dialect, server.url, **{"deadline_seconds": 10.0, **bounds})

    async def run() -> Any:
        async with ExchangeGateway(profile, budget, grace_ms=grace_ms) as gateway:
            return await call(gateway)

    return asyncio.run(run())


def candles(start: int, end: int, timeframe: Any = M1, symbol: str = "BTC/USDT") -> Ask:
    return lambda gateway: gateway.fetch_candles(symbol, timeframe, start, end)


def assert_scripted(fetched: FetchedCandles, times: range) -> None:
    """Check every value against the formula of the scripted exchange."""
    assert fetched.candles.open_time.tolist() == list(times)
    texts = [candle_texts(time) for time in times]
    for cell, name in enumerate(("open", "high", "low", "close", "volume")):
        assert np.array_equal(getattr(fetched.candles, name), np.array([float(text[cell]) for text in texts])), name


@pytest.mark.parametrize("minutes", [1, 2, 999, 1000, 1001, 2500])
def test_a_range_of_any_length_comes_whole_and_exact(roomy_budget: DatabaseBudget, minutes: int):
    start = START_MS + 3 * DAY
    with scripted_server(ScriptedExchange()) as server:
        fetched = ask(server, roomy_budget, candles(start, start + minutes * MINUTE))
        assert_scripted(fetched, range(start, start + minutes * MINUTE, MINUTE))
        assert fetched.quarantined == ()
        assert fetched.requests == server.count("klines") == -(-minutes // 1000)


def test_ends_off_the_grid_take_the_candles_that_open_inside(roomy_budget: DatabaseBudget):
    with scripted_server(ScriptedExchange()) as server:
        fetched = ask(server, roomy_budget, candles(START_MS + 1, START_MS + 5 * MINUTE + 1))
        assert_scripted(fetched, range(START_MS + MINUTE, START_MS + 6 * MINUTE, MINUTE))


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize(
    ("past_close_ms", "grace_ms", "is_closed"),
    [(-1, 0, False), (0, 0, True), (1999, 2000, False), (2000, 2000, True), (2001, 2000, True), (MINUTE - 1, 2000, True)],
)
def test_a_candle_is_closed_its_grace_after_its_close_time_and_not_a_millisecond_earlier(
    roomy_budget: DatabaseBudget,
    dialect: str,
    past_close_ms: int,
    grace_ms: int,
    is_closed: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    opened = START_MS + 100 * MINUTE
    exchange = ScriptedExchange(now_ms=opened + MINUTE + past_close_ms)

    async def standing_still(clock: ExchangeClock) -> int:
        return exchange.now_ms

    monkeypatch.setattr(ExchangeClock, "now_ms", standing_still)
    with scripted_server(exchange) as server:
        fetched = ask(server, roomy_budget, candles(opened - 5 * MINUTE, opened + DAY), dialect=dialect, grace_ms=grace_ms)
    assert_scripted(fetched, range(opened - 5 * MINUTE, opened + MINUTE if is_closed else opened, MINUTE))


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize("skew_hours", [-1, 1])
@pytest.mark.parametrize("timeframe", [M1, H1, D1])
def test_a_clock_that_lies_by_an_hour_makes_no_unfinished_candle_closed(
    roomy_budget: DatabaseBudget, dialect: str, skew_hours: int, timeframe: Any
):
    now = START_MS + 5 * DAY - HOUR // 2 + 30_000
    exchange = ScriptedExchange(now_ms=now, told_skew_ms=skew_hours * HOUR)
    start = timeframe.floor(now) - 3 * timeframe.milliseconds
    with scripted_server(exchange) as server:
        fetched = ask(server, roomy_budget, candles(start, now + 2 * DAY, timeframe), dialect=dialect)
    newest = timeframe.floor(now + min(0, skew_hours * HOUR) - 2000)
    assert_scripted(fetched, range(start, newest, timeframe.milliseconds))


def test_a_candle_that_nothing_follows_is_believed_two_hours_after_its_close(roomy_budget: DatabaseBudget):
    last = START_MS + 100 * MINUTE

    def halted(request: Request) -> Reply | None:
        if request.endpoint != "klines":
            return None
        reply = exchange._klines({**request.query, "endTime": str(min(int(request.query["endTime"]), last))})
        return Reply(orjson.dumps(reply))

    for waited, expected in ((UNFOLLOWED_MS - 10 * MINUTE, last), (UNFOLLOWED_MS + 1000, last + MINUTE)):
        exchange = ScriptedExchange(now_ms=last + MINUTE + waited, faults=[halted])
        with scripted_server(exchange) as server:
            fetched = ask(server, roomy_budget, candles(last - 5 * MINUTE, exchange.now_ms))
        assert_scripted(fetched, range(last - 5 * MINUTE, expected, MINUTE))


def test_another_markets_later_candle_proves_a_quiet_markets_candle_closed(roomy_budget: DatabaseBudget):
    last = START_MS + 100 * MINUTE
    exchange = ScriptedExchange(now_ms=last + 3 * MINUTE)

    def quiet(request: Request) -> Reply | None:
        if request.query.get("symbol") != "QUIETUSDT":
            return None
        return Reply(orjson.dumps(exchange._klines({**request.query, "endTime": str(last)})))

    async def both(gateway: ExchangeGateway) -> tuple[FetchedCandles, FetchedCandles]:
        alone = await gateway.fetch_unsettled("QUIET/USDT", M1, last - 5 * MINUTE, exchange.now_ms)
        before = gateway.settled(alone, M1)
        await gateway.fetch_candles("BTC/USDT", M1, last - 5 * MINUTE, exchange.now_ms)
        return before, gateway.settled(alone, M1)

    exchange.faults.append(quiet)
    with scripted_server(exchange) as server:
        before, after = ask(server, roomy_budget, both)
    assert_scripted(before, range(last - 5 * MINUTE, last, MINUTE))
    assert_scripted(after, range(last - 5 * MINUTE, last + MINUTE, MINUTE))


def test_holes_stay_holes(roomy_budget: DatabaseBudget):
    hole = range(START_MS + 50 * MINUTE, START_MS + 1300 * MINUTE, MINUTE)

    def outage(request: Request) -> Reply | None:
        if request.endpoint != "klines":
            return None
        return Reply(orjson.dumps([row for row in exchange._klines(request.query) if row[0] not in hole]))

    exchange = ScriptedExchange(faults=[outage])
    with scripted_server(exchange) as server:
        fetched = ask(server, roomy_budget, candles(START_MS, START_MS + 2000 * MINUTE))
    assert fetched.candles.open_time.tolist() == [t for t in range(START_MS, START_MS + 2000 * MINUTE, MINUTE) if t not in hole]


def test_pages_before_a_market_was_listed_are_not_asked_for_one_by_one(roomy_budget: DatabaseBudget):
    listed = START_MS + 300 * DAY
    exchange = ScriptedExchange(first_open_ms=listed)
    with scripted_server(exchange) as server:
        fetched = ask(server, roomy_budget, candles(START_MS, listed + 1500 * MINUTE))
        assert_scripted(fetched, range(listed, listed + 1500 * MINUTE, MINUTE))
        assert server.count("klines") <= 5


def test_the_future_and_an_empty_range_cost_no_candle_request(roomy_budget: DatabaseBudget):
    exchange = ScriptedExchange()
    with scripted_server(exchange) as server:
        for start, end in ((exchange.now_ms + DAY, exchange.now_ms + 2 * DAY), (START_MS, START_MS), (START_MS + DAY, START_MS)):
            fetched = ask(server, roomy_budget, candles(start, end))
            assert (len(fetched.candles), fetched.requests) == (0, 0)
        assert server.count("klines") == 0


def test_kraken_gives_the_newest_720_and_says_what_cannot_be_had(roomy_budget: DatabaseBudget):
    exchange = ScriptedExchange(now_ms=START_MS + 10 * DAY + 30_000)
    running = exchange.now_ms - 30_000
    with scripted_server(exchange) as server:
        start = running - 1000 * MINUTE
        fetched = ask(server, roomy_budget, candles(start, exchange.now_ms, symbol="BTC/USD"), dialect="kraken")
        assert_scripted(fetched, range(running - 719 * MINUTE, running, MINUTE))
        assert fetched.unreachable_before == running - 719 * MINUTE
        assert server.requests[-1].query["pair"] == "XBTUSD"


def test_kraken_within_reach_has_nothing_unreachable(roomy_budget: DatabaseBudget):
    exchange = ScriptedExchange(now_ms=START_MS + 10 * DAY + 30_000)
    running = exchange.now_ms - 30_000
    with scripted_server(exchange) as server:
        fetched = ask(server, roomy_budget, candles(running - 500 * MINUTE, running - 100 * MINUTE), dialect="kraken")
        assert_scripted(fetched, range(running - 500 * MINUTE, running - 100 * MINUTE, MINUTE))
        assert fetched.unreachable_before is None


def test_kraken_is_not_asked_for_what_it_cannot_give(roomy_budget: DatabaseBudget):
    exchange = ScriptedExchange(now_ms=START_MS + 10 * DAY + 30_000)
    running = exchange.now_ms - 30_000
    with scripted_server(exchange) as server:
        fetched = ask(server, roomy_budget, candles(START_MS, START_MS + DAY), dialect="kraken")
        assert (len(fetched.candles), fetched.requests) == (0, 0)
        assert fetched.unreachable_before == running - 719 * MINUTE
        assert server.count("OHLC") == 0


def test_a_young_kraken_market_has_nothing_unreachable(roomy_budget: DatabaseBudget):
    exchange = ScriptedExchange(now_ms=START_MS + 10 * DAY + 30_000, first_open_ms=START_MS + 10 * DAY - 100 * MINUTE)
    with scripted_server(exchange) as server:
        fetched = ask(server, roomy_budget, candles(START_MS + 9 * DAY, exchange.now_ms), dialect="kraken")
        assert_scripted(fetched, range(exchange.first_open_ms, exchange.now_ms - 30_000, MINUTE))
        assert fetched.unreachable_before is None


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_the_clock_is_the_exchanges_own(roomy_budget: DatabaseBudget, dialect: str):
    exchange = ScriptedExchange(now_ms=START_MS + 7 * DAY, runs=True)
    with scripted_server(exchange) as server:
        before = exchange.true_ms()
        told = ask(server, roomy_budget, lambda gateway: gateway.clock_ms(), dialect=dialect)
        assert before - 1500 < told < exchange.true_ms() + 500
        assert server.count("time" if dialect == "binance" else "Time") == 5


def test_the_offset_is_the_median_of_five_samples_corrected_by_half_the_round_trip():
    offsets = iter([5_000, 1_000, 1_200, 1_100, -9_000])

    async def sample() -> ClockSample:
        offset = next(offsets)
        return ClockSample(exchange_ms=int(offset + 100.4 * 1000), sent_at=100.0, received_at=100.8)

    clock = ExchangeClock("binance", sample)
    assert ClockSample(1_000, 0.2, 0.6).offset_ms == pytest.approx(600)
    asyncio.run(clock.now_ms())
    assert clock._offset_ms == pytest.approx(1_100, abs=1)


def test_a_clock_whose_answers_crawl_is_an_error():
    async def sample() -> ClockSample:
        return ClockSample(START_MS, 0.0, 5.0)

    with pytest.raises(ExchangeUnavailable, match=r"clock of binance cannot be measured: its answers take up to 5\.0 s"):
        asyncio.run(ExchangeClock("binance", sample).now_ms())


@pytest.mark.parametrize(
    "body", [b'{"serverTime":null}', b'{"serverTime":"1"}', b'{"serverTime":12}', b"{}", b"[]", b"1", b'{"serverTime":true}']
)
def test_a_clock_that_tells_no_time_is_an_invalid_response(roomy_budget: DatabaseBudget, body: bytes):
    with scripted_server(lambda request: Reply(body)) as server, pytest.raises(InvalidResponse, match="time"):
        ask(server, roomy_budget, lambda gateway: gateway.clock_ms(), deadline_seconds=0.6)


def test_symbols_and_timeframes_that_cannot_be_asked_for_are_refused_before_any_request(roomy_budget: DatabaseBudget):
    with scripted_server(ScriptedExchange()) as server:
        for symbol in ("BTCUSDT", "BTC/USDT:USDT", "../x", "", "BTC/USDT&limit=1", "btc/usdt"):
            with pytest.raises(InvalidInput, match="is not a spot symbol"):
                ask(server, roomy_budget, candles(START_MS, START_MS + MINUTE, symbol=symbol))
        with pytest.raises(InvalidInput, match="kraken has no 3m candles; it has 1m, 5m"):
            ask(server, roomy_budget, candles(START_MS, START_MS + DAY, parse_timeframe("3m")), dialect="kraken")
        assert server.requests == []


def test_an_unknown_symbol_is_refused_with_the_exchanges_words_and_not_asked_again(roomy_budget: DatabaseBudget):
    def refuse(request: Request) -> Reply | None:
        return Reply(b'{"code":-1121,"msg":"Invalid symbol."}', status=400) if request.endpoint == "klines" else None

    with scripted_server(ScriptedExchange(faults=[refuse])) as server:
        with pytest.raises(ExchangeRefused, match=r"NONE/USDT 1m: binance refused klines: HTTP 400: .*Invalid symbol"):
            ask(server, roomy_budget, candles(START_MS, START_MS + MINUTE, symbol="NONE/USDT"))
        assert server.count("klines") == 1


def test_rows_of_another_timeframe_are_an_invalid_response(roomy_budget: DatabaseBudget):
    def daily(request: Request) -> Reply | None:
        return (
            Reply(orjson.dumps(exchange._klines({**request.query, "interval": "1d"}))) if request.endpoint == "klines" else None
        )

    exchange = ScriptedExchange(faults=[daily])
    with (
        scripted_server(exchange) as server,
        pytest.raises(InvalidResponse, match="candles of 86400 s where 1h candles were asked for"),
    ):
        ask(server, roomy_budget, candles(START_MS, START_MS + 5 * DAY, H1), deadline_seconds=0.6)
