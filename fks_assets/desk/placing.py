"""Place the orders that take risk away: a stop, with its target or alone, and the exit at the market."""

from dataclasses import replace
from decimal import Decimal

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.guard_case import Case, Do, Step, Tries
from fks_assets.errors import Denied, ExchangeError, InvalidInput, StaleFence
from fks_assets.quant.money import EXACT, ZERO, floor_to, money_text
from fks_assets.quant.orders import Leg, OrderStatus, OrderType, Side
from fks_assets.stores.ledger.order_rows import Order, order_events
from fks_assets.stores.ledger.orders import OrderIntent

# Of a stop that can only rest as a limit order: how far its limit lies behind the trigger.
LIMIT_BEHIND = Decimal("0.01")


async def place(gateway: OrderGateway, case: Case, step: Step) -> Tries:
    """Place what a step asks for; return what the round has tried in vain by then."""
    tries = case.tries
    if step.do is not Do.EXIT and case.level is not None:
        tries = replace(tries, placed=tries.placed | {(case.level, step.paired)})
    try:
        order = await _send(gateway, case, step)
    except StaleFence:
        raise
    except (Denied, InvalidInput) as error:
        return replace(tries, failed=str(error))
    except ExchangeError as error:
        return replace(tries, failed=str(error), unreachable=True)
    crashpoint("protect.placed")
    if order.active or order.status is OrderStatus.FILLED:
        return case.tries
    why = await gateway.transact(lambda connection: _why(order_events(connection, order.id)[-1].detail))
    words = f"the {order.leg} order is {order.status}: {why}"
    return replace(tries, failed=words, unreachable=order.status is OrderStatus.DENIED)


async def _send(gateway: OrderGateway, case: Case, step: Step) -> Order:
    if step.do is Do.EXIT:
        exit_ = _intent(gateway, case, Leg.EXIT, OrderType.MARKET, step.words)
        return await gateway.submit(replace(exit_, quantity=await _free(gateway, case)))
    stop = _stop_intent(gateway, case, step)
    if step.do is Do.REPLACE:
        assert step.order is not None
        return (await gateway.replace(step.order, stop))[1]
    if step.paired:
        assert case.stop is not None
        target = _intent(gateway, case, Leg.TARGET, OrderType.LIMIT, "target")
        return (await gateway.submit_pair(stop, replace(target, price=case.stop.target)))[0]
    return await gateway.submit(stop)


async def _free(gateway: OrderGateway, case: Case) -> Decimal:
    """Return how much of a long position can be sold now: what the venue says is free, at most what is held."""
    if case.deal.side is not Side.BUY:
        return case.sellable
    try:
        held = await gateway.venue.balances()
    except ExchangeError:
        # Not to be told is no reason to stay: the venue refuses what it has not.
        return case.sellable
    coin = case.deal.market.base
    free = held[coin].free if coin in held else ZERO
    lot = ZERO if case.rules is None or case.rules.lot_size is None else case.rules.lot_size
    quantity = min(case.sellable, floor_to(free, lot))
    if not quantity:
        raise Denied(f"{money_text(case.sellable)} {coin} are held and {money_text(free)} are free: something else holds them")
    return quantity


def _intent(gateway: OrderGateway, case: Case, leg: Leg, type_: OrderType, words: str) -> OrderIntent:
    return OrderIntent(
        deal=case.deal,
        leg=leg,
        side=case.deal.side.opposite,
        type=type_,
        quantity=case.sellable,
        reason=words,
        at_ms=gateway.clock(),
        generation=case.generation(leg),
        reference_price=case.price,
    )


def _stop_intent(gateway: OrderGateway, case: Case, step: Step) -> OrderIntent:
    type_, level = case.stop_type, case.level
    assert type_ is not None and level is not None
    intent = replace(_intent(gateway, case, Leg.STOP, type_, step.words), stop_price=level)
    if type_ is OrderType.STOP_LIMIT:
        behind = EXACT.multiply(level, LIMIT_BEHIND)
        intent = replace(intent, price=EXACT.subtract(level, behind) if case.direction > 0 else EXACT.add(level, behind))
    return intent


def _why(detail: dict[str, str]) -> str:
    return detail.get("words") or detail.get("code") or "no reason was given"
