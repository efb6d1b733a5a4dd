"""`fks backtest` on a desk whose markets pay in two coins, and what `fks strategies show` says of what was tried."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fks_assets.cli import app
from fks_assets.quant.candles import Candles
from fks_assets.quant.timeframes import month_window
from fks_assets.settings import load_settings
from fks_assets.stores.candles import CandleStore
from fks_assets_tests.desk import build_desk
from fks_assets_tests.trading.desks import store, walk

START = month_window("2026-01")[0]
PERIOD = ("--from", "2026-02-01", "--to", "2026-03-01")


@pytest.fixture(autouse=True)
def desk(home: Path, database_url: str, candle_store: CandleStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A dollar and a toman market of the same shape: one price is 60,000 times the other."""
    settings = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "BTC-IRT"]).settings
    for name, value in (("HOME", str(home)), ("DATABASE_URL", database_url), ("DESK", str(home / "desk.toml"))):
        monkeypatch.setenv(f"FKS_{name}", value)
    load_settings.cache_clear()
    dollar, toman = settings.market_list()
    rows = walk(START, 1500, seed=1)
    store(candle_store, dollar, rows)
    prices = (getattr(rows, name) * 60_000 for name in ("open", "high", "low", "close"))
    store(candle_store, toman, Candles(rows.open_time, *prices, rows.volume))
    yield
    load_settings.cache_clear()


def fks(*arguments: str) -> Any:
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_all_markets_of_two_coins_are_two_books_with_cash_of_their_own() -> None:
    books = fks("backtest", "breakout", *PERIOD)["books"]
    assert [book["markets"] for book in books] == [["BTC-USDT@simulated"], ["BTC-IRT@simulated"]]
    assert [book["metrics"]["start_equity"] for book in books] == [10_000, 1_000_000_000]
    alone = fks("backtest", "breakout", "BTC-IRT", *PERIOD, "--trades")
    assert alone["metrics"] == books[1]["metrics"] and len(alone["trades"]) > 5
    shown = CliRunner().invoke(app, ["backtest", "breakout", *PERIOD])
    assert shown.exit_code == 0 and "breakout on BTC-USDT@simulated" in shown.stdout and "on BTC-IRT@simulated" in shown.stdout


def test_what_needs_one_book_refuses_markets_of_two_coins_in_one_line(tmp_path: Path) -> None:
    words = "the markets' quote coins are IRT, USDT; a book counts in one coin: name markets of one"
    for more in (["BTC-USDT", "BTC-IRT"], ["--html", str(tmp_path / "sheet.html")], ["--optimize", "4"]):
        answer = CliRunner().invoke(app, ["backtest", "breakout", *more, *PERIOD])
        assert answer.exit_code == 2 and answer.stderr == f"fks: {words}\n"


def test_cash_and_rules_of_the_settings_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FKS_BACKTESTS__CASH__IRT", "5e8")
    monkeypatch.setenv("FKS_BACKTESTS__RULES__COSTS__SLIPPAGE", "0.0005")
    load_settings.cache_clear()
    usual = fks("backtest", "breakout", "BTC-IRT", *PERIOD)
    assert (usual["metrics"]["start_equity"], usual["book"]["costs"]["slippage"]) == (500_000_000, 0.0005)
    told = fks("backtest", "breakout", "BTC-IRT", *PERIOD, "--rule", "costs.slippage=0", "--rule", "initial_cash=7e8")
    assert (told["metrics"]["start_equity"], told["book"]["costs"]["slippage"]) == (700_000_000, 0)
