"""A round of guarding in a process of its own, which dies where the test says."""

import os
from dataclasses import dataclass

from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.protect import protect
from fks_assets.simulator.client import SimulatorClient
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.fences import Fence
from fks_assets_tests.guarding.guarded_desk import Told, quote_now
from fks_assets_tests.orders.trading_desk import TradingDesk


@dataclass(frozen=True)
class Doomed:
    """Where the desk is, what price it is told (None: none), and the point at which its process dies."""

    database_url: str
    simulator_url: str
    dialect: str
    account: str
    ahead_ms: int
    fence: Fence
    told: Told | None
    point: str


def main(doomed: Doomed) -> None:
    """Do one round in this process, and die in it."""
    desk = TradingDesk(SimulatorClient(doomed.simulator_url), Database(doomed.database_url), doomed.dialect, doomed.account)
    desk.ahead_ms = doomed.ahead_ms

    async def work(gateway: OrderGateway) -> None:
        os.environ["FKS_CRASHPOINT"] = doomed.point
        await protect(gateway, {} if doomed.told is None else {desk.market: await quote_now(gateway, desk, doomed.told)})

    desk.run(work, fence=doomed.fence, reconciled=False)
