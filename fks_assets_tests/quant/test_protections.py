"""Protections on hand-made trades and equity: each bound, each window, each lock's end, and what a lift forgives."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fks_assets.quant.markets import parse_market
from fks_assets.quant.protections import ClosedTrade, EquityPoint, Lock, Protection, Record, locks_now

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_767_268_800_000  # 2026-01-01T12:00Z
MIDNIGHT = NOON + DAY // 2
BTC, ETH = parse_market("BTC-USDT@binance"), parse_market("ETH-USDT@binance")
PROTECTION: TypeAdapter[Any] = TypeAdapter(Protection)


def rule(name: str, **values: Any) -> Mapping[str, Protection]:
    return {"mine": PROTECTION.validate_python({"rule": name, **values})}


def trade(ago_minutes: float, pnl: str = "-1", *, stopped: bool = True, **changes: Any) -> ClosedTrade:
    """A trade of 100 that was closed so long before noon."""
    usual = ClosedTrade("technical", BTC, NOON - round(ago_minutes * MINUTE), Decimal(pnl), Decimal(100), stopped)
    return replace(usual, **changes)


def record(*trades: ClosedTrade, **values: Any) -> Record:
    return Record("main", trades, **values)


def locked(rules: Mapping[str, Protection], of: Record, at: int = NOON) -> list[tuple[str, str, int]]:
    """Return (scope, name, minutes until the end) of each lock at a time."""
    return [(lock.scope, lock.name, (lock.until - at) // MINUTE) for lock in locks_now(rules, of, at)]


def only(rules: Mapping[str, Protection], of: Record, at: int = NOON) -> Lock:
    (lock,) = locks_now(rules, of, at)
    return lock


STOPS = rule("stoploss_guard", stops=3, window_minutes=120, lock_minutes=60)


def test_so_many_stops_within_the_window_lock_from_the_last_one_on() -> None:
    """freqtrade's StoplossGuard: the lock ends so long after the last stop."""
    assert locked(STOPS, record(trade(100), trade(50))) == []
    assert locked(STOPS, record(trade(100), trade(50), trade(10))) == [("account", "main", 50)]
    found = only(STOPS, record(trade(100), trade(50, "-2.5"), trade(10)))
    assert found.reason == "mine: 3 stops in 2 h lost 4.5, the bound is 3"


def test_a_stop_counts_until_the_window_has_passed_it() -> None:
    assert locked(STOPS, record(trade(120 - 1 / MINUTE), trade(50), trade(10))) == [("account", "main", 50)]
    assert locked(STOPS, record(trade(120), trade(50), trade(10))) == []


def test_stops_that_cost_nothing_and_losses_without_a_stop_do_not_count() -> None:
    """A trailing stop that took a profit is no bad sign; freqtrade's required_profit is 0 as well."""
    assert locked(STOPS, record(trade(100, "0"), trade(50), trade(10))) == []
    assert locked(STOPS, record(trade(100, "3"), trade(50), trade(10))) == []
    assert locked(STOPS, record(trade(100, stopped=False), trade(50), trade(10))) == []


def test_a_lock_is_over_when_it_is_over() -> None:
    of = record(trade(119), trade(90), trade(60))
    assert locked(STOPS, of) == []
    assert locked(STOPS, of, NOON - 1) == [("account", "main", 0)]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("account", [("account", "main", 50)]),
        ("strategy", [("strategy", "technical", 40)]),
        ("market", [("market", BTC.key, 30), ("market", ETH.key, 50)]),
    ],
)
def test_each_scope_counts_its_own(scope: str, expected: list[tuple[str, str, int]]) -> None:
    """Five stops: three of BTC, two and a third one of ETH by another strategy."""
    of = record(
        trade(100),
        trade(80),
        trade(30),
        trade(60, market=ETH),
        trade(20, market=ETH),
        trade(10, market=ETH, strategy="breakout"),
    )
    rules = rule("stoploss_guard", scope=scope, stops=3, window_minutes=120, lock_minutes=60)
    assert locked(rules, of) == expected


def test_low_profit_locks_a_market_that_returned_less_than_it_should() -> None:
    """By hand: 3 trades of 100 returned -3, so -1 %; exactly the least is enough."""
    poor = record(trade(100, "1"), trade(80, "-5"), trade(30, "1"), trade(20, "5", market=ETH))
    rules = rule("low_profit_markets", trades=3, window_minutes=120, lock_minutes=60)
    assert locked(rules, poor) == [("market", BTC.key, 30)]
    assert only(rules, poor).reason == "mine: 3 trades in 2 h returned -1 %, less than 0 %"
    exact = rule("low_profit_markets", trades=3, window_minutes=120, lock_minutes=60, least_profit=-0.01)
    assert locked(exact, poor) == []
    above = rule("low_profit_markets", trades=3, window_minutes=120, lock_minutes=60, least_profit=-0.0099)
    assert locked(above, poor) == [("market", BTC.key, 30)]
    more = rule("low_profit_markets", trades=4, window_minutes=120, lock_minutes=60)
    assert locked(more, poor) == []


def test_low_profit_weighs_trades_by_what_was_staked() -> None:
    """-10 of 1000 and +2 of 10 and 0 of 10: less than nothing in money, whatever the percentages add up to."""
    of = record(trade(90, "-10", stake=Decimal(1000)), trade(60, "2", stake=Decimal(10)), trade(30, "0", stake=Decimal(10)))
    assert locked(rule("low_profit_markets", trades=3, window_minutes=120, lock_minutes=60), of) == [("market", BTC.key, 30)]


def test_a_market_rests_after_each_exit() -> None:
    """freqtrade's CooldownPeriod; a profit counts as well."""
    rules = rule("cooldown", lock_minutes=60)
    of = record(trade(59, "7", stopped=False), trade(100, market=ETH))
    assert locked(rules, of) == [("market", BTC.key, 1)]
    assert only(rules, of).reason == "mine: it was left at 2026-01-01T11:01:00Z and rests for 1 h"
    assert locked(rules, of, NOON + MINUTE) == []
    assert locked(rule("cooldown", lock_minutes=60, scope="strategy"), of) == [("strategy", "technical", 1)]


def equity(*values: str, step: int = HOUR, end: int = NOON, **changes: Any) -> Record:
    """An account whose equity was noted each hour, at noon last."""
    first = end - (len(values) - 1) * step
    points = [EquityPoint(first + place * step, Decimal(value)) for place, value in enumerate(values)]
    return record(equity=points, **changes)


FALL = rule("max_drawdown", drawdown=0.1, window_minutes=600, lock_minutes=120)


def test_a_fall_of_more_than_the_bound_locks_from_its_lowest_point_on() -> None:
    """By hand: from 1.2 to 1.08 is exactly 10 %."""
    assert locked(FALL, equity("1", "1.2", "1.08")) == []
    assert locked(FALL, equity("1", "1.2", "1.0799", "1.1")) == [("account", "main", 60)]
    assert only(FALL, equity("1", "1.2", "1.02")).reason == "mine: equity fell by 15 % within 10 h, more than 10 %"
    assert "10.0000008333 %" not in only(FALL, equity("1", "1.2", "1.07999999")).reason
    assert "10.00000083 %" in only(FALL, equity("1", "1.2", "1.07999999")).reason


def test_a_rise_after_a_low_is_no_fall() -> None:
    assert locked(FALL, equity("0.8", "1", "1.2")) == []
    assert locked(FALL, record()) == []


def test_a_second_fall_counts_though_the_first_one_was_deeper() -> None:
    """By hand: 20 % at seven, whose lock was over at nine; then 15 % below a new peak, or once more below the same one."""
    first, stays = ("1", "1", "0.8", "0.9"), ("1", "1", "0.8", "0.89")
    assert locked(FALL, equity(*first, "0.95", "0.95", "0.95", "0.95")) == []
    assert locked(FALL, equity(*first, "0.95", "1.1", "0.935", "1.1")) == [("account", "main", 60)]
    assert locked(FALL, equity(*first, "0.95", "1", "0.85", "0.95")) == [("account", "main", 60)]
    assert locked(FALL, equity(*stays, "0.85", "0.84", "0.83", "0.82")) == [], "it never came back, and sank no further"
    assert locked(FALL, equity(*stays, "0.85", "0.84", "0.83", "0.79")) == [("account", "main", 120)]


def test_a_peak_before_the_window_counts_only_as_the_value_at_its_beginning() -> None:
    """Ten hours: at noon the last value of two o'clock or before is the first one that counts."""
    assert locked(FALL, equity("2", "1", "1", "1", "1", "1", "1", "1", "1", "1", "1", "0.95")) == []
    assert locked(FALL, equity("2", "1.1", "1", "1", "1", "1", "1", "1", "1", "1", "1", "0.95")) == [("account", "main", 120)]


DAILY = rule("daily_loss_limit", loss=0.05)


def test_a_days_loss_locks_until_midnight_and_no_longer() -> None:
    """By hand: 5 % of 1.0 is 0.05; the day is that of UTC, and half of it is over."""
    assert locked(DAILY, equity("1", "0.95", step=DAY // 2)) == []
    lost = equity("1", "0.9499", step=DAY // 2)
    assert locked(DAILY, lost) == [("account", "main", 720)]
    assert only(DAILY, lost).reason == "mine: the account lost 5.01 % on this UTC day, more than 5 %"
    assert locked(DAILY, lost, MIDNIGHT - 1) == [("account", "main", 0)]
    assert locked(DAILY, lost, MIDNIGHT) == [], "the new day begins with what is left"


def test_a_days_loss_counts_from_what_the_account_was_worth_at_midnight() -> None:
    """The gain of the day before is no cushion, and its loss no burden."""
    before = NOON - DAY // 2
    points = [EquityPoint(before - HOUR, Decimal("1.1")), EquityPoint(before, Decimal(1)), EquityPoint(NOON, Decimal("0.96"))]
    assert locked(DAILY, record(equity=points)) == []
    points[2] = EquityPoint(NOON, Decimal("0.94"))
    assert locked(DAILY, record(equity=points)) == [("account", "main", 720)]
    recovered = [*points, EquityPoint(NOON + HOUR, Decimal("1.2"))]
    assert locked(DAILY, record(equity=recovered), NOON + HOUR) == [("account", "main", 660)], "it stays until midnight"


def test_a_lift_forgives_what_has_been_and_nothing_that_comes() -> None:
    """A person who lifts a lock is not overruled by the same evidence; new evidence counts from zero."""
    lifted = {("account", "main"): NOON - 30 * MINUTE}
    stops = [trade(100), trade(50), trade(40)]
    assert locked(STOPS, record(*stops)) == [("account", "main", 20)]
    assert locked(STOPS, record(*stops, lifted=lifted)) == []
    assert locked(STOPS, record(*stops, trade(20), trade(10), lifted=lifted)) == []
    assert locked(STOPS, record(*stops, trade(20), trade(10), trade(5), lifted=lifted)) == [("account", "main", 55)]
    other = {("account", "other"): NOON, ("market", BTC.key): NOON}
    assert locked(STOPS, record(*stops, lifted=other)) == [("account", "main", 20)]


def test_a_lift_lets_a_fall_and_a_days_loss_begin_anew() -> None:
    lifted = {("account", "main"): NOON - HOUR // 2}
    fallen = equity("1.2", "1", "1", step=HOUR)
    assert locked(FALL, fallen) and not locked(FALL, replace(fallen, lifted=lifted))
    again = equity("1.2", "1", "0.899", step=HOUR)
    assert locked(FALL, replace(again, lifted=lifted)) == [("account", "main", 120)]
    assert locked(DAILY, fallen) and not locked(DAILY, replace(fallen, lifted=lifted))
    assert locked(DAILY, replace(again, lifted=lifted)) == [("account", "main", 720)]


def test_of_two_locks_of_one_place_the_longer_one_counts() -> None:
    rules = {
        **rule("stoploss_guard", stops=1, lock_minutes=60),
        "other": PROTECTION.validate_python({"rule": "daily_loss_limit"}),
    }
    of = replace(equity("1", "0.9"), trades=(trade(10),))
    (lock,) = locks_now(rules, of, NOON)
    assert (lock.protection, lock.until) == ("other", MIDNIGHT)


@pytest.mark.parametrize(("minutes", "words"), [(90, "90 min"), (1440, "24 h"), (10_080, "7 d")])
def test_spans_are_written_as_people_say_them(minutes: int, words: str) -> None:
    rules = rule("stoploss_guard", stops=1, window_minutes=minutes)
    assert only(rules, record(trade(1))).reason == f"mine: 1 stop in {words} lost 1, the bound is 1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rule": "martingale"}, "does not match any of the expected tags"),
        ({"rule": "stoploss_guard", "stops": 0}, "greater than or equal to 1"),
        ({"rule": "stoploss_guard", "scope": "desk"}, "Input should be 'account', 'strategy' or 'market'"),
        ({"rule": "max_drawdown", "drawdown": 1}, "less than 1"),
        ({"rule": "max_drawdown", "scope": "market"}, "Input should be 'account'"),
        ({"rule": "daily_loss_limit", "loss": 0}, "greater than 0"),
        ({"rule": "cooldown", "window_minutes": 5}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PROTECTION.validate_python(values)


trades = st.lists(
    st.builds(
        trade,
        st.integers(0, 300),
        st.integers(-50, 50).map(str),
        stopped=st.booleans(),
        market=st.sampled_from([BTC, ETH]),
        strategy=st.sampled_from(["technical", "breakout"]),
    ),
    max_size=12,
)
curves = st.lists(st.integers(50, 200).map(lambda value: str(Decimal(value) / 100)), min_size=1, max_size=12)
ALL = {
    name: PROTECTION.validate_python(values)
    for name, values in {
        "stops": {"rule": "stoploss_guard", "stops": 2, "window_minutes": 180, "lock_minutes": 60, "scope": "strategy"},
        "poor": {"rule": "low_profit_markets", "trades": 2, "window_minutes": 240, "lock_minutes": 120},
        "pause": {"rule": "cooldown", "lock_minutes": 30},
        "fall": {"rule": "max_drawdown", "drawdown": 0.1, "window_minutes": 360, "lock_minutes": 90},
        "day": {"rule": "daily_loss_limit", "loss": 0.05},
    }.items()
}


@given(trades, curves, st.permutations(range(12)))
def test_the_order_of_trades_does_not_matter_and_every_lock_is_ahead(
    closed: list[ClosedTrade], values: list[str], order: list[int]
) -> None:
    of = replace(equity(*values), trades=tuple(closed))
    found = locks_now(ALL, of, NOON)
    assert len({(lock.scope, lock.name) for lock in found}) == len(found)
    assert all(lock.until > NOON and lock.reason.startswith(f"{lock.protection}: ") for lock in found)
    shuffled = [closed[place] for place in order if place < len(closed)]
    assert set(locks_now(ALL, replace(of, trades=tuple(shuffled)), NOON)) == set(found)


@given(trades, curves)
def test_after_a_lift_of_everything_nothing_is_locked(closed: list[ClosedTrade], values: list[str]) -> None:
    of = replace(equity(*values), trades=tuple(closed))
    lifted = {(lock.scope, lock.name): NOON for lock in locks_now(ALL, of, NOON)}
    assert [lock for lock in locks_now(ALL, replace(of, lifted=lifted), NOON) if (lock.scope, lock.name) in lifted] == []
