"""A strategy that is broken stops itself and nothing else: not the desk, not its guard, not the switch that halts it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from fks_assets.assets.trading.in_force import read_in_force, strategy_named
from fks_assets.assets.trading.promotion import may_trade
from fks_assets.assets.trading.validation import validate_strategies
from fks_assets.cli import app
from fks_assets.clock import now_ms, to_ms
from fks_assets.definitions import build_definitions
from fks_assets.desk.signals import newest_heads
from fks_assets.errors import InvalidInput
from fks_assets.quant.strategies.registry import STRATEGIES, known_strategies, register_folder
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.settings import SHIPPED_DESK, Settings, load_settings
from fks_assets.stores.database import Database
from fks_assets.stores.notifications import read_notifications
from fks_assets.stores.strategies import write_parameters
from fks_assets.supervisor.loading import load_progress
from fks_assets_tests.desk import Desk
from fks_assets_tests.quant.strategies.test_loading import module
from fks_assets_tests.trading.desks import store, walk

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
ROWS = 25 * 24
H1 = parse_timeframe("1h")


@pytest.fixture(autouse=True)
def own(home: Path, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a desk with one market, which trades `mine`, its own strategy, beside technical; its `fks` is at hand."""
    folder = home / "own"
    folder.mkdir()
    (folder / "mine.py").write_text(module("mine"), encoding="utf-8")
    head, rest = SHIPPED_DESK.read_text(encoding="utf-8").split("[[markets]]", 1)
    first, rest = rest.split("[[markets]]", 1)
    tables = rest[rest.index("\n[") :]
    text = f'strategies_folder = "own"\n{head}[[markets]]{first}{tables[tables.index("[exchanges.") :]}'
    (home / "desk.toml").write_text(text.replace("[strategies.breakout]", "[strategies.mine]"), encoding="utf-8")
    environment = {"DESK": str(home / "desk.toml"), "HOME": str(home), "DATABASE_URL": database_url, "TIMEFRAMES": "1h"}
    for name, value in environment.items():
        monkeypatch.setenv(f"FKS_{name}", value)
    monkeypatch.setenv("FKS_FIRST_MONTH", "2026-01")
    yield folder
    load_settings.cache_clear()
    register_folder(None)


def settings_now() -> Settings:
    """The settings as a process that starts now has them."""
    load_settings.cache_clear()
    return load_settings()


def desk_now() -> Desk:
    return Desk(settings_now(), build_definitions(load_settings()), dg.DagsterInstance.ephemeral())


def spoil(own: Path) -> None:
    """Break the file of `mine`, which notes when it is run, and put another broken file beside it."""
    ran = f"open({str(own / 'ran')!r}, 'w').close()\n"
    (own / "mine.py").write_text(f"{ran}{module('mine')}\n1 / 0\n", encoding="utf-8")
    (own / "half.py").write_text(f"{ran}1 / 0\n", encoding="utf-8")


def fks(*arguments: str) -> tuple[int, str, str]:
    load_settings.cache_clear()
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer.exit_code, answer.stdout, answer.stderr


def warnings(result: Any, desk: Desk) -> list[str]:
    records = desk.instance.get_records_for_run(result.run_id).records
    return [record.event_log_entry.user_message for record in records if record.event_log_entry.level == 30]


@pytest.mark.parametrize("fault", ["file", "folder", "value"])
def test_whoever_halts_looks_or_stops_is_not_kept_from_it_by_a_strategy(
    own: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(own)
    commands = [["halt", "--reason", "enough"], ["positions"], ["down"]]
    if fault == "folder":
        monkeypatch.setenv("FKS_STRATEGIES_FOLDER", "nowhere")
    elif fault == "value":
        monkeypatch.setenv("FKS_STRATEGIES__technical__votes_needed", "99")
    else:
        commands += [["orders", "list"], ["deals"], ["accounts"], ["halt", "--list"], ["resume", "desk", "--reason", "again"]]
    for command in commands:
        code, _, told = fks(*command)
        assert (code, told) == (0, ""), command
    _, shown, told = fks("status")
    assert told == "" and "mine" not in shown
    assert not (own / "ran").exists(), "what needs no strategy runs none"


def test_the_process_that_keeps_the_others_runs_no_code_of_a_user(own: Path, database: Database) -> None:
    spoil(own)
    assert load_progress(settings_now(), database)["signals"].expected > 0
    assert not (own / "ran").exists()


def test_definitions_leave_a_broken_file_out_and_say_so_in_one_line(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    (own / "half.py").write_text(module("half") + "\n1 / 0\n", encoding="utf-8")
    definitions = build_definitions(settings_now())
    [told] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.startswith(f"strategy file {own / 'half.py'}: cannot be run: line ")
    assert told.endswith("ZeroDivisionError: division by zero; it is left out") and "\n" not in told
    partitions = definitions.resolve_job_def("backtest").partitions_def
    assert partitions is not None
    keys = [key.partition("|")[2] for key in partitions.get_partition_keys()[: len(STRATEGIES) + 1]]
    assert sorted(keys) == sorted([*STRATEGIES, "mine"])
    assert (keys[0], keys[-1]) == (next(iter(STRATEGIES)), [*STRATEGIES][-1]), "a range ends at names that every process knows"


def test_a_strategy_whose_file_broke_gives_no_signals_trades_nothing_and_is_told_of_once(own: Path, database: Database) -> None:
    """What it holds stays with the guard, which asks no strategy; its exits by signal stop."""
    desk = desk_now()
    market = desk.settings.market_list()[0]
    store(desk.stores.candles, market, walk(START, ROWS - 24, seed=7))
    assert desk.run(["indicators_1h"], ["2026-01"], scheduled=True).success
    assert desk.run(["signals_1h"], ["2026-01"], scheduled=True).success
    with database.transaction() as connection:
        end = START + (ROWS - 24) * H1.milliseconds
        assert ("mine", market) in newest_heads(connection, ["technical", "mine"], [market], H1, end).newest

    spoil(own)
    desk = desk_now()
    store(desk.stores.candles, market, walk(START, ROWS, seed=7))
    assert desk.run(["indicators_1h"], ["2026-01"], scheduled=True).success
    result = desk.run(["signals_1h"], ["2026-01"], scheduled=True)
    assert result.success
    where = f"strategy file {own / 'mine.py'}: cannot be run: line "
    [of_mine] = [words for words in warnings(result, desk) if "mine.py" in words]
    assert of_mine.startswith(f"parameter set mine gives no signals: {where}")
    assert [words for words in warnings(result, desk) if "half.py" in words] == [
        f"strategy file {own / 'half.py'}: cannot be run: line 2: ZeroDivisionError: division by zero; it is left out"
    ]
    assert desk.stores.candles.read_table("signals.mine", market, "1h").num_rows == ROWS - 24
    assert desk.stores.candles.read_table("signals.technical", market, "1h").num_rows == ROWS
    with database.transaction() as connection:
        heads = newest_heads(connection, ["technical", "mine"], [market], H1, START + ROWS * H1.milliseconds)
        allowed, why = may_trade(connection, desk.settings, "mine")
    assert list(heads.newest) == [("technical", market)] and "has not been judged yet" in heads.behind["mine", market]
    assert not allowed and why.startswith(f"strategy mine: it cannot be used: {where}") and "\n" not in why

    validate_strategies(desk.stores)
    assert desk.run(["signals_1h"], ["2026-01"], scheduled=False).success
    [message] = [each for each in read_notifications(database, ["strategy_not_judged"]) if "mine" in each.message]
    assert message.severity == "WARN"
    assert message.message.startswith(
        "strategy mine gives no signals and opens nothing, and what it holds is guarded by its stops"
    )


def test_the_list_names_what_is_wrong_and_shows_the_others(own: Path) -> None:
    spoil(own)
    code, shown, _ = fks("strategies", "list", "--json")
    document = json.loads(shown)
    assert code == 0 and [row["name"] for row in document["strategies"]] == ["technical"]
    assert "mine.py: cannot be run: line " in document["unusable"]["mine"]
    assert [each.split(": ")[0] for each in document["left_out"]] == [
        f"strategy file {own / name}" for name in ("half.py", "mine.py")
    ]
    lines = fks("strategies")[1].splitlines()
    assert [line for line in lines if line.startswith("mine cannot be used: strategy file ")]
    assert [line for line in lines if line.startswith("left out: ") and "half.py" in line]
    assert not [line for line in lines if line.startswith("left out: ") and "mine.py" in line], "it is said once"
    code, _, told = fks("strategies", "show", "mine")
    assert code == 2 and told.startswith("fks: strategy file ") and told.count("\n") == 1


def test_a_set_that_cannot_be_used_is_tried_and_mended_from_what_it_says(database: Database) -> None:
    """Nothing of it is lost in silence, and what is no longer taken is named."""
    old = {"ema_fast": 3, "lookback": 30, "gone": 1}
    with database.transaction() as connection:
        write_parameters(connection, "quick", "breakout", old, by="Ada", note="", at_ms=now_ms())
        write_parameters(connection, "breakout", "breakout", {"ema_fast": 60, "lookback": 31}, by="Ada", note="", at_ms=now_ms())
    source, settings = database, settings_now()
    with pytest.raises(InvalidInput, match=r"^strategy breakout: gone: unknown parameter, was 1$"):
        strategy_named(source, settings, "quick")
    with pytest.raises(InvalidInput, match=r"^strategy breakout: gone: unknown parameter, was 1$"):
        strategy_named(source, settings, "quick", {"ema_fast": 4})
    tried = strategy_named(source, settings, "breakout", {"ema_fast": 4})
    assert (tried.parameters["ema_fast"], tried.parameters["lookback"], tried.version) == (4, 31, 1)

    code, _, told = fks("strategies", "set", "quick", "ema_fast=4", "--by", "Ada")
    hint = "the set holds values that are not taken any more: give them anew, or leave each out with --drop NAME"
    assert (code, told) == (2, f"fks: strategy breakout: gone: unknown parameter, was 1; {hint}\n")
    code, _, told = fks("strategies", "set", "breakout", "lookback=32", "--by", "Ada")
    assert code == 2 and "ema_fast: Input should be less than or equal to 50, was 60; the set holds values" in told
    for wrong, words in (
        (["--drop", "gon"], "holds no such value; it holds gone, ema_fast, lookback"),
        (["gone=2", "--drop", "gone"], "say one"),
    ):
        code, _, told = fks("strategies", "set", "quick", *wrong, "--by", "Ada")
        assert code == 2 and words in told
    code, shown, _ = fks("strategies", "set", "quick", "ema_fast=4", "--drop", "gone", "--by", "Ada", "--json")
    mended = json.loads(shown)["parameters"]
    assert code == 0 and (mended["ema_fast"], mended["lookback"]) == (4, 30) and "gone" not in mended
    assert fks("strategies", "set", "breakout", "ema_fast=5", "--by", "Ada")[0] == 0
    assert read_in_force(source, settings).subjects["breakout"].parameters["lookback"] == 31

    assert fks("strategies", "remove", "quick", "--by", "Ada")[0] == 0
    _, shown, _ = fks("strategies", "set", "quick", "ema_slow=22", "--by", "Ada", "--json")
    back = json.loads(shown)["parameters"]
    assert (back["ema_fast"], back["ema_slow"], back["lookback"]) == (4, 22, 30)


def test_a_share_of_a_name_that_no_strategy_has_is_said_where_accounts_are_shown(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sets are in the database, so the settings cannot refuse it; no strategy is loaded to say it."""
    monkeypatch.setenv("FKS_ACCOUNTS__main__strategies__tecnical", "0.25")
    monkeypatch.setenv("FKS_ACCOUNTS__main__strategies__technical", "0.25")
    monkeypatch.setenv("FKS_ACCOUNTS__main__strategies__breakout", "0.1")
    monkeypatch.setenv("FKS_ACCOUNTS__main__strategies__quick", "0.1")
    with database.transaction() as connection:
        write_parameters(connection, "quick", "breakout", {}, by="Ada", note="", at_ms=now_ms())
    words = "account main: nothing trades the share {} of {!r}: no strategy in force has this name; "
    words += "in force are technical, mine, quick"
    expected = [words.format("0.1", "breakout"), words.format("0.25", "tecnical")]
    for command in (["accounts"], ["accounts", "show", "main"]):
        _, shown, _ = fks(*command)
        assert sorted(line for line in shown.splitlines() if line.startswith("account main:")) == expected
    [row] = json.loads(fks("accounts", "--json")[1])["accounts"]
    assert sorted(row["idle_shares"]) == expected
    desk = desk_now()
    job = desk.definitions.resolve_job_def("trading")
    result = job.execute_in_process(
        instance=desk.instance, asset_selection=[dg.AssetKey("deals")], tags={"dagster/partition": "main"}
    )
    assert sorted(words for words in warnings(result, desk) if "nothing trades" in words) == expected


def test_a_new_strategy_begins_with_a_file_that_works_and_nothing_is_overwritten(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, shown, _ = fks("strategies", "new", "range_break", "--json")
    file = own / "range_break.py"
    assert code == 0 and json.loads(shown) == {"name": "range_break", "file": str(file)}
    text = file.read_text(encoding="utf-8")
    settings_now()
    assert known_strategies()["range_break"].__name__ == "RangeBreak"
    for name, words in (
        ("range_break", "the name 'range_break' is taken"),
        ("technical", "the name 'technical' is taken; choose one not among technical, "),
        ("Range", "small letters, digits and underscores, at most 40, was 'Range'"),
        ("../range", "small letters, digits and underscores, at most 40, was '../range'"),
    ):
        code, _, told = fks("strategies", "new", name)
        assert code == 2 and words in told and told.count("\n") == 1
    (own / "draft.py").write_text("x = 1\n")
    code, _, told = fks("strategies", "new", "draft")
    assert code == 2 and told.startswith(f"fks: strategy file {own / 'draft.py'}: is there already")
    assert (own / "draft.py").read_text() == "x = 1\n" and file.read_text(encoding="utf-8") == text
    monkeypatch.setenv("FKS_STRATEGIES_FOLDER", "nowhere")
    code, _, told = fks("strategies", "new", "other")
    assert code == 2 and "nowhere: no such folder; create it or correct the setting" in told and told.count("\n") == 1
    toml = own.parent / "desk.toml"
    toml.write_text(toml.read_text().replace('strategies_folder = "own"\n', ""))
    monkeypatch.delenv("FKS_STRATEGIES_FOLDER")
    assert fks("strategies", "new", "other")[::2] == (
        2,
        'fks: strategies_folder is not set: name one in desk.toml, for example strategies_folder = "my_strategies"\n',
    )
