"""What an order locks and what a fill moves: base, quote and fee, exactly."""

from collections.abc import Callable
from decimal import Decimal

from fks_assets.simulator.trading.accounts import Account, Accounts
from fks_assets.simulator.trading.money import ZERO, down
from fks_assets.simulator.trading.orders import Fill, Order, Side, Status

QuotePrice = Callable[[str, str, int], Decimal | None]


def fee_rule(account: Account, order: Order) -> str:
    """Return where the fee of an order's fills comes from."""
    return order.request.fee_currency or account.fee_rule


def needed(account: Account, order: Order, price: Decimal) -> tuple[str, Decimal]:
    """Return the asset and the amount that the rest of an order needs at a price, its fee included where that comes on top."""
    rate = max(account.maker, account.taker)
    rule = fee_rule(account, order)
    if order.side is Side.SELL:
        return order.instrument.base, order.remaining * (1 + rate if rule == "base" else 1)
    return order.instrument.quote, order.remaining * price * (1 + rate if rule == "quote" else 1)


class Settlement:
    """Books fills; `price_in(asset, quote, at_ms)` values the BNB that fees are paid in."""

    def __init__(self, accounts: Accounts, price_in: QuotePrice) -> None:
        self._accounts = accounts
        self._price_in = price_in

    def fill(
        self, account: Account, order: Order, price: Decimal, quantity: Decimal, is_maker: bool, at_ms: int, number: int
    ) -> Fill | None:
        """Book one fill and return it; None, changing nothing, when the account cannot pay."""
        base, quote = order.instrument.base, order.instrument.quote
        is_buy = order.side is Side.BUY
        value = price * quantity
        fee, currency = self._fee(account, order, quantity, value, is_maker, at_ms)
        given, paid = (quote, value) if is_buy else (base, quantity)
        got, received = (base, quantity) if is_buy else (quote, value)
        out = paid + (fee if currency == given else 0)
        locked = min(order.lock, out)
        if out - locked > account.free[given]:
            return None
        order.lock -= locked
        account.locked[given] -= locked
        account.free[given] -= out - locked
        account.free[got] += received
        if currency != given:
            account.free[currency] -= fee
        self._accounts.fees[currency] += fee
        self._accounts.market[given] += paid
        self._accounts.market[got] -= received
        account.changed_ms = at_ms
        order.executed += quantity
        order.executed_sum += value
        order.updated_ms = at_ms
        order.status = Status.FILLED if order.remaining <= 0 else Status.PARTIALLY_FILLED
        fill = Fill(
            number=number,
            order=order.number,
            account=account.key,
            symbol=order.symbol,
            side=order.side,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_currency=currency,
            is_maker=is_maker,
            at_ms=at_ms,
        )
        order.fills.append(fill)
        return fill

    def _fee(
        self, account: Account, order: Order, quantity: Decimal, value: Decimal, is_maker: bool, at_ms: int
    ) -> tuple[Decimal, str]:
        base, quote = order.instrument.base, order.instrument.quote
        rate = account.maker if is_maker else account.taker
        rule = fee_rule(account, order)
        if rule == "BNB" and "BNB" not in (base, quote):
            price = self._price_in("BNB", quote, at_ms)
            fee = ZERO if price is None else down(value * rate / price, account.fee_places)
            if price is not None and fee <= account.free["BNB"]:
                return fee, "BNB"
        in_base = rule == "base" or (rule != "quote" and order.side is Side.BUY)
        return (down(quantity * rate, account.fee_places), base) if in_base else (down(value * rate, account.fee_places), quote)
