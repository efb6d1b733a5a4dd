"""The table `[backtests]`: its defaults, what it refuses at load, and whom it reaches."""

from pathlib import Path

import pytest

from fks_assets.assets.trading.standard import BacktestPlan, rules_of_markets, standard_plan
from fks_assets.errors import InvalidInput, SettingsError
from fks_assets.quant.backtest.named_rules import DESK_RULES
from fks_assets.quant.markets import parse_market
from fks_assets.settings import SHIPPED_DESK, Settings, read_settings

BTC, TOMAN = parse_market("BTC-USDT@simulated"), parse_market("BTC-IRT@wallex")


def settings_with(tmp_path: Path, table: str = "", **environment: str) -> Settings:
    """The shipped desk with this text as its table [backtests]."""
    before, after = SHIPPED_DESK.read_text(encoding="utf-8").split("[backtests]", 1)
    rest = "[ideas]" + after.split("[ideas]", 1)[1]
    desk = tmp_path / "desk.toml"
    desk.write_text(f"{before}[backtests]\n{table}\n{rest}", encoding="utf-8")
    return read_settings({"FKS_DESK": str(desk), **environment}, tmp_path)


def test_the_window_is_thirty_days_where_nothing_is_said_and_the_shipped_desk_says_the_same(tmp_path: Path) -> None:
    """X5."""
    plain, shipped = settings_with(tmp_path), read_settings({}, tmp_path)
    for settings in (plain, shipped):
        plan = standard_plan(settings)
        assert (plan.days, plan.timeframe.name, plan.markets) == (30, "1h", tuple(settings.market_list()))
    assert plain.backtests == shipped.backtests
    leg, book = rules_of_markets(plain, plain.market_list())
    assert (leg, book.initial_cash, book.costs.slippage) == (DESK_RULES, 10_000.0, 0.0)


def test_rules_are_named_as_on_the_command_line_with_or_without_quotes(tmp_path: Path) -> None:
    quoted = settings_with(tmp_path, 'rules = { "costs.slippage" = 0.001, "sizing.size" = 0.2, short = true }')
    dotted = settings_with(tmp_path, "[backtests.rules]\ncosts.slippage = 0.001\nsizing.size = 0.2\nshort = true")
    asked = settings_with(
        tmp_path,
        FKS_BACKTESTS__RULES__COSTS__SLIPPAGE="0.001",
        FKS_BACKTESTS__RULES__SIZING__SIZE="0.2",
        FKS_BACKTESTS__RULES__SHORT="true",
    )
    assert quoted.backtests == dotted.backtests == asked.backtests
    leg, book = rules_of_markets(quoted, [BTC])
    assert (leg.short, leg.sizing.size, leg.sizing.kind, book.costs.slippage) == (True, 0.2, "confidence", 0.001)
    _, changed = rules_of_markets(quoted, [BTC], {"costs.spread": 0.002})
    assert (changed.costs.slippage, changed.costs.spread) == (0.001, 0.002), "an option changes what it names alone"


def test_a_book_begins_with_the_cash_of_its_coin(tmp_path: Path) -> None:
    """A toman desk: with 10,000 toman no order is above the smallest one of 300,000, so nothing ever traded."""
    settings = settings_with(tmp_path)
    assert rules_of_markets(settings, [TOMAN])[1].initial_cash == 1_000_000_000
    told = settings_with(tmp_path, "cash = { IRT = 5e8 }\nrules = { initial_cash = 700 }")
    assert rules_of_markets(told, [TOMAN])[1].initial_cash == 500_000_000
    assert rules_of_markets(told, [BTC])[1].initial_cash == 700
    assert rules_of_markets(told, [BTC], {"initial_cash": 9})[1].initial_cash == 9
    assert settings_with(tmp_path, FKS_BACKTESTS__CASH__IRT="4e8").backtests.cash == {"IRT": 4e8}
    with pytest.raises(InvalidInput, match=r"backtests\.cash lacks the quote coin 'XRP'"):
        rules_of_markets(settings, [parse_market("BTC-XRP@simulated")])
    with pytest.raises(InvalidInput, match=r"quote coins are IRT, USDT; a book counts in one coin: name markets of one"):
        rules_of_markets(settings, [BTC, TOMAN])


def test_the_hash_of_a_plan_is_of_all_that_counts_and_of_nothing_else(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    usual = standard_plan(settings)
    others = [
        BacktestPlan(31, usual.timeframe, usual.markets),
        BacktestPlan(30, settings.timeframe_list()[0], usual.markets),
        BacktestPlan(30, usual.timeframe, usual.markets[1:]),
        BacktestPlan(30, usual.timeframe, usual.markets, {"costs.slippage": 0.001}),
        BacktestPlan(30, usual.timeframe, usual.markets, {"initial_cash": 9}),
        BacktestPlan(30, usual.timeframe, usual.markets, {}, {"ema_fast": 3}),
    ]
    assert len({plan.settings_hash(settings) for plan in (usual, *others)}) == 1 + len(others)
    backwards = BacktestPlan(30, usual.timeframe, usual.markets[::-1], {"costs.slippage": 0.0})
    assert backwards.settings_hash(settings) == usual.settings_hash(settings), "the same backtest said in other words"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("days = 0", "backtests.days: Input should be greater than or equal to 1 (value: 0)"),
        ("days = 10", "backtests: least_days must be at most days = 10, or nothing could be judged, was 20"),
        ('timeframe = "2h"', "backtests.timeframe '2h' is not on this desk; it has 5m, 1h, 1d"),
        ('markets = ["BTC-EUR"]', "backtests.markets: 'BTC-EUR' is not on this desk; it has BTC-USDT, "),
        ("rules = { costs.slipage = 0.1 }", "backtests.rules: rule 'costs.slipage' is unknown; known: long, short, "),
        ("rules = { costs.slippage = 2 }", "backtests.rules: costs: slippage: Input should be less than or equal to 0.1, was 2"),
        ("cash = { USDT = -1 }", "backtests.cash.USDT: Input should be greater than 0 (value: -1)"),
        ("valid_days = 0", "backtests.valid_days: Input should be greater than or equal to 1 (value: 0)"),
        ("dayz = 3", "backtests.dayz: unknown key"),
    ],
)
def test_a_wrong_value_is_one_line_at_load(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_with(tmp_path, table)
    assert words in str(refused.value) and "\n" not in str(refused.value)
