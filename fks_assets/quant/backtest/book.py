"""What is run: candle series with their markets' rules, and the strategies that trade them."""

import itertools
from dataclasses import dataclass, field

import numpy as np

from fks_assets.errors import InsufficientData, InvalidInput
from fks_assets.quant.backtest.layout import read_only
from fks_assets.quant.backtest.rules import BookRules, LegRules
from fks_assets.quant.candles import OHLCV_COLUMNS, PRICE_COLUMNS, Candles
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.timeframes import Timeframe

COLUMNS = ("open_time", *OHLCV_COLUMNS)
TIME_KIND, PRICE_KIND = np.dtype(np.int64), np.dtype(np.float64)
MOST_NAMES = 32_767
# No market trades outside these; money reckoned from anything between them stays far inside what a float can hold.
LOWEST_PRICE, HIGHEST = 1e-30, 1e30


@dataclass(frozen=True, slots=True, eq=False)
class Funding:
    """Funding rates of a perpetual market: `time` int64 UTC ms ascending, `rate` float64, NaN where it is not known.

    A funding is due at every multiple of `interval_ms` since 1970 and at every given time; one without a known rate counts as 0
    and as unknown. A long position pays a positive rate times its value.
    """

    interval_ms: int
    time: np.ndarray
    rate: np.ndarray

    def __post_init__(self) -> None:
        if self.interval_ms <= 0:
            raise InvalidInput(f"funding interval_ms must be above 0, was {self.interval_ms}")
        if self.time.shape != self.rate.shape or self.time.ndim != 1:
            raise InvalidInput(f"funding times have shape {self.time.shape} and rates {self.rate.shape}; they must be equal")
        if len(self.time) > 1 and not (np.diff(self.time) > 0).all():
            raise InvalidInput("funding times must ascend, each once")
        for row in np.flatnonzero(np.abs(self.rate) > 1)[:1]:
            raise InvalidInput(f"funding rate {self.rate[row]} at {self.time[row]} is above 1: no market pays that")


@dataclass(frozen=True, slots=True, eq=False)
class MarketSeries:
    """One market's candles in one timeframe, with what the market asks for.

    `rules` hold from their `valid_from` on (the first also before that); none means no tick, lot or smallest order. `finer` are
    candles of a smaller timeframe for the tie rule "finer". `close_time` int64 UTC ms, one a candle, is known then. `columns` and
    `finer_columns` are open_time, open, high, low, close and volume, as the kernel reads them.
    """

    market: str
    timeframe: Timeframe
    candles: Candles
    rules: tuple[MarketRules, ...] = ()
    funding: Funding | None = None
    finer: Candles | None = None
    columns: tuple[np.ndarray, ...] = field(init=False, repr=False)
    finer_columns: tuple[np.ndarray, ...] = field(init=False, repr=False, default=())
    close_time: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        columns, closes = check_candles(self.candles, self.timeframe.milliseconds, f"{self.market} {self.timeframe}")
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "close_time", closes)
        if self.finer is not None:
            columns, _ = check_candles(self.finer, 1, f"{self.market} finer candles")
            object.__setattr__(self, "finer_columns", columns)
        starts = [rules.valid_from for rules in self.rules]
        if len(starts) > 1 and (None in starts or any(b <= a for a, b in itertools.pairwise(starts))):  # type: ignore[operator]
            raise InvalidInput(f"{self.market}: rules must ascend by valid_from, were {starts}")
        for rules in self.rules:
            if rules.market.key != self.market:
                raise InvalidInput(f"{self.market}: rules are those of {rules.market}")

    @property
    def stated_rules(self) -> tuple[MarketRules, ...]:
        """Return the rules that state a tick and a lot: a market that is taken off the list keeps those that it had."""
        return tuple(rules for rules in self.rules if rules.tick_size is not None and rules.lot_size is not None)


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """One strategy on one series: its signals, one a candle, and how they are traded."""

    strategy: str
    series: MarketSeries
    signals: SignalColumns
    rules: LegRules = field(default_factory=LegRules)

    def __post_init__(self) -> None:
        rows = len(self.series.candles)
        for column in ("action", "confidence", "stop", "target"):
            values = getattr(self.signals, column)
            if values.shape != (rows,):
                name = f"{self.strategy} on {self.series.market}"
                raise InvalidInput(f"{name}: {column} has shape {values.shape}, the candles have {rows} rows")


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """Legs over one account. Their order is their priority: at one moment the first ones enter first. `strategies` (names) and
    `markets` (keys) are theirs, in the order in which they first occur.

    Its money is of one kind: markets that pay in several coins are refused, as one balance cannot hold two currencies.
    """

    legs: tuple[Leg, ...]
    rules: BookRules = field(default_factory=BookRules)
    strategies: tuple[str, ...] = field(init=False)
    markets: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategies", tuple(dict.fromkeys(leg.strategy for leg in self.legs)))
        object.__setattr__(self, "markets", tuple(dict.fromkeys(leg.series.market for leg in self.legs)))
        if not self.legs:
            raise InvalidInput("a book needs at least one leg")
        seen: set[tuple[str, str, str]] = set()
        for leg in self.legs:
            key = (leg.strategy, leg.series.market, leg.series.timeframe.name)
            if key in seen:
                raise InvalidInput(f"strategy {key[0]} trades {key[1]} {key[2]} twice in one book")
            seen.add(key)
        quotes = dict.fromkeys(_quote(market) for market in self.markets)
        if len(quotes) > 1:
            raise InvalidInput(f"a book counts in one quote coin, its markets pay in {', '.join(quotes)}: make a book of each")
        for name in self.rules.budgets:
            if name not in self.strategies:
                raise InvalidInput(f"budgets.{name}: no leg of that strategy, there are {', '.join(self.strategies)}")
        for names in (self.strategies, self.markets):
            if len(names) > MOST_NAMES:
                raise InvalidInput(f"a book holds at most {MOST_NAMES} strategies and markets, was {len(names)}")


def single(
    strategy: str,
    series: MarketSeries,
    signals: SignalColumns,
    rules: LegRules | None = None,
    book: BookRules | None = None,
) -> Book:
    """Return the book of one strategy on one series."""
    return Book((Leg(strategy, series, signals, rules or LegRules()),), book or BookRules())


def _quote(market: str) -> str:
    """Return the coin in which a market named `BASE-QUOTE@exchange` pays."""
    return market.partition("@")[0].rpartition("-")[2]


def check_candles(candles: Candles, step_ms: int, name: str) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return the columns, read-only, and when each candle closes, a step after it opens. Raises InsufficientData for no candles,
    InvalidInput unless they are sorted, within bounds and at least a step apart.
    """
    if not len(candles):
        raise InsufficientData(f"{name}: there are no candles")
    columns = tuple(read_only(getattr(candles, column)) for column in COLUMNS)
    rows = columns[0].shape
    for column, values in zip(COLUMNS, columns, strict=True):
        kind = TIME_KIND if values is columns[0] else PRICE_KIND
        if values.dtype != kind or values.shape != rows or values.ndim != 1:
            raise InvalidInput(f"{name}: {column} is {values.dtype} of shape {values.shape}; it must be {kind}, one a candle")
    from fks_assets.quant.backtest.checking import broken

    closes = np.empty(rows, np.int64)
    if broken(*columns, step_ms, LOWEST_PRICE, HIGHEST, closes):
        _refuse(candles, step_ms, name)
    return columns, read_only(closes)


def _refuse(candles: Candles, step_ms: int, name: str) -> None:
    times = candles.open_time
    if (np.diff(times) < step_ms).any():
        raise InvalidInput(f"{name}: open times must be int64 and at least {step_ms} ms apart")
    for column in OHLCV_COLUMNS:
        values, least = getattr(candles, column), LOWEST_PRICE if column in PRICE_COLUMNS else 0.0
        for row in np.flatnonzero(~((values >= least) & (values <= HIGHEST)))[:1]:
            raise InvalidInput(f"{name}: {column} is {values[row]} in the candle that opens at {times[row]}")
    for row in np.flatnonzero(candles.high < candles.low)[:1]:
        raise InvalidInput(
            f"{name}: high {candles.high[row]} is below low {candles.low[row]} in the candle that opens at {times[row]}"
        )
    for column in ("open", "close"):
        values = getattr(candles, column)
        for row in np.flatnonzero((values < candles.low) | (values > candles.high))[:1]:
            bounds = f"low {candles.low[row]} to high {candles.high[row]}"
            raise InvalidInput(f"{name}: {column} {values[row]} is outside {bounds} in the candle that opens at {times[row]}")
