"""A paper account hour by hour: from signals to deals, orders, fills, positions and balances, through materialised assets."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from fks_assets.assets.trading.difference import compare_day
from fks_assets.assets.trading.in_force import strategies_in_force
from fks_assets.clock import iso
from fks_assets.quant.difference import Cause
from fks_assets.quant.money import total, value_of
from fks_assets.quant.orders import DealStatus, Leg, OrderStatus, ProcessedSide, Side
from fks_assets.stores.ledger.balances import read_balances
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.journal import wallets
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.ledger.recompute import recompute
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.notifications import read_notifications
from fks_assets_tests.portfolio.accounts import HOURS_TO_AN_EXIT, START_MS, account_desk, faults, heard, look, run, tick
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, StoppedDesk

ASSETS = ("deals", "orders", "fills", "positions", "balances")


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    """A desk whose account has traded for some hours, as its sensors asked for it."""
    with account_desk(tmp_path_factory.mktemp("paper"), postgres_home, "paper_account") as desk:
        asked = 0
        for _ in range(HOURS_TO_AN_EXIT):
            for account in look(desk, "deals_sensor"):
                assert faults(run(desk, "trading", account)) == []
                asked += 1
            desk.advance(1)
            tick(desk)
            for account in look(desk, "orders_sensor"):
                assert faults(run(desk, "order_monitor", account)) == []
        assert asked == HOURS_TO_AN_EXIT, "every hour has new signals"
        yield desk


def test_every_buy_became_one_deal_and_its_fills_are_its_position(traded: StoppedDesk) -> None:
    """S3.13, S3.14, C13: position = sum(fills); equity = wallet and marks; the ledger computed anew differs by 0."""
    database = traded.desk.stores.database
    deals = read_deals(database)
    assert deals and {deal.account for deal in deals} == {"main"}
    entered = [deal for deal in deals if deal.refusal is None]
    assert {deal.processed_side for deal in entered} == {ProcessedSide.BUY, ProcessedSide.BUY_AND_SELL}
    fills = read_fills(database)
    for deal in entered:
        own = [fill for order in read_orders(database, deal_id=deal.id) for fill in fills if fill.order_id == order.id]
        [position] = read_positions(database, deal_ids=[deal.id])
        bought = total(fill.quantity for fill in own if fill.side is Side.BUY)
        sold = total(fill.quantity for fill in own if fill.side is Side.SELL)
        assert bought == deal.quantity and position.quantity == bought - sold
        assert position.is_open is (deal.status is not DealStatus.STOPPED)
    moved = total(
        (value_of(fill.price, fill.quantity) if fill.side is Side.SELL else -value_of(fill.price, fill.quantity)) - fill.fee
        for fill in fills
    )
    assert wallets(database, "main")["USDT"] == Decimal(10_000) + moved
    assert recompute(database) == []


def test_each_position_has_rested_with_stop_and_target_since_its_entry_filled(traded: StoppedDesk) -> None:
    """F14, S3.6, S3.7: levels go out after the fill, for what was filled; F13: when one executes the other one ends."""
    database = traded.desk.stores.database
    ended = 0
    for deal in read_deals(database):
        by_leg = {order.leg: order for order in read_orders(database, deal_id=deal.id)}
        if deal.refusal is not None:
            assert by_leg == {}
            continue
        entry, stop, target = by_leg[Leg.ENTRY], by_leg[Leg.STOP], by_leg[Leg.TARGET]
        assert entry.status is OrderStatus.FILLED and entry.created_at <= min(stop.created_at, target.created_at)
        assert stop.quantity == target.quantity == entry.executed_quantity
        assert (stop.stop_price, target.price) == (deal.stop_loss_price, deal.take_profit_price)
        if deal.status is DealStatus.STOPPED:
            ended += 1
            assert {stop.status, target.status} == {OrderStatus.FILLED, OrderStatus.EXPIRED}
        else:
            assert {stop.status, target.status} == {OrderStatus.OPEN}
    assert ended, "else no exit was seen"


def test_entries_follow_the_strategies_and_nothing_else(traded: StoppedDesk) -> None:
    """Each deal's candle is one of which its strategy said BUY, by the signals alone."""
    said = heard(traded)
    for deal in read_deals(traded.desk.stores.database):
        assert said[deal.strategy, deal.market][deal.signal_time] == 1
        assert deal.created_at - deal.signal_time < 2 * HOUR_MS


def test_everything_again_any_number_of_times_changes_nothing(traded: StoppedDesk) -> None:
    """P7: no deal, order or fill more; the assets report again only what a person asks for."""
    database, definitions = traded.desk.stores.database, traded.desk.definitions
    assert look(traded, "deals_sensor") == ["main"]
    assert faults(run(traded, "trading")) == []
    before = (read_deals(database), read_orders(database), read_fills(database))
    shown = {name: len(traded.desk.events(name)) for name in ASSETS}
    for _ in range(3):
        assert faults(run(traded, "trading")) == []
        assert look(traded, "deals_sensor") == []
    assert (read_deals(database), read_orders(database), read_fills(database)) == before
    assert {name: len(traded.desk.events(name)) for name in ASSETS} == shown
    backfill = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=traded.desk.instance, asset_selection=[dg.AssetKey(name) for name in ASSETS], partition_key="main"
    )
    assert backfill.success
    assert (read_deals(database), read_orders(database), read_fills(database)) == before
    assert {name: len(traded.desk.events(name)) - shown[name] for name in ASSETS} == dict.fromkeys(ASSETS, 1)


def test_people_are_told_of_each_deal_once(traded: StoppedDesk) -> None:
    """S1.13, S3.31."""
    database = traded.desk.stores.database
    told = read_notifications(database, ["buy_signal"])
    entered = [deal for deal in read_deals(database) if deal.refusal is None]
    assert [each.dedup_key for each in told] == [f"deal:{deal.client_deal_id}" for deal in entered]
    assert all(each.message.startswith("🚀 BUY Signal! ") for each in told)


def test_each_partition_says_what_it_was_made_from(traded: StoppedDesk) -> None:
    database = traded.desk.stores.database
    records = {name: latest_inputs(database, name, ["main"])["main"] for name in ASSETS}
    rows = {(ref.asset, ref.partition) for ref in records["deals"].inputs}
    for deal in read_deals(database):
        assert ("signals_1h", f"{deal.market}|2025-06|{iso(deal.signal_time)}") in rows
    before = "deals"
    for name in ASSETS[1:]:
        assert (before, "main", records[before].content_hash) in {
            (ref.asset, ref.partition, ref.content_hash) for ref in records[name].inputs
        }
        before = name
    held = {position.market.key for position in read_positions(database, is_open=True)}
    assert {ref.partition for ref in records["positions"].inputs if ref.asset == "prices"} == held


def test_the_web_shows_positions_orders_fills_and_the_equity_curve(traded: StoppedDesk) -> None:
    """S2.2, S2.3, S3.4: what an account holds and is worth, as tables and a picture; amounts are exact text."""
    shown = {name: traded.desk.events(name)[0].metadata for name in ASSETS}
    positions = [row.data for row in shown["positions"]["open positions"].records]
    assert positions and all(Decimal(row["mark_price"]) > 0 and row["side"] == "LONG" for row in positions)
    for row in positions:
        expected = (Decimal(row["mark_price"]) - Decimal(row["entry_price"])) * Decimal(row["quantity"])
        assert abs(Decimal(row["unrealised_pnl"]) - expected) < Decimal("0.000001")
    assert shown["orders"]["last orders"].records and shown["fills"]["last fills"].records
    answer = shown["balances"]["balances"].value
    balance = read_balances(traded.desk.stores.database, "main")[-1]
    assert (answer["status"], answer["accounts_synced"]) == ("success", 1)
    assert Decimal(answer["results"]["main"]["equity"]) == balance.equity == balance.cash + balance.position_value
    assert "data:image/svg+xml" in shown["balances"]["equity"].value
    summary = shown["deals"]["strategies"].value
    assert (summary["status"], summary["total_strategies"], summary["processed"], summary["errors"]) == ("success", 2, 2, 0)


def test_the_audit_finds_no_difference_and_fails_loudly_when_there_is_one(traded: StoppedDesk) -> None:
    """The nightly recomputation in fractions: exactly 0."""
    database = traded.desk.stores.database
    job = traded.desk.definitions.resolve_job_def("audit")
    assert job.execute_in_process(instance=traded.desk.instance).success
    assert traded.desk.events("ledger_audit")[0].metadata["differences"].value == 0
    with database.transaction() as connection:
        connection.execute(sa.text("SET session_replication_role = replica"))
        connection.execute(sa.text("UPDATE wallets SET amount = amount + 0.000000000000000001 WHERE currency = 'USDT'"))
    assert not job.execute_in_process(instance=traded.desk.instance, raise_on_error=False).success
    [told] = read_notifications(database, ["ledger_audit"])
    assert "wallet main USDT" in told.message
    with database.transaction() as connection:
        connection.execute(sa.text("SET session_replication_role = replica"))
        connection.execute(sa.text("UPDATE wallets SET amount = amount - 0.000000000000000001 WHERE currency = 'USDT'"))


def test_what_the_account_did_differs_from_its_backtest_by_the_price_of_its_entries_alone(traded: StoppedDesk) -> None:
    """D7: half a minute after the open another price is paid. Nothing that was said since the desk began is missing."""
    stores = traded.desk.stores
    in_force, _ = strategies_in_force(stores.database, stores.settings)
    markets, timeframes = stores.settings.market_list(), stores.settings.timeframe_list()
    days = [compare_day(stores, subject, iso(START_MS)[:10], markets, timeframes) for subject in in_force.values()]
    found = [each for day in days for each in day.mismatches if each.candle + HOUR_MS >= START_MS - HOUR_MS // 2]
    entered = [deal for deal in read_deals(stores.database) if deal.refusal is None]
    assert entered and {(each.market, each.candle) for each in found} <= {(d.market.key, d.signal_time) for d in entered}
    assert {(str(each.cause), each.account, each.words[:14]) for each in found} <= {("fill", "main", "the price was ")}
    assert sum(day.trades for day in days) >= len(entered)
    late = {each.cause for day in days for each in day.mismatches if each not in found}
    assert late <= {Cause.LATE_DATA}, "what closed before the desk began"
