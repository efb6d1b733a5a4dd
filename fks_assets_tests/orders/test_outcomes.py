"""What became of an order: proven refusals, answers that prove nothing, and what never left this machine."""

import asyncio
import logging
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from fks_assets.errors import NotSent, TradingError
from fks_assets.exchanges import exchange_clock, transport
from fks_assets.exchanges.orders import signed_transport
from fks_assets.exchanges.orders.refusals import refusal
from fks_assets.exchanges.orders.venue import (
    Accepted,
    Canceled,
    Denied,
    NotOpen,
    OcoOutcome,
    Permit,
    Rejected,
    ReplaceOutcome,
    Unknown,
)
from fks_assets.quant.orders import OrderStatus, OrderType, Side
from fks_assets_tests.orders.venues import (
    KEY,
    MARKETS,
    NOW_MS,
    SECRET,
    accepted_body,
    an_id,
    an_order,
    budgets,
    clocked,
    with_venue,
)
from fks_assets_tests.orders.wire import Said, Sent, wire

ORDER_ENDPOINT = {"binance": "order", "kraken": "AddOrder"}
STATUSES = (200, 201, 302, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504, 520)
BODIES = {
    "empty": b"",
    "not JSON": b"<html><body>Bad Gateway</body></html>",
    "half JSON": b'{"symbol": "BTCUSDT", "orderId": 28, "clientOr',
    "null": b"null",
    "a number": b"7",
    "a text": b'"ok"',
    "a list": b"[]",
    "an empty object": b"{}",
    "an order without its id": b'{"symbol": "BTCUSDT", "status": "NEW"}',
    "an id that is none": b'{"error": [], "result": {"txid": [null]}, "orderId": "x", "clientOrderId": null}',
    "unknown error": b'{"code": -1000, "msg": "An unknown error occurred.", "error": ["EGeneral:Internal error"]}',
    "outcome unknown": b'{"code": -1007, "msg": "Timeout waiting for response.", "error": ["EService:Timeout"]}',
    "a code of another year": b'{"code": -9999, "msg": "?", "error": ["EOrder:Something new"]}',
    "an error of a wrong type": b'{"code": "-2010", "msg": 7, "error": "EOrder:Insufficient funds"}',
    "NaN": b'{"orderId": NaN, "clientOrderId": NaN}',
}


def place(dialect: str, said: Said, order: Any = None, **options: Any) -> tuple[Any, list[Sent]]:
    """Return the outcome of one order that is answered so, and the requests of orders that arrived."""

    async def work(venue: Any) -> Any:
        return await venue.place(order or an_order(dialect), await venue.ready())

    with wire(clocked(dialect, lambda sent: said)) as server:
        outcome = asyncio.run(with_venue(dialect, server.url, work, **options))
        return outcome, server.of(ORDER_ENDPOINT[dialect])


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize("status", STATUSES)
def test_no_answer_that_proves_nothing_is_taken_for_a_refusal_or_a_success(dialect: str, status: int):
    """E3, O2: every status × every body is Unknown, and one request was sent. A body that is a success is so with 200 alone."""

    async def work(venue: Any) -> list[Any]:
        return [await venue.place(an_order(dialect), await venue.ready()) for _ in BODIES]

    bodies = iter(BODIES.values())
    with wire(clocked(dialect, lambda sent: Said(next(bodies), status))) as server:
        outcomes = asyncio.run(with_venue(dialect, server.url, work))
        assert len(server.of(ORDER_ENDPOINT[dialect])) == len(BODIES)
    assert {name: type(outcome) for name, outcome in zip(BODIES, outcomes, strict=True)} == dict.fromkeys(BODIES, Unknown)


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize("status", [each for each in STATUSES if each != 200])
def test_a_body_of_success_under_another_status_is_unknown(dialect: str, status: int):
    """E3: only 200 and a whole answer are a success."""

    async def work(venue: Any) -> Any:
        return await venue.place(an_order(dialect), await venue.ready())

    with wire(clocked(dialect, lambda sent: Said(accepted_body(dialect, sent), status))) as server:
        assert isinstance(asyncio.run(with_venue(dialect, server.url, work)), Unknown)


def test_an_accepted_order_of_binance_brings_its_fills_to_the_digit():
    """O1: the answer of the FULL kind, from Binance's documentation."""

    async def work(venue: Any) -> Any:
        return await venue.place(an_order("binance"), await venue.ready())

    with wire(clocked("binance", lambda sent: Said(accepted_body("binance", sent)))) as server:
        outcome = asyncio.run(with_venue("binance", server.url, work))
    assert isinstance(outcome, Accepted)
    assert (outcome.exchange_order_id, outcome.status) == ("28", OrderStatus.FILLED)
    assert [(fill.trade_id, str(fill.price), str(fill.quantity), str(fill.fee)) for fill in outcome.fills] == [
        ("56", "59999.99", "0.00100", "0.06"),
        ("57", "60000.00", "0.00050", "0.03"),
    ]


def test_an_answer_about_another_order_is_unknown():
    body = orjson.dumps({"symbol": "BTCUSDT", "orderId": 28, "clientOrderId": an_id(5), "status": "NEW", "transactTime": NOW_MS})
    assert isinstance(place("binance", Said(body))[0], Unknown)


@pytest.mark.parametrize(
    ("dialect", "status", "body"),
    [
        ("binance", 400, {"code": -2010, "msg": "Account has insufficient balance for requested action."}),
        ("binance", 400, {"code": -1013, "msg": "Filter failure: LOT_SIZE"}),
        ("binance", 400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}),
        ("binance", 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}),
        ("binance", 429, {"code": -1015, "msg": "Too many new orders; current limit is 100 orders per 10 SECOND."}),
        ("binance", 418, {"code": -1003, "msg": "Way too much request weight used; IP banned until 1763683300000."}),
        ("kraken", 200, {"error": ["EOrder:Insufficient funds"]}),
        ("kraken", 200, {"error": ["EAPI:Invalid nonce"]}),
        ("kraken", 200, {"error": ["EOrder:Order minimum not met"], "result": {}}),
        ("kraken", 200, {"error": ["EGeneral:Invalid arguments:volume"]}),
        ("kraken", 200, {"error": ["EService:Deadline elapsed"]}),
        ("kraken", 200, {"error": ["WGeneral:careful", "EOrder:Tick size check failed"]}),
    ],
)
def test_a_refusal_that_the_exchange_states_in_its_own_words_is_proven(dialect: str, status: int, body: dict[str, Any]):
    """O2: the codes of exchange-api.md."""
    outcome, sent = place(dialect, Said(orjson.dumps(body), status))
    assert isinstance(outcome, Rejected)
    assert outcome.code in (str(body.get("code")), *body.get("error", ()))
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("dialect", "status", "body"),
    [
        ("binance", 400, {"code": -2010, "msg": "Duplicate order sent."}),
        ("binance", 503, {"code": -1013, "msg": "Filter failure: LOT_SIZE"}),
        ("binance", 200, {"code": -2010, "msg": "Account has insufficient balance for requested action."}),
        ("binance", 400, {"code": -1006, "msg": "An unexpected response was received from the message bus."}),
        ("kraken", 200, {"error": ["EService:Unavailable"]}),
        ("kraken", 200, {"error": ["EOrder:Insufficient funds", "EService:Busy"]}),
        ("kraken", 200, {"error": ["EOrder:Insufficient funds"], "result": {"txid": ["OUF4EM-FRGI2-MQMWZD"]}}),
        ("kraken", 520, {"error": ["EOrder:Insufficient funds"]}),
        ("nobitex", 200, {"status": "failed", "code": "DuplicateClientOrderId", "message": ""}),
        ("wallex", 500, {"success": False, "message": "failed"}),
    ],
)
def test_a_refusal_that_may_hide_an_order_is_no_proof(dialect: str, status: int, body: dict[str, Any]):
    """O2: "Duplicate order sent" speaks of an order that was taken; a 5xx proves nothing whatever it says."""
    assert refusal(dialect, status, body) is None


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize("how", ["abort", "torn", "hang", "drip"])
def test_an_answer_that_is_lost_leaves_the_order_unknown_after_one_request(dialect: str, how: str):
    """E1, O2: broken, half, late and dripping answers end within the deadline, and nothing is sent again."""
    said = Said(
        accepted_body(
            dialect, Sent("POST", "", {"symbol": "", "newClientOrderId": "", "quantity": "", "type": "", "side": ""}, {})
        ),
        how=how,
    )
    outcome, sent = place(dialect, said, profile={"deadline_seconds": 0.6})
    assert isinstance(outcome, Unknown)
    assert len(sent) == 1


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_an_order_that_finds_nobody_listening_was_not_sent(dialect: str):
    """O2: a connection that never came about proves that nothing was sent."""

    async def work(venue: Any) -> Any:
        permit = await venue.ready()
        server.stop()
        return await venue.place(an_order(dialect), permit)

    with wire(clocked(dialect, lambda sent: Said())) as server:
        outcome = asyncio.run(with_venue(dialect, server.url, work))
    assert isinstance(outcome, Denied)
    assert "cannot be reached" in outcome.words


def test_a_permit_sends_one_order_and_no_order_once_it_is_old():
    """P3: a process that was stopped after it was allowed to send has no leave any more when it goes on."""

    async def work(venue: Any) -> Any:
        used, old = await venue.ready(), Permit(seconds=-1.0)
        return [await venue.place(an_order("binance", number=each), permit) for each, permit in enumerate((used, used, old))]

    with wire(clocked("binance", lambda sent: Said(accepted_body("binance", sent)))) as server:
        first, again, late = asyncio.run(with_venue("binance", server.url, work))
        assert len(server.of("order")) == 1
    assert isinstance(first, Accepted)
    assert isinstance(again, Denied) and "used before" in again.words
    assert isinstance(late, Denied) and "old" in late.words


@pytest.fixture
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exchange's clock be measured in no time: how long that takes on a busy machine would count as a difference."""
    for module in (transport, signed_transport, exchange_clock):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1000.0))


@pytest.mark.usefixtures("no_time_passes")
@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize("skew_ms", [-60_000, -5000, -1100, 1100, 5000, 60_000])
def test_nothing_is_signed_while_the_clocks_disagree(dialect: str, skew_ms: int):
    """E6: more than a second between this machine's clock and the exchange's ends trading."""

    async def work(venue: Any) -> Any:
        with pytest.raises(NotSent, match="clock is"):
            await venue.ready()
        return await venue.place(an_order(dialect), Permit())

    # Kraken tells the second; the middle of it is taken.
    told = NOW_MS + (500 if dialect == "kraken" else 0)
    with wire(clocked(dialect, lambda sent: Said(accepted_body(dialect, sent)), lambda: NOW_MS)) as server:
        outcome = asyncio.run(with_venue(dialect, server.url, work, wall_ms=lambda: told + skew_ms))
        assert {each.endpoint for each in server.sent} == {"time" if dialect == "binance" else "Time"}
    assert isinstance(outcome, Denied)


@pytest.mark.usefixtures("no_time_passes")
@pytest.mark.parametrize("skew_ms", [-900, 0, 900])
def test_a_small_difference_of_the_clocks_does_not_stop_trading(skew_ms: int):
    """E6: half a second is allowed; the exchange's own time is what gets signed."""

    async def work(venue: Any) -> Any:
        return await venue.place(an_order("binance"), await venue.ready())

    with wire(clocked("binance", lambda sent: Said(accepted_body("binance", sent)), lambda: NOW_MS)) as server:
        asyncio.run(with_venue("binance", server.url, work, wall_ms=lambda: NOW_MS + skew_ms))
        assert NOW_MS <= int(server.of("order")[0].params["timestamp"]) < NOW_MS + 3000


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
@pytest.mark.parametrize("type_", [OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT])
def test_a_stop_never_goes_out_without_its_trigger(dialect: str, type_: OrderType):
    """X23: the trigger price is in the bytes that are sent; an order that lacks it is not sent at all."""
    trigger = "stopPrice" if dialect == "binance" else "price"

    async def work(venue: Any) -> Any:
        order = an_order(dialect, type_, Side.SELL)
        lacking = await venue.place(replace(order, stop_price=None), await venue.ready())
        return lacking, await venue.place(order, await venue.ready())

    with wire(clocked(dialect, lambda sent: Said(accepted_body(dialect, sent)))) as server:
        lacking, whole = asyncio.run(with_venue(dialect, server.url, work))
        sent = server.of(ORDER_ENDPOINT[dialect])
    assert isinstance(lacking, Denied) and "stop price" in lacking.words
    assert isinstance(whole, Accepted)
    assert [each.params[trigger] for each in sent] == ["60000.1"]


@pytest.mark.parametrize(("dialect", "name"), [("binance", "newClientOrderId"), ("kraken", "cl_ord_id")])
def test_every_order_carries_our_id_and_plain_digits(dialect: str, name: str):
    """O1: Kraken takes 32 hexadecimal digits as a UUID, so ours goes out as the first 128 of its 160 bits."""
    order = replace(an_order(dialect), quantity=an_order(dialect).quantity.scaleb(-5))
    with wire(clocked(dialect, lambda sent: Said(accepted_body(dialect, sent)))) as server:

        async def work(venue: Any) -> str:
            await venue.place(order, await venue.ready())
            return venue.own_id(order.client_order_id)

        own = asyncio.run(with_venue(dialect, server.url, work))
        (sent,) = server.of(ORDER_ENDPOINT[dialect])
    assert sent.params[name] == own
    assert sent.params["quantity" if dialect == "binance" else "volume"] == "0.000000015"
    assert len(own) == 32 and (dialect == "binance" or int(own, 16) > 0)


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_neither_key_nor_secret_is_in_an_error_or_a_log(
    dialect: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """S2: an exchange that repeats the signed request in its error page does not get it into our words."""
    monkeypatch.setattr(transport.HttpTransport, "_backoff", lambda self, retry: 0.0)

    async def work(venue: Any) -> list[str]:
        words = [str(await venue.place(an_order(dialect), await venue.ready()))]
        for query in (venue.balances(), venue.order(MARKETS[dialect], an_id()), venue.open_orders([MARKETS[dialect]])):
            with pytest.raises(TradingError) as caught:
                await query
            words.append(f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}")
        return [*words, repr(venue), repr(KEY)]

    def echo(sent: Sent) -> Said:
        shown = f"https://x/{sent.path}?{'&'.join(f'{name}={value}' for name, value in sent.params.items())}"
        return Said(orjson.dumps({"code": -1000, "msg": shown, "error": [f"EGeneral:{shown}"]}), 500)

    with caplog.at_level(logging.DEBUG), wire(clocked(dialect, echo)) as server:
        words = asyncio.run(with_venue(dialect, server.url, work, profile={"deadline_seconds": 10.0}))
        signatures = [
            each.params.get("signature") or each.headers["api-sign"] for each in server.sent if each.params.get("signature")
        ]
    text = " ".join([*words, caplog.text])
    for canary in ("canary-key", SECRET, *signatures):
        assert canary not in text
    assert logging.getLogger("ccxt").getEffectiveLevel() >= logging.WARNING


@pytest.mark.parametrize("secret", ["", "no base64!", "Zz9="])
@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_a_key_that_cannot_sign_sends_nothing_or_is_refused(dialect: str, secret: str, monkeypatch: pytest.MonkeyPatch):
    """S2: what ccxt says about a bad secret is not passed on."""
    from fks_assets_tests.orders import venues

    monkeypatch.setattr(venues, "KEY", replace(KEY, secret=secret))
    outcome, _ = place(
        dialect,
        Said(
            orjson.dumps({"code": -1022, "msg": "Signature for this request is not valid.", "error": ["EAPI:Invalid signature"]}),
            400,
        ),
    )
    assert isinstance(outcome, Denied | Rejected)
    assert not secret or secret not in str(outcome)


def test_a_ban_is_made_known_to_all_processes_and_the_order_is_refused():
    """E2: 429 with Retry-After."""
    shared = budgets()
    outcome, _ = place(
        "binance", Said(b'{"code": -1015, "msg": "Too many new orders."}', 429, {"Retry-After": "7"}), budgets=shared
    )
    assert isinstance(outcome, Rejected)
    assert shared.public.blocks == [7.0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("urgent", [False, True])
def test_stops_and_exits_use_the_reserved_share_of_the_limits(urgent: bool):
    """E2, C16: the limiter's urgent lane."""
    shared = budgets()

    async def work(venue: Any) -> None:
        await venue.ready(urgent=urgent)

    with wire(clocked("binance", lambda sent: Said())) as server:
        asyncio.run(with_venue("binance", server.url, work, budgets=shared))
    assert shared.orders.acquired == [(1, urgent)]  # type: ignore[attr-defined]
    assert shared.public.acquired[-1] == (1, urgent)  # type: ignore[attr-defined]


REPLACED = {
    "both": (
        200,
        {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": {"status": "CANCELED"},
            "newOrderResponse": "ours",
        },
        (Canceled, Accepted),
    ),
    "only cancelled": (
        409,
        {
            "code": -2021,
            "msg": "Order cancel-replace partially failed.",
            "data": {
                "cancelResult": "SUCCESS",
                "newOrderResult": "FAILURE",
                "cancelResponse": {"status": "CANCELED"},
                "newOrderResponse": {"code": -2010, "msg": "Stop price would trigger immediately."},
            },
        },
        (Canceled, Rejected),
    ),
    "cancelled, new one unknown": (
        409,
        {
            "code": -2021,
            "msg": "Order cancel-replace partially failed.",
            "data": {
                "cancelResult": "SUCCESS",
                "newOrderResult": "FAILURE",
                "cancelResponse": {"status": "CANCELED"},
                "newOrderResponse": {"code": -1007, "msg": "Timeout waiting for response from backend server."},
            },
        },
        (Canceled, Unknown),
    ),
    "old one gone": (
        400,
        {
            "code": -2022,
            "msg": "Order cancel-replace failed.",
            "data": {
                "cancelResult": "FAILURE",
                "newOrderResult": "NOT_ATTEMPTED",
                "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
                "newOrderResponse": None,
            },
        },
        (NotOpen, Rejected),
    ),
    "refused as a whole": (400, {"code": -1013, "msg": "Filter failure: PRICE_FILTER"}, (Rejected, Rejected)),
    "a 409 that says nothing": (409, {"code": -2021, "msg": "?"}, (Unknown, Unknown)),
    "bad gateway": (502, {}, (Unknown, Unknown)),
}


@pytest.mark.parametrize("name", REPLACED)
def test_both_halves_of_a_replacement_are_read(name: str):
    """O4: Binance's 409 is half done; which half is in its data."""
    status, body, kinds = REPLACED[name]

    def script(sent: Sent) -> Said:
        told = dict(body)
        if told.get("newOrderResponse") == "ours":
            told["newOrderResponse"] = orjson.loads(accepted_body("binance", sent))
        return Said(orjson.dumps(told), status)

    async def work(venue: Any) -> Any:
        return await venue.replace(
            an_id(1), an_order("binance", OrderType.STOP_MARKET, Side.SELL), await venue.ready(urgent=True)
        )

    with wire(clocked("binance", script)) as server:
        outcome = asyncio.run(with_venue("binance", server.url, work))
        (sent,) = server.of("order/cancelReplace")
    assert isinstance(outcome, ReplaceOutcome)
    assert (type(outcome.canceled), type(outcome.placed)) == kinds
    assert (sent.params["cancelOrigClientOrderId"], sent.params["cancelReplaceMode"]) == (an_id(1), "STOP_ON_FAILURE")


def test_a_pair_of_stop_and_target_is_one_request_with_both_prices():
    """F13, O5: one order of which only one leg can execute."""
    stop = an_order("binance", OrderType.STOP_MARKET, Side.SELL, 1)
    target = replace(an_order("binance", OrderType.LIMIT, Side.SELL, 2), price=stop.stop_price)

    def script(sent: Sent) -> Said:
        legs = [
            {
                "symbol": "BTCUSDT",
                "orderId": number,
                "clientOrderId": sent.params[f"{leg}ClientOrderId"],
                "transactTime": NOW_MS,
                "status": "NEW",
            }
            for number, leg in ((11, "above"), (12, "below"))
        ]
        return Said(orjson.dumps({"orderListId": 7, "listStatusType": "EXEC_STARTED", "orderReports": legs}))

    async def work(venue: Any) -> Any:
        return await venue.place_oco(stop, target, await venue.ready(urgent=True))

    with wire(clocked("binance", script)) as server:
        outcome = asyncio.run(with_venue("binance", server.url, work))
        (sent,) = server.of("orderList/oco")
    assert outcome == OcoOutcome("7", Accepted("12", OrderStatus.OPEN), Accepted("11", OrderStatus.OPEN))
    wanted = {
        "side": "SELL",
        "aboveType": "LIMIT_MAKER",
        "abovePrice": "60000.1",
        "belowType": "STOP_LOSS",
        "belowStopPrice": "60000.1",
    }
    assert wanted.items() <= sent.params.items()


@pytest.mark.parametrize(
    ("dialect", "said", "kind"),
    [
        ("binance", Said(b'{"symbol": "BTCUSDT", "status": "CANCELED"}'), Canceled),
        ("binance", Said(b'{"listOrderStatus": "ALL_DONE"}'), Canceled),
        ("binance", Said(b'{"code": -2011, "msg": "Unknown order sent."}', 400), NotOpen),
        ("binance", Said(b'{"code": -1021, "msg": "Timestamp"}', 400), Rejected),
        ("binance", Said(b'{"code": -2011, "msg": "Unknown order sent."}', 503), Unknown),
        ("binance", Said(b"{}"), Unknown),
        ("kraken", Said(b'{"error": [], "result": {"count": 1}}'), Canceled),
        ("kraken", Said(b'{"error": [], "result": {"count": 1, "pending": true}}'), Unknown),
        ("kraken", Said(b'{"error": ["EOrder:Unknown order"]}'), NotOpen),
        ("kraken", Said(b'{"error": ["EService:Unavailable"]}'), Unknown),
        ("kraken", Said(b'{"error": ["EAPI:Invalid key"]}'), Rejected),
        ("kraken", Said(how="abort"), Unknown),
    ],
)
def test_a_cancel_is_done_gone_refused_or_unknown(dialect: str, said: Said, kind: type):
    """O3: what had executed before the cancel stays; nothing but the venue's own word says that an order is gone."""

    async def work(venue: Any) -> Any:
        await venue.ready()
        return await venue.cancel(MARKETS[dialect], an_id(), None)

    with wire(clocked(dialect, lambda sent: said)) as server:
        assert type(asyncio.run(with_venue(dialect, server.url, work))) is kind


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_a_failed_query_is_an_error_and_never_an_empty_answer(dialect: str, status: int):
    """O7, E3: every query × status × body raises an error of ours; nothing looks like "no order", "no trade" or "no coins"."""
    market = MARKETS[dialect]

    async def work(venue: Any) -> None:
        for name in BODIES:
            for query in (
                lambda: venue.order(market, an_id(), since_ms=NOW_MS),
                lambda: venue.order(market, an_id(), "OUF4EM-FRGI2-MQMWZD"),
                lambda: venue.open_orders([market]),
                lambda: venue.my_trades([market], {}),
                lambda: venue.balances(),
                lambda: venue.prices([market]),
            ):
                current[0] = BODIES[name]
                if status == 200 and name == "a list" and dialect == "binance":
                    continue
                with pytest.raises(TradingError):
                    await query()

    current = [b""]
    with wire(clocked(dialect, lambda sent: Said(current[0], status))) as server:
        asyncio.run(with_venue(dialect, server.url, work, profile={"deadline_seconds": 0.02}))


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_the_trades_of_no_market_are_none_and_nothing_is_asked(dialect: str):
    """O7: an account none of whose markets has known rules is compared all the same: its orders and coins."""

    async def work(venue: Any) -> Any:
        await venue.ready()
        return await venue.my_trades([], {}), await venue.open_orders([])

    empty = Said(orjson.dumps({"error": [], "result": {"open": {}}}))
    with wire(clocked(dialect, lambda sent: empty)) as server:
        assert asyncio.run(with_venue(dialect, server.url, work)) == ([], [])
        assert {"TradesHistory", "myTrades"}.isdisjoint(each.endpoint for each in server.sent)


@pytest.mark.parametrize("dialect", ["binance", "kraken"])
def test_a_cancel_whose_connection_breaks_is_one_request(dialect: str):
    """O1: the HTTP library repeats a DELETE of its own accord unless told not to."""

    async def work(venue: Any) -> Any:
        await venue.ready()
        return await venue.cancel(MARKETS[dialect], an_id(), None)

    with wire(clocked(dialect, lambda sent: Said(how="abort"))) as server:
        assert isinstance(asyncio.run(with_venue(dialect, server.url, work)), Unknown)
        assert len([each for each in server.sent if each.endpoint not in ("time", "Time")]) == 1


def test_the_errors_of_trading_are_of_one_family():
    """S3.24: TradingException > InsufficientData, OrderExecution, RiskManagement; here OrderError and Denied."""
    from fks_assets import errors

    assert issubclass(NotSent, errors.OrderError)
    for kind in (errors.InsufficientData, errors.OrderError, errors.Denied, errors.StaleFence, errors.IllegalTransition):
        assert issubclass(kind, TradingError)


def test_the_port_of_a_closed_server_is_free():
    """The server of these tests leaves nothing behind."""
    with wire(lambda sent: Said()) as server:
        port = int(server.url.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
