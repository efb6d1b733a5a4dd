"""The daily assets at a desk with stored candles: backtests, validation, certificates, and who may trade."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from fks_assets import clock
from fks_assets.assets.trading.backtest_run import backtest
from fks_assets.assets.trading.in_force import strategy_named
from fks_assets.assets.trading.promotion import may_trade, switch_on
from fks_assets.assets.trading.standard import rules_of_markets
from fks_assets.clock import iso, to_ms
from fks_assets.definitions import build_definitions
from fks_assets.partitions import strategy_day_range, tags_of_today
from fks_assets.quant.strategies.registry import STRATEGIES, create_strategy, register_folder
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.settings import read_settings
from fks_assets.stores.lineage import latest_inputs
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.strategies import write_parameters
from fks_assets.stores.strategy_records import newest_results, read_states
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.trading.desks import DAY, store, walk

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
TODAY = "2026-03-12"
END = START + 70 * DAY
H1 = parse_timeframe("1h")
MODULE = '''
import numpy as np

from fks_assets.quant.strategies.base import Parameters, SignalColumns, Strategy


class {cls}(Strategy[Parameters]):
    """Stop 5 % and target 10 % away."""

    name = "{name}"
    parameters_model = Parameters
    required_columns = ("atr_14",)

    def judge(self, candles, indicators):
        close = candles.close
        {rule}
        action = np.asarray(action, np.int8)
        return SignalColumns(
            action, np.full(len(close), 0.9), close * (1 - 0.05 * action), close * (1 + 0.1 * action),
            np.zeros(len(close), np.int16), ("so it is",),
        )
'''
RULES = {
    "always_buy": "action = np.ones(len(close))",
    "knows_tomorrow": "action = np.sign(np.append(close[1:], close[-1]) - close)",
    "always_breaks": "raise RuntimeError('out of luck')",
}


@pytest.fixture(autouse=True)
def own_strategies() -> Iterator[None]:
    """What a test's folder brought must not be known to the next one."""
    yield
    register_folder(None)


def stand_at(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    moment = to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: moment * 1_000_000))


def desk_with(home: Path, database_url: str, own: Sequence[str]) -> Desk:
    """A desk of one rising market with technical, breakout and these strategies of the user's folder."""
    folder = home / "own"
    folder.mkdir()
    for name in own:
        cls = name.title().replace("_", "")
        (folder / f"{name}.py").write_text(MODULE.format(cls=cls, name=name, rule=RULES[name]), encoding="utf-8")
    build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    toml = home / "desk.toml"
    tables = "".join(f"[strategies.{name}]\n" for name in own)
    text = toml.read_text(encoding="utf-8").replace(
        'executor = "in_process"', 'executor = "in_process"\nstrategies_folder = "own"'
    )
    toml.write_text(text + tables, encoding="utf-8")
    environment = {"FKS_DESK": str(toml), "FKS_HOME": str(home), "FKS_DATABASE_URL": database_url}
    settings = read_settings(environment, home)
    desk = Desk(settings, build_definitions(settings), dg.DagsterInstance.ephemeral())
    store(desk.stores.candles, settings.market_list()[0], walk(START, 70 * 24, seed=5, drift=0.0008))
    return desk


def run(
    desk: Desk, job: str, *, scheduled: bool = True, config: dict[str, Any] | None = None, **tags: str
) -> dg.ExecuteInProcessResult:
    wanted = tags_of_today(job, TODAY) | {name.replace("__", "/"): value for name, value in tags.items()}
    return desk.definitions.resolve_job_def(job).execute_in_process(
        instance=desk.instance,
        tags=wanted | ({"dagster/schedule_name": f"{job}_schedule"} if scheduled else {}),
        run_config={} if config is None else {"ops": {f"{job}s": {"config": config}}},
        raise_on_error=False,
    )


def said(result: dg.ExecuteInProcessResult) -> str:
    [failure] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return str(failure.event_specific_data.error_display_string)


def test_each_day_every_strategy_gets_its_own_backtest_with_a_tear_sheet(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1.5, X5, F3: what is stored under a strategy's name is what it gives on the 30 days before, and no other."""
    stand_at(monkeypatch, f"{TODAY}T00:10")
    desk = desk_with(home, database_url, [])
    (btc,) = desk.settings.market_list()
    assert run(desk, "backtest").success
    assert desk.materialised("backtests") == {f"{TODAY}|technical", f"{TODAY}|breakout"}
    results = newest_results(desk.stores.database)
    for name in ("technical", "breakout"):
        subject = strategy_named(desk.stores.database, desk.settings, name)
        alone = backtest(desk.stores, subject, [btc], H1, END - 30 * DAY, END)
        assert results[name].order_list_hash == alone.result.order_list_hash
        assert results[name].document["metrics"] == alone.performance.document()
        assert (results[name].parameters_hash, results[name].code_version) == (subject.parameters_hash, subject.code_version)
        [record] = latest_inputs(desk.stores.database, "backtests", [f"{TODAY}|{name}"]).values()
        assert record.inputs == alone.inputs
        assert (home / "reports" / "backtests" / f"{TODAY}_{name}.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert results["technical"].order_list_hash != results["breakout"].order_list_hash
    event = next(event for event in desk.events("backtests") if event.partition == f"{TODAY}|breakout")
    assert event.metadata["equity of breakout"].value.startswith("![breakout on BTC-USDT@simulated, 1h](data:image/svg+xml")
    [row] = event.metadata["figures"].records
    assert row.data["parameter set"] == "breakout" and row.data["version"] == 0
    assert run(desk, "backtest").success
    assert len(desk.events("backtests")) == 2, "nothing changed, so no event"
    assert run(desk, "backtest", scheduled=False).success
    assert len(desk.events("backtests")) == 4, "a person gets an answer"


@pytest.mark.parametrize("days", [1, 42])
def test_the_days_looked_at_are_a_parameter(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """X5: the previous day alone, the last 1000 hours, or any other number of days; the day itself is never among them."""
    stand_at(monkeypatch, f"{TODAY}T00:10")
    desk = desk_with(home, database_url, [])
    assert run(desk, "backtest", config={"lookback_days": days}).success
    for result in newest_results(desk.stores.database).values():
        assert (result.document["start"], result.document["end"]) == (iso(END - days * DAY), iso(END))
        assert result.document["metrics"]["days"] == days
    refused = run(desk, "backtest", config={"lookback_days": 0})
    assert not refused.success and "lookback_days must be at least 1, was 0" in said(refused)


def test_a_person_tries_other_rules_and_parameters_beside_the_days_evidence(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run configuration of the web UI takes what `fks backtest` takes as --rule and --set."""
    stand_at(monkeypatch, f"{TODAY}T00:10")
    desk = desk_with(home, database_url, [])
    (btc,) = desk.settings.market_list()
    config = {"rules": ["costs.slippage=0.0005", "initial_cash=50000"], "parameters": ["ema_fast=3"], "lookback_days": 40}
    tried = desk.definitions.resolve_job_def("backtest").execute_in_process(
        instance=desk.instance,
        tags={"dagster/partition": f"{TODAY}|breakout"},
        run_config={"ops": {"backtests": {"config": config}}},
        raise_on_error=False,
    )
    assert tried.success
    [event] = desk.events("backtests")
    assert event.metadata["judged by it"].value is False
    [result] = newest_results(desk.stores.database).values()
    subject = strategy_named(desk.stores.database, desk.settings, "breakout", {"ema_fast": 3})
    leg, book = rules_of_markets(desk.settings, [btc], {"costs.slippage": 0.0005, "initial_cash": 50_000})
    alone = backtest(desk.stores, subject, [btc], H1, END - 40 * DAY, END, rules=leg, book=book)
    assert result.document["metrics"] == alone.performance.document()
    assert latest_inputs(desk.stores.database, "backtests", [f"{TODAY}|breakout"]) == {}, "the partition is not made from it"


def test_a_past_day_says_that_the_settings_have_no_versions(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_at(monkeypatch, "2026-03-14T00:10")
    desk = desk_with(home, database_url, [])
    for job, asset in (("parameters", "strategy_parameters"), ("backtest", "backtests")):
        assert run(desk, job, scheduled=False).success
        words = {event.metadata["not as it was"].value for event in desk.events(asset)}
        assert all("with the parameters that the settings have today: only stored sets have versions" in each for each in words)
        assert words


def test_parameter_sets_of_one_strategy_are_backtested_side_by_side(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_at(monkeypatch, f"{TODAY}T00:10")
    desk = desk_with(home, database_url, [])
    with desk.stores.database.transaction() as connection:
        full = create_strategy("breakout", {"ema_fast": 3}).parameters.model_dump(mode="json")
        write_parameters(connection, "quick", "breakout", full, by="Ada", note="", at_ms=END)
    assert run(desk, "parameters").success
    [event] = desk.events("strategy_parameters")
    rows = {record.data["name"]: record.data for record in event.metadata["strategies"].records}
    assert {name: row["version"] for name, row in rows.items()} == {"breakout": 0, "quick": 1, "technical": 0}
    assert run(desk, "backtest").success
    results = newest_results(desk.stores.database, day=TODAY)
    assert set(results) == {"technical", "breakout", "quick"}
    assert rows["quick"]["parameters_hash"] == results["quick"].parameters_hash
    assert results["quick"].order_list_hash != results["breakout"].order_list_hash
    [event] = [event for event in desk.events("backtests") if event.partition == f"{TODAY}|breakout"]
    assert {record.data["parameter set"] for record in event.metadata["figures"].records} == {"breakout", "quick"}


def test_a_strategy_that_fails_does_not_stop_the_rest(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3.4."""
    stand_at(monkeypatch, f"{TODAY}T00:10")
    desk = desk_with(home, database_url, ["always_breaks"])
    result = run(desk, "backtest")
    assert result.success
    [closing] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    summary = {name: value.value for name, value in closing.event_specific_data.metadata.items()}
    assert (summary["status"], summary["total_strategies"], summary["processed"], summary["errors"]) == (
        "completed_with_errors", 3, 2, 1,
    )  # fmt: skip
    line = MODULE.split("{rule}")[0].count("\n") + 1
    words = f"strategy always_breaks: line {line}: RuntimeError: out of luck"
    assert summary["details"][f"{TODAY}|always_breaks"] == words
    assert set(newest_results(desk.stores.database)) == {"technical", "breakout"}
    by_person = run(desk, "backtest", scheduled=False)
    assert not by_person.success and f"1 of 3 partitions failed: 2026-03-12|always_breaks: {words}" in said(by_person)
    assert run(desk, "validation").success
    [told] = read_notifications(desk.stores.database, ["strategy_not_judged"])
    assert told.message == "strategy always_breaks could not be judged and stays as it is: it has no backtest of 2026-03-12"


def test_a_desk_without_candles_says_so(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_at(monkeypatch, f"{TODAY}T00:10")
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    result = run(desk, "backtest")
    assert not result.success and "no 1h candles of BTC-USDT@simulated are stored" in said(result)
    result = run(desk, "validation")
    assert not result.success and "no strategy has a backtest to be judged by" in said(result)


def test_what_fails_its_rules_is_switched_off_once_and_a_cheat_that_passes_them_cannot_be_promoted(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1.6, S2.14, D6, F3: three strategies with three backtests and three ends."""
    stand_at(monkeypatch, f"{TODAY}T01:00")
    desk = desk_with(home, database_url, ["always_buy", "knows_tomorrow"])
    database, settings = desk.stores.database, desk.settings

    def allowed(name: str) -> tuple[bool, str]:
        with database.transaction() as connection:
            return may_trade(connection, settings, name)

    assert allowed("always_buy") == (False, allowed("always_buy")[1]) and "has no certificate" in allowed("always_buy")[1]
    assert run(desk, "backtest").success
    sharpes = {name: each.document["metrics"]["sharpe"] for name, each in newest_results(database).items()}
    assert sharpes["always_buy"] > 1 and sharpes["knows_tomorrow"] > 1
    failing = {name for name, sharpe in sharpes.items() if sharpe < 1}
    assert failing, sharpes
    assert run(desk, "validation").success
    assert allowed("always_buy")[0], allowed("always_buy")[1]
    assert not allowed("knows_tomorrow")[0]
    assert "has no certificate that passed" in allowed("knows_tomorrow")[1]
    assert read_states(database).keys() == failing
    messages = {each.message.split()[2]: each for each in read_notifications(database, ["strategy_disabled"])}
    assert messages.keys() == failing
    for name in failing:
        assert (
            not allowed(name)[0]
            and "was switched off at 2026-03-12T01:00:00Z by validation: Sharpe ratio was" in allowed(name)[1]
        )
        assert (messages[name].severity, "may not trade" in messages[name].message) == ("HIGH", True)
    [event] = desk.events("strategy_validation")
    assert sorted(event.metadata["switched off"].value) == sorted(failing)

    assert run(desk, "validation").success
    assert len(read_notifications(database, ["strategy_disabled"])) == len(failing), "one message, however often it is judged"
    again = sorted(failing)[0]
    with database.transaction() as connection:
        switch_on(connection, settings, again, reason="I know why", by="Ada", at_ms=END - DAY, days=1)
    assert run(desk, "validation").success
    assert len(read_notifications(database, ["strategy_disabled"])) == len(failing) + 1, "the word was over: switched off anew"

    (home / "own" / "always_buy.py").write_text(
        MODULE.format(cls="AlwaysBuy", name="always_buy", rule=RULES["knows_tomorrow"]), encoding="utf-8"
    )
    environment = {"FKS_DESK": str(home / "desk.toml"), "FKS_HOME": str(home), "FKS_DATABASE_URL": database_url}
    settings = read_settings(environment, home)
    assert allowed("always_buy")[0] is False and "has no certificate for code" in allowed("always_buy")[1], "other code"


def test_a_past_day_is_judged_without_switching_anything(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_at(monkeypatch, "2026-03-14T01:00")
    desk = desk_with(home, database_url, [])
    assert run(desk, "backtest", scheduled=False).success
    assert run(desk, "validation", scheduled=False).success
    assert read_states(desk.stores.database) == {}
    [event] = desk.events("strategy_validation")
    assert event.partition == TODAY and event.metadata["passed"].value < 2


def test_the_schedules_ask_for_the_day_on_which_they_tick(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """X22: parameters at 00:05, backtests at 00:10, validation at 01:00."""
    stand_at(monkeypatch, f"{TODAY}T07:00")
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT"])
    requests = {}
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        for name in ("parameters", "backtest", "validation"):
            schedule = desk.definitions.resolve_schedule_def(f"{name}_schedule")
            with dg.build_schedule_context(instance) as context:
                requests[name] = schedule(context)
    assert (requests["parameters"].partition_key, requests["validation"].partition_key) == (TODAY, TODAY)
    assert requests["backtest"].tags == strategy_day_range(TODAY)
    assert requests["backtest"].run_key == f"backtests:{TODAY}"
    keys = desk.definitions.resolve_asset_graph().get(dg.AssetKey("backtests")).partitions_def.get_partition_keys()
    assert {f"{TODAY}|{name}" for name in STRATEGIES} <= set(keys)
