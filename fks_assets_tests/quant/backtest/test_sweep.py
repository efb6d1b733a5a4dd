"""Sweeps give the figures of single backtests, whatever the number of workers, in memory that does not grow."""

import itertools
import tracemalloc

import numpy as np
import pytest

from fks_assets.errors import InvalidInput
from fks_assets.quant.backtest.book import single
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.rules import BookRules, LegRules, PartialExit, Sizing
from fks_assets.quant.backtest.sweep import sweep
from fks_assets.quant.candles import Candles
from fks_assets.quant.indicators import compute_indicators, warm_rows
from fks_assets.quant.performance import measure
from fks_assets.quant.performance_ruin import after_ruin
from fks_assets.quant.performance_series import with_base
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets_tests.quant.backtest.books import free, series, signals
from fks_assets_tests.quant.backtest.comparing import figures_of
from fks_assets_tests.quant.series import synthetic

OF = synthetic(4000, seed=11, volatility=0.008)
WHERE, INDICATORS, BOOK = series(OF), compute_indicators(OF), BookRules(initial_cash=5000.0)
COMBINATIONS = list(itertools.product((10, 20), (65.0, 80.0), (0.4, 1.0), (1.5, 3.0)))


def signals_of(combination):
    lookback, rsi, *_ = combination
    strategy = create_strategy("breakout", {"lookback": lookback, "rsi_high": rsi, "rsi_low": 100 - rsi})
    return strategy.evaluate(OF, INDICATORS, warm_rows(len(OF)))


def rules_of(combination) -> LegRules:
    _, _, stop, reward = combination
    partials = (PartialExit(part=0.5, gain_percent=stop),) if reward > 2 else ()
    return free(stop_percent=stop, target_percent=stop * reward, partial_exits=partials)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("sharing", [True, False], ids=["shared signals", "signals for each"])
def test_every_row_has_the_figures_of_its_own_backtest(workers, sharing):
    shared = (lambda combination: combination[:2]) if sharing else None
    found = sweep(WHERE, COMBINATIONS, signals_of, rules_of=rules_of, shared=shared, book=BOOK, workers=workers)
    assert found.combinations == tuple(COMBINATIONS)
    for row, combination in enumerate(COMBINATIONS):
        result = run_backtest(single("sweep", WHERE, signals_of(combination), rules_of(combination), BOOK))
        performance = figures_of(result, int(OF.open_time[0]))
        assert performance.total_trades > 50
        for name, column in found.figures.items():
            expected = getattr(performance, name)
            assert column[row] == pytest.approx(np.nan if expected is None else expected, rel=1e-9, nan_ok=True), name


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_signals_are_judged_once_for_all_that_share_them(workers):
    judged = []

    def counted(combination):
        judged.append(combination[:2])
        return signals_of(combination)

    sweep(WHERE, COMBINATIONS * 5, counted, rules_of=rules_of, shared=lambda each: each[:2], book=BOOK, workers=workers)
    assert sorted(judged) == sorted({combination[:2] for combination in COMBINATIONS})


@pytest.mark.parametrize("workers", [1, 3])
def test_who_lost_everything_is_over_and_said_to_be(workers):
    """Sold in a market that rises hundredfold, with margin calls and without: `after_ruin` and `measure` of the backtest say what
    is left of each.
    """
    of, rise = synthetic(2000, seed=5, volatility=0.004), np.geomspace(1, 100, 2000)
    rising = Candles(of.open_time, *(each * rise for each in (of.open, of.high, of.low, of.close)), of.volume)
    sold = signals(2000, {300: (-1, np.nan, np.nan), 1500: (1, np.nan, np.nan)})
    fractions = (0.001, 0.05, 0.4, 1.0)

    def ruled(fraction: float) -> LegRules:
        sizing = Sizing(kind="fraction", size=fraction)
        return free(sizing=sizing, leverage=20.0, maintenance_margin=0.0, exit_on_signal=False)

    def unliquidated(fraction: float) -> LegRules:
        return free(sizing=Sizing(kind="notional", size=fraction * 20_000), leverage=1.0, exit_on_signal=False)

    for rules, lost in ((ruled, 1), (unliquidated, 2)):
        found = sweep(series(rising), fractions, lambda _: sold, rules_of=rules, book=BOOK, workers=workers)
        for row, fraction in enumerate(fractions):
            result = run_backtest(single("sweep", series(rising), sold, rules(fraction), BOOK))
            equity, ruin = after_ruin(result.equity.equity, result.initial_cash)
            assert found.ruined[row] == (ruin is not None)
            time, equity = with_base(int(rising.open_time[0]), result.initial_cash, result.equity.time, equity)
            performance = measure(time, equity, trades=result.trades)
            for name, column in found.figures.items():
                expected = getattr(performance, name)
                assert column[row] == pytest.approx(np.nan if expected is None else expected, rel=1e-9, nan_ok=True), name
        assert found.ruined.sum() == lost


def test_the_best_row_is_the_first_with_the_highest_figure():
    found = sweep(WHERE, COMBINATIONS, signals_of, rules_of=rules_of, book=BOOK)
    assert found.best("sharpe") == int(np.argmax(found.figures["sharpe"]))
    silent = sweep(WHERE, COMBINATIONS[:1], lambda _: signals_without_any(), book=BOOK)
    assert silent.figures["total_trades"][0] == 0 and np.isnan(silent.figures["sharpe"][0])
    with pytest.raises(InvalidInput, match="no combination has a sharpe"):
        silent.best()


def signals_without_any():
    return create_strategy("breakout").evaluate(OF, INDICATORS, np.zeros(len(OF), np.bool_))


def test_memory_does_not_grow_with_the_number_of_combinations():
    def peak(times: int) -> int:
        tracemalloc.start()
        try:
            sweep(WHERE, COMBINATIONS * times, signals_of, rules_of=rules_of, shared=lambda each: each[:2], book=BOOK)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(20) - peak(1) < 20 * len(COMBINATIONS) * 500


def test_the_number_of_workers_is_bounded():
    with pytest.raises(InvalidInput, match="workers must be from 1 to 256, was 0"):
        sweep(WHERE, COMBINATIONS, signals_of, workers=0)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_an_error_of_one_combination_ends_the_sweep(workers):
    asked = []

    def fails(combination):
        asked.append(combination)
        if combination == 0:
            raise InvalidInput("combination 0 is no good")
        return signals_of(COMBINATIONS[0])

    with pytest.raises(InvalidInput, match="combination 0 is no good"):
        sweep(WHERE, list(range(500)), fails, book=BOOK, workers=workers)
    assert len(asked) < 250
