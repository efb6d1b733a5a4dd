"""Alert mode: the desk watches stops and targets and tells; a person leaves and records it."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from fks_assets.desk.alerts import AGAIN_MS, protect_alerts
from fks_assets.desk.recording import Execution, record_execution
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Mode, Side
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import AccountSpec, mirror
from fks_assets.stores.ledger.deals import Deal, NewDeal, open_deal, read_deal
from fks_assets.stores.ledger.positions import mark, read_positions
from fks_assets.stores.ledger.stops import Stop, StopState, read_stops, set_stop
from fks_assets.stores.notifications import Notification, read_notifications
from fks_assets_tests.orders.venues import NOW_MS

MARKET = Market("BTC", "USDT", "binance")
MINUTE_MS = 60_000


@dataclass
class Watched:
    """An account in alert mode that holds 0.5 at 100, stop 90, target 120."""

    database: Database
    deal: Deal
    now_ms: int = NOW_MS

    def tick(self, close: float | None, *, high: float | None = None, low: float | None = None, minutes: int = 1) -> int:
        """Let time pass and tell a price, or a candle; return the new messages."""
        self.now_ms += minutes * MINUTE_MS
        quotes = {} if close is None else {MARKET: Quote(close, high or close, low or close, close, 0.0, self.now_ms)}
        with self.database.transaction() as connection:
            return protect_alerts(connection, "alerts", quotes, at_ms=self.now_ms)

    def record(self, leg: Leg, price: str, quantity: str = "0.5") -> None:
        execution = Execution(leg, Decimal(price), Decimal(quantity), Decimal(0), "USDT", self.now_ms)
        with self.database.transaction() as connection:
            record_execution(connection, self.deal.id, execution, at_ms=self.now_ms)

    @property
    def stop(self) -> Stop:
        return read_stops(self.database, deal_ids=[self.deal.id])[0]

    @property
    def notes(self) -> list[Notification]:
        return read_notifications(self.database, ["stop", "trade"])


def watched(database: Database, *, trailing: str | None = None, side: Side = Side.BUY) -> Watched:
    levels = (Decimal(90), Decimal(120)) if side is Side.BUY else (Decimal(110), Decimal(80))
    new = NewDeal(
        account="alerts",
        strategy="breakout",
        provider="binance",
        market=MARKET,
        timeframe="1h",
        signal_time=NOW_MS - 3_600_000,
        side=side,
        price=Decimal(100),
        quantity=Decimal("0.5"),
        confidence=Decimal("0.8"),
        reason="test",
        at_ms=NOW_MS,
        stop_loss_price=levels[0],
        take_profit_price=levels[1],
        trailing_stop_distance=None if trailing is None else Decimal(trailing),
        ordering=False,
    )
    with database.transaction() as connection:
        mirror(connection, [AccountSpec("alerts", Mode.ALERT, "binance", "USDT")], at_ms=NOW_MS)
        deal, _ = open_deal(connection, new)
    found = Watched(database, deal)
    found.record(Leg.ENTRY, "100")
    return found


@pytest.fixture
def held(database: Database) -> Iterator[Watched]:
    yield watched(database)


def test_a_hundred_ticks_below_the_stop_are_one_alert(held: Watched):
    """C11, S1.14: 🛑 once, however long the price stays there; the person is told what to leave and how to say so."""
    assert held.tick(95.0) == 0
    assert sum(held.tick(89.0 - tick / 100) for tick in range(100)) == 1
    (note,) = held.notes
    assert (note.severity, held.stop.state) == ("URGENT", StopState.ALERTED)
    assert note.message.startswith("🛑 STOP LOSS TRIGGERED!")
    assert "0.5 BTC" in note.message and f"fks orders record {held.deal.id} --leg stop" in note.message


def test_the_alert_is_said_again_every_four_hours_while_the_position_is_held(held: Watched):
    """C11: the reminder policy; a day of ticks is one alert and five reminders."""
    assert held.tick(89.0) == 1
    told = [held.tick(89.0, minutes=20) for _ in range(72)]
    assert sum(told) == 24 * 3_600_000 // AGAIN_MS
    assert all("still held" in note.message for note in held.notes[1:])


def test_leaving_is_said_once_it_is_recorded(held: Watched):
    """S1.14, C11: the resolve message, with what it brought: 0.5 * (88 - 100)."""
    held.tick(89.0)
    held.record(Leg.STOP, "88")
    assert [held.tick(85.0), held.tick(None), held.tick(95.0)] == [1, 0, 0]
    note = held.notes[-1]
    assert (note.severity, "out at 88, profit -6 USDT" in note.message) == ("INFO", True)
    assert held.stop.state is StopState.NONE and not read_deal(held.database, held.deal.id).is_active


def test_a_part_that_is_left_does_not_end_the_alert(held: Watched):
    """C13: what is still held is still beyond its stop."""
    held.tick(89.0)
    held.record(Leg.STOP, "88", "0.2")
    assert held.tick(88.0) == 0 and held.stop.state is StopState.ALERTED
    assert held.tick(88.0, minutes=240) == 1
    assert "0.3 BTC are still held" in held.notes[-1].message


def test_a_price_that_comes_back_is_said_once_and_the_stop_is_watched_again(held: Watched):
    """C11: half a percent beyond the level, so that a price that trembles around it is no flood."""
    held.tick(89.9)
    assert sum(held.tick(price) for price in (90.1, 89.9, 90.4, 89.8, 90.44) * 10) == 0
    assert (held.tick(90.46), held.stop.state) == (1, StopState.NONE)
    assert "is back" in held.notes[-1].message
    assert held.tick(90.1) == 0
    assert (held.tick(89.9), held.stop.state) == (1, StopState.ALERTED)


@pytest.mark.parametrize("price", [None, 0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_price_that_is_none_triggers_nothing(held: Watched, price: float | None):
    """F13, E8: absent, 0, NaN, infinite."""
    before = held.stop
    assert [held.tick(price) for _ in range(3)] == [0, 0, 0]
    assert (held.stop, held.notes) == (before, [])


def test_a_price_far_from_the_last_one_counts_when_it_is_seen_twice(held: Watched):
    """E8: one print of a price a fifth away is nothing; two are a crash."""
    assert [held.tick(70.0), held.tick(100.0), held.tick(99.0)] == [0, 0, 0]
    assert held.notes == []
    assert [held.tick(70.0), held.tick(69.0)] == [0, 1]


def test_a_trailing_stop_follows_and_alerts_at_its_new_level(database: Database):
    """S3.8, C9: 110 * 0.95 is 104.5; a candle that fell back through it is a stop, as in the backtest."""
    held = watched(database, trailing="0.05")
    assert [held.tick(101.0), held.tick(110.0), held.tick(106.0)] == [0, 0, 0]
    assert held.stop.level == Decimal("104.5")
    assert held.tick(104.4) == 1
    assert "104.5 is passed at 104.4" in held.notes[-1].message
    other = watched_again(held)
    assert other.tick(112.0, high=118.0) == 1
    assert other.stop.level == Decimal("112.1")


def watched_again(held: Watched) -> Watched:
    held.record(Leg.STOP, "104")
    held.tick(None)
    with held.database.transaction() as connection:
        mark(connection, {MARKET: Decimal(104)}, at_ms=held.now_ms)
        new = NewDeal(
            account="alerts",
            strategy="other",
            provider="binance",
            market=MARKET,
            timeframe="1h",
            signal_time=held.now_ms,
            side=Side.BUY,
            price=Decimal(104),
            quantity=Decimal("0.5"),
            confidence=Decimal(1),
            reason="test",
            at_ms=held.now_ms,
            stop_loss_price=Decimal(90),
            take_profit_price=Decimal(150),
            trailing_stop_distance=Decimal("0.05"),
            ordering=False,
        )
        deal, _ = open_deal(connection, new)
    other = Watched(held.database, deal, held.now_ms)
    other.record(Leg.ENTRY, "104")
    return other


def test_a_candle_that_touched_the_stop_is_a_stop_wherever_it_closed(held: Watched):
    """C9: the engine of the backtest decides: quant/stops.evaluate_candle."""
    assert held.tick(97.0, high=98.0, low=89.5) == 1
    assert "is passed at 90" in held.notes[-1].message


def test_a_candle_from_before_the_position_says_only_where_the_price_is(held: Watched):
    """Its low was nobody's stop."""
    held.now_ms = NOW_MS - 2 * MINUTE_MS
    assert held.tick(97.0, high=98.0, low=89.5) == 0


def test_a_target_is_told_once_and_the_stop_is_watched_on(held: Watched):
    """One message for each target; the stop alert comes all the same."""
    assert [held.tick(115.0), held.tick(120.0), held.tick(121.0), held.tick(119.0), held.tick(120.5)] == [0, 1, 0, 0, 0]
    (note,) = held.notes
    assert (note.kind, note.severity) == ("trade", "HIGH") and "--leg target" in note.message
    assert [held.tick(100.0), held.tick(89.0), held.tick(88.0)] == [0, 1, 0]


def test_a_short_position_is_stopped_from_below(database: Database):
    held = watched(database, side=Side.SELL, trailing="0.05")
    assert [held.tick(100.0), held.tick(90.0)] == [0, 0]
    assert held.stop.level == Decimal("94.5")
    assert [held.tick(94.0), held.tick(95.0), held.tick(96.0)] == [0, 1, 0]


def test_a_deal_that_was_to_be_left_is_alerted_all_the_same(held: Watched):
    """A SELL signal that nobody has followed does not silence the stop."""
    with held.database.transaction() as connection:
        set_stop(connection, held.deal.id, at_ms=held.now_ms, state=StopState.EXITING)
    assert [held.tick(95.0), held.tick(89.0), held.tick(88.0)] == [0, 1, 0]


def test_deals_without_a_position_and_without_levels_are_left_alone(database: Database):
    held = watched(database)
    with database.transaction() as connection:
        set_stop(connection, held.deal.id, at_ms=NOW_MS, level=None, target=None)
    assert [held.tick(50.0), held.tick(50.0), held.tick(50.0)] == [0, 0, 0]
    held.record(Leg.EXIT, "50")
    assert held.tick(50.0) == 0 and not any(each.is_open for each in read_positions(database))


def test_a_stop_of_which_no_row_was_written_is_taken_from_the_deal(held: Watched):
    """Whoever booked the entry: the deal's own levels hold."""
    with held.database.transaction() as connection:
        _forget_stop(connection, held.deal.id)
    assert [held.tick(95.0), held.tick(89.0)] == [0, 1]


def _forget_stop(connection: Any, deal_id: int) -> None:
    import sqlalchemy as sa

    connection.execute(sa.text("DELETE FROM stops WHERE deal_id = :id"), {"id": deal_id})
