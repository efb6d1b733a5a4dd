"""The commands of the ledger: accounts, cash, deals, orders recorded by a person, credentials, halts."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets import clock
from fks_assets.cli import app
from fks_assets.quant.orders import Mode
from fks_assets.settings import load_settings
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import read_account
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import read_api_key
from fks_assets.stores.ledger.recompute import recompute
from fks_assets_tests.portfolio.test_risk_gate import AT, Gate, account_rules, signal

SECRET = "canary-secret-of-the-cli"
ACCOUNTS = {
    "TOLD__mode": "alert",
    "TOLD__strategies__technical": "1.0",
    "REAL__mode": "live",
    "REAL__strategies__technical": "1.0",
}


@pytest.fixture(autouse=True)
def now(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A desk of the shipped paper account `main`, an alert account and a live one; the clock stands still until moved."""
    moment = SimpleNamespace(ms=AT)
    values = {"HOME": str(home), "DATABASE_URL": database_url, "EXCHANGE": "binance"}
    for name, value in (values | {f"ACCOUNTS__{key}": value for key, value in ACCOUNTS.items()}).items():
        monkeypatch.setenv(f"FKS_{name}", value)
    for name in ("FKS_API_KEY", "FKS_API_SECRET", "FKS_LIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: moment.ms * 1_000_000))
    load_settings.cache_clear()
    yield moment
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def refused(*arguments: str) -> str:
    answer = CliRunner().invoke(app, list(arguments))
    assert (answer.exit_code, answer.stdout) == (2, ""), answer.output
    assert answer.stderr.count("\n") == 1
    return answer.stderr


def a_deal(database: Database) -> int:
    """Return the id of a deal of the alert account, which has 10,000 USDT."""
    fks("accounts")
    fks("cash", "deposit", "told", "10000", "--reference", "bank 1", "--by", "Ada")
    gate = Gate.__new__(Gate)
    gate.database, gate.rules = database, account_rules(mode="alert", initial_cash="0")
    with database.transaction() as connection:
        account = read_account(connection, "told")
        from fks_assets.desk.decide import decide
        from fks_assets_tests.portfolio.test_risk_gate import PRICE, rules_of

        made = decide(connection, account, gate.rules, signal(), price=PRICE, market_rules=rules_of(), obstacles=(), at_ms=AT)
    assert made.deal is not None and made.deal.refusal is None
    return made.deal.id


def test_accounts_are_those_of_the_settings_and_paper_begins_with_its_cash() -> None:
    rows = {row["name"]: row for row in fks("accounts")["accounts"]}
    assert {name: (row["mode"], row["enabled"]) for name, row in rows.items()} == {
        "main": ("paper", True),
        "real": ("live", False),
        "told": ("alert", True),
    }
    shown = fks("accounts", "show", "main")
    assert shown["wallets"] == {"USDT": "10000"} and shown["rules"]["mode"] == "paper"
    assert [change["kind"] for change in shown["changes"]] == ["created"]
    assert "'nobody'" in refused("accounts", "show", "nobody")


def test_a_live_account_needs_its_key_and_says_what_is_still_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """O6: three switches."""
    assert "fks accounts enable-live real" in refused("accounts", "enable", "real", "--note", "go")
    assert "fks accounts enable main" in refused("accounts", "enable-live", "main", "--note", "go")
    assert "no credential" in refused("accounts", "enable-live", "real", "--note", "go")
    monkeypatch.setenv("FKS_API_KEY", "a-key")
    monkeypatch.setenv("FKS_API_SECRET", SECRET)
    fks("credentials", "add", "real")
    enabled = fks("accounts", "enable-live", "real", "--note", "go", "--by", "Ada")
    assert (enabled["enabled"], enabled["missing_for_live"]) == (True, ["FKS_LIVE=yes in the environment"])
    monkeypatch.setenv("FKS_LIVE", "yes")
    assert fks("accounts", "show", "real")["missing_for_live"] == []
    assert fks("accounts", "disable", "real", "--note", "enough")["enabled"] is False


def test_cash_that_comes_and_goes_is_booked_once_and_is_no_profit(database: Database) -> None:
    """C26 (hummingbot#732)."""
    booked = fks("cash", "deposit", "told", "1000.5", "--reference", "bank 1", "--by", "Ada")
    assert (booked["new"], booked["wallets"]) == (True, {"USDT": "1000.5"})
    assert fks("cash", "deposit", "told", "1000.5", "--reference", "bank 1")["new"] is False
    assert "other numbers" in refused("cash", "deposit", "told", "7", "--reference", "bank 1")
    fks("cash", "withdraw", "told", "0.5", "--reference", "bank 2")
    assert "less than 5000" in refused("cash", "withdraw", "told", "5000", "--reference", "bank 3")
    flows = fks("cash", "list", "told")["cash_flows"]
    assert [(flow["kind"], flow["amount"]) for flow in flows] == [("deposit", "1000.5"), ("withdrawal", "-0.5")]
    assert recompute(database) == []


def test_deposits_between_balances_leave_the_return_alone(now: SimpleNamespace) -> None:
    """C26 (freqtrade#8532): the balance is taken before the money is booked."""
    fks("cash", "deposit", "told", "1000", "--reference", "1")
    now.ms += 60_000
    fks("cash", "deposit", "told", "500", "--reference", "2")
    now.ms += 60_000
    fks("cash", "withdraw", "told", "300", "--reference", "3")
    [newest] = fks("balances", "told")["balances"]
    assert (newest["equity"], newest["net_deposits"]) == ("1500", "1500"), "taken before the withdrawal"
    assert {newest[name] for name in ("daily_pnl", "cumulative_pnl", "time_weighted_return")} == {"0"}
    assert len(fks("balances", "told", "--all")["balances"]) == 3


def test_a_person_records_what_was_executed(database: Database, now: SimpleNamespace) -> None:
    """S1.13: bought in two parts, sold at once; position and balance follow."""
    deal = str(a_deal(database))
    [told] = fks("deals", "told")["deals"]
    assert (told["id"], told["status"], told["quantity"], told["stop_loss_price"]) == (int(deal), "NOT_ORDERING", "40", "90")
    first = fks("orders", "record", deal, "--price", "100.5", "--quantity", "15", "--fee", "1.5075", "--reference", "a")
    assert (first["new"], first["position"]["quantity"], first["order"]["status"]) == (True, "15", "FILLED")
    assert (
        fks("orders", "record", deal, "--price", "100.5", "--quantity", "15", "--fee", "1.5075", "--reference", "a")["new"]
        is False
    )
    fks("orders", "record", deal, "--price", "101", "--quantity", "25", "--at", "2026-01-01T13:00:00Z")
    [held] = fks("positions", "told")["positions"]
    assert (held["side"], held["quantity"], held["entry_price"]) == ("LONG", "40", "100.8125")
    assert "holds 40 BTC, less than 41" in refused("orders", "record", deal, "--leg", "exit", "--price", "1", "--quantity", "41")
    now.ms += 60_000
    last = fks("orders", "record", deal, "--leg", "exit", "--price", "110", "--quantity", "40", "--fee", "4.4")
    assert (last["position"]["open"], last["position"]["pnl"]) == (False, "361.5925")
    assert fks("positions", "told") == {"positions": []}
    assert len(fks("positions", "told", "--all")["positions"]) == 1
    assert [fill["side"] for fill in fks("fills", "told")["fills"]] == ["BUY", "BUY", "SELL"]
    assert fks("orders") == {"orders": []} and len(fks("orders", "list", "told", "--all")["orders"]) == 3
    assert fks("deals", "told") == {"deals": []}
    assert recompute(database) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--price", "1e"], "--price: amount '1e' is not a number"),
        (["--quantity", "NaN"], "--quantity: amount 'NaN' is not a number"),
        (["--fee", "much"], "--fee: amount 'much' is not a number"),
        (["--leg", "side"], "--leg 'side' is unknown"),
        (["--at", "2999-01-01"], "--at '2999-01-01' has not come yet"),
    ],
)
def test_what_is_typed_wrong_is_named_and_nothing_is_booked(database: Database, options: list[str], words: str) -> None:
    deal = a_deal(database)
    usual = {"--price": "100", "--quantity": "1"} | dict(zip(options[::2], options[1::2], strict=True))
    assert words in refused("orders", "record", str(deal), *(part for pair in usual.items() for part in pair))
    assert fks("fills") == {"fills": []}


def test_a_key_is_never_an_argument_and_never_shown(home: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1, S2: from the environment or a prompt; encrypted; rotation; removal forgets it."""
    assert "FKS_API_KEY" in refused("credentials", "add", "real")
    answer = CliRunner().invoke(app, ["credentials", "add", "real", "--secret", SECRET])
    assert answer.exit_code == 2 and "--secret" in answer.stderr
    monkeypatch.setenv("FKS_API_KEY", "a-key")
    monkeypatch.setenv("FKS_API_SECRET", SECRET)
    shown = [
        CliRunner().invoke(app, ["credentials", *words]).output for words in (["add", "real"], ["list"], ["rotate"], ["list"])
    ]
    shown.append(CliRunner().invoke(app, ["accounts", "show", "real"]).output)
    assert SECRET not in "".join(shown) and "a-key" not in "".join(shown)
    assert read_api_key(database, load_keys(home, {}), "real").secret.get_secret_value() == SECRET
    [row] = fks("credentials", "list")["credentials"]
    assert (row["account"], row["exchange"], row["removed_at"]) == ("real", "binance", None)
    fks("credentials", "remove", "real")
    assert fks("credentials", "list")["credentials"][0]["removed_at"] is not None
    assert "no credential" in refused("credentials", "remove", "real")


def test_a_prompt_asks_for_a_key_without_showing_it(monkeypatch: pytest.MonkeyPatch, home: Path, database: Database) -> None:
    from fks_assets.cli import credentials

    monkeypatch.setattr(credentials.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    answers = iter(("a-key", SECRET))
    asked = []
    monkeypatch.setattr(credentials.typer, "prompt", lambda text, hide_input: asked.append((text, hide_input)) or next(answers))
    credentials.add("real", by="Ada", json=True)
    assert asked == [("API key", True), ("API secret", True)]
    assert read_api_key(database, load_keys(home, {}), "real").secret.get_secret_value() == SECRET


def test_a_halt_names_its_scope_and_its_reason_and_ends(now: SimpleNamespace) -> None:
    """S3.31, C16."""
    assert "--reason is missing" in refused("halt")
    halted = fks("halt", "--reason", "storm", "--by", "Ada")["halts"]
    assert [(each["scope"], each["name"], each["reason"], each["changed_by"]) for each in halted] == [
        ("desk", "", "storm", "Ada")
    ]
    fks("halt", "market", "BTC-USDT", "--reason", "odd news", "--until", "2026-01-01T14:00:00Z")
    fks("halt", "account", "main", "--reason", "drill")
    fks("halt", "strategy", "technical", "--reason", "drill")
    assert [(each["scope"], each["name"]) for each in fks("halt", "--list")["halts"]] == [
        ("desk", ""),
        ("market", "BTC-USDT@binance"),
        ("account", "main"),
        ("strategy", "technical"),
    ]
    assert fks("resume", "--reason", "over")["halted"] is False
    assert "is not halted" in refused("resume", "--reason", "again")
    assert "'nobody'" in refused("halt", "account", "nobody", "--reason", "drill")
    assert "scope 'planet' is unknown" in refused("halt", "planet", "--reason", "drill")
    now.ms += 3 * 3_600_000
    assert [each["scope"] for each in fks("halt", "--list")["halts"]] == ["account", "strategy"]


def test_every_halt_and_its_end_are_kept(now: SimpleNamespace) -> None:
    """S3.31: who halted what, when and why, also after it ended."""
    fks("halt", "--reason", "storm", "--by", "Ada")
    now.ms += 60_000
    fks("resume", "--reason", "over", "--by", "Bob")
    told = fks("halt", "--history")["history"]
    assert [(each["scope"], each["halted"], each["reason"], each["changed_by"], each["changed_at"]) for each in told] == [
        ("desk", True, "storm", "Ada", "2026-01-01T13:00:05Z"),
        ("desk", False, "over", "Bob", "2026-01-01T13:01:05Z"),
    ]


def test_every_booking_is_shown_with_entries_that_sum_to_nothing(database: Database) -> None:
    """C13: double entry."""
    deal = str(a_deal(database))
    fks("orders", "record", deal, "--price", "100", "--quantity", "40", "--fee", "4")
    told = fks("cash", "bookings", "told")["bookings"]
    assert [(each["kind"], each["booked_by"]) for each in told] == [("deposit", "Ada"), ("fill", told[1]["booked_by"])]
    for booking in told:
        sums: dict[str, Decimal] = {}
        for entry in booking["entries"]:
            sums[entry["currency"]] = sums.get(entry["currency"], Decimal(0)) + Decimal(entry["amount"])
        assert set(sums.values()) == {Decimal(0)}
    assert {"book": "wallet", "currency": "BTC", "amount": "40"} in told[1]["entries"]
    assert fks("cash", "bookings", "told", "--limit", "1")["bookings"] == told[1:]
    assert fks("cash", "bookings", "told", "--kind", "deposit")["bookings"] == told[:1]
    assert "'nobody'" in refused("cash", "bookings", "nobody")
    assert "--kind 'fee' is unknown; known: fill" in refused("cash", "bookings", "told", "--kind", "fee")


def test_a_wallet_below_nothing_is_named_until_it_is_booked(database: Database) -> None:
    """A sale that arrives before its purchase, or a fee in a coin that nobody deposited."""
    assert fks("cash", "short") == {"short": []}
    deal = str(a_deal(database))
    fks("orders", "record", deal, "--price", "100", "--quantity", "1", "--fee", "0.25", "--fee-currency", "BNB")
    short = {"account": "told", "currency": "BNB", "amount": "-0.25", "since": "2026-01-01T13:00:05Z"}
    assert fks("cash", "short", code=1) == fks("cash", "short", "told", code=1) == {"short": [short]}
    fks("cash", "deposit", "told", "0.25", "--currency", "BNB", "--reference", "for fees")
    assert fks("cash", "short") == {"short": []}


def test_tables_are_for_people(database: Database) -> None:
    a_deal(database)
    for words in (
        ["accounts"],
        ["accounts", "show", "told"],
        ["deals"],
        ["orders"],
        ["fills"],
        ["positions"],
        ["balances"],
        ["cash"],
        ["cash", "bookings", "told"],
        ["cash", "short"],
        ["halt", "--history"],
    ):
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code == 0 and answer.stdout.strip(), (words, answer.output)
    assert "NOT_ORDERING" in CliRunner().invoke(app, ["deals"]).stdout
    assert read_account(database, "told").mode is Mode.ALERT
