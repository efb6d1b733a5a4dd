"""Candles, rules and time of Wallex and Nobitex through the same gateway as those of every exchange."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pytest

from fks_assets.errors import ExchangeRefused, InvalidInput, InvalidResponse, RateLimited, SettingsError
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import DIALECTS
from fks_assets.exchanges.gateway import ExchangeGateway, FetchedCandles
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.settings import SHIPPED_DESK, read_settings
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.exchanges.exchange_script import START_MS, udf_columns
from fks_assets_tests.exchanges.iranian_bodies import NOBITEX_OPTIONS, body
from fks_assets_tests.exchanges.scripted_server import Reply, Request, scripted_server
from fks_assets_tests.shared_data import requires_shared

NOW = 1_763_697_723_456
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NAMES = ("wallex", "nobitex")
DATE = "Wed, 15 Nov 2023 00:00:00 GMT"
Ask = Callable[[ExchangeGateway], Awaitable[Any]]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0) as client:
        yield client


def ask(name: str, url: str, budget: DatabaseBudget, call: Ask, **bounds: Any) -> Any:
    profile = ExchangeProfile(name, name, url, **{"deadline_seconds": 10.0, **bounds})

    async def run() -> Any:
        async with ExchangeGateway(profile, budget) as gateway:
            return await call(gateway)

    return asyncio.run(run())


def candles(start: int, end: int, timeframe: str = "1m", symbol: str = "BTC/USDT") -> Ask:
    return lambda gateway: gateway.fetch_candles(symbol, parse_timeframe(timeframe), start, end)


def assert_true(fetched: FetchedCandles, simulator: SimulatorClient, timeframe: str, start: int, symbol: str) -> None:
    """Check every value against the simulator's true candles, of which these APIs leave out those without trades."""
    truth = simulator.candles(symbol, timeframe, start)
    traded = truth.volume > 0
    assert traded.any()
    for name in ("open_time", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(fetched.candles, name), getattr(truth, name)[traded]), name
    assert fetched.quarantined == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("timeframe", "hours"), [("1m", 30), ("1h", 900)])
@pytest.mark.parametrize("symbol", ["BTC-USDT", "ATOM-USDT"])
def test_closed_candles_come_whole_and_exact_from_pages_of_five_hundred(
    roomy_budget: DatabaseBudget, simulator: SimulatorClient, name: str, timeframe: str, hours: int, symbol: str
) -> None:
    start = NOW // HOUR * HOUR - hours * HOUR
    simulator.clear_journal()
    simulator.forget_breaches()
    fetched = ask(name, f"{simulator.url}/{name}", roomy_budget, candles(start, NOW, timeframe, symbol.replace("-", "/")))
    assert_true(fetched, simulator, timeframe, start, symbol)
    pages = [entry["rows"] for entry in simulator.journal(endpoint="history")]
    count = (NOW - start) // parse_timeframe(timeframe).milliseconds
    assert len(pages) == fetched.requests == -(-count // 500)
    assert max(pages) <= 501


@pytest.mark.parametrize("name", NAMES)
def test_the_clock_is_the_date_of_an_answer(roomy_budget: DatabaseBudget, simulator: SimulatorClient, name: str) -> None:
    told = ask(name, f"{simulator.url}/{name}", roomy_budget, lambda gateway: gateway.clock_ms())
    assert abs(told - NOW) <= 1500


@pytest.mark.parametrize("name", NAMES)
def test_an_exchange_that_dates_nothing_is_not_believed(roomy_budget: DatabaseBudget, name: str) -> None:
    answer = b'{"success":true,"status":"ok"}'
    with scripted_server(lambda request: Reply(answer)) as server, pytest.raises(InvalidResponse, match="the clock says None"):
        ask(name, server.url, roomy_budget, lambda gateway: gateway.clock_ms(), deadline_seconds=0.5)


def scripted(minutes: range, asked: list[tuple[int, int]]) -> Callable[[Request], Reply]:
    def answer(request: Request) -> Reply:
        if request.endpoint != "history":
            return Reply(b'{"success":true,"status":"ok"}', headers={"Date": DATE})
        start, end = (int(request.query[key]) * 1000 for key in ("from", "to"))
        asked.append((start, end))
        times = [time for time in minutes if start <= time <= end]
        return Reply(orjson.dumps(udf_columns(times, float) if times else {"s": "no_data"}), headers={"Date": DATE})

    return answer


def test_minutes_before_nobitex_kept_any_are_not_asked_for(roomy_budget: DatabaseBudget) -> None:
    """Documented: candles of minutes from the beginning of 1401 on, which is 2022-03-21 in Tehran."""
    first = DIALECTS["nobitex"].first_candle_ms["1m"]
    assert first == 1_647_808_200_000
    asked: list[tuple[int, int]] = []
    with scripted_server(scripted(range(first, first + 20 * MINUTE, MINUTE), asked)) as server:
        fetched = ask("nobitex", server.url, roomy_budget, candles(first - 10 * DAY, first + 10 * MINUTE))
        assert fetched.candles.open_time.tolist() == list(range(first, first + 10 * MINUTE, MINUTE))
        assert asked == [(first, first + 9 * MINUTE + 59_000)]
        before = ask("nobitex", server.url, roomy_budget, candles(first - 10 * DAY, first - DAY))
        assert (len(before.candles), len(asked)) == (0, 1)


def test_candles_that_nobody_traded_leave_holes_and_no_error(roomy_budget: DatabaseBudget) -> None:
    start = START_MS - 2 * DAY
    times = range(start, start + 300 * MINUTE, 7 * MINUTE)
    with scripted_server(scripted(times, [])) as server:
        fetched = ask("nobitex", server.url, roomy_budget, candles(start, start + 300 * MINUTE))
    assert fetched.candles.open_time.tolist() == list(times)
    assert fetched.known_until == start + 300 * MINUTE


@pytest.mark.parametrize(("name", "timeframe"), [("nobitex", "1d"), ("nobitex", "4h"), ("wallex", "5m")])
def test_candles_that_do_not_open_on_the_desks_grid_are_not_asked_for(
    roomy_budget: DatabaseBudget, name: str, timeframe: str
) -> None:
    """Nobitex's days begin at midnight in Tehran: as UTC days they would be wrong by three and a half hours."""
    with scripted_server(lambda request: Reply(b"{}")) as server, pytest.raises(InvalidInput, match=f"{name} has no {timeframe}"):
        ask(name, server.url, roomy_budget, candles(START_MS, START_MS + DAY, timeframe))
    assert server.requests == []


def test_a_desk_says_at_once_that_nobitex_has_no_days(tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match=r"nobitex has no '1d'; it has 1m, 5m, 15m, 30m, 1h"):
        read_settings({"FKS_EXCHANGE": "nobitex", "FKS_TIMEFRAMES": "5m,1h,1d"}, tmp_path)
    settings = read_settings({"FKS_EXCHANGE": "nobitex", "FKS_TIMEFRAMES": "5m,1h"}, tmp_path)
    assert settings.exchange_profile().api is DIALECTS["nobitex"]
    assert read_settings({"FKS_EXCHANGE": "wallex", "FKS_TIMEFRAMES": "1h", "FKS_DESK": str(SHIPPED_DESK)}, tmp_path)


def test_nobitexs_limit_is_a_ban_as_long_as_its_body_says(roomy_budget: DatabaseBudget) -> None:
    refused = orjson.dumps({"status": "failed", "code": "TooManyRequests", "message": "x", "backOff": 12, "limit": 60})

    def answer(request: Request) -> Reply:
        if request.endpoint != "history":
            return Reply(b'{"status":"ok"}', headers={"Date": DATE})
        return Reply(refused, 429)

    with scripted_server(answer) as server, pytest.raises(RateLimited) as caught:
        ask("nobitex", server.url, roomy_budget, candles(START_MS - DAY, START_MS - DAY + HOUR), patience_seconds=1.0)
    assert 10 < caught.value.retry_after <= 12
    assert server.count("history") == 1


def test_an_unknown_market_is_refused(roomy_budget: DatabaseBudget, simulator: SimulatorClient) -> None:
    for name in NAMES:
        with pytest.raises(ExchangeRefused):
            url = f"{simulator.url}/{name}"
            ask(name, url, roomy_budget, candles(NOW - HOUR, NOW, symbol="NONE/USDT"), deadline_seconds=2.0)


def rules(name: str, content: bytes, budget: DatabaseBudget, *symbols: str) -> list[Any]:
    markets = [parse_market(f"{symbol}@{name}") for symbol in symbols]
    with scripted_server(lambda request: Reply(content)) as server:
        found = ask(name, server.url, budget, lambda gateway: gateway.market_rules(markets), deadline_seconds=0.5)
        assert [request.endpoint for request in server.requests] == [DIALECTS[name].markets_endpoint]
    return [found[market] for market in markets]


@requires_shared
def test_rules_are_exact_and_in_toman(roomy_budget: DatabaseBudget) -> None:
    """The documented answers: 10 rial and 3,000,000 rial are 1 and 300,000 toman; wallex gives numbers of decimals."""
    toman, tether, gone = rules("nobitex", orjson.dumps(NOBITEX_OPTIONS), roomy_budget, "BTC-IRT", "BTC-USDT", "XRP-IRT")
    assert (toman.tick_size, toman.lot_size, toman.min_notional) == (Decimal(1), Decimal("0.000001"), Decimal(300_000))
    assert (tether.tick_size, tether.min_notional) == (Decimal("0.01"), Decimal(11))
    assert (toman.maker_fee, toman.taker_fee) == (Decimal("0.002"), Decimal("0.0025"))
    assert gone == MarketRules(parse_market("XRP-IRT@nobitex"), MarketStatus.DELISTED)
    (wallex,) = rules("wallex", body("wallex/documented/markets.json"), roomy_budget, "BTC-USDT")
    assert (wallex.tick_size, wallex.lot_size) == (Decimal("0.01"), Decimal("0.000001"))
    assert (wallex.min_quantity, wallex.min_notional) == (Decimal("0.000001"), Decimal(10))


@requires_shared
def test_a_market_whose_steps_are_missing_is_one_clear_error_of_that_market_alone(roomy_budget: DatabaseBudget) -> None:
    listed = orjson.loads(body("wallex/documented/markets.json"))
    symbols = listed["result"]["symbols"]
    symbols["ETHUSDT"] = {**symbols["BTCUSDT"], "symbol": "ETHUSDT", "stepSize": "-", "minQty": "-"}
    symbols["LTCUSDT"] = {**symbols["BTCUSDT"], "symbol": "LTCUSDT", "minQty": "-", "minNotional": "-"}
    good, bad, loose = rules("wallex", orjson.dumps(listed), roomy_budget, "BTC-USDT", "ETH-USDT", "LTC-USDT")
    assert good.status is MarketStatus.TRADING
    assert isinstance(bad, InvalidResponse) and "stepSize is '-'" in str(bad)
    assert (loose.min_quantity, loose.min_notional) == (None, None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"[]",
        b"null",
        b"text",
        b'{"status":"ok"}',
        b'{"success":true}',
        b'{"success":true,"result":{"symbols":{}}}',
        b'{"success":true,"result":{"symbols":{"A":{}}}}',
        b'{"status":"ok","nobitex":{"minOrders":{},"amountPrecisions":{},"pricePrecisions":{}}}',
        b'{"status":"ok","nobitex":{"amountPrecisions":{"BTCIRT":"1"}}}',
    ],
)
def test_lists_of_another_shape_and_empty_ones_delist_nothing(roomy_budget: DatabaseBudget, name: str, content: bytes) -> None:
    with pytest.raises(InvalidResponse, match=f"{name} {DIALECTS[name].markets_endpoint}"):
        rules(name, content, roomy_budget, "BTC-USDT")
