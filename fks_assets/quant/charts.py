"""Small pictures of candles as SVG, drawn by hand: one for each partition and tick has to cost a millisecond and a few
kilobytes.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from xml.sax.saxutils import escape

import numpy as np

from fks_assets.quant.candles import Candles

WIDTH, HEIGHT = 720, 240
LEFT, RIGHT, TOP, BOTTOM = 8, 64, 26, 20
VOLUME_SHARE = 0.18
UP, DOWN, INK, FAINT, ALARM = "#1a9e6e", "#d6455d", "#445", "#dde1e8", "#b45309"
LINE_COLOURS = ("#2563eb", "#9333ea", "#94a3b8", "#94a3b8")
NEWEST_SHOWN = 96


def candle_chart_svg(candles: Candles, *, title: str, badge: str | None = None, signals: np.ndarray | None = None) -> str:
    """Return a chart of the newest 96 candles with volume; `signals` marks rows with 1 as buys and -1 as sells."""
    drawn = candles.slice(-NEWEST_SHOWN)
    if not len(drawn):
        return _frame(title, badge, [_text(WIDTH / 2, HEIGHT / 2, "no candles yet", "middle")])
    scale = _Scale(drawn, [drawn.low, drawn.high])
    parts = _volume(scale, drawn) + scale.grid() + _bodies(scale, drawn)
    if signals is not None:
        parts += _marks(scale, drawn, signals[-len(drawn) :])
    return _frame(title, badge, parts)


def indicator_chart_svg(candles: Candles, lines: Mapping[str, np.ndarray], *, title: str, badge: str | None = None) -> str:
    """Return a chart of the newest 96 closes with up to four lines over them."""
    drawn = candles.slice(-NEWEST_SHOWN)
    if not len(drawn):
        return _frame(title, badge, [_text(WIDTH / 2, HEIGHT / 2, "no candles yet", "middle")])
    shown = {name: line[-len(drawn) :] for name, line in lines.items()}
    scale = _Scale(drawn, [drawn.close, *shown.values()])
    parts = scale.grid() + [_line(scale, drawn.close, INK, 1.6)]
    parts += [_line(scale, line, colour, 1.1) for line, colour in zip(shown.values(), LINE_COLOURS, strict=False)]
    legend = ", ".join(("close", *shown))
    return _frame(title, badge, [*parts, _text(LEFT, HEIGHT - 5 - BOTTOM, legend, "start")])


def markdown_image(svg: str, alternative: str) -> str:
    """Return Markdown that shows the picture, the SVG inside it."""
    encoded = base64.b64encode(svg.encode()).decode()
    text = "".join(character for character in alternative if character not in "[]()!\\\n")
    return f"![{text}](data:image/svg+xml;base64,{encoded})"


class _Scale:
    """From prices and rows to places on the picture."""

    def __init__(self, candles: Candles, values: list[np.ndarray]) -> None:
        finite = np.concatenate([value[np.isfinite(value)] for value in values])
        low, high = float(finite.min()), float(finite.max())
        margin = (high - low) * 0.04 or abs(high) * 0.01 or 1.0
        self.low, self.high = low - margin, high + margin
        self.candles = candles
        self.step = (WIDTH - LEFT - RIGHT) / len(candles)
        self.x = LEFT + self.step * (np.arange(len(candles)) + 0.5)

    def y(self, prices: np.ndarray | float) -> np.ndarray:
        return TOP + (self.high - np.asarray(prices)) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> list[str]:
        span = self.high - self.low
        prices = [self.low + span * share for share in (0.1, 0.5, 0.9)]
        digits = max(0, min(10, 3 - int(np.floor(np.log10(span)))))
        parts = [f'<path d="{"".join(f"M{LEFT} {self.y(price):.1f}H{WIDTH - RIGHT}" for price in prices)}" stroke="{FAINT}"/>']
        parts += [_text(WIDTH - RIGHT + 5, float(self.y(price)) + 4, f"{price:,.{digits}f}", "start") for price in prices]
        times = self.candles.open_time
        form = "%d %b %H:%M" if len(times) > 1 and times[1] - times[0] < 86_400_000 else "%d %b %Y"
        for row, anchor in ((0, "start"), (len(times) // 2, "middle"), (len(times) - 1, "end")):
            label = datetime.fromtimestamp(int(times[row]) / 1000, UTC).strftime(form)
            parts.append(_text(float(self.x[row]), HEIGHT - 5, label, anchor))
        return parts


def _bodies(scale: _Scale, candles: Candles) -> list[str]:
    rising = candles.close >= candles.open
    high, low = scale.y(candles.high), scale.y(candles.low)
    top, bottom = scale.y(np.maximum(candles.open, candles.close)), scale.y(np.minimum(candles.open, candles.close))
    bottom = np.maximum(bottom, top + 0.8)
    width = max(1.0, scale.step * 0.66)
    parts = []
    for rows, colour in ((rising, UP), (~rising, DOWN)):
        places = np.flatnonzero(rows)
        if len(places):
            wicks = "".join(f"M{scale.x[i]:.1f} {high[i]:.1f}V{low[i]:.1f}" for i in places)
            bodies = "".join(f"M{scale.x[i]:.1f} {top[i]:.1f}V{bottom[i]:.1f}" for i in places)
            parts += [f'<path d="{wicks}" stroke="{colour}"/>', f'<path d="{bodies}" stroke="{colour}" stroke-width="{width:.1f}"/>']
    return parts


def _volume(scale: _Scale, candles: Candles) -> list[str]:
    largest = float(candles.volume.max())
    if largest <= 0:
        return []
    floor = HEIGHT - BOTTOM
    heights = candles.volume / largest * (HEIGHT - TOP - BOTTOM) * VOLUME_SHARE
    bars = "".join(f"M{x:.1f} {floor}v-{height:.1f}" for x, height in zip(scale.x, heights, strict=True) if height >= 0.1)
    return [f'<path d="{bars}" stroke="#c7cedb" stroke-width="{max(1.0, scale.step * 0.66):.1f}"/>']


def _marks(scale: _Scale, candles: Candles, signals: np.ndarray) -> list[str]:
    parts = []
    for side, prices, colour, offset, shape in (
        (1, candles.low, UP, 5, "l-4 8h8z"),
        (-1, candles.high, DOWN, -5, "l-4 -8h8z"),
    ):
        places = np.flatnonzero(signals == side)
        if len(places):
            y = scale.y(prices)
            path = "".join(f"M{scale.x[i]:.1f} {y[i] + offset:.1f}{shape}" for i in places)
            parts.append(f'<path d="{path}" fill="{colour}" stroke="none"/>')
    return parts


def _line(scale: _Scale, values: np.ndarray, colour: str, width: float) -> str:
    finite = np.flatnonzero(np.isfinite(values))
    y = scale.y(values)
    path = "L".join(f"{scale.x[i]:.1f} {y[i]:.1f}" for i in finite)
    return f'<path d="M{path}" stroke="{colour}" stroke-width="{width}"/>' if path else ""


def _frame(title: str, badge: str | None, parts: list[str]) -> str:
    heading = _text(LEFT, 17, title, "start", f'fill="{INK}" font-weight="bold"')
    marked = "" if badge is None else _text(WIDTH - 8, 17, badge, "end", f'fill="{ALARM}" font-weight="bold"')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" fill="none" '
        f'font-family="sans-serif" font-size="11"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f"{heading}{marked}{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str, style: str = f'fill="{INK}"') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(words)}</text>'
