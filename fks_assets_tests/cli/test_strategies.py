"""`fks backtest` and `fks strategies` on a store that holds a few months of candles."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets.assets.trading.standard import standard_plan
from fks_assets.cli import app
from fks_assets.clock import iso, now_ms
from fks_assets.quant.markets import parse_market
from fks_assets.quant.strategies.registry import register_folder
from fks_assets.quant.timeframes import month_window
from fks_assets.settings import PROJECT_ROOT, load_settings
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
from fks_assets.stores.strategy_records import BacktestRecord, record_result, state_history
from fks_assets_tests.trading.desks import store, walk

START = month_window("2026-01")[0]
PERIOD = ("--from", "2026-02-01", "--to", "2026-04-01")


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, candle_store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("HOME", str(home)), ("DATABASE_URL", database_url), ("EXCHANGE", "binance")):
        monkeypatch.setenv(f"FKS_{name}", value)
    load_settings.cache_clear()
    store(candle_store, parse_market("BTC-USDT@binance"), walk(START, 2400, seed=1))
    yield
    load_settings.cache_clear()


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def said(*arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.stdout == ""
    return answer.exit_code, answer.stderr


def test_a_backtest_is_one_json_document_and_a_page(tmp_path: Path) -> None:
    """S4.4."""
    page = tmp_path / "sheet.html"
    document = fks("backtest", "breakout", "BTC-USDT", *PERIOD, "--set", "ema_fast=6", "--html", str(page), "--trades")
    assert (document["strategy"], document["parameters"]["ema_fast"], document["markets"]) == (
        "breakout",
        6,
        ["BTC-USDT@binance"],
    )
    assert (document["start"], document["end"]) == ("2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z")
    assert document["metrics"]["total_trades"] == len(document["trades"]) > 10
    final = 10_000 + sum(trade["pnl"] for trade in document["trades"])
    assert document["metrics"]["end_equity"] == pytest.approx(final, rel=1e-9)
    assert {trade["side"] for trade in document["trades"]} == {"long"}
    sheet = page.read_text(encoding="utf-8")
    assert sheet.startswith("<!doctype html>")
    assert "breakout, version of the settings with changes: ema_fast=6<" in sheet and document["changes"] == {"ema_fast": 6}
    again = fks("backtest", "breakout", *PERIOD, "--set", "ema_fast=6")
    assert again["order_list_hash"] == document["order_list_hash"], "the only market with candles"
    assert len(again["left_out"]) == 9 and "trades" not in again


def test_a_number_of_days_counts_back_from_the_end() -> None:
    """S4.4."""
    named = fks("backtest", "breakout", "BTC-USDT", "--days", "30", "--to", "2026-04-01")
    by_dates = fks("backtest", "breakout", "BTC-USDT", "--from", "2026-03-02", "--to", "2026-04-01")
    assert (named["start"], named["end"]) == ("2026-03-02T00:00:00Z", "2026-04-01T00:00:00Z")
    assert named["content_hash"] == by_dates["content_hash"] and named["metrics"]["days"] == 30


def test_candles_without_enough_history_are_counted_and_named() -> None:
    """C32: 500 earlier candles are needed, so of January's 744 hours the first 501 say nothing."""
    document = fks("backtest", "breakout", "BTC-USDT", "--from", "2026-01-01", "--to", "2026-02-01")
    assert document["candles_unjudged"] == 501
    assert "501 of 744 candles were not judged, as too few were stored before them: breakout needs 501." in document["notes"]
    later = fks("backtest", "breakout", "BTC-USDT", *PERIOD)
    assert later["candles_unjudged"] == 0 and not [note for note in later["notes"] if "not judged" in note]


def test_a_strategy_of_the_user_that_breaks_is_one_line_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (PROJECT_ROOT / "docs" / "writing-a-strategy.md").read_text(encoding="utf-8")
    text = guide.split("```python\n")[1].split("```")[0]
    wrong = "        close[len(close)]\n"
    before, after = text.split("        above, below")
    (tmp_path / "donchian.py").write_text(f"{before}{wrong}        above, below{after}", encoding="utf-8")
    monkeypatch.setenv("FKS_STRATEGIES_FOLDER", str(tmp_path))
    load_settings.cache_clear()
    words = f"fks: strategy donchian: line {before.count(chr(10)) + 1}: IndexError: index "
    try:
        for command in (
            ["backtest", "donchian", "BTC-USDT", *PERIOD],
            ["backtest", "donchian", "BTC-USDT", *PERIOD, "--optimize", "4"],
            ["strategies", "shadow", "donchian", "BTC-USDT", *PERIOD, "--set", "length=20"],
        ):
            code, line = said(*command)
            assert code == 1 and line.startswith(words) and line.count("\n") == 1, line
    finally:
        register_folder(None)


def test_rules_of_the_trade_can_be_changed_by_name() -> None:
    plain = fks("backtest", "breakout", "BTC-USDT", *PERIOD)
    changed = fks(
        "backtest", "breakout", "BTC-USDT", *PERIOD, "--trades", "--rule", "short=true", "--rule", "sizing.kind=fraction",
        "--rule", "sizing.size=0.25", "--rule", "costs.slippage=0.001", "--rule", "initial_cash=50000",
    )  # fmt: skip
    assert {trade["side"] for trade in changed["trades"]} == {"long", "short"}
    assert changed["metrics"]["start_equity"] == 50_000
    assert (changed["rules"]["sizing"]["size"], changed["book"]["costs"]["slippage"]) == (0.25, 0.001)
    assert plain["rules"]["sizing"]["kind"] == "confidence" and plain["rules"]["short"] is False


def test_people_get_a_table_of_figures() -> None:
    answer = CliRunner().invoke(app, ["backtest", "breakout", "BTC-USDT", *PERIOD])
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.startswith("breakout on BTC-USDT@binance, 1h\n")
    assert "2026-02-01T00:00:00Z to 2026-04-01T00:00:00Z" in answer.stdout
    assert "Sharpe ratio" in answer.stdout and "No trading rules are stored of BTC-USDT@binance" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["brakeout", "BTC-USDT"], "Unknown strategy: 'brakeout'; known: technical, breakout, "),
        (
            ["breakout", "BTC-USDT", "--set", "ema_fast=40", "--set", "ema_slow=5"],
            "ema_fast must be below ema_slow, was 40 and 5",
        ),
        (["breakout", "BTC-USDT", "--set", "ema_fast=0"], "ema_fast: Input should be greater than 0, was 0"),
        (["breakout", "BTC-USDT", "--set", "ema_fast=nan"], "ema_fast: Input should be"),
        (["breakout", "BTC-USDT", "--set", "ema_fst=3"], "ema_fst: unknown parameter, was 3"),
        (["breakout", "BTC-USDT", "--set", "ema_fast"], "--set 'ema_fast' is not of the form NAME=VALUE"),
        (["breakout", "BTC-USDT", "--rule", "sizing.knid=risk"], "rule 'sizing.knid' is unknown; known: long, short, "),
        (["breakout", "BTC-USDT", "--rule", "sizing.size=nan"], "sizing: size: Input should be a finite number, was nan"),
        (["breakout", "BTC-USDT", "--rule", "costs.taker_fee=2"], "costs: taker_fee: Input should be less than or equal to 0.02"),
        (["breakout", "BTC-USDT", "--days", "0"], "'--days': 0 is not between 1 and 36,500"),
        (["breakout", "BTC-USDT", "--days", "9", "--from", "2026-02-01"], "--days 9 and --from '2026-02-01' both say where it"),
        (["breakout", "BTC-USDT", "--rule", "leverage=0.5"], "leverage: Input should be greater than or equal to 1, was 0.5"),
        (["breakout", "BTC-USDT", "--timeframe", "7m"], "timeframe '7m' is unknown; known: 1m, "),
        (["breakout", "BTCUSDT"], "market 'BTCUSDT@binance' is not of the form"),
        (["breakout", "BTC-USDT", "--from", "2026-03-01", "--to", "2026-02-01"], "--from '2026-03-01' is not before --to"),
    ],
)
def test_wrong_input_is_one_line_that_names_field_value_and_bound(arguments: list[str], words: str) -> None:
    """S3.29, F16."""
    code, line = said("backtest", *arguments)
    assert code == 2 and words in line and line.count("\n") == 1, line


def test_candles_that_are_not_there_are_a_bad_answer_that_says_what_to_do() -> None:
    code, line = said("backtest", "breakout", "ETH-USDT", *PERIOD)
    assert code == 1
    none = "fks: no {} candles of {} are stored for 2026-02-01T00:00:00Z to 2026-04-01T00:00:00Z: {}"
    assert line.startswith(none.format("1h", "ETH-USDT@binance", "`fks sync` loads the kept history"))
    code, line = said("backtest", "breakout", "BTC-USDT@kraken", *PERIOD)
    assert code == 1
    assert line.startswith(none.format("1h", "BTC-USDT@kraken", "this desk loads 5m, 1h, 1d of BTC-USDT@binance, "))
    code, line = said("backtest", "breakout", "BTC-USDT", "--timeframe", "4h", *PERIOD)
    assert code == 1
    assert line.startswith(none.format("4h", "BTC-USDT@binance", "this desk loads 5m, 1h, 1d of BTC-USDT@binance, "))


def test_parameter_sets_are_created_read_updated_and_removed(tmp_path: Path) -> None:
    """S4.23."""
    first = fks("strategies", "set", "quick", "ema_fast=3", "--strategy", "breakout", "--by", "Ada", "--note", "faster")
    assert (first["version"], first["parameters"]["ema_fast"], first["parameters"]["ema_slow"]) == (1, 3, 13)
    second = fks("strategies", "set", "quick", "ema_slow=21", "--by", "Grace")
    assert (second["version"], second["parameters"]["ema_fast"], second["parameters"]["ema_slow"]) == (2, 3, 21)
    file = tmp_path / "quick.toml"
    file.write_text("ema_fast = 7\n", encoding="utf-8")
    third = fks("strategies", "set", "quick", "--file", str(file), "--by", "Ada")
    assert (third["version"], third["parameters"]["ema_fast"], third["parameters"]["ema_slow"]) == (3, 7, 13)
    listed = {row["name"]: row for row in fks("strategies")["strategies"]}
    assert {name: (row["strategy"], row["version"]) for name, row in listed.items()} == {
        "technical": ("technical", 0),
        "breakout": ("breakout", 0),
        "quick": ("breakout", 3),
    }
    shown = fks("strategies", "show", "quick")
    assert [(each["version"], each["changed_by"], each["note"]) for each in shown["versions"]] == [
        (1, "Ada", "faster"),
        (2, "Grace", ""),
        (3, "Ada", ""),
    ]
    assert fks("backtest", "quick", "BTC-USDT", *PERIOD)["parameters"]["ema_fast"] == 7
    assert fks("strategies", "remove", "quick", "--by", "Ada", "--note", "worse")["removed"] is True
    assert "quick" not in {row["name"] for row in fks("strategies", "list")["strategies"]}
    ended = fks("strategies", "show", "quick")
    assert ended["removed"] is True and [each["version"] for each in ended["versions"]] == [1, 2, 3, 4]
    assert (ended["versions"][-1]["removed"], ended["versions"][-1]["note"]) == (True, "worse")
    assert "quick is removed" in CliRunner().invoke(app, ["strategies", "show", "quick"]).stdout
    assert "ema_fast" in CliRunner().invoke(app, ["strategies", "show", "breakout"]).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "quick", "ema_fast=3", "--by", "Ada"], "'quick' is new: say with --strategy whose it is; known: technical, "),
        (["set", "breakout", "ema_fast=99", "--by", "Ada"], "ema_fast: Input should be less than or equal to 50, was 99"),
        (["set", "technical", "--strategy", "breakout", "--by", "Ada"], "'technical' is a strategy"),
        (["set", "Quick!", "--strategy", "breakout", "--by", "Ada"], "digits and underscores, at most 40, was 'Quick!'"),
        (["set", "breakout", "--file", "nowhere.toml", "--by", "Ada"], "nowhere.toml: cannot be read: No such file"),
        (["remove", "breakout", "--by", "Ada"], "parameter set 'breakout' is not stored; stored are none"),
        (["enable", "brakeout", "--by", "Ada", "--note", "x"], "'brakeout' is not in force; in force are technical, breakout"),
        (["enable", "breakout", "--by", "", "--note", "x"], "who changes it must be given, was empty"),
        (["enable", "breakout"], "Missing option '--by'"),
        (["validate", "brakeout"], "'brakeout' is not in force"),
        (["show", "brakeout"], "Unknown strategy: 'brakeout'"),
    ],
)  # fmt: skip
def test_wrong_changes_are_refused_in_one_line_and_change_nothing(arguments: list[str], words: str) -> None:
    code, line = said("strategies", *arguments)
    assert code == 2 and words in line and line.count("\n") == 1, line
    assert [row["version"] for row in fks("strategies")["strategies"]] == [0, 0]


def test_a_strategy_that_fails_its_rules_is_switched_off_and_only_a_person_switches_it_on(database: Database) -> None:
    """S2.14: 1.5 is above the least Sharpe ratio, but 30 % is not below the largest drawdown (X3)."""
    (row,) = [row for row in fks("strategies")["strategies"] if row["name"] == "breakout"]
    metrics = {"sharpe": 1.5, "total_return_pct": 12.0, "max_drawdown_intraday_pct": 30.0, "days": 30.0, "total_trades": 40}
    standard = standard_plan(load_settings()).settings_hash(load_settings())
    today = (iso(now_ms()) or "")[:10]
    with database.transaction() as connection:
        record = BacktestRecord(
            "breakout",
            today,
            {"metrics": metrics},
            "a" * 64,
            row["code_version"],
            row["parameters_hash"],
            "b" * 64,
            "run",
            standard,
        )
        record_result(connection, record)
        record_result(connection, replace(record, settings_hash="tried", content_hash="c" * 64))
    shown = fks("strategies", "show", "breakout")
    assert (shown["backtest_day"], shown["backtest"]["metrics"]) == (today, metrics)
    assert [(each["day"], each["sharpe"]) for each in shown["other_backtests"]] == [(today, 1.5)], "it stands beside the evidence"
    tried = fks("strategies", "validate", "breakout", "--dry-run", code=1)
    assert tried["strategies"][0]["enabled"] is True
    (verdict,) = fks("strategies", "validate", "breakout", code=1)["strategies"]
    assert (verdict["enabled"], verdict["disabled_now"]) == (False, True)
    assert verdict["reason"] == "Max drawdown, any bar was 30.0000 %, must be < 30 %"
    assert fks("strategies", "enable", "breakout", "--by", "Ada", "--note", "I know why")["changed"] is True
    assert [(each.enabled, each.changed_by) for each in state_history(database, "breakout")] == [
        (False, "validation"),
        (True, "Ada"),
    ]
    assert fks("strategies", "disable", "technical", "--by", "Ada", "--note", "a holiday")["enabled"] is False


def test_a_certificate_is_made_and_kept() -> None:
    """D6."""
    (row,) = [row for row in fks("strategies")["strategies"] if row["name"] == "breakout"]
    assert (row["certified"], row["may_trade"]) == (False, False) and "has no certificate" in row["reason"]
    code, _ = said("strategies", "certify", "breakout", "ETH-USDT", *PERIOD)
    assert code == 1
    made = fks("strategies", "certify", "breakout", "BTC-USDT", *PERIOD)
    assert made["passed"] is True and made["market"] == "BTC-USDT@binance" and made["signals"] > 0
    shown = fks("strategies", "show", "breakout")
    assert (shown["certified"], shown["may_trade"]) == (True, False) and "has no verdict yet" in shown["reason"]
    assert fks("strategies", "enable", "breakout", "--by", "Ada", "--note", "to watch")["changed"] is True
    said_so = CliRunner().invoke(app, ["strategies", "enable", "breakout", "--by", "Ada", "--note", "longer", "--days", "60"])
    assert said_so.exit_code == 0 and said_so.stdout.startswith("breakout is switched on until 20")
    shown = fks("strategies", "show", "breakout")
    assert (shown["certified"], shown["may_trade"], shown["certificate"]["data_hash"]) == (True, True, made["data_hash"])
    assert fks("strategies", "set", "breakout", "ema_fast=6", "--by", "Ada")["version"] == 1
    (row,) = [row for row in fks("strategies")["strategies"] if row["name"] == "breakout"]
    assert row["may_trade"] is False, "other parameters need a certificate of their own"
