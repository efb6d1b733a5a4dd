"""Orders, lists of orders and fills of the simulated exchange, and why it refuses one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from fks_assets.errors import TradingError
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.trading.money import ZERO, text


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def is_conditional(self) -> bool:
        """Tell whether the order waits for a price before it works."""
        return self.startswith(("STOP", "TAKE"))

    @property
    def has_limit(self) -> bool:
        """Tell whether the order has a limit price."""
        return "LIMIT" in self


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Status(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"

    @property
    def is_open(self) -> bool:
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class Reason(StrEnum):
    """Why an order or a cancel is refused; each dialect has its own code and words for it."""

    INSUFFICIENT = "insufficient balance"
    DUPLICATE = "client id is that of an open order of the account"
    UNKNOWN = "no such order"
    CLOSED = "order is not open any more"
    MARKET_CLOSED = "market is closed"
    MALFORMED = "parameters do not fit the order type"
    PRICE_STEP = "price is off the tick"
    QUANTITY_STEP = "quantity is off the lot, too small or too large"
    NOTIONAL = "value is too small or too large"
    PERCENT_PRICE = "price is too far from the last one"
    MAX_ORDERS = "too many open orders"
    MAX_ALGO_ORDERS = "too many open orders that wait for a price"
    WOULD_TAKE = "maker order would match at once"
    WOULD_TRIGGER = "stop price would trigger at once"
    OCO_PRICES = "prices of the list do not stand on both sides of the market"


class Refused(TradingError):
    """The core refuses; `reason` says why, `detail` names the parameter at fault where there is one."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}{f': {detail}' if detail else ''}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a client asks for. MARKET takes `quantity` or (BUY or SELL for) `quote_quantity`; `trailing` is a fraction.

    `fee_currency` overrides the account's fee rule (`base`, `quote`); `triggers_at_once` lets a stop that the price has passed
    already fire instead of being refused; `extra` is kept for the dialect.
    """

    instrument: Instrument
    side: Side
    type: OrderType
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    quote_quantity: Decimal | None = None
    trailing: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    client_id: str = ""
    fee_currency: str = ""
    triggers_at_once: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order; `number` is unique over all markets, `fee` is in `fee_currency`."""

    number: int
    order: int
    account: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    is_maker: bool
    at_ms: int

    def as_json(self) -> dict[str, Any]:
        """Return the fill as JSON values, amounts as texts."""
        return {
            "number": self.number,
            "order": self.order,
            "account": self.account,
            "symbol": self.symbol,
            "side": self.side.value,
            "price": text(self.price, 0),
            "quantity": text(self.quantity, 0),
            "fee": text(self.fee, 0),
            "fee_currency": self.fee_currency,
            "is_maker": self.is_maker,
            "at_ms": self.at_ms,
        }


@dataclass(slots=True)
class Order:
    """An accepted order. `lock` of `lock_asset` is held for it; `working_ms` is None while it waits for its stop price."""

    number: int
    account: str
    request: NewOrder
    client_id: str
    quantity: Decimal
    placed_ms: int
    updated_ms: int
    working_ms: int | None
    origin: str = "api"
    list_number: int | None = None
    status: Status = Status.NEW
    executed: Decimal = ZERO
    executed_sum: Decimal = ZERO
    lock: Decimal = ZERO
    lock_asset: str = ""
    reason: str = ""
    fills: list[Fill] = field(default_factory=list)
    price: Decimal | None = None
    extreme: int | None = None
    part: Decimal | None = None
    not_before_ms: int = 0
    hidden_until_ms: int = 0

    @property
    def instrument(self) -> Instrument:
        return self.request.instrument

    @property
    def symbol(self) -> str:
        return self.request.instrument.symbol

    @property
    def side(self) -> Side:
        return self.request.side

    @property
    def type(self) -> OrderType:
        return self.request.type

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.executed

    @property
    def since_ms(self) -> int:
        """Return when the order began to wait for the price that it waits for now."""
        return self.placed_ms if self.working_ms is None else self.working_ms

    @property
    def is_waiting(self) -> bool:
        """Tell whether the order waits for its stop price."""
        return self.working_ms is None

    def as_json(self) -> dict[str, Any]:
        """Return the order as JSON values, amounts as texts."""

        def shown(value: Decimal | None) -> str | None:
            return None if value is None else text(value, 0)

        return {
            "number": self.number,
            "account": self.account,
            "client_id": self.client_id,
            "symbol": self.symbol,
            "side": self.side.value,
            "type": self.type.value,
            "time_in_force": self.request.time_in_force.value,
            "status": self.status.value,
            "quantity": text(self.quantity, 0),
            "price": shown(self.price),
            "stop_price": shown(self.request.stop_price),
            "executed": text(self.executed, 0),
            "executed_sum": text(self.executed_sum, 0),
            "placed_ms": self.placed_ms,
            "updated_ms": self.updated_ms,
            "working_ms": self.working_ms,
            "list_number": self.list_number,
            "origin": self.origin,
            "reason": self.reason,
        }


@dataclass(slots=True)
class OrderList:
    """Two orders of which one ends the other; `first` stands below the market, `second` above."""

    number: int
    account: str
    client_id: str
    symbol: str
    first: int
    second: int
    placed_ms: int
    updated_ms: int
