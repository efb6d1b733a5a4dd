"""Run a book: pack it, let the kernel pass over it once, and name what comes out."""

import numpy as np

from fks_assets.quant.backtest import layout
from fks_assets.quant.backtest.book import Book
from fks_assets.quant.backtest.packing import (
    Market,
    Signals,
    decimal_pair,
    join_signals,
    limit,
    pack_legs,
    pack_market,
    pack_signals,
    series_of,
)
from fks_assets.quant.backtest.results import BacktestResult, EquityCurve, Fees, Refusal, Written
from fks_assets.quant.backtest.rules import Budget

WHOLE_BOOK = Budget()


def run_backtest(book: Book) -> BacktestResult:
    """Return trades, equity curve and orders of the book. The same book gives the same bytes, on any run and machine.

    The signal of a candle acts at the open of the next one: a fill before that cannot be expressed. Positions that are open when
    their series ends are closed at its last close.
    """
    series = series_of(book.legs)
    market = pack_market(series, book.rules.costs)
    places = [next(place for place, each in enumerate(series) if each is leg.series) for leg in book.legs]
    firsts = market.records["first"]
    parts = [pack_signals(leg.signals, int(firsts[place])) for leg, place in zip(book.legs, places, strict=True)]
    legs, partials = pack_legs(book, places, [len(part) for part in parts])
    run = Run(book, market, legs, partials)
    run.simulate(join_signals(parts), legs)
    return run.result()


class Run:
    """The records that a pass writes."""

    def __init__(self, book: Book, market: Market, legs: np.ndarray, partials: np.ndarray, *, only_figures: bool = False) -> None:
        self.book, self.market, self.partials = book, market, partials
        most = int(legs["signals_end"][-1])
        exits = 1 + max(len(leg.rules.partial_exits) for leg in book.legs)
        bars = len(market.bar_time)
        self.states = np.zeros(len(legs), layout.STATE)
        self.strategies, self.account = _beginning(book)
        self.refused = np.zeros((len(legs), len(Refusal)), np.int64)
        self.equity = np.empty(bars)
        self.exposure = np.empty(0 if only_figures else bars)
        self.trades = np.empty(most * exits, layout.TRADE)
        self.orders = np.empty(0 if only_figures else most * (exits + 1), layout.ORDER)

    def simulate(self, signals: Signals, legs: np.ndarray) -> None:
        """Make the pass, once."""
        from fks_assets.quant.backtest.kernel import simulate

        simulate(*self._arguments(signals, legs))

    def simulate_each(
        self, signals: Signals, each_leg: np.ndarray, daily_rows: np.ndarray, figures: np.ndarray, ruined: np.ndarray
    ) -> None:
        """Make a pass for each of these LEG records in a book of one leg; write its summary.FIGURES into a row of `figures`, and
        whether it lost everything into `ruined`.

        `daily_rows` are the places of each UTC day's last equity, -1 for the base.
        """
        from fks_assets.quant.backtest.passes import simulate_each

        passes = self._arguments(signals, np.empty(1, layout.LEG))
        beginnings = (record.copy() for record in (self.states, self.strategies, self.account))
        simulate_each(*passes, *beginnings, each_leg, self.book.rules.initial_cash, daily_rows, figures, ruined)

    def _arguments(self, signals: Signals, legs: np.ndarray) -> tuple[np.ndarray, ...]:
        return (
            *self.market.columns,
            signals.row,
            signals.side,
            signals.confidence,
            signals.stop,
            signals.target,
            self.market.records,
            self.market.terms,
            self.market.funding,
            *self.market.finer,
            legs,
            self.partials,
            self.states,
            self.strategies,
            self.account,
            self.refused,
            self.market.bar_time,
            self.equity,
            self.exposure,
            self.trades,
            self.orders,
        )

    def result(self) -> BacktestResult:
        """Return what the pass wrote, without a copy of it."""
        book, account = self.book, self.account[0]
        return BacktestResult(
            book.markets,
            book.strategies,
            book.rules.initial_cash,
            EquityCurve(self.market.bar_time, self.equity, self.exposure),
            fees_of(self.market),
            tuple((leg.series.market, leg.strategy) for leg in book.legs),
            Written(self.trades[: account["trades"]], self.orders[: account["orders"]], self.states, self.refused),
        )


def _beginning(book: Book) -> tuple[np.ndarray, np.ndarray]:
    """Return the STRATEGY records and the ACCOUNT record that a pass begins as."""
    rules, cash = book.rules, book.rules.initial_cash
    budgets = [rules.budgets.get(name, WHOLE_BOOK) for name in book.strategies]
    strategies = [(*decimal_pair(budget.share), limit(budget.max_positions), 0) for budget in budgets]
    account = (*decimal_pair(cash), cash * layout.DUST, limit(rules.max_positions), 0, 0, 0, 0)
    return np.array(strategies, layout.STRATEGY), np.array([account], layout.ACCOUNT)


def fees_of(market: Market) -> dict[str, tuple[Fees, ...]]:
    """Return by market the fees that were in force over its candles, each once, in the order in which they came."""
    found: dict[str, tuple[Fees, ...]] = {}
    maker, taker = market.terms["maker"].tolist(), market.terms["taker"].tolist()
    bounds = zip(market.records["terms_first"].tolist(), market.records["terms_end"].tolist(), strict=True)
    for series, (first, end) in zip(market.series, bounds, strict=True):
        if end - first > 1:
            ends, times = series.candles.open_time[[0, -1]], market.terms["valid_from"][first:end]
            begun = np.maximum(np.searchsorted(times, ends, side="right") - 1, 0)
            first, end = first + int(begun[0]), first + int(begun[1]) + 1
        charged = map(Fees, maker[first:end], taker[first:end])
        found[series.market] = tuple(dict.fromkeys((*found.get(series.market, ()), *charged)))
    return found
