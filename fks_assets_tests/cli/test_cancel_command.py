"""`fks orders cancel` end to end: at the paper venue, and by signed requests at a simulated Binance with its own books."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from fks_assets.assets.market_data.market_rules import fetch_rules
from fks_assets.cli import app
from fks_assets.clock import now_ms
from fks_assets.desk.cycle import open_account
from fks_assets.desk.floor import Floor
from fks_assets.quant.markets import parse_market
from fks_assets.quant.orders import Leg, OrderStatus
from fks_assets.resources.market_data import MarketData
from fks_assets.resources.stores import Stores
from fks_assets.settings import load_settings
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.ledger.accounts import enable
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential
from fks_assets.stores.ledger.deals import open_deal
from fks_assets.stores.ledger.order_rows import order_events
from fks_assets.stores.ledger.orders import Order, read_orders
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.stores.ledger.decisions import bought_now

KEY, SECRET = "sim-cancel", "a-secret-of-the-simulated-exchange"
BTC = parse_market("BTC-USDT@simulated")


@dataclass
class Account:
    """An account that holds 0.01 BTC behind a stop and a target."""

    floor: Floor
    simulator: SimulatorClient
    is_live: bool

    def trade(self) -> None:
        async def once() -> None:
            async with open_account(self.floor, "main", holder="test") as desk:
                await desk.trade(lambda *_: ())

        asyncio.run(once())

    def order(self, leg: Leg) -> Order:
        """Return the newest order of a leg."""
        return [order for order in read_orders(self.floor.database) if order.leg is leg][-1]

    def there(self) -> dict[str, str]:
        """Return what has become of each order at the exchange, by our ids."""
        return {order["client_id"]: order["status"] for order in self.simulator.orders(account=KEY)}


@pytest.fixture
def opened(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Account]]:
    """A maker of an account in a mode, on a desk that the commands find in their environment."""
    with running_simulator(start_ms=now_ms()) as simulator:

        def make(mode: str) -> Account:
            values = {
                "HOME": str(home),
                "DATABASE_URL": database_url,
                "EXCHANGES__simulated__url": simulator.url,
                "ACCOUNTS__main__mode": mode,
                "ACCOUNTS__main__initial_cash": "10000" if mode == "paper" else "0",
                "LIVE": "yes",
            }
            for name, value in values.items():
                monkeypatch.setenv(f"FKS_{name}", value)
            load_settings.cache_clear()
            settings = load_settings()
            stores = Stores(settings)
            market_data = MarketData(settings, stores)
            fetch_rules(stores, market_data)
            floor = market_data.trading_floor()
            floor.account("main")
            if mode == "live":
                simulator.add_account(KEY, SECRET, balances={"USDT": "10000"}, fee_rule="quote")
                with stores.database.transaction() as connection:
                    key = ApiKey(SecretStr(KEY), SecretStr(SECRET))
                    add_credential(connection, load_keys(settings.home, {}), "main", key, by="test", at_ms=now_ms())
                    enable(connection, "main", True, by="test", reason="test", at_ms=now_ms())
            account = Account(floor, simulator, mode == "live")
            price = asyncio.run(floor.prices("simulated").quotes([BTC]))[BTC].close
            with stores.database.transaction() as connection:
                open_deal(connection, bought_now(BTC, round(price)))
            account.trade()
            return account

        yield make
    load_settings.cache_clear()


def cancel(order: Order, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, ["orders", "cancel", str(order.id), "--by", "Ada", "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_cancelled_stop_is_gone_with_its_target_and_the_guard_puts_others_in_their_place(
    opened: Callable[[str], Account], mode: str
) -> None:
    """O4, F13: what is held is never bare for longer than until the next look."""
    account = opened(mode)
    stop, target = account.order(Leg.STOP), account.order(Leg.TARGET)
    assert (stop.status, target.status) == (OrderStatus.OPEN, OrderStatus.OPEN)
    shown = cancel(stop)
    assert (shown["id"], shown["status"]) == (stop.id, "CANCELED")
    if account.is_live:
        there = account.there()
        assert {there[order.client_order_id] for order in (stop, target)} == {"CANCELED"}
    account.trade()
    again = [account.order(leg) for leg in (Leg.STOP, Leg.TARGET)]
    assert [order.status for order in again] == [OrderStatus.OPEN] * 2 and {stop.id, target.id}.isdisjoint({*map(id_of, again)})
    assert account.order(Leg.STOP).quantity == Decimal("0.01")
    late = CliRunner().invoke(app, ["orders", "cancel", str(stop.id)])
    assert (late.exit_code, late.stdout) == (2, "")
    assert late.stderr == f"fks: order {stop.id} is CANCELED: there is nothing to cancel\n"
    assert recompute(account.floor.database) == [] and account.simulator.duplicates() == []


def test_a_cancel_of_which_the_answer_was_lost_is_found_to_be_done(opened: Callable[[str], Account]) -> None:
    """E10: the order is looked at after every cancel, whatever was answered."""
    account = opened("live")
    stop = account.order(Leg.STOP)
    account.simulator.add_faults({"action": "drop_after_accept", "endpoint": "DELETE order", "first": 1, "how": "reset"})
    assert cancel(stop)["status"] == "CANCELED"
    assert account.there()[stop.client_order_id] == "CANCELED"


def test_an_order_that_could_not_be_cancelled_is_still_open_and_the_command_fails(opened: Callable[[str], Account]) -> None:
    account = opened("live")
    stop = account.order(Leg.STOP)
    account.simulator.add_faults({"action": "status", "status": 503, "endpoint": "DELETE order"})
    assert cancel(stop, code=1)["status"] == "OPEN"
    assert account.there()[stop.client_order_id] == "NEW"
    with account.floor.database.transaction() as connection:
        noted = [event.detail["cancel"] for event in order_events(connection, stop.id) if "cancel" in event.detail]
    assert noted[0] == "asked" and len(noted) == 2
    account.simulator.remove_faults()
    assert cancel(stop)["status"] == "CANCELED"


def id_of(order: Order) -> int:
    return order.id
