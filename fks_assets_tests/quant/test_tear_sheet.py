"""The tear sheet: what it says, that nothing breaks out of it or is loaded by it, and that equal input gives equal bytes."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from fks_assets.errors import InvalidInput
from fks_assets.quant import plot
from fks_assets.quant.backtest.results import EquityCurve
from fks_assets.quant.candles import Candles, empty_candles
from fks_assets.quant.performance import FIGURES, measure
from fks_assets.quant.performance_charts import (
    Curve,
    busiest_window,
    distribution_chart,
    equity_chart,
    equity_picture,
    rolling_sharpe_chart,
    trades_chart,
)
from fks_assets.quant.performance_series import DAY_MS, CashFlows, daily_curve
from fks_assets.quant.performance_words import figure, money_digits, price, quantity, signed
from fks_assets.quant.tear_sheet import GROUPS, TearSheet, tear_sheet_html
from fks_assets.quant.tear_sheet_tables import Table
from fks_assets_tests.quant.backtest.comparing import figures_of, result_of
from fks_assets_tests.quant.series import HOUR_MS, START_MS, synthetic
from fks_assets_tests.quant.trade_rows import trades_of

HOSTILE = "<script>alert('x')</script>&\"quoted\" ]]> --> </svg>"
VOID = {"meta", "link", "col", "br", "path", "circle"}
HOURS = 24 * 400
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))


class Page(HTMLParser):
    """Checks that elements are closed in order, and keeps the rows of all tables, the texts, and every attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        elif self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def row(self, label: str) -> list[str]:
        return next(row[1:] for row in self.rows if row and row[0] == label)


def desk_sheet(**changed: object) -> TearSheet:
    """A sheet with everything in it, from a seeded walk over 400 days of hourly candles."""
    candles = synthetic(HOURS, volatility=0.006, seed=11, start_price=30_000)
    random = np.random.default_rng(12)
    starts = np.sort(random.choice(HOURS - 200, 160, replace=False))
    rows = []
    for start in starts.tolist():
        end = start + int(random.integers(1, 150))
        entry, exit_ = float(candles.open[start]), float(candles.open[end])
        rows.append(
            {
                "entry_time": int(candles.open_time[start]),
                "exit_time": int(candles.open_time[end]),
                "entry_price": entry,
                "exit_price": exit_,
                "quantity": 0.01,
                "entry_fee": 0.3,
                "exit_fee": 0.3,
                "pnl": (exit_ - entry) * 0.01 - 0.6,
                "return_fraction": (exit_ - entry) / entry,
                "candles_held": end - start,
                "market": start % 2,
                "ambiguous": start % 5 == 0,
            }
        )
    rows.sort(key=lambda row: (row["exit_time"], row["entry_time"]))
    closes = candles.open_time + HOUR_MS
    equity = 10_000 * np.exp(np.cumsum(random.normal(2e-5, 0.002, HOURS)))
    sheet = TearSheet(
        "Breakout on two markets",
        np.concatenate(([START_MS], closes)),
        np.concatenate(([10_000.0], equity)),
        "USDT",
        subtitle="1h candles",
        badge="SIMULATED",
        exposure=np.concatenate(([0.0], random.uniform(0, 1, HOURS).round())),
        trades=trades_of(rows),
        hold=Curve("Holding both", closes, candles.close),
        candles=candles,
        markets=("BTC-USDT@simulated", "ETH-USDT@simulated"),
        strategies=("breakout",),
        rules=(("Fees", "0.10 %"), ("Ties", "stop first")),
        provenance=(("Candles", "sha256:0123"),),
        notes=("12 trades hang on ties.",),
    )
    return replace(sheet, **changed)  # type: ignore[arg-type]


SHEET = desk_sheet()
HTML = tear_sheet_html(SHEET)


def test_the_page_says_what_was_measured():
    page = Page(HTML)
    figures = measure(
        SHEET.time, SHEET.equity, exposure=SHEET.exposure, trades=SHEET.trades, hold=(SHEET.hold.time, SHEET.hold.value)
    )
    held = measure(np.concatenate(([START_MS], SHEET.hold.time)), np.concatenate((SHEET.hold.value[:1], SHEET.hold.value)))
    for names in GROUPS.values():
        for name in names:
            shown = FIGURES[name]
            label = f"{shown.label} (USDT)" if shown.unit == "money" else shown.label
            rows = [row[1:] for row in page.rows if row and row[0] == label]
            assert figure(name, getattr(figures, name)) in [row[0] for row in rows], name
    for name in ("total_return_pct", "sharpe", "max_drawdown_pct", "volatility_pct", "longest_drawdown_days"):
        assert page.row(FIGURES[name].label) == [figure(name, getattr(figures, name)), figure(name, getattr(held, name))]
    words = " ".join(page.texts)
    for each in ("SIMULATED", "12 trades hang on ties.", "Fees", "0.10 %", "sha256:0123", "Holding both", "400 days"):
        assert each in words


def test_all_figures_but_the_period_and_that_of_holding_are_in_a_group():
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(FIGURES) - set(grouped) == {"start_ms", "end_ms", "hold_return_pct"}


def test_every_text_is_escaped_and_none_breaks_out():
    sheet = desk_sheet(
        title=HOSTILE,
        subtitle=HOSTILE,
        badge=HOSTILE,
        currency=HOSTILE,
        hold=Curve(HOSTILE, SHEET.hold.time, SHEET.hold.value),
        markets=(HOSTILE, HOSTILE),
        strategies=(HOSTILE, HOSTILE),
        rules=((HOSTILE, HOSTILE),),
        provenance=((HOSTILE, HOSTILE),),
        notes=(HOSTILE,),
        tables=(Table(HOSTILE, (HOSTILE, HOSTILE), [(HOSTILE, HOSTILE)]),),
    )
    html = tear_sheet_html(sheet)
    assert "<script" not in html
    page = Page(html)
    assert "".join(page.texts).count(HOSTILE) > 15
    assert page.rows.count([HOSTILE, HOSTILE]) == 2, "head and row of the table"
    assert not [value for name, value in page.attributes if name.startswith("on")]
    picture = equity_picture(Curve(HOSTILE, SHEET.time, SHEET.equity), title=HOSTILE, badge=HOSTILE)
    assert "".join(ElementTree.fromstring(picture).itertext()).count(HOSTILE) == 3


def test_nothing_is_loaded_from_anywhere():
    page = Page(HTML)
    assert re.findall(r"https?://[^\"' <]+", HTML) == ["http://www.w3.org/2000/svg"] * HTML.count("<svg")
    assert {name for name, _ in page.attributes} & {"src", "srcset", "data", "action"} == set()
    assert [value for name, value in page.attributes if name == "href"] == ["data:,"]
    assert not re.search(r"url\(|@import|<script|<iframe|<object", HTML)


def test_each_picture_says_in_words_what_it_shows():
    labels = re.findall(r'<svg [^>]*role="img" aria-label="([^"]+)"', HTML)
    assert len(labels) == HTML.count("<svg") == 4
    assert labels[0].startswith("Equity from 1 Jan 2020 to 4 Feb 2021: ")
    assert all(re.search(r"\d", label) for label in labels)


def test_the_look_is_told_for_light_dark_and_paper():
    style = HTML.split("<style>")[1].split("</style>")[0]
    for part in ("color-scheme:light dark", "@media screen and (prefers-color-scheme:dark)", "@media print", "@page{size:A4"):
        assert part in style
    used = set(re.findall(r"var\(--(\w[\w-]*)\)", HTML))
    light, dark = (set(re.findall(r"--([\w-]+):", block)) for block in re.findall(r":root\{([^}]*)\}", style)[:2])
    assert used <= light
    assert light == dark


def test_equal_input_gives_equal_bytes_in_any_process():
    """C27: with two hash seeds as well."""
    script = (
        "import hashlib; from fks_assets_tests.quant.test_tear_sheet import HTML as page; "
        "print(hashlib.sha256(page.encode()).hexdigest())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{hashlib.sha256(HTML.encode()).hexdigest()}\n"}
    assert tear_sheet_html(desk_sheet()) == HTML


def test_the_newest_hundred_trades_are_listed_newest_first():
    page = Page(HTML)
    assert "Trades, the newest 100 of 160" in page.texts
    listed = [row for row in page.rows if row and row[0].endswith("@simulated")]
    assert len(listed) == 100
    exits = [row[3] for row in listed]
    assert exits == sorted(exits, reverse=True)
    newest, trades = listed[0], SHEET.trades
    assert newest[0] == SHEET.markets[trades.market[-1]]
    assert newest[-3] == signed(float(trades.pnl[-1]), 2)
    ties = [row[-1] for row in listed]
    assert ties == ["signal, tie" if tie else "signal" for tie in trades.ambiguous[::-1][:100]]


def test_files_beside_the_page_are_linked_and_their_names_break_out_of_nothing():
    page = Page(tear_sheet_html(desk_sheet(files=[("Every trade", "day_breakout_trades.csv"), (HOSTILE, f"a b{HOSTILE}.csv")])))
    links = [value for name, value in page.attributes if name == "href" and value.endswith(".csv")]
    assert links[0] == "day_breakout_trades.csv" and len(links) == 2
    assert links[1].startswith("a%20b%3Cscript%3E") and not set("<>\"' ") & set(links[1])
    assert "Every trade" in page.texts and HOSTILE in "".join(page.texts)


def test_one_market_and_one_strategy_need_no_column():
    mine = SHEET.trades.take(SHEET.trades.market == 0)
    heads = Page(tear_sheet_html(desk_sheet(trades=mine, markets=("BTC-USDT@simulated",)))).rows
    assert ["Side", "Entry (UTC)", "Exit (UTC)", "Candles", "Quantity"] in [row[:5] for row in heads]
    both = Page(tear_sheet_html(desk_sheet(strategies=("breakout", "momentum")))).rows
    assert ["Market", "Strategy", "Side"] in [row[:3] for row in both]


def test_the_heat_map_holds_every_month_and_the_years_compound_them():
    page = Page(HTML)
    years = {row[0]: row[1:] for row in page.rows if re.fullmatch(r"20\d\d", row[0] if row else "")}
    assert list(years) == ["2020", "2021"]
    assert [bool(cell) for cell in years["2021"]] == [True, True, *[False] * 10, True]
    for row in years.values():
        months = [float(cell.replace("−", "-")) for cell in row[:12] if cell]
        year = (np.prod([1 + month / 100 for month in months]) - 1) * 100
        assert float(row[12].replace("−", "-")) == pytest.approx(year, abs=1.2)


def test_deposits_are_said_to_be_taken_out():
    equity = SHEET.equity.copy()
    equity[5000:] += 500_000
    flows = CashFlows(SHEET.time[5000:5001], np.array([500_000.0]))
    html = tear_sheet_html(desk_sheet(equity=equity, cash_flows=flows, trades=None))
    assert "Deposits and withdrawals are taken out." in html
    page = Page(html)
    assert page.row("Paid in less paid out (USDT)") == ["500,000.00"]
    assert abs(float(page.row("Best day")[0].removesuffix(" %"))) < 10


@pytest.mark.parametrize(
    "sheet",
    [
        TearSheet("One point", np.array([START_MS]), np.array([100.0]), "USDT"),
        TearSheet("Two points", np.array([START_MS, START_MS + DAY_MS]), np.array([100.0, 99.0]), "USDT", trades=trades_of([])),
        TearSheet("Flat", START_MS + DAY_MS * np.arange(200), np.full(200, 1e-8), "BTC", trades=trades_of([{"pnl": 0.0}])),
        TearSheet("Steep", START_MS + DAY_MS * np.arange(60), 1e-6 * 2.0 ** np.arange(60), "USDT"),
        TearSheet("Spike", START_MS + DAY_MS * np.arange(90), np.where(np.arange(90) == 50, 1e9, 1.0), "USDT"),
        desk_sheet(candles=empty_candles()),
        desk_sheet(hold=None, exposure=None, candles=None, rules=(), notes=()),
        desk_sheet(hold=Curve("Late", SHEET.time[6000:], SHEET.equity[6000:])),
    ],
    ids=lambda sheet: f"{sheet.title} {len(sheet.time)}",
)
def test_pages_of_little_or_odd_data_are_whole_and_hold_no_made_up_numbers(sheet):
    html = tear_sheet_html(sheet)
    page = Page(html)
    assert not re.search(r"\bnan\b|\binf\b|None|\bNaN\b", " ".join(page.texts))
    assert not re.search(r"nan|inf", " ".join(value for name, value in page.attributes if name in ("d", "x", "y", "cx", "cy")))
    for each in re.findall(r"<svg .*?</svg>", html):
        ElementTree.fromstring(each)


def test_unusable_input_is_refused_as_the_metrics_refuse_it():
    with pytest.raises(InvalidInput, match=r"value -1\.0 at row 1"):
        tear_sheet_html(TearSheet("x", np.array([START_MS, START_MS + 1]), np.array([1.0, -1.0]), "USDT"))


def points(drawn: str) -> np.ndarray:
    """Return the points of a path of one M and one l, by walking it."""
    numbers = [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", drawn.split("V")[0])]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


def test_equity_and_drawdown_stand_where_their_values_are():
    time = START_MS + DAY_MS * np.arange(5)
    svg = ElementTree.fromstring(equity_chart(Curve("Strategy", time, np.array([100.0, 120.0, 90.0, 110.0, 150.0]))))
    paths = [each.get("d", "") for each in svg if each.tag.endswith("path") and "l" in each.get("d", "")]
    line, fall = (points(each) for each in paths)
    assert np.diff(line[:, 0]) == pytest.approx([(line[-1, 0] - line[0, 0]) / 4] * 4, abs=0.3)
    heights = line[0, 1] - line[:, 1]
    assert heights / heights[1] == pytest.approx(np.array([0, 1, -0.5, 0.5, 2.5]), abs=0.03)
    depths = fall[:, 1] - fall[0, 1]
    assert depths / depths[2] == pytest.approx(np.array([0, 0, 1, 1 / 3, 0]), abs=0.02)
    words = ["".join(each.itertext()) for each in svg.iter() if each.tag.endswith("text")]
    assert "Drawdown, deepest −25.0 % on 3 Jan 2020" in words


def test_a_wide_range_is_drawn_logarithmically_and_says_so():
    time = START_MS + DAY_MS * np.arange(5)
    drawn = equity_chart(Curve("Strategy", time, 10.0 ** np.arange(5)))
    assert "logarithmic scale" in drawn
    assert np.diff(points(re.search(r'd="(M[^"]*l[^"]*)"', drawn)[1])[:, 1]) == pytest.approx([-50] * 4, abs=10)
    assert "logarithmic scale" not in equity_chart(Curve("Strategy", time, np.arange(5) + 10.0))


def test_the_picture_of_a_long_history_stays_small_and_stands_alone():
    candles = synthetic(60_000, volatility=0.01, seed=5)
    curve = Curve("Strategy", candles.open_time, candles.close)
    picture = equity_picture(curve, Curve("Holding", candles.open_time, candles.open), title="breakout", badge="SIMULATED")
    assert len(picture) < 16_000
    assert "var(" not in picture
    words = ["".join(each.itertext()) for each in ElementTree.fromstring(picture).iter() if each.tag.endswith("text")]
    assert {"breakout", "SIMULATED", "Strategy", "Holding"} <= set(words)


def test_the_histogram_counts_every_day_that_changed_equity():
    returns = np.array([0.011, 0.012, 0.013, -0.021, -0.034, 0.0, 0.0])
    drawn = distribution_chart(returns)
    assert "2 days without a change are left out" in drawn
    bars = re.findall(r'fill="var\(--(gain|loss)\)" fill-opacity="\.75" d="([^"]+)"', drawn)
    tops = {colour: [float(y) for y in re.findall(r"M[\d.]+ [\d.]+V([\d.]+)h", path)] for colour, path in bars}
    floor = float(re.search(r"M[\d.]+ ([\d.]+)V", bars[0][1])[1])
    unit = floor - max(top for each in tops.values() for top in each)
    assert sum((floor - top) / unit for each in tops.values() for top in each) == pytest.approx(5, abs=0.05)
    assert sum((floor - top) / unit for top in tops["loss"]) == pytest.approx(2, abs=0.03)


def test_a_label_at_the_edge_of_the_histogram_is_not_cut():
    drawn = ElementTree.fromstring(distribution_chart(np.append(np.linspace(-0.0399, 0.0399, 40), -0.04)))
    words = [each for each in drawn.iter() if each.tag.endswith("text")]
    lowest = max(float(each.get("y")) for each in words)
    edge, *others = [each for each in words if float(each.get("y")) == lowest]
    assert (edge.text, edge.get("text-anchor")) == ("−4", None) and float(edge.get("x")) >= 0
    assert [each.text for each in others[:2]] == ["−3", "−2"] and {each.get("text-anchor") for each in others} == {"middle"}


def test_the_rolling_ratio_ends_with_that_of_the_last_ninety_days():
    random = np.random.default_rng(4)
    returns = random.normal(0.001, 0.01, 300)
    days = START_MS + DAY_MS * np.arange(300)
    last = measure(days[209:] + DAY_MS, 100 * np.cumprod(np.concatenate(([1.0], 1 + returns[210:])))).sharpe
    assert f"last {last:.2f}" in rolling_sharpe_chart(days, returns)
    assert "Sharpe ratio of 30 days" in rolling_sharpe_chart(days[:100], returns[:100])
    assert "needs more than 30 days" in rolling_sharpe_chart(days[:30], returns[:30])
    assert "do not vary within any 30 days" in rolling_sharpe_chart(days[:50], np.zeros(50))


@given(st.lists(st.tuples(st.integers(0, 899), st.integers(0, 60)), max_size=30))
def test_the_window_of_candles_is_the_busiest_and_the_latest_of_equals(held):
    open_time = START_MS + HOUR_MS * np.arange(900)
    rows = [{"entry_time": START_MS + HOUR_MS * a, "exit_time": START_MS + HOUR_MS * (a + b)} for a, b in held]
    events = [place for a, b in held for place in (a, a + b)]
    best = max((sum(start <= event < start + 300 for event in events), start) for start in range(601))
    assert busiest_window(open_time, trades_of(rows)) == (best[1], best[1] + 300)


def test_trades_are_marked_at_their_prices_and_cut_at_the_window():
    candles = Candles(
        START_MS + HOUR_MS * np.arange(4, 8),
        *(np.array(each) for each in ([100.0] * 4, [104.0] * 4, [96.0] * 4, [100.0] * 4)),
        np.ones(4),
    )
    at = [START_MS + HOUR_MS * hour for hour in range(12)]
    trades = trades_of(
        [
            {"entry_time": at[4], "exit_time": at[7], "entry_price": 98.0, "exit_price": 102.0, "pnl": 4.0},
            {"entry_time": at[0], "exit_time": at[6], "entry_price": 90.0, "exit_price": 102.0, "pnl": -1.0, "side": -1},
            {"entry_time": at[8], "exit_time": at[9]},
        ]
    )
    drawn = trades_chart(candles, trades)
    titles = re.findall(r"<title>(.*?)</title>", drawn)
    assert titles == [
        "entry: bought at 98.0000 on 2020-01-01 04:00 UTC",
        "exit: sold at 102.000 on 2020-01-01 07:00 UTC",
        "exit: bought at 102.000 on 2020-01-01 06:00 UTC",
    ]
    assert "with 2 trades" in drawn
    won, lost = (
        np.array(
            [
                float(each)
                for each in re.findall(
                    r"[\d.]+", re.search(rf'<path stroke="var\(--{colour}\)" stroke-width="1.8" d="([^"]+)"', drawn)[1]
                )
            ]
        )
        for colour in ("gain", "loss")
    )
    price = np.polyfit(won[[1, 3]], [98.0, 102.0], 1)
    assert np.polyval(price, lost[3]) == pytest.approx(102.0, abs=0.05)
    assert np.polyval(price, lost[1]) == pytest.approx(90 + 12 * 3.5 / 6, abs=0.05)


@given(st.integers(2, 400), st.integers(0, 1000), st.sampled_from([0.5, 1.0, 4.0]))
def test_thinning_keeps_the_ends_and_what_is_highest_and_lowest_in_each_column(count, seed, grain):
    random = np.random.default_rng(seed)
    x, y = np.sort(random.uniform(0, 40, count)), random.normal(0, 1, count)
    kept_x, kept_y = plot.thinned(x, y, grain)
    assert (kept_x[0], kept_x[-1]) == (x[0], x[-1])
    for column in np.unique(np.floor(x / grain)):
        inside, kept = np.floor(x / grain) == column, np.floor(kept_x / grain) == column
        assert (y[inside].min(), y[inside].max()) == (kept_y[kept].min(), kept_y[kept].max())
    assert len(kept_x) <= 2 * len(np.unique(np.floor(x / grain))) + 2


@given(st.integers(0, 30_000), st.integers(1, 200_000), st.integers(2, 10))
def test_times_on_the_axis_are_round_in_order_and_not_too_many(first_hour, hours, most):
    start = START_MS + first_hour * HOUR_MS + 1234
    ticks = plot.time_ticks(start, start + hours * HOUR_MS, most)
    times = [at for at, _ in ticks]
    assert times == sorted(set(times))
    assert all(start <= at <= start + hours * HOUR_MS and at % HOUR_MS == 0 for at in times)
    assert len(ticks) <= most + 2


@given(st.floats(1e-8, 1e12), st.floats(1e-6, 1e3), st.booleans())
def test_values_on_the_axis_are_inside_and_not_too_many(low, share, logarithmic):
    box = plot.Box(0, 0, 100, 100, 0, 1, *plot.extent(low, low * (1 + share), logarithmic=logarithmic), logarithmic)
    ticks = plot.value_ticks(box, 6)
    assert len(ticks) <= 7
    assert all(box.y_low * (1 - 1e-6) <= tick <= box.y_high * (1 + 1e-6) for tick in ticks)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (figure("sharpe", None), "–"),
        (figure("total_return_pct", -12.345), "−12.35 %"),
        (figure("total_return_pct", -0.001), "0.00 %"),
        (figure("longest_drawdown_days", 1073), "1,073 d"),
        (figure("turnover", 38.04), "38.0 ×"),
        (figure("fees_paid", 1234567.891), "1,234,567.89"),
        (figure("fees_paid", 0.00012345, money_digits(0.5)), "0.00012"),
        (figure("fees_paid", 12.345678, money_digits(123.0)), "12.35"),
        (price(30_123.456), "30,123.46"),
        (price(0.0001234567), "0.000123457"),
        (quantity(0.000123456789), "0.000123457"),
        (quantity(12_345_678.9), "12,345,679"),
    ],
)
def test_numbers_are_written_for_people(shown, words):
    assert shown == words


def test_the_figures_of_a_backtest_begin_with_its_initial_cash():
    hours = START_MS + HOUR_MS * np.arange(1, 73)
    equity = EquityCurve(hours, np.linspace(101, 130, 72), np.full(72, 0.5))
    figures = figures_of(result_of(equity, 100.0), START_MS)
    assert (figures.start_equity, figures.days, figures.exposure_pct) == (100.0, 3, 100.0)
    assert figures.total_return_pct == pytest.approx(30.0)
    daily = daily_curve(np.concatenate(([START_MS], hours)), np.concatenate(([100.0], equity.equity)))
    assert figures.best_day_pct == pytest.approx(100 * daily.returns.max())


@pytest.mark.web
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")
@pytest.mark.parametrize("width", [1240, 700, 390])
def test_a_browser_shows_the_page_without_errors_and_nothing_runs_over_its_edge(tmp_path: Path, width: int) -> None:
    (tmp_path / "sheet.html").write_text(HTML, encoding="utf-8")
    options = Options()
    options.binary_location = CHROMIUM or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        )
        browser.get((tmp_path / "sheet.html").as_uri())
        assert browser.get_log("browser") == []
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        sticking_out = """
            const out = [];
            for (const svg of document.querySelectorAll('svg')) {
                const frame = svg.viewBox.baseVal;
                for (const text of svg.querySelectorAll('text')) {
                    const box = text.getBBox();
                    if (box.x < -1 || box.y < -1 || box.x + box.width > frame.width + 1 || box.y + box.height > frame.height + 1)
                        out.push(text.textContent);
                }
            }
            return out;"""
        assert browser.execute_script(sticking_out) == []
    finally:
        browser.quit()
