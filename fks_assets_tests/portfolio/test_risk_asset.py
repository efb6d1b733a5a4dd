"""The risk of a paper account hour by hour, through the materialised asset: figures, page, check, and what people are told."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from fks_assets.assets.portfolio.risk_asset import CHECK, unbounded_risks
from fks_assets.assets.portfolio.risk_page import risk_page
from fks_assets.clock import to_datetime
from fks_assets.quant.markets import Market
from fks_assets.quant.risk import RiskLevel
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.ledger.halts import Halt, halt_history
from fks_assets.stores.ledger.journal import wallets
from fks_assets.stores.ledger.positions import Position, read_positions
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.risk import RiskRow, newest_risk, read_risk
from fks_assets_tests.portfolio.accounts import HOURS_TO_AN_EXIT, account_desk, faults, look, run, tick
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, StoppedDesk

PAPER = {
    "ACCOUNTS__main__mode": "paper",
    "ACCOUNTS__main__initial_cash": "10000",
    "ACCOUNTS__main__strategies__technical": "1.0",
    "RISK__least_days": "20",
    "PROTECTIONS__pause__rule": "cooldown",
    "PROTECTIONS__pause__lock_minutes": "240",
}
HOURS = HOURS_TO_AN_EXIT
DAY_MS = 24 * HOUR_MS


@dataclass
class Judged:
    """What was found at a moment, the cash and the positions then, what the check said, and what was halted before the look."""

    row: RiskRow
    cash: Decimal
    positions: list[Position]
    check: dg.AssetCheckEvaluation
    halts: list[Halt]


Seen = list[Judged]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Path) -> Iterator[StoppedDesk]:
    with account_desk(tmp_path_factory.mktemp("risk"), postgres_home, "portfolio_risk", **PAPER) as desk:
        yield desk


@pytest.fixture(scope="module")
def seen(desk: StoppedDesk) -> Seen:
    """What was found before anything was bought, and after each hour."""
    found: Seen = []

    def judge() -> None:
        halts = halt_history(database)
        assert faults(run(desk, "account_risk")) == []
        held = read_positions(database, account="main", is_open=True)
        found.append(Judged(newest(desk), wallets(database, "main")["USDT"], held, judged(desk), halts))

    database = desk.desk.stores.database
    judge()
    for _ in range(HOURS):
        for account in look(desk, "deals_sensor"):
            assert faults(run(desk, "trading", account)) == []
        desk.advance(1)
        tick(desk)
        for account in look(desk, "orders_sensor"):
            assert faults(run(desk, "order_monitor", account)) == []
        judge()
    return found


def newest(desk: StoppedDesk) -> RiskRow:
    row = newest_risk(desk.desk.stores.database, "main")
    assert row is not None
    return row


def judged(desk: StoppedDesk) -> dg.AssetCheckEvaluation:
    """Return the last evaluation of the asset's check."""
    key = dg.AssetCheckKey(dg.AssetKey("portfolio_risk"), CHECK)
    record = desk.desk.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None and record.event.dagster_event is not None
    return record.event.dagster_event.asset_check_evaluation_data


def test_every_figure_is_that_of_the_ledger(seen: Seen) -> None:
    """S2.7: exposure = position value / balance, unrealised PnL, concentration; computed anew in fractions."""
    assert any(each.positions for each in seen)
    for row, cash, positions in ((each.row, each.cash, each.positions) for each in seen):
        worth = [Fraction(each.net_quantity) * Fraction(each.mark_price or 0) for each in positions]
        gains = [
            Fraction(each.net_quantity)
            * (Fraction(each.mark_price or 0) - Fraction(each.bought_sum) / Fraction(each.bought_quantity))
            for each in positions
        ]
        equity = Fraction(cash) + sum(worth)
        said = row.document
        assert Fraction(said["equity"]) == equity and Fraction(said["position_value"]) == sum(worth)
        assert float(said["exposure_percent"]) == pytest.approx(float(100 * sum(worth) / equity), abs=1e-4)
        assert float(said["unrealised_pnl"]) == pytest.approx(float(sum(gains)), abs=1e-9)
        assert float(said["unrealised_percent"]) == pytest.approx(float(100 * sum(gains) / equity), abs=1e-4)
        largest = sorted((float(100 * value / equity) for value in worth), reverse=True)
        assert [float(each["percent"]) for each in said["concentrations"]] == pytest.approx(largest, abs=1e-4)
        assert float(said["margin_used"]) == pytest.approx(float(sum(Fraction(each.bought_sum) for each in positions)))
        assert row.level is expected_level(equity, worth, sum(gains, Fraction(0)))


def expected_level(equity: Fraction, worth: list[Fraction], gained: Fraction) -> RiskLevel:
    if not worth:
        return RiskLevel.NONE
    exposure, lost, largest = sum(worth) / equity, -gained / equity, max(worth) / equity
    if exposure > Fraction(8, 10) or lost > Fraction(1, 10) or largest > Fraction(2, 10):
        return RiskLevel.HIGH
    return RiskLevel.MEDIUM if exposure > Fraction(5, 10) or lost > Fraction(1, 20) else RiskLevel.LOW


def test_people_are_told_once_when_it_becomes_high_and_once_when_that_is_over(desk: StoppedDesk, seen: Seen) -> None:
    """S1.15, C11: the messages follow from the rows alone: a change into HIGH, of its reasons, and out of it."""
    expected: list[str] = []
    standing: set[str] | None = None
    for row in (each.row for each in seen):
        codes = {reason["code"] for reason in row.document["reasons"] if reason["level"] == "HIGH"}
        if row.level is RiskLevel.HIGH and standing is None:
            expected.append("⚠️ HIGH RISK ALERT! Account main: ")
        elif row.level is RiskLevel.HIGH and codes != standing:
            expected.append("⚠️ HIGH RISK ALERT! Account main: The reasons have changed: ")
        elif row.level is not RiskLevel.HIGH and standing is not None:
            expected.append(f"Account main: the risk is {row.level} now, it was HIGH since ")
        standing = codes if row.level is RiskLevel.HIGH else None
    told = read_notifications(desk.desk.stores.database, ["risk"])
    assert len(told) == len(expected)
    for message, begins in zip(told, expected, strict=True):
        assert message.message.startswith(begins)
        assert message.severity == ("HIGH" if "ALERT" in begins else "INFO")
    assert any("ALERT" in begins for begins in expected) and any("now, it was" in begins for begins in expected)


def test_the_value_at_risk_is_that_of_the_stored_days(desk: StoppedDesk, seen: Seen) -> None:
    """numpy's quantile over the closes at midnight, with the weights of that moment."""
    row, positions = next((each.row, each.positions) for each in reversed(seen) if len(each.positions) > 1)
    equity = float(row.document["equity"])
    weights: dict[Market, float] = {}
    for each in positions:
        weights[each.market] = weights.get(each.market, 0.0) + float(each.net_quantity * (each.mark_price or 0)) / equity
    closes = np.array([midnights(desk, market, row.at) for market in weights])
    returns = closes[:, 1:] / closes[:, :-1] - 1
    days = np.array(list(weights.values())) @ returns
    assert row.document["returns_days"] == len(days) >= 20
    assert float(row.document["value_at_risk_percent"]) == pytest.approx(-100 * np.quantile(days, 0.05), abs=1e-4)
    assert float(row.document["value_at_risk"]) == pytest.approx(-equity * np.quantile(days, 0.05), abs=0.01)
    assert float(row.document["expected_shortfall_percent"]) >= float(row.document["value_at_risk_percent"])
    scaled = np.array(list(weights.values()))
    counted = 100 * np.sqrt(scaled @ np.corrcoef(returns) @ scaled)
    assert float(row.document["correlated_exposure_percent"]) == pytest.approx(counted, abs=1e-4)
    assert counted < float(row.document["exposure_percent"])


def midnights(desk: StoppedDesk, market: Market, until_ms: int) -> np.ndarray:
    candles = candles_from_table(desk.desk.stores.candles.read_table("ohlcv", market, "1h", None, until_ms))
    return candles.close[(candles.open_time + HOUR_MS) % DAY_MS == 0]


def test_the_check_is_red_while_the_risk_is_high_and_when_the_figures_are_old(desk: StoppedDesk, seen: Seen) -> None:
    """Issue 6, 2: WARN on HIGH and on figures older than an hour; the quarter-hourly job asks too."""
    stores = desk.desk.stores
    assert {each.row.level for each in seen} >= {RiskLevel.NONE, RiskLevel.HIGH}
    for each in seen:
        assert each.check.passed is (each.row.level is not RiskLevel.HIGH)
        assert each.check.severity is dg.AssetCheckSeverity.WARN
        for reason in each.row.document["reasons"] if not each.check.passed else ():
            assert reason["text"] in str(each.check.metadata["failing"].value)
    last = seen[-1].row
    assert unbounded_risks(stores, last.at + HOUR_MS) == unbounded_risks(stores, last.at)
    assert "the figures are 60 min old" in unbounded_risks(stores, last.at + HOUR_MS + 1)["main"]
    desk.advance(1.5)
    assert faults(run(desk, "account_balances")) == []
    assert not judged(desk).passed and judged(desk).severity is dg.AssetCheckSeverity.WARN
    assert "the figures are 90 min old" in str(judged(desk).metadata["failing"].value)


def test_the_web_shows_the_level_the_reasons_and_a_page(desk: StoppedDesk, seen: Seen) -> None:
    """The page loads nothing and runs nothing, and every bar says in words what it shows."""
    assert faults(run(desk, "account_risk", asked=True)) == []
    shown = desk.desk.events("portfolio_risk")[0].metadata
    row = newest(desk)
    assert (shown["level"].value, shown["risk"].value["at"]) == (row.level.value, row.document["at"])
    for reason in row.document["reasons"]:
        assert reason["text"] in shown["reasons"].value
    page = desk.desk.settings.reports_directory / "risk/main.html"
    assert shown["page"].value == str(page)
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert {"script", "img", "iframe", "object"} & set(reader.tags) == set()
    assert all(value.startswith("data:") for name, value in reader.attributes if name in ("src", "href"))
    assert f"Exposure: {float(row.document['exposure_percent']):.2f} %, bounds 50 %, 80 %" in reader.labels
    assert row.level.value in reader.text and "SIMULATED" in reader.text
    assert f"Stops watched, seven days{shown['stops watched, 7 days [%]'].value:.2f} %" in reader.text


def test_a_bar_has_the_colour_of_its_reason(seen: Seen) -> None:
    """Bars show rounded shares, so their colour follows from the reasons and not from the shares."""
    for row in (each.row for each in seen):
        reader = Reader()
        reader.feed(risk_page(row.document, [], None))
        levels = [reason["level"].lower() for reason in row.document["reasons"]]
        rows = [value.removeprefix("row ") for name, value in reader.attributes if name == "class" and value.startswith("row ")]
        assert len(rows) == 3 + len(row.document["concentrations"])
        assert sorted(kind for kind in rows if kind in ("medium", "high")) == sorted(levels)


class Reader(HTMLParser):
    """What a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    @property
    def labels(self) -> list[str]:
        return [value for name, value in self.attributes if name == "aria-label"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_partition_says_what_it_was_made_from_and_the_schedule_asks_for_each_account(desk: StoppedDesk, seen: Seen) -> None:
    """S1.16: positions → risk; S2.7: every 30 minutes."""
    records = {name: latest_inputs(desk.desk.stores.database, name, ["main"])["main"] for name in ("positions", "portfolio_risk")}
    [used] = records["portfolio_risk"].inputs
    assert (used.asset, used.content_hash) == ("positions", records["positions"].content_hash)
    schedule = desk.desk.definitions.resolve_schedule_def("account_risk_schedule")
    assert schedule.cron_schedule == "*/30 * * * *"
    with dg.build_schedule_context(
        desk.desk.instance,
        scheduled_execution_time=to_datetime(desk.now_ms),
        resources={"stores": desk.desk.stores},
        repository_def=desk.desk.definitions.get_repository_def(),
    ) as context:
        asked = schedule.evaluate_tick(context).run_requests or []
    assert [request.partition_key for request in asked] == ["main"]


def test_an_exit_locks_its_market_in_the_run_that_saw_it(desk: StoppedDesk, seen: Seen) -> None:
    """Issue 6, 2: after a closing `fks halt` shows the lock at once; the market is then refused, and nothing that is held."""
    database = desk.desk.stores.database
    over = {each.market.key: each for each in read_positions(database, account="main", is_open=False)}
    locks = {each.name: each for each in seen[-1].halts}
    assert locks and set(locks) == set(over)
    for name, lock in locks.items():
        closed_at = over[name].closed_at
        assert closed_at is not None and lock.changed_by == "protection:pause"
        assert lock.until == closed_at + 4 * HOUR_MS and 0 <= lock.changed_at - closed_at <= HOUR_MS + 60_000
    page = (desk.desk.settings.reports_directory / "risk/main.html").read_text(encoding="utf-8")
    assert all(f"market {name} of account main is halted until" in page for name in locks)


def test_rows_are_kept_newest_first(desk: StoppedDesk, seen: Seen) -> None:
    kept: list[Any] = [row.at for row in read_risk(desk.desk.stores.database, "main", newest=len(seen) + 10)]
    assert kept == sorted(kept, reverse=True) and {each.row.at for each in seen} <= set(kept)
