"""What other engines make of the same signals on the same candles: run where they are installed, recorded for everyone else.

`pip install -e '.[peers]'` and `python -m fks_assets_tests.quant.backtest.peers` record anew.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fks_assets.quant.candles import Candles
from fks_assets.quant.strategies.base import SignalColumns
from fks_assets_tests.quant.backtest.books import judged
from fks_assets_tests.quant.series import recorded

RECORDED = Path(__file__).with_name("peers.json.gz")
CASH, FEE, STOP, TARGET = 100_000.0, 0.001, 0.003, 0.006


@dataclass(frozen=True)
class PeerResult:
    """Trades as (row of the entry, row of the exit, entry price, exit price), and the final equity, an open position included."""

    version: str
    trades: list[tuple[int, int, float, float]]
    final_equity: float


@lru_cache(maxsize=1)
def candles_and_signals() -> tuple[Candles, SignalColumns]:
    """Return BTC 1h and the breakout strategy's signals, whose stops are 0.3 % and targets 0.6 % from the signal's close."""
    of = recorded("BTC")
    return of, judged("breakout", of, momentum_signals=False)


def by_backtesting() -> PeerResult:
    import backtesting
    import pandas as pd
    from backtesting.lib import FractionalBacktest

    of, signals = candles_and_signals()
    columns = {name.capitalize(): getattr(of, name) for name in ("open", "high", "low", "close", "volume")}
    frame = pd.DataFrame(columns, index=pd.to_datetime(of.open_time, unit="ms"))
    stop, target = signals.stop / of.close, signals.target / of.close

    class Signals(backtesting.Strategy):
        def init(self) -> None: ...

        def next(self) -> None:
            row, close = len(self.data) - 1, self.data.Close[-1]
            if self.position and signals.action[row] < 0:
                self.position.close()
            elif not self.position and signals.action[row] > 0:
                self.buy(sl=close * stop[row], tp=close * target[row])

    made = FractionalBacktest(frame, Signals, cash=CASH, commission=FEE, finalize_trades=True, fractional_unit=1e-8).run()
    trades = made["_trades"]
    rows = zip(trades.EntryBar, trades.ExitBar, trades.EntryPrice, trades.ExitPrice, strict=True)
    return PeerResult(backtesting.__version__, _plain(rows), float(made["Equity Final [$]"]))


def by_vectorbt(levels: str | None) -> PeerResult:
    """`levels` is vectorbt's stop_entry_price, None for no stops and targets. An open position stays open at the end."""
    import pandas as pd
    import vectorbt

    of, signals = candles_and_signals()
    index = pd.to_datetime(of.open_time, unit="ms")
    enter, leave = (np.append(False, each) for each in (signals.action[:-1] > 0, signals.action[:-1] < 0))
    stops = {} if levels is None else {"sl_stop": STOP, "tp_stop": TARGET, "stop_entry_price": levels}
    columns = {"price" if name == "open" else name: pd.Series(getattr(of, name), index) for name in ("open", "high", "low")}
    made = vectorbt.Portfolio.from_signals(
        pd.Series(of.close, index),
        pd.Series(enter, index),
        pd.Series(leave, index),
        open=columns["price"],
        **columns,
        fees=FEE,
        init_cash=CASH,
        freq="1h",
        **stops,
    )
    trades, value = made.trades.records, made.final_value
    rows = zip(trades.entry_idx, trades.exit_idx, trades.entry_price, trades.exit_price, strict=True)
    return PeerResult(vectorbt.__version__, _plain(rows), float(value() if callable(value) else value))


PEERS: dict[str, Callable[[], PeerResult]] = {
    "backtesting.py": by_backtesting,
    "vectorbt, signals alone": partial(by_vectorbt, None),
    "vectorbt, levels from the close": partial(by_vectorbt, "close"),
    "vectorbt, levels from the fill": partial(by_vectorbt, "fillprice"),
}


def recorded_result(name: str) -> PeerResult:
    """Return what was recorded of a peer."""
    with gzip.open(RECORDED, "rt") as file:
        found = json.load(file)[name]
    return PeerResult(found["version"], [tuple(row) for row in found["trades"]], found["final_equity"])


def _plain(rows: Any) -> list[tuple[int, int, float, float]]:
    return [(int(entered), int(left), float(paid), float(got)) for entered, left, paid, got in rows]


def record() -> None:
    """Write what the installed peers make of the signals."""
    made = {name: vars(run()) for name, run in PEERS.items()}
    text = json.dumps(made, separators=(",", ":")).encode()
    RECORDED.write_bytes(gzip.compress(text, mtime=0))


if __name__ == "__main__":
    record()
