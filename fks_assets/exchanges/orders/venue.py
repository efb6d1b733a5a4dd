"""What every place that takes orders can do, and in what words it answers: the exchanges and the paper venue alike."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, Self

from fks_assets.quant.markets import Market
from fks_assets.quant.money import total
from fks_assets.quant.orders import OrderStatus, OrderType, Side

PERMIT_SECONDS = 5.0
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def running_seconds() -> float:
    """Return seconds that go on while this process, or the whole machine, is asleep."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class Features:
    """What a venue offers.

    oco: stop and target as one order. stop_market, stop_limit, take_profit: orders that wait for a trigger price. replace: a
    cancel and a new order in one call. certain: an order that it does not know was never taken, and never will be.
    """

    oco: bool
    stop_market: bool
    stop_limit: bool
    take_profit: bool
    replace: bool
    certain: bool = False

    def takes(self, type_: OrderType) -> bool:
        """Return whether orders of this type can be placed."""
        offered = {
            OrderType.STOP_MARKET: self.stop_market,
            OrderType.STOP_LIMIT: self.stop_limit,
            OrderType.TAKE_PROFIT: self.take_profit,
        }
        return offered.get(type_, True)


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as it goes out: quantity in the base coin, prices in the quote coin, all already on lot and tick."""

    market: Market
    client_order_id: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class VenueFill:
    """One execution, by the venue's own trade id. `fee` is in `fee_currency` and negative for a rebate; `traded_at` is UTC ms."""

    trade_id: str
    exchange_order_id: str
    market: Market
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    is_maker: bool
    traded_at: int


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What the venue says about one order. `client_order_id` is what the venue calls ours (`Venue.own_id`), "" without one.

    `executed_sum` is in the quote coin, None where the venue does not say.
    """

    market: Market
    exchange_order_id: str
    client_order_id: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    status: OrderStatus
    executed_quantity: Decimal
    executed_sum: Decimal | None
    created_at: int | None


@dataclass(frozen=True, slots=True)
class VenueBalance:
    """An amount of one currency: `free` can be traded, `locked` is held by open orders."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        return total((self.free, self.locked))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue has the order. `status` and `fills` are what its answer told; later ones are asked for."""

    exchange_order_id: str
    status: OrderStatus
    fills: tuple[VenueFill, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue proves by a code of its own that it did not do what was asked: there is no order, or the order stays."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Denied:
    """Nothing was sent."""

    words: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something was sent and nothing proves what became of it: ask, never send again."""

    words: str


@dataclass(frozen=True, slots=True)
class Canceled:
    """The venue has taken the order from its book; what had executed before stays executed."""


@dataclass(frozen=True, slots=True)
class NotOpen:
    """The venue says that no such order is open: it has executed, was cancelled before, or never came."""


Outcome = Accepted | Rejected | Denied | Unknown
CancelOutcome = Canceled | NotOpen | Rejected | Denied | Unknown


@dataclass(frozen=True, slots=True)
class OcoOutcome:
    """What became of the two orders of a pair, and the venue's id of the pair ("" where it has none)."""

    list_id: str
    stop: Outcome
    target: Outcome


@dataclass(frozen=True, slots=True)
class ReplaceOutcome:
    """What became of the old order and of the one in its place."""

    canceled: CancelOutcome
    placed: Outcome


@dataclass(frozen=True, slots=True)
class TradeMark:
    """How far the trades of a market have been pulled: the last one's id ("" if there was none), and when (UTC ms)."""

    trade_id: str
    pulled_at: int


@dataclass(slots=True)
class Permit:
    """Leave to send one order, soon: the clock was right and the limits had room. A process that was asleep has none left."""

    seconds: float = PERMIT_SECONDS
    given_at: float = field(default_factory=running_seconds)
    spent: bool = False

    def spend(self) -> str | None:
        """Use it up; return why nothing may be sent, None when it may."""
        age = running_seconds() - self.given_at
        if self.spent:
            return "the permit to send was used before"
        if age > self.seconds:
            return f"the permit to send is {age:.1f} s old, it holds for {self.seconds:g} s"
        self.spent = True
        return None


class Venue(Protocol):
    """A place that takes orders. Queries raise ExchangeError when they fail; a failed query never looks like an empty answer.

    `validity_ms`: an order that is on its way can be accepted no later than this after it was sent.
    """

    name: str
    features: Features
    validity_ms: int

    async def ready(self, *, urgent: bool = False) -> Permit:
        """Return leave to send one order, once the clock is right and the limits have room; raise NotSent or RateLimited."""

    def own_id(self, client_order_id: str) -> str:
        """Return what the venue calls our order of this id."""

    async def place(self, order: VenueOrder, permit: Permit) -> Outcome:
        """Send one order once."""

    async def place_oco(self, stop: VenueOrder, target: VenueOrder, permit: Permit) -> OcoOutcome:
        """Send stop and target as one order of which only one can execute, where `features.oco`."""

    async def replace(self, old_client_order_id: str, new: VenueOrder, permit: Permit) -> ReplaceOutcome:
        """Cancel an open order and place another one in its market in one call, where `features.replace`."""

    async def cancel(self, market: Market, client_order_id: str, exchange_order_id: str | None) -> CancelOutcome:
        """Cancel an order, within the share of the limits that is kept for this."""

    async def order(
        self, market: Market, client_order_id: str, exchange_order_id: str | None = None, *, since_ms: int = 0
    ) -> OrderReport | None:
        """Return an order, open or done, by the venue's id if that is given, else by ours; None when the venue has none."""

    async def order_fills(self, market: Market, exchange_order_id: str) -> list[VenueFill]:
        """Return all executions of an order."""

    async def open_orders(self, markets: Sequence[Market]) -> list[OrderReport]:
        """Return the open orders in these markets, whoever placed them."""

    async def my_trades(
        self, markets: Sequence[Market], after: Mapping[Market, TradeMark], *, since_ms: int = 0
    ) -> list[VenueFill]:
        """Return the account's executions in these markets after their marks, or since a time (UTC ms) where there is none.

        Those of a market are in their order; some before the mark may be among them.
        """

    async def balances(self) -> dict[str, VenueBalance]:
        """Return what the account holds, by currency; currencies without any may be missing."""

    async def prices(self, markets: Sequence[Market]) -> Mapping[Market, Decimal]:
        """Return the last price of each market; raise ExchangeError rather than leave one out or make one up."""

    async def close(self) -> None:
        """Close connections and forget keys; leaving `async with` does it too."""

    async def __aenter__(self) -> Self:
        """Open what the calls need."""

    async def __aexit__(self, *_: object) -> None:
        """Close."""
