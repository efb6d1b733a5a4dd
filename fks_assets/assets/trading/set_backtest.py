"""The backtest of a parameter set on markets that pay in any coins: one book a quote coin, one document for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fks_assets.assets.trading.backtest_run import Backtest, backtest
from fks_assets.assets.trading.in_force import StrategyInForce
from fks_assets.assets.trading.standard import BacktestPlan, QuoteBook
from fks_assets.errors import InsufficientData
from fks_assets.ids import document_hash
from fks_assets.quant.strategies.registry import create_strategy
from fks_assets.resources.stores import Stores
from fks_assets.stores.lineage import InputRef


@dataclass(frozen=True, slots=True, eq=False)
class SetBacktest:
    """The books of one parameter set, and why a market is in none of them."""

    subject: StrategyInForce
    books: tuple[QuoteBook, ...]
    tests: tuple[Backtest, ...]
    left_out: Mapping[str, str]

    @property
    def weakest(self) -> Backtest:
        """The book with the lowest Sharpe ratio, of those that traded if any did: a strategy is no better than it."""
        traded = [test for test in self.tests if test.performance.total_trades] or list(self.tests)
        return min(traded, key=lambda test: float("-inf") if test.performance.sharpe is None else test.performance.sharpe)

    @property
    def content_hash(self) -> str:
        """The SHA-256, in hexadecimal, of everything that the books say."""
        if len(self.tests) == 1 and self.left_out == self.tests[0].left_out:
            return self.tests[0].content_hash
        return document_hash([[test.content_hash for test in self.tests], dict(self.left_out)])

    @property
    def order_list_hash(self) -> str:
        """The SHA-256, in hexadecimal, of the orders of every book."""
        hashes = [test.result.order_list_hash for test in self.tests]
        return hashes[0] if len(hashes) == 1 else document_hash(hashes)

    @property
    def trades(self) -> int:
        """How many trades were made in all books; one that was closed in parts is one."""
        return sum(test.performance.total_trades or 0 for test in self.tests)

    @property
    def exits(self) -> int:
        """How many exits these trades had, the rows of their tables."""
        return sum(len(test.result.trades) for test in self.tests)

    @property
    def inputs(self) -> set[InputRef]:
        """What was read."""
        return {ref for test in self.tests for ref in test.inputs}

    def document(self) -> dict[str, Any]:
        """Return everything but the curves for a JSON document: that of the weakest book, and with several `books`, each one."""
        several = {"books": [test.document() for test in self.tests]} if len(self.tests) > 1 else {}
        return {
            **self.weakest.document(),
            **several,
            "left_out": dict(self.left_out),
            "content_hash": self.content_hash,
            "order_list_hash": self.order_list_hash,
        }


def backtest_set(stores: Stores, subject: StrategyInForce, plan: BacktestPlan, start_ms: int, end_ms: int) -> SetBacktest:
    """Return the backtest of a parameter set on the candles that open in [start_ms, end_ms).

    A quote coin none of whose markets has candles is left out. Raises InsufficientData where no market has any, InvalidInput for
    parameters or rules that are none.
    """
    if plan.parameters:
        values = {**subject.strategy.parameters.model_dump(), **plan.parameters}
        subject = subject.with_strategy(create_strategy(subject.strategy.name, values))
    books: list[QuoteBook] = []
    tests: list[Backtest] = []
    left_out: dict[str, str] = {}
    missing: InsufficientData | None = None
    for book in plan.books(stores.settings):
        period = book.markets, plan.timeframe, start_ms, end_ms
        try:
            test = backtest(stores, subject, *period, rules=book.rules, book=book.book, skip_missing=True)
        except InsufficientData as error:
            missing = missing or error
            left_out |= {market.key: str(error) for market in book.markets}
            continue
        books.append(book)
        tests.append(test)
        left_out |= test.left_out
    if not tests:
        raise missing or InsufficientData("a backtest needs markets, was given none")
    return SetBacktest(subject, tuple(books), tuple(tests), left_out)
