"""Small pictures of candles as SVG, drawn by hand: one for each partition and tick has to cost a millisecond and 3 kilobytes.

Coordinates are whole half-pixels and paths are relative, which is what keeps the text short.
"""

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import numpy as np

from fks_assets.quant.candles import Candles

UNITS = 2
MARGIN, HEADER, FOOTER, PRICE_LABELS = 16, 60, 40, 144
VOLUME_SHARE, VOLUME_GAP = 0.18, 12
NEWEST_SHOWN = 96
SPARSEST_SHARE = 0.5
FLATTEST_SHARE = 1e-12
WIDEST_SLOT = 44
DAY_MS = 86_400_000
UP, DOWN, INK, PALE, GRID, VOLUME, ALARM = "#119a6b", "#d6405a", "#334155", "#64748b", "#e8ebf0", "#cbd2dd", "#b45309"
LINES = ("#2563eb", "#c026d3", "#ea580c", "#0891b2")
BAND, BAND_EDGE = "#eef2ff", "#8b98f0"


def candle_chart_svg(
    candles: Candles,
    *,
    title: str,
    badge: str | None = None,
    signals: np.ndarray | None = None,
    width: int = 720,
    height: int = 220,
) -> str:
    """Return a chart of the newest 96 candles with volume; `signals` marks candles with 1 as BUY and -1 as SELL."""
    drawn = candles.slice(-NEWEST_SHOWN)
    frame = _Frame(width * UNITS, height * UNITS)
    if not len(drawn):
        return frame.empty(title, badge)
    x, slot = _places(drawn.open_time, frame.plot_width)
    room = 20 if signals is not None else 0
    scale = _Scale(float(drawn.low.min()), float(drawn.high.max()), HEADER + room, frame.volume_top - VOLUME_GAP - room)
    parts = [*_price_axis(frame, scale, drawn), *_time_axis(frame, drawn, x)]
    body = max(2, round(slot * 0.68))
    parts.append(_volume(frame, drawn.volume, x, body))
    high, low = scale.y(drawn.high), scale.y(drawn.low)
    top = scale.y(np.maximum(drawn.open, drawn.close))
    bottom = np.maximum(scale.y(np.minimum(drawn.open, drawn.close)), top + 2)
    for rows, colour in ((drawn.close >= drawn.open, UP), (drawn.close < drawn.open, DOWN)):
        if rows.any():
            wicks = _sticks(x[rows], high[rows], low[rows])
            bodies = _sticks(x[rows], top[rows], bottom[rows])
            parts.append(f'<path stroke="{colour}" stroke-width="2" d="{wicks}"/>')
            parts.append(f'<path stroke="{colour}" stroke-width="{body}" d="{bodies}"/>')
    legend: list[tuple[str, str]] = []
    if signals is not None:
        marks = signals[-len(drawn) :]
        parts += [*_marks(x[marks > 0], low[marks > 0] + 8, UP, 14), *_marks(x[marks < 0], high[marks < 0] - 8, DOWN, -14)]
        legend = [("▲ BUY", UP), ("▼ SELL", DOWN)]
    return frame.around(parts, title, badge, legend)


def indicator_chart_svg(
    candles: Candles,
    lines: Mapping[str, np.ndarray],
    *,
    title: str,
    badge: str | None = None,
    width: int = 720,
    height: int = 220,
) -> str:
    """Return a chart of the newest 96 closes with lines of the same prices; `x_upper` and `x_lower` together become a band."""
    drawn = candles.slice(-NEWEST_SHOWN)
    frame = _Frame(width * UNITS, height * UNITS)
    if not len(drawn):
        return frame.empty(title, badge)
    shown = {name: line[-len(drawn) :] for name, line in lines.items()}
    values = np.concatenate([drawn.close, *shown.values()])
    scale = _Scale(float(np.nanmin(values)), float(np.nanmax(values)), HEADER, frame.bottom)
    x, _ = _places(drawn.open_time, frame.plot_width)
    parts = [*_price_axis(frame, scale, drawn), *_time_axis(frame, drawn, x)]
    legend = [("close", INK)]
    for name in [name.removesuffix("_upper") for name in shown if name.endswith("_upper")]:
        upper, lower = shown.pop(f"{name}_upper"), shown.pop(f"{name}_lower", None)
        if lower is not None:
            known = np.isfinite(upper) & np.isfinite(lower)
            edges = np.append(scale.y(upper[known]), scale.y(lower[known])[::-1])
            outline = _polyline(np.append(x[known], x[known][::-1]), edges)
            parts.insert(0, f'<path fill="{BAND}" stroke="{BAND_EDGE}" d="{outline}z"/>' if outline else "")
        legend.append((f"{name} band", BAND_EDGE))
    for (name, line), colour in zip(shown.items(), LINES * len(shown), strict=False):
        known = np.isfinite(line)
        parts.append(f'<path stroke="{colour}" stroke-width="2" d="{_polyline(x[known], scale.y(line[known]))}"/>')
        legend.append((name, colour))
    parts.append(f'<path stroke="{INK}" stroke-width="3" d="{_polyline(x, scale.y(drawn.close))}"/>')
    return frame.around(parts, title, badge, legend)


def svg_data_uri(svg: str) -> str:
    """Return the picture as a `data:` address."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def markdown_image(svg: str, alternative: str) -> str:
    """Return Markdown that shows the picture, the picture itself inside it."""
    text = "".join(character for character in alternative if character not in "[]()!\\`<>\n\r")
    return f"![{text}]({svg_data_uri(svg)})"


@dataclass(frozen=True, slots=True)
class _Frame:
    width: int
    height: int

    @property
    def plot_width(self) -> int:
        return self.width - MARGIN - PRICE_LABELS

    @property
    def bottom(self) -> int:
        return self.height - FOOTER

    @property
    def volume_top(self) -> int:
        return self.bottom - round((self.bottom - HEADER) * VOLUME_SHARE)

    def empty(self, title: str, badge: str | None) -> str:
        return self.around([_text(self.width // 2, self.height // 2, "no candles yet", "middle")], title, badge, [])

    def around(self, parts: Iterable[str], title: str, badge: str | None, legend: Iterable[tuple[str, str]]) -> str:
        named = "".join(f'<tspan dx="18" fill="{colour}">{escape(words)}</tspan>' for words, colour in legend)
        heading = f'<text x="{MARGIN}" y="34" fill="{INK}"><tspan font-weight="700">{escape(title)}</tspan>{named}</text>'
        ends = f'text-anchor="end" font-weight="700" fill="{ALARM}"'
        warning = "" if badge is None else f'<text x="{self.width - MARGIN}" y="34" {ends}>{escape(badge)}</text>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width // UNITS}" height="{self.height // UNITS}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="sans-serif" font-size="22" fill="none">'
            f'<path fill="#fff" d="M0 0h{self.width}v{self.height}H0z"/>{"".join(parts)}{heading}{warning}</svg>'
        )


class _Scale:
    def __init__(self, low: float, high: float, top: int, bottom: int) -> None:
        if high - low <= max(high * FLATTEST_SHARE, 1e-300):
            low, high = low - (abs(low) * 0.01 or 1.0), high + (abs(high) * 0.01 or 1.0)
        self.low, self.high, self.top, self.bottom = low, high, top, bottom

    def y(self, prices: np.ndarray) -> np.ndarray:
        share = (self.high - prices) / (self.high - self.low)
        return np.rint(self.top + share * (self.bottom - self.top)).astype(np.int64)

    def levels(self) -> tuple[list[float], float]:
        """Return two to six round prices inside the scale, and their distance."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(each for each in (1, 2, 5, 10) if each * power >= rough * 0.999)
        return [count * step for count in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)], step


def _places(open_time: np.ndarray, plot_width: int) -> tuple[np.ndarray, int]:
    """Return where each candle stands and the width of a slot. Missing candles leave a hole, unless most would be holes."""
    slots = np.arange(len(open_time))
    if len(open_time) > 1:
        distances = np.diff(open_time)
        by_time = (open_time - open_time[0]) // distances.min()
        if len(open_time) >= SPARSEST_SHARE * (by_time[-1] + 1):
            slots = by_time
    width = min(WIDEST_SLOT, plot_width // int(slots[-1] + 1))
    first = MARGIN + plot_width - width * int(slots[-1]) - width // 2 - 8
    return first + slots * width, width


def _sticks(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> str:
    parts, at_x, at_y = [], 0, 0
    for place, start, end in zip(x.tolist(), top.tolist(), bottom.tolist(), strict=True):
        parts.append(f"m{place - at_x}{_then(start - at_y)}v{end - start}")
        at_x, at_y = place, end
    return "".join(parts)


def _polyline(x: np.ndarray, y: np.ndarray) -> str:
    if not len(x):
        return ""
    steps = zip(np.diff(x).tolist(), np.diff(y).tolist(), strict=True)
    text = "".join(f"{_then(across) if row else across}{_then(down)}" for row, (across, down) in enumerate(steps))
    return f"M{x[0]}{_then(int(y[0]))}l{text or '0 0'}"


def _then(number: int) -> str:
    return str(number) if number < 0 else f" {number}"


def _marks(x: np.ndarray, y: np.ndarray, colour: str, size: int) -> Iterator[str]:
    if len(x):
        half = abs(size) // 2
        path = "".join(f"M{place} {tip}l{half} {size}h{-2 * half}z" for place, tip in zip(x.tolist(), y.tolist(), strict=True))
        yield f'<path fill="{colour}" stroke="#fff" d="{path}"/>'


def _volume(frame: _Frame, volume: np.ndarray, x: np.ndarray, body: int) -> str:
    largest = float(volume.max())
    if not largest > 0:
        return ""
    heights = np.rint(volume / largest * (frame.bottom - frame.volume_top)).astype(np.int64)
    some = heights > 0
    floor = np.full(int(some.sum()), frame.bottom)
    return f'<path stroke="{VOLUME}" stroke-width="{body}" d="{_sticks(x[some], floor - heights[some], floor)}"/>'


def _price_axis(frame: _Frame, scale: _Scale, candles: Candles) -> Iterator[str]:
    levels, step = scale.levels()
    right = frame.width - PRICE_LABELS
    last, rose = float(candles.close[-1]), bool(candles.close[-1] >= candles.open[-1])
    last_y = int(scale.y(np.array(last)))
    heights = [int(y) for y in scale.y(np.array(levels))]
    rules = "".join(f"M{MARGIN} {y}H{right}" for y in heights)
    yield f'<path stroke="{GRID}" stroke-width="2" d="{rules}"/>'
    yield f'<path stroke="{UP if rose else DOWN}" stroke-dasharray="4 6" d="M{MARGIN} {last_y}H{right}"/>'
    for price, y in zip(levels, heights, strict=True):
        if abs(y - last_y) >= 24:
            yield _text(right + 8, y + 8, price_label(price, step), "start")
    yield _text(right + 8, last_y + 8, price_label(last, step / 10), "start", UP if rose else DOWN, bold=True)


def price_label(price: float, step: float) -> str:
    """Return the price, shortly, with the digits that tell it from one a `step` away."""
    if 1e7 <= price < 1e15:
        power, letter = next((power, letter) for power, letter in ((12, "T"), (9, "G"), (6, "M")) if price >= 10.0**power)
        digits = min(4, max(0, power - math.floor(math.log10(step * 1.001))))
        return f"{price / 10.0**power:.{digits}f}{letter}"
    digits = -math.floor(math.log10(step * 1.001))
    if digits <= 7 and price < 1e7:
        return f"{price:,.{max(0, digits)}f}"
    significant = min(5, max(0, math.floor(math.log10(price)) + digits)) if price > 0 else 0
    mantissa, exponent = f"{price:.{significant}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _time_axis(frame: _Frame, candles: Candles, x: np.ndarray) -> Iterator[str]:
    times = candles.open_time
    rows = {0: "start", len(times) // 2: "middle", len(times) - 1: "end"} if len(times) > 4 else {len(times) - 1: "end"}
    daily = len(times) > 1 and bool((times % DAY_MS == 0).all())
    for row, anchor in rows.items():
        moment = datetime.fromtimestamp(int(times[row]) / 1000, UTC).strftime("%d %b %Y" if daily else "%d %b %H:%M")
        words = f"{moment} UTC" if anchor == "end" else moment
        yield _text(int(x[row]), frame.height - 12, words, anchor)


def _text(x: int, y: int, words: str, anchor: str, colour: str = PALE, *, bold: bool = False) -> str:
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    weight = ' font-weight="700"' if bold else ""
    return f'<text x="{x}" y="{y}" fill="{colour}"{placed}{weight}>{escape(words)}</text>'
