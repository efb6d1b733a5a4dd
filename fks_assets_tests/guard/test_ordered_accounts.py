"""Paper and live accounts: the guard tells, and asks for a run only when the venue has something to do."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fks_assets.desk.stop_guard import StopGuard
from fks_assets.exchanges.tickers import Tickers
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg
from fks_assets.settings.guard import GuardSettings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import Deal, read_deal
from fks_assets.stores.ledger.halts import halt
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.ledger.stops import StopState, set_stop
from fks_assets.stores.notifications import Notification, read_notifications
from fks_assets_tests.guard.world import ENOUGH_SECONDS, SaidPrices
from fks_assets_tests.guarding.guarded_desk import at_exchange, checked, enter, guard, position_of, stop_of
from fks_assets_tests.orders.trading_desk import TradingDesk
from fks_assets_tests.portfolio.accounts import account_desk, faults, look, run
from fks_assets_tests.scenarios.stopped_clock import StoppedDesk


class LiveWorld:
    """A live account at the simulated exchange, and a guard that is told other prices than those at which it trades."""

    def __init__(self, desk: TradingDesk) -> None:
        self.desk, self.prices = desk, SaidPrices(desk.clock())
        self.guard = StopGuard(desk.database, GuardSettings(), self.prices.read, clock=self.prices.clock, pause=self.prices.pause)

    def enter(self, **levels: Any) -> Deal:
        deal = enter(self.desk, **levels)
        guard(self.desk)
        assert stop_of(self.desk, deal).state is StopState.RESTING
        self.prices.now_ms = max(self.prices.now_ms, self.desk.clock())
        return read_deal(self.desk.database, deal.id)

    def look(self, part: float, deal: Deal, seconds: float = 5.0) -> Any:
        """Look with a price that is this part of the stop's level."""
        self.prices.now_ms += round(seconds * 1000)
        assert deal.stop_loss_price is not None
        self.prices.say(round(float(deal.stop_loss_price) * part, 2), market=self.desk.market)
        return self.guard.look()

    def notes(self) -> list[Notification]:
        return read_notifications(self.desk.database, ["stop", "trade"])


@pytest.fixture
def live(database: Database) -> Iterator[LiveWorld]:
    for desk in checked(database, "binance"):
        yield LiveWorld(desk)


def test_a_live_stop_that_executes_is_one_alert_no_order_of_ours_and_one_result(live: LiveWorld) -> None:
    """C11, S1.14, S3.9: 100 looks below the stop are 1 alert, 1 exit by the exchange, 1 message of what it brought."""
    deal = live.enter(stop="0.997", target="1.5")
    while at_exchange(live.desk):
        live.desk.jump(300)
    live.prices.now_ms = live.desk.clock()
    first = live.look(0.99, deal)
    assert (first.told, first.asks) == (1, ()), "it rests at the exchange, and has its time to execute"
    guard(live.desk)
    assert position_of(live.desk, deal).quantity == 0
    assert sum(live.look(0.99, deal).told for _ in range(99)) == 1
    alert, result = live.notes()
    assert alert.message.startswith("🛑 STOP LOSS TRIGGERED!") and alert.severity == "URGENT"
    assert "out at" in result.message and result.severity == "INFO"
    assert [order.leg for order in read_orders(live.desk.database, deal_id=deal.id) if order.executed_quantity] == [
        Leg.ENTRY,
        Leg.STOP,
    ]


def test_a_stop_at_the_exchange_that_is_passed_and_does_not_execute_is_told_and_asks_for_a_run(live: LiveWorld) -> None:
    """C10: 15 s after the price was first beyond it; once, and the run is asked for by one key a minute."""
    deal = live.enter(stop="0.9")
    assert live.look(1.05, deal).told == 0
    looks = [live.look(0.99, deal) for _ in range(24)]
    assert [look.told for look in looks[:5]] == [1, 0, 0, 1, 0] and sum(look.told for look in looks) == 2
    assert all(look.asks == () for look in looks[:3]) and all(len(look.asks) == 1 for look in looks[3:])
    assert len({look.asks[0].key for look in looks[3:]}) <= 3
    note = live.notes()[-1]
    assert note.severity == "URGENT" and note.message.startswith("⚠️ Stop that does not execute!")
    assert live.look(1.02, deal).told == 1, "the price is back"
    assert live.look(1.02, deal).asks == ()


def test_a_stop_of_an_account_that_has_left_the_settings_asks_nobody_and_says_so(live: LiveWorld) -> None:
    """F9: no run can be asked for, so it must not be said that the position is being left."""
    deal = live.enter(stop="0.9")
    live.guard = StopGuard(
        live.desk.database, GuardSettings(), live.prices.read, accounts=(), clock=live.prices.clock, pause=live.prices.pause
    )
    looks = [live.look(part, deal) for part in (1.05, *[0.99] * 6)]
    assert all(look.asks == () for look in looks)
    words = live.notes()[0].message
    assert "stay: account main is not in the settings, so nobody leaves them" in words and "being left" not in words


def test_a_single_wrong_print_asks_for_nothing(live: LiveWorld) -> None:
    """T5, E8: of a live account neither alert nor run."""
    deal = live.enter(stop="0.9", trailing="0.2")
    live.look(1.05, deal)
    for wrong in (0.0, 1.0, 9_000_000.0):
        live.prices.say_once(wrong, market=live.desk.market)
        found = live.look(1.05, deal)
        assert (found.told, found.asks) == (0, ())


def test_a_price_that_raises_a_trailing_stop_asks_once_for_each_version_of_it(live: LiveWorld) -> None:
    """S3.8: replaced at the exchange by a run; not again before the stop has changed, and not within 30 s of a change."""
    deal = live.enter(stop="0.9", trailing="0.05")
    assert live.look(1.02, deal).asks == ()
    raised = [live.look(1.15 + number / 1000, deal, seconds=10) for number in range(6)]
    keys = [ask.key for found in raised for ask in found.asks]
    assert len(keys) == 4 and len(set(keys)) == 1
    assert raised[-1].asks[0].why.endswith("the trailing stop is nearer")


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    with account_desk(tmp_path_factory.mktemp("guarded"), postgres_home, "guarded_paper") as desk:
        for account in look(desk, "deals_sensor"):
            assert faults(run(desk, "trading", account)) == []
        yield desk


def guard_of(desk: StoppedDesk) -> StopGuard:
    """A guard that reads the prices of the simulated exchange; waiting moves the clock of both."""

    async def pause(seconds: float) -> None:
        desk.set_clock(desk.now_ms + round(seconds * 1000))

    async def read(exchange: str, markets: Sequence[Market], seconds: float) -> Tickers:
        assert exchange == "simulated"
        return await desk.desk.market_data.tickers(exchange, markets, ENOUGH_SECONDS)

    return StopGuard(desk.desk.stores.database, GuardSettings(), read, clock=lambda: desk.now_ms, pause=pause)


def tighten(desk: StoppedDesk, deal_id: int) -> None:
    """Move the stop of a deal to a little below the price and its target far away, and let a run put them there."""
    database = desk.desk.stores.database
    (position,) = read_positions(database, deal_ids=[deal_id])
    assert position.mark_price is not None
    level, target = ((position.mark_price * Decimal(part)).quantize(Decimal("0.0001")) for part in ("0.998", "2"))
    with database.transaction() as connection:
        set_stop(connection, deal_id, at_ms=desk.now_ms, level=level, target=target)
    assert faults(run(desk, "order_monitor")) == []


def test_a_paper_account_is_left_once_by_a_run_that_the_guard_asked_for(paper: StoppedDesk) -> None:
    """C11, S1.14, S3.9: at the prices of the simulated exchange, five minutes by five: 1 alert, 1 run, 1 exit, 1 result.

    C16: the desk is halted all the while; stops are guarded and positions are left all the same.
    """
    database, watching = paper.desk.stores.database, guard_of(paper)
    (held,) = read_positions(database, is_open=True)
    with database.transaction() as connection:
        halt(connection, "desk", "", reason="a drill", by="test", at_ms=paper.now_ms)
    tighten(paper, held.deal_id)
    asked, looks = [], 0
    while read_positions(database, is_open=True):
        looks += 1
        assert looks < 500, "the price has not fallen by 0.2 %"
        paper.advance(5 / 60)
        for ask in watching.look().asks:
            asked.append(ask.why)
            assert faults(run(paper, "order_monitor", ask.account)) == []
    for _ in range(100):
        watching.look()
        paper.set_clock(paper.now_ms + 5000)
    assert asked == [f"deal {held.deal_id}: the price is beyond the stop"]
    left = [order for order in read_orders(database, deal_id=held.deal_id) if order.executed_quantity]
    assert [order.leg for order in left] == [Leg.ENTRY, Leg.STOP]
    alert, result = read_notifications(database, ["stop", "trade"])
    assert alert.severity == "URGENT" and alert.message.startswith("🛑 STOP LOSS TRIGGERED!")
    assert result.severity == "INFO" and "out at" in result.message


def test_the_sensor_asks_by_a_key_that_stays_and_never_beside_a_run(paper: StoppedDesk) -> None:
    """P7, F15: a second look does not ask twice; nothing is asked while a run is under way."""
    from fks_assets.assets.portfolio.stop_loss import run_requests
    from fks_assets.desk.stop_judgement import Ask

    instance = paper.desk.instance
    asks = [Ask(7, "main", "deal 7: the price is beyond the stop", "7:STOPPED:1:0"), Ask(8, "main", "deal 8: more", "8:x")]
    (first,) = run_requests(instance, "order_monitor", asks)
    (again,) = run_requests(instance, "order_monitor", list(reversed(asks)))
    (changed,) = run_requests(instance, "order_monitor", [replace(asks[0], key="7:STOPPED:1:1"), asks[1]])
    assert first.partition_key == "main" and first.run_key == again.run_key != changed.run_key
    job = paper.desk.definitions.resolve_job_def("order_monitor")
    going = instance.create_run_for_job(job, tags={"dagster/partition": "main"}, status=dg.DagsterRunStatus.STARTED)
    assert list(run_requests(instance, "order_monitor", asks)) == []
    instance.delete_run(going.run_id)


def test_the_sensor_of_the_desk_looks_and_says_what_it_saw(paper: StoppedDesk) -> None:
    definitions = paper.desk.definitions
    resources = {"stores": paper.desk.stores, "market_data": paper.desk.market_data}
    with dg.build_sensor_context(
        paper.desk.instance, sensor_name="stop_loss", resources=resources, definitions=definitions
    ) as context:
        answer = definitions.resolve_sensor_def("stop_loss").evaluate_tick(context)
    assert answer.run_requests == [] and answer.skip_message == "nothing is held"
