"""Kill the process at every named point, under every kind of answer, and see what the next one makes of it."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.reconcile import reconcile
from fks_assets.quant.orders import Leg, OrderStatus, OrderType
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.orders import Order
from fks_assets_tests.orders.crash_worker import Task, main, perform
from fks_assets_tests.orders.trading_desk import TradingDesk, trading_desk

SENDING = ("begin", "intent.uncommitted", "intent", "submitting.uncommitted", "submitting", "fenced", "answered")
SETTLING = ("settled.uncommitted", "settled")
LOOKING = ("look.begin", "look.asked", "look.uncommitted", "look.settled")
POINTS: dict[str, tuple[str, ...]] = {
    "submit": ("submit.permitted", *(f"submit.{point}" for point in (*SENDING, *SETTLING))),
    "pair": tuple(f"pair.{point}" for point in (*SENDING, *SETTLING)),
    "replace": (*(f"replace.{point}" for point in (*SENDING, *SETTLING)), *LOOKING),
    "cancel": ("cancel.begin", "cancel.noted", "cancel.answered", "cancel.settled", *LOOKING),
    "reconcile": (
        *("reconcile.begin", "reconcile.recovered.uncommitted", "reconcile.recovered", "reconcile.trades.uncommitted"),
        *("reconcile.trades", "reconcile.adopt.uncommitted", "reconcile.orders", "reconcile.looked", "reconcile.pulled"),
        *("reconcile.compared", "reconcile.record.uncommitted", "reconcile.recorded", *LOOKING),
    ),
}
LOST = {"how": "reset", "first": 1}
ANSWERS: dict[str, dict[str, Any] | None] = {
    "taken": None,
    "refused": {"action": "reject", "first": 1},
    "never arrived": {"action": "drop_before", **LOST},
    "lost": {"action": "drop_after_accept", **LOST},
    "lost and hidden for 45 s": {"action": "drop_after_accept", **LOST, "visible_after_seconds": 45},
    "bad gateway after it was taken": {"action": "drop_after_accept", "first": 1, "how": "status"},
}
ENDPOINT = {
    "submit": "POST order",
    "pair": "POST orderList/oco",
    "replace": "POST order/cancelReplace",
    "cancel": "DELETE order",
    "reconcile": "POST order",
}
ALIVE = {"NEW", "PARTIALLY_FILLED"}


@dataclass(frozen=True)
class Case:
    name: str
    point: str
    answer: str


def cases(name: str) -> list[Case]:
    """Return every point under every answer; a comparison sends nothing that could be answered differently."""
    answers = {"reconcile": ["taken"], "cancel": ["taken", "never arrived", "lost"]}.get(name, list(ANSWERS))
    return [Case(name, point, answer) for point in POINTS[name] for answer in answers]


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Processes that start from one that has loaded everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fks_assets_tests.orders.crash_worker", "ccxt.async_support.binance"])
    yield context


@contextmanager
def prepared(database: Database, desk: TradingDesk, case: Case, number: int) -> Iterator[tuple[TradingDesk, Task]]:
    """Give an account of its own, with a position and a stop where the case needs them, and the task."""
    own = replace(desk, account=f"c{number}", signals=number * 100)
    own.ahead_ms = desk.ahead_ms
    own.open_account({"USDT": 1_000_000, "BTC": 1})
    deal, order = own.deal(), None
    price = own.last_price()

    async def enter(gateway: OrderGateway) -> Order | None:
        await gateway.submit(own.intent(deal))
        if case.name not in ("replace", "cancel"):
            return None
        level = (price * Decimal("0.9")).quantize(Decimal(1))
        return await gateway.submit(own.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=level))

    if case.name != "submit":
        order = own.run(enter)
    if case.name == "reconcile":
        own.run(lambda gateway: _rest_and_lose(own, gateway, price // 4 * 3))
        own.simulator.place_by_hand(own.key, "BTC-USDT", "SELL", "MARKET", "0.1")
        own.simulator.place_by_hand(own.key, "BTC-USDT", "BUY", "LIMIT", "0.1", price // 4 * 3)
    fence = own.take_fence("doomed")
    if case.name != "reconcile":
        assert own.run(reconcile, fence=fence, reconciled=False).passed
    task = Task(
        name=case.name,
        database_url=database.url,
        simulator_url=own.simulator.url,
        dialect=own.dialect,
        account=own.account,
        ahead_ms=own.ahead_ms,
        fence=fence,
        deal_id=deal.id,
        order_id=None if order is None else order.id,
        price=str(price),
        point=case.point,
    )
    rule = ANSWERS[case.answer]
    if rule is not None:
        own.simulator.add_faults({**rule, "endpoint": ENDPOINT[case.name]})
    yield own, task
    own.simulator.remove_faults()
    desk.ahead_ms = own.ahead_ms


async def _rest_and_lose(own: TradingDesk, gateway: OrderGateway, price: Decimal) -> None:
    """Let an order of ours rest, be filled in part unseen, and another one never arrive."""
    resting = await gateway.submit(own.intent(own.deal(), type_=OrderType.LIMIT, price=price))
    (there,) = own.simulator.orders(account=own.key, client_id=resting.client_order_id)
    own.simulator.fill_by_hand(there["number"], price, "0.004")
    own.simulator.add_faults({**(ANSWERS["never arrived"] or {}), "endpoint": "POST order"})
    await gateway.submit(own.intent(own.deal()))


def faults_after(own: TradingDesk, task: Task) -> list[str]:
    """Return what is wrong once the next processes have looked, and the task has been done again."""
    again = replace(task, point=None)

    async def repeat(gateway: OrderGateway) -> None:
        await perform(again, own, gateway)

    for _ in range(2):
        for _ in range(4):
            own.jump(30)
            assert own.reconcile().passed
        own.run(repeat)
    for _ in range(4):
        own.jump(30)
        assert own.reconcile().passed
    unsettled = [order for order in own.orders() if order.status in (OrderStatus.SUBMITTING, OrderStatus.UNKNOWN)]
    there = {one["client_id"]: one for one in own.simulator.orders(account=own.key, origin="api")}
    by_hand = len(own.simulator.orders(account=own.key, origin="human"))
    here = {order.client_order_id: order for order in own.orders() if order.leg is not Leg.EXTERNAL}
    wrong = [f"{order.client_order_id} is {order.status}" for order in unsettled]
    wrong += [f"{name} is at the exchange and not here" for name in there.keys() - here.keys()]
    for name, order in here.items():
        at_exchange = there.get(name)
        if order.exchange_order_id is not None and at_exchange is None:
            wrong.append(f"{name} is here and not at the exchange")
        if at_exchange is None:
            if order.active or order.executed_quantity:
                wrong.append(f"{name} is {order.status} and was never taken")
        elif order.active != (at_exchange["status"] in ALIVE) or order.executed_quantity != Decimal(at_exchange["executed"]):
            wrong.append(f"{name} is {order.status} here and {at_exchange['status']} there")
    accepted = own.simulator.orders(account=own.key, origin="api")
    if len(accepted) != len(there) or own.simulator.duplicates():
        wrong.append("an order was taken twice")
    if len([order for order in own.orders() if order.leg is Leg.EXTERNAL]) != by_hand:
        wrong.append("not every order of another hand is known as such")
    if task.name == "cancel" and not any(order.status is OrderStatus.CANCELED for order in here.values()):
        wrong.append("the order was not cancelled in the end")
    own.check_books()
    return wrong


def run_cases(database: Database, processes: Any, chosen: list[Case]) -> None:
    failed: list[str] = []
    with trading_desk(database) as desk:
        for number, case in enumerate(chosen):
            with prepared(database, desk, case, number) as (own, task):
                process = processes.Process(target=main, args=(task,))
                process.start()
                process.join(60)
                if process.exitcode != -signal.SIGKILL:
                    failed.append(f"{case}: ended with {process.exitcode}")
                failed += [f"{case}: {each}" for each in faults_after(own, task)]
    assert failed == []


def test_there_are_enough_points_and_cases():
    """At least 25 named points and 150 cases."""
    everything = [case for name in POINTS for case in cases(name)]
    assert len({case.point for case in everything}) >= 25
    assert len(everything) >= 150


@pytest.mark.parametrize("name", POINTS)
def test_a_killed_process_leaves_nothing_that_the_next_one_cannot_settle(database: Database, processes: Any, name: str):
    """O1, O2, C14: no order twice, none untracked, books exact; a spread of the cases, all of them at night."""
    everything = cases(name)
    run_cases(database, processes, everything[:: max(1, len(everything) // 5)])


@pytest.mark.nightly
@pytest.mark.parametrize("name", POINTS)
def test_every_point_under_every_answer(database: Database, processes: Any, name: str):
    """O1, O2, C14: the whole matrix."""
    run_cases(database, processes, cases(name))
