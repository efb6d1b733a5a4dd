"""Funding rates from the exchange: complete or an error, within a limit of their own, never believed unchecked."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from fks_assets.errors import ExchangeError, ExchangeRefused, InvalidResponse, RateLimited
from fks_assets.exchanges.budget import DatabaseBudget
from fks_assets.exchanges.dialects import FUNDING_APIS
from fks_assets.exchanges.funding import FundingOutcome, FundingRequest, download_funding, funding_budget
from fks_assets.exchanges.profile import FundingProfile
from fks_assets.quant.funding import FundingRate
from fks_assets.quant.markets import parse_market
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.exchanges.scripted_server import Reply, scripted_server

EIGHT = 8 * 3_600_000
NOW = 1_763_697_660_000  # 2025-11-21T04:01Z
START = 1_763_596_800_000  # 2025-11-20T00:00Z
API = FUNDING_APIS["binance"]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0) as running:
        yield running


@pytest.fixture(autouse=True)
def healed(simulator: SimulatorClient) -> None:
    simulator.remove_faults()
    simulator.clear_journal()
    simulator.set_limits(fapi={"requests": 500})


def request(symbol: str = "BTC/USDT", start_ms: int = START, end_ms: int = NOW) -> FundingRequest:
    return FundingRequest(parse_market(f"{symbol.replace('/', '-')}@venue"), symbol, start_ms, end_ms)


def ask(url: str, budget: DatabaseBudget, *requests: FundingRequest, **bounds: Any) -> list[FundingOutcome]:
    profile = FundingProfile("venue", "binance", url, **{"deadline_seconds": 0.5, "patience_seconds": 1.0, **bounds})
    return list(download_funding(profile, budget, requests or [request()]).values())


def rows(*rates: str, symbol: str = "BTCUSDT", beside_ms: int = 0) -> list[dict[str, Any]]:
    times = [START + place * EIGHT + beside_ms for place in range(len(rates))]
    return [{"symbol": symbol, "fundingTime": time, "fundingRate": rate} for time, rate in zip(times, rates, strict=True)]


def answered(body: object, budget: DatabaseBudget) -> FundingOutcome:
    with scripted_server(lambda _: Reply(json.dumps(body).encode())) as server:
        [outcome] = ask(server.url, budget, request(end_ms=START + 2 * EIGHT), deadline_seconds=0.2)
    return outcome


def test_every_page_is_read_and_each_digit_kept(simulator: SimulatorClient, roomy_budget: DatabaseBudget) -> None:
    """C23. 2500 rates are three pages; the other source is each day asked for by itself over plain HTTP."""
    begin = START - 2500 * EIGHT
    [found] = ask(simulator.url, roomy_budget, request(start_ms=begin, end_ms=START), deadline_seconds=5)
    assert not isinstance(found, ExchangeError)
    assert [each.time_ms for each in found] == list(range(begin, START, EIGHT))
    assert [entry["rows"] for entry in simulator.journal()] == [1000, 1000, 500]
    from fks_assets_tests.simulator.plain_http import get

    for place in (0, 999, 1000, 2499):
        time = begin + place * EIGHT
        [row] = get(simulator.url, f"/fapi/v1/fundingRate?symbol=BTCUSDT&startTime={time}&endTime={time}").json
        assert found[place].rate == Decimal(row["fundingRate"])


def test_a_short_page_is_not_taken_for_the_last_one(simulator: SimulatorClient, roomy_budget: DatabaseBudget) -> None:
    simulator.add_faults({"action": "missing", "endpoint": "funding", "where": "last", "count": 40, "first": 1})
    [found] = ask(simulator.url, roomy_budget, request(start_ms=START - 1500 * EIGHT, end_ms=START), deadline_seconds=5)
    assert not isinstance(found, ExchangeError) and len(found) == 1500
    assert [entry["rows"] for entry in simulator.journal()] == [960, 540]


def test_a_market_without_a_perpetual_is_its_own_error(simulator: SimulatorClient, roomy_budget: DatabaseBudget) -> None:
    unknown, btc = ask(simulator.url, roomy_budget, request("XXX/USDT"), request())
    assert isinstance(unknown, ExchangeRefused)
    assert str(unknown) == 'XXX/USDT: venue refused fundingRate: HTTP 400: {"code":-1121,"msg":"Invalid symbol."}'
    assert not isinstance(btc, ExchangeError) and len(btc) == 4


def test_times_some_milliseconds_beside_the_hour_are_those_of_the_hour(roomy_budget: DatabaseBudget) -> None:
    """Binance tells fundingTime 1698796800003 for one that was due at 1698796800000."""
    expected = (FundingRate(START, Decimal("0.0001")), FundingRate(START + EIGHT, Decimal("-0.00000001")))
    for beside in (0, 3, 60_000):
        assert answered(rows("0.00010000", "-1E-8", beside_ms=beside), roomy_budget) == expected
    assert answered([], roomy_budget) == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (rows("NaN"), "amount 'NaN' is not a number"),
        (rows("1.5"), "is 1.5, not a number from -1 to 1"),
        (rows("0.0000000000000000001"), "18 after the point"),
        ([{**rows("0.1")[0], "fundingRate": 0.1}], "not a text"),
        (rows("0.1", symbol="ETHUSDT"), "a row of 'ETHUSDT' where BTCUSDT was asked for"),
        (rows("0.1", "0.2")[::-1], "2025-11-20T00:00:00Z after 2025-11-20T08:00:00Z"),
        (rows("0.1") * 2, "2025-11-20T00:00:00Z after 2025-11-20T00:00:00Z"),
        (rows("0.1", beside_ms=60_001), "a funding at 2025-11-20T00:01:00Z, beside every hour"),
        (rows("0.1", beside_ms=-1), "outside of what was asked for"),
        ([{**rows("0.1")[0], "fundingTime": START + 2 * EIGHT}], "outside of what was asked for"),
        ([{"symbol": "BTCUSDT"}], "KeyError: 'fundingTime'"),
        ({"rates": 1}, "TypeError"),
    ],
)
def test_an_answer_that_cannot_be_is_one_clear_error_and_nothing_of_it_is_used(
    body: object, words: str, roomy_budget: DatabaseBudget
) -> None:
    outcome = answered(body, roomy_budget)
    assert isinstance(outcome, InvalidResponse) and words in str(outcome)
    assert str(outcome).startswith("BTC/USDT: venue fundingRate answered something that its API does not promise: ")
    assert len(str(outcome).splitlines()) == 1


@pytest.mark.parametrize("action", ["torn", "empty", "garbage", "reset", "status"])
def test_a_fault_that_passes_is_outlived(action: str, simulator: SimulatorClient, roomy_budget: DatabaseBudget) -> None:
    extra = {"status": 503} if action == "status" else {}
    simulator.add_faults({"action": action, "endpoint": "funding", "first": 1, **extra})
    [found] = ask(simulator.url, roomy_budget, deadline_seconds=3)
    assert not isinstance(found, ExchangeError) and len(found) == 4
    assert len(simulator.journal()) == 2


def test_the_bucket_is_its_own_and_can_never_exceed_the_real_limit(simulator: SimulatorClient, engine: sa.Engine) -> None:
    """500 requests in 5 minutes and address, shared with fundingInfo, by Binance's documentation of the endpoint."""
    assert API.limit.burst + 300 * API.limit.per_second < 0.95 * 500
    profile = FundingProfile("venue", "binance", simulator.url)
    requests = [request(start_ms=START - place * EIGHT) for place in range(40)]
    for _ in range(2):
        found = download_funding(profile, funding_budget(engine, profile), requests[:20])
        assert not [each for each in found.values() if isinstance(each, ExchangeError)]
    with engine.connect() as connection:
        [(name, tokens)] = connection.execute(sa.text("SELECT exchange, tokens FROM rate_budgets")).all()
    assert name == "venue fundingRate" and tokens < API.limit.burst - 40 + 10 * API.limit.per_second
    assert simulator.breaches() == []


def test_a_ban_is_kept_by_all_who_share_the_bucket(simulator: SimulatorClient, engine: sa.Engine) -> None:
    simulator.set_limits(fapi={"requests": 1})
    profile = FundingProfile("venue", "binance", simulator.url, patience_seconds=0.2)
    first = download_funding(profile, funding_budget(engine, profile), [request(), request("ETH/USDT"), request("SOL/USDT")])
    assert sum(isinstance(each, RateLimited) for each in first.values()) == 2
    sent = len(simulator.journal())
    [again] = download_funding(profile, funding_budget(engine, profile), [request()]).values()
    assert isinstance(again, RateLimited) and "venue fundingRate may not be called for another" in str(again)
    assert len(simulator.journal()) == sent


def test_an_exchange_that_is_silent_is_not_asked_for_every_market(roomy_budget: DatabaseBudget) -> None:
    requests = [request(start_ms=START - place * EIGHT) for place in range(12)]
    found = ask("http://127.0.0.1:9", roomy_budget, *requests, connections=1, deadline_seconds=0.05)
    assert [str(each).endswith("has stopped answering; not asked") for each in found] == [False] * 3 + [True] * 9
