"""Orders at Kraken's spot market, in the words of its REST API."""

import base64
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from fks_assets.clock import iso
from fks_assets.exchanges.orders.exchange_venue import ExchangeVenue
from fks_assets.exchanges.orders.signing import RECEIVE_WINDOW_MS
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
    ReplaceOutcome,
    TradeMark,
    Unknown,
    VenueBalance,
    VenueFill,
    VenueOrder,
)
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.markets import Market
from fks_assets.quant.money import money, money_text, total
from fks_assets.quant.orders import OrderStatus, OrderType, Side

PAGE = 50
TRADES_PER_QUERY = 20
# Ids of trades are in no order: they are asked for by time, from this long before the last pull, in case one was late.
OVERLAP_MS = 600_000
_TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP_MARKET: "stop-loss",
    OrderType.STOP_LIMIT: "stop-loss-limit",
    OrderType.TAKE_PROFIT: "take-profit",
}
_TYPES_READ = {**{name: type_ for type_, name in _TYPES.items()}, "take-profit-limit": OrderType.TAKE_PROFIT}
_STATUSES = {
    "pending": OrderStatus.OPEN,
    "open": OrderStatus.OPEN,
    "closed": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.EXPIRED,
}
# Its oldest coins and the state currencies carry a letter more in balances and in the names of pairs.
_PREFIXED = frozenset(
    {
        *("XXBT", "XETH", "XLTC", "XXRP", "XXLM", "XXMR", "XZEC", "XETC", "XMLN", "XREP", "XXDG"),
        *("ZUSD", "ZEUR", "ZGBP", "ZCAD", "ZJPY", "ZAUD"),
    }
)
Entry = TypeVar("Entry")


class KrakenVenue(ExchangeVenue):
    """An account at Kraken spot."""

    features = Features(oco=False, stop_market=True, stop_limit=True, take_profit=True, replace=False)
    validity_ms = RECEIVE_WINDOW_MS
    clock_middle_ms = 500
    growing_nonces = True
    query_method = "POST"

    def __init__(self, profile: ExchangeProfile, *arguments: Any, **options: Any) -> None:
        super().__init__(profile, *arguments, **options)
        prefixed = {code[1:]: code for code in _PREFIXED}
        codes = {market: [profile.api.pair_id(coin) for coin in (market.base, market.quote)] for market in self._markets.values()}
        internal = {"".join(prefixed.get(code, code) for code in pair): market for market, pair in codes.items()}
        self._names = internal | self._markets

    def own_id(self, client_order_id: str) -> str:
        """Return our id as the 32 hexadecimal digits that Kraken takes for a UUID: the first 128 of its 160 bits."""
        return base64.b32decode(client_order_id)[:16].hex()

    async def place(self, order: VenueOrder, permit: Permit) -> Outcome:
        fault = self._fault(order) or permit.spend()
        if fault:
            return Denied(fault)

        def read(value: Any) -> Outcome:
            (name,) = value["result"]["txid"]
            return Accepted(_id(name), OrderStatus.OPEN)

        return await self._send("AddOrder", "POST", lambda: self._order_params(order), read)

    async def place_oco(self, stop: VenueOrder, target: VenueOrder, permit: Permit) -> OcoOutcome:
        words = f"{self.name} has no order of two legs of which only one executes"
        return OcoOutcome("", Denied(words), Denied(words))

    async def replace(self, old_client_order_id: str, new: VenueOrder, permit: Permit) -> ReplaceOutcome:
        words = f"{self.name} amends orders but does not replace one by another"
        return ReplaceOutcome(Denied(words), Denied(words))

    async def cancel(self, market: Market, client_order_id: str, exchange_order_id: str | None) -> CancelOutcome:
        self._pair(market)
        named = {"cl_ord_id": self.own_id(client_order_id)} if exchange_order_id is None else {"txid": exchange_order_id}

        def read(value: Any) -> CancelOutcome:
            done = value["result"]["count"] >= 1 and not value["result"].get("pending", False)
            return Canceled() if done else Unknown(f"{self.name} did not say that the order was cancelled")

        def refused(status: int, value: Any) -> CancelOutcome | None:
            return NotOpen() if status < 500 and self._denies(value) else self._refused(status, value)

        return await self._send("CancelOrder", "POST", lambda: named, read, refused)

    async def order(
        self, market: Market, client_order_id: str, exchange_order_id: str | None = None, *, since_ms: int = 0
    ) -> OrderReport | None:
        if exchange_order_id is not None:
            found = await self._ask("QueryOrders", {"txid": exchange_order_id}, self._unless_denied("result"))
            return found[0] if found else None
        own = self.own_id(client_order_id)
        # First what is open, then what is closed: an order that closes in between is in one of the two.
        found = await self._ask("OpenOrders", {"cl_ord_id": own}, lambda value: self._reports(value["result"]["open"]))
        found = found or await self._closed(own, since_ms)
        return next((report for report in found if report.client_order_id == own), None)

    async def order_fills(self, market: Market, exchange_order_id: str) -> list[VenueFill]:
        def names(value: Any) -> list[str]:
            return [_id(name) for name in value["result"][exchange_order_id].get("trades") or ()]

        trades = await self._ask("QueryOrders", {"txid": exchange_order_id, "trades": "true"}, names)
        fills: list[VenueFill] = []
        for first in range(0, len(trades), TRADES_PER_QUERY):
            asked = ",".join(trades[first : first + TRADES_PER_QUERY])
            fills += await self._ask("QueryTrades", {"txid": asked}, lambda value: self._fills(value["result"]))
        return fills

    async def open_orders(self, markets: Sequence[Market]) -> list[OrderReport]:
        found = await self._ask("OpenOrders", {}, lambda value: self._reports(value["result"]["open"]))
        return [report for report in found if report.market in set(markets)]

    async def my_trades(
        self, markets: Sequence[Market], after: Mapping[Market, TradeMark], *, since_ms: int = 0
    ) -> list[VenueFill]:
        if not markets:
            return []
        start = min(since_ms if market not in after else after[market].pulled_at - OVERLAP_MS for market in markets)
        pages = await self._pages("TradesHistory", {"start": str(max(0, start) // 1000)}, "trades", self._fills)
        # A trade that came in while the pages were read moves the others on: each is kept once.
        fills = {fill.trade_id: fill for fill in pages if fill.market in set(markets)}
        return sorted(fills.values(), key=lambda fill: (fill.traded_at, fill.trade_id))

    async def balances(self) -> dict[str, VenueBalance]:
        def read(value: Any) -> dict[str, VenueBalance]:
            held: dict[str, VenueBalance] = {}
            for code, each in value["result"].items():
                # A suffix marks what is staked or earning and cannot be traded.
                if "." not in code:
                    locked = money(each.get("hold_trade", "0"))
                    held[self._currency(code)] = VenueBalance(total((money(each["balance"]), -locked)), locked)
            return held

        return await self._ask("BalanceEx", {}, read)

    async def _closed(self, own: str, since_ms: int) -> list[OrderReport]:
        start = str(max(0, since_ms - OVERLAP_MS) // 1000)
        return await self._pages("ClosedOrders", {"cl_ord_id": own, "start": start}, "closed", self._reports)

    async def _pages(
        self, path: str, params: Mapping[str, str], name: str, read: Callable[[Mapping[str, Any]], list[Entry]]
    ) -> list[Entry]:
        """Return the entries of all pages of a list, newest first."""
        entries: list[Entry] = []
        seen, count = 0, 1
        while seen < count:
            page, count = await self._ask(
                path, {**params, "ofs": str(seen)}, lambda value: (read(value["result"][name]), int(value["result"]["count"]))
            )
            entries += page
            seen += PAGE
        return entries

    def _unless_denied(self, name: str) -> Callable[[Any], list[OrderReport]]:
        return lambda value: [] if self._denies(value) else self._reports(value[name])

    def _denies(self, value: Any) -> bool:
        return isinstance(value, dict) and value.get("error") == ["EOrder:Unknown order"]

    def _order_params(self, order: VenueOrder) -> dict[str, str]:
        params = {
            "pair": self._pair(order.market),
            "type": order.side.lower(),
            "ordertype": _TYPES[order.type],
            "volume": money_text(order.quantity),
            "cl_ord_id": self.own_id(order.client_order_id),
            # Fees in the quote coin, so that what is bought can be sold to the last lot.
            "oflags": "fciq",
            # The engine refuses the order after this moment, however long it was on its way.
            "deadline": iso(self._clock.now_ms() + self.validity_ms) or "",
        }
        prices = [price for price in (order.stop_price, order.price) if price is not None]
        if order.type is OrderType.TAKE_PROFIT and len(prices) == 2:
            params["ordertype"] = "take-profit-limit"
        for name, price in zip(("price", "price2"), prices, strict=False):
            params[name] = money_text(price)
        return params

    def _reports(self, orders: Mapping[str, Any]) -> list[OrderReport]:
        return [
            self._report(name, order) for name, order in orders.items() if self._market_of(order["descr"]["pair"]) is not None
        ]

    def _report(self, name: str, order: Mapping[str, Any]) -> OrderReport:
        description = order["descr"]
        type_ = _TYPES_READ[description["ordertype"]]
        first, second = (money(description.get(each) or "0") or None for each in ("price", "price2"))
        waits = type_ in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT)
        executed = money(order["vol_exec"])
        status = _STATUSES[order["status"]]
        if status is OrderStatus.OPEN and executed:
            status = OrderStatus.PARTIALLY_FILLED
        return OrderReport(
            market=self._market(description["pair"]),
            exchange_order_id=_id(name),
            client_order_id=str(order.get("cl_ord_id") or ""),
            side=Side(description["type"].upper()),
            type=type_,
            quantity=money(order["vol"]),
            price=second if waits else first,
            stop_price=first if waits else None,
            status=status,
            executed_quantity=executed,
            executed_sum=money(order["cost"]),
            created_at=_ms(order["opentm"]),
        )

    def _fills(self, trades: Mapping[str, Any]) -> list[VenueFill]:
        return [
            VenueFill(
                trade_id=_id(name),
                exchange_order_id=_id(trade["ordertxid"]),
                market=self._market(trade["pair"]),
                side=Side(trade["type"].upper()),
                price=money(trade["price"]),
                quantity=money(trade["vol"]),
                fee=money(trade["fee"]),
                fee_currency=self._market(trade["pair"]).quote,
                is_maker=bool(trade.get("maker", False)),
                traded_at=_ms(trade["time"]),
            )
            for name, trade in trades.items()
            if self._market_of(trade["pair"]) is not None
        ]

    def _market(self, pair: str) -> Market:
        market = self._market_of(pair)
        if market is None:
            raise KeyError(pair)
        return market

    def _market_of(self, pair: str) -> Market | None:
        """Return the market of a pair's name, short (XBTUSD) or internal (XXBTZUSD); None for one that is not ours."""
        return self._names.get(pair)

    def _currency(self, code: str) -> str:
        plain = code[1:] if code in _PREFIXED else code
        return next((coin for coin, own in self._dialect.currency_codes.items() if own == plain), plain)


def _id(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"an id is {value!r}")
    return value


def _ms(seconds: Any) -> int:
    return int(money(seconds if isinstance(seconds, Decimal | int) else str(seconds)) * 1000)
