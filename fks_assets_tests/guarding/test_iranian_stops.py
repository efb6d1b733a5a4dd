"""Positions at Wallex, which has no stop orders, and at Nobitex, which has them without targets, in the simulator's dialects.

At Wallex nothing of a stop ever reaches the exchange: the desk watches the price, and sells at the market when it has passed the
level. The target is watched at both.
"""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from fks_assets.desk.believing import with_believed_quotes
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.guard_case import Case
from fks_assets.desk.protect import Protected, protect
from fks_assets.desk.reconcile import reconcile
from fks_assets.errors import ExchangeUnavailable
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import Deal, read_deal
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.amounts import tries
from fks_assets_tests.guarding.cases import NOW_MS, VALIDITY_MS, WALLEX, a_deal, a_position, a_quote, a_stop, rules
from fks_assets_tests.guarding.doomed import Doomed, main
from fks_assets_tests.guarding.guarded_desk import (
    Told,
    at_exchange,
    checked,
    enter,
    guard,
    leave,
    legs,
    oversold,
    position_of,
    stop_of,
    told_of,
    until,
)
from fks_assets_tests.orders.trading_desk import TradingDesk

PLACES = {"wallex": "POST orders", "nobitex": "orders/add"}
# Bought is 0.01, and a thousandth of it is the fee.
HELD = Decimal("0.00999")


@pytest.fixture(params=["wallex", "nobitex"])
def desk(request: pytest.FixtureRequest, database: Database) -> Iterator[TradingDesk]:
    yield from checked(database, request.param)


@pytest.fixture
def wallex(database: Database) -> Iterator[TradingDesk]:
    yield from checked(database, "wallex")


def assert_left(desk: TradingDesk, deal: Deal) -> None:
    """See that everything was sold, once, and the deal has ended."""
    position = position_of(desk, deal)
    assert (position.net_quantity, position.sold_quantity) == (0, HELD)
    assert at_exchange(desk) == [] and oversold(desk) == []
    sold = [one for one in desk.simulator.orders(account=desk.key) if one["side"] == "SELL" and Decimal(one["executed"])]
    assert [Decimal(one["executed"]) for one in sold] == [HELD]
    deal = read_deal(desk.database, deal.id)
    assert (deal.status, deal.is_active) == (DealStatus.STOPPED, False)


def test_a_position_is_guarded_as_the_exchange_can(desk: TradingDesk) -> None:
    """X23: at Wallex the price is watched and no order without its trigger goes out; at Nobitex a stop with one rests."""
    deal = enter(desk, stop="0.9", target="1.5")
    for _ in range(3):
        guard(desk)
    there, stop = at_exchange(desk), stop_of(desk, deal)
    assert stop.level == deal.stop_loss_price and stop.target == deal.take_profit_price
    if desk.dialect == "wallex":
        assert (stop.state, there, legs(desk, deal, Leg.STOP)) == (StopState.NONE, [], [])
        assert len(desk.simulator.journal(endpoint=PLACES["wallex"])) == 1
        return
    assert stop.state is StopState.RESTING
    (order,) = there
    (known,) = legs(desk, deal, Leg.STOP)
    assert (known.type, known.stop_price, known.quantity) == (OrderType.STOP_MARKET, deal.stop_loss_price, HELD)
    assert (Decimal(order["stop_price"]), Decimal(order["quantity"])) == (deal.stop_loss_price, HELD)


def test_the_price_passes_the_stop(desk: TradingDesk) -> None:
    """X23, S1.14, F13: sold by the desk at the market, or by the exchange itself; people are told once."""
    deal = enter(desk, stop="0.997", target="1.5")
    guard(desk)
    level = read_deal(desk.database, deal.id).stop_loss_price
    assert level is not None
    until(desk, 300, lambda: desk.last_price() < level)
    for _ in range(3):
        guard(desk)
    assert_left(desk, deal)
    assert [order.status for order in legs(desk, deal, Leg.EXIT)] == ([OrderStatus.FILLED] if desk.dialect == "wallex" else [])
    (note,) = told_of(desk, "stop")
    assert note.severity == "URGENT" and note.message.startswith("🛑 STOP LOSS TRIGGERED!")


def test_the_price_reaches_the_target(desk: TradingDesk) -> None:
    """S3.7: sold by the desk at the market, the stop that rested is cancelled before; one message."""
    deal = enter(desk, stop="0.5", target="1.003")
    guard(desk)
    level = read_deal(desk.database, deal.id).take_profit_price
    assert level is not None
    until(desk, 300, lambda: desk.last_price() > level)
    for _ in range(3):
        guard(desk)
    assert_left(desk, deal)
    assert [order.status for order in legs(desk, deal, Leg.EXIT)] == [OrderStatus.FILLED]
    assert all(order.status is OrderStatus.CANCELED for order in legs(desk, deal, Leg.STOP))
    price = position_of(desk, deal).exit_price
    assert price is not None and price >= level * Decimal("0.999")
    assert told_of(desk, "stop") == [] and sum(note.message.startswith("🎯") for note in told_of(desk, "trade")) == 1


def test_a_stop_trails_the_price_and_is_passed_on_the_way_back(desk: TradingDesk) -> None:
    """S3.8: at Wallex the level alone moves; at Nobitex the stop that rests is cancelled and placed anew."""
    deal = enter(desk, stop="0.9", trailing="0.05")
    guard(desk)
    price = desk.last_price()
    guard(desk, Told(price, high=price * Decimal("1.02")))
    level = stop_of(desk, deal).level
    assert level is not None and 0 <= level - price * Decimal("1.02") * Decimal("0.95") <= Decimal("0.01")
    assert [Decimal(one["stop_price"]) for one in at_exchange(desk)] == ([] if desk.dialect == "wallex" else [level])
    guard(desk, Told(price, high=price * Decimal("1.06")))
    guard(desk)
    assert_left(desk, deal)


@pytest.mark.parametrize("action", ["reject", "drop_before", "drop_after_accept"])
def test_a_sale_that_goes_wrong_is_found_or_made_again_and_never_doubled(desk: TradingDesk, action: str) -> None:
    """O1, O2, O5, X23: refused, lost on its way, taken without an answer."""
    deal = enter(desk, stop="0.9")
    guard(desk)
    fault = {"action": action, "endpoint": PLACES[desk.dialect], "first": 1}
    leave(desk, deal)
    guard(desk, None, fault if action == "reject" else fault | {"how": "reset"})
    for _ in range(5):
        desk.jump(40)
        guard(desk)
    assert_left(desk, deal)
    assert desk.simulator.duplicates() == []


# What is noted, what is sent and what is written down of a position that is left because the price has passed its level.
POINTS = (
    *("protect.leave", "protect.leave.uncommitted", "protect.leave.written", "protect.exit"),
    *("submit.intent", "submit.submitting", "submit.fenced", "submit.answered", "submit.settled.uncommitted", "submit.settled"),
    *("protect.placed", "protect.end", "protect.end.uncommitted"),
)


def test_a_process_that_dies_while_it_sells_leaves_the_rest_to_the_next_one(wallex: TradingDesk) -> None:
    """C14, F13, X23: at each point between seeing that the stop was passed and the end of the deal; sold once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fks_assets_tests.guarding.doomed", "fks_assets.exchanges.wallex"])
    for number, point in enumerate(POINTS[:: tries(3, 1)]):
        desk = replace(wallex, account=f"c{number}", signals=number * 100)
        desk.ahead_ms = wallex.ahead_ms
        desk.open_account({"USDT": 1_000_000})
        deal = enter(desk, stop="0.9")
        guard(desk)
        level = read_deal(desk.database, deal.id).stop_loss_price
        assert level is not None and stop_of(desk, deal).state is StopState.NONE
        told, fence = Told(level - 1), desk.take_fence("doomed")
        assert desk.run(reconcile, fence=fence, reconciled=False).passed
        urls = (desk.database.url, desk.simulator.url)
        doomed = Doomed(*urls, desk.dialect, desk.account, desk.ahead_ms, fence, told, point)
        process = context.Process(target=main, args=(doomed,))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, point
        assert oversold(desk) == [], point
        # Once it is noted that the position is left it is left, wherever the price goes.
        back = POINTS.index(point) >= POINTS.index("protect.leave.written")
        for _ in range(4):
            guard(desk, None if back else told)
            desk.jump(40)
        wallex.ahead_ms = desk.ahead_ms
        assert_left(desk, deal)


def test_a_lone_print_beyond_a_level_sells_nothing(desk: TradingDesk) -> None:
    """Issue 6, C10: a price by which alone the desk would sell has to be the venue's a second later as well."""
    deal = enter(desk, stop="0.97", target="1.03")
    guard(desk)
    price = desk.last_price()
    guard(desk, Told(price * Decimal("1.05"), is_lone=True))
    guard(desk, Told(price * Decimal("0.95"), is_lone=True))
    assert position_of(desk, deal).net_quantity == HELD and legs(desk, deal, Leg.EXIT) == []
    assert told_of(desk, "stop") == []


def test_a_fall_in_which_no_price_is_said_twice_ends_the_position(wallex: TradingDesk) -> None:
    """T5: a quarter less, and a quarter of that less a second later: both are far below the stop, and it falls on."""
    deal = enter(wallex, stop="0.9")
    guard(wallex)
    price = wallex.last_price()
    guard(wallex, Told(price * Decimal("0.75"), again=price * Decimal("0.55")))
    guard(wallex)
    assert_left(wallex, deal)


def test_wrong_prices_on_both_sides_of_the_market_end_no_position(wallex: TradingDesk) -> None:
    """T5: a tenth and ten times as much, a second apart."""
    deal = enter(wallex, stop="0.9", target="1.5")
    guard(wallex)
    price = wallex.last_price()
    guard(wallex, Told(price * Decimal("0.1"), again=price * 10))
    guard(wallex, Told(price * 10, again=price * Decimal("0.1")))
    assert position_of(wallex, deal).net_quantity == HELD and legs(wallex, deal, Leg.EXIT) == []


def test_all_positions_in_doubt_are_one_question(wallex: TradingDesk) -> None:
    """T5: in a crash every watched level is passed at once; a second for each would leave the last one minutes later."""
    deals = [enter(wallex, stop="0.9") for _ in range(3)]
    guard(wallex)
    low, asked = wallex.last_price() * Decimal("0.85"), []

    async def says(markets: Sequence[Market]) -> dict[Market, Decimal]:
        asked.append(list(markets))
        return dict.fromkeys(markets, low)

    async def work(gateway: OrderGateway) -> list[Protected]:
        gateway.venue.prices = says  # type: ignore[method-assign]
        return await protect(gateway, {wallex.market: Quote.of_price(float(low), wallex.clock())})

    wallex.run(work)
    assert asked == [[wallex.market]]
    assert [len(legs(wallex, deal, Leg.EXIT)) for deal in deals] == [1, 1, 1]


def test_a_market_that_the_venue_does_not_price_keeps_no_other_waiting(wallex: TradingDesk) -> None:
    """T5: asked for all together it refuses, asked one by one it prices the others."""
    gone, watched = Market("GONE", "USDT", "wallex"), a_stop(StopState.NONE)
    seen = Case(a_deal(), a_position(), watched, (), rules(), WALLEX, a_quote(85.0), NOW_MS, epoch=1, validity_ms=VALIDITY_MS)
    delisted = replace(seen, deal=a_deal(id=2, market=gone))

    async def says(markets: Sequence[Market]) -> dict[Market, Decimal]:
        if gone in markets:
            raise ExchangeUnavailable("wallex gave no price of GONE-USDT", exchange="wallex")
        return dict.fromkeys(markets, Decimal(84))

    async def work(gateway: OrderGateway) -> list[Case]:
        gateway.venue.prices = says  # type: ignore[method-assign]
        return await with_believed_quotes(gateway, [delisted, seen])

    first, second = wallex.run(work)
    assert first.quote is None and second.quote == seen.quote
