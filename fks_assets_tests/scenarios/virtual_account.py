"""An account of the desk that lives through recorded candles in virtual time, and the backtest of the same account.

Each hour the desk does all its steps at the open, with the signals of the candles that have closed by then, and once more looks
and takes its balance at the last millisecond of the hour.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from fks_assets.desk.cycle import AccountDesk, open_account
from fks_assets.desk.floor import Floor
from fks_assets.desk.prices import Moment
from fks_assets.desk.valuing import mark_positions, take_balance
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.backtest.book import Book, Leg, MarketSeries
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.ledger import ExactEquity, exact_equity
from fks_assets.quant.backtest.results import ENTRY, SIGNAL, STOP, TARGET, TRAILING
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg as OrderLeg
from fks_assets.settings import Settings, read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.balances import read_balances
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import read_fills
from fks_assets.stores.ledger.orders import read_orders
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.desk import build_desk
from fks_assets_tests.scenarios.recorded_signals import Recorded

ACCOUNT = "main"
HOUR_MS = 3_600_000
# What the desk asks beyond a backtest is set so wide that it never speaks.
PAPER = {
    "ACCOUNTS__main__mode": "paper",
    "ACCOUNTS__main__initial_cash": "10000",
    "ACCOUNTS__main__strategies__technical": "0.4",
    "ACCOUNTS__main__strategies__breakout": "0.5",
    "ACCOUNTS__main__limits__max_order_notional": "1000000000",
    "ACCOUNTS__main__limits__max_open_orders": "10000",
    "ACCOUNTS__main__limits__max_orders_per_minute": "10000",
    "ACCOUNTS__main__limits__max_daily_loss": "1",
}
REASONS = {OrderLeg.ENTRY: ENTRY, OrderLeg.STOP: STOP, OrderLeg.TARGET: TARGET, OrderLeg.EXIT: SIGNAL}
_UNEVEN = sa.text("SELECT journal_id, currency FROM journal_entries GROUP BY 1, 2 HAVING sum(amount) <> 0")
_WALLETS = sa.text("""
    SELECT account, currency FROM wallets w WHERE amount <> (
        SELECT sum(e.amount) FROM journal j JOIN journal_entries e ON e.journal_id = j.id
        WHERE j.account = w.account AND e.currency = w.currency AND e.book = 'wallet')
""")
_POSITIONS = sa.text("""
    SELECT deal_id FROM positions p WHERE (bought_quantity, sold_quantity, fees_quote) <> (
        SELECT coalesce(sum(f.quantity) FILTER (WHERE f.side = 'BUY'), 0),
               coalesce(sum(f.quantity) FILTER (WHERE f.side = 'SELL'), 0), coalesce(sum(f.fee), 0)
        FROM orders o JOIN fills f ON f.order_id = o.id WHERE o.deal_id = p.deal_id)
""")
_HELD = sa.text("""
    SELECT w.currency FROM wallets w JOIN accounts a ON a.name = w.account WHERE w.currency <> a.quote AND w.amount <> (
        SELECT coalesce(sum(bought_quantity - sold_quantity), 0) FROM positions p
        WHERE p.account = w.account AND split_part(p.market, '-', 1) = w.currency)
""")


class RecordedPrices:
    """The feed of markets that do what was recorded: at the first millisecond of a candle its open, from then on its close."""

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
        moments = [self._moment(candles, row) for row in rows]
        now = self._now(market)
        return moments if now is None else [*moments, Moment(now.at_ms, now)]

    def last_close(self, market: Market) -> Quote | None:
        candles, at = self._candles[market], self._clock()
        row = int(np.searchsorted(candles.open_time, at - self._step_ms + 1, side="right")) - 1
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
    """The account, its clock, and how often it has looked. `opens_anew`: each look is a new process' one, by the ledger alone."""

    floor: Floor
    recorded: Recorded
    now_ms: int = 0
    looks: int = field(default=0, init=False)

    async def live(self, start_ms: int, end_ms: int, after: Callable[[], None] = lambda: None) -> None:
        """Live through the hours of [start_ms, end_ms); `after` is called after each."""
        for hour in range(start_ms, end_ms, HOUR_MS):
            await self.live_hour(hour)
            after()

    async def live_hour(self, hour: int) -> None:
        self.now_ms = hour
        await self.look(lambda desk: desk.cycle(self.recorded.heard(hour), no_obstacles))
        self.now_ms = hour + HOUR_MS - 1
        await self.look(self._close)

    async def look(self, work: Callable[[AccountDesk], object]) -> None:
        self.looks += 1
        async with open_account(self.floor, ACCOUNT, holder=f"look {self.looks}") as desk:
            await work(desk)

    async def _close(self, desk: AccountDesk) -> None:
        await desk.trade()
        await mark_positions(self.floor, desk.account)
        take_balance(self.floor, desk.account)


def no_obstacles(connection: sa.Connection, account: object, signal: object) -> Sequence[str]:
    """Nothing forbids new risk, as in a backtest."""
    return ()


def account_settings(home: Path, database_url: str, symbols: Sequence[str], url: str = "http://127.0.0.1:9", **values: str) -> Settings:
    """Return the settings of a desk with hourly candles of these markets and one account."""
    return build_desk(home, database_url, url, symbols=symbols, TIMEFRAMES="1h", **{**PAPER, **values}).settings


def paper_account(settings: Settings, database: Database, recorded: Recorded) -> VirtualAccount:
    """Return a paper account at the beginning of what was recorded; the rules of its markets are known."""
    with database.transaction() as connection:
        record_rules(connection, list(recorded.rules.values()), recorded.start_ms)
    account = VirtualAccount.__new__(VirtualAccount)
    prices = RecordedPrices(recorded.candles, HOUR_MS, lambda: account.now_ms)
    floor = Floor(database, settings, lambda _: prices, lambda: account.now_ms, {})
    account.__init__(floor, recorded, recorded.start_ms)
    return account
