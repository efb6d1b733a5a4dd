"""Keep every position of an account guarded: stop and target after the entry fills, trailing, replacing, leaving, dust.

`guarding.next_step` says what a deal needs; here it is done, through the gateway, and written down before and after. A process
that dies anywhere finds the deal as the ledger says it and goes on from there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.believing import with_believed_quotes
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.guard_case import Case, Do, Step, Tries
from fks_assets.desk.guarding import next_step
from fks_assets.desk.lookup import look_at
from fks_assets.desk.placing import place
from fks_assets.desk.telling import tell_end, tell_step
from fks_assets.desk.vanished import gone_orders, prove_gone
from fks_assets.errors import Denied, ExchangeError, OrderError, StaleFence, TradingError
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import DealStatus, Leg
from fks_assets.stores.ledger.deals import Deal, read_deals, update_deal
from fks_assets.stores.ledger.order_rows import Order, read_orders
from fks_assets.stores.ledger.positions import book_dust, read_positions
from fks_assets.stores.ledger.stops import StopState, read_stops, set_stop

_log = logging.getLogger(__name__)
MOST_STEPS = 40
PAUSE_SECONDS = 2.0
NOTHING_TRIED = Tries()
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

    The prices of what is pending are asked for anew each time. Raises as `protect`.
    """
    until, rounds, quotes = gateway.clock() + int(seconds * 1000), int(seconds / PAUSE_SECONDS), dict(quotes)
    found = {each.deal.id: each for each in await protect(gateway, quotes)}
    # Rounds are counted as well: the clock may go back.
    while (pending := [each.deal for each in found.values() if each.pending]) and gateway.clock() < until and rounds > 0:
        rounds -= 1
        await pause(PAUSE_SECONDS)
        quotes |= await _prices(gateway, {deal.market for deal in pending if deal.market in quotes})
        for deal in pending:
            found[deal.id] = await protect_deal(gateway, deal, quotes.get(deal.market))
    return list(found.values())


async def _prices(gateway: OrderGateway, markets: Set[Market]) -> dict[Market, Quote]:
    """Return the prices of markets now, as the venue tells them; none when it cannot be asked."""
    try:
        prices = await gateway.venue.prices(sorted(markets, key=str)) if markets else {}
    except ExchangeError as error:
        _log.warning("no prices of %s: %s", gateway.venue.name, error)
        return {}
    return {market: Quote.of_price(float(price), gateway.clock()) for market, price in prices.items()}


async def protect(gateway: OrderGateway, quotes: Mapping[Market, Quote]) -> list[Protected]:
    """Bring every deal of the account to where it is guarded, or a step nearer; the same again changes nothing.

    A market without a quote is not trailed and its levels are not compared with a price; the rest is done. A fault of one deal
    stops no other. Raises StaleFence when another process has taken over.
    """
    cases = await gateway.transact(lambda connection: _all_cases(gateway, connection, quotes))
    return [await _protected(gateway, case) for case in await with_believed_quotes(gateway, cases)]


async def protect_deal(gateway: OrderGateway, deal: Deal, quote: Quote | None) -> Protected:
    """Do for one deal what `protect` does for all."""
    cases = await gateway.transact(lambda connection: _cases(gateway, connection, [deal.id], {deal.market: quote}))
    (case,) = await with_believed_quotes(gateway, cases)
    return await _protected(gateway, case)


async def _protected(gateway: OrderGateway, case: Case) -> Protected:
    """Do what a deal needs. Where that is nothing, what was read of all deals together is enough."""
    told: list[str] = []
    try:
        step = next_step(case)
        if step.do in _ENDS and step.do is not Do.END and step.news is None:
            return Protected(case.deal, (step.words,), step.pending)
        return await _round(gateway, case.deal, case.quote, told)
    except StaleFence:
        raise
    except TradingError as error:
        _log.warning("deal %s: %s", case.deal.id, error)
        told.append(str(error))
    except Exception as error:
        # Whatever is wrong with one deal, the others keep their stops.
        _log.exception("deal %s could not be guarded", case.deal.id)
        told.append(f"{type(error).__name__}: {error}")
    return Protected(case.deal, tuple(told), pending=True)


async def _round(gateway: OrderGateway, deal: Deal, quote: Quote | None, told: list[str]) -> Protected:
    """Do step after step, each on what is known by then, until one ends the round; what is told of them goes into `told`."""
    tries, quotes = Tries(), {deal.market: quote}
    for _ in range(MOST_STEPS):
        (case,) = await gateway.transact(
            lambda connection, tries=tries: _cases(gateway, connection, [deal.id], quotes, tries=tries)
        )
        step = next_step(case)
        told.append(step.words)
        if step.do in _ENDS:
            if step.do is Do.END or step.news is not None:
                crashpoint(f"protect.{step.do.value}")
                await gateway.transact(lambda connection, case=case, step=step: _write(gateway, connection, case, step))
            return Protected(deal, tuple(told), step.pending)
        crashpoint(f"protect.{step.do.value}")
        tries = await _perform(gateway, case, step)
    raise OrderError(f"not settled within {MOST_STEPS} steps: {'; '.join(told[-4:])}")


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


def _all_cases(gateway: OrderGateway, connection: sa.Connection, quotes: Mapping[Market, Quote]) -> list[Case]:
    """Return the deals that may need something: active ones, and any that hold coins or have an order that may execute."""
    account = gateway.account
    held = [position.deal_id for position in read_positions(connection, account=account, is_open=True) if position.quantity > 0]
    ordered = [order.deal_id for order in read_orders(connection, account=account, active=True) if order.deal_id is not None]
    active = [deal.id for deal in read_deals(connection, account=account, active=True)]
    return _cases(gateway, connection, sorted({*held, *ordered, *active}), quotes)


def _cases(
    gateway: OrderGateway,
    connection: sa.Connection,
    deal_ids: Sequence[int],
    quotes: Mapping[Market, Quote | None],
    *,
    tries: Tries = NOTHING_TRIED,
) -> list[Case]:
    positions = {each.deal_id: each for each in read_positions(connection, deal_ids=deal_ids)}
    stops = {each.deal_id: each for each in read_stops(connection, deal_ids=deal_ids)}
    orders: dict[int | None, list[Order]] = {}
    for order in read_orders(connection, deal_ids=deal_ids):
        orders.setdefault(order.deal_id, []).append(order)
    found = []
    for deal in read_deals(connection, ids=deal_ids):
        own = tuple(orders.get(deal.id, ()))
        found.append(
            Case(
                deal=deal,
                position=positions.get(deal.id),
                stop=stops.get(deal.id),
                orders=own,
                rules=gateway.rules.get(deal.market),
                features=gateway.venue.features,
                quote=quotes.get(deal.market),
                now_ms=gateway.clock(),
                epoch=gateway.fence.epoch,
                validity_ms=gateway.venue.validity_ms,
                gone=gone_orders(connection, own),
                tries=tries,
            )
        )
    return found


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
