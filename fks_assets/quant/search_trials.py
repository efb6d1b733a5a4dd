"""One strategy over one stretch of time, for searches: signals with the history before it, one book, daily returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fks_assets.errors import InsufficientData, StrategyFailed, TradingError
from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.candles import Candles
from fks_assets.quant.performance import Performance, measure
from fks_assets.quant.performance_ruin import after_ruin
from fks_assets.quant.performance_series import DAY_MS, daily_curve, with_base
from fks_assets.quant.performance_trades import whole_trades
from fks_assets.quant.strategies.base import SignalColumns, Strategy
from fks_assets.quant.strategies.loading import error_in, file_of


class Stretch(NamedTuple):
    """The half-open range [start_ms, end_ms), UTC ms."""

    start_ms: int
    end_ms: int

    @property
    def days(self) -> float:
        return (self.end_ms - self.start_ms) / DAY_MS


@dataclass(frozen=True, slots=True, eq=False)
class SearchedMarket:
    """A market with all its candles, those before the period too; `indicators` and `warm` are aligned with them."""

    series: MarketSeries
    indicators: dict[str, np.ndarray]
    warm: np.ndarray

    def until(self, end_ms: int) -> "SearchedMarket | None":
        """Return the market as it was known at `end_ms`: without any candle that opens then or later; None without candles."""
        candles, finer = self.series.candles.between(0, end_ms), self.series.finer
        if not len(candles):
            return None
        smaller = None if finer is None else finer.between(0, end_ms)
        series = replace(self.series, candles=candles, finer=smaller if smaller is not None and len(smaller) else None)
        count = len(candles)
        return SearchedMarket(series, {name: column[:count] for name, column in self.indicators.items()}, self.warm[:count])


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """How everything in a search is traded: the rules of each market and of the book."""

    rules: LegRules
    book: BookRules


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """What a strategy gave over a stretch: `returns` of its days as fractions, whole trades, and whether it lost everything."""

    returns: np.ndarray
    trades: int
    ruined: bool


class Track:
    """A stretch of markets, cut once, that many strategies are run over. It can be used from several threads at a time."""

    def __init__(self, markets: Sequence[SearchedMarket], stretch: Stretch, terms: Terms) -> None:
        self.stretch, self.terms = stretch, terms
        self._cuts = []
        for market in markets:
            times = market.series.candles.open_time
            first, last = (int(row) for row in np.searchsorted(times, stretch))
            if last > first:
                finer = market.series.finer
                inside = None if finer is None else finer.between(*stretch)
                period = replace(
                    market.series,
                    candles=market.series.candles.slice(first, last),
                    finer=inside if inside is not None and len(inside) else None,
                )
                self._cuts.append((market, first, last, period))

    def run(self, strategy: Strategy[Any]) -> Passed:
        """Return what the strategy gives, beginning with the book's cash; without any candles: days without a return."""
        start, book = self.stretch.start_ms, self.terms.book
        if not self._cuts:
            return Passed(np.zeros(-(-self.stretch.end_ms // DAY_MS) - start // DAY_MS), 0, ruined=False)
        legs = tuple(
            Leg(strategy.name, period, _signals(strategy, market, first, last), self.terms.rules)
            for market, first, last, period in self._cuts
        )
        result = run_backtest(Book(legs, book))
        equity, ruin = after_ruin(result.equity.equity, result.initial_cash)
        time = result.equity.time
        if time[-1] < self.stretch.end_ms:
            time, equity = np.append(time, self.stretch.end_ms), np.append(equity, equity[-1])
        returns = daily_curve(*with_base(start, result.initial_cash, time, equity)).returns
        return Passed(returns, len(whole_trades(result.trades).pnl), ruin is not None)


def judge_period(
    strategy: Strategy[Any], candles: Candles, first: int, indicators: Mapping[str, np.ndarray], warm: np.ndarray
) -> SignalColumns:
    """Return the signals of the candles from row `first` on, judged with the history before them.

    Raises StrategyFailed for any error of the strategy's own code, which may be a user's.
    """
    try:
        signals = Strategy.evaluate(strategy, candles, indicators, warm)
    except TradingError:
        raise
    except Exception as error:
        raise StrategyFailed(f"strategy {strategy.name}: {error_in(file_of(type(strategy)), error)}") from error
    columns = (signals.action, signals.confidence, signals.stop, signals.target, signals.reason_codes)
    return SignalColumns(*(column[first:] for column in columns), reasons=signals.reasons)


def chained(returns: np.ndarray, start_ms: int, base: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (moments ms, equity) that daily returns lead to: `base` at the start, then one value at the end of each day."""
    first = start_ms // DAY_MS * DAY_MS
    days = np.append(start_ms, first + DAY_MS * np.arange(1, len(returns) + 1, dtype=np.int64))
    return days, after_ruin(base * np.concatenate(([1.0], np.cumprod(1.0 + returns))), base)[0]


def measured(returns: np.ndarray, start_ms: int, base: float) -> Performance:
    """Return every figure of chained daily returns; raise InsufficientData without any."""
    if not len(returns):
        raise InsufficientData("there is not one day to measure")
    return measure(*chained(returns, start_ms, base))


def _signals(strategy: Strategy[Any], market: SearchedMarket, first: int, last: int) -> SignalColumns:
    begin = max(0, first - strategy.lookback_rows)
    indicators = {name: column[begin:last] for name, column in market.indicators.items()}
    return judge_period(strategy, market.series.candles.slice(begin, last), first - begin, indicators, market.warm[begin:last])
