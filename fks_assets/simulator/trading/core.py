"""The matching core: accounts, orders and fills of one simulated exchange, in its own time and used by every dialect.

Nothing runs by itself: every call first lets happen what the price did since the call before (`advance`), in order of time.
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

from fks_assets.errors import InvalidInput
from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.source import CandleSource
from fks_assets.simulator.trading.accounts import Account, Accounts
from fks_assets.simulator.trading.execution import Execution
from fks_assets.simulator.trading.judging import Judge
from fks_assets.simulator.trading.liquidity import Liquidity
from fks_assets.simulator.trading.money import ZERO, exactly, steps
from fks_assets.simulator.trading.orders import Fill, NewOrder, Order, OrderList, OrderType, Reason, Refused, Status
from fks_assets.simulator.trading.registry import Registry
from fks_assets.simulator.trading.rules import check_filters, check_form, check_trigger
from fks_assets.simulator.trading.settings import TradingSettings

FOREVER_MS = 2**62
_TIED = (OrderType.MARKET, OrderType.LIMIT)


class TradingCore:
    """Accounts and orders; a refusal raises Refused. What one call does happens at one moment, `_at_ms`."""

    def __init__(self, source: CandleSource, clock: SimulatedClock) -> None:
        self.source = source
        self.accounts = Accounts()
        self.settings = TradingSettings()
        self.liquidity = Liquidity(source)
        self.registry = Registry(source.instruments, lambda: self.now_ms)
        self.halted: dict[str, int] = {}
        self._clock = clock
        self._at_ms = clock.now_ms()
        self._late_ms: int | None = None
        self._later: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._judge = Judge(self.registry, self.liquidity)
        self._execution = Execution(source, self.accounts, self.liquidity, self.registry, self._at_ms)

    @property
    def now_ms(self) -> int:
        """Return the simulated time; for a request that arrives late, the time of its arrival."""
        return self._clock.now_ms() if self._late_ms is None else self._late_ms

    @property
    def told_ms(self) -> int:
        """Return the time that the exchange believes it is: `now_ms` and the clock's skew."""
        return self.now_ms + self._clock.skew_ms

    def is_trading(self, instrument: Instrument) -> bool:
        """Tell whether the market is open now: listed, and neither delisted by its source nor halted by hand."""
        return instrument.is_trading(self.now_ms) and self.now_ms < self.halted.get(instrument.symbol, FOREVER_MS)

    @exactly
    def configure(self, settings: TradingSettings) -> None:
        """Fill orders by other settings from now on."""
        self.advance()
        self.settings = self._execution.settings = settings
        self._execution.forget()

    @exactly
    def advance(self) -> None:
        """Let everything happen that is due by now: late requests, stops, limits, parts of orders."""
        if self._late_ms is not None:
            return
        now = self._clock.now_ms()
        while self._later and self._later[0][0] <= now:
            due, _, run = heapq.heappop(self._later)
            self._execution.match(due)
            self._late_ms = self._at_ms = due
            try:
                run()
            finally:
                self._late_ms = None
        self._execution.match(now)
        self._at_ms = now

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Let all that is done within happen at the same time, as the parts of one request do."""
        self.advance()
        before = self._late_ms
        self._late_ms = self._at_ms
        try:
            yield
        finally:
            self._late_ms = before

    def run_later(self, due_ms: int, run: Callable[[], None]) -> None:
        """Have something done at a later simulated time, as if a request arrived then."""
        self._sequence += 1
        heapq.heappush(self._later, (due_ms, self._sequence, run))

    @exactly
    def check_rules(self, request: NewOrder) -> None:
        """Raise Refused if the order would be refused for its form or the rules of the market, whatever the account holds."""
        self.advance()
        check_form(request)
        check_filters(request, self._judge.last(request.instrument, self._at_ms))

    @exactly
    def check(self, account: Account, request: NewOrder) -> None:
        """Raise Refused if the order would be refused; take nothing."""
        self.advance()
        order = self._new(account, request, "")
        self._judge.check(account, [order], self._at_ms, self.settings)
        asset, amount = self._execution.lock_for(account, order, self._at_ms)
        if amount > account.free[asset]:
            raise Refused(Reason.INSUFFICIENT)

    @exactly
    def place(self, account: Account, request: NewOrder, *, origin: str = "api") -> Order:
        """Take an order, match it at once as far as it goes, and return it; a client id is made if it has none."""
        self.advance()
        order = self._new(account, request, origin)
        self._judge.check(account, [order], self._at_ms, self.settings)
        return self._take(account, order)

    @exactly
    def replace(self, account: Account, order: Order, request: NewOrder, *, origin: str = "api") -> Order:
        """Cancel an open order and place another one in its stead; raise Refused and leave it as it was if that is refused."""
        self.advance()
        if not order.status.is_open or order.list_number is not None:
            raise Refused(Reason.CLOSED)
        made = self._new(account, request, origin)
        self._judge.check(account, [made], self._at_ms, self.settings, instead_of=order)
        asset, amount = self._execution.lock_for(account, made, self._at_ms)
        if amount > account.free[asset] + (order.lock if asset == order.lock_asset else ZERO):
            raise Refused(Reason.INSUFFICIENT)
        self._execution.end(order, Status.CANCELED, "Replaced", self._at_ms)
        return self._take(account, made)

    @exactly
    def place_list(
        self, account: Account, above: NewOrder, below: NewOrder, *, client_id: str = "", origin: str = "api"
    ) -> OrderList:
        """Take two orders of one side, one above the market and one below; the first to be reached ends the other.

        What they need is locked once.
        """
        self.advance()
        if above.side is not below.side or above.quantity != below.quantity or above.instrument != below.instrument:
            raise Refused(Reason.MALFORMED, "side")
        if above.type in _TIED or below.type in _TIED:
            raise Refused(Reason.MALFORMED, "type")
        orders = [self._new(account, below, origin), self._new(account, above, origin, later=1)]
        if orders[0].client_id == orders[1].client_id:
            raise Refused(Reason.DUPLICATE)
        self._judge.check(account, orders, self._at_ms, self.settings)
        low, high = (one.stop_price if one.stop_price is not None else one.price for one in (below, above))
        if low is None or high is None or not low < self._judge.last(above.instrument, self._at_ms) < high:
            raise Refused(Reason.OCO_PRICES)
        locks = [self._execution.lock_for(account, order, self._at_ms) for order in orders]
        asset, amount = max(locks, key=lambda lock: lock[1])
        if not account.hold(asset, amount):
            raise Refused(Reason.INSUFFICIENT)
        number, now = len(self.registry.lists) + 1, self._at_ms
        numbers = orders[0].number, orders[1].number
        both = OrderList(number, account.key, client_id or f"list{number}", orders[0].symbol, *numbers, now, now)
        self.registry.lists[number] = both
        for order in orders:
            order.list_number, order.lock_asset = number, asset
            self._execution.accept(order)
        orders[0].lock = amount
        return both

    @exactly
    def cancel(self, account: Account, order: Order, *, reason: str = "User requested") -> Order:
        """Cancel an open order, and its twin if it has one; raise Refused when it is not open."""
        self.advance()
        if not order.status.is_open:
            raise Refused(Reason.CLOSED)
        for one in (order, self.registry.twin(order)):
            if one is not None and one.status.is_open:
                self._execution.end(one, Status.CANCELED, reason, self._at_ms)
        return order

    @exactly
    def amend(
        self,
        account: Account,
        order: Order,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
    ) -> Order:
        """Change an open order that keeps its number; raise Refused and leave it as it was if the changed one is refused."""
        self.advance()
        if not order.status.is_open:
            raise Refused(Reason.CLOSED)
        if order.list_number is not None or (stop_price is not None and not order.is_waiting):
            raise Refused(Reason.MALFORMED, "order")
        request = replace(
            order.request,
            quantity=quantity or order.quantity,
            quote_quantity=None,
            price=price or order.price,
            stop_price=stop_price or order.request.stop_price,
        )
        check_form(request)
        check_filters(request, self._judge.last(order.instrument, self._at_ms))
        changed = replace(order, request=request, quantity=request.quantity, price=request.price)
        if changed.remaining <= 0:
            raise Refused(Reason.QUANTITY_STEP, "quantity")
        if stop_price is not None:
            check_trigger(request, self._judge.last(order.instrument, self._at_ms))
        if order.type is OrderType.LIMIT_MAKER and self._judge.would_take(changed, self._at_ms, self.settings):
            raise Refused(Reason.WOULD_TAKE)
        asset, amount = self._execution.lock_for(account, changed, self._at_ms)
        if amount > order.lock + account.free[asset]:
            raise Refused(Reason.INSUFFICIENT)
        account.release(asset, order.lock)
        account.hold(asset, amount)
        order.request, order.quantity, order.price, order.lock = request, changed.quantity, request.price, amount
        order.updated_ms = self._at_ms
        self._execution.begin(order, self._at_ms)
        return order

    def find(
        self, account: Account, symbol: str | None = None, *, number: int | None = None, client_id: str | None = None
    ) -> Order:
        """Return a visible order by number or (the newest) by client id; raise Refused for an unknown one."""
        self.advance()
        return self.registry.find(account, symbol, number=number, client_id=client_id)

    def open_orders(self, account: Account, symbol: str | None = None) -> list[Order]:
        """Return the visible open orders, oldest first."""
        self.advance()
        return [order for order in self.registry.open_of(account.key, symbol) if self.registry.is_seen(order)]

    def all_orders(self, account: Account, symbol: str | None = None) -> list[Order]:
        """Return all visible orders ever taken, oldest first."""
        self.advance()
        return self.registry.all_of(account, symbol)

    def fills_of(self, account: Account, symbol: str | None = None) -> list[Fill]:
        """Return the account's fills, oldest first."""
        self.advance()
        return self.registry.fills_of(account, symbol)

    @exactly
    def fill_by_hand(self, order: Order, price: Decimal, quantity: Decimal) -> Fill:
        """Fill an open order at a price, whatever the market does; raise InvalidInput if it is not open or cannot pay."""
        self.advance()
        if not order.status.is_open or not 0 < quantity <= order.remaining or price <= 0:
            left = f"{order.status}, {order.remaining} left"
            raise InvalidInput(f"order {order.number} ({left}) cannot be filled with {quantity} at {price}")
        filled = self._execution.fill(order, price, quantity, True, self._at_ms)
        if filled is None:
            raise InvalidInput(f"account {order.account!r} cannot pay for {quantity} at {price}")
        return filled

    @exactly
    def halt(self, instrument: Instrument) -> None:
        """Close a market: its open orders expire and it takes no more."""
        self.advance()
        self.halted.setdefault(instrument.symbol, self._at_ms)
        for order in self.registry.open_in(instrument.symbol):
            self._execution.end(order, Status.EXPIRED, "Market closed", self._at_ms)

    def resume(self, instrument: Instrument) -> None:
        """Open a halted market again."""
        self.halted.pop(instrument.symbol, None)

    def _new(self, account: Account, request: NewOrder, origin: str, later: int = 0) -> Order:
        check_form(request)
        if not self.is_trading(request.instrument):
            raise Refused(Reason.MARKET_CLOSED)
        number, now = self.registry.newest_number + 1 + later, self._at_ms
        order = Order(
            number=number,
            account=account.key,
            request=request,
            client_id=request.client_id or f"sim{number:019d}",
            quantity=ZERO if request.quantity is None else request.quantity,
            placed_ms=now,
            updated_ms=now,
            working_ms=None if request.type.is_conditional else now,
            origin=origin,
            price=request.price,
        )
        if request.trailing is not None:
            order.extreme = steps(self._judge.last(request.instrument, self._at_ms), request.instrument.price_decimals)
        if request.quantity is None:
            taken = self.liquidity.takes(order, now, None, self.settings)
            order.quantity = sum((quantity for _, quantity in taken), ZERO)
        return order

    def _take(self, account: Account, order: Order) -> Order:
        asset, amount = self._execution.lock_for(account, order, self._at_ms)
        if not account.hold(asset, amount):
            raise Refused(Reason.INSUFFICIENT)
        order.lock_asset, order.lock = asset, amount
        self._execution.accept(order)
        self._execution.begin(order, self._at_ms)
        return order
