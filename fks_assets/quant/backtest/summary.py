"""The few figures by which a sweep compares combinations, computed without a table of results for each.

They are those of fks_assets.quant.performance under the same names, of an account that is over where it lost everything
(performance_ruin.after_ruin): tests hold both equal.
"""

from math import nan, sqrt

from fks_assets.quant.backtest.compiled import compiled, compiled_on_disk
from fks_assets.quant.performance_ruin import DUST

FIGURES = (
    "end_equity",
    "total_return_pct",
    "max_drawdown_pct",
    "max_drawdown_intraday_pct",
    "sharpe",
    "total_trades",
    "win_rate_pct",
    "profit_factor",
)
DAYS_PER_YEAR = 365
LEAST_SPREAD = 1e-14


@compiled
def value_at(equity, base, row, over, nothing):
    """Return the equity at a row, -1 for the base; from the row `over` on there is nothing left."""
    if row >= over:
        return nothing
    return base if row < 0 else equity[row]


@compiled_on_disk
def summarise(equity, base, daily_rows, trades, count, figures):
    """Write FIGURES of one pass over one leg into `figures`, NaN where one is not defined; return whether it lost everything.

    `daily_rows` are the places in `equity` of each UTC day's last value, -1 for the base.
    """
    peak, trough, deepest = base, base, 0.0
    nothing, over = base * DUST, len(equity)
    for row in range(len(equity)):
        value = equity[row]
        if value > peak:
            deepest = max(deepest, 1.0 - trough / peak)
            peak = trough = value
        elif value < trough:
            trough = value
            if value <= nothing:
                trough, over = nothing, row
                break
    deepest = max(deepest, 1.0 - trough / peak)

    before, highest, lost, total, low, high = base, base, 0.0, 0.0, 0.0, 0.0
    days = len(daily_rows)
    for day in range(days):
        value = value_at(equity, base, daily_rows[day], over, nothing)
        part = value / before - 1.0
        low, high = (part, part) if day == 0 else (min(low, part), max(high, part))
        total += part
        before, highest = value, max(highest, value)
        lost = max(lost, 1.0 - value / highest)
    mean, spread, before = (total / days if days > 0 else nan), 0.0, base
    for day in range(days):
        value = value_at(equity, base, daily_rows[day], over, nothing)
        spread += (value / before - 1.0 - mean) ** 2
        before = value

    whole, won, gains, losses, profit = 0, 0, 0.0, 0.0, 0.0
    for place in range(count):
        profit += trades[place].pnl
        if place + 1 == count or trades[place + 1].entry_time != trades[place].entry_time:
            whole += 1
            won += profit > 0.0
            gains += max(profit, 0.0)
            losses -= min(profit, 0.0)
            profit = 0.0

    end = value_at(equity, base, len(equity) - 1, over, nothing)
    figures[0] = end
    figures[1] = (end / base - 1.0) * 100
    figures[2] = lost * 100
    figures[3] = deepest * 100
    varies = days > 1 and high - low > LEAST_SPREAD
    figures[4] = mean / sqrt(spread / (days - 1)) * sqrt(DAYS_PER_YEAR) if varies else nan
    figures[5] = whole
    figures[6] = won / whole * 100 if whole > 0 else nan
    figures[7] = gains / losses if losses > 0.0 else nan
    return over < len(equity)
