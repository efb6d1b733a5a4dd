"""Deals of a simulated account with stops, rounds of guarding them, and what must hold after every one of them."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.protect import Protected, protect, protect_until_settled
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Mode, OrderStatus, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import AccountSpec, enable, mirror, read_accounts
from fks_assets.stores.ledger.deals import Deal, read_deal, read_deals, update_deal
from fks_assets.stores.ledger.orders import Order, read_orders
from fks_assets.stores.ledger.positions import Position, read_positions
from fks_assets.stores.ledger.stops import Stop, StopState, read_stops, set_stop
from fks_assets.stores.notifications import Notification, read_notifications
from fks_assets_tests.orders.trading_desk import SECRET, TradingDesk, trading_desk

ALIVE = ("NEW", "PARTIALLY_FILLED")
PLACES_STOP = {"binance": "POST order", "kraken": "AddOrder"}
CANCELS = {"binance": "DELETE order", "kraken": "CancelOrder"}


@dataclass(frozen=True)
class Told:
    """A price that the desk is told, whatever the exchange trades at; `high` is how far the price has been.

    The exchange says it when it is asked again, or `again` where that is given, unless the price is a lone print.
    """

    close: Decimal
    high: Decimal | None = None
    is_lone: bool = False
    again: Decimal | None = None

    def quote(self, at_ms: int) -> Quote:
        close, high = float(self.close), float(self.high or self.close)
        return Quote(close, max(close, high), close, close, 0.0, at_ms)


def checked(database: Database, dialect: str) -> Iterator[TradingDesk]:
    """Give an account at a simulated exchange; afterwards its books are exact, and nothing was taken twice."""
    with trading_desk(database, dialect) as desk:
        yield desk
        desk.simulator.remove_faults()
        desk.check_books()


def enter(
    desk: TradingDesk,
    *,
    stop: str | None = "0.9",
    target: str | None = None,
    trailing: str | None = None,
    quantity: str = "0.01",
) -> Deal:
    """Buy at the market; stop and target are parts of the exchange's price, `trailing` a fraction of it. Return the deal."""
    deal, price = desk.deal(quantity=quantity), desk.last_price()
    levels = [None if part is None else (price * Decimal(part)).quantize(Decimal(1)) for part in (stop, target)]
    with desk.database.transaction() as connection:
        deal = update_deal(
            connection,
            deal.id,
            at_ms=desk.clock(),
            stop_loss_price=levels[0],
            take_profit_price=levels[1],
            trailing_stop_distance=None if trailing is None else Decimal(trailing),
        )

    async def buy(gateway: OrderGateway) -> Order:
        return await gateway.submit(desk.intent(deal))

    assert desk.run(buy).executed_quantity or desk.orders()[-1].active
    return read_deal(desk.database, deal.id)


def guard(desk: TradingDesk, told: Told | None = None, *faults: dict[str, Any], blind: bool = False) -> list[Protected]:
    """Do one round, as a run of the desk does: compare, then protect. The price is the exchange's unless it is told.

    The faults begin after the comparison. `blind`: no price is known.
    """

    async def work(gateway: OrderGateway) -> list[Protected]:
        quotes = {} if blind else {desk.market: await quote_now(gateway, desk, told)}
        if faults:
            desk.simulator.add_faults(*faults)
        return await protect(gateway, quotes)

    return desk.run(work)


def guard_on(desk: TradingDesk, *faults: dict[str, Any], seconds: float = 20.0) -> list[Protected]:
    """Do rounds until nothing is pending, as for an account at a real exchange; pauses pass in the exchange's time alone."""

    async def pause(seconds: float) -> None:
        desk.jump(seconds)

    async def work(gateway: OrderGateway) -> list[Protected]:
        follow_jumps(gateway, desk)
        quotes = {desk.market: await quote_now(gateway, desk, None)}
        if faults:
            desk.simulator.add_faults(*faults)
        return await protect_until_settled(gateway, quotes, seconds=seconds, pause=pause)

    return desk.run(work)


def until(desk: TradingDesk, seconds: float, done: Callable[[], object], times: int = 4000) -> None:
    """Let time pass, without the desk, until something is so at the exchange. The price stands still afterwards."""
    symbol = f"{desk.market.base}-{desk.market.quote}"
    for _ in range(times):
        desk.simulator.freeze(symbol)
        if done():
            return
        desk.simulator.freeze(symbol, resume=True)
        desk.jump(seconds)
    raise AssertionError(f"not within {seconds * times:g} s")


def follow_jumps(gateway: OrderGateway, desk: TradingDesk) -> None:
    """Let the venue ask for the exchange's time before each call: it goes by a clock of its own, which does not jump."""

    async def told() -> int:
        return int(desk.simulator.clock()["now_ms"])

    gateway.venue._clock._exchange_ms = told  # type: ignore[attr-defined]


async def quote_now(gateway: OrderGateway, desk: TradingDesk, told: Told | None) -> Quote:
    if told is not None:

        async def says(markets: Sequence[Market]) -> dict[Market, Decimal]:
            return dict.fromkeys(markets, told.again or told.close)

        if not told.is_lone:
            gateway.venue.prices = says  # type: ignore[method-assign]
        return told.quote(desk.clock())
    return Quote.of_price(float((await gateway.venue.prices([desk.market]))[desk.market]), desk.clock())


def pay_fees_in_coins(desk: TradingDesk) -> None:
    """Go on with another account, which pays 0.075 % of what it buys in the coins themselves."""
    desk.account = f"{desk.account}coins"
    desk.simulator.add_account(desk.key, SECRET, balances={"USDT": 1_000_000}, taker="0.00075", fee_rule="received")
    with desk.database.transaction() as connection:
        known = [AccountSpec(one.name, one.mode, one.exchange, one.quote) for one in read_accounts(connection)]
        mirror(connection, [*known, AccountSpec(desk.account, Mode.LIVE, desk.dialect, "USDT")], at_ms=desk.clock())
        enable(connection, desk.account, True, by="test", reason="test", at_ms=desk.clock())


def leave(desk: TradingDesk, deal: Deal) -> None:
    """Let a deal be left, as a SELL signal does."""
    with desk.database.transaction() as connection:
        set_stop(connection, deal.id, at_ms=desk.clock(), state=StopState.EXITING)


def stop_of(desk: TradingDesk, deal: Deal) -> Stop:
    (stop,) = read_stops(desk.database, deal_ids=[deal.id])
    return stop


def position_of(desk: TradingDesk, deal: Deal) -> Position:
    (position,) = read_positions(desk.database, deal_ids=[deal.id])
    return position


def legs(desk: TradingDesk, deal: Deal, leg: Leg) -> list[Order]:
    return [order for order in read_orders(desk.database, deal_id=deal.id) if order.leg is leg]


def at_exchange(desk: TradingDesk, side: str = "SELL") -> list[dict[str, Any]]:
    """Return the account's open orders as the exchange itself knows them."""
    found = desk.simulator.orders(account=desk.key)
    return [one for one in found if one["status"] in ALIVE and one["side"] == side]


def told_of(desk: TradingDesk, *kinds: str) -> list[Notification]:
    return read_notifications(desk.database, list(kinds) or None)


def faults_of(desk: TradingDesk, deals: Sequence[Deal] | None = None) -> list[str]:
    """Return what is wrong: a position without a guard, or sales ordered of more than is held (O4, O5, F14)."""
    wrong = []
    for deal in deals or read_deals(desk.database, account=desk.account):
        held = next((each.quantity for each in read_positions(desk.database, deal_ids=[deal.id])), Decimal(0))
        if held < 0:
            wrong.append(f"deal {deal.id}: {held} is held")
        if held <= 0:
            continue
        stop = next(iter(read_stops(desk.database, deal_ids=[deal.id])), None)
        orders = read_orders(desk.database, deal_id=deal.id)
        rests = any(
            order.leg is Leg.STOP and order.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED) for order in orders
        )
        if stop is not None and stop.state is StopState.RESTING and not rests:
            wrong.append(f"deal {deal.id}: its stop rests in the books and nowhere else")
        if not rests and (stop is None or stop.state not in (StopState.GAP, StopState.EXITING)):
            wrong.append(f"deal {deal.id}: {held} is held without a stop, {stop}")
    return wrong + oversold(desk)


def exchange_names(order: Order) -> tuple[str, str]:
    """Return what Binance and Kraken call an order of ours."""
    name = order.client_order_id
    return name, base64.b32decode(name)[:16].hex()


def oversold(desk: TradingDesk) -> list[str]:
    """Return which deals have more on sale at the exchange than they hold there; the two orders of a pair count once."""
    wrong = []
    by_id = {name: order for order in desk.orders() for name in exchange_names(order)}
    there: dict[int, Decimal] = {}
    on_sale: dict[tuple[int, Any], Decimal] = {}
    for one in desk.simulator.orders(account=desk.key):
        order = by_id.get(one["client_id"])
        if order is None or order.deal_id is None:
            continue
        executed = Decimal(one["executed"])
        there[order.deal_id] = there.get(order.deal_id, Decimal(0)) + (executed if order.side is Side.BUY else -executed)
        if order.side is Side.SELL and one["status"] in ALIVE:
            list_number = one.get("list_number")
            on_sale[order.deal_id, list_number or -one["number"]] = Decimal(one["quantity"]) - executed
    for deal_id, held in there.items():
        ordered = sum((amount for (of, _), amount in on_sale.items() if of == deal_id), Decimal(0))
        if ordered > held or held < 0:
            wrong.append(f"deal {deal_id}: {ordered} is on sale, {held} is held")
    return wrong


def unguarded_ms(desk: TradingDesk) -> int:
    """Return for how long, by the exchange's clock, no stop rested there between the first one and the end of the last."""
    stops = {name for order in desk.orders() if order.leg is Leg.STOP for name in exchange_names(order)}
    spans = [
        (one["placed_ms"], None if one["status"] in ("NEW", "PARTIALLY_FILLED") else one["updated_ms"])
        for one in desk.simulator.orders(account=desk.key)
        if one["client_id"] in stops
    ]
    gap, covered = 0, None
    for begin, end in sorted(spans, key=lambda span: span[0]):
        if covered is not None and begin > covered:
            gap = max(gap, begin - covered)
        covered = 2**62 if end is None else max(covered or 0, end)
    return gap
