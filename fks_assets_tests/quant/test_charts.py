import base64
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fks_assets.quant.candles import Candles, empty_candles
from fks_assets.quant.charts import candle_chart_svg, indicator_chart_svg, markdown_image, price_label, svg_data_uri
from fks_assets.quant.indicators import compute_indicators
from fks_assets_tests.quant.series import HOUR_MS, START_MS, of_closes, synthetic

SVG = "{http://www.w3.org/2000/svg}"
UP, DOWN = "#119a6b", "#d6405a"


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(f"{SVG}{tag}"))


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in elements(svg, "text")]


def strokes(svg: str, colour: str) -> list[str]:
    return [
        path.get("d", "") for path in elements(svg, "path") if path.get("stroke") == colour and not path.get("stroke-dasharray")
    ]


def sticks(path: str) -> list[tuple[int, int, int]]:
    """Return (x, top, bottom) of each stick of a relative path, by walking it."""
    x = y = 0
    found = []
    for across, down, length in re.findall(r"m(-?\d+) ?(-?\d+)v(-?\d+)", path):
        x, top = x + int(across), y + int(down)
        y = top + int(length)
        found.append((x, top, y))
    assert "".join(re.findall(r"m-?\d+ ?-?\d+v-?\d+", path)) == path
    return found


def test_each_candle_is_one_wick_and_one_body_in_the_colour_of_its_direction():
    candles = synthetic(50, seed=3)
    svg = candle_chart_svg(candles, title="x")
    for colour, rows in ((UP, candles.close >= candles.open), (DOWN, candles.close < candles.open)):
        wicks, bodies = strokes(svg, colour)
        assert len(sticks(wicks)) == len(sticks(bodies)) == rows.sum()


def test_prices_become_heights_on_one_linear_scale():
    candles = synthetic(60, seed=4, volatility=0.02)
    svg = candle_chart_svg(candles, title="x")
    wicks = sorted(stick for colour in (UP, DOWN) for stick in sticks(strokes(svg, colour)[0]))
    tops, bottoms = (np.array([stick[place] for stick in wicks]) for place in (1, 2))
    prices, heights = np.concatenate([candles.high, candles.low]), np.concatenate([tops, bottoms])
    slope, offset = np.polyfit(prices, heights, 1)
    assert slope < 0
    assert np.abs(slope * prices + offset - heights).max() <= 1.01
    assert len({b - a for a, b in zip([w[0] for w in wicks], [w[0] for w in wicks][1:], strict=False)}) == 1


def test_only_the_newest_96_candles_are_drawn():
    candles = synthetic(500)
    assert candle_chart_svg(candles, title="x") == candle_chart_svg(candles.slice(404), title="x")
    assert candle_chart_svg(candles, title="x") != candle_chart_svg(candles.slice(405), title="x")


def test_a_chart_stays_small():
    candles = synthetic(96, start_price=30_000)
    assert len(candle_chart_svg(candles, title="BTC-USDT@simulated 1h 2026-11", badge="SIMULATED")) < 4000
    assert len(candle_chart_svg(candles.slice(0, 24), title="BTC-USDT@simulated 1h 2026-11", badge="SIMULATED")) < 2200
    lines = {name: compute_indicators(synthetic(400))[name][-96:] for name in ("sma_20", "sma_50", "bb_upper", "bb_lower")}
    assert len(indicator_chart_svg(candles, lines, title="BTC-USDT@simulated 1h 2026-11", badge="SIMULATED")) < 4500


def test_an_outage_of_the_exchange_shows_as_a_hole():
    hours = np.r_[0:10, 16:30]
    whole = synthetic(30)
    candles = Candles(
        whole.open_time[hours], *(getattr(whole, name)[hours] for name in ("open", "high", "low", "close", "volume"))
    )
    svg = candle_chart_svg(candles, title="x")
    places = sorted(stick[0] for colour in (UP, DOWN) for stick in sticks(strokes(svg, colour)[0]))
    steps = np.diff(places)
    assert steps[9] == 7 * steps[0]
    assert set(np.delete(steps, 9)) == {steps[0]}


def test_a_market_that_trades_once_in_a_while_is_drawn_without_holes():
    whole = synthetic(20)
    times = START_MS + HOUR_MS * np.cumsum(np.arange(20) % 3 * 20 + 1)
    candles = Candles(times, whole.open, whole.high, whole.low, whole.close, whole.volume)
    svg = candle_chart_svg(candles, title="x")
    places = sorted(stick[0] for colour in (UP, DOWN) for stick in sticks(strokes(svg, colour)[0]))
    assert len(set(np.diff(places))) == 1


def test_title_and_badge_are_shown_and_cannot_break_out():
    svg = candle_chart_svg(synthetic(5), title='<script>alert("x")</script> & co', badge="SIM</svg>ULATED")
    assert '<script>alert("x")</script> & co' in texts(svg)
    assert "SIM</svg>ULATED" in texts(svg)
    assert "<script" not in svg
    assert "SIMULATED" not in candle_chart_svg(synthetic(5), title="x")


def test_times_are_utc_and_the_last_close_is_named():
    candles = of_closes(np.linspace(100, 112.5, 48))
    words = texts(candle_chart_svg(candles, title="x"))
    assert {"01 Jan 00:00", "02 Jan 00:00", "02 Jan 23:00 UTC", "112.5"} <= set(words)


def test_daily_candles_are_dated_with_the_year():
    hourly = synthetic(40)
    daily = Candles(START_MS + 24 * HOUR_MS * np.arange(40), hourly.open, hourly.high, hourly.low, hourly.close, hourly.volume)
    assert {"01 Jan 2020", "09 Feb 2020 UTC"} <= set(texts(candle_chart_svg(daily, title="x")))


def test_signals_are_marked_below_buys_and_above_sells():
    candles = synthetic(120, seed=5)
    signals = np.zeros(120, np.int8)
    signals[[10, 60, 90]], signals[[70, 71]] = 1, -1
    svg = candle_chart_svg(candles, title="x", signals=signals)
    assert "x▲ BUY▼ SELL" in texts(svg)
    marks = {path.get("fill"): path.get("d", "").count("z") for path in elements(svg, "path") if path.get("fill") in (UP, DOWN)}
    assert marks == {UP: 2, DOWN: 2}
    tip = next(path.get("d", "") for path in elements(svg, "path") if path.get("fill") == UP)
    x, y = map(int, re.match(r"M(\d+) (\d+)l", tip).groups())
    wicks = {stick[0]: stick for colour in (UP, DOWN) for stick in sticks(strokes(svg, colour)[0])}
    assert y > wicks[x][2]
    unmarked = candle_chart_svg(candles, title="x", signals=np.zeros(120, np.int8))
    assert not [path for path in elements(unmarked, "path") if path.get("fill") in (UP, DOWN)]


def test_lines_are_drawn_where_they_are_known_and_bands_are_filled():
    candles = synthetic(60, seed=6)
    columns = compute_indicators(candles)
    lines = {name: columns[name] for name in ("sma_20", "sma_50", "bb_upper", "bb_lower", "sma_200")}
    svg = indicator_chart_svg(candles, lines, title="x")
    assert "xclosebb bandsma_20sma_50sma_200" in texts(svg)
    points = [len(re.findall(r"-?\d+", path.get("d", ""))) // 2 for path in elements(svg, "path") if "l" in path.get("d", "")]
    assert points == [2 * 41, 41, 11, 60]
    assert "nan" not in svg.lower()


@pytest.mark.parametrize("chart", [candle_chart_svg, lambda candles, **words: indicator_chart_svg(candles, {}, **words)])
def test_no_candles_one_candle_and_flat_candles_have_charts_too(chart):
    assert "no candles yet" in texts(chart(empty_candles(), title="x", badge="SIMULATED"))
    for candles, close in (
        (synthetic(1), "100.17"),
        (of_closes([0.5] * 24, volume=np.zeros(24)), "0.5000"),
        (of_closes([7e-9] * 2), "7.000e-9"),
    ):
        assert close in texts(chart(candles, title="x"))


@given(
    st.integers(1, 120),
    st.floats(1e-12, 1e15),
    st.floats(1e-9, 0.2),
    st.integers(0, 1000),
    st.integers(300, 1600),
    st.integers(120, 900),
)
def test_any_candles_give_well_formed_pictures_inside_their_frame(rows, price, volatility, seed, width, height):
    candles = synthetic(rows, start_price=price, volatility=volatility, seed=seed)
    signals = np.random.default_rng(seed).integers(-1, 2, rows).astype(np.int8)
    svg = candle_chart_svg(candles, title="x", signals=signals, width=width, height=height)
    root = ElementTree.fromstring(svg)
    assert (root.get("width"), root.get("height")) == (str(width), str(height))
    for colour in (UP, DOWN):
        for path in strokes(svg, colour):
            assert all(0 <= x <= 2 * width and 0 <= top <= bottom <= 2 * height for x, top, bottom in sticks(path))
    assert "nan" not in svg
    assert "inf" not in svg
    assert all(len(words) <= 22 for words in texts(svg))


@pytest.mark.parametrize(
    ("price", "step", "label"),
    [
        (31_987.2, 100, "31,987"),
        (31_987.25, 0.01, "31,987.25"),
        (0.5, 0.001, "0.500"),
        (3.2e-8, 1e-10, "3.20e-8"),
        (12_345_678.9, 1_000, "12.346M"),
        (3.4e11, 1e10, "340G"),
        (2.5e13, 1e11, "25.0T"),
        (1e20, 1e18, "1.00e20"),
        (0.0, 1e-9, "0e0"),
    ],
)
def test_price_labels_are_short_and_tell_neighbours_apart(price, step, label):
    assert price_label(price, step) == label


def test_the_markdown_holds_the_picture_itself():
    svg = candle_chart_svg(synthetic(5), title="x")
    uri = svg_data_uri(svg)
    assert base64.b64decode(uri.removeprefix("data:image/svg+xml;base64,")).decode() == svg
    assert markdown_image(svg, "BTC-USDT@simulated 1h") == f"![BTC-USDT@simulated 1h]({uri})"
    assert markdown_image(svg, "a](javascript:x) `<b>\n![").startswith("![ajavascript:x b](data:")
