"""The risk of accounts in the ledger: LONG and SHORT, what is not known, and the row that is stored with its message."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from fks_assets import clock
from fks_assets.assets.portfolio.risk_alerts import store_risk
from fks_assets.assets.portfolio.risk_asset import risk_now, unbounded_risks
from fks_assets.assets.portfolio.risk_figures import AccountRisk
from fks_assets.assets.portfolio.risk_page import risk_page
from fks_assets.cli import app
from fks_assets.desk.floor import Floor
from fks_assets.desk.recording import Execution, record_execution
from fks_assets.errors import StoreError
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Side
from fks_assets.quant.risk import RiskLevel
from fks_assets.resources.stores import Stores
from fks_assets.settings import load_settings, read_settings
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import journal
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import record_fills
from fks_assets.stores.ledger.positions import mark
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.risk import read_risk
from fks_assets_tests.portfolio.test_deciding import Feed
from fks_assets_tests.stores.ledger import books
from fks_assets_tests.stores.ledger.books import BTC, ETH, NOON

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
ENVIRONMENT = {
    "FKS_EXCHANGE": "binance",
    "FKS_TIMEFRAMES": "1d",
    "FKS_ACCOUNTS__main__mode": "paper",
    "FKS_ACCOUNTS__main__initial_cash": "10000",
    "FKS_ACCOUNTS__told__mode": "alert",
    "FKS_ACCOUNTS__told__strategies__technical": "1.0",
}


class World:
    """A desk with the paper account `main` of 10,000 and the alert account `told`, whose clock stands at noon until moved."""

    def __init__(self, database: Database, home: Path) -> None:
        self.now_ms = NOON
        self.database = database
        values = {**ENVIRONMENT, "FKS_HOME": str(home), "FKS_DATABASE_URL": database.url}
        self.stores = Stores(read_settings(values, home))
        self.floor = Floor(self.stores.database, self.stores.settings, lambda exchange: Feed(), lambda: self.now_ms)
        self.floor.account("main")

    def hold(self, quantity: str, market: Market = BTC, side: Side = Side.BUY) -> None:
        """Let the paper account trade at 100, without a mark."""
        with self.database.transaction() as connection:
            number = len(read_deals(connection))
            fence = books.fences.take(connection, "main", "test", at_ms=NOON)
            deal = books.open_deal(connection, market, number, side)
            order = books.sent(connection, fence, books.intent(deal, quantity), f"order {number}")
            record_fills(connection, "main", [books.trade(order, f"trade {number}", quantity)], at_ms=NOON)

    def price(self, **prices: str) -> None:
        with self.database.transaction() as connection:
            marks = {market: Decimal(prices[market.base]) for market in (BTC, ETH) if market.base in prices}
            mark(connection, marks, at_ms=self.now_ms)

    def risk(self, account: str = "main") -> AccountRisk:
        return risk_now(self.floor, self.stores, account)

    def stored(self) -> RiskLevel:
        """Store the risk of now, a minute after the last one, and return its level."""
        self.now_ms += MINUTE
        return store_risk(self.database, self.risk(), self.stores.settings.risk).level

    def told(self) -> list[str]:
        return [each.message for each in read_notifications(self.database, ["risk"])]


@pytest.fixture
def world(database: Database, home: Path) -> Iterator[World]:
    made = World(database, home)
    yield made
    made.stores.database.engine.dispose()


def test_a_long_counts_with_its_value_and_a_short_with_what_it_owes(world: World) -> None:
    """By hand: 20 BTC bought and 10 ETH sold at 100; at 110 and 120 they are worth 2,200 and owe 1,200 on 10,000 + 200 - 200."""
    with world.database.transaction() as connection:
        journal.deposit(connection, "main", "ETH", Decimal(10), "coins", at_ms=NOON, by="Ada")
    world.hold("20")
    world.hold("10", ETH, Side.SELL)
    world.price(BTC="110", ETH="120")
    said = world.risk().document
    assert (said["cash"], said["equity"], said["position_value"]) == ("9000", "10000", "3400")
    assert (said["exposure_percent"], said["unrealised_pnl"], said["unrealised_percent"]) == ("34", "0", "0")
    assert (said["margin_used"], said["margin_percent"], said["level"]) == ("3000", "30", "HIGH")
    [btc], [eth] = (read_deals(world.database, market=market) for market in (BTC, ETH))
    assert [(each["name"], each["percent"]) for each in said["concentrations"]] == [
        (f"BTC-USDT@binance of technical (deal {btc.id})", "22"),
        (f"ETH-USDT@binance of technical (deal {eth.id})", "12"),
    ]


def test_without_a_price_the_risk_is_not_known(world: World) -> None:
    """A position that was never marked is worth nobody knows what: its entry price is no price of now."""
    world.hold("1")
    said = world.risk().document
    assert (said["level"], said["equity"], said["exposure_percent"]) == ("UNKNOWN", None, None)
    assert len(said["unknown"]) == 1 and "there is none" in said["unknown"][0]
    assert said["statistics"] == "the balance is not known, or not above 0"
    world.price(BTC="100")
    assert world.risk().document["level"] == "LOW"


def test_without_money_that_was_booked_the_balance_is_not_known(world: World) -> None:
    """An alert account whose owner never said what is in it."""
    world.floor.account("told")
    assert world.risk("told").document["level"] == "NONE"
    with world.database.transaction() as connection:
        deal = books.open_deal(connection, account="told", ordering=False)
        bought = Execution(Leg.ENTRY, Decimal(100), Decimal(1), Decimal(0), "USDT", NOON)
        record_execution(connection, deal.id, bought, at_ms=NOON)
    world.price(BTC="100")
    said = world.risk("told").document
    assert said["level"] == "UNKNOWN"
    assert said["unknown"] == ["the balance: no money was ever booked in the account"]
    with world.database.transaction() as connection:
        journal.deposit(connection, "told", "USDT", Decimal(1000), "bank", at_ms=NOON, by="Ada")
    assert world.risk("told").document["exposure_percent"] == "10"


def test_a_price_that_has_grown_old_is_none(world: World) -> None:
    """A feed that is away leaves old marks: after an hour nobody says LOW, and an alarm stands."""
    world.hold("30")
    world.price(BTC="100")
    assert world.stored() is RiskLevel.HIGH and len(world.told()) == 1
    world.price(BTC="50")
    assert world.stored() is RiskLevel.HIGH, "it lost 17.6 %"
    world.price(BTC="1")
    world.now_ms += 61 * MINUTE
    assert world.stored() is RiskLevel.HIGH, "a loss is one by the last price too"
    with world.database.transaction() as connection:
        journal.deposit(connection, "main", "USDT", Decimal(10**6), "bank", at_ms=world.now_ms, by="Ada")
    before = world.told()
    assert world.stored() is RiskLevel.UNKNOWN
    assert world.told() == before, "it is not known to be over"
    world.price(BTC="1")
    assert world.stored() is RiskLevel.LOW
    assert "the risk is LOW now, it was HIGH since" in world.told()[-1] and len(world.told()) == len(before) + 1


def test_each_change_is_told_once_with_its_reasons(world: World) -> None:
    """S1.15, C11: into HIGH, other reasons, out of it; a hundred looks in between say nothing."""
    world.hold("10")
    world.hold("10", ETH)
    world.price(BTC="100", ETH="100")
    assert world.stored() is RiskLevel.LOW and world.told() == []
    for _ in range(20):
        world.price(BTC="300", ETH="100")
        assert world.stored() is RiskLevel.HIGH
    assert len(world.told()) == 1
    [btc], [eth] = (read_deals(world.database, market=market) for market in (BTC, ETH))
    assert world.told()[0] == (
        f"⚠️ HIGH RISK ALERT! Account main: BTC-USDT@binance of technical (deal {btc.id}) is 25 % of the balance, above 20 %. "
        "Consider a rebalance."
    )
    world.price(ETH="1000")
    assert world.stored() is RiskLevel.HIGH and world.stored() is RiskLevel.HIGH
    assert len(world.told()) == 2 and "The reasons have changed: " in world.told()[1] and f"deal {eth.id}" in world.told()[1]
    world.price(BTC="100", ETH="100")
    assert world.stored() is RiskLevel.LOW and world.stored() is RiskLevel.LOW
    assert len(world.told()) == 3 and world.told()[2].startswith(
        "Account main: the risk is LOW now, it was HIGH since 2026-01-01T"
    )


def test_a_risk_that_stays_is_told_again_after_a_day(world: World) -> None:
    world.hold("30")
    for _ in range(3):
        world.price(BTC="100")
        world.stored()
        world.now_ms += DAY
    assert [("Still so, since 2026-01-01T12:01:00Z" in message) for message in world.told()] == [False, True, True]


def test_many_runs_at_once_store_a_look_once_and_tell_it_once(world: World) -> None:
    """Eight threads with the same look: one row, one message; an older look that comes late changes nothing."""
    world.hold("30")
    world.price(BTC="100")
    early = world.risk()
    world.now_ms += MINUTE
    risk = world.risk()
    threads = [threading.Thread(target=store_risk, args=(world.database, risk, world.stores.settings.risk)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store_risk(world.database, early, world.stores.settings.risk).at == risk.at
    assert [row.at for row in read_risk(world.database, "main", newest=10)] == [risk.at]
    assert len(world.told()) == 1


def test_a_clock_that_goes_back_silences_no_alarm(world: World) -> None:
    """T3: the last row is of an hour from now; what is HIGH is stored and told at once, and rows from then are no comfort."""
    world.now_ms += HOUR
    assert world.stored() is RiskLevel.NONE
    assert unbounded_risks(world.stores, world.now_ms - HOUR)["main"] == "the figures are of 60 min from now"
    world.now_ms -= HOUR
    world.hold("30")
    world.price(BTC="100")
    assert world.stored() is RiskLevel.HIGH and world.stored() is RiskLevel.HIGH
    assert len(world.told()) == 1 and unbounded_risks(world.stores, world.now_ms)["main"].startswith("HIGH")


def test_a_failed_transaction_leaves_neither_row_nor_message(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is written with the row: neither is there without the other, and the next look tells it."""
    from fks_assets.assets.portfolio import risk_alerts

    world.hold("30")
    world.price(BTC="100")

    def fails(*_: Any) -> bool:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(risk_alerts, "notify", fails)
        world.stored()
    assert read_risk(world.database, "main", newest=10) == [] and world.told() == []
    assert world.stored() is RiskLevel.HIGH and len(world.told()) == 1


def test_figures_that_are_missing_old_or_not_known_are_no_comfort(world: World) -> None:
    """Issue 6, 2: the check is red for them; an account that is new has an hour."""
    assert unbounded_risks(world.stores, NOON + HOUR) == {}
    assert unbounded_risks(world.stores, NOON + HOUR + 1) == dict.fromkeys(["main", "told"], "there are no figures")
    world.hold("1")
    assert world.stored() is RiskLevel.UNKNOWN
    assert unbounded_risks(world.stores, world.now_ms)["main"].startswith("not known: the price of BTC-USDT@binance")
    world.price(BTC="100")
    assert world.stored() is RiskLevel.LOW
    world.now_ms += HOUR - MINUTE
    store_risk(world.database, world.risk("told"), world.stores.settings.risk)
    assert unbounded_risks(world.stores, world.now_ms + MINUTE) == {}
    assert unbounded_risks(world.stores, world.now_ms + MINUTE + 1) == {"main": "the figures are 60 min old, more than 60"}


@pytest.mark.parametrize(
    ("level", "alarm", "document", "check"),
    [
        ("SEVERE", None, "{}", "level_known"),
        ("HIGH", None, "{}", "alarm_of_high"),
        ("LOW", "{}", "{}", "alarm_of_high"),
        ("LOW", None, "[]", "document_has_names"),
    ],
)
def test_the_database_refuses_what_contradicts_itself(
    world: World, level: str, alarm: str | None, document: str, check: str
) -> None:
    """An alarm stands exactly while the risk is HIGH, or not known."""
    row = {"level": level, "alarm": alarm, "document": document}
    with pytest.raises(StoreError, match=f"ck_risk_history_{check}"), world.database.transaction() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO risk_history (account, at, level, document, alarm) "
                "VALUES ('main', now(), :level, CAST(:document AS jsonb), CAST(:alarm AS jsonb))"
            ),
            row,
        )


def days(world: World, market: Market, closes: list[float]) -> None:
    """Store daily candles that end with the day before."""
    count = len(closes)
    first = NOON - DAY // 2 - count * DAY
    prices = np.array(closes)
    candles = Candles(first + DAY * np.arange(count, dtype=np.int64), prices, prices, prices, prices, np.ones(count))
    months = sorted({clock.iso(time)[:7] for time in candles.open_time.tolist()})
    partitions = [PartitionId("ohlcv", market, "1d", month) for month in months]
    with world.stores.candles.begin(partitions) as transaction:
        for partition in partitions:
            rows = np.array([clock.iso(time)[:7] == partition.month for time in candles.open_time.tolist()])
            part = Candles(*(getattr(candles, name)[rows] for name in ("open_time", "open", "high", "low", "close", "volume")))
            transaction.merge(partition, candles_table([(part, "test")]), known_at_ms=NOON)


def test_two_months_of_days_say_what_a_day_may_cost(world: World) -> None:
    """By hand: BTC falls 2 % on 3 of 60 days and rises 1 % on the others; 20 coins at 100 on 10,000 are a weight of 0.2."""
    world.hold("20")
    world.price(BTC="100")
    short = world.risk().document
    assert short["statistics"] == "0 daily returns of BTC-USDT@binance are stored, 30 are needed"
    moves = [0.98 if day in (10, 30, 50) else 1.01 for day in range(60)]
    days(world, BTC, [100.0, *(100.0 * np.cumprod(moves)).tolist()])
    said = world.risk().document
    assert (said["returns_days"], said["statistics"]) == (60, "60 daily returns, at 95 %")
    worst = np.quantile([0.2 * (move - 1) for move in moves], 0.05)
    assert float(said["value_at_risk"]) == pytest.approx(-10_000 * worst, abs=0.01)
    assert said["expected_shortfall"] == "40.00" and said["correlated_exposure_percent"] == "20"
    world.hold("10", ETH)
    world.price(ETH="100")
    assert world.risk().document["returns_days"] == 0, "nothing is known of the other market"


def test_names_and_words_are_escaped_on_the_page(world: World) -> None:
    """What a page shows may have come from anywhere."""
    world.hold("30")
    world.price(BTC="100")
    document = json.loads(json.dumps(world.risk().document).replace("technical", "<script>alert(1)</script>"))
    page = risk_page(document, ["<img src=x>"], "<b>")
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert "prefers-color-scheme:dark" in page


@pytest.fixture
def commands(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    values = {**ENVIRONMENT, "FKS_HOME": str(world.stores.settings.home), "FKS_DATABASE_URL": world.database.url}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: world.now_ms * 1_000_000))
    load_settings.cache_clear()
    yield world
    load_settings.cache_clear()


def test_the_command_shows_the_stored_figures_or_those_of_now(commands: World) -> None:
    """S2.7 by `fks risk`: stored, now, and an exit code for a monitor."""

    def fks(*arguments: str) -> tuple[int, Any]:
        answer = CliRunner().invoke(app, ["risk", *arguments, "--json"])
        return answer.exit_code, json.loads(answer.stdout)["risks"]

    assert fks() == (0, [])
    commands.hold("30")
    commands.price(BTC="100")
    assert [(code, row["level"]) for code, rows in [fks("main", "--now")] for row in rows] == [(1, "HIGH")]
    assert fks("main") == (0, []), "nothing was stored"
    commands.stored()
    code, [row] = fks()
    assert (code, row["level"], row["exposure_percent"]) == (1, "HIGH", "30")
    assert [reason["level"] for reason in row["reasons"]] == ["HIGH"]
    table = CliRunner().invoke(app, ["risk"])
    assert table.exit_code == 1 and "main: BTC-USDT@binance of technical" in table.stdout
    commands.price(BTC="10")
    assert fks("--now")[0] == 1, "it lost a quarter"
    wrong = CliRunner().invoke(app, ["risk", "nobody"])
    assert wrong.exit_code == 2 and "account 'nobody' is not in the settings; they have main, told" in wrong.stderr
