"""Kraken's signed endpoints over plain HTTP, key by key against the recorded and documented bodies."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fks_assets.clock import iso
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.simulator.kraken_orders import number_of, order_id, trade_id
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.simulator.plain_http import get
from fks_assets_tests.simulator.signed import KRAKEN_SECRET, KrakenKey

NOW = 1_763_697_723_456
LOOSE = {"kraken": {"burst": 10**6, "private_burst": 10**6, "order_burst": 10**6}}
BUY = {"pair": "XBTUSDT", "type": "buy", "ordertype": "market", "volume": "0.1"}


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as client:
        yield client


_names = iter(range(10**6))


@pytest.fixture
def key(running: SimulatorClient) -> KrakenKey:
    """Return a new account with 100,000 USDT and 2 BTC in a simulator that fills at the last price."""
    running.set_trading(fill_model="last", parts=1)
    name = f"sim-{next(_names)}"
    running.add_account(name, KRAKEN_SECRET, balances={"USDT": "100000", "BTC": "2"}, maker="0.0025", taker="0.004")
    return KrakenKey(running, name)


def near(key: KrakenKey, factor: str) -> str:
    last = get(key.url, "/0/public/Ticker?pair=XBTUSDT").json["result"]["XBTUSDT"]["c"][0]
    return f"{(Decimal(last) * Decimal(factor)).quantize(Decimal('0.01'))}"


def limit(key: KrakenKey, factor: str = "0.9", **more: Any) -> str:
    (found,) = key.ok("AddOrder", **{**BUY, "ordertype": "limit", "price": near(key, factor), **more})["txid"]
    return str(found)


def body(name: str) -> Any:
    assert SHARED is not None
    return json.loads((Path(SHARED) / "data" / "api" / "kraken" / name).read_text())["result"]


def keys_of(value: Any) -> Any:
    """Return the keys of a table and of the tables in it."""
    return {name: keys_of(entry) for name, entry in value.items()} if isinstance(value, dict) else None


def only(rows: dict[str, Any]) -> Any:
    return next(iter(rows.values()))


@requires_shared
def test_an_added_order_is_answered_as_recorded(key: KrakenKey) -> None:
    ours, theirs = key.ok("AddOrder", **BUY), body("recorded/AddOrder_market_2024.json")
    assert keys_of(ours) == keys_of(theirs)
    assert ours["descr"]["order"] == theirs["descr"]["order"].replace("LTCUSDT", "XBTUSDT")
    assert [len(part) for part in ours["txid"][0].split("-")] == [len(part) for part in theirs["txid"][0].split("-")]


@requires_shared
def test_a_closed_order_is_shown_as_recorded(key: KrakenKey) -> None:
    (number,) = key.ok("AddOrder", **BUY)["txid"]
    ours = only(key.ok("QueryOrders", txid=number, trades="true"))
    theirs = only(body("recorded/QueryOrders_closed_market_2024.json"))
    assert keys_of(ours) == keys_of(theirs)
    for name in ("status", "oflags", "misc", "reason", "refid"):
        assert ours[name] == theirs[name]
    assert ours["descr"]["order"] == theirs["descr"]["order"].replace("LTCUSDT", "XBTUSDT")
    # 0.4 % of the cost, in the quote currency
    assert Decimal(ours["fee"]) == Decimal(ours["cost"]) * Decimal("0.004")


@requires_shared
def test_an_open_order_is_shown_as_recorded(key: KrakenKey) -> None:
    number = limit(key, oflags="post")
    theirs = only(body("recorded/QueryOrders_open_limit_2024.json"))
    ours = only(key.ok("QueryOrders", txid=number))
    assert keys_of(ours) == keys_of(theirs) and ours["oflags"] == theirs["oflags"] == "post,fciq"
    assert ours["descr"]["ordertype"] == "limit" and ours["descr"]["price2"] == theirs["descr"]["price2"] == "0"
    assert key.ok("OpenOrders")["open"] == {number: ours}
    assert set(only(body("recorded/OpenOrders_2017.json")["open"])) <= set(ours)


@requires_shared
def test_the_other_bodies_have_the_documented_keys(key: KrakenKey) -> None:
    cancelled = limit(key)
    assert key.ok("CancelOrder", txid=cancelled) == body("documented/CancelOrder.json")
    closed, documents = key.ok("ClosedOrders"), body("documented/ClosedOrders.json")
    assert set(closed) == set(documents) and closed["count"] == 1
    assert keys_of(only(closed["closed"])) == keys_of(only(documents["closed"]))
    assert only(closed["closed"])["reason"] == only(documents["closed"])["reason"] == "User requested"
    assert set(key.ok("TradeBalance")) - {"mf"} <= set(body("documented/TradeBalance.json"))
    assert set(key.ok("Balance")) == {"XXBT", "USDT"} and {"ZUSD", "XXBT"} <= set(body("documented/Balance.json"))


@requires_shared
def test_refusals_read_as_recorded(key: KrakenKey) -> None:
    known = {entry["error"][0] for entry in (one["body"] for one in json_errors())}
    assert key.refused("AddOrder", **{**BUY, "volume": "100"}) in known
    assert key.refused("AddOrder", **{**BUY, "pair": "NOPE"}) in known
    assert key.refused("OpenOrders", nonce="1") == "EAPI:Invalid nonce"
    key.key = "sim-nobody"
    assert key.refused("Balance") in known


def json_errors() -> Any:
    assert SHARED is not None
    return json.loads((Path(SHARED) / "data" / "api" / "kraken" / "errors.json").read_text())


def test_the_signature_and_the_nonce_are_checked(key: KrakenKey) -> None:
    assert set(key.ok("Balance")) == {"USDT", "XXBT"}
    key.nonce -= 1
    assert key.refused("Balance") == "EAPI:Invalid nonce"
    assert set(key.ok("Balance")) == {"USDT", "XXBT"}
    right, key.secret = key.secret, "aGVsbG8="
    assert key.refused("Balance") == "EAPI:Invalid signature"
    key.secret = right
    # A refused signature uses up no nonce.
    key.nonce -= 1
    assert set(key.ok("Balance")) == {"USDT", "XXBT"}
    assert key.refused("Balance", nonce="abc") == "EAPI:Invalid nonce"


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"ordertype": "limit", "price": "60000.001"}, "EOrder:Tick size check failed"),
        ({"volume": "0.0000001"}, "EOrder:Order minimum not met"),
        ({"volume": "0.00001"}, "EOrder:Cost minimum not met"),
        ({"volume": "0.1000001"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "much"}, "EGeneral:Invalid arguments:volume"),
        ({"ordertype": "limit"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "limit", "price": "60000", "oflags": "fcib,fciq"}, "EGeneral:Invalid arguments:oflags"),
        ({"ordertype": "limit", "price": "90000", "oflags": "post"}, "EOrder:Post only order"),
        ({"ordertype": "iceberg"}, "EGeneral:Invalid arguments:ordertype"),
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"leverage": "2"}, "EGeneral:Invalid arguments:leverage"),
        ({"close[ordertype]": "limit"}, "EGeneral:Invalid arguments:close"),
        ({"reduce_only": "true"}, "EOrder:Reduce only:No position exists"),
        ({"cl_ord_id": "abcdefghijklmnopqrs"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"deadline": "2026-01-01T00:00:00"}, "EGeneral:Invalid arguments:deadline"),
        ({"userref": "x"}, "EGeneral:Invalid arguments:userref"),
        ({"deadline": iso(NOW - 1000)}, "EService:Deadline elapsed"),
        ({"deadline": "soon"}, "EGeneral:Invalid arguments:deadline"),
    ],
)
def test_a_bad_order_is_refused_in_krakens_words(key: KrakenKey, order: dict[str, str], words: str) -> None:
    assert key.refused("AddOrder", **{**BUY, **order}) == words
    assert key.refused("AddOrder", validate="true", **{**BUY, **order}) == words
    assert key.ok("OpenOrders")["open"] == {} and key.ok("ClosedOrders")["count"] == 0


def test_validate_takes_no_order(key: KrakenKey) -> None:
    seen = key.ok("AddOrder", validate="true", **{**BUY, "ordertype": "limit", "price": "60000"})
    assert seen == {"descr": {"order": "buy 0.10000000 XBTUSDT @ limit 60000.00"}}
    assert key.ok("OpenOrders")["open"] == {}


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"ordertype": "stop-loss", "price": "60000"}, "sell 0.10000000 XBTUSDT @ stop loss 60000.00"),
        ({"ordertype": "take-profit", "price": "70000"}, "sell 0.10000000 XBTUSDT @ take profit 70000.00"),
        (
            {"ordertype": "stop-loss-limit", "price": "60000", "price2": "59000"},
            "sell 0.10000000 XBTUSDT @ stop loss 60000.00 -> limit 59000.00",
        ),
        (
            {"ordertype": "take-profit-limit", "price": "70000", "price2": "69000"},
            "sell 0.10000000 XBTUSDT @ take profit 70000.00 -> limit 69000.00",
        ),
        ({"ordertype": "trailing-stop", "price": "+3%"}, "sell 0.10000000 XBTUSDT @ trailing stop +3.0000%"),
    ],
)
def test_conditional_orders_wait_and_read_as_kraken_prints_them(key: KrakenKey, order: dict[str, str], text: str) -> None:
    seen = key.ok("AddOrder", **{**BUY, "type": "sell", **order})
    assert seen["descr"]["order"] == text
    assert only(key.ok("QueryOrders", txid=seen["txid"][0]))["status"] == "open"
    assert key.ok("BalanceEx")["XXBT"]["hold_trade"] == "0.1000000000"


def test_a_stop_that_the_price_has_passed_fires_at_once(key: KrakenKey, running: SimulatorClient) -> None:
    """Kraken triggers such an order where Binance refuses it."""
    (number,) = key.ok("AddOrder", **{**BUY, "type": "sell", "ordertype": "stop-loss", "price": "90000"})["txid"]
    running.set_clock(advance_seconds=1)
    try:
        assert only(key.ok("QueryOrders", txid=number))["status"] == "closed"
    finally:
        running.set_clock(now=NOW)


def test_orders_are_found_and_cancelled_by_txid_reference_and_client_id(key: KrakenKey) -> None:
    first, second = limit(key, userref="7", cl_ord_id="deal-1"), limit(key, "0.8", userref="7")
    assert only(key.ok("QueryOrders", cl_ord_id="deal-1"))["cl_ord_id"] == "deal-1"
    assert set(key.ok("OpenOrders", userref="7")["open"]) == {first, second}
    again = {**BUY, "ordertype": "limit", "price": "60000", "cl_ord_id": "deal-1"}
    assert key.refused("AddOrder", **again) == "EGeneral:Invalid arguments:cl_ord_id"
    assert key.ok("CancelOrder", txid="7") == {"count": 2}
    assert key.refused("CancelOrder", txid=first) == "EOrder:Unknown order"
    assert key.refused("CancelOrder", cl_ord_id="deal-1") == "EOrder:Unknown order"
    limit(key, cl_ord_id="deal-1")
    assert key.ok("CancelOrder", cl_ord_id="deal-1") == {"count": 1}
    assert key.ok("CancelAll") == {"count": 0}
    assert key.refused("QueryOrders", txid="OAAAAA-AAAAA-AAAAAA") == "EOrder:Unknown order"


@pytest.mark.parametrize(
    "client_id", ["a-free-text-of-18c", "d15708c1-dbb6-465d-b77d-47258319cc90", "d15708c1dbb6465db77d47258319cc90"]
)
def test_the_documented_forms_of_a_client_id_are_taken(key: KrakenKey, client_id: str) -> None:
    assert only(key.ok("QueryOrders", txid=limit(key, cl_ord_id=client_id)))["cl_ord_id"] == client_id


def test_an_edited_order_has_a_new_id_and_an_amended_one_its_old(key: KrakenKey) -> None:
    number = limit(key)
    assert set(key.ok("AmendOrder", txid=number, order_qty="0.2", limit_price=near(key, "0.85"))) == {"amend_id"}
    assert only(key.ok("QueryOrders", txid=number))["vol"] == "0.20000000"
    edited = key.ok("EditOrder", txid=number, pair="XBTUSDT", volume="0.3", price=near(key, "0.8"))
    assert edited["originaltxid"] == number != edited["txid"] and edited["status"] == "ok"
    assert only(key.ok("QueryOrders", txid=number))["status"] == "canceled"
    assert key.refused("EditOrder", txid=edited["txid"], pair="XBTUSDT", volume="3") == "EOrder:Insufficient funds"
    assert only(key.ok("QueryOrders", txid=edited["txid"]))["status"] == "open"
    assert key.refused("AmendOrder", txid=number, order_qty="0.1") == "EOrder:Unknown order"


def test_trades_carry_their_order_and_come_newest_first(key: KrakenKey) -> None:
    numbers = [key.ok("AddOrder", **{**BUY, "volume": "0.01"})["txid"][0] for _ in range(3)]
    history = key.ok("TradesHistory")
    assert history["count"] == 3 and [one["ordertxid"] for one in history["trades"].values()] == numbers[::-1]
    newest = next(iter(history["trades"]))
    assert key.ok("QueryTrades", txid=newest) == {newest: history["trades"][newest]}
    assert len(key.ok("TradesHistory", ofs=2)["trades"]) == 1
    assert key.ok("TradesHistory", start=NOW // 1000 + 1)["count"] == 0
    assert key.refused("QueryTrades", txid="TAAAAA-AAAAA-AAAAAA") == "EQuery:Unknown transaction"


def test_fees_come_in_the_quote_currency_unless_the_base_is_asked_for(key: KrakenKey) -> None:
    key.ok("AddOrder", **BUY)
    assert key.ok("Balance")["XXBT"] == "2.1000000000"
    key.ok("AddOrder", oflags="fcib", **BUY)
    assert key.ok("Balance")["XXBT"] == "2.1996000000"  # less 0.4 % of the second 0.1


def test_private_calls_are_counted_per_key_and_histories_twice() -> None:
    """Starter: 15 calls, regained at 0.33 a second; orders have a counter of their own."""
    with running_simulator(start_ms=NOW, speed=0) as simulator:
        simulator.add_account("sim-k", KRAKEN_SECRET, balances={"USDT": "100000"})
        simulator.set_limits(kraken={"private_per_second": 0, "order_per_second": 0})
        key = KrakenKey(simulator)
        for _ in range(7):
            key.ok("TradesHistory")
        key.ok("Balance")
        assert key.refused("Balance") == "EAPI:Rate limit exceeded"
        number = limit(key)
        # A cancel within five seconds counts 8: seven pairs and a half fit into 60.
        for _ in range(5):
            key.ok("CancelOrder", txid=number)
            number = limit(key)
        key.ok("CancelOrder", txid=number)
        limit(key)
        assert key.refused("CancelOrder", txid=number) == "EOrder:Rate limit exceeded"


def test_ids_are_unlike_each_other_and_can_be_read_back() -> None:
    ids = [order_id(number) for number in range(1, 2000)]
    assert len(set(ids)) == len(ids) and [number_of(one) for one in ids] == list(range(1, 2000))
    assert number_of(trade_id(5), "T") == 5 and number_of(trade_id(5)) is None and number_of("nonsense") is None
    assert number_of("O" + "1" * 16) is None
