"""What a deal needs next, case by case: expected steps are those of the rules in docs/stops.md, written by hand."""

from dataclasses import replace
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

from fks_assets.desk.guard_case import CLOCKS_MS, Case, Do, News, Step, Tries
from fks_assets.desk.guarding import EXIT_AGAIN_MS, GAP_MS, REFUSED_MS, TRIGGERED_MS, next_step
from fks_assets.desk.settling import CALL_MS
from fks_assets.quant.market_rules import MarketStatus
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType, Side
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.guarding.cases import (
    BINANCE,
    KRAKEN,
    NOW_MS,
    STOP_LIMITS,
    VALIDITY_MS,
    WALLEX,
    a_deal,
    a_position,
    a_quote,
    a_stop,
    an_order,
    rules,
)

ENTRY = an_order(Leg.ENTRY, 9, Side.BUY, status=OrderStatus.FILLED, executed_quantity=Decimal(4))
HALF_ENTRY = an_order(Leg.ENTRY, 9, Side.BUY, status=OrderStatus.PARTIALLY_FILLED, executed_quantity=Decimal(2))
STOP = an_order(Leg.STOP, 1)
TARGET = an_order(Leg.TARGET, 2, price=Decimal(110))
EXIT = an_order(Leg.EXIT, 3)


def a_case(**changes: Any) -> Case:
    """Return a long position of 4 that is guarded by a stop at 90, while the price is 100."""
    case = Case(
        deal=a_deal(),
        position=a_position(),
        stop=a_stop(),
        orders=(ENTRY, STOP),
        rules=rules(),
        features=KRAKEN,
        quote=a_quote(100.0),
        now_ms=NOW_MS,
        epoch=1,
        validity_ms=VALIDITY_MS,
    )
    return replace(case, **changes)


def asked(*orders: Any, **changes: Any) -> Tries:
    return Tries(asked=frozenset(order.id for order in orders), **changes)


def done(step: Step) -> tuple[Do, News | None]:
    return step.do, step.news


def test_a_guarded_position_needs_nothing_with_a_price_and_without():
    """O4: and that is an answer that ends the round at once."""
    for quote in (a_quote(100.0), None):
        step = next_step(a_case(quote=quote))
        assert (step.do, step.news, step.pending) == (Do.SETTLED, None, False)


@pytest.mark.parametrize(
    ("state", "entry", "expected"),
    [
        (None, None, Do.WAIT),
        (StopState.NONE, HALF_ENTRY, Do.WAIT),
        (StopState.EXITING, None, Do.WAIT),
        (StopState.EXITING, replace(HALF_ENTRY, executed_quantity=Decimal(0)), Do.CANCEL),
        (StopState.EXITING, replace(ENTRY, status=OrderStatus.CANCELED, active=False), Do.END),
    ],
)
def test_before_the_entry_is_filled_nothing_is_ordered(state: StopState | None, entry: Any, expected: Do):
    """F14: and a SELL signal by then cancels the entry."""
    stop = None if state is None else a_stop(state)
    case = a_case(position=None, stop=stop, orders=() if entry is None else (entry,))
    assert next_step(case).do is expected


def test_what_is_filled_begins_in_a_gap_with_a_deadline():
    """O4: noted before anything is sent."""
    step = next_step(a_case(stop=None, orders=(ENTRY,)))
    assert (step.do, step.until_ms) == (Do.BEGIN, NOW_MS + GAP_MS)


@pytest.mark.parametrize(
    ("features", "target", "paired", "type_"),
    [
        (BINANCE, "110", True, OrderType.STOP_MARKET),
        (BINANCE, None, False, OrderType.STOP_MARKET),
        (KRAKEN, "110", False, OrderType.STOP_MARKET),
        (STOP_LIMITS, "110", False, OrderType.STOP_LIMIT),
    ],
)
def test_stop_and_target_go_out_together_where_the_venue_has_pairs(
    features: Any, target: str | None, paired: bool, type_: OrderType
):
    """S3.6, S3.7, C10: elsewhere the stop alone, at the market where that is offered; the desk watches the target."""
    stop = a_stop(StopState.GAP, target=None if target is None else Decimal(target))
    case = a_case(stop=stop, orders=(ENTRY,), features=features)
    step = next_step(case)
    assert (step.do, step.paired, case.stop_type) == (Do.PLACE, paired, type_)


def test_a_stop_is_as_large_as_what_was_filled_in_whole_lots():
    """F14, C13: 1.97 of lots of 0.1 are 1.9; more than one order can be is not asked for."""
    assert a_case(position=a_position(entered="1.97")).sellable == Decimal("1.9")
    assert a_case(rules=rules(max_quantity=Decimal("2.55"))).sellable == Decimal("2.5")


@pytest.mark.parametrize(("status", "expected"), [(OrderStatus.OPEN, Do.REST), (OrderStatus.UNKNOWN, Do.LOOK)])
def test_a_stop_rests_once_the_venue_has_it(status: OrderStatus, expected: Do):
    """S3.6: and it is that order which the row names."""
    order = replace(STOP, status=status)
    assert next_step(a_case(stop=a_stop(StopState.GAP), orders=(ENTRY, order))).do is expected
    assert next_step(a_case(stop=a_stop(order_id=7), orders=(ENTRY, order))).do is expected


def test_the_gap_is_noted_before_a_stop_of_another_size_or_level_is_touched():
    """O4: RESTING, then GAP, then one call where the venue can replace, else cancel and place."""
    for orders, position in (((STOP,), a_position(entered="5")), ((replace(STOP, stop_price=Decimal(89)),), a_position())):
        case = a_case(orders=(ENTRY, *orders), position=position)
        assert next_step(case).do is Do.GAP
        in_gap = replace(case, stop=a_stop(StopState.GAP))
        assert next_step(in_gap).do is Do.CANCEL
        assert next_step(replace(in_gap, features=STOP_LIMITS)).do is Do.REPLACE


def test_the_leg_of_a_pair_is_cancelled_and_never_replaced_alone():
    """F13: Binance has no replacing of pairs."""
    orders = (ENTRY, replace(STOP, stop_price=Decimal(89), list_id="7"), replace(TARGET, list_id="7"))
    step = next_step(a_case(stop=a_stop(StopState.GAP, target=Decimal(110)), orders=orders, features=BINANCE))
    assert (step.do, step.order) == (Do.CANCEL, orders[1])


def test_a_target_whose_stop_is_gone_goes_before_a_new_pair_is_placed():
    """F13, O5: also when one leg of a pair was refused."""
    stop = replace(STOP, status=OrderStatus.REJECTED, active=False, updated_at=NOW_MS)
    case = a_case(stop=a_stop(StopState.GAP, target=Decimal(110)), orders=(ENTRY, stop, TARGET), features=BINANCE)
    assert (next_step(case).do, next_step(case).order) == (Do.CANCEL, TARGET)
    assert next_step(replace(case, orders=(ENTRY, stop))).do is Do.PLACE


def test_of_two_stops_the_one_that_is_right_stays():
    """O5: an order that came late makes two."""
    other = replace(STOP, id=4, stop_price=Decimal(85))
    step = next_step(a_case(stop=a_stop(StopState.GAP), orders=(ENTRY, STOP, other), features=BINANCE))
    assert (step.do, step.order) == (Do.CANCEL, other)


@pytest.mark.parametrize(
    ("side", "close", "best", "level"),
    [
        (Side.BUY, 99.0, 100.0, "95"),
        (Side.BUY, 108.0, 110.01, "105"),
        (Side.BUY, 104.0, 110.01, "passed"),
        (Side.BUY, 94.0, 94.0, None),
        (Side.SELL, 101.0, 100.0, "105"),
        (Side.SELL, 92.0, 89.99, "94"),
        (Side.SELL, 95.0, 89.99, "passed"),
        (Side.SELL, 105.0, 105.0, None),
    ],
)
def test_a_trailing_stop_follows_the_best_price_by_its_distance(side: Side, close: float, best: float, level: str | None):
    """S3.8: best * (1 -+ 5 %), on the tick of 0.5 toward the price, never back; what has passed it already is left."""
    sign = 1 if side is Side.BUY else -1
    stop = a_stop(level=Decimal(100 - 10 * sign), trailing_distance=Decimal("0.05"))
    order = an_order(Leg.STOP, 1, side.opposite, stop_price=stop.level)
    quote = a_quote(close, high=max(close, best), low=min(close, best))
    step = next_step(a_case(deal=a_deal(side), position=a_position(side), stop=stop, orders=(order,), quote=quote))
    if level is None:
        assert step.do is Do.SETTLED
    elif level == "passed":
        assert done(step) == (Do.LEAVE, News.STOPPED)
    else:
        assert (step.do, step.level) == (Do.RAISE, Decimal(level))


def test_a_stop_without_a_level_begins_where_the_price_puts_it():
    """S3.8: trailing without a first stop."""
    stop = a_stop(StopState.GAP, level=None, trailing_distance=Decimal("0.05"))
    deal = a_deal(stop_loss_price=None)
    case = a_case(deal=deal, stop=stop, orders=(ENTRY,))
    assert (next_step(case).do, next_step(case).level) == (Do.RAISE, Decimal(95))
    assert next_step(replace(case, quote=None)).do is Do.WATCH


@pytest.mark.parametrize(
    "changes",
    [
        {"stop": a_stop(StopState.GAP, trailing_distance=Decimal("0.05"))},
        {"orders": (ENTRY, replace(STOP, status=OrderStatus.UNKNOWN)), "tries": asked(STOP)},
        {"orders": (ENTRY, STOP, an_order(Leg.STOP, 4, status=OrderStatus.REJECTED, updated_at=NOW_MS - REFUSED_MS + 1))},
        {"tries": Tries(placed=frozenset({(Decimal(95), False)}))},
        {"quote": a_quote(89.0, high=100.0)},
    ],
)
def test_a_stop_is_not_raised_while_something_else_is_open(changes: dict[str, Any]):
    """C10: nothing is sent again in every round, and a gap is not made longer by raising."""
    case = a_case(**{"stop": a_stop(trailing_distance=Decimal("0.05")), **changes})
    assert next_step(case).do is not Do.RAISE
    refused = an_order(Leg.STOP, 4, status=OrderStatus.REJECTED, updated_at=NOW_MS - REFUSED_MS)
    later = a_case(stop=a_stop(trailing_distance=Decimal("0.05")), orders=(ENTRY, STOP, refused))
    assert next_step(later).do is Do.RAISE


@pytest.mark.parametrize("price", [0.0, -1.0, nan, inf, -inf, 1e400])
def test_a_price_that_is_none_triggers_nothing(price: float):
    """E8: without a stop at the venue either; with one the deal is guarded as without a price."""
    stop = a_stop(StopState.NONE, target=Decimal(110))
    step = next_step(a_case(stop=stop, orders=(ENTRY,), features=WALLEX, quote=a_quote(price)))
    assert done(step) == (Do.SETTLED, None)
    broken = replace(a_quote(100.0), high=price)
    assert next_step(a_case(stop=a_stop(trailing_distance=Decimal("0.05")), quote=broken)).do is Do.SETTLED


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (Side.BUY, 90.0, (Do.LEAVE, News.STOPPED)),
        (Side.BUY, 90.5, (Do.SETTLED, None)),
        (Side.BUY, 109.5, (Do.SETTLED, None)),
        (Side.BUY, 110.0, (Do.LEAVE, News.REACHED)),
        (Side.SELL, 110.0, (Do.LEAVE, News.STOPPED)),
        (Side.SELL, 90.0, (Do.LEAVE, News.REACHED)),
        (Side.SELL, 100.0, (Do.SETTLED, None)),
    ],
)
def test_where_a_venue_has_no_stops_the_desk_watches_the_price(side: Side, price: float, expected: Any):
    """X23, S3.9: Wallex; at the level is reached, as in quant/stops.evaluate_candle."""
    levels = (Decimal(90), Decimal(110)) if side is Side.BUY else (Decimal(110), Decimal(90))
    stop = a_stop(StopState.NONE, level=levels[0], target=levels[1])
    case = a_case(deal=a_deal(side), position=a_position(side), stop=stop, orders=(), features=WALLEX, quote=a_quote(price))
    assert done(next_step(case)) == expected


def test_a_target_is_watched_unless_it_rests_at_the_venue():
    """S3.7: at a venue without pairs, or when the target's leg was refused."""
    stop = a_stop(target=Decimal(110))
    case = a_case(stop=stop, quote=a_quote(111.0))
    assert done(next_step(case)) == (Do.LEAVE, News.REACHED)
    assert next_step(replace(case, orders=(ENTRY, STOP, TARGET))).do is Do.SETTLED


def test_a_watched_deal_is_not_in_a_gap():
    """A deadline that nobody could keep is none."""
    for changes in ({"features": WALLEX}, {"deal": a_deal(stop_loss_price=None), "stop": a_stop(StopState.GAP, level=None)}):
        case = a_case(**{"stop": a_stop(StopState.GAP), "orders": (ENTRY,), **changes})
        assert next_step(case).do is Do.WATCH


def test_a_stop_that_was_passed_has_a_deadline_to_execute():
    """C10: seen, noted, looked at, and then left at the market with a word to people."""
    case = a_case(quote=a_quote(89.0))
    step = next_step(case)
    assert (step.do, step.until_ms) == (Do.GAP, NOW_MS + TRIGGERED_MS)
    case = replace(case, stop=a_stop(StopState.GAP, gap_deadline=NOW_MS + TRIGGERED_MS))
    assert next_step(case).do is Do.LOOK
    case = replace(case, tries=asked(STOP))
    assert (next_step(case).do, next_step(case).pending) == (Do.WAIT, True)
    late = replace(case, now_ms=NOW_MS + TRIGGERED_MS + 1)
    assert done(next_step(late)) == (Do.LEAVE, News.UNGUARDED)
    assert next_step(replace(case, quote=a_quote(91.0))).do is Do.REST


def test_a_stop_that_executed_in_part_is_the_end_of_the_position():
    """C13: nothing is raised or placed again; what is left is sold; an entry that still fills is stopped."""
    part = replace(STOP, executed_quantity=Decimal(1), status=OrderStatus.PARTIALLY_FILLED)
    position = a_position(left="1")
    working = a_case(orders=(ENTRY, part), position=position, stop=a_stop(trailing_distance=Decimal("0.05")))
    assert next_step(working).do is Do.GAP
    ended = replace(part, status=OrderStatus.EXPIRED, active=False)
    assert done(next_step(replace(working, orders=(ENTRY, ended)))) == (Do.LEAVE, News.STOPPED)
    step = next_step(replace(working, orders=(replace(HALF_ENTRY), part)))
    assert (step.do, step.order and step.order.leg) == (Do.CANCEL, Leg.ENTRY)


def test_what_is_bought_after_the_stop_was_executed_is_being_left_before_anything_else_is_tried():
    """O4: else a cancel of the entry that fails would leave coins without a stop that the books call guarded."""
    executed = replace(STOP, status=OrderStatus.FILLED, active=False, executed_quantity=Decimal(2))
    position = a_position(entered="2.5", left="2")
    case = a_case(position=position, orders=(replace(HALF_ENTRY, executed_quantity=Decimal("2.5")), executed))
    assert done(next_step(case)) == (Do.LEAVE, News.STOPPED)
    step = next_step(replace(case, stop=a_stop(StopState.EXITING)))
    assert (step.do, step.order and step.order.leg) == (Do.CANCEL, Leg.ENTRY)


def test_what_is_refused_is_tried_alone_then_at_the_last_level_then_left():
    """O4, C10: each once in a round; leaving only after the deadline, and only when the venue has said no."""
    in_gap = a_stop(StopState.GAP, level=Decimal(95), target=Decimal(110))
    case = a_case(stop=in_gap, orders=(ENTRY,), features=BINANCE)
    first, second = (Decimal(95), True), (Decimal(95), False)
    refused = Tries(placed=frozenset({first}), failed="no")
    assert (next_step(replace(case, tries=refused)).do, next_step(replace(case, tries=refused)).paired) == (Do.PLACE, False)
    refused = replace(refused, placed=frozenset({first, second}))
    step = next_step(replace(case, tries=refused))
    assert (step.do, step.level) == (Do.FALL_BACK, Decimal(90))
    back = replace(case, stop=replace(in_gap, level=Decimal(90)), tries=refused)
    assert (next_step(back).do, next_step(back).paired) == (Do.PLACE, True)
    everything = replace(refused, placed=frozenset({first, second, (Decimal(90), True), (Decimal(90), False)}))
    back = replace(back, tries=everything)
    assert (next_step(back).do, next_step(back).pending) == (Do.WAIT, True)
    late = replace(back, now_ms=NOW_MS + GAP_MS + 1)
    assert done(next_step(late)) == (Do.LEAVE, News.UNGUARDED)
    assert done(next_step(replace(late, tries=replace(everything, unreachable=True)))) == (Do.WAIT, News.UNGUARDED)


def test_a_clock_that_goes_back_keeps_nothing_waiting_for_it():
    """T3, O4: an hour back. A gap's ten seconds are over, a refused exit is tried again, a refused level is raised again."""
    back = NOW_MS - 3_600_000
    tries = Tries(placed=frozenset({(Decimal(90), False)}), failed="no")
    gap = a_case(stop=a_stop(StopState.GAP), orders=(ENTRY,), features=KRAKEN, tries=tries)
    assert done(next_step(gap)) == (Do.WAIT, None)
    assert done(next_step(replace(gap, now_ms=back))) == (Do.LEAVE, News.UNGUARDED)
    refused = an_order(Leg.EXIT, 3, status=OrderStatus.REJECTED)
    assert next_step(a_case(stop=a_stop(StopState.EXITING), orders=(refused,), now_ms=back)).do is Do.EXIT
    stuck = a_case(stop=a_stop(StopState.EXITING), tries=Tries(kept=frozenset({STOP.id}), failed="unreachable"), now_ms=back)
    assert done(next_step(stuck)) == (Do.WAIT, News.STUCK)
    rejected = an_order(Leg.STOP, 4, status=OrderStatus.REJECTED)
    trailing = a_case(stop=a_stop(trailing_distance=Decimal("0.05")), orders=(ENTRY, STOP, rejected))
    assert next_step(trailing).do is not Do.RAISE and next_step(replace(trailing, now_ms=back)).do is Do.RAISE


def test_a_level_off_the_tick_is_not_fallen_back_to_for_ever():
    """The level 89.7 on a tick of 0.5 is 90: the same."""
    case = a_case(
        deal=a_deal(stop_loss_price=Decimal("89.7")),
        stop=a_stop(StopState.GAP, level=Decimal("89.7")),
        orders=(ENTRY,),
        tries=Tries(placed=frozenset({(Decimal(90), False)}), failed="no"),
    )
    assert next_step(case).do is Do.WAIT


@pytest.mark.parametrize(("is_late", "is_refused"), [(True, False), (False, True)])
def test_an_old_stop_that_still_rests_is_kept_when_the_new_one_cannot_come(is_late: bool, is_refused: bool):
    """O4: also after a crash between the raise and the cancel."""
    tries = Tries(placed=frozenset({(Decimal(95), False)}), failed="no") if is_refused else Tries()
    case = a_case(
        stop=a_stop(StopState.GAP, level=Decimal(95)), features=STOP_LIMITS, tries=tries, now_ms=NOW_MS + (GAP_MS + 1) * is_late
    )
    step = next_step(case)
    assert (step.do, step.level) == (Do.FALL_BACK, Decimal(90))


def test_a_larger_stop_that_is_refused_leaves_the_smaller_one_until_the_deadline():
    tries = Tries(placed=frozenset({(Decimal(90), False)}), failed="no")
    case = a_case(stop=a_stop(StopState.GAP), position=a_position(entered="5"), features=STOP_LIMITS, tries=tries)
    assert done(next_step(case)) == (Do.WAIT, None)
    assert done(next_step(replace(case, now_ms=NOW_MS + GAP_MS + 1))) == (Do.LEAVE, News.UNGUARDED)


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_order_in_doubt_is_looked_at_then_proven_gone_and_never_doubled(epoch: int):
    """O2, O4: not before the venue can no longer take it; a process that has died may have sent it last thing."""
    order = replace(STOP, status=OrderStatus.UNKNOWN, epoch=1)
    case = a_case(stop=a_stop(StopState.GAP), orders=(ENTRY, order), epoch=epoch)
    assert next_step(case).do is Do.LOOK
    case = replace(case, tries=asked(order))
    over = VALIDITY_MS + CLOCKS_MS + (0 if epoch == 1 else CALL_MS)
    assert done(next_step(replace(case, now_ms=NOW_MS + over)))[0] is Do.WAIT
    case = replace(case, now_ms=NOW_MS + over + 1)
    assert next_step(case).do is Do.PROVE
    step = next_step(replace(case, tries=asked(order, proven=frozenset({order.id}))))
    assert done(step) == (Do.WAIT, News.UNGUARDED if epoch == 2 else None)
    assert next_step(replace(case, gone=frozenset({order.id}))).do is Do.PLACE


@pytest.mark.parametrize("status", [OrderStatus.SUBMITTING, OrderStatus.UNKNOWN])
@pytest.mark.parametrize("leg", [Leg.STOP, Leg.TARGET, Leg.EXIT])
def test_nothing_is_sold_while_another_sale_is_in_doubt(leg: Leg, status: OrderStatus):
    """O5: exit cancels the stop first and re-reads."""
    order = an_order(leg, 1, status=status)
    case = a_case(stop=a_stop(StopState.EXITING), orders=(ENTRY, order))
    assert next_step(case).do is Do.LOOK
    assert next_step(replace(case, tries=asked(order))).do is Do.WAIT


@pytest.mark.parametrize(
    ("leg", "side", "status"),
    [
        (Leg.ENTRY, Side.BUY, OrderStatus.UNKNOWN),
        (Leg.STOP, Side.BUY, OrderStatus.UNKNOWN),
        (Leg.STOP, Side.SELL, OrderStatus.SUBMITTING),
        (Leg.ENTRY, Side.SELL, OrderStatus.UNKNOWN),
    ],
)
def test_only_a_sale_of_unknown_outcome_can_be_proven_gone_by_its_coins(leg: Leg, side: Side, status: OrderStatus):
    """O2: an entry, and a purchase back, wait for the comparison to call them absent; what may be on its way is waited for."""
    order = an_order(leg, 1, side, status=status)
    case = a_case(stop=a_stop(StopState.EXITING), orders=(order,), now_ms=NOW_MS + 600_000, tries=asked(order))
    assert next_step(case).do is Do.WAIT


def test_an_intent_that_was_never_sent_is_ended():
    """A fault between the steps of the gateway leaves one; the next round does not wait for it."""
    for state, leg in ((StopState.GAP, Leg.STOP), (StopState.EXITING, Leg.EXIT), (StopState.EXITING, Leg.TARGET)):
        order = an_order(leg, 1, status=OrderStatus.INTENT)
        assert next_step(a_case(stop=a_stop(state), orders=(ENTRY, order))).do is Do.CANCEL


def test_leaving_cancels_everything_first_and_sells_then():
    """O5: entry, stop, target, and only then the exit, once."""
    stop = a_stop(StopState.EXITING)
    left = [HALF_ENTRY, STOP, TARGET]
    while left:
        step = next_step(a_case(stop=stop, orders=tuple(left)))
        assert (step.do, step.order) == (Do.CANCEL, left.pop(0))
    assert next_step(a_case(stop=stop, orders=())).do is Do.EXIT
    on_its_way = a_case(stop=stop, orders=(EXIT,), tries=asked(EXIT))
    assert (next_step(on_its_way).do, next_step(on_its_way).pending) == (Do.WAIT, True)


def test_an_order_that_cannot_be_cancelled_stops_the_round():
    """O5: and is told of once the position has been stuck for longer than a gap may be."""
    kept = Tries(kept=frozenset({STOP.id}), failed="unreachable")
    case = a_case(stop=a_stop(StopState.EXITING), tries=kept)
    assert done(next_step(case)) == (Do.WAIT, None)
    assert done(next_step(replace(case, now_ms=NOW_MS + GAP_MS + 1))) == (Do.WAIT, News.STUCK)


def test_a_refused_exit_is_tried_again_after_growing_pauses():
    """C10: 5, 10, 20, 40, 60 seconds, and never given up."""
    case = a_case(stop=a_stop(StopState.EXITING))
    for times, seconds in enumerate((5, 10, 20, 40, 60, 60), start=1):
        refused = tuple(an_order(Leg.EXIT, number, status=OrderStatus.REJECTED) for number in range(times))
        early = replace(case, orders=refused, now_ms=NOW_MS + seconds * 1000 - 1)
        assert next_step(early).do is Do.WAIT
        assert next_step(replace(early, now_ms=NOW_MS + seconds * 1000)).do is Do.EXIT
    assert EXIT_AGAIN_MS == 5_000
    others = (an_order(Leg.STOP, 1, status=OrderStatus.REJECTED), an_order(Leg.EXIT, 2, status=OrderStatus.ABSENT))
    assert next_step(replace(case, orders=others)).do is Do.EXIT
    failed = replace(case, orders=(), tries=Tries(failed="no"))
    assert next_step(failed).do is Do.WAIT


def test_the_end_cancels_what_is_left_over():
    """F13: the twin of what has executed."""
    over = a_position(left="4")
    case = a_case(position=over, orders=(ENTRY, TARGET))
    assert (next_step(case).do, next_step(case).order) == (Do.CANCEL, TARGET)
    assert done(next_step(replace(case, orders=(ENTRY,)))) == (Do.END, None)


def test_more_sold_than_held_is_told_and_nothing_is_done_about_it():
    """O3: a fill after a cancel; buying back would be new risk."""
    case = a_case(position=a_position(left="4.5"), orders=(ENTRY,))
    assert done(next_step(case)) == (Do.END, News.OVERSOLD)


def test_what_executes_after_the_end_is_left():
    """O3: an entry that was thought to be absent, or cancelled."""
    deal = a_deal(status=DealStatus.STOPPED, is_active=False)
    assert done(next_step(a_case(deal=deal, orders=(ENTRY,)))) == (Do.REOPEN, News.LATE)
    assert next_step(a_case(deal=deal, position=None)).do is Do.WAIT


@pytest.mark.parametrize(
    ("held", "price", "orders", "state", "expected"),
    [
        ("0.05", 100.0, (ENTRY,), StopState.RESTING, Do.DUST),
        ("0.05", 100.0, (ENTRY, replace(STOP, quantity=Decimal("0.1"))), StopState.RESTING, Do.CANCEL),
        ("0.05", None, (ENTRY,), StopState.RESTING, Do.DUST),
        ("0.1", 49.0, (ENTRY,), StopState.RESTING, Do.DUST),
        ("0.1", None, (ENTRY,), StopState.GAP, Do.PLACE),
        ("0.1", 49.0, (ENTRY,), StopState.EXITING, Do.DUST),
        ("0.1", 50.0, (ENTRY,), StopState.EXITING, Do.EXIT),
        ("0.05", 100.0, (HALF_ENTRY,), StopState.GAP, Do.WAIT),
        ("0.05", 100.0, (HALF_ENTRY,), StopState.EXITING, Do.CANCEL),
    ],
)
def test_what_the_market_takes_no_order_for_is_dust(held: str, price: float | None, orders: Any, state: StopState, expected: Do):
    """C13: by lot, smallest quantity and smallest value (0.1 at 49 is below 5); value is not judged without a price."""
    quote = None if price is None else a_quote(price)
    case = a_case(position=a_position(entered=held), orders=orders, stop=a_stop(state, level=Decimal(40)), quote=quote)
    assert next_step(case).do is expected


def test_a_stop_that_the_venue_has_taken_is_not_cancelled_because_the_price_fell():
    """0.1 at 49 is below the smallest value of 5; the stop at 40 executes all the same."""
    order = replace(STOP, quantity=Decimal("0.1"), stop_price=Decimal(40))
    case = a_case(position=a_position(entered="0.1"), orders=(ENTRY, order), stop=a_stop(level=Decimal(40)), quote=a_quote(49.0))
    assert next_step(case).do is Do.SETTLED
    trailing = replace(case, stop=a_stop(level=Decimal(40), trailing_distance=Decimal("0.05")))
    assert next_step(trailing).do is Do.SETTLED


@pytest.mark.parametrize(
    "market", [rules(status=MarketStatus.HALTED), rules(status=MarketStatus.DELISTED, tick_size=None, lot_size=None), None]
)
def test_in_a_market_that_takes_no_orders_what_rests_is_left_alone(market: Any):
    """E7: and a position without anything there is told of; what is over ends all the same."""
    stop = a_stop(trailing_distance=Decimal("0.05"))
    assert done(next_step(a_case(rules=market, stop=stop))) == (Do.WAIT, None)
    assert done(next_step(a_case(rules=market, orders=(ENTRY,)))) == (Do.WAIT, News.STUCK)
    assert done(next_step(a_case(rules=market, stop=a_stop(StopState.EXITING)))) == (Do.WAIT, None)
    assert next_step(a_case(rules=market, position=a_position(left="4"), orders=(ENTRY,))).do is Do.END
