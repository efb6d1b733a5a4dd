"""A strategy that may not trade any more enters nothing that was decided before, and leaves all that it holds."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from fks_assets.assets.market_data.market_rules import fetch_rules
from fks_assets.assets.portfolio.obstacles import desk_obstacles
from fks_assets.clock import now_ms
from fks_assets.desk.cycle import open_account
from fks_assets.desk.floor import Floor
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import read_settings
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.ledger.accounts import enable
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential
from fks_assets.stores.ledger.deals import Deal, open_deal, read_deal
from fks_assets.stores.ledger.orders import Order, read_orders
from fks_assets.stores.ledger.stops import StopState, set_stop
from fks_assets.stores.strategy_records import switch
from fks_assets_tests.portfolio.accounts import certify_all
from fks_assets_tests.stores.ledger.decisions import bought_now

KEY, SECRET = "sim-leave", "a-secret-of-the-simulated-exchange"
BTC, ETH = parse_market("BTC-USDT@simulated"), parse_market("ETH-USDT@simulated")


@dataclass
class Live:
    """A live account at the simulated exchange, whose desk asks all that it asks."""

    floor: Floor

    def decided(self, market: Market, strategy: str = "technical") -> int:
        """Return the deal that was decided on a moment ago."""
        price = round(asyncio.run(self.floor.prices("simulated").quotes([market]))[market].close)
        deal = bought_now(market, price, strategy)
        with self.floor.database.transaction() as connection:
            return open_deal(connection, deal)[0].id

    def trade(self) -> None:
        async def once() -> None:
            async with open_account(self.floor, "main", holder="test") as desk:
                await desk.trade(desk_obstacles(self.floor))

        asyncio.run(once())

    def switched(self, enabled: bool) -> None:
        with self.floor.database.transaction() as connection:
            switch(connection, "technical", enabled, reason="it lost too much", by="Ada", at_ms=now_ms())

    def deal(self, deal_id: int) -> Deal:
        return read_deal(self.floor.database, deal_id)

    def orders(self, deal_id: int) -> list[Order]:
        return read_orders(self.floor.database, deal_id=deal_id)


@pytest.fixture
def live(home: Path, database_url: str) -> Iterator[Live]:
    environment = {
        "FKS_HOME": str(home),
        "FKS_DATABASE_URL": database_url,
        "FKS_ACCOUNTS__main__mode": "live",
        "FKS_ACCOUNTS__main__initial_cash": "0",
        "FKS_LIVE": "yes",
    }
    with running_simulator(start_ms=now_ms()) as simulator:
        settings = read_settings({**environment, "FKS_EXCHANGES__simulated__url": simulator.url}, home)
        stores = Stores(settings)
        market_data = MarketData(settings, stores)
        fetch_rules(stores, market_data)
        certify_all(stores)
        made = market_data.trading_floor()
        floor = Floor(made.database, made.settings, made.prices, made.clock, environment)
        floor.account("main")
        simulator.add_account(KEY, SECRET, balances={"USDT": "10000"}, fee_rule="quote")
        with stores.database.transaction() as connection:
            key = ApiKey(SecretStr(KEY), SecretStr(SECRET))
            add_credential(connection, load_keys(settings.home, {}), "main", key, by="test", at_ms=now_ms())
            enable(connection, "main", True, by="test", reason="test", at_ms=now_ms())
        yield Live(floor)


def test_a_strategy_that_is_switched_off_after_the_decision_enters_nothing_and_leaves_what_it_holds(live: Live) -> None:
    """S3.13, F14: `fks strategies disable` or a failed validation between the decision and its order. Another one goes on."""
    held = live.decided(BTC)
    live.trade()
    assert [order.leg for order in live.orders(held)] == [Leg.ENTRY, Leg.STOP, Leg.TARGET]
    waiting, other = live.decided(ETH), live.decided(ETH, "breakout")
    live.switched(False)
    with live.floor.database.transaction() as connection:
        set_stop(connection, held, at_ms=now_ms(), state=StopState.EXITING)
    live.trade()
    refused = live.deal(waiting)
    assert refused.refusal is not None and refused.refusal.endswith(" by Ada: it lost too much")
    assert (refused.is_active, live.orders(waiting)) == (False, [])
    assert live.deal(other).status is DealStatus.RUNNING
    assert live.orders(held)[-1].leg is Leg.EXIT and live.orders(held)[-1].status is OrderStatus.FILLED
    assert live.deal(held).status is DealStatus.STOPPED
    live.switched(True)
    live.trade()
    assert live.orders(waiting) == [], "what has ended is not begun again"
