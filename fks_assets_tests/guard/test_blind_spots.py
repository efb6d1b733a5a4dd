"""What could keep a stop from being looked at: a clock that goes back, a fault beside it, prices that are never said twice."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fks_assets.desk import stop_guard_round
from fks_assets.desk.stop_proof import is_watched
from fks_assets.exchanges.tickers import Tickers
from fks_assets.quant.markets import Market
from fks_assets.quant.orders import DealStatus, Leg, Side
from fks_assets.settings.guard import GuardSettings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import update_deal
from fks_assets.stores.ledger.stops import StopState
from fks_assets_tests.guard.world import MARKET, OTHER, GuardWorld

HOUR_MS = 3_600_000
ELSEWHERE = Market("BTC", "USDT", "kraken")


def breaches(world: GuardWorld) -> list[str]:
    return [note.message for note in world.notes("guard") if note.severity == "URGENT"]


def answer_once_in_two(world: GuardWorld) -> None:
    """Let the exchange answer the first read of each look alone."""
    read, answers = world.prices.read, 0

    async def once_in_two(*arguments: Any) -> Tickers:
        nonlocal answers
        answers += 1
        world.prices.down = answers % 2 == 0
        return await read(*arguments)

    world.prices.read = once_in_two  # type: ignore[method-assign]


def test_a_second_breach_within_a_minute_is_told_when_the_minute_is_over(world: GuardWorld) -> None:
    """D12, C11: told at 12:00:25, watched again, and not watched any more from 12:00:50 on."""
    world.hold()
    world.look(100.0)
    for down, looks in ((True, 4), (False, 1), (True, 60)):
        world.prices.down = down
        for _ in range(looks):
            world.look()
    assert len(breaches(world)) == 2


def test_a_market_that_joins_a_breach_is_told_of_too(world: GuardWorld) -> None:
    """D12: a second feed freezes half a minute after the first; both are named, at most one message a minute."""
    world.hold()
    world.hold(market=OTHER)
    for market in (MARKET, OTHER):
        world.prices.say(100.0, market=market)
    world.look()
    del world.prices.said[MARKET]
    for _ in range(4):
        world.look()
    del world.prices.said[OTHER]
    for _ in range(20):
        world.look()
    assert [str(market) for market in (MARKET, OTHER) if any(str(market) in message for message in breaches(world))] == [
        str(MARKET),
        str(OTHER),
    ]
    assert len(breaches(world)) == 2


def test_a_clock_that_goes_back_delays_no_alert(world: GuardWorld) -> None:
    """T3: an hour back between the first read of a price beyond the stop and the second."""
    world.hold()
    world.look(100.0)
    answer_once_in_two(world)
    assert world.look(89.0).told == 0
    world.prices.go_back(HOUR_MS)
    assert sum(world.look(89.0).told for _ in range(2)) == 1


def test_a_clock_that_goes_back_hides_no_crash(world: GuardWorld) -> None:
    """T3: between the first sight of a price far from the last one and the second."""
    world.hold()
    world.look(100.0)
    answer_once_in_two(world)
    world.look(40.0)
    world.prices.go_back(HOUR_MS)
    assert sum(world.look(40.0).told for _ in range(2)) == 1


@pytest.mark.parametrize("fault", ["down", "frozen"])
def test_a_clock_that_goes_back_proves_nothing(world: GuardWorld, fault: str) -> None:
    """T3, D12: what was checked in an hour from now is no check, and a price from then is not fresh for an hour."""
    deal = world.hold()
    world.look(100.0)
    later = world.prices.now_ms
    world.prices.go_back(HOUR_MS)
    assert not is_watched(world.check(deal), world.prices.now_ms, 15_000)
    if fault == "down":
        world.prices.down = True
    else:
        world.prices.frozen.add(MARKET)
    looks = [world.look() for _ in range(17)]
    assert sum(look.told for look in looks) == 1 and looks[-1].unwatched == (deal.id,)
    assert world.prices.now_ms < later


def test_a_clock_that_goes_back_says_no_alert_again(world: GuardWorld) -> None:
    """T3, C11: a second back is no four hours."""
    world.hold()
    world.look(100.0)
    assert world.look(89.0).told == 1
    world.prices.go_back(10_000)
    assert world.look(89.0).told == 0


def test_a_fall_in_which_no_price_is_said_twice_is_told_at_the_second_one(world: GuardWorld) -> None:
    """T5: a quarter less with each answer, of which every second one is lost: both were below the stop."""
    world.hold()
    world.look(100.0)
    answer_once_in_two(world)
    told = [world.look(price).told for price in (74.0, 55.0, 41.0, 30.0)]
    assert told == [0, 1, 0, 0]
    assert "the stop 90 is passed at 74;" in world.notes("stop")[0].message, "what both reads have reached"


def test_wrong_prices_on_both_sides_of_the_market_confirm_nothing(world: GuardWorld) -> None:
    """T5: 1 and 10,000 in turn, with the right price never in between."""
    world.hold()
    world.look(100.0)
    answer_once_in_two(world)
    for price in (1.0, 10_000.0, 1.0, 10_000.0, 100.0):
        world.look(price)
    assert world.notes("stop", "trade") == []


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_a_price_from_an_hour_ago_is_no_first_read(world: GuardWorld, side: Side) -> None:
    """S3.8, T5: a lone print raises no trailing stop only because the market once was there."""
    long = side is Side.BUY
    first = world.hold(stop="10", target="200")
    world.look(120.0 if long else 82.0)
    world.record(first, Leg.EXIT, "98")
    world.look()
    world.look(seconds=3600)
    levels = {"stop": "90", "target": "200"} if long else {"stop": "110", "target": "20"}
    deal = world.hold(side=side, trailing="0.1", **levels)
    world.prices.say_once(115.0 if long else 88.0)
    world.look(100.0)
    world.look(100.0)
    assert world.stop(deal).level == (90 if long else 110) and world.notes("stop") == []


def test_a_print_that_was_doubted_long_ago_confirms_no_other(world: GuardWorld) -> None:
    """T5: the market was guarded no more right after a lone print; two hours later there is another one."""
    first, read = world.hold(stop="90"), world.prices.read
    world.look(100.0)
    answer_once_in_two(world)
    world.look(70.0)
    world.record(first, Leg.EXIT, "100")
    world.look()
    world.prices.read, world.prices.down = read, False  # type: ignore[method-assign]
    world.prices.now_ms += 2 * HOUR_MS
    world.hold(stop="90")
    world.prices.say_once(72.0)
    assert [world.look(100.0).told for _ in range(3)] == [0, 0, 0] and world.notes("stop") == []


def test_a_position_whose_deal_is_over_is_told_of_all_the_same(world: GuardWorld) -> None:
    """D12: it was executed after the end of its deal; what counts as watched must be told of when its stop is passed."""
    deal = world.hold()
    with world.database.transaction() as connection:
        update_deal(connection, deal.id, at_ms=world.prices.now_ms, status=DealStatus.STOPPED)
    assert world.look(100.0).watched == 1
    assert world.look(89.0).told == 1


def test_a_guard_that_comes_too_late_tells_nothing_of_its_old_prices(world: GuardWorld) -> None:
    """P7, C11: it read 100 before the price fell; another guard has told of 89 meanwhile."""
    deal = world.hold()
    world.look(100.0)
    other, read = world.guard, world.prices.read

    async def then_the_price_falls(*arguments: Any) -> Tickers:
        old = await read(*arguments)
        world.prices.read = read  # type: ignore[method-assign]
        world.prices.now_ms += 1000
        world.prices.say(89.0)
        assert (await asyncio.to_thread(other.look)).told == 1
        return old

    world.prices.read = then_the_price_falls  # type: ignore[method-assign]
    look = world.look(100.0)
    assert (look.told, look.faults) == (0, ("another guard has looked in the meantime",))
    assert world.stop(deal).state is StopState.ALERTED


def test_an_exchange_whose_answer_breaks_the_reader_keeps_no_other_waiting(world: GuardWorld) -> None:
    """F14: whatever goes wrong at one exchange, the stops at the others are looked at."""
    world.hold()
    world.hold(market=ELSEWHERE, account="elsewhere")
    world.look(100.0)
    read = world.prices.read

    async def breaks(exchange: str, markets: Sequence[Market], seconds: float) -> Tickers:
        if exchange == "kraken":
            raise RecursionError("maximum recursion depth exceeded")
        return await read(exchange, markets, seconds)

    world.prices.read = breaks  # type: ignore[method-assign]
    look = world.look(89.0)
    assert (look.told, look.watched) == (1, 1)
    assert any("RecursionError" in fault for fault in look.faults)


def test_a_position_that_cannot_be_judged_keeps_no_other_waiting(world: GuardWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """F14, D12: it is not watched then, and people are told of that one."""
    broken, whole = world.hold(), world.hold(market=OTHER, account="other")
    world.prices.say(100.0, market=OTHER)
    world.look(100.0)
    judge = stop_guard_round.judge

    def breaks(position: Any, *arguments: Any) -> Any:
        if position.deal_id == broken.id:
            raise ArithmeticError("a number that is none")
        return judge(position, *arguments)

    monkeypatch.setattr(stop_guard_round, "judge", breaks)
    world.prices.say(89.0, market=OTHER)
    assert world.look().told == 1 and world.stop(whole).state is StopState.ALERTED
    looks = [world.look() for _ in range(4)]
    assert looks[-1].unwatched == (broken.id,) and "a number that is none" in breaches(world)[0]


def test_an_account_that_cannot_be_told_of_keeps_no_other_waiting(world: GuardWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """F14: accounts are told in the order of their names; `other` comes first."""
    from fks_assets.desk import stop_guard

    world.hold(account="other")
    whole = world.hold()
    world.look(100.0)
    protect_alerts = stop_guard.protect_alerts

    def breaks(connection: Any, account: str, *arguments: Any, **named: Any) -> int:
        if account == "other":
            raise ArithmeticError("a number that is none")
        return protect_alerts(connection, account, *arguments, **named)

    monkeypatch.setattr(stop_guard, "protect_alerts", breaks)
    look = world.look(89.0)
    assert (look.told, look.watched) == (1, 1) and world.stop(whole).state is StopState.ALERTED
    assert look.faults == ("account other: ArithmeticError: a number that is none",)


def test_an_exchange_that_hangs_takes_no_second_read_from_another(database: Database) -> None:
    """T5: each exchange has its own time; the alert comes with the first look all the same."""
    world = GuardWorld(database, GuardSettings(read_seconds=0.5))
    world.hold()
    world.hold(market=ELSEWHERE, account="elsewhere")
    world.look(100.0)
    read = world.prices.read

    async def hangs(exchange: str, markets: Sequence[Market], seconds: float) -> Tickers:
        if exchange == "kraken":
            await asyncio.sleep(30)
        return await read(exchange, markets, seconds)

    world.prices.read = hangs  # type: ignore[method-assign]
    assert world.look(89.0).told == 1
