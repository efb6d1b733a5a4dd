"""Every order ever taken and how it is found: by number, client id, account and market."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.orders import Fill, Order, OrderList, Reason, Refused


class Registry:
    """Orders, lists and fills in the order in which they came; what is hidden is not found until its time.

    `accepted` counts how often each (account, market, client id) was taken.
    """

    def __init__(self, markets: Iterable[str], now_ms: Callable[[], int]) -> None:
        self.orders: dict[int, Order] = {}
        self.lists: dict[int, OrderList] = {}
        self.fills: list[Fill] = []
        self.accepted: Counter[tuple[str, str, str]] = Counter()
        self._markets = list(markets)
        self._now_ms = now_ms
        self._open: dict[str, dict[int, Order]] = defaultdict(dict)
        self._by_client: dict[tuple[str, str, str], list[int]] = defaultdict(list)

    @property
    def newest_number(self) -> int:
        """Return the number of the order taken last, 0 before the first."""
        return len(self.orders)

    def add(self, order: Order) -> None:
        """Keep an accepted order."""
        name = order.account, order.symbol, order.client_id
        self.orders[order.number] = order
        self._open[order.symbol][order.number] = order
        self.accepted[name] += 1
        self._by_client[name].append(order.number)

    def close(self, order: Order) -> None:
        """Take an order that ended from the open ones."""
        self._open[order.symbol].pop(order.number, None)

    def markets_with_open_orders(self) -> list[str]:
        """Return the markets that have an open order, sorted."""
        return sorted(symbol for symbol, orders in self._open.items() if orders)

    def open_in(self, symbol: str) -> list[Order]:
        """Return a market's open orders, hidden ones too, oldest first."""
        return list(self._open[symbol].values())

    def open_of(self, key: str, symbol: str | None = None) -> list[Order]:
        """Return an account's open orders, hidden ones too, oldest first."""
        markets = list(self._open) if symbol is None else [symbol]
        found = [order for market in markets for order in self._open[market].values() if order.account == key]
        return sorted(found, key=lambda order: order.number)

    def find(
        self, account: Account, symbol: str | None = None, *, number: int | None = None, client_id: str | None = None
    ) -> Order:
        """Return a visible order by number or (the newest) by client id; raise Refused for an unknown one."""
        if number is None:
            markets = self._markets if symbol is None else [symbol]
            numbers = [one for market in markets for one in self._by_client.get((account.key, market, client_id or ""), ())]
        else:
            numbers = [number]
        for one in sorted(numbers, reverse=True):
            order = self.orders.get(one)
            if order is not None and order.account == account.key and self.is_seen(order) and symbol in (None, order.symbol):
                return order
        raise Refused(Reason.UNKNOWN)

    def all_of(self, account: Account, symbol: str | None = None) -> list[Order]:
        """Return an account's visible orders, oldest first."""
        found = (order for order in self.orders.values() if order.account == account.key and symbol in (None, order.symbol))
        return [order for order in found if self.is_seen(order)]

    def fills_of(self, account: Account, symbol: str | None = None) -> list[Fill]:
        """Return an account's fills, oldest first."""
        return [fill for fill in self.fills if fill.account == account.key and symbol in (None, fill.symbol)]

    def twin(self, order: Order) -> Order | None:
        """Return the other order of an order's list."""
        if order.list_number is None:
            return None
        both = self.lists[order.list_number]
        return self.orders[both.second if both.first == order.number else both.first]

    def hide(self, after_number: int, until_ms: int) -> None:
        """Keep the orders numbered above `after_number` out of every answer until a simulated time."""
        for number in range(after_number + 1, self.newest_number + 1):
            self.orders[number].hidden_until_ms = until_ms

    def is_seen(self, order: Order) -> bool:
        """Tell whether an order may be in an answer now."""
        return self._now_ms() >= order.hidden_until_ms
