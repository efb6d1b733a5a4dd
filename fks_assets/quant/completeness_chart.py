"""A small picture of completeness, market × day, as SVG; and how each state of a day looks, here and in the heat map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from xml.sax.saxutils import escape

from fks_assets.quant.charts import ALARM, INK, PALE
from fks_assets.quant.completeness import DAY_MS, CellState, DayRow

WIDTH, LABELS, SHARES, TOP, HEADER, ROW, FOOT = 720, 104, 44, 32, 20, 11, 24
ROWS_SHOWN = 16
LETTER = 6.2


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is told from the others: a letter, words, and a colour on light and on dark ground."""

    letter: str
    words: str
    light: str
    dark: str


LOOKS = {
    CellState.COMPLETE: Look("", "complete", "#8fd0b3", "#1f6b50"),
    CellState.FETCHABLE: Look("H", "hole, can be fetched", "#f2b134", "#e0a021"),
    CellState.FETCH_FAILED: Look("F", "fetching failed", "#d6405a", "#e2506a"),
    CellState.BEYOND_API_LIMIT: Look("B", "beyond the exchange's API", "#c2611c", "#d9772f"),
    CellState.VENUE_DOWN: Look("V", "exchange was down", "#7a5cc9", "#9a80e0"),
    CellState.NO_TRADES: Look("N", "nobody traded", "#7f97b2", "#7088a6"),
    CellState.NEVER_LISTED: Look("L", "not listed", "#dde3eb", "#333e4f"),
    CellState.NOT_YET: Look("·", "not closed yet", "#f3f5f8", "#1d2530"),
    CellState.NOT_KEPT: Look("", "older than the history kept", "#f3f5f8", "#1d2530"),
}


def completeness_chart_svg(
    groups: Mapping[str, Sequence[DayRow]], first_day_ms: int, *, title: str, badge: str | None = None
) -> str:
    """Return a picture of rows of days under a heading each; of more than 16 rows those that lack most are shown."""
    parts: list[str] = []
    y, days = TOP, max((len(row.states) for rows in groups.values() for row in rows), default=0)
    for heading, rows in groups.items():
        shown = _least_complete(rows)
        words = heading if len(shown) == len(rows) else f"{heading} · {len(shown)} least complete of {len(rows)}"
        parts.append(_text(8, y + 13, words, INK, "600"))
        y += HEADER
        for row in shown:
            parts.append(_text(8, y + 9, f"{row.market.base}-{row.market.quote}", PALE))
            parts.append(_text(WIDTH - 8, y + 9, _share(row), PALE, "400", "end"))
            parts += _bars(row, y)
            y += ROW
        y += 8
    if days:
        first, last = (datetime.fromtimestamp((first_day_ms + day * DAY_MS) / 1000, UTC) for day in (0, days - 1))
        parts.append(_text(LABELS, y + 8, f"{first:%d %b %Y}", PALE))
        parts.append(_text(WIDTH - SHARES, y + 8, f"{last:%d %b %Y} UTC", PALE, "400", "end"))
        y += FOOT
    legend, y = _legend(groups, y)
    parts += legend
    height = y + 8
    warning = "" if badge is None else _text(WIDTH - 8, 18, badge, ALARM, "700", "end")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="10"><path fill="#fff" d="M0 0h{WIDTH}v{height}H0z"/>'
        f"{_text(8, 18, title, INK, '700')}{warning}{''.join(parts)}</svg>"
    )


def _least_complete(rows: Sequence[DayRow]) -> list[DayRow]:
    if len(rows) <= ROWS_SHOWN:
        return list(rows)
    lacking = sorted(range(len(rows)), key=lambda place: int((rows[place].stored - rows[place].expected).sum()))[:ROWS_SHOWN]
    return [rows[place] for place in sorted(lacking)]


def _share(row: DayRow) -> str:
    expected, stored = int(row.expected.sum()), int(row.stored.sum())
    return f"{stored * 1000 // expected / 10:.1f}%" if expected else "–"


def _bars(row: DayRow, y: int) -> Iterator[str]:
    """Yield one path for each state: neighbouring days of one state are one bar."""
    width = (WIDTH - LABELS - SHARES) / max(1, len(row.states))
    paths: dict[CellState, list[str]] = {}
    for state, run in groupby(range(len(row.states)), key=row.state):
        days = list(run)
        left, right = round(LABELS + days[0] * width, 1), round(LABELS + (days[-1] + 1) * width, 1)
        paths.setdefault(state, []).append(f"M{left:g} {y}H{right:g}v{ROW - 2}H{left:g}z")
    yield from (f'<path fill="{LOOKS[state].light}" d="{"".join(path)}"/>' for state, path in paths.items())


def _legend(groups: Mapping[str, Sequence[DayRow]], y: int) -> tuple[list[str], int]:
    """Return the states that occur, in as many lines as they take, and where the last one ends."""
    seen = {row.state(day) for rows in groups.values() for row in rows for day in range(len(row.states))}
    parts: list[str] = []
    x, y = 8, y + 8
    for look in (look for state, look in LOOKS.items() if state in seen):
        width = 26 + round(LETTER * len(look.words))
        if x + width > WIDTH:
            x, y = 8, y + 16
        parts.append(f'<path fill="{look.light}" d="M{x} {y - 8}h9v9h-9z"/>{_text(x + 13, y, look.words, PALE)}')
        x += width
    return parts, y


def _text(x: int, y: int, words: str, colour: str, weight: str = "400", anchor: str = "start") -> str:
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    bold = "" if weight == "400" else f' font-weight="{weight}"'
    return f'<text x="{x}" y="{y}" fill="{colour}"{bold}{placed}>{escape(words)}</text>'
