"""A small plotting kit for SVG: boxes with linear or logarithmic scales, ticks, paths. Same input, same bytes.

Colours are names of a `Palette`: fixed ones for pictures that stand alone, CSS variables for pages with a light and a dark look.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape, quoteattr

import numpy as np

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
LETTER = 0.56  # mean width of a letter, in parts of the font size
_HOURS = (1, 3, 6, 12)
_DAYS = (1, 2, 7, 14)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a chart: text, faint text, grid lines, the curve, what it is compared with, gains, losses and a warning."""

    ground: str
    ink: str
    pale: str
    grid: str
    curve: str
    other: str
    gain: str
    loss: str
    alarm: str


PICTURE = Palette("#fff", "#1e293b", "#5b6b80", "#e2e8f0", "#1d4ed8", "#8593a6", "#0f8a5f", "#d6405a", "#b45309")
PAGE = Palette("none", *(f"var(--{name})" for name in ("ink", "pale", "line", "curve", "other", "gain", "loss", "alarm")))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels that shows x from `x_low` to `x_high` and y from `y_low` (bottom) to `y_high`."""

    left: float
    top: float
    width: float
    height: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    logarithmic: bool = False

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, values: np.ndarray | float) -> np.ndarray:
        """Return the places of x values."""
        return self.left + (np.asarray(values, np.float64) - self.x_low) / (self.x_high - self.x_low) * self.width

    def y(self, values: np.ndarray | float) -> np.ndarray:
        """Return the places of y values."""
        low, high, shown = self.y_low, self.y_high, np.asarray(values, np.float64)
        if self.logarithmic:
            low, high, shown = math.log(low), math.log(high), np.log(shown)
        return self.bottom - (shown - low) / (high - low) * self.height


def extent(low: float, high: float, *, margin: float = 0.04, logarithmic: bool = False) -> tuple[float, float]:
    """Return a range that shows low to high with some room, and is never empty."""
    if logarithmic:
        room = max((high / low) ** margin, 1.0001)
        return low / room, high * room
    room = (high - low) * margin or abs(high) * 0.01 or 1.0
    return low - room, high + room


def thinned(x: np.ndarray, y: np.ndarray, grain: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that show a line through all: the lowest and highest in each column of `grain` pixels, both ends."""
    if len(x) < 3:
        return x, y
    column = np.floor(x / grain).astype(np.int64)
    first = np.flatnonzero(np.append(True, np.diff(column) != 0))
    last = np.append(first[1:], len(x)) - 1
    order = np.lexsort((y, column))
    kept = np.unique(np.concatenate(([0], order[first], order[last], [len(x) - 1])))
    return x[kept], y[kept]


def path(x: np.ndarray, y: np.ndarray, grain: float = 1.0) -> str:
    """Return the path through thinned points, to a fifth of a pixel of `grain`, relative: the text stays short."""
    across, down = (np.rint(each * 5 / grain).astype(np.int64) for each in thinned(x, y, grain))
    if not len(across):
        return ""
    unit = grain / 5
    steps = zip(np.diff(across).tolist(), np.diff(down).tolist(), strict=True)
    moves = "".join(_joined(number(right * unit)) + _joined(number(fall * unit)) for right, fall in steps if right or fall)
    return f"M{number(across[0] * unit)}{_joined(number(down[0] * unit))}" + (f"l{moves.strip()}" if moves else "")


def line(x: np.ndarray, y: np.ndarray, colour: str, *, width: float = 1.6, dashes: str = "", grain: float = 1.0) -> str:
    """Return a line through points, thinned to columns of `grain` pixels."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    drawn = path(x, y, grain)
    return f'<path fill="none" stroke="{colour}" stroke-width="{width:g}" stroke-linejoin="round"{dashed} d="{drawn}"/>'


def area(x: np.ndarray, y: np.ndarray, floor: float, colour: str, *, grain: float = 1.0) -> str:
    """Return a line through points that begins at the height `floor`, with the area up to there lightly filled."""
    return f'<path fill="{colour}" fill-opacity=".16" stroke="{colour}" d="{path(x, y, grain)}V{number(floor)}"/>'


def text(
    x: float, y: float, words: str, colour: str, *, anchor: str = "start", size: float = 12, bold: bool = False, halo: str = ""
) -> str:
    """Return words with their base line at a point; `halo` is the colour of an outline that keeps them readable over lines."""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    weight = ' font-weight="600"' if bold else ""
    large = "" if size == 12 else f' font-size="{size:g}"'
    around = f' stroke="{halo}" stroke-width="3" paint-order="stroke"' if halo else ""
    return f'<text x="{number(x)}" y="{number(y)}" fill="{colour}"{placed}{weight}{large}{around}>{escape(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dashes: str = "") -> str:
    """Return a straight line."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path stroke="{colour}" stroke-width="{width:g}"{dashed} d="M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}"/>'


def svg(parts: Sequence[str], width: float, height: float, label: str, palette: Palette) -> str:
    """Return the picture; `label` says in words what it shows, for those who cannot see it."""
    ground = "" if palette.ground == "none" else f'<path fill="{palette.ground}" d="M0 0h{width:g}v{height:g}H0z"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label={quoteattr(label)} font-family="system-ui,sans-serif" font-size="12">'
        f"{ground}{''.join(parts)}</svg>"
    )


def value_ticks(box: Box, most: int = 6) -> list[float]:
    """Return round values inside the box, lowest first."""
    if box.logarithmic:
        return _logarithmic_ticks(box.y_low, box.y_high, most)
    step = round_step((box.y_high - box.y_low) / most)
    return [count * step for count in range(math.ceil(box.y_low / step - 1e-9), math.floor(box.y_high / step + 1e-9) + 1)]


def round_step(rough: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(each for each in (1, 2, 5, 10) if each * power >= rough * 0.999)


def _logarithmic_ticks(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def time_ticks(start_ms: int, end_ms: int, most: int = 8) -> list[tuple[int, str]]:
    """Return round UTC times in [start, end] with their labels, oldest first: years, months, days or hours."""
    span = end_ms - start_ms
    for hours in _HOURS:
        if span / (hours * HOUR_MS) <= most:
            moments = _multiples(start_ms, end_ms, hours * HOUR_MS)
            return [(at, f"{_utc(at):%H:%M}" if at % DAY_MS else _day(at)) for at in moments]
    for days in _DAYS:
        if span / (days * DAY_MS) <= most:
            return [(at, _day(at)) for at in _multiples(start_ms, end_ms, days * DAY_MS)]
    months = next((each for each in _MONTHS if span / (each * 30.4 * DAY_MS) <= most), _MONTHS[-1])
    found = []
    first = _utc(start_ms)
    place = -(-(first.year * 12 + first.month - 1) // months) * months
    while (at := _month_ms(place)) <= end_ms:
        if at >= start_ms:
            found.append((at, f"{_utc(at):%Y}" if months >= 12 else f"{_utc(at):%b %Y}"))
        place += months
    return found


def frame(box: Box, palette: Palette, ticks: Sequence[tuple[float, str]], times: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Yield grid lines with their labels to the right of the box, and times below it."""
    for value, label in ticks:
        y = float(box.y(value))
        yield rule(box.left, y, box.right, y, palette.grid)
        yield text(box.right + 8, y + 4, label, palette.pale)
    taken = -math.inf
    for at, label in times:
        x, half = float(box.x(at)), LETTER * 12 * len(label) / 2
        if x - half > taken and x - half >= 0:
            yield rule(x, box.bottom, x, box.bottom + 4, palette.grid)
            yield text(x, box.bottom + 17, label, palette.pale, anchor="middle")
            taken = x + half + 10


def legend(x: float, y: float, entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield coloured strokes with their names, side by side."""
    for words, colour in entries:
        yield rule(x, y - 4, x + 16, y - 4, colour, width=3)
        yield text(x + 22, y, words, colour, bold=True)
        x += 44 + LETTER * 12.5 * len(words)


def number(value: float) -> str:
    """Return a number with at most one decimal."""
    return f"{round(float(value), 1) + 0.0:.1f}".removesuffix(".0")


def _joined(words: str) -> str:
    return words if words.startswith("-") else f" {words}"


def _multiples(start_ms: int, end_ms: int, step: int) -> range:
    return range(-(-start_ms // step) * step, end_ms + 1, step)


def _month_ms(place: int) -> int:
    return int(datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


def _utc(at_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def _day(at_ms: int) -> str:
    moment = _utc(at_ms)
    return f"{moment.day} {moment:%b}"
