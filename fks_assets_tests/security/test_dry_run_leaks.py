"""Three switches in eight combinations: one of them trades at the exchange, the other seven send it nothing and hold no key."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fks_assets.clock import now_ms
from fks_assets.exchanges.orders import signing
from fks_assets.quant.orders import Mode
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.fault_rules import PRIVATE_ENDPOINTS
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import AccountSpec, enable, mirror
from fks_assets.stores.ledger.credential_keys import FILE_NAME, load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential
from fks_assets.stores.ledger.deals import read_deals
from fks_assets.stores.ledger.fills import read_fills
from fks_assets_tests.portfolio.accounts import account_desk, faults, floor_of, look, run, tick
from fks_assets_tests.scenarios.stopped_clock import StoppedDesk
from fks_assets_tests.security.canaries import API_KEY, SECRET
from fks_assets_tests.security.memory import hits_in_memory, requires_memory
from fks_assets_tests.stores.processes import PROJECT, line_of

ACCOUNTS = {
    f"{mode}_{row}": (mode, row == "enabled") for mode, row in itertools.product(("paper", "live"), ("enabled", "disabled"))
}
COMBINATIONS = [(name, live) for live in ("", "yes") for name in ACCOUNTS]
THE_ONE = ("live_enabled", "yes")


def account_settings(prefix: str = "") -> dict[str, str]:
    """Return four accounts as the environment gives them: two that the settings call paper, two that they call live."""
    values = {}
    for name, (mode, _) in ACCOUNTS.items():
        values[f"{prefix}ACCOUNTS__{name}__mode"] = mode
        values[f"{prefix}ACCOUNTS__{name}__strategies__technical"] = "0.5"
        values[f"{prefix}ACCOUNTS__{name}__strategies__breakout"] = "0.5"
        if mode == "paper":
            values[f"{prefix}ACCOUNTS__{name}__initial_cash"] = "10000"
    return values


def add_keys(database: Database, home: Path, simulator: SimulatorClient) -> None:
    """Give every account a key of its own, here and at the exchange, and each row what its name says."""
    keys, at = load_keys(home, {}), now_ms()
    with database.transaction() as connection:
        for name, (_, enabled) in ACCOUNTS.items():
            simulator.add_account(f"{API_KEY}{name}", SECRET, balances={"USDT": "10000"}, fee_rule="quote")
            key = ApiKey(SecretStr(f"{API_KEY}{name}"), SecretStr(SECRET))
            add_credential(connection, keys, name, key, by="test", at_ms=at)
            enable(connection, name, enabled, by="test", reason="a combination", at_ms=at)


@pytest.fixture
def desk(home: Path, postgres_home: Path) -> Iterator[StoppedDesk]:
    with account_desk(home, postgres_home, "switches", **account_settings()) as desk, pytest.MonkeyPatch.context() as patch:
        # Both clocks stand still while a run takes its seconds.
        patch.setattr(signing, "LARGEST_SKEW_MS", 600_000)
        desk.simulator.set_trading(check_timestamps=False)
        floor_of(desk).account(next(iter(ACCOUNTS)))
        add_keys(desk.desk.stores.database, desk.desk.settings.home, desk.simulator)
        yield desk


def private_calls(simulator: SimulatorClient) -> list[tuple[str, str]]:
    """Return the private calls that the exchange has seen, rightly signed or not, with the account of those that were."""
    return [(call["account"], call["endpoint"]) for call in simulator.journal() if call["endpoint"] in PRIVATE_ENDPOINTS]


def test_seven_of_eight_combinations_send_the_exchange_nothing_whatever_is_run(
    desk: StoppedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O6: every job of the accounts, two hours without FKS_LIVE and two with it; a paper account buys, and the live one does."""
    jobs = ("order_monitor", "trading", "position_marks", "account_balances")
    failures: dict[tuple[str, str], list[str]] = {each: [] for each in COMBINATIONS}
    calls: dict[tuple[str, str], list[tuple[str, str]]] = {each: [] for each in COMBINATIONS}
    for live in ("", "", "yes", "yes"):
        monkeypatch.setenv("FKS_LIVE", live)
        for name in ACCOUNTS:
            desk.simulator.clear_journal()
            for job in jobs:
                failures[name, live] += faults(run(desk, job, name, asked=True))
            look(desk, "orders_sensor")
            calls[name, live] += private_calls(desk.simulator)
        desk.advance(1)
        tick(desk)
    assert {each for each, seen in calls.items() if seen} == {THE_ONE}
    endpoints = {endpoint for _, endpoint in calls[THE_ONE]}
    assert {account for account, _ in calls[THE_ONE]} == {f"{API_KEY}live_enabled"}
    assert "POST order" in endpoints
    assert {order["key"] if "key" in order else order["account"] for order in desk.simulator.orders()} == {
        f"{API_KEY}live_enabled"
    }
    for (name, live), words in failures.items():
        mode, enabled = ACCOUNTS[name]
        missing = [] if mode == "paper" else [*([] if enabled else [f"enable-live {name}"]), *([] if live else ["FKS_LIVE=yes"])]
        assert bool(words) == bool(missing), (name, live, words)
        assert all(any(step in each for each in words) for step in missing)
    database = desk.desk.stores.database
    assert {fill.account for fill in read_fills(database)} == {"paper_enabled", "live_enabled"}
    assert {deal.account for deal in read_deals(database, active=True)} == {"paper_enabled", "live_enabled"}


@pytest.fixture
def exchange() -> Iterator[SimulatorClient]:
    with running_simulator(start_ms=now_ms()) as simulator:
        yield simulator


@pytest.mark.nightly
@requires_memory
@pytest.mark.parametrize(("name", "live"), COMBINATIONS)
def test_a_process_that_may_not_trade_live_has_no_key_in_its_memory(
    name: str, live: str, database: Database, home: Path, exchange: SimulatorClient
) -> None:
    """O6: neither as an object nor as bytes, though the database and the key file hold it for the asking."""
    with database.transaction() as connection:
        specs = [AccountSpec(each, Mode(mode), "simulated", "USDT") for each, (mode, _) in ACCOUNTS.items()]
        mirror(connection, specs, at_ms=now_ms())
    add_keys(database, home, exchange)
    environment = {
        **{variable: value for variable, value in os.environ.items() if not variable.startswith("FKS_")},
        **account_settings("FKS_"),
        "FKS_HOME": str(home),
        "FKS_DESK": str(without_accounts(home)),
        "FKS_DATABASE_URL": database.url,
        "FKS_EXCHANGES__simulated__url": exchange.url,
        **({"FKS_LIVE": live} if live else {}),
    }
    material = (home / FILE_NAME).read_text().strip()
    with subprocess.Popen(
        [sys.executable, "-m", "fks_assets_tests.security.trading_process", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=PROJECT,
    ) as process:
        try:
            told = json.loads(line_of(process))
            found = hits_in_memory(process.pid, {"API key": API_KEY, "API secret": SECRET, "credential key": material})
        finally:
            process.kill()
    is_live = (name, live) == THE_ONE
    assert found == ({"API key", "API secret", "credential key"} if is_live else set())
    assert ("Signer" in told["objects"]) == is_live and bool(told["objects"]) == is_live
    assert bool(told["modules"]) == is_live, "what can sign is not even loaded"
    assert not is_live or told["core"] == [0, 0]
    assert {account for account, _ in private_calls(exchange)} == ({f"{API_KEY}{name}"} if is_live else set())
    expected = "traded at BinanceVenue" if is_live else "traded at PaperVenue" if name.startswith("paper") else "Denied: "
    assert told["said"].startswith(expected), told["said"]


def without_accounts(home: Path) -> Path:
    """Write the shipped desk without its account and return its place."""
    shipped = (PROJECT / "fks_assets" / "desk.toml").read_text(encoding="utf-8")
    (home / "desk.toml").write_text(shipped.split("[accounts.main]")[0], encoding="utf-8")
    return home / "desk.toml"
