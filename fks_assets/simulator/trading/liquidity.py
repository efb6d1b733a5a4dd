"""What an order that takes would get: the levels of the drawn book, or everything at one price."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import numpy as np

from fks_assets.errors import InsufficientData
from fks_assets.simulator.book import Book, order_book
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.intervals import BINANCE_INTERVALS
from fks_assets.simulator.source import CandleSource, last_price
from fks_assets.simulator.trading.money import steps, whole
from fks_assets.simulator.trading.orders import Order, OrderType, Side
from fks_assets.simulator.trading.settings import TradingSettings

_SLICE = 32


class Liquidity:
    """Prices and books of a source at any time."""

    def __init__(self, source: CandleSource) -> None:
        self._source = source
        self._book: tuple[tuple[str, int], Book] | None = None
        self._last: dict[str, tuple[int, int | None]] = {}

    def last(self, instrument: Instrument, at_ms: int) -> int | None:
        """Return the last price in ticks, None before the first trade."""
        known = self._last.get(instrument.symbol)
        if known is not None and known[0] == at_ms:
            return known[1]
        try:
            ticks = last_price(self._source, instrument, at_ms)
        except InsufficientData:
            ticks = None
        self._last[instrument.symbol] = at_ms, ticks
        return ticks

    def opened(self, instrument: Instrument, at_ms: int, timeframe: str) -> int | None:
        """Return the open of the candle that runs at a time, the last price while it has none, None before the first trade."""
        start = BINANCE_INTERVALS[timeframe].floor(at_ms)
        bars, _ = self._source.tape(instrument, start, at_ms + 1)
        inside = bars.open[bars.open_time >= start]
        return int(inside[0]) if len(inside) else self.last(instrument, at_ms)

    def best(self, instrument: Instrument, at_ms: int, side: Side, settings: TradingSettings) -> int | None:
        """Return the best price in ticks at which an order of the side would take; None before the first trade."""
        if settings.fill_model == "book":
            book = self._book_at(instrument, at_ms)
            return None if book is None else int((book.ask_prices if side is Side.BUY else book.bid_prices)[0])
        return self.last(instrument, at_ms)

    def takes(self, order: Order, at_ms: int, traded: int | None, settings: TradingSettings) -> list[tuple[Decimal, Decimal]]:
        """Return (price, quantity) pairs that the rest of an order gets at once, best first: none when its limit forbids it.

        `traded` is the price in ticks that set off a waiting order.
        """
        instrument = order.instrument
        limit = None if order.price is None else steps(order.price, instrument.price_decimals)
        levels = self._levels(order, at_ms, traded, settings)
        sign = 1 if order.side is Side.BUY else -1
        wanted = steps(order.remaining, instrument.size_decimals)
        spending = order.request.quote_quantity
        found = []
        for ticks, size in levels:
            if (spending is None and wanted <= 0) or (limit is not None and sign * (ticks - limit) > 0):
                break
            price = whole(ticks, instrument.price_decimals)
            if spending is None:
                lots = wanted if size is None else min(wanted, size)
            else:
                lots = steps(spending / price, instrument.size_decimals)
                lots = lots if size is None else min(lots, size)
            if lots <= 0:
                if spending is not None:
                    break
                continue
            quantity = whole(lots, instrument.size_decimals)
            found.append((price, quantity))
            wanted -= lots
            if spending is not None:
                spending -= price * quantity
        return found

    def _levels(
        self, order: Order, at_ms: int, traded: int | None, settings: TradingSettings
    ) -> Iterable[tuple[int, int | None]]:
        instrument = order.instrument
        if settings.fill_model == "book":
            book = self._book_at(instrument, at_ms)
            if book is None:
                return []
            prices, sizes = (book.ask_prices, book.ask_sizes) if order.side is Side.BUY else (book.bid_prices, book.bid_sizes)
            return _rows(prices, sizes, settings.volume_share)
        price = traded
        if price is None and settings.fill_model == "open" and order.type is OrderType.MARKET:
            price = self.opened(instrument, at_ms, settings.open_timeframe)
        if price is None:
            price = self.last(instrument, at_ms)
        return [] if price is None else [(price, None)]

    def _book_at(self, instrument: Instrument, at_ms: int) -> Book | None:
        key = (instrument.symbol, at_ms)
        if self._book is None or self._book[0] != key:
            try:
                self._book = key, order_book(self._source, instrument, at_ms)
            except InsufficientData:
                return None
        return self._book[1]


def _rows(prices: np.ndarray, sizes: np.ndarray, share: float) -> Iterator[tuple[int, int]]:
    """Return the levels one by one; an order seldom needs more than the first few."""
    for start in range(0, len(prices), _SLICE):
        rows = slice(start, start + _SLICE)
        shared = sizes[rows] if share == 1.0 else (sizes[rows] * share).astype(np.int64)
        yield from zip(prices[rows].tolist(), shared.tolist(), strict=True)
