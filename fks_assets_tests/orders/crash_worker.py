"""A run of the desk in a process of its own, which dies where the test says."""

import os
from dataclasses import dataclass
from decimal import Decimal

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.reconcile import reconcile
from fks_assets.quant.orders import Leg, OrderType
from fks_assets.simulator.client import SimulatorClient
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import read_deal
from fks_assets.stores.ledger.fences import Fence
from fks_assets.stores.ledger.orders import OrderIntent, read_order
from fks_assets_tests.orders.trading_desk import TradingDesk


@dataclass(frozen=True)
class Task:
    """What a process is to do: `name` is submit, pair, replace, cancel or reconcile; it dies at `point`, if that is given."""

    name: str
    database_url: str
    simulator_url: str
    dialect: str
    account: str
    ahead_ms: int
    fence: Fence
    deal_id: int
    order_id: int | None
    price: str
    point: str | None = None


def intents_of(task: Task, desk: TradingDesk) -> list[OrderIntent]:
    """Return the intents of a task: the same, whenever they are asked for."""
    deal, price = read_deal(desk.database, task.deal_id), Decimal(task.price)
    low, high = ((price * Decimal(part)).quantize(Decimal(1)) for part in ("0.9", "1.1"))
    stop = desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=low)
    if task.name == "submit":
        return [desk.intent(deal)]
    if task.name == "pair":
        return [stop, desk.intent(deal, Leg.TARGET, OrderType.LIMIT, price=high)]
    if task.name == "replace":
        nearer = (price * Decimal("0.95")).quantize(Decimal(1))
        return [desk.intent(deal, Leg.STOP, OrderType.STOP_MARKET, stop_price=nearer, generation=1)]
    return []


async def perform(task: Task, desk: TradingDesk, gateway: OrderGateway) -> None:
    """Do the task with a gateway."""
    intents = intents_of(task, desk)
    if task.name == "submit":
        await gateway.submit(intents[0])
    elif task.name == "pair":
        await gateway.submit_pair(*intents)
    elif task.name == "replace":
        await gateway.replace(read_order(desk.database, task.order_id or 0), intents[0])
    elif task.name == "cancel":
        await gateway.cancel(task.order_id or 0)
    else:
        await reconcile(gateway)


def main(task: Task) -> None:
    """Do the task in this process, and die where it says."""
    desk = TradingDesk(SimulatorClient(task.simulator_url), Database(task.database_url), task.dialect, task.account)
    desk.ahead_ms = task.ahead_ms

    async def work(gateway: OrderGateway) -> None:
        await perform(task, desk, gateway)

    if task.point is not None:
        os.environ["FKS_CRASHPOINT"] = task.point
    desk.run(work, fence=task.fence, reconciled=False)
