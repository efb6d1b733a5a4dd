"""A live account at the simulated exchange, judged by the exchange's own oracle: what it was ever sent."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from fks_assets.exchanges.orders import signing
from fks_assets.quant.orders import Leg, OrderStatus
from fks_assets.stores.ledger.accounts import enable
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.journal import wallets
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.portfolio.accounts import HOURS_TO_AN_EXIT, account_desk, faults, floor_of, look, run, tick
from fks_assets_tests.scenarios.stopped_clock import StoppedDesk

KEY, SECRET = "sim-live", "a-secret-of-the-simulated-exchange"
LIVE = {
    "ACCOUNTS__main__mode": "live",
    "ACCOUNTS__main__strategies__technical": "0.5",
    "ACCOUNTS__main__strategies__breakout": "0.5",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    """A desk with a live account that has its key and lacks its switches."""
    with (
        account_desk(tmp_path_factory.mktemp("live"), postgres_home, "live_account", **LIVE) as desk,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Both clocks stand still while a run takes its seconds.
        patch.setattr(signing, "LARGEST_SKEW_MS", 600_000)
        desk.simulator.set_trading(check_timestamps=False)
        desk.simulator.add_account(KEY, SECRET, balances={"USDT": "10000"}, fee_rule="quote")
        database, settings = desk.desk.stores.database, desk.desk.settings
        floor_of(desk).account("main")
        with database.transaction() as connection:
            key = ApiKey(SecretStr(KEY), SecretStr(SECRET))
            add_credential(connection, load_keys(settings.home, {}), "main", key, by="test", at_ms=desk.now_ms)
        yield desk


def sent(desk: StoppedDesk) -> list[str]:
    """Return the client ids of all orders that the exchange ever accepted."""
    return sorted(order["client_id"] for order in desk.simulator.orders(account=KEY))


def test_nothing_reaches_the_exchange_before_all_three_switches_agree(desk: StoppedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """O6: the settings say live; the account and the environment have to as well."""
    monkeypatch.delenv("FKS_LIVE", raising=False)
    told = faults(run(desk, "trading"))
    assert len(told) == 1 and "fks accounts enable-live main; FKS_LIVE=yes in the environment" in told[0]
    with desk.desk.stores.database.transaction() as connection:
        enable(connection, "main", True, by="test", reason="it is wanted", at_ms=desk.now_ms)
    [words] = faults(run(desk, "trading"))
    assert "missing FKS_LIVE=yes in the environment" in words
    refusals = {deal.refusal for deal in read_deals(desk.desk.stores.database)}
    assert refusals <= {"account main may not take new risk"}, "nothing is decided that nothing would order"
    assert desk.simulator.requests() == [] and sent(desk) == []


def test_hours_of_trading_send_each_order_once_however_often_everything_is_made_again(
    desk: StoppedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P7, C14: the oracle counts; O7: wallets are the exchange's balances; F13: a twin ends with its pair."""
    monkeypatch.setenv("FKS_LIVE", "yes")
    database = desk.desk.stores.database
    for hour in range(HOURS_TO_AN_EXIT):
        assert faults(run(desk, "trading")) == []
        before = sent(desk)
        for job in ("trading", "order_monitor", "trading") if hour in (0, HOURS_TO_AN_EXIT - 1) else ():
            assert faults(run(desk, job, asked=True)) == []
        assert sent(desk) == before, "made again, sent again"
        desk.advance(1)
        tick(desk)
        if look(desk, "orders_sensor"):
            assert faults(run(desk, "order_monitor")) == []
    assert desk.simulator.duplicates() == []
    orders = read_orders(database)
    ours = sorted(order.client_order_id for order in orders if order.status is not OrderStatus.DENIED)
    assert ours == sent(desk) and len(ours) > 3
    assert {order.leg for order in orders} >= {Leg.ENTRY, Leg.STOP, Leg.TARGET}
    there = {fill["trade_id"] if "trade_id" in fill else str(fill["number"]) for fill in desk.simulator.fills(account=KEY)}
    assert {fill.trade_id for fill in read_fills(database)} == there
    balances = desk.simulator.balances(KEY)
    for currency, amount in wallets(database, "main").items():
        held = balances.get(currency, {"free": "0", "locked": "0"})
        assert amount == Decimal(held["free"]) + Decimal(held["locked"]), currency
    assert any(not position.is_open for position in read_positions(database)), "else no exit was seen"
    assert recompute(database) == []
    assert desk.simulator.books()["differences"] == {}
