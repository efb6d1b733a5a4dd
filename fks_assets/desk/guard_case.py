"""What is known of a deal when it is asked what it needs to be guarded, and what the answers are."""

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from fks_assets.desk.settling import CALL_MS
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.exchanges.orders.venue import Features
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.money import ZERO, ceil_to, floor_to, from_analytics, value_of
from fks_assets.quant.orders import Leg, OrderStatus, OrderType, Side
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.order_rows import Order
from fks_assets.stores.ledger.positions import Position
from fks_assets.stores.ledger.stops import Stop, StopState

GUARDS = (Leg.STOP, Leg.TARGET)
DOUBTFUL = frozenset({OrderStatus.INTENT, OrderStatus.SUBMITTING, OrderStatus.UNKNOWN})
# No gap is noted for longer: one that would last longer was noted before the clock went back.
LONGEST_GAP_MS = 15_000
# What the clocks of this machine and of an exchange may differ by, at most.
CLOCKS_MS = 1_000


class Do(Enum):
    """The next step. SETTLED, WAIT and END end a round."""

    SETTLED = "settled"
    WAIT = "wait"
    BEGIN = "begin"
    REOPEN = "reopen"
    WATCH = "watch"
    RAISE = "raise"
    GAP = "gap"
    REST = "rest"
    FALL_BACK = "fall_back"
    LOOK = "look"
    PROVE = "prove"
    CANCEL = "cancel"
    REPLACE = "replace"
    PLACE = "place"
    LEAVE = "leave"
    EXIT = "exit"
    DUST = "dust"
    END = "end"


class News(Enum):
    """What people have to know of a step."""

    STOPPED = "the stop has ended the position"
    REACHED = "the target has ended the position"
    UNGUARDED = "nothing guards the position"
    STUCK = "the position cannot be left"
    LATE = "something was executed after the end"
    OVERSOLD = "more was sold than was held"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do and why.

    `order` is the one to look at, cancel or replace, `level` a new stop, `paired` says that the target goes out with it.
    `pending`: a few seconds more may change what can be done.
    """

    do: Do
    words: str
    order: Order | None = None
    level: Decimal | None = None
    paired: bool = False
    until_ms: int | None = None
    news: News | None = None
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Tries:
    """What this round has tried in vain.

    `placed`: stops by level and whether the target went with them. `asked`: orders that were looked at, `proven`: those of which
    it could not be proven that they are nowhere, `kept`: those that could not be cancelled. `failed`: the newest refusal, in
    words; `unreachable`: the venue could not be asked at all.
    """

    placed: frozenset[tuple[Decimal, bool]] = frozenset()
    asked: frozenset[int] = frozenset()
    proven: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()
    failed: str | None = None
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """A deal with everything that is known of it at `now_ms`.

    `rules` is None where those of the market are not known. `epoch` is that of the process that asks, `validity_ms` the time for
    which the venue takes an order once it was sent. `gone` are orders of unknown outcome that are proven to be nowhere.
    """

    deal: Deal
    position: Position | None
    stop: Stop | None
    orders: tuple[Order, ...]
    rules: MarketRules | None
    features: Features
    quote: Quote | None
    now_ms: int
    epoch: int
    validity_ms: int
    gone: frozenset[int] = frozenset()
    tries: Tries = Tries()

    @property
    def direction(self) -> int:
        """1 for a long position, -1 for a short one."""
        return 1 if self.deal.side is Side.BUY else -1

    @property
    def held(self) -> Decimal:
        """What is held, in the base coin; below 0 when more was sold than bought."""
        return ZERO if self.position is None else self.position.quantity

    @property
    def sellable(self) -> Decimal:
        """What one order can leave of what is held, in whole lots."""
        if self.held <= 0 or self.rules is None or self.rules.lot_size is None:
            return ZERO
        most = self.rules.max_quantity
        return floor_to(self.held if most is None else min(self.held, most), self.rules.lot_size)

    @property
    def can_trade(self) -> bool:
        """Whether the market takes orders."""
        rules = self.rules
        return rules is not None and rules.status is MarketStatus.TRADING and None not in (rules.tick_size, rules.lot_size)

    @property
    def seen(self) -> Quote | None:
        """The quote, None when there is none or its prices are no prices: 0, NaN and infinity trigger nothing."""
        quote = self.quote
        return quote if quote is not None and quote.is_sound else None

    @property
    def price_now(self) -> Decimal | None:
        """The market's price now, None when it is not known."""
        return None if self.seen is None else from_analytics(self.seen.close)

    @property
    def price(self) -> Decimal | None:
        """The market's price now, else the last one that was noted."""
        if self.price_now is not None or self.position is None:
            return self.price_now
        return self.position.mark_price or self.position.entry_price

    @property
    def is_dust(self) -> bool:
        """Whether something is held that the market takes no order for; without a price the value is not judged."""
        if self.held <= 0 or self.rules is None or not self.can_trade:
            return False
        if self.sellable < max(self.rules.min_quantity or ZERO, self.rules.lot_size or ZERO):
            return True
        price, least = self.price_now, self.rules.min_notional
        return price is not None and least is not None and value_of(price, self.sellable) < least

    @property
    def level(self) -> Decimal | None:
        """The stop's level as the venue can have it."""
        return None if self.stop is None or self.stop.level is None else self.on_tick(self.stop.level)

    @property
    def stop_type(self) -> OrderType | None:
        """How a stop can rest at the venue; None: the desk itself has to watch the price."""
        if self.features.stop_market:
            return OrderType.STOP_MARKET
        return OrderType.STOP_LIMIT if self.features.stop_limit else None

    @property
    def pairs(self) -> bool:
        """Whether stop and target go out as one pair."""
        return self.features.oco and self.stop is not None and self.stop.target is not None

    @property
    def is_exiting(self) -> bool:
        return self.stop is not None and self.stop.state is StopState.EXITING

    @property
    def is_overdue(self) -> bool:
        """Whether the time is over within which the stop should have rested; it is when the clock has gone back since."""
        deadline = None if self.stop is None else self.stop.gap_deadline
        return deadline is not None and not 0 <= deadline - self.now_ms <= LONGEST_GAP_MS

    def is_since(self, at_ms: int, span_ms: int) -> bool:
        """Whether something was so long ago at most; what has not come yet, because the clock went back, was not."""
        return 0 <= self.now_ms - at_ms < span_ms

    def on_tick(self, level: Decimal) -> Decimal:
        """Return the level of a stop on the market's tick, the nearer one."""
        tick = None if self.rules is None else self.rules.tick_size
        return level if tick is None else (ceil_to if self.direction > 0 else floor_to)(level, tick)

    def is_beyond(self, level: Decimal) -> bool:
        """Whether the price now is at a stop's level or has passed it."""
        return self.price_now is not None and self.direction * (self.price_now - level) <= 0

    def active(self, *legs: Leg) -> list[Order]:
        """Return the orders of these legs that may still execute, the oldest first."""
        return [order for order in self.orders if order.active and order.leg in legs and order.id not in self.gone]

    def generation(self, leg: Leg) -> int:
        """Return the number of the next try of a leg."""
        return max((order.generation + 1 for order in self.orders if order.leg is leg), default=0)

    def arrived_by(self, order: Order) -> int:
        """Return when (UTC ms) an order of unknown outcome has been taken if it ever is.

        A call of this process was over when its outcome was written down; one of a process that ended, when its deadline was.
        """
        over = order.updated_at if order.epoch == self.epoch else (order.submitted_at or order.created_at) + CALL_MS
        return over + self.validity_ms + CLOCKS_MS
