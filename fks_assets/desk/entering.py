"""Send the entries of deals that have been decided, once each; what is too late, or refused, ends the deal with the reason."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from fks_assets.desk.decide import NewRisk
from fks_assets.desk.deciding import Obstacles
from fks_assets.desk.gateway import OrderGateway
from fks_assets.errors import Denied, ExchangeError, InvalidInput, StaleFence, in_words
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.markets import Market
from fks_assets.quant.money import EXACT, from_analytics, money_text
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.stores.ledger.accounts import read_account
from fks_assets.stores.ledger.deals import Deal, read_deals, update_deal
from fks_assets.stores.ledger.order_rows import order_events
from fks_assets.stores.ledger.orders import Order, OrderIntent, read_orders
from fks_assets.stores.ledger.stops import StopState, read_stops

_log = logging.getLogger(__name__)
# Nothing reached the venue: while the deal is fresh it is tried again, as a new order with a new id.
NEVER_SENT = frozenset({OrderStatus.DENIED, OrderStatus.ABSENT})
# The venue would have none of it.
NOT_TAKEN = frozenset({OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.EXPIRED})
MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of a deal that waited for its entry: its order if one was sent, and in words."""

    deal: Deal
    order: Order | None
    words: str


async def submit_entries(
    gateway: OrderGateway, rules: AccountRules, quotes: Mapping[Market, Quote], obstacles: Obstacles
) -> list[Entered]:
    """Send the entry of each deal of the account that has none yet, at the market; repeated calls send nothing more.

    A deal whose signal has become too old, whose price has left the band around what was decided, or that something forbids by
    now is over; `obstacles` are asked when its order is written and again right before it is sent. One that cannot be sent now,
    for want of a price or of a place within the exchange's limits, waits for the next call. Raises StaleFence when another
    process has taken over.
    """
    waiting = await gateway.transact(lambda connection: _waiting(connection, gateway.account))
    return [await _enter(gateway, rules, each, quotes.get(each.deal.market), obstacles) for each in waiting]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A deal without an entry, its tries so far (the oldest first), and whether its strategy wants to be out of it already."""

    deal: Deal
    tries: list[Order]
    is_left: bool

    @property
    def last(self) -> Order | None:
        return self.tries[-1] if self.tries else None


def _waiting(connection: sa.Connection, account: str) -> list[_Waiting]:
    deals = [deal for deal in read_deals(connection, account=account, active=True) if deal.status is DealStatus.STARTED]
    stops = {stop.deal_id: stop for stop in read_stops(connection, deal_ids=[deal.id for deal in deals])}
    found = []
    for deal in deals:
        orders = [order for order in read_orders(connection, deal_id=deal.id) if order.leg is Leg.ENTRY]
        is_left = deal.id in stops and stops[deal.id].state is StopState.EXITING
        found.append(_Waiting(deal, sorted(orders, key=lambda order: order.generation), is_left))
    return found


async def _enter(
    gateway: OrderGateway, rules: AccountRules, waiting: _Waiting, quote: Quote | None, obstacles: Obstacles
) -> Entered:
    deal, last = waiting.deal, waiting.last
    if last is not None and last.status not in NEVER_SENT:
        return await _settle(gateway, deal, last)
    fault = _fault(gateway, rules, waiting) or _off_price(rules, deal, quote)
    if fault is not None:
        return await _refuse(gateway, deal, last, fault)
    if quote is None:
        return Entered(deal, last, f"waits: {deal.market} has no price now")
    intent = OrderIntent(
        deal=deal,
        leg=Leg.ENTRY,
        side=deal.side,
        type=OrderType.MARKET,
        quantity=deal.quantity,
        reason=deal.reason,
        at_ms=gateway.clock(),
        generation=0 if last is None else last.generation + 1,
        reference_price=from_analytics(quote.close),
    )
    try:
        order = await gateway.submit(intent, consent=lambda connection: _ask_consent(connection, deal, obstacles))
    except StaleFence:
        raise
    except (Denied, InvalidInput) as error:
        return await _refuse(gateway, deal, last, str(error))
    except ExchangeError as error:
        _log.warning("the entry of deal %s waits: %s", deal.id, error)
        return Entered(deal, last, f"waits: {error}")
    if order.status in NEVER_SENT:
        return Entered(deal, order, f"waits: {order.status}")
    return await _settle(gateway, deal, order)


def _ask_consent(connection: sa.Connection, deal: Deal, obstacles: Obstacles) -> None:
    """Raise Denied with the first of what forbids the entry by now; also when that cannot be told: others are still guarded."""
    risk = NewRisk(deal.strategy, deal.market, parse_timeframe(deal.timeframe))
    try:
        found = obstacles(connection, read_account(connection, deal.account), risk)
    except Exception as error:
        raise Denied(f"it cannot be told whether {deal.strategy} may trade: {in_words(error)}") from error
    for obstacle in found:
        raise Denied(obstacle)


async def _settle(gateway: OrderGateway, deal: Deal, order: Order) -> Entered:
    """Bring the deal to where its entry is."""
    if order.status in NOT_TAKEN and not order.executed_quantity:
        why = await gateway.transact(lambda connection: _why(connection, order))
        return await _refuse(gateway, deal, order, f"{gateway.venue.name}: {why}")
    if order.status in (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN, OrderStatus.INTENT):
        return Entered(deal, order, f"waits: the entry is {order.status}")
    at = gateway.clock()
    running = await gateway.transact(lambda connection: update_deal(connection, deal.id, at_ms=at, status=DealStatus.RUNNING))
    return Entered(running, order, f"entry {order.status}: {money_text(order.executed_quantity)} of {money_text(order.quantity)}")


async def _refuse(gateway: OrderGateway, deal: Deal, order: Order | None, words: str) -> Entered:
    at = gateway.clock()
    over = await gateway.transact(lambda connection: update_deal(connection, deal.id, at_ms=at, refusal=words))
    return Entered(over, order, f"refused: {words}")


def _fault(gateway: OrderGateway, rules: AccountRules, waiting: _Waiting) -> str | None:
    """Return why a deal is not entered any more, None while it is: a signal is nobody's after so many candles (T4)."""
    if waiting.is_left:
        return "its strategy said SELL before the entry was sent"
    if len(waiting.tries) >= MOST_TRIES:
        return f"the entry did not reach {gateway.venue.name} in {MOST_TRIES} tries"
    now, step = gateway.clock(), parse_timeframe(waiting.deal.timeframe).milliseconds
    closed = waiting.deal.signal_time + step
    if now <= rules.leg_rules().signal_deadline(closed, step):
        return None
    return f"its entry comes too late: the signal is {(now - closed) / 60_000:.0f} min old"


def _off_price(rules: AccountRules, deal: Deal, quote: Quote | None) -> str | None:
    if quote is None:
        return None
    price, band = from_analytics(quote.close), rules.limits.price_band
    away = EXACT.subtract(price, deal.price).copy_abs()
    if away > EXACT.multiply(deal.price, band):
        return f"the price {money_text(price)} has left the band of {money_text(band)} around {money_text(deal.price)}"
    if deal.stop_loss_price is not None and price <= deal.stop_loss_price:
        return f"the price {money_text(price)} is at or below the stop {money_text(deal.stop_loss_price)}"
    return None


def _why(connection: sa.Connection, order: Order) -> str:
    detail = order_events(connection, order.id)[-1].detail
    return f"{order.status}: {detail.get('words') or detail.get('code') or 'no reason was given'}"
