"""What each strategy and each market has done to the book that they share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fks_assets.quant.backtest.results import BacktestResult, Trades
from fks_assets.quant.backtest.rules import BookRules, Budget, LegRules
from fks_assets.quant.performance_trades import trade_figures


@dataclass(frozen=True, slots=True)
class Part:
    """The closed trades of one strategy or market: their number, gain and fees in the quote coin.

    `win_rate_pct` is the share of trades that gained, None without any.
    """

    name: str
    trades: int
    pnl: float
    win_rate_pct: float | None
    fees: float

    def document(self) -> dict[str, Any]:
        """Return it for a JSON document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class StrategyPart(Part):
    """The part of a strategy with a budget: a `share` of the book's equity, at any time.

    Of it `budget_used_pct` was committed at the closes of the book's bars on average, `budget_used_most_pct` at most. It is
    what the positions cost to enter, so gains of the whole book make a budget larger and what is in it a smaller part.
    """

    share: float
    budget_used_pct: float
    budget_used_most_pct: float


def strategy_parts(result: BacktestResult, book: BookRules, rules: Mapping[str, LegRules]) -> list[StrategyPart]:
    """Return the part of each strategy, in the order of the book; `rules` are those of its legs by strategy."""
    parts = []
    for place, name in enumerate(result.strategies):
        mine = result.trades.take(result.trades.strategy == place)
        share = book.budgets.get(name, Budget()).share
        used = _committed(result, mine, rules[name].leverage) / (share * result.equity.equity)
        # A ruined book has no budget any more.
        used = used[result.equity.equity > 0]
        average, most = (100 * float(used.mean()), 100 * float(used.max())) if len(used) else (0.0, 0.0)
        parts.append(StrategyPart(name, *_figures(mine), share, average, most))
    return parts


def market_parts(result: BacktestResult) -> list[Part]:
    """Return the part of each market, in the order of the book."""
    return [Part(name, *_figures(result.trades.take(result.trades.market == place))) for place, name in enumerate(result.markets)]


def _figures(trades: Trades) -> tuple[int, float, float | None, float]:
    figures = trade_figures(trades)
    return figures.total_trades, float(trades.pnl.sum()), figures.win_rate_pct, figures.fees_paid


def _committed(result: BacktestResult, trades: Trades, leverage: float) -> np.ndarray:
    """Return what the open positions cost to enter at each close of the book.

    A trade is open at a close after its entry's open, up to the close at which the candle of its exit opens.
    """
    closes = result.equity.time
    stake = trades.entry_price * trades.quantity / leverage
    changes = np.zeros(len(closes) + 1)
    np.add.at(changes, np.searchsorted(closes, trades.entry_time, side="right"), stake)
    np.add.at(changes, np.searchsorted(closes, trades.exit_time, side="right"), -stake)
    # Sums of what came and went leave dust where nothing is held.
    return np.maximum(np.cumsum(changes[:-1]), 0.0)
