"""Accounts on a day that was lived through: what each has made of its BUY is written down by hand."""

from decimal import Decimal
from typing import Any

from fks_assets.assets.trading.difference import compare_day
from fks_assets.assets.trading.in_force import strategies_in_force
from fks_assets.quant.account_rules import AccountRules
from fks_assets.quant.difference import Mismatch
from fks_assets.quant.orders import Leg, Mode, OrderType, Side
from fks_assets.resources.stores import Stores
from fks_assets.stores.ledger.accounts import AccountSpec, mirror
from fks_assets.stores.ledger.deals import Deal, NewDeal, open_deal
from fks_assets.stores.ledger.fills import NewFill, record_fills
from fks_assets.stores.ledger.orders import OrderIntent, record_order
from fks_assets_tests.trading.live_days import DAY, STEP, LiveDay

QUANTITY = Decimal("0.5")
MINUTE = 60_000
PAPER = {"mode": "paper", "initial_cash": "10000", "strategies": {"mover": 1.0}, "timeframe": "4h"}
ACCOUNT = {
    "FKS_ACCOUNTS__main__mode": "paper",
    "FKS_ACCOUNTS__main__initial_cash": "10000",
    "FKS_ACCOUNTS__main__strategies__mover": "1.0",
    "FKS_ACCOUNTS__main__timeframe": "4h",
}


class Accounts:
    """Accounts of one test, on the day that all tests share."""

    def __init__(self, day: LiveDay, test: str) -> None:
        self.day, self.test = day, test
        self.rules: dict[str, AccountRules] = {}

    def add(self, name: str = "", at_ms: int | None = None, **changes: Any) -> str:
        """Put an account on the desk, before the day unless it is said when, and return its name."""
        name = f"{self.test}{name}"
        self.rules[name] = AccountRules.model_validate(PAPER | changes)
        specs = [AccountSpec(each, Mode.PAPER, "simulated", "USDT", Decimal(10_000)) for each in self.rules]
        with self.day.desk.stores.database.transaction() as connection:
            mirror(connection, specs, at_ms=self.day.opens[0] if at_ms is None else at_ms)
        return name

    @property
    def place(self) -> int:
        """The number of the first BUY of the day that another candle follows."""
        return next(place for place, move in enumerate(self.day.moves()[:5]) if move > 0)

    @property
    def next_open(self) -> Decimal:
        return Decimal(str(self.day.candles.open[len(self.day.candles) - 6 + self.place + 1]))

    def deal(self, account: str, *, before: int = 0, made_at: int | None = None, **changes: Any) -> Deal:
        """Make a deal of the BUY, or of a candle so many before it."""
        opened = self.day.opens[self.place] - before * STEP
        close = Decimal(str(self.day.candles.close[len(self.day.candles) - 6 + self.place - before]))
        market = changes.pop("market", self.day.market)
        made = NewDeal(
            account, "mover", "simulated", market, "4h", opened, Side.BUY, close, QUANTITY, Decimal("0.9"), "it moved",
            opened + STEP + 2 * MINUTE if made_at is None else made_at, **changes,
        )  # fmt: skip
        with self.day.desk.stores.database.transaction() as connection:
            return open_deal(connection, made)[0]

    def entered(self, deal: Deal, price: Decimal) -> None:
        at = deal.created_at + MINUTE
        with self.day.desk.stores.database.transaction() as connection:
            intent = OrderIntent(deal, Leg.ENTRY, Side.BUY, OrderType.MARKET, QUANTITY, "a test", at)
            order, _ = record_order(connection, intent)
            fee = round(price * QUANTITY / 1000, 12)
            record_fills(connection, deal.account, [NewFill(order.id, f"{order.id}", price, QUANTITY, fee, "USDT", at)], at_ms=at)

    def ordered(self, deal: Deal, leg: Leg, level: Decimal | None, at_ms: int, price: Decimal | None) -> None:
        """Send an order that sells, and execute it where a price is given."""
        kind = {Leg.STOP: OrderType.STOP_MARKET, Leg.TARGET: OrderType.LIMIT, Leg.EXIT: OrderType.MARKET}[leg]
        levels = {} if level is None else {"stop_price" if leg is Leg.STOP else "price": level}
        with self.day.desk.stores.database.transaction() as connection:
            intent = OrderIntent(deal, leg, Side.SELL, kind, QUANTITY, "a test", at_ms, **levels)
            order, _ = record_order(connection, intent)
            if price is not None:
                fill = NewFill(order.id, f"{order.id}", price, QUANTITY, Decimal(0), "USDT", at_ms)
                record_fills(connection, deal.account, [fill], at_ms=at_ms)

    def compared(self) -> list[Mismatch]:
        """Return what is found at the BUY."""
        settings = self.day.desk.settings.model_copy(update={"accounts": self.rules})
        stores = Stores(settings)
        subject = strategies_in_force(stores.database, settings)[0]["mover"]
        found = compare_day(stores, subject, DAY, [self.day.market], settings.timeframe_list())
        stores.database.engine.dispose()
        return [each for each in found.mismatches if each.candle == self.day.opens[self.place] and each.account in self.rules]

    def found(self) -> list[tuple[str, str]]:
        """Return cause and words of what is found at the BUY."""
        return [(str(each.cause), each.words) for each in self.compared()]
