"""Trade by trade against backtesting.py and vectorbt on BTC 1h (issue: parity with peers, each difference explained).

A loop of forty lines says our rules and, at the turn of a switch, a peer's. By our rules it makes the engine's trades, by a
peer's rules that peer's: so the switches are all that differs, and docs/backtest-rules.md lists them with what each is worth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fks_assets.quant.backtest.book import single
from fks_assets.quant.backtest.engine import run_backtest
from fks_assets.quant.backtest.results import BacktestResult, Refusal
from fks_assets.quant.backtest.rules import BookRules
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets_tests.quant.backtest.books import free, series
from fks_assets_tests.quant.backtest.peers import (
    CASH,
    FEE,
    PEERS,
    STOP,
    TARGET,
    PeerResult,
    candles_and_signals,
    recorded_result,
)
from fks_assets_tests.shared_data import requires_shared

pytestmark = requires_shared
Trade = tuple[int, int, float, float]


@dataclass(frozen=True)
class Switches:
    """Where engines differ; the defaults are our rules.

    levels: measured from the "signal"'s close, the "fill", or the "entry" candle's close. entry_candle: stop and target are
    tested in the candle of the entry. enters_beyond: also where the open is beyond a level already. target_at_open: an open
    beyond the target is what the target gets. stop_first: a stop inside the candle at whose open a signal asks for the exit goes
    first. closes_at_end: a position that is open at the end is closed there.
    """

    levels: str = "signal"
    entry_candle: bool = True
    enters_beyond: bool = False
    target_at_open: bool = False
    stop_first: bool = False
    closes_at_end: bool = True


BACKTESTING = Switches(enters_beyond=True)
VECTORBT = Switches("fill", entry_candle=False, target_at_open=True, stop_first=True, closes_at_end=False)
VECTORBT_CLOSE = replace(VECTORBT, levels="entry", enters_beyond=True)


def trades_by(rules: Switches) -> tuple[list[Trade], float]:
    """Return (trades, final equity): long only, whole cash, one position."""
    of, signals = candles_and_signals()
    opens, highs, lows, closes = (getattr(of, name).tolist() for name in ("open", "high", "low", "close"))
    action, trades, cash, held = signals.action.tolist(), [], CASH, None
    for row in range(1, len(of)):
        opened = opens[row]
        if held is None and action[row - 1] > 0:
            reference = {"signal": closes[row - 1], "fill": opened, "entry": closes[row]}[rules.levels]
            stop, target = reference * (1 - STOP), reference * (1 + TARGET)
            if rules.enters_beyond or stop < opened < target:
                held = row, opened, stop, target
        if held is None:
            continue
        entered, paid, stop, target = held
        price = None
        if entered < row or rules.entry_candle:
            if lows[row] <= stop:
                price = min(stop, opened)
            elif highs[row] >= target:
                price = max(target, opened) if rules.target_at_open else target
        reached = price is not None and (rules.stop_first or (opened >= target and not rules.target_at_open))
        if entered < row and action[row - 1] < 0 and not reached:
            price = opened
        if price is None and rules.closes_at_end and row + 1 == len(of):
            price = closes[row]
        if price is not None:
            cash *= price * (1 - FEE) / (paid * (1 + FEE))
            trades.append((entered, row, paid, price))
            held = None
    return trades, cash


def ours(**rules: object) -> BacktestResult:
    of, signals = candles_and_signals()
    return run_backtest(single("breakout", series(of), signals, free(short=False, **rules), BookRules(initial_cash=CASH)))


def trades_of(result: BacktestResult) -> list[Trade]:
    times = candles_and_signals()[0].open_time
    entered, left = (np.searchsorted(times, column) for column in (result.trades.entry_time, result.trades.exit_time))
    return list(
        zip(entered.tolist(), left.tolist(), result.trades.entry_price.tolist(), result.trades.exit_price.tolist(), strict=True)
    )


def assert_same(found: list[Trade], expected: list[Trade]) -> None:
    assert [trade[:2] for trade in found] == [trade[:2] for trade in expected]
    np.testing.assert_allclose([trade[2:] for trade in found], [trade[2:] for trade in expected], rtol=1e-9)


@pytest.mark.parametrize(
    ("switches", "rules"),
    [
        (Switches(), {}),
        (Switches("fill"), {"stop_percent": STOP * 100, "target_percent": TARGET * 100, "levels_from": "fill"}),
    ],
    ids=["levels from the signal", "levels from the fill"],
)
def test_by_our_rules_the_loop_makes_the_trades_of_the_engine(switches, rules):
    trades, final = trades_by(switches)
    result = ours(**rules)
    assert len(trades) > 1000
    assert_same(trades_of(result), trades)
    assert result.final_equity == pytest.approx(final, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "switches"),
    [
        ("backtesting.py", BACKTESTING),
        ("vectorbt, levels from the fill", VECTORBT),
        ("vectorbt, levels from the close", VECTORBT_CLOSE),
    ],
)
def test_by_a_peers_rules_the_loop_makes_the_trades_of_that_peer(name, switches):
    """backtesting.py rounds to hundred-millionths of a coin, which is worth 1e-7 of the equity."""
    peer = recorded_result(name)
    trades, final = trades_by(switches)
    assert_same(trades, peer.trades)
    assert final == pytest.approx(peer.final_equity, rel=1e-6 if switches == BACKTESTING else 1e-9)


def test_without_levels_vectorbt_and_the_engine_make_the_same_trades_and_money():
    of, signals = candles_and_signals()
    none = np.full(len(of), np.nan)
    bare = SignalColumns(signals.action, signals.confidence, none, none, signals.reason_codes, signals.reasons)
    result = run_backtest(single("breakout", series(of), bare, free(short=False), BookRules(initial_cash=CASH)))
    peer = recorded_result("vectorbt, signals alone")
    assert_same(trades_of(result), peer.trades)
    assert result.final_equity == pytest.approx(peer.final_equity, rel=1e-9)


def test_all_our_trades_are_backtesting_pys_but_for_the_seven_entries_beyond_a_level():
    result, peer = ours(), recorded_result("backtesting.py")
    mine = trades_of(result)
    entered = {trade[0] for trade in mine}
    assert_same(mine, [trade for trade in peer.trades if trade[0] in entered])
    extra = [trade for trade in peer.trades if trade[0] not in entered]
    assert len(extra) == result.refused[Refusal.LEVELS] == 7 and all(entry == left for entry, left, *_ in extra)
    cost = np.prod([got * (1 - FEE) / (paid * (1 + FEE)) for *_, paid, got in extra])
    assert result.final_equity * cost == pytest.approx(peer.final_equity, rel=1e-6)


def test_the_figures_in_the_document_are_these():
    """docs/backtest-rules.md: trades and final equity of each engine, and of ours with one switch turned at a time."""
    fill = Switches("fill")
    for switches, trades, final in (
        (Switches(), 1074, 5087.73),
        (BACKTESTING, 1081, 4919.00),
        (fill, 1082, 4991.22),
        (replace(fill, entry_candle=False), 947, 3222.69),
        (replace(fill, target_at_open=True), 1082, 4991.22),
        (replace(fill, entry_candle=False, target_at_open=True), 947, 10368.90),
        (VECTORBT, 947, 10368.90),
        (replace(VECTORBT_CLOSE, stop_first=False), 945, 8402.76),
        (VECTORBT_CLOSE, 945, 8377.56),
    ):
        made, equity = trades_by(switches)
        assert (len(made), round(equity, 2)) == (trades, final), switches
    assert sum(entered == left for entered, left, *_ in trades_by(fill)[0]) == 949
    optimistic = ours(tie_rule="optimistic")
    assert (len(optimistic.trades), round(optimistic.final_equity, 2)) == (1074, 43581.10)
    assert ours().ambiguous_candles == optimistic.ambiguous_candles == 239


@pytest.mark.parametrize(("name", "run"), PEERS.items(), ids=PEERS)
def test_an_installed_peer_does_what_was_recorded_of_it(name: str, run: Callable[[], PeerResult]):
    pytest.importorskip(name.split(",")[0].removesuffix(".py"), reason="install the extra [peers]")
    found, expected = run(), recorded_result(name)
    assert_same(found.trades, expected.trades)
    assert found.final_equity == pytest.approx(expected.final_equity, rel=1e-9)
