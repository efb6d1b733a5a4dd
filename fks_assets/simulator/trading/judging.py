"""Whether an account may place orders now: the rules of the market, its price, and what is open already."""

from collections.abc import Sequence
from decimal import Decimal

from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.liquidity import Liquidity
from fks_assets.simulator.trading.money import whole
from fks_assets.simulator.trading.orders import Order, OrderType, Reason, Refused, Side
from fks_assets.simulator.trading.registry import Registry
from fks_assets.simulator.trading.rules import check_filters, check_room, check_trigger
from fks_assets.simulator.trading.settings import TradingSettings


class Judge:
    """Judges orders whose form is right; balances are not its matter."""

    def __init__(self, registry: Registry, liquidity: Liquidity) -> None:
        self._registry = registry
        self._liquidity = liquidity

    def check(
        self,
        account: Account,
        orders: Sequence[Order],
        at_ms: int,
        settings: TradingSettings,
        instead_of: Order | None = None,
    ) -> None:
        """Raise Refused for the first rule that one of the orders, all of one market, breaks; `instead_of` would be gone."""
        last = self.last(orders[0].instrument, at_ms)
        others = [order for order in self._registry.open_of(account.key) if order is not instead_of]
        taken_ids = {order.client_id for order in others}
        for order in orders:
            request = order.request
            check_filters(request, last)
            if request.quantity is None and order.quantity == 0:
                raise Refused(Reason.QUANTITY_STEP, "LOT_SIZE")
            check_trigger(request, last)
            if request.type is OrderType.LIMIT_MAKER and self.would_take(order, at_ms, settings):
                raise Refused(Reason.WOULD_TAKE)
            if order.client_id in taken_ids:
                raise Refused(Reason.DUPLICATE)
        in_market = [order for order in others if order.symbol == orders[0].symbol]
        check_room([order.request for order in orders], in_market, settings)

    def would_take(self, order: Order, at_ms: int, settings: TradingSettings) -> bool:
        """Tell whether an order's limit reaches what is on the other side."""
        best = self._liquidity.best(order.instrument, at_ms, order.side, settings)
        if best is None or order.price is None:
            return False
        price = whole(best, order.instrument.price_decimals)
        return order.price >= price if order.side is Side.BUY else order.price <= price

    def last(self, instrument: Instrument, at_ms: int) -> Decimal:
        """Return the last price; raise Refused before the first trade."""
        ticks = self._liquidity.last(instrument, at_ms)
        if ticks is None:
            raise Refused(Reason.MARKET_CLOSED)
        return whole(ticks, instrument.price_decimals)
