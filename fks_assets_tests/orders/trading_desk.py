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
from fks_assets.exchanges.orders.nobitex import NobitexVenue
from fks_assets.exchanges.orders.signing import ApiKey
from fks_assets.exchanges.orders.wallex import WallexVenue
from fks_assets.exchanges.profile import ExchangeProfile
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Mode, OrderType, Side
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.database import Database
from fks_assets.stores.ledger import fences
from fks_assets.stores.ledger.accounts import AccountSpec, enable, mirror, read_accounts
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
        ("wallex", Market("BTC", "USDT", "wallex"), "0.01"),
        ("nobitex", Market("BTC", "USDT", "nobitex"), "0.01"),
    )
}
# The Iranian exchanges stand below a path of their own in the simulator, and a buyer there pays the fee in coins.
IRANIAN: Mapping[str, Any] = {"wallex": WallexVenue, "nobitex": NobitexVenue}
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
    account: str = ACCOUNT
    ahead_ms: int = 0
    signals: int = 0
    profile: dict[str, Any] = field(default_factory=lambda: {"deadline_seconds": 3.0, "patience_seconds": 5.0})

    rules: Mapping[Market, MarketRules] | None = None

    @property
    def market(self) -> Market:
        return RULES[self.dialect].market

    @property
    def key(self) -> str:
        return f"sim-{self.account}"

    def open_account(self, balances: Mapping[str, Any]) -> None:
        """Open and fund the account at the exchange, and let it trade here; its books are empty."""
        fee_rule = "received" if self.dialect in IRANIAN else "quote"
        self.simulator.add_account(self.key, SECRET, balances=balances, fee_rule=fee_rule)
        quote = self.market.quote
        with self.database.transaction() as connection:
            known = [AccountSpec(one.name, one.mode, one.exchange, one.quote) for one in read_accounts(connection)]
            mirror(connection, [*known, AccountSpec(self.account, Mode.LIVE, self.dialect, quote)], at_ms=self.clock())
            enable(connection, self.account, True, by="test", reason="test", at_ms=self.clock())

    def clock(self) -> int:
        return now_ms() + self.ahead_ms

    def jump(self, seconds: float) -> None:
        """Let this much time pass for the desk and for the exchange."""
        self.ahead_ms = self.simulator.set_clock(advance_seconds=seconds)["now_ms"] - now_ms()

    def run(self, work: Work, *, fence: fences.Fence | None = None, reconciled: bool = True) -> Any:
        """Return what the work gives with a gateway that holds the fence and has compared the account."""
        return asyncio.run(self._run(work, fence or self.take_fence(), reconciled))

    async def _run(self, work: Work, fence: fences.Fence, reconciled: bool) -> Any:
        url = f"{self.simulator.url}/{self.dialect}" if self.dialect in IRANIAN else self.simulator.url
        profile = ExchangeProfile(self.dialect, self.dialect, url, **self.profile)
        venue_class = {**VENUES, **IRANIAN}[self.dialect]
        rules = self.rules or {self.market: RULES[self.dialect]}
        async with venue_class(profile, ApiKey(self.key, SECRET), budgets(), list(rules), wall_ms=self.clock) as venue:
            gateway = OrderGateway(self.database, venue, self.account, fence, LIMITS, rules, clock=self.clock)
            if reconciled:
                result = await reconcile(gateway)
                assert result.passed, result
            return await work(gateway)

    def reconcile(self) -> Reconciled:
        return self.run(reconcile, reconciled=False)

    def take_fence(self, holder: str = "test") -> fences.Fence:
        with self.database.transaction() as connection:
            return fences.take(connection, self.account, holder, at_ms=self.clock())

    def deal(self, side: Side = Side.BUY, quantity: str = "0.01", market: Market | None = None) -> Deal:
        """Return a new deal of a new signal."""
        self.signals += 1
        new = NewDeal(
            account=self.account,
            strategy="breakout",
            provider=self.dialect,
            market=market or self.market,
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
            self.last_price(deal.market),
        )

    def last_price(self, market: Market | None = None) -> Decimal:
        """Return the exchange's last price, by the oracle."""
        return self.simulator.price(f"{(market or self.market).base}-{(market or self.market).quote}")

    def orders(self) -> list[Order]:
        return read_orders(self.database, account=self.account)

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
        desk.open_account({desk.market.quote: 1_000_000, "BTC": 2})
        yield desk
