"""A picture of a search: what each trial scored, and the best so far."""

import numpy as np

from fks_assets.quant import plot
from fks_assets.quant.plot import PICTURE, Box

WIDTH, HEIGHT = 720, 260


def trials_picture(scores: np.ndarray, *, title: str) -> str:
    """Return an SVG of scores by the number of the trial, NaN for one that cannot be chosen, and the highest one so far."""
    known = np.flatnonzero(np.isfinite(scores))
    if not len(known):
        words = plot.text(10, HEIGHT / 2, "No trial can be chosen", PICTURE.pale)
        heading = plot.text(10, 18, title, PICTURE.ink, bold=True, size=14)
        return plot.svg([heading, words], WIDTH, HEIGHT, title, PICTURE)
    values = scores[known]
    box = Box(
        10,
        44,
        WIDTH - 70,
        HEIGHT - 76,
        0.0,
        float(max(1, len(scores) - 1)),
        *plot.extent(float(values.min()), float(values.max())),
    )
    ticks = [(value, f"{value:g}") for value in plot.value_ticks(box, 5)]
    parts = [plot.text(10, 18, title, PICTURE.ink, bold=True, size=14), *plot.frame(box, PICTURE, ticks, [])]
    x, y = box.x(known.astype(np.float64)), box.y(values)
    dots = "".join(f"M{plot.number(float(a))},{plot.number(float(b))}h0" for a, b in zip(x, y, strict=True))
    parts.append(f'<path d="{dots}" stroke="{PICTURE.other}" stroke-width="4" stroke-linecap="round" fill="none"/>')
    best = np.maximum.accumulate(values)
    parts.append(plot.line(np.append(x, box.x(len(scores) - 1.0)), box.y(np.append(best, best[-1])), PICTURE.curve, width=2))
    parts += plot.legend(10, 36, [("trial", PICTURE.other), ("best so far", PICTURE.curve)])
    for place, anchor in ((0, "start"), (len(scores) - 1, "end")):
        parts.append(
            plot.text(float(box.x(np.array(float(place)))), box.bottom + 18, str(place + 1), PICTURE.pale, anchor=anchor)
        )
    return plot.svg(parts, WIDTH, HEIGHT, title, PICTURE)
