"""Whatever happens between a deal, its ledger and its venue: it is guarded or known not to be, and never sold twice."""

from decimal import Decimal
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fks_assets.desk.guard_case import Do, Step
from fks_assets.exchanges.orders.venue import Features
from fks_assets.quant.orders import Leg, OrderStatus, Side
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.guarding.cases import BINANCE, KRAKEN, STOP_LIMITS, WALLEX
from fks_assets_tests.guarding.world import OUTCOMES, World

ON_BOOKS = (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)


class Guarding(RuleBasedStateMachine):
    """The world does what it likes, in any order; the desk does rounds, and dies in the middle of some."""

    features: ClassVar[Features] = BINANCE
    side: ClassVar[Side] = Side.BUY
    steps: ClassVar[int] = 0

    @initialize(has_target=st.booleans(), trailing=st.booleans(), lots=st.sampled_from([40, 40, 40, 25, 0]))
    def begin(self, has_target: bool, trailing: bool, lots: int) -> None:
        self.world = World(self.features, self.side, has_target, trailing)
        self.world.fill_entry(Decimal(lots) / 10)
        self.world.compare()

    @rule(lots=st.integers(1, 40))
    def something_is_bought(self, lots: int) -> None:
        self.world.fill_entry(Decimal(lots) / 10)

    @rule(price=st.integers(140, 260), part=st.sampled_from(["1", "0.5", "0.1", "0"]))
    def the_price_moves(self, price: int, part: str) -> None:
        self.world.move(Decimal(price) / 2, Decimal(part))

    @rule(milliseconds=st.sampled_from([1, 2_000, 5_000, 12_000, 30_000, 150_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.world.pass_time(milliseconds)

    @rule()
    def late_requests_arrive(self) -> None:
        self.world.arrive()

    @rule(candle=st.integers(0, 5))
    def its_strategy_says_sell(self, candle: int) -> None:
        if candle == 5:
            self.world.leave()

    @rule(answers=st.lists(st.sampled_from(OUTCOMES), max_size=6), compared=st.booleans(), blind=st.booleans())
    def the_desk_does_a_round_that_goes_wrong(self, answers: list[str], compared: bool, blind: bool) -> None:
        self.the_desk_does_a_round(answers, compared, blind)

    @rule()
    def the_desk_does_a_good_round(self) -> None:
        self.the_desk_does_a_round([], compared=True, blind=False)

    def the_desk_does_a_round(self, answers: list[str], compared: bool, blind: bool) -> None:
        if compared:
            self.world.compare()
        for step in self.world.round(answers, blind=blind):
            self.check(step)

    @invariant()
    def a_step_is_over(self) -> None:
        type(self).steps += 1

    @invariant()
    def nothing_is_sold_that_is_not_held(self) -> None:
        if hasattr(self, "world"):
            held, on_sale = self.world.held(), self.world.on_sale()
            assert on_sale <= max(held, Decimal(0)), self.world.steps[-12:]
            assert held >= 0, self.world.steps[-12:]

    def check(self, step: Step) -> None:
        world = self.world
        self.nothing_is_sold_that_is_not_held()
        position, stop = world.position(), world.stop
        if position is None or position.quantity <= 0 or not world.deal.is_active or stop is None:
            return
        rests = any(order.leg is Leg.STOP and order.status in ON_BOOKS for order in world.orders.values())
        assert stop.state is not StopState.GAP or stop.gap_deadline is not None
        allowed = {StopState.GAP, StopState.EXITING} | ({StopState.NONE} if not self.features.stop_limit else set())
        is_small = world.case_now().is_dust
        # The step that finds a stop gone is about to note it.
        ended = step.do in (Do.SETTLED, Do.WAIT)
        assert rests or stop.state in allowed or is_small or not ended, world.steps[-12:]

    def teardown(self) -> None:
        """Once the venue answers well again, a few rounds bring the deal to rest: guarded, or out of it."""
        if not hasattr(self, "world"):
            return
        world = self.world
        last: Step | None = None
        for _ in range(12):
            world.pass_time(30_000)
            world.arrive()
            world.compare()
            for last in world.round(()):
                self.check(last)
        assert last is not None
        over = not world.deal.is_active
        waits = world.position() is None or world.orders[1].active
        assert over or waits or last.do is Do.SETTLED or "executing" in last.words, world.steps[-12:]
        if last.do is Do.SETTLED and self.features.stop_limit:
            live = [
                number for number, each in world.truth.items() if each.state == "live" and world.orders[number].leg is Leg.STOP
            ]
            assert len(live) == 1 and world.on_sale() >= min(world.held(), world.case_now().sellable), world.steps[-12:]
        if over:
            assert world.on_sale() == 0 and world.held() == 0, world.steps[-12:]


VENUES = {"pairs": BINANCE, "stops": KRAKEN, "stop limits": STOP_LIMITS, "no stops": WALLEX}


def machine(features: Features, side: Side) -> type[Guarding]:
    return type("Machine", (Guarding,), {"features": features, "side": side})


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("venue", VENUES)
def test_a_position_is_guarded_or_known_not_to_be_and_never_sold_twice(venue: str, side: Side):
    """O4, O5, C13: over lost, late and refused orders, deaths, partial fills and any price; a round always ends."""
    run_state_machine_as_test(
        machine(VENUES[venue], side), settings=settings(max_examples=150, stateful_step_count=30, deadline=None)
    )


@pytest.mark.nightly
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("venue", VENUES)
def test_many_more_histories(venue: str, side: Side):
    """O4, O5: 100,000 steps for each kind of venue and side."""
    kind = machine(VENUES[venue], side)
    run_state_machine_as_test(kind, settings=settings(max_examples=2_500, stateful_step_count=50, deadline=None))
    assert kind.steps > 100_000
