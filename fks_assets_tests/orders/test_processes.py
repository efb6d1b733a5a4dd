"""Two processes at one account, and a process that must stay dry: with real processes, stopped, resumed and looked into."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from fks_assets.clock import now_ms
from fks_assets.exchanges.gateway import ExchangeGateway
from fks_assets.quant.market_rules import MarketRules
from fks_assets.quant.orders import OrderStatus
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential
from fks_assets.stores.ledger.orders import read_order
from fks_assets.stores.market_rules import record_rules
from fks_assets_tests.orders.dry_worker import MARKET, desk_settings, name_of
from fks_assets_tests.orders.trading_desk import NO_LIMITS, TradingDesk, trading_desk
from fks_assets_tests.orders.venues import OpenBudget

LINE_SECONDS = 120


def start(module: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", f"fks_assets_tests.orders.{module}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )


def read_until(process: "subprocess.Popen[str]", word: str) -> list[str]:
    """Return the lines up to the one that is this word."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        if line.strip() == word:
            return lines
        lines.append(line.strip())
    raise AssertionError(f"ended before {word!r}: {lines}")


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def occurrences(pid: int, secret: bytes) -> int:
    """Return how often a secret stands in the memory of a process, in any readable mapping."""
    found = 0
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            addresses, access, *_ = line.split()
            if not access.startswith("r") or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            first, last = (int(each, 16) for each in addresses.split("-"))
            try:
                memory.seek(first)
                found += memory.read(last - first).count(secret)
            except (OSError, ValueError, OverflowError):
                continue
    return found


def rules_of_the_exchange(url: str) -> list[MarketRules]:
    import asyncio

    from fks_assets.exchanges.profile import ExchangeProfile

    async def read() -> list[MarketRules]:
        async with ExchangeGateway(ExchangeProfile("simulated", "binance", url), OpenBudget()) as gateway:
            found = await gateway.market_rules([MARKET])
            return [rules for rules in found.values() if isinstance(rules, MarketRules)]

    return asyncio.run(read())


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="reads /proc")
def test_seven_of_eight_combinations_of_the_switches_reach_no_account(database: Database, home: Path):
    """O6: nothing signed leaves the process, and its memory holds no key; the eighth shows that both would be seen."""
    secret = "".join(["canary", "-of-the-", "live-key-", "0123456789"])
    with running_simulator(limits=NO_LIMITS) as simulator:
        live = [name_of(True, account, environment) for account in (False, True) for environment in (False, True)]
        settings = desk_settings(str(home), database.url, simulator.url)
        keys = load_keys(home, {})
        with database.transaction() as connection:
            from fks_assets.desk.floor import mirror_accounts

            record_rules(connection, rules_of_the_exchange(simulator.url), now_ms())
            mirror_accounts(connection, settings, at_ms=now_ms())
            for name in live:
                key = ApiKey(SecretStr(f"sim-{name}"), SecretStr(secret))
                add_credential(connection, keys, name, key, by="test", at_ms=now_ms())
        for name in live:
            simulator.add_account(f"sim-{name}", secret, balances={"USDT": 100_000}, fee_rule="quote")
        process = start("dry_worker", str(home), database.url, simulator.url)
        try:
            dry = read_until(process, "dry")
            # Paper accounts trade if they are enabled; live ones whose switches disagree do not, not even on paper.
            kinds = [line.partition(") ")[2].split()[0] for line in dry]
            assert kinds == ["Denied:", "Denied:", "PaperVenue", "PaperVenue", "Denied:", "Denied:", "Denied:"]
            assert sum("FILLED" in line for line in dry) == 2
            assert simulator.requests() == [] and simulator.orders() == []
            assert [entry for entry in simulator.journal() if entry["account"]] == []
            assert occurrences(process.pid, secret.encode()) == 0
            go_on(process)
            (line,) = read_until(process, "live")
            assert line == "(True, True, True) BinanceVenue FILLED"
            assert {one["account"] for one in simulator.orders()} == {f"sim-{name_of(True, True, True)}"}
            assert occurrences(process.pid, secret.encode()) > 0
        finally:
            process.kill()
            process.wait()


def test_a_stopped_process_that_was_taken_over_from_sends_nothing_when_it_goes_on(database: Database):
    """P3: SIGSTOP right before the request, another takes over, SIGCONT: the stale one sends 0, and settles nothing."""
    with trading_desk(database) as desk:
        process = start("stopped_worker", database.url, desk.simulator.url, str(desk.ahead_ms))
        try:
            (order_id,) = read_until(process, "about to send")
            os.kill(process.pid, signal.SIGSTOP)
            fence = desk.take_fence("successor")
            go_on(process)
            os.kill(process.pid, signal.SIGCONT)
            (said,) = read_until(process, "over")
        finally:
            process.kill()
            process.wait()
        assert said.startswith("StaleFence") and "successor" in said
        assert desk.simulator.orders() == []
        order = read_order(database, int(order_id))
        assert (order.status, order.executed_quantity) == (OrderStatus.SUBMITTING, Decimal(0))
        assert settled_by(desk, fence.epoch, int(order_id)) is OrderStatus.ABSENT


def settled_by(desk: TradingDesk, epoch: int, order_id: int) -> OrderStatus:
    """Return what the successor finds out about an order."""
    for _ in range(5):
        desk.jump(30)
        assert desk.reconcile().passed
    order = read_order(desk.database, order_id)
    assert order.epoch is not None and order.epoch < epoch
    return order.status
