"""A desk whose accounts are locked by protections: closed trades, held coins, lifts, decisions."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fks_assets.assets.portfolio.obstacles import desk_obstacles
from fks_assets.desk.deciding import decide_signals
from fks_assets.desk.floor import Floor
from fks_assets.desk.protections import apply_protections, lift
from fks_assets.desk.valuing import take_balance
from fks_assets.quant.orders import DealStatus, Leg
from fks_assets.quant.protections import Protection
from fks_assets.settings import read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import read_deals, update_deal
from fks_assets.stores.ledger.fences import take
from fks_assets.stores.ledger.fills import record_fills
from fks_assets.stores.ledger.halts import Halt
from fks_assets.stores.ledger.positions import mark
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.portfolio.test_deciding import Feed, heard
from fks_assets_tests.portfolio.test_risk_gate import AT, BTC, ETH, HOUR, OPENED, rules_of
from fks_assets_tests.stores.ledger import books

MINUTE = 60_000
PROTECTION: TypeAdapter[Any] = TypeAdapter(Protection)
STOPS = {"stops": {"rule": "stoploss_guard", "stops": 2, "window_minutes": 120, "lock_minutes": 60}}
ENVIRONMENT = {
    "FKS_EXCHANGE": "binance",
    "FKS_ACCOUNTS__main__mode": "paper",
    "FKS_ACCOUNTS__main__initial_cash": "10000",
    "FKS_ACCOUNTS__main__strategies__technical": "0.5",
    "FKS_ACCOUNTS__main__strategies__breakout": "0.5",
    "FKS_ACCOUNTS__spare__mode": "paper",
    "FKS_ACCOUNTS__spare__initial_cash": "10000",
    "FKS_ACCOUNTS__spare__strategies__technical": "1.0",
    "FKS_ACCOUNTS__told__mode": "alert",
    "FKS_ACCOUNTS__told__strategies__technical": "1.0",
}


def protected_floor(database: Database, home: Path) -> Floor:
    """Return a desk with the paper accounts `main` and `spare`; two stops with a loss within two hours lock one of them for one.

    The alert account `told` has no money yet.
    """
    feed = Feed({BTC: 100.0, ETH: 100.0})
    settings = read_settings({**ENVIRONMENT, "FKS_HOME": str(home), "FKS_DATABASE_URL": database.url}, home)
    settings = settings.model_copy(update={"protections": rules(STOPS)})
    with database.transaction() as connection:
        record_rules(connection, [rules_of(BTC), rules_of(ETH)], OPENED - 100 * HOUR)
    made = Floor(database, settings, lambda exchange: feed, lambda: AT)
    replace(made, clock=lambda: OPENED - 40 * HOUR).account("main")
    return made


def rules(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Protection]:
    return {name: PROTECTION.validate_python(each) for name, each in values.items()}


def closed(
    floor: Floor,
    number: int,
    ago_minutes: float,
    out: str = "98",
    leg: Leg = Leg.STOP,
    strategy: str = "technical",
    account: str = "main",
    **changes: Any,
) -> None:
    """One coin bought at 100 with its stop at 98, and sold so long ago."""
    at = AT - round(ago_minutes * MINUTE)
    name = f"{number}{strategy}{account}"
    with floor.database.transaction() as connection:
        fence = take(connection, account, "test", at_ms=at)
        deal = books.open_deal(
            connection,
            number=-number - 10,
            account=account,
            strategy=strategy,
            stop_loss_price=Decimal(98),
            at_ms=at - HOUR,
            **changes,
        )
        for each, price, when in ((Leg.ENTRY, "100", at - HOUR), (leg, out, at)):
            order = books.sent(connection, fence, books.intent(deal, "1", each, at_ms=when), f"{each}{name}")
            record_fills(connection, account, [books.trade(order, f"{each}{name}", "1", price, traded_at=when)], at_ms=when)
        update_deal(connection, deal.id, at_ms=at, status=DealStatus.STOPPED)


def apply(
    floor: Floor, at_ms: int = AT, protections: Mapping[str, Protection] | None = None, account: str = "main"
) -> list[Halt]:
    with floor.database.transaction() as connection:
        chosen = floor.settings.protections if protections is None else protections
        return apply_protections(connection, chosen, floor.account(account), at_ms=at_ms)


def lifted(floor: Floor, at_ms: int, scope: str = "account", name: str = "main", account: str | None = None) -> None:
    """Lift a lock, as `fks resume` does."""
    with floor.database.transaction() as connection:
        lift(connection, scope, name, account=account, reason="I have looked", by="Ada", at_ms=at_ms)


def held(floor: Floor, price: str, at_ms: int) -> None:
    """40 coins bought at 100, marked with a price, and the balance that makes."""
    with floor.database.transaction() as connection:
        if not read_deals(connection):
            fence = take(connection, "main", "test", at_ms=AT - 2 * HOUR)
            deal = books.open_deal(connection, number=-5)
            order = books.sent(connection, fence, books.intent(deal, "40", at_ms=AT - 2 * HOUR), "held")
            record_fills(
                connection, "main", [books.trade(order, "held", "40", "100", traded_at=AT - 2 * HOUR)], at_ms=AT - 2 * HOUR
            )
        mark(connection, {BTC: Decimal(price)}, at_ms=at_ms)
    later = replace(floor, clock=lambda: at_ms)
    take_balance(later, later.account("main"))


def decided(floor: Floor, *signals: Any, name: str = "main") -> list[str]:
    """Let the gate of the desk decide as the asset does."""
    account = floor.account(name)
    result = asyncio.run(decide_signals(floor, account, heard(*signals), desk_obstacles(floor)))
    assert result.errors == {}
    return [made.words for _, made in result.decisions]
