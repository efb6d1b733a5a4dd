"""What becomes of an accepted order: it takes, rests, waits for its stop price, is filled in parts, and ends."""

from decimal import Decimal

from fks_assets.simulator.source import CandleSource
from fks_assets.simulator.trading.accounts import Account, Accounts
from fks_assets.simulator.trading.liquidity import Liquidity
from fks_assets.simulator.trading.matching import Event, is_taking, next_event, trail, trailing_level
from fks_assets.simulator.trading.money import ZERO, down, whole
from fks_assets.simulator.trading.orders import Fill, Order, Side, Status, TimeInForce
from fks_assets.simulator.trading.registry import Registry
from fks_assets.simulator.trading.settings import TradingSettings
from fks_assets.simulator.trading.settlement import Settlement, needed

_UNPAID = "Insufficient funds"


class Execution:
    """Fills the open orders of a registry; everything up to a moment in simulated time has happened."""

    def __init__(
        self, source: CandleSource, accounts: Accounts, liquidity: Liquidity, registry: Registry, matched_ms: int
    ) -> None:
        self.settings = TradingSettings()
        self._source = source
        self._accounts = accounts
        self._liquidity = liquidity
        self._registry = registry
        self._settlement = Settlement(accounts, self._price_in)
        self._known: dict[str, tuple[int, Event | None]] = {}
        self._matched_ms = matched_ms

    def accept(self, order: Order) -> None:
        """Put an order with the others."""
        self._registry.add(order)
        self.changed(order)

    def changed(self, order: Order) -> None:
        """Forget what would happen next in the order's market."""
        self._known.pop(order.symbol, None)

    def forget(self) -> None:
        """Forget what would happen next in every market."""
        self._known.clear()

    def lock_for(self, account: Account, order: Order, at_ms: int) -> tuple[str, Decimal]:
        """Return what an order needs locked: what it will pay at its limit or stop price, or at what it would take now."""
        if order.price is not None:
            return needed(account, order, order.price)
        if order.is_waiting:
            return needed(account, order, self._stop_price(order))
        if order.side is Side.SELL:
            return needed(account, order, ZERO)
        takes = self._liquidity.takes(order, at_ms, None, self.settings)
        quantity = sum((size for _, size in takes), ZERO)
        value = sum((price * size for price, size in takes), ZERO)
        asset, amount = needed(account, order, Decimal(1))
        return asset, value * (amount / order.remaining) if quantity else ZERO

    def match(self, until_ms: int) -> None:
        """Let happen, in order of time over all markets, what the price does to open orders until a time.

        A clock that was set back lets the time pass again.
        """
        if until_ms < self._matched_ms:
            self._matched_ms = until_ms
            self.forget()
        while True:
            found = []
            for symbol in self._registry.markets_with_open_orders():
                event = self._next_in(symbol, until_ms)
                if event is not None:
                    found.append((event.at_ms, symbol, event))
            if not found:
                break
            at_ms, symbol, event = min(found, key=lambda one: one[:2])
            # Another order may be reached in the same millisecond.
            self._move_to(at_ms - 1)
            self._happen(self._registry.orders[event.number], event)
        self._move_to(until_ms)

    def _next_in(self, symbol: str, until_ms: int) -> Event | None:
        searched, event = self._known.get(symbol, (-1, None))
        if event is None and searched < until_ms:
            instrument, orders = self._source.instruments[symbol], self._registry.open_in(symbol)
            event = next_event(self._source, instrument, orders, self._matched_ms, until_ms, self.settings.way)
            self._known[symbol] = until_ms, event
        return event if event is not None and event.at_ms <= until_ms else None

    def _move_to(self, at_ms: int) -> None:
        """Move the time up to which all has happened; trailing orders keep how far the price went."""
        for symbol in self._registry.markets_with_open_orders():
            for order in self._registry.open_in(symbol):
                if order.is_waiting and order.extreme is not None:
                    _, order.extreme = trail(self._source, order, self._matched_ms, at_ms, self.settings.way)
        self._matched_ms = max(self._matched_ms, at_ms)

    def begin(self, order: Order, at_ms: int) -> None:
        """Let an order that works take what it can at once."""
        self.changed(order)
        if not order.is_waiting:
            self._take(order, at_ms, None)

    def fill(self, order: Order, price: Decimal, quantity: Decimal, is_maker: bool, at_ms: int) -> Fill | None:
        """Book one fill; end the twin first, the order itself when it is full. None when the account cannot pay."""
        self._end_twin(order, at_ms)
        account = self._accounts.by_key[order.account]
        filled = self._settlement.fill(account, order, price, quantity, is_maker, at_ms, len(self._registry.fills) + 1)
        if filled is None:
            return None
        self._registry.fills.append(filled)
        self.changed(order)
        if order.status is Status.FILLED:
            self.end(order, Status.FILLED, "", at_ms)
        elif order.price is not None or order.side is Side.SELL:
            excess = order.lock - needed(account, order, order.price or ZERO)[1]
            if excess > 0:
                order.lock -= excess
                account.release(order.lock_asset, excess)
        return filled

    def end(self, order: Order, status: Status, reason: str, at_ms: int) -> None:
        """Close an order and give back what it locked."""
        account = self._accounts.by_key[order.account]
        account.release(order.lock_asset, order.lock)
        account.changed_ms = at_ms
        order.lock, order.status, order.reason, order.updated_ms = ZERO, status, reason, at_ms
        self._registry.close(order)
        self.changed(order)
        if order.list_number is not None:
            self._registry.lists[order.list_number].updated_ms = at_ms

    def _happen(self, order: Order, event: Event) -> None:
        """Let an event happen to an order: its stop price is reached, its limit is reached, or its next part is due."""
        self.changed(order)
        if order.is_waiting:
            self._end_twin(order, event.at_ms)
            order.working_ms = event.at_ms
            self._take(order, event.at_ms, event.ticks)
        elif is_taking(order):
            self._take(order, event.at_ms, None)
        else:
            assert order.price is not None
            quantity = self._portion(order, event.at_ms, whole(event.volume, order.instrument.size_decimals))
            if quantity > 0 and self.fill(order, order.price, quantity, True, event.at_ms) is None:
                self.end(order, Status.EXPIRED, _UNPAID, event.at_ms)
            elif self.settings.volume_share < 1.0:
                order.not_before_ms = max(order.not_before_ms, event.candle_end_ms)

    def _take(self, order: Order, at_ms: int, traded: int | None) -> None:
        """Fill what an order gets at once; what is left rests, waits for its next part, or expires."""
        takes = self._liquidity.takes(order, at_ms, traded, self.settings)
        found = sum((quantity for _, quantity in takes), ZERO)
        if order.request.time_in_force is TimeInForce.FOK and found < order.remaining:
            self.end(order, Status.EXPIRED, "Fill or kill", at_ms)
            return
        left = self._portion(order, at_ms, None) if takes else ZERO
        for price, quantity in takes:
            size = min(quantity, left)
            if size <= 0:
                break
            if self.fill(order, price, size, False, at_ms) is None:
                self.end(order, Status.EXPIRED, _UNPAID, at_ms)
                return
            left -= size
        if not order.status.is_open or order.not_before_ms > at_ms:
            return
        if is_taking(order) or order.request.time_in_force is TimeInForce.IOC:
            self.end(order, Status.EXPIRED, "Nothing to match", at_ms)

    def _portion(self, order: Order, at_ms: int, volume: Decimal | None) -> Decimal:
        """Return how much of an order may be filled now, and note when the next part may be."""
        settings, lot = self.settings, whole(1, order.instrument.size_decimals)
        quantity = order.remaining
        if settings.parts > 1 and order.request.time_in_force is TimeInForce.GTC:
            if order.part is None:
                order.part = max(down(order.quantity / settings.parts, order.instrument.size_decimals), lot)
            share = order.part if order.remaining >= 2 * order.part else order.remaining
            quantity = min(quantity, share)
            order.not_before_ms = at_ms + int(settings.part_seconds * 1000)
        if volume is not None and settings.volume_share < 1.0:
            shared = down(volume * Decimal(str(settings.volume_share)), order.instrument.size_decimals)
            quantity = min(quantity, max(shared, lot))
        return quantity

    def _end_twin(self, order: Order, at_ms: int) -> None:
        twin = self._registry.twin(order)
        if twin is None or not twin.status.is_open:
            return
        order.lock, twin.lock = order.lock + twin.lock, ZERO
        self.end(twin, Status.EXPIRED, "Other order of the list", at_ms)

    def _stop_price(self, order: Order) -> Decimal:
        if order.request.stop_price is not None:
            return order.request.stop_price
        return whole(trailing_level(order), order.instrument.price_decimals)

    def _price_in(self, asset: str, quote: str, at_ms: int) -> Decimal | None:
        instrument = self._source.instruments.get(f"{asset}-{quote}")
        ticks = None if instrument is None else self._liquidity.last(instrument, at_ms)
        return None if instrument is None or ticks is None else whole(ticks, instrument.price_decimals)
