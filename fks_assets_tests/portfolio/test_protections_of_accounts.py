"""A lock binds the account whose trades were the evidence, a person's halt whom the person says; a lift begins anew."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets import clock
from fks_assets.cli import app
from fks_assets.desk.floor import Floor
from fks_assets.desk.protections import protection_locks
from fks_assets.errors import Denied, InvalidInput
from fks_assets.quant.orders import Leg
from fks_assets.resources.stores import Stores
from fks_assets.settings import load_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fences import take
from fks_assets.stores.ledger.halts import halt, in_force
from fks_assets.stores.ledger.positions import mark
from fks_assets.stores.ledger.stops import set_stop
from fks_assets.stores.notifications import read_notifications
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

POOR = {"poor": {"rule": "low_profit_markets", "trades": 1, "window_minutes": 60, "lock_minutes": 120}}
WEAK = {"weak": STOPS["stops"] | {"scope": "strategy"}}
FALL = {"fall": {"rule": "max_drawdown", "drawdown": 0.04, "window_minutes": 600, "lock_minutes": 60}}
DAY = {"day": {"rule": "daily_loss_limit", "loss": 0.04}}


@pytest.fixture
def floor(database: Database, home: Path) -> Floor:
    return protected_floor(database, home)


@pytest.fixture
def commands(floor: Floor, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Floor]:
    """The `fks` command on the same desk, its clock standing still."""
    for name, value in {**ENVIRONMENT, "FKS_HOME": str(floor.settings.home), "FKS_DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: AT * 1_000_000))
    load_settings.cache_clear()
    yield floor
    load_settings.cache_clear()


def fks(*arguments: str) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


@pytest.mark.parametrize(("chosen", "place"), [(POOR, BTC.key), (WEAK, "technical")], ids=["market", "strategy"])
def test_the_losses_of_one_account_lock_no_other(floor: Floor, chosen: dict[str, Any], place: str) -> None:
    """Issue 6, 2: the losses of a paper account are no evidence against a live one, nor the other way about."""
    certify_all(Stores(floor.settings))
    closed(floor, 1, 40)
    closed(floor, 2, 10)
    own = replace(floor, settings=floor.settings.model_copy(update={"protections": rules(chosen)}))
    [refused] = decided(own, signal())
    assert f"{place} of account main is halted until" in refused
    [standing] = protection_locks(floor.database, at_ms=AT)
    assert (standing.name, standing.account) == (place, "main")
    assert decided(own, signal(), name="spare") == ["40 at about 100"]
    assert [deal.account for deal in read_deals(floor.database) if deal.refusal is None and deal.is_active] == ["spare"]


def test_each_account_is_locked_by_its_own_trades_and_told_of_once(floor: Floor) -> None:
    """Two accounts lose in one market: two locks, two messages, each ends and is lifted by itself."""
    closed(floor, 1, 40)
    closed(floor, 1, 10, account="spare")
    made = [lock for account in ("main", "spare", "main") for lock in apply(floor, protections=rules(POOR), account=account)]
    assert [(lock.account, lock.until) for lock in made] == [("main", AT + 80 * MINUTE), ("spare", AT + 110 * MINUTE)]
    told = read_notifications(floor.database, ["protection"])
    assert [each.message.split("fks resume ")[1] for each in told] == [
        f"market {BTC.key} --account {name} --reason …" for name in ("main", "spare")
    ]
    lifted(floor, AT, "market", BTC.key, "spare")
    assert [lock.account for lock in protection_locks(floor.database, at_ms=AT)] == ["main"]
    assert apply(floor, AT + MINUTE, rules(POOR), "spare") == [], "its evidence is forgiven"
    assert [lock.account for lock in protection_locks(floor.database, at_ms=AT + 80 * MINUTE)] == []


def test_an_entry_of_the_locked_account_is_denied_and_that_of_another_is_sent(floor: Floor) -> None:
    """C16: at the last moment, in the transaction that writes the intent."""
    closed(floor, 1, 10)
    assert len(apply(floor, protections=rules(POOR))) == 1
    with floor.database.transaction() as connection:
        waiting = {name: books.open_deal(connection, number=-6, account=name) for name in ("main", "spare")}
        fence = take(connection, "trading", "test", at_ms=AT)
        assert books.sent(connection, fence, books.intent(waiting["spare"], "1", at_ms=AT), "goes").active
    with floor.database.transaction() as connection, pytest.raises(Denied, match=r"of account main is halted"):
        books.sent(connection, fence, books.intent(waiting["main"], "1", at_ms=AT), "waits")


def test_a_person_halts_for_all_accounts_or_for_one(floor: Floor) -> None:
    """S3.31: both stand beside each other, and each is ended by itself; an account and the desk have no account."""
    with floor.database.transaction() as connection:
        halt(connection, "market", BTC.key, reason="odd news", by="Ada", at_ms=AT)
        halt(connection, "market", BTC.key, account="main", reason="too much of it", by="Ada", at_ms=AT)
    assert {each.account for each in in_force(floor.database, account="main", at_ms=AT)} == {None, "main"}
    assert {each.account for each in in_force(floor.database, account="spare", at_ms=AT)} == {None}
    lifted(floor, AT, "market", BTC.key)
    assert [str(each) for each in in_force(floor.database, at_ms=AT)] == [
        f"market {BTC.key} of account main is halted: too much of it"
    ]
    with pytest.raises(InvalidInput, match="is not halted, only of main"):
        lifted(floor, AT, "market", BTC.key)
    with floor.database.transaction() as connection, pytest.raises(InvalidInput, match="only the halt of a strategy or a market"):
        halt(connection, "account", "main", account="main", reason="why", by="Ada", at_ms=AT)
    with floor.database.transaction() as connection, pytest.raises(InvalidInput, match="account 'nobody' is unknown"):
        halt(connection, "market", BTC.key, account="nobody", reason="why", by="Ada", at_ms=AT)


def test_a_halt_of_all_accounts_needs_no_lock_beside_it(floor: Floor) -> None:
    """C11: what is halted for everybody is halted for the account too; nobody is told of it twice."""
    closed(floor, 1, 10)
    with floor.database.transaction() as connection:
        halt(connection, "market", BTC.key, reason="odd news", by="Ada", at_ms=AT)
    assert apply(floor, protections=rules(POOR)) == []
    lifted(floor, AT, "market", BTC.key)
    assert apply(floor, AT + MINUTE, rules(POOR)) == [], "who lifts it for all has looked at all that was before"


def test_a_longer_lock_of_another_rule_takes_the_place_of_a_shorter_one(floor: Floor) -> None:
    """C11: a rest of ten minutes must not hide twelve hours, which a person would lift without having heard of them."""
    short = {"pause": {"rule": "cooldown", "scope": "account", "lock_minutes": 30}}
    both = rules({**short, "stops": STOPS["stops"] | {"lock_minutes": 720}})
    closed(floor, 1, 20)
    closed(floor, 2, 5)
    assert [each.until for each in apply(floor, protections=rules(short))] == [AT + 25 * MINUTE]
    [longer] = apply(floor, protections=both)
    assert (longer.changed_by, longer.until) == ("protection:stops", AT + 715 * MINUTE)
    assert protection_locks(floor.database, at_ms=AT) == [longer]
    assert apply(floor, AT + MINUTE, both) == [] and len(read_notifications(floor.database, ["protection"])) == 2


@pytest.mark.parametrize("chosen", [FALL, DAY], ids=["a fall", "a day's loss"])
def test_a_lifted_fall_does_not_lock_again_by_what_was_worth_before_it(floor: Floor, chosen: dict[str, Any]) -> None:
    """Issue 6, 2: 9,200 of 10,000 when it is lifted, fifteen minutes before the next balance would be stored."""
    held(floor, "100", AT - HOUR)
    with floor.database.transaction() as connection:
        mark(connection, {BTC: Decimal(80)}, at_ms=AT)
    assert len(apply(floor, protections=rules(chosen))) == 1
    lifted(floor, AT + MINUTE)
    assert apply(floor, AT + 2 * MINUTE, rules(chosen)) == []
    with floor.database.transaction() as connection:
        mark(connection, {BTC: Decimal("70.8")}, at_ms=AT + 3 * MINUTE)
    assert apply(floor, AT + 3 * MINUTE, rules(chosen)) == [], "exactly 4 % of 9,200"
    with floor.database.transaction() as connection:
        mark(connection, {BTC: Decimal("70.7")}, at_ms=AT + 4 * MINUTE)
    assert len(apply(floor, AT + 4 * MINUTE, rules(chosen))) == 1


@pytest.mark.parametrize(("out", "locks"), [("98.9", 1), ("99", 1), ("99.1", 0)])
def test_a_trailed_level_that_the_desk_watched_is_the_stop_that_counts(floor: Floor, out: str, locks: int) -> None:
    """S3.8: it began at 98 and was raised to 99, where no order of the exchange ever stood."""
    for number, ago in ((1, 90), (2, 10)):
        closed(floor, number, ago, out, Leg.EXIT)
    with floor.database.transaction() as connection:
        for deal in read_deals(connection):
            set_stop(connection, deal.id, at_ms=AT, level=Decimal(99))
    assert len(apply(floor)) == locks


def test_the_commands_name_the_account_of_a_lock(commands: Floor) -> None:
    """Issue 6, 6: `fks protections`, `fks halt`, `fks resume` with and without an account."""
    closed(commands, 1, 10)
    apply(commands, protections=rules(POOR))
    assert f"market {BTC.key} of account main is halted" in fks("accounts", "show", "main")["halts"][0]
    assert fks("accounts", "show", "spare")["halts"] == []
    [lock] = fks("protections")["locks"]
    assert (lock["scope"], lock["name"], lock["account"]) == ("market", BTC.key, "main")
    refused = CliRunner().invoke(app, ["resume", "market", "BTC-USDT", "--reason", "I have looked"])
    assert refused.exit_code == 2 and "only of main" in refused.output
    assert fks("resume", "market", "BTC-USDT", "--account", "main", "--reason", "I have looked")["account"] == "main"
    halted = fks("halt", "strategy", "technical", "--account", "spare", "--reason", "drill")["halts"]
    assert [(each["scope"], each["name"], each["account"]) for each in halted] == [("strategy", "technical", "spare")]
    assert "'nobody'" in CliRunner().invoke(app, ["halt", "market", ETH.key, "--account", "nobody", "--reason", "x"]).output
    assert fks("halt", "market", "ETH-USDT", "--reason", "drill")["halts"][1]["account"] is None
