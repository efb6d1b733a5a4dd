"""`fks backtest --sweep` on a store that holds four months of candles of two markets."""

import csv
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.quant.markets import parse_market
from fks_assets.quant.timeframes import month_window
from fks_assets.settings import load_settings
from fks_assets.stores.candles import CandleStore
from fks_assets_tests.trading.desks import store, walk

PERIOD = ("BTC-USDT", "--from", "2026-02-01", "--to", "2026-05-01")
GRID = ("--sweep", "lookback=10:40:10", "--sweep", "ema_fast=3,8,20", "--sweep", "rules.stop_percent=none,0.4,2")
FIGURES = (
    "end_equity", "total_return_pct", "max_drawdown_pct", "max_drawdown_intraday_pct", "sharpe", "total_trades", "win_rate_pct",
    "profit_factor",
)  # fmt: skip


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in (("HOME", str(home)), ("DATABASE_URL", database_url), ("EXCHANGE", "binance")):
        monkeypatch.setenv(f"FKS_{name}", value)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture
def candles(candle_store: CandleStore) -> None:
    """Store four months of two markets."""
    begin = month_window("2026-01")[0]
    for base, seed, drift in (("BTC", 1, 0.0015), ("ETH", 2, 0.0003)):
        store(candle_store, parse_market(f"{base}-USDT@binance"), walk(begin, 120 * 24, seed=seed, drift=drift))


def fks(*arguments: str, code: int = 0) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def said(*arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.stdout == ""
    return answer.exit_code, answer.stderr


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def typed(values: dict[str, Any]) -> list[str]:
    """Return values as the options that give one backtest the same; a rule that is none is left out."""
    return [
        f"--rule={name.removeprefix('rules.')}={json.dumps(value)}"
        if name.startswith("rules.")
        else f"--set={name}={json.dumps(value)}"
        for name, value in values.items()
        if value is not None
    ]


@pytest.mark.usefixtures("candles")
def test_each_line_of_the_file_is_the_backtest_with_the_same_options(tmp_path: Path) -> None:
    """S2.8: the figures of a combination are those that `fks backtest` shows for it over the same period."""
    target = tmp_path / "all.csv"
    options = ("--set", "volume_ratio=0.9", "--rule", "costs.slippage=0.0002", "--rule", "sizing.kind=risk")
    document = fks("backtest", "breakout", *PERIOD, *GRID, *options, "--csv", str(target), "--top", "3", "--workers", "2")
    found, lines = document["sweep"], read(target)
    assert (found["combinations"], found["refused"], len(lines), len(found["rows"])) == (24, 12, 24, 3)
    assert found["csv"] == str(target) and found["axes"][2] == {"name": "rules.stop_percent", "values": [None, 0.4, 2.0]}
    for line in (lines[0], lines[10], lines[23], lines[found["best"]["number"]]):
        values = {"lookback": int(line["lookback"]), "ema_fast": int(line["ema_fast"])}
        stop = None if line["rules.stop_percent"] == "none" else float(line["rules.stop_percent"])
        alone = fks("backtest", "breakout", *PERIOD, *options, *typed({**values, "rules.stop_percent": stop}))
        for figure in FIGURES:
            assert float(line[figure]) == pytest.approx(alone["metrics"][figure], rel=1e-9), figure
        if int(line["number"]) == found["best"]["number"]:
            assert line["rank"] == "1" and alone["order_list_hash"] == document["order_list_hash"]
            assert document["parameters"] == found["best"]["parameters"] == alone["parameters"]
            assert document["rules"] == alone["rules"]
    assert sorted(int(line["rank"]) for line in lines) == list(range(1, 25))
    best = max(lines, key=lambda line: float(line["sharpe"]))
    assert int(best["number"]) == found["best"]["number"] and found["best"]["score"] == float(best["sharpe"])
    assert document["metrics"]["sharpe"] == pytest.approx(found["best"]["score"], rel=1e-9)
    assert fks("strategies", "show", "breakout")["versions"] == [], "nothing goes in force by itself"


@pytest.mark.usefixtures("candles")
def test_several_markets_rank_by_the_median_over_them(tmp_path: Path) -> None:
    target = tmp_path / "all.csv"
    markets = ("BTC-USDT", "ETH-USDT", *PERIOD[1:])
    sweep = ("--sweep", "lookback=10:40:15", "--sweep", "momentum_signals=true,false", "--objective", "profit_factor")
    found = fks("backtest", "breakout", *markets, *sweep, "--csv", str(target))["sweep"]
    lines = read(target)
    assert found["markets"] == ["BTC-USDT@binance", "ETH-USDT@binance"] and len(lines) == 12
    factors = [[float(line["profit_factor"]) for line in lines if line["number"] == str(number)] for number in range(6)]
    order = sorted(range(6), key=lambda number: -statistics.median(factors[number]))
    assert [row["number"] for row in found["rows"]] == order and found["best"]["number"] == order[0]
    for row in found["rows"]:
        assert row["score"] == pytest.approx(statistics.median(factors[row["number"]]), rel=1e-12)
        assert row["lowest"] == min(factors[row["number"]])
    alone = fks("backtest", "breakout", "ETH-USDT", *PERIOD[1:], *typed(found["rows"][2]["values"]))
    assert found["rows"][2]["markets"]["ETH-USDT@binance"]["sharpe"] == pytest.approx(alone["metrics"]["sharpe"], rel=1e-9)


@pytest.mark.usefixtures("candles")
def test_people_get_the_best_combinations_and_the_command_that_puts_them_in_force(tmp_path: Path) -> None:
    page = tmp_path / "sheet.html"
    answer = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD, *GRID, "--top", "2", "--html", str(page)])
    assert answer.exit_code == 0, answer.output
    for words in (
        "24 (24 may be chosen), 12 refused", "deflated Sharpe (probability of skill)", "plateau (share left a step beside it)",
        "Combinations, the best 2 of 24", "To put the parameters in force: fks strategies set breakout ema_fast=",
        "Trading rules belong to no parameter set, those of the best are: stop_percent ",
    ):  # fmt: skip
        assert words in answer.stdout
    listed = answer.stdout.partition("Combinations, the best")[2].splitlines()[2:4]
    assert [line.split()[0] for line in listed] == ["1", "2"]
    sheet = page.read_text(encoding="utf-8")
    assert (
        "These parameters and rules are the best of a grid of 24 combinations of lookback, ema_fast, rules.stop_percent" in sheet
    )
    assert "Grid: Sharpe ratio" in sheet and "Held as in the best: rules.stop_percent " in sheet
    again = CliRunner().invoke(
        app, ["backtest", "breakout", *PERIOD, *GRID, "--workers", "5", "--html", str(tmp_path / "b.html")]
    )
    assert again.exit_code == 0 and (tmp_path / "b.html").read_text(encoding="utf-8") == sheet


@pytest.mark.usefixtures("candles")
def test_axes_of_rules_alone_name_no_command_and_held_values_may_need_those_of_the_axes() -> None:
    rules = ("--rule", "sizing.kind=notional", "--sweep", "rules.sizing.size=100,1000")
    answer = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD, *rules])
    assert answer.exit_code == 0, answer.output
    assert "fks strategies set" not in answer.stdout and "those of the best are: sizing.size 1" in answer.stdout
    document = fks("backtest", "breakout", *PERIOD, "--set", "ema_fast=30", "--sweep", "ema_slow=20,40,60")
    assert (document["sweep"]["refused"], document["parameters"]["ema_fast"]) == (1, 30)


@pytest.mark.usefixtures("candles")
def test_the_best_of_losers_and_one_at_the_edge_of_the_grid_are_called_so() -> None:
    """No trade earns a fee of 2 %; the fewer there are the better, so the best lies at an end of the axis."""
    losing = ("--rule", "costs.taker_fee=0.02", "--sweep", "volume_ratio=0.5:2.5:0.5", "--objective", "return")
    answer = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD, *losing])
    assert answer.exit_code == 0, answer.output
    assert "No combination gained: return -" in answer.stdout
    assert "They lie at the edge of the grid in volume_ratio: beyond it nothing was tried." in answer.stdout


@pytest.mark.usefixtures("candles")
def test_without_a_combination_that_may_be_chosen_the_answer_is_bad_and_all_are_listed() -> None:
    arguments = ("backtest", "breakout", *PERIOD, "--sweep", "lookback=10,20", "--least-trades", "5000")
    document = fks(*arguments, code=1)
    assert document["sweep"]["best"] is None and document["sweep"]["deflated_sharpe"] is None
    assert [row["rank"] for row in document["sweep"]["rows"]] == [None, None] and document["sweep"]["fit"] == 0
    people = CliRunner().invoke(app, list(arguments))
    assert people.exit_code == 1 and "No combination can be chosen: the figures at the top" in people.stdout
    assert "No combination of a grid of 2 combinations of lookback can be chosen: this is the first of them." in people.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sweep", "lookback"), "--sweep 'lookback' is not of the form NAME=VALUE"),
        (("--sweep", "lookback=10", "--sweep", "lookback=20"), "--sweep lookback is given twice"),
        (("--sweep", "nope=1"), "sweep 'nope': unknown; breakout and its trading rules have ema_fast, ema_slow,"),
        (("--sweep", "rules.initial_cash=1"), "sweep 'rules.initial_cash': unknown; breakout and its trading rules have"),
        (("--sweep", "lookback=10,500"), "sweep lookback: Input should be less than or equal to 400, was 500"),
        (("--sweep", "lookback=ten"), "sweep lookback: Input should be a valid integer, was 'ten'"),
        (("--sweep", "rules.stop_percent=0"), "sweep rules.stop_percent: Input should be greater than 0, was 0.0"),
        (("--sweep", "ema_fast=20,30", "--sweep", "ema_slow=5"), "every one of 2 combinations is refused, the first as strategy"),
        (
            ("--sweep", "lookback=2:400:1", "--sweep", "volume_period=1:400:1"),
            "159,600 combinations are above the bound of 100,000",
        ),
        (("--sweep", "lookback=10", "--set", "lookback=20"), "sweep lookback: it is held at 20 too: give one of them"),
        (("--sweep", "rules.short=true", "--rule", "short=false"), "sweep rules.short: it is held at False too"),
        (("--sweep", "lookback=10", "--set", "ema_fast=99"), "ema_fast: Input should be less than or equal to 50, was 99"),
        (("--sweep", "lookback=10", "--rule", "nope=1"), "rule 'nope' is unknown"),
        (("--sweep", "lookback=10", "--optimize", "9"), "--sweep and --optimize are two ways to search: give one of them"),
        (("--sweep", "lookback=10", "--walk-forward"), "--sweep and --walk-forward are two ways to search: give one of them"),
        (("--sweep", "lookback=10", "--seed", "1"), "--seed 1 needs --optimize or --walk-forward"),
        (("--sweep", "lookback=10", "--save", "x", "--by", "Ada"), "--save 'x' needs --optimize"),
        (
            ("--sweep", "lookback=10", "--objective", "calmar"),
            "objective: Input should be 'sharpe', 'return' or 'profit_factor', was",
        ),
        (("--sweep", "lookback=10", "--least-trades", "0"), "least_trades: Input should be greater than or equal to 1, was 0"),
        (("--sweep", "lookback=10", "--workers", "0"), "workers must be from 1 to 256, was 0"),
        (("--sweep", "lookback=10", "--top", "0"), "Invalid value for '--top': 0 is not between 1 and 100,000"),
        (("--sweep", "lookback=10", "--csv", "nowhere/all.csv"), "--csv nowhere/all.csv: cannot be written: no such folder"),
        (("--top", "5"), "--top 5 needs --sweep"),
        (("--csv", "all.csv"), "--csv all.csv needs --sweep"),
    ],
)
def test_wrong_input_is_one_line_that_names_field_value_and_bound(options: tuple[str, ...], words: str) -> None:
    """S3.29, F16."""
    code, line = said("backtest", "breakout", *PERIOD, *options)
    assert code == 2 and words in line and line.count("\n") == 1, line
