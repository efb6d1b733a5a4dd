"""Protections on the ledger: locks are written once, told once, lifted by a person, and stop new risk alone."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets import clock
from fks_assets.cli import app
from fks_assets.desk.floor import Floor
from fks_assets.desk.protections import apply_protections, protection_locks
from fks_assets.desk.valuing import balance_of, return_of
from fks_assets.quant.orders import Leg, Side
from fks_assets.resources.stores import Stores
from fks_assets.settings import load_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fences import take
from fks_assets.stores.ledger.halts import Halt, HaltScope, halt, halt_history, in_force
from fks_assets.stores.ledger.positions import mark
from fks_assets.stores.ledger.recompute import recompute
from fks_assets.stores.ledger.stops import StopState, read_stops
from fks_assets.stores.notifications import read_notifications
from fks_assets_tests.orders.trading_desk import trading_desk
from fks_assets_tests.portfolio.accounts import certify_all
from fks_assets_tests.portfolio.protected_desk import (
    ENVIRONMENT,
    MINUTE,
    STOPS,
    apply,
    closed,
    decided,
    held,
    lifted,
    protected_floor,
    rules,
)
from fks_assets_tests.portfolio.test_risk_gate import AT, BTC, ETH, HOUR, signal
from fks_assets_tests.stores.ledger import books


@pytest.fixture
def floor(database: Database, home: Path) -> Floor:
    return protected_floor(database, home)


def test_two_stops_lock_the_account_once_and_people_are_told_once(floor: Floor) -> None:
    """Issue 6, 2: a halt by protection:<name>, with the figures; not again while it is in force."""
    closed(floor, 1, 90)
    assert apply(floor) == []
    closed(floor, 2, 10)
    [made] = apply(floor)
    assert (made.scope, made.name, made.until, made.changed_by) == ("account", "main", AT + 50 * MINUTE, "protection:stops")
    assert made.reason == "stops: 2 stops in 2 h lost 4, the bound is 2"
    for minute in range(0, 50, 10):
        assert apply(floor, AT + minute * MINUTE) == []
    [told] = read_notifications(floor.database, ["protection"])
    assert told.severity == "HIGH" and made.reason in told.message and "fks resume account main" in told.message
    assert protection_locks(floor.database, at_ms=AT + 49 * MINUTE) == [made]
    assert protection_locks(floor.database, at_ms=AT + 50 * MINUTE) == [], "it ends by itself"
    assert apply(floor, AT + 50 * MINUTE) == [], "and the same evidence does not begin it anew"


@pytest.mark.parametrize(
    ("out", "leg", "locks"),
    [
        ("98", Leg.STOP, 1),
        ("97", Leg.EXIT, 1),
        ("98", Leg.EXIT, 1),
        ("98.01", Leg.EXIT, 0),
        ("101", Leg.STOP, 0),
        ("110", Leg.TARGET, 0),
    ],
    ids=["by its order", "sold beyond its level", "sold at its level", "sold before it", "a stop with a profit", "a target"],
)
def test_a_stop_is_one_whoever_executed_it(floor: Floor, out: str, leg: Leg, locks: int) -> None:
    """A stop that the desk watched, or that was passed, is sold at the market: what counts is where."""
    closed(floor, 1, 90)
    closed(floor, 2, 10, out, leg)
    assert len(apply(floor)) == locks


def test_a_lift_is_not_overruled_by_the_same_evidence(floor: Floor) -> None:
    """Issue 6, 2: a person lifts it; one more stop is not enough then, two are."""
    closed(floor, 1, 30)
    closed(floor, 2, 20)
    assert len(apply(floor)) == 1
    lifted(floor, AT + MINUTE)
    assert apply(floor, AT + 2 * MINUTE) == []
    closed(floor, 3, -3)
    assert apply(floor, AT + 4 * MINUTE) == []
    closed(floor, 4, -5)
    [again] = apply(floor, AT + 6 * MINUTE)
    assert again.until == AT + 65 * MINUTE
    assert len(read_notifications(floor.database, ["protection"])) == 2


def test_a_halt_by_a_person_is_neither_replaced_nor_shortened(floor: Floor) -> None:
    """A kill switch without an end must not become a lock that ends by itself."""
    closed(floor, 1, 30)
    closed(floor, 2, 20)
    with floor.database.transaction() as connection:
        halt(connection, HaltScope.ACCOUNT, "main", reason="holiday", by="Ada", at_ms=AT - MINUTE)
    assert apply(floor) == [] and read_notifications(floor.database, ["protection"]) == []
    [standing] = in_force(floor.database, at_ms=AT + 1000 * HOUR)
    assert (standing.reason, standing.until) == ("holiday", None)


def test_a_difference_to_the_exchange_is_told_though_the_account_is_locked(database: Database) -> None:
    """O7: a lock ends by itself, and what is missing is still missing then: the comparison's halt has no end."""
    with trading_desk(database, "binance") as desk:
        desk.reconcile()
        with database.transaction() as connection:
            until = desk.clock() + HOUR
            halt(connection, HaltScope.ACCOUNT, "main", reason="stops", by="protection:stops", at_ms=desk.clock(), until_ms=until)
        desk.simulator.adjust(desk.key, "USDT", 500)
        for _ in range(3):
            assert desk.reconcile().drift == {"USDT": Decimal(500)}
        [standing] = in_force(database, at_ms=desk.clock())
        assert standing.until is None and "500 USDT" in standing.reason
        assert len(read_notifications(database, ["drift"])) == 1


def test_many_at_once_write_one_halt(floor: Floor) -> None:
    """Two accounts of one desk may see the same market fall: eight threads, one halt, one message."""
    closed(floor, 1, 30)
    closed(floor, 2, 20)
    account = floor.account("main")
    market = rules({"stops": STOPS["stops"] | {"scope": "market"}})
    made: list[Halt] = []

    def work() -> None:
        with floor.database.transaction() as connection:
            made.extend(apply_protections(connection, market, account, at_ms=AT))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(each.scope, each.name) for each in made] == [("market", BTC.key)]
    assert len(halt_history(floor.database)) == len(read_notifications(floor.database, ["protection"])) == 1


def test_each_rule_reads_the_ledger(floor: Floor) -> None:
    """One of each kind: a market that returned too little, a rest after an exit, a fall, a day's loss; by hand from 10,000."""
    closed(floor, 1, 50, "90", Leg.EXIT)
    closed(floor, 2, 20, "105", Leg.EXIT, market=ETH)
    chosen = {
        "poor": {"rule": "low_profit_markets", "trades": 1, "window_minutes": 60, "lock_minutes": 120},
        "pause": {"rule": "cooldown", "lock_minutes": 30, "scope": "strategy"},
    }
    found = {each.changed_by: each for each in apply(floor, protections=rules(chosen))}
    assert found["protection:poor"].reason == "poor: 1 trade in 1 h returned -10 %, less than 0 %"
    assert (found["protection:poor"].name, found["protection:poor"].until) == (BTC.key, AT + 70 * MINUTE)
    assert (found["protection:pause"].name, found["protection:pause"].until) == ("technical", AT + 10 * MINUTE)


@pytest.mark.parametrize(
    ("chosen", "price", "locks"),
    [
        ({"rule": "max_drawdown", "drawdown": 0.04, "window_minutes": 600, "lock_minutes": 60}, "90", []),
        ({"rule": "max_drawdown", "drawdown": 0.04, "window_minutes": 600, "lock_minutes": 60}, "89.9999", [AT + 60 * MINUTE]),
        ({"rule": "daily_loss_limit", "loss": 0.04}, "90", []),
        ({"rule": "daily_loss_limit", "loss": 0.04}, "89.9999", [AT - AT % (24 * HOUR) + 24 * HOUR]),
    ],
)
def test_what_the_account_is_worth_now_counts_before_any_balance_is_stored(
    floor: Floor, chosen: dict[str, Any], price: str, locks: list[int]
) -> None:
    """10,000 with 40 coins at 100: at 90 it is 9,600, exactly 4 % less; the mark of this moment is seen at once."""
    held(floor, "100", AT - HOUR)
    with floor.database.transaction() as connection:
        mark(connection, {BTC: Decimal(price)}, at_ms=AT)
        account = floor.account("main")
        assert return_of(connection, account, at_ms=AT) == balance_of(connection, account, at_ms=AT).time_weighted_return
    assert [each.until for each in apply(floor, protections=rules({"fall": chosen}))] == locks


def test_deposits_and_withdrawals_are_no_loss(floor: Floor) -> None:
    """Half of the money is taken out: nothing was lost."""
    held(floor, "100", AT - HOUR)
    with floor.database.transaction() as connection:
        books.accounts.journal.withdraw(connection, "main", "USDT", Decimal(5000), "home", at_ms=AT - MINUTE, by="Ada")
    both = rules({"fall": {"rule": "max_drawdown", "drawdown": 0.01}, "day": {"rule": "daily_loss_limit", "loss": 0.01}})
    assert apply(floor, protections=both) == []


def test_a_decision_asks_the_protections_first_and_an_exit_passes(floor: Floor) -> None:
    """C16 (hummingbot#2534, #1145): the lock is written in the transaction of the decision that it refuses; a SELL leaves."""
    certify_all(Stores(floor.settings))
    held(floor, "100", AT - HOUR)
    closed(floor, 1, 90)
    closed(floor, 2, 10)
    [words] = decided(floor, signal(market=ETH))
    assert "account main is halted until" in words and "2 stops in 2 h lost 4" in words
    [standing] = protection_locks(floor.database, at_ms=AT)
    assert standing.changed_by == "protection:stops"
    assert decided(floor, signal(action=-1)) == ["SELL: it is left"]
    assert [stop.state for stop in read_stops(floor.database)] == [StopState.EXITING]
    assert recompute(floor.database) == []


def test_a_lock_refuses_entries_that_were_decided_before_it_and_no_stop(floor: Floor) -> None:
    """C16: the intent of an entry is denied at the last moment; stops and exits of what is held are written."""
    held(floor, "100", AT - HOUR)
    with floor.database.transaction() as connection:
        waiting = books.open_deal(connection, ETH, number=-6)
    closed(floor, 1, 90)
    closed(floor, 2, 10)
    assert len(apply(floor)) == 1
    with floor.database.transaction() as connection:
        fence = take(connection, "main", "test", at_ms=AT)
        with pytest.raises(books.orders.Denied, match=r"account main is halted until .* 2 stops in 2 h lost 4"):
            books.sent(connection, fence, books.intent(waiting, "1", at_ms=AT), "late")
    with floor.database.transaction() as connection:
        fence = take(connection, "main", "test", at_ms=AT)
        deal = read_deals(connection, active=True)[0]
        assert books.sent(connection, fence, books.intent(deal, "40", Leg.STOP, at_ms=AT), "stop").side is Side.SELL


@pytest.fixture
def commands(floor: Floor, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    """The `fks` command on the same desk, its clock standing still."""
    for name, value in {**ENVIRONMENT, "FKS_HOME": str(floor.settings.home), "FKS_DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    for key, value in STOPS["stops"].items():
        monkeypatch.setenv(f"FKS_PROTECTIONS__stops__{key}", str(value))
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: AT * 1_000_000))
    load_settings.cache_clear()
    yield floor
    load_settings.cache_clear()


def fks(*arguments: str) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_a_lock_is_shown_with_its_rule_and_lifted_by_resume(commands: Floor) -> None:
    """Issue 6, 2 and 6: `fks protections`, `fks halt --list`, `fks resume`."""
    closed(commands, 1, 90)
    closed(commands, 2, 10)
    assert fks("protections")["locks"] == []
    apply(commands)
    answer = fks("protections")
    shown = {row["name"]: row for row in answer["protections"]}
    assert shown["stops"] == {
        "name": "stops",
        "rule": "stoploss_guard",
        "scope": "account",
        "settings": {"window_minutes": 120, "lock_minutes": 60, "stops": 2},
    }
    [lock] = answer["locks"]
    assert (lock["protection"], lock["scope"], lock["name"]) == ("stops", "account", "main")
    assert lock["until"] == clock.iso(AT + 50 * MINUTE) and "2 stops in 2 h lost 4" in lock["reason"]
    assert fks("halt", "--list")["halts"][0]["changed_by"] == "protection:stops"
    fks("resume", "account", "main", "--reason", "I have looked")
    assert fks("protections")["locks"] == []
    assert apply(commands) == []
    table = CliRunner().invoke(app, ["protections"])
    assert "stoploss_guard" in table.stdout and "Locked (UTC): nothing" in table.stdout


def test_what_a_person_records_locks_at_once(commands: Floor) -> None:
    """X13: in alert mode the exits are told by `fks orders record`; the second stop locks in its own transaction."""
    commands.account("told")
    fks("cash", "deposit", "told", "1000", "--reference", "bank")
    for number in (1, 2):
        assert fks("protections")["locks"] == []
        with commands.database.transaction() as connection:
            deal = books.open_deal(
                connection, number=-number, account="told", ordering=False, stop_loss_price=Decimal(98), at_ms=AT - HOUR
            )
        fks("orders", "record", str(deal.id), "--price", "100", "--quantity", "1")
        fks("orders", "record", str(deal.id), "--price", "97.5", "--quantity", "1", "--leg", "exit")
    [lock] = fks("protections")["locks"]
    assert (lock["scope"], lock["name"]) == ("account", "told") and "2 stops in 2 h lost 5" in lock["reason"]
