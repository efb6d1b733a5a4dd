"""Positions in a real ledger, an exchange that says what a test wants, and a clock that stands still until somebody waits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from fks_assets.desk.recording import Execution, record_execution
from fks_assets.desk.stop_guard import Look, StopGuard
from fks_assets.errors import ExchangeUnavailable
from fks_assets.exchanges.tickers import Ticker, Tickers
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Mode, Side
from fks_assets.settings.guard import GuardSettings
from fks_assets.stores.database import Database
from fks_assets.stores.guard import StopCheck, read_guarded
from fks_assets.stores.ledger.accounts import AccountSpec, mirror
from fks_assets.stores.ledger.deals import Deal, NewDeal, open_deal
from fks_assets.stores.ledger.stops import Stop, read_stops
from fks_assets.stores.notifications import Notification, read_notifications

NOW_MS = 1_767_268_800_000  # 2026-01-01T12:00Z
MARKET = Market("BTC", "USDT", "binance")
OTHER = Market("ETH", "USDT", "binance")
# For what is really read, however busy the machine is.
ENOUGH_SECONDS = 60.0
Offer = float | str | None


@dataclass
class SaidPrices:
    """What the exchange says: `said` by market as last, bid, ask. Each change is a new row with a time of its own.

    `ahead_ms`: how far the exchange's clock is ahead of the desk's.
    """

    now_ms: int = NOW_MS
    ahead_ms: int = 0
    said: dict[Market, tuple[Offer, Offer, Offer]] = field(default_factory=dict)
    told_ms: dict[Market, int] = field(default_factory=dict)
    once: list[dict[Market, tuple[Offer, Offer, Offer]]] = field(default_factory=list)
    frozen: set[Market] = field(default_factory=set)
    down: bool = False
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def say(self, price: Offer, *, bid: Offer = "near", ask: Offer = "near", market: Market = MARKET) -> None:
        self.said[market] = around(price, bid, ask)

    def say_once(self, price: Offer, *, bid: Offer = "near", ask: Offer = "near", market: Market = MARKET) -> None:
        """Say something in the next answer alone."""
        self.once.append({market: around(price, bid, ask)})

    async def read(self, exchange: str, markets: Sequence[Market], seconds: float) -> Tickers:
        assert seconds > 0
        self.asked.append(tuple(sorted(market.key for market in markets)))
        if self.down:
            raise ExchangeUnavailable(f"{exchange} cannot be reached: refused", exchange=exchange)
        said = self.said | (self.once.pop(0) if self.once else {})
        found = {}
        for market in markets:
            if market in said:
                if market not in self.frozen:
                    self.told_ms[market] = self.now_ms + self.ahead_ms
                told = self.told_ms[market]
                last, bid, ask = (_decimal(price) for price in said[market])
                found[market] = Ticker(last, bid, ask, told, f"{last} {bid} {ask} {told}")
        return Tickers(found, self.now_ms + self.ahead_ms)

    def go_back(self, milliseconds: int) -> None:
        """Let the clock of the desk go back; the exchange's goes on."""
        self.now_ms -= milliseconds
        self.ahead_ms += milliseconds

    def clock(self) -> int:
        return self.now_ms

    async def pause(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


def around(price: Offer, bid: Offer, ask: Offer) -> tuple[Offer, Offer, Offer]:
    """Return a last trade with the best offers a hundredth of a percent around it where none are given."""
    near = float(price) if isinstance(price, int | float) else 0.0
    return price, near * 0.9999 if bid == "near" else bid, near * 1.0001 if ask == "near" else ask


def _decimal(value: Offer) -> Decimal | None:
    """Return a price as `exchanges/tickers.py` gives it: None for whatever is no price above 0."""
    found = None if value is None else Decimal(str(value))
    return found if found is not None and found.is_finite() and found > 0 else None


@dataclass
class GuardWorld:
    """A guard over the accounts of a ledger."""

    database: Database
    settings: GuardSettings = field(default_factory=GuardSettings)
    prices: SaidPrices = field(default_factory=SaidPrices)
    deals: int = 0

    def __post_init__(self) -> None:
        places = {"told": "binance", "other": "binance", "elsewhere": "kraken"}
        accounts = [AccountSpec(name, Mode.ALERT, exchange, "USDT") for name, exchange in places.items()]
        with self.database.transaction() as connection:
            mirror(connection, accounts, at_ms=NOW_MS - 1)

    @property
    def guard(self) -> StopGuard:
        """A guard that knows nothing but what the database knows: every look may come from another process."""
        return StopGuard(self.database, self.settings, self.prices.read, clock=self.prices.clock, pause=self.prices.pause)

    def look(self, price: Offer = None, *, seconds: float = 5.0, **more: Offer) -> Look:
        """Let time pass and a price be said from then on, and look."""
        self.prices.now_ms += round(seconds * 1000)
        if price is not None:
            self.prices.say(price, **more)
        return self.guard.look()

    def hold(
        self,
        *,
        account: str = "told",
        market: Market = MARKET,
        side: Side = Side.BUY,
        stop: str | None = "90",
        target: str | None = "120",
        trailing: str | None = None,
        price: str = "100",
    ) -> Deal:
        """Let a person hold 0.5 bought (or sold short) at a price."""
        self.deals += 1
        new = NewDeal(
            account=account,
            strategy="breakout",
            provider="binance",
            market=market,
            timeframe="1h",
            signal_time=NOW_MS - 3_600_000 * self.deals,
            side=side,
            price=Decimal(price),
            quantity=Decimal("0.5"),
            confidence=Decimal("0.8"),
            reason="test",
            at_ms=self.prices.now_ms,
            stop_loss_price=None if stop is None else Decimal(stop),
            take_profit_price=None if target is None else Decimal(target),
            trailing_stop_distance=None if trailing is None else Decimal(trailing),
            ordering=False,
        )
        with self.database.transaction() as connection:
            deal, _ = open_deal(connection, new)
        self.record(deal, Leg.ENTRY, price)
        return deal

    def record(self, deal: Deal, leg: Leg, price: str) -> None:
        execution = Execution(leg, Decimal(price), Decimal("0.5"), Decimal(0), "USDT", self.prices.now_ms)
        with self.database.transaction() as connection:
            record_execution(connection, deal.id, execution, at_ms=self.prices.now_ms)

    def stop(self, deal: Deal) -> Stop:
        return read_stops(self.database, deal_ids=[deal.id])[0]

    def check(self, deal: Deal) -> StopCheck:
        with self.database.transaction() as connection:
            return next(each.check for each in read_guarded(connection) if each.deal_id == deal.id)

    def notes(self, *kinds: str) -> list[Notification]:
        return read_notifications(self.database, kinds or ("stop", "trade", "guard"))
