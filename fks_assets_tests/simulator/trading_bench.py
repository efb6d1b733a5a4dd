"""A matching core on a few candles written by hand, so that every expected number can be computed in the head."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from fks_assets.simulator.clock import SimulatedClock
from fks_assets.simulator.replay import ReplayedMarkets
from fks_assets.simulator.trading.accounts import Account
from fks_assets.simulator.trading.core import TradingCore
from fks_assets.simulator.trading.orders import NewOrder, Order, OrderType, Side

HOUR = 3_600_000
START = 1_514_764_800_000  # 2018-01-01
THIRD = HOUR // 3
_AMOUNTS = ("price", "stop_price", "quote_quantity", "trailing")


class Bench:
    """One market ABC-USDT (tick 0.01, lot 0.001, last price at all prices' fill) with hourly candles; an account `sim-a`."""

    def __init__(
        self,
        directory: Path,
        candles: list[tuple[float, float, float, float]],
        clock: SimulatedClock | None = None,
        **settings: Any,
    ) -> None:
        rows = [[START + i * HOUR, *prices, 100.001] for i, prices in enumerate(candles)]
        # A candle far away from all others fixes the market's steps.
        rows.append([START + 1000 * HOUR, 99.99, 99.99, 99.99, 99.99, 1.001])
        (directory / "ABC_USDT-1h.json").write_text(json.dumps(rows))
        source = ReplayedMarkets(directory)
        self.clock = clock or SimulatedClock(START, 0)
        self.core = TradingCore(source, self.clock)
        self.core.configure(self.core.settings.changed({"fill_model": "last", **settings}))
        self.market = source.instruments["ABC-USDT"]
        self.account = self.add("sim-a")

    def add(self, key: str, *, usdt: int = 10_000, abc: int = 100, **fees: Any) -> Account:
        rates = {"maker": Decimal("0.001"), "taker": Decimal("0.002"), **fees}
        account = self.core.accounts.add(Account(key, "secret", **rates))
        self.core.accounts.bring(account, "USDT", Decimal(usdt))
        self.core.accounts.bring(account, "ABC", Decimal(abc))
        return account

    def order(self, side: Side, kind: OrderType, quantity: str | None, **more: Any) -> NewOrder:
        amounts = {name: Decimal(more.pop(name)) for name in _AMOUNTS if name in more}
        size = None if quantity is None else Decimal(quantity)
        return NewOrder(self.market, side, kind, size, **amounts, **more)

    def place(self, side: Side, kind: OrderType, quantity: str | None, *, account: Account | None = None, **more: Any) -> Order:
        return self.core.place(account or self.account, self.order(side, kind, quantity, **more))

    def to(self, milliseconds: int) -> None:
        """Move the clock to a time after the first candle's open and let everything happen."""
        self.clock.set(now_ms=START + milliseconds)
        self.core.advance()

    def held(self, asset: str, account: Account | None = None) -> tuple[str, str]:
        """Return free and locked as plain texts."""
        one = account or self.account
        return f"{one.free[asset].normalize():f}", f"{one.locked[asset].normalize():f}"
