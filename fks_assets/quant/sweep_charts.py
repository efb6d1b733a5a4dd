"""A picture of a grid: the objective of every combination that two axes span, as cells with their values."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fks_assets.quant import plot
from fks_assets.quant.performance_words import signed
from fks_assets.quant.plot import LETTER, PAGE
from fks_assets.quant.sweep_axes import Axis, words
from fks_assets.quant.sweep_grid import Plane, Ranking

WIDTH = 1080
MOST_ACROSS, MOST_DOWN = 36, 40
WIDEST, HEIGHT, GAP = 92.0, 27.0, 1.5
LARGEST, SMALLEST = 12.0, 8.0
SHADES = 5
KEY = 18.0
DIGIT_WIDTH = 0.62  # of the font size: digits are wider than the mean letter
DIGIT = DIGIT_WIDTH * LARGEST
NOT_CHOSEN = "var(--ground)"
FRAME, EDGE = f' stroke="{PAGE.curve}" stroke-width="2.5"', f' stroke="{PAGE.grid}"'


def heat_map(plane: Plane, ranking: Ranking, *, break_even: float, label: str) -> str:
    """Return an SVG in the colours of a page: a cell a combination, green above `break_even` and red below it, with its score.

    The darkest green is the highest gain that is shown, the darkest red the largest loss. A combination that may not be chosen is
    pale, with a dash where its score is not defined; one that was refused leaves a hole. The best has a frame. Of an axis with
    more values than fit, some are shown: the ends, what is beside the best, and others between them at equal steps; values of
    which every combination was refused are not.
    """
    places = _places(plane)
    down, across = (_shown(*each) for each in zip(places, (MOST_DOWN, MOST_ACROSS), plane.best, strict=True))
    rows = plane.rows[np.ix_(down, across)]
    names = [""] if plane.down is None else [words(plane.down.values[place]) for place in down]
    left = 12 + DIGIT * max(map(len, names))
    width = min(WIDEST, (WIDTH - 2 - left) / len(across))
    top = 4.0 if plane.down is None else 24.0
    known = rows[rows >= 0]
    fit = known[ranking.fit[known]]
    scale = _Scale(ranking.score[fit] - break_even, break_even)
    texts = {int(row): _value(float(ranking.score[row])) for row in known}
    size = _size(max(map(len, texts.values())), width - 5)
    parts = [] if plane.down is None else [plot.text(1, 14, plane.down.name, PAGE.ink, bold=True)]
    for line, own in enumerate(rows):
        y = top + line * HEIGHT
        parts.append(plot.text(left - 8, y + HEIGHT / 2 + 4, names[line], PAGE.pale, anchor="end"))
        for place, row in enumerate(own.tolist()):
            if row < 0:
                continue
            x, chosen = left + place * width, bool(ranking.fit[row])
            is_best = (down[line], across[place]) == plane.best
            fill = scale.shade(float(ranking.score[row]) - break_even) if chosen else NOT_CHOSEN
            parts.append(_cell(x, y, width - GAP, HEIGHT - GAP, fill, FRAME if is_best else "" if chosen else EDGE))
            ink, middle = PAGE.ink if chosen else PAGE.pale, x + (width - GAP) / 2
            parts.append(
                plot.text(middle, y + HEIGHT / 2 + size * 0.28, texts[row], ink, anchor="middle", size=size, bold=is_best)
            )
    bottom = top + len(rows) * HEIGHT
    parts += _across(plane.across, across, left, width, bottom)
    parts += _key(left, bottom + 44, scale, pale=len(fit) < len(known))
    return plot.svg(parts, WIDTH, bottom + 44 + KEY, label, PAGE)


def heat_map_words(plane: Plane) -> str:
    """Return what a reader has to know of the picture: what is held, and which values are not shown."""
    found = []
    if plane.held:
        found.append(f"Held as in the best: {', '.join(f'{name} {words(value)}' for name, value in plane.held.items())}.")
    places = _places(plane)
    for axis, own, most in zip((plane.down, plane.across), places, (MOST_DOWN, MOST_ACROSS), strict=True):
        if axis is not None and len(own) > most:
            found.append(f"Of {len(own):,} values of {axis.name} {most} are shown.")
    if (plane.rows[np.ix_(*places)] < 0).any():
        found.append("A hole is a combination that was refused.")
    return " ".join(found)


def _places(plane: Plane) -> tuple[list[int], list[int]]:
    """Return the places down and across at which not every combination was refused."""
    made = plane.rows >= 0
    return np.flatnonzero(made.any(axis=1)).tolist(), np.flatnonzero(made.any(axis=0)).tolist()


def _shown(places: Sequence[int], most: int, best: int) -> list[int]:
    """Return the places that are shown: all, or the ends, the best with its neighbours, and others at equal steps."""
    if len(places) <= most:
        return list(places)
    kept = {places[0], places[-1], *(place for place in places if abs(place - best) <= 1)}
    left = [place for place in places if place not in kept]
    spread = np.linspace(0, len(left) - 1, most - len(kept)).round().astype(int)
    return sorted(kept | {left[place] for place in spread})


def _value(score: float) -> str:
    """Return a score in few letters: as many decimals as leave three or four digits."""
    if math.isnan(score):
        return "–"
    size = abs(score)
    return signed(score, 2 if size < 10 else 1 if size < 100 else 0)


def _size(letters: int, width: float) -> float:
    return round(max(SMALLEST, min(LARGEST, width / (letters * DIGIT_WIDTH))), 1)


class _Scale:
    """The shades of gains and of losses, each from the smallest to the largest that is shown."""

    def __init__(self, gains: np.ndarray, break_even: float) -> None:
        self._break_even = break_even
        self._ends = {
            side: (float(np.abs(own).min()), float(np.abs(own).max()))
            for side, own in (("l", gains[gains < 0]), ("g", gains[gains > 0]))
            if len(own)
        }

    def shade(self, gain: float) -> str:
        """Return the colour of what lies above break-even, or below."""
        if gain == 0:
            return PAGE.grid
        side = "g" if gain > 0 else "l"
        low, high = self._ends[side]
        step = SHADES if high == low else min(SHADES, 1 + int((abs(gain) - low) / (high - low) * SHADES))
        return f"var(--{side}{step})"

    def key(self) -> Iterator[tuple[str, list[str], str]]:
        """Yield for each side its first value, its colours and its last value, from the largest loss to the largest gain."""
        for side, sign in (("l", -1.0), ("g", 1.0)):
            if side in self._ends:
                ends = [_value(self._break_even + sign * end) for end in self._ends[side]]
                shades = [f"var(--{side}{step})" for step in range(1, SHADES + 1)]
                yield (ends[1], shades[::-1], ends[0]) if side == "l" else (ends[0], shades, ends[1])


def _cell(x: float, y: float, width: float, height: float, fill: str, edge: str = "") -> str:
    corner, size = f'x="{plot.number(x)}" y="{plot.number(y)}"', f'width="{plot.number(width)}" height="{plot.number(height)}"'
    return f'<rect {corner} {size} rx="3" fill="{fill}"{edge}/>'


def _across(axis: Axis, places: Sequence[int], left: float, width: float, bottom: float) -> Iterator[str]:
    """Yield the values below their columns, as many as have room, and the name below them."""
    names = [words(axis.values[place]) for place in places]
    size, taken = _size(max(map(len, names)), width - 3), -math.inf
    for column, name in enumerate(names):
        middle, half = left + column * width + (width - GAP) / 2, DIGIT_WIDTH * size * len(name) / 2
        if middle - half > taken and middle + half <= WIDTH:
            yield plot.text(middle, bottom + 15, name, PAGE.pale, anchor="middle", size=size)
            taken = middle + half + 2
    yield plot.text(left, bottom + 33, axis.name, PAGE.ink, bold=True)


def _key(left: float, y: float, scale: _Scale, *, pale: bool) -> Iterator[str]:
    """Yield what the colours mean."""
    x = left
    for first, shades, last in scale.key():
        yield plot.text(x, y + 11, first, PAGE.pale)
        x += DIGIT * len(first) + 6
        for shade in shades:
            yield _cell(x, y, 22, 14, shade)
            x += 24
        yield plot.text(x + 4, y + 11, last, PAGE.pale)
        x += DIGIT * len(last) + 28
    for fill, edge, said in (("none", FRAME, "the best"), (NOT_CHOSEN, EDGE, "may not be chosen"))[: 1 + pale]:
        yield _cell(x, y, 22, 14, fill, edge)
        yield plot.text(x + 28, y + 11, said, PAGE.pale)
        x += 48 + LETTER * LARGEST * len(said)
