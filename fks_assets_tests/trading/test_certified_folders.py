"""Certificates at the desk (D6, C7): what lies in the user's folder trades only if validation finds that it cannot see ahead.

The eight cheats and the five honest strategies are those of `quant/strategies/planted.py`, written into one module of the folder.
"""

import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from fks_assets import clock
from fks_assets.assets.trading.in_force import strategies_in_force
from fks_assets.assets.trading.promotion import may_trade, switch_on
from fks_assets.clock import to_ms
from fks_assets.definitions import build_definitions
from fks_assets.partitions import tags_of_today
from fks_assets.quant.strategies.registry import register_folder
from fks_assets.settings import read_settings
from fks_assets.stores.strategies import write_parameters
from fks_assets.stores.strategy_records import certificate_of, read_states
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.quant.strategies import planted
from fks_assets_tests.trading.desks import DAY, store, walk

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
TODAY = "2026-02-20"
HEAD = """
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
import pandas as pd

from fks_assets.quant.candles import Candles
from fks_assets.quant.strategies.base import BUY, HOLD, SELL, Parameters, SignalColumns, Strategy
from fks_assets.quant.strategies.rules import begins

Indicators = Mapping[str, np.ndarray]


"""


def named(cls: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


CHEATS = {named(cls): cls for cls in planted.CHEATS}
HONEST = {named(cls): cls for cls in planted.HONEST}


def module() -> str:
    """The planted strategies as a user would keep them: one module, a name for each."""
    parts = [inspect.getsource(each) for each in (planted.Planted, planted.hours)]
    for name, cls in {**CHEATS, **HONEST}.items():
        head, rest = inspect.getsource(cls).split("(Planted):\n", 1)
        parts.append(f'{head}(Planted):\n    name = "{name}"\n\n{rest}')
    return HEAD + "\n\n".join(parts).replace("class Planted(", "class _Planted(").replace("(Planted)", "(_Planted)")


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk whose settings name all thirteen, at one o'clock, with candles of seven weeks."""
    moment = to_ms(datetime.fromisoformat(f"{TODAY}T01:00").replace(tzinfo=UTC))
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: moment * 1_000_000))
    folder = home / "own"
    folder.mkdir()
    (folder / "thirteen.py").write_text(module(), encoding="utf-8")
    build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    toml = home / "desk.toml"
    text = toml.read_text(encoding="utf-8").replace(
        'executor = "in_process"', 'executor = "in_process"\nstrategies_folder = "own"'
    )
    text = text.replace("[strategies.technical]\n", "").replace("[strategies.breakout]\n", "")
    toml.write_text(text + "".join(f"[strategies.{name}]\n" for name in (*CHEATS, *HONEST)), encoding="utf-8")
    settings = read_settings({"FKS_DESK": str(toml), "FKS_HOME": str(home), "FKS_DATABASE_URL": database_url}, home)
    desk = Desk(settings, build_definitions(settings), dg.DagsterInstance.ephemeral())
    store(desk.stores.candles, settings.market_list()[0], walk(START, 50 * 24, seed=5))
    yield desk
    register_folder(None)


def run(desk: Desk, job: str) -> dg.ExecuteInProcessResult:
    tags = {**tags_of_today(job, TODAY), "dagster/schedule_name": f"{job}_schedule"}
    return desk.definitions.resolve_job_def(job).execute_in_process(instance=desk.instance, tags=tags, raise_on_error=False)


def test_no_cheat_of_the_folder_may_trade_whoever_switches_it_on_and_no_honest_strategy_is_accused(desk: Desk) -> None:
    """Neither under its own name nor as a parameter set of another one."""
    database, settings = desk.stores.database, desk.settings
    with database.transaction() as connection:
        write_parameters(connection, "disguised", "next_close", {}, by="Eve", note="", at_ms=START)
        write_parameters(connection, "plain", "slopes", {}, by="Ada", note="", at_ms=START)

    def allowed(name: str) -> tuple[bool, str]:
        with database.transaction() as connection:
            return may_trade(connection, settings, name)

    cheats, honest = (*CHEATS, "disguised"), (*HONEST, "plain")
    assert not any(allowed(name)[0] for name in (*cheats, *honest)), "without a certificate nothing trades"
    assert run(desk, "backtest").success
    assert run(desk, "validation").success
    for state in read_states(database).values():
        assert not state.enabled
    with database.transaction() as connection:
        for name in (*cheats, *honest):
            switch_on(connection, settings, name, reason="I believe in it", by="Ada", at_ms=START + 50 * DAY)
    for name in cheats:
        trades, why = allowed(name)
        assert not trades
        assert why.startswith(f"strategy {name} has no certificate that passed: row "), why
    for name in honest:
        assert allowed(name)[0], allowed(name)[1]
    subject = strategies_in_force(database, settings)[0]["disguised"]
    held = certificate_of(database, "next_close", subject.code_version, subject.parameters_hash)
    assert held is not None and held.accused and held.document["findings"][0]["kind"] == "future"
