"""The words of orders and deals, which changes of an order's status are legal, and the id that we give an order."""

import base64
import hashlib
from enum import StrEnum


class Side(StrEnum):
    """BUY or SELL."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order executes. A TAKE_PROFIT waits for its stop price, then executes at the market or at its price."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_MARKET = "STOP_MARKET"
    STOP_LIMIT = "STOP_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"


class Leg(StrEnum):
    """What an order is to its deal. ENTRY adds risk; STOP, TARGET and EXIT take it away; EXTERNAL is not ours."""

    ENTRY = "entry"
    STOP = "stop"
    TARGET = "target"
    EXIT = "exit"
    EXTERNAL = "external"


class OrderStatus(StrEnum):
    """Where an order stands.

    INTENT: written, not sent. SUBMITTING: about to be sent, perhaps sent. UNKNOWN: sent, the answer was lost. OPEN and
    PARTIALLY_FILLED: at the exchange. DENIED: never sent, by us. REJECTED: refused by the exchange. ABSENT: proven never to have
    reached it.
    """

    INTENT = "INTENT"
    SUBMITTING = "SUBMITTING"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    DENIED = "DENIED"
    ABSENT = "ABSENT"

    @property
    def is_active(self) -> bool:
        """Whether the order may still execute."""
        return self in ACTIVE


class DealStatus(StrEnum):
    """STARTED: decided, no order yet. RUNNING: ordered. UPDATED: stop or target was changed. STOPPED: over.
    NOT_ORDERING: the desk sends no orders for it, because it was refused, or because a person executes it (alert mode)."""

    STARTED = "STARTED"
    RUNNING = "RUNNING"
    UPDATED = "UPDATED"
    STOPPED = "STOPPED"
    NOT_ORDERING = "NOT_ORDERING"


class ProcessedSide(StrEnum):
    """Which sides of a deal have been executed."""

    BUY = "BUY"
    SELL = "SELL"
    BUY_AND_SELL = "BUY_AND_SELL"
    NONE = "NONE"


class PositionSide(StrEnum):
    """LONG gains when the price rises, SHORT when it falls."""

    LONG = "LONG"
    SHORT = "SHORT"


class Mode(StrEnum):
    """ALERT: a person executes. PAPER: against live prices, without an exchange account. LIVE: real orders."""

    ALERT = "alert"
    PAPER = "paper"
    LIVE = "live"


ACTIVE = frozenset(
    {OrderStatus.INTENT, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}
)
RISK_ADDING = frozenset({Leg.ENTRY})
# What may follow on word of the exchange, or of ours. Fills decide PARTIALLY_FILLED and FILLED alone.
TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.INTENT: frozenset({OrderStatus.SUBMITTING, OrderStatus.DENIED}),
    OrderStatus.SUBMITTING: frozenset(
        {
            OrderStatus.UNKNOWN,
            OrderStatus.OPEN,
            OrderStatus.CANCELED,
            OrderStatus.REJECTED,
            OrderStatus.EXPIRED,
            OrderStatus.DENIED,
        }
    ),
    OrderStatus.UNKNOWN: frozenset(
        {OrderStatus.OPEN, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED, OrderStatus.ABSENT}
    ),
    OrderStatus.OPEN: frozenset({OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}),
    OrderStatus.PARTIALLY_FILLED: frozenset({OrderStatus.CANCELED, OrderStatus.EXPIRED}),
}
# A fill is a fact, even after a cancel, an expiry or a proof of absence that was none; only what was never sent cannot fill.
_PARTLY = frozenset({OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED})
FILL_TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.SUBMITTING: _PARTLY,
    OrderStatus.UNKNOWN: _PARTLY,
    OrderStatus.OPEN: _PARTLY,
    OrderStatus.PARTIALLY_FILLED: _PARTLY,
    OrderStatus.CANCELED: frozenset({OrderStatus.CANCELED, OrderStatus.FILLED}),
    OrderStatus.EXPIRED: frozenset({OrderStatus.EXPIRED, OrderStatus.FILLED}),
    OrderStatus.REJECTED: _PARTLY,
    OrderStatus.ABSENT: _PARTLY,
}


def client_order_id(account: str, strategy: str, market: str, bar_ms: int, leg: Leg | str, generation: int) -> str:
    """Return the 32 capital letters and digits that name an order: the same parts, the same id, on every machine.

    `bar_ms` is the open time of the signal's candle (UTC ms); `generation` counts the tries of one leg from 0.
    """
    return _name(account, strategy, market, str(int(bar_ms)), str(Leg(leg)), str(int(generation)))


def client_deal_id(account: str, strategy: str, market: str, timeframe: str, signal_ms: int) -> str:
    """Return the 32 capital letters and digits that name a deal: one for each account, strategy, market and signal."""
    return _name("deal", account, strategy, market, timeframe, str(int(signal_ms)))


def _name(*parts: str) -> str:
    return base64.b32encode(hashlib.sha256("\x1f".join(parts).encode()).digest()).decode("ascii")[:32]
