"""What the venues of Wallex and Nobitex share: their ccxt classes read every answer, once the exchange has listed its markets."""

import asyncio
from abc import abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fks_assets.errors import ExchangeError
from fks_assets.exchanges.answers import Answer
from fks_assets.exchanges.orders.exchange_venue import ExchangeVenue
from fks_assets.exchanges.orders.venue import (
    Accepted,
    CancelOutcome,
    Denied,
    NotOpen,
    OcoOutcome,
    OrderReport,
    Outcome,
    Permit,
    ReplaceOutcome,
    VenueBalance,
    VenueFill,
    VenueOrder,
)
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money
from fks_assets.quant.orders import OrderStatus, OrderType, Side

MISSING: Mapping[str, Any] = {"missing": True}
"""What is read where the exchange says that there is no such order."""
_STATUSES = {
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "rejected": OrderStatus.REJECTED,
    "expired": OrderStatus.EXPIRED,
}
_KINDS = {OrderType.MARKET: "market", OrderType.LIMIT: "limit", OrderType.STOP_MARKET: "market", OrderType.STOP_LIMIT: "limit"}


class IranianVenue(ExchangeVenue):
    """An account at Wallex or Nobitex. Prices, values and balances of IRT are in toman.

    Neither documents how long an order can be on its way: a minute is taken, after a call that lasts 15 seconds at most.
    """

    validity_ms = 60_000
    order_path: str
    balance_path: str
    lookup_paths: tuple[str, ...]

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._listing = asyncio.Lock()

    @property
    def _client(self) -> Any:
        return self._signer.mapping

    async def place(self, order: VenueOrder, permit: Permit) -> Outcome:
        """Send one order once. What the exchange does not document, and what is off the market's steps, is denied."""
        try:
            await self._list()
        except ExchangeError as error:
            return Denied(f"the markets of {self.name} are not known: {error}")
        params = {"clientOrderId": order.client_order_id}
        if order.stop_price is not None:
            params["triggerPrice"] = order.stop_price
        fault = self._fault(order)
        if fault:
            return Denied(fault)
        try:
            market = self._client.market(order.market.ccxt_symbol)
            request = self._client.order_request(
                market, _KINDS[order.type], order.side.lower(), order.quantity, order.price, params
            )
        except self._signer.ccxt_errors.BaseError as error:
            return Denied(str(error))
        fault = permit.spend()
        if fault:
            return Denied(fault)
        return await self._send(
            self.order_path, "POST", lambda: request, lambda value: self._accepted(self._placed(value, market, request))
        )

    async def place_oco(self, stop: VenueOrder, target: VenueOrder, permit: Permit) -> OcoOutcome:
        denied = Denied(f"{self.name} is not asked for pairs of orders")
        return OcoOutcome("", denied, denied)

    async def replace(self, old_client_order_id: str, new: VenueOrder, permit: Permit) -> ReplaceOutcome:
        denied = Denied(f"{self.name} cannot replace an order")
        return ReplaceOutcome(denied, denied)

    async def balances(self) -> dict[str, VenueBalance]:
        await self._list()

        def read(value: Any) -> dict[str, VenueBalance]:
            found = self._balances(value)
            return {code: VenueBalance(money(found["free"][code]), money(found["used"][code])) for code in found["total"]}

        return await self._ask(self.balance_path, {}, read, weight=1)

    @abstractmethod
    def _placed(self, value: Any, market: Any, request: Any) -> Any: ...

    @abstractmethod
    def _balances(self, value: Any) -> Any: ...

    def _cancel_refused(self, status: int, value: Any) -> CancelOutcome | None:
        is_missing = isinstance(value, dict) and self._says_missing(status, value)
        return NotOpen() if is_missing else self._refused(status, value)

    def _denies(self, value: Any) -> bool:
        return value is MISSING

    def _reading(self, answer: Answer, path: str) -> tuple[Any, ExchangeError | None]:
        value, reported = super()._reading(answer, path)
        is_lookup = any(path.startswith(each) for each in self.lookup_paths)
        if is_lookup and isinstance(value, dict) and self._says_missing(answer.status, value):
            return MISSING, None
        return value, reported

    @abstractmethod
    def _says_missing(self, status: int, value: Mapping[str, Any]) -> bool:
        """Return whether the exchange itself, and nothing that stands before it, says that there is no such order."""

    async def _list(self) -> None:
        """Read once what the exchange lists: its answers name markets and coins in words of its own."""
        async with self._listing:
            if not self._client.markets:
                await self._ask(
                    self._dialect.path(self._dialect.markets_endpoint),
                    {},
                    lambda value: self._client.set_markets(self._client.parse_markets(value)),
                    private=False,
                    weight=self._dialect.weights[self._dialect.markets_endpoint],
                )

    def _accepted(self, order: Any) -> Accepted:
        return Accepted(order["id"], self._status(order))

    def _status(self, order: Any) -> OrderStatus:
        status = _STATUSES[order["status"]]
        is_partial = status is OrderStatus.OPEN and Decimal(order["filled"]) > 0
        return OrderStatus.PARTIALLY_FILLED if is_partial else status

    def _market(self, symbol: str) -> Market | None:
        """Return the account's market of a ccxt symbol, None for one that is not its own."""
        return self._markets.get(self._dialect.pair_id(symbol))

    def _reports(self, orders: list[Any]) -> list[OrderReport]:
        return [self._report(order) for order in orders if self._market(order["symbol"]) is not None]

    def _report(self, order: Any) -> OrderReport:
        market = self._market(order["symbol"])
        if market is None:
            raise KeyError(order["symbol"])
        stop = _amount(order["triggerPrice"])
        if order["type"] == "market":
            type_ = OrderType.MARKET if stop is None else OrderType.STOP_MARKET
        else:
            type_ = OrderType.LIMIT if stop is None else OrderType.STOP_LIMIT
        return OrderReport(
            market=market,
            exchange_order_id=order["id"],
            client_order_id=order["clientOrderId"] or "",
            side=Side(order["side"].upper()),
            type=type_,
            quantity=money(order["amount"]),
            price=None if order["type"] == "market" else _amount(order["price"]),
            stop_price=stop,
            status=self._status(order),
            executed_quantity=money(order["filled"]),
            executed_sum=self._executed_sum(order),
            created_at=order["timestamp"],
        )

    @abstractmethod
    def _executed_sum(self, order: Any) -> Decimal | None: ...

    def _fills(self, trades: list[Any]) -> list[VenueFill]:
        """Return executions; neither exchange says who was the maker, and a taker pays more."""
        fills = []
        for trade in trades:
            market = self._market(trade["symbol"])
            if market is not None:
                fills.append(
                    VenueFill(
                        trade_id=trade["id"],
                        exchange_order_id=trade["order"],
                        market=market,
                        side=Side(trade["side"].upper()),
                        price=money(trade["price"]),
                        quantity=money(trade["amount"]),
                        fee=money(trade["fee"]["cost"]),
                        fee_currency=trade["fee"]["currency"],
                        is_maker=False,
                        traded_at=trade["timestamp"],
                    )
                )
        return fills


def _amount(value: str | None) -> Decimal | None:
    return None if value is None else money(value)
