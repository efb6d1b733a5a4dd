"""The trading rules of a market, enforced to the letter: steps, sizes, values, distances and numbers of orders."""

from collections.abc import Sequence
from decimal import Decimal

from fks_assets.simulator.instruments import Instrument
from fks_assets.simulator.trading.money import is_on_grid, whole
from fks_assets.simulator.trading.orders import NewOrder, Order, OrderType, Reason, Refused, Side, TimeInForce
from fks_assets.simulator.trading.settings import TradingSettings

MAX_PRICE = Decimal(1_000_000)
MAX_QUANTITY = Decimal(9_000_000)
MAX_MARKET_QUANTITY = Decimal(1_000_000)
MAX_NOTIONAL = Decimal(9_000_000)
PERCENT_UP, PERCENT_DOWN = Decimal(5), Decimal("0.2")
MIN_TRAILING, MAX_TRAILING = Decimal("0.001"), Decimal("0.2")


def check_form(request: NewOrder) -> None:
    """Raise Refused when parameters are missing or too many for the type of order."""
    kind = request.type
    if (request.quantity is None) == (request.quote_quantity is None):
        raise Refused(Reason.MALFORMED, "quantity")
    if request.quote_quantity is not None and kind is not OrderType.MARKET:
        raise Refused(Reason.MALFORMED, "quoteOrderQty")
    if kind.has_limit != (request.price is not None):
        raise Refused(Reason.MALFORMED, "price")
    if kind.is_conditional != (request.stop_price is not None or request.trailing is not None):
        raise Refused(Reason.MALFORMED, "stopPrice")
    if request.trailing is not None:
        if kind not in (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT) or request.stop_price is not None:
            raise Refused(Reason.MALFORMED, "trailingDelta")
        if not MIN_TRAILING <= request.trailing <= MAX_TRAILING:
            raise Refused(Reason.MALFORMED, "trailingDelta")
    if request.time_in_force is not TimeInForce.GTC and kind not in (
        *(OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT),
    ):
        raise Refused(Reason.MALFORMED, "timeInForce")


def check_filters(request: NewOrder, last: Decimal) -> None:
    """Raise Refused when price, quantity or value break a rule of the market whose last price is `last`."""
    instrument = request.instrument
    for price in (request.price, request.stop_price):
        if price is not None:
            _check_price(instrument, price)
    if request.quantity is not None:
        _check_quantity(request, request.quantity)
    if request.price is not None and not last * PERCENT_DOWN <= request.price <= last * PERCENT_UP:
        raise Refused(Reason.PERCENT_PRICE, "price")
    value = request.quote_quantity
    if value is None:
        assert request.quantity is not None
        price = request.price if request.price is not None else last if request.stop_price is None else request.stop_price
        value = price * request.quantity
    highest = MAX_NOTIONAL if request.type.has_limit else None
    if value < Decimal(str(instrument.min_notional)) or (highest is not None and value > highest):
        raise Refused(Reason.NOTIONAL)


def check_trigger(request: NewOrder, last: Decimal) -> None:
    """Raise Refused when the stop price has been passed already."""
    if request.stop_price is None or request.triggers_at_once:
        return
    if request.stop_price == last or falls_to_trigger(request) == (request.stop_price > last):
        raise Refused(Reason.WOULD_TRIGGER, "stopPrice")


def check_room(requests: Sequence[NewOrder], open_orders: Sequence[Order], settings: TradingSettings) -> None:
    """Raise Refused when the account would have too many open orders in the market."""
    if len(open_orders) + len(requests) > settings.max_orders:
        raise Refused(Reason.MAX_ORDERS)
    added = sum(request.type.is_conditional for request in requests)
    waiting = sum(order.is_waiting for order in open_orders)
    if added and waiting + added > settings.max_algo_orders:
        raise Refused(Reason.MAX_ALGO_ORDERS)


def falls_to_trigger(request: NewOrder) -> bool:
    """Tell whether a conditional order begins to work when the price falls (to its stop price), not when it rises."""
    is_stop = request.type in (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
    return is_stop == (request.side is Side.SELL)


def _check_price(instrument: Instrument, price: Decimal) -> None:
    if not 0 < price <= MAX_PRICE or not is_on_grid(price, instrument.price_decimals):
        raise Refused(Reason.PRICE_STEP, "price")


def _check_quantity(request: NewOrder, quantity: Decimal) -> None:
    decimals = request.instrument.size_decimals
    if not whole(1, decimals) <= quantity <= MAX_QUANTITY or not is_on_grid(quantity, decimals):
        raise Refused(Reason.QUANTITY_STEP, "LOT_SIZE")
    if request.type is OrderType.MARKET and quantity > MAX_MARKET_QUANTITY:
        raise Refused(Reason.QUANTITY_STEP, "MARKET_LOT_SIZE")
