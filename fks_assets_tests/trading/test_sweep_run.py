"""A grid at a desk: each row is the backtest with the same parameters and rules on the same stored candles."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fks_assets.assets.trading import sweep_run
from fks_assets.assets.trading.backtest_run import backtest, judge
from fks_assets.assets.trading.in_force import StrategyInForce, strategy_named
from fks_assets.assets.trading.series import SeriesRead
from fks_assets.assets.trading.standard import rules_of_markets
from fks_assets.assets.trading.sweep_run import Swept, axes_of, sweep_grid
from fks_assets.errors import InsufficientData, InvalidInput, StrategyFailed
from fks_assets.quant.candles import Candles
from fks_assets.quant.funding import FundingRate
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets.quant.strategies.breakout import Breakout, BreakoutParameters
from fks_assets.quant.sweep_grid import GridRules
from fks_assets.quant.timeframes import month_window, parse_timeframe
from fks_assets.resources.stores import Stores
from fks_assets.stores.funding import record_funding
from fks_assets_tests.desk import build_desk
from fks_assets_tests.shared_data import SHARED, requires_shared
from fks_assets_tests.trading.desks import DAY, HOUR, recorded, store, twelfths, walk

START = month_window("2025-11")[0]
FROM = month_window("2026-02")[0] + 7 * HOUR
H1 = parse_timeframe("1h")
ROWS = walk(START, 92 * 24 + 1000, seed=1)
OTHER = walk(FROM - 20 * DAY, 1400, seed=2)
END = int(ROWS.open_time[-1]) - 20 * HOUR


@pytest.fixture
def stores(home: Path, database_url: str) -> Stores:
    """A desk with two markets, of which the second begins later; the first has funding rates and some 5 minute candles."""
    desk = build_desk(home, database_url, "http://127.0.0.1:9", symbols=["BTC-USDT", "ETH-USDT"])
    btc, eth = desk.settings.market_list()
    store(desk.stores.candles, btc, ROWS)
    store(desk.stores.candles, eth, OTHER)
    store(desk.stores.candles, btc, twelfths(ROWS.between(FROM + 10 * DAY, FROM + 30 * DAY)), "5m")
    due = range(-(-FROM // (8 * HOUR)) * 8 * HOUR, END, 8 * HOUR)
    with desk.stores.database.transaction() as connection:
        record_funding(connection, btc, [FundingRate(each, Decimal("-0.0004")) for each in due], END)
    return desk.stores


def swept(stores: Stores, axes: dict[str, str], *, name: str = "breakout", markets: int = 1, **options: Any) -> Swept:
    rules, subject = GridRules(**options.pop("choose", {})), strategy_named(stores.database, stores.settings, name)
    chosen = stores.settings.market_list()[:markets]
    period = options.pop("period", (FROM, END))
    return sweep_grid(stores, subject, chosen, H1, *period, axes_of(axes, subject.strategy), rules, **options)


def assert_rows_are_backtests(
    stores: Stores,
    found: Swept,
    rows: Iterable[int],
    *,
    held: Mapping[str, Any] | None = None,
    held_rules: Mapping[str, Any] | None = None,
    period: tuple[int, int] = (FROM, END),
) -> None:
    """Compare rows with the backtest of each on each market, its values given as --set and --rule give them.

    The backtest reads, judges and measures on its own, with the history that these parameters need alone.
    """
    for row in rows:
        values = {
            **(held or {}),
            **{f"rules.{name}": value for name, value in (held_rules or {}).items()},
            **found.grid.values(row),
        }
        own = {name: value for name, value in values.items() if not name.startswith("rules.")}
        ruled = {name.removeprefix("rules."): value for name, value in values.items() if name.startswith("rules.")}
        subject = strategy_named(stores.database, stores.settings, found.subject.name, own)
        for each in found.markets:
            [market] = [market for market in stores.settings.market_list() if market.key == each.market]
            rules, book = rules_of_markets(stores.settings, [market], ruled)
            test = backtest(stores, subject, [market], H1, *period, rules=rules, book=book)
            assert (test.ruined_ms is not None) == each.ruined[row]
            for figure, column in each.figures.items():
                expected = getattr(test.performance, figure)
                assert column[row] == pytest.approx(np.nan if expected is None else expected, rel=1e-9, nan_ok=True), figure


@pytest.mark.parametrize(
    ("name", "axes", "held", "held_rules"),
    [
        (
            "breakout",
            {
                "lookback": "5,80",
                "momentum_signals": "true,false",
                "rules.stop_percent": "none,0.4",
                "rules.tie_rule": "finer,optimistic",
            },
            {"volume_ratio": 0.9},
            {"costs.slippage": 0.0004, "initial_cash": 5000.0},
        ),
        (
            "ema_crossover",
            {
                "rules.sizing.size": "0.2:0.6:0.4",
                "ema_slow": "13,60",
                "rules.short": "false,true",
                "rules.leverage": "1,3",
            },
            {"ema_fast": 6},
            {"sizing.kind": "fraction", "costs.spread": 0.001},
        ),
    ],
)
def test_each_row_equals_the_backtest_with_the_same_values(
    stores: Stores, name: str, axes: dict[str, str], held: dict[str, Any], held_rules: dict[str, Any]
) -> None:
    """F4: the other source of every figure is the backtest of that combination alone."""
    found = swept(stores, axes, name=name, markets=2, held=held, held_rules=held_rules, workers=2)
    assert len(found.grid) == 16 and found.grid.refused == 0
    assert_rows_are_backtests(stores, found, range(0, 16, 3), held=held, held_rules=held_rules)
    traded, equity = (found.markets[0].figures[figure] for figure in ("total_trades", "end_equity"))
    assert traded.min() >= 10
    for axis in range(len(axes)):
        halves = [[row for row, each in enumerate(found.grid.combinations) if each.places[axis] == place] for place in (0, 1)]
        assert (equity[halves[0]] != equity[halves[1]]).any(), f"{found.grid.axes[axis].name} has changed nothing"


@requires_shared
def test_rows_equal_backtests_on_recorded_candles_whatever_history_each_of_them_needs(stores: Stores) -> None:
    """F4: the longest mean looks back over eight months, the shortest over one."""
    hours = recorded(SHARED / "data" / "ohlcv" / "binance_1h_long" / "BTC_USDT-1h.json.gz")
    period = month_window("2021-03")[0], month_window("2021-05")[0]
    store(stores.candles, stores.settings.market_list()[0], hours.between(month_window("2020-06")[0], period[1]))
    axes = {"ema_slow": "21,400", "ema_fast": "5,12", "rules.stop_percent": "none,2"}
    found = swept(stores, axes, name="ema_crossover", period=period)
    lookbacks = sorted({strategy.lookback_rows for strategy in found.grid.strategies})
    assert lookbacks[0] < 31 * 24 < 8 * 30 * 24 < lookbacks[-1] and found.markets[0].figures["total_trades"].min() >= 8
    assert_rows_are_backtests(stores, found, range(8), period=period)


def test_any_number_of_workers_finds_the_same_bytes(stores: Stores) -> None:
    axes = {"lookback": "5:45:5", "rules.target_percent": "0.5:1.5:0.25", "ema_fast": "3,8"}
    one, *others = (swept(stores, axes, markets=2, workers=workers) for workers in (1, 2, 5))
    for other in others:
        assert other.document(1000) == one.document(1000)
        for mine, its in zip(one.markets, other.markets, strict=True):
            assert all(mine.figures[name].tobytes() == its.figures[name].tobytes() for name in mine.figures)
    assert one.ranking.score.tobytes() == np.median([each.figures["sharpe"] for each in one.markets], axis=0).tobytes()
    assert one.document(3)["rows"][0] == {name: one.document(3)["best"][name] for name in one.document(3)["rows"][0]}


def test_axes_of_rules_alone_cost_no_new_judgement(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def judged(subject: StrategyInForce, series: SeriesRead) -> SignalColumns:
        asked.append(subject.parameters["lookback"])
        return judge(subject, series)

    monkeypatch.setattr(sweep_run, "judge", judged)
    found = swept(stores, {"rules.stop_percent": "0.5:2:0.5", "lookback": "10,20", "rules.target_percent": "1:4:1"})
    assert len(found.grid) == 32 and sorted(asked) == [10, 20]


def test_the_best_is_the_backtest_that_is_shown_and_its_skill_is_deflated_by_the_number_of_tries(stores: Stores) -> None:
    """S4.4: of one try, the deflated Sharpe ratio is the probabilistic one of metrics.md; each further one lowers it."""
    one = swept(stores, {"lookback": "20"}, name="breakout")
    assert one.deflated_sharpe == pytest.approx(one.test.performance.probabilistic_sharpe, rel=1e-12)
    many = swept(stores, {"volume_ratio": "0.8:1.2:0.1", "lookback": "15:25:5", "rules.stop_percent": "none,1.5"})
    best = many.ranking.best
    assert best is not None and many.best is not None and many.plateau is not None
    assert many.test.subject.parameters == many.best.parameters
    assert many.test.rules == many.grid.rules[many.grid.combinations[best].rules]
    assert many.test.performance.sharpe == pytest.approx(many.ranking.score[best], rel=1e-9)
    assert many.ranking.score[best] == np.nanmax(many.markets[0].figures["sharpe"])
    assert many.deflated_sharpe is not None and many.test.performance.probabilistic_sharpe is not None
    assert many.deflated_sharpe < many.test.performance.probabilistic_sharpe
    assert {step.axis for step in many.plateau.steps} <= {"volume_ratio", "lookback"}
    document = many.document(4)
    assert document["best"]["parameters"] == many.best.parameters and [row["rank"] for row in document["rows"]] == [1, 2, 3, 4]


def test_combinations_with_too_few_trades_are_listed_and_not_chosen(stores: Stores) -> None:
    axes = {"lookback": "5,20,80,160,320"}
    trades = swept(stores, axes).markets[0].figures["total_trades"]
    bound = int(np.sort(trades)[2])
    found = swept(stores, axes, choose={"objective": "return", "least_trades": bound})
    assert found.ranking.fit.tolist() == (trades >= bound).tolist() and found.document(9)["fit"] == 3
    rows = found.document(9)["rows"]
    assert [row["rank"] for row in rows] == [1, 2, 3, None, None]
    assert rows[0]["score"] == max(row["score"] for row in rows if row["trades"] >= bound)
    none = swept(stores, axes, choose={"least_trades": 5000})
    assert (none.best, none.deflated_sharpe, none.plateau) == (None, None, None)
    first = none.document(1)["rows"][0]
    assert none.document(1)["best"] is None and none.test.subject.parameters["lookback"] == first["values"]["lookback"]


def test_who_lost_everything_has_the_figures_of_the_backtest_and_is_not_chosen(stores: Stores) -> None:
    """The account is over at its ruin: the backtest says so in every figure, and so does each row."""
    lift = np.exp(np.maximum(0, np.arange(len(ROWS)) - 100 * 24) * 0.004)
    prices = (getattr(ROWS, name) * lift for name in ("open", "high", "low", "close"))
    store(stores.candles, stores.settings.market_list()[0], Candles(ROWS.open_time, *prices, ROWS.volume))
    held, held_rules = {"target_atr": 45.0}, {"sizing.kind": "notional", "short": True, "long": False, "exit_on_signal": False}
    found = swept(
        stores,
        {"rules.leverage": "20", "rules.maintenance_margin": "0", "stop_atr": "0.5,19", "rules.sizing.size": "200,60000"},
        name="technical",
        held=held,
        held_rules=held_rules,
        choose={"least_trades": 1},
    )
    [market] = found.markets
    assert market.ruined.tolist() == [False, False, False, True] and found.ranking.rank[3] == 0
    assert_rows_are_backtests(stores, found, range(4), held=held, held_rules=held_rules)


def test_a_market_without_candles_is_named_or_left_out(stores: Stores) -> None:
    btc, eth = stores.settings.market_list()
    subject = strategy_named(stores.database, stores.settings, "breakout")
    asked = partial(sweep_grid, stores, subject, [btc, eth], H1, START, START + 30 * DAY)
    axes = axes_of({"lookback": "10,20"}, subject.strategy)
    with pytest.raises(InsufficientData, match=r"no 1h candles of ETH-USDT@simulated are stored for 2025-11-01T00:00:00Z to"):
        asked(axes, GridRules())
    found = asked(axes, GridRules(), skip_missing=True)
    assert [each.market for each in found.markets] == [btc.key] and found.test.left_out == {
        eth.key: "no candles of that time are stored"
    }


class Faulty(Breakout):
    """A user's strategy with an error that only some parameters reach."""

    name = "faulty"

    def judge(self, candles: Candles, indicators: Mapping[str, np.ndarray]) -> SignalColumns:
        if self.parameters.lookback == 20:
            raise ZeroDivisionError("lookback 20")
        return super().judge(candles, indicators)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_strategy_ends_the_sweep_with_its_words(stores: Stores, workers: int) -> None:
    subject = StrategyInForce("faulty", Faulty(BreakoutParameters()))
    axes = axes_of({"lookback": "10:30:10"}, subject.strategy)
    with pytest.raises(StrategyFailed, match=r"strategy faulty: .*ZeroDivisionError: lookback 20"):
        sweep_grid(stores, subject, stores.settings.market_list()[:1], H1, FROM, END, axes, GridRules(), workers=workers)


def test_unknown_names_and_bad_workers_are_refused_with_what_is_known(stores: Stores) -> None:
    """F16."""
    with pytest.raises(InvalidInput, match=r"sweep 'rules.costs.slippage': unknown; breakout .* rules.sizing.size, .*"):
        swept(stores, {"rules.costs.slippage": "0,1"})
    with pytest.raises(InvalidInput, match=r"sweep 'stop_percent': unknown; .* lookback, .*rules.stop_percent, "):
        swept(stores, {"stop_percent": "1"})
    with pytest.raises(InvalidInput, match="workers must be from 1 to 256, was 0"):
        swept(stores, {"lookback": "10"}, workers=0)
