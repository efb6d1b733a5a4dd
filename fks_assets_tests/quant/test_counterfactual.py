"""Differences of two runs (D10), on small results written by hand."""

import numpy as np

from fks_assets.quant.backtest.results import BacktestResult, EquityCurve, ExitReason
from fks_assets.quant.counterfactual import signal_changes, trade_changes
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets_tests.quant.backtest.comparing import result_of

HOUR = 3_600_000


def result(*rows: tuple[int, int, float]) -> BacktestResult:
    """A result of trades (hour of entry, side, pnl) in one market; all else is the same for all."""
    hour, side, pnl = np.array(rows).T
    entry, empty = hour * HOUR, np.array([])
    return result_of(
        EquityCurve(empty, empty, empty),
        1.0,
        entry_time=entry,
        exit_time=entry + HOUR,
        booked_at=entry + HOUR,
        side=side,
        pnl=pnl,
        exit_reason=np.full(len(rows), ExitReason.STOP),
        candles_held=np.ones(len(rows)),
    )


def test_trades_are_added_removed_and_changed_and_equal_ones_are_left_out():
    production = result((1, 1, 5.0), (3, 1, 6.0), (5, -1, 7.0))
    shadow = result((1, 1, 5.0), (3, 1, 8.0), (4, 1, 1.0))
    found = [(each.change, each.side, each.entry_time // HOUR) for each in trade_changes(production, shadow)]
    assert found == [("changed", "long", 3), ("added", "long", 4), ("removed", "short", 5)]
    changed = trade_changes(production, shadow)[0]
    assert (changed.production["pnl"], changed.shadow["pnl"], changed.shadow["exit_reason"]) == (6.0, 8.0, "stop")


def test_partial_exits_of_one_entry_are_held_against_each_other_in_turn():
    production, shadow = result((1, 1, 5.0), (1, 1, 6.0)), result((1, 1, 5.0), (1, 1, 6.0), (1, 1, 7.0))
    assert [(each.change, each.shadow["pnl"]) for each in trade_changes(production, shadow)] == [("added", 7.0)]


def signals(actions: list[int], stops: list[float], reasons: tuple[str, ...] = ("so",)) -> SignalColumns:
    count = len(actions)
    nowhere = np.full(count, np.nan)
    confidence = np.abs(np.array(actions, float)) * 0.5
    return SignalColumns(np.array(actions, np.int8), confidence, np.array(stops), nowhere, np.zeros(count, np.int16), reasons)


def test_signals_differ_in_what_is_traded_and_not_in_words():
    nan = np.nan
    times = np.arange(4) * HOUR
    old, new = signals([0, 1, 1, -1], [nan, 9.0, 9.0, 12.0]), signals([0, 1, 1, 0], [nan, 9.0, 8.0, nan], ("why not",))
    found = signal_changes("BTC-USDT@x", times, old, new)
    assert [each.candle // HOUR for each in found] == [2, 3]
    assert (found[0].production["stop"], found[0].shadow["stop"]) == (9.0, 8.0)
    assert found[1].shadow == {"action": "HOLD", "confidence": None, "stop": None, "target": None}
