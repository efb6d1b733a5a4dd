"""The simulator's funding rates over HTTP, as Binance's futures API gives them."""

from collections.abc import Iterator
from typing import Any

import pytest

from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.simulator.plain_http import Seen, get

EIGHT = 8 * 3_600_000
NOW = 1_763_697_600_000 + 60_000  # 2025-11-21T04:01Z
LAST = 1_763_683_200_000  # 2025-11-21T00:00Z


@pytest.fixture
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0) as running:
        yield running


def ask(simulator: SimulatorClient, **params: Any) -> Seen:
    query = "&".join(f"{name}={value}" for name, value in params.items())
    return get(simulator.url, f"/fapi/v1/fundingRate?{query}")


def test_rates_lie_on_the_grid_up_to_now_and_are_the_same_in_every_process_of_a_seed(simulator: SimulatorClient) -> None:
    rows = ask(simulator, symbol="BTCUSDT", startTime=LAST - 9 * EIGHT, limit=1000).json
    assert [row["fundingTime"] for row in rows] == [LAST - 9 * EIGHT + place * EIGHT for place in range(10)]
    assert all(set(row) == {"symbol", "fundingTime", "fundingRate", "markPrice"} for row in rows)
    assert all(abs(float(row["fundingRate"])) <= 0.003 and len(row["fundingRate"].partition(".")[2]) == 8 for row in rows)
    assert len({row["fundingRate"] for row in rows}) > 5
    with running_simulator(start_ms=NOW + EIGHT, speed=0) as later:
        assert ask(later, symbol="BTCUSDT", startTime=LAST - 9 * EIGHT, endTime=LAST).json == rows
    with running_simulator(start_ms=NOW, speed=0, seed=8) as other:
        assert ask(other, symbol="BTCUSDT", startTime=LAST - 9 * EIGHT).json != rows


def test_a_page_holds_the_oldest_and_without_a_start_the_newest(simulator: SimulatorClient) -> None:
    begin = LAST - 2000 * EIGHT
    first = ask(simulator, symbol="BTCUSDT", startTime=begin, endTime=NOW, limit=5000).json
    assert len(first) == 1000 and first[0]["fundingTime"] == begin
    assert len(ask(simulator, symbol="BTCUSDT", startTime=begin).json) == 100
    newest = ask(simulator, symbol="BTCUSDT", limit=3).json
    assert [row["fundingTime"] for row in newest] == [LAST - 2 * EIGHT, LAST - EIGHT, LAST]
    every = ask(simulator, startTime=LAST, endTime=LAST).json
    assert len(every) == len({row["symbol"] for row in every}) == 10


def test_a_market_has_funding_from_its_listing_to_its_end(simulator: SimulatorClient) -> None:
    """MATIC-USDT ends at 2024-09-10T03:00Z and POL-USDT begins at 2024-09-13T10:00Z by the simulator's list."""
    matic = ask(simulator, symbol="MATICUSDT", startTime=1_725_840_000_000, limit=1000).json
    assert matic[-1]["fundingTime"] == 1_725_926_400_000  # 2024-09-10T00:00Z
    pol = ask(simulator, symbol="POLUSDT", startTime=0, limit=1).json
    assert pol[0]["fundingTime"] == 1_726_243_200_000  # 2024-09-13T16:00Z


def test_refusals_have_binances_words(simulator: SimulatorClient) -> None:
    unknown = ask(simulator, symbol="XXXUSDT")
    assert (unknown.status, unknown.json) == (400, {"code": -1121, "msg": "Invalid symbol."})
    assert ask(simulator, symbol="BTCUSDT", startTime=2, endTime=1).json["code"] == -1130
    assert get(simulator.url, "/fapi/v1/klines").status == get(simulator.url, "/api/v3/fundingRate").status == 404


def test_the_limit_is_its_own_and_a_breach_is_recorded(simulator: SimulatorClient) -> None:
    simulator.set_limits(fapi={"requests": 2})
    for _ in range(2):
        assert ask(simulator, symbol="BTCUSDT", limit=1).status == 200
    refused = ask(simulator, symbol="BTCUSDT", limit=1)
    assert refused.status == 429 and 290 < int(refused.headers["retry-after"]) <= 301
    assert get(simulator.url, "/api/v3/time").status == 200
    [breach] = simulator.breaches()
    assert (breach["dialect"], breach["endpoint"], breach["limit"]) == ("fapi", "fundingRate", 2)
    assert [entry["rows"] for entry in simulator.journal(endpoint="fundingRate")] == [1, 1, 0]


def test_faults_of_content_hit_times_and_rates(simulator: SimulatorClient) -> None:
    plain = ask(simulator, symbol="BTCUSDT", limit=9).json

    def changed(**rule: Any) -> Any:
        simulator.add_faults({"endpoint": "funding", **rule})
        rows = ask(simulator, symbol="BTCUSDT", limit=9).json
        simulator.remove_faults()
        return rows

    assert changed(action="missing", where="middle", count=2) == plain[:3] + plain[5:]
    assert changed(action="duplicate") == [*plain, plain[-1]]
    assert changed(action="reorder", how="reverse") == plain[::-1]
    assert changed(action="values", values="nan")[-1]["fundingRate"] == "NaN"
    assert changed(action="off_grid", milliseconds=1000, where="all")[0]["fundingTime"] == plain[0]["fundingTime"] + 1000
    assert changed(action="future")[-1]["fundingTime"] == LAST + EIGHT
    restated = changed(action="revise", open_time=LAST, price_factor=2)
    assert restated[:-1] == plain[:-1] and float(restated[-1]["fundingRate"]) == 2 * float(plain[-1]["fundingRate"])
    assert changed(action="values", values="high_below_low") == plain
