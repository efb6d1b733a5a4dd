"""Closed positions of an account: as columns for the metrics, and their sums by strategy and market. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from fks_assets.quant.money import DERIVED, money_text, ratio, total
from fks_assets.quant.risk import percent_number

PERCENT_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed position. `side` 1 LONG, -1 SHORT; times UTC ms; money in the quote coin, `pnl` after fees, `stake` the entry."""

    deal: int
    strategy: str
    market: str
    side: int
    opened_at: int
    closed_at: int
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    fees: Decimal
    pnl: Decimal
    stake: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class TradeTable:
    """Trades as `performance_trades` takes them; each deal is a strategy of its own, so that no two are put together."""

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

    @classmethod
    def of(cls, trades: Sequence[Trade]) -> "TradeTable":
        def column(name: str) -> np.ndarray:
            return np.array([float(getattr(trade, name)) for trade in trades], np.float64)

        nothing = np.zeros(len(trades))
        whole = {name: np.array([getattr(trade, name) for trade in trades], np.int64) for name in ("side", "deal")}
        times = {name: np.array([getattr(trade, name) for trade in trades], np.int64) for name in ("opened_at", "closed_at")}
        returns = np.array([float(DERIVED.divide(trade.pnl, trade.stake)) for trade in trades], np.float64)
        return cls(
            market=whole["deal"],
            strategy=whole["deal"],
            side=whole["side"],
            entry_time=times["opened_at"],
            exit_time=times["closed_at"],
            entry_price=column("entry_price"),
            exit_price=column("exit_price"),
            quantity=column("quantity"),
            entry_fee=column("fees"),
            exit_fee=nothing,
            funding=nothing,
            pnl=column("pnl"),
            return_fraction=returns,
            leg=whole["deal"],
            booked_at=times["closed_at"],
        )


def trade_sums(trades: Sequence[Trade]) -> dict[str, Any]:
    """Return how many trades closed, won and lost, their profit, and the same by strategy and by market, most profit first."""
    return {
        **_sums(trades),
        "by_strategy": _grouped(trades, "strategy"),
        "by_market": _grouped(trades, "market"),
    }


def percent_of(fraction: Decimal | None) -> str | None:
    """Return a fraction as a percentage of at most four digits after the point, None for None."""
    return None if fraction is None else percent_number(fraction, PERCENT_DIGITS)


def _sums(trades: Sequence[Trade]) -> dict[str, Any]:
    won, lost = (sum(1 for trade in trades if sign * trade.pnl > 0) for sign in (1, -1))
    return {
        "closed": len(trades),
        "won": won,
        "lost": lost,
        "win_rate_percent": percent_of(ratio(Decimal(won), Decimal(len(trades)))),
        "profit": money_text(total(trade.pnl for trade in trades)),
    }


def _grouped(trades: Sequence[Trade], name: str) -> list[dict[str, Any]]:
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(getattr(trade, name), []).append(trade)
    rows = [{name: key, **_sums(own)} for key, own in sorted(groups.items())]
    return sorted(rows, key=lambda row: -Decimal(row["profit"]))
