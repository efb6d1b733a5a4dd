"""Accounts on another exchange than the desk's: its signals, their own exchange's prices, trading rules and orders."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fks_assets.assets.market_data.market_rules import fetch_rules
from fks_assets.quant.orders import Leg, OrderStatus
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.halts import HaltScope, halt, resume
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.ledger.recompute import recompute
from fks_assets.stores.market_rules import all_rules_as_of
from fks_assets_tests.portfolio.accounts import account_desk, faults, floor_of, look, run, tick
from fks_assets_tests.portfolio.test_risk_gate import BTC, signal
from fks_assets_tests.scenarios.stopped_clock import StoppedDesk

FILLED, OPEN = OrderStatus.FILLED, OrderStatus.OPEN
HOURS = 3
# Where the simulator speaks their dialects.
ELSEWHERE = {"kraken": "{simulator}", "wallex": "{simulator}/wallex"}
SETTINGS = {
    f"{name}__{key}": value
    for exchange, url in ELSEWHERE.items()
    for name, values in (
        (f"EXCHANGES__{exchange}", {"dialect": exchange, "url": url}),
        (
            f"ACCOUNTS__at_{exchange}",
            {"mode": "paper", "exchange": exchange, "initial_cash": "10000", "strategies__technical": "1"},
        ),
    )
    for key, value in values.items()
}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    """A desk whose two accounts elsewhere have traded for some hours, as the sensors asked for it."""
    with account_desk(tmp_path_factory.mktemp("elsewhere"), postgres_home, "account_elsewhere", **SETTINGS) as desk:
        for _ in range(HOURS):
            asked = look(desk, "deals_sensor")
            assert asked == ["at_kraken", "at_wallex"], "every hour has new signals"
            for account in asked:
                desk.clear()
                assert faults(run(desk, "trading", account)) == []
            assert look(desk, "deals_sensor") == [], "what is decided is not asked for again"
            desk.advance(1)
            tick(desk)
            for account in look(desk, "orders_sensor"):
                desk.clear()
                assert faults(run(desk, "order_monitor", account)) == []
        yield desk


@pytest.mark.parametrize("exchange", ELSEWHERE)
def test_an_account_elsewhere_trades_the_desks_signals_at_its_own_exchange(traded: StoppedDesk, exchange: str) -> None:
    """Such an account never heard a signal, and nobody was told."""
    database = traded.desk.stores.database
    entered = [deal for deal in read_deals(database, account=f"at_{exchange}") if deal.refusal is None]
    assert {deal.market.exchange for deal in entered} == {exchange} and len(entered) > 1
    orders = [order for deal in entered for order in read_orders(database, deal_id=deal.id)]
    assert {(order.leg, order.status) for order in orders} >= {(Leg.ENTRY, FILLED), (Leg.STOP, OPEN), (Leg.TARGET, OPEN)}
    fills = read_fills(database, account=f"at_{exchange}")
    rules = all_rules_as_of(database, list({fill.market for fill in fills}), traded.now_ms)
    assert {market.exchange for market in rules} == {exchange}
    for fill in fills:
        tick_size, lot_size = rules[fill.market].tick_size, rules[fill.market].lot_size
        assert tick_size is not None and lot_size is not None
        assert fill.price % tick_size == 0 == fill.quantity % lot_size
    assert recompute(database) == []


def test_its_rules_are_fetched_from_its_exchange_and_an_exchange_that_is_away_spoils_no_other(traded: StoppedDesk) -> None:
    """C22: rules by market and exchange, as of the day."""
    desk = traded.desk
    before = fetch_rules(desk.stores, desk.market_data)
    assert {market.exchange for market in before.rules} == {"simulated", *ELSEWHERE} and before.failures == {}
    settings = desk.settings
    away = settings.exchanges | {"kraken": settings.exchanges["kraken"].model_copy(update={"url": "http://127.0.0.1:9"})}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk.market_data, "settings", settings.model_copy(update={"exchanges": away}))
        found = fetch_rules(desk.stores, desk.market_data)
    assert {market.exchange for market in found.failures} == {"kraken"}
    assert {market.exchange for market in found.rules} == {"simulated", "wallex"}


def test_a_halt_of_the_desks_market_is_a_halt_of_the_accounts(traded: StoppedDesk) -> None:
    """C16: `fks halt market BTC-USDT` names the desk's, and means the coin."""
    from fks_assets.assets.portfolio.obstacles import desk_obstacles

    floor = floor_of(traded)
    ask, account, database = desk_obstacles(floor), floor.account("at_kraken"), floor.database
    there = replace(BTC, exchange="kraken")
    for key in ("BTC-USDT@simulated", there.key):
        with database.transaction() as connection:
            halt(connection, HaltScope.MARKET, key, reason="odd news", by="Ada", at_ms=traded.now_ms)
            found = ask(connection, account, signal(market=there, judged_at="simulated"))
            resume(connection, HaltScope.MARKET, key, reason="over", by="Ada", at_ms=traded.now_ms + 1)
        assert [words for words in found if "odd news" in words] == [f"market {key} is halted: odd news"]
