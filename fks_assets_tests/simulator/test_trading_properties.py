"""Random steps, 100,000 of them at night: whatever is asked, nothing is lost or made of nothing, and the seed decides it all."""

import random
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest

from fks_assets.errors import InvalidInput
from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.generator import GeneratedMarkets
from fks_assets.simulator.trading.accounts import FEE_RULES, Account
from fks_assets.simulator.trading.core import TradingCore
from fks_assets.simulator.trading.money import EXACT, whole
from fks_assets.simulator.trading.oracle import dump
from fks_assets.simulator.trading.orders import NewOrder, Order, OrderType, Refused, Side, TimeInForce
from fks_assets_tests.amounts import tries

NOW = 1_763_697_723_456
MINUTE, DAY = 60_000, 86_400_000
ORDERS = tries(5_000, 20_000)
SETTINGS: list[dict[str, Any]] = [
    {},
    {"fill_model": "last"},
    {"fill_model": "open", "open_timeframe": "1h", "way": "low_first"},
    {"volume_share": 0.05, "max_orders": 60, "max_algo_orders": 30},
    {"parts": 4, "part_seconds": 30, "fill_model": "last", "way": "high_first"},
]
MARKETS = GeneratedMarkets(7)


class Trader:
    """Asks for anything, sensible or not, of several accounts in three markets that share currencies."""

    def __init__(self, seed: int, settings: dict[str, Any], source: GeneratedMarkets = MARKETS) -> None:
        self.random = random.Random(seed)
        self.clock = SimulatedClock(NOW, 0)
        self.core = TradingCore(source, self.clock)
        self.core.configure(self.core.settings.changed(settings))
        self.amended: set[int] = set()
        self.markets = [source.instruments[one] for one in ("BTC-USDT", "BNB-USDT", "ADA-USDT")]
        for number, rule in enumerate(FEE_RULES):
            account = Account(f"sim-{number}", "secret", Decimal("0.0011"), Decimal("0.0023"), rule)
            self.core.accounts.add(account)
            for asset, amount in (("USDT", "50000.123456789"), ("BTC", "0.7"), ("BNB", "3.3"), ("ADA", "20000")):
                self.core.accounts.bring(account, asset, Decimal(amount))

    def step(self) -> str:
        """Do one thing and return what became of it."""
        chance, account = self.random.random(), self.random.choice(list(self.core.accounts.by_key.values()))
        try:
            if chance < 0.06:
                self.clock.set(advance_ms=self.random.choice([1, 999, MINUTE, 17 * MINUTE, DAY // 3]))
                self.core.advance()
                return "moved"
            if chance < 0.2:
                orders = self.core.open_orders(account)
                return str(self.core.cancel(account, self.random.choice(orders)).number) if orders else "nothing to cancel"
            if chance < 0.23:
                return self._change(account)
            if chance < 0.24:
                self.core.accounts.bring(account, "USDT", Decimal(self.random.randint(-2000, 2000)))
                return "brought"
            if chance < 0.3:
                return str(self.core.place_list(account, *self._pair()).number)
            return self.core.place(account, self._order()).status.value
        except (Refused, InvalidInput) as refused:
            return str(refused)

    def _change(self, account: Account) -> str:
        orders = self.core.open_orders(account)
        if not orders:
            return "nothing to change"
        order = self.random.choice(orders)
        quantity = whole(self.random.randint(1, 10**4), order.instrument.size_decimals)
        if self.random.random() < 0.5:
            self.core.amend(account, order, quantity=quantity, price=self._price(order.instrument, 0.1))
            self.amended.add(order.number)
            return "amended"
        return str(self.core.replace(account, order, self._order()).number)

    def _pair(self) -> tuple[NewOrder, NewOrder]:
        drawn = self._order()
        market, side, quantity = drawn.instrument, drawn.side, drawn.quantity or Decimal(1)
        high, low = sorted((self._price(market, 0.02), self._price(market, 0.02)), reverse=True)
        maker, stop = (high, low) if side is Side.SELL else (low, high)
        target = NewOrder(market, side, OrderType.LIMIT_MAKER, quantity, price=maker)
        guard = NewOrder(market, side, OrderType.STOP_LOSS, quantity, stop_price=stop)
        return (target, guard) if side is Side.SELL else (guard, target)

    def _price(self, market: Any, reach: float) -> Decimal:
        last = self.core.liquidity.last(market, self.clock.now_ms())
        assert last is not None
        return whole(max(1, int(last * (1 + self.random.uniform(-reach, reach)))), market.price_decimals)

    def _order(self) -> NewOrder:
        market, kind = self.random.choice(self.markets), self.random.choice(list(OrderType))
        value = Decimal(self.random.choice([3, 8, 60, 400, 9000, 10**6]))
        quantity = whole(int(value / self._price(market, 0.001) * 10**market.size_decimals), market.size_decimals)
        trails = kind.name.startswith("STOP") and self.random.random() < 0.2
        reach = self.random.choice([0.001, 0.02, 0.2])
        in_quote = kind is OrderType.MARKET and self.random.random() < 0.2
        return NewOrder(
            market,
            self.random.choice(list(Side)),
            kind,
            None if in_quote else quantity,
            price=self._price(market, reach) if kind.has_limit else None,
            stop_price=self._price(market, reach) if kind.is_conditional and not trails else None,
            quote_quantity=value if in_quote else None,
            trailing=Decimal(self.random.randint(10, 300)) / 10_000 if trails else None,
            time_in_force=self.random.choice(list(TimeInForce)) if kind is OrderType.LIMIT else TimeInForce.GTC,
            client_id=f"id-{self.random.randint(1, 400)}",
            fee_currency=self.random.choice(["", "", "base", "quote"]),
            triggers_at_once=self.random.random() < 0.3,
        )


def check_accounts(core: TradingCore) -> None:
    assert core.accounts.differences() == {}
    locked: dict[tuple[str, str], Decimal] = {}
    for order in core.registry.orders.values():
        assert order.lock == 0 or order.status.is_open
        locked[order.account, order.lock_asset] = locked.get((order.account, order.lock_asset), Decimal(0)) + order.lock
    for account in core.accounts.by_key.values():
        for asset in account.assets():
            assert account.free[asset] >= 0 and account.locked[asset] >= 0, (account.key, asset)
            assert account.locked[asset] == locked.get((account.key, asset), 0), (account.key, asset)


def check_order(order: Order, *, is_amended: bool) -> None:
    assert 0 <= order.executed <= order.quantity
    assert order.executed == sum(fill.quantity for fill in order.fills)
    assert order.executed_sum == sum(fill.price * fill.quantity for fill in order.fills)
    assert (order.executed == order.quantity) == (order.status.value == "FILLED")
    assert all(order.placed_ms <= fill.at_ms <= order.updated_ms for fill in order.fills)
    if order.price is not None and not is_amended:
        assert all(fill.price <= order.price if order.side is Side.BUY else fill.price >= order.price for fill in order.fills)


@pytest.fixture(autouse=True)
def exact_numbers() -> Iterator[None]:
    """Let the checks' own sums be exact as well."""
    with localcontext(EXACT):
        yield


@pytest.mark.parametrize("settings", SETTINGS, ids=["book", "last", "open", "share", "parts"])
def test_random_orders_lose_and_make_nothing(settings: dict[str, Any]) -> None:
    seed = 11
    trader = Trader(seed, settings)
    seen: set[str] = set()
    for number in range(ORDERS):
        seen.add(trader.step().split(":")[0])
        if number % 500 == 0:
            check_accounts(trader.core)
    trader.clock.set(advance_ms=DAY)
    trader.core.advance()
    check_accounts(trader.core)
    for order in trader.core.registry.orders.values():
        check_order(order, is_amended=order.number in trader.amended)
    statuses = {order.status.value for order in trader.core.registry.orders.values()}
    assert statuses >= {"NEW", "FILLED", "CANCELED", "EXPIRED"}, f"seed {seed} reached only {sorted(statuses)}"
    assert len(trader.core.registry.fills) > ORDERS // 10
    assert {
        "insufficient balance",
        "client id is that of an open order of the account",
        "value is too small or too large",
    } <= seen


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    """Determinism: two whole exchanges, made one after the other, are equal to the last byte."""

    def told(seed: int) -> bytes:
        trader = Trader(seed, {"parts": 2}, GeneratedMarkets(7))
        for _ in range(1500):
            trader.step()
        return dump(trader.core)

    first = told(3)
    assert first == told(3) != told(4)


def test_looking_more_often_changes_nothing() -> None:
    """What becomes of resting orders depends on the price alone, not on when somebody asks."""

    def told(looks: int) -> list[Any]:
        trader = Trader(5, {"fill_model": "last"})
        for _ in range(400):
            account = trader.random.choice(list(trader.core.accounts.by_key.values()))
            try:
                trader.core.place(account, trader._order())
            except Refused:
                continue
        for _ in range(looks):
            trader.clock.set(advance_ms=3 * DAY // looks)
            trader.core.advance()
        return [(one.number, one.status, one.executed_sum, one.updated_ms) for one in trader.core.registry.orders.values()]

    assert told(1) == told(4) == told(300)
