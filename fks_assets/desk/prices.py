"""What the desk knows of prices: the live ones of the exchange, and the closed candles that it has stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fks_assets.errors import ExchangeError, ExchangeUnavailable
from fks_assets.exchanges.budget import RateBudget
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.exchanges.prices import last_prices
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import Timeframe
from fks_assets.stores.candle_tables import candles_from_table
from fks_assets.stores.candles import CandleStore

# A price that was asked for is not asked for again within this time.
FRESH_MS = 2000
# A candle older than this many of its lengths says nothing of the market now.
STALE_CANDLES = 2


@dataclass(frozen=True, slots=True)
class Moment:
    """What a market did from `began_ms` (UTC) on: a closed candle, or a single price."""

    began_ms: int
    quote: Quote

    @property
    def is_over(self) -> bool:
        """Whether it is a candle: a single price says nothing of the time around it."""
        return self.quote.at_ms > self.began_ms


class PriceFeed(Protocol):
    """Where the desk learns what markets cost. Nothing is ever made up: what is not known is missing."""

    async def quotes(self, markets: Sequence[Market]) -> Mapping[Market, Quote]:
        """Return the price of each market now; raise ExchangeError when they cannot be had."""

    async def since(self, market: Market, began_ms: int) -> Sequence[Moment]:
        """Return what the market has done since a time (UTC ms), oldest first: closed candles, and the price now if known."""

    def last_close(self, market: Market) -> Quote | None:
        """Return the close of the newest stored candle, None where none is fresh."""


class LivePrices:
    """Asks the exchange for prices, and takes candles from the store: those of the shortest of `timeframes` that it has."""

    def __init__(
        self,
        profile: ExchangeProfile,
        budget: RateBudget,
        candles: CandleStore,
        timeframes: Sequence[Timeframe],
        clock: Callable[[], int],
    ) -> None:
        self._profile = profile
        self._budget = budget
        self._candles = candles
        self._timeframes = sorted(timeframes, key=lambda each: each.milliseconds)
        self._clock = clock
        self._known: dict[Market, Quote] = {}

    async def quotes(self, markets: Sequence[Market]) -> Mapping[Market, Quote]:
        at = self._clock()
        missing = [market for market in markets if market not in self._known or at - self._known[market].at_ms > FRESH_MS]
        for market, price in (await last_prices(self._profile, self._budget, missing)).items():
            self._known[market] = Quote.of_price(float(price), self._clock())
        return {market: self._known[market] for market in markets}

    async def since(self, market: Market, began_ms: int) -> Sequence[Moment]:
        moments = self._closed(market, began_ms)
        try:
            now = (await self.quotes([market]))[market]
        except ExchangeError:
            return moments
        return [*moments, Moment(now.at_ms, now)]

    def last_close(self, market: Market) -> Quote | None:
        at = self._clock()
        for timeframe in self._timeframes:
            start = at - (STALE_CANDLES + 1) * timeframe.milliseconds
            if moments := self._read(market, timeframe, start):
                last = moments[-1].quote
                return Quote.of_price(last.close, last.at_ms)
        return None

    def _closed(self, market: Market, began_ms: int) -> list[Moment]:
        for timeframe in self._timeframes:
            if moments := self._read(market, timeframe, timeframe.ceil(began_ms)):
                return moments
        return []

    def _read(self, market: Market, timeframe: Timeframe, start_ms: int) -> list[Moment]:
        found = candles_from_table(self._candles.read_table("ohlcv", market, timeframe.name, start_ms, None))
        columns = (found.open, found.high, found.low, found.close, found.volume)
        rows = zip(found.open_time.tolist(), *(column.tolist() for column in columns), strict=True)
        return [Moment(began, Quote(*prices, began + timeframe.milliseconds - 1)) for began, *prices in rows]


async def quote_of(feed: PriceFeed, market: Market) -> Quote:
    """Return the price of one market now. Raises ExchangeError, never gives a made-up price."""
    found = (await feed.quotes([market])).get(market)
    if found is None:
        raise ExchangeUnavailable(f"{market.exchange} gave no price of {market}", exchange=market.exchange)
    return found
