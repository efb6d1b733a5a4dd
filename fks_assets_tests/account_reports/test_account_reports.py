"""Reports of accounts through their assets: the week of `reported.py`, whose numbers are worked out by hand there."""

import json
import math
import multiprocessing
import signal
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from fks_assets.assets.account_reports import making
from fks_assets.assets.account_reports.account_report import AccountReport, report_of
from fks_assets.assets.account_reports.page import report_page
from fks_assets.assets.account_reports.words import message_of
from fks_assets.cli import app
from fks_assets.errors import InvalidInput, StoreError
from fks_assets.notify.discord import discord_payload
from fks_assets.notify.message import Message
from fks_assets.quant.orders import Side
from fks_assets.quant.report_periods import Period, ReportType, period_of
from fks_assets.settings import load_settings
from fks_assets.stores.account_reports import newest_report
from fks_assets.stores.ledger import journal
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.notifications import read_notifications
from fks_assets.supervisor.launching import launch_behind
from fks_assets_tests.account_reports.doomed_report import Doomed, main
from fks_assets_tests.account_reports.reported import (
    GROWTH,
    HOUR_MS,
    NEXT_MONDAY,
    ReportedDesk,
    at,
    live_the_week,
    reported_desk,
    tell_some,
)
from fks_assets_tests.portfolio.accounts import faults
from fks_assets_tests.scenarios.stopped_clock import database_of_a_module
from fks_assets_tests.stores.ledger.books import BTC

WEEK = period_of(ReportType.WEEKLY, "2026-01-05")
MONDAY_08 = NEXT_MONDAY + 8 * HOUR_MS


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, postgres_home: Any) -> Iterator[ReportedDesk]:
    """The desk after its week; what a report tells of depends on its period alone, so that each test sets the clock it needs."""
    home = tmp_path_factory.mktemp("reported")
    with database_of_a_module(postgres_home, "account_reports") as url, reported_desk(home, url) as desk:
        live_the_week(desk)
        tell_some(desk)
        yield desk


def report(desk: ReportedDesk, kind: str = "weekly", key: str = "2026-01-05", account: str = "main") -> AccountReport:
    period = period_of(ReportType(kind), key)
    return report_of(desk.desk.stores, desk.account(account), period, now_ms=period.end)


def files(desk: ReportedDesk, name: str) -> list[bytes]:
    folder = desk.desk.settings.reports_directory / "accounts"
    return [(folder / f"{name}.{kind}").read_bytes() for kind in ("html", "json")]


def told(desk: ReportedDesk, kind: str) -> list[tuple[str, str]]:
    return [(each.dedup_key, each.message) for each in read_notifications(desk.database, [kind])]


def rows(desk: ReportedDesk, kind: str) -> int:
    with desk.database.transaction() as connection:
        return connection.scalar(sa.text("SELECT count(*) FROM account_reports WHERE type = :type"), {"type": kind})


def test_money_is_that_of_the_books_and_deposits_are_apart(desk: ReportedDesk) -> None:
    """S2.13, by the docstring of `reported.py`: 10,000 + 1,000 - 500 + 21 = 10,521; 78 - 77 realised, 20 not; four fees of 1."""
    said = report(desk).document
    assert said["equity"] == {
        "start": "10000",
        "start_at": "2026-01-04T23:45:00Z",
        "end": "10521",
        "end_at": "2026-01-11T23:45:00Z",
        "change": "521",
        "net_deposits": "500",
        "profit": "21",
        "profit_percent": f"{float(100 * (math.prod(GROWTH) - 1)):.4f}",
        "realised": "1",
        "unrealised_change": "20",
        "other": "0",
        "unrealised": "20",
    }
    assert said["flows"] == {"deposits": {"USDT": "1000"}, "withdrawals": {"USDT": "-500"}, "adjustments": {}}
    assert (said["fees"], said["funding"], said["notes"]) == ({"USDT": "4"}, {}, [])


def test_metrics_are_those_of_the_days_by_the_standard_library(desk: ReportedDesk) -> None:
    """S1.9, S1.10: Sharpe, drawdown, win rate and returns over 7 days; mean and deviation by `statistics`, a year of 365 days."""
    said = report(desk).document["metrics"]
    returns = [float(growth - 1) for growth in GROWTH]
    worth = [math.prod(GROWTH[: day + 1], start=Fraction(1)) for day in range(7)]
    assert said["total_return_pct"] == pytest.approx(float(100 * (worth[-1] - 1)), abs=1e-6)
    assert said["sharpe"] == pytest.approx(statistics.mean(returns) / statistics.stdev(returns) * math.sqrt(365), abs=1e-5)
    assert (said["best_day_pct"], said["worst_day_pct"]) == pytest.approx((100 * max(returns), 100 * min(returns)), abs=1e-6)
    assert said["max_drawdown_pct"] == pytest.approx(float(100 * (1 - min(worth[1:]) / worth[0])), abs=1e-6)
    assert (said["total_trades"], said["win_rate_pct"], said["average_win"], said["average_loss"]) == (2, 50.0, 78.0, -77.0)
    assert said["profit_factor"] == pytest.approx(78 / 77, abs=1e-6)
    longer = report(desk).document["metrics_30_days"]
    before = [0.0, *returns]
    assert longer["sharpe"] == pytest.approx(statistics.mean(before) / statistics.stdev(before) * math.sqrt(365), abs=1e-5)


def test_trades_and_positions_are_as_they_were_at_the_end(desk: ReportedDesk) -> None:
    """S2.13: the last trades and the open positions; the price is the last stored close of the period, 131."""
    said = report(desk).document
    names = ("market", "quantity", "entry_price", "exit_price", "pnl", "pnl_percent", "fees", "ended_by")
    assert [[trade[name] for name in names] for trade in said["trades"]["last"]] == [
        ["BTC-USDT@binance", "10", "100", "108", "78", "7.8", "2", "exit"],
        ["ETH-USDT@binance", "5", "200", "185", "-77", "-7.7", "2", "stop"],
    ]
    assert [(row["market"], row["closed"], row["profit"]) for row in said["trades"]["by_market"]] == [
        ("BTC-USDT@binance", 1, "78"),
        ("ETH-USDT@binance", 1, "-77"),
    ]
    [held] = said["positions"]["list"]
    assert (said["positions"]["open"], held["quantity"], held["mark_price"], held["unrealised_pnl"]) == (1, "2", "131", "22")
    [then] = report(desk, "daily", "2026-01-05").document["positions"]["list"]
    assert (then["quantity"], then["opened_at"], then["mark_price"]) == ("10", "2026-01-05T10:00:00Z", None)
    assert report(desk, "daily", "2026-01-05").document["trades"]["last"] == []
    assert report(desk, "daily", "2026-01-11").document["trades"]["closed"] == 0
    assert len(report(desk, "daily", "2026-01-11").document["trades"]["last"]) == 2


def test_stops_risk_messages_and_locks_are_those_of_the_period(desk: ReportedDesk) -> None:
    """D12: ten hours of a position, six minutes of them unwatched, are 99 % (594 of 600 minutes)."""
    said = report(desk).document
    assert said["stops"] == {
        "coverage_percent": "99",
        "watched_seconds": 594 * 60,
        "unwatched_seconds": 360,
        "breaches": 2,
        "executed": 1,
    }
    seconds = {"NONE": 3600, "LOW": 1800, "MEDIUM": 1200, "HIGH": 1800, "UNKNOWN": 0}
    assert said["risk"]["seconds"] == {**seconds, "NOT_LOOKED": 7 * 86_400 - sum(seconds.values())}
    assert (said["risk"]["looks"], said["risk"]["percent"]["HIGH"]) == (3, "0.2976")
    assert said["messages"] == {"written": 5, "sent": 3, "failed": 1, "waiting": 1, "escalated": 1}
    assert [(lock["protection"], lock["name"], lock["until"]) for lock in said["locks"]] == [
        ("pause", BTC.key, "2026-01-07T13:00:00Z")
    ]


def test_what_is_not_defined_is_null_with_its_reason(desk: ReportedDesk) -> None:
    """One day has no deviation, and on Monday nothing was closed: no figure of it is 0."""
    said = report(desk, "daily", "2026-01-05").document
    for name in ("sharpe", "volatility_pct"):
        assert said["metrics"][name] is None
        assert said["undefined"][f"metrics.{name}"] == "one day of returns is too few, 2 are needed"
    assert said["metrics"]["win_rate_pct"] is None and said["metrics"]["total_trades"] == 0
    assert said["undefined"]["metrics.win_rate_pct"] == "no trade was closed" == said["undefined"]["metrics.profit_factor"]
    missing = {
        f"{section}.{name}"
        for section in ("equity", "metrics", "metrics_30_days", "stops")
        for name, value in said[section].items()
        if value is None
    }
    assert missing == set(said["undefined"])


def test_the_first_period_begins_with_the_money_and_an_earlier_one_says_that_there_is_nothing(desk: ReportedDesk) -> None:
    first = report(desk, "weekly", "2025-12-29").document
    assert (first["equity"]["start"], first["equity"]["end"], first["equity"]["profit"]) == (None, "10000", "0")
    assert first["undefined"]["equity.start"] == "the account has no balance before the period"
    assert first["flows"]["deposits"] == {"USDT": "10000"} and not first["empty"]
    earlier = report(desk, "weekly", "2025-12-22").document
    assert earlier["empty"] and earlier["notes"] == [
        "the account had not begun: no money and no trade up to the end of the period"
    ]
    assert set(earlier["metrics"].values()) == {None, 0} and earlier["equity"]["profit"] is None
    later = report(desk, "weekly", "2026-01-12").document
    assert later["notes"][0] == "no balance was taken in the period; the last one is of 2026-01-11T23:45:00Z"
    assert (later["equity"]["start"], later["equity"]["end"], later["equity"]["profit"]) == ("10521", "10521", "0")
    assert later["undefined"]["metrics.sharpe"] == "there is no balance after the beginning of the period"
    assert "\nNo balance was taken in the period; the last one is of " in message_of(
        later, period_of(ReportType.WEEKLY, "2026-01-12")
    )


def test_three_weekly_runs_are_one_message_one_row_and_the_same_bytes(desk: ReportedDesk) -> None:
    """S1.10, S1.18: Monday 08:00 the week before; again it tells nobody and writes the same."""
    assert faults(desk.scheduled("weekly_reports", MONDAY_08)) == []
    once = files(desk, "main/weekly/2026-01-05")
    shown = desk.desk.events("weekly_report")
    assert {event.partition for event in shown} == {"main|2026-01-05", "told|2026-01-05"}
    assert faults(desk.scheduled("weekly_reports", MONDAY_08)) == []
    assert len(desk.desk.events("weekly_report")) == len(shown), "nothing has changed"
    assert faults(desk.asked("weekly_reports", "main|2026-01-05")) == []
    assert desk.desk.events("weekly_report")[0].metadata["what was made"].value == "unchanged"
    assert files(desk, "main/weekly/2026-01-05") == once
    assert json.loads(once[1]) == json.loads(report(desk).text)
    [text] = [text for key, text in told(desk, "weekly_report") if key == "weekly_report:main:2026-01-05"]
    assert rows(desk, "weekly") == 2
    assert text.splitlines() == [
        "Account main, week 2 of 2026, 5 Jan to 11 Jan",
        "Equity 10,521.00 USDT, profit +21.00 (+0.29 %): realised +1.00, unrealised +20.00; paid in 500.00",
        "2 trades closed, 1 won (50 %); 1 position open",
        "Return 0.29 %, Sharpe 1.50, deepest fall 0.88 %",
        "Stops watched 99 % of the time, 2 breaches, 1 executed",
        "Risk HIGH 0.3 %, MEDIUM 0.2 %, LOW 0.3 % of the time",
        "fks report main --type weekly --date 2026-01-05",
    ]


def test_discord_shows_the_message_as_it_is(desk: ReportedDesk) -> None:
    """S1.18: titles by kind; nothing of the text is markup."""
    made = report(desk)
    for kind, title in (("daily", "📊 Daily report"), ("weekly", "📈 Weekly report"), ("monthly", "🗓️ Monthly report")):
        text = message_of(made.document, made.period)
        [embed] = discord_payload([Message(7, f"{kind}_report", "INFO", text, made.through)])["embeds"]
        assert embed["title"] == title and len(embed["description"]) < 1000
        assert "profit +21.00 (+0.29 %)" in embed["description"]


def test_a_day_is_told_at_half_past_eleven_and_completed_on_the_next_one(desk: ReportedDesk) -> None:
    """S1.9: 23:30. On Friday at 23:30 the balance of 23:45 is not there yet: equity is that of Wednesday, 11,078."""
    assert faults(desk.scheduled("daily_reports", at(4, 23, 30))) == []
    document = newest(desk, "daily", "2026-01-09").document
    assert (document["to"], document["complete"], document["equity"]["end"]) == ("2026-01-09T23:30:00Z", False, "11078")
    assert document["notes"][0] == "the day is not over: this tells of it up to 2026-01-09T23:30:00Z"
    assert newest(desk, "daily", "2026-01-08").document["complete"], "the day before is completed in the same run"
    assert [key for key, _ in told(desk, "daily_report")] == ["daily_report:main:2026-01-08", "daily_report:main:2026-01-09"]
    assert told(desk, "daily_report")[1][1].startswith("Account main, Fri 9 Jan 2026 up to 23:30 UTC\nEquity 11,078.00 USDT")
    assert faults(desk.scheduled("daily_reports", at(5, 23, 30))) == []
    completed = newest(desk, "daily", "2026-01-09").document
    assert (completed["to"], completed["equity"]["end"], completed["stops"]["executed"]) == ("2026-01-10T00:00:00Z", "11001", 1)
    [event] = [each for each in desk.desk.events("daily_report") if each.partition == "main|2026-01-09"][:1]
    assert event.metadata["what was made"].value == "completed"
    assert len(told(desk, "daily_report")) == 3, "only the new day is told"


def newest(desk: ReportedDesk, kind: str, key: str, account: str = "main") -> Any:
    return newest_report(desk.database, account, period_of(ReportType(kind), key))


def test_a_month_is_told_on_its_first_day_after(desk: ReportedDesk) -> None:
    """X9: the 1st at 08:00."""
    assert faults(desk.scheduled("monthly_reports", period_of(ReportType.MONTHLY, "2026-01").end + 8 * HOUR_MS)) == []
    [(key, text)] = told(desk, "monthly_report")
    assert key == "monthly_report:main:2026-01" and text.startswith("Account main, January 2026\nEquity 10,521.00 USDT")
    assert newest(desk, "monthly", "2026-01").document["equity"]["profit"] == "21"


def test_a_period_that_is_not_over_is_one_clear_line(desk: ReportedDesk) -> None:
    desk.now_ms = at(3, 23, 29)
    [fault] = faults(desk.asked("daily_reports", "main|2026-01-08"))
    words = "the daily report of 2026-01-08 cannot be made before 2026-01-08T23:30:00Z: at 2026-01-08T23:29:00Z it is not over"
    assert fault.strip().endswith(f"1 of 1 partitions failed: main|2026-01-08: {words}")
    desk.now_ms = NEXT_MONDAY - 1
    [fault] = faults(desk.asked("weekly_reports", "main|2026-01-05"))
    assert "cannot be made before 2026-01-12T00:00:00Z" in fault


def test_old_periods_are_made_again_without_a_word(desk: ReportedDesk) -> None:
    """A backfill of a year must not be a year of messages."""
    desk.now_ms = at(20, 12)
    before = len(told(desk, "daily_report"))
    assert faults(desk.asked("daily_reports", "main|2026-01-06")) == []
    assert newest(desk, "daily", "2026-01-06").document["equity"]["end"] == "11049"
    assert len(told(desk, "daily_report")) == before
    event = desk.desk.events("daily_report")[0]
    assert (event.metadata["what was made"].value, event.metadata["people told now"].value) == ("new", False)


def test_many_makings_at_once_are_one_row_and_one_message(desk: ReportedDesk) -> None:
    """Eight threads with the same report."""
    period = period_of(ReportType.WEEKLY, "2025-12-29")
    account = desk.account()

    def make(_: int) -> tuple[str, bool]:
        made = making.make_report(desk.desk.stores, desk.reports, account, period, now_ms=period.end, run_id="many")
        return made.status, made.is_told

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(make, range(8)))
    assert found == [("new", True)] + [("unchanged", False)] * 7
    assert [key for key, _ in told(desk, "weekly_report") if key.endswith(period.key)] == ["weekly_report:main:2025-12-29"]


def test_a_run_without_a_partition_is_of_every_account_in_what_is_over_last(desk: ReportedDesk) -> None:
    """`fks run weekly_reports`, as its schedule asks: by the clock of the desk."""

    api = SimpleNamespace(launch=lambda job, tags: {name.rsplit("_", 1)[1]: key for name, key in tags.items()})
    asked = {}
    for job, now in (("daily_reports", at(4, 23, 29)), ("weekly_reports", at(4, 23)), ("monthly_reports", at(30, 0))):
        desk.now_ms = now
        asked[job] = launch_behind(api, desk.desk.stores, job)
    assert asked == {
        "daily_reports": {"start": "main|2026-01-07", "end": "told|2026-01-08"},
        "weekly_reports": {"start": "main|2025-12-29", "end": "told|2025-12-29"},
        "monthly_reports": {"start": "main|2026-01", "end": "told|2026-01"},
    }


def test_an_account_that_has_not_begun_is_reported_and_not_told(desk: ReportedDesk) -> None:
    """The balances of 0 that the desk takes of it every quarter of an hour are no beginning."""
    assert faults(desk.scheduled("weekly_reports", MONDAY_08)) == []
    assert newest(desk, "weekly", "2026-01-05", "told").document["empty"]
    assert all(":told:" not in key for key, _ in told(desk, "weekly_report"))


def test_each_death_in_the_making_leaves_one_message_and_one_row(desk: ReportedDesk) -> None:
    """C11: killed after the files, before the commit and after it; the next making tells what was not told, and only that."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fks_assets_tests.account_reports.doomed_report"])
    home = desk.desk.settings.home
    environment = {"FKS_HOME": str(home), "FKS_DATABASE_URL": desk.database.url, **desk.environment}
    points = {"report.saved": False, "report.uncommitted": False, "report.made": True}
    days = {point: period_of(ReportType.DAILY, f"2026-02-0{number}") for number, point in enumerate(points, 2)}
    children = {
        point: context.Process(target=main, args=(Doomed(home, environment, day, day.end, point),)) for point, day in days.items()
    }
    for child in children.values():
        child.start()
    for point, day in days.items():
        children[point].join(60)
        assert children[point].exitcode == -signal.SIGKILL, point
        saved = files(desk, f"main/daily/{day.key}")
        assert (newest(desk, "daily", day.key) is not None) is points[point]
        desk.now_ms = day.end
        for _ in range(2):
            assert faults(desk.asked("daily_reports", f"main|{day.key}")) == []
        assert [key for key, _ in told(desk, "daily_report") if key.endswith(day.key)] == [f"daily_report:main:{day.key}"]
        assert files(desk, f"main/daily/{day.key}") == saved
        count = sa.text("SELECT count(*) FROM account_reports WHERE start = to_timestamp(:start / 1000.0)")
        with desk.database.transaction() as connection:
            assert connection.scalar(count, {"start": day.start}) == 1


def test_a_fault_of_one_account_stops_no_other(desk: ReportedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """C14: the run fails and names it, the others have their reports."""
    honest = making.report_of

    def report_of_told(stores: Any, account: Any, *rest: Any, **named: Any) -> AccountReport:
        if account.name == "main":
            raise KeyError("a coin that nobody knows")
        return honest(stores, account, *rest, **named)

    monkeypatch.setattr(making, "report_of", report_of_told)
    result = desk.scheduled("weekly_reports", MONDAY_08 + 7 * 24 * HOUR_MS)
    [fault] = faults(result)
    assert "1 of 2 partitions failed: main|2026-01-12: KeyError: 'a coin that nobody knows'" in fault
    assert [event.partition for event in result.get_asset_materialization_events()] == ["told|2026-01-12"]


class Reader(HTMLParser):
    """What a page holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.labels: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.labels += [value or "" for name, value in attrs if name == "aria-label"]
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def test_the_page_holds_its_picture_and_loads_nothing(desk: ReportedDesk) -> None:
    page = Reader(report_page(report(desk)))
    assert {"script", "img", "iframe", "object"} & page.tags == set() and "svg" in page.tags
    assert all(link.startswith("data:") for link in page.links)
    assert any(label.startswith("Equity from 5 Jan 2026 to 11 Jan 2026: +0.3 %, deepest fall 0.9 %") for label in page.labels)
    assert any(label == "high 0.3 %, medium 0.2 %, low 0.3 %, nothing held 0.6 %, not looked at 98.6 %" for label in page.labels)
    for words in ("10,521.00", "+21.00", "+0.29 %", "99 %", "BTC-USDT@binance", "−77.00", "a position was left", "UTC"):
        assert words in page.text, words


def test_names_and_words_are_escaped_on_the_page(desk: ReportedDesk) -> None:
    made = report(desk)
    document = json.loads(
        json.dumps(made.document).replace("technical", "<script>alert(1)</script>").replace("left", "<img src=x>")
    )
    page = report_page(AccountReport(made.account, made.period, made.through, document, made.curve, made.prices))
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page


def test_a_partition_says_what_it_was_made_from_and_the_web_shows_it(desk: ReportedDesk) -> None:
    """S1.16: fills, positions, balances, risk and the candles that positions are priced with → report."""
    job = desk.desk.definitions.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(name) for name in ("balances",)]
    desk.now_ms = MONDAY_08
    assert job.execute_in_process(instance=desk.desk.instance, asset_selection=keys, partition_key="main").success
    assert faults(desk.asked("weekly_reports", "main|2026-01-05")) == []
    record = latest_inputs(desk.database, "weekly_report", ["main|2026-01-05"])["main|2026-01-05"]
    balances = latest_inputs(desk.database, "balances", ["main"])["main"].content_hash
    used = {(each.asset, each.partition, each.content_hash) for each in record.inputs}
    [head] = desk.desk.stores.candles.heads("ohlcv", "1h", [BTC]).values()
    assert used == {("balances", "main", balances), ("ohlcv_1h", "BTC-USDT@binance|2026-01", head.content_hash)}
    shown = desk.desk.events("weekly_report")[0].metadata
    assert "data:image/svg+xml" in shown["equity"].value and shown["profit"].value == "21"
    assert [row.data["ended_by"] for row in shown["last trades"].records] == ["stop", "exit"]
    assert shown["report"].value["equity"]["end"] == "10521" and shown["stops watched [%]"].value == "99"
    assert shown["page"].value.endswith("accounts/main/weekly/2026-01-05.html")


@pytest.fixture
def commands(desk: ReportedDesk, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReportedDesk]:
    values = {"FKS_HOME": str(desk.desk.settings.home), "FKS_DATABASE_URL": desk.database.url, **desk.environment}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    yield desk
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> str:
    answer = CliRunner().invoke(app, ["report", *arguments])
    assert answer.exit_code == code, answer.output
    assert (answer.stdout == "") is (code == 2) and answer.stderr.count("\n") == (code == 2)
    return answer.stdout or answer.stderr


def test_the_command_shows_the_stored_report_or_computes_it(commands: ReportedDesk) -> None:
    """Any day of the period names it; looking stores nothing. Wednesday realised 1,080 - 1,000 - 1: one fee was Monday's."""
    commands.now_ms = at(7, 9)
    before = rows(commands, "daily")
    computed = json.loads(fks("main", "--date", "2026-01-07", "--json"))
    assert (computed["stored"], computed["made_at"], computed["report"]["equity"]["realised"]) == (False, None, "79")
    assert rows(commands, "daily") == before
    assert faults(commands.asked("weekly_reports", "main|2026-01-05")) == []
    stored = json.loads(fks("main", "--type", "weekly", "--date", "2026-01-08", "--json"))
    assert stored["stored"] and stored["report"] == json.loads(report(commands).text)
    assert list(stored["report"])[:3] == ["account", "mode", "exchange"], "as it was written"
    table = fks("main", "--type", "weekly")
    assert table.startswith("Account main: week 2 of 2026, 5 Jan to 11 Jan\n") and "Stored: it was made at " in table
    for words in ("10521", "coverage_percent", "BTC-USDT@binance", "Sharpe ratio", "pause"):
        assert words in table, words
    early = fks("main", "--date", "2026-01-05")
    assert "Account main: Mon 5 Jan 2026" in early and "no trade was closed (12 figures)" in early


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "account 'nobody' is unknown; known: main, told"),
        (["main", "--type", "yearly"], "report type 'yearly' is unknown; known: daily, weekly, monthly"),
        (["main", "--date", "yesterday"], "'yesterday' is not a day such as 2026-11-21"),
        (["main", "--date", "2026-02-30"], "'2026-02-30' is not a day such as 2026-11-21"),
        (["main", "--type", "monthly", "--date", "2026-13"], "month '2026-13' is not of the form YYYY-MM"),
        (["main", "--date", "2026-01-13"], "the daily report of 2026-01-13 cannot be made before 2026-01-13T23:30:00Z"),
    ],
)
def test_wrong_input_is_one_line(commands: ReportedDesk, arguments: list[str], words: str) -> None:
    commands.now_ms = at(7, 9)
    assert words in fks(*arguments, code=2)


def test_a_late_fill_rewrites_a_finished_week_and_tells_nobody_again(desk: ReportedDesk) -> None:
    """Two fills of Thursday, 5 SOL from 100 to 104, become known a week later: what was told stays, what is stored says so."""
    assert faults(desk.scheduled("weekly_reports", MONDAY_08)) == []
    first, before = newest(desk, "weekly", "2026-01-05"), rows(desk, "weekly")
    late = desk.enter(replace(BTC, base="SOL"), at(3, 10), "5", "100")
    desk.fill(late, at(3, 12), "5", "104")
    assert faults(desk.scheduled("weekly_reports", MONDAY_08)) == []
    again = newest(desk, "weekly", "2026-01-05")
    assert again.document["trades"]["profit"] == "21" and again.document["trades"]["closed"] == 3
    shown = desk.desk.events("weekly_report")[0].metadata
    assert shown["what was made"].value == "rewritten: metrics, metrics_30_days, trades"
    assert shown["content hash before"].value == first.content_hash != again.content_hash
    assert [key for key, _ in told(desk, "weekly_report")].count("weekly_report:main:2026-01-05") == 1
    assert rows(desk, "weekly") == before + 1
    assert json.loads(files(desk, "main/weekly/2026-01-05")[1]) == again.document


def test_a_short_trade_is_told_by_what_was_sold_first(desk: ReportedDesk) -> None:
    """By hand: 2 SOL sold at 100 on Thursday, bought back at 90 on Friday, fee 1: 200 - 180 - 1 = 19, 9.5 % of 200."""
    market = replace(BTC, base="SOL")
    with desk.database.transaction() as connection:
        journal.deposit(connection, "main", "SOL", Decimal(2), "coins", at_ms=at(3, 7), by="Ada")
    short = desk.enter(market, at(3, 13), "2", "100", side=Side.SELL)
    then = report(desk, "daily", "2026-01-08").document
    assert [
        (each["side"], each["quantity"], each["entry_price"]) for each in then["positions"]["list"] if each["deal"] == short.id
    ] == [("SHORT", "2", "100")]
    desk.fill(short, at(4, 11), "2", "90", "1")
    said = report(desk).document
    [trade] = [each for each in said["trades"]["last"] if each["deal"] == short.id]
    names = ("side", "quantity", "entry_price", "exit_price", "pnl", "pnl_percent", "fees", "ended_by")
    assert [trade[name] for name in names] == ["SHORT", "2", "100", "90", "19", "9.5", "1", "exit"]
    assert said["flows"]["deposits"] == {"SOL": "2", "USDT": "1000"} and said["equity"]["net_deposits"] == "500"


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("type", "yearly", "type_known"),
        ("through", "2026-01-05T00:00:00Z", "tells_of_some_time"),
        ("document", "[]", "document_has_names"),
        ("content_hash", "abc", "content_hash_form"),
    ],
)
def test_the_database_refuses_what_is_no_report(desk: ReportedDesk, column: str, value: str, check: str) -> None:
    row = {
        "account": "main",
        "type": "daily",
        "start": "2026-01-05T00:00:00Z",
        "through": "2026-01-06T00:00:00Z",
        "document": "{}",
        "content_hash": "0" * 64,
        "run_id": "test",
    } | {column: value}
    with pytest.raises(StoreError, match=f"ck_account_reports_{check}"), desk.database.transaction() as connection:
        connection.execute(
            sa.text(f"INSERT INTO account_reports ({', '.join(row)}) VALUES ({', '.join(f':{n}' for n in row)})"), row
        )


def test_the_period_before_a_day_is_over_is_refused_by_the_reader_too(desk: ReportedDesk) -> None:
    period = Period(ReportType.DAILY, "2026-01-05", at(0, 0), at(1, 0))
    with pytest.raises(InvalidInput, match="cannot be made before 2026-01-05T23:30:00Z"):
        report_of(desk.desk.stores, desk.account(), period, now_ms=at(0, 23, 29))
