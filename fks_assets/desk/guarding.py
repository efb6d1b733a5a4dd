"""What a deal needs next to be guarded: a pure answer to what the ledger, the market and the venue say of it.

A position is guarded when a stop of its whole quantity rests at the venue (`RESTING`), or is being put there (`GAP`, noted with
a deadline before the old one is cancelled), or it is being left (`EXITING`). Past a deadline the last level that rested is put
back; when that fails too the position is left at the market and a person is told.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.exchanges.orders.venue import Features
from fks_assets.quant.backtest.pricing import below_smallest, raised_stop
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.money import ZERO, ceil_to, floor_to, from_analytics, money_text
from fks_assets.quant.orders import Leg, OrderStatus, OrderType, Side
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.order_rows import Order
from fks_assets.stores.ledger.positions import Position
from fks_assets.stores.ledger.stops import Stop, StopState

GAP_MS = 10_000
# A stop that the price has passed executes within this time, or the position is left at the market.
TRIGGERED_MS = 60_000
GUARDS = (Leg.STOP, Leg.TARGET)
_ON_ITS_WAY = frozenset({OrderStatus.INTENT, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN})


class Do(Enum):
    """The next step. WAIT and SETTLED end a round."""

    SETTLED = "settled"
    WAIT = "wait"
    BEGIN = "begin"
    RAISE = "raise"
    GAP = "gap"
    REST = "rest"
    CANCEL = "cancel"
    REPLACE = "replace"
    PLACE = "place"
    LEAVE = "leave"
    EXIT = "exit"
    DUST = "dust"
    END = "end"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do and why. `order` is the one to cancel or replace, `level` a new stop, `urgent`: a person has to know."""

    do: Do
    words: str
    order: Order | None = None
    level: Decimal | None = None
    until_ms: int | None = None
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A deal with everything that is known of it. `failed`: why the round's last attempt to place an order came to nothing."""

    deal: Deal
    position: Position | None
    stop: Stop | None
    orders: tuple[Order, ...]
    rules: MarketRules
    features: Features
    quote: Quote | None
    now_ms: int
    failed: str | None = None

    @property
    def direction(self) -> int:
        """1 for a long position, -1 for a short one."""
        return 1 if self.deal.side is Side.BUY else -1

    @property
    def sellable(self) -> Decimal:
        """What can be ordered of what is held, in whole lots."""
        held = ZERO if self.position is None else self.position.quantity
        return floor_to(held, self.rules.lot_size or ZERO) if held > 0 else ZERO

    @property
    def price(self) -> Decimal | None:
        """The market's price now, else the last one that was noted."""
        if self.quote is not None:
            return from_analytics(self.quote.close)
        return None if self.position is None else self.position.mark_price or self.position.entry_price

    @property
    def level(self) -> Decimal | None:
        """The stop's level as the venue can have it: on the tick, the nearer one."""
        if self.stop is None or self.stop.level is None:
            return None
        tick = self.rules.tick_size or ZERO
        return ceil_to(self.stop.level, tick) if self.direction > 0 else floor_to(self.stop.level, tick)

    @property
    def stop_type(self) -> OrderType | None:
        """How a stop can rest at the venue; None: the desk itself has to watch the price."""
        if self.features.stop_market:
            return OrderType.STOP_MARKET
        return OrderType.STOP_LIMIT if self.features.stop_limit else None

    @property
    def pairs(self) -> bool:
        """Whether stop and target go out as one pair."""
        return self.features.oco and self.stop_type is not None and self.stop is not None and self.stop.target is not None

    def active(self, *legs: Leg) -> list[Order]:
        """Return the orders of these legs that may still execute, the oldest first."""
        return [order for order in self.orders if order.active and order.leg in legs]

    def generation(self, leg: Leg) -> int:
        """Return the number of the next try of a leg."""
        return max((order.generation + 1 for order in self.orders if order.leg is leg), default=0)


def next_step(case: Case) -> Step:
    """Return what the deal needs next. Every step changes what the next call sees, or ends the round."""
    entry = case.active(Leg.ENTRY)
    exiting = case.stop is not None and case.stop.state is StopState.EXITING
    position = case.position
    if position is None:
        if exiting and entry:
            return _cancel(entry[0], "it is left before its entry was filled")
        ended = exiting and not entry and any(order.leg is Leg.ENTRY for order in case.orders)
        return Step(Do.END, "left before it was entered") if ended else Step(Do.WAIT, "it waits for its entry")
    if not position.is_open and not entry:
        left = case.active(*GUARDS, Leg.EXIT)
        return _cancel(left[0], "the position is closed") if left else Step(Do.END, "closed")
    if _is_dust(case) and not entry:
        left = case.active(*GUARDS, Leg.EXIT)
        if left:
            return _cancel(left[0], "what is left is too little to sell")
        return Step(Do.DUST, f"{money_text(position.quantity)} {position.market.base} are too little to sell")
    if case.stop is None:
        return Step(Do.BEGIN, "filled", until_ms=case.now_ms + GAP_MS)
    if exiting:
        return _leave(case, entry)
    return _by_price(case) or _at_the_venue(case)


def _leave(case: Case, entry: list[Order]) -> Step:
    for order in (*entry, *case.active(*GUARDS)):
        return _cancel(order, "the position is left")
    if case.active(Leg.EXIT):
        return Step(Do.WAIT, "its exit is on its way")
    if case.failed:
        return Step(Do.WAIT, case.failed)
    if not case.sellable:
        return Step(Do.WAIT, "nothing is held yet")
    return Step(Do.EXIT, "left at the market")


def _by_price(case: Case) -> Step | None:
    """Return what the price asks for: a higher stop, or leaving where no order at the venue will do it."""
    stop, quote = case.stop, case.quote
    if stop is None or quote is None:
        return None
    price, side = from_analytics(quote.close), case.direction
    raised = _raised(case, quote)
    if raised is not None:
        return Step(Do.RAISE, f"the price has been at {quote.high if side > 0 else quote.low:g}", level=raised)
    if stop.target is not None and not case.active(Leg.TARGET) and side * (price - stop.target) >= 0:
        return Step(Do.LEAVE, f"the target {money_text(stop.target)} is reached at {money_text(price)}")
    level = case.level
    if level is not None and side * (price - level) <= 0 and not case.active(Leg.STOP):
        return Step(Do.LEAVE, f"the stop {money_text(level)} is passed at {money_text(price)}", urgent=True)
    return None


def _at_the_venue(case: Case) -> Step:
    """Return what it takes until the right stop rests at the venue."""
    stop, level = case.stop, case.level
    assert stop is not None
    stops = case.active(Leg.STOP)
    if level is None or case.stop_type is None:
        return Step(Do.SETTLED, "the desk watches the price")
    overdue = stop.state is StopState.GAP and stop.gap_deadline is not None and case.now_ms > stop.gap_deadline
    right = [order for order in stops if order.stop_price == level and order.remaining_quantity == case.sellable]
    if right and len(stops) == 1:
        return _resting(case, right[0], overdue)
    if not stops:
        targets = case.active(Leg.TARGET)
        if targets:
            return _cancel(targets[0], "its stop is gone")
        if case.failed:
            return _fallen_back(case, overdue)
        return Step(Do.PLACE, f"a stop at {money_text(level)}")
    if any(order.status in _ON_ITS_WAY for order in stops):
        if overdue:
            return Step(Do.LEAVE, "nobody knows what became of the stop", urgent=True)
        return Step(Do.WAIT, f"the stop is {stops[0].status}")
    if stop.state is not StopState.GAP:
        return Step(Do.GAP, "the stop is replaced", until_ms=case.now_ms + GAP_MS)
    if case.features.replace and not case.pairs and len(stops) == 1 and not case.failed:
        return Step(Do.REPLACE, f"a stop at {money_text(level)}", order=stops[0])
    return _cancel(stops[0], "the stop is replaced")


def _resting(case: Case, order: Order, overdue: bool) -> Step:
    stop, level, price = case.stop, case.level, case.price
    assert stop is not None and level is not None
    if order.status in _ON_ITS_WAY:
        if overdue:
            return Step(Do.LEAVE, "nobody knows what became of the stop", urgent=True)
        return Step(Do.WAIT, f"the stop is {order.status}")
    passed = case.quote is not None and price is not None and case.direction * (price - level) <= 0
    if passed and overdue:
        return Step(Do.LEAVE, f"the price has passed the stop {money_text(level)} and it did not execute", urgent=True)
    if passed and stop.state is not StopState.GAP:
        return Step(Do.GAP, "the price has passed the stop", until_ms=case.now_ms + TRIGGERED_MS)
    if not passed and (stop.state is not StopState.RESTING or stop.order_id != order.id):
        return Step(Do.REST, f"rests at {money_text(level)}", order=order)
    return Step(Do.SETTLED, f"guarded at {money_text(level)}")


def _fallen_back(case: Case, overdue: bool) -> Step:
    """Return what follows when no stop could be placed: try again, then the last level that rested, then leave."""
    stop, before = case.stop, case.deal.stop_loss_price
    assert stop is not None and case.failed is not None
    if not overdue:
        return Step(Do.WAIT, case.failed)
    if before is not None and stop.level is not None and case.direction * (stop.level - before) > 0:
        return Step(Do.RAISE, f"back to the last level: {case.failed}", level=before)
    return Step(Do.LEAVE, f"no stop can be placed: {case.failed}", urgent=True)


def _raised(case: Case, quote: Quote) -> Decimal | None:
    """Return a trailing stop that is nearer than the one there is, None where nothing moves."""
    stop = case.stop
    if stop is None or stop.trailing_distance is None or case.rules.tick_size is None:
        return None
    level = float("nan") if stop.level is None else float(stop.level)
    tick, parts = case.rules.tick_size.as_integer_ratio()
    best = quote.high if case.direction > 0 else quote.low
    found = raised_stop(case.direction, level, best, float(stop.trailing_distance), float(tick), float(parts))
    if found != found or found == level:
        return None
    return (
        ceil_to(from_analytics(found), case.rules.tick_size)
        if case.direction > 0
        else floor_to(from_analytics(found), case.rules.tick_size)
    )


def _is_dust(case: Case) -> bool:
    """Return whether something is held that the market takes no order for."""
    if case.position is None or case.position.quantity <= 0:
        return False
    least, notional = (float(each or 0) for each in (case.rules.min_quantity, case.rules.min_notional))
    price = case.price
    return below_smallest(float(case.sellable), float(price) if price is not None else float("inf"), least, notional)


def _cancel(order: Order, words: str) -> Step:
    return Step(Do.CANCEL, words, order=order)
