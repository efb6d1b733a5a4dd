"""The backtest of an account: all its strategies in one book, by its own rules, beside the same account put together by hand."""

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fks_assets.assets.trading.account_backtest import AccountBacktest, account_backtest
from fks_assets.cli import app
from fks_assets.clock import to_ms
from fks_assets.desk.floor import mirror_accounts
from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import ExitReason
from fks_assets.quant.backtest.rules import Sizing
from fks_assets.quant.market_rules import MarketRules, MarketStatus
from fks_assets.quant.markets import Market
from fks_assets.quant.timeframes import parse_timeframe
from fks_assets.settings import load_settings
from fks_assets.stores.ledger.balances import Balance, record_balance
from fks_assets.stores.market_rules import record_rules
from fks_assets.stores.strategies import write_parameters
from fks_assets_tests.desk import Desk, build_desk
from fks_assets_tests.scenarios.recorded_signals import stored_signals
from fks_assets_tests.scenarios.same_backtest import book_of
from fks_assets_tests.trading.desks import store, walk

START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
FROM, TO = to_ms(datetime(2026, 1, 25, tzinfo=UTC)), to_ms(datetime(2026, 2, 26, tzinfo=UTC))
PERIOD = ("--from", "2026-01-25", "--to", "2026-02-26")
H1 = parse_timeframe("1h")
ACCOUNTS = {
    "ACCOUNTS__main__mode": "paper",
    "ACCOUNTS__main__initial_cash": "10000",
    "ACCOUNTS__main__strategies__technical": "0.3",
    "ACCOUNTS__main__strategies__breakout": "0.4",
    "ACCOUNTS__main__trailing_percent": "4",
    "ACCOUNTS__main__costs__slippage": "0.0005",
    "ACCOUNTS__main__limits__max_positions": "2",
    "ACCOUNTS__careful__mode": "alert",
    "ACCOUNTS__careful__sizing": "risk",
    "ACCOUNTS__careful__risk_share": "0.01",
    "ACCOUNTS__careful__strategies__breakout": "1",
}


@pytest.fixture
def desk(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Two months of two markets with trading rules, and two accounts."""
    values = {"TIMEFRAMES": "1h", "FIRST_MONTH": "2026-01", **ACCOUNTS}
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "ETH-USDT"], **values)
    for seed, market in enumerate(desk.settings.market_list()):
        store(desk.stores.candles, market, walk(START, 58 * 24, seed=7 + seed))
    with desk.stores.database.transaction() as connection:
        record_rules(connection, [rules_of(market) for market in desk.settings.market_list()], START)
    environment = {
        "DESK": str(home / "desk.toml"), "HOME": str(home), "DATABASE_URL": database_url, "EXCHANGE": "simulated", **values,
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(f"FKS_{name}", value)
    load_settings.cache_clear()
    yield desk
    load_settings.cache_clear()


def rules_of(market: Market, tick: str = "0.01") -> MarketRules:
    return MarketRules(market, MarketStatus.TRADING, Decimal(tick), Decimal("0.001"), taker_fee=Decimal("0.001"))


def run_of(desk: Desk, account: str = "main", **asked: Any) -> AccountBacktest:
    return account_backtest(desk.stores, account, FROM, TO, **asked)


def fks(*arguments: str) -> Any:
    answer = CliRunner().invoke(app, ["backtest", *arguments, *PERIOD, "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def test_an_account_is_what_its_stored_signals_make_by_its_rules_to_the_last_digit(desk: Desk) -> None:
    """C28: the signals that the desk stored, in the book of scenarios/same_backtest.py, which a paper account is held against."""
    months = ("2026-01", "2026-02")
    assert desk.run(["indicators_1h", "signals_1h"], months, scheduled=True).success
    rules = desk.settings.accounts["main"]
    expected = run_backtest(book_of(stored_signals(desk, Path(), H1, FROM, TO), rules))
    test = run_of(desk)
    assert set(zip(expected.orders.strategy.tolist(), expected.orders.market.tolist(), strict=True)) == {
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    }
    assert test.result.order_list_hash == expected.order_list_hash
    assert test.result.equity.equity.tolist() == expected.equity.equity.tolist()
    assert test.result.strategies == expected.strategies == ("technical", "breakout")
    assert test.book == rules.book_rules() and {*test.leg_rules.values()} == {rules.leg_rules()}
    assert ExitReason.TRAILING in {ExitReason(int(each)) for each in test.result.trades.exit_reason}


def test_parts_add_up_to_the_book_and_no_strategy_leaves_its_budget(desk: Desk) -> None:
    """C28; what is committed is summed trade by trade at each close."""
    test = run_of(desk)
    parts, markets, whole = test.strategies, test.parts_by_market, test.performance
    for rows in (parts, markets):
        assert sum(part.trades for part in rows) == whole.total_trades
        assert sum(part.fees for part in rows) == pytest.approx(whole.fees_paid)
        assert sum(part.pnl for part in rows) == pytest.approx(test.result.final_equity - 10_000)
    assert [(part.name, part.share) for part in parts] == [("technical", 0.3), ("breakout", 0.4)]
    trades, closes = test.result.trades, test.result.equity.time
    for place, part in enumerate(parts):
        committed = np.array(
            [
                sum(
                    trades.entry_price[row] * trades.quantity[row]
                    for row in range(len(trades))
                    if trades.strategy[row] == place and trades.entry_time[row] < close <= trades.exit_time[row]
                )
                for close in closes.tolist()
            ]
        )
        used = 100 * committed / (part.share * test.result.equity.equity)
        assert (part.budget_used_pct, part.budget_used_most_pct) == pytest.approx((used.mean(), used.max()))
        assert 0 < part.budget_used_pct < part.budget_used_most_pct < 101
        mine = trades.pnl[trades.strategy == place]
        assert part.win_rate_pct == pytest.approx(100 * (mine > 0).sum() / len(mine))


def test_a_rule_of_the_account_decides_and_a_rule_that_is_given_goes_before_it(desk: Desk) -> None:
    """The account whose size is 1 % of risk loses at most that at a stop, but for the gap and the costs."""
    careful = run_of(desk, "careful")
    trades, leg = careful.result.trades, careful.leg_rules["breakout"]
    assert leg.sizing == Sizing(kind="risk", size=0.01) and not leg.short
    stopped = trades.pnl[trades.exit_reason == ExitReason.STOP]
    assert len(stopped) > 3 and (stopped < 0).all() and (np.abs(stopped) < 0.013 * 10_000).all()
    assert careful.notes[0] == "No balance is stored, so it begins with the desk's usual 10000 USDT."
    by_stake = run_of(desk, "careful", rules={"sizing.kind": "fraction", "sizing.size": 0.1, "initial_cash": 5000})
    trades = by_stake.result.trades
    assert by_stake.result.initial_cash == 5000 and not [note for note in by_stake.notes if "begins with" in note]
    assert (trades.entry_price * trades.quantity < 0.1 * 6000).all() and len(trades) > 10
    assert run_of(desk, "careful", rules={"sizing.kind": "risk"}).leg_rules["breakout"].sizing.value == 0.01
    assert run_of(desk, rules={"sizing.kind": "risk"}).leg_rules["breakout"].sizing.value == 0.02, "not half, as of confidence"


def test_an_account_that_states_no_cash_begins_with_its_newest_balance_before_the_end(desk: Desk) -> None:
    def balance(at_ms: int, equity: int) -> Balance:
        amounts = {each.name: Decimal(0) for each in fields(Balance) if each.name not in ("account", "at", "details")}
        money = Decimal(equity)
        return Balance(
            "careful", at_ms, **{**amounts, "cash": money, "equity": money, "net_deposits": money, "margin_free": money}
        )

    with desk.stores.database.transaction() as connection:
        mirror_accounts(connection, desk.settings, at_ms=START)
        for at_ms, equity in ((FROM, 3000), (TO - 1000, 4000), (TO, 5000)):
            assert record_balance(connection, balance(at_ms, equity))
    test = run_of(desk, "careful")
    assert test.result.initial_cash == 4000
    assert test.notes[0] == "It begins with the balance of 2026-02-25T23:59:59Z, 4000 USDT."
    assert [ref.partition for ref in test.inputs if ref.asset == "balances"] == ["careful|2026-02-25T23:59:59Z"]


def test_the_parameters_are_those_in_force_and_a_set_that_is_not_is_left_out(desk: Desk) -> None:
    """S4.23."""
    before = run_of(desk)
    with desk.stores.database.transaction() as connection:
        values = {**before.subjects["breakout"].parameters, "ema_fast": 3}
        write_parameters(connection, "breakout", "breakout", values, by="Ada", note="", at_ms=TO)
    after = run_of(desk)
    assert after.subjects["breakout"].version == 1 and after.content_hash != before.content_hash
    assert run_of(desk, at_ms=TO - 1).content_hash == before.content_hash
    desk.settings.accounts["main"].strategies["later"] = Decimal("0.1")
    with_later = run_of(desk)
    assert with_later.notes[0] == "later is left out: it is not in force."
    assert with_later.result.order_list_hash == after.result.order_list_hash
    desk.settings.accounts["main"].strategies.clear()
    desk.settings.accounts["main"].strategies["later"] = Decimal(1)
    with pytest.raises(InvalidInput, match="no strategy of account main is in force: later: it is not in force"):
        run_of(desk)


def test_an_account_on_another_exchange_trades_by_the_rules_there_and_says_whose_candles_they_are(desk: Desk) -> None:
    here = desk.settings.accounts["main"]
    desk.settings.accounts["main"] = here.model_copy(update={"exchange": "kraken"})
    at_kraken = [Market(market.base, market.quote, "kraken") for market in desk.settings.market_list()]
    with desk.stores.database.transaction() as connection:
        record_rules(connection, [rules_of(market, "0.5") for market in at_kraken], START)
    test = run_of(desk)
    assert test.result.markets == ("BTC-USDT@kraken", "ETH-USDT@kraken") and test.is_simulated
    assert len(test.result.orders) > 20 and (test.result.orders.price % 0.5 == 0).all()
    assert {way.levels_from for way in test.leg_rules.values()} == {"fill"}
    assert test.notes[0].startswith("The candles are those of simulated: of kraken only the trading rules are stored.")
    assert {ref.partition.split("|")[0] for ref in test.inputs if ref.asset == "market_rules"} == set(test.result.markets)


def test_the_command_shows_book_strategies_and_markets(desk: Desk, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    document = fks("--account", "main", "--trades", "--html", str(page))
    test = run_of(desk)
    assert document["content_hash"] == test.content_hash
    assert document["metrics"] == test.performance.document()
    assert [(row["name"], row["share"], row["trades"]) for row in document["strategies"]] == [
        (part.name, part.share, part.trades) for part in test.strategies
    ]
    assert [row["name"] for row in document["by_market"]] == document["markets"]
    assert {row["strategy"] for row in document["trades"]} == {"technical", "breakout"}
    html = page.read_text(encoding="utf-8")
    assert "Account main on 2 markets, 1h" in html and "<h2>Strategies</h2>" in html and "SIMULATED" in html
    shown = CliRunner().invoke(app, ["backtest", "--account", "main", *PERIOD])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0] == "Account main on 2 markets, 1h (SIMULATED)"
    [row] = [line.split() for line in lines if line.startswith("technical ")]
    assert row[2:5] == ["30", "%", str(test.strategies[0].trades)]
    assert fks("--account", "main", "--rule", "initial_cash=500")["book"]["initial_cash"] == 500


def test_what_contradicts_an_account_is_refused_in_one_line(desk: Desk) -> None:
    refused = {
        (): "STRATEGY is missing: give one, or an account with --account",
        ("--account", "nobody"): "account 'nobody' is not in the settings; they have main, careful",
        ("breakout", "BTC-USDT", "--account", "main"): "itself: leave out STRATEGY, MARKET…",
        ("--account", "main", "--timeframe", "1h", "--set", "ema_fast=3"): "itself: leave out --timeframe, --set",
        ("--account", "main", "--optimize", "5", "--anchored"): "itself: leave out --optimize, --anchored",
        ("--account", "main", "--rule", "leverag=2"): "rule 'leverag' is unknown",
        ("--account", "main", "--rule", "initial_cash=0"): "initial_cash: Input should be greater than 0, was 0",
    }
    for arguments, words in refused.items():
        answer = CliRunner().invoke(app, ["backtest", *arguments, *PERIOD])
        assert answer.exit_code == 2 and words in answer.stderr and answer.stderr.count("\n") == 1, answer.stderr
