"""Strategies and markets to search: what is good in them is planted, so the right answer is known."""

import numpy as np
from pydantic import Field, model_validator

from fks_assets.quant.backtest.book import MarketSeries
from fks_assets.quant.backtest.rules import BookRules, Costs, LegRules
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.search_trials import SearchedMarket, Stretch, Terms
from fks_assets.quant.strategies.base import BUY, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.rules import require_order
from fks_assets.quant.timeframes import parse_timeframe

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
START_MS = 1_609_459_200_000  # 2021-01-01
HISTORY_DAYS = 30  # more than the 501 hours that every strategy waits for
FREE = Terms(LegRules(short=False, cooldown_minutes=0), BookRules(costs=Costs(maker_fee=0.0, taker_fee=0.0)))


def market(candles: Candles) -> SearchedMarket:
    """Return the candles as a market to search, with the indicators that the desk stores."""
    series = MarketSeries("BTC-USDT@x", parse_timeframe("1h"), candles)
    return SearchedMarket(series, compute_indicators(candles), warm_rows(len(candles)))


def hours(days: int, seed: int, *, edge: float = 0.0, edge_hours: tuple[int, int] = (9, 13), noise: float = 0.004) -> Candles:
    """Return hourly candles of a walk whose price gains `edge` an hour, on average, while the hour of the day is in a range."""
    random = np.random.default_rng(seed)
    count = days * 24
    drift = np.zeros(count)
    of_day = np.arange(count) % 24
    drift[(of_day >= edge_hours[0]) & (of_day < edge_hours[1])] = edge
    close = 100 * np.exp(np.cumsum(random.normal(0.0, noise, count) + drift))
    opened = np.concatenate(([100.0], close[:-1]))
    times = START_MS + HOUR_MS * np.arange(count, dtype=np.int64)
    return Candles(times, opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(count))


def after_history(candles: Candles) -> Stretch:
    """Return the time of the candles that have enough history before them."""
    return Stretch(int(candles.open_time[0]) + HISTORY_DAYS * DAY_MS, int(candles.open_time[-1]) + HOUR_MS)


def far_away(action: np.ndarray, close: np.ndarray) -> SignalColumns:
    """Return signals whose stop and target are never reached."""
    side = action.astype(np.float64)
    confidence = np.where(action != 0, 0.9, 0.0)
    codes = np.zeros(len(close), np.int16)
    return SignalColumns(action.astype(np.int8), confidence, close * (1 - 0.9 * side), close * (1 + 0.9 * side), codes, ("so",))


class HoursParameters(Parameters):
    """Hours of the UTC day."""

    begin: int = Field(6, ge=0, le=19)
    end: int = Field(12, ge=1, le=23)

    @model_validator(mode="after")
    def _ordered(self) -> "HoursParameters":
        require_order(self, "begin", "end")
        return self


class InHours(Strategy[HoursParameters]):
    """Long from the open of the hour `begin` to that of the hour `end`; `judged` holds every pair that was ever judged."""

    name = "in_hours"
    parameters_model = HoursParameters
    required_columns = ("atr_14",)
    judged: set[tuple[int, int]] = set()  # noqa: RUF012 - shared on purpose

    def judge(self, candles, indicators) -> SignalColumns:
        self.judged.add((self.parameters.begin, self.parameters.end))
        following = (candles.open_time // HOUR_MS + 1) % 24
        return far_away(
            np.where(following == self.parameters.begin, BUY, np.where(following == self.parameters.end, SELL, 0)), candles.close
        )


class IslandParameters(Parameters):
    """A point on a map, and how large the island is on which the strategy is right; that one cannot be searched."""

    x: float = Field(50.0, ge=0, le=100)
    y: float = Field(50.0, ge=0, le=100)
    radius: float = 1.0


class Island(Strategy[IslandParameters]):
    """Changes sides every other day: from long to out on the island, from out to long off it. In a market that rises every other
    day the first wins and the second loses.
    """

    name = "island"
    parameters_model = IslandParameters
    required_columns = ("atr_14",)

    def judge(self, candles, indicators) -> SignalColumns:
        wanted = self.parameters
        right = max(abs(wanted.x - 50.0), abs(wanted.y - 50.0)) <= wanted.radius
        following = candles.open_time // HOUR_MS + 1
        begins = following % 24 == 0
        even = (following // 24) % 2 == 0
        return far_away(np.where(begins & (even == right), BUY, np.where(begins, SELL, 0)), candles.close)


def swinging(days: int) -> Candles:
    """Return hourly candles that rise on even days since 1970 and fall on odd ones, a little less, with some noise."""
    random = np.random.default_rng(4)
    times = START_MS + HOUR_MS * np.arange(days * 24, dtype=np.int64)
    even = (times // DAY_MS) % 2 == 0
    close = 100 * np.exp(np.cumsum(np.where(even, 0.0011, -0.001) + random.normal(0, 0.001, len(times))))
    opened = np.concatenate(([100.0], close[:-1]))
    return Candles(times, opened, np.maximum(opened, close), np.minimum(opened, close), close, np.ones(len(times)))
