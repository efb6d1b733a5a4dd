"""Completeness of the desk's markets, measured once for the report, the heat map and the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fks_assets.assets.market_data.repair import markets_of_tier, order_timeframes
from fks_assets.assets.reporting.series import read_series
from fks_assets.clock import MILLISECONDS_PER_DAY
from fks_assets.errors import InvalidInput
from fks_assets.quant.completeness import DayRow, SeriesCompleteness, completeness_document, count_series, day_row
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.resources.stores import Stores

MOST_DAYS = 3660


@dataclass(frozen=True, slots=True)
class Measured:
    """The counted series of a tier, shortest timeframe first, and the days from `first_day_ms` on of each, in the same order."""

    tier: str
    counted: Sequence[SeriesCompleteness]
    rows: Sequence[DayRow]
    first_day_ms: int
    tiers: dict[Market, str]
    simulated: bool

    @property
    def document(self) -> dict[str, Any]:
        """The report in the shape of S5.5, with candles besides."""
        return completeness_document(self.tier, self.counted)

    @property
    def timeframes(self) -> list[Timeframe]:
        return list(dict.fromkeys(each.timeframe for each in self.counted))

    def of(self, timeframe: Timeframe) -> list[tuple[SeriesCompleteness, DayRow]]:
        """Return the markets of a timeframe in the desk's order."""
        return [(each, row) for each, row in zip(self.counted, self.rows, strict=True) if each.timeframe == timeframe]

    def markets(self) -> list[dict[str, Any]]:
        """Return one entry a series, the least complete first."""
        ordered = sorted(
            self.counted,
            key=lambda each: (100 if each.of_exchange_pct is None else each.of_exchange_pct, -sum(each.missing.values())),
        )
        return [
            {
                "market": each.market.key,
                "tier": self.tiers[each.market],
                "timeframe": each.timeframe.name,
                "candles_expected": each.expected,
                "candles_stored": each.stored,
                "candle_completeness_pct": each.stored_pct,
                "candle_completeness_of_exchange_pct": each.of_exchange_pct,
                "fillable_gaps": each.fillable_gaps,
                "unfillable_gaps": each.unfillable_gaps,
                "candles_missing": {state.value: count for state, count in each.missing.items()},
            }
            for each in ordered
        ]


def measure(stores: Stores, tier: str, intervals: Sequence[int], at_ms: int, days: int, *, only_days: bool = False) -> Measured:
    """Return how complete a tier is at a time in timeframes of these minutes; `days` are drawn, and with `only_days` counted.

    Raises InvalidInput for an unknown tier or interval and for days outside [1, 3660].
    """
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"days {days} is not between 1 and {MOST_DAYS:,}")
    markets = markets_of_tier(stores, tier)
    first_day = at_ms - at_ms % MILLISECONDS_PER_DAY - (days - 1) * MILLISECONDS_PER_DAY
    counted: list[SeriesCompleteness] = []
    rows: list[DayRow] = []
    for timeframe in reversed(order_timeframes(stores, intervals)):
        for series in read_series(stores, markets, timeframe, at_ms):
            counted.append(count_series(series, first_day if only_days else 0))
            rows.append(day_row(series, first_day, days))
    tiers = stores.settings.tiers()
    return Measured(tier, counted, rows, first_day, tiers, stores.settings.is_simulated)
