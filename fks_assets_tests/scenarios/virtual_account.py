"""A paper account of the desk that lives through recorded candles in virtual time.

At the first millisecond of a candle the desk does all its steps, with the signals of the candles that have closed by then. At the
last one it looks again and takes its balance.
"""

import sys
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from fks_assets.crashpoints import crashpoint
from fks_assets.desk.cycle import AccountDesk, open_account
from fks_assets.desk.entering import MOST_TRIES
from fks_assets.desk.floor import Floor
from fks_assets.desk.prices import Moment
from fks_assets.desk.valuing import mark_positions, take_balance
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.settings import Settings
from fks_assets.stores.database import Database
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.desk import build_desk
from fks_assets_tests.scenarios.recorded_signals import STRATEGIES, Recorded

ACCOUNT = "main"
NOWHERE = "http://127.0.0.1:9"
# What the desk asks beyond a backtest is set so wide that it never speaks.
ANY_MODE = {
    **STRATEGIES,
    "ACCOUNTS__main__strategies__technical": "0.3",
    "ACCOUNTS__main__strategies__breakout": "0.4",
    "ACCOUNTS__main__strategies__ema_crossover": "0.2",
    "ACCOUNTS__main__limits__max_order_notional": "1000000000",
    "ACCOUNTS__main__limits__max_open_orders": "10000",
    "ACCOUNTS__main__limits__max_orders_per_minute": "10000",
    "ACCOUNTS__main__limits__max_daily_loss": "1",
}
CASH = "10000"
PAPER = {**ANY_MODE, "ACCOUNTS__main__mode": "paper", "ACCOUNTS__main__initial_cash": CASH}
Work = Callable[[AccountDesk], Coroutine[Any, Any, Any]]


class RecordedPrices:
    """The feed of markets that do what was recorded: at the first millisecond of a candle its open, from then on its close.

    Between two candles, and while one is missing, there is no price.
    """

    def __init__(self, candles: Mapping[Market, Candles], step_ms: int, clock: Callable[[], int]) -> None:
        self._candles = candles
        self._step_ms = step_ms
        self._clock = clock

    async def quotes(self, markets: Sequence[Market]) -> Mapping[Market, Quote]:
        found = {market: self._now(market) for market in markets}
        return {market: quote for market, quote in found.items() if quote is not None}

    async def since(self, market: Market, began_ms: int) -> Sequence[Moment]:
        candles, last = self._candles[market], self._clock() - self._step_ms + 1
        rows = range(*np.searchsorted(candles.open_time, (began_ms, last + 1)).tolist())
        now = self._now(market)
        return [*(self._moment(candles, row) for row in rows), *([] if now is None else [Moment(now.at_ms, now)])]

    def last_close(self, market: Market) -> Quote | None:
        candles = self._candles[market]
        row = int(np.searchsorted(candles.open_time, self._clock() - self._step_ms + 1, side="right")) - 1
        return None if row < 0 else Quote.of_price(float(candles.close[row]), int(candles.open_time[row]) + self._step_ms - 1)

    def _now(self, market: Market) -> Quote | None:
        candles, at = self._candles[market], self._clock()
        row = int(np.searchsorted(candles.open_time, at, side="right")) - 1
        if row < 0 or at >= candles.open_time[row] + self._step_ms:
            return None
        return Quote.of_price(float((candles.open if at == candles.open_time[row] else candles.close)[row]), at)

    def _moment(self, candles: Candles, row: int) -> Moment:
        began = int(candles.open_time[row])
        return Moment(began, Quote(*candles.values(row), began + self._step_ms - 1))


@dataclass
class VirtualAccount:
    """An account and its clock. Each visit opens it anew, as another process would, by what the ledger has of it."""

    settings: Settings
    database: Database
    recorded: Recorded
    environment: Mapping[str, str] = field(default_factory=dict)
    now_ms: int = field(default=0, init=False)
    visits: int = field(default=0, init=False)
    floor: Floor = field(init=False)

    def __post_init__(self) -> None:
        prices = RecordedPrices(self.recorded.candles, self.step_ms, lambda: self.now_ms)
        self.floor = Floor(self.database, self.settings, lambda _: prices, lambda: self.now_ms, self.environment)
        with self.database.transaction() as connection:
            record_rules(connection, list(self.recorded.rules.values()), self.recorded.start_ms)

    @property
    def step_ms(self) -> int:
        return self.recorded.timeframe.milliseconds

    async def live(self, after: Callable[[], None] = lambda: None) -> None:
        """Live through all that was recorded, also the hours of which nothing was: a visit at the end of each candle, which stays
        until the next one has begun. `after` is called after each.
        """
        for opened in range(self.recorded.start_ms, self.recorded.end_ms + 1, self.step_ms):
            work: deque[tuple[int, Work]] = deque()
            if opened > self.recorded.start_ms:
                work.append((opened - 1, self._take_balance))
            if opened < self.recorded.end_ms:
                heard = self.recorded.heard(opened)
                work.append((opened, lambda desk, heard=heard: desk.cycle(heard, no_obstacles)))
            await self.visit(work)
            after()

    async def visit(self, work: "deque[tuple[int, Work]]") -> None:
        """Open the account and do what there is to do, each at its time; what is done is taken out."""
        self.visits += 1
        self.stand_at(work[0][0])
        async with open_account(self.floor, ACCOUNT, holder=f"visit {self.visits}") as desk:
            while work:
                now_ms, do = work[0]
                self.stand_at(now_ms)
                await do(desk)
                work.popleft()

    def stand_at(self, now_ms: int) -> None:
        """Set the clock."""
        self.now_ms = now_ms

    async def _take_balance(self, desk: AccountDesk) -> None:
        assert (await desk.settle()).ok
        await mark_positions(self.floor, desk.account)
        take_balance(self.floor, desk.account)


def no_obstacles(connection: sa.Connection, account: object, signal: object) -> Sequence[str]:
    """Nothing forbids new risk, as in a backtest."""
    return ()


def paper_account(home: Path, database: Database, recorded: Recorded, **values: str) -> VirtualAccount:
    """Return a paper account at the beginning of what was recorded; `values` are settings beside those of PAPER."""
    return VirtualAccount(account_settings(home, database, recorded, NOWHERE, {**PAPER, **values}), database, recorded)


def account_settings(
    home: Path, database: Database, recorded: Recorded, exchange_url: str, values: Mapping[str, str]
) -> Settings:
    """Return the settings of a desk with the recorded markets and an account."""
    symbols = [f"{market.base}-{market.quote}" for market in recorded.candles]
    timeframe = recorded.timeframe.name
    values = {"TIMEFRAMES": timeframe, f"HISTORY_DAYS__{timeframe}": "90", **values}
    return build_desk(home, database.url, exchange_url, symbols=symbols, **values).settings


class Killed(BaseException):
    """The process has died here; nothing of the desk may catch it."""


@dataclass
class MortalAccount(VirtualAccount):
    """An account whose process dies again and again, at any of its named points; the next one goes on from the ledger.

    At one moment it dies so often at most that an entry has a try left: the desk gives up after MOST_TRIES, a backtest never.
    """

    chance: float = 0.0
    seed: int = 0
    deaths: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._random = Random(self.seed)
        self._deaths_at: Counter[int] = Counter()

    async def visit(self, work: "deque[tuple[int, Work]]") -> None:
        while work:
            try:
                await super().visit(work)
            except Killed as death:
                self.deaths[str(death)] += 1

    def pass_by(self, point: str) -> None:
        """Stand in for `crashpoint`."""
        if self._random.random() < self.chance and self._deaths_at[self.now_ms] < MOST_TRIES - 1:
            self._deaths_at[self.now_ms] += 1
            raise Killed(point)


def dying(account: VirtualAccount, patch: pytest.MonkeyPatch, *, chance: float, seed: int) -> MortalAccount:
    """Return the account as one whose process dies, with this chance, at each point at which one may die."""
    found = MortalAccount(account.settings, account.database, account.recorded, chance=chance, seed=seed)
    for name, module in list(sys.modules.items()):
        if name.startswith("fks_assets.") and getattr(module, "crashpoint", None) is crashpoint:
            patch.setattr(module, "crashpoint", found.pass_by)
    return found
