"""An account of the desk at a simulated exchange: a ledger, a gateway, and a clock that jumps."""

import asyncio
import base64
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fks_assets.clock import now_ms
from fks_assets.desk.gateway import OrderGateway
from fks_assets.desk.reconcile import Reconciled, reconcile
from fks_assets.exchanges.orders.signing import ApiKey
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Mode, OrderType, Side
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.accounts import AccountSpec, enable, mirror
from fks_assets.stores.ledger.deals import Deal, NewDeal, open_deal
from fks_assets.stores.ledger.orders import Order, OrderIntent, OrderLimits, read_orders
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.orders.venues import VENUES, budgets

ACCOUNT = "main"
SECRET = base64.b64encode(b"a secret of the simulated account").decode()
HOUR_MS = 3_600_000
LIMITS = OrderLimits(
    max_order_notional=Decimal(1_000_000),
    max_open_orders=10_000,
    max_orders_per_minute=100_000,
    max_daily_loss=Decimal(1),
    price_band=Decimal("0.5"),
)
RULES: Mapping[str, MarketRules] = {
    dialect: MarketRules(
        market,
        MarketStatus.TRADING,
        tick_size=Decimal(tick),
        lot_size=Decimal("0.00001"),
        min_quantity=Decimal("0.00001"),
        min_notional=Decimal(5),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
    )
    for dialect, market, tick in (
        ("binance", Market("BTC", "USDT", "binance"), "0.01"),
        ("kraken", Market("BTC", "USDT", "kraken"), "0.1"),
    )
}
# The limits of the exchanges are tested where the limiter is; a test asks more in a second than a desk in an hour.
NO_LIMITS = {
    "binance": {"weight": 10**9, "orders_10s": 10**9, "orders_1d": 10**9},
    "kraken": {"burst": 1e9, "private_burst": 1e9, "order_burst": 1e9},
}
Work = Callable[[OrderGateway], Coroutine[Any, Any, Any]]


@dataclass
class TradingDesk:
    """One account. `run` gives a piece of work a fresh gateway with a venue of its own, as a run of the desk has."""

    simulator: SimulatorClient
    database: Database
    dialect: str = "binance"
    key: str = "sim-main"
    ahead_ms: int = 0
    signals: int = 0
    profile: dict[str, Any] = field(default_factory=lambda: {"deadline_seconds": 3.0, "patience_seconds": 5.0})

    @property
    def market(self) -> Market:
        return RULES[self.dialect].market

    def clock(self) -> int:
        return now_ms() + self.ahead_ms

    def jump(self, seconds: float) -> None:
        """Let this much time pass for the desk and for the exchange."""
        self.ahead_ms += int(seconds * 1000)
        self.simulator.set_clock(advance_seconds=seconds)

    def run(self, work: Work, *, fence: fences.Fence | None = None, reconciled: bool = True) -> Any:
        """Return what the work gives with a gateway that holds the fence and has compared the account."""
        return asyncio.run(self._run(work, fence or self.take_fence(), reconciled))

    async def _run(self, work: Work, fence: fences.Fence, reconciled: bool) -> Any:
        profile = ExchangeProfile(self.dialect, self.dialect, self.simulator.url, **self.profile)
        venue_class = VENUES[self.dialect]
        async with venue_class(profile, ApiKey(self.key, SECRET), budgets(), [self.market], wall_ms=self.clock) as venue:
            rules = {self.market: RULES[self.dialect]}
            gateway = OrderGateway(self.database, venue, ACCOUNT, fence, LIMITS, rules, clock=self.clock)
            if reconciled:
                result = await reconcile(gateway)
                assert result.passed, result
            return await work(gateway)

    def reconcile(self) -> Reconciled:
        return self.run(reconcile, reconciled=False)

    def take_fence(self, holder: str = "test") -> fences.Fence:
        with self.database.transaction() as connection:
            return fences.take(connection, "trading", holder, at_ms=self.clock())

    def deal(self, side: Side = Side.BUY, quantity: str = "0.01") -> Deal:
        """Return a new deal of a new signal."""
        self.signals += 1
        new = NewDeal(
            account=ACCOUNT,
            strategy="breakout",
            provider=self.dialect,
            market=self.market,
            timeframe="1h",
            signal_time=self.signals * HOUR_MS,
            side=side,
            price=Decimal(50_000),
            quantity=Decimal(quantity),
            confidence=Decimal("0.8"),
            reason="test",
            at_ms=self.clock(),
        )
        with self.database.transaction() as connection:
            return open_deal(connection, new)[0]

    def intent(
        self,
        deal: Deal,
        leg: Leg = Leg.ENTRY,
        type_: OrderType = OrderType.MARKET,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
        generation: int = 0,
    ) -> OrderIntent:
        side = deal.side if leg is Leg.ENTRY else deal.side.opposite
        return OrderIntent(
            deal,
            leg,
            side,
            type_,
            quantity or deal.quantity,
            "test",
            self.clock(),
            generation,
            price,
            stop_price,
            self.last_price(),
        )

    def last_price(self) -> Decimal:
        """Return the exchange's last price, by a candle of the oracle."""
        symbol = f"{self.market.base}-{self.market.quote}"
        now = self.simulator.clock()["now_ms"]
        return Decimal(repr(float(self.simulator.candles(symbol, "1m", now - 600_000).close[-1])))

    def orders(self) -> list[Order]:
        return read_orders(self.database, account=ACCOUNT)

    def check_books(self) -> None:
        """Every sum of the ledger, computed anew in fractions, is what the tables say; the exchange's books close too."""
        assert recompute(self.database) == []
        assert self.simulator.books()["differences"] == {}
        assert self.simulator.duplicates() == []


@contextmanager
def trading_desk(database: Database, dialect: str = "binance", *, seed: int = 7, **options: Any) -> Iterator[TradingDesk]:
    """Run an exchange with a funded account, and a desk whose ledger begins with what the account holds."""
    with running_simulator(seed=seed, limits=NO_LIMITS, **options) as simulator:
        desk = TradingDesk(simulator, database, dialect)
        desk.ahead_ms = simulator.clock()["now_ms"] - now_ms()
        quote = desk.market.quote
        simulator.add_account(desk.key, SECRET, balances={quote: 1_000_000, "BTC": 2}, fee_rule="quote")
        with database.transaction() as connection:
            mirror(connection, [AccountSpec(ACCOUNT, Mode.LIVE, dialect, quote)], at_ms=desk.clock())
            enable(connection, ACCOUNT, True, by="test", reason="test", at_ms=desk.clock())
        yield desk
