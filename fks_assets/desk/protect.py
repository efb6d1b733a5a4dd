"""Keep every position of an account guarded: stop and target after the entry fills, trailing, replacing, leaving, dust.

`guarding.next_step` says what a deal needs; here it is done, through the gateway, and written down before and after. A process
that dies anywhere finds the deal as the ledger says it and goes on from there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.guard_case import Case, Do, Step, Tries, is_sound
from fks_assets.desk.guarding import next_step
from fks_assets.desk.lookup import look_at
from fks_assets.desk.placing import place
from fks_assets.desk.telling import tell_end, tell_step
from fks_assets.desk.vanished import gone_orders, prove_gone
from fks_assets.errors import Denied, ExchangeError, StaleFence, TradingError
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import DealStatus, Leg
from fks_assets.stores.ledger.deals import Deal, read_deal, read_deals, update_deal
from fks_assets.stores.ledger.order_rows import read_orders
from fks_assets.stores.ledger.positions import Position, book_dust, read_positions
from fks_assets.stores.ledger.stops import StopState, read_stops, set_stop

_log = logging.getLogger(__name__)
MOST_STEPS = 40
# A price that differs by more than this from the last one that was noted counts only when the venue says it a second time.
LARGEST_MOVE = 0.2
PAUSE_SECONDS = 2.0
_ENDS = (Do.WAIT, Do.SETTLED, Do.END)


@dataclass(frozen=True, slots=True)
class Protected:
    """What was done for a deal in one round, in words, the last one saying how it stands.

    `pending`: a few seconds more may change that.
    """

    deal: Deal
    words: tuple[str, ...]
    pending: bool = False


async def protect_until_settled(
    gateway: OrderGateway,
    quotes: Mapping[Market, Quote],
    *,
    seconds: float = 20.0,
    pause: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> list[Protected]:
    """Protect, again and again while something is pending, for so long: a gap of seconds is not left to the next run.

    Raises as `protect`.
    """
    until = gateway.clock() + int(seconds * 1000)
    found = {each.deal.id: each for each in await protect(gateway, quotes)}
    while any(each.pending for each in found.values()) and gateway.clock() < until:
        await pause(PAUSE_SECONDS)
        for each in [each for each in found.values() if each.pending]:
            found[each.deal.id] = await protect_deal(gateway, each.deal, quotes.get(each.deal.market))
    return list(found.values())


async def protect(gateway: OrderGateway, quotes: Mapping[Market, Quote]) -> list[Protected]:
    """Bring every deal of the account to where it is guarded, or a step nearer; the same again changes nothing.

    A market without a quote is not trailed and its levels are not compared with a price; the rest is done. A fault of one deal
    stops no other. Raises StaleFence when another process has taken over.
    """
    deals = await gateway.transact(lambda connection: _deals(connection, gateway.account))
    return [await protect_deal(gateway, deal, quotes.get(deal.market)) for deal in deals]


async def protect_deal(gateway: OrderGateway, deal: Deal, quote: Quote | None) -> Protected:
    """Do for one deal what `protect` does for all."""
    told: list[str] = []
    try:
        quote = await _believed(gateway, deal, quote)
        tries = Tries()
        for _ in range(MOST_STEPS):
            case = await gateway.transact(lambda connection, tries=tries: _case(gateway, connection, deal.id, quote, tries))
            step = next_step(case)
            told.append(step.words)
            if step.do in _ENDS:
                if step.do is Do.END or step.news is not None:
                    crashpoint(f"protect.{step.do.value}")
                    await gateway.transact(lambda connection, case=case, step=step: _write(gateway, connection, case, step))
                return Protected(deal, tuple(told), step.pending)
            crashpoint(f"protect.{step.do.value}")
            tries = await _perform(gateway, case, step)
        _log.error("deal %s has not settled within %d steps: %s", deal.id, MOST_STEPS, "; ".join(told[-4:]))
    except StaleFence:
        raise
    except TradingError as error:
        _log.warning("deal %s: %s", deal.id, error)
        told.append(str(error))
    except Exception as error:
        # Whatever is wrong with one deal, the others keep their stops.
        _log.exception("deal %s could not be guarded", deal.id)
        told.append(f"{type(error).__name__}: {error}")
    return Protected(deal, tuple(told), pending=True)


async def _perform(gateway: OrderGateway, case: Case, step: Step) -> Tries:
    """Do a step; return what the round has tried in vain by then."""
    tries, order = case.tries, step.order
    if step.do is Do.LEAVE:
        tries = Tries()
    if step.do in (Do.PLACE, Do.REPLACE, Do.EXIT):
        return await place(gateway, case, step)
    if step.do not in (Do.LOOK, Do.PROVE, Do.CANCEL) or order is None:
        await gateway.transact(lambda connection: _write(gateway, connection, case, step))
        crashpoint(f"protect.{step.do.value}.written")
        return tries
    try:
        if step.do is Do.LOOK:
            tries = replace(tries, asked=tries.asked | {order.id})
            await look_at(gateway, order)
        elif step.do is Do.PROVE:
            tries = replace(tries, proven=tries.proven | {order.id})
            await prove_gone(gateway, order)
        elif (await gateway.cancel(order.id)).active:
            tries = replace(tries, kept=tries.kept | {order.id}, failed=f"the {order.leg} order could not be cancelled")
    except StaleFence:
        raise
    except (Denied, ExchangeError) as error:
        kept = tries.kept | {order.id} if step.do is Do.CANCEL else tries.kept
        tries = replace(tries, kept=kept, failed=str(error), unreachable=True)
    crashpoint(f"protect.{step.do.value}.done")
    return tries


def _case(gateway: OrderGateway, connection: sa.Connection, deal_id: int, quote: Quote | None, tries: Tries) -> Case:
    deal = read_deal(connection, deal_id)
    orders = tuple(read_orders(connection, deal_id=deal_id))
    return Case(
        deal=deal,
        position=_position(connection, deal_id),
        stop=next(iter(read_stops(connection, deal_ids=[deal_id])), None),
        orders=orders,
        rules=gateway.rules.get(deal.market),
        features=gateway.venue.features,
        quote=quote,
        now_ms=gateway.clock(),
        epoch=gateway.fence.epoch,
        validity_ms=gateway.venue.validity_ms,
        gone=gone_orders(connection, orders),
        tries=tries,
    )


def _deals(connection: sa.Connection, account: str) -> list[Deal]:
    """Return the deals that may need something: active ones, and any that hold coins or have an order that may execute."""
    held = [position.deal_id for position in read_positions(connection, account=account, is_open=True) if position.quantity > 0]
    ordered = [order.deal_id for order in read_orders(connection, account=account, active=True) if order.deal_id is not None]
    active = [deal.id for deal in read_deals(connection, account=account, active=True)]
    return read_deals(connection, ids=sorted({*held, *ordered, *active}))


async def _believed(gateway: OrderGateway, deal: Deal, quote: Quote | None) -> Quote | None:
    """Return the quote if it is believed: a price far from the last one has to be said twice."""
    if quote is None or not is_sound(quote):
        return None
    position = await gateway.transact(lambda connection: _position(connection, deal.id))
    known = None if position is None else position.mark_price or position.entry_price
    if known is None or _is_near(quote.close, float(known)):
        return quote
    try:
        again = float((await gateway.venue.prices([deal.market]))[deal.market])
    except ExchangeError as error:
        _log.warning("the price %r of %s is far from %s and was not confirmed: %s", quote.close, deal.market, known, error)
        return None
    if _is_near(again, float(known)):
        _log.warning("the price %r of %s is not believed: %s before, %r now", quote.close, deal.market, known, again)
        return Quote.of_price(again, quote.at_ms)
    return quote if _is_near(again, quote.close) else None


def _is_near(price: float, known: float) -> bool:
    return abs(price - known) <= LARGEST_MOVE * known


def _position(connection: sa.Connection, deal_id: int) -> Position | None:
    return next(iter(read_positions(connection, deal_ids=[deal_id])), None)


def _write(gateway: OrderGateway, connection: sa.Connection, case: Case, step: Step) -> None:
    """Write a step down, with what has to be told of it, in one transaction."""
    at, deal, stop = gateway.clock(), case.deal, case.stop
    changes: dict[str, Any] = {}
    if step.do is Do.BEGIN:
        levels = {"level": deal.stop_loss_price, "target": deal.take_profit_price}
        changes = {**levels, "trailing_distance": deal.trailing_stop_distance, "state": StopState.GAP}
        changes["gap_deadline"] = step.until_ms
    elif step.do is Do.REOPEN:
        update_deal(connection, deal.id, at_ms=at, status=DealStatus.RUNNING, refusal=None)
        changes = {"state": StopState.EXITING}
    elif step.do is Do.RAISE:
        changes = {"level": step.level}
        if case.stop_type is not None and (stop is None or stop.state is not StopState.GAP):
            changes |= {"state": StopState.GAP, "gap_deadline": step.until_ms}
    elif step.do is Do.FALL_BACK:
        changes = {"level": step.level}
    elif step.do is Do.GAP:
        changes = {"state": StopState.GAP, "gap_deadline": step.until_ms}
    elif step.do is Do.WATCH:
        changes = {"state": StopState.NONE}
    elif step.do is Do.REST:
        changes = _rest(connection, case, step, at)
    elif step.do is Do.LEAVE:
        changes = {"state": StopState.EXITING}
    elif step.do is Do.DUST:
        book_dust(connection, deal.id, at_ms=at, by="desk")
    elif step.do is Do.END:
        update_deal(connection, deal.id, at_ms=at, status=DealStatus.STOPPED)
        tell_end(connection, deal, case.position, case.orders)
        if stop is not None and stop.state is not StopState.NONE:
            changes = {"state": StopState.NONE}
    if changes:
        version = 0 if stop is None else stop.version
        set_stop(connection, deal.id, at_ms=at, expected_version=version, **changes)
    tell_step(connection, case, step)
    crashpoint(f"protect.{step.do.value}.uncommitted")


def _rest(connection: sa.Connection, case: Case, step: Step, at_ms: int) -> dict[str, Any]:
    order, deal = step.order, case.deal
    assert order is not None
    target = next(iter(case.active(Leg.TARGET)), None)
    changes: dict[str, Any] = {
        "stop_loss_price": order.stop_price,
        "stop_loss_order_id": order.id,
        "take_profit_order_id": None if target is None else target.id,
    }
    if deal.stop_loss_price is not None and order.stop_price != deal.stop_loss_price:
        changes["status"] = DealStatus.UPDATED
    update_deal(connection, deal.id, at_ms=at_ms, **changes)
    return {"state": StopState.RESTING, "order_id": order.id}
