"""What closed trades add up to: counts, profit factor, expectancy, costs, turnover and time in the market."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.quant.counting import counted


class TradeColumns(Protocol):
    """Closed trades and partial exits as columns of one length, as the backtest's Trades and an account's fills give them.

    Times are UTC ms, prices after slippage, fees and funding in the currency of the equity (paid is positive), `pnl` net of all,
    `return_fraction` pnl over the capital committed to what the row closes. `leg` tells apart what one strategy trades of one
    market at the same time, as in two timeframes; at `booked_at` the exit is over: `exit_time` is when its candle opened, if it
    is known no better.
    """

    market: np.ndarray
    strategy: np.ndarray
    side: np.ndarray
    entry_time: np.ndarray
    exit_time: np.ndarray
    entry_price: np.ndarray
    exit_price: np.ndarray
    quantity: np.ndarray
    entry_fee: np.ndarray
    exit_fee: np.ndarray
    funding: np.ndarray
    pnl: np.ndarray
    return_fraction: np.ndarray
    leg: np.ndarray
    booked_at: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class WholeTrades:
    """Trades with their partial exits put together: `pnl` in money and `returns` as a fraction of the capital committed."""

    pnl: np.ndarray
    returns: np.ndarray


@dataclass(frozen=True, slots=True)
class TradeFigures:
    """What trades add up to; money in the currency of the equity, None where there is nothing to take a mean or a ratio of.

    A trade that neither won nor lost counts as a trade and as neither. Losses are negative numbers.
    """

    total_trades: int
    winning_trades: int
    losing_trades: int
    win_rate_pct: float | None
    profit_factor: float | None
    expectancy: float | None
    expectancy_pct: float | None
    average_win: float | None
    average_loss: float | None
    average_win_pct: float | None
    average_loss_pct: float | None
    fees_paid: float
    funding_paid: float
    traded_value: float


def whole_trades(trades: TradeColumns) -> WholeTrades:
    """Return one row for each entry: rows of one leg, market, strategy, side and entry time are one trade, closed in parts."""
    if not len(trades.pnl):
        return WholeTrades(np.empty(0), np.empty(0))
    keys = (trades.entry_time, trades.side, trades.strategy, trades.market, trades.leg)
    order = np.lexsort(keys)
    changed = np.logical_or.reduce([np.diff(key[order]) != 0 for key in keys])
    first = np.flatnonzero(np.append(True, changed))
    quantity = trades.quantity[order]
    committed = np.add.reduceat(quantity, first)
    returns = np.add.reduceat(trades.return_fraction[order] * quantity, first) / committed
    return WholeTrades(np.add.reduceat(trades.pnl[order], first), returns)


def trades_counted(trades: TradeColumns) -> str:
    """Return in words how many trades these are, and of how many exits where some were closed in parts."""
    whole, exits = len(whole_trades(trades).pnl), len(trades.pnl)
    named = counted(whole, "trade")
    return named if exits == whole else f"{exits:,} exits of {named}"


def trade_figures(trades: TradeColumns) -> TradeFigures:
    """Return what the trades add up to; raise InvalidInput when a column is of another length or holds NaN or infinity."""
    _check(trades)
    whole = whole_trades(trades)
    won, lost = whole.pnl > 0, whole.pnl < 0
    gains, losses = float(whole.pnl[won].sum()), -float(whole.pnl[lost].sum())
    return TradeFigures(
        total_trades=len(whole.pnl),
        winning_trades=int(won.sum()),
        losing_trades=int(lost.sum()),
        win_rate_pct=_mean(won * 100.0),
        profit_factor=gains / losses if lost.any() else None,
        expectancy=_mean(whole.pnl),
        expectancy_pct=_mean(whole.returns * 100),
        average_win=_mean(whole.pnl[won]),
        average_loss=_mean(whole.pnl[lost]),
        average_win_pct=_mean(whole.returns[won] * 100),
        average_loss_pct=_mean(whole.returns[lost] * 100),
        fees_paid=float(trades.entry_fee.sum() + trades.exit_fee.sum()),
        funding_paid=float(trades.funding.sum()),
        traded_value=float((trades.quantity * (trades.entry_price + trades.exit_price)).sum()),
    )


def time_in_market(trades: TradeColumns, start_ms: int, end_ms: int) -> float | None:
    """Return the share 0..1 of [start, end) in which at least one trade was open; None for no time at all."""
    if end_ms <= start_ms:
        return None
    entry, exit_ = np.clip(trades.entry_time, start_ms, end_ms), np.clip(trades.booked_at, start_ms, end_ms)
    order = np.argsort(entry, kind="stable")
    entry, until = entry[order], np.maximum.accumulate(exit_[order])
    begun = np.maximum(entry, np.concatenate(([start_ms], until[:-1]))[: len(until)])
    return float(np.maximum(until - begun, 0).sum()) / (end_ms - start_ms)


def bars_with_trades(trades: TradeColumns, time: np.ndarray) -> np.ndarray:
    """Return for each bar whether a trade was open at any moment in it; a bar is what lies between two `time` (ms).

    An exit inside a candle counts to the candle's close.
    """
    first = np.searchsorted(time, trades.entry_time, side="right") - 1
    end = np.searchsorted(time, trades.booked_at, side="left")
    # Trades that ended before the first bar or began after the last one are in none.
    changes = np.zeros(len(time) + 1, np.int64)
    np.add.at(changes, np.maximum(first, 0), 1)
    np.add.at(changes, np.maximum(end, np.maximum(first, 0)), -1)
    return np.cumsum(changes[:-1])[: len(time) - 1] > 0


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _check(trades: TradeColumns) -> None:
    rows = len(trades.pnl)
    for name in TradeColumns.__annotations__:
        column = getattr(trades, name)
        if column.shape != (rows,):
            raise InvalidInput(f"trades: column {name} has shape {column.shape}, pnl has {rows} rows")
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise InvalidInput(f"trades: {name} at row {row} is {column[row]}, not a finite number")
    if rows and not (trades.quantity > 0).all():
        row = int(np.argmin(trades.quantity))
        raise InvalidInput(f"trades: quantity at row {row} is {trades.quantity[row]}, it must be above zero")
