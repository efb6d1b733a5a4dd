"""The venue of paper accounts. It holds no key and can reach no account; what it needs to know is handed in by the desk.

The desk keeps its state in the ledger: after a restart the resting orders are those of the ledger, and what executed but was not
recorded before a crash executes again, under the same trade id, once its market gets there again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Self

from fks_assets.errors import in_words
from fks_assets.exchanges.orders.paper_book import PaperBook, PaperState, Quote, paper_id
from fks_assets.exchanges.orders.venue import (
    Accepted,
    Canceled,
    CancelOutcome,
    Denied,
    Features,
    NotOpen,
    OcoOutcome,
    OrderReport,
    Outcome,
    Permit,
    Rejected,
    ReplaceOutcome,
    TradeMark,
    VenueBalance,
    VenueFill,
    VenueOrder,
)
from fks_assets.quant.backtest.rules import Costs
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.markets import Market
from fks_assets.quant.money import from_analytics
from fks_assets.quant.orders import OrderStatus

QuoteSource = Callable[[Market], Awaitable[Quote]]


class PaperVenue:
    """Takes orders on paper. `quotes` gives the live price of a market or raises: a missing price is never made up."""

    features = Features(oco=True, stop_market=True, stop_limit=True, take_profit=True, replace=True, certain=True)
    validity_ms = 0

    def __init__(
        self,
        name: str,
        rules: Mapping[Market, MarketRules],
        costs: Costs,
        state: PaperState,
        quotes: QuoteSource,
        now_ms: Callable[[], int],
    ) -> None:
        self.name = name
        self._book = PaperBook(name, rules, costs, state)
        self._quotes = quotes
        self._now_ms = now_ms

    def advance(self, market: Market, quote: Quote, *, began_ms: int | None = None) -> list[VenueFill]:
        """Let the resting orders of a market live through a candle that began then, or a single price; return what executed."""
        return self._book.advance(market, quote, began_ms=began_ms)

    def would_execute(self, market: Market, quote: Quote) -> bool:
        """Return whether a resting order of a market would execute by a quote; nothing does."""
        return self._book.would_execute(market, quote)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Nothing is open."""

    async def ready(self, *, urgent: bool = False) -> Permit:
        return Permit()

    def own_id(self, client_order_id: str) -> str:
        return client_order_id

    async def place(self, order: VenueOrder, permit: Permit) -> Outcome:
        quote = await self._quote(order.market, permit)
        return quote if isinstance(quote, Denied) else self._take(order, quote)

    async def place_oco(self, stop: VenueOrder, target: VenueOrder, permit: Permit) -> OcoOutcome:
        quote = await self._quote(stop.market, permit)
        if isinstance(quote, Denied):
            return OcoOutcome("", quote, quote)
        refused = self._book.refused(stop, quote) or self._book.refused(target, quote)
        if refused is not None:
            return OcoOutcome("", refused, refused)
        list_id = paper_id(stop)
        for order in (stop, target):
            self._book.rest(order, self._now_ms(), list_id)
        return OcoOutcome(list_id, *(Accepted(paper_id(order), OrderStatus.OPEN) for order in (stop, target)))

    async def replace(self, old_client_order_id: str, new: VenueOrder, permit: Permit) -> ReplaceOutcome:
        quote = await self._quote(new.market, permit)
        if isinstance(quote, Denied):
            return ReplaceOutcome(quote, quote)
        if old_client_order_id not in self._book.resting:
            return ReplaceOutcome(NotOpen(), Rejected("NOT_ATTEMPTED", "the old order could not be cancelled"))
        self._book.drop(old_client_order_id)
        return ReplaceOutcome(Canceled(), self._take(new, quote))

    async def cancel(self, market: Market, client_order_id: str, exchange_order_id: str | None) -> CancelOutcome:
        if client_order_id not in self._book.resting:
            return NotOpen()
        self._book.drop(client_order_id)
        return Canceled()

    async def order(
        self, market: Market, client_order_id: str, exchange_order_id: str | None = None, *, since_ms: int = 0
    ) -> OrderReport | None:
        if exchange_order_id is not None:
            return next((each for each in self._book.reports.values() if each.exchange_order_id == exchange_order_id), None)
        return self._book.reports.get(client_order_id)

    async def order_fills(self, market: Market, exchange_order_id: str) -> list[VenueFill]:
        return [fill for fill in self._book.fills if fill.exchange_order_id == exchange_order_id]

    async def open_orders(self, markets: Sequence[Market]) -> list[OrderReport]:
        return [self._book.reports[name] for name, each in self._book.resting.items() if each.order.market in set(markets)]

    async def my_trades(
        self, markets: Sequence[Market], after: Mapping[Market, TradeMark], *, since_ms: int = 0
    ) -> list[VenueFill]:
        return [fill for fill in self._book.fills if fill.market in set(markets)]

    async def balances(self) -> dict[str, VenueBalance]:
        return self._book.balances()

    async def prices(self, markets: Sequence[Market]) -> dict[Market, Decimal]:
        return {market: from_analytics((await self._quotes(market)).close) for market in markets}

    async def _quote(self, market: Market, permit: Permit) -> Quote | Denied:
        """Return the live price, or why nothing can be done now: no leave to send, or no price."""
        fault = permit.spend()
        if fault:
            return Denied(fault)
        try:
            quote = await self._quotes(market)
        except Exception as error:
            # Whatever it was, the order is nowhere: an error would leave nobody knowing that.
            return Denied(f"there is no price of {market}: {in_words(error)}")
        return quote if quote.is_sound else Denied(f"the price of {market} is {quote.close!r}: nothing is filled at it")

    def _take(self, order: VenueOrder, quote: Quote) -> Outcome:
        refused = self._book.refused(order, quote)
        if refused is not None:
            return refused
        fill = self._book.take(order, quote, self._now_ms())
        if fill is None:
            return Accepted(paper_id(order), OrderStatus.OPEN)
        return Accepted(fill.exchange_order_id, OrderStatus.FILLED, (fill,))
