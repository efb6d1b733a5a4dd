"""The guard over alert accounts: one alert for each time a stop is passed, at prices that were said twice."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fks_assets.desk.floor import Floor
from fks_assets.desk.stop_guard import Look
from fks_assets.desk.valuing import mark_positions
from fks_assets.exchanges.orders.paper_book import Quote
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import Leg, Side
from fks_assets.settings import read_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import read_account
from fks_assets.stores.ledger.positions import read_positions
from fks_assets.stores.ledger.reconciliations import read_heartbeats
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.guard.world import MARKET, OTHER, GuardWorld


def test_a_hundred_looks_below_the_stop_are_one_alert_and_leaving_is_one_message(world: GuardWorld) -> None:
    """C11, S1.14, F9: one alert however long the price stays there, one message when it is over."""
    deal = world.hold()
    assert world.look(95.0).told == 0
    assert sum(world.look(89.0 - number / 100).told for number in range(100)) == 1
    (alert,) = world.notes()
    assert alert.severity == "URGENT" and alert.message.startswith("🛑 STOP LOSS TRIGGERED!")
    assert "is passed at 89" in alert.message and f"fks orders record {deal.id} --leg stop" in alert.message
    world.record(deal, Leg.STOP, "88")
    assert [world.look(88.0).told for _ in range(3)] == [1, 0, 0]
    assert "out at 88, profit -6 USDT" in world.notes()[-1].message


def test_the_alert_comes_with_the_first_look_and_its_second_read(world: GuardWorld) -> None:
    """S2.11: the second read is a second later, not a look later."""
    deal = world.hold()
    world.look(95.0)
    before = world.prices.now_ms
    assert world.look(89.0).told == 1
    assert 1000 <= world.prices.now_ms - before - 5000 <= 1500
    assert world.stop(deal).state is StopState.ALERTED


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
@pytest.mark.parametrize(
    "wrong",
    [
        "zero",
        "negative",
        "nan",
        "times a hundred",
        "a hundredth",
        "nothing",
        "lone trade",
        "whole row",
        "whole row the other way",
    ],
)
def test_a_single_wrong_answer_fires_nothing(world: GuardWorld, side: Side, wrong: str) -> None:
    """F13, E8, T5: of either direction, whatever is wrong with it; the stop trails nowhere either."""
    levels = {"stop": "90", "target": "120"} if side is Side.BUY else {"stop": "110", "target": "80"}
    deal = world.hold(side=side, trailing="0.1", **levels)
    world.look(100.0)
    before = world.stop(deal).level
    beyond = 89.0 if side is Side.BUY else 111.0
    for _ in range(3):
        match wrong:
            case "zero":
                world.prices.say_once(0.0)
            case "negative":
                world.prices.say_once(-100.0)
            case "nan":
                world.prices.say_once("NaN")
            case "times a hundred":
                world.prices.say_once(10_000.0)
            case "a hundredth":
                world.prices.say_once(1.0)
            case "nothing":
                world.prices.say_once(None)
            case "lone trade":
                world.prices.say_once(beyond, bid=99.9, ask=100.1)
            case "whole row":
                world.prices.say_once(beyond)
            case "whole row the other way":
                world.prices.say_once(116.0 if side is Side.BUY else 84.0)
        assert world.look().told == 0
        assert world.look(100.0).told == 0
    assert world.notes() == [] and world.stop(deal).level == before


def test_a_lone_trade_far_from_the_offers_never_fires_however_often_it_is_said(world: GuardWorld) -> None:
    """E8, C10: the last price is 89 for a minute, and everybody buys at 99.9."""
    world.hold()
    assert [world.look(89.0, bid=99.9, ask=100.1).told for _ in range(12)] == [0] * 12


def test_a_crash_counts_when_it_is_seen_a_second_time(world: GuardWorld) -> None:
    """C9: a gap through the stop, told with the price that was seen; 100 to 40 within one look."""
    world.hold()
    world.look(100.0)
    assert world.look(40.0).told == 1
    assert "the stop 90 is passed at 40;" in world.notes()[0].message


def test_a_second_read_that_fails_leaves_it_to_the_next_look(world: GuardWorld) -> None:
    world.hold()
    world.look(100.0)
    read, answers = world.prices.read, 0

    async def once_in_two(*arguments: object) -> object:
        nonlocal answers
        answers += 1
        world.prices.down = answers % 2 == 0
        return await read(*arguments)  # type: ignore[arg-type]

    world.prices.read = once_in_two  # type: ignore[method-assign, assignment]
    assert [world.look(89.0).told, world.look(89.0).told, world.look(89.0).told] == [0, 1, 0]


def test_a_short_position_is_stopped_from_below_and_trails_down(world: GuardWorld) -> None:
    """S2.11, S3.8: SELL: p * (1 + d) only if lower: 90 * 1.05 is 94.5."""
    deal = world.hold(side=Side.SELL, stop="110", target="80", trailing="0.05")
    assert [world.look(price).told for price in (100.0, 95.0, 90.0, 93.0)] == [0, 0, 0, 0]
    assert world.stop(deal).level == pytest.approx(94.5)
    assert [world.look(94.6).told, world.look(96.0).told] == [1, 0]


def test_a_long_stop_trails_up_and_never_down(world: GuardWorld) -> None:
    """S3.8: BUY: p * (1 - d) only if higher: 110 * 0.95 is 104.5."""
    deal = world.hold(trailing="0.05")
    assert [world.look(price).told for price in (101.0, 110.0, 106.0)] == [0, 0, 0]
    assert world.stop(deal).level == pytest.approx(104.5)
    assert world.look(104.4).told == 1
    assert "104.5 is passed at 104.4" in world.notes()[0].message


def test_a_target_is_told_once(world: GuardWorld) -> None:
    world.hold()
    assert [world.look(price).told for price in (100.0, 119.9, 120.5, 122.0, 119.0, 121.0)] == [0, 0, 1, 0, 0, 0]


def test_all_markets_of_an_exchange_are_one_question(world: GuardWorld) -> None:
    """S2.11: one batched call; the second one asks for the markets alone in which something would happen."""
    world.hold()
    world.hold(market=OTHER, account="other")
    world.prices.say(100.0, market=OTHER)
    world.look(100.0)
    assert world.prices.asked == [(MARKET.key, OTHER.key)]
    world.look(89.0)
    assert world.prices.asked[1:] == [(MARKET.key, OTHER.key), (MARKET.key,)]


def test_what_is_wrong_with_one_market_stops_no_other(world: GuardWorld) -> None:
    world.hold()
    world.hold(market=OTHER)
    world.look(100.0)
    look = world.look(89.0)
    assert (look.told, look.positions, look.watched) == (1, 2, 1)


def test_each_look_is_a_heartbeat_also_with_nothing_held_and_no_prices(world: GuardWorld) -> None:
    """T5: the guard is at work whether or not an exchange answers; what it could not check, the proof says."""
    world.look()
    assert read_heartbeats(world.database)["stop_loss"].at == world.prices.now_ms
    world.hold()
    world.prices.down = True
    assert world.look().watched == 0
    beat = read_heartbeats(world.database)["stop_loss"]
    assert (beat.at, beat.detail["positions"], beat.detail["watched"]) == (world.prices.now_ms, 1, 0)


def test_marking_positions_tells_nobody(world: GuardWorld, home: Path) -> None:
    """F9: the guard alone tells of stops, at prices that were said twice; a mark may be a lone print."""

    class Feed:
        async def quotes(self, markets: Sequence[Market]) -> Mapping[Market, Quote]:
            return {market: Quote.of_price(89.0, world.prices.now_ms) for market in markets}

    deal = world.hold()
    floor = Floor(world.database, read_settings({}, home), lambda exchange: Feed(), clock=world.prices.clock)
    asyncio.run(mark_positions(floor, read_account(world.database, "told")))
    assert read_positions(world.database, deal_ids=[deal.id])[0].mark_price == 89
    assert world.notes() == [] and world.stop(deal).state is StopState.NONE
    assert world.look(89.0).told == 1


def test_two_guards_at_once_tell_and_count_once(world: GuardWorld) -> None:
    """P7: a daemon that was replaced while its tick was under way; who began later and ended first has done it."""
    deal = world.hold()
    world.look(100.0)
    other, read = world.guard, world.prices.read
    inner: list[Look] = []

    async def while_the_other_looks(*arguments: object) -> object:
        world.prices.read = read  # type: ignore[method-assign]
        inner.append(await asyncio.to_thread(other.look))
        return await read(*arguments)  # type: ignore[arg-type]

    world.prices.say(89.0)
    world.prices.read = while_the_other_looks  # type: ignore[method-assign, assignment]
    look = world.look(89.0)
    assert inner[0].told + look.told == 1 and look.faults == ("another guard has looked in the meantime",)
    assert len(world.notes()) == 1 and world.check(deal).triggers == 1


def test_a_stop_that_waits_for_its_second_read_keeps_no_other_of_its_market_waiting(world: GuardWorld) -> None:
    """T5: the price falls on between the two reads, and passes the stop of another position."""
    first, second = world.hold(stop="95"), world.hold(stop="90")
    world.look(100.0)
    world.prices.say_once(94.0)
    assert world.look(89.0).told == 1
    assert (world.stop(first).state, world.stop(second).state) == (StopState.ALERTED, StopState.NONE)
    assert world.look(89.0).told == 1


def test_a_look_over_five_hundred_positions_takes_few_statements(database: Database) -> None:
    """S2.11, T5: not one statement for each position, neither with nothing to do nor when all stops are passed at once."""
    import sqlalchemy as sa

    world = GuardWorld(database)
    for _ in range(60):
        world.hold(trailing="0.2")
    statements: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    world.look(100.0)
    quiet = len(statements)
    statements.clear()
    assert world.look(70.0).told == 60
    told = [text for text in statements if "INSERT INTO notifications" in text]
    assert (len(told), quiet <= 30, len(statements) - len(told) <= 35) == (60, True, True), (quiet, len(statements))
