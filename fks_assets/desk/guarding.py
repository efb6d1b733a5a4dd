"""What a deal needs next to be guarded: a pure answer to what the ledger, the market and the venue say of it.

A position is guarded when a stop of its whole quantity rests at the venue (`RESTING`), or is being put there (`GAP`, noted with
a deadline before the old one is cancelled), or it is being left (`EXITING`). What is refused is tried without the target, then at
the last level that rested; when that fails too and the deadline is over, the position is left at the market and a person is told.
An order of which nobody knows what became is first found, or proven to be nowhere: nothing is ordered twice.
"""

from dataclasses import replace
from decimal import Decimal

from fks_assets.desk.guard_case import DOUBTFUL, GUARDS, LONGEST_GAP_MS, Case, Do, News, Step
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.backtest.pricing import raised_stop
from fks_assets.quant.money import from_analytics, money_text
from fks_assets.quant.orders import Leg, OrderStatus, Side
from fks_assets.quant.stops import HELD, STOPPED, evaluate_candle
from fks_assets.stores.ledger.order_rows import Order
from fks_assets.stores.ledger.stops import StopState

GAP_MS = 10_000
# A stop that the price has passed executes within this time, or the position is left at the market.
TRIGGERED_MS = LONGEST_GAP_MS
# After a stop was refused, it is not raised again for this time.
REFUSED_MS = 60_000
# After an exit was refused it is tried again after this time, and after twice as long each time that follows.
EXIT_AGAIN_MS, EXIT_AGAIN_MOST_MS = 5_000, 60_000


def next_step(case: Case) -> Step:
    """Return what the deal needs next. Every step changes what the next call sees, or ends the round."""
    if case.position is None:
        return _not_entered(case)
    if case.held <= 0:
        return _over(case)
    if not case.deal.is_active:
        return Step(Do.REOPEN, "it was executed after its end: what is held is left", news=News.LATE)
    if case.is_dust:
        return _dust(case)
    if case.stop is None:
        return Step(Do.BEGIN, "filled", until_ms=case.now_ms + GAP_MS)
    if not case.can_trade:
        return _closed_market(case)
    if case.is_exiting:
        return _leave(case)
    return _executing(case) or _by_price(case) or _at_the_venue(case)


def _not_entered(case: Case) -> Step:
    entry = case.active(Leg.ENTRY)
    if not case.is_exiting or not case.deal.is_active:
        return Step(Do.WAIT, "it waits for its entry")
    if entry:
        return _cancel(case, entry[0], "it is left before its entry was filled")
    if any(order.leg is Leg.ENTRY for order in case.orders):
        return Step(Do.END, "left before it was entered")
    return Step(Do.WAIT, "it is left before its entry was sent")


def _over(case: Case) -> Step:
    for order in case.active(Leg.ENTRY, *GUARDS, Leg.EXIT):
        return _cancel(case, order, "the position is closed")
    if case.held < 0:
        words = f"{money_text(case.held.copy_negate())} {case.deal.market.base} more were sold than were held"
        return Step(Do.END, words, news=News.OVERSOLD)
    return Step(Do.END, "closed")


def _closed_market(case: Case) -> Step:
    """Leave what rests where it is: nothing could be put into its place."""
    found = "are not known" if case.rules is None else f"say that it is {case.rules.status}"
    words = f"the trading rules of {case.deal.market} {found}"
    if case.active(*GUARDS):
        return Step(Do.WAIT, f"{words}: what rests there stays")
    return Step(Do.WAIT, words, news=News.STUCK)


def _dust(case: Case) -> Step:
    entry, guards = case.active(Leg.ENTRY), case.active(*GUARDS)
    if entry and not case.is_exiting:
        return Step(Do.WAIT, "too little is held so far to be guarded")
    if entry:
        return _cancel(case, entry[0], "the position is left")
    stops = [order for order in guards if order.leg is Leg.STOP and order.remaining_quantity == case.sellable]
    if stops and not case.is_exiting:
        # The venue took it when it was worth more, and executes it still.
        return _resting(case, stops[0])
    for order in (*guards, *case.active(Leg.EXIT)):
        return _cancel(case, order, "what is left is too little to sell")
    return Step(Do.DUST, f"{money_text(case.held)} {case.deal.market.base} are too little to sell")


def _leave(case: Case) -> Step:
    """Return what it takes to be out: whatever else could execute is cancelled first, then what is held by then is sold."""
    for order in (*case.active(Leg.ENTRY), *case.active(*GUARDS)):
        return _cancel(case, order, "the position is left")
    for order in case.active(Leg.EXIT):
        if order.status in DOUBTFUL:
            return _doubt(case, order)
        if order.id not in case.tries.asked:
            return Step(Do.LOOK, "its exit is on its way", order=order)
        return _wait(case, "its exit is on its way")
    if case.tries.failed is not None:
        return _wait(case, case.tries.failed)
    refused = [order for order in case.orders if order.leg is Leg.EXIT and order.status is OrderStatus.REJECTED]
    if refused:
        pause = min(EXIT_AGAIN_MS * 2 ** min(len(refused) - 1, 10), EXIT_AGAIN_MOST_MS)
        if case.is_since(refused[-1].updated_at, pause):
            return _wait(case, f"its exit was refused {len(refused)} times, it is tried again soon")
    return Step(Do.EXIT, "left at the market")


def _executing(case: Case) -> Step | None:
    """Return what a stop asks for that has executed in part: nothing else may come of it any more."""
    if not any(order.leg is Leg.STOP and order.executed_quantity for order in case.orders):
        return None
    stops = case.active(Leg.STOP)
    if not stops:
        return Step(Do.LEAVE, "the stop was executed only in part", news=News.STOPPED)
    for order in case.active(Leg.ENTRY):
        return _cancel(case, order, "its stop is executing")
    return _resting(case, stops[0])


def _by_price(case: Case) -> Step | None:
    """Return what the price asks for: leaving where no order at the venue will do it, or a nearer stop."""
    stop, quote, price = case.stop, case.seen, case.price_now
    if stop is None or quote is None or price is None:
        return None
    stops, level = case.active(Leg.STOP), case.level
    watched = None if stops else level
    target = None if case.active(Leg.TARGET) else stop.target
    levels = [float("nan") if each is None else float(each) for each in (watched, target)]
    event, _, _ = evaluate_candle(case.direction, *(quote.close,) * 4, levels[0], *levels, False)
    if event == STOPPED:
        return Step(Do.LEAVE, f"the stop {_text(level)} is passed at {money_text(price)}", news=News.STOPPED)
    if event != HELD:
        return Step(Do.LEAVE, f"the target {_text(stop.target)} is reached at {money_text(price)}", news=News.REACHED)
    raised = _raised(case, quote)
    if raised is None:
        return None
    best = quote.high if case.direction > 0 else quote.low
    if case.is_beyond(raised):
        words = f"the price has been at {best:.10g}, and has passed the stop {money_text(raised)} since"
        return Step(Do.LEAVE, words, news=News.STOPPED)
    return Step(Do.RAISE, f"the price has been at {best:.10g}", level=raised, until_ms=case.now_ms + GAP_MS)


def _at_the_venue(case: Case) -> Step:
    """Return what it takes until the right stop rests at the venue."""
    stop, level = case.stop, case.level
    assert stop is not None
    if level is None or case.stop_type is None:
        watched = stop.state is StopState.NONE
        return Step(Do.SETTLED if watched else Do.WATCH, "the desk watches the price")
    stops = case.active(Leg.STOP)
    right = [order for order in stops if order.stop_price == level and order.remaining_quantity == case.sellable][:1]
    wrong = [order for order in stops if order not in right]
    if right and not wrong:
        return _resting(case, right[0])
    for order in stops:
        if order.status in DOUBTFUL:
            return _doubt(case, order)
    if stop.state is not StopState.GAP:
        words = "the stop is replaced" if stops else "no stop rests"
        return Step(Do.GAP, words, until_ms=case.now_ms + GAP_MS)
    if not stops:
        for order in case.active(Leg.TARGET):
            return _cancel(case, order, "its stop is gone")
        return _place(case)
    return _replace(case, wrong[0], is_alone=len(stops) == 1)


def _replace(case: Case, old: Order, *, is_alone: bool) -> Step:
    """Return what takes an old stop away, in one call with the new one where the venue can; the gap is noted."""
    level, is_refused = case.level, (case.level, False) in case.tries.placed
    if old.stop_price == _before(case) != level and (case.is_overdue or is_refused):
        return Step(Do.FALL_BACK, f"the stop {_text(old.stop_price)} stays", level=old.stop_price)
    if is_refused and case.is_overdue and not case.tries.unreachable:
        return Step(Do.LEAVE, f"no stop can be placed: {case.tries.failed}", news=News.UNGUARDED)
    if is_refused:
        return _wait(case, case.tries.failed or "")
    if case.features.replace and is_alone and old.list_id is None:
        return Step(Do.REPLACE, f"a stop at {_text(level)}", order=old)
    return _cancel(case, old, "the stop is replaced")


def _resting(case: Case, order: Order) -> Step:
    """Return what the one stop at the venue needs."""
    stop = case.stop
    assert stop is not None
    if order.status in DOUBTFUL:
        return _doubt(case, order)
    words = f"at {_text(order.stop_price)}"
    is_passed = order.stop_price is not None and case.is_beyond(order.stop_price)
    if is_passed or order.executed_quantity:
        if stop.state is not StopState.GAP:
            return Step(Do.GAP, f"the price is beyond the stop {words}", until_ms=case.now_ms + TRIGGERED_MS)
        if order.id not in case.tries.asked:
            return Step(Do.LOOK, f"the stop {words} is executing", order=order)
        if case.is_overdue:
            return Step(Do.LEAVE, f"the stop {words} was passed and did not execute", news=News.UNGUARDED)
        return Step(Do.WAIT, f"the stop {words} is executing", pending=True)
    if stop.state is not StopState.RESTING or stop.order_id != order.id:
        return Step(Do.REST, f"rests {words}", order=order)
    return Step(Do.SETTLED, f"guarded {words}")


def _place(case: Case) -> Step:
    """Return the next try to place a stop, from what is wanted down to leaving."""
    level, tries = case.level, case.tries
    assert level is not None
    words = f"a stop at {money_text(level)}"
    if case.pairs and not tries.placed & {(level, True), (level, False)}:
        return Step(Do.PLACE, f"{words} with its target", paired=True)
    if (level, False) not in tries.placed:
        return Step(Do.PLACE, words)
    before = _before(case)
    if before is not None and case.direction * (level - before) > 0:
        return Step(Do.FALL_BACK, f"back to the stop {money_text(before)}: {tries.failed}", level=before)
    if case.is_overdue and not tries.unreachable:
        return Step(Do.LEAVE, f"no stop can be placed: {tries.failed}", news=News.UNGUARDED)
    return _wait(case, tries.failed or words)


def _raised(case: Case, quote: Quote) -> Decimal | None:
    """Return a trailing stop that is nearer than the one there is, None where nothing moves or may move now."""
    stop, tick = case.stop, None if case.rules is None else case.rules.tick_size
    if stop is None or stop.trailing_distance is None or tick is None:
        return None
    if case.tries.placed or (stop.state is StopState.GAP and stop.level is not None):
        return None
    for order in case.orders:
        if order.leg is not Leg.STOP:
            continue
        is_refused = order.status is OrderStatus.REJECTED and case.is_since(order.updated_at, REFUSED_MS)
        is_passed = order.active and order.stop_price is not None and case.is_beyond(order.stop_price)
        if is_refused or is_passed or (order.status in DOUBTFUL and order.id not in case.gone):
            return None
    best = quote.high if case.direction > 0 else quote.low
    return trailed_level(case.direction, stop.level, best, stop.trailing_distance, tick)


def trailed_level(side: int, level: Decimal | None, best: float, distance: Decimal, tick: Decimal | None) -> Decimal | None:
    """Return the level of a trailing stop once the price has been at `best`, None where it stays; the rule is the backtest's.

    `side` is 1 for a long position and -1 for a short one, `distance` a fraction of the price, a `tick` of None rounds nothing.
    """
    numerator, denominator = (tick or Decimal(0)).as_integer_ratio()
    before = float("nan") if level is None else float(level)
    found = float(raised_stop(side, before, best, float(distance), float(numerator), float(denominator)))
    return None if found != found or found == before or found <= 0 else from_analytics(found)


def _before(case: Case) -> Decimal | None:
    """Return the last level at which a stop of the deal rested, or the one that it began with, on the tick."""
    return None if case.deal.stop_loss_price is None else case.on_tick(case.deal.stop_loss_price)


def _cancel(case: Case, order: Order, words: str) -> Step:
    if order.status in (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN):
        return _doubt(case, order)
    if order.id in case.tries.kept:
        return _wait(case, case.tries.failed or f"the {order.leg} order is still open")
    return Step(Do.CANCEL, words, order=order)


def _doubt(case: Case, order: Order) -> Step:
    """Return what brings an order out of doubt, if anything does now."""
    if order.status is OrderStatus.INTENT:
        return Step(Do.CANCEL, f"the {order.leg} order was never sent", order=order)
    words = f"nobody knows what became of the {order.leg} order"
    if order.id not in case.tries.asked:
        return Step(Do.LOOK, words, order=order)
    can_be_proven = order.side is Side.SELL and order.leg is not Leg.ENTRY and order.status is OrderStatus.UNKNOWN
    if can_be_proven and order.id not in case.tries.proven and case.now_ms > case.arrived_by(order):
        return Step(Do.PROVE, words, order=order)
    return _wait(case, words)


def _wait(case: Case, words: str) -> Step:
    """End the round; tell people when a position has been without a guard for longer than it may be."""
    stop = case.stop
    step = Step(Do.WAIT, words, pending=True)
    if stop is None or case.held <= 0:
        return step
    if stop.state is StopState.EXITING:
        return step if case.is_since(stop.updated_at, GAP_MS + 1) else replace(step, news=News.STUCK)
    is_bare = all(order.status in DOUBTFUL for order in case.active(Leg.STOP))
    return replace(step, news=News.UNGUARDED) if is_bare and case.is_overdue else step


def _text(level: Decimal | None) -> str:
    return "" if level is None else money_text(level)
