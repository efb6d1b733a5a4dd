"""A deal, its ledger and its venue in memory: what the ledger knows on one side, what is true at the venue on the other.

`World.round` does what `desk/protect.py` does with the steps, and the venue answers as it is told to: it takes an order or not,
the answer arrives or not, the process lives to see it or not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from fks_assets.desk.guard_case import Case, Do, Step, Tries
from fks_assets.desk.guarding import next_step
from fks_assets.exchanges.orders.venue import Features
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, OrderType, Side
from fks_assets.stores.ledger.order_rows import Order
from fks_assets.stores.ledger.positions import Position
from fks_assets.stores.ledger.stops import Stop, StopState
from fks_assets_tests.guarding.cases import (
    NOW_MS,
    VALIDITY_MS,
    ZERO,
    a_deal,
    a_position,
    a_quote,
    an_order,
    rules,
)

CALL_MS = 20_000
ABSENT_MS = 120_000
# Of what is sent: it is taken or refused; the venue cannot be reached; the answer is lost, before or after the venue has taken
# it, or the request comes late; the process dies before or after the venue has taken it.
OUTCOMES = ("ok", "refused", "unreachable", "lost before", "lost after", "late", "dies before", "dies after")
MOST_STEPS = 40


@dataclass
class Truth:
    """What the venue knows of an order: `state` is flight, live, done or nowhere; `takes_until` ends the flight."""

    state: str
    executed: Decimal = ZERO
    partner: int | None = None
    takes_until: int = 0
    replaces: int | None = None


class Died(Exception):
    """The process ended here."""


class World:
    """One deal, entered in parts, and everything that can happen to it."""

    def __init__(self, features: Features, side: Side, target: bool, trailing: bool) -> None:
        sign = 1 if side is Side.BUY else -1
        self.features, self.side, self.sign = features, side, sign
        self.now, self.epoch, self.price = NOW_MS, 1, Decimal(100)
        self.high = self.low = self.price
        self.rules = rules()
        self.deal = a_deal(
            side,
            stop_loss_price=Decimal(100 - 10 * sign),
            take_profit_price=Decimal(100 + 10 * sign) if target else None,
            trailing_stop_distance=Decimal("0.05") if trailing else None,
        )
        self.stop: Stop | None = None
        self.dust = ZERO
        self.orders: dict[int, Order] = {1: an_order(Leg.ENTRY, 1, side)}
        self.truth: dict[int, Truth] = {1: Truth("live")}
        self.gone: set[int] = set()
        self.steps: list[str] = []
        self._answers: Iterator[str] = iter(())

    # What is true at the venue.

    def held(self) -> Decimal:
        amounts = [
            each.executed if self.orders[number].leg is Leg.ENTRY else -each.executed for number, each in self.truth.items()
        ]
        return sum(amounts, ZERO) - self.dust

    def on_sale(self) -> Decimal:
        live = {
            number: each
            for number, each in self.truth.items()
            if each.state == "live" and self.orders[number].leg is not Leg.ENTRY
        }
        pairs = {min(number, each.partner or number): number for number, each in live.items()}
        return sum((self.orders[number].quantity - self.truth[number].executed for number in pairs.values()), ZERO)

    def execute(self, number: int, quantity: Decimal) -> None:
        """Let a live order execute; the other one of its pair is over by that."""
        each, order = self.truth[number], self.orders[number]
        each.executed += min(quantity, order.quantity - each.executed)
        if each.executed == order.quantity:
            each.state = "done"
        if each.partner is not None and self.truth[each.partner].state == "live":
            self.truth[each.partner].state = "done"

    def fill_entry(self, quantity: Decimal) -> None:
        if self.truth[1].state == "live":
            self.execute(1, quantity)

    def move(self, price: Decimal, part: Decimal) -> None:
        """Let the price go somewhere; what it triggers executes by a part."""
        self.price, self.high, self.low = price, max(self.high, price), min(self.low, price)
        for number, each in list(self.truth.items()):
            order = self.orders[number]
            if each.state != "live" or order.leg is Leg.ENTRY:
                continue
            is_stopped = order.leg is Leg.STOP and self.sign * (price - (order.stop_price or ZERO)) <= 0
            is_reached = order.leg is Leg.TARGET and self.sign * (price - (order.price or ZERO)) >= 0
            if is_stopped or is_reached:
                left = (order.quantity - each.executed) * part
                lots = left // Decimal("0.1") * Decimal("0.1")
                if lots:
                    self.execute(number, lots)

    def take_away(self, number: int | None) -> bool:
        """Cancel the order that another one replaces; without it there is no other one."""
        if number is None:
            return True
        if self.truth[number].state != "live":
            return False
        self.truth[number].state = "done"
        return True

    def arrive(self) -> None:
        """Let requests that were late arrive, if the venue takes them still."""
        for number, each in self.truth.items():
            if each.state == "flight":
                each.state = "live" if self.now <= each.takes_until and self.take_away(each.replaces) else "nowhere"
                if each.state == "live" and self.orders[number].leg is Leg.EXIT:
                    self.execute(number, self.orders[number].quantity)

    def pass_time(self, milliseconds: int) -> None:
        self.now += milliseconds

    def leave(self) -> None:
        stop = self.stop or Stop(1, None, None, None, 0, StopState.NONE, None, None, self.now)
        self.stop = replace(stop, state=StopState.EXITING, gap_deadline=None, version=stop.version + 1, updated_at=self.now)

    # What the ledger knows.

    def look(self, number: int) -> None:
        order, each = self.orders[number], self.truth[number]
        if each.state in ("live", "done"):
            status = OrderStatus.PARTIALLY_FILLED if each.executed else OrderStatus.OPEN
            if each.state == "done":
                status = OrderStatus.FILLED if each.executed == order.quantity else OrderStatus.CANCELED
            if (status, each.executed) != (order.status, order.executed_quantity):
                self.put(replace(order, status=status, executed_quantity=each.executed))
        elif order.status is OrderStatus.SUBMITTING and order.epoch != self.epoch:
            self.put(replace(order, status=OrderStatus.UNKNOWN))
        elif each.state == "nowhere" and self.now > (order.submitted_at or 0) + ABSENT_MS:
            self.put(replace(order, status=OrderStatus.ABSENT))

    def put(self, order: Order) -> None:
        self.orders[order.id] = replace(order, active=order.status.is_active, updated_at=self.now)

    def compare(self) -> None:
        """Reconcile: look at everything that may still execute."""
        for order in list(self.orders.values()):
            if order.active or self.truth[order.id].executed != order.executed_quantity:
                self.look(order.id)

    def position(self) -> Position | None:
        entered, left = (
            sum((order.executed_quantity for order in self.orders.values() if (order.leg is Leg.ENTRY) is is_entry), ZERO)
            for is_entry in (True, False)
        )
        if not entered:
            return None
        position = a_position(self.side, str(entered), str(left))
        if self.dust:
            position = replace(position, dust_quantity=self.dust * self.sign)
        return replace(position, closed_at=None if position.net_quantity else self.now)

    def case(self, tries: Tries, blind: bool = False) -> Case:
        quote = None if blind else a_quote(float(self.price), float(self.high), float(self.low))
        orders = tuple(self.orders.values())
        gone = frozenset(number for number in self.gone if self.orders[number].status is OrderStatus.UNKNOWN)
        return Case(
            self.deal,
            self.position(),
            self.stop,
            orders,
            self.rules,
            self.features,
            quote,
            self.now,
            self.epoch,
            VALIDITY_MS,
            gone,
            tries,
        )

    def case_now(self) -> Case:
        return self.case(Tries())

    # What the desk does.

    def round(self, answers: Sequence[str], *, blind: bool = False) -> Iterator[Step]:
        """Do one round, giving each step once it is done. The venue answers as given, and then well."""
        self._answers = iter(answers)
        tries = Tries()
        try:
            for _ in range(MOST_STEPS):
                case = self.case(tries, blind)
                step = next_step(case)
                self.steps.append(f"{step.do.value}: {step.words}")
                if step.do is Do.END:
                    self.write(case, step)
                if step.do in (Do.WAIT, Do.SETTLED, Do.END):
                    yield step
                    return
                tries = self.perform(case, step)
                yield step
        except Died:
            self.steps.append("died")
            self.epoch += 1
            return
        raise AssertionError(f"the round does not end: {self.steps[-8:]}")

    def answer(self) -> str:
        return next(self._answers, "ok")

    def perform(self, case: Case, step: Step) -> Tries:
        tries, order = case.tries, step.order
        if (
            step.do in (Do.CANCEL, Do.REPLACE)
            and order is not None
            and order.leg is Leg.STOP
            and case.held > 0
            and not case.is_dust
        ):
            assert case.stop is not None and case.stop.state in (StopState.GAP, StopState.EXITING), self.steps[-8:]
        if step.do in (Do.PLACE, Do.REPLACE, Do.EXIT):
            return self.place(case, step)
        if step.do not in (Do.LOOK, Do.PROVE, Do.CANCEL) or order is None:
            self.write(case, step)
            return Tries() if step.do is Do.LEAVE else tries
        answer = self.answer()
        if answer == "dies before":
            raise Died
        if step.do is Do.LOOK:
            tries = replace(tries, asked=tries.asked | {order.id})
            if answer == "ok":
                self.look(order.id)
            return tries if answer == "ok" else replace(tries, failed=answer, unreachable=True)
        reached = answer in ("ok", "lost after", "dies after")
        if reached and self.truth[order.id].state == "live":
            self.truth[order.id].state = "done"
            partner = self.truth[order.id].partner
            if partner is not None and self.truth[partner].state == "live":
                self.truth[partner].state = "done"
        if answer == "dies after":
            raise Died
        if step.do is Do.PROVE:
            tries = replace(tries, proven=tries.proven | {order.id})
            if answer == "ok":
                self.look(order.id)
                # A request that is still on its way looks just like one that never came.
                if self.truth[order.id].state in ("nowhere", "flight"):
                    self.gone.add(order.id)
            return tries if answer == "ok" else replace(tries, failed=answer, unreachable=True)
        if answer == "ok":
            self.look(order.id)
        if not self.orders[order.id].active:
            return tries
        return replace(tries, kept=tries.kept | {order.id}, failed=answer, unreachable=True)

    def place(self, case: Case, step: Step) -> Tries:
        tries, answer = case.tries, self.answer()
        if step.do is not Do.EXIT and case.level is not None:
            tries = replace(tries, placed=tries.placed | {(case.level, step.paired)})
        if answer == "unreachable":
            return replace(tries, failed=answer, unreachable=True)
        legs = [Leg.EXIT] if step.do is Do.EXIT else [Leg.STOP, Leg.TARGET] if step.paired else [Leg.STOP]
        numbers = [self.write_order(case, leg) for leg in legs]
        old = step.order.id if step.do is Do.REPLACE and step.order is not None else None
        # Binance's half-done case: the old order is gone and the new one refused.
        reached = answer in ("ok", "lost after", "dies after", "refused") and self.take_away(old)
        if answer == "ok" and not reached:
            answer = "refused"
        lasts = self.now + VALIDITY_MS + (CALL_MS if answer == "dies before" else 0)
        state = "flight" if answer in ("late", "dies before") else "live" if reached and answer != "refused" else "nowhere"
        for number in numbers:
            partner = None if len(numbers) == 1 else numbers[1] if number == numbers[0] else numbers[0]
            self.truth[number] = Truth(state, partner=partner, takes_until=lasts, replaces=old)
            if state == "live" and step.do is Do.EXIT:
                self.execute(number, self.orders[number].quantity)
        if answer.startswith("dies"):
            raise Died
        for number in numbers:
            status = {"ok": OrderStatus.OPEN, "refused": OrderStatus.REJECTED}.get(answer, OrderStatus.UNKNOWN)
            self.put(replace(self.orders[number], status=status))
            if answer == "ok":
                self.look(number)
        if old is not None:
            self.look(old)
        if self.orders[numbers[0]].active or self.orders[numbers[0]].status is OrderStatus.FILLED:
            return case.tries
        return replace(tries, failed=answer)

    def write_order(self, case: Case, leg: Leg) -> int:
        number = len(self.orders) + 1
        stop = case.stop
        self.orders[number] = an_order(
            leg,
            number,
            self.side.opposite,
            type=(case.stop_type or OrderType.MARKET)
            if leg is Leg.STOP
            else OrderType.LIMIT
            if leg is Leg.TARGET
            else OrderType.MARKET,
            quantity=case.sellable,
            stop_price=case.level if leg is Leg.STOP else None,
            price=stop.target if leg is Leg.TARGET and stop is not None else None,
            generation=case.generation(leg),
            status=OrderStatus.SUBMITTING,
            epoch=self.epoch,
            created_at=self.now,
            submitted_at=self.now,
            updated_at=self.now,
            list_id=f"L{number}" if leg is Leg.TARGET or case.pairs else None,
        )
        return number

    def write(self, case: Case, step: Step) -> None:
        stop = self.stop or Stop(1, None, None, None, 0, StopState.NONE, None, None, self.now)
        deal = self.deal
        changes: dict[str, object] = {}
        if step.do is Do.BEGIN:
            changes = {
                "level": deal.stop_loss_price,
                "target": deal.take_profit_price,
                "trailing_distance": deal.trailing_stop_distance,
                "state": StopState.GAP,
                "gap_deadline": step.until_ms,
            }
        elif step.do is Do.REOPEN:
            self.deal, changes = replace(deal, is_active=True, status=DealStatus.RUNNING), {"state": StopState.EXITING}
        elif step.do is Do.RAISE:
            changes = {"level": step.level}
            if case.stop_type is not None and stop.state is not StopState.GAP:
                changes |= {"state": StopState.GAP, "gap_deadline": step.until_ms}
        elif step.do is Do.FALL_BACK:
            changes = {"level": step.level}
        elif step.do is Do.GAP:
            changes = {"state": StopState.GAP, "gap_deadline": step.until_ms}
        elif step.do is Do.WATCH:
            changes = {"state": StopState.NONE}
        elif step.do is Do.REST and step.order is not None:
            self.deal = replace(deal, stop_loss_price=step.order.stop_price)
            changes = {"state": StopState.RESTING, "order_id": step.order.id}
        elif step.do is Do.LEAVE:
            changes = {"state": StopState.EXITING}
        elif step.do is Do.DUST:
            self.dust += case.held
        elif step.do is Do.END:
            self.deal, changes = replace(deal, is_active=False, status=DealStatus.STOPPED), {"state": StopState.NONE}
        if changes:
            stop = replace(stop, **changes, version=stop.version + 1, updated_at=self.now)  # type: ignore[arg-type]
            self.stop = replace(stop, gap_deadline=stop.gap_deadline if stop.state is StopState.GAP else None)
