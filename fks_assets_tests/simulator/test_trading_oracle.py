"""The oracle of trading: what is true about orders and money, what a human does from outside, and what the levers refuse."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.simulator.kraken_orders import number_of
from fks_assets_tests.simulator.plain_http import get
from fks_assets_tests.simulator.signed import KRAKEN_SECRET, BinanceKey, KrakenKey

NOW = 1_763_697_723_456
LOOSE = {"binance": {"weight": 10**9, "orders_10s": 10**6}}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}


@pytest.fixture
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as client:
        client.set_trading(fill_model="last")
        client.add_account("sim-b", "hush-hush", balances={"USDT": "100000", "BTC": "2"})
        yield client


@pytest.fixture
def key(simulator: SimulatorClient) -> BinanceKey:
    return BinanceKey(simulator, "sim-b", "hush-hush")


def test_equity_is_what_the_account_is_worth_at_the_last_prices(simulator: SimulatorClient, key: BinanceKey) -> None:
    last = Decimal(get(simulator.url, "/api/v3/ticker/price?symbol=BTCUSDT").json["price"])
    assert simulator.equity("sim-b") == 100_000 + 2 * last
    key.ok("POST", "order", **MARKET)
    # The fee of 0.1 % of 0.1 BTC is what is lost.
    assert simulator.equity("sim-b") == 100_000 + 2 * last - Decimal("0.0001") * last


def test_orders_by_hand_are_marked_and_change_what_the_client_sees(simulator: SimulatorClient, key: BinanceKey) -> None:
    """O7: the owner trades in the exchange's web page."""
    order = simulator.place_by_hand("sim-b", "BTC-USDT", "BUY", "LIMIT", "0.5", price="50000")
    (seen,) = key.ok("GET", "openOrders", symbol="BTCUSDT")
    assert seen["orderId"] == order["number"] and order["origin"] == "human"
    fill = simulator.fill_by_hand(order["number"], "49999.99", "0.2")
    assert fill["price"] == "49999.99" and key.ok("GET", "openOrders")[0]["executedQty"] == "0.20000000"
    assert simulator.cancel_by_hand(order["number"])["status"] == "CANCELED"
    assert len(simulator.orders(origin="human")) == 1 == len(simulator.fills(account="sim-b"))
    with pytest.raises(InvalidInput, match=r"order 1 \(CANCELED"):
        simulator.fill_by_hand(order["number"], "1")
    with pytest.raises(InvalidInput, match="the exchange refuses the cancel: order is not open any more"):
        simulator.cancel_by_hand(order["number"])
    with pytest.raises(InvalidInput, match="the exchange refuses the order: insufficient balance"):
        simulator.place_by_hand("sim-b", "BTC-USDT", "SELL", "MARKET", "50")


def test_money_comes_and_goes_from_outside_and_the_books_know(simulator: SimulatorClient, key: BinanceKey) -> None:
    simulator.adjust("sim-b", "USDT", "-60000.5")
    assert simulator.balances("sim-b")["USDT"]["free"] == "39999.5"
    key.ok("POST", "order", **MARKET)
    books = simulator.books()
    assert books["differences"] == {} and books["brought"]["USDT"] == "39999.5" and books["fees"] == {"BTC": "0.0001"}
    with pytest.raises(InvalidInput, match=r"has 2\.0999 BTC free, not 3"):
        simulator.adjust("sim-b", "BTC", -3)


def test_the_dump_has_everything_but_secrets(simulator: SimulatorClient, key: BinanceKey) -> None:
    key.ok("POST", "order", newClientOrderId="deal-7", **MARKET)
    told = simulator.dump()
    assert b"deal-7" in told and b"sim-b" in told and b"hush-hush" not in told
    assert b"hush-hush" not in str(simulator.journal()).encode() + str(simulator.accounts()).encode()


def test_the_same_requests_give_the_same_dump_to_the_byte() -> None:
    def told() -> bytes:
        with running_simulator(start_ms=NOW, speed=0, limits=LOOSE) as simulator:
            simulator.add_account("sim-b", "hush", balances={"USDT": "100000", "BTC": "2"})
            key = BinanceKey(simulator)
            for number in range(20):
                side = ("BUY", "SELL")[number % 2]
                key.call("POST", "order", **{**MARKET, "side": side, "newClientOrderId": f"deal-{number % 7}"})
                key.call("POST", "order", **MARKET, price="1")
                simulator.set_clock(advance_seconds=977)
            assert len(simulator.duplicates()) == 7
            return simulator.dump()

    assert told() == told()


def test_requests_are_counted_by_account_and_endpoint(simulator: SimulatorClient, key: BinanceKey) -> None:
    """O6: what reached the private endpoints at all."""
    assert simulator.requests() == []
    key.ok("GET", "account")
    key.call("GET", "account", signature="0" * 64)
    key.ok("POST", "order", **MARKET)
    assert simulator.requests() == [
        {"account": "sim-b", "endpoint": "GET account", "count": 1},
        {"account": "sim-b", "endpoint": "POST order", "count": 1},
    ]


def test_filters_narrow_orders_and_fills(simulator: SimulatorClient, key: BinanceKey) -> None:
    key.ok("POST", "order", newClientOrderId="one", **MARKET)
    key.ok("POST", "order", **{**MARKET, "symbol": "ADAUSDT", "quantity": "100"})
    assert [one["symbol"] for one in simulator.orders(client_id="one", status="FILLED")] == ["BTC-USDT"]
    assert {one["symbol"] for one in simulator.fills(symbol="ADA-USDT")} == {"ADA-USDT"}
    with pytest.raises(InvalidInput, match="filter 'colour' is unknown; known: account"):
        simulator.orders(colour="red")


def test_the_rules_that_the_exchange_tells_are_those_that_it_keeps(simulator: SimulatorClient) -> None:
    simulator.set_trading(max_orders=7)
    info = get(simulator.url, "/api/v3/exchangeInfo?symbol=BTCUSDT").json["symbols"][0]
    assert {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 7} in info["filters"]


def test_all_dialects_trade_in_the_same_accounts(simulator: SimulatorClient) -> None:
    simulator.add_account("sim-both", KRAKEN_SECRET, balances={"USDT": "10000"})
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "50000"}
    placed = BinanceKey(simulator, "sim-both", KRAKEN_SECRET).ok("POST", "order", **order)
    kraken = KrakenKey(simulator, "sim-both")
    ((txid, seen),) = kraken.ok("OpenOrders")["open"].items()
    assert (number_of(txid), seen["descr"]["order"]) == (placed["orderId"], "buy 0.10000000 XBTUSDT @ limit 50000.00")
    assert kraken.ok("BalanceEx") == {"USDT": {"balance": "10000.0000000000", "hold_trade": "5000.0000000000"}}


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"fill_model": "best"}, "trading setting 'fill_model' was 'best'; give one of book, last, open"),
        ({"volume_share": 0}, "trading setting 'volume_share' was 0; give a number from 0.000001 to 1"),
        ({"parts": 2.5}, "trading setting 'parts' was 2.5; give a whole number from 1 to 1000"),
        ({"open_timeframe": "7m"}, "trading setting 'open_timeframe' was '7m'; give one of 1m"),
        ({"colour": 1}, "trading setting 'colour' is unknown; known: fill_model"),
    ],
)
def test_a_bad_setting_is_refused_by_name(simulator: SimulatorClient, setting: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidInput, match=text):
        simulator.set_trading(**setting)


def test_bad_accounts_are_refused_by_name(simulator: SimulatorClient) -> None:
    def add(key: str = "sim-x", secret: str = "s", balances: dict[str, str] | None = None, **more: str) -> None:
        simulator.add_account(key, secret, balances=balances or {}, **more)  # type: ignore[arg-type]

    for given, text in (
        ({"key": "sim-b"}, "account key 'sim-b' is taken"),
        ({"key": ""}, "key was ''; give a text"),
        ({"secret": ""}, "secret was ''; give a text"),
        ({"maker": "1.5"}, "maker 1.5 is outside 0..1"),
        ({"taker": "much"}, "taker was 'much'; give an amount as text of 0 or more"),
        ({"fee_rule": "gold"}, "fee_rule 'gold' is unknown; known: received, quote, base, BNB"),
        ({"balances": {"USDT": "-1"}}, "USDT was '-1'; give an amount as text of 0 or more"),
        ({"balances": {"USDT": "NaN"}}, "USDT was 'NaN'; give an amount"),
    ):
        with pytest.raises(InvalidInput, match=text):
            add(**given)  # type: ignore[arg-type]
    assert [one["key"] for one in simulator.accounts()] == ["sim-b"]


def test_a_thousand_orders_leave_right_books(simulator: SimulatorClient, key: BinanceKey) -> None:
    for number in range(1000):
        side = ("BUY", "SELL")[number % 2]
        key.ok("POST", "order", **{**MARKET, "side": side, "newClientOrderId": f"deal-{number}"}, timestamp=NOW)
    assert simulator.duplicates() == [] and len(simulator.orders()) == 1000
    assert simulator.books()["differences"] == {}
