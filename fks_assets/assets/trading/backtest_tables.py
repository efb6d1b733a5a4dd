"""The trades and the equity curve of a backtest as rows and as CSV, every one of them."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fks_assets.clock import iso
from fks_assets.quant.backtest.results import BacktestResult, ExitReason

TRADE_COLUMNS = (
    "market",
    "strategy",
    "side",
    "entry_time",
    "exit_time",
    "entry_price",
    "exit_price",
    "quantity",
    "fees",
    "funding",
    "pnl",
    "return_fraction",
    "exit_reason",
    "candles_held",
    "ambiguous",
)
EQUITY_COLUMNS = ("time", "equity", "exposure")


def trade_rows(result: BacktestResult) -> list[dict[str, Any]]:
    """Return one row a closed trade or partial exit: pnl is side × quantity × (exit price − entry price) − fees − funding."""
    found = result.trades
    columns = (
        [result.markets[code] for code in found.market.tolist()],
        [result.strategies[code] for code in found.strategy.tolist()],
        ["long" if side > 0 else "short" for side in found.side.tolist()],
        [iso(time) for time in found.entry_time.tolist()],
        [iso(time) for time in found.exit_time.tolist()],
        found.entry_price.tolist(),
        found.exit_price.tolist(),
        found.quantity.tolist(),
        (found.entry_fee + found.exit_fee).tolist(),
        found.funding.tolist(),
        found.pnl.tolist(),
        found.return_fraction.tolist(),
        [ExitReason(code).name.lower() for code in found.exit_reason.tolist()],
        found.candles_held.tolist(),
        found.ambiguous.tolist(),
    )
    return [dict(zip(TRADE_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]


def trades_csv(result: BacktestResult) -> str:
    """Return a head and the rows of `trade_rows`, numbers in full."""
    return _csv(TRADE_COLUMNS, (row.values() for row in trade_rows(result)))


def equity_csv(time: np.ndarray, equity: np.ndarray, exposure: np.ndarray) -> str:
    """Return a head and one row a moment: its time, the equity (money), the value of all positions as a fraction of it."""
    return _csv(EQUITY_COLUMNS, zip(map(iso, time.tolist()), equity.tolist(), exposure.tolist(), strict=True))


def _csv(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
