"""Keep every position of an account guarded: stop and target after the entry fills, trailing, replacing, leaving, dust.

`guarding.next_step` says what a deal needs; here it is done, through the gateway, and written down before and after. A process
that dies anywhere finds the deal as the ledger says it and goes on from there.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.guarding import GAP_MS, Case, Do, Step, next_step
from fks_assets.errors import Denied, ExchangeError, InvalidInput, StaleFence, StoreError
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.money import EXACT, money_text
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType
from fks_assets.stores.ledger.deals import Deal, read_deal, read_deals, update_deal
from fks_assets.stores.ledger.order_rows import Order, order_events, read_orders
from fks_assets.stores.ledger.orders import OrderIntent
from fks_assets.stores.ledger.positions import book_dust, read_positions
from fks_assets.stores.ledger.stops import StopState, read_stops, set_stop
from fks_assets.stores.notifications import notify

_log = logging.getLogger(__name__)
MOST_STEPS = 30
# Of a stop that can only rest as a limit order: how far its limit lies behind the trigger.
LIMIT_BEHIND = "0.01"


@dataclass(frozen=True, slots=True)
class Protected:
    """What was done for a deal in one round, in words, the last one saying how it stands."""

    deal: Deal
    words: tuple[str, ...]


async def protect(gateway: OrderGateway, quotes: Mapping[Market, Quote]) -> list[Protected]:
    """Bring every active deal of the account to where it is guarded, or a step nearer; the same again changes nothing.

    A market without a quote is not trailed and its levels are not compared with a price; the rest is done. A fault of one deal
    stops no other. Raises StaleFence when another process has taken over.
    """
    deals = await gateway.transact(lambda connection: read_deals(connection, account=gateway.account, active=True))
    return [await protect_deal(gateway, deal, quotes.get(deal.market)) for deal in deals]


async def protect_deal(gateway: OrderGateway, deal: Deal, quote: Quote | None) -> Protected:
    """Do for one deal what `protect` does for all."""
    told: list[str] = []
    failed: str | None = None
    try:
        for _ in range(MOST_STEPS):
            case = await gateway.transact(lambda connection: _case(gateway, connection, deal.id, quote))
            if not case.deal.is_active:
                break
            step = next_step(replace(case, failed=failed))
            told.append(step.words)
            if step.do in (Do.WAIT, Do.SETTLED):
                break
            crashpoint(f"protect.{step.do.value}")
            failed = await _perform(gateway, case, step) or (failed if step.do is Do.CANCEL else None)
        else:
            told.append(f"it has not settled within {MOST_STEPS} steps")
    except StaleFence:
        raise
    except (Denied, InvalidInput, ExchangeError, StoreError) as error:
        _log.warning("deal %s: %s", deal.id, error)
        told.append(str(error))
    return Protected(deal, tuple(told))


async def _perform(gateway: OrderGateway, case: Case, step: Step) -> str | None:
    """Do a step; return why a guard or an exit could not be placed, None where all went well."""
    if step.do is Do.CANCEL:
        assert step.order is not None
        order = await gateway.cancel(step.order.id)
        if order.active:
            raise Denied(f"the {order.leg} order {order.client_order_id} is still open: it is cancelled in the next round")
        return None
    if step.do in (Do.PLACE, Do.REPLACE, Do.EXIT):
        return await _place(gateway, case, step)
    await gateway.transact(lambda connection: _write(gateway, connection, case, step))
    crashpoint(f"protect.{step.do.value}.written")
    return None


async def _place(gateway: OrderGateway, case: Case, step: Step) -> str | None:
    try:
        if step.do is Do.EXIT:
            placed = [await gateway.submit(_intent(gateway, case, Leg.EXIT, OrderType.MARKET, step.words))]
        elif step.do is Do.REPLACE:
            assert step.order is not None
            _, new = await gateway.replace(step.order, _stop_intent(gateway, case, step))
            placed = [new]
        elif case.pairs:
            placed = list(await gateway.submit_pair(_stop_intent(gateway, case, step), _target_intent(gateway, case)))
        else:
            placed = [await gateway.submit(_stop_intent(gateway, case, step))]
    except StaleFence:
        raise
    except (Denied, InvalidInput, ExchangeError) as error:
        return str(error)
    crashpoint("protect.placed")
    for order in placed:
        if not order.active and order.status is not OrderStatus.FILLED:
            return await gateway.transact(lambda connection, order=order: _why(connection, order))
    return None


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
        part = EXACT.multiply(level, EXACT.create_decimal(LIMIT_BEHIND))
        intent = replace(intent, price=EXACT.subtract(level, part) if case.direction > 0 else EXACT.add(level, part))
    return intent


def _target_intent(gateway: OrderGateway, case: Case) -> OrderIntent:
    assert case.stop is not None
    return replace(_intent(gateway, case, Leg.TARGET, OrderType.LIMIT, "target"), price=case.stop.target)


def _case(gateway: OrderGateway, connection: sa.Connection, deal_id: int, quote: Quote | None) -> Case:
    deal = read_deal(connection, deal_id)
    rules = gateway.rules.get(deal.market)
    if rules is None:
        raise Denied(f"the trading rules of {deal.market} are not known")
    return Case(
        deal=deal,
        position=next(iter(read_positions(connection, deal_ids=[deal_id])), None),
        stop=next(iter(read_stops(connection, deal_ids=[deal_id])), None),
        orders=tuple(read_orders(connection, deal_id=deal_id)),
        rules=rules,
        features=gateway.venue.features,
        quote=quote,
        now_ms=gateway.clock(),
    )


def _write(gateway: OrderGateway, connection: sa.Connection, case: Case, step: Step) -> None:
    """Write a step down, with what has to be told of it, in one transaction."""
    at, deal = gateway.clock(), case.deal
    version = 0 if case.stop is None else case.stop.version

    def set_state(**changes: object) -> None:
        set_stop(connection, deal.id, at_ms=at, expected_version=version, **changes)

    if step.do is Do.BEGIN:
        set_state(
            level=deal.stop_loss_price,
            target=deal.take_profit_price,
            trailing_distance=deal.trailing_stop_distance,
            state=StopState.GAP,
            gap_deadline=step.until_ms,
        )
    elif step.do is Do.RAISE:
        set_state(level=step.level, state=StopState.GAP, gap_deadline=at + GAP_MS)
    elif step.do is Do.GAP:
        set_state(state=StopState.GAP, gap_deadline=step.until_ms)
    elif step.do is Do.REST:
        _rest(connection, case, step, set_state, at)
    elif step.do is Do.LEAVE:
        set_state(state=StopState.EXITING)
    elif step.do is Do.DUST:
        book_dust(connection, deal.id, at_ms=at, by="desk")
    elif step.do is Do.END:
        _end(connection, case, at)
    if step.urgent:
        version_told = f"{deal.id}:{version}"
        words = f"{deal.market}, {deal.account}, {deal.strategy}: {step.words}; the position is left at the market."
        notify(connection, "stop", "URGENT", f"🛑 {words}", f"stop_gap:{version_told}")


def _rest(connection: sa.Connection, case: Case, step: Step, set_state: object, at_ms: int) -> None:
    assert step.order is not None and case.stop is not None and callable(set_state)
    set_state(state=StopState.RESTING, order_id=step.order.id)
    target = next(iter(case.active(Leg.TARGET)), None)
    moved = case.deal.stop_loss_price is not None and step.order.stop_price != case.deal.stop_loss_price
    update_deal(
        connection,
        case.deal.id,
        at_ms=at_ms,
        stop_loss_price=step.order.stop_price,
        stop_loss_order_id=step.order.id,
        take_profit_order_id=None if target is None else target.id,
        **({"status": DealStatus.UPDATED} if moved else {}),
    )


def _end(connection: sa.Connection, case: Case, at_ms: int) -> None:
    """End a deal, and tell of a stop that was executed."""
    deal, position = case.deal, case.position
    if case.stop is not None and case.stop.state is not StopState.NONE:
        set_stop(connection, deal.id, at_ms=at_ms, state=StopState.NONE)
    update_deal(connection, deal.id, at_ms=at_ms, status=DealStatus.STOPPED)
    stopped = next((order for order in case.orders if order.leg is Leg.STOP and order.executed_quantity), None)
    if stopped is not None and position is not None:
        price, pnl = position.exit_price, position.pnl
        words = (
            f"🛑 STOP LOSS TRIGGERED! {deal.market}, {deal.account}, {deal.strategy}: the stop "
            f"{money_text(stopped.stop_price) if stopped.stop_price else ''} sold {money_text(stopped.executed_quantity)} "
            f"at {price:.10g}; profit {money_text(pnl) if pnl is not None else 'unknown'} {deal.market.quote}."
        )
        notify(connection, "stop", "URGENT", words, f"stopped:{deal.id}")


def _why(connection: sa.Connection, order: Order) -> str:
    detail = order_events(connection, order.id)[-1].detail
    return f"the {order.leg} order is {order.status}: {detail.get('words') or detail.get('code') or 'no reason was given'}"
