"""`fks backtest --optimize` and `--walk-forward` on a store that holds a few months of candles."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_window
from fks_assets.settings import load_settings
from fks_assets.stores.candles import CandleStore
from fks_assets.stores.database import Database
from fks_assets_tests.trading.desks import store, walk

PERIOD = ("BTC-USDT", "--from", "2026-02-01", "--to", "2026-06-01")
QUICK = ("--optimize", "12", "--least-trades", "3", "--seed", "7")


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, candle_store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("HOME", str(home)), ("DATABASE_URL", database_url), ("EXCHANGE", "binance")):
        monkeypatch.setenv(f"FKS_{name}", value)
    load_settings.cache_clear()
    store(candle_store, parse_market("BTC-USDT@binance"), walk(month_window("2026-01")[0], 151 * 24, seed=1, drift=0.0005))
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


def test_the_document_is_the_backtest_of_the_best_parameters_with_the_search_beside_it() -> None:
    """S2.8, S4.4."""
    document = fks("backtest", "breakout", *PERIOD, *QUICK, "--set", "momentum_signals=false", "--workers", "2")
    found = document["search"]
    assert (found["objective"], found["seed"], found["trials"], found["least_trades"]) == ("sharpe", 7, 12, 3)
    assert found["complete"] + found["pruned"] + found["unfit"] == len(found["tried"]) == 12
    assert document["parameters"] == found["best"]["parameters"]
    assert found["best"]["score"] == max(trial["score"] for trial in found["tried"] if trial["score"] is not None)
    assert found["held"] == {"momentum_signals": False} and document["parameters"]["momentum_signals"] is False
    assert {"deflated_sharpe", "overfitting_probability", "parameter_stability", "independent_trials"} <= set(found)
    assert document["walk_forward"] is None and document["saved"] is None
    values = [f"--set={name}={json.dumps(value)}" for name, value in document["parameters"].items()]
    by_hand = fks("backtest", "breakout", *PERIOD, *values)
    assert by_hand["order_list_hash"] == document["order_list_hash"] and "search" not in by_hand
    again = fks("backtest", "breakout", *PERIOD, *QUICK, "--set", "momentum_signals=false")
    assert again["search"] == found, "neither the run nor the number of workers changes anything"
    assert fks("strategies", "show", "breakout")["versions"] == [], "nothing was saved"


def test_the_best_is_saved_as_a_version_of_a_set_with_who_and_how(database: Database) -> None:
    """S4.23."""
    answer = fks("backtest", "breakout", *PERIOD, *QUICK, "--save", "searched", "--by", "Ada")
    saved = answer["saved"]
    assert (saved["name"], saved["version"], saved["strategy"], saved["changed_by"]) == ("searched", 1, "breakout", "Ada")
    assert saved["parameters"] == answer["parameters"]
    assert saved["note"] == f"best of 12 trials, sharpe {answer['search']['best']['score']:.3f}, seed 7"
    shown = fks("strategies", "show", "searched")
    assert shown["parameters"] == answer["parameters"]
    for name in ("deflated_sharpe", "overfitting_probability", "parameter_stability"):
        assert shown["evidence"][name] == answer["search"][name]
    assert shown["evidence"]["search_in_force"] is True
    with database.transaction() as connection:
        [document] = connection.execute(sa.text("SELECT document FROM parameter_searches WHERE name = 'searched'")).scalars()
    assert document["tried"] == answer["search"]["tried"] and document["walk_forward"] is None


def test_a_walk_forward_test_stands_beside_the_search_and_on_the_tear_sheet(tmp_path: Path) -> None:
    """C24."""
    page = tmp_path / "sheet.html"
    days = ("--walk-forward", "--in-days", "40", "--out-days", "20")
    answer = fks(
        "backtest", "breakout", *PERIOD, *QUICK, *days, "--save", "searched", "--by", "Ada", "--html", str(page)
    )  # fmt: skip
    walked = answer["walk_forward"]
    assert (walked["windows"], walked["in_days"], walked["step_days"], len(walked["outcomes"])) == (4, 40, 20, 4)
    assert [each["out_start"][:10] for each in walked["outcomes"]] == ["2026-03-13", "2026-04-02", "2026-04-22", "2026-05-12"]
    assert answer["search"]["trials"] == 12
    if walked["efficiency"] is not None:
        kept = walked["out_of_sample_annual_pct"] / walked["in_sample_annual_pct"]
        assert walked["efficiency"] == pytest.approx(kept)
    shown = fks("strategies", "show", "searched")["evidence"]
    assert shown["out_of_sample_efficiency"] == walked["efficiency"] is not None
    words = f"Out-of-sample efficiency {walked['efficiency']:.2f} over 4 walk-forward windows, 2026-03-13 to 2026-06-01"
    assert words in page.read_text(encoding="utf-8")
    again = CliRunner().invoke(app, ["backtest", "searched", *PERIOD, "--html", str(page)])
    assert again.exit_code == 0, again.output
    assert words in page.read_text(encoding="utf-8"), "it is known of the saved set from then on"
    assert "These parameters are the best of 12 trials" in page.read_text(encoding="utf-8")
    alone = fks("backtest", "breakout", *PERIOD, *days)
    assert alone["search"] is None and alone["walk_forward"]["windows"] == 4


def test_people_get_tables_and_the_command_that_puts_it_in_force() -> None:
    answer = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD, *QUICK, "--walk-forward", "--in-days", "60"])
    assert answer.exit_code == 0, answer.output
    for words in ("deflated Sharpe (probability of skill)", "out-of-sample efficiency", "Windows (UTC)"):
        assert words in answer.stdout
    assert "To put them in force: fks strategies set breakout ema_fast=" in answer.stdout and "--by YOU" in answer.stdout


def test_every_report_says_what_is_known_of_the_days_after_a_search() -> None:
    """C24: tables, JSON and page alike, also that nothing is known."""
    nothing = "Out-of-sample efficiency: not known, as no walk-forward window of this code is recorded"
    plain = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD])
    assert plain.exit_code == 0 and nothing in plain.stdout
    document = fks("backtest", "breakout", *PERIOD)
    assert document["notes"][0].startswith(nothing)
    assert document["evidence"]["out_of_sample_efficiency"] is None and document["evidence"]["walk_forward_windows"] == 0
    assert fks("backtest", "breakout", *PERIOD, *QUICK)["notes"][0].startswith(nothing), "a search is no test of it"


def test_folds_and_pruning_are_chosen_and_the_history_that_luck_needs_is_shown() -> None:
    """The years: (0.4228 Φ⁻¹(1 − 1/12) + 0.5772 Φ⁻¹(1 − 1/12e))² of Bailey, Borwein, López de Prado and Zhu (2014)."""
    answer = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD, *QUICK, "--folds", "2"])
    assert "2.8 years for the best of 12 tries; searched were 0.3" in answer.stdout
    found = fks("backtest", "breakout", *PERIOD, *QUICK, "--folds", "2", "--no-prune")["search"]
    assert (found["folds"], len(found["fold_starts"]), found["prune"], found["pruned"]) == (2, 2, False, 0)
    assert found["shortest_backtest_years"] == pytest.approx(2.772, abs=0.001)


@pytest.fixture
def full_disk(database: Database) -> Iterator[None]:
    """No search can be recorded."""
    with database.transaction() as connection:
        connection.execute(sa.text("ALTER TABLE parameter_searches ADD CONSTRAINT full_disk CHECK (false)"))
    yield
    with database.transaction() as connection:
        connection.execute(sa.text("ALTER TABLE parameter_searches DROP CONSTRAINT full_disk"))


@pytest.mark.usefixtures("full_disk")
def test_a_set_is_not_stored_without_the_search_that_found_it() -> None:
    """F16: either both are recorded or neither."""
    answer = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD, *QUICK, "--save", "searched", "--by", "Ada"])
    assert answer.exit_code == 1 and "full_disk" in answer.stderr
    assert "searched" not in {row["name"] for row in fks("strategies")["strategies"]}


def test_without_a_trial_that_may_be_chosen_the_parameters_stay_and_nothing_is_saved() -> None:
    arguments = (
        "backtest",
        "breakout",
        *PERIOD,
        "--optimize",
        "4",
        "--least-trades",
        "5000",
        "--save",
        "searched",
        "--by",
        "Ada",
    )
    answer = fks(*arguments, code=1)
    assert answer["search"]["best"] is None and answer["search"]["unfit"] == 4 and answer["saved"] is None
    assert answer["parameters"]["ema_fast"] == 5
    people = CliRunner().invoke(app, list(arguments))
    assert people.exit_code == 1 and "No trial can be chosen" in people.stdout
    assert "searched" not in {row["name"] for row in fks("strategies")["strategies"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--optimize", "1"), "trials: Input should be greater than or equal to 2, was 1"),
        (("--optimize", "many"), "Invalid value for '--optimize': 'many' is not a whole number"),
        (("--optimize", "9", "--seed", "-1"), "seed: Input should be greater than or equal to 0, was -1"),
        (("--optimize", "9", "--objective", "luck"), "objective: Input should be 'sharpe', 'calmar' or 'return', was 'luck'"),
        (("--optimize", "9", "--least-trades", "0"), "least_trades: Input should be greater than or equal to 1, was 0"),
        (("--optimize", "9", "--workers", "0"), "workers must be from 1 to 256, was 0"),
        (("--walk-forward", "--in-days", "3"), "in_days: Input should be greater than or equal to 7, was 3"),
        (("--walk-forward", "--step-days", "9"), "step_days must be at least out_days, 30, was 9"),
        (("--save", "searched", "--by", "Ada"), "--save 'searched' needs --optimize"),
        (("--optimize", "9", "--save", "searched"), "--save 'searched' needs --by"),
        (
            ("--optimize", "9", "--save", "technical", "--by", "Ada"),
            "--save 'technical' is a set of technical: one of breakout needs",
        ),
        (("--optimize", "9", "--save", "No", "--by", "Ada"), "digits and underscores, at most 40, was 'No'"),
        (("--optimize", "9", "--set", "ema_fast=99"), "ema_fast: Input should be less than or equal to 50, was 99"),
        (("--objective", "calmar"), "--objective 'calmar' needs --optimize or --walk-forward"),
        (("--seed", "0"), "--seed 0 needs --optimize or --walk-forward"),
        (("--workers", "2"), "--workers 2 needs --optimize or --walk-forward"),
        (("--optimize", "9", "--folds", "0"), "folds: Input should be greater than or equal to 1, was 0"),
        (("--folds", "2"), "--folds 2 needs --optimize or --walk-forward"),
        (("--no-prune",), "--no-prune needs --optimize or --walk-forward"),
        (("--optimize", "9", "--in-days", "40"), "--in-days 40 needs --walk-forward"),
        (("--optimize", "9", "--anchored"), "--anchored needs --walk-forward"),
        (("--optimize", "9", "--by", "Ada"), "--by 'Ada' needs --save"),
    ],
)
def test_wrong_input_is_one_line_that_names_field_value_and_bound(options: tuple[str, ...], words: str) -> None:
    """S3.29, F16."""
    code, line = said("backtest", "breakout", *PERIOD, *options)
    assert code == 2 and words in line and line.count("\n") == 1, line


@pytest.mark.parametrize(("page", "why"), [("nowhere/sheet.html", "no such folder"), ("", "it is a folder")])
def test_a_page_that_cannot_be_written_is_refused_before_the_search_and_nothing_is_saved(
    tmp_path: Path, page: str, why: str
) -> None:
    target = tmp_path / page
    code, line = said("backtest", "breakout", *PERIOD, *QUICK, "--save", "searched", "--by", "Ada", "--html", str(target))
    assert (code, line) == (2, f"fks: --html {target}: cannot be written: {why}\n")
    assert "searched" not in {row["name"] for row in fks("strategies")["strategies"]}


def test_a_period_too_short_for_a_window_is_a_bad_answer_that_says_so() -> None:
    code, line = said("backtest", "breakout", *PERIOD, "--walk-forward")
    assert code == 1 and "a walk-forward window needs 180 + 30 days, the period has 120.0" in line


def test_validation_lists_what_is_known_of_each_strategy() -> None:
    fks("backtest", "breakout", *PERIOD, *QUICK, "--save", "breakout", "--by", "Ada")
    rows = {row["name"]: row for row in fks("strategies", "validate", "--dry-run", code=1)["strategies"]}
    assert rows["breakout"]["search_in_force"] is True and rows["breakout"]["deflated_sharpe"] is not None
    assert rows["technical"]["deflated_sharpe"] is None and rows["technical"]["walk_forward_windows"] == 0
    table = CliRunner().invoke(app, ["strategies", "validate", "--dry-run"]).stdout
    assert "deflated_sharpe" in table and "out_of_sample_efficiency" in table
