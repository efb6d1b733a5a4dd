"""The book of paper accounts: which of their orders execute, at which price, and what that leaves them.

Market orders, and stops that trigger, are filled by `quant/backtest/pricing.market_price` and pay the taker's fee; resting limits
get their level and pay the maker's fee; which of stop and target comes first in a candle is `quant/stops.evaluate_candle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import nan

from fks_assets.errors import ExchangeUnavailable
from fks_assets.exchanges.orders.venue import OrderReport, Rejected, VenueBalance, VenueFill, VenueOrder
from fks_assets.quant.backtest.pricing import market_price
from fks_assets.quant.backtest.rules import Costs
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.money import ZERO, floor_to, from_analytics, money_text, total, value_of
from fks_assets.quant.orders import OrderStatus, OrderType, Side
from fks_assets.quant.stops import HELD, STOPPED, evaluate_candle

STOPS = frozenset({OrderType.STOP_MARKET, OrderType.STOP_LIMIT})
# What no market's price is outside of, in any quote coin.
LOWEST, HIGHEST = 1e-18, 1e18


@dataclass(frozen=True, slots=True)
class Quote:
    """The four prices of a moment or a candle, its volume in the base coin, and when it was (UTC ms)."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    at_ms: int

    @property
    def is_sound(self) -> bool:
        """Whether its prices are prices at all: 0, NaN and infinity are none."""
        return all(LOWEST <= price <= HIGHEST for price in (self.open, self.high, self.low, self.close))

    @classmethod
    def of_price(cls, price: float, at_ms: int, volume: float = 0.0) -> "Quote":
        """Return the quote of a single price: a candle whose four prices are equal."""
        return cls(price, price, price, price, volume, at_ms)


@dataclass(slots=True)
class Resting:
    """An order that waits, since `created_at` (UTC ms). Orders of one `list_id` are a pair of which only one executes."""

    order: VenueOrder
    created_at: int
    list_id: str = ""


@dataclass(slots=True)
class PaperState:
    """What a paper account holds in all, by currency, and its resting orders, oldest first."""

    balances: dict[str, Decimal]
    resting: list[Resting] = field(default_factory=list)


class PaperBook:
    """The orders of one paper account, and their fills since this book was made from its state."""

    def __init__(self, name: str, rules: Mapping[Market, MarketRules], costs: Costs, state: PaperState) -> None:
        self._name = name
        self._rules = rules
        self._costs = costs
        self._balances = dict(state.balances)
        self.resting: dict[str, Resting] = {}
        self.reports: dict[str, OrderReport] = {}
        self.fills: list[VenueFill] = []
        for each in state.resting:
            self.rest(each.order, each.created_at, each.list_id)

    def balances(self) -> dict[str, VenueBalance]:
        """Return what the account holds; a pair of orders locks its coins once."""
        locked: dict[str, Decimal] = {}
        pairs: set[str] = set()
        for each in self.resting.values():
            if not each.list_id or each.list_id not in pairs:
                pairs.add(each.list_id)
                currency, amount = self._cost(each.order, each.order.price or each.order.stop_price or ZERO)
                locked[currency] = total((locked.get(currency, ZERO), amount))
        held = {currency: (amount, locked.get(currency, ZERO)) for currency, amount in self._balances.items()}
        return {currency: VenueBalance(total((amount, -part)), part) for currency, (amount, part) in held.items()}

    def refused(self, order: VenueOrder, quote: Quote) -> Rejected | None:
        """Return why a strict exchange would not take the order at this price, None when it does."""
        rules = self._rules.get(order.market)
        if rules is None or rules.status is not MarketStatus.TRADING or rules.lot_size is None or rules.tick_size is None:
            return Rejected("MARKET", f"{order.market} does not trade")
        if order.client_order_id in self.reports:
            return Rejected("DUPLICATE", f"the order {order.client_order_id} is known")
        if order.quantity <= 0 or floor_to(order.quantity, rules.lot_size) != order.quantity:
            return Rejected("LOT", f"quantity {money_text(order.quantity)} is not on the lot {money_text(rules.lot_size)}")
        for price in (order.price, order.stop_price):
            if price is not None and (price <= 0 or floor_to(price, rules.tick_size) != price):
                return Rejected("TICK", f"price {money_text(price)} is not on the tick {money_text(rules.tick_size)}")
        if order.type in STOPS and _triggered(order, quote.close):
            return Rejected("TRIGGERED", f"the stop {money_text(order.stop_price or ZERO)} is beyond the price {quote.close!r}")
        currency, amount = self._cost(order, order.price or order.stop_price or self.slipped(order, quote.close, quote.volume))
        balance = self.balances().get(currency)
        free = ZERO if balance is None else balance.free
        if amount > free:
            return Rejected("BALANCE", f"{money_text(amount)} {currency} are needed, {money_text(free)} are free")
        return None

    def take(self, order: VenueOrder, quote: Quote, now_ms: int) -> VenueFill | None:
        """Take an order that is not refused: return its fill if it executes at once, else let it rest."""
        limit = order.price if order.type is OrderType.LIMIT else None
        if limit is not None:
            price = from_analytics(quote.close)
            waits = price > limit if order.side is Side.BUY else price < limit
        else:
            waits = order.type is not OrderType.MARKET
        if waits:
            self.rest(order, now_ms, "")
            return None
        price = self.slipped(order, quote.close, quote.volume)
        if limit is not None:
            price = min(price, limit) if order.side is Side.BUY else max(price, limit)
        return self._execute(order, price, now_ms, is_maker=False)

    def rest(self, order: VenueOrder, now_ms: int, list_id: str) -> None:
        """Let an order wait."""
        self.resting[order.client_order_id] = Resting(order, now_ms, list_id)
        self._report(order, OrderStatus.OPEN, now_ms)

    def drop(self, client_order_id: str, status: OrderStatus = OrderStatus.CANCELED) -> None:
        """Take a resting order, and the other one of its pair, from the book."""
        gone = self.resting.pop(client_order_id)
        self._report(gone.order, status, gone.created_at)
        for other in self._pair_of(gone):
            self.drop(other.order.client_order_id, status)

    def advance(self, market: Market, quote: Quote, *, began_ms: int | None = None) -> list[VenueFill]:
        """Let the resting orders of a market live through a candle, or a single price; return what executed, oldest order first.

        A pair's stop and target are judged together, as the backtest judges those of a position. Orders that came after the
        candle began (UTC ms) do not live through it: where the price was by then, nobody knows.
        """
        before = len(self.fills)
        for name in list(self.resting):
            each = self.resting.get(name)
            if each is not None and each.order.market == market and (began_ms is None or each.created_at <= began_ms):
                self._live_through(each, quote)
        return self.fills[before:]

    def would_execute(self, market: Market, quote: Quote) -> bool:
        """Return whether a resting order of a market would execute, or its stop trigger, at a single price or in a candle."""
        return any(self._event(each, quote)[0] is not None for each in self.resting.values() if each.order.market == market)

    def slipped(self, order: VenueOrder, price: float, volume: float) -> Decimal:
        """Return the price of a market order, as in the backtest. Raises ExchangeUnavailable for a price that is none."""
        if not price > 0.0:
            raise ExchangeUnavailable(f"the price of {order.market} is {price!r}: nothing is filled at it", exchange=self._name)
        tick, parts = (self._rules[order.market].tick_size or ZERO).as_integer_ratio()
        direction = 1 if order.side is Side.BUY else -1
        costs = self._costs
        part = costs.slippage + costs.spread / 2
        quantity = float(order.quantity)
        return from_analytics(
            market_price(price, direction, quantity, volume, part, costs.impact, costs.impact_limit, float(tick), float(parts))
        )

    def _event(self, each: Resting, quote: Quote) -> tuple[VenueOrder | None, float]:
        """Return which order of a pair, or alone, comes to execute in a candle, and at which price; None where none does."""
        both = [each, *self._pair_of(each)]
        stop = next((one.order for one in both if one.order.type in STOPS), None)
        target = next((one.order for one in both if one.order.type not in STOPS), None)
        stop_level = nan if stop is None else float(stop.stop_price or ZERO)
        target_level = nan if target is None else float(_target_level(target))
        event, price, _ = evaluate_candle(
            1 if each.order.side is Side.SELL else -1,
            *(quote.open, quote.high, quote.low, quote.close),
            *(stop_level, stop_level, target_level),
            False,
        )
        return (None if event == HELD else stop if event == STOPPED else target), price

    def _live_through(self, each: Resting, quote: Quote) -> None:
        order, price = self._event(each, quote)
        if order is None:
            return
        if order.type is OrderType.LIMIT:
            self._execute(order, order.price or ZERO, quote.at_ms, is_maker=True)
            return
        filled = self.slipped(order, price, quote.volume)
        if order.price is None or (filled >= order.price if order.side is Side.SELL else filled <= order.price):
            self._execute(order, filled, quote.at_ms, is_maker=False)
        else:
            # Triggered, and the price has gone past its limit: it waits there from now on.
            self.resting[order.client_order_id].order = replace(order, type=OrderType.LIMIT, stop_price=None)

    def _pair_of(self, each: Resting) -> list[Resting]:
        return [other for other in self.resting.values() if each.list_id and other.list_id == each.list_id and other is not each]

    def _cost(self, order: VenueOrder, price: Decimal) -> tuple[str, Decimal]:
        """Return the currency and the amount that an order takes out of the balance."""
        if order.side is Side.SELL:
            return order.market.base, order.quantity
        value = value_of(price, order.quantity)
        return order.market.quote, total((value, self._fee(order.market, value, is_maker=False)))

    def _fee(self, market: Market, value: Decimal, *, is_maker: bool) -> Decimal:
        rules = self._rules[market]
        stated = rules.maker_fee if is_maker else rules.taker_fee
        return value_of(self._costs.fee_rate(stated, rests=is_maker), value)

    def _execute(self, order: VenueOrder, price: Decimal, at_ms: int, *, is_maker: bool) -> VenueFill:
        market, quantity = order.market, order.quantity
        value = value_of(price, quantity)
        fee = self._fee(market, value, is_maker=is_maker)
        trade_id = f"{order.client_order_id}-1"
        fill = VenueFill(
            trade_id, paper_id(order), market, order.side, price, quantity, fee, market.quote, is_maker=is_maker, traded_at=at_ms
        )
        gained, paid = (quantity, -value) if order.side is Side.BUY else (-quantity, value)
        for currency, amounts in ((market.base, (gained,)), (market.quote, (paid, -fee))):
            self._balances[currency] = total((self._balances.get(currency, ZERO), *amounts))
        self.fills.append(fill)
        waiting = self.resting.pop(order.client_order_id, None)
        self._report(order, OrderStatus.FILLED, at_ms if waiting is None else waiting.created_at, value)
        for other in [] if waiting is None else self._pair_of(waiting):
            self.drop(other.order.client_order_id, OrderStatus.EXPIRED)
        return fill

    def _report(self, order: VenueOrder, status: OrderStatus, created_at: int, executed_sum: Decimal = ZERO) -> None:
        self.reports[order.client_order_id] = OrderReport(
            market=order.market,
            exchange_order_id=paper_id(order),
            client_order_id=order.client_order_id,
            side=order.side,
            type=order.type,
            quantity=order.quantity,
            price=order.price,
            stop_price=order.stop_price,
            status=status,
            executed_quantity=order.quantity if status is OrderStatus.FILLED else ZERO,
            executed_sum=executed_sum,
            created_at=created_at,
        )


def paper_id(order: VenueOrder) -> str:
    """Return what the book calls an order."""
    return f"P{order.client_order_id}"


def _target_level(order: VenueOrder) -> Decimal:
    return (order.stop_price if order.type is OrderType.TAKE_PROFIT else order.price) or ZERO


def _triggered(order: VenueOrder, price: float) -> bool:
    """Return whether the price is at or beyond the trigger of a stop already."""
    level = float(order.stop_price or ZERO)
    return price <= level if order.side is Side.SELL else price >= level
