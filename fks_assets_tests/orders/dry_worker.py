"""A process of the desk that opens accounts under all settings of the three switches, trades, and waits to be looked into.

Arguments: home, database URL, simulator URL. It prints a line after the seven combinations that must stay dry, waits for one on
its standard input, and then goes on to the eighth.
"""

import asyncio
import itertools
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from fks_assets.clock import now_ms
from fks_assets.desk.floor import Floor
from fks_assets.desk.opening import open_gateway
from fks_assets.desk.prices import Moment
from fks_assets.desk.reconcile import reconcile
from fks_assets.errors import Denied
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, OrderType, Side
from fks_assets.settings import Settings, read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import enable
from fks_assets.stores.ledger.deals import NewDeal, open_deal
from fks_assets.stores.ledger.orders import OrderIntent

MARKET = Market("BTC", "USDT", "simulated")
COMBINATIONS = [combination for combination in itertools.product((False, True), repeat=3) if not all(combination)]
PRICE = 45_000.0


class OnePrice:
    """A price feed with one price."""

    async def quotes(self, markets: Sequence[Market]) -> Mapping[Market, Quote]:
        return {market: Quote.of_price(PRICE, now_ms()) for market in markets}

    async def since(self, market: Market, began_ms: int) -> Sequence[Moment]:
        return []

    def last_close(self, market: Market) -> Quote | None:
        return None


def name_of(settings: bool, account: bool, environment: bool) -> str:
    return f"switches_{settings:d}{account:d}{environment:d}"


def desk_settings(home: str, database_url: str, simulator_url: str) -> Settings:
    """Return the shipped desk with an account for each combination: live or paper by its settings."""
    environment = {
        "FKS_HOME": home,
        "FKS_DATABASE_URL": database_url,
        "FKS_EXCHANGES__simulated__url": simulator_url,
        "FKS_EXCHANGES__simulated__deadline_seconds": "3",
    }
    for combination in (*COMBINATIONS, (True, True, True)):
        start = f"FKS_ACCOUNTS__{name_of(*combination)}"
        environment |= {f"{start}__mode": "live" if combination[0] else "paper", f"{start}__strategies__breakout": "1"}
        if not combination[0]:
            environment[f"{start}__initial_cash"] = "10000"
    return read_settings(environment, Path(home))


async def trade(floor: Floor, name: str) -> str:
    """Buy, place a stop and cancel it in an account; return what happened, in a word."""
    try:
        async with open_gateway(floor, floor.account(name), holder="test") as gateway:
            assert (await reconcile(gateway)).passed
            new = NewDeal(
                account=name,
                strategy="breakout",
                provider="simulated",
                market=MARKET,
                timeframe="1h",
                signal_time=3_600_000,
                side=Side.BUY,
                price=Decimal(45_000),
                quantity=Decimal("0.01"),
                confidence=Decimal(1),
                reason="test",
                at_ms=floor.clock(),
            )
            with floor.database.transaction() as connection:
                deal = open_deal(connection, new)[0]
            intent = OrderIntent(
                deal, Leg.ENTRY, Side.BUY, OrderType.MARKET, deal.quantity, "test", floor.clock(), reference_price=Decimal(45_000)
            )
            order = await gateway.submit(intent)
            level = Decimal(30_000)
            stop = OrderIntent(
                deal, Leg.STOP, Side.SELL, OrderType.STOP_MARKET, deal.quantity, "test", floor.clock(), stop_price=level
            )
            await gateway.cancel((await gateway.submit(stop)).id)
            return f"{gateway.venue.__class__.__name__} {order.status}"
    except Denied as error:
        return f"Denied: {error}"


def main(home: str, database_url: str, simulator_url: str) -> None:
    settings = desk_settings(home, database_url, simulator_url)
    database = Database(database_url)

    def run(combination: tuple[bool, bool, bool]) -> None:
        name = name_of(*combination)
        variables = {"FKS_LIVE": "yes"} if combination[2] else {}
        floor = Floor(database, settings, lambda exchange: OnePrice(), now_ms, variables)
        floor.account(name)
        with database.transaction() as connection:
            enable(connection, name, combination[1], by="test", reason="a switch", at_ms=now_ms())
        print(combination, asyncio.run(trade(floor, name)), flush=True)

    for combination in COMBINATIONS:
        run(combination)
    print("dry", flush=True)
    sys.stdin.readline()
    run((True, True, True))
    print("live", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
