"""Charts of a performance as SVG: equity with drawdown, distribution of returns, rolling Sharpe ratio, trades on candles."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fks_assets.quant import plot
from fks_assets.quant.backtest.results import Trades
from fks_assets.quant.candles import Candles
from fks_assets.quant.charts import price_label
from fks_assets.quant.performance_series import below_peak, curve_at
from fks_assets.quant.performance_statistics import DAYS_PER_YEAR, LEAST_SPREAD, value_at_risk
from fks_assets.quant.performance_trades import trades_counted
from fks_assets.quant.performance_words import day as day_words
from fks_assets.quant.performance_words import minute
from fks_assets.quant.performance_words import price as price_words
from fks_assets.quant.plot import PAGE, PICTURE, Box, Palette

CANDLES_SHOWN = 300
ROLLING_DAYS = 90
FEWEST_ROLLING_DAYS = 30
LOGARITHMIC_FROM = 8.0
HALO = "var(--card)"
HALF_A_LABEL = 15  # pixels: one in the middle of a tick nearer to the edge than that would be cut


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A checked curve with a name: `time` int64 UTC ms and `value` float64."""

    name: str
    time: np.ndarray
    value: np.ndarray


def equity_chart(
    curve: Curve, hold: Curve | None = None, *, width: int = 1080, height: int = 400, palette: Palette = PAGE, heading: str = ""
) -> str:
    """Return equity above its drawdown, both of every bar, with what it is compared with beginning at the same equity.

    The scale is logarithmic where the largest value is 8 times the smallest, and says so. `heading` is shown at the top left.
    """
    other = None if hold is None else _rebased(hold, curve)
    values = [curve.value] if other is None else [curve.value, other]
    low, high = min(float(each.min()) for each in values), max(float(each.max()) for each in values)
    logarithmic = high / low >= LOGARITHMIC_FROM
    top, gap, below = (52 if heading else 30), 34, round(height * 0.24)
    grain = 4.0 if palette is PICTURE else 1.0
    left = 10 if palette is PICTURE else 1
    inner = width - 75 - left
    times = (float(curve.time[0]), max(float(curve.time[-1]), curve.time[0] + 1.0))
    upper = Box(
        left, top, inner, height - top - gap - below - 26, *times, *plot.extent(low, high, logarithmic=logarithmic), logarithmic
    )
    depth = below_peak(curve.value)
    depths = [depth] if other is None else [depth, below_peak(other)]
    deepest = max(0.01, max(float(each.max()) for each in depths)) * 1.08
    lower = Box(left, upper.bottom + gap, inner, below, *times, -deepest, 0.0)
    ticks = [(value, _amount(value)) for value in plot.value_ticks(upper, 4 if height < 300 else 6)]
    moments = plot.time_ticks(int(curve.time[0]), int(curve.time[-1]), 9)
    parts = [*plot.frame(upper, palette, ticks, [])]
    falls = [(value, f"{-value * 100:g} %".replace("-0", "0")) for value in plot.value_ticks(lower, 4)]
    parts += plot.frame(lower, palette, [(value, f"−{words}" if value else words) for value, words in falls], moments)
    x = upper.x(curve.time)
    under = lower.y(-depth)
    if other is not None:
        parts.append(plot.line(x, upper.y(other), palette.other, grain=grain))
        parts.append(plot.line(x, lower.y(-depths[1]), palette.other, width=1, grain=grain))
    parts.append(plot.line(x, upper.y(curve.value), palette.curve, width=2, grain=grain))
    parts.append(plot.area(x, under, lower.top, palette.loss, grain=grain))
    parts += _deepest(lower, curve, depth, palette)
    named = [(curve.name, palette.curve)] + ([] if hold is None else [(hold.name, palette.other)])
    parts += plot.legend(left, top - 14, named)
    scale = "logarithmic scale" if logarithmic else ""
    parts.append(plot.text(upper.right, top - 14, scale, palette.pale, anchor="end"))
    if heading:
        parts.append(plot.text(left, 18, heading, palette.ink, bold=True, size=14))
    change = (float(curve.value[-1] / curve.value[0]) - 1) * 100
    period = f"{day_words(curve.time[0])} to {day_words(curve.time[-1])}"
    label = f"Equity from {period}: {change:+.1f} %, deepest fall {depth.max() * 100:.1f} %"
    return plot.svg(parts, width, height, label, palette)


def equity_picture(curve: Curve, hold: Curve | None = None, *, title: str, badge: str | None = None) -> str:
    """Return a small picture of equity with drawdown that stands alone, such as for the metadata of an asset."""
    drawn = equity_chart(curve, hold, width=720, height=260, palette=PICTURE, heading=title)
    if badge is None:
        return drawn
    mark = plot.text(710, 18, badge, PICTURE.alarm, anchor="end", bold=True, size=13)
    return drawn.removesuffix("</svg>") + mark + "</svg>"


def distribution_chart(returns: np.ndarray, *, width: int = 528, height: int = 260) -> str:
    """Return a histogram of daily returns (fractions), the normal curve of their mean and deviation, and the value at risk."""
    if len(returns) < 2 or np.ptp(returns) <= LEAST_SPREAD:
        return _nothing("Daily returns do not vary, or are fewer than two", width, height)
    shown = returns[returns != 0] * 100
    if len(shown) < 2 or np.ptp(shown) <= LEAST_SPREAD * 100:
        return _nothing("Equity changed on fewer than two days", width, height)
    spread = float(np.quantile(shown, 0.995) - np.quantile(shown, 0.005)) or float(np.ptp(shown))
    step = plot.round_step(spread / 36)
    first, last = math.floor(float(shown.min()) / step), math.floor(float(shown.max()) / step) + 1
    first, last = max(first, last - 400), min(last, first + 400)
    counts, edges = np.histogram(np.clip(shown, first * step, last * step), np.arange(first, last + 1) * step)
    mean, deviation = float(shown.mean()), float(shown.std(ddof=1))
    fine = np.linspace(float(edges[0]), float(edges[-1]), 200)
    normal = len(shown) * step * np.exp(-(((fine - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))
    highest = float(max(counts.max(), normal.max())) * 1.05
    box = Box(1, 30, width - 44, height - 56, float(edges[0]), float(edges[-1]), 0.0, highest)
    ticks = [(value, f"{value:g}") for value in plot.value_ticks(box, 4) if value == round(value)]
    parts = [*plot.frame(box, PAGE, ticks, [])]
    for colour, side in ((PAGE.loss, edges[1:] <= step / 2), (PAGE.gain, edges[1:] > step / 2)):
        parts.append(_bars(box, edges[:-1][side & (counts > 0)], counts[side & (counts > 0)], step, colour))
    parts.append(plot.line(box.x(fine), box.y(normal), PAGE.pale, dashes="4 3", width=1.3))
    for value, words in _across(box):
        at = float(box.x(value))
        parts.append(plot.text(at, box.bottom + 17, words, PAGE.pale, anchor="start" if at < HALF_A_LABEL else "middle"))
    risk = value_at_risk(returns)
    if risk is not None:
        at = float(box.x(-risk * 100))
        anchor, place = ("end", at - 5) if at > box.left + 150 else ("start", at + 5)
        parts.append(plot.rule(at, box.top - 4, at, box.bottom, PAGE.alarm, dashes="3 3"))
        words = f"5 % of days below {_signed(-risk * 100)} %"
        parts.append(plot.text(place, box.top + 8, words, PAGE.alarm, anchor=anchor, halo=HALO))
    still = len(returns) - len(shown)
    left_out = f"; {still:,} days without a change are left out" if still else ""
    parts.append(plot.text(1, 14, f"Number of days by return in %{left_out}; dashed: normal", PAGE.pale))
    label = f"Distribution of {len(shown):,} daily returns: mean {mean:.2f} %, deviation {deviation:.2f} %"
    return plot.svg(parts, width, height, label, PAGE)


def rolling_sharpe_chart(day: np.ndarray, returns: np.ndarray, *, width: int = 528, height: int = 260) -> str:
    """Return the annualised Sharpe ratio of the last 90 days at each day, of the last 30 where there are fewer than 180 days."""
    window = ROLLING_DAYS if len(returns) >= 2 * ROLLING_DAYS else FEWEST_ROLLING_DAYS
    if len(returns) <= window:
        return _nothing(f"A rolling Sharpe ratio needs more than {window} days", width, height)
    views = np.lib.stride_tricks.sliding_window_view(returns, window)
    varied = np.ptp(views, axis=1) > LEAST_SPREAD
    ratios = np.full(len(views), np.nan)
    ratios[varied] = views[varied].mean(axis=1) / views[varied].std(axis=1, ddof=1) * math.sqrt(DAYS_PER_YEAR)
    days = day[window - 1 :]
    known = ratios[varied]
    if not len(known):
        return _nothing(f"Returns do not vary within any {window} days", width, height)
    low, high = min(0.0, float(known.min())), max(1.0, float(known.max()))
    box = Box(1, 30, width - 44, height - 56, float(days[0]), float(days[-1]), *plot.extent(low, high))
    ticks = [(value, f"{value:g}".replace("-", "−")) for value in plot.value_ticks(box, 5)]
    parts = [*plot.frame(box, PAGE, ticks, plot.time_ticks(int(days[0]), int(days[-1]), 5))]
    zero = float(box.y(0.0))
    parts.append(plot.rule(box.left, zero, box.right, zero, PAGE.pale))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], varied, [False]))))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        parts.append(plot.line(box.x(days[first:last]), box.y(ratios[first:last]), PAGE.curve))
    parts += plot.legend(1, 14, [(f"Sharpe ratio of {window} days", PAGE.curve)])
    label = f"Rolling Sharpe ratio of {window} days: from {known.min():.2f} to {known.max():.2f}, last {known[-1]:.2f}"
    return plot.svg(parts, width, height, label, PAGE)


def busiest_window(open_time: np.ndarray, trades: Trades) -> tuple[int, int]:
    """Return rows [start, end) of the 300 candles that hold the most entries and exits, the latest of equal ones."""
    if len(open_time) <= CANDLES_SHOWN:
        return 0, len(open_time)
    rows = np.searchsorted(open_time, np.concatenate((trades.entry_time, trades.exit_time)))
    events = np.bincount(rows[rows < len(open_time)], minlength=len(open_time))
    sums = np.concatenate(([0], np.cumsum(events)))
    held = sums[CANDLES_SHOWN:] - sums[:-CANDLES_SHOWN]
    start = len(held) - 1 - int(np.argmax(held[::-1]))
    return start, start + CANDLES_SHOWN


def trades_chart(shown: Candles, trades: Trades, *, width: int = 1080, height: int = 380) -> str:
    """Return the candles with the entries and exits of `trades` (of one market): ▲ bought, ▼ sold, joined by a line."""
    if not len(shown):
        return _nothing("There are no candles", width, height)
    first, last = int(shown.open_time[0]), int(shown.open_time[-1])
    step = int(np.diff(shown.open_time).min()) if len(shown) > 1 else plot.HOUR_MS
    low, high = plot.extent(float(shown.low.min()), float(shown.high.max()), margin=0.07)
    box = Box(1, 30, width - 84, height - 60, first - step / 2, last + step / 2, low, high)
    distance = plot.round_step((high - low) / 8)
    ticks = [(value, price_label(value, distance)) for value in plot.value_ticks(box, 8)]
    parts = [*plot.frame(box, PAGE, ticks, plot.time_ticks(first, last, 9))]
    parts += _candles(box, shown, step)
    mine = trades.take((trades.exit_time >= first) & (trades.entry_time <= last))
    parts += _joins(box, mine)
    parts += _trade_marks(box, mine, first, last)
    parts += plot.legend(1, 14, [("won", PAGE.gain), ("lost", PAGE.loss)])
    parts.append(plot.text(150, 14, "▲ bought  ▼ sold, line from entry to exit", PAGE.pale))
    label = f"Candles from {day_words(first)} to {day_words(last)} with {trades_counted(mine)}"
    return plot.svg(parts, width, height, label, PAGE)


def _candles(box: Box, shown: Candles, step: int) -> Iterator[str]:
    x = box.x(shown.open_time)
    body = max(1.0, min(9.0, box.width * step / (box.x_high - box.x_low) * 0.66))
    top, bottom = box.y(np.maximum(shown.open, shown.close)), box.y(np.minimum(shown.open, shown.close))
    for colour, rows in ((PAGE.gain, shown.close >= shown.open), (PAGE.loss, shown.close < shown.open)):
        if rows.any():
            yield _sticks(x[rows], box.y(shown.high[rows]), box.y(shown.low[rows]), colour, 1)
            yield _sticks(x[rows], top[rows], np.maximum(bottom[rows], top[rows] + 0.8), colour, body)


def _sticks(x: np.ndarray, top: np.ndarray, bottom: np.ndarray, colour: str, width: float) -> str:
    drawn = "".join(
        f"M{plot.number(at)} {plot.number(high)}V{plot.number(low)}" for at, high, low in zip(x, top, bottom, strict=True)
    )
    return f'<path stroke="{colour}" stroke-opacity=".55" stroke-width="{plot.number(width)}" d="{drawn}"/>'


def _joins(box: Box, trades: Trades) -> Iterator[str]:
    span = np.maximum(trades.exit_time - trades.entry_time, 1)
    rise = trades.exit_price - trades.entry_price
    ends = []
    for time, price in ((trades.entry_time, trades.entry_price), (trades.exit_time, trades.exit_price)):
        seen = np.clip(time, box.x_low, box.x_high)
        ends += [box.x(seen), box.y(price + rise * (seen - time) / span)]
    for colour, rows in ((PAGE.gain, trades.pnl > 0), (PAGE.loss, trades.pnl <= 0)):
        places = zip(*(end[rows] for end in ends), strict=True)
        drawn = "".join(f"M{plot.number(x1)} {plot.number(y1)}L{plot.number(x2)} {plot.number(y2)}" for x1, y1, x2, y2 in places)
        if drawn:
            yield f'<path stroke="{colour}" stroke-width="1.8" d="{drawn}"/>'


def _trade_marks(box: Box, trades: Trades, first: int, last: int) -> Iterator[str]:
    for place in range(len(trades)):
        colour = PAGE.gain if trades.pnl[place] > 0 else PAGE.loss
        side = int(trades.side[place])
        for word, time, price, direction in (
            ("entry", trades.entry_time[place], trades.entry_price[place], side),
            ("exit", trades.exit_time[place], trades.exit_price[place], -side),
        ):
            if first <= time <= last:
                x, y = float(box.x(time)), float(np.clip(box.y(price), box.top, box.bottom))
                verb = "bought" if direction > 0 else "sold"
                words = f"{word}: {verb} at {price_words(float(price))} on {minute(time)} UTC"
                size = 5 * direction
                shape = f"M{plot.number(x)} {plot.number(y)}l4.5 {plot.number(2 * size)}h-9z"
                yield f'<path fill="{colour}" stroke="{HALO}" d="{shape}"><title>{words}</title></path>'


def _deepest(box: Box, curve: Curve, depth: np.ndarray, palette: Palette) -> Iterator[str]:
    row = int(depth.argmax())
    words = "Drawdown"
    if depth[row] > 0:
        x, y = float(box.x(curve.time[row])), float(box.y(-depth[row]))
        yield f'<circle cx="{plot.number(x)}" cy="{plot.number(y)}" r="3" fill="{palette.loss}"/>'
        words = f"Drawdown, deepest −{depth[row] * 100:.1f} % on {day_words(curve.time[row])}"
    yield plot.text(box.left, box.top - 8, words, palette.loss, bold=True)


def _bars(box: Box, left: np.ndarray, counts: np.ndarray, step: float, colour: str) -> str:
    width = max(1.0, box.width * step / (box.x_high - box.x_low) - 1)
    drawn = "".join(
        f"M{plot.number(x)} {plot.number(box.bottom)}V{plot.number(y)}h{plot.number(width)}V{plot.number(box.bottom)}z"
        for x, y in zip(box.x(left) + 0.5, box.y(counts), strict=True)
    )
    return f'<path fill="{colour}" fill-opacity=".75" d="{drawn}"/>' if drawn else ""


def _across(box: Box) -> list[tuple[float, str]]:
    step = plot.round_step((box.x_high - box.x_low) / 8)
    counts = range(math.ceil(box.x_low / step), math.floor(box.x_high / step) + 1)
    return [(count * step, _signed(count * step)) for count in counts]


def _amount(value: float) -> str:
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= power:
            return f"{value / (1e3 if letter == 'k' else power):,g}{letter}"
    return f"{value:,g}"


def _rebased(hold: Curve, curve: Curve) -> np.ndarray:
    values = curve_at(hold.time, hold.value, curve.time)
    return values / values[0] * curve.value[0]


def _nothing(words: str, width: int, height: int) -> str:
    return plot.svg([plot.text(width / 2, height / 2, words, PAGE.pale, anchor="middle")], width, height, words, PAGE)


def _signed(value: float) -> str:
    return f"{value:.10g}".replace("-", "−") if value == round(value, 6) else f"{value:.1f}".replace("-", "−")
