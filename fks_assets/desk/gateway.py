"""The order gateway: the only way from the desk to a venue. Every order is written down before it is sent, and sent once.

1. The intent is committed, under an id that follows from the deal, the leg and the try. 2. SUBMITTING is committed, with the
fence of the process that may trade. 3. One request is sent. 4. Its outcome is accepted, rejected, denied or unknown. 5. That is
committed, with the fills. An order that was on its way when the process died, or whose answer was lost, is looked for
(`desk/lookup.py`) and never sent again: a new try is a new generation, with a new id.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from fks_assets.clock import now_ms
from fks_assets.crashpoints import crashpoint
from fks_assets.desk.lookup import look_at
from fks_assets.desk.quantise import Wanted, quantise
from fks_assets.desk.session import TradingSession
from fks_assets.desk.settling import settle_outcome, venue_order
from fks_assets.errors import Denied, ExchangeError, IllegalTransition, InvalidInput
from fks_assets.exchanges.orders.venue import Accepted, Canceled, NotOpen, Outcome, Permit, Venue
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, OrderStatus, OrderType
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.fences import Fence
from fks_assets.stores.ledger.order_rows import add_event
from fks_assets.stores.ledger.orders import (
    Order,
    OrderIntent,
    OrderLimits,
    find_order,
    read_order,
    read_orders,
    transition,
    write_intent,
)

_log = logging.getLogger(__name__)
# Raises Denied, in the caller's transaction, for what may not be entered any more.
Consent = Callable[[sa.Connection], None]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Orders after steps 1 and 2. `is_ours`: this call has made them SUBMITTING, and so sends them; nobody else does."""

    orders: list[Order]
    is_ours: bool


class OrderGateway(TradingSession):
    """Sends the orders of one account to its venue. Usable from one event loop.

    Nothing is sent before `reconcile` has passed under this gateway's fence. Halts and limits stop entries; stops, targets,
    exits and cancels pass.
    """

    def __init__(
        self,
        database: Database,
        venue: Venue,
        account: str,
        fence: Fence,
        limits: OrderLimits,
        rules: Mapping[Market, MarketRules],
        *,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        super().__init__(database, venue, account, fence, rules, clock=clock)
        self._limits = limits

    async def submit(self, intent: OrderIntent, *, consent: Consent | None = None) -> Order:
        """Send the order of an intent, once and for ever, and return it as it stands then; a repeated call sends nothing.

        `consent` is asked when the intent is written and once more right before it is sent. Raises Denied or StaleFence when the
        desk itself refuses, NotSent or RateLimited when nothing can be sent now; there is then no order, or one that is DENIED.
        """
        crashpoint("submit.begin")
        known = await self._known([intent])
        if known is not None:
            return known[0]
        permit = await self._permit([intent])
        prepared = await self._prepared("submit", [intent], consent)
        (order,) = prepared.orders
        if prepared.is_ours:
            outcome = await self.venue.place(venue_order(order), permit)
            crashpoint("submit.answered")
            (order,) = await self._settled("submit", [(order, outcome)])
        return order

    async def submit_pair(self, stop: OrderIntent, target: OrderIntent) -> tuple[Order, Order]:
        """Send stop and target as one order of which only one can execute. Raises as `submit`."""
        if not self.venue.features.oco:
            raise Denied(f"{self.venue.name} takes no pairs of stop and target")
        crashpoint("pair.begin")
        known = await self._known([stop, target])
        if known is not None:
            return known[0], known[1]
        permit = await self._permit([stop, target])
        prepared = await self._prepared("pair", [stop, target])
        orders = prepared.orders
        if prepared.is_ours:
            outcome = await self.venue.place_oco(venue_order(orders[0]), venue_order(orders[1]), permit)
            crashpoint("pair.answered")
            outcomes = [(orders[0], outcome.stop), (orders[1], outcome.target)]
            orders = await self._settled("pair", outcomes, outcome.list_id)
        return orders[0], orders[1]

    async def replace(self, old: Order, intent: OrderIntent) -> tuple[Order, Order]:
        """Put a new order into the place of an open one in one call; return the old one and the new one.

        The old order may be gone and the new one refused: look at both. Raises as `submit`, Denied where a venue cannot replace.
        """
        if not self.venue.features.replace:
            raise Denied(f"{self.venue.name} cannot replace an order in one call")
        if (old.account, old.market) != (intent.deal.account, intent.deal.market):
            raise InvalidInput(f"order {old.id} in {old.market} cannot be replaced by one in {intent.deal.market}")
        crashpoint("replace.begin")
        intent = replace(intent, replaces=old.id)
        known = await self._known([intent])
        if known is not None:
            return await self._look(old), known[0]
        permit = await self._permit([intent])
        prepared = await self._prepared("replace", [intent])
        (order,) = prepared.orders
        if prepared.is_ours:
            outcome = await self.venue.replace(old.client_order_id, venue_order(order), permit)
            crashpoint("replace.answered")
            (order,) = await self._settled("replace", [(order, outcome.placed)])
        return await self._look(old), order

    async def cancel(self, order_id: int) -> Order:
        """Cancel an order and return it as it stands then, with all that it had executed.

        It is still active if the venue could not be asked, or has not said so yet: ask again. May be repeated; no halt and no
        limit stops it.
        """
        crashpoint("cancel.begin")
        order = await self.transact(lambda connection: self._note_cancel(connection, order_id))
        crashpoint("cancel.noted")
        if not order.active:
            return order
        await self.venue.ready(urgent=True)
        outcome = await self.venue.cancel(order.market, order.client_order_id, order.exchange_order_id)
        crashpoint("cancel.answered")
        words = "done" if isinstance(outcome, Canceled) else "not open" if isinstance(outcome, NotOpen) else str(outcome)
        await self.transact(lambda connection: self._note(connection, order_id, {"cancel": words}))
        order = await self._look(order)
        crashpoint("cancel.settled")
        return order

    async def _known(self, intents: Sequence[OrderIntent]) -> list[Order] | None:
        """Return the orders of the intents if they have gone beyond an intent already: they are not sent again."""

        def read(connection: sa.Connection) -> list[Order] | None:
            found = [find_order(connection, client_order_id=intent.client_order_id) for intent in intents]
            orders = [order for order in found if order is not None and order.status is not OrderStatus.INTENT]
            return orders if len(orders) == len(intents) else None

        return await self.transact(read)

    async def _permit(self, intents: Sequence[OrderIntent]) -> Permit:
        for intent in intents:
            if not self.venue.features.takes(intent.type):
                raise Denied(f"{self.venue.name} has no {intent.type} orders: the desk itself has to guard {intent.deal.market}")
        permit = await self.venue.ready(urgent=all(intent.leg is not Leg.ENTRY for intent in intents))
        crashpoint("submit.permitted")
        return permit

    async def _prepared(self, name: str, intents: Sequence[OrderIntent], consent: Consent | None = None) -> _Prepared:
        """Do steps 1 and 2."""
        fitting = [self._fit(intent) for intent in intents]
        orders = await self.transact(lambda connection: self._write(connection, name, fitting, consent))
        crashpoint(f"{name}.intent")
        try:
            orders = await self.transact(lambda connection: self._submitting(connection, name, orders, consent))
        except IllegalTransition:
            # Somebody else has sent one of them, or is about to.
            ids = [order.id for order in orders]
            return _Prepared(await self.transact(lambda connection: read_orders(connection, ids=ids)), is_ours=False)
        crashpoint(f"{name}.submitting")
        # A process that was stopped right here for a while finds that another one has taken over.
        await self.transact(lambda connection: fences.check(connection, self.fence))
        crashpoint(f"{name}.fenced")
        return _Prepared(orders, is_ours=True)

    def _write(
        self, connection: sa.Connection, name: str, intents: Sequence[OrderIntent], consent: Consent | None = None
    ) -> list[Order]:
        self.require_reconciled(connection)
        if consent is not None:
            consent(connection)
        orders = [write_intent(connection, intent, fence=self.fence, limits=self._limits) for intent in intents]
        crashpoint(f"{name}.intent.uncommitted")
        return orders

    def _submitting(self, connection: sa.Connection, name: str, orders: Sequence[Order], consent: Consent | None) -> list[Order]:
        at = self.clock()
        if consent is not None:
            consent(connection)
        changed = [transition(connection, order.id, OrderStatus.SUBMITTING, at_ms=at, fence=self.fence) for order in orders]
        crashpoint(f"{name}.submitting.uncommitted")
        return changed

    async def _settled(self, name: str, outcomes: Sequence[tuple[Order, Outcome]], list_id: str = "") -> list[Order]:
        """Do step 5, and ask for the fills that the answer did not tell."""

        def settle(connection: sa.Connection) -> list[Order]:
            at = self.clock()
            settled = [settle_outcome(connection, order, outcome, at_ms=at, list_id=list_id) for order, outcome in outcomes]
            crashpoint(f"{name}.settled.uncommitted")
            return settled

        orders = await self.transact(settle)
        crashpoint(f"{name}.settled")
        told = zip(orders, (outcome for _, outcome in outcomes), strict=True)
        return [await self._look(order) if _is_unfinished(order, outcome) else order for order, outcome in told]

    async def _look(self, order: Order) -> Order:
        """Return the order as it stands after a look at the venue, or as it stood if the venue could not be asked."""
        try:
            return await look_at(self, order)
        except ExchangeError as error:
            _log.warning("order %s was not looked at, the next comparison will: %s", order.client_order_id, error)
            return await self.transact(lambda connection: read_order(connection, order.id))

    def _fit(self, intent: OrderIntent) -> OrderIntent:
        """Return the intent on the lot and tick of its market, never for more than it asks."""
        rules = self.rules.get(intent.deal.market)
        if rules is None:
            raise Denied(f"the trading rules of {intent.deal.market} are not known")
        wanted = Wanted(intent.side, intent.type, intent.quantity, intent.price, intent.stop_price)
        fitting = quantise(rules, wanted, last_price=intent.reference_price)
        return replace(intent, quantity=fitting.quantity, price=fitting.price, stop_price=fitting.stop_price)

    def _note_cancel(self, connection: sa.Connection, order_id: int) -> Order:
        fences.check(connection, self.fence)
        order = read_order(connection, order_id)
        if order.status is OrderStatus.INTENT:
            return transition(
                connection, order_id, OrderStatus.DENIED, at_ms=self.clock(), detail={"words": "cancelled before it was sent"}
            )
        if order.active:
            add_event(connection, order_id, order.status, order.status, self.clock(), {"cancel": "asked"})
        return order

    def _note(self, connection: sa.Connection, order_id: int, detail: Mapping[str, str]) -> None:
        order = read_order(connection, order_id)
        add_event(connection, order_id, order.status, order.status, self.clock(), detail)


def _is_unfinished(order: Order, outcome: Outcome) -> bool:
    """Return whether the answer told less than the venue knows by now: an end, fills, or a market order without them."""
    if not isinstance(outcome, Accepted) or not order.active:
        return False
    return outcome.status is not OrderStatus.OPEN or order.type is OrderType.MARKET
