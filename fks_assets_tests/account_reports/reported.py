"""A desk on which a paper account lived through one week, every number of it worked out by hand.

The week from Monday 5 to Monday 12 January 2026, in USDT. 10,000 were paid in on Sunday the 4th.

Mon 10:00  10 BTC bought at 100, fee 1         23:45  at 110: 8,999 + 1,100 = 10,099
Tue 12:00  at 110: 10,099, then 1,000 paid in  23:45  at 105: 9,999 + 1,050 = 11,049
Wed 09:00  10 BTC sold at 108, fee 1: +78      23:45  11,078
Thu 08:00  5 ETH bought at 200, stop 190, fee 1, fills only
Fri 15:00  5 ETH sold at 185, fee 1: -77       23:45  11,001
Sat 09:00  2 BTC bought at 120, no fee         12:00  at 120: 11,001, then 500 taken out
Sun                                            23:45  at 130: 10,261 + 260 = 10,521; the last stored hour closes at 131
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest
import sqlalchemy as sa

from fks_assets import clock
from fks_assets.clock import to_datetime
from fks_assets.desk.stop_guard_words import tell_unwatched, tell_watched
from fks_assets.desk.valuing import take_balance
from fks_assets.quant.candles import Candles
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Side
from fks_assets.quant.risk import RiskLevel
from fks_assets.quant.risk_alarm import Alarm
from fks_assets.resources.reports import Reports
from fks_assets.stores.candle_tables import candles_table
from fks_assets.stores.candles import PartitionId
from fks_assets.stores.database import Database
from fks_assets.stores.deliveries import add_deliveries
from fks_assets.stores.guard import HOUR_MS, Hour, StopCheck, add_hours, read_guarded, write_checks
from fks_assets.stores.ledger import journal
from fks_assets.stores.ledger.accounts import Account
from fks_assets.stores.ledger.deals import Deal
from fks_assets.stores.ledger.fills import record_fills
from fks_assets.stores.ledger.halts import HaltScope, halt
from fks_assets.stores.ledger.positions import mark
from fks_assets.stores.notifications import add_notification
from fks_assets.stores.risk import RiskRow, record_risk
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.stores.ledger import books
from fks_assets_tests.stores.ledger.books import BTC, ETH

DAY_MS = 86_400_000
MONDAY = 1_767_571_200_000  # 2026-01-05T00:00Z
NEXT_MONDAY = MONDAY + 7 * DAY_MS
SETTINGS = {
    "EXCHANGE": "binance",
    "TIMEFRAMES": "1h",
    "ACCOUNTS__main__mode": "paper",
    "ACCOUNTS__main__initial_cash": "10000",
    "ACCOUNTS__told__mode": "alert",
    "ACCOUNTS__told__strategies__technical": "1.0",
}
# What 1 of Sunday is worth after each day: deposits are part of what works from when they came.
GROWTH = [
    Fraction(10_099, 10_000),
    Fraction(11_049, 10_099 + 1_000),
    Fraction(11_078, 11_049),
    Fraction(1),
    Fraction(11_001, 11_078),
    Fraction(1),
    Fraction(10_521, 11_001 - 500),
]


def at(day: int, hour: int, minute: int = 0) -> int:
    """Return a time of the week: day 0 is Monday."""
    return MONDAY + day * DAY_MS + hour * HOUR_MS + minute * 60_000


@dataclass
class ReportedDesk:
    """The desk; `now_ms` is the time of its clock."""

    desk: Desk
    now_ms: int

    @property
    def database(self) -> Database:
        return self.desk.stores.database

    @property
    def reports(self) -> Reports:
        return self.desk.definitions.resources["reports"]

    @property
    def environment(self) -> dict[str, str]:
        """What the environment says of the desk, home and database apart."""
        return {f"FKS_{name}": value for name, value in SETTINGS.items()}

    def account(self, name: str = "main") -> Account:
        return self.desk.market_data.trading_floor().account(name)

    def enter(
        self,
        market: Market,
        when: int,
        quantity: str,
        price: str,
        fee: str = "0",
        *,
        stop: str | None = None,
        side: Side = Side.BUY,
    ) -> Deal:
        """Open a position; the ledger knows of it when it happens."""
        levels = {"price": Decimal(price), "stop_loss_price": None if stop is None else Decimal(stop)}
        with self.database.transaction() as connection:
            deal = books.open_deal(connection, market, self._number(), side, **levels)
        self.fill(deal, when, quantity, price, fee, Leg.ENTRY)
        return deal

    def fill(self, deal: Deal, when: int, quantity: str, price: str, fee: str = "0", leg: Leg = Leg.EXIT) -> None:
        number = self._number()
        with self.database.transaction() as connection:
            fence = books.fences.take(connection, "main", "test", at_ms=books.NOON)
            order = books.sent(connection, fence, books.intent(deal, quantity, leg), f"order {number}")
            told = books.trade(order, f"trade {number}", quantity, price, fee, traded_at=when)
            record_fills(connection, "main", [told], at_ms=when)

    def balance(self, when: int, **prices: str) -> None:
        """Mark what is held, and take a balance."""
        self.now_ms = when
        with self.database.transaction() as connection:
            for market in (BTC, ETH):
                if market.base in prices:
                    mark(connection, {market: Decimal(prices[market.base])}, at_ms=when)
        take_balance(self.desk.market_data.trading_floor(), self.account())

    def look_at(self, name: str, when: int) -> None:
        """Take a balance of another account."""
        self.now_ms = when
        take_balance(self.desk.market_data.trading_floor(), self.account(name))

    def pay(self, way: str, when: int, amount: str) -> None:
        with self.database.transaction() as connection:
            getattr(journal, way)(connection, "main", "USDT", Decimal(amount), f"bank {when}", at_ms=when, by="Ada")

    def closes(self, market: Market, last_close_at: int, *closes: float) -> None:
        """Store the closes of the hours before a time."""
        step = len(closes)
        times = last_close_at - HOUR_MS * np.arange(step, 0, -1, dtype=np.int64)
        prices = np.array(closes)
        partition = PartitionId("ohlcv", market, "1h", to_datetime(int(times[-1])).strftime("%Y-%m"))
        with self.desk.stores.candles.begin([partition]) as transaction:
            rows = Candles(times, prices, prices, prices, prices, np.ones(step))
            transaction.merge(partition, candles_table([(rows, "test")]), known_at_ms=self.now_ms)

    def scheduled(self, job: str, when: int) -> dg.ExecuteInProcessResult:
        """Run what the schedule of a job asks for at a time, half a minute later."""
        schedule = self.desk.definitions.resolve_schedule_def(f"{job}_schedule")
        with dg.build_schedule_context(
            self.desk.instance,
            scheduled_execution_time=to_datetime(when),
            resources={"stores": self.desk.stores},
            repository_def=self.desk.definitions.get_repository_def(),
        ) as context:
            [request] = schedule.evaluate_tick(context).run_requests or []
        self.now_ms = when + 30_000
        tags = {**request.tags, "dagster/schedule_name": schedule.name}
        return self.run(job, tags)

    def asked(self, job: str, partition: str) -> dg.ExecuteInProcessResult:
        """Run a job for one partition as a person does."""
        return self.run(job, {"dagster/partition": partition})

    def run(self, job: str, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        made = self.desk.definitions.resolve_job_def(job)
        return made.execute_in_process(instance=self.desk.instance, tags=tags, raise_on_error=False)

    def _number(self) -> int:
        with self.database.transaction() as connection:
            return int(connection.scalar(sa.text("SELECT count(*) FROM orders")) or 0)


@contextmanager
def reported_desk(home: Path, database_url: str) -> Iterator[ReportedDesk]:
    """Give a desk whose clock stands still at Sunday noon, when its account got its money."""
    desk = ReportedDesk(build_desk(home, database_url, "http://127.0.0.1:9", **SETTINGS), MONDAY - DAY_MS // 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: desk.now_ms * 1_000_000))
        desk.account()
        yield desk
    desk.database.engine.dispose()


def live_the_week(desk: ReportedDesk) -> None:
    """Let the account live through the week of the docstring above."""
    desk.balance(MONDAY - 15 * 60_000)
    first = desk.enter(BTC, at(0, 10), "10", "100", "1")
    desk.balance(at(0, 23, 45), BTC="110")
    desk.look_at("told", at(1, 0))
    desk.balance(at(1, 12), BTC="110")
    desk.pay("deposit", at(1, 12), "1000")
    desk.balance(at(1, 23, 45), BTC="105")
    desk.fill(first, at(2, 9), "10", "108", "1")
    desk.balance(at(2, 23, 45))
    second = desk.enter(ETH, at(3, 8), "5", "200", "1", stop="190")
    desk.fill(second, at(4, 15), "5", "185", "1")
    desk.balance(at(4, 23, 45))
    third = desk.enter(BTC, at(5, 9), "2", "120")
    desk.balance(at(5, 12), BTC="120")
    desk.pay("withdraw", at(5, 12), "500")
    desk.balance(at(6, 23, 45), BTC="130")
    desk.closes(BTC, NEXT_MONDAY, 129.0, 130.0, 131.0)
    desk.now_ms = NEXT_MONDAY
    _watch(desk, third)
    _risk(desk)


def _watch(desk: ReportedDesk, deal: Deal) -> None:
    """Ten hours of a position, six minutes of them unwatched; of the guard's time on it nothing else is left to count."""
    with desk.database.transaction() as connection:
        add_hours(connection, [Hour(deal.id, at(5, 9 + number), HOUR_MS, 0) for number in range(9)])
        add_hours(connection, [Hour(deal.id, at(5, 18), HOUR_MS - 360_000, 360_000)])
        write_checks(connection, [StopCheck(deal.id, at(5, 9), NEXT_MONDAY, NEXT_MONDAY - 1, Decimal(131), NEXT_MONDAY - 1)])
        [held] = [each for each in read_guarded(connection) if each.deal_id == deal.id]
        group = ("main", "binance")
        for when in (MONDAY - 60_000, at(5, 18, 4), at(5, 18, 6), NEXT_MONDAY):
            assert tell_unwatched(connection, group, {held: "no answer"}, 15, when)
        tell_unwatched(connection, ("told", "binance"), {held: "no answer"}, 15, at(5, 18, 6))
        tell_watched(connection, group, at(5, 18, 4), at(5, 18, 10))


def _risk(desk: ReportedDesk) -> None:
    """Half an hour at LOW from a look before the week, half an hour at HIGH, an hour at NONE; then nobody looked."""
    looks = ((at(-1, 23, 50), "MEDIUM"), (at(0, 0, 20), "LOW"), (at(0, 0, 50), "HIGH"), (at(0, 1, 20), "NONE"))
    with desk.database.transaction() as connection:
        for when, level in looks:
            alarm = Alarm(when, ("exposure",), when) if level == "HIGH" else None
            record_risk(connection, RiskRow("main", when, RiskLevel(level), {}, alarm))
        halt(
            connection,
            HaltScope.MARKET,
            BTC.key,
            account="main",
            reason="a position was left",
            by="protection:pause",
            at_ms=at(2, 9),
            until_ms=at(2, 13),
        )
        halt(connection, HaltScope.MARKET, ETH.key, account="told", reason="theirs", by="protection:pause", at_ms=at(2, 9))
        halt(connection, HaltScope.MARKET, ETH.key, reason="by hand", by="Ada", at_ms=at(2, 9))


def tell_some(desk: ReportedDesk) -> None:
    """Write five messages in the week: two said by the phone, one said and gone on twice, one not said, one that waits.

    A sixth was said an hour after the week. The database's clock dates all others, far from the week.
    """
    states = {"a": "DELIVERED", "b": "DIGESTED", "c": "DEAD", "d": "PENDING", "e": "DELIVERED", "f": "DELIVERED"}
    with desk.database.transaction() as connection:
        for name, state in states.items():
            number = add_notification(connection, "alert", "HIGH", name, name)
            assert number is not None
            add_deliveries(connection, [(number, "log"), (number, "phone")], at_ms=at(1, 1))
            when = to_datetime(at(7, 1) if name == "f" else at(1, 1))
            connection.execute(
                sa.text("UPDATE notifications SET created_at = :at, escalations = :escalations WHERE id = :id"),
                {"id": number, "at": when, "escalations": 2 if name == "e" else 0},
            )
            said = when if state in ("DELIVERED", "DIGESTED") else None
            connection.execute(
                sa.text("""UPDATE deliveries SET state = :state, last_error = 'gone', delivered_at = :said,
                    digest_of = CASE WHEN :state = 'DIGESTED' THEN id END WHERE notification_id = :id AND channel = 'phone'"""),
                {"id": number, "state": state, "said": said},
            )
