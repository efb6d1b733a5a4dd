"""The venues of Wallex and Nobitex against their dialects of the simulator and on a wire that lies."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import orjson
import pytest

from fks_assets.errors import ExchangeError
from fks_assets.exchanges.orders.nobitex import NobitexVenue
from fks_assets.exchanges.orders.signing import ApiKey
from fks_assets.exchanges.orders.venue import Accepted, Canceled, Denied, NotOpen, Permit, Rejected, Unknown, VenueOrder
from fks_assets.exchanges.orders.wallex import WallexVenue
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, OrderStatus, OrderType, Side, client_order_id
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets_tests.orders.venues import budgets
from fks_assets_tests.orders.wire import Said, Sent, wire

NOW = 1_763_697_723_456
NAMES = ("wallex", "nobitex")
VENUES: dict[str, Any] = {"wallex": WallexVenue, "nobitex": NobitexVenue}
KEY = "sim-iran"
PLACE = {"wallex": "POST orders", "nobitex": "orders/add"}
Ask = Callable[[Any], Awaitable[Any]]


@pytest.fixture
def simulator() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=NOW, speed=0) as client:
        client.add_account(KEY, "unused", balances={"USDT": "100000", "BTC": "2"}, maker="0.002", taker="0.002")
        client.set_trading(fill_model="last")
        yield client


def with_venue(name: str, simulator: SimulatorClient, work: Ask) -> Any:
    """Return what the work makes of a venue whose machine's clock agrees with the simulated one."""
    started = time.monotonic()
    profile = ExchangeProfile(name, name, f"{simulator.url}/{name}", deadline_seconds=3.0, patience_seconds=2.0)

    async def run() -> Any:
        venue_class, key = VENUES[name], ApiKey(KEY, "unused")
        wall_ms = lambda: simulated(simulator) + int((time.monotonic() - started) * 1000)  # noqa: E731
        async with venue_class(profile, key, budgets(), [market(name)], wall_ms=wall_ms) as venue:
            return await work(venue)

    return asyncio.run(run())


def simulated(simulator: SimulatorClient) -> int:
    return int(simulator.clock()["now_ms"])


def market(name: str) -> Market:
    return Market("BTC", "USDT", name)


def named(number: int = 0) -> str:
    return client_order_id("main", "breakout/1h", "BTC-USDT@iran", NOW, Leg.ENTRY, number)


def an_order(name: str, simulator: SimulatorClient, type_: OrderType = OrderType.LIMIT, **other: Any) -> VenueOrder:
    last = Decimal(str(simulator.candles("BTC-USDT", "1m", NOW - 3_600_000).close[-1]))
    limit = (last * Decimal("0.99")).quantize(Decimal("0.01")) if type_ in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None
    values = {"client_order_id": named(), "side": Side.BUY, "quantity": Decimal("0.01"), "price": limit, **other}
    return VenueOrder(market=market(name), type=type_, **values)


@pytest.mark.parametrize("name", NAMES)
def test_an_order_is_placed_found_filled_and_cancelled(name: str, simulator: SimulatorClient) -> None:
    order = an_order(name, simulator, quantity=Decimal("0.5"))

    async def place(venue: Any) -> Any:
        accepted = await venue.place(order, await venue.ready())
        return accepted, await venue.open_orders([order.market])

    accepted, (resting,) = with_venue(name, simulator, place)
    assert isinstance(accepted, Accepted) and accepted.status is OrderStatus.OPEN
    assert (resting.client_order_id, resting.exchange_order_id) == (order.client_order_id, accepted.exchange_order_id)
    assert (resting.type, resting.price, resting.quantity) == (OrderType.LIMIT, order.price, order.quantity)
    (kept,) = simulator.orders()
    simulator.fill_by_hand(kept["number"], price=str(order.price), quantity="0.2")

    async def look(venue: Any) -> Any:
        report = await venue.order(order.market, order.client_order_id)
        again = await venue.order(order.market, order.client_order_id, accepted.exchange_order_id)
        fills = await venue.order_fills(order.market, accepted.exchange_order_id)
        gone = await venue.cancel(order.market, order.client_order_id, None)
        late = await venue.cancel(order.market, order.client_order_id, accepted.exchange_order_id)
        ended = await venue.order(order.market, order.client_order_id)
        return report, again, fills, gone, late, ended, await venue.balances(), await venue.open_orders([order.market])

    report, again, (fill,), gone, late, ended, balances, resting = with_venue(name, simulator, look)
    assert report == again
    assert (report.status, report.executed_quantity) == (OrderStatus.PARTIALLY_FILLED, Decimal("0.2"))
    assert (fill.price, fill.quantity, fill.side) == (order.price, Decimal("0.2"), Side.BUY)
    assert (fill.fee, fill.fee_currency, fill.exchange_order_id) == (Decimal("0.0004"), "BTC", accepted.exchange_order_id)
    assert gone == Canceled() and isinstance(late, NotOpen | Unknown | Rejected)
    assert (ended.status, ended.executed_quantity, resting) == (OrderStatus.CANCELED, Decimal("0.2"), [])
    books = simulator.balances(KEY)
    assert balances["USDT"].free == Decimal(books["USDT"]["free"]) and balances["USDT"].locked == 0
    assert balances["BTC"].total == Decimal(books["BTC"]["free"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["reset", "status", "html", "torn", "empty"])
def test_an_order_whose_answer_was_lost_is_unknown_and_is_found_by_our_id_though_it_was_filled(
    name: str, how: str, simulator: SimulatorClient
) -> None:
    """O2. Nobitex itself finds by client id only what still rests; the venue reads the lists for what has ended."""
    simulator.add_faults({"action": "drop_after_accept", "endpoint": PLACE[name], "first": 1, "how": how})
    order = an_order(name, simulator, OrderType.MARKET)

    async def work(venue: Any) -> Any:
        return await venue.place(order, await venue.ready()), await venue.order(order.market, order.client_order_id)

    outcome, report = with_venue(name, simulator, work)
    assert isinstance(outcome, Unknown)
    assert (report.status, report.executed_quantity) == (OrderStatus.FILLED, order.quantity)
    assert len(simulator.orders()) == 1 and simulator.duplicates() == []


@pytest.mark.parametrize("name", NAMES)
def test_an_order_that_never_came_is_none(name: str, simulator: SimulatorClient) -> None:
    simulator.add_faults({"action": "drop_before", "endpoint": PLACE[name], "first": 1})
    order = an_order(name, simulator)

    async def work(venue: Any) -> Any:
        return await venue.place(order, await venue.ready()), await venue.order(order.market, order.client_order_id)

    outcome, report = with_venue(name, simulator, work)
    assert isinstance(outcome, Unknown) and report is None
    assert simulator.orders() == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("type_", [OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT])
def test_a_stop_goes_out_with_its_trigger_or_not_at_all(name: str, type_: OrderType, simulator: SimulatorClient) -> None:
    """X23."""
    stop = an_order(name, simulator).price
    order = an_order(
        name, simulator, type_, side=Side.SELL, stop_price=stop, price=stop if type_ is OrderType.STOP_LIMIT else None
    )

    async def work(venue: Any) -> Any:
        return await venue.place(order, await venue.ready()), await venue.open_orders([order.market])

    outcome, resting = with_venue(name, simulator, work)
    if name == "wallex" or type_ is OrderType.TAKE_PROFIT:
        assert outcome == Denied(f"{name} has no {type_} orders")
        assert simulator.journal(endpoint=PLACE[name]) == [] and resting == []
    else:
        (kept,) = simulator.orders()
        assert isinstance(outcome, Accepted) and Decimal(kept["stop_price"]) == stop
        assert (resting[0].type, resting[0].stop_price) == (type_, stop)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_off_the_steps_is_denied_and_spends_no_permit(name: str, simulator: SimulatorClient) -> None:
    order = an_order(name, simulator, price=Decimal("60000.001"))
    permit = Permit()
    outcome = with_venue(name, simulator, lambda venue: venue.place(order, permit))
    assert isinstance(outcome, Denied) and "60000.001, not a multiple of 0.01" in outcome.words
    assert not permit.spent and simulator.journal(endpoint=PLACE[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_what_the_exchange_proves_is_a_rejection(name: str, simulator: SimulatorClient) -> None:
    poor = an_order(name, simulator, quantity=Decimal(50))

    async def work(venue: Any) -> Any:
        return await venue.place(poor, await venue.ready())

    outcome = with_venue(name, simulator, work)
    assert isinstance(outcome, Rejected)
    assert outcome.code == ("OverValueOrder" if name == "nobitex" else "400")


def test_an_equal_order_of_nobitexs_ten_seconds_is_unknown_for_it_may_be_ours(simulator: SimulatorClient) -> None:
    first, second = an_order("nobitex", simulator), an_order("nobitex", simulator, client_order_id=named(1))

    async def work(venue: Any) -> Any:
        outcomes = [await venue.place(order, await venue.ready()) for order in (first, second)]
        return outcomes, await venue.order(second.market, second.client_order_id)

    (taken, refused), found = with_venue("nobitex", simulator, work)
    assert isinstance(taken, Accepted) and isinstance(refused, Unknown) and "DuplicateOrder" in refused.words
    assert found is None


@pytest.mark.parametrize("name", NAMES)
def test_prices_and_trades_are_told(name: str, simulator: SimulatorClient) -> None:
    order = an_order(name, simulator, OrderType.MARKET)

    async def work(venue: Any) -> Any:
        await venue.place(order, await venue.ready())
        return await venue.prices([order.market]), await venue.my_trades([order.market], {}, since_ms=NOW - 60_000)

    prices, trades = with_venue(name, simulator, work)
    assert abs(prices[order.market] / an_order(name, simulator).price - Decimal("1.0101")) < Decimal("0.005")
    assert [trade.quantity for trade in trades] == ([Decimal("0.01")] if name == "nobitex" else [])


def test_executions_that_wallexs_order_does_not_list_are_told_apart_or_not_at_all(simulator: SimulatorClient) -> None:
    """The newest documented orders have no list of fills; the account's trades do not say of which order they are."""
    order = an_order("wallex", simulator, OrderType.MARKET)
    other = an_order("wallex", simulator, OrderType.MARKET, client_order_id=named(1))

    def without_fills(venue: Any) -> None:
        parse = venue._client.parse_order
        venue._client.parse_order = lambda row, market=None: parse({key: row[key] for key in row if key != "fills"}, market)

    async def work(venue: Any) -> Any:
        await venue.place(order, await venue.ready())
        listed = await venue.order_fills(order.market, order.client_order_id)
        without_fills(venue)
        deduced = await venue.order_fills(order.market, order.client_order_id)
        await venue.place(other, await venue.ready())
        with pytest.raises(ExchangeError, match=r"trades of 0.02 in the time of an order that has executed 0.01"):
            await venue.order_fills(order.market, order.client_order_id)
        return listed, deduced

    listed, deduced = with_venue("wallex", simulator, work)
    assert listed == deduced and len(listed) == 1


MARKETS = {
    "wallex": {"BTCUSDT": {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "stepSize": 6, "tickSize": 2}},
    "nobitex": {
        "minOrders": {"usdt": "11"},
        "amountPrecisions": {"BTCUSDT": "0.000001"},
        "pricePrecisions": {"BTCUSDT": "0.01"},
    },
}
CLOCKS = ("depth", "BTCUSDT")
TAKEN = {
    "wallex": {
        "symbol": "BTCUSDT",
        "type": "LIMIT",
        "side": "BUY",
        "price": "60000",
        "origQty": "0.01",
        "executedQty": "0",
        "status": "NEW",
        "active": True,
        "clientOrderId": named(),
        "created_at": "2022-06-18T13:45:08.000000Z",
    },
    "nobitex": {
        "id": 25,
        "type": "buy",
        "execution": "Limit",
        "market": "BTC-USDT",
        "srcCurrency": "Bitcoin",
        "price": "60000",
        "dstCurrency": "Tether",
        "amount": "0.01",
        "matchedAmount": 0,
        "status": "Active",
        "clientOrderId": named(),
    },
}


def whole(name: str, **change: Any) -> bytes:
    """Return the answer to an order that was taken, as documented."""
    order = {**TAKEN[name], **change}
    return orjson.dumps({"success": True, "result": order} if name == "wallex" else {"status": "ok", "order": order})


def on_wire(name: str, answer: Said, work: Ask) -> Any:
    """Return what the work makes of a venue to whose private calls a server gives one and the same answer."""

    def script(sent: Sent) -> Said:
        dated = {"Date": "Fri, 21 Nov 2025 04:02:03 GMT"}
        if sent.endpoint in CLOCKS:
            return Said(b'{"success":true,"status":"ok"}', headers=dated)
        if sent.endpoint == "markets":
            return Said(orjson.dumps({"success": True, "result": {"symbols": MARKETS["wallex"]}}))
        if sent.endpoint == "options":
            coins = [{"coin": "btc", "name": "Bitcoin"}, {"coin": "usdt", "name": "Tether"}]
            return Said(orjson.dumps({"status": "ok", "coins": coins, "nobitex": MARKETS["nobitex"]}))
        return answer

    started = time.monotonic()

    async def run(url: str) -> Any:
        profile = ExchangeProfile(name, name, url, deadline_seconds=0.4, patience_seconds=1.0)
        wall_ms = lambda: 1_763_697_723_500 + int((time.monotonic() - started) * 1000)  # noqa: E731
        async with VENUES[name](profile, ApiKey(KEY, ""), budgets(), [market(name)], wall_ms=wall_ms) as venue:
            return await work(venue)

    with wire(script) as server:
        found = asyncio.run(run(server.url))
        placed = [sent for sent in server.sent if sent.method == "POST" and sent.endpoint in ("orders", "add")]
        assert len(placed) <= 1
    return found


def an_outcome(name: str, answer: Said) -> Any:
    order = VenueOrder(market(name), named(), Side.BUY, OrderType.LIMIT, Decimal("0.01"), Decimal(60000))

    async def place(venue: Any) -> Any:
        return await venue.place(order, await venue.ready())

    return on_wire(name, answer, place)


@pytest.mark.parametrize("name", NAMES)
def test_the_documented_success_is_accepted(name: str) -> None:
    assert an_outcome(name, Said(whole(name))) == Accepted(named() if name == "wallex" else "25", OrderStatus.OPEN)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "answer",
    [
        *(Said(body) for body in (b"", b"null", b"{}", b"OK", b"[]", b'{"success":true}', b'{"status":"ok"}')),
        *(Said(body) for body in (b'{"status":"ok","order":{}}', b'{"success":true,"result":{}}', b'{"status":"failed"}')),
        *(Said(b"{}", status) for status in (302, 408, 500, 502, 504)),
        Said(b"<html>", 403),
        Said(b"<html>", 404),
        Said(b'{"status":"failed","code":"DuplicateOrder","message":"x"}'),
        Said(b'{"status":"failed","code":"DuplicateClientOrderId","message":"x"}'),
        Said(b'{"status":"failed","code":"SomethingNew","message":"x"}'),
        Said(b'{"success":false,"message":"x"}'),
        Said(b'{"success":true,"result":{"symbol":"BTC', how="torn"),
        Said(how="abort"),
        Said(how="hang"),
    ],
)
def test_what_proves_nothing_is_unknown(name: str, answer: Said) -> None:
    """P1, O2: also the two codes that may speak of an order of ours, and codes that nobody documents."""
    assert isinstance(an_outcome(name, answer), Unknown)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", ["side", "quantity", "market", "number", "status"])
def test_a_success_about_another_order_is_unknown(name: str, change: str) -> None:
    other = {
        "wallex": {"side": {"side": "SELL"}, "quantity": {"origQty": "0.02"}, "market": {"symbol": "ETHUSDT"}},
        "nobitex": {"side": {"type": "sell"}, "quantity": {"amount": "0.02"}, "market": {"market": "ETH-USDT"}},
    }[name]
    other |= {"number": {"clientOrderId": None, "id": None}, "status": {"status": "Strange"}}
    assert isinstance(an_outcome(name, Said(whole(name, **other[change]))), Unknown)


@pytest.mark.parametrize(
    "code",
    [
        *("InvalidOrderPrice", "BadPrice", "PriceConditionFailed", "OverValueOrder", "SmallOrder", "InvalidMarketPair"),
        *("MarketClosed", "TradingUnavailable", "FeatureUnavailable"),
    ],
)
def test_the_documented_codes_of_nobitex_prove_that_there_is_no_order(code: str) -> None:
    said = orjson.dumps({"status": "failed", "code": code, "message": "words"})
    assert an_outcome("nobitex", Said(said)) == Rejected(code, "words")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429])
def test_wallexs_envelope_of_a_failure_proves_that_there_is_no_order(status: int) -> None:
    said = orjson.dumps({"success": False, "code": 1201, "message": "words", "result": {}})
    assert an_outcome("wallex", Said(said, status)) == Rejected("1201", "words")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "answer",
    [
        Said(b"{}", 500),
        Said(b"<html>", 404),
        Said(b'{"message":"no route"}', 404),
        Said(b"null"),
        Said(b"[]"),
        Said(b'{"success":true,"status":"ok"}'),
        Said(how="abort"),
    ],
)
def test_a_query_that_fails_never_looks_like_no_order(name: str, answer: Said) -> None:
    with pytest.raises(ExchangeError):
        on_wire(name, answer, lambda venue: venue.order(market(name), named()))
    with pytest.raises(ExchangeError):
        on_wire(name, answer, lambda venue: venue.open_orders([market(name)]))
    with pytest.raises(ExchangeError):
        on_wire(name, answer, lambda venue: venue.balances())


def test_keys_are_in_headers_alone(simulator: SimulatorClient) -> None:
    for name in NAMES:
        with_venue(name, simulator, lambda venue: venue.balances())
    assert KEY not in orjson.dumps([entry["params"] for entry in simulator.journal()]).decode()
