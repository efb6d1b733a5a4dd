"""Faults of signed requests: orders that arrive and are not answered, that never arrive, arrive late, or arrive twice."""

import http.client
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fks_assets.simulator.apis import APIS
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.fault_rules import PRIVATE_ENDPOINTS
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.simulator.signed import KRAKEN_SECRET, BinanceKey, KrakenKey

NOW = 1_763_697_723_456
LOST = (OSError, http.client.HTTPException)
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
LIMIT = {**MARKET, "type": "LIMIT", "timeInForce": "GTC", "price": "50000"}
LOOSE = {"binance": {"weight": 10**7, "orders_10s": 10**6}, "kraken": {"order_burst": 10**6, "private_burst": 10**6}}


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as client:
        yield client


_names = iter(range(10**6))


@pytest.fixture
def key(running: SimulatorClient) -> Iterator[BinanceKey]:
    name = f"sim-{next(_names)}"
    running.add_account(name, "hush", balances={"USDT": "1000000"})
    yield BinanceKey(running, name)
    running.remove_faults()
    running.set_clock(now=NOW)


def order_and_lose(key: BinanceKey, order: dict[str, str] | None = None, **fault: Any) -> int | None:
    """Send an order while a fault is in force and return the status, None when the answer never came or was torn."""
    key.simulator.add_faults({"name": "trouble", "endpoint": "submissions", "first": 1, **fault})
    try:
        seen = key.call("POST", "order", **{**(order or MARKET), "newClientOrderId": "deal"})
        seen.json  # noqa: B018 (an unreadable body is a lost answer)
    except (*LOST, ValueError):
        return None
    finally:
        key.simulator.remove_faults()
    return seen.status


@pytest.mark.parametrize("how", ["reset", "torn", "empty", "status", "html"])
def test_an_accepted_order_whose_answer_is_lost_exists(key: BinanceKey, how: str) -> None:
    """O2: the exchange has taken it, the client cannot know."""
    seen = order_and_lose(key, action="drop_after_accept", how=how)
    assert seen == (502 if how == "status" else None)
    assert key.ok("GET", "order", symbol="BTCUSDT", origClientOrderId="deal")["status"] == "FILLED"
    assert len(key.simulator.orders(account=key.key)) == 1


@pytest.mark.parametrize("how", ["reset", "torn", "empty", "status", "html"])
def test_an_order_that_never_arrived_looks_just_the_same_and_does_not_exist(key: BinanceKey, how: str) -> None:
    seen = order_and_lose(key, action="drop_before", how=how)
    assert seen == (502 if how == "status" else None)
    assert key.refused("GET", "order", symbol="BTCUSDT", origClientOrderId="deal")[1] == -2013
    assert key.simulator.orders(account=key.key) == []


def test_an_answer_that_hangs_was_accepted(key: BinanceKey) -> None:
    started = time.monotonic()
    assert order_and_lose(key, action="drop_after_accept", how="hang", hang_seconds=0.2) is None
    assert time.monotonic() - started >= 0.2 and len(key.simulator.orders(account=key.key)) == 1


def test_a_lost_order_can_stay_unseen_for_a_while(key: BinanceKey) -> None:
    """O2: found at once, after 5 s, after 45 s; balances and trades tell the truth meanwhile."""
    order_and_lose(key, action="drop_after_accept", visible_after_seconds=45)
    for seconds, status in ((0, None), (44, None), (1, "FILLED")):
        key.simulator.set_clock(advance_seconds=seconds)
        found = key.call("GET", "order", symbol="BTCUSDT", origClientOrderId="deal").json
        assert found.get("status") == status and (status is not None or found["code"] == -2013)
        assert len(key.ok("GET", "allOrders", symbol="BTCUSDT")) == (status is not None)
    assert len(key.ok("GET", "myTrades", symbol="BTCUSDT")) >= 1


def test_a_lost_order_can_be_seen_in_the_trades_alone(key: BinanceKey) -> None:
    order_and_lose(key, action="drop_after_accept", only_in_trades=True)
    key.simulator.set_clock(advance_seconds=86_400)
    assert key.refused("GET", "order", symbol="BTCUSDT", origClientOrderId="deal")[1] == -2013
    assert len(key.ok("GET", "myTrades", symbol="BTCUSDT")) >= 1
    (truth,) = key.simulator.orders(account=key.key)
    assert truth["client_id"] == "deal"


def test_a_late_order_arrives_when_nobody_waits_any_more_but_not_beyond_its_window(key: BinanceKey) -> None:
    """O2: absent now does not mean absent for ever; after recvWindow it does."""
    assert order_and_lose(key, LIMIT, action="delay", seconds=4) is None
    assert key.ok("GET", "openOrders", symbol="BTCUSDT") == []
    key.simulator.set_clock(advance_seconds=4)
    (arrived,) = key.ok("GET", "openOrders", symbol="BTCUSDT")
    assert (arrived["clientOrderId"], arrived["time"]) == ("deal", NOW + 4000)
    assert order_and_lose(key, {**LIMIT, "price": "51000"}, action="delay", seconds=6) is None
    key.simulator.set_clock(advance_seconds=3600)
    assert len(key.simulator.orders(account=key.key)) == 1


def test_a_late_order_meets_the_price_of_its_arrival(key: BinanceKey) -> None:
    assert order_and_lose(key, action="delay", seconds=3) is None
    key.simulator.set_clock(advance_seconds=3600)
    fills = key.simulator.fills(account=key.key)
    assert fills and {one["at_ms"] for one in fills} == {NOW + 3000}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"action": "status", "status": 429, "retry_after": 7}, 429),
        ({"action": "status", "status": 418}, 418),
        ({"action": "status", "status": 503}, 503),
        ({"action": "error", "message": "Internal error; unable to process your request.", "code": -1001}, 400),
        ({"action": "reject"}, 400),
        ({"action": "reject", "message": "Market is closed."}, 400),
    ],
)
def test_a_refusal_takes_nothing(key: BinanceKey, fault: dict[str, Any], status: int) -> None:
    assert order_and_lose(key, **fault) == status
    assert key.simulator.orders(account=key.key) == []


def test_a_firewalls_page_takes_nothing(key: BinanceKey) -> None:
    assert order_and_lose(key, action="status", status=403, html=True) is None
    assert key.simulator.orders(account=key.key) == []


def test_what_is_refused_reads_as_the_dialects_own_words(key: BinanceKey, running: SimulatorClient) -> None:
    running.add_account(f"{key.key}-kraken", KRAKEN_SECRET, balances={"USDT": "1000"})
    running.add_faults({"action": "reject"})
    order = {"pair": "XBTUSDT", "type": "buy", "ordertype": "market", "volume": "0.001"}
    assert KrakenKey(running, f"{key.key}-kraken").refused("AddOrder", **order) == "EOrder:Insufficient funds"
    refused = key.refused("POST", "order", **MARKET)
    assert refused[1:] == (-2010, "Account has insufficient balance for requested action.")


def test_a_request_that_arrives_twice_makes_two_orders_only_when_the_first_is_not_open(key: BinanceKey) -> None:
    """O1: what a proxy that repeats a request does; the oracle sees it."""
    assert order_and_lose(key, LIMIT, action="duplicate") == 200
    assert len(key.simulator.orders(account=key.key)) == 1 and key.simulator.duplicates() == []
    key.ok("DELETE", "openOrders", symbol="BTCUSDT")
    assert order_and_lose(key, action="duplicate") == 200
    (found,) = [one for one in key.simulator.duplicates() if one["account"] == key.key]
    assert (found["client_id"], found["count"]) == ("deal", 3)


def test_faults_can_be_aimed_at_cancels_and_queries(key: BinanceKey) -> None:
    """O4: the answer to the cancel of a stop is lost."""
    order = key.ok("POST", "order", **LIMIT)
    key.simulator.add_faults({"action": "drop_after_accept", "endpoint": "cancels", "first": 1})
    with pytest.raises(LOST):
        key.call("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"])
    assert key.ok("GET", "order", symbol="BTCUSDT", orderId=order["orderId"])["status"] == "CANCELED"
    key.simulator.add_faults({"action": "status", "status": 504, "endpoint": "order_queries"})
    assert key.call("GET", "order", symbol="BTCUSDT", orderId=order["orderId"]).json["code"] == -1007


def test_a_seeded_plan_loses_the_same_requests_each_time() -> None:
    """O1, O2: thousands of submissions, some lost before and some after acceptance, decided by the seed alone."""

    def run(seed: int) -> tuple[list[int | None], int, bytes]:
        with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as simulator:
            simulator.add_account("sim-b", "hush", balances={"USDT": "1000000"})
            simulator.add_faults(
                {"name": "after", "action": "drop_after_accept", "endpoint": "submissions", "probability": 0.2},
                {"name": "before", "action": "drop_before", "how": "status", "endpoint": "submissions", "probability": 0.1},
                seed=seed,
            )
            key, seen = BinanceKey(simulator), []
            for number in range(60):
                try:
                    seen.append(key.call("POST", "order", newClientOrderId=f"deal-{number}", **MARKET).status)
                except LOST:
                    seen.append(None)
            return seen, len(simulator.orders()), simulator.dump()

    seen, accepted, dump = run(5)
    assert (seen, accepted, dump) == run(5) and seen != run(6)[0]
    assert {None, 200, 502} == set(seen) and seen.count(200) < accepted < 60


def test_every_signed_endpoint_can_be_named_in_a_fault_rule() -> None:
    assert {name for api in APIS.values() for name in api.private} <= set(PRIVATE_ENDPOINTS)
