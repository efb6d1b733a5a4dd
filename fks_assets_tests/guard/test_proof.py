"""The proof that stops are watched: each position checked in time, on a price that counts, or people are told (D12)."""

from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from fks_assets.desk.stop_proof import Coverage, count_time, coverage, last_hour
from fks_assets.quant.orders import Leg
from fks_assets.settings.guard import GuardSettings
from fks_assets.stores.database import Database
from fks_assets.stores.guard import HOUR_MS, Hour, StopCheck, read_hours
from fks_assets_tests.guard.world import MARKET, NOW_MS, OTHER, GuardWorld

WITHIN_MS = 15_000


def test_a_frozen_feed_is_a_breach_within_the_limit_and_never_a_check(world: GuardWorld) -> None:
    """D12: the price stands still for longer than 60 s, and 15 s later people are told: 80 s after it froze, at this clock."""
    deal = world.hold()
    world.look(100.0)
    frozen_at = world.prices.now_ms
    world.prices.frozen.add(MARKET)
    told_at = None
    while told_at is None:
        look = world.look()
        assert world.prices.now_ms - frozen_at <= 85_000
        age = world.prices.now_ms - frozen_at
        assert look.watched == (age <= 60_000)
        told_at = world.prices.now_ms if look.told else None
    check = world.check(deal)
    assert told_at - frozen_at == 80_000 and check.checked_at == frozen_at + 60_000
    assert (look.unwatched, look.changed, check.breached_at) == ((deal.id,), True, told_at)
    (note,) = world.notes()
    assert note.severity == "URGENT" and note.message.startswith("⚠️ Stops that nobody watches! 1 positions of account told")
    assert f"{MARKET}: its price has stood still for 80 s" in note.message
    assert [world.look().told for _ in range(30)] == [0] * 30
    world.prices.frozen.clear()
    look = world.look(100.0)
    assert (look.told, look.unwatched, look.changed) == (1, (), True)
    assert "are watched again, after 155 s" in world.notes()[-1].message


def test_a_frozen_feed_fires_nothing_and_one_that_thaws_beyond_the_stop_does(world: GuardWorld) -> None:
    """T5: what the exchange says has not changed since an hour; it is no price of now, on either side of the stop."""
    world.hold()
    world.look(100.0)
    world.prices.say(89.0)
    world.prices.frozen.add(MARKET)
    world.prices.told_ms[MARKET] = world.prices.now_ms - 3_600_000
    assert [world.look().watched for _ in range(5)] == [0] * 5
    assert [note for note in world.notes() if "STOP LOSS" in note.message] == []
    world.prices.frozen.clear()
    world.look()
    assert len([note for note in world.notes() if "STOP LOSS" in note.message]) == 1


def test_an_answer_from_the_past_is_no_check(world: GuardWorld) -> None:
    """D12: another server behind the same address answers with what it knew ten seconds ago."""
    deal = world.hold()
    world.look(100.0)
    before = world.check(deal).checked_at
    world.prices.frozen.add(MARKET)
    world.prices.told_ms[MARKET] -= 10_000
    assert world.look(101.0).watched == 0
    assert world.check(deal).checked_at == before


def test_an_exchange_that_does_not_answer_is_one_message_for_all_positions_of_an_account(world: GuardWorld) -> None:
    """C11, D12: not one for each position, and one when it is over."""
    for number in range(8):
        world.hold(market=MARKET if number % 2 else OTHER, account="other" if number < 3 else "told")
    world.prices.say(100.0, market=OTHER)
    world.look(100.0)
    world.prices.down = True
    told = [world.look().told for _ in range(60)]
    assert sum(told) == 2 and told[3] == 2, "more than 15 s without a check, by account"
    messages = sorted(note.message for note in world.notes())
    assert "3 positions of account other" in messages[0] and "5 positions of account told" in messages[1]
    assert "cannot be reached: refused" in messages[0]
    world.prices.down = False
    assert [world.look().told for _ in range(3)] == [2, 0, 0]


def test_a_guard_that_was_away_says_so_itself_when_it_is_back_only_if_it_finds_no_price(world: GuardWorld) -> None:
    """The watchdog told of its absence; the hours keep it."""
    deal = world.hold()
    world.look(100.0)
    began = world.prices.now_ms
    assert world.look(100.0, seconds=2 * 3600).told == 0
    ended = [hour for hour in read_hours(world.database, 0, 2**45) if hour.deal_id == deal.id]
    counted = world.check(deal)
    uncovered = sum(hour.uncovered_ms for hour in ended) + counted.uncovered_ms
    assert uncovered == world.prices.now_ms - began - WITHIN_MS


def test_time_is_counted_by_hours_to_the_millisecond() -> None:
    """By hand: last checked at 12:59:50, so covered until 13:00:05; counted at 14:30."""
    noon = NOW_MS
    check = StopCheck(1, noon, noon + HOUR_MS - 10_000, checked_at=noon + HOUR_MS - 10_000, price=Decimal(1), price_at=1)
    check = StopCheck(**{name: getattr(check, name) for name in StopCheck.__dataclass_fields__} | {"covered_ms": 3_590_000})
    counted, hours = count_time(check, noon + 2 * HOUR_MS + HOUR_MS // 2, WITHIN_MS)
    assert hours == [Hour(1, noon, 3_600_000, 0), Hour(1, noon + HOUR_MS, 5_000, 3_595_000)]
    assert last_hour(counted) == [Hour(1, noon + 2 * HOUR_MS, 0, HOUR_MS // 2)]
    assert count_time(counted, counted.accounted_to - 5_000, WITHIN_MS) == (counted, []), "time never runs back"


def test_a_guard_that_was_away_for_a_year_writes_one_row_for_it(world: GuardWorld) -> None:
    """T4, D12: a row for each hour of 5,000 positions is more than a look can write, and no look would ever be the next one.

    By hand: checked at 12:00:05, so covered until 12:00:20; the first whole hour that nobody watched is that of 13:00.
    """
    deal = world.hold()
    world.look(100.0)
    year = 400 * 24
    assert world.look(100.0, seconds=year * 3600).watched == 1
    first, gap = read_hours(world.database, 0, 2**45)
    assert first == Hour(deal.id, NOW_MS, 20_000, HOUR_MS - 20_000)
    assert gap == Hour(deal.id, NOW_MS + HOUR_MS, 0, (year - 1) * HOUR_MS)
    week = 7 * 24
    within = (NOW_MS + 100 * HOUR_MS, NOW_MS + (100 + week) * HOUR_MS)
    assert coverage(world.database, *within, now_ms=world.prices.now_ms, within_ms=WITHIN_MS) == Coverage(0, week * HOUR_MS)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 10, Hour(1, 3, 0, 4)),
        (3, 7, Hour(1, 3, 0, 4)),
        (4, 6, Hour(1, 4, 0, 2)),
        (3.5, 4.5, Hour(1, 4, 0, 1)),
        (6.5, 9, None),
        (0, 3, None),
        (7, 9, None),
    ],
)
def test_of_hours_that_are_one_those_count_that_begin_in_the_time(start: float, end: float, expected: Hour | None) -> None:
    """By hand: the hours of 3, 4, 5 and 6 in one; numbers in hours."""
    found = Hour(1, 3 * HOUR_MS, 0, 4 * HOUR_MS).begun_in(round(start * HOUR_MS), round(end * HOUR_MS))
    wanted = None if expected is None else Hour(1, expected.hour * HOUR_MS, 0, expected.uncovered_ms * HOUR_MS)
    assert found == wanted
    assert Hour(1, 3 * HOUR_MS, 5, HOUR_MS - 5).begun_in(3 * HOUR_MS, 4 * HOUR_MS) == Hour(1, 3 * HOUR_MS, 5, HOUR_MS - 5)


def test_coverage_is_the_share_of_the_time_that_was_watched(database: Database) -> None:
    """D12, for the weekly report: looks every minute, ten minutes without an exchange, of which the last check holds one."""
    world = GuardWorld(database, GuardSettings(check_within_seconds=60))
    deal = world.hold()
    start = world.prices.now_ms
    world.prices.say(100.0)
    for minute in range(1, 61):
        world.prices.down = 20 < minute <= 29
        world.look(seconds=60.0)

    def found(account: str | None = None) -> Coverage:
        now = world.prices.now_ms
        return coverage(database, start, start + HOUR_MS, now_ms=now, within_ms=60_000, account=account)

    expected = Coverage(HOUR_MS - 9 * 60_000, 9 * 60_000)
    assert found() == found("told") == expected
    assert expected.percent == pytest.approx(85.0) and found("other").percent is None
    world.record(deal, Leg.STOP, "99")
    world.look()
    with database.transaction() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM stop_checks")) == 0
    assert found() == expected, "a position that is over keeps its hours"


def test_nothing_looks_and_the_coverage_falls(world: GuardWorld) -> None:
    """A guard that is dead writes nothing: what it does not write is not watched."""
    world.hold()
    world.look(100.0)
    start, now = NOW_MS, world.prices.now_ms + 1_800_000
    found = coverage(world.database, start, start + HOUR_MS, now_ms=now, within_ms=WITHIN_MS)
    assert found.uncovered_ms == 1_800_000 - WITHIN_MS


@pytest.mark.parametrize("late_seconds", [14, 16])
def test_the_check_of_the_positions_is_red_once_a_position_is_late(
    world: GuardWorld, monkeypatch: pytest.MonkeyPatch, late_seconds: int
) -> None:
    """D12: shown in the health of the asset, whoever runs the check; the guard itself may be dead."""
    from fks_assets.assets.portfolio import stop_loss_check

    deal = world.hold()
    world.look(100.0)
    monkeypatch.setattr(stop_loss_check, "now_ms", lambda: world.prices.now_ms + late_seconds * 1000)

    @dg.asset
    def positions() -> None: ...

    class OwnStores:
        database = world.database

    check = stop_loss_check.build_stop_check(world.settings, positions)
    result = dg.materialize([positions, check], resources={"stores": OwnStores()})
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.passed is (late_seconds <= 15)
    assert evaluation.metadata["deals"].value == ([] if evaluation.passed else [deal.id])


def test_the_sensor_reports_the_check_when_a_position_is_watched_no_more(world: GuardWorld, home: Path) -> None:
    """D12: at that moment, not with the next run; Dagster takes the report without a run."""
    from fks_assets.assets.portfolio.stop_loss import build_stop_loss_sensor
    from fks_assets.settings import read_settings

    class Resources:
        database, settings, tickers = world.database, read_settings({}, home), staticmethod(world.prices.read)

    @dg.asset
    def positions() -> None: ...

    deal = world.hold()
    world.prices.down = True
    sensor = build_stop_loss_sensor(world.settings, dg.define_asset_job("order_monitor", [positions]), positions)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance)
        first, second = (sensor(context, stores=Resources, market_data=Resources) for _ in range(2))
        (event,) = first.asset_events
        assert (event.asset_key, event.check_name, event.passed) == (positions.key, "stops_watched", False)
        assert event.metadata["deals"].value == [deal.id] and second.asset_events == []
        instance.report_runless_asset_event(event)
    assert "0 of 1 open positions watched, 1 messages" in first.skip_reason.skip_message
