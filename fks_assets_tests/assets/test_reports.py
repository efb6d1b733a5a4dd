"""The reports on completeness and recency, on a desk without an exchange and on one that repairs its holes.

Expected figures are counted by hand from what each test stores; days and addresses are read back out of the page.
"""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import numpy as np
import pytest
from typer.testing import CliRunner

from fks_assets import clock
from fks_assets.assets.market_data.gap_ledger import update_gaps
from fks_assets.assets.reporting.recency import late_markets
from fks_assets.cli import app
from fks_assets.clock import to_ms
from fks_assets.errors import InvalidInput, StoreError
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market, parse_market
from fks_assets.quant.ranges import runs
from fks_assets.quant.timeframes import month_of, parse_timeframe
from fks_assets.resources.reports import Reports
from fks_assets.settings import load_settings
from fks_assets.simulator.fault_rules import parse_time
from fks_assets.stores.candle_tables import candles_table, times_from_arrow
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.gap_records import OPEN, read_gaps
from fks_assets.stores.notifications import read_notifications
from fks_assets.supervisor.home import prepare_home
from fks_assets.supervisor.lock import DeskLock
from fks_assets.supervisor.state import DeskState, Phase, write_state
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.scenarios.stopped_clock import HOUR_MS, StoppedDesk, stopped_desk

NOW = datetime(2026, 11, 21, 8, 0, 30, tzinfo=UTC)
DAY_MS = 86_400_000
HISTORY_DAYS = {"1h": 20, "1d": 40}
HOUR, DAY = parse_timeframe("1h"), parse_timeframe("1d")
BTC, ETH, BNB, SOL, AVAX = (parse_market(f"{base}-USDT@simulated") for base in ("BTC", "ETH", "BNB", "SOL", "AVAX"))
MISSING_KINDS = ("fetch_failed", "fetchable", "beyond_api_limit", "venue_down", "no_trades")


class StandingDesk:
    """The shipped markets in 1h and 1d on a desk whose clock stands, without an exchange. All candles that closed are stored."""

    def __init__(self, home: Path, database_url: str, patch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        patch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: to_ms(self.now) * 1_000_000))
        lengths = {f"HISTORY_DAYS__{name}": str(days) for name, days in HISTORY_DAYS.items()}
        values = {"TIMEFRAMES": "1h,1d", "FIRST_MONTH": "2026-10", **lengths}
        self.environment = {
            "FKS_HOME": str(home),
            "FKS_DATABASE_URL": database_url,
            **{f"FKS_{name}": value for name, value in values.items()},
        }
        self.desk: Desk = build_desk(home, database_url, "http://127.0.0.1:9", **values)
        self.stores = self.desk.stores

    def grid(self, timeframe_name: str) -> np.ndarray:
        timeframe = parse_timeframe(timeframe_name)
        midnight = to_ms(self.now) // DAY_MS * DAY_MS
        return np.arange(
            midnight - HISTORY_DAYS[timeframe_name] * DAY_MS, timeframe.floor(to_ms(self.now)), timeframe.milliseconds
        )

    def fill(
        self,
        missing: dict[tuple[Market, str], np.ndarray] | None = None,
        confirmed: tuple[Market, ...] = (),
        timeframes: tuple[str, ...] = ("1h", "1d"),
    ) -> None:
        """Store every candle but those at the places of the grid that are `missing`, which `confirmed` markets know for holes."""
        for name in timeframes:
            grid, step = self.grid(name), parse_timeframe(name).milliseconds
            months = np.array([month_of(int(time)) for time in grid])
            markets = self.desk.settings.market_list()
            partitions = [PartitionId("ohlcv", market, name, month) for market in markets for month in sorted(set(months))]
            with self.stores.candles.begin(partitions) as transaction:
                for partition in partitions:
                    held = np.ones(len(grid), np.bool_)
                    held[(missing or {}).get((partition.market, name), np.zeros(0, np.int64))] = False
                    here = grid[held & (months == partition.month)]
                    price = np.full(len(here), 100.0)
                    table = candles_table([(Candles(here, price, price + 1, price - 1, price, price), "test")])
                    known = partition.market in confirmed
                    holes = runs(grid[~held & (months == partition.month)], step) if known else []
                    transaction.merge(partition, table, known_at_ms=to_ms(self.now), confirmed_holes=holes, replace=True)

    def judge(self) -> None:
        for timeframe in (HOUR, DAY):
            update_gaps(self.stores, self.desk.settings.market_list(), timeframe)

    def run(self, job: str, asset: str, **config: object) -> dict[str, dg.MetadataValue]:
        """Run a job as its schedule would, or with a configuration, and return the metadata of its one event."""
        before = len(self.desk.events(asset))
        result = self.desk.definitions.resolve_job_def(job).execute_in_process(
            instance=self.desk.instance, run_config={"ops": {asset: {"config": config}}}
        )
        events = self.desk.events(asset)
        assert result.success and len(events) == before + 1
        return dict(events[0].metadata)

    def messages(self) -> list[tuple[str, str, str]]:
        return [(each.kind, each.severity, each.message) for each in read_notifications(self.stores.database)]


@pytest.fixture
def standing(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> StandingDesk:
    return StandingDesk(home, database_url, monkeypatch)


class Page(HTMLParser):
    """What a reader finds on a heat map: days by their titles, links by their labels, and all elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.days: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.tags: set[str] = set()
        self.letters: dict[str, str] = {}
        self._day: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self._day = None
        if tag == "a":
            self.links[found["aria-label"] or ""] = found["href"] or ""
        if tag == "i" and "title" in found:
            self._day, words = (found["title"] or "").split(": ", 1)
            self.days.setdefault(self._day, words)

    def handle_data(self, data: str) -> None:
        if self._day is not None:
            self.letters.setdefault(self._day, data)

    def link(self, words: str) -> str:
        return next(address for label, address in self.links.items() if label.startswith(words))


def _page(desk: Desk) -> Page:
    (path,) = (desk.settings.reports_directory / "data-completeness").glob("*.html")
    return Page(path.read_text(encoding="utf-8"))


def _counts(**kinds: int) -> dict[str, int]:
    return {kind: kinds.get(kind, 0) for kind in MISSING_KINDS}


def test_the_report_has_the_figures_of_s5_5_in_metadata_and_in_a_file(standing: StandingDesk) -> None:
    """S5.5, X16, X17. TIER1 is BTC and ETH: 488 hours and 40 days each; the 7:00 candle is not late yet at 8:00:30."""
    standing.fill({(BTC, "1h"): np.r_[10:13, 100:104], (ETH, "1d"): np.array([5])}, confirmed=(ETH,))
    standing.judge()
    document = standing.run("completeness", "data_completeness", tier="TIER1", intervals=[60, 1440], days=30)["report"].data
    hours = 2 * (20 * 24 + 7)
    assert document == {
        "tier": "TIER1",
        "total_assets": 2,
        "assets_with_gaps": 2,
        "completeness_pct": 0.0,
        "candle_completeness_pct": 99.24,
        "candle_completeness_of_exchange_pct": 99.33,
        "candles_expected": hours + 80,
        "candles_stored": hours - 7 + 79,
        "candles_missing": _counts(fetchable=7, no_trades=1),
        "intervals": {
            "60": {
                "fillable_gaps": 2,
                "unfillable_gaps": 0,
                "total_gaps": 2,
                "assets_with_gaps": 1,
                "candle_completeness_pct": 99.28,
                "candle_completeness_of_exchange_pct": 99.28,
                "candles_expected": hours,
                "candles_stored": hours - 7,
                "candles_missing": _counts(fetchable=7),
            },
            "1440": {
                "fillable_gaps": 0,
                "unfillable_gaps": 1,
                "total_gaps": 1,
                "assets_with_gaps": 1,
                "candle_completeness_pct": 98.75,
                "candle_completeness_of_exchange_pct": 100.0,
                "candles_expected": 80,
                "candles_stored": 79,
                "candles_missing": _counts(no_trades=1),
            },
        },
        "generated_at": "2026-11-21T08:00:30Z",
        "simulated": True,
    }
    saved = json.loads((standing.desk.settings.reports_directory / "data-completeness/2026-11-21-tier1.json").read_text())
    worst, *_ = saved.pop("markets")
    assert saved == document
    assert (worst["market"], worst["timeframe"], worst["candles_stored"]) == (BTC.key, "1h", 20 * 24)


def test_the_figures_count_the_holes_of_the_ledger(standing: StandingDesk) -> None:
    """S5.16: what the report counts is what `gap_records` holds; a hole that nobody has noted yet counts as well."""
    standing.fill({(BTC, "1h"): np.r_[10:13, 100:104, 200:201], (SOL, "1h"): np.r_[50:60]}, confirmed=(SOL,))
    for judged in (False, True):
        if judged:
            standing.judge()
        figures = standing.run("completeness", "data_completeness")["report"].data["intervals"]["60"]
        assert (figures["fillable_gaps"], figures["unfillable_gaps"]) == ((3, 1) if judged else (4, 0))
    open_gaps = read_gaps(standing.stores.database, timeframes=["1h"], statuses=OPEN)
    assert sorted(gap.is_api_fillable for gap in open_gaps) == [False, True, True, True]


def test_an_outage_of_the_exchange_is_told_apart_from_holes_of_ours(standing: StandingDesk) -> None:
    """S5.5: raw per cent, and of what the exchange has."""
    down = np.r_[30:36]
    markets = standing.desk.settings.market_list()
    standing.fill({(market, "1h"): down for market in markets}, confirmed=tuple(markets))
    standing.judge()
    document = standing.run("completeness", "data_completeness", intervals=[60])["report"].data
    assert document["candles_missing"] == _counts(venue_down=60)
    assert document["candle_completeness_pct"] == 98.76  # 481 of 487
    assert document["candle_completeness_of_exchange_pct"] == 100.0
    page = _page(standing.desk)
    assert page.days["BTC-USDT Mon 02 Nov 2026"] == "6 of 24 candles missing (6 exchange was down)"
    assert page.letters["BTC-USDT Mon 02 Nov 2026"] == "V"


def test_the_heat_map_stands_alone_and_says_what_each_day_lacks(standing: StandingDesk) -> None:
    standing.fill({(BTC, "1h"): np.r_[26:29]})
    standing.judge()
    metadata = standing.run("completeness", "data_completeness", intervals=[60])
    page = _page(standing.desk)
    (path,) = (standing.desk.settings.reports_directory / "data-completeness").glob("*.html")
    text = path.read_text()
    assert page.tags.isdisjoint({"script", "img", "iframe", "form", "object"})
    assert not re.search(r"url\(|@import|<link(?! rel=\"icon\" href=\"data:,\")", text)
    assert {urlsplit(address).netloc for address in page.links.values()} == {"127.0.0.1:3000"}
    assert "SIMULATED" in text and "prefers-color-scheme:dark" in text
    legend = text[text.index('aria-label="Legend"') : text.index("</ul>")]
    assert re.findall(r"<i class=\"\w+\">(.?)</i>([^<]+)", legend) == [
        ("", "complete"),
        ("H", "hole, can be fetched"),
        ("F", "fetching failed"),
        ("B", "beyond the exchange&#x27;s API"),
        ("V", "exchange was down"),
        ("N", "nobody traded"),
        ("L", "not listed"),
        ("·", "not closed yet"),
        ("", "older than the history kept"),
    ]
    assert page.days["BTC-USDT Mon 02 Nov 2026"] == "3 of 24 candles missing (3 hole, can be fetched)"
    assert page.days["BTC-USDT Tue 03 Nov 2026"] == "complete"
    assert page.days["BTC-USDT Sat 31 Oct 2026"] == "older than the history kept"
    assert page.days["BTC-USDT Mon 24 Aug 2026"] == "older than the history kept"
    label = "BTC-USDT 1h, November 2026: 3 of 487 candles missing (3 hole, can be fetched), on day 2"
    assert page.links[label] == "http://127.0.0.1:3000/assets/ohlcv_1h?view=partitions&partition=BTC-USDT%40simulated%7C2026-11"
    assert not any("September 2026" in each for each in page.links), "a month before first_month has no partition"
    assert metadata["heat map"] == dg.MetadataValue.path(str(path))
    assert metadata["overview"].value.startswith("![Candles stored, ALL](data:image/svg+xml;base64,")


def test_a_running_desk_is_linked_at_the_ports_in_use(standing: StandingDesk) -> None:
    standing.fill(timeframes=("1d",))
    home = prepare_home(standing.desk.settings.home)
    lock = DeskLock(home.lock_file)
    assert lock.take()
    web, served = "http://127.0.0.1:3456", "http://127.0.0.1:3457"
    try:
        write_state(home, DeskState(os.getpid(), "", Phase.RUNNING, "", web, "simulated", None, str(home.root), (), served))
        metadata = standing.run("completeness", "data_completeness")
    finally:
        lock.release()
    assert metadata["heat map"] == dg.MetadataValue.url(f"{served}/data-completeness/2026-11-21-all.html")
    assert {urlsplit(address).netloc for address in _page(standing.desk).links.values()} == {urlsplit(web).netloc}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tier": "TIER9"}, "tier 'TIER9' is unknown; known: TIER1, TIER2, TIER3, TIER4, ALL"),
        ({"intervals": [7]}, "interval 7 min is not one of the desk's: 60, 1440"),
        ({"days": 0}, "days 0 is not between 1 and 3,660"),
    ],
)
def test_a_wrong_configuration_ends_the_run_with_one_line(standing: StandingDesk, config: dict[str, object], words: str) -> None:
    with pytest.raises(dg.Failure, match=re.escape(words)):
        standing.run("completeness", "data_completeness", **config)
    assert not standing.desk.settings.reports_directory.exists()


def test_reports_are_replaced_whole_and_old_ones_go(standing: StandingDesk) -> None:
    reports = Reports(standing.desk.settings, lambda: None)
    for day in range(1, 6):
        saved = reports.save(f"a/2026-11-0{day}.html", str(day))
    assert (saved.path.read_text(), saved.url) == ("5", None)
    reports.save("a/2026-11-05.html", "again")
    assert reports.keep_newest("a", 2) == 3
    assert {path.name: path.read_text() for path in saved.path.parent.iterdir()} == {
        "2026-11-04.html": "4",
        "2026-11-05.html": "again",
    }
    (standing.desk.settings.reports_directory / "b").write_text("a file")
    with pytest.raises(StoreError, match=r"b/c\.html cannot be written: "):
        reports.save("b/c.html", "text")


@pytest.mark.parametrize("at", [timedelta(minutes=25), timedelta(hours=8), timedelta(hours=23, minutes=59, seconds=59)])
def test_a_market_with_all_its_daily_candles_is_never_late_at_any_time_of_day(standing: StandingDesk, at: timedelta) -> None:
    """X18: the newest daily candle opened up to 48 hours ago, and is 0 hours behind."""
    standing.now = NOW.replace(hour=0, minute=0, second=0) + at
    standing.fill(timeframes=("1d",))
    for hours in (24.0, 0.01):
        assert late_markets(standing.stores, ["ALL"], 1440, hours, to_ms(standing.now)) == {
            "assets_checked": 10,
            "interval_minutes": 1440,
            "assets_missing_data": [],
        }


def test_markets_behind_are_reported_in_the_shape_of_s5_6(standing: StandingDesk) -> None:
    """S5.6, X18: BTC lacks the last daily candle, BNB the last three, SOL has none at all; AVAX is TIER3 and not looked at."""
    newest = len(standing.grid("1d"))
    places = {BTC: newest - 1, BNB: newest - 3, SOL: 0, AVAX: newest - 9}
    standing.fill({(market, "1d"): np.arange(first, newest) for market, first in places.items()}, timeframes=("1d",))
    metadata = standing.run("recency", "recency_validation")
    assert metadata["report"].data == {
        "assets_checked": 5,
        "interval_minutes": 1440,
        "assets_missing_data": [
            {"ticker": "SOL-USDT", "tier": "TIER2", "last_timestamp": None, "hours_behind": 960.0},
            {"ticker": "BNB-USDT", "tier": "TIER2", "last_timestamp": "2026-11-17T00:00:00Z", "hours_behind": 72.0},
            {"ticker": "BTC-USDT", "tier": "TIER1", "last_timestamp": "2026-11-19T00:00:00Z", "hours_behind": 24.0},
        ],
    }
    words = "⚠️ 3 assets missing recent data: SOL-USDT: 960h behind, BNB-USDT: 72h behind, BTC-USDT: 24h behind"
    assert standing.messages() == [("recency", "WARN", words)]
    late = standing.run("recency", "recency_validation", hours=48, tiers=["TIER1"])["report"].data
    assert late["assets_missing_data"] == []
    with pytest.raises(InvalidInput, match="hours 0 is not above 0"):
        late_markets(standing.stores, ["TIER1"], 1440, 0, to_ms(NOW))


def test_the_alert_comes_once_for_each_change_of_the_set_and_once_when_it_is_over(standing: StandingDesk) -> None:
    """S5.15, C11: hours later the same markets are no news; a market that falls behind again is."""
    newest = len(standing.grid("1d"))
    told: list[bool] = []

    def lacking(*markets: Market) -> None:
        standing.fill({(market, "1d"): np.array([newest - 1]) for market in markets}, timeframes=("1d",))
        told.append(bool(standing.run("recency", "recency_validation")["message written"].value))

    for markets in ((), (BTC,), (BTC,), (BTC, ETH), (ETH,), (), (), (BTC,)):
        lacking(*markets)
    assert told == [False, True, False, True, True, True, False, True]
    assert [message for _, _, message in standing.messages()] == [
        "⚠️ 1 asset missing recent data: BTC-USDT: 24h behind",
        "⚠️ 2 assets missing recent data: BTC-USDT: 24h behind, ETH-USDT: 24h behind",
        "⚠️ 1 asset missing recent data: ETH-USDT: 24h behind",
        "✅ every asset has recent data again",
        "⚠️ 1 asset missing recent data: BTC-USDT: 24h behind",
    ]


def test_the_command_line_prints_the_same_report_and_its_exit_code_says_enough(
    standing: StandingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing.fill({(BTC, "1h"): np.r_[-10:-4, 0:5], (ETH, "1h"): np.r_[-20:-12]}, confirmed=(ETH,))
    standing.judge()
    for name, value in standing.environment.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    try:
        answer = CliRunner().invoke(app, ["completeness", "--tier", "TIER1", "--json"])
        document = json.loads(answer.stdout)
        markets = document.pop("markets")
        expected = standing.run("completeness", "data_completeness", tier="TIER1")["report"].data
        assert (answer.exit_code, document) == (0, expected)
        assert [(each["market"], each["timeframe"]) for each in markets[:1]] == [(BTC.key, "1h")]
        recent = CliRunner().invoke(app, ["completeness", "--tier", "TIER1", "--timeframe", "1h", "--days", "1", "--json"])
        assert json.loads(recent.stdout)["candles_missing"] == _counts(fetchable=4)  # 22:00 to 3:00, from midnight on
        for share, code in (("97.7", 0), ("97.8", 1)):  # BTC 476 of 487: 97.74; ETH lacks what the exchange lacks too
            assert CliRunner().invoke(app, ["completeness", "--tier", "TIER1", "--at-least", share]).exit_code == code
        table = CliRunner().invoke(app, ["completeness", "--tier", "TIER1"]).stdout
        assert "SIMULATED" in table and "2 of 2 markets have gaps" in table
        wrong = CliRunner().invoke(app, ["completeness", "--tier", "TIER5"])
        assert (wrong.exit_code, wrong.stdout) == (2, "")
        assert "tier 'TIER5' is unknown" in wrong.stderr
    finally:
        load_settings.cache_clear()


@pytest.fixture
def repairing(tmp_path: Path, database_url: str) -> Iterator[StoppedDesk]:
    """A desk of hourly candles with a simulated exchange."""
    with stopped_desk(
        tmp_path / "desk", database_url, parse_time("start", "now", "2025-02-20T09:00:30Z"), history_days=20
    ) as desk:
        assert desk.tick().success
        yield desk


def test_launching_the_repair_that_a_red_cell_links_to_empties_the_ledger_and_turns_it_green(repairing: StoppedDesk) -> None:
    """D5, C1."""
    desk = repairing.desk
    market, taken = parse_market("ETH-USDT@simulated"), parse_time("hole", "start", "2025-02-11T05:00:00Z")
    partition = PartitionId("ohlcv", market, "1h", "2025-02")
    with desk.stores.candles.begin([partition]) as transaction:
        rows = transaction.read(partition).drop_columns(["known_at"])
        times = times_from_arrow(rows["open_time"])
        kept = rows.filter((times < taken) | (times >= taken + 4 * HOUR_MS))
        transaction.merge(partition, kept, known_at_ms=repairing.now_ms, replace=True)
    assert [gap.missing_candles for gap in update_gaps(desk.stores, [market], HOUR)] == [4]

    def report() -> Page:
        assert desk.definitions.resolve_job_def("completeness").execute_in_process(instance=desk.instance).success
        return _page(desk)

    page = report()
    assert page.days["ETH-USDT Tue 11 Feb 2025"] == "4 of 24 candles missing (4 hole, can be fetched)"
    address = urlsplit(page.link("ETH-USDT 1h, February 2025"))
    key = parse_qs(address.query)["partition"][0]
    assert (address.path, key) == ("/assets/ohlcv_1h", "ETH-USDT@simulated|2025-02")
    assert desk.run([address.path.split("/")[-1]], [key.split("|")[1]], markets=[key.split("|")[0]]).success
    assert read_gaps(desk.stores.database, statuses=OPEN) == []
    page = report()
    assert page.days["ETH-USDT Tue 11 Feb 2025"] == "complete"
    assert page.links["ETH-USDT 1h, February 2025: complete"]
