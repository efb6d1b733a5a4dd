"""A live account of the desk at a simulated exchange that replays recorded candles: signed orders over HTTP, in virtual time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from fks_assets.exchanges.orders import signing
from fks_assets.simulator.client import SimulatorClient
from fks_assets.simulator.inprocess import running_simulator
from fks_assets.stores.database import Database
from fks_assets.stores.ledger.accounts import enable
from fks_assets.stores.ledger.credential_keys import load_keys
from fks_assets.stores.ledger.credentials import ApiKey, add_credential
from fks_assets_tests.scenarios.recorded_signals import Recorded
from fks_assets_tests.scenarios.virtual_account import ACCOUNT, ANY_MODE, CASH, VirtualAccount, account_settings

KEY, SECRET = "sim-live", "a-secret-of-the-simulated-exchange"


@dataclass
class LiveAccount(VirtualAccount):
    """An account whose exchange has the same clock."""

    simulator: SimulatorClient = field(kw_only=True)

    def stand_at(self, now_ms: int) -> None:
        super().stand_at(now_ms)
        self.simulator.set_clock(now=now_ms)
        # Hours have passed since the last requests.
        with self.database.transaction() as connection:
            connection.execute(sa.text("DELETE FROM rate_budgets"))


@contextmanager
def live_account(home: Path, database: Database, recorded: Recorded) -> Iterator[LiveAccount]:
    """Give a live account with all its switches on, at an exchange that fills orders as a backtest does."""
    timeframe = recorded.timeframe.name
    with (
        running_simulator(replay=recorded.folder, speed=0, start_ms=recorded.start_ms) as simulator,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Both clocks stand still while a visit takes its second.
        patch.setattr(signing, "LARGEST_SKEW_MS", 600_000)
        simulator.set_trading(fill_model="open", open_timeframe=timeframe, way="low_first", check_timestamps=False)
        simulator.add_account(KEY, SECRET, balances={"USDT": CASH}, fee_rule="quote", fee_places=18)
        settings = account_settings(home, database, recorded, simulator.url, {**ANY_MODE, "ACCOUNTS__main__mode": "live"})
        account = LiveAccount(settings, database, recorded, {"FKS_LIVE": "yes"}, simulator=simulator)
        account.stand_at(recorded.start_ms)
        account.floor.account(ACCOUNT)
        with database.transaction() as connection:
            key = ApiKey(SecretStr(KEY), SecretStr(SECRET))
            add_credential(connection, load_keys(settings.home, {}), ACCOUNT, key, by="test", at_ms=account.now_ms)
            enable(connection, ACCOUNT, True, by="test", reason="test", at_ms=account.now_ms)
        yield account
