"""A process of the desk that says when it is about to send, waits for a word, and then goes on.

Arguments: database URL, simulator URL, how far the exchange's time is ahead (ms).
"""

import sys

from fks_assets.desk import gateway as gateway_module
from fks_assets.desk.gateway import OrderGateway
from fks_assets.errors import Denied
from fks_assets.simulator.client import SimulatorClient
from fks_assets.stores.database import Database
from fks_assets_tests.orders.trading_desk import TradingDesk


def main(database_url: str, simulator_url: str, ahead_ms: str) -> None:
    desk = TradingDesk(SimulatorClient(simulator_url), Database(database_url))
    desk.ahead_ms = int(ahead_ms)

    def wait(name: str) -> None:
        if name == "submit.submitting":
            print(desk.orders()[-1].id, "about to send", sep="\n", flush=True)
            sys.stdin.readline()

    gateway_module.crashpoint = wait  # type: ignore[assignment]

    async def work(gateway: OrderGateway) -> None:
        await gateway.submit(desk.intent(desk.deal()))

    try:
        desk.run(work)
        print("sent", flush=True)
    except Denied as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    print("over", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
